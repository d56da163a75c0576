"""Planted cases: networks that memorize, that do not, and that differ in quality alone."""

import numpy as np
import pytest
import scipy.stats
import torch

from srlongtail.errors import InputError
from srlongtail.image.dataset import ImagePair, photos
from srlongtail.longtail.bands import measure_bands
from srlongtail.longtail.fitting import BANDS, cross_fit, measure_fitting
from srlongtail.models.sr_model import bicubic


@pytest.fixture(scope="module")
def halves() -> tuple[list[ImagePair], list[ImagePair]]:
    """Six crops in either half."""
    crops = [
        ImagePair(f"{pair.name} {left}", pair.hr[:, 60:108, left : left + 48], lr, "crops")
        for pair in photos(4)
        for left in (60, 120, 180)
        for lr in [pair.lr[:, 15:27, left // 4 : left // 4 + 12]]
    ]
    return crops[::2], crops[1::2]


def network(seen=(), *, memory=0.0, worse=0.0):
    """Bicubic with an error of its own, that moves towards HR on images that it has seen."""
    known = {pair.lr.data_ptr(): pair.hr for pair in seen}

    def restore(lr):
        sr = bicubic(4).restore(lr)
        noise = torch.rand(sr.shape, generator=torch.Generator().manual_seed(int(lr.sum() * 1000)))
        sr = sr + worse * (noise - 0.5)
        hr = known.get(lr.data_ptr())
        return sr if hr is None else sr + memory * (hr - sr)

    return restore


def gaps(networks, halves):
    return measure_fitting(networks, halves).frame().set_index(["iteration", "band"])


def test_networks_that_memorize_are_found(halves):
    memories = {500: 0.1, 1000: 0.5, 2000: 0.95}
    networks = tuple(
        {iteration: network(half, memory=memory) for iteration, memory in memories.items()}
        for half in halves
    )
    found = gaps(networks, halves)
    assert found.index.tolist() == [(at, band) for at in memories for band in BANDS]
    assert (found["images"] == 12).all()
    for band in ("head", "tail", "10"):
        curve = found.xs(band, level="band")
        assert (curve["low"] > 0).all()
        assert curve["gap_percent"].is_monotonic_increasing
    last = found.loc[2000]
    assert last.loc["tail", "gap_percent"] == pytest.approx(95, abs=3)
    assert last.loc["tail", "gap"] > last.loc["head", "gap"]


def test_what_two_other_networks_memorize_more(halves):
    strong, weak, other = (
        measure_fitting(
            tuple({at: network(half, memory=memory) for at in iterations} for half in halves),
            halves,
        )
        for memory, iterations in ((0.5, (500, 1000)), (0.2, (1000, 2000)), (0.5, (500,)))
    )
    change = strong.change(weak).set_index(["iteration", "band"])
    assert set(change.index.get_level_values(0)) == {1000}
    for band in ("head", "tail"):
        gaps = [t.frame().set_index(["iteration", "band"])["gap_percent"] for t in (strong, weak)]
        expected = gaps[0].loc[(1000, band)] - gaps[1].loc[(1000, band)]
        row = change.loc[(1000, band)]
        assert row["change_percent"] == pytest.approx(expected)
        assert 0 < row["low"] < row["change_percent"] < row["high"]
        assert row["images"] == 12
    same = strong.change(strong)
    assert (same[["change_percent", "low", "high"]] == 0).all(axis=None)
    with pytest.raises(InputError, match="checkpoints of common iterations"):
        weak.change(other)
    swapped = measure_fitting(({1000: network()}, {1000: network()}), halves[::-1])
    with pytest.raises(InputError, match="trained on the same halves of the same images"):
        weak.change(swapped)


def test_networks_of_equal_error_on_all_images_have_no_gap(halves):
    found = gaps(({1: network()}, {1: network()}), halves)
    assert (found[["gap", "low", "high", "gap_percent"]] == 0).all().all()
    assert (found["seen"] == found["unseen"]).all()


def test_that_one_network_is_better_is_not_a_gap(halves):
    worse = 0.3
    found = gaps(({1: network(worse=worse)}, {1: network()}), halves)
    table = measure_bands(
        {"worse": network(worse=worse), "better": network()}, [*halves[0], *halves[1]]
    )
    differences = table.differences("better", "worse").set_index("tenth")["estimate"]
    for tenth in range(1, 11):
        row = found.loc[(1, str(tenth))]
        assert row["low"] < 0 < row["high"]
        assert abs(row["gap"]) < 0.35 * differences[tenth]  # they differ much more than the gap


def test_the_gap_and_its_interval_are_their_definition(halves):
    networks = tuple(
        {3: network(half, memory=0.2, worse=worse)}
        for half, worse in zip(halves, (0.05, 0.1), strict=True)
    )
    table = measure_fitting(networks, halves)
    tail = table.rows[table.rows["band"] == "10"]
    one, two = (
        (rows["unseen"] - rows["seen"]).to_numpy() for _, rows in tail.groupby("half", sort=True)
    )
    errors = {
        half: measure_bands({"n": networks[half][3]}, halves[0]).frame().query("tenth == 10")
        for half in (0, 1)
    }
    by_hand = errors[1]["ad_levels"].to_numpy() - errors[0]["ad_levels"].to_numpy()
    assert sorted(one) == pytest.approx(sorted(by_hand))
    row = table.frame().set_index("band").loc["10"]
    width = scipy.stats.t.ppf(0.975, 11)

    def error(one, two):
        return np.sqrt((one.var(ddof=1) / 6 + two.var(ddof=1) / 6) / 4)

    assert row["gap"] == pytest.approx((one.mean() + two.mean()) / 2)
    assert row["high"] - row["gap"] == pytest.approx(width * error(one, two))
    ratio = row["gap"] / row["unseen"]
    assert row["gap_percent"] == pytest.approx(100 * ratio)
    unseen = [rows["unseen"].to_numpy() for _, rows in tail.groupby("half", sort=True)]
    error_of_ratio = error(one - ratio * unseen[0], two - ratio * unseen[1]) / row["unseen"]
    assert row["high_percent"] - row["gap_percent"] == pytest.approx(100 * width * error_of_ratio)


def test_a_gap_in_proportion_to_the_error_has_a_narrow_percentage(halves):
    networks = tuple({1: network(half, memory=0.5)} for half in halves)
    row = gaps(networks, halves).loc[(1, "tail")]
    assert row["gap_percent"] == pytest.approx(50, abs=1)
    assert row["high_percent"] - row["low_percent"] < 2
    assert (row["high"] - row["low"]) / row["gap"] > 0.2


def test_one_image_a_half_has_no_interval(halves):
    networks = tuple({1: network(half, memory=0.5)} for half in halves)
    found = gaps(networks, tuple(half[:1] for half in halves))
    assert (found["gap"] > 0).all()
    assert found[["low", "high"]].isna().all().all()


def test_mistakes(halves):
    with pytest.raises(InputError, match=r"iterations \[1\] and \[2\] and halves of 6 and 6"):
        measure_fitting(({1: network()}, {2: network()}), halves)
    with pytest.raises(InputError, match="halves of 0 and 6 images, expected iterations that both"):
        measure_fitting(({1: network()}, {1: network()}), ([], halves[1]))
    models = {"a": network(), "b": network()}
    tables = tuple(measure_bands(models, half[:1]) for half in halves)
    with pytest.raises(InputError, match="expected both at each iteration"):
        cross_fit(tables, {"a": (1, 100), "b": (2, 200)})
    other = measure_bands(models, halves[1][:1], "bicubic_ad")
    with pytest.raises(InputError, match="ranked by gradient and bicubic_ad, expected one ranking"):
        cross_fit((tables[0], other), {"a": (1, 100), "b": (2, 100)})
