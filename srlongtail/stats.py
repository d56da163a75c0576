"""Inequality and uncertainty, on plain arrays."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from srlongtail.errors import InputError


class Interval(NamedTuple):
    """An estimate and the ends of its interval."""

    estimate: float
    low: float
    high: float


def gini(values: ArrayLike) -> float:
    """How unequal non-negative values are: 0 for equal ones, 1 - 1/N where one has it all.

    G = sum_i (2i - N - 1) x_i / (N sum_i x_i), with x sorted ascending and i from 1 to N.
    Where all values are 0, they are equal: G = 0.

    Args:
        values: any shape, non-negative and finite.

    Raises:
        InputError: no values, or negative, infinite or NaN ones.

    >>> gini([1, 1, 1, 1]), gini([0, 0, 0, 5])
    (0.0, 0.75)
    """
    array = _shares_of(values, "gini")
    count = array.size
    # Zeros add nothing to the sum; without them there is little to sort in a local map.
    positive = np.sort(array[array > 0])
    if positive.size == 0:
        return 0.0
    ranks = np.arange(count - positive.size + 1, count + 1)
    return float(((2 * ranks - count - 1) * positive).sum() / (count * positive.sum()))


def lorenz(values: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The Lorenz curve: the share of the total that the smallest values hold together.

    Args:
        values: N of any shape, non-negative and finite.

    Returns:
        The share of the values, 0 to 1, and the share of the total, 0 to 1; N + 1 points each.
        The Gini coefficient of `gini` is 1 minus twice the area below.

    Raises:
        InputError: no values, or negative, infinite or NaN ones.

    >>> lorenz([3, 1])[1]
    array([0.  , 0.25, 1.  ])
    """
    array = np.sort(_shares_of(values, "lorenz"))
    shares = np.linspace(0, 1, array.size + 1)
    total = array.sum()
    held = np.concatenate([[0], array.cumsum() / total]) if total > 0 else shares
    return shares, held


def bootstrap_interval(
    values: ArrayLike,
    statistic: Callable[..., NDArray[np.float64]] = np.mean,
    *,
    confidence: float = 0.95,
    resamples: int = 9999,
    seed: int = 0,
    method: Literal["percentile", "basic", "BCa"] = "percentile",
) -> Interval:
    """The bootstrap interval of a statistic, over independent units such as images.

    Pixels of one image are no independent units: reduce each image to one number first. One
    image tells nothing about the spread, and its interval is NaN at both ends.

    Args:
        values: `(N,)`, one number an image.
        statistic: takes an array and `axis`.
        confidence: share of the intervals that are to hold the true value, between 0 and 1.
        resamples: number of bootstrap samples.
        seed: the same seed gives the same interval.
        method: see `scipy.stats.bootstrap`.

    Raises:
        InputError: not one finite number an image, or a confidence outside (0, 1).

    >>> bootstrap_interval([1.0, 2.0, 3.0]).estimate
    2.0
    """
    from scipy.stats import bootstrap

    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0 or not np.isfinite(array).all():
        raise InputError(
            f"bootstrap_interval: values of shape {array.shape}, expected one finite number each "
            f"of one or more images"
        )
    if not 0 < confidence < 1:
        raise InputError(f"bootstrap_interval: confidence {confidence}, expected between 0 and 1")
    estimate = float(statistic(array, axis=0))
    if array.size == 1:
        return Interval(estimate, np.nan, np.nan)
    if np.ptp(array) == 0:  # BCa is not defined without spread
        return Interval(estimate, estimate, estimate)
    interval = bootstrap(
        (array,),
        statistic,
        confidence_level=confidence,
        n_resamples=resamples,
        batch=max(1, 10**7 // array.size),
        method=method,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(estimate, float(interval.low), float(interval.high))


def _shares_of(values: ArrayLike, caller: str) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64).ravel()
    if array.size == 0:
        raise InputError(f"{caller}: no values, expected one or more")
    if not np.isfinite(array).all() or array.min() < 0:
        raise InputError(f"{caller}: values from {array.min():g} to {array.max():g}, expected >= 0")
    return array
