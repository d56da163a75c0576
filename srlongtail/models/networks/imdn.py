"""IMDN: blocks that split off a quarter of their features step by step.

Zheng Hui, Xinbo Gao, Yunchu Yang and Xiumei Wang, "Lightweight Image Super-Resolution with
Information Multi-distillation Network", ACM Multimedia 2019.
"""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srlongtail.models.networks._distillation import ContrastAttention, from_all_depths
from srlongtail.models.networks._layers import (
    count_keys,
    one_shuffle,
    same_conv,
    shuffle_factors,
    shuffled_scale,
)

_SLOPE = 0.05


class IMDN(nn.Module):
    """Multi-distillation blocks, fused from all depths, and one pixel shuffle.

    Takes RGB `(N, 3, h, w)` and returns `(N, 3, h * scale, w * scale)`, unclamped.

    Args:
        scale: 2, 3 or 4.
        features: Channels between the blocks, a multiple of 16.
        blocks: Number of multi-distillation blocks.

    Example:
        >>> import torch
        >>> IMDN(scale=4)(torch.rand(1, 3, 8, 8)).shape
        torch.Size([1, 3, 32, 32])

    References:
        Hui et al., ACM Multimedia 2019, https://arxiv.org/abs/1909.11856
    """

    def __init__(self, *, scale: int = 4, features: int = 64, blocks: int = 6) -> None:
        super().__init__()
        shuffle_factors(scale)  # raises an error for other scales
        self.fea_conv = same_conv(3, features)
        self.block_names = [f"IMDB{number}" for number in range(1, blocks + 1)]
        for name in self.block_names:
            self.add_module(name, MultiDistillationBlock(features))
        self.c = nn.Sequential(same_conv(blocks * features, features, 1), nn.LeakyReLU(_SLOPE))
        self.LR_conv = same_conv(features, features)
        self.upsampler = one_shuffle(features, scale)

    def forward(self, x: Tensor) -> Tensor:
        first = self.fea_conv(x)
        fused = self.c(from_all_depths(self, first, self.block_names))
        return self.upsampler(self.LR_conv(fused) + first)

    @staticmethod
    def arguments_from(state: Mapping[str, Tensor]) -> dict[str, Any] | None:
        """Return the arguments that fit a state dictionary; None if it is of another network."""
        signature = {
            "fea_conv.weight",
            "IMDB1.c4.weight",
            "IMDB1.cca.conv_du.0.weight",
            "LR_conv.weight",
            "upsampler.0.weight",
        }
        if not signature <= state.keys():
            return None
        return {
            "scale": shuffled_scale(state, "upsampler.0", 3),
            "features": len(state["fea_conv.weight"]),
            "blocks": count_keys(state, "IMDB{}.c1.weight", start=1),
        }


class MultiDistillationBlock(nn.Module):
    """Four convolutions, a quarter of whose outputs is split off, and contrast attention."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.distilled = features // 4
        remaining = features - self.distilled
        self.c1 = same_conv(features, features)
        self.c2 = same_conv(remaining, features)
        self.c3 = same_conv(remaining, features)
        self.c4 = same_conv(remaining, self.distilled)
        self.c5 = same_conv(4 * self.distilled, features, 1)
        self.cca = ContrastAttention(4 * self.distilled)

    def forward(self, x: Tensor) -> Tensor:
        collected, remaining = [], x
        for conv in (self.c1, self.c2, self.c3):
            activated = F.leaky_relu(conv(remaining), _SLOPE)
            collected.append(activated[:, : self.distilled])
            remaining = activated[:, self.distilled :]
        collected.append(self.c4(remaining))
        return self.c5(self.cca(torch.cat(collected, dim=1))) + x
