"""Settings of the process itself. Imports nothing heavy: they must come before JAX starts."""

import ctypes
import platform


def keep_freed_memory() -> None:
    """Has glibc keep freed memory instead of giving it back to the system.

    On CPUs, JAX allocates every intermediate array anew, and most of them are large enough that
    glibc would map and unmap fresh pages each time: a quarter of a training step on two cores
    (benchmarks/train_step.py). Must run before JAX's first allocation.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    m_arena_max, m_mmap_max, m_trim_threshold = -8, -4, -1  # from malloc.h
    libc = ctypes.CDLL(None)
    for option, value in ((m_arena_max, 1), (m_mmap_max, 0), (m_trim_threshold, -1)):
        libc.mallopt(option, value)
