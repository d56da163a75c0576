"""A queue of tasks that several processes share: tasks in use by another process wait."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from srlongtail.device import find_device
from srlongtail.training.interruption import StoppedError
from srlongtail.training.lock import InUseError
from srlongtail.training.loop import train
from srlongtail.training.patches import SharedBank
from srlongtail.training.precision import settle_grid_precision
from srlongtail.training.recipe import Recipe

PAUSE_S = 20.0

T = TypeVar("T")
R = TypeVar("R")


def run_tasks(
    tasks: Sequence[T],
    do: Callable[[T], R],
    *,
    wait: bool = True,
    deadline: float = math.inf,
    tell: Callable[[str], object] | None = None,
) -> Iterator[R]:
    """Do tasks, first those that no other process is doing, and yield results as they come.

    A task for which `do` raises `InUseError` is tried again after the others: the other process
    may finish it, or may stop before that.

    Args:
        tasks: In the order wanted.
        do: Does one; it has to see for itself that another process has done it.
        wait: For the other processes, instead of raising what `do` raised.
        deadline: On the clock of `time.monotonic`, when to stop waiting.
        tell: Is called with a line of text when the waiting begins.

    Raises:
        InUseError: All that is left is in use, and `wait` is off.
        StoppedError: The deadline passed while waiting.

    Example:
        >>> list(run_tasks([1, 2], lambda number: 10 * number))
        [10, 20]
    """
    left, told = list(tasks), False
    while left:
        busy: list[T] = []
        for task in left:
            try:
                result = do(task)
            except InUseError as error:
                busy.append(task)
                reason = error
            else:
                yield result
        if busy and len(busy) == len(left):
            if not wait:
                raise reason
            if tell is not None and not told:
                tell(f"waiting for others: {str(reason).partition(', expected')[0]}")
                told = True
            _pause(deadline)
        left = busy


def train_runs(
    recipes: Sequence[Recipe],
    out: Path,
    data: tuple[str, ...],
    *,
    base: Recipe,
    folder: Callable[[Recipe], Path],
    is_done: Callable[[Recipe], bool],
    finish: Callable[[Recipe], object],
    device: str | None = None,
    deadline: float = math.inf,
    bank: SharedBank | None = None,
    wait: bool = True,
    tell: Callable[[str], object] | None = None,
    allow_code: bool = False,
) -> None:
    """Train the runs of a grid that are not done, all in one precision.

    An interrupted run goes on where it stopped. Several processes may work on one grid.

    Args:
        recipes: Of the runs, in the order wanted.
        out: Folder of the grid.
        data: Folders of training images.
        base: What the recipes have in common; its device and precision are those of all runs.
        folder: Return where a run lies, or will lie.
        is_done: Return whether nothing is left to do for a run, whoever has done it.
        finish: Measure a run that was trained, and write the results.
        bank: The training images, where several grids share them.
        device, deadline, tell, allow_code: See `train`.
        wait: See `run_tasks`.

    Raises:
        InUseError: Other processes are busy with all that is left, and `wait` is off.
        InputError, StoppedError: See `train`.
    """
    bank = bank or SharedBank()
    precision = settle_grid_precision(out, base, map(folder, recipes), find_device(device), tell)

    def do(recipe: Recipe) -> None:
        if is_done(recipe):
            return
        train(
            replace(recipe, data=data),
            folder(recipe),
            resume=True,
            device=device,
            find_bank=bank.of,
            deadline=deadline,
            tell=tell,
            allow_code=allow_code,
            precision=precision,
        )
        finish(recipe)

    for _ in run_tasks(recipes, do, wait=wait, deadline=deadline, tell=tell):
        pass


def _pause(deadline: float) -> None:
    time.sleep(max(0.0, min(PAUSE_S, deadline - time.monotonic())))
    if time.monotonic() >= deadline:
        raise StoppedError("stopped while other processes were at work", 0)
