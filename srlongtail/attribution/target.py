"""What is attributed: one number about a window of the SR image."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, TypeVar

import torch
from torch import Tensor

from srlongtail.geometry import Window, crop

Target = Callable[[Tensor], Tensor]
"""Any callable that turns SR images `(N, 3, H, W)` into one number each, `(N,)`.

`WindowTarget`s are targets that also say which pixels they read.
"""


Moved = TypeVar("Moved", bound="WindowTarget")


@dataclass(frozen=True)
class WindowTarget(ABC):
    """A target that reads nothing but a window and `reach` pixels below and right of it."""

    window: Window
    reach: ClassVar[int] = 0

    @abstractmethod
    def __call__(self, sr: Tensor) -> Tensor:
        """`(N, 3, H, W)` -> `(N,)`."""

    def cut(self, sr: Tensor) -> Tensor:
        """The part of `(..., H, W)` that is read; shorter where the image ends."""
        row, column, size = self.window
        return crop(sr, (row, column, size + self.reach))

    def moved(self: Moved, rows: int, columns: int) -> Moved:
        """The same target as seen from SR pixel (`rows`, `columns`)."""
        row, column, size = self.window
        return replace(self, window=(row - rows, column - columns, size))


@dataclass(frozen=True)
class GradientDetector(WindowTarget):
    """How much edge there is: the sum of sqrt(dy^2 + dx^2) over a window's pixels and channels.

    dy and dx are forward differences: a pixel against the one below and the one to its right.
    In the last row and column of the image there is no such pixel and nothing is added.

    The square root has an infinite slope where both differences are exactly 0. Its subgradient 0
    is taken there. Source: the detector D_xy of Gu and Dong, CVPR 2021; their code's differences.

    Args:
        window: `(row, col, size)` in SR pixels.

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
        """Whether some slope in the window is exactly 0: `(N, 3, H, W)` -> `(N,)` of bool."""
        return (_squared_slopes(self.cut(sr.detach())) == 0).flatten(1).any(1)


@dataclass(frozen=True)
class PublishedDetector(GradientDetector):
    """The gradient detector to the letter of the published code, NaN included.

    The value is the same, but the root is taken of the whole image before the window is cut out.
    A pixel without slope anywhere in the image then makes the gradient NaN for all LR pixels it
    depends on, as 0 times infinity.

    >>> PublishedDetector((0, 0, 2))(torch.arange(4.0).expand(1, 3, 4, 4))
    tensor([12.])
    """

    def __call__(self, sr: Tensor) -> Tensor:
        """`(N, 3, H, W)` -> `(N,)`."""
        return crop(_squared_slopes(sr).sqrt(), self.window).sum((1, 2, 3))


@dataclass(frozen=True)
class Intensity(WindowTarget):
    """The sum of the values of a window, over its pixels and channels.

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
