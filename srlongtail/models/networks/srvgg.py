"""SRVGG, Real-ESRGAN's compact network: plain convolutions and one pixel shuffle.

Xintao Wang, Liangbin Xie, Chao Dong and Ying Shan, "Real-ESRGAN: Training Real-World Blind
Super-Resolution with Pure Synthetic Data", ICCV Workshops 2021 (the network came later, with its
code: `realesr-general-x4v3` with 32 convolutions, `realesr-animevideov3` with 16).

Note: the network adds its output to its input, enlarged by repeating pixels.
"""

from collections.abc import Mapping
from math import isqrt
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from srlongtail.models.networks._layers import count_keys, same_conv, shuffle_factors


class SRVGG(nn.Module):
    """Convolutions with a PReLU slope for each channel, then one pixel shuffle.

    Takes RGB `(N, 3, h, w)` in [0, 1] and returns `(N, 3, h * scale, w * scale)`, unclamped.

    Args:
        scale: 2, 3 or 4.
        features: Channels throughout.
        convolutions: Number of convolutions between the first and the last.

    Example:
        >>> import torch
        >>> SRVGG(scale=4)(torch.rand(1, 3, 8, 8)).shape
        torch.Size([1, 3, 32, 32])

    References:
        Wang et al., ICCV Workshops 2021, https://arxiv.org/abs/2107.10833
    """

    def __init__(self, *, scale: int = 4, features: int = 64, convolutions: int = 16) -> None:
        super().__init__()
        shuffle_factors(scale)  # raises an error for other scales
        self.scale = scale
        layers: list[nn.Module] = [same_conv(3, features), nn.PReLU(features)]
        for _ in range(convolutions):
            layers += [same_conv(features, features), nn.PReLU(features)]
        self.body = nn.Sequential(*layers, same_conv(features, 3 * scale**2))

    def forward(self, x: Tensor) -> Tensor:
        enlarged = F.interpolate(x, scale_factor=self.scale, mode="nearest")
        return F.pixel_shuffle(self.body(x), self.scale) + enlarged

    @staticmethod
    def arguments_from(state: Mapping[str, Tensor]) -> dict[str, Any] | None:
        """Return the arguments that fit a state dictionary; None if it is of another network.

        Networks of other scales, such as those that only clean an image, are not accepted.
        """
        layers = count_keys(state, "body.{}.weight")
        last = f"body.{layers - 1}.weight"
        if layers < 3 or len(state) != 2 * layers - layers // 2:  # PReLUs have no bias
            return None
        features = len(state["body.0.weight"])
        if state["body.1.weight"].shape != (features,) or state["body.0.weight"].shape[1] != 3:
            return None
        scale = isqrt(len(state[last]) // 3)
        if scale not in (2, 3, 4):
            return None
        return {
            "scale": scale,
            "features": features,
            "convolutions": layers // 2 - 1,
        }
