"""Measures of inequality, heavy tails and uncertainty for plain arrays.

Measures that need the values in ascending order sort them, unless they already are: a caller of
several measures can sort the values once.
"""

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from srlongtail.errors import InputError

BOOTSTRAP_FROM = 30  # images; for fewer, Student's t is used
STUDENT = "Student's t"
_FITTED = 20_000  # maximum number of values for a fit; more only take longer


class Interval(NamedTuple):
    """An estimate, the ends of its interval, and the method in words ("" if not stated)."""

    estimate: float
    low: float
    high: float
    method: str = ""


class SignTest(NamedTuple):
    """Numbers of positive and negative values, and the two-sided p-value for equal chances."""

    positive: int
    negative: int
    p_value: float


def gini(values: ArrayLike) -> float:
    """Return the Gini coefficient: 0 if all values are equal, 1 - 1/N if only one is not 0.

    G = sum_i (2i - N - 1) x_i / (N sum_i x_i), with x sorted ascending and i from 1 to N.
    If all values are 0, they are equal, and G = 0.

    Args:
        values: Any shape, non-negative and finite.

    Raises:
        InputError: There are no values, or some are negative, infinite or NaN.

    Example:
        >>> gini([1, 1, 1, 1]), gini([0, 0, 0, 5])
        (0.0, 0.75)
    """
    array = _shares_of(values, "gini")
    count = array.size
    # Zeros add nothing to the sum. Without them, a local map has few values to sort.
    positive = _ascending(array[array > 0])
    if positive.size == 0:
        return 0.0
    ranks = np.arange(count - positive.size + 1, count + 1)
    return float(((2 * ranks - count - 1) * positive).sum() / (count * positive.sum()))


def lorenz(values: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the Lorenz curve: the share of the total that the smallest values hold.

    Args:
        values: N values of any shape, non-negative and finite.

    Returns:
        The share of the values, 0 to 1, and the share of the total, 0 to 1; N + 1 points each.
        The Gini coefficient of `gini` is 1 minus twice the area under the curve.

    Raises:
        InputError: There are no values, or some are negative, infinite or NaN.

    Example:
        >>> lorenz([3, 1])[1]
        array([0.  , 0.25, 1.  ])
    """
    array = _ascending(_shares_of(values, "lorenz"))
    shares = np.linspace(0, 1, array.size + 1)
    total = array.sum()
    held = np.concatenate([[0], array.cumsum() / total]) if total > 0 else shares
    return shares, held


def top_share(values: ArrayLike, share: float) -> float:
    """Return the share of the total that the largest values hold, read from the Lorenz curve.

    For an exponential distribution it is q (1 - log q): the top 10% hold 33.0%.

    Args:
        values: Any shape, non-negative and finite.
        share: q, the share of the values that count as the largest, 0 to 1.

    Example:
        >>> top_share([1, 1, 1, 7], 0.25)
        0.7
    """
    shares, held = lorenz(values)
    return float(1 - np.interp(1 - share, shares, held))


def effective_number(values: ArrayLike) -> float:
    """Return the effective number of values, (1 - Gini) N, from 1 to N.

    k equal values give k, whatever the number of zeros beside them.

    Args:
        values: N values of any shape, non-negative and finite.

    Example:
        >>> effective_number([2, 2, 0, 0, 0])
        2.0
    """
    return (1 - gini(values)) * np.size(values)


def hill(values: ArrayLike, k: int) -> float:
    """Return Hill's estimate of the tail index alpha from the k largest values.

    A tail is heavy if P(X > x) falls as x ** -alpha; a smaller alpha means a heavier tail.
    alpha = k / sum_(i <= k) log(x_i / x_(k+1)), with x sorted descending. If the k + 1 largest
    values are equal, alpha is infinite.

    Args:
        values: N values of any shape; the k + 1 largest must be positive.
        k: Number of values in the tail, 1 <= k < N.

    Raises:
        InputError: k is out of range, or the k + 1 largest values are not positive and finite.

    Source: Hill, Annals of Statistics 3(5), 1975.

    Example:
        >>> round(hill([1, 1, 2, 4, 8], k=3), 3)
        0.721
    """
    return float(hill_table(values, [k])["tail_index"].iloc[0])


def hill_table(values: ArrayLike, ks: Sequence[int] | None = None) -> pd.DataFrame:
    """Return Hill's estimate for several numbers of tail values: the Hill plot as a table.

    Trust the estimate only where it is constant over a range of k. The column `standard_error`
    is alpha / sqrt(k). This holds for independent values; pixels of one image are not independent.

    Args:
        values: See `hill`.
        ks: Numbers of tail values; default: up to 30 numbers from 10 (or 1) to N / 5, equally
            spaced on a logarithmic axis.

    Returns:
        One row per k: `k, threshold, tail_index, standard_error`; the threshold is x_(k+1).

    Example:
        >>> hill_table([1, 1, 2, 4, 8], ks=[1, 2])["tail_index"].round(2).tolist()
        [1.44, 0.96]
    """
    array = np.asarray(values, dtype=np.float64).ravel()
    if ks is None:
        last = max(array.size // 5, 1)
        ks = np.unique(np.geomspace(min(10, last), last, 30).round().astype(int)).tolist()
    if not len(ks) or min(ks) < 1 or max(ks) >= array.size:
        raise InputError(
            f"hill: k {list(ks)}, expected 1 to {array.size - 1} for {array.size} values"
        )
    chosen = np.asarray(ks)
    largest = _largest(array, chosen.max() + 1)[::-1]
    if not np.isfinite(largest).all() or largest[-1] <= 0:
        raise InputError(
            f"hill: the {largest.size} largest values range from {largest[-1]:g} to "
            f"{largest[0]:g}, expected positive and finite values"
        )
    logs = np.log(largest)
    excess = np.cumsum(logs)[chosen - 1] - chosen * logs[chosen]
    # Rounding errors of the sums must not look like a spread of equal values.
    excess[largest[0] == largest[chosen]] = 0
    with np.errstate(divide="ignore"):
        index = chosen / excess
    return pd.DataFrame(
        {
            "k": chosen,
            "threshold": largest[chosen],
            "tail_index": index,
            "standard_error": index / np.sqrt(chosen),
        }
    )


def pareto_shape(values: ArrayLike, k: int) -> float:
    """Return the shape xi of the generalized Pareto distribution of the k largest values.

    The distribution is fitted by maximum likelihood (SciPy) to the excesses of these values over
    the next largest one. A positive xi means a heavy tail with index 1 / xi, 0 an exponential
    tail, and a negative xi a tail with an upper end. If k exceeds 20,000, the fit uses 20,000
    values of evenly spaced ranks.

    Args:
        values: N values of any shape, finite.
        k: Number of values in the tail, 10 <= k < N.

    Raises:
        InputError: k is out of range, values are not finite, or the k + 1 largest are equal.

    Source: Pickands, Annals of Statistics 3(1), 1975.

    Example:
        >>> import scipy.stats
        >>> values = scipy.stats.genpareto.ppf((np.arange(500) + 0.5) / 500, c=0.25)
        >>> round(pareto_shape(values, k=499), 1)
        0.2
    """
    from scipy.stats import genpareto

    array = np.asarray(values, dtype=np.float64).ravel()
    if not 10 <= k < array.size:
        raise InputError(
            f"pareto_shape: k {k}, expected 10 to {array.size - 1} for {array.size} values"
        )
    largest = _largest(array, k + 1)
    excesses = largest[1:] - largest[0]
    if not np.isfinite(largest).all() or not excesses.any():
        raise InputError(
            f"pareto_shape: the {k + 1} largest values range from {largest.min():g} to "
            f"{largest.max():g}, expected finite values that differ"
        )
    if k > _FITTED:
        excesses = excesses[np.linspace(0, k - 1, _FITTED).round().astype(int)]
    # Starting from the moments makes the fit several times faster.
    mean, variance = excesses.mean(), excesses.var()
    start = (1 - mean**2 / variance) / 2
    shape, _, _ = genpareto.fit(excesses, start, floc=0, scale=mean * (1 - start))
    return float(shape)


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Return Holm's adjusted p-values of several tests, in the given order.

    If every test with an adjusted value of at most 0.05 is rejected, the probability of any false
    rejection is at most 5%, whether or not the tests are independent. NaN stands for a test that
    was not made: it stays NaN and is not counted.

    Args:
        p_values: One p-value per test, in [0, 1] or NaN.

    Raises:
        InputError: A value lies outside [0, 1].

    Source: Holm, Scandinavian Journal of Statistics 6(2), 1979.

    Example:
        >>> holm([0.04, 0.01, 0.03]).round(2)
        array([0.06, 0.03, 0.06])
    """
    array = np.asarray(p_values, dtype=np.float64).ravel()
    made = np.flatnonzero(~np.isnan(array))
    if ((array[made] < 0) | (array[made] > 1)).any():
        raise InputError(f"holm: p-values {array.tolist()}, expected 0 to 1")
    order = made[np.argsort(array[made], kind="stable")]
    scaled = array[order] * np.arange(order.size, 0, -1)
    adjusted = array.copy()
    adjusted[order] = np.maximum.accumulate(scaled).clip(max=1)
    return adjusted


def largest_t_quantile(
    correlation: ArrayLike,
    freedom: int,
    confidence: float = 0.95,
    *,
    draws: int = 400_000,
    seed: int = 0,
) -> float:
    """Return the value below which the largest of several |t| lies with a given probability.

    Intervals of so many standard errors to each side contain all true values at once with this
    probability. For the differences of several groups from one control group, it is Dunnett's
    critical value. It is a quantile of draws from Student's multivariate t distribution.

    Args:
        correlation: `(K, K)`, of the K estimates.
        freedom: Degrees of freedom of the variance that all standard errors share.
        confidence: Probability, between 0 and 1.
        draws: Number of draws; 400,000 give the value to about 0.01.
        seed: The same seed gives the same value.

    Raises:
        InputError: No correlation matrix, or no degree of freedom.

    Source: Dunnett, Journal of the American Statistical Association 50(272), 1955.

    Example:
        >>> round(largest_t_quantile([[1, 0.5], [0.5, 1]], freedom=20), 1)  # Dunnett: 2.38
        2.4
    """
    matrix = np.asarray(correlation, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not matrix.size or freedom < 1:
        raise InputError(
            f"largest_t_quantile: correlations of shape {matrix.shape} and {freedom} degrees of "
            f"freedom, expected a square matrix and at least 1"
        )
    return _largest_t(tuple(map(tuple, matrix.tolist())), freedom, confidence, draws, seed)


@cache  # several measures of the same runs ask for the same value
def _largest_t(
    correlation: tuple[tuple[float, ...], ...],
    freedom: int,
    confidence: float,
    draws: int,
    seed: int,
) -> float:
    rng = np.random.default_rng(seed)
    # The square root of the matrix by its eigenvalues, because it may be singular.
    values, vectors = np.linalg.eigh(np.array(correlation))
    root = vectors * np.sqrt(values.clip(min=0))
    normal = rng.standard_normal((draws, len(correlation))) @ root.T
    largest = np.abs(normal).max(axis=1) / np.sqrt(rng.chisquare(freedom, draws) / freedom)
    return float(np.quantile(largest, confidence))


def mean_interval(
    values: ArrayLike, confidence: float = 0.95, *, resamples: int = 9999, seed: int = 0
) -> Interval:
    """Return the mean over images (for example, of paired differences) with its interval.

    For fewer than 30 images, the interval is Student's t; from 30 images, the bias-corrected and
    accelerated (BCa) bootstrap, which adapts to skewed values. `Interval.method` states which. A
    percentile bootstrap of few images is too narrow: for 5 normal values, it contains the true mean
    in 86% of the cases, not 95%.

    For one image, both ends are NaN, because the spread is unknown. If all values are equal, both
    ends equal the mean.

    Args:
        values: `(N,)`, one number per image. Pixels of one image are not independent, so reduce
            each image to one number first.
        confidence: Share of such intervals that contain the true mean, between 0 and 1.
        resamples: Number of bootstrap samples, used from 30 images.
        seed: The same seed gives the same interval.

    Raises:
        InputError: `values` is not one finite number per image, or `confidence` is not in (0, 1).

    Source: Efron, Journal of the American Statistical Association 82(397), 1987.

    Example:
        >>> mean_interval([1.0, 2.0, 3.0])
        Interval(estimate=2.0, low=-0.48..., high=4.48..., method="Student's t")
    """
    array = _one_an_image(values, confidence, "mean_interval")
    if array.size >= BOOTSTRAP_FROM:
        return bootstrap_interval(
            array, confidence=confidence, resamples=resamples, seed=seed, method="BCa"
        )
    mean = float(array.mean())
    if array.size == 1:
        return Interval(mean, np.nan, np.nan, STUDENT)
    if np.ptp(array) == 0:  # rounding may make the mean differ from the values
        return Interval(float(array[0]), float(array[0]), float(array[0]), STUDENT)
    error = array.std(ddof=1) / np.sqrt(array.size)
    half = student_quantile((1 + confidence) / 2, array.size - 1) * float(error)
    return Interval(mean, mean - half, mean + half, STUDENT)


def student_quantile(probability: float, freedom: float) -> float:
    """Return a quantile of Student's t: `scipy.stats.t.ppf`, without the import of scipy.stats.

    Example:
        >>> round(student_quantile(0.975, 10), 3)
        2.228
    """
    from scipy.special import stdtrit

    return float(stdtrit(freedom, probability))


def sign_test(values: ArrayLike) -> SignTest:
    """Return the numbers of positive and negative values, and the p-value of the sign test.

    It is the exact two-sided binomial test with equal chances. Zeros are not counted; without any
    other value, the p-value is 1. The test assumes no distribution and ignores magnitudes.

    Args:
        values: Paired differences, one per image; any shape, finite.

    Example:
        >>> sign_test([0.2, 0.1, 0.4, 0.3, 0.1, 0.0])
        SignTest(positive=5, negative=0, p_value=0.0625)
    """
    array = np.asarray(values, dtype=np.float64)
    positive, negative = int((array > 0).sum()), int((array < 0).sum())
    count = positive + negative
    as_extreme = sum(math.comb(count, k) for k in range(min(positive, negative) + 1))
    return SignTest(positive, negative, min(1.0, 2 * as_extreme / 2**count))


def smallest_detectable_mean(values: ArrayLike, power: float = 0.8, level: float = 0.05) -> float:
    """Return the smallest true mean that a t-test on such values detects with a given power.

    If the true mean were this large, the two-sided one-sample t-test at this level would reject a
    mean of 0 with probability `power`, for as many values with the same spread. Let t_c be the
    critical value of the test, and d the noncentrality for which P(T > t_c) = power. The result is
    d s / sqrt(N). The probability of rejection on the wrong side is neglected (about 1e-6 at 80%).

    Args:
        values: `(N,)`, paired differences, one per image.
        power: Probability of detecting the mean, between 0 and 1.
        level: Probability of a false detection, between 0 and 1.

    Returns:
        The mean in the units of `values`; NaN for fewer than two values.

    Example:
        >>> round(smallest_detectable_mean([0.1, 0.2, 0.3, 0.4]), 3)
        0.275
    """
    from scipy.special import nctdtrinc

    array = np.asarray(values, dtype=np.float64).ravel()
    if array.size < 2:
        return np.nan
    freedom = array.size - 1
    distance = nctdtrinc(freedom, 1 - power, student_quantile(1 - level / 2, freedom))
    return float(distance * array.std(ddof=1) / np.sqrt(array.size)) if np.ptp(array) else 0.0


def mean_p_value(
    values: ArrayLike, expected: float = 0.0, *, resamples: int = 9999, seed: int = 0
) -> float:
    """Return the two-sided p-value of a mean over images, consistent with `mean_interval`.

    The interval with confidence 1 - p ends exactly at the expected value, so an interval and its
    p-value never contradict each other. For fewer than 30 images, the p-value is that of Student's
    t-test; from 30 images, that of the BCa bootstrap, which is at least 2 / (resamples + 1).

    Args:
        values, resamples, seed: See `mean_interval`.
        expected: The mean under the hypothesis.

    Returns:
        The p-value, 0 to 1; NaN for one image, and 0 or 1 if all values are equal.

    Raises:
        InputError: `values` is not one finite number per image.

    Example:
        >>> round(mean_p_value([1.0, 2.0, 3.0]), 3)
        0.074
    """
    from scipy.stats import bootstrap, norm, ttest_1samp

    array = _one_an_image(values, 0.95, "mean_p_value")
    if array.size == 1:
        return np.nan
    if np.ptp(array) == 0:
        return float(array[0] == expected)
    if array.size < BOOTSTRAP_FROM:
        return float(ttest_1samp(array, expected).pvalue)
    means = bootstrap(
        (array,), np.mean, n_resamples=resamples, batch=max(1, 10**7 // array.size),
        method="percentile", rng=np.random.default_rng(seed),
    ).bootstrap_distribution  # fmt: skip

    def normal_score(mean: float) -> float:
        below = ((means < mean).mean() + (means <= mean).mean()) / 2
        return float(norm.ppf(np.clip(below, 1 / (resamples + 1), resamples / (resamples + 1))))

    # BCa places the end of level q at the score z0 + (z0 + q) / (1 - a (z0 + q)): solved for q.
    bias = normal_score(array.mean())
    deviations = array - array.mean()
    acceleration = (deviations**3).sum() / (6 * (deviations**2).sum() ** 1.5)
    distance = normal_score(expected) - bias
    level = norm.cdf(distance / (1 + acceleration * distance) - bias)
    return float(2 * min(level, 1 - level))


def bootstrap_interval(
    values: ArrayLike,
    statistic: Callable[..., NDArray[np.float64]] = np.mean,
    *,
    confidence: float = 0.95,
    resamples: int = 9999,
    seed: int = 0,
    method: Literal["percentile", "basic", "BCa"] = "percentile",
) -> Interval:
    """Return a statistic over images with its bootstrap interval; for a mean, see `mean_interval`.

    Pixels of one image are not independent, so reduce each image to one number first. For one
    image, both ends are NaN, because the spread is unknown.

    Args:
        values: `(N,)`, one number per image.
        statistic: A function of an array and `axis`.
        confidence: Share of such intervals that contain the true value, between 0 and 1.
        resamples: Number of bootstrap samples.
        seed: The same seed gives the same interval.
        method: See `scipy.stats.bootstrap`.

    Raises:
        InputError: `values` is not one finite number per image, or `confidence` is not in (0, 1).

    Example:
        >>> bootstrap_interval([1.0, 2.0, 3.0]).estimate
        2.0
    """
    from scipy.stats import bootstrap

    array = _one_an_image(values, confidence, "bootstrap_interval")
    label = f"{method} bootstrap"
    estimate = float(statistic(array, axis=0))
    if array.size == 1:
        return Interval(estimate, np.nan, np.nan, label)
    if np.ptp(array) == 0:  # BCa is not defined without spread
        return Interval(estimate, estimate, estimate, label)
    interval = bootstrap(
        (array,),
        statistic,
        confidence_level=confidence,
        n_resamples=resamples,
        batch=max(1, 10**7 // array.size),
        method=method,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(estimate, float(interval.low), float(interval.high), label)


def _one_an_image(values: ArrayLike, confidence: float, caller: str) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0 or not np.isfinite(array).all():
        raise InputError(
            f"{caller}: values of shape {array.shape}, expected one finite number per image, "
            f"for at least one image"
        )
    if not 0 < confidence < 1:
        raise InputError(f"{caller}: confidence {confidence}, expected between 0 and 1")
    return array


def _shares_of(values: ArrayLike, caller: str) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64).ravel()
    if array.size == 0:
        raise InputError(f"{caller}: no values, expected at least one")
    if not np.isfinite(array).all() or array.min() < 0:
        raise InputError(f"{caller}: values from {array.min():g} to {array.max():g}, expected >= 0")
    return array


def _ascending(array: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return values in ascending order; values that are in order already are not sorted again."""
    return array if _is_ascending(array) else np.sort(array)


def _largest(array: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Return the largest values in ascending order; NaN counts as larger than any number."""
    if not _is_ascending(array):
        array = np.partition(array, -count)
    return _ascending(array[-count:])


def _is_ascending(array: NDArray[np.float64]) -> bool:
    return bool((array[1:] >= array[:-1]).all())
