"""Sub-pixel registration, on images that were shifted exactly, in the frequency domain."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from srlongtail.errors import InputError
from srlongtail.image.dataset import photos
from srlongtail.image.registration import Shift, find_shift, fit_difference, moved
from srlongtail.models.sr_model import bicubic


@pytest.fixture(scope="module")
def photo():
    return photos(4)[1]


def fourier_shifted(image: torch.Tensor, down: float, right: float) -> torch.Tensor:
    """The image shifted as a periodic function, by scipy; its borders are wrapped."""
    spectra = np.fft.fft2(image.double().numpy())
    planes = [ndimage.fourier_shift(spectrum, (down, right)) for spectrum in spectra]
    return torch.from_numpy(np.fft.ifft2(planes).real).float()


@pytest.mark.parametrize("shift", [(0.5, -0.25), (0.0, 0.1), (-1.5, 3.3), (6, -4)])
def test_a_shift_is_found(photo, shift):
    inner = (..., slice(16, -16), slice(16, -16))  # without the wrapped borders
    found = find_shift(fourier_shifted(photo.hr, *shift)[inner], photo.hr[inner])
    assert found == pytest.approx(shift, abs=0.01)


def test_a_blurred_noisy_image_of_other_brightness_is_not_shifted(photo):
    blurred = ndimage.gaussian_filter(photo.hr.numpy(), (0, 1.5, 1.5))
    noise = torch.randn(photo.hr.shape, generator=torch.Generator().manual_seed(0)) * 0.02
    assert find_shift(torch.from_numpy(blurred) * 0.9 + noise, photo.hr).size < 0.02
    assert find_shift(bicubic(4).restore(photo.lr), photo.hr).size < 0.02


@pytest.mark.parametrize("gain", [0.8, 1.0, 1.25])
def test_the_first_step_has_all_that_is_the_same_everywhere(gain):
    """Waves whose shift, blur and contrast are known in closed form."""
    rows, columns = np.meshgrid(np.arange(64.0), np.arange(80.0), indexing="ij")
    down, right, variance = 0.2, -0.1, 0.5
    still, other = np.zeros((64, 80)), np.full((64, 80), 3.0)
    for row, column, phase in ((0.3, 0.1, 0), (0.1, -0.35, 1), (0.2, 0.25, 2)):
        still += np.cos(row * rows + column * columns + phase)
        weight = gain * np.exp(-variance * (row**2 + column**2) / 2)
        other += weight * np.cos(row * (rows - down) + column * (columns - right) + phase)
    found = fit_difference(torch.from_numpy(other), torch.from_numpy(still), border=1)
    assert (found.down, found.right, found.gain) == pytest.approx((down, right, gain), abs=0.01)
    assert found.blur == pytest.approx(variance, abs=0.02)


def test_moving_back(photo):
    away = moved(photo.hr, Shift(0.5, 0.5))
    back = moved(away, Shift(-0.5, -0.5))
    inner = (..., slice(8, -8), slice(8, -8))
    error = [(image - photo.hr)[inner].square().mean() for image in (away, back)]
    assert error[1] < error[0] / 8
    assert torch.allclose(moved(photo.hr, Shift(0, 2))[..., 2:], photo.hr[..., :-2], atol=1e-6)


def test_images_without_structure_and_of_other_sizes():
    flat = torch.full((3, 40, 40), 0.5)
    assert find_shift(flat, flat) == Shift(0, 0)
    noise = torch.rand(2, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    assert find_shift(noise[0], noise[1]).size < 10
    with pytest.raises(InputError, match=r"images of \(3, 40, 40\) and \(3, 40, 36\), expected"):
        find_shift(flat, flat[..., :36])


def test_in_words():
    assert str(Shift(-0.5, 0.254)) == "0.50 px up and 0.25 px right"
