"""Closed forms, scipy and NumPy as references; coverage of intervals by simulation."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import trapezoid

from srlongtail.errors import InputError
from srlongtail.stats import (
    STUDENT,
    bootstrap_interval,
    effective_number,
    gini,
    hill,
    hill_table,
    holm,
    lorenz,
    mean_interval,
    mean_p_value,
    pareto_shape,
    sign_test,
    smallest_detectable_mean,
    student_quantile,
    top_share,
)

VALUES = st.lists(st.floats(0, 1e6, allow_subnormal=False), min_size=1, max_size=60)


def test_students_quantiles_are_scipys():
    for freedom in (1, 2, 3, 9, 28, 1000):
        for level in (0.025, 0.5, 0.9, 0.975):
            assert student_quantile(level, freedom) == scipy.stats.t.ppf(level, freedom)


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
    with pytest.raises(InputError, match=rf"{measure.__name__}: .*expected (at least one|>= 0)"):
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
    assert bootstrap_interval([2.0, 2.0, 2.0], method="BCa")[:3] == (2, 2, 2)


DISTRIBUTIONS = {
    "normal": scipy.stats.norm(1, 2),
    "moderately skewed": scipy.stats.gamma(4),  # skewness 1
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
@pytest.mark.parametrize("images", [5, 14, 100])
def test_intervals_of_a_mean_hold_it_as_often_as_they_say(name, images):
    distribution = DISTRIBUTIONS[name]
    samples = distribution.rvs((1000, images), random_state=np.random.default_rng(0))
    intervals = [mean_interval(sample, resamples=499) for sample in samples]
    holds = [found.low <= distribution.mean() <= found.high for found in intervals]
    print(f"{intervals[0].method}, {images} images, {name}: holds the mean {np.mean(holds):.1%}")
    if images >= 10:
        assert 0.92 <= np.mean(holds) <= 0.98


def test_few_images_get_students_t_and_many_the_bootstrap():
    values = np.random.default_rng(2).gamma(4, size=30)
    few, many = mean_interval(values[:29], confidence=0.9), mean_interval(values, seed=4)
    theirs = scipy.stats.ttest_1samp(values[:29], 0).confidence_interval(0.9)
    assert few[1:3] == pytest.approx((theirs.low, theirs.high))
    assert (few.estimate, few.method) == (pytest.approx(values[:29].mean()), STUDENT)
    assert many == bootstrap_interval(values, seed=4, method="BCa")
    assert many.method == "BCa bootstrap"


@pytest.mark.parametrize("images", [7, 40])
def test_the_interval_of_one_minus_p_reaches_the_expected_mean(images):
    values = np.random.default_rng(5).gamma(2, size=images)
    for expected in (1.4, 2.4):
        p = mean_p_value(values, expected, resamples=2000)
        assert 0.001 < p < 0.9
        found = mean_interval(values, 1 - p, resamples=2000)
        nearest = min(found[1:3], key=lambda end: abs(end - expected))
        assert nearest == pytest.approx(expected, abs=0.02 * values.std())


def test_p_values_are_uniform_where_the_mean_is_as_expected():
    for images in (14, 60):
        samples = np.random.default_rng(1).normal(3, 1, (400, images))
        values = [mean_p_value(sample, 3, resamples=499) for sample in samples]
        assert scipy.stats.kstest(values, "uniform").pvalue > 0.01
    assert mean_p_value([2.0, 2.0], 2) == 1
    assert mean_p_value([2.0, 2.0]) == 0
    assert np.isnan(mean_p_value([2.0]))


@pytest.mark.parametrize("images", [3, 40])
def test_means_without_spread(images):
    assert mean_interval(np.full(images, 0.1))[:3] == (0.1, 0.1, 0.1)
    assert mean_interval(np.zeros(images))[:3] == (0, 0, 0)
    one = mean_interval([0.1])
    assert one.estimate == 0.1
    assert np.isnan([one.low, one.high]).all()


@pytest.mark.parametrize("index", [1.5, 3.0, 6.0])
def test_the_index_of_a_pareto_tail_comes_back(index):
    values = scipy.stats.pareto.rvs(index, size=40_000, random_state=np.random.default_rng(0))
    assert hill(values, 4000) == pytest.approx(index, abs=3 * index / np.sqrt(4000))
    error = (1 + 1 / index) / np.sqrt(4000)  # of the maximum-likelihood estimate of xi
    assert pareto_shape(values, 4000) == pytest.approx(1 / index, abs=3 * error)


def test_the_shape_of_many_values_is_that_of_all_of_them():
    values = scipy.stats.genpareto.rvs(0.3, size=60_000, random_state=np.random.default_rng(0))
    shape, _, _ = scipy.stats.genpareto.fit(np.sort(values)[1:] - values.min(), floc=0)
    assert pareto_shape(values, 59_999) == pytest.approx(shape, abs=2e-3)


def test_the_top_tenth_of_an_exponential_holds_a_third():
    values = scipy.stats.expon.ppf((np.arange(100_000) + 0.5) / 100_000)
    assert top_share(values, 0.1) == pytest.approx(0.1 * (1 - np.log(0.1)), abs=1e-4)
    assert top_share(values**2, 0.1) == pytest.approx(0.595, abs=1e-3)
    assert top_share([0.0, 0.0], 0.3) == pytest.approx(0.3)


def test_the_shape_tells_exponential_and_bounded_tails_apart():
    random = np.random.default_rng(0)
    assert pareto_shape(random.exponential(size=20_000), 5000) == pytest.approx(0, abs=0.05)
    assert pareto_shape(random.uniform(size=20_000), 5000) == pytest.approx(-1, abs=0.05)


def test_hills_table_is_its_definition_at_every_k():
    values = np.random.default_rng(3).pareto(2, size=300).reshape(3, 100)
    table = hill_table(values)
    descending = np.sort(values.ravel())[::-1]
    assert (table["k"].min(), table["k"].max()) == (10, 60)
    for row in table.itertuples():
        expected = 1 / np.log(descending[: row.k] / descending[row.k]).mean()
        assert row.tail_index == pytest.approx(expected)
        assert row.threshold == descending[row.k]
        assert row.standard_error == pytest.approx(expected / np.sqrt(row.k))
    assert hill([0.1] * 9 + [0.0], 3) == np.inf


def test_holm_is_its_definition():
    p_values = [0.01, 0.04, np.nan, 0.03, 0.005]
    assert holm(p_values) == pytest.approx([0.03, 0.06, np.nan, 0.06, 0.02], nan_ok=True)
    assert holm([0.6, 0.7, 0.9]) == pytest.approx([1, 1, 1])
    assert holm([]).size == 0


@pytest.mark.parametrize("count", [1, 4, 10])
def test_equal_values_among_zeros_count_as_many_as_they_are(count):
    assert effective_number([3.0] * count + [0.0] * 50) == pytest.approx(count)


def test_mistakes():
    with pytest.raises(InputError, match=r"mean_interval: values of shape \(0,\)"):
        mean_interval([])
    with pytest.raises(InputError, match=r"hill: k \[5\], expected 1 to 4 for 5 values"):
        hill([1, 2, 3, 4, 5], 5)
    with pytest.raises(InputError, match="hill: the 3 largest values range from 0 to 2"):
        hill([0, 0, 0, 1, 2], 2)
    with pytest.raises(InputError, match="pareto_shape: k 4, expected 10 to 19 for 20 values"):
        pareto_shape(np.arange(20), 4)
    with pytest.raises(InputError, match="range from 1 to 1, expected finite values that differ"):
        pareto_shape(np.ones(20), 15)
    with pytest.raises(InputError, match=r"holm: p-values \[0.5, 2.0\], expected 0 to 1"):
        holm([0.5, 2.0])
    with pytest.raises(InputError, match=r"shape \(2, 2\), expected one finite number per image"):
        bootstrap_interval(np.ones((2, 2)))
    with pytest.raises(InputError, match="expected one finite number"):
        bootstrap_interval([1.0, np.nan])
    with pytest.raises(InputError, match=r"confidence 95, expected between 0 and 1"):
        bootstrap_interval([1.0, 2.0], confidence=95)


@pytest.mark.parametrize(
    ("positive", "negative"), [(5, 0), (9, 3), (3, 9), (7, 7), (1, 0), (70, 30)]
)
def test_the_sign_test_is_scipys(positive, negative):
    values = [0.3] * positive + [-2.0] * negative + [0.0] * 4
    found = sign_test(values)
    assert (found.positive, found.negative) == (positive, negative)
    theirs = scipy.stats.binomtest(positive, positive + negative).pvalue
    assert found.p_value == pytest.approx(theirs, rel=1e-9)


def test_the_sign_test_of_nothing_but_zeros():
    assert sign_test([0.0, 0.0]) == (0, 0, 1.0)


@pytest.mark.parametrize("count", [3, 5, 14])
def test_the_smallest_detectable_mean_is_detected_four_times_out_of_five(count):
    """By simulation: the spread of normal values is known, the t-test is scipy's."""
    unit = np.random.default_rng(0).normal(size=count)
    smallest = smallest_detectable_mean(2 * (unit - unit.mean()) / unit.std(ddof=1))
    samples = np.random.default_rng(count).normal(smallest, 2, (40_000, count))
    detected = scipy.stats.ttest_1samp(samples, 0, axis=1).pvalue < 0.05
    assert detected.mean() == pytest.approx(0.8, abs=0.008)


def test_the_smallest_detectable_mean_of_many_is_that_of_the_normal_distribution():
    values = scipy.stats.norm.ppf((np.arange(10_000) + 0.5) / 10_000)
    expected = (1.959964 + 0.841621) / 100
    assert smallest_detectable_mean(values) == pytest.approx(expected, rel=0.002)
    assert smallest_detectable_mean(values, power=0.5) == pytest.approx(0.0196, rel=0.002)
    assert smallest_detectable_mean([0.2, 0.2, 0.2]) == 0
    assert np.isnan(smallest_detectable_mean([0.2]))
