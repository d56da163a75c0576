"""Work that several processes share: what another process is busy with is put off."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from srlongtail.training.interruption import StoppedError
from srlongtail.training.lock import InUseError

PAUSE_S = 20.0

T = TypeVar("T")
R = TypeVar("R")


def in_turns(
    tasks: Sequence[T],
    do: Callable[[T], R],
    *,
    wait: bool = True,
    deadline: float = math.inf,
    tell: Callable[[str], object] | None = None,
) -> Iterator[R]:
    """Do tasks, first those that no other process is busy with; their results as they come.

    A task for which `do` raises `InUseError` is put off until the others are done, then tried
    again and again: the other process may finish it, or may end before that.

    Args:
        tasks: in the order wanted.
        do: does one; it has to see for itself that another process has done it.
        wait: for the other processes, instead of raising what `do` raised.
        deadline: on the clock of `time.monotonic`, when to stop waiting.
        tell: is called with a line of text when the waiting begins.

    Raises:
        InUseError: all that is left is in use, and `wait` is off.
        StoppedError: the deadline passed while waiting.

    >>> list(in_turns([1, 2], lambda number: 10 * number))
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
