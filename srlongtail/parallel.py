"""Divide images among the processes that `torchrun` started, and among threads.

Processes exchange results with torch.distributed. Without `torchrun` there is one process, and the
functions for processes do nothing.
"""

import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import TypeVar

import torch
import torch.distributed as dist

from srlongtail.errors import InputError

T = TypeVar("T")
R = TypeVar("R")

_alone = False  # see `alone`


@contextlib.contextmanager
def process_group() -> Iterator[None]:
    """Join the process group of `torchrun`, and leave it at the end.

    With CUDA, each process uses the GPU of its local rank, and the group exchanges tensors both
    on GPUs (nccl) and on the CPU (gloo).

    Raises:
        InputError: Another process of the group has ended.

    Example:
        >>> with process_group():
        ...     is_writer()
        True
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or dist.is_initialized():
        yield
        return
    gpu = int(os.environ.get("LOCAL_RANK", "0"))
    if gpu < torch.cuda.device_count():
        torch.cuda.set_device(gpu)
    try:
        dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
        yield
    except RuntimeError as error:
        if not _is_lost_connection(error):
            raise
        raise InputError(
            f"process {os.environ['RANK']}: another process has ended or cannot be reached, "
            f"expected all {os.environ['WORLD_SIZE']} processes until the end; its own message "
            f"may say why"
        ) from error
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def _is_lost_connection(error: RuntimeError) -> bool:
    """Return whether a message between processes failed; gloo has no exception class for this."""
    said = str(error)
    return isinstance(error, dist.DistError) or "gloo/transport" in said or "NCCL error" in said


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Return a context in which this process works for itself: `share` gives it every item.

    A loop that has already divided the images can then call measurements that would divide
    theirs.

    Example:
        >>> with alone():
        ...     list(share("abc")), gather(3)
        (['a', 'b', 'c'], [3])
    """
    global _alone
    before, _alone = _alone, True
    try:
        yield
    finally:
        _alone = before


def is_writer() -> bool:
    """Return whether this is the one process that writes files and prints.

    Example:
        >>> is_writer()
        True
    """
    return not dist.is_initialized() or dist.get_rank() == 0


def share(items: Sequence[T]) -> Iterator[T]:
    """Return this process's share of the items: every n-th item, for n processes.

    Example:
        >>> list(share("abc"))
        ['a', 'b', 'c']
    """
    divided = dist.is_initialized() and not _alone
    rank, world = (dist.get_rank(), dist.get_world_size()) if divided else (0, 1)
    return (items[index] for index in range(rank, len(items), world))


def gather(value: T) -> list[T]:
    """Return the values of all processes, in order of rank, in every process.

    Example:
        >>> gather(3)
        [3]
    """
    if _alone or not dist.is_initialized():
        return [value]
    values: list[T | None] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values  # type: ignore[return-value]  # every entry is filled by now


def map_shared(function: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Return the results for all items, in order, each computed in one process.

    All processes must make this call. An error of `function` ends its process; return errors that
    all processes are to know.

    Args:
        function: What to compute of an item.
        items: The items, the same in all processes.

    Raises:
        InputError: The number of items differs between the processes.

    Example:
        >>> map_shared(str.upper, "abc")
        ['A', 'B', 'C']
    """
    of_processes = gather((len(items), list(map(function, share(items)))))
    counts = [count for count, _ in of_processes]
    if len(set(counts)) > 1:
        raise InputError(
            f"{', '.join(map(str, counts))} items in the processes, expected the same in all"
        )
    results: list[R] = [None] * len(items)  # type: ignore[list-item]  # filled below
    for rank, (_, part) in enumerate(of_processes):
        results[rank :: len(of_processes)] = part
    return results


def in_threads(function: Callable[[T], R], items: Sequence[T]) -> Generator[R, None, None]:
    """Return the results for all items, in order, computed side by side.

    There are as many threads as torch may use, and each computes an item with one torch thread:
    operations on one image are often too short to divide. Results do not depend on the number of
    threads, and no more items than threads are held at once. The first error in the order of the
    items is raised; items not begun by then, or when the caller stops early, are left out.

    A single item is computed here, with all of torch's threads.

    Close the generator if you do not exhaust it (see `contextlib.closing`): until then, threads go
    on with what they have begun. No thread computes after it has ended or was closed, even if
    Ctrl-C was pressed several times.

    Args:
        function: What to compute of an item; several threads call it at once.
        items: The items.

    Example:
        >>> list(in_threads(str.upper, "abc"))
        ['A', 'B', 'C']
    """
    threads = torch.get_num_threads()
    workers = min(threads, len(items))
    if workers < 2:
        yield from map(function, items)
        return
    waiting: deque[Future[R]] = deque()
    computing: set[threading.Event] = set()
    closed = threading.Event()

    def compute(item: T) -> R:
        over = threading.Event()
        computing.add(over)  # before it looks at `closed`: see the end
        try:
            if closed.is_set():
                raise CancelledError
            return function(item)
        finally:
            computing.discard(over)
            over.set()

    pool = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,))
    try:
        for item in items:
            waiting.append(pool.submit(compute, item))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        closed.set()
        try:
            pool.shutdown(cancel_futures=True)
        finally:
            # The pool does not wait for all threads if Ctrl-C is pressed again, or if it was
            # pressed while a thread was started.
            torch.set_num_threads(threads)
            _wait_for(tuple(computing))


def _wait_for(events: Iterable[threading.Event]) -> None:
    """Wait for all events, and raise Ctrl-C only afterwards, however often it is pressed."""
    pressed = None
    for event in events:
        while not event.is_set():
            try:
                event.wait()
            except KeyboardInterrupt as again:
                pressed = again
    if pressed is not None:
        raise pressed
