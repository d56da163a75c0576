"""Inequality against closed forms, and the bootstrap against scipy and the normal distribution."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import trapezoid

from srlongtail.errors import InputError
from srlongtail.stats import bootstrap_interval, gini, lorenz

VALUES = st.lists(st.floats(0, 1e6, allow_subnormal=False), min_size=1, max_size=60)


@pytest.mark.parametrize("count", [1, 2, 7, 1000])
def test_gini_of_equal_values_and_of_one_that_has_it_all(count):
    assert gini(np.full(count, 3.7)) == pytest.approx(0, abs=1e-12)
    assert gini(np.eye(1, count)) == pytest.approx(1 - 1 / count)


def test_gini_of_known_distributions():
    positions = (np.arange(100_000) + 0.5) / 100_000
    assert gini(scipy.stats.expon.ppf(positions)) == pytest.approx(1 / 2, abs=1e-3)
    assert gini(scipy.stats.uniform.ppf(positions)) == pytest.approx(1 / 3, abs=1e-4)
    shape = 3.0  # Pareto: 1 / (2 a - 1)
    assert gini(scipy.stats.pareto.ppf(positions, shape)) == pytest.approx(1 / 5, abs=1e-3)


@given(VALUES)
def test_gini_is_half_the_relative_mean_difference_of_all_pairs(values):
    array = np.array(values)
    pairs = np.abs(array[:, None] - array).mean()
    expected = pairs / (2 * array.mean()) if array.sum() > 0 else 0
    assert gini(array) == pytest.approx(expected, abs=1e-9)


@given(VALUES)
def test_gini_is_twice_the_area_between_lorenz_curve_and_diagonal(values):
    shares, held = lorenz(values)
    assert (len(shares), shares[0], shares[-1], held[0]) == (len(values) + 1, 0, 1, 0)
    assert held[-1] == pytest.approx(1)
    assert (np.diff(held) >= 0).all()
    assert gini(values) == pytest.approx(1 - 2 * trapezoid(held, shares), abs=1e-9)


@pytest.mark.parametrize("measure", [gini, lorenz])
@pytest.mark.parametrize("values", [[], [1.0, -0.1], [np.nan, 1.0], [np.inf]])
def test_values_that_have_no_inequality(measure, values):
    with pytest.raises(InputError, match=rf"{measure.__name__}: .*expected (one or more|>= 0)"):
        measure(values)


@pytest.mark.parametrize("method", ["percentile", "BCa"])
def test_the_interval_is_scipys(method):
    values = np.random.default_rng(1).exponential(size=40)
    found = bootstrap_interval(values, seed=5, resamples=999, method=method)
    theirs = scipy.stats.bootstrap(
        (values,), np.mean, n_resamples=999, method=method, rng=np.random.default_rng(5)
    ).confidence_interval
    assert found.estimate == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high))


def test_the_interval_of_a_mean_is_as_wide_as_theory_says():
    values = scipy.stats.norm.ppf((np.arange(400) + 0.5) / 400)
    found = bootstrap_interval(values)
    assert (found.low, found.high) == pytest.approx((-1.96 / 20, 1.96 / 20), abs=0.006)
    narrow = bootstrap_interval(values, confidence=0.5)
    assert (narrow.low, narrow.high) == pytest.approx((-0.6745 / 20, 0.6745 / 20), abs=0.004)


def test_other_statistics_and_the_seed():
    values = np.arange(11.0)
    found = bootstrap_interval(values, np.median, seed=3)
    assert found == bootstrap_interval(values, np.median, seed=3)
    assert found.estimate == 5
    assert found.low < 5 < found.high


def test_one_image_has_no_spread_and_equal_images_have_none():
    one = bootstrap_interval([2.0])
    assert one.estimate == 2
    assert np.isnan([one.low, one.high]).all()
    assert bootstrap_interval([2.0, 2.0, 2.0], method="BCa") == (2, 2, 2)


def test_mistakes():
    with pytest.raises(InputError, match=r"shape \(2, 2\), expected one finite number each"):
        bootstrap_interval(np.ones((2, 2)))
    with pytest.raises(InputError, match="expected one finite number"):
        bootstrap_interval([1.0, np.nan])
    with pytest.raises(InputError, match=r"confidence 95, expected between 0 and 1"):
        bootstrap_interval([1.0, 2.0], confidence=95)
