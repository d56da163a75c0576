"""The two bicubics: MATLAB's against its formula and its files, torch's against torch."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck

from srlongtail.errors import InputError
from srlongtail.image.io import read_image
from srlongtail.image.resample import imresize, imresize_uint8, pad_symmetric, upsample_bicubic


def matlab_matrix(size: int, scale: float) -> np.ndarray:
    """MATLAB's `contributions`, written out: the (output, input) matrix of one axis."""

    def cubic(x):
        x = np.abs(x)
        near = 1.5 * x**3 - 2.5 * x**2 + 1
        far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
        return near * (x <= 1) + far * ((x > 1) & (x <= 2))

    shrink = min(scale, 1.0)
    width = 4 / shrink
    matrix = np.zeros((int(np.ceil(round(size * scale, 9))), size))
    for out in range(len(matrix)):
        centre = (out + 1) / scale + 0.5 * (1 - 1 / scale)
        left = int(np.floor(centre - width / 2))
        taps = np.arange(left, left + int(np.ceil(width)) + 2)
        weights = shrink * cubic(shrink * (centre - taps))
        weights /= weights.sum()
        mirror = np.concatenate([np.arange(size), np.arange(size)[::-1]])
        for tap, weight in zip(taps, weights, strict=True):
            matrix[out, mirror[(tap - 1) % (2 * size)]] += weight
    return matrix


@pytest.mark.parametrize("scale", [1 / 4, 1 / 3, 1 / 2, 0.9, 0.8, 0.7, 0.6, 1.0, 2.0, 3.0, 1.5])
@pytest.mark.parametrize("size", [(48, 37), (5, 61), (1, 2)])
def test_imresize_is_matlabs_formula(scale, size):
    image = torch.rand(2, *size, dtype=torch.float64) * 255
    rows, columns = (matlab_matrix(side, scale) for side in size)
    expected = rows @ image.numpy() @ columns.T
    assert np.abs(imresize(image, scale).numpy() - expected).max() < 1e-9 * 255
    single = imresize(image.float() / 255, scale).double().numpy() * 255
    assert np.abs(single - expected).max() < 1e-5 * 255


@pytest.mark.parametrize("dataset", ["Set5", "Set14"])
@pytest.mark.parametrize("scale", [2, 4])
def test_imresize_uint8_reproduces_matlabs_files_bit_for_bit(shared, dataset, scale):
    folder = shared / "data" / "test" / dataset
    for path in sorted((folder / "HR").glob("*.png")):
        hr = read_image(path).mul(255).round().to(torch.uint8)
        height, width = (side - side % scale for side in hr.shape[-2:])
        made = imresize_uint8(hr[:, :height, :width], 1 / scale)
        stored = read_image(folder / "LR_bicubic" / f"X{scale}" / f"{path.stem}x{scale}.png")
        assert torch.equal(made, stored.mul(255).round().to(torch.uint8)), path.name


def test_imresize_is_differentiable():
    image = torch.rand(1, 6, 5, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda x: imresize(x, 1 / 2), image)


def test_wrong_kinds_of_image():
    with pytest.raises(InputError, match=r"torch.uint8 image, expected floating point"):
        imresize(torch.zeros(1, 4, 4, dtype=torch.uint8), 0.5)
    with pytest.raises(InputError, match=r"torch.float32 image, expected uint8"):
        imresize_uint8(torch.zeros(1, 4, 4), 0.5)
    with pytest.raises(InputError, match="scale -1, expected a positive number"):
        imresize(torch.zeros(1, 4, 4), -1)


def test_upsample_is_torchs_bicubic_and_not_matlabs():
    lr = torch.rand(2, 3, 6, 5)
    expected = F.interpolate(lr, scale_factor=4, mode="bicubic", align_corners=False)
    assert torch.equal(upsample_bicubic(lr, 4), expected)
    assert torch.equal(upsample_bicubic(lr[0], 4), expected[0])
    assert (upsample_bicubic(lr, 4) - imresize(lr, 4)).abs().max() > 0.01


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (2, 5), (31, 20)])
def test_upsample_without_gradient_is_the_same(scale, size):
    lr = torch.rand(2, 3, *size, dtype=torch.float64)
    expected = F.interpolate(lr, scale_factor=scale, mode="bicubic", align_corners=False)
    with torch.no_grad():
        for images, wanted in ((lr, expected), (lr[0], expected[0])):
            assert torch.allclose(upsample_bicubic(images, scale), wanted, rtol=0, atol=1e-14)
        single = upsample_bicubic(lr.float(), scale)
    assert single.dtype == torch.float32
    assert single.is_contiguous()
    assert torch.allclose(single, expected.float(), rtol=0, atol=1e-6 if scale != 3 else 1e-4)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_upsample_in_half_precision_is_torchs(kind):
    lr = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)).to(kind)
    expected = F.interpolate(lr, scale_factor=4, mode="bicubic", align_corners=False)
    with torch.no_grad():
        assert torch.equal(upsample_bicubic(lr, 4), expected)


@pytest.mark.parametrize(("size", "before", "after"), [(3, 2, 3), (1, 4, 4), (4, 9, 0), (5, 0, 0)])
def test_pad_symmetric_is_numpys(size, before, after):
    image = torch.rand(2, size)
    expected = np.pad(image.numpy(), ((0, 0), (before, after)), mode="symmetric")
    assert (pad_symmetric(image, before, after, axis=-1).numpy() == expected).all()
