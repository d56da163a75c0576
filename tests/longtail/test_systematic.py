"""Offsets, contrasts, shifts, blur and noise that are planted come back."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter, shift
from skimage.data import chelsea

from srlongtail.image.dataset import photos
from srlongtail.image.resample import upsample_bicubic
from srlongtail.longtail.systematic import measure_systematic, systematic_error


@pytest.fixture(scope="module")
def hr():
    pixels = np.ascontiguousarray(chelsea()[:240, :240].transpose(2, 0, 1))
    return torch.from_numpy(pixels).float() / 255


def test_perfect_images_have_nothing_wrong(hr):
    assert systematic_error(hr, hr, 4) == pytest.approx([0] * 4 + [1] * 3 + [0] * 4, abs=1e-9)


@pytest.mark.parametrize(("down", "right"), [(0.5, 0.5), (-0.25, 0), (0, 1.5), (0.05, -0.1)])
def test_shift(hr, down, right):
    moved = torch.from_numpy(shift(hr.numpy(), (0, down, right), order=5, mode="nearest"))
    found = systematic_error(moved, hr, 4)
    assert found.shift_down == pytest.approx(down, abs=0.02 + 0.05 * abs(down))
    assert found.shift_right == pytest.approx(right, abs=0.02 + 0.05 * abs(right))
    assert abs(found.blur) < 0.1


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("sigma", [0.7, 1.0, 1.5])
def test_blur_is_the_variance_of_a_gaussian(hr, sigma, scale):
    blurred = torch.from_numpy(gaussian_filter(hr.numpy(), (0, sigma, sigma)))
    found = systematic_error(blurred, hr, scale)
    assert found.blur == pytest.approx(sigma**2, rel=0.2)
    assert abs(found.shift_down) + abs(found.shift_right) < 0.01


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("sigma", [0.0, 1.5])
@pytest.mark.parametrize("contrast", [0.9, 1.1])
def test_contrast_of_each_channel_is_not_taken_for_blur_nor_for_a_shift(hr, contrast, sigma, scale):
    flat = hr * 0.5 + 0.25  # nothing is clipped
    means = flat.mean((-2, -1), keepdim=True)
    gains = torch.tensor([contrast, 1.0, contrast])[:, None, None]
    moved = shift(gaussian_filter(flat.numpy(), (0, sigma, sigma)), (0, 0.5, 0), mode="nearest")
    found = systematic_error(means + gains * (torch.from_numpy(moved) - means), flat, scale)
    assert found[4:7] == pytest.approx([contrast, 1, contrast], abs=0.005)
    assert found.shift_down == pytest.approx(0.5, abs=0.04)
    assert found.blur == pytest.approx(sigma**2, rel=0.2, abs=0.15)  # the spline blurs, too
    assert found[:3] == pytest.approx([0] * 3, abs=0.15)
    # The variance would have taken blur for contrast.
    if sigma:
        ratio = moved.std((-2, -1)) / flat.numpy().std((-2, -1))
        assert (ratio < 0.99).all()


def test_noise_of_luma(hr):
    flat = hr * 0.5 + 0.25  # nothing is clipped
    generator = torch.Generator().manual_seed(0)
    noisy = flat + torch.randn(hr.shape, generator=generator) * 5 / 255
    # BT.601: luma is the sum of these shares of red, green and blue.
    variance = 25 * ((np.array([65.481, 128.553, 24.966]) / 255) ** 2).sum()
    assert systematic_error(noisy, flat, 4).noise == pytest.approx(variance, rel=0.1)


def test_offsets_and_what_they_cost(hr):
    flat = hr * 0.5 + 0.25
    biased = flat + torch.tensor([3.0, 0.0, -2.0])[:, None, None] / 255
    noisy = biased + torch.randn(hr.shape, generator=torch.Generator().manual_seed(0)) * 4 / 255
    found = systematic_error(noisy, flat, 4)
    assert found[:3] == pytest.approx([3, 0, -2], abs=0.1)
    variance = 16 + 2 / 12  # SR and HR are both rounded
    part = (9 + 4) / 3
    assert found.offset_share == pytest.approx(part / (part + variance), rel=0.05)


def test_an_image_without_structure_tells_nothing():
    flat = torch.full((3, 64, 64), 0.5)
    found = systematic_error(flat + 2 / 255, flat, 4)
    assert [found.shift_down, found.shift_right, found.blur] == pytest.approx([0] * 3, abs=1e-3)
    assert found[4:7] == pytest.approx([1] * 3, abs=1e-3)
    assert found.offset_green == pytest.approx(1.5, abs=0.51)  # half a level is rounded
    assert found.offset_share == pytest.approx(1)


def test_bicubic_has_nothing_wrong():
    models = {"bicubic": lambda lr: upsample_bicubic(lr, 4)}
    table = measure_systematic(models, photos(4)[1:3])
    for what in ("offset_red", "shift_down", "shift_right"):
        assert abs(table.mean("bicubic", what).estimate) < 0.05, what
    assert table.mean("bicubic", "contrast_red").estimate == pytest.approx(1, abs=0.005)
    assert -0.5 < table.mean("bicubic", "blur").estimate < 0.1
    assert table.mean("bicubic", "noise").estimate < 0  # it is smoother than HR
    doubled = table + measure_systematic(models, photos(4)[3:])
    assert doubled.frame()["image"].tolist() == ["chelsea", "coffee", "rocket"]
