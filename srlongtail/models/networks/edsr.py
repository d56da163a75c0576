"""EDSR: residual blocks without normalization, baseline and large.

Bee Lim, Sanghyun Son, Heewon Kim, Seungjun Nah and Kyoung Mu Lee, "Enhanced Deep Residual Networks
for Single Image Super-Resolution", CVPR Workshops 2017.

Two layouts of keys are in use. "head" is that of EDSR-PyTorch, with the mean color among the
weights; a mean color near 114 shows that the network was trained with white = 255. "conv_first" is
that of BasicSR, whose network takes [0, 1] and multiplies by 255 itself.
"""

from collections.abc import Mapping
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srlongtail.models.networks._layers import (
    RGB_MEAN,
    add_layer,
    count_keys,
    mean_shift,
    same_conv,
    shuffle_factors,
    shuffled_scale,
)

_LARGE = 256  # features of the large network, whose residuals the paper scales by 0.1


class EDSR(nn.Module):
    """Residual blocks inside one long skip, then sub-pixel upsampling.

    Takes RGB `(N, 3, h, w)` and returns `(N, 3, h * scale, w * scale)`, unclamped, both in [0, 1]
    unless the weights loaded have a mean color in another range.

    Args:
        scale: 2, 3 or 4.
        features: Channels throughout: 64 in the baseline, 256 in the large network.
        blocks: Number of residual blocks: 16 in the baseline, 32 in the large network.
        residual_scale: Factor of each block's residual: 1 in the baseline, 0.1 in the large one.
        layout: Keys of the state dictionary, named after the first one: "head" (EDSR-PyTorch) or
            "conv_first" (BasicSR).

    Example:
        >>> import torch
        >>> EDSR(scale=4, blocks=2)(torch.rand(1, 3, 8, 8)).shape
        torch.Size([1, 3, 32, 32])

    References:
        Lim et al., CVPR Workshops 2017, https://arxiv.org/abs/1707.02921
    """

    def __init__(
        self,
        *,
        scale: int = 4,
        features: int = 64,
        blocks: int = 16,
        residual_scale: float = 1.0,
        layout: Literal["head", "conv_first"] = "head",
    ) -> None:
        super().__init__()
        self.residual_scale = residual_scale
        self.factors = shuffle_factors(scale)
        stages, numbers = range(len(self.factors)), range(blocks)
        if layout == "head":
            self.sub_mean: nn.Module = mean_shift(-1).requires_grad_(False)
            self.add_mean: nn.Module = mean_shift(+1).requires_grad_(False)
            self.first, self.last, self.deep = "head.0", "tail.1", f"body.{blocks}"
            self.blocks = [(f"body.{n}.body.0", f"body.{n}.body.2") for n in numbers]
            self.ups = [f"tail.0.{2 * n}" for n in stages]
        else:
            self.sub_mean, self.add_mean = Centered(), Restored()
            self.first, self.last, self.deep = "conv_first", "conv_last", "conv_after_body"
            self.blocks = [(f"body.{n}.conv1", f"body.{n}.conv2") for n in numbers]
            self.ups = [f"upsample.{2 * n}" for n in stages]
        add_layer(self, self.first, same_conv(3, features))
        for name in (*(name for block in self.blocks for name in block), self.deep):
            add_layer(self, name, same_conv(features, features))
        for name, factor in zip(self.ups, self.factors, strict=True):
            add_layer(self, name, same_conv(features, features * factor**2))
        add_layer(self, self.last, same_conv(features, 3))

    def forward(self, x: Tensor) -> Tensor:
        layer = self.get_submodule
        first = x = layer(self.first)(self.sub_mean(x))
        for one, two in self.blocks:
            x = x + self.residual_scale * layer(two)(torch.relu(layer(one)(x)))
        x = layer(self.deep)(x) + first
        for name, factor in zip(self.ups, self.factors, strict=True):
            x = F.pixel_shuffle(layer(name)(x), factor)
        return self.add_mean(layer(self.last)(x))

    @staticmethod
    def arguments_from(state: Mapping[str, Tensor]) -> dict[str, Any] | None:
        """Return the arguments that fit a state dictionary; None if it is of another network.

        No shape reveals the factor of the residuals, so the published one is used.
        """
        head = {"sub_mean.weight", "head.0.weight", "tail.0.0.weight", "tail.1.weight"}
        basic = {"conv_first.weight", "body.0.conv2.weight", "conv_after_body.weight"}
        # Both are needed: RCAN's residual groups can have the second.
        block = {"body.0.body.0.weight", "body.0.body.2.weight"}
        if head | block <= state.keys():
            layout, first, inner, up = "head", "head.0", "body.{}.body.0", "tail.0."
        elif basic | {"upsample.0.weight", "conv_last.weight"} <= state.keys():
            layout, first, inner, up = "conv_first", "conv_first", "body.{}.conv1", "upsample."
        else:
            return None
        features = len(state[f"{first}.weight"])
        return {
            "scale": shuffled_scale(state, up, features),
            "features": features,
            "blocks": count_keys(state, f"{inner}.weight"),
            "residual_scale": 0.1 if features == _LARGE else 1.0,
            "layout": layout,
        }


class Centered(nn.Module):
    """Converts [0, 1] to levels of 255 minus the mean color, without weights, as in BasicSR."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(RGB_MEAN)[:, None, None], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) * 255


class Restored(Centered):
    """Undoes `Centered`."""

    def forward(self, x: Tensor) -> Tensor:
        return x / 255 + self.mean
