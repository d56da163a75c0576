"""Effects of the parts of a loss, from an ablation of all their combinations."""

from collections.abc import Sequence
from itertools import chain, combinations

import pandas as pd

from srlongtail.errors import InputError


def effects(table: pd.DataFrame, parts: Sequence[str], metric: str = "psnr_db") -> pd.DataFrame:
    """Return main effects and interactions of parts that are on or off, with spread over seeds.

    The effect of a part is the mean of the metric over the runs with it minus the mean over the
    runs without it; in a full grid the effects of the other parts cancel. The interaction `a x b`
    is half the difference between the effects of `a` with and without `b`.

    Args:
        table: One row per run, as of `run_grid` for one data set; a column of truth values for each
            part, `seed`, and the metric.
        parts: Columns whose combinations the grid has, each once a seed.
        metric: What is compared.

    Returns:
        Columns `effect, mean, sd, seeds`: of the metric, over the seeds whose runs are complete.

    Raises:
        InputError: A run is there twice, or no seed has all combinations.

    Example:
        >>> runs = [(False, 0, 27.0), (True, 0, 27.5), (False, 1, 27.0), (True, 1, 27.7)]
        >>> effects(pd.DataFrame(runs, columns=["skip", "seed", "psnr_db"]), ["skip"]).round(2)
          effect  mean    sd  seeds
        0   skip   0.6  0.14      2
    """
    parts = list(parts)
    if table.duplicated([*parts, "seed"]).any():
        raise InputError(
            f"several runs of the same {', '.join(parts)} and seed, expected one, of one data set"
        )
    complete = table.groupby("seed").filter(lambda runs: len(runs) == 2 ** len(parts))
    if complete.empty:
        raise InputError(
            f"no seed has all {2 ** len(parts)} combinations of {', '.join(parts)}, expected one"
        )
    signs = complete[parts].astype(int) * 2 - 1
    rows = []
    sizes = range(1, len(parts) + 1)
    for chosen in chain.from_iterable(combinations(parts, size) for size in sizes):
        contrast = 2 * complete[metric] * signs[list(chosen)].prod(axis="columns")
        of_seed = contrast.groupby(complete["seed"]).mean()
        rows.append((" x ".join(chosen), of_seed.mean(), of_seed.std(), len(of_seed)))
    return pd.DataFrame(rows, columns=["effect", "mean", "sd", "seeds"])
