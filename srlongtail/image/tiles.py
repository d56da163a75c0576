"""Enlarge an image in overlapping tiles, which are averaged, or in pieces of the whole."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from srlongtail.errors import InputError
from srlongtail.geometry import Box, crop


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


def split(image: Tensor, tiling: Tiling) -> Tensor:
    """Split `(C, H, W)` into tiles `(T, C, size, size)`, in the order of `tiling.corners`.

    If the image is shorter than a tile along an axis, so is the tile.

    Example:
        >>> split(torch.rand(3, 40, 20), Tiling(32, 28)).shape
        torch.Size([2, 3, 32, 20])
    """
    height, width = image.shape[-2:]
    return torch.stack(
        [crop(image, (row, column, tiling.size)) for row, column in tiling.corners(height, width)]
    )


def merge(tiles: Tensor, tiling: Tiling, height: int, width: int, scale: int = 1) -> Tensor:
    """Merge tiles into an image `(C, height * scale, width * scale)`; overlaps are averaged.

    Args:
        tiles: `(T, C, size * scale, size * scale)`, in the order of `split`.
        tiling: The tiling that `split` used.
        height, width: Size of the image that was split.
        scale: Factor by which the tiles were enlarged after `split`.

    Example:
        >>> image = torch.rand(3, 40, 50)
        >>> tiles = split(image, Tiling(16, 12))
        >>> torch.allclose(merge(tiles, Tiling(16, 12), 40, 50), image)
        True
    """
    total = tiles.new_zeros(tiles.shape[1], height * scale, width * scale)
    count = tiles.new_zeros(1, height * scale, width * scale)
    rows, columns = (side // scale for side in tiles.shape[-2:])
    for tile, (row, column) in zip(tiles, tiling.corners(height, width), strict=True):
        place = Box(row, column, row + rows, column + columns).to_sr(scale)
        place.cut(total).add_(tile)
        place.cut(count).add_(1)
    return total / count


def apply_in_tiles(
    enlarge: Callable[[Tensor], Tensor], lr: Tensor, scale: int, tiling: Tiling, batch: int = 32
) -> Tensor:
    """Enlarge an LR image `(C, h, w)` tile by tile, `batch` tiles at a time.

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
    tiles = split(lr, tiling)
    enlarged = torch.cat([enlarge(chunk) for chunk in tiles.split(batch)])
    return merge(enlarged, tiling, lr.shape[-2], lr.shape[-1], scale)


def apply_in_pieces(
    enlarge: Callable[[Tensor], Tensor], lr: Tensor, scale: int, size: int, margin: int
) -> Tensor:
    """Enlarge an LR image `(C, h, w)` piece by piece, each with a margin that is cut off again.

    The result equals that of the whole image if an SR pixel depends only on LR pixels that are at
    most `margin` away.

    Args:
        enlarge: `(N, C, h, w)` -> `(N, C, h * scale, w * scale)`.
        lr: `(C, h, w)`.
        scale: Factor of `enlarge`.
        size: Side of a piece without its margin, in LR pixels.
        margin: LR pixels around it, up to the image's border.

    Returns:
        `(C, h * scale, w * scale)`, on the device of `lr`.

    Example:
        >>> from srlongtail.image.resample import upsample_bicubic
        >>> lr = torch.rand(3, 30, 50)
        >>> in_pieces = apply_in_pieces(lambda lr: upsample_bicubic(lr, 2), lr, 2, 16, 3)
        >>> torch.allclose(in_pieces, upsample_bicubic(lr, 2), atol=1e-6)
        True
    """
    channels, height, width = lr.shape
    whole = lr.new_empty(channels, height * scale, width * scale)
    for top, left in product(range(0, height, size), range(0, width, size)):
        piece = Box(top, left, min(top + size, height), min(left + size, width))
        around = piece.grown(margin, height, width)
        enlarged = enlarge(around.cut(lr)[None])[0]
        piece.to_sr(scale).cut(whole).copy_(piece.seen_from(around).to_sr(scale).cut(enlarged))
    return whole
