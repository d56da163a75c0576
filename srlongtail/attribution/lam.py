"""Local attribution maps (LAM): which LR pixels influence a window of the SR image.

Source: Gu and Dong, "Interpreting super-resolution networks with local attribution maps",
CVPR 2021. The defaults are the settings of their published code.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from functools import cached_property
from typing import Any

import pandas as pd
import torch
from captum.attr._utils.attribution import GradientAttribution
from captum.log import log_usage
from torch import Tensor

from srlongtail.attribution.crop import Part, choose_part, pixels_read, seen_from
from srlongtail.attribution.diffusion import map_gini
from srlongtail.attribution.integral import Model, PathIntegral, integrate, keeping_input
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
    is_quantized,
)
from srlongtail.device import eval_mode, fixed_weights
from srlongtail.errors import InputError
from srlongtail.geometry import Box, Window, check_window

N_STEPS = 50
PUBLISHED_OFFSET = 1e-7  # the published code adds it to each pixel of a map before the Gini


class LocalAttribution(GradientAttribution):
    """LAM with captum's interface; works with captum's NoiseTunnel, infidelity and sensitivity.

    Args:
        forward_func: LR `(N, 3, h, w)` -> SR.

    Example:
        >>> lam = LocalAttribution(torch.nn.Upsample(scale_factor=2))
        >>> lam.attribute(torch.rand(1, 3, 8, 8), GradientDetector((4, 4, 4))).shape
        torch.Size([1, 3, 8, 8])
    """

    @log_usage()  # NoiseTunnel calls the function that this decorator wraps
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
            inputs: `(N, C, h, w)`. Captum's tools pass a tuple and get a tuple back.
            target: SR -> `(N,)` for any N: several steps, or the copies that captum's tools make,
                share one pass of the network.
            path: Path of integration; default: `BlurPath()`.
            n_steps: Steps along the path, at least 1.
            internal_batch_size: Number of images in one pass of the network.
            return_convergence_delta: Also return the sum of the attributions minus the target's
                change along the path, `(N,)`.

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
        """Return True: it is known what the attributions should sum to."""
        return True


@dataclass(frozen=True)
class AttributionMap:
    """The local attribution map of one window, with its settings and diagnostics.

    Attributes:
        attributions: Signed, `(3, h, w)`, for every LR pixel of the whole image (the canvas).
        window: Row, column and size of the attributed window, in SR pixels.
        field: The LR pixels that the window can depend on; outside, attributions are 0.
        computed_on: The part of the image that the network was run on, and the reason.
        target_start, target_end: The target's value at the two ends of the path.
        nan_steps: Number of steps whose gradient had a NaN, which was replaced by 0.
        flat_steps: Number of steps at which the target's slope was infinite. The published code
            gets a NaN there; by default the subgradient 0 is used instead.
        gini_offset: Added to every pixel of the absolute map before its Gini.
        settings: The settings to quote with a DI, as JSON values.
        run_difference: Difference of two runs of the network, as a share of the largest value.
        quantized: Whether the output lies on whole levels of 255.
    """

    attributions: Tensor = dataclass_field(repr=False)
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
    quantized: bool = False

    @property
    def signed(self) -> Tensor:
        """Sum over the channels, with sign, `(h, w)`."""
        return self.attributions.sum(0)

    @property
    def absolute(self) -> Tensor:
        """Absolute value of `signed` divided by its maximum, `(h, w)` in [0, 1]."""
        absolute = self.signed.abs()
        largest = absolute.max()
        return absolute / largest if largest > 0 else absolute

    @property
    def canvas(self) -> tuple[int, int]:
        """Height and width of the LR image, over which Gini and DI are computed."""
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
        """Effective number of LR pixels, DI / 100 * pixels; comparable between canvases."""
        return (1 - self.gini) * self.attributions[0].numel()

    @property
    def attribution_sum(self) -> float:
        """Sum of all attributions; `target_end - target_start` if the map is complete."""
        return float(self.attributions.sum())

    @property
    def completeness_error(self) -> float:
        """Relative error of the sum; see the function `completeness_error`."""
        return completeness_error(self.attribution_sum, self.target_end - self.target_start)

    @property
    def doubts(self) -> tuple[str, ...]:
        """Reasons not to trust this map, one sentence each; empty if there are none."""
        return doubts(
            self.attributions,
            (self.target_start, self.target_end),
            self.completeness_error,
            self.run_difference,
            self.quantized,
        )

    def record(self) -> dict[str, Any]:
        """Return the numbers as JSON values, and the doubts if there are any."""
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
        """Return the numbers as a table of one row."""
        row, column, size = self.window
        height, width = self.canvas
        numbers = self.record()
        del numbers["canvas"], numbers["attribution_settings"]
        numbers.pop("doubts", None)
        place = {"row": row, "col": column, "size": size}
        return pd.DataFrame([place | numbers | {"lr_height": height, "lr_width": width}])


def completeness_error(attribution_sum: float, change: float) -> float:
    """Return |sum - change| / |change|: the relative error of the sum of the attributions.

    If the target does not change, return the absolute sum.

    Args:
        attribution_sum: Sum of the attributions.
        change: Change of the target along the path.

    Example:
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
    """Return the local attribution map of a window of the SR image.

    A network with a finite receptive field is run only on the LR pixels that the window depends
    on. The map still covers the whole image, and DI and n_eff refer to the whole image. First,
    the crop's output in the window is compared with that of the whole image `sr`; without `sr`,
    with that of a larger part of the image (all of a small image). If they differ, or if the
    receptive field is too large, the network is run on the whole image. `settings` records what
    was done and why.

    Args:
        model: Any `(N, 3, h, w)` -> `(N, 3, h * scale, w * scale)`, not clamped. An `nn.Module`
            is run in eval mode.
        lr: `(3, h, w)`, in [0, 1].
        window: Row, column and size in SR pixels; published maps have size 16.
        target: Makes the target from a window. Only a `WindowTarget` can be cropped.
        path: Path of integration; default: `BlurPath()`.
        n_steps: Steps along the path, at least 1.
        internal_batch_size: Number of images in one pass of the network.
        published: Reproduce the published code: the whole image step by step, NaN in the
            gradient replaced by 0, and a Gini with an offset of 1e-7.
        field: The network's receptive field, if it is known from an earlier call.
        sr: The model's output `(3, H, W)` for `lr`, if it is available.

    Raises:
        InputError: The window is not inside the SR image, `n_steps` is below 1, or the output
            has the wrong size, is not finite or has no gradient.

    Warns:
        AttributionWarning: The map is not reliable; see `AttributionMap.doubts`.

    Example:
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
    with eval_mode(model), fixed_weights(model):
        model = keeping_input(model)
        field = field or receptive_field(model, lr)
        check_window(window, height * field.scale, width * field.scale)
        aim = target(window)
        reads = whole = Box(0, 0, height, width)
        if isinstance(aim, WindowTarget):
            reads = pixels_read(aim, field, height, width)
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
        run_difference, quantized = difference_of_runs(model, seen), is_quantized(model, seen)
    found = map_of(
        integral,
        lr,
        aim,
        window,
        reads,
        part,
        path,
        n_steps,
        gini_offset=PUBLISHED_OFFSET if published else 0.0,
        run_difference=run_difference,
        quantized=quantized,
    )
    for doubt in found.doubts:
        warnings.warn(f"attribution: {doubt}", AttributionWarning, stacklevel=2)
    return found


def map_of(
    integral: PathIntegral,
    lr: Tensor,
    target: Target,
    window: Window,
    reads: Box,
    part: Part,
    path: Path,
    n_steps: int,
    *,
    gini_offset: float = 0.0,
    run_difference: float,
    quantized: bool,
) -> AttributionMap:
    """Return the map of a window on the canvas of the whole image, from the integral on a part.

    Args:
        integral: Of one image, the part that `part` names.
        lr: The whole image, `(3, h, w)`.
        target, window, reads: The target, its window, and the LR pixels that it depends on.
        part, path, n_steps: What was computed on, and along which points.
        gini_offset, run_difference, quantized: See `AttributionMap`.
    """
    attributions = torch.zeros_like(lr)
    part.box.cut(attributions).copy_(integral.attributions[0])
    return AttributionMap(
        attributions,
        window,
        reads,
        part,
        integral.start.item(),
        integral.end.item(),
        int(integral.nan_steps),
        int(integral.flat_steps),
        gini_offset,
        settings={
            "window": list(window),
            "target": type(target).__name__,
            "path": repr(path),
            "n_steps": n_steps,
            "gini_offset": gini_offset,
            "computed_on": [part.box.height, part.box.width],
            "because": part.why,
        },
        run_difference=run_difference,
        quantized=quantized,
    )
