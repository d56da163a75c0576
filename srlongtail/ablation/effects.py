"""What each part of a loss does by itself, from an ablation of all combinations of its parts."""

from collections.abc import Sequence
from itertools import chain, combinations

import pandas as pd

from srlongtail.errors import InputError


def effects(table: pd.DataFrame, parts: Sequence[str], metric: str = "psnr_db") -> pd.DataFrame:
    """Main effects and interactions of parts that are on or off, with their spread over seeds.

    The effect of a part is the mean of the metric over the runs that have it, less that over those
    that have not: in a full grid whatever the other parts do cancels. Of two parts, `a x b`, it is
    half of how much more one does where the other is on.

    Args:
        table: one row a run, as of `run_grid` for one data set; a column of truth values for each
            part, `seed`, and the metric.
        parts: columns whose combinations the grid has, each once a seed.
        metric: what is compared.

    Returns:
        Columns `effect, mean, sd, seeds`: of the metric, over the seeds whose runs are complete.

    Raises:
        InputError: a run is there twice, or no seed has all combinations.

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
