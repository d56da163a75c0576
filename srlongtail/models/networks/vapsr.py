"""VapSR: attention from large kernels that are decomposed into small ones.

Lin Zhou, Haoming Cai, Jinjin Gu, Zheyuan Li, Yingqi Liu, Xiangyu Chen, Yu Qiao and Chao Dong,
"Efficient Image Super-Resolution Using Vast-Receptive-Field Attention", ECCV Workshops 2022.

Note: at scale 4, the network enlarges twice by 2. At scales 2 and 3, it enlarges once, after two
convolutions, and the published weights have 20 blocks instead of 21.
"""

from collections.abc import Mapping
from math import isqrt
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from srlongtail.models.networks._layers import count_keys, same_conv, shuffle_factors

_BETWEEN = {2: 56, 3: 56, 4: 16}  # channels between the last two convolutions


class VapSR(nn.Module):
    """Vast-receptive-field blocks inside one long skip, and sub-pixel upsampling.

    Takes RGB `(N, 3, h, w)` and returns `(N, 3, h * scale, w * scale)`, unclamped.

    Args:
        scale: 2, 3 or 4.
        features: Channels between the blocks.
        attention: Channels inside the blocks.
        blocks: Number of blocks.
        groups: Groups of the convolution after the blocks (VapSR-S has 2).

    Example:
        >>> import torch
        >>> VapSR(scale=4)(torch.rand(1, 3, 8, 8)).shape
        torch.Size([1, 3, 32, 32])

    References:
        Zhou et al., ECCV Workshops 2022, https://arxiv.org/abs/2210.05960
    """

    def __init__(
        self,
        *,
        scale: int = 4,
        features: int = 48,
        attention: int = 64,
        blocks: int = 21,
        groups: int = 1,
    ) -> None:
        super().__init__()
        shuffle_factors(scale)  # raises an error for other scales
        self.conv_first = same_conv(3, features)
        self.body = nn.Sequential(*(VastBlock(features, attention) for _ in range(blocks)))
        self.conv_body = same_conv(features, features, groups=groups)
        between = _BETWEEN[scale]
        if scale == 4:
            self.upsampler = nn.Sequential(
                same_conv(features, 4 * between),
                nn.PixelShuffle(2),
                nn.LeakyReLU(0.1),
                same_conv(between, 4 * 3),
                nn.PixelShuffle(2),
            )
        else:
            self.upsampler = nn.Sequential(
                same_conv(features, between),
                nn.LeakyReLU(0.1),
                same_conv(between, 3 * scale**2),
                nn.PixelShuffle(scale),
            )

    def forward(self, x: Tensor) -> Tensor:
        first = self.conv_first(x)
        return self.upsampler(self.conv_body(self.body(first)) + first)

    @staticmethod
    def arguments_from(state: Mapping[str, Tensor]) -> dict[str, Any] | None:
        """Return the arguments that fit a state dictionary; None if it is of another network."""
        signature = {
            "conv_first.weight",
            "body.0.atten_branch.depthwise_dilated.weight",
            "body.0.pixel_norm.weight",
            "conv_body.weight",
            "upsampler.0.weight",
        }
        once, twice = "upsampler.2.weight", "upsampler.3.weight"
        if not signature <= state.keys() or not state.keys() & {once, twice}:
            return None
        features = len(state["conv_first.weight"])
        return {
            "scale": 4 if twice in state else isqrt(len(state[once]) // 3),
            "features": features,
            "attention": len(state["body.0.proj_1.weight"]),
            "blocks": count_keys(state, "body.{}.proj_1.weight"),
            "groups": features // state["conv_body.weight"].shape[1],
        }


class VastBlock(nn.Module):
    """Wide attention between two 1x1 convolutions, plus the input, normalized per pixel."""

    def __init__(self, features: int, attention: int) -> None:
        super().__init__()
        self.proj_1 = same_conv(features, attention, 1)
        self.atten_branch = VastAttention(attention)
        self.proj_2 = same_conv(attention, features, 1)
        self.pixel_norm = nn.LayerNorm(features)

    def forward(self, x: Tensor) -> Tensor:
        x = self.proj_2(self.atten_branch(F.gelu(self.proj_1(x)))) + x
        return self.pixel_norm(x.movedim(1, -1)).movedim(-1, 1)


class VastAttention(nn.Module):
    """Gates each pixel by the 17x17 pixels around it: a 5x5 kernel, then a dilated 5x5 kernel."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.pointwise = same_conv(features, features, 1)
        self.depthwise = same_conv(features, features, 5, groups=features)
        self.depthwise_dilated = nn.Conv2d(
            features, features, kernel_size=5, padding=6, dilation=3, groups=features
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.depthwise_dilated(self.depthwise(self.pointwise(x)))
