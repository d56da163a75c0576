"""Axes-level functions draw what they are given, where they are told."""

import numpy as np
import pytest
import torch
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch

from srlongtail.geometry import crop
from srlongtail.longtail.difference import DifferenceHistogram
from srlongtail.models.facts import Subject
from srlongtail.plots.attribution import show_attribution
from srlongtail.plots.histograms import plot_difference_histogram
from srlongtail.plots.images import add_colorbar, mark_window, scale_top, show_map, show_photo


@pytest.fixture
def ax():
    return Figure().add_subplot()


def test_photos_keep_their_pixels(ax):
    image = torch.rand(3, 5, 7) * 1.5
    assert show_photo(image, ax) is ax
    drawn = np.asarray(ax.images[0].get_array())
    assert np.allclose(drawn, image.clamp(0, 1).permute(1, 2, 0).numpy())
    assert ax.images[0].get_interpolation() == "nearest"


def test_maps_share_a_scale_when_told(ax):
    drawn = show_map(torch.tensor([[1.0, 4.0]]), ax, vmin=1, vmax=3, log=True)
    assert isinstance(drawn.norm, LogNorm)
    assert (drawn.norm.vmin, drawn.norm.vmax) == (1, 3)
    bar = add_colorbar(drawn, ax, "weight")
    assert bar.ax.get_ylabel() == "weight"
    assert show_map(torch.tensor([[1.0, 4.0]]), ax).norm.vmax == 4


def test_the_scale_of_a_photo_of_24_megapixels_has_a_top():
    values = torch.ones(4000, 6000)
    values[:40] = 3  # a hundredth
    assert scale_top(values, 0.98) == 1
    assert scale_top(values, 0.995) == 3


def test_what_lowers_the_target_is_dashed_where_it_is(ax):
    """For prints in grey: also what saturates, but not what is next to nothing."""
    signed = torch.tensor([[0.9, -0.05], [-0.5, 0.0], [0.0, -7.0]])
    drawn = show_attribution(signed, ax, 4, limit=1.0)
    (dashes,) = ax.collections
    middles = [path.vertices.mean(0).tolist() for path in dashes.get_paths()]
    assert middles == [[1.5, 5.5], [5.5, 9.5]]
    assert (drawn.norm.vmin, drawn.norm.vmax) == (-1, 1)


def test_windows_and_crops_are_row_column_size(ax):
    image = torch.zeros(3, 20, 30)
    image[:, 4:9, 11:16] = 1
    assert (crop(image, (4, 11, 5)) == 1).all()
    mark_window(ax, (4, 11, 5))
    box = ax.patches[-1]
    assert box.get_xy() == (10.5, 3.5)
    assert (box.get_width(), box.get_height()) == (5, 5)


def test_the_histogram_shows_every_model_and_its_tail(ax):
    generator = torch.Generator().manual_seed(0)
    maps = {
        name: torch.rand(50, 50, generator=generator) * top
        for name, top in (("bicubic", 100), ("fsrcnn-fpl-x4", 60))
    }
    histogram = DifferenceHistogram.of(maps)
    subjects = {
        "bicubic": Subject("bicubic", "bicubic", "bicubic"),
        "fsrcnn-fpl-x4": Subject("fsrcnn-fpl-x4", "FSRCNN+FPL", "fsrcnn", "FPL"),
    }
    assert plot_difference_histogram(histogram, ax, subjects, threshold=50.0, bin_width=5) is ax
    assert ax.get_yscale() == "log"
    heights = [p.get_data().values for p in ax.patches if isinstance(p, StepPatch)]
    assert [len(values) for values in heights] == [20, 12]
    assert sum(heights[0]) == pytest.approx(1)
    first, second = (text.get_text() for text in ax.get_legend().get_texts())
    share = (maps["bicubic"] > 50).double().mean().item()
    assert first.startswith(f"bicubic: {share:.1%} of pixels, ")
    assert second.startswith("FSRCNN+FPL: 1")
