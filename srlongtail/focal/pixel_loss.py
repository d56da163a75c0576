"""What all losses have in common, and L1 and L2 with a weight for every pixel."""

from collections.abc import Callable

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
        distance = (sr - hr).abs()
        error = distance if self.p == 1 else distance.square()
        if self.weight is not None:
            with torch.no_grad():
                weight = self.weight(sr.detach(), hr, bicubic)
            error = error * weight
        return torch.mean(error)

    @torch.no_grad()
    def output_gradient(self, sr: Tensor, hr: Tensor, bicubic: Tensor) -> Tensor:
        """Return the gradient with respect to SR, `p W |SR - HR|^(p-1) sign(SR - HR) / N`."""
        difference = sr - hr
        gradient = difference.sign() if self.p == 1 else 2 * difference
        if self.weight is not None:
            gradient = gradient * self.weight(sr, hr, bicubic)
        return gradient / sr.numel()


def _at_least_float32(images: Tensor) -> Tensor:
    return images if images.dtype == torch.float64 else images.float()
