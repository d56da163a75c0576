"""Enlarge an image in overlapping tiles, which are averaged, or in pieces of the whole."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from srlongtail.errors import InputError
from srlongtail.geometry import Box


@dataclass(frozen=True)
class Tiling:
    """Square tiles of `size` LR pixels, one every `step` pixels; the paper uses 32 and 28.

    The last tile of a row or column is moved back so that it ends at the image's border. An image
    smaller than a tile is one tile.

    Example:
        >>> Tiling(32, 28).starts(70)
        [0, 28, 38]
    """

    size: int = 32
    step: int = 28

    def __post_init__(self) -> None:
        if not 1 <= self.step <= self.size:
            raise InputError(
                f"tiles of size {self.size} with step {self.step}, expected 1 <= step <= size"
            )

    def starts(self, length: int) -> list[int]:
        """Return the first pixel of each tile along an axis of `length` pixels."""
        last = max(0, length - self.size)
        return [*range(0, last, self.step), last]

    def corners(self, height: int, width: int) -> list[tuple[int, int]]:
        """Return the (row, column) of every tile's first pixel."""
        return [(r, c) for r in self.starts(height) for c in self.starts(width)]


@dataclass(frozen=True)
class Pieces:
    """Square pieces of `size` LR pixels, computed with `margin` more on each side, then cut off.

    Example:
        >>> Pieces(128)
        Pieces(size=128, margin=64)
    """

    size: int = 256
    margin: int = 64

    def __post_init__(self) -> None:
        if self.size < 1 or self.margin < 0:
            raise InputError(
                f"pieces of size {self.size} with margin {self.margin}, expected size >= 1 and "
                f"margin >= 0"
            )


def apply_in_tiles(
    enlarge: Callable[[Tensor], Tensor], lr: Tensor, scale: int, tiling: Tiling, batch: int = 32
) -> Tensor:
    """Enlarge an LR image `(C, h, w)` tile by tile, and average the overlaps.

    Memory holds the result and one batch of tiles.

    Args:
        enlarge: `(N, C, h, w)` -> `(N, C, h * scale, w * scale)`.
        lr: `(C, h, w)`.
        scale: Factor of `enlarge`.
        tiling: Size and step of the tiles.
        batch: Number of tiles per call of `enlarge`.

    Returns:
        `(C, h * scale, w * scale)`.

    Example:
        >>> from srlongtail.image.resample import upsample_bicubic
        >>> lr = torch.rand(3, 9, 40)
        >>> apply_in_tiles(lambda tiles: upsample_bicubic(tiles, 2), lr, 2, Tiling()).shape
        torch.Size([3, 18, 80])
    """
    channels, height, width = lr.shape
    total = lr.new_zeros(channels, height * scale, width * scale)
    corners = tiling.corners(height, width)
    for start in range(0, len(corners), batch):
        boxes = [
            Box(row, column, min(row + tiling.size, height), min(column + tiling.size, width))
            for row, column in corners[start : start + batch]
        ]
        for box, tile in zip(boxes, enlarge(torch.stack([b.cut(lr) for b in boxes])), strict=True):
            box.to_sr(scale).cut(total).add_(tile)
    rows, columns = (
        _tiles_over(length, tiling).repeat_interleave(scale).to(total) for length in (height, width)
    )
    return total.div_(rows[:, None]).div_(columns)


def _tiles_over(length: int, tiling: Tiling) -> Tensor:
    """Return in how many tiles each pixel of an axis lies."""
    count = torch.zeros(length)
    for start in tiling.starts(length):
        count[start : start + tiling.size] += 1
    return count


def apply_in_pieces(
    enlarge: Callable[[Tensor], Tensor], lr: Tensor, scale: int, pieces: Pieces
) -> Tensor:
    """Enlarge an LR image `(C, h, w)` piece by piece, each with a margin that is cut off again.

    The result equals that of the whole image if an SR pixel depends only on LR pixels that are at
    most the margin away.

    Args:
        enlarge: `(N, C, h, w)` -> `(N, C, h * scale, w * scale)`.
        lr: `(C, h, w)`.
        scale: Factor of `enlarge`.
        pieces: Size of the pieces, and their margin, which ends at the image's border.

    Returns:
        `(C, h * scale, w * scale)`, on the device of `lr`.

    Example:
        >>> from srlongtail.image.resample import upsample_bicubic
        >>> lr = torch.rand(3, 30, 50)
        >>> in_pieces = apply_in_pieces(lambda lr: upsample_bicubic(lr, 2), lr, 2, Pieces(16, 3))
        >>> torch.allclose(in_pieces, upsample_bicubic(lr, 2), atol=1e-6)
        True
    """
    channels, height, width = lr.shape
    whole = lr.new_empty(channels, height * scale, width * scale)
    size = pieces.size
    for top, left in product(range(0, height, size), range(0, width, size)):
        piece = Box(top, left, min(top + size, height), min(left + size, width))
        around = piece.grown(pieces.margin, height, width)
        enlarged = enlarge(around.cut(lr)[None])[0]
        piece.to_sr(scale).cut(whole).copy_(piece.seen_from(around).to_sr(scale).cut(enlarged))
    return whole
