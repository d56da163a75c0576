"""BSRN: blueprint separable convolutions, feature distillation and two attentions.

Zheyuan Li, Yingqi Liu, Xiangyu Chen, Haoming Cai, Jinjin Gu, Yu Qiao and Chao Dong, "Blueprint
Separable Residual Network for Efficient Image Super-Resolution", CVPR Workshops 2022.

Note: the spatial attention shrinks its input twice without padding, so an image must be
at least 15 pixels high and wide.
"""

from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from srlongtail.models.networks._distillation import (
    ContrastAttention,
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


class BSRN(nn.Module):
    """Distillation blocks, fused from all depths, and one pixel shuffle.

    Takes RGB `(N, 3, h, w)` in [0, 1], h and w at least 15, and returns
    `(N, 3, h * scale, w * scale)`, unclamped.

    Args:
        scale: 2, 3 or 4.
        features: Channels between the blocks, a multiple of 16.
        blocks: Number of distillation blocks.

    Example:
        >>> import torch
        >>> BSRN(scale=4)(torch.rand(1, 3, 15, 15)).shape
        torch.Size([1, 3, 60, 60])

    References:
        Li et al., CVPR Workshops 2022, https://arxiv.org/abs/2205.05996
    """

    def __init__(self, *, scale: int = 4, features: int = 64, blocks: int = 8) -> None:
        super().__init__()
        shuffle_factors(scale)  # raises an error for other scales
        self.fea_conv = BSConvU(4 * 3, features)
        self.block_names = [f"B{number}" for number in range(1, blocks + 1)]
        for name in self.block_names:
            self.add_module(name, DistillationBlock(features))
        self.c1 = same_conv(blocks * features, features, 1)
        self.c2 = BSConvU(features, features)
        # One shuffle also at scale 4: a second stage would cost more than a block.
        self.upsampler = named(upsampleOneStep=one_shuffle(features, scale))

    def forward(self, x: Tensor) -> Tensor:
        check_size(x, "BSRN")
        first = self.fea_conv(x.repeat(1, 4, 1, 1))
        collected = from_all_depths(self, first, self.block_names)
        fused = F.gelu(self.c1(collected))
        return self.upsampler(self.c2(fused) + first)

    @staticmethod
    def arguments_from(state: Mapping[str, Tensor]) -> dict[str, Any] | None:
        """Return the arguments that fit a state dictionary; None if it is of another network."""
        signature = {
            "fea_conv.pw.weight",
            "B1.esa.conv2.dw.weight",
            "B1.cca.conv_du.0.weight",
            "upsampler.upsampleOneStep.0.weight",
        }
        if not signature <= state.keys():
            return None
        return {
            "scale": shuffled_scale(state, "upsampler.upsampleOneStep.0", 3),
            "features": len(state["fea_conv.pw.weight"]),
            "blocks": count_keys(state, "B{}.c5.weight", start=1),
        }


class DistillationBlock(nn.Module):
    """Three refining steps, each with a distilled copy, then both attentions."""

    def __init__(self, features: int) -> None:
        super().__init__()
        distilled = features // 2
        self.c1_d = same_conv(features, distilled, 1)
        self.c1_r = BSConvU(features, features)
        self.c2_d = same_conv(features, distilled, 1)
        self.c2_r = BSConvU(features, features)
        self.c3_d = same_conv(features, distilled, 1)
        self.c3_r = BSConvU(features, features)
        self.c4 = BSConvU(features, distilled)
        self.c5 = same_conv(4 * distilled, features, 1)
        self.esa = BlueprintAttention(features)
        self.cca = ContrastAttention(features)

    def forward(self, x: Tensor) -> Tensor:
        return self.cca(self.esa(distill(self, x, F.gelu))) + x


class BSConvU(nn.Module):
    """A 1x1 convolution across the channels, then a 3x3 one within each channel."""

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1, padding: int = 1) -> None:
        super().__init__()
        self.pw = nn.Conv2d(inputs, outputs, kernel_size=1, bias=False)
        self.dw = nn.Conv2d(outputs, outputs, 3, stride, padding, groups=outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.dw(self.pw(x))


class BlueprintAttention(SpatialAttention):
    """ESA with three blueprint convolutions on its coarse view."""

    def __init__(self, features: int) -> None:
        super().__init__()
        narrow = features // 4
        self.conv1 = same_conv(features, narrow, 1)
        self.conv_f = same_conv(narrow, narrow, 1)
        self.conv2 = BSConvU(narrow, narrow, stride=2, padding=0)
        self.conv_max = BSConvU(narrow, narrow)
        self.conv3 = BSConvU(narrow, narrow)
        self.conv3_ = BSConvU(narrow, narrow)
        self.conv4 = same_conv(narrow, features, 1)
