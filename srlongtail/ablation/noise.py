"""The difference between the means of equally good arms that chance can explain."""

import numpy as np
import pandas as pd

from srlongtail.stats import student_quantile

CONFIDENCE = 0.95


def noise_floor(runs: pd.DataFrame, metric: str, confidence: float = CONFIDENCE) -> float | None:
    """Return the largest difference of two arms' means that chance alone explains.

    A run is modeled as arm plus seed plus chance, so that what a seed does to all arms alike does
    not count: two means over n seeds differ by the chance times sqrt(2 / n), Student's t with
    (arms - 1) (seeds - 1) degrees of freedom.

    Args:
        runs: One row per run, with columns `arm`, `seed` and the metric; arms that lack a seed are
            left out.
        metric: What is compared.
        confidence: Share of the differences of equal arms that lie within the result.

    Returns:
        In units of the metric; None where fewer than two arms or two seeds are complete.

    Example:
        >>> runs = [("a", 0, 1.0), ("a", 1, 2.0), ("b", 0, 1.5), ("b", 1, 2.5)]
        >>> noise_floor(pd.DataFrame(runs, columns=["arm", "seed", "psnr_db"]), "psnr_db")
        0.0
    """
    table = runs.pivot(index="arm", columns="seed", values=metric).dropna(axis="index")
    arms, seeds = table.shape
    if min(arms, seeds) < 2:
        return None
    values = table.to_numpy()
    # What neither the arm nor the seed explains is chance. The means taken away use up degrees of
    # freedom; divided by those left, its squares give the variance of one run's chance without
    # bias. The mean of an arm has 1 / seeds of it, and a difference of two means twice that.
    rest = values - values.mean(0) - values.mean(1, keepdims=True) + values.mean()
    freedom = (arms - 1) * (seeds - 1)
    spread = np.sqrt((rest**2).sum() / freedom * 2 / seeds)
    return float(student_quantile((1 + confidence) / 2, freedom) * spread)
