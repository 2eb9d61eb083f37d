"""Settings of the process itself. Imports nothing heavy: they must come before JAX starts."""

import contextlib
import ctypes
import platform
import signal
import sys
import threading
from collections.abc import Iterator


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


@contextlib.contextmanager
def ending_cleanly() -> Iterator[None]:
    """A context in which Ctrl-C and SIGTERM end a command with one line, after its clean-up.

    The exit status is the one that shells report for the signal: 130 or 143. Training replaces both
    handlers while it runs, to save first.
    """

    def terminate(signum, frame):
        raise _Terminated

    handled = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, terminate) if handled else None
    try:
        yield
    except KeyboardInterrupt:
        print("\nInterrupted. Nothing half-written is left.", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    except _Terminated:
        print("\nTerminated. Nothing half-written is left.", file=sys.stderr)
        sys.exit(128 + signal.SIGTERM)
    finally:
        if handled:
            signal.signal(signal.SIGTERM, before)


class _Terminated(BaseException):
    """SIGTERM; like KeyboardInterrupt not an Exception, so that no handler of errors keeps it."""
