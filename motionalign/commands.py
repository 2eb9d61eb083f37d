"""What every command shares: `~` in its arguments, one line for a mistake, a clean end.

Imports the standard library only: a mistake is told before anything slow is imported.
"""

import argparse
import contextlib
import os
import re
import signal
import sys
import threading
from collections.abc import Generator, Iterable
from types import FrameType
from typing import NoReturn


def expand_arguments(arguments: Iterable[str]) -> list[str]:
    """Command-line arguments with `~` expanded at the beginning of a path.

    That is in `~/x`, `--name=~/x` and `--config=FILE:~/x`; of these, shells expand the first only.
    """
    pattern = re.compile(r"^(-{1,2}[\w.]+=(?:[^~:]*:)?)?(~[^/]*)(?=/|$)")
    return [
        pattern.sub(lambda found: (found[1] or "") + os.path.expanduser(found[2]), argument)
        for argument in arguments
    ]


class Parser(argparse.ArgumentParser):
    """argparse's parser, with one line for a mistake instead of the usage of all options."""

    def error(self, message: str) -> NoReturn:
        """Ends the process with status 2."""
        self.exit(2, f"{self.prog}: {message}\n(--help shows the options)\n")


@contextlib.contextmanager
def ending_cleanly() -> Generator[None]:
    """A context in which Ctrl-C and SIGTERM end a command with one line, after its clean-up.

    The exit status is the one that shells report for the signal: 130 or 143. Training replaces both
    handlers while it runs, to save first.
    """

    def terminate(signum: int, frame: FrameType | None) -> NoReturn:
        raise _Terminated

    handled = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, terminate) if handled else None
    try:
        yield
    except (KeyboardInterrupt, _Terminated) as stopped:
        number = signal.SIGTERM if isinstance(stopped, _Terminated) else signal.SIGINT
        print(f"\nStopped by {number.name}; nothing half-written is left.", file=sys.stderr)
        sys.exit(128 + number)
    finally:
        if handled:
            signal.signal(signal.SIGTERM, before)


class _Terminated(BaseException):
    """SIGTERM; like KeyboardInterrupt not an Exception, so that no handler of errors keeps it."""
