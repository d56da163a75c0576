"""Paths from an uninformative image to the image itself, along which gradients are summed."""

from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from srlongtail.errors import InputError


class Path(Protocol):
    """A curve through image space: position 0 is its start, position 1 the image itself.

    Attributes:
        reach: how many pixels away a pixel's curve looks; a path on a crop that is this much
            wider is the path on the whole image.
    """

    @property
    def reach(self) -> int: ...

    def __call__(self, images: Tensor, positions: Tensor) -> Tensor:
        """`(N, C, h, w)` and `(T,)` in [0, 1] -> the points `(T, N, C, h, w)`."""
        ...


@dataclass(frozen=True)
class BlurPath:
    """From blurred to sharp: a Gaussian whose sigma falls linearly to 0, as LAM uses.

    Borders are mirrored without repeating the edge pixel. Source: Gu and Dong, "Interpreting
    super-resolution networks with local attribution maps", CVPR 2021; values of their code.

    Args:
        sigma: of the blur at the start, in LR pixels.
        size: taps of the kernel along each axis, odd.

    >>> image = torch.rand(1, 3, 8, 8)
    >>> points = BlurPath()(image, torch.tensor([0.0, 1.0]))
    >>> points.shape, torch.equal(points[1], image)
    (torch.Size([2, 1, 3, 8, 8]), True)
    """

    sigma: float = 1.2
    size: int = 9

    def __post_init__(self) -> None:
        if self.sigma <= 0 or self.size < 1 or self.size % 2 == 0:
            raise InputError(
                f"blur of sigma {self.sigma} and {self.size} taps, expected a positive sigma and "
                f"an odd number of taps"
            )

    @property
    def reach(self) -> int:
        """Half the kernel."""
        return self.size // 2

    def __call__(self, images: Tensor, positions: Tensor) -> Tensor:
        """The images blurred with sigma * (1 - position)."""
        count, channels, height, width = images.shape
        if min(height, width) <= self.reach:
            raise InputError(
                f"image of {height} x {width} pixels, expected at least {self.reach + 1} x "
                f"{self.reach + 1} for a blur of {self.size} taps"
            )
        kernels = self._kernels(positions).to(images)
        planes = images.reshape(-1, 1, height, width)
        padded = F.pad(planes, (self.reach,) * 4, mode="reflect")
        blurred = F.conv2d(padded, kernels[:, None])
        return blurred.transpose(0, 1).reshape(-1, count, channels, height, width)

    def _kernels(self, positions: Tensor) -> Tensor:
        """`(T,)` -> normalised kernels `(T, size, size)`; at sigma 0 the centre tap alone."""
        # The published code adds 1e-5 so that sigma 0 needs no case of its own.
        sigmas = self.sigma * (1 - positions.double()) + 1e-5
        taps = torch.arange(-self.reach, self.reach + 1, dtype=torch.float64)
        squares = taps[:, None] ** 2 + taps**2
        kernels = torch.exp(-squares / (2 * sigmas[:, None, None] ** 2))
        return kernels / kernels.sum((-2, -1), keepdim=True)


@dataclass(frozen=True)
class LinearPath:
    """From a constant image to the image along a straight line: integrated gradients.

    Source: Sundararajan, Taly, Yan, "Axiomatic attribution for deep networks", ICML 2017.

    Args:
        level: of the constant image; 0 is black.

    >>> LinearPath()(torch.ones(1, 1, 1, 1), torch.tensor([0.25])).item()
    0.25
    """

    level: float = 0.0

    @property
    def reach(self) -> int:
        """A pixel's line depends on that pixel alone."""
        return 0

    def __call__(self, images: Tensor, positions: Tensor) -> Tensor:
        """`level + position * (image - level)`."""
        steps = positions.to(images).reshape(-1, 1, 1, 1, 1)
        return self.level + steps * (images - self.level)
