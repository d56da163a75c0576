"""Paths against scipy's correlation and the straight line."""

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate

from srlongtail.attribution.path import BlurPath, LinearPath
from srlongtail.errors import InputError

POSITIONS = torch.tensor([0.0, 0.3, 0.98, 1.0], dtype=torch.float64)


@pytest.mark.parametrize(("sigma", "size"), [(1.2, 9), (0.7, 5), (3.0, 3)])
def test_blur_is_scipys_with_mirrored_borders(sigma, size):
    images = torch.rand(2, 3, 7, 11, dtype=torch.float64)
    points = BlurPath(sigma, size)(images, POSITIONS)
    assert points.shape == (4, 2, 3, 7, 11)
    y, x = np.mgrid[:size, :size] - size // 2
    for position, point in zip(POSITIONS.tolist(), points, strict=True):
        kernel = np.exp(-(x**2 + y**2) / (2 * (sigma * (1 - position) + 1e-5) ** 2))
        for plane, found in zip(images.flatten(0, 1), point.flatten(0, 1), strict=True):
            expected = correlate(plane.numpy(), kernel / kernel.sum(), mode="mirror")
            assert np.abs(found.numpy() - expected).max() < 1e-12


def test_every_path_ends_at_the_image_and_keeps_a_constant_one():
    image = torch.rand(1, 3, 8, 8)
    for path in (BlurPath(), LinearPath(), LinearPath(0.5)):
        assert torch.allclose(path(image, torch.ones(1))[0], image, atol=1e-7)
    grey = torch.full((1, 3, 8, 8), 0.4)
    assert torch.allclose(BlurPath()(grey, POSITIONS), grey, atol=1e-6)


def test_the_linear_path_starts_at_its_level():
    image = torch.rand(1, 3, 4, 4)
    start, half = LinearPath(0.25)(image, torch.tensor([0.0, 0.5]))
    assert (start == 0.25).all()
    assert torch.allclose(half, (image + 0.25) / 2)


@pytest.mark.parametrize("path", [BlurPath(), BlurPath(0.8, 5), LinearPath(0.1)])
def test_a_crop_wider_by_the_reach_has_the_path_of_the_whole(path):
    image, reach = torch.rand(1, 3, 30, 30), path.reach
    whole = path(image, POSITIONS)[..., 10:15, 8:20]
    cut = path(image[..., 10 - reach : 15 + reach, 8 - reach : 20 + reach], POSITIONS)
    assert torch.equal(cut[..., reach : reach + 5, reach : reach + 12], whole)


def test_mistakes():
    with pytest.raises(InputError, match=r"sigma 0 and 9 taps, expected a positive sigma"):
        BlurPath(0)
    with pytest.raises(InputError, match=r"8 taps, expected .* an odd number"):
        BlurPath(1.2, 8)
    with pytest.raises(
        InputError, match="4 x 20 pixels, expected at least 5 x 5 for a blur with 9"
    ):
        BlurPath()(torch.rand(1, 3, 4, 20), POSITIONS)
