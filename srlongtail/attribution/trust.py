"""Checks whether an attribution map can be trusted, measured on the network itself."""

import torch
from torch import Tensor

from srlongtail.attribution.integral import Model, gradients_at, keeping_saved, modified_in_place
from srlongtail.attribution.receptive_field import relative_difference

COMPLETE = 0.05  # share of the target's change; a map with a larger error is not complete
REPEATABLE = 1e-4  # share of the largest output; larger differences of runs are not rounding
_ROUNDING = 1e-6  # share of the target; float32 may turn a difference of 0 into this
_LEVEL = 1e-3  # levels of 255; outputs this close to whole levels count as whole


class AttributionWarning(UserWarning):
    """Warns that an attribution map is not reliable."""


def difference_of_runs(model: Model, lr: Tensor) -> float:
    """Return the difference of two runs on one image, as a share of the largest output value.

    Example:
        >>> difference_of_runs(torch.nn.Dropout(0.5), torch.ones(1, 3, 8, 8)) > REPEATABLE
        True
    """
    with torch.no_grad():
        return relative_difference(model(lr), model(lr))


def is_quantized(model: Model, lr: Tensor) -> bool:
    """Return whether the output lies on whole levels of 255 although the input does not.

    Example:
        >>> is_quantized(lambda lr: (lr * 255).round() / 255, torch.rand(1, 3, 8, 8))
        True
    """
    with torch.no_grad():
        # Whole levels could come from the input, so move the input off them.
        levels = model(lr * 0.9 + 0.05 / 3) * 255
    on_levels = bool(((levels - levels.round()).abs() < _LEVEL).all())
    return on_levels and bool(levels.min() < levels.max())


def doubts(
    attributions: Tensor,
    ends: tuple[float, float],
    completeness_error: float,
    run_difference: float,
    quantized: bool,
) -> tuple[str, ...]:
    """Return the reasons not to trust a map, one sentence each.

    Args:
        attributions: Signed, `(3, h, w)`.
        ends: The target at the two ends of the path.
        completeness_error: Error of the map's sum, as a share of the target's change.
        run_difference, quantized: See `difference_of_runs` and `is_quantized`.

    Example:
        >>> doubts(torch.zeros(3, 4, 4), (1.0, 1.0), 0.0, 0.0, False)
        ('the target does not change along the path, so the map has no meaning',)
    """
    found = []
    if run_difference > REPEATABLE:
        found.append(
            f"the network is not deterministic: two runs on one image differ by "
            f"{run_difference:.2g} of the largest value (does it use dropout or noise that eval() "
            f"does not switch off?)"
        )
    if quantized:
        found.append(
            "the output is quantized to whole levels of 255, so its gradient is zero or "
            "artificial; attribute the network without the rounding"
        )
    start, end = ends
    if abs(end - start) <= _ROUNDING * max(abs(start), abs(end)):
        found.append("the target does not change along the path, so the map has no meaning")
    elif not attributions.any():
        found.append(f"the map is all zeros, although the target changes by {end - start:.3g}")
    elif completeness_error > COMPLETE:
        found.append(
            f"the map is not complete: its sum differs from the target's change by "
            f"{completeness_error:.0%}"
        )
    return tuple(found)


def differentiable(model: Model, lr: Tensor) -> Model:
    """Return the model, made safe for gradients if it overwrites tensors its gradient needs.

    A trial finds out whether it does, because the workaround costs memory.

    Args:
        model: LR -> SR.
        lr: `(N, 3, h, w)`, small.
    """
    try:
        gradients_at(model, lambda sr: sr.flatten(1).sum(1), lr)
    except RuntimeError as error:
        if not modified_in_place(error):
            raise
        return keeping_saved(model)
    return model
