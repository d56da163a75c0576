"""CARN and CARN-M as published by their authors: one network for the scales 2, 3 and 4.

Namhyuk Ahn, Byungkon Kang and Kyung-Ah Sohn, "Fast, Accurate, and Lightweight Super-Resolution
with Cascading Residual Network", ECCV 2018.

Unlike the CARN of Focal Pixel Learning (`carn`), it has no batch normalization and a fixed mean
color. The mobile variant, CARN-M, shares one grouped residual unit within a block.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from srlongtail.errors import InputError
from srlongtail.models.networks._layers import (
    mean_shift,
    named,
    same_conv,
    shuffle_factors,
    shuffled_scale,
)
from srlongtail.models.networks.carn import ResidualUnit as MobileUnit
from srlongtail.models.networks.carn import cascade, upsampler


class OfficialCARN(nn.Module):
    """Three cascading blocks, cascaded, and sub-pixel upsampling for every scale it was trained at.

    Takes RGB `(N, 3, h, w)` in [0, 1] and returns `(N, 3, h * scale, w * scale)`, unclamped.

    Args:
        scale: Default scale of `forward`: 2, 3 or 4.
        scales: The scales with an upsampler; None: only `scale`, as in networks trained at one
            scale.
        features: Channels throughout.
        groups: Groups of the grouped convolutions: 4 in CARN-M, 1 in CARN.
        mobile: Whether the network is CARN-M instead of CARN.

    Example:
        >>> import torch
        >>> network = OfficialCARN(scale=4)
        >>> network(torch.rand(1, 3, 8, 8)).shape, network(torch.rand(1, 3, 8, 8), 3).shape
        (torch.Size([1, 3, 32, 32]), torch.Size([1, 3, 24, 24]))

    References:
        Ahn, Kang and Sohn, ECCV 2018, https://arxiv.org/abs/1803.08664
    """

    def __init__(
        self,
        *,
        scale: int = 4,
        scales: Sequence[int] | None = (2, 3, 4),
        features: int = 64,
        groups: int = 4,
        mobile: bool = True,
    ) -> None:
        super().__init__()
        shuffle_factors(scale)  # raises an error for other scales
        self.scale = scale
        self.sub_mean = named(shifter=mean_shift(-1)).requires_grad_(False)
        self.add_mean = named(shifter=mean_shift(+1)).requires_grad_(False)
        self.entry = same_conv(3, features)
        self.b1, self.b2, self.b3 = (
            MobileBlock(features, groups) if mobile else CascadingBlock(features) for _ in range(3)
        )
        self.c1, self.c2, self.c3 = (fusion(n * features, features) for n in (2, 3, 4))
        upsamplers = {scale: "up"} if scales is None else {s: f"up{s}" for s in scales}
        self.upsampler_names = upsamplers
        self.upsample = named(
            **{name: upsampler(features, s, groups) for s, name in upsamplers.items()}
        )
        self.exit = same_conv(features, 3)

    def forward(self, x: Tensor, scale: int | None = None) -> Tensor:
        scale = scale or self.scale
        if scale not in self.upsampler_names:
            there = ", ".join(map(str, self.upsampler_names))
            raise InputError(f"scale {scale}: this CARN was trained for {there}")
        x = self.entry(self.sub_mean(x))
        x = cascade(x, [self.b1, self.b2, self.b3], [self.c1, self.c2, self.c3])
        x = self.upsample.get_submodule(self.upsampler_names[scale])(x)
        return self.add_mean(self.exit(x))

    @staticmethod
    def arguments_from(state: Mapping[str, Tensor]) -> dict[str, Any] | None:
        """Return the arguments that fit a state dictionary; None if it is of another network.

        For a network with several scales, `scale` is left out.
        """
        if not {"b1.b1.body.0.weight", "b1.c1.body.0.weight", "entry.weight"} <= state.keys():
            return None
        features = len(state["entry.weight"])
        known = {s: f"upsample.up{s}.body." for s in (2, 3, 4)}
        scales = tuple(s for s, prefix in known.items() if f"{prefix}0.weight" in state)
        prefix = known[scales[0]] if scales else "upsample.up.body."
        if f"{prefix}0.weight" not in state:
            return None
        arguments = {
            "scales": scales or None,
            "features": features,
            "groups": features // state[f"{prefix}0.weight"].shape[1],
            "mobile": "b1.b2.body.0.weight" not in state,
        }
        return (
            arguments if scales else {"scale": shuffled_scale(state, prefix, features), **arguments}
        )


class CascadingBlock(nn.Module):
    """A cascade of three residual units."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.b1, self.b2, self.b3 = (ResidualUnit(features) for _ in range(3))
        self.c1, self.c2, self.c3 = (fusion(n * features, features) for n in (2, 3, 4))

    def forward(self, x: Tensor) -> Tensor:
        return cascade(x, [self.b1, self.b2, self.b3], [self.c1, self.c2, self.c3])


class MobileBlock(nn.Module):
    """A cascade of one grouped residual unit, used three times with the same weights."""

    def __init__(self, features: int, groups: int) -> None:
        super().__init__()
        self.b1 = MobileUnit(features, groups)
        self.c1, self.c2, self.c3 = (fusion(n * features, features) for n in (2, 3, 4))

    def forward(self, x: Tensor) -> Tensor:
        return cascade(x, [self.b1] * 3, [self.c1, self.c2, self.c3])


class ResidualUnit(nn.Module):
    """Two convolutions plus the input."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            same_conv(features, features), nn.ReLU(), same_conv(features, features)
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + x)


def fusion(inputs: int, outputs: int) -> nn.Sequential:
    """Return a layer that reduces a concatenation to `outputs` channels."""
    return named(body=nn.Sequential(same_conv(inputs, outputs, 1), nn.ReLU()))
