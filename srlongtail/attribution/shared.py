"""Maps of many windows of one image, which share passes of the network.

The output of the network at a point of the path is the same for all windows. Windows whose
receptive fields do not overlap share the gradient, too: an LR pixel influences only one of their
targets, so the gradient of the sum of the targets is that of this target.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from srlongtail.attribution.crop import Part, pixels_read, seen_from
from srlongtail.attribution.integral import (
    Line,
    Model,
    PathIntegral,
    images_at_once,
    keeping_input,
)
from srlongtail.attribution.lam import N_STEPS, AttributionMap, local_attribution, map_of
from srlongtail.attribution.path import BlurPath, Path
from srlongtail.attribution.receptive_field import (
    TOLERANCE,
    ReceptiveField,
    relative_difference,
)
from srlongtail.attribution.target import (
    GradientDetector,
    PublishedDetector,
    Target,
    WindowTarget,
)
from srlongtail.attribution.trust import AttributionWarning, difference_of_runs, is_quantized
from srlongtail.errors import InputError
from srlongtail.geometry import Box, Window, check_window

_BACKWARD = 0.5  # share of a gradient's time that its backward pass takes
# Windows that are computed together; more would need too much memory in large images.
_SIDE = 112  # LR pixels of a square of the image, with a finite receptive field
_COUNT = 64  # windows that depend on the whole image


def attribute_windows(
    model: Model,
    lr: Tensor,
    windows: Sequence[Window],
    *,
    field: ReceptiveField,
    sr: Tensor,
    target: Callable[[Window], Target] = GradientDetector,
    path: Path | None = None,
    n_steps: int = N_STEPS,
    internal_batch_size: int | None = None,
    published: bool = False,
) -> Iterator[tuple[int, AttributionMap]]:
    """Yield the index and the map of each of several windows, in any order.

    The maps equal those of `local_attribution` within rounding. They are computed together if the
    target allows it and if that takes less time than one window after the other. No map is warned
    about; see `AttributionMap.doubts`.

    Args:
        model: See `local_attribution`; in eval mode.
        lr: `(3, h, w)`.
        windows: Windows in SR pixels.
        field: The network's receptive field.
        sr: The model's output `(3, H, W)` for `lr`.
        target, path, n_steps, internal_batch_size, published: See `local_attribution`.
    """
    path = path or BlurPath()
    options: dict[str, Any] = {"path": path, "n_steps": n_steps}
    options["internal_batch_size"] = internal_batch_size

    def alone(index: int) -> AttributionMap:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AttributionWarning)
            return local_attribution(
                model,
                lr,
                windows[index],
                target=target,
                published=published,
                field=field,
                sr=sr,
                **options,
            )

    targets = [made for made in map(target, windows) if isinstance(made, WindowTarget)]
    alike = len(targets) == len(windows) and all(
        _at_origin(made) == _at_origin(targets[0]) for made in targets
    )
    valid = n_steps >= 1 and (internal_batch_size is None or internal_batch_size >= 1)
    if published or not (windows and alike and valid) or type(targets[0]) is PublishedDetector:
        yield from ((index, alone(index)) for index in range(len(windows)))
        return
    height, width = lr.shape[-2:]
    reads = []
    for aim in targets:
        check_window(aim.window, *sr.shape[-2:])
        reads.append(pixels_read(aim, field, height, width))
    for block in _blocks(reads, finite=not field.reason):
        together = _maps_together(
            model,
            lr,
            sr,
            [targets[index] for index in block],
            [reads[index] for index in block],
            field.scale,
            **options,
        )
        for number, index in enumerate(block):
            yield index, together(number) if together else alone(index)


def groups_without_overlap(boxes: Sequence[Box]) -> list[list[int]]:
    """Divide boxes into groups in which no two overlap; each joins the first group with room.

    Example:
        >>> groups_without_overlap([Box(0, 0, 2, 2), Box(1, 1, 3, 3), Box(2, 2, 4, 4)])
        [[0, 2], [1]]
    """
    around = _around(boxes)
    groups: list[list[int]] = []
    taken: list[NDArray[np.bool_]] = []
    for index, box in enumerate(boxes):
        free = (number for number, places in enumerate(taken) if not box.cut(places).any())
        number = next(free, len(groups))
        if number == len(groups):
            groups.append([])
            taken.append(np.zeros((around.bottom, around.right), dtype=bool))
        groups[number].append(index)
        box.cut(taken[number])[...] = True
    return groups


def integrate_windows(
    model: Model,
    targets: Sequence[WindowTarget],
    boxes: Sequence[Box],
    groups: Sequence[Sequence[int]],
    line: Line,
    *,
    internal_batch_size: int | None = None,
) -> Callable[[int], PathIntegral]:
    """Return a function from the index of a window to its integral, as `integrate` returns it.

    Args:
        model: LR -> SR.
        targets: Targets that differ only in the place of their window.
        boxes: The LR pixels that each target depends on.
        groups: The indices of the targets, in groups whose boxes do not overlap.
        line: The points of the path. Targets and boxes are in coordinates of its part.
        internal_batch_size: Number of images in one pass of the model.
    """
    with torch.no_grad():
        start, end = (
            torch.cat([target(sr) for target in targets])
            for sr in (keeping_input(model)(line.points(i, i)[0]) for i in (0, line.n_steps))
        )
    like = line.points(0, 0)[0, 0]
    sums = like.new_zeros(len(groups), *like.shape)
    nan_steps, flat_steps = torch.zeros(2, len(targets), dtype=torch.long, device=like.device)
    at_once = internal_batch_size or images_at_once(like)
    for done in range(0, line.n_steps, at_once):
        points, moves = line.steps(done, min(done + at_once, line.n_steps))
        if not len(points):
            continue
        points.requires_grad_()
        with torch.enable_grad():
            sr = keeping_input(model)(points[:, 0])
        slopes, flat = _slopes(targets, sr.detach())
        flat_steps += flat
        for total, group in zip(sums, groups, strict=True):
            of_group = torch.zeros_like(sr)
            for index in group:
                targets[index].cut(of_group).copy_(slopes[index])
            (gradients,) = torch.autograd.grad(sr, points, of_group, retain_graph=True)
            undefined = gradients.isnan()
            if undefined.any():
                for index in group:
                    nan_steps[index] += boxes[index].cut(undefined).flatten(1).any(1).sum()
            total += torch.where(undefined, 0, gradients * moves).sum((0, 1))

    group_of = {index: number for number, group in enumerate(groups) for index in group}

    def integral(index: int) -> PathIntegral:
        own, box = torch.zeros_like(like), boxes[index]
        box.cut(own).copy_(box.cut(sums[group_of[index]]))
        ends = start[index : index + 1], end[index : index + 1]
        return PathIntegral(own[None], *ends, nan_steps[index], flat_steps[index])

    return integral


def _slopes(targets: Sequence[WindowTarget], sr: Tensor) -> tuple[dict[int, Tensor], Tensor]:
    """Return the gradient of each target in its window, and in how many images it is flat.

    All windows of one shape (at the image's borders they are shorter) are one batch.
    """
    windows = [target.cut(sr) for target in targets]
    of_shape: dict[torch.Size, list[int]] = {}
    for index, window in enumerate(windows):
        of_shape.setdefault(window.shape, []).append(index)
    at_origin = _at_origin(targets[0])
    slopes: dict[int, Tensor] = {}
    flat = torch.zeros(len(targets), dtype=torch.long, device=sr.device)
    for shape, members in of_shape.items():
        batch = torch.cat([windows[index] for index in members]).requires_grad_()
        with torch.enable_grad():
            (gradients,) = torch.autograd.grad(at_origin(batch).sum(), batch)
        slopes |= zip(members, gradients.split(shape[0]), strict=True)
        if isinstance(at_origin, GradientDetector):
            flat[members] = at_origin.is_flat(batch).unflatten(0, (-1, shape[0])).sum(1)
    return slopes, flat


def _maps_together(
    model: Model,
    lr: Tensor,
    sr: Tensor,
    targets: Sequence[WindowTarget],
    reads: Sequence[Box],
    scale: int,
    *,
    path: Path,
    n_steps: int,
    internal_batch_size: int | None,
) -> Callable[[int], AttributionMap] | None:
    """Return a function from the index of a window to its map.

    Return None if that would take longer than one window after the other, or if it fails, for
    example for want of memory.
    """
    box, groups = _around(reads), groups_without_overlap(reads)
    if box.pixels * (1 - _BACKWARD + _BACKWARD * len(groups)) >= sum(r.pixels for r in reads):
        return None
    seen = [seen_from(target, box, scale) for target in targets]
    part = box.cut(lr)[None]
    try:
        with torch.no_grad():
            output = keeping_input(model)(part)[0]
        differences = [
            relative_difference(inside.cut(output), target.cut(sr))
            for inside, target in zip(seen, targets, strict=True)
        ]
        if max(differences) > TOLERANCE:
            return None
        integral = integrate_windows(
            model,
            seen,
            [read.seen_from(box) for read in reads],
            groups,
            Line(path, lr[None], n_steps, box),
            internal_batch_size=internal_batch_size,
        )
    except (RuntimeError, InputError):
        return None
    run_difference = difference_of_runs(keeping_input(model), part)
    quantized = is_quantized(keeping_input(model), part)
    why = Part(box, f"{len(targets)} windows in {len(groups)} groups share passes of the network")

    def found(index: int) -> AttributionMap:
        aim = targets[index]
        return map_of(
            integral(index),
            lr,
            aim,
            aim.window,
            reads[index],
            why,
            path,
            n_steps,
            run_difference=run_difference,
            quantized=quantized,
        )

    return found


def _at_origin(target: WindowTarget) -> WindowTarget:
    return target.moved(*target.window[:2])


def _blocks(reads: Sequence[Box], *, finite: bool) -> list[list[int]]:
    """Divide windows, by what they depend on, into those that are computed together."""
    blocks: dict[tuple[int, ...], list[int]] = {}
    for index, box in enumerate(reads):
        key = (box.top // _SIDE, box.left // _SIDE) if finite else (index // _COUNT,)
        blocks.setdefault(key, []).append(index)
    return list(blocks.values())


def _around(boxes: Sequence[Box]) -> Box:
    """Return the smallest box that holds all these boxes."""
    return Box(
        min(box.top for box in boxes),
        min(box.left for box in boxes),
        max(box.bottom for box in boxes),
        max(box.right for box in boxes),
    )
