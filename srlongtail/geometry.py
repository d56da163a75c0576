"""Positions in an image: windows of SR pixels, boxes of pixels, conversion between SR and LR.

All windows are square, `(row, column, size)` in SR pixels. A box holds SR or LR pixels; its
methods `to_lr` and `to_sr` convert between them.
"""

from dataclasses import dataclass
from typing import Any, TypeVar

from numpy.typing import NDArray
from torch import Tensor

from srlongtail.errors import InputError

Window = tuple[int, int, int]
"""A square window: row and column of its first pixel, and its side, all in SR pixels."""

Image = TypeVar("Image", Tensor, NDArray[Any])


@dataclass(frozen=True)
class Box:
    """A rectangle of pixels: rows `top` to `bottom - 1`, columns `left` to `right - 1`.

    Example:
        >>> Box(2, 3, 4, 9).height, Box(2, 3, 4, 9).width
        (2, 6)
    """

    top: int
    left: int
    bottom: int
    right: int

    @classmethod
    def of(cls, window: Window) -> "Box":
        """Return the box of a window, in SR pixels.

        Example:
            >>> Box.of((2, 3, 4))
            Box(top=2, left=3, bottom=6, right=7)
        """
        row, column, size = window
        return cls(row, column, row + size, column + size)

    @property
    def height(self) -> int:
        """Number of rows."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.right - self.left

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        return self.height * self.width

    def to_lr(self, scale: int) -> "Box":
        """Return the LR pixels that a box of SR pixels covers fully or partly.

        Example:
            >>> Box(3, 4, 9, 8).to_lr(4)
            Box(top=0, left=1, bottom=3, right=2)
        """
        return Box(
            self.top // scale, self.left // scale, -(-self.bottom // scale), -(-self.right // scale)
        )

    def to_sr(self, scale: int) -> "Box":
        """Return the SR pixels that a box of LR pixels covers.

        Example:
            >>> Box(0, 1, 3, 2).to_sr(4)
            Box(top=0, left=4, bottom=12, right=8)
        """
        return Box(self.top * scale, self.left * scale, self.bottom * scale, self.right * scale)

    def grown(self, margin: int, height: int, width: int) -> "Box":
        """Return the box with a margin, clipped to a `height` x `width` image."""
        return Box(
            max(self.top - margin, 0),
            max(self.left - margin, 0),
            min(self.bottom + margin, height),
            min(self.right + margin, width),
        )

    def seen_from(self, other: "Box") -> "Box":
        """Return this box in the coordinates of the part of the image that `other` cuts out."""
        return Box(
            self.top - other.top,
            self.left - other.left,
            self.bottom - other.top,
            self.right - other.left,
        )

    def lies_in(self, height: int, width: int) -> bool:
        """Return whether the box is not empty and lies inside a `height` x `width` image.

        Example:
            >>> Box(0, 4, 2, 8).lies_in(2, 8), Box(0, 4, 2, 8).lies_in(2, 7)
            (True, False)
        """
        return 0 <= self.top < self.bottom <= height and 0 <= self.left < self.right <= width

    def cut(self, image: Image) -> Image:
        """Return the part of a tensor or array `(..., H, W)` inside the box, as a view."""
        return image[..., self.top : self.bottom, self.left : self.right]


def crop(image: Image, window: Window) -> Image:
    """Return the part of a tensor or array `(..., H, W)` inside a window, as a view.

    Example:
        >>> import torch
        >>> crop(torch.rand(3, 10, 10), (2, 3, 4)).shape
        torch.Size([3, 4, 4])
    """
    return Box.of(window).cut(image)


def check_window(window: Any, height: int, width: int, image: str = "the SR image") -> None:
    """Raise an error unless a window lies inside an image of `height` x `width` SR pixels.

    Args:
        window: Row, column and size to check.
        height: Height of the image in SR pixels.
        width: Width of the image in SR pixels.
        image: What the error message calls the image.

    Raises:
        InputError: `window` is not three integers, its size does not fit, or it lies outside.

    Example:
        >>> check_window((0, 8, 16), 24, 24)
    """
    if len(window) != 3 or not all(isinstance(value, int) for value in window):
        raise InputError(f"window {window}, expected three integers: row, column and size")
    row, column, size = window
    given = f"window {row} {column} {size} (row, column, size in SR pixels)"
    if not 1 <= size <= min(height, width):
        raise InputError(f"{given}, expected a size from 1 to {min(height, width)} in {image}")
    if not Box.of(window).lies_in(height, width):
        raise InputError(
            f"{given}, expected one inside the {height} x {width} pixels of {image}: "
            f"row from 0 to {height - size}, column from 0 to {width - size}"
        )
