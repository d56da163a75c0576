"""DI and its kin against closed forms and scipy."""

import numpy as np
import pytest
import torch
from scipy.stats import gaussian_kde

from srlongtail.attribution.diffusion import (
    attributed_pixels,
    density,
    diffusion_index,
    effective_pixels,
    map_gini,
)
from srlongtail.errors import InputError


@pytest.mark.parametrize("count", [1, 5, 60])
def test_k_equal_pixels_count_as_k(count):
    absolute = torch.zeros(10, 12)
    absolute.flatten()[torch.randperm(120)[:count]] = 0.3
    assert effective_pixels(absolute) == pytest.approx(count)
    assert diffusion_index(absolute) == pytest.approx(100 * count / 120)
    assert map_gini(absolute) == pytest.approx(1 - count / 120)


def test_di_depends_on_the_canvas_and_n_eff_does_not():
    absolute = torch.rand(9, 9) ** 4
    larger = torch.nn.functional.pad(absolute, (10, 20, 3, 0))
    assert effective_pixels(larger) == pytest.approx(effective_pixels(absolute))
    ratio = larger.numel() / absolute.numel()
    assert diffusion_index(larger) == pytest.approx(diffusion_index(absolute) / ratio)


def test_a_map_of_zeros_uses_no_pixel():
    assert map_gini(torch.zeros(4, 4)) == 1
    assert effective_pixels(torch.zeros(4, 4), offset=1e-7) == 0
    assert not attributed_pixels(torch.zeros(4, 4)).any()
    assert (density(torch.zeros(4, 4)) == 0).all()


def test_the_published_offset_outweighs_the_map_on_a_large_canvas():
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    absolute = torch.exp(-((y - 32) ** 2 + (x - 32) ** 2) / 6)
    small = effective_pixels(absolute, offset=1e-7)
    assert small == pytest.approx(effective_pixels(absolute), rel=0.01)
    large = torch.nn.functional.pad(absolute, (0, 448, 0, 448))
    assert effective_pixels(large) == pytest.approx(effective_pixels(absolute))
    assert effective_pixels(large, offset=1e-7) > 10 * effective_pixels(large)


@pytest.mark.parametrize("share", [0.5, 0.95, 1.0])
def test_attributed_pixels_are_the_fewest_that_hold_the_share(share):
    absolute = torch.rand(12, 13).double() ** 3
    mask = attributed_pixels(absolute, share)
    held = absolute[mask].sum() / absolute.sum()
    assert held >= share - 1e-9
    without_smallest = held - absolute[mask].min() / absolute.sum()
    assert without_smallest < share
    if share < 1:
        assert absolute[mask].min() >= absolute[~mask].max()


def test_ties_are_cut_at_the_count_that_is_needed():
    assert attributed_pixels(torch.ones(10, 10), 0.95).sum() == 95
    with pytest.raises(InputError, match="share 95, expected above 0 and at most 1"):
        attributed_pixels(torch.ones(3, 3), 95)


@pytest.mark.parametrize("shape", [(16, 16), (9, 23), (30, 7)])
def test_density_is_scipys_kde_of_the_pixels(shape):
    absolute = torch.rand(*shape, dtype=torch.float64) ** 5
    y, x = np.mgrid[: shape[0], : shape[1]]
    pixels = np.vstack([x.ravel(), y.ravel()])
    expected = gaussian_kde(pixels, weights=absolute.numpy().ravel())(pixels).reshape(shape)
    found = density(absolute)
    assert np.abs(found.numpy() - expected / expected.max()).max() < 1e-9
    assert found.min() >= 0
    assert density(absolute.float()).dtype == torch.float32


def test_pixels_on_one_line_have_no_kernel():
    line = torch.zeros(8, 8)
    line[3, 2:6] = torch.tensor([1.0, 2.0, 4.0, 1.0])
    assert torch.equal(density(line), line / 4)
    point = torch.zeros(8, 8)
    point[2, 2] = 7.0
    assert torch.equal(density(point), point / 7)
