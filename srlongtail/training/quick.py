"""Exact but faster ways, on a CPU, to compute what takes the longest in a step of FSRCNN."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from srlongtail.image.resample import upsample_bicubic


class BicubicOfPatches:
    """`upsample_bicubic` for square patches of one size, as two matrix products.

    Enlarging is linear and separable: the same matrix does the columns and the rows. Gives images
    that lie channels last in memory.

    >>> lr = torch.rand(2, 3, 8, 8)
    >>> torch.allclose(BicubicOfPatches(8, 4)(lr), upsample_bicubic(lr, 4), atol=1e-6)
    True
    """

    def __init__(self, size: int, scale: int) -> None:
        # The response to each row: enlarging an image whose columns are all that unit vector.
        rows = torch.eye(size)[:, None, :, None].expand(size, 1, size, size)
        self._matrix = upsample_bicubic(rows, scale)[:, 0, :, 0].T.contiguous()

    def __call__(self, lr: Tensor) -> Tensor:
        """`(N, C, size, size)` -> `(N, C, size * scale, size * scale)`."""
        wide = (lr @ self._matrix.T).permute(0, 2, 3, 1)
        both = self._matrix @ wide.flatten(2)
        return both.unflatten(2, wide.shape[2:]).permute(0, 3, 1, 2)


class QuickPReLU(nn.PReLU):
    """A PReLU of one slope, with a gradient some three times as fast as torch's."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape -> the same."""
        return _SlopedBelow.apply(input, self.weight)


def quicken(network: nn.Module) -> None:
    """Exchange a network's PReLUs that have one slope; they keep their parameters."""
    for name, child in network.named_children():
        if type(child) is nn.PReLU and child.num_parameters == 1:
            quick = QuickPReLU()
            quick.weight = child.weight
            setattr(network, name, quick)
        else:
            quicken(child)


class _SlopedBelow(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        ctx.slope = slope.item()
        return F.leaky_relu(x, ctx.slope)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        (x,) = ctx.saved_tensors
        towards_x = torch.ops.aten.leaky_relu_backward(gradient, x, ctx.slope, False)
        return towards_x, (x.clamp(max=0) * gradient).sum().reshape(1)
