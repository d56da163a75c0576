"""Sharing images out over the processes that `torchrun` started; torch.distributed does the work.

Without `torchrun` there is one process, and everything here is a no-op.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import TypeVar

import torch
import torch.distributed as dist

T = TypeVar("T")


@contextlib.contextmanager
def process_group() -> Iterator[None]:
    """Join the group of processes that `torchrun` started, and leave it at the end.

    Where there is CUDA, each process has the GPU of its local rank as the current one, and the
    group passes on both what lies on the GPUs (nccl) and what does not (gloo).

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
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def is_writer() -> bool:
    """Whether this is the one process that writes files and prints.

    >>> is_writer()
    True
    """
    return not dist.is_initialized() or dist.get_rank() == 0


def share(items: Sequence[T]) -> Iterator[T]:
    """The items that fall to this process: every n-th of n processes.

    >>> list(share("abc"))
    ['a', 'b', 'c']
    """
    rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    return (items[index] for index in range(rank, len(items), world))


def gather(value: T) -> list[T]:
    """The values of all processes, in the order of their ranks, in every process.

    >>> gather(3)
    [3]
    """
    if not dist.is_initialized():
        return [value]
    values: list[T | None] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values  # type: ignore[return-value]  # every entry is filled by now
