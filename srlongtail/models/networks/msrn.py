"""MSRN: blocks with parallel 3x3 and 5x5 kernels, fused from all depths.

Juncheng Li, Faming Fang, Kangfu Mei and Guixu Zhang, "Multi-scale Residual Network for Image
Super-Resolution", ECCV 2018.

Note: the mean color is trained, and the features are fused in the order block 1, ...,
block 8, first layer.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from srlongtail.models.networks._layers import (
    count_keys,
    mean_shift,
    same_conv,
    shuffle_factors,
    shuffled_scale,
)


class MSRN(nn.Module):
    """Multi-scale residual blocks, a fusion of all their outputs, sub-pixel upsampling.

    Takes RGB `(N, 3, h, w)` in [0, 1] and returns `(N, 3, h * scale, w * scale)`, unclamped.

    Args:
        scale: 2, 3 or 4.
        features: Channels between the blocks.
        blocks: Number of multi-scale residual blocks.

    Example:
        >>> import torch
        >>> MSRN(scale=4)(torch.rand(1, 3, 8, 8)).shape
        torch.Size([1, 3, 32, 32])

    References:
        Li et al., ECCV 2018, https://github.com/MIVRC/MSRN-PyTorch
    """

    def __init__(self, *, scale: int = 4, features: int = 64, blocks: int = 8) -> None:
        super().__init__()
        self.sub_mean = mean_shift(-1)
        self.add_mean = mean_shift(+1)
        self.head = nn.Sequential(same_conv(3, features))
        self.body = nn.Sequential(*(MultiScaleBlock(features) for _ in range(blocks)))
        stages: list[nn.Module] = []
        for factor in shuffle_factors(scale):
            stages += [same_conv(features, features * factor**2), nn.PixelShuffle(factor)]
        self.tail = nn.Sequential(
            same_conv(features * (blocks + 1), features, 1),
            same_conv(features, features),
            nn.Sequential(*stages),
            same_conv(features, 3),
        )

    def forward(self, x: Tensor) -> Tensor:
        first = x = self.head(self.sub_mean(x))
        collected = []
        for block in self.body:
            x = block(x)
            collected.append(x)
        return self.add_mean(self.tail(torch.cat([*collected, first], dim=1)))

    @staticmethod
    def arguments_from(state: Mapping[str, Tensor]) -> dict[str, Any] | None:
        """Return the arguments that fit a state dictionary; None if it is of another network."""
        if not {"head.0.weight", "body.0.confusion.weight", "tail.2.0.weight"} <= state.keys():
            return None
        features = len(state["head.0.weight"])
        return {
            "scale": shuffled_scale(state, "tail.2.", features),
            "features": features,
            "blocks": count_keys(state, "body.{}.confusion.weight"),
        }


class MultiScaleBlock(nn.Module):
    """Parallel 3x3 and 5x5 convolutions, twice; the second pair gets both outputs of the first."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.conv_3_1 = same_conv(features, features, 3)
        self.conv_5_1 = same_conv(features, features, 5)
        self.conv_3_2 = same_conv(2 * features, 2 * features, 3)
        self.conv_5_2 = same_conv(2 * features, 2 * features, 5)
        self.confusion = same_conv(4 * features, features, 1)

    def forward(self, x: Tensor) -> Tensor:
        both = torch.relu(torch.cat([self.conv_3_1(x), self.conv_5_1(x)], dim=1))
        both = torch.relu(torch.cat([self.conv_3_2(both), self.conv_5_2(both)], dim=1))
        return self.confusion(both) + x
