"""Compare LAM with captum's other attribution methods on one target, by the same measures."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil, nan, sqrt
from typing import Literal

import captum.attr as ca
import numpy as np
import pandas as pd
import torch
from torch import Tensor

from srlongtail.attribution.crop import seen_from
from srlongtail.attribution.diffusion import diffusion_index, effective_pixels
from srlongtail.attribution.faithfulness import (
    NOISE,
    Curve,
    infidelity,
    pixel_curve,
    seeded,
    sensitivity,
)
from srlongtail.attribution.integral import Model, images_at_once, integrate, keeping_input
from srlongtail.attribution.lam import (
    N_STEPS,
    AttributionMap,
    completeness_error,
    local_attribution,
)
from srlongtail.attribution.path import BlurPath
from srlongtail.attribution.receptive_field import ReceptiveField, receptive_field
from srlongtail.attribution.target import GradientDetector, WindowTarget
from srlongtail.attribution.trust import differentiable
from srlongtail.device import eval_mode, fixed_weights
from srlongtail.geometry import Box, Window

_OCCLUSIONS = 400  # approximate number of blocks that occlusion divides an image into

_KINDS: tuple[Literal["deletion", "insertion"], ...] = ("deletion", "insertion")


@dataclass(frozen=True)
class MethodComparison:
    """Attributions of one target of one window by several methods.

    Attributes:
        lam: The local attribution map.
        attributions: Method -> signed map `(3, h, w)` on the whole canvas; LAM is the first.
        table: One row per method, then one row per pixel order that ignores the network.
        curves: Tidy table: `method, kind, share, value`.
    """

    lam: AttributionMap
    attributions: Mapping[str, Tensor]
    table: pd.DataFrame
    curves: pd.DataFrame

    def frame(self) -> pd.DataFrame:
        """Return a table with one row per method; see `compare_methods`."""
        return self.table


def compare_methods(
    model: Model,
    lr: Tensor,
    window: Window,
    *,
    target: Callable[[Window], WindowTarget] = GradientDetector,
    n_steps: int = N_STEPS,
    samples: int = 4,
    seed: int = 0,
    field: ReceptiveField | None = None,
    sr: Tensor | None = None,
) -> MethodComparison:
    """Compare LAM, captum's methods, and pixel orders that ignore the network.

    The columns of the table:

    - `method`, and `diffusion_index` and `n_eff` of its absolute map on the whole canvas;
    - `attribution_sum`, and `completeness_error` for methods whose sum is known in theory;
    - `infidelity` and `sensitivity`: see `faithfulness`; lower is better;
    - `deletion` (lower is better) and `insertion` (higher is better): areas under the curves of
      `pixel_curve`, over the pixels that the window can depend on.

    Args:
        model, lr, window, target, field, sr: See `local_attribution`.
        n_steps: Steps of the paths, and approximate number of passes of every other method.
        samples: Repetitions of each method for `sensitivity`, and number of random pixel orders.
        seed: Seed of everything that is random.

    Raises:
        InputError: See `local_attribution`; or blurring does not change the target.
    """
    height, width = lr.shape[-2:]
    with eval_mode(model), fixed_weights(model):
        model = keeping_input(model)
        field = field or receptive_field(model, lr)
        lam = local_attribution(
            model, lr, window, target=target, n_steps=n_steps, field=field, sr=sr
        )
        box = lam.computed_on.box.grown(BlurPath().reach, height, width)
        part = _Part(
            differentiable(model, box.cut(lr)[None]),
            seen_from(target(window), box, field.scale),
            field.scale,
            box.cut(lr),
            lam.field.seen_from(box),
        )
        rows, curves, attributions = [], {}, {}
        for method in _methods(part, n_steps):
            with seeded(seed):
                found = method.explain(part.image[None])[0].detach()
            whole = torch.zeros_like(lr)
            box.cut(whole).copy_(found)
            attributions[method.name] = whole
            absolute = whole.sum(0).abs()
            spread = {
                "method": method.name,
                "diffusion_index": diffusion_index(absolute),
                "n_eff": effective_pixels(absolute),
                "attribution_sum": float(whole.sum()),
            }
            rows.append(spread | _trust(part, method, found, samples, seed))
            curves[method.name] = part.curves([found.sum(0).abs()])
        for name, importances in _blind_importances(part, samples, seed).items():
            curves[name] = part.curves(importances)
    areas = [
        {"method": name} | {kind: curve.area for kind, curve in both.items()}
        for name, both in curves.items()
    ]
    tidy = [
        pd.DataFrame({"method": name, "kind": kind, "share": curve.share, "value": curve.value})
        for name, both in curves.items()
        for kind, curve in both.items()
    ]
    table = pd.DataFrame(rows).merge(pd.DataFrame(areas), on="method", how="right")
    return MethodComparison(lam, attributions, table, pd.concat(tidy, ignore_index=True))


@dataclass(frozen=True)
class _Part:
    """A part of an image, `(3, h, w)`, with the target and its field in the part's coordinates."""

    model: Model
    target: WindowTarget
    scale: int
    image: Tensor
    field: Box

    @property
    def blurred(self) -> Tensor:
        return BlurPath()(self.image[None], torch.zeros(1))[0, 0]

    def score(self, lr: Tensor) -> Tensor:
        return self.target(self.model(lr))

    def curves(self, importances: list[Tensor]) -> dict[str, Curve]:
        """Return both curves over the field's pixels, most important first; mean over orders."""
        inside = torch.zeros_like(self.image[0], dtype=torch.bool)
        self.field.cut(inside).fill_(True)
        orders = [
            importance.where(inside, -torch.inf).flatten().argsort(descending=True, stable=True)
            for importance in importances
        ]
        found: dict[str, Curve] = {}
        for kind in _KINDS:
            each = [
                pixel_curve(self.score, self.image, self.blurred, order[: self.field.pixels], kind)
                for order in orders
            ]
            found[kind] = Curve(each[0].share, np.mean([curve.value for curve in each], axis=0))
        return found


@dataclass(frozen=True)
class _Method:
    """An attribution method.

    Attributes:
        explain: Images -> attributions of the same shape.
        baseline: Reference image, if the attributions are contributions relative to one; None if
            they are slopes.
        complete: Whether they sum, in theory, to the target's change from the baseline.
    """

    name: str
    explain: Callable[[Tensor], Tensor]
    baseline: Tensor | None = None
    complete: bool = False


def _methods(part: _Part, n_steps: int) -> list[_Method]:
    """Return LAM and captum's methods, each with about as many passes as LAM."""
    black, blurred = torch.zeros_like(part.image), part.blurred
    at_once = images_at_once(part.image)
    block = ceil(sqrt(part.image[0].numel() / _OCCLUSIONS))
    saliency, shap = ca.Saliency(part.score), ca.GradientShap(part.score)
    multiplied = ca.InputXGradient(part.score)
    integrated, occlusion = ca.IntegratedGradients(part.score), ca.Occlusion(part.score)

    def lam(x: Tensor) -> Tensor:
        return integrate(part.model, part.target, x, BlurPath(), n_steps).attributions

    def integrated_gradients(x: Tensor) -> Tensor:
        return integrated.attribute(x, black[None], n_steps=n_steps, internal_batch_size=at_once)

    def gradient_shap(x: Tensor) -> Tensor:
        draws = [shap.attribute(x, black[None], n_samples=1, stdevs=NOISE) for _ in range(n_steps)]
        return torch.stack(draws).mean(0)

    def smooth_grad(x: Tensor) -> Tensor:
        return ca.NoiseTunnel(saliency).attribute(
            x, nt_samples=n_steps, nt_samples_batch_size=at_once, stdevs=NOISE, abs=False
        )

    def occlude(x: Tensor) -> Tensor:
        shape = (3, block, block)
        return occlusion.attribute(x, shape, shape, blurred[None], perturbations_per_eval=at_once)

    return [
        _Method("LAM", lam, blurred, complete=True),
        _Method("saliency", lambda x: saliency.attribute(_leaf(x), abs=False)),
        _Method("input x gradient", lambda x: multiplied.attribute(_leaf(x)), black),
        _Method("integrated gradients", integrated_gradients, black, complete=True),
        _Method("gradient SHAP", gradient_shap, black, complete=True),
        _Method("SmoothGrad", smooth_grad),
        _Method("occlusion", occlude, blurred),
    ]


def _leaf(images: Tensor) -> Tensor:
    """Return the images as a leaf that requires gradients; captum's methods warn otherwise."""
    return images.detach().requires_grad_()


def _trust(
    part: _Part, method: _Method, found: Tensor, samples: int, seed: int
) -> dict[str, float]:
    off = nan
    if method.complete and method.baseline is not None:
        with torch.no_grad():
            end, start = part.score(torch.stack([part.image, method.baseline])).tolist()
        off = completeness_error(float(found.sum()), end - start)
    return {
        "completeness_error": off,
        "infidelity": infidelity(
            part.score, part.image, part.blurred, found, baseline=method.baseline, seed=seed
        ),
        "sensitivity": sensitivity(method.explain, part.image, samples=samples, seed=seed),
    }


def _blind_importances(part: _Part, samples: int, seed: int) -> dict[str, list[Tensor]]:
    """Return importances that ignore the network: distance to the window, and random values."""
    height, width = part.image.shape[-2:]
    row, column, size = part.target.window
    middle = [(start + size / 2) / part.scale - 0.5 for start in (row, column)]
    rows, columns = (
        torch.arange(length, device=part.image.device) - center
        for length, center in zip((height, width), middle, strict=True)
    )
    generator = torch.Generator().manual_seed(seed)
    draws = [torch.rand(height, width, generator=generator) for _ in range(samples)]
    return {
        "distance to window": [-(rows[:, None] ** 2 + columns**2)],
        "random": [draw.to(part.image.device) for draw in draws],
    }
