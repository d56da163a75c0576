"""CARN-M: cascading residual blocks with grouped convolutions and shared residual units.

Namhyuk Ahn, Byungkon Kang and Kyung-Ah Sohn, "Fast, Accurate, and Lightweight Super-Resolution
with Cascading Residual Network", ECCV 2018.

Note: this is the mobile variant, whose blocks use one residual unit three times. It has batch
normalization after each fusing convolution, and the mean color is trained. Restore in eval mode:
with the statistics of a single image, PSNR is almost 1 dB lower.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from srlongtail.models.networks._layers import (
    mean_shift,
    named,
    same_conv,
    shuffle_factors,
    shuffled_scale,
)


class CARN(nn.Module):
    """Three cascading blocks, cascaded, and grouped sub-pixel upsampling.

    Takes RGB `(N, 3, h, w)` in [0, 1] and returns `(N, 3, h * scale, w * scale)`, unclamped.

    Args:
        scale: 2, 3 or 4.
        features: Channels throughout.
        groups: Groups of the 3x3 convolutions in the residual units and the upsampling.

    Example:
        >>> import torch
        >>> CARN(scale=4)(torch.rand(1, 3, 8, 8)).shape
        torch.Size([1, 3, 32, 32])

    References:
        Ahn, Kang and Sohn, ECCV 2018, https://arxiv.org/abs/1803.08664
    """

    def __init__(self, *, scale: int = 4, features: int = 64, groups: int = 4) -> None:
        super().__init__()
        self.sub_mean = mean_shift(-1)
        self.add_mean = mean_shift(+1)
        self.entry = same_conv(3, features)
        self.b1 = CascadingBlock(features, groups)
        self.b2 = CascadingBlock(features, groups)
        self.b3 = CascadingBlock(features, groups)
        self.c1 = fusion(2 * features, features)
        self.c2 = fusion(3 * features, features)
        self.c3 = fusion(4 * features, features)
        self.upsample = named(up=upsampler(features, scale, groups))
        self.exit = same_conv(features, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.entry(self.sub_mean(x))
        x = cascade(x, [self.b1, self.b2, self.b3], [self.c1, self.c2, self.c3])
        return self.add_mean(self.exit(self.upsample(x)))

    @staticmethod
    def arguments_from(state: Mapping[str, Tensor]) -> dict[str, Any] | None:
        """Return the arguments that fit a state dictionary; None if it is of another network."""
        signature = {"b1.b1.body.0.weight", "b1.c1.1.running_mean", "upsample.up.body.0.weight"}
        if not signature <= state.keys():
            return None
        features, features_of_group = state["b1.b1.body.0.weight"].shape[:2]
        return {
            "scale": shuffled_scale(state, "upsample.up.body.", features),
            "features": features,
            "groups": features // features_of_group,
        }


class CascadingBlock(nn.Module):
    """A cascade of one residual unit, used three times with the same weights."""

    def __init__(self, features: int, groups: int) -> None:
        super().__init__()
        self.b1 = ResidualUnit(features, groups)
        self.c1 = fusion(2 * features, features)
        self.c2 = fusion(3 * features, features)
        self.c3 = fusion(4 * features, features)

    def forward(self, x: Tensor) -> Tensor:
        return cascade(x, [self.b1] * 3, [self.c1, self.c2, self.c3])


class ResidualUnit(nn.Module):
    """Two grouped convolutions and one across the groups, plus the input."""

    def __init__(self, features: int, groups: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            same_conv(features, features, groups=groups),
            nn.ReLU(),
            same_conv(features, features, groups=groups),
            nn.ReLU(),
            same_conv(features, features, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + x)


def fusion(inputs: int, outputs: int) -> nn.Sequential:
    """Return a layer that reduces a concatenation to `outputs` channels."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel_size=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


def cascade(x: Tensor, units: Sequence[nn.Module], fusions: Sequence[nn.Module]) -> Tensor:
    """Run units in a cascade: each one gets the fused outputs of all units before it."""
    collected = x
    for unit, fuse in zip(units, fusions, strict=True):
        collected = torch.cat([collected, unit(x)], dim=1)
        x = fuse(collected)
    return x


def upsampler(features: int, scale: int, groups: int) -> nn.Sequential:
    """Return one grouped convolution and one pixel shuffle for every factor of the scale."""
    stages: list[nn.Module] = []
    for factor in shuffle_factors(scale):
        stages += [
            same_conv(features, features * factor**2, groups=groups),
            nn.ReLU(),
            nn.PixelShuffle(factor),
        ]
    return named(body=nn.Sequential(*stages))
