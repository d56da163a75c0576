"""Inequality and uncertainty against closed forms."""

import numpy as np
import pytest

from srlongtail.errors import InputError
from srlongtail.stats import bootstrap_interval, gini, lorenz


@pytest.mark.parametrize("count", [1, 2, 10, 1000])
def test_gini_of_equal_values_and_of_one_that_has_it_all(count):
    assert gini(np.full(count, 3.0)) == pytest.approx(0)
    assert gini(np.eye(1, count)) == pytest.approx(1 - 1 / count)


def test_gini_of_known_distributions():
    levels = (np.arange(100_000) + 0.5) / 100_000
    assert gini(levels) == pytest.approx(1 / 3, abs=1e-4)  # uniform
    assert gini(-np.log1p(-levels)) == pytest.approx(1 / 2, abs=1e-4)  # exponential


def test_gini_is_the_mean_difference_and_the_area_above_the_lorenz_curve():
    values = np.random.default_rng(0).random(300) ** 4
    differences = np.abs(values[:, None] - values).mean()
    assert gini(values) == pytest.approx(differences / (2 * values.mean()))
    shares, held = lorenz(values)
    area = ((held[1:] + held[:-1]) / 2 * np.diff(shares)).sum()
    assert gini(values) == pytest.approx(1 - 2 * area)


def test_bootstrap_interval_of_a_mean_is_the_normal_one():
    values = np.random.default_rng(0).normal(5, 2, 400)
    found = bootstrap_interval(values)
    half = 1.96 * values.std() / np.sqrt(400)
    assert found.estimate == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - half, abs=0.03)
    assert found.high == pytest.approx(values.mean() + half, abs=0.03)
    assert found == bootstrap_interval(values)
    assert np.isnan(bootstrap_interval([1.0]).low)


@pytest.mark.parametrize("values", [[], [1.0, -1.0], [np.nan, 1.0]])
def test_what_is_no_share_is_refused(values):
    with pytest.raises(InputError, match="expected"):
        gini(values)
