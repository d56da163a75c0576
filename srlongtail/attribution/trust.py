"""What makes an attribution map not to be believed, measured on the network itself."""

import torch
from torch import Tensor

from srlongtail.attribution.integral import Model, gradients_at, keeping_saved, modified_in_place
from srlongtail.attribution.receptive_field import relative_difference

COMPLETE = 0.05  # of the target's change: a map that is farther off is not complete
REPEATABLE = 1e-4  # of the output's largest value: runs that differ by more are not by rounding
_ROUNDING = 1e-6  # of the target: what single precision may leave of a difference of 0
_LEVEL = 1e-3  # of a level of 255: outputs this close to whole levels lie on them


class AttributionWarning(UserWarning):
    """An attribution map is not to be believed."""


def difference_of_runs(model: Model, lr: Tensor) -> float:
    """Return how much two runs on one image differ, as a share of the largest output value.

    >>> difference_of_runs(torch.nn.Dropout(0.5), torch.ones(1, 3, 8, 8)) > REPEATABLE
    True
    """
    with torch.no_grad():
        return relative_difference(model(lr), model(lr))


def is_quantised(model: Model, lr: Tensor) -> bool:
    """Tell whether the output lies on whole levels of 255 for an input that does not.

    >>> is_quantised(lambda lr: (lr * 255).round() / 255, torch.rand(1, 3, 8, 8))
    True
    """
    with torch.no_grad():
        # Whole levels may be those of the input, so that it is taken off them.
        levels = model(lr * 0.9 + 0.05 / 3) * 255
    on_levels = bool(((levels - levels.round()).abs() < _LEVEL).all())
    return on_levels and bool(levels.min() < levels.max())


def doubts(
    attributions: Tensor,
    ends: tuple[float, float],
    completeness_error: float,
    run_difference: float,
    quantised: bool,
) -> tuple[str, ...]:
    """Say why a map is not to be believed, one sentence a reason.

    Args:
        attributions: with sign, `(3, h, w)`.
        ends: the target at both ends of the path.
        completeness_error: how far the map's sum is off the target's change, as a share of it.
        run_difference, quantised: see `difference_of_runs` and `is_quantised`.

    >>> doubts(torch.zeros(3, 4, 4), (1.0, 1.0), 0.0, 0.0, False)
    ('the target does not change along the path, so that the map says nothing',)
    """
    found = []
    if run_difference > REPEATABLE:
        found.append(
            f"the network is not deterministic: two runs on one image differ by "
            f"{run_difference:.2g} of the largest value (dropout or noise that eval() does not "
            f"switch off?)"
        )
    if quantised:
        found.append(
            "the output is quantised to whole levels of 255, so that its gradient is zero or "
            "made up; attribute the network without the rounding"
        )
    start, end = ends
    if abs(end - start) <= _ROUNDING * max(abs(start), abs(end)):
        found.append("the target does not change along the path, so that the map says nothing")
    elif not attributions.any():
        found.append(f"the map is all zeros, although the target changes by {end - start:.3g}")
    elif completeness_error > COMPLETE:
        found.append(
            f"the map is not complete: its sum is {completeness_error:.0%} off the target's change"
        )
    return tuple(found)


def differentiable(model: Model, lr: Tensor) -> Model:
    """Return the model, made safe for gradients if it overwrites what its gradient needs.

    Whether it does is found by trying, because the way around it costs memory.

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
