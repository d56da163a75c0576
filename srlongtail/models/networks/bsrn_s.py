"""BSRN-S: the small BSRN that won its track of NTIRE 2022.

Zheyuan Li, Yingqi Liu, Xiangyu Chen, Haoming Cai, Jinjin Gu, Yu Qiao and Chao Dong, "Blueprint
Separable Residual Network for Efficient Image Super-Resolution", CVPR Workshops 2022.

Differences from BSRN: one weight per channel instead of the contrast attention, an ordinary
strided convolution in the spatial attention, and 1x1 convolutions that are stored as matrices.
"""

from collections.abc import Mapping
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
    named,
    one_shuffle,
    same_conv,
    shuffle_factors,
    shuffled_scale,
)


class BSRNS(nn.Module):
    """Distillation blocks, fused from all depths, and one pixel shuffle.

    Takes RGB `(N, 3, h, w)`, h and w at least 15, and returns `(N, 3, h * scale, w * scale)`,
    unclamped.

    Args:
        scale: 2, 3 or 4.
        features: Channels between the blocks, a multiple of 4.
        blocks: Number of distillation blocks.

    Example:
        >>> import torch
        >>> BSRNS(scale=4)(torch.rand(1, 3, 15, 15)).shape
        torch.Size([1, 3, 60, 60])

    References:
        Li et al., CVPR Workshops 2022, https://arxiv.org/abs/2205.05996
    """

    def __init__(self, *, scale: int = 4, features: int = 48, blocks: int = 5) -> None:
        super().__init__()
        shuffle_factors(scale)  # raises an error for other scales
        self.fea_conv = BlueprintConv(4 * 3, features)
        self.block_names = [f"B{number}" for number in range(1, blocks + 1)]
        for name in self.block_names:
            self.add_module(name, SmallDistillationBlock(features))
        self.c1 = Pointwise(blocks * features, features)
        self.c2 = BlueprintConv(features, features)
        self.upsampler = named(upsampleOneStep=one_shuffle(features, scale))

    def forward(self, x: Tensor) -> Tensor:
        check_size(x, "BSRN-S")
        first = self.fea_conv(x.repeat(1, 4, 1, 1))
        collected = from_all_depths(self, first, self.block_names)
        fused = F.gelu(self.c1(collected))
        return self.upsampler(self.c2(fused) + first)

    @staticmethod
    def arguments_from(state: Mapping[str, Tensor]) -> dict[str, Any] | None:
        """Return the arguments that fit a state dictionary; None if it is of another network."""
        signature = {
            "fea_conv.pw.weight",
            "B1.cw",
            "B1.esa.conv2.weight",
            "B1.conv_out.weight",
            "upsampler.upsampleOneStep.0.weight",
        }
        if not signature <= state.keys():
            return None
        return {
            "scale": shuffled_scale(state, "upsampler.upsampleOneStep.0", 3),
            "features": len(state["fea_conv.pw.weight"]),
            "blocks": count_keys(state, "B{}.cw", start=1),
        }


class Pointwise(nn.Linear):
    """A 1x1 convolution whose weight is a matrix."""

    def forward(self, input: Tensor) -> Tensor:
        """`(N, inputs, h, w)` -> `(N, outputs, h, w)`."""
        return F.conv2d(input, self.weight[:, :, None, None], self.bias)


class BlueprintConv(nn.Module):
    """A 1x1 convolution across the channels, then a 3x3 one within each channel."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.pw = Pointwise(inputs, outputs)
        self.dw = same_conv(outputs, outputs, groups=outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.dw(self.pw(x))


class SmallDistillationBlock(nn.Module):
    """Three refining steps, spatial attention, and one weight per channel."""

    def __init__(self, features: int) -> None:
        super().__init__()
        distilled = features // 2
        self.c1_d = Pointwise(features, distilled)
        self.c1_r = BlueprintConv(features, features)
        self.c2_d = Pointwise(features, distilled)
        self.c2_r = BlueprintConv(features, features)
        self.c3_d = Pointwise(features, distilled)
        self.c3_r = BlueprintConv(features, features)
        self.c4 = BlueprintConv(features, distilled)
        self.c5 = Pointwise(4 * distilled, features)
        self.esa = BlueprintAttention(features)
        self.cw = nn.Parameter(torch.ones(1, features))
        self.conv_out = Pointwise(features, features)

    def forward(self, x: Tensor) -> Tensor:
        attended = self.esa(distill(self, x, F.gelu))
        return self.conv_out(attended * self.cw[:, :, None, None]) + x


class BlueprintAttention(SpatialAttention):
    """ESA with three blueprint convolutions on its coarse view."""

    def __init__(self, features: int) -> None:
        super().__init__()
        narrow = features // 4
        self.conv1 = Pointwise(features, narrow)
        self.conv_f = Pointwise(narrow, narrow)
        self.conv_max = BlueprintConv(narrow, narrow)
        self.conv2 = nn.Conv2d(narrow, narrow, kernel_size=3, stride=2)
        self.conv3 = BlueprintConv(narrow, narrow)
        self.conv3_ = BlueprintConv(narrow, narrow)
        self.conv4 = Pointwise(narrow, features)
