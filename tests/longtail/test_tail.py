"""Ranks against NumPy, gradients against scikit-image, tails against known distributions."""

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.color import rgb2ycbcr
from skimage.filters import sobel

from srlongtail.errors import InputError
from srlongtail.image.dataset import ImagePair, photos
from srlongtail.longtail.difference import DifferenceHistogram, absolute_difference
from srlongtail.longtail.tail import (
    Limits,
    difficulty,
    gradient_magnitude,
    measure_tail,
    pooled_edges,
    split_by_rank,
    tail_statistics,
    tenth_by_edges,
    tenth_of_pixels,
)
from srlongtail.models.sr_model import bicubic
from srlongtail.stats import gini, hill, pareto_shape, top_share


def test_the_gradient_is_scikit_images_sobel_of_luma():
    hr = photos(4)[1].hr
    red, green, blue = (hr.double() * 255).round().numpy()
    y = (65.481 * red + 128.553 * green + 24.966 * blue) / 255 + 16
    assert np.abs(y - rgb2ycbcr(hr.double().movedim(0, -1).numpy())[..., 0]).max() < 1e-4
    ours, theirs = gradient_magnitude(hr).numpy(), sobel(y)
    assert np.abs(ours - theirs).max() < 1e-12
    assert ((ours == 0) == (theirs == 0)).all()  # rounding that decides ranks in flat areas
    batch = torch.rand(2, 3, 5, 7, dtype=torch.float64)
    each = torch.stack([gradient_magnitude(image) for image in batch])
    assert torch.equal(gradient_magnitude(batch), each)


def test_what_makes_a_pixel_hard():
    hr, low = torch.rand(2, 3, 8, 9)
    assert torch.equal(difficulty(hr, low), gradient_magnitude(hr))
    ad = absolute_difference(low.double(), hr.double())
    assert torch.allclose(difficulty(hr, low, "bicubic_ad"), ad, rtol=0, atol=1e-3)
    assert torch.equal(difficulty(hr, low, lambda hr, low: low[0]), low[0])
    with pytest.raises(InputError, match="'ad', expected 'gradient' or 'bicubic_ad', or a func"):
        difficulty(hr, low, "ad")
    with pytest.raises(InputError, match=r"a map of \(3, 8, 9\), expected \(8, 9\)"):
        difficulty(hr, low, lambda hr, low: low)


@given(st.lists(st.sampled_from([0.0, 1.0, 2.5, 7.0]), min_size=1, max_size=60))
def test_tenths_are_numpys(values):
    theirs = np.array_split(np.argsort(values, kind="stable"), 10)
    ours = split_by_rank(torch.tensor(values))
    assert [part.tolist() for part in ours] == [part.tolist() for part in theirs]


@given(st.lists(st.sampled_from([0.0, 1.0, 2.5, 7.0, float("inf")]), min_size=1, max_size=60))
def test_each_pixel_is_in_the_tenth_of_its_rank(values):
    tenths = tenth_of_pixels(torch.tensor(values, dtype=torch.float64))
    theirs = np.array_split(np.argsort(values, kind="stable"), 10)
    for tenth, pixels in enumerate(theirs, start=1):
        assert np.flatnonzero(tenths == tenth).tolist() == sorted(pixels)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=60))
def test_parts_between_limits_are_numpys(values):
    edges = [2.0, 2.0, 6.5]
    ours = tenth_by_edges(torch.tensor(values, dtype=torch.float32), edges)
    assert ours.tolist() == (1 + np.searchsorted(edges, values, side="left")).tolist()


def test_pooled_tenths_hold_a_tenth_of_all_pixels():
    generator = torch.Generator().manual_seed(0)
    easy, hard = (torch.rand(200, 300, generator=generator) * top for top in (20, 200))
    histogram = DifferenceHistogram.of({"d": easy}) + DifferenceHistogram.of({"d": hard})
    edges = pooled_edges(histogram, "d")
    of_easy, of_hard = (tenth_by_edges(d, edges).flatten().bincount() for d in (easy, hard))
    assert len(of_easy) < len(of_hard) == 11
    of_hard[: len(of_easy)] += of_easy
    assert (of_hard[1:] / 120_000).tolist() == pytest.approx([0.1] * 10, abs=0.002)
    limits = Limits.pooled(histogram, "d")
    assert limits.tail_above == edges[-1]
    assert limits.head_below == edges[4]


def test_limits_of_one_image_are_numpys_quantiles():
    values = torch.rand(37, 41, generator=torch.Generator().manual_seed(1))
    limits = Limits.of_image(values)
    assert limits.head_below == pytest.approx(np.median(values.numpy()))
    assert limits.tail_above == pytest.approx(np.quantile(values.numpy(), 0.9))
    assert limits.head(values).double().mean() == pytest.approx(0.5, abs=1e-3)
    assert limits.tail(values).double().mean() == pytest.approx(0.1, abs=1e-3)


@pytest.mark.parametrize("index", [2.5, 4.0])
def test_the_tail_of_a_pareto_map(index):
    sample = scipy.stats.pareto.rvs(index, size=(200, 300), random_state=np.random.default_rng(0))
    found = tail_statistics(torch.from_numpy(sample))
    assert found["tail_index"] == pytest.approx(index, rel=0.05)
    assert found["tail_index_low"] <= found["tail_index"] <= found["tail_index_high"]
    assert found["tail_index_high"] - found["tail_index_low"] < 0.3 * index
    assert found["pareto_shape"] == pytest.approx(1 / index, abs=0.06)
    assert found["l1_share"] == pytest.approx(0.1 ** (1 - 1 / index), rel=0.05)
    assert found["gini"] == pytest.approx(1 / (2 * index - 1), rel=0.05)
    assert found["effective_pixels"] == pytest.approx((1 - found["gini"]) * 60_000)


def test_the_tail_of_an_exponential_map_is_not_a_power_law():
    sample = scipy.stats.expon.ppf((np.arange(60_000) + 0.5) / 60_000)
    found = tail_statistics(torch.from_numpy(sample))
    assert found["l1_share"] == pytest.approx(0.330, abs=1e-3)
    assert found["l2_share"] == pytest.approx(0.595, abs=1e-3)
    assert found["pareto_shape"] == pytest.approx(0, abs=0.01)
    assert found["tail_index_high"] > 1.5 * found["tail_index_low"]


def test_the_statistics_are_those_of_the_map_as_it_comes_and_it_is_sorted_once(monkeypatch):
    sample = np.random.default_rng(0).pareto(3, (200, 150)).round(3)
    sorts = []
    sort = np.sort
    monkeypatch.setattr(np, "sort", lambda array, *a: sorts.append(array.size) or sort(array, *a))
    found = tail_statistics(torch.from_numpy(sample))
    assert sorts == [sample.size]
    assert found["mean"] == pytest.approx(sample.mean())
    assert found["gini"] == pytest.approx(gini(sample))
    assert found["l2_share"] == pytest.approx(top_share(sample**2, 0.1))
    assert found["tail_index"] == pytest.approx(hill(sample, 3000))
    assert found["pareto_shape"] == pytest.approx(pareto_shape(sample.ravel(), 3000), abs=1e-3)


def test_maps_that_have_no_tail():
    found = tail_statistics(torch.zeros(50, 50))
    assert (found["mean"], found["gini"], found["l1_share"]) == (0, 0, pytest.approx(0.1))
    assert np.isnan([found["tail_index"], found["pareto_shape"]]).all()
    constant = tail_statistics(torch.ones(50, 50))
    assert np.isinf(constant["tail_index"])
    assert np.isnan(constant["pareto_shape"])
    with pytest.raises(InputError, match="top 1, expected between 0 and 1"):
        tail_statistics(torch.ones(3), top=1)


def test_tails_of_images_and_their_mean():
    pairs = [
        ImagePair(str(i), pair.hr[:, :96, :120], pair.lr[:, :24, :30], "d")
        for i, pair in enumerate(photos(4)[:3])
    ]
    table = measure_tail([bicubic(4)], pairs)
    rows = table.frame()
    assert rows[["model", "dataset", "image"]].values.tolist() == [
        ["bicubic", "d", name] for name in "012"
    ]
    error = absolute_difference(bicubic(4).restore(pairs[2].lr), pairs[2].hr)
    assert rows.iloc[2, 3:].to_dict() == tail_statistics(error)
    summary = table.summary().set_index("statistic")
    assert summary.loc["gini", "estimate"] == pytest.approx(rows["gini"].mean())
    assert (summary["images"] == 3).all()
    assert (summary["low"] < summary["high"]).all()
    halves = measure_tail([bicubic(4)], pairs[:1]) + measure_tail([bicubic(4)], pairs[1:])
    assert halves.frame().equals(rows)
    with pytest.raises(InputError, match=r"tails of 0.1 and 0.2 do not add up"):
        table + measure_tail([bicubic(4)], pairs[:1], top=0.2)
