"""RLFN, which is RFDN without distillation: three convolutions, a skip, a lighter attention.

Fangyuan Kong, Mingxi Li, Songwei Liu, Ding Liu, Jingwen He, Yang Bai, Fangmin Chen and Lean Fu,
"Residual Local Feature Network for Efficient Super-Resolution", CVPR Workshops 2022.

The NTIRE 2022 entry is pruned: 4 blocks of 46 features, with 48 inside.
"""

from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from srlongtail.models.networks._distillation import SpatialAttention, check_size
from srlongtail.models.networks._layers import (
    count_keys,
    one_shuffle,
    same_conv,
    shuffle_factors,
    shuffled_scale,
)

_SLOPE = 0.05


class RLFN(nn.Module):
    """Residual local feature blocks inside one long skip, and one pixel shuffle.

    Takes RGB `(N, 3, h, w)`, h and w at least 15, and returns `(N, 3, h * scale, w * scale)`,
    unclamped. The published weights expect white = 255.

    Args:
        scale: 2, 3 or 4.
        features: Channels between the blocks.
        inner: Channels inside the blocks; None: `features`.
        blocks: Number of residual local feature blocks.
        narrow: Channels of the spatial attention.

    Example:
        >>> import torch
        >>> RLFN(scale=4)(torch.rand(1, 3, 15, 15)).shape
        torch.Size([1, 3, 60, 60])

    References:
        Kong et al., CVPR Workshops 2022, https://arxiv.org/abs/2205.07514
    """

    def __init__(
        self,
        *,
        scale: int = 4,
        features: int = 52,
        inner: int | None = None,
        blocks: int = 6,
        narrow: int = 16,
    ) -> None:
        super().__init__()
        shuffle_factors(scale)  # raises an error for other scales
        self.conv_1 = same_conv(3, features)
        self.block_names = [f"block_{number}" for number in range(1, blocks + 1)]
        for name in self.block_names:
            self.add_module(name, LocalFeatureBlock(features, inner or features, narrow))
        self.conv_2 = same_conv(features, features)
        self.upsampler = one_shuffle(features, scale)

    def forward(self, x: Tensor) -> Tensor:
        check_size(x, "RLFN")
        first = x = self.conv_1(x)
        for name in self.block_names:
            x = self.get_submodule(name)(x)
        return self.upsampler(self.conv_2(x) + first)

    @staticmethod
    def arguments_from(state: Mapping[str, Tensor]) -> dict[str, Any] | None:
        """Return the arguments that fit a state dictionary; None if it is of another network."""
        signature = {
            "conv_1.weight",
            "block_1.c3_r.weight",
            "block_1.esa.conv1.weight",
            "conv_2.weight",
            "upsampler.0.weight",
        }
        if not signature <= state.keys():
            return None
        return {
            "scale": shuffled_scale(state, "upsampler.0", 3),
            "features": len(state["conv_1.weight"]),
            "inner": len(state["block_1.c1_r.weight"]),
            "blocks": count_keys(state, "block_{}.c5.weight", start=1),
            "narrow": len(state["block_1.esa.conv1.weight"]),
        }


class LocalFeatureBlock(nn.Module):
    """Three activated convolutions plus the input, then spatial attention."""

    def __init__(self, features: int, inner: int, narrow: int) -> None:
        super().__init__()
        self.c1_r = same_conv(features, inner)
        self.c2_r = same_conv(inner, inner)
        self.c3_r = same_conv(inner, features)
        self.c5 = same_conv(features, features, 1)
        self.esa = OneLayerAttention(features, narrow)

    def forward(self, x: Tensor) -> Tensor:
        deep = x
        for conv in (self.c1_r, self.c2_r, self.c3_r):
            deep = F.leaky_relu(conv(deep), _SLOPE)
        return self.esa(self.c5(deep + x))


class OneLayerAttention(SpatialAttention):
    """ESA with one convolution on its coarse view."""

    def __init__(self, features: int, narrow: int) -> None:
        super().__init__()
        self.conv1 = same_conv(features, narrow, 1)
        self.conv_f = same_conv(narrow, narrow, 1)
        self.conv2 = nn.Conv2d(narrow, narrow, kernel_size=3, stride=2)
        self.conv3 = same_conv(narrow, narrow)
        self.conv4 = same_conv(narrow, features, 1)

    def coarse(self, pooled: Tensor) -> Tensor:
        return self.conv3(pooled)
