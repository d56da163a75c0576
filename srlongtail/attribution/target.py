"""Targets of attribution: one number that describes a window of the SR image."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, TypeVar

import torch
from torch import Tensor

from srlongtail.geometry import Window, crop

Target = Callable[[Tensor], Tensor]
"""Any callable that maps SR images `(N, 3, H, W)` to one number each, `(N,)`.

A `WindowTarget` is a target that also states which pixels it reads.
"""


Moved = TypeVar("Moved", bound="WindowTarget")


@dataclass(frozen=True)
class WindowTarget(ABC):
    """A target that reads only a window and `reach` pixels below it and to its right."""

    window: Window
    reach: ClassVar[int] = 0

    @abstractmethod
    def __call__(self, sr: Tensor) -> Tensor:
        """`(N, 3, H, W)` -> `(N,)`."""

    def cut(self, sr: Tensor) -> Tensor:
        """Return the part of `(..., H, W)` that is read; it is cut off at the image's borders."""
        row, column, size = self.window
        return crop(sr, (row, column, size + self.reach))

    def moved(self: Moved, rows: int, columns: int) -> Moved:
        """Return the same target in coordinates whose origin is SR pixel (`rows`, `columns`)."""
        row, column, size = self.window
        return replace(self, window=(row - rows, column - columns, size))


@dataclass(frozen=True)
class GradientDetector(WindowTarget):
    """Edge strength: the sum of sqrt(dy^2 + dx^2) over a window's pixels and channels.

    dy and dx are forward differences to the pixel below and the pixel to the right. The last row
    and column of the image have no such neighbor and add nothing.

    The square root has an infinite slope where both differences are exactly 0. The subgradient 0
    is used there. Source: the detector D_xy of Gu and Dong, CVPR 2021; the differences are those
    of their code.

    Args:
        window: `(row, col, size)` in SR pixels.

    Example:
        >>> ramp = torch.arange(4.0).expand(1, 3, 4, 4)
        >>> GradientDetector((0, 0, 2))(ramp)
        tensor([12.])
    """

    reach: ClassVar[int] = 1

    def __call__(self, sr: Tensor) -> Tensor:
        """`(N, 3, H, W)` -> `(N,)`."""
        squares = _squared_slopes(self.cut(sr))
        flat = squares == 0
        slopes = torch.where(flat, 1, squares).sqrt()
        return torch.where(flat, 0, slopes).sum((1, 2, 3))

    def is_flat(self, sr: Tensor) -> Tensor:
        """Return whether any slope in the window is exactly 0: `(N, 3, H, W)` -> bool `(N,)`."""
        return (_squared_slopes(self.cut(sr.detach())) == 0).flatten(1).any(1)


@dataclass(frozen=True)
class PublishedDetector(GradientDetector):
    """The gradient detector exactly as in the published code, including its NaN.

    The value is the same, but the root is computed on the whole image before the window is
    cropped. A pixel with slope 0 anywhere in the image then makes the gradient NaN (0 times
    infinity) for all LR pixels it depends on.

    Example:
        >>> PublishedDetector((0, 0, 2))(torch.arange(4.0).expand(1, 3, 4, 4))
        tensor([12.])
    """

    def __call__(self, sr: Tensor) -> Tensor:
        """`(N, 3, H, W)` -> `(N,)`."""
        return crop(_squared_slopes(sr).sqrt(), self.window).sum((1, 2, 3))


@dataclass(frozen=True)
class Intensity(WindowTarget):
    """The sum of a window's values over its pixels and channels.

    Example:
        >>> Intensity((1, 1, 2))(torch.ones(1, 3, 4, 4))
        tensor([12.])
    """

    def __call__(self, sr: Tensor) -> Tensor:
        """`(N, 3, H, W)` -> `(N,)`."""
        return self.cut(sr).sum((1, 2, 3))


def _squared_slopes(image: Tensor) -> Tensor:
    down = image[..., :-1, :-1] - image[..., 1:, :-1]
    right = image[..., :-1, :-1] - image[..., :-1, 1:]
    return down.square() + right.square()
