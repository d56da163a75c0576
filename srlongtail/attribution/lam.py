"""Local attribution maps (LAM): which LR pixels a window of the SR image was made of.

Source: Gu and Dong, "Interpreting super-resolution networks with local attribution maps",
CVPR 2021; the settings of their published code are the defaults.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd
import torch
from captum.attr._utils.attribution import GradientAttribution
from captum.log import log_usage
from torch import Tensor

from srlongtail.attribution.crop import Part, choose_part, seen_from
from srlongtail.attribution.diffusion import map_gini
from srlongtail.attribution.integral import Model, integrate, keeping_input
from srlongtail.attribution.path import BlurPath, Path
from srlongtail.attribution.receptive_field import ReceptiveField, receptive_field
from srlongtail.attribution.target import (
    GradientDetector,
    PublishedDetector,
    Target,
    WindowTarget,
)
from srlongtail.attribution.trust import (
    AttributionWarning,
    difference_of_runs,
    doubts,
    is_quantised,
)
from srlongtail.device import eval_mode
from srlongtail.errors import InputError
from srlongtail.geometry import Box, Window, check_window

N_STEPS = 50
PUBLISHED_OFFSET = 1e-7  # what the published code adds to each pixel of a map before its Gini


class LocalAttribution(GradientAttribution):
    """LAM in captum's manner; captum's NoiseTunnel, infidelity and sensitivity take it.

    Args:
        forward_func: LR `(N, 3, h, w)` -> SR.

    >>> lam = LocalAttribution(torch.nn.Upsample(scale_factor=2))
    >>> lam.attribute(torch.rand(1, 3, 8, 8), GradientDetector((4, 4, 4))).shape
    torch.Size([1, 3, 8, 8])
    """

    @log_usage()  # NoiseTunnel calls what this decorator wraps, and finds it by it
    def attribute(
        self,
        inputs: Tensor | tuple[Tensor],
        target: Target,
        path: Path | None = None,
        n_steps: int = N_STEPS,
        internal_batch_size: int | None = None,
        return_convergence_delta: bool = False,
    ) -> Any:
        """Attribute the target to the LR pixels, with sign.

        Args:
            inputs: `(N, C, h, w)`; captum's tools hand it over in a tuple, and get one back.
            target: SR -> `(N,)` for any N: steps, and the copies that captum's tools make, go
                through the network together.
            path: `BlurPath()` unless given.
            n_steps: steps along the path, at least 1.
            internal_batch_size: how many images go through the network at once.
            return_convergence_delta: return, too, by how much the sum of the attributions
                exceeds the target's change along the path, `(N,)`.

        Returns:
            Attributions `(N, C, h, w)`.
        """
        images = inputs[0] if isinstance(inputs, tuple) else inputs
        integral = integrate(
            self.forward_func,
            target,
            images,
            path or BlurPath(),
            n_steps,
            internal_batch_size=internal_batch_size,
        )
        found = integral.attributions
        attributions = (found,) if isinstance(inputs, tuple) else found
        if not return_convergence_delta:
            return attributions
        return attributions, found.sum((1, 2, 3)) - (integral.end - integral.start)

    def has_convergence_delta(self) -> bool:
        """Yes: it is known what the attributions should sum to."""
        return True


@dataclass(frozen=True)
class AttributionMap:
    """The local attribution map of one window, and what its numbers depend on.

    Attributes:
        attributions: with sign, `(3, h, w)`: every LR pixel of the whole image (the canvas).
        window: row, column and size of what was attributed, in SR pixels.
        field: the LR pixels that the window can depend on; outside, attributions are 0.
        computed_on: the part of the image that went through the network, and why.
        target_start, target_end: the target's value at both ends of the path.
        nan_steps: at how many steps the gradient held a NaN, which was taken as 0.
        flat_steps: at how many steps the target's slope was infinite: the published code gets a
            NaN there; by default the subgradient 0 is taken instead.
        gini_offset: added to every pixel of the absolute map before its Gini.
        settings: what a DI must be quoted with, as JSON takes it.
        run_difference: how much two runs of the network differ, as a share of the largest value.
        quantised: whether the output lies on whole levels of 255.
    """

    attributions: Tensor
    window: Window
    field: Box
    computed_on: Part
    target_start: float
    target_end: float
    nan_steps: int
    flat_steps: int
    gini_offset: float
    settings: dict[str, Any]
    run_difference: float = 0.0
    quantised: bool = False

    @property
    def signed(self) -> Tensor:
        """The sum over the channels, `(h, w)`."""
        return self.attributions.sum(0)

    @property
    def absolute(self) -> Tensor:
        """The absolute sum over the channels over its maximum, `(h, w)` in [0, 1]."""
        absolute = self.signed.abs()
        largest = absolute.max()
        return absolute / largest if largest > 0 else absolute

    @property
    def canvas(self) -> tuple[int, int]:
        """Height and width of the LR image, over which Gini and DI are taken."""
        height, width = self.attributions.shape[-2:]
        return height, width

    @cached_property
    def gini(self) -> float:
        """Gini coefficient of the absolute map, 0 to 1; see `map_gini`."""
        return map_gini(self.absolute, self.gini_offset)

    @property
    def diffusion_index(self) -> float:
        """DI = (1 - Gini) * 100, in percent of the canvas: comparable on one canvas size only."""
        return (1 - self.gini) * 100

    @property
    def n_eff(self) -> float:
        """Effective number of LR pixels, DI / 100 * pixels: comparable between canvases."""
        return (1 - self.gini) * self.attributions[0].numel()

    @property
    def attribution_sum(self) -> float:
        """The sum of all attributions; `target_end - target_start` if the map is complete."""
        return float(self.attributions.sum())

    @property
    def completeness_error(self) -> float:
        """How far the sum is off the target's change; see the function of this name."""
        return completeness_error(self.attribution_sum, self.target_end - self.target_start)

    @property
    def doubts(self) -> tuple[str, ...]:
        """Why this map is not to be believed, one sentence a reason; empty for a sound map."""
        return doubts(
            self.attributions,
            (self.target_start, self.target_end),
            self.completeness_error,
            self.run_difference,
            self.quantised,
        )

    def record(self) -> dict[str, Any]:
        """The numbers, as JSON takes them, and the doubts where there are any."""
        numbers = {
            "diffusion_index": self.diffusion_index,
            "gini": self.gini,
            "n_eff": self.n_eff,
            "canvas": list(self.canvas),
            "attribution_sum": self.attribution_sum,
            "target_start": self.target_start,
            "target_end": self.target_end,
            "completeness_error": self.completeness_error,
            "nan_steps": self.nan_steps,
            "flat_steps": self.flat_steps,
            "attribution_settings": self.settings,
        }
        return numbers | ({"doubts": list(self.doubts)} if self.doubts else {})

    def frame(self) -> pd.DataFrame:
        """The numbers as a table of one row."""
        row, column, size = self.window
        height, width = self.canvas
        numbers = self.record()
        del numbers["canvas"], numbers["attribution_settings"]
        numbers.pop("doubts", None)
        place = {"row": row, "col": column, "size": size}
        return pd.DataFrame([place | numbers | {"lr_height": height, "lr_width": width}])


def completeness_error(attribution_sum: float, change: float) -> float:
    """How far attributions are off the target's change along the path, as a share of the change.

    Where the target does not change, it is the absolute sum itself.

    >>> round(completeness_error(9.8, 10.0), 6)
    0.02
    """
    return abs(attribution_sum - change) / (abs(change) or 1.0)


def local_attribution(
    model: Model,
    lr: Tensor,
    window: Window,
    *,
    target: Callable[[Window], Target] = GradientDetector,
    path: Path | None = None,
    n_steps: int = N_STEPS,
    internal_batch_size: int | None = None,
    published: bool = False,
    field: ReceptiveField | None = None,
    sr: Tensor | None = None,
) -> AttributionMap:
    """The local attribution map of a window of the SR image.

    A network with a finite receptive field is run on the LR pixels that the window depends on.
    The map is that of the whole image; DI and n_eff refer to it. Before, the crop's output in
    the window is compared with that of the whole image `sr`, or, without `sr`, of as large a
    part of the image as costs little (all of it, if it is small). Where they differ, or the
    network reads farther, the whole image is computed. `settings` says what was done and why.

    Args:
        model: any `(N, 3, h, w)` -> `(N, 3, h * scale, w * scale)`, not clamped; an `nn.Module`
            is run in eval mode.
        lr: `(3, h, w)`, in [0, 1].
        window: row, column and size in SR pixels; published maps have size 16.
        target: makes the target from a window. Only a `WindowTarget` can be cropped.
        path: `BlurPath()` unless given.
        n_steps: steps along the path, at least 1.
        internal_batch_size: how many images go through the network at once.
        published: reproduce the published code: the whole image step by step, NaN left in the
            gradient and then taken as 0, and a Gini with an offset of 1e-7.
        field: the network's receptive field, if it is known from an earlier call.
        sr: the model's output `(3, H, W)` for `lr`, if at hand.

    Raises:
        InputError: a window that is not inside the SR image, no steps, an output of the wrong
            size, one that is not finite, or one without a gradient.

    Warns:
        AttributionWarning: the map is not to be believed; see `AttributionMap.doubts`.

    >>> upsample = torch.nn.Upsample(scale_factor=4, mode="bicubic")
    >>> found = local_attribution(upsample, torch.rand(3, 32, 32), (40, 40, 16))
    >>> found.canvas, found.field
    ((32, 32), Box(top=8, left=8, bottom=16, right=16))
    """
    if lr.dim() != 3:
        raise InputError(f"LR image of shape {tuple(lr.shape)}, expected (3, h, w)")
    path = path or BlurPath()
    if published:
        target, internal_batch_size = PublishedDetector, 1
    height, width = lr.shape[-2:]
    with eval_mode(model):
        model = keeping_input(model)
        field = field or receptive_field(model, lr)
        check_window(window, height * field.scale, width * field.scale)
        aim = target(window)
        reads = whole = Box(0, 0, height, width)
        if isinstance(aim, WindowTarget):
            row, column, size = aim.window
            reads = field.box(row, column, size + aim.reach, height, width)
        part = Part(whole, "as published")
        if not published:
            spare = n_steps * reads.pixels // 4
            part = choose_part(model, lr, aim, reads, field, sr=sr, spare=spare)
        around = part.box.grown(path.reach, height, width)
        integral = integrate(
            model,
            seen_from(aim, part.box, field.scale) if isinstance(aim, WindowTarget) else aim,
            around.cut(lr)[None],
            path,
            n_steps,
            internal_batch_size=internal_batch_size,
            inside=part.box.seen_from(around),
            every_step=published,
        )
        seen = part.box.cut(lr)[None]
        run_difference, quantised = difference_of_runs(model, seen), is_quantised(model, seen)
    attributions = torch.zeros_like(lr)
    part.box.cut(attributions).copy_(integral.attributions[0])
    offset = PUBLISHED_OFFSET if published else 0.0
    found = AttributionMap(
        attributions,
        window,
        reads,
        part,
        integral.start.item(),
        integral.end.item(),
        int(integral.nan_steps),
        int(integral.flat_steps),
        offset,
        settings={
            "window": list(window),
            "target": type(aim).__name__,
            "path": repr(path),
            "n_steps": n_steps,
            "gini_offset": offset,
            "computed_on": [part.box.height, part.box.width],
            "because": part.why,
        },
        run_difference=run_difference,
        quantised=quantised,
    )
    for doubt in found.doubts:
        warnings.warn(f"attribution: {doubt}", AttributionWarning, stacklevel=2)
    return found
