"""The panels of a comparison hold its numbers."""

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from srlongtail.image.dataset import make_pair, photos
from srlongtail.image.degrade import Bicubic
from srlongtail.image.resample import upsample_bicubic
from srlongtail.longtail.comparison import ORIENTATIONS, compare
from srlongtail.plots.comparison import (
    GAINED,
    LOST,
    add_gain_colorbar,
    plot_frequencies,
    plot_image_gains,
    plot_orientations,
    plot_tenths,
    show_gain_map,
)


@pytest.fixture(scope="module")
def found():
    def nearest(lr):
        """Better than bicubic on the bright one of the two crops alone."""
        blocks = lr.repeat_interleave(4, -1).repeat_interleave(4, -2)
        return blocks if lr.mean() < 0.4 else upsample_bicubic(lr, 4) * 0.995

    crops = [photos(4)[i].hr[:, 100:172, 150:234] for i in (1, 2)]
    pairs = [make_pair(hr, Bicubic(4), name) for hr, name in zip(crops, "ab", strict=True)]
    return compare(nearest, lambda lr: upsample_bicubic(lr, 4), pairs)


@pytest.fixture
def ax():
    return Figure().add_subplot()


def points(ax):
    """The y values of all markers, in the order drawn."""
    lines = [line for line in ax.lines if line.get_marker() not in ("None", None, "")]
    return np.concatenate([line.get_ydata() for line in lines])


def test_images_lie_in_the_order_of_their_gain(found, ax):
    assert plot_image_gains(found, ax) is ax
    drawn = {to_hex(line.get_color()): line for line in ax.lines if line.get_marker() in "ov"}
    gains = np.sort(found.gains)
    assert drawn[GAINED.lower()].get_ydata() == pytest.approx(gains[gains >= 0])
    assert drawn[LOST.lower()].get_ydata() == pytest.approx(gains[gains < 0])
    assert [text.get_text() for text in ax.texts] == [found.strongest_image.image]


def test_parts_are_drawn_with_their_intervals(found, ax):
    parts = found.frame()
    for plot, kinds in (
        (plot_tenths, ["gradient tenth", "bicubic AD tenth"]),
        (plot_orientations, ["orientation"]),
        (lambda table, ax: plot_frequencies(table, ax, 4), ["frequency"]),
    ):
        ax = Figure().add_subplot()
        assert plot(parts, ax) is ax
        rows = parts[parts["by"].isin(kinds)]
        assert points(ax) == pytest.approx(rows["gain_db"].to_numpy())
        ends = np.concatenate([bars.get_segments() for *_, (bars,) in ax.containers[-len(kinds) :]])
        assert ends[:, 0, 1] == pytest.approx(rows["low"].to_numpy())
        assert ends[:, 1, 1] == pytest.approx(rows["high"].to_numpy())


def test_an_even_spread_is_drawn_beside_the_orientations(found, ax):
    parts = found.frame()
    plot_orientations(parts, ax)
    dashes = next(c for c in ax.collections if len(c.get_segments()) == len(ORIENTATIONS))
    rows = parts[parts["by"] == "orientation"]
    expected = rows["share"].to_numpy() * found.gain.estimate
    assert [s[0][1] for s in dashes.get_segments()] == pytest.approx(expected)
    assert len(ax.get_xticklabels()) == len(ORIENTATIONS)


def test_the_map_is_centered_and_keeps_its_mean(found, ax):
    drawn = show_gain_map(found.map, ax, 4)
    values = np.asarray(drawn.get_array())
    assert values.mean() == pytest.approx(found.strongest_image.gain_db, rel=1e-5)
    assert drawn.norm.vcenter == 0
    assert to_hex(drawn.to_rgba(drawn.norm.vmax)) == GAINED.lower()
    assert to_hex(drawn.to_rgba(drawn.norm.vmin)) == LOST.lower()
    assert add_gain_colorbar(drawn, ax, "dB").ax.get_xlabel() == "dB"


def test_nothing_gained_is_drawn_on_a_plain_scale(ax):
    pair = make_pair(photos(4)[1].hr[:, :60, :60], Bicubic(4))
    found = compare(lambda lr: upsample_bicubic(lr, 4), lambda lr: upsample_bicubic(lr, 4), [pair])
    plot_image_gains(found, ax)
    assert ax.get_ylim() == pytest.approx((-0.01, 0.014))
    assert not ax.texts
    assert show_gain_map(found.map, ax, 4).norm.halfrange == 1
    assert torch.equal(found.map.gain_db, torch.zeros(52, 52))
