"""Helpers for several networks: layers, and functions that read state dictionaries."""

from collections import OrderedDict
from collections.abc import Mapping
from itertools import count
from math import isqrt, prod

import torch
from torch import Tensor, nn

from srlongtail.errors import InputError

# The mean color of DIV2K in [0, 1], which the published weights were trained with.
RGB_MEAN = (0.4488, 0.4371, 0.4040)

_SHUFFLE_FACTORS = {2: (2,), 3: (3,), 4: (2, 2)}


def shuffle_factors(scale: int) -> tuple[int, ...]:
    """Return the factors of the successive pixel shuffles that enlarge by `scale`."""
    if scale not in _SHUFFLE_FACTORS:
        raise InputError(f"scale {scale!r}: expected 2, 3 or 4")
    return _SHUFFLE_FACTORS[scale]


def same_conv(inputs: int, outputs: int, kernel: int = 3, *, groups: int = 1) -> nn.Conv2d:
    """Return a convolution with an odd kernel that keeps the image's size."""
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, groups=groups)


def one_shuffle(inputs: int, scale: int) -> nn.Sequential:
    """Return a convolution to RGB for every pixel of the enlarged image, and one pixel shuffle."""
    return nn.Sequential(same_conv(inputs, 3 * scale**2), nn.PixelShuffle(scale))


def named(**stages: nn.Module) -> nn.Sequential:
    """Return a sequence of stages with names instead of numbers in the state dictionary."""
    return nn.Sequential(OrderedDict(stages))


def add_layer(network: nn.Module, name: str, layer: nn.Module) -> None:
    """Register a layer under a nested name, such as `body.0.conv1`, of the state dictionary.

    Example:
        >>> network = nn.Module()
        >>> add_layer(network, "body.0.conv1", nn.PReLU())
        >>> list(network.state_dict())
        ['body.0.conv1.weight']
    """
    *parents, last = name.split(".")
    for parent in parents:
        if parent not in dict(network.named_children()):
            network.add_module(parent, nn.Module())
        network = network.get_submodule(parent)
    network.add_module(last, layer)


def mean_shift(sign: int) -> nn.Conv2d:
    """Return a trainable 1x1 convolution that initially adds `sign` times the mean color."""
    shift = nn.Conv2d(3, 3, kernel_size=1)
    with torch.no_grad():
        shift.weight.copy_(torch.eye(3)[:, :, None, None])
        shift.bias.copy_(sign * torch.tensor(RGB_MEAN))  # type: ignore[union-attr]
    return shift


def count_keys(state: Mapping[str, Tensor], pattern: str, start: int = 0) -> int:
    """Count the keys `pattern.format(start)`, `pattern.format(start + 1)`, ... up to a gap."""
    return next(n for n in count() if pattern.format(start + n) not in state)


def shuffled_scale(state: Mapping[str, Tensor], prefix: str, channels: int) -> int:
    """Return the scale of the shuffling convolutions `prefix`N with `channels` output channels."""
    weights = [w for key, w in state.items() if key.startswith(prefix) and w.ndim == 4]
    return prod(isqrt(len(weight) // channels) for weight in weights)
