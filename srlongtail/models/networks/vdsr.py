"""VDSR: twenty convolutions that predict the residual of an enlarged image.

Jiwon Kim, Jung Kwon Lee and Kyoung Mu Lee, "Accurate Image Super-Resolution Using Very Deep
Convolutional Networks", CVPR 2016.

Note: the input must already be enlarged to SR size, by MATLAB's bicubic (with torch's, PSNR is
1.6 dB lower). The network adds the input to the residual itself. One set of weights works for the
scales 2, 3 and 4.
"""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from srlongtail.models.networks._layers import add_layer, count_keys, shuffle_factors

_LAYOUTS = {
    "input": ("input", "residual_layer.{}.conv", "output"),
    "conv1": ("conv1.0", "trunk.{}.conv", "conv2"),
}


class VDSR(nn.Module):
    """A sequence of activated 3x3 convolutions, plus the input.

    Takes `(N, channels, H, W)` in [0, 1], of SR size, and returns the same shape, unclamped.

    Args:
        scale: Factor by which the image was enlarged: 2, 3 or 4. No layer depends on it.
        channels: 1 for luma, or 3.
        features: Channels throughout.
        convolutions: Number of convolutions between the first and the last.
        bias: Whether the convolutions have a bias.
        layout: Keys of the state dictionary, named after the first one.

    Example:
        >>> import torch
        >>> VDSR(channels=1)(torch.rand(1, 1, 32, 32)).shape
        torch.Size([1, 1, 32, 32])

    References:
        Kim, Lee and Lee, CVPR 2016, https://arxiv.org/abs/1511.04587
    """

    def __init__(
        self,
        *,
        scale: int = 4,
        channels: int = 1,
        features: int = 64,
        convolutions: int = 18,
        bias: bool = False,
        layout: Literal["input", "conv1"] = "input",
    ) -> None:
        super().__init__()
        shuffle_factors(scale)  # raises an error for other scales
        first, between, self.last = _LAYOUTS[layout]
        self.activated = [first, *(between.format(number) for number in range(convolutions))]
        inputs = channels
        for name in self.activated:
            add_layer(self, name, nn.Conv2d(inputs, features, 3, padding=1, bias=bias))
            inputs = features
        add_layer(self, self.last, nn.Conv2d(features, channels, 3, padding=1, bias=bias))

    def forward(self, x: Tensor) -> Tensor:
        deep = x
        for name in self.activated:
            deep = torch.relu(self.get_submodule(name)(deep))
        return self.get_submodule(self.last)(deep) + x

    @staticmethod
    def arguments_from(state: Mapping[str, Tensor]) -> dict[str, Any] | None:
        """Return the arguments that fit a state dictionary; None if it is of another network.

        No shape depends on the scale, so `scale` is left out.
        """
        for layout, (first, between, last) in _LAYOUTS.items():
            convolutions = count_keys(state, f"{between}.weight")
            if convolutions and {f"{first}.weight", f"{last}.weight"} <= state.keys():
                features, channels = state[f"{first}.weight"].shape[:2]
                return {
                    "channels": channels,
                    "features": features,
                    "convolutions": convolutions,
                    "bias": f"{first}.bias" in state,
                    "layout": layout,
                }
        return None
