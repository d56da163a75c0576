"""What a loss costs: the time of a training step, beside one with L1."""

from collections.abc import Callable
from functools import partial
from statistics import median
from time import perf_counter, process_time

import torch
from torch import Tensor

from srlongtail.ablation.verdicts import CONTROL
from srlongtail.training.learner import Learner
from srlongtail.training.recipe import Recipe

_ROUNDS = 9
_WARM_UP = 2


def step_time_ratio(
    recipe: Recipe, lr: Tensor, hr: Tensor, device: str | None = None, *, allow_code: bool = False
) -> float:
    """Return the time of a training step with a recipe's loss over that of one with L1.

    Steps of both take turns, and the median of their ratios counts, so that a change in the
    machine's speed meets both. On the CPU, times are those of this process alone, whatever else the
    machine is doing. On CUDA, steps are launched one by one and not replayed from a graph.

    Args:
        recipe: Of the run; its network, loss and precision count.
        lr: LR patches `(N, 3, h, w)` in [0, 1].
        hr: HR patches `(N, 3, h * scale, w * scale)` in [0, 1].
        device: Where to compute; the CPU by default.
        allow_code: See `Learner`.

    Example:
        >>> recipe = Recipe(network="fsrcnn", patch=8, loss="l1")
        >>> step_time_ratio(recipe, torch.rand(1, 3, 8, 8), torch.rand(1, 3, 32, 32)) > 0
        True
    """
    where = torch.device(device or "cpu")
    l1 = recipe.changed({"loss": CONTROL})
    own, control = (
        partial(_seconds, _stepper(r, lr.to(where), hr.to(where), allow_code=allow_code), where)
        for r in (recipe, l1)
    )
    ratios = [own() / control() for _ in range(_WARM_UP + _ROUNDS)]
    return median(ratios[_WARM_UP:])


def _stepper(recipe: Recipe, lr: Tensor, hr: Tensor, *, allow_code: bool) -> Callable[[], None]:
    """Return a function that takes one training step on a batch."""
    learner = Learner(recipe, lr.device, torch.device("cpu"), allow_code=allow_code)

    def step() -> None:
        learner.optimizer.zero_grad()
        learner.objective(lr, hr).backward()
        learner.optimizer.step()

    return step


def _seconds(step: Callable[[], None], device: torch.device) -> float:
    if device.type == "cpu":
        start = process_time()
        step()
        return process_time() - start
    torch.accelerator.synchronize(device)
    start = perf_counter()
    step()
    torch.accelerator.synchronize(device)
    return perf_counter() - start
