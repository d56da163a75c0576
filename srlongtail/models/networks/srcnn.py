"""SRCNN: the first convolutional network for super-resolution.

Chao Dong, Chen Change Loy, Kaiming He and Xiaoou Tang, "Learning a Deep Convolutional Network for
Image Super-Resolution", ECCV 2014.

Note: the input must already be enlarged to SR size, by MATLAB's bicubic; the output has the same
size. It pads with zeros, which the paper does not do.
"""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from srlongtail.models.networks._layers import add_layer, same_conv, shuffle_factors

_LAYOUTS = {
    "conv1": ("conv1", "conv2", "conv3"),
    "features": ("features.0", "map.0", "reconstruction"),
}


class SRCNN(nn.Module):
    """Three convolutions on an image that is already enlarged.

    Takes `(N, channels, H, W)` in [0, 1], of SR size, and returns the same shape, unclamped.

    Args:
        scale: Factor by which the image was enlarged: 2, 3 or 4. No layer depends on it.
        channels: 1 for luma, or 3.
        features: Channels of the first and of the second convolution.
        kernels: Sides of the three kernels: 9, 5, 5 (57K weights) or 9, 1, 5 (8K).
        layout: Keys of the state dictionary, named after the first one.

    Example:
        >>> import torch
        >>> SRCNN(channels=1)(torch.rand(1, 1, 32, 32)).shape
        torch.Size([1, 1, 32, 32])

    References:
        Dong et al., ECCV 2014, https://arxiv.org/abs/1501.00092
    """

    def __init__(
        self,
        *,
        scale: int = 4,
        channels: int = 1,
        features: tuple[int, int] = (64, 32),
        kernels: tuple[int, int, int] = (9, 5, 5),
        layout: Literal["conv1", "features"] = "conv1",
    ) -> None:
        super().__init__()
        shuffle_factors(scale)  # raises an error for other scales
        self.names = _LAYOUTS[layout]
        widths = (channels, *features, channels)
        for name, inputs, outputs, kernel in zip(
            self.names, widths[:-1], widths[1:], kernels, strict=True
        ):
            add_layer(self, name, same_conv(inputs, outputs, kernel))

    def forward(self, x: Tensor) -> Tensor:
        first, second, last = map(self.get_submodule, self.names)
        return last(torch.relu(second(torch.relu(first(x)))))

    @staticmethod
    def arguments_from(state: Mapping[str, Tensor]) -> dict[str, Any] | None:
        """Return the arguments that fit a state dictionary; None if it is of another network.

        No shape depends on the scale, so `scale` is left out.
        """
        for layout, names in _LAYOUTS.items():
            if state.keys() == {f"{name}.{kind}" for name in names for kind in ("weight", "bias")}:
                first, second, last = weights = [state[f"{name}.weight"] for name in names]
                channels = first.shape[1]
                if len(last) != channels:  # ESPCN has the same keys, but more outputs
                    return None
                return {
                    "channels": channels,
                    "features": (len(first), len(second)),
                    "kernels": tuple(weight.shape[-1] for weight in weights),
                    "layout": layout,
                }
        return None
