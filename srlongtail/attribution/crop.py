"""Computing on a part of the image where that is known to be the same as on the whole.

Why an attribution on a crop is that of the whole image: the target reads a window of SR pixels,
and that window depends on the LR pixels of its receptive field alone. With respect to all others
its gradient is 0. With respect to those inside, it is the gradient of the same function, as long as
the network computes the same function on the crop. A network of local operations does: what its
layers pad at the crop's borders instead of the image that went on there lies outside of what the
window depends on, or the border is the image's own. A network that looks at the whole image, as
by a mean over all pixels, or at where a pixel lies, does not, and shows it: its output changes. So
the output in the window is compared before a crop is relied on.

The path is no part of that argument: its points are blurred, and the blur of a pixel reads beyond
the crop. It is laid through a larger part, by the reach of the path, and the crop cut from it.
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
from srlongtail.attribution.target import Target, WindowTarget
from srlongtail.device import eval_mode
from srlongtail.errors import InputError
from srlongtail.geometry import Box

_WORTH_CROPPING = 0.8  # of the image: a larger crop saves less than its check costs


class Part(NamedTuple):
    """The part of an LR image to compute on, and why it is that part."""

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
    """What to compute on: the LR pixels that the target depends on, or the whole image.

    The crop is used if its output, where the target reads it, equals that of the whole image.

    Args:
        model: `(N, 3, h, w)` -> SR.
        lr: `(3, h, w)`.
        target: a target of the whole SR image.
        reads: the pixels that it depends on, by `field`.
        field: the network's receptive field.
        sr: the output `(3, H, W)` for the whole image. Without it, the crop is compared with the
            output for its surroundings, up to the whole image.
        spare: how many LR pixels the surroundings may have.
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
    if sr is None:  # a margin that makes about `spare` pixels of it: all of the image may cost more
        margin = max(1, (isqrt(spare) - min(reads.height, reads.width)) // 2)
        compared = reads.grown(margin, whole.height, whole.width)
    try:
        with torch.no_grad():
            reference = output(compared) if sr is None else target.cut(sr)
            difference = relative_difference(output(reads), reference)
    except (RuntimeError, InputError) as error:  # of sizes that the whole image has not
        said = str(error).splitlines()[0]
        return Part(whole, f"{reads.height} x {reads.width} LR pixels do not go through: {said}")
    beside = f"that on {compared.height} x {compared.width} LR pixels"
    if difference > TOLERANCE:
        return Part(whole, f"the output on the receptive field is {difference:.1g} off {beside}")
    return Part(reads, f"the output on the receptive field equals {beside} to {difference:.1g}")


def seen_from(target: WindowTarget, box: Box, scale: int) -> WindowTarget:
    """The target in the SR image of a part of the LR image.

    >>> from srlongtail.attribution.target import Intensity
    >>> seen_from(Intensity((8, 9, 4)), Box(1, 2, 5, 6), scale=4)
    Intensity(window=(4, 1, 4))
    """
    corner = box.to_sr(scale)
    return target.moved(corner.top, corner.left)


def whole_output(model: Model, lr: Tensor) -> Tensor:
    """The model's output `(3, H, W)` for one LR image `(3, h, w)`, not clamped, no gradient."""
    with eval_mode(model), torch.no_grad():
        return keeping_input(model)(lr[None])[0]
