"""FSRCNN with its enlarging convolution beside torch's transposed one: `-m benchmark -s`."""

from time import process_time

import pytest
import torch
from torch import nn

from srlongtail.models.catalog import build
from srlongtail.models.networks._enlarge import EnlargingConv

pytestmark = pytest.mark.benchmark

ROUNDS = 12


class Torchs(EnlargingConv):
    """The same layer, by torch's own transposed convolution."""

    def forward(self, input, output_size=None):
        return nn.ConvTranspose2d.forward(self, input, output_size)


def least(*calls) -> list[float]:
    """Least CPU time of each call in ms, in turns, so that all meet the same other load."""
    times = [[] for _ in range(ROUNDS)]
    for row in times:
        for call in calls:
            start = process_time()
            call()
            row.append(1000 * (process_time() - start))
    return [min(column) for column in zip(*times[2:], strict=True)]


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("side", [32, 128, 256])
def test_inference_and_attribution(scale, side):
    ours, torchs = (build("fsrcnn", scale=scale).eval().requires_grad_(False) for _ in range(2))
    torchs.tail_conv.__class__ = Torchs
    x, features = torch.rand(1, 3, side, side), torch.rand(1, 56, side, side)
    layer = least(*(lambda n=n: n.tail_conv(features) for n in (ours, torchs)))
    network = least(*(lambda n=n: n(x) for n in (ours, torchs)))
    x.requires_grad_()
    gradient = least(*(lambda n=n: torch.autograd.grad(n(x).sum(), x) for n in (ours, torchs)))
    print(
        f"\nx{scale}, {side} x {side} LR pixels, one thread:",
        *(
            f"{what} {b:.1f} -> {a:.1f} ms (x{b / a:.2f})"
            for what, (a, b) in {"layer": layer, "network": network, "gradient": gradient}.items()
        ),
        sep=" ",
    )
