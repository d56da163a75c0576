from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.color import rgb2ycbcr

from srlongtail.errors import InputError
from srlongtail.image.color import luma


def test_luma_is_that_of_scikit_image() -> None:
    image = np.random.default_rng(0).random((2, 5, 7, 3))
    expected = rgb2ycbcr(image)[..., 0] / 255

    y = luma(torch.from_numpy(image).movedim(-1, -3))

    assert y.shape == (2, 1, 5, 7)
    np.testing.assert_allclose(y[:, 0].numpy(), expected, rtol=1e-14)


def test_luma_spans_the_studio_range() -> None:
    black_and_white = torch.tensor([0.0, 1.0], dtype=torch.float64).expand(3, 1, 2)

    levels = luma(black_and_white) * 255

    torch.testing.assert_close(levels, torch.tensor([[[16.0, 235.0]]], dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_luma_keeps_the_dtype(dtype: torch.dtype) -> None:
    assert luma(torch.ones(3, 2, 2, dtype=dtype)).dtype == dtype


def test_gradient_of_luma_is_its_weights() -> None:
    image = torch.rand(3, 1, 1, dtype=torch.float64, requires_grad=True)

    luma(image).sum().backward()

    expected = torch.tensor([65.481, 128.553, 24.966], dtype=torch.float64) / 255
    torch.testing.assert_close(image.grad, expected.reshape(3, 1, 1))


@pytest.mark.parametrize("shape", [(1, 4, 4), (4, 4, 4), (3, 4), (4, 4, 3)])
def test_luma_wants_three_channels(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"shape \(\.\.\., 3, H, W\), got \(.*4.*\)"):
        luma(torch.zeros(shape))


def test_luma_wants_floating_point() -> None:
    with pytest.raises(InputError, match=r"floating-point values in \[0, 1\], got torch\.uint8"):
        luma(torch.zeros(3, 4, 4, dtype=torch.uint8))
