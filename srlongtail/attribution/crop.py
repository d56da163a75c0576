"""Compute on a part of the image where the result equals that on the whole image.

Why an attribution on a crop equals that on the whole image: the target reads a window of SR
pixels, and the window depends only on the LR pixels of its receptive field. The gradient with
respect to all other pixels is 0. The gradient with respect to the pixels inside is the same if the
network computes the same function on the crop. A network of local operations does: the padding at
the crop's borders lies outside the receptive field, unless the border is the image's own. A
network that depends on the whole image (for example on a mean over all pixels) or on the position
of a pixel does not, and its output changes. Therefore the output in the window is compared before
a crop is used.

The path needs more than the crop: its points are blurred, and the blur of a pixel reads beyond the
crop. So the path is computed on a part that is larger by the path's reach, and then cropped.
"""

from math import isqrt
from typing import NamedTuple

import torch
from torch import Tensor

from srlongtail.attribution.integral import Model, keeping_input
from srlongtail.attribution.receptive_field import (
    TOLERANCE,
    ReceptiveField,
    relative_difference,
)
from srlongtail.attribution.target import Moved, Target, WindowTarget
from srlongtail.device import eval_mode, is_out_of_memory
from srlongtail.errors import InputError
from srlongtail.geometry import Box

_WORTH_CROPPING = 0.8  # share of the image; a larger crop saves less than its check costs


class Part(NamedTuple):
    """The part of an LR image to compute on, and the reason for it."""

    box: Box
    why: str


def choose_part(
    model: Model,
    lr: Tensor,
    target: Target,
    reads: Box,
    field: ReceptiveField,
    *,
    sr: Tensor | None,
    spare: int,
) -> Part:
    """Return the part to compute on: the LR pixels that the target depends on, or the whole image.

    The crop is used if its output in the target's window equals that of the whole image.

    Args:
        model: `(N, 3, h, w)` -> SR.
        lr: `(3, h, w)`.
        target: A target of the whole SR image.
        reads: The LR pixels that the target depends on according to `field`.
        field: The network's receptive field.
        sr: The output `(3, H, W)` for the whole image. Without it, the crop is compared with the
            output for a larger part around it, up to the whole image.
        spare: Maximum number of LR pixels in that larger part.
    """
    whole = Box(0, 0, *lr.shape[-2:])
    if not isinstance(target, WindowTarget):
        return Part(whole, "the target does not say which pixels it reads")
    if field.reason:
        return Part(whole, field.reason)
    if reads.pixels > _WORTH_CROPPING * whole.pixels:
        return Part(whole, f"the window depends on {reads.pixels / whole.pixels:.0%} of the image")

    def output(box: Box) -> Tensor:
        return seen_from(target, box, field.scale).cut(model(box.cut(lr)[None])[0])

    compared = whole
    if sr is None:  # a margin for about `spare` pixels: the whole image may cost more
        margin = max(1, (isqrt(spare) - min(reads.height, reads.width)) // 2)
        compared = reads.grown(margin, whole.height, whole.width)
    try:
        with torch.no_grad():
            reference = output(compared) if sr is None else target.cut(sr)
            difference = relative_difference(output(reads), reference)
    except (RuntimeError, InputError) as error:  # it may refuse sizes other than the whole image's
        if is_out_of_memory(error):
            raise
        said = str(error).splitlines()[0]
        return Part(whole, f"the network refuses {reads.height} x {reads.width} LR pixels: {said}")
    beside = f"that on {compared.height} x {compared.width} LR pixels"
    if difference > TOLERANCE:
        return Part(whole, f"the output on the receptive field is {difference:.1g} off {beside}")
    return Part(reads, f"the output on the receptive field equals {beside} to {difference:.1g}")


def pixels_read(target: WindowTarget, field: ReceptiveField, height: int, width: int) -> Box:
    """Return the LR pixels that a target depends on, in an LR image of this size.

    Example:
        >>> from srlongtail.attribution.target import GradientDetector
        >>> field = ReceptiveField(4, (-2, 2), (-2, 2))
        >>> pixels_read(GradientDetector((40, 40, 16)), field, 32, 32)
        Box(top=10, left=10, bottom=15, right=15)
    """
    row, column, size = target.window
    return field.box(row, column, size + target.reach, height, width)


def seen_from(target: Moved, box: Box, scale: int) -> Moved:
    """Return the target in the coordinates of the SR image of a part of the LR image.

    Example:
        >>> from srlongtail.attribution.target import Intensity
        >>> seen_from(Intensity((8, 9, 4)), Box(1, 2, 5, 6), scale=4)
        Intensity(window=(4, 1, 4))
    """
    corner = box.to_sr(scale)
    return target.moved(corner.top, corner.left)


def whole_output(model: Model, lr: Tensor) -> Tensor:
    """Return the model's output `(3, H, W)` for an LR image `(3, h, w)`, unclamped, no gradient."""
    with eval_mode(model), torch.no_grad():
        return keeping_input(model)(lr[None])[0]
