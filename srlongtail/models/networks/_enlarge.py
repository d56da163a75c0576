"""A transposed convolution that enlarges an image, computed on a CPU as an ordinary one.

Between two input pixels, a scale of s puts s output pixels, each of which sees its own few taps of
the kernel. So s * s small kernels and a pixel shuffle give the same numbers as the large kernel,
but through the CPU's fast ordinary convolution. Backwards, the transposed one's own way is faster.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import conv_flop_count, register_flop_formula


class EnlargingConv(nn.ConvTranspose2d):
    """An `nn.ConvTranspose2d` whose output has exactly `scale` times the rows and columns.

    Args:
        inputs, outputs: channels.
        kernel: its side, at least `scale`.
        scale: the stride.

    >>> conv = EnlargingConv(3, 2, kernel=9, scale=4)
    >>> x = torch.rand(1, 3, 5, 6)
    >>> conv(x).shape
    torch.Size([1, 2, 20, 24])
    >>> torch.allclose(conv(x), nn.ConvTranspose2d.forward(conv, x), atol=1e-6)
    True
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, scale: int) -> None:
        # The output has scale * (h - 1) + kernel - 2 * padding + output_padding rows, and
        # scale * h are wanted.
        self.extra = (kernel - scale) % 2
        self.margin = (kernel - scale + self.extra) // 2
        super().__init__(inputs, outputs, kernel, scale, self.margin, self.extra)

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """`(N, inputs, h, w)` -> `(N, outputs, h * scale, w * scale)`."""
        if output_size is not None or not input.is_cpu or torch.is_autocast_enabled("cpu"):
            return super().forward(input, output_size)
        assert self.bias is not None
        return _enlarge(input, self.weight, self.bias, self.stride[0], self.margin, self.extra)


# An operation of its own, so that it is differentiated and counted as the one that it stands for.
@torch.library.custom_op("srlongtail::enlarge", mutates_args=())
def _enlarge(
    x: Tensor, weight: Tensor, bias: Tensor, scale: int, padding: int, output_padding: int
) -> Tensor:
    if not x.sum().isfinite():  # the zeros among the small kernels' taps would pass on a NaN
        return F.conv_transpose2d(x, weight, bias, scale, padding, output_padding)
    # Output pixel q * scale + r sees input pixel q - d through tap r + padding + d * scale, for d
    # from -reach to reach. Padded by `before`, the tap lies at r + (d + reach) * scale.
    reach = -(-padding // scale)
    before = reach * scale - padding
    after = before + output_padding
    taps = F.pad(weight, (before, after, before, after))
    kernels = F.pixel_unshuffle(taps, scale).flip(2, 3).transpose(0, 1)
    phases = F.conv2d(x, kernels.contiguous(), bias.repeat_interleave(scale**2), padding=reach)
    return F.pixel_shuffle(phases, scale)


@_enlarge.register_fake
def _shaped(
    x: Tensor, weight: Tensor, bias: Tensor, scale: int, padding: int, output_padding: int
) -> Tensor:
    return F.conv_transpose2d(x, weight, bias, scale, padding, output_padding)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, weight, _, *ctx.geometry = inputs
    ctx.save_for_backward(x, weight)


def _backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    x, weight = ctx.saved_tensors
    scale, padding, output_padding = ((side, side) for side in ctx.geometry)
    gradients = torch.ops.aten.convolution_backward(
        gradient,
        x,
        weight,
        [weight.shape[1]],
        scale,
        padding,
        (1, 1),
        True,  # transposed
        output_padding,
        1,
        ctx.needs_input_grad[:3],
    )
    return *gradients, None, None, None


_enlarge.register_autograd(_backward, setup_context=_save)


@register_flop_formula(torch.ops.srlongtail.enlarge)
def _operations(
    x_shape: list[int], weight_shape: list[int], *_: Any, out_shape: list[int], **__: Any
) -> int:
    return conv_flop_count(x_shape, weight_shape, out_shape, transposed=True)
