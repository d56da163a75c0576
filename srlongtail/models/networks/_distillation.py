"""Layers shared by the information distillation networks: IMDN, RFDN, RLFN, BSRN and variants."""

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srlongtail.errors import InputError
from srlongtail.models.networks._layers import same_conv

# The spatial attention pools 7x7 pixels of the output of a 3x3 convolution with stride 2.
_SMALLEST = 2 * (7 - 1) + 3


def check_size(x: Tensor, name: str) -> None:
    """Raise an error if an image is too small for the spatial attention of the network `name`."""
    height, width = x.shape[-2:]
    if min(height, width) < _SMALLEST:
        raise InputError(
            f"{name}: input of {height}x{width} pixels, expected at least {_SMALLEST}x{_SMALLEST}"
        )


def distill(block: nn.Module, x: Tensor, activate: Callable[[Tensor], Tensor]) -> Tensor:
    """Run the steps `c1` to `c5` of a residual feature distillation block.

    Each of three steps keeps a distilled copy of its input (`cN_d`) and refines the input (`cN_r`,
    plus the input). A last step only distills (`c4`), and `c5` fuses the four copies.
    """
    distilled = []
    for step in ("c1", "c2", "c3"):
        distilled.append(block.get_submodule(f"{step}_d")(x))
        x = activate(block.get_submodule(f"{step}_r")(x) + x)
    distilled.append(block.get_submodule("c4")(x))
    return block.get_submodule("c5")(activate(torch.cat(distilled, dim=1)))


def from_all_depths(network: nn.Module, x: Tensor, block_names: Iterable[str]) -> Tensor:
    """Run the blocks of a network one after another, and concatenate the outputs of all."""
    collected = []
    for name in block_names:
        x = network.get_submodule(name)(x)
        collected.append(x)
    return torch.cat(collected, dim=1)


class SpatialAttention(nn.Module):
    """ESA: gates every pixel, based on a coarse view of a large area around it.

    A subclass creates the layers. Between pooling and enlarging, there are three of them, with an
    activation between any two, unless `coarse` is overridden.
    """

    activate: Callable[[Tensor], Tensor] = staticmethod(F.gelu)
    conv1: nn.Module
    conv2: nn.Module
    conv_max: nn.Module
    conv3: nn.Module
    conv3_: nn.Module
    conv4: nn.Module
    conv_f: nn.Module

    def coarse(self, pooled: Tensor) -> Tensor:
        """Apply the layers between pooling and enlarging."""
        return self.conv3_(self.activate(self.conv3(self.activate(self.conv_max(pooled)))))

    def forward(self, x: Tensor) -> Tensor:
        reduced = self.conv1(x)
        pooled = F.max_pool2d(self.conv2(reduced), kernel_size=7, stride=3)
        surroundings = F.interpolate(
            self.coarse(pooled), x.shape[-2:], mode="bilinear", align_corners=False
        )
        return x * torch.sigmoid(self.conv4(surroundings + self.conv_f(reduced)))


class ContrastAttention(nn.Module):
    """CCA: gates every channel by its mean plus its contrast (population standard deviation)."""

    def __init__(self, features: int) -> None:
        super().__init__()
        narrow = features // 16
        self.conv_du = nn.Sequential(
            same_conv(features, narrow, 1), nn.ReLU(), same_conv(narrow, features, 1), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        # `std` instead of the root of a mean square: its gradient is finite on a constant channel.
        contrast = x.std(dim=(2, 3), correction=0, keepdim=True)
        return x * self.conv_du(contrast + x.mean(dim=(2, 3), keepdim=True))
