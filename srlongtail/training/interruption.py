"""Stopping between two iterations instead of in the middle of one."""

import math
import os
import signal
import threading
import time
from types import FrameType, TracebackType

import torch.distributed as dist

from srlongtail.parallel import gather, is_writer

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StoppedError(Exception):
    """A run was asked to stop, has saved its state, and can be resumed.

    Attributes:
        code: Exit code of a command: 128 + the signal, or 0 if the time was up.
    """

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class Interruption:
    """While entered, record Ctrl-C and SIGTERM with a message instead of ending the process.

    A second signal has its usual effect; so has the first, at the end, if the block has ended as if
    there had been none. Only the main thread can catch signals.

    Args:
        deadline: When to ask the run to stop, too, on the clock of `time.monotonic`.

    Example:
        >>> with Interruption() as interruption:
        ...     interruption.asked(1)
        False
    """

    _AGREE_EVERY = 10  # iterations; under torchrun, to agree costs a message

    def __init__(self, deadline: float = math.inf) -> None:
        self._deadline = deadline
        self._previous: dict[int, object] = {}
        self.signal: int | None = None

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._restore()
        if self.signal is not None and kind is None:
            signal.raise_signal(self.signal)

    @property
    def code(self) -> int:
        """Return the exit code for the reason that stopped the run."""
        return 0 if self.signal is None else 128 + self.signal

    def asked(self, iteration: int) -> bool:
        """Return whether to stop now; under `torchrun` all processes agree."""
        here = self.signal is not None or time.monotonic() > self._deadline
        if not dist.is_initialized():
            return here
        if iteration % self._AGREE_EVERY:
            return False
        return any(gather(here))

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        self._restore()
        if is_writer():  # by the system's call: the signal may have come while Python was printing
            line = "stopping after this iteration; press Ctrl-C again to stop now"
            os.write(2, f"\nsrlongtail: note: {line}\n".encode())

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._previous = {}
