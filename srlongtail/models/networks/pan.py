"""PAN: pixel attention throughout, including the upsampling.

Hengyuan Zhao, Xiangtao Kong, Jingwen He, Yu Qiao and Chao Dong, "Efficient Image Super-Resolution
Using Pixel Attention", ECCV Workshops 2020.

Note: the network adds its output to a bilinear enlargement of its input. It enlarges by repeating
pixels, so its weights at scales 2 and 3 have the same shapes.
"""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srlongtail.models.networks._layers import count_keys, named, same_conv, shuffle_factors

_SLOPE = 0.2


class PAN(nn.Module):
    """Self-calibrated blocks with pixel attention, and attentive upsampling.

    Takes RGB `(N, 3, h, w)` and returns `(N, 3, h * scale, w * scale)`, unclamped.

    Args:
        scale: 2, 3 or 4.
        features: Channels between the blocks.
        enlarged: Channels after the first enlargement.
        blocks: Number of self-calibrated blocks.

    Example:
        >>> import torch
        >>> PAN(scale=4)(torch.rand(1, 3, 8, 8)).shape
        torch.Size([1, 3, 32, 32])

    References:
        Zhao et al., ECCV Workshops 2020, https://arxiv.org/abs/2010.01073
    """

    def __init__(
        self, *, scale: int = 4, features: int = 40, enlarged: int = 24, blocks: int = 16
    ) -> None:
        super().__init__()
        self.scale = scale
        self.factors = shuffle_factors(scale)
        self.conv_first = same_conv(3, features)
        self.SCPA_trunk = nn.Sequential(*(SelfCalibratedBlock(features) for _ in range(blocks)))
        self.trunk_conv = same_conv(features, features)
        for number, inputs in enumerate((features, enlarged)[: len(self.factors)], start=1):
            self.add_module(f"upconv{number}", same_conv(inputs, enlarged))
            self.add_module(f"att{number}", named(conv=same_conv(enlarged, enlarged, 1)))
            self.add_module(f"HRconv{number}", same_conv(enlarged, enlarged))
        self.conv_last = same_conv(enlarged, 3)

    def forward(self, x: Tensor) -> Tensor:
        features = self.conv_first(x)
        features = features + self.trunk_conv(self.SCPA_trunk(features))
        for number, factor in enumerate(self.factors, start=1):
            upconv, att, conv = (
                self.get_submodule(f"{name}{number}") for name in ("upconv", "att", "HRconv")
            )
            features = upconv(F.interpolate(features, scale_factor=factor, mode="nearest"))
            features = F.leaky_relu(features * torch.sigmoid(att(features)), _SLOPE)
            features = F.leaky_relu(conv(features), _SLOPE)
        enlarged = F.interpolate(x, scale_factor=self.scale, mode="bilinear", align_corners=False)
        return self.conv_last(features) + enlarged

    @staticmethod
    def arguments_from(state: Mapping[str, Tensor]) -> dict[str, Any] | None:
        """Return the arguments that fit a state dictionary; None if it is of another network.

        No shape distinguishes scale 2 from 3, so these scales are left out.
        """
        signature = {"conv_first.weight", "SCPA_trunk.0.PAConv.k2.weight", "upconv1.weight"}
        if not signature <= state.keys():
            return None
        arguments = {
            "features": len(state["conv_first.weight"]),
            "enlarged": len(state["upconv1.weight"]),
            "blocks": count_keys(state, "SCPA_trunk.{}.conv3.weight"),
        }
        return arguments | ({"scale": 4} if "upconv2.weight" in state else {})


class SelfCalibratedBlock(nn.Module):
    """A plain branch and a branch with pixel attention, fused, plus the input."""

    def __init__(self, features: int) -> None:
        super().__init__()
        half = features // 2
        self.conv1_a = nn.Conv2d(features, half, kernel_size=1, bias=False)
        self.conv1_b = nn.Conv2d(features, half, kernel_size=1, bias=False)
        self.k1 = nn.Sequential(nn.Conv2d(half, half, kernel_size=3, padding=1, bias=False))
        self.PAConv = AttentiveConvolution(half)
        self.conv3 = nn.Conv2d(2 * half, features, kernel_size=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        plain = self.k1(F.leaky_relu(self.conv1_a(x), _SLOPE))
        attentive = self.PAConv(F.leaky_relu(self.conv1_b(x), _SLOPE))
        both = torch.cat([plain, attentive], dim=1)
        return self.conv3(F.leaky_relu(both, _SLOPE)) + x


class AttentiveConvolution(nn.Module):
    """Two convolutions, with a gate for every pixel and channel between them."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.k2 = same_conv(features, features, 1)
        self.k3 = nn.Conv2d(features, features, kernel_size=3, padding=1, bias=False)
        self.k4 = nn.Conv2d(features, features, kernel_size=3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.k4(self.k3(x) * torch.sigmoid(self.k2(x)))
