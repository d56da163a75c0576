"""ESPCN: three convolutions at low resolution, and the first pixel shuffle.

Wenzhe Shi, Jose Caballero, Ferenc Huszar, Johannes Totz, Andrew P. Aitken, Rob Bishop, Daniel
Rueckert and Zehan Wang, "Real-Time Single Image and Video Super-Resolution Using an Efficient
Sub-Pixel Convolutional Neural Network", CVPR 2016.

Ports differ in their channels (luma; RGB; YCbCr, which no shape reveals) and in their keys.
"""

from collections.abc import Mapping
from math import isqrt
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srlongtail.models.networks._layers import add_layer, same_conv, shuffle_factors

_LAYOUTS = {
    "conv_1": ("conv_1", "conv_2", "conv_3"),
    "first_part": ("first_part.0", "first_part.2", "last_part.0"),
    "feature_maps": ("feature_maps.0", "feature_maps.2", "sub_pixel.0"),
}


class ESPCN(nn.Module):
    """Two activated convolutions, and a third one followed by a pixel shuffle.

    Takes `(N, channels, h, w)` in [0, 1] and returns `(N, channels, h * scale, w * scale)`,
    unclamped.

    Args:
        scale: 2, 3 or 4.
        channels: 1 for luma, or 3.
        features: Channels of the first and of the second convolution.
        layout: Keys of the state dictionary, named after the first one.

    Example:
        >>> import torch
        >>> ESPCN(scale=4, channels=1)(torch.rand(1, 1, 8, 8)).shape
        torch.Size([1, 1, 32, 32])

    References:
        Shi et al., CVPR 2016, https://arxiv.org/abs/1609.05158
    """

    def __init__(
        self,
        *,
        scale: int = 4,
        channels: int = 3,
        features: tuple[int, int] = (64, 32),
        layout: Literal["conv_1", "first_part", "feature_maps"] = "conv_1",
    ) -> None:
        super().__init__()
        shuffle_factors(scale)  # raises an error for other scales
        self.scale = scale
        self.names = _LAYOUTS[layout]
        wide, narrow = features
        add_layer(self, self.names[0], same_conv(channels, wide, 5))
        add_layer(self, self.names[1], same_conv(wide, narrow))
        add_layer(self, self.names[2], same_conv(narrow, channels * scale**2))

    def forward(self, x: Tensor) -> Tensor:
        first, second, last = map(self.get_submodule, self.names)
        return F.pixel_shuffle(last(torch.tanh(second(torch.tanh(first(x))))), self.scale)

    @staticmethod
    def arguments_from(state: Mapping[str, Tensor]) -> dict[str, Any] | None:
        """Return the arguments that fit a state dictionary; None if it is of another network."""
        for layout, names in _LAYOUTS.items():
            if state.keys() == {f"{name}.{kind}" for name in names for kind in ("weight", "bias")}:
                first, second, last = (state[f"{name}.weight"] for name in names)
                channels = first.shape[1]
                return {
                    "scale": isqrt(len(last) // channels),
                    "channels": channels,
                    "features": (len(first), len(second)),
                    "layout": layout,
                }
        return None
