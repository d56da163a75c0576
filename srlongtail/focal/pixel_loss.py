"""What all losses have in common, and L1 and L2 with a weight for every pixel."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from srlongtail.errors import InputError

Weight = Callable[[Tensor, Tensor, Tensor], Tensor]
"""SR, HR, bicubic `(N, C, H, W)` -> the weight of every pixel, which broadcasts to them."""


class ImageLoss(nn.Module):
    """A loss of SR images, computed in float32 at least, even under autocast.

    Whether a network predicts the image or a residual over bicubic does not matter here: the loss
    takes the full SR image. Subclasses implement `value`.

    Attributes:
        reads_bicubic: Whether the loss depends on the enlarged LR image. If False, `bicubic` may
            be any tensor of that shape, so that a training loop can save the enlargement.
    """

    reads_bicubic = True

    def forward(
        self, sr: Tensor, hr: Tensor, bicubic: Tensor, step: Tensor | int | None = None
    ) -> Tensor:
        """Return the loss of a batch, one number.

        Args:
            sr: The network's full SR images, `(N, C, H, W)`: its output, plus bicubic where it
                predicts the residual over bicubic.
            hr: The true images, in [0, 1], of the same shape.
            bicubic: The enlarged LR images, of the same shape.
            step: Iterations done; no loss of this package depends on it.

        Raises:
            InputError: The shapes differ.
        """
        if not sr.shape == hr.shape == bicubic.shape:
            shapes = ", ".join(str(tuple(images.shape)) for images in (sr, hr, bicubic))
            raise InputError(f"sr, hr and bicubic of shapes {shapes}, expected one shape")
        with torch.autocast(sr.device.type, enabled=False):
            return self.value(*map(_at_least_float32, (sr, hr, bicubic)))

    def value(self, sr: Tensor, hr: Tensor, bicubic: Tensor) -> Tensor:
        """Return the loss of images in full precision, one number."""
        raise NotImplementedError


class PixelLoss(ImageLoss):
    """The mean of `W |SR - HR|^p`, where no gradient flows through the weights W.

    Args:
        weight: Of SR, HR and bicubic; 1 everywhere by default, which is plain L1 or L2.
        p: Exponent, 1 or 2.

    Example:
        >>> loss = PixelLoss(lambda sr, hr, bicubic: 1 + (hr - bicubic).abs())
        >>> hr, bicubic = torch.zeros(1, 3, 1, 1), torch.ones(1, 3, 1, 1)
        >>> sr = bicubic
        >>> loss(sr, hr, bicubic).item(), loss.output_gradient(sr, hr, bicubic).sum().item()
        (2.0, 2.0)
    """

    def __init__(self, weight: Weight | None = None, p: int = 1) -> None:
        super().__init__()
        if p not in (1, 2):
            raise InputError(f"p {p}, expected 1 or 2")
        self.weight = weight
        self.p = p
        self.reads_bicubic = weight is not None

    def value(self, sr: Tensor, hr: Tensor, bicubic: Tensor) -> Tensor:
        """Return the loss of images in full precision, one number."""
        weight = self._weights(sr, hr, bicubic)
        if self.p == 1:
            return _WeightedL1.apply(sr, hr, weight)
        error = (sr - hr).square()
        return torch.mean(error if weight is None else error * weight)

    @torch.no_grad()
    def output_gradient(self, sr: Tensor, hr: Tensor, bicubic: Tensor) -> Tensor:
        """Return the gradient with respect to SR, `p W |SR - HR|^(p-1) sign(SR - HR) / N`."""
        difference, weight = sr - hr, self._weights(sr, hr, bicubic)
        slope = difference.sign() if self.p == 1 else 2 * difference
        return (slope if weight is None else slope * weight) / sr.numel()

    @torch.no_grad()
    def _weights(self, sr: Tensor, hr: Tensor, bicubic: Tensor) -> Tensor | None:
        return None if self.weight is None else self.weight(sr.detach(), hr, bicubic)


class _WeightedL1(torch.autograd.Function):
    """`mean(W |SR - HR|)`, whose gradient is computed beside it, in the memory of the difference.

    The second derivative is 0, as it is where SR and HR differ.

    Gain: 3.7 times for L1, 2.1 times for FPL, for the gradients of 16 images of 128 x 128 pixels.
    """

    @staticmethod
    def forward(ctx: Any, sr: Tensor, hr: Tensor, weight: Tensor | None) -> Tensor:
        difference = sr - hr
        error, slope = difference.abs(), difference.sign_()
        if weight is not None:
            error.mul_(weight)
            slope.mul_(weight)
        ctx.save_for_backward(slope)
        return error.mean()

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        (slope,) = ctx.saved_tensors
        for_sr = slope * (upstream / slope.numel())
        return for_sr, -for_sr if ctx.needs_input_grad[1] else None, None


def _at_least_float32(images: Tensor) -> Tensor:
    return images if images.dtype == torch.float64 else images.float()
