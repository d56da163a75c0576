"""Conversions between colour spaces."""

from __future__ import annotations

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
        InputError: The image has not three channels, or holds integers.

    Source: ITU-R Recommendation BT.601, at 8 bits.

    Example:
        >>> import torch
        >>> luma(torch.ones(3, 1, 1)) * 255
        tensor([[[235.]]])
    """
    if image.ndim < 3 or image.shape[-3] != 3:
        raise InputError(f"luma needs an image of shape (..., 3, H, W), got {tuple(image.shape)}")
    if not image.is_floating_point():
        raise InputError(f"luma needs floating-point values in [0, 1], got {image.dtype}")
    red, green, blue = image.split(1, dim=-3)
    return (65.481 * red + 128.553 * green + 24.966 * blue + 16) / 255
