"""Conversions between color spaces."""

from __future__ import annotations

import torch
from torch import Tensor

from srlongtail.errors import InputError


def luma(image: Tensor) -> Tensor:
    """Return the BT.601 luma Y of an RGB image, in studio range.

    Y = (65.481 R + 128.553 G + 24.966 B + 16) / 255, which runs from 16/255 (black) to 235/255
    (white). This is the Y channel that SR papers score on (MATLAB's `rgb2ycbcr`), not the
    full-range luma of JPEG. Nothing is rounded or clamped, and gradients flow through.

    Args:
        image: RGB of shape `(..., 3, H, W)`, floating point, in [0, 1].

    Returns:
        Y of shape `(..., 1, H, W)`, on the dtype and device of `image`.

    Raises:
        InputError: The image does not have three channels, or holds integers.

    Source: ITU-R Recommendation BT.601, at 8 bits.

    Example:
        >>> import torch
        >>> luma(torch.ones(3, 1, 1)) * 255
        tensor([[[235.]]])
    """
    _check(image, "luma")
    return (_weigh(image) + 16) / 255


def luma_levels(image: Tensor) -> Tensor:
    """Return the luma of `luma` in levels, 16 to 235, in float64 and computed from levels.

    It differs from `luma(image) * 255` only by rounding. Levels of an 8-bit image are whole
    numbers here, as in code for 8-bit arrays, so the result is the same to the last bit. This
    matters where equal values are ranked.

    Args:
        image: RGB of shape `(..., 3, H, W)`, floating point, in [0, 1].

    Returns:
        Y of shape `(..., 1, H, W)`, float64, on the device of `image`; on the CPU if that device
        is Apple's GPU, which has no float64.

    Raises:
        InputError: The image does not have three channels, or holds integers.

    Example:
        >>> import torch
        >>> luma_levels(torch.full((3, 1, 1), 1 / 5)).item() == 219 * 51 / 255 + 16
        True
    """
    _check(image, "luma_levels")
    levels = (image.cpu() if image.device.type == "mps" else image).double() * 255
    whole = levels.round()  # float32 keeps k / 255 to within 1e-5 levels of k
    return _weigh(whole.where((levels - whole).abs() < 1e-4, levels)) / 255 + 16


def rgb_to_ycbcr(image: Tensor) -> Tensor:
    """Convert an RGB image to full-range YCbCr, as in JPEG.

    Args:
        image: RGB of shape `(..., 3, H, W)`, in [0, 1].

    Returns:
        Y, Cb, Cr of the same shape; gray has Cb = Cr = 0.5. Nothing is rounded or clamped.

    Source: ITU-T T.871 (JFIF).

    Example:
        >>> import torch
        >>> rgb_to_ycbcr(torch.ones(3, 1, 1)).flatten()
        tensor([1.0000, 0.5000, 0.5000])
    """
    red, green, blue = image.split(1, dim=-3)
    y = 0.299 * red + 0.587 * green + 0.114 * blue
    return torch.cat([y, (blue - y) / 1.772 + 0.5, (red - y) / 1.402 + 0.5], dim=-3)


def ycbcr_to_rgb(image: Tensor) -> Tensor:
    """Convert a full-range YCbCr image to RGB: the inverse of `rgb_to_ycbcr`.

    Args:
        image: Y, Cb, Cr of shape `(..., 3, H, W)`.

    Example:
        >>> import torch
        >>> image = torch.rand(3, 2, 2)
        >>> torch.allclose(ycbcr_to_rgb(rgb_to_ycbcr(image)), image, atol=1e-6)
        True
    """
    y, cb, cr = image.split(1, dim=-3)
    red, blue = y + 1.402 * (cr - 0.5), y + 1.772 * (cb - 0.5)
    return torch.cat([red, (y - 0.299 * red - 0.114 * blue) / 0.587, blue], dim=-3)


def _weigh(image: Tensor) -> Tensor:
    red, green, blue = image.split(1, dim=-3)
    return 65.481 * red + 128.553 * green + 24.966 * blue


def _check(image: Tensor, caller: str) -> None:
    if image.ndim < 3 or image.shape[-3] != 3:
        raise InputError(
            f"{caller} needs an image of shape (..., 3, H, W), got {tuple(image.shape)}"
        )
    if not image.is_floating_point():
        raise InputError(f"{caller} needs floating-point values in [0, 1], got {image.dtype}")
