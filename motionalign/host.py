"""Process settings; imports nothing heavy, since they must be applied before JAX starts."""

import ctypes
import platform


def keep_freed_memory() -> None:
    """Makes glibc keep freed memory instead of returning it to the system.

    On CPUs, JAX allocates every intermediate array again in each step. Most of them are so large
    that glibc would map and unmap fresh pages each time, which takes a quarter of a training step
    on two cores (benchmarks/train_step.py). Must run before JAX's first allocation.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    m_arena_max, m_mmap_max, m_trim_threshold = -8, -4, -1  # from malloc.h
    libc = ctypes.CDLL(None)
    for option, value in ((m_arena_max, 1), (m_mmap_max, 0), (m_trim_threshold, -1)):
        libc.mallopt(option, value)
