"""SRResNet: a deep residual network with batch normalization.

Christian Ledig et al., "Photo-Realistic Single Image Super-Resolution Using a Generative
Adversarial Network", CVPR 2017.

Note: one PReLU slope per layer instead of one per channel. The variant without batch normalization
and with a bilinear skip, often called MSRResNet, is a different network. Restore in eval mode, so
that an image's output does not depend on the other images of its batch.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from srlongtail.models.networks._layers import (
    count_keys,
    same_conv,
    shuffle_factors,
    shuffled_scale,
)


class SRResNet(nn.Module):
    """Residual blocks inside one long skip, then sub-pixel upsampling.

    Takes RGB `(N, 3, h, w)` in [0, 1] and returns `(N, 3, h * scale, w * scale)`, unclamped.

    Args:
        scale: 2, 3 or 4.
        features: Channels throughout.
        blocks: Number of residual blocks.

    Example:
        >>> import torch
        >>> SRResNet(scale=4)(torch.rand(1, 3, 8, 8)).shape
        torch.Size([1, 3, 32, 32])

    References:
        Ledig et al., CVPR 2017, https://arxiv.org/abs/1609.04802
    """

    def __init__(self, *, scale: int = 4, features: int = 64, blocks: int = 16) -> None:
        super().__init__()
        self.conv_input = nn.Sequential(same_conv(3, features, 9), nn.PReLU())
        self.residual = nn.Sequential(*(ResidualBlock(features) for _ in range(blocks)))
        self.conv_mid = nn.Sequential(same_conv(features, features), nn.BatchNorm2d(features))
        stages: list[nn.Module] = []
        for factor in shuffle_factors(scale):
            stages += [
                same_conv(features, features * factor**2),
                nn.PixelShuffle(factor),
                nn.PReLU(),
            ]
        self.upscale = nn.Sequential(*stages)
        self.conv_output = same_conv(features, 3, 9)

    def forward(self, x: Tensor) -> Tensor:
        first = self.conv_input(x)
        deep = self.conv_mid(self.residual(first))
        return self.conv_output(self.upscale(deep + first))

    @staticmethod
    def arguments_from(state: Mapping[str, Tensor]) -> dict[str, Any] | None:
        """Return the arguments that fit a state dictionary; None if it is of another network."""
        signature = {"conv_input.0.weight", "residual.0.block.1.running_mean", "upscale.0.weight"}
        if not signature <= state.keys():
            return None
        features = len(state["conv_input.0.weight"])
        return {
            "scale": shuffled_scale(state, "upscale.", features),
            "features": features,
            "blocks": count_keys(state, "residual.{}.block.0.weight"),
        }


class ResidualBlock(nn.Module):
    """Convolution, normalization, PReLU, convolution, normalization, plus the input."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            same_conv(features, features),
            nn.BatchNorm2d(features),
            nn.PReLU(),
            same_conv(features, features),
            nn.BatchNorm2d(features),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x) + x
