"""Which LR pixels an SR pixel can depend on, measured on any network, whatever its layers."""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor

from srlongtail.device import is_out_of_memory
from srlongtail.errors import InputError
from srlongtail.geometry import Box

_FIRST_CANVAS = 32  # LR pixels; doubled until the field fits. Networks accept multiples of it
_LARGE = 256  # LR pixels; for images this large, a canvas larger than the image costs too much
_MOVED = 16  # LR pixels; operations on blocks up to this size are detected by moving the image

TOLERANCE = 1e-5  # share of the largest value; outputs this close differ only by rounding


@dataclass(frozen=True)
class ReceptiveField:
    """The LR rows and columns that each SR pixel reads; the field moves with the pixel.

    Attributes:
        scale: SR pixels per LR pixel.
        rows, columns: The first and the last SR row (column) that LR row (column) 0 influences
            in an infinite image; None if every pixel of the image is read.
        reason: Why a field is None, in words.
    """

    scale: int
    rows: tuple[int, int] | None = None
    columns: tuple[int, int] | None = None
    reason: str = ""

    def box(self, row: int, column: int, size: int, height: int, width: int) -> Box:
        """Return the pixels of a `height` x `width` LR image that a square of SR pixels reads."""
        top, bottom = self._read(self.rows, row, size, height)
        left, right = self._read(self.columns, column, size, width)
        return Box(top, left, bottom, right)

    def _read(
        self, reached: tuple[int, int] | None, start: int, size: int, length: int
    ) -> tuple[int, int]:
        if reached is None:
            return 0, length
        first, last = reached
        # LR row i influences SR rows first + scale i to last + scale i.
        lowest = -((last - start) // self.scale)
        highest = (start + size - 1 - first) // self.scale
        return max(lowest, 0), min(highest + 1, length)


def receptive_field(model: Callable[[Tensor], Tensor], lr: Tensor) -> ReceptiveField:
    """Find a network's receptive field by placing NaN in its input.

    Every output that reads a NaN becomes NaN, whatever the weights are. One row and one column of
    NaN in a canvas therefore mark exactly the SR pixels that read them. The canvas is doubled
    until the marked part ends inside it, up to twice the side of the image (for a large image, up
    to its side). The field of a network that masks NaN is underestimated, and a network whose
    field depends on the position has no single field. So compare outputs before you use a field.

    Args:
        model: `(N, 3, h, w)` -> `(N, 3, h * scale, w * scale)`.
        lr: An image to be attributed, or one like it; only its size, dtype and device matter.

    Raises:
        InputError: The output's size is not a whole multiple of the input's.

    Example:
        >>> from srlongtail.image.resample import upsample_bicubic
        >>> field = receptive_field(lambda lr: upsample_bicubic(lr, 4), torch.rand(3, 64, 64))
        >>> field.box(100, 100, 4, 64, 64)
        Box(top=23, left=23, bottom=28, right=28)
    """
    image_side = max(lr.shape[-2:])
    largest = max(image_side, min(2 * image_side, _LARGE))
    side = _FIRST_CANVAS
    while True:
        try:
            scale, rows, columns = _probe(model, lr.new_full((1, 3, side, side), 0.5))
            if rows is not None and columns is not None:
                off = _off_when_moved(model, lr, scale, rows, columns)
                if off <= TOLERANCE:
                    return ReceptiveField(scale, rows, columns)
                reason = (
                    f"the network is not shift-invariant: if the image moves by one LR pixel, its "
                    f"output changes by {off:.1g} apart from moving"
                )
                return ReceptiveField(scale, reason=reason)
        except RuntimeError as error:
            if side == _FIRST_CANVAS or not is_out_of_memory(error):
                raise
            reason = f"memory is short for a canvas of {side} x {side} LR pixels"
            return ReceptiveField(scale, reason=reason)
        if 2 * side > largest:
            reason = f"the receptive field exceeds a canvas of {side} x {side} LR pixels"
            return ReceptiveField(scale, rows, columns, reason)
        side *= 2


def output_scale(lr: Tensor, sr: Tensor) -> int:
    """Return the SR pixels per LR pixel, from the sizes of a network's input and output.

    Raises:
        InputError: The output's size is not a whole multiple of the input's.

    Example:
        >>> output_scale(torch.rand(1, 3, 4, 5), torch.rand(1, 3, 8, 10))
        2
    """
    height, width = lr.shape[-2:]
    scale = sr.shape[-1] // width if sr.dim() == 4 else 0
    expected = (*lr.shape[:2], height * scale, width * scale)
    if scale < 1 or tuple(sr.shape) != expected:
        raise InputError(
            f"the network turned {tuple(lr.shape)} into {tuple(sr.shape)}, expected "
            f"({lr.shape[0]}, {lr.shape[1]}, {height} * scale, {width} * scale)"
        )
    return scale


def relative_difference(found: Tensor, reference: Tensor) -> float:
    """Return the largest difference, as a share of the reference's largest absolute value.

    Example:
        >>> relative_difference(torch.tensor([1.0, 4.5]), torch.tensor([1.0, 5.0]))
        0.10000000149011612
    """
    if found.shape != reference.shape:
        return inf
    return float((found - reference).abs().max() / reference.abs().max().clamp(min=1e-30))


def _probe(
    model: Callable[[Tensor], Tensor], canvas: Tensor
) -> tuple[int, tuple[int, int] | None, tuple[int, int] | None]:
    """Return the scale, and the SR rows and columns that LR row and column 0 influence."""
    middle = canvas.shape[-1] // 2
    canvas[..., middle, :] = torch.nan
    canvas[..., middle] = torch.nan
    # cuDNN's fast convolutions work on blocks of pixels and spread a NaN over a whole block.
    with torch.no_grad(), torch.backends.cudnn.flags(enabled=False):
        sr = model(canvas)
    scale = output_scale(canvas, sr)
    reached = sr.isnan().flatten(0, 1).any(0)
    # An SR row that the NaN row influences is NaN from end to end; the NaN column marks a part.
    origin = middle * scale
    return scale, _extent(reached.all(1), origin), _extent(reached.all(0), origin)


def _off_when_moved(
    model: Callable[[Tensor], Tensor],
    lr: Tensor,
    scale: int,
    rows: tuple[int, int],
    columns: tuple[int, int],
) -> float:
    """Return how much the output changes, apart from moving, if the input moves by 1 LR pixel."""
    (height, top, bottom), (width, left, right) = (
        _away_from_ends(r, scale) for r in (rows, columns)
    )
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(lr.shape[0], height + 1, width + 1, generator=generator).to(lr)
    with torch.no_grad():
        before, after = model(torch.stack([noise[:, :-1, :-1], noise[:, 1:, 1:]]))
    return relative_difference(
        after[:, top : bottom - scale, left : right - scale],
        before[:, top + scale : bottom, left + scale : right],
    )


def _away_from_ends(reached: tuple[int, int], scale: int) -> tuple[int, int, int]:
    """Return an LR length, and the first and end SR pixel that read nothing beyond its ends."""
    first, last = reached
    start, short = max(last - scale + 1, 0), max(-first, 0)
    wanted = _MOVED + (start + short) // scale
    length = -(-wanted // _FIRST_CANVAS) * _FIRST_CANVAS
    return length, start, length * scale - short


def _extent(reached: Tensor, origin: int) -> tuple[int, int] | None:
    """Return the first and last index reached, relative to `origin`; None at the canvas's ends."""
    indices = reached.nonzero().flatten().tolist()
    if not indices or indices[0] == 0 or indices[-1] == len(reached) - 1:
        return None
    return indices[0] - origin, indices[-1] - origin
