"""Whether a loss differs from L1: paired by seed, with intervals corrected for their number.

The rules were written down before the runs that ship, but for one: that a loss with one seed has
no interval was added when the second and third seed of L2 lay outside the interval of its first.

The **head** are the five easiest tenths of the pixels, the **tail** is the hardest. An interval
that excludes 0 is an effect; one that also lies within a margin, 0.01 dB or 0.02 levels to either
side, is an effect below the margin: certain, but too small to matter. An interval that lies within
the margin and contains 0 is no effect. Everything else is undecided. Where error moves is told only
if both rankings of the pixels agree, since each favors the loss that is built on it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import f as fisher
from scipy.stats import t as student

from srlongtail.ablation.noise import CONFIDENCE
from srlongtail.errors import InputError
from srlongtail.longtail.tail import HEAD, TENTHS
from srlongtail.stats import largest_t_quantile

CONTROL = "l1"
PERTURBED = "l1-perturbed"  # L1 again, from initial weights that differ by rounding errors
MARGINS = {"psnr_db": 0.01, "ssim": 0.0002, "levels": 0.02}
"""Differences that do not matter, by unit."""

BANDS = ("head", "tail")
RANKINGS = ("gradient", "bicubic_ad")
BAND_MEASURES = tuple(f"{band}_{ranking}" for band in BANDS for ranking in RANKINGS)
MEASURES = ("psnr_db", "ssim", *BAND_MEASURES)

EFFECT, SMALL_EFFECT = "effect", "effect below the margin"
NOISIER = 0.01
"""Level of the F test by which a loss is noisier than the others; see `paired_effects`."""

_DRAWS = 10_000


def runs_of(table: pd.DataFrame) -> pd.DataFrame:
    """Return the error in head and tail of each run, from the tenths of its pixels.

    Args:
        table: As `run_losses` returns it.

    Returns:
        One row per run and data set: `loss, seed, iterations, dataset` and `MEASURES`. The bands
        are mean AD of luma in levels of 255: `head_gradient` is that of the head by gradient.

    Example:
        >>> tenths = pd.DataFrame({"ranked_by": ["gradient"] * 10 + ["bicubic_ad"] * 10})
        >>> tenths = tenths.assign(tenth=[*range(1, 11)] * 2, ad_levels=[*range(1, 11)] * 2)
        >>> tenths[["loss", "seed", "iterations", "dataset"]] = "l1", 0, 4000, "photos"
        >>> tenths[["psnr_db", "ssim"]] = 30.0, 0.9
        >>> runs_of(tenths)[["head_gradient", "tail_bicubic_ad"]].values.tolist()
        [[3.0, 10.0]]
    """
    keys = ["loss", "seed", "iterations", "dataset"]
    runs = table.groupby(keys, sort=False)[["psnr_db", "ssim"]].first()
    easy = table["tenth"] <= round(HEAD * TENTHS)
    for band, rows in {"head": table[easy], "tail": table[table["tenth"] == TENTHS]}.items():
        means = rows.groupby([*keys, "ranked_by"], sort=False)["ad_levels"].mean().unstack()
        runs = runs.join(means.add_prefix(f"{band}_"))
    return runs.reset_index()[[*keys, *MEASURES]]


def paired_effects(
    runs: pd.DataFrame, measures: Sequence[str] = MEASURES, confidence: float = CONFIDENCE
) -> pd.DataFrame:
    """Return the differences of all losses from L1, with intervals that hold all at once.

    Each loss is compared with L1's runs of the same seeds. A run is modeled as loss plus seed plus
    chance, and the variance of chance is that of all losses together: a few seeds of one loss say
    too little about it. The intervals are Dunnett's for several comparisons with one control; they
    are over seeds, for the images that were measured.

    One variance for all is wrong for a loss that is much noisier than the others. So a loss leaves
    the pool if an F test at 1% finds its variance larger than that of the others; the noisiest
    leaves first, until none is left to leave. Its interval is that of the paired t test, from its
    own differences, with Bonferroni's correction; if L1 itself is noisier, all intervals are. A
    smaller variance changes nothing: with few seeds it is often chance, and would make an interval
    too narrow. A loss with one seed has no interval: how noisy it is cannot be seen, and the more
    a loss differs from L1, the less its runs have in common with L1's.

    Args:
        runs: One row per loss and seed, of one data set and number of iterations.
        measures: Columns to compare.
        confidence: Probability that all intervals of a measure contain the true differences.

    Returns:
        Columns `loss, measure, seeds, estimate, low, high, sd, variance`: the mean difference, its
        interval (NaN where the loss has one seed), the standard deviation of the loss's own
        differences, and whose variance the interval is made of, "pooled", "own" or "unknown".

    Raises:
        InputError: Two runs of one loss and seed, or no loss that has a seed in common with L1.

    Example:
        >>> rows = [("l1", 0, 1.0), ("l1", 1, 2.0), ("mine", 0, 1.5), ("mine", 1, 2.5)]
        >>> runs = pd.DataFrame(rows, columns=["loss", "seed", "psnr_db"])
        >>> paired_effects(runs, ["psnr_db"])[["loss", "estimate", "sd"]].values.tolist()
        [['mine', 0.5, 0.0]]
    """
    if runs.duplicated(["loss", "seed"]).any():
        raise InputError("several runs of one loss and seed, expected those of one data set")
    measures = list(measures)
    by_seed = {
        loss: rows.set_index("seed")[measures] for loss, rows in runs.groupby("loss", sort=False)
    }
    control = by_seed.pop(CONTROL, pd.DataFrame(columns=measures))
    differences = {loss: (own - control).dropna() for loss, own in by_seed.items()}
    differences = {loss: found for loss, found in differences.items() if len(found)}
    if not differences:
        raise InputError(f"no loss with a seed in common with {CONTROL}, expected one at least")
    halves = {measure: _halves(runs, differences, measure, confidence) for measure in measures}
    rows = []
    for loss, found in differences.items():
        for measure in measures:
            mean, sd = float(found[measure].mean()), float(found[measure].std())
            half, variance = halves[measure][loss]
            rows.append((loss, measure, len(found), mean, mean - half, mean + half, sd, variance))
    columns = ["loss", "measure", "seeds", "estimate", "low", "high", "sd", "variance"]
    return pd.DataFrame(rows, columns=columns)


def _halves(
    runs: pd.DataFrame, differences: Mapping[str, pd.DataFrame], measure: str, confidence: float
) -> dict[str, tuple[float, str]]:
    """Return half the width of each loss's interval, and whose variance it is made of."""
    chance = _chance(runs, measure)
    everything_noisy = CONTROL in chance.noisier
    several = [loss for loss, found in differences.items() if len(found) > 1]
    noisy = [loss for loss in several if everything_noisy or loss in chance.noisier]
    error = (1 - confidence) / max(len(several), 1)  # of each interval, by Bonferroni
    seeds = {loss: differences[loss].index for loss in several if loss not in noisy}
    halves = dict.fromkeys(differences, (math.nan, "unknown"))
    halves |= {
        loss: (half, "pooled")
        for loss, half in _pooled_halves(seeds, chance, 1 - error * len(seeds)).items()
    }
    for loss in noisy:
        values = differences[loss][measure]
        critical = float(student.isf(error / 2, len(values) - 1))
        halves[loss] = critical * float(values.std()) / math.sqrt(len(values)), "own"
    return halves


class _Chance(NamedTuple):
    """What neither loss nor seed explains in one measure.

    Attributes:
        variance: Of a run, pooled over the losses that are not noisier.
        freedom: Its degrees of freedom.
        noisier: The losses whose variance is larger.
    """

    variance: float
    freedom: int
    noisier: frozenset[str]


def _chance(runs: pd.DataFrame, measure: str) -> _Chance:
    """Return the variance of chance, and the losses that are noisier than the others."""
    values = runs[measure].to_numpy(float)
    losses, names = pd.factorize(runs["loss"])
    seeds, _ = pd.factorize(runs["seed"])
    pool = np.full(len(runs), True)
    noisier: set[str] = set()
    while True:
        squares, freedom = _unexplained(values[pool], losses[pool], seeds[pool])
        p_values = {}
        for loss in np.unique(losses[pool]):
            others = pool & (losses != loss)
            rest, left = _unexplained(values[others], losses[others], seeds[others])
            # In a table without chance, rounding must not look like noise.
            if 0 < left < freedom and rest > 1e-24 * (values[pool] ** 2).sum():
                ratio = (squares - rest) / (freedom - left) / (rest / left)
                p_values[loss] = fisher.sf(ratio, freedom - left, left)
        noisiest = min(p_values, key=p_values.__getitem__, default=None)
        if noisiest is None or p_values[noisiest] >= NOISIER:
            return _Chance(squares / max(freedom, 1), freedom, frozenset(noisier))
        noisier.add(names[noisiest])
        pool &= losses != noisiest


def _unexplained(
    values: NDArray[np.float64], losses: NDArray[np.int64], seeds: NDArray[np.int64]
) -> tuple[float, int]:
    """Return the sum of squares that neither loss nor seed explains, and its degrees of freedom.

    By least squares, since losses may have different numbers of seeds.
    """
    design = np.hstack([key[:, None] == np.unique(key) for key in (losses, seeds)]).astype(float)
    fit, _, rank, _ = np.linalg.lstsq(design, values, rcond=None)
    rest = values - design @ fit
    return float(rest @ rest), len(values) - int(rank)


def _pooled_halves(
    seeds: Mapping[str, pd.Index], chance: _Chance, confidence: float
) -> dict[str, float]:
    """Return half the width of each loss's interval, Dunnett's with one variance for all.

    Args:
        seeds: Loss -> seeds in common with L1.
        chance: The variance.
        confidence: Probability that all these intervals contain the true differences.
    """
    if not seeds or not chance.freedom:
        return dict.fromkeys(seeds, np.nan)
    counts = np.array([len(found) for found in seeds.values()])
    common = [[len(a.intersection(b)) for a in seeds.values()] for b in seeds.values()]
    # Two differences share the runs of L1: of the variances 2 / n, 1 / n each.
    correlation = np.array(common) / np.sqrt(np.outer(counts, counts)) / 2
    np.fill_diagonal(correlation, 1)
    critical = largest_t_quantile(correlation, chance.freedom, confidence)
    halves = critical * np.sqrt(2 * chance.variance / counts)
    return dict(zip(seeds, halves.tolist(), strict=True))


def verdict(low: float, high: float, margin: float) -> str:
    """Return what an interval shows, in words.

    Returns:
        "effect", "effect below the margin", "no effect" or "undecided".

    Example:
        >>> verdict(0.001, 0.3, 0.01), verdict(0.001, 0.004, 0.01)
        ('effect', 'effect below the margin')
        >>> verdict(-0.008, 0.004, 0.01), verdict(-0.2, 0.3, 0.01)
        ('no effect', 'undecided')
    """
    within = -margin <= low and high <= margin
    if low > 0 or high < 0:
        return SMALL_EFFECT if within else EFFECT
    return "no effect" if within else "undecided"


def band_verdict(intervals: Sequence[tuple[float, float]]) -> str:
    """Return what a loss does to the error of a band: all rankings must agree.

    Args:
        intervals: Of the difference in AD by each ranking, in levels.

    Returns:
        "lower" or "higher", "slightly lower" or "slightly higher" (by less than the margin), "same"
        (no effect) or "undecided".

    Example:
        >>> band_verdict([(-0.3, -0.1), (-0.2, -0.1)]), band_verdict([(-0.3, -0.1), (-0.2, 0.1)])
        ('lower', 'undecided')
    """
    words = {verdict(*ends, MARGINS["levels"]) for ends in intervals}
    if words == {"no effect"}:
        return "same"
    side = "lower" if all(high < 0 for _, high in intervals) else "higher"
    if side == "higher" and not all(low > 0 for low, _ in intervals):
        return "undecided"
    return f"slightly {side}" if words == {SMALL_EFFECT} else side


_MOVES = {
    ("higher", "lower"): "tail to head",
    ("lower", "higher"): "head to tail",
    ("lower", "lower"): "lower in both",
    ("higher", "higher"): "higher in both",
    ("lower", "same"): "lower in the head",
    ("higher", "same"): "higher in the head",
    ("same", "lower"): "lower in the tail",
    ("same", "higher"): "higher in the tail",
    ("same", "same"): "no effect",
}


def _moved(head: str, tail: str) -> str:
    """Return where error moves, from the verdicts on the bands."""
    sides = head.removeprefix("slightly "), tail.removeprefix("slightly ")
    moves = _MOVES.get(sides, "undecided")
    changed = [band for band in (head, tail) if band != "same"]
    small = bool(changed) and all(band.startswith("slightly") for band in changed)
    return f"{moves}, below the margin" if small else moves


@dataclass(frozen=True)
class FalsePositives:
    """How often the rules find an effect where there is none.

    Attributes:
        pairs: Number of pairs of L1 and perturbed L1.
        seeds: Number of pairs in a draw, which stand for the seeds of a loss.
        draws: Number of draws.
        moves: Draws in which error seems to move from tail to head or back.
        psnr: Draws in which PSNR seems to change.
    """

    pairs: int
    seeds: int
    draws: int
    moves: int
    psnr: int


def false_positives(runs: pd.DataFrame, effects: pd.DataFrame) -> FalsePositives | None:
    """Apply the rules to pairs of L1 and perturbed L1, which differ by chance alone.

    Each draw takes as many of the pairs as the losses have seeds, at least, and turns the sign of
    each difference at random, because it is arbitrary which of the two runs is the perturbed one.
    Losses with one seed, which have no intervals, do not count.

    Args:
        runs: See `paired_effects`.
        effects: What it returns for these runs.

    Returns:
        The counts; None where there are fewer pairs than seeds, or no intervals with the pooled
        variance, to which the rules apply.
    """
    by_loss = runs[runs["loss"].isin([CONTROL, PERTURBED])].pivot(index="seed", columns="loss")
    known = effects.dropna(subset=["low", "high"])
    if PERTURBED not in set(runs["loss"]) or known.empty:
        return None
    measures = ["psnr_db", *BAND_MEASURES]
    pairs = np.stack(
        [(by_loss[m][PERTURBED] - by_loss[m][CONTROL]).dropna() for m in measures], axis=1
    )
    seeds = int(known["seeds"].min())
    pooled = known[known["variance"] == "pooled"].groupby("measure").first()
    if len(pairs) < seeds or not set(measures) <= set(pooled.index):
        return None
    half = (pooled["high"] - pooled["low"]) / 2 * np.sqrt(pooled["seeds"] / seeds)
    half = half.loc[measures].to_numpy()
    rng = np.random.default_rng(0)
    chosen = rng.permuted(np.tile(np.arange(len(pairs)), (_DRAWS, 1)), axis=1)[:, :seeds]
    signs = rng.choice([-1, 1], size=(_DRAWS, seeds, 1))
    means = (pairs[chosen] * signs).mean(axis=1)
    found = np.sign(means) * (np.abs(means) > half)
    psnr, *bands = found.T
    head, tail = (np.sign(a + b) * (a == b) for a, b in (bands[:2], bands[2:]))
    return FalsePositives(
        len(pairs), seeds, _DRAWS, int((head * tail < 0).sum()), int((psnr != 0).sum())
    )


def loss_verdicts(effects: pd.DataFrame) -> pd.DataFrame:
    """Return one row per loss with both verdicts.

    Args:
        effects: As `paired_effects` returns it, for `MEASURES`.

    Returns:
        Columns `loss, seeds, head, tail, moves, psnr_verdict, own_variance` and for each of
        `MEASURES` the difference from L1 and its interval, such as `psnr_db, psnr_db_low,
        psnr_db_high`. `moves` says where error moves: "tail to head", "head to tail", "lower in
        both", "higher in the tail" and the like, "no effect" or "undecided"; with ", below the
        margin" where no band changes by more. `own_variance` names the measures whose interval is
        made of the loss's own variance.
    """
    rows = []
    for loss, table in effects.groupby("loss", sort=False):
        by_measure = table.set_index("measure")
        row: dict[str, Any] = {"loss": loss, "seeds": int(table["seeds"].iloc[0])}
        for band in BANDS:
            ends = by_measure.loc[[f"{band}_{ranking}" for ranking in RANKINGS], ["low", "high"]]
            row[band] = band_verdict([(low, high) for low, high in ends.to_numpy()])
        row["moves"] = _moved(row["head"], row["tail"])
        low, high = by_measure.loc["psnr_db", ["low", "high"]]
        row["psnr_verdict"] = verdict(low, high, MARGINS["psnr_db"])
        own = by_measure.index[by_measure["variance"] == "own"]
        row["own_variance"] = ", ".join(measure for measure in MEASURES if measure in own)
        for measure in MEASURES:
            estimate, low, high = by_measure.loc[measure, ["estimate", "low", "high"]]
            row |= {measure: estimate, f"{measure}_low": low, f"{measure}_high": high}
        rows.append(row)
    return pd.DataFrame(rows)


def with_time(
    verdicts: pd.DataFrame, runs: pd.DataFrame, time_ratios: pd.Series, iterations: int
) -> pd.DataFrame:
    """Add what the gain in PSNR is worth in L1's iterations, and what remains at equal time.

    L1's gain from more iterations is known from its longer runs, of the same seeds; between them it
    is interpolated over the logarithm of the iterations.

    Args:
        verdicts: As `loss_verdicts` returns it, for runs of this many iterations.
        runs: As `runs_of` returns it, for one data set and all numbers of iterations.
        time_ratios: Time of an iteration over that of L1, by loss.
        iterations: Of the runs that were compared.

    Returns:
        The verdicts with three more columns. `time_ratio`, as given.
        `gain_at_equal_time_db`: PSNR less that of L1 trained for the same time. `l1_iterations`:
        iterations with which L1 has the same PSNR, in multiples of its own: 1 where there is no
        gain, infinite where the longest runs of L1 do not reach it. NaN where nothing was measured.
    """
    l1 = runs[runs["loss"] == CONTROL].pivot(index="seed", columns="iterations", values="psnr_db")
    longer = [n for n in l1.columns if iterations < n <= 2 * iterations]
    gains = {1.0: 0.0} | {n / iterations: (l1[n] - l1[iterations]).mean() for n in longer}
    ratios, known = np.array(list(gains)), np.array(list(gains.values()))
    table = verdicts.copy()
    table["time_ratio"] = table["loss"].map(time_ratios)
    if len(gains) < 2 or np.isnan(known).any():
        return table.assign(gain_at_equal_time_db=np.nan, l1_iterations=np.nan)
    within = table["time_ratio"].where(table["time_ratio"] <= ratios[-1])
    more = np.interp(np.log(within.clip(lower=1)), np.log(ratios), known)
    table["gain_at_equal_time_db"] = table["psnr_db"] - more
    rising = np.maximum.accumulate(known)
    same = np.exp(np.interp(table["psnr_db"], rising, np.log(ratios), right=np.inf))
    table["l1_iterations"] = same
    return table
