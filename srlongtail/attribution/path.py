"""Paths of integration, from an uninformative image to the image itself."""

from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from srlongtail.errors import InputError


class Path(Protocol):
    """A curve through image space: position 0 is its start, position 1 is the image itself.

    Attributes:
        reach: Distance in pixels up to which other pixels influence a pixel's curve. A crop
            with this margin gives the same path as the whole image.
    """

    @property
    def reach(self) -> int: ...

    def __call__(self, images: Tensor, positions: Tensor) -> Tensor:
        """Return the points `(T, N, C, h, w)` for images `(N, C, h, w)` and positions `(T,)`."""
        ...


@dataclass(frozen=True)
class BlurPath:
    """LAM's path from blurred to sharp: a Gaussian blur whose sigma falls linearly to 0.

    Borders are mirrored without repeating the edge pixel. Source: Gu and Dong, "Interpreting
    super-resolution networks with local attribution maps", CVPR 2021; the defaults are those of
    their code.

    Args:
        sigma: Standard deviation of the blur at the start, in LR pixels.
        size: Number of kernel taps along each axis, odd.

    Example:
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
                f"blur with sigma {self.sigma} and {self.size} taps, expected a positive sigma and "
                f"an odd number of taps"
            )

    @property
    def reach(self) -> int:
        """Half the width of the kernel, in pixels."""
        return self.size // 2

    def __call__(self, images: Tensor, positions: Tensor) -> Tensor:
        """Return the images blurred with sigma * (1 - position)."""
        count, channels, height, width = images.shape
        if min(height, width) <= self.reach:
            raise InputError(
                f"image of {height} x {width} pixels, expected at least {self.reach + 1} x "
                f"{self.reach + 1} for a blur with {self.size} taps"
            )
        kernels = self._kernels(positions).to(images)
        planes = images.reshape(-1, 1, height, width)
        padded = F.pad(planes, (self.reach,) * 4, mode="reflect")
        blurred = F.conv2d(padded, kernels[:, None])
        return blurred.transpose(0, 1).reshape(-1, count, channels, height, width)

    def _kernels(self, positions: Tensor) -> Tensor:
        """Return normalized kernels `(T, size, size)`; at sigma 0 only the center tap is not 0."""
        # The published code adds 1e-5, so that sigma 0 is no special case.
        sigmas = self.sigma * (1 - positions.double()) + 1e-5
        taps = torch.arange(-self.reach, self.reach + 1, dtype=torch.float64)
        squares = taps[:, None] ** 2 + taps**2
        kernels = torch.exp(-squares / (2 * sigmas[:, None, None] ** 2))
        return kernels / kernels.sum((-2, -1), keepdim=True)


@dataclass(frozen=True)
class LinearPath:
    """The path of integrated gradients: a straight line from a constant image to the image.

    Source: Sundararajan, Taly, Yan, "Axiomatic attribution for deep networks", ICML 2017.

    Args:
        level: Value of the constant image; 0 is black.

    Example:
        >>> LinearPath()(torch.ones(1, 1, 1, 1), torch.tensor([0.25])).item()
        0.25
    """

    level: float = 0.0

    @property
    def reach(self) -> int:
        """0: a pixel's path depends on that pixel alone."""
        return 0

    def __call__(self, images: Tensor, positions: Tensor) -> Tensor:
        """Return `level + position * (image - level)`."""
        steps = positions.to(images).reshape(-1, 1, 1, 1, 1)
        return self.level + steps * (images - self.level)
