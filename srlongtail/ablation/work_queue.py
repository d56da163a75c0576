"""A queue of tasks that several processes share: tasks in use by another process wait."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from srlongtail.training.interruption import StoppedError
from srlongtail.training.lock import InUseError

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


def _pause(deadline: float) -> None:
    time.sleep(max(0.0, min(PAUSE_S, deadline - time.monotonic())))
    if time.monotonic() >= deadline:
        raise StoppedError("stopped while other processes were at work", 0)
