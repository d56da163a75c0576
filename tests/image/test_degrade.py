"""How LR images are made, against scipy and the statistics of the noise."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from srlongtail.errors import InputError
from srlongtail.image.degrade import Bicubic, BlurNoise
from srlongtail.image.io import quantize
from srlongtail.image.resample import imresize


def test_bicubic_rounds_once_at_the_end():
    hr = torch.rand(3, 24, 24)
    assert torch.equal(Bicubic(4)(hr), quantize(imresize(hr, 1 / 4)))


def test_blur_is_scipys_with_repeated_borders():
    hr = torch.rand(3, 36, 24, dtype=torch.float64)
    taps = np.exp(-(np.arange(-1, 2) ** 2) / (2 * 5.0**2))
    kernel = np.outer(taps, taps) / taps.sum() ** 2
    small = imresize(hr, 1 / 4).numpy()
    expected = np.stack([ndimage.correlate(plane, kernel, mode="nearest") for plane in small])
    without_noise = BlurNoise(4, noise=0)(hr).numpy()
    assert np.abs(without_noise - expected).max() <= 0.5 / 255 + 1e-12


def test_noise_has_the_level_asked_for_and_no_bias():
    grey = torch.full((3, 512, 512), 0.5)
    noise = (BlurNoise(4)(grey) - 0.5) * 255
    assert abs(noise.std().item() - 5) < 0.1  # 49152 draws: standard error 0.016
    assert abs(noise.mean().item()) < 0.1


def test_noise_depends_on_seed_and_key_only():
    hr = torch.rand(3, 24, 24)
    first = BlurNoise(4)(hr, "baby")
    BlurNoise(4)(hr, "bird")
    assert torch.equal(first, BlurNoise(4)(hr, "baby"))
    assert not torch.equal(first, BlurNoise(4)(hr, "bird"))
    assert not torch.equal(first, BlurNoise(4, seed=1)(hr, "baby"))


def test_an_even_kernel_is_refused():
    with pytest.raises(InputError, match="kernel_size 4, expected a positive odd number"):
        BlurNoise(4, kernel_size=4)
