"""Settings of the process for training on a CPU; torch need not be loaded yet."""

import ctypes
import os
import sys


def prepare_process() -> None:
    """Let idle threads sleep, and keep memory from one iteration to the next.

    By default idle threads spin until all have finished an operation, which keeps the core from
    the very thread that is waited for: beside another busy process on two cores, a step of FSRCNN
    took eight times as long. The setting is read when torch is loaded.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    keep_memory()


def keep_memory() -> None:
    """Keep glibc from giving the memory of a batch back to the system.

    By default it gets that memory again page by page in each iteration. Gain: 1.06 times for a step
    of FSRCNN; more where other processes take memory, too.
    """
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)):
        m_trim_threshold, m_mmap_threshold = -1, -3  # as in malloc.h
        mallopt(m_trim_threshold, 2**31 - 1)
        mallopt(m_mmap_threshold, 2**25)  # the largest that it takes
