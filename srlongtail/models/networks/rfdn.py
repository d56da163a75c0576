"""RFDN: IMDN with 1x1 convolutions instead of splits, and residual convolutions.

Jie Liu, Jie Tang and Gangshan Wu, "Residual Feature Distillation Network for Lightweight Image
Super-Resolution", ECCV Workshops 2020.

Note: a block has no skip connection around it. The published weights (the AIM 2020 entry, which is
also the baseline of the NTIRE challenges) have 4 blocks of 50 features. The networks in the paper's
tables are larger, with 550K and 643K weights.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srlongtail.models.networks._distillation import (
    SpatialAttention,
    check_size,
    distill,
    from_all_depths,
)
from srlongtail.models.networks._layers import (
    count_keys,
    one_shuffle,
    same_conv,
    shuffle_factors,
    shuffled_scale,
)

_SLOPE = 0.05


class RFDN(nn.Module):
    """Residual distillation blocks, fused from all depths, and one pixel shuffle.

    Takes RGB `(N, 3, h, w)`, h and w at least 15, and returns `(N, 3, h * scale, w * scale)`,
    unclamped.

    Args:
        scale: 2, 3 or 4.
        features: Channels between the blocks.
        blocks: Number of distillation blocks.

    Example:
        >>> import torch
        >>> RFDN(scale=4)(torch.rand(1, 3, 15, 15)).shape
        torch.Size([1, 3, 60, 60])

    References:
        Liu, Tang and Wu, ECCV Workshops 2020, https://arxiv.org/abs/2009.11551
    """

    def __init__(self, *, scale: int = 4, features: int = 50, blocks: int = 4) -> None:
        super().__init__()
        shuffle_factors(scale)  # raises an error for other scales
        self.fea_conv = same_conv(3, features)
        self.block_names = [f"B{number}" for number in range(1, blocks + 1)]
        for name in self.block_names:
            self.add_module(name, ResidualDistillationBlock(features))
        self.c = nn.Sequential(same_conv(blocks * features, features, 1), nn.LeakyReLU(_SLOPE))
        self.LR_conv = same_conv(features, features)
        self.upsampler = one_shuffle(features, scale)

    def forward(self, x: Tensor) -> Tensor:
        check_size(x, "RFDN")
        first = self.fea_conv(x)
        fused = self.c(from_all_depths(self, first, self.block_names))
        return self.upsampler(self.LR_conv(fused) + first)

    @staticmethod
    def arguments_from(state: Mapping[str, Tensor]) -> dict[str, Any] | None:
        """Return the arguments that fit a state dictionary; None if it is of another network."""
        signature = {
            "fea_conv.weight",
            "B1.c1_d.weight",
            "B1.c4.weight",
            "B1.esa.conv_max.weight",
            "LR_conv.weight",
            "upsampler.0.weight",
        }
        if not signature <= state.keys():
            return None
        return {
            "scale": shuffled_scale(state, "upsampler.0", 3),
            "features": len(state["fea_conv.weight"]),
            "blocks": count_keys(state, "B{}.c5.weight", start=1),
        }


class ResidualDistillationBlock(nn.Module):
    """Three refining steps, each with a distilled copy, then spatial attention."""

    def __init__(self, features: int) -> None:
        super().__init__()
        distilled = features // 2
        self.c1_d = same_conv(features, distilled, 1)
        self.c1_r = same_conv(features, features)
        self.c2_d = same_conv(features, distilled, 1)
        self.c2_r = same_conv(features, features)
        self.c3_d = same_conv(features, distilled, 1)
        self.c3_r = same_conv(features, features)
        self.c4 = same_conv(features, distilled)
        self.c5 = same_conv(4 * distilled, features, 1)
        self.esa = ThreeLayerAttention(features)

    def forward(self, x: Tensor) -> Tensor:
        return self.esa(distill(self, x, partial(F.leaky_relu, negative_slope=_SLOPE)))


class ThreeLayerAttention(SpatialAttention):
    """ESA with three convolutions on its coarse view."""

    activate = staticmethod(torch.relu)

    def __init__(self, features: int) -> None:
        super().__init__()
        narrow = features // 4
        self.conv1 = same_conv(features, narrow, 1)
        self.conv_f = same_conv(narrow, narrow, 1)
        self.conv_max = same_conv(narrow, narrow)
        self.conv2 = nn.Conv2d(narrow, narrow, kernel_size=3, stride=2)
        self.conv3 = same_conv(narrow, narrow)
        self.conv3_ = same_conv(narrow, narrow)
        self.conv4 = same_conv(narrow, features, 1)
