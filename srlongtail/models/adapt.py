"""What networks want and give: color channels, ranges of values, and what the output means."""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from srlongtail.errors import InputError
from srlongtail.image.color import luma, rgb_to_ycbcr, ycbcr_to_rgb
from srlongtail.image.resample import upsample_bicubic

Predicts = Literal["image", "residual"]
Channels = Literal["rgb", "bgr", "y", "ycbcr"]
ValueRange = float | Literal["symmetric", "symmetric-output"]

VALUE_RANGES: tuple[ValueRange, ...] = (1.0, 255.0, "symmetric", "symmetric-output")

_LUMA_GAIN = 255 / 219  # from luma in studio range, which networks take, to red, green and blue


@dataclass(frozen=True)
class Reading:
    """How a network's input is made of an RGB image in [0, 1], and what its output means.

    Attributes:
        predicts: "image", or "residual" over torch's bicubic, as FPL networks do (Eq. 6).
        value_range: 1 or 255, the white of input and output; "symmetric": both in [-1, 1];
            "symmetric-output": input in [0, 1], output in [-1, 1].
        channels: "rgb", "bgr", "ycbcr" (full range, as in JPEG), or "y" (one channel, BT.601 in
            studio range, as MATLAB's `rgb2ycbcr`): the network restores luma, bicubic the color.

    Raises:
        InputError: a value that is none of these.

    >>> Reading(value_range=255).encode(torch.ones(1, 3, 1, 1)).max()
    tensor(255.)
    """

    predicts: Predicts = "image"
    value_range: ValueRange = 1.0
    channels: Channels = "rgb"

    def __post_init__(self) -> None:
        if self.predicts not in get_args(Predicts):
            raise InputError(f"predicts {self.predicts!r}, expected 'image' or 'residual'")
        if isinstance(self.value_range, bool) or self.value_range not in VALUE_RANGES:
            raise InputError(
                f"value range {self.value_range!r}, expected 1, 255, 'symmetric' or "
                f"'symmetric-output'"
            )
        if self.channels not in get_args(Channels):
            known = ", ".join(get_args(Channels))
            raise InputError(f"channels {self.channels!r}, expected one of {known}")

    @property
    def depth(self) -> int:
        """The number of channels that the network takes and gives."""
        return 1 if self.channels == "y" else 3

    def encode(self, image: Tensor) -> Tensor:
        """Return the network's input for an RGB image `(N, 3, h, w)` in [0, 1]."""
        if self.channels == "bgr":
            image = image.flip(-3)
        elif self.channels == "y":
            image = luma(image)
        elif self.channels == "ycbcr":
            image = rgb_to_ycbcr(image)
        if self.value_range == "symmetric":
            return image * 2 - 1
        return image * 255 if self.value_range == 255 else image

    def decode(self, output: Tensor, lr: Tensor, scale: int) -> Tensor:
        """Return the network's output as RGB in [0, 1] units: an image, or a residual.

        Args:
            output: what the network made, `(N, depth, h * scale, w * scale)`.
            lr: what it was made from, RGB `(N, 3, h, w)` in [0, 1].
            scale: SR pixels per LR pixel.
        """
        is_image = self.predicts == "image"
        if self.value_range == 255:
            output = output / 255
        elif self.value_range != 1:
            output = (output + 1) / 2 if is_image else output / 2
        if self.channels == "bgr":
            return output.flip(-3)
        if self.channels == "ycbcr":
            # The conversion is affine: for a residual, only its linear part counts.
            rgb = ycbcr_to_rgb(output)
            return rgb if is_image else rgb - ycbcr_to_rgb(torch.zeros_like(output))
        if self.channels == "y":
            # Chroma is bicubic's: what luma gains over bicubic's is added to red, green and blue.
            if not is_image:
                return (output * _LUMA_GAIN).expand(-1, 3, -1, -1)
            low = upsample_bicubic(lr, scale)
            return low + (output - luma(low)) * _LUMA_GAIN
        return output
