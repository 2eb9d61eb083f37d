"""Shared parts of all commands: `~` in arguments, one-line errors, clean termination.

Imports the standard library only, so that mistakes are reported before slow imports.
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


def use_utf8() -> None:
    """Restarts Python in its UTF-8 mode unless file names are in UTF-8 already.

    Under another locale (latin-1, or C with PYTHONUTF8=0) Python would read names of files and
    arguments, and write to the terminal, in that encoding: a clip called läuft would be searched
    as lÃ¤uft. The process keeps its id. For the start of a command only.
    """
    if sys.flags.utf8_mode or sys.getfilesystemencoding() == "utf-8":
        return
    os.execv(sys.executable, [sys.orig_argv[0], "-X", "utf8", *sys.orig_argv[1:]])


def expand_arguments(arguments: Iterable[str]) -> list[str]:
    """Expands `~` at the start of a path in command-line arguments.

    Handles `~/x`, `--name=~/x` and `--config=FILE:~/x`; shells expand only the first.
    """
    pattern = re.compile(r"^(-{1,2}[\w.]+=(?:[^~:]*:)?)?(~[^/]*)(?=/|$)")
    return [
        pattern.sub(lambda found: (found[1] or "") + os.path.expanduser(found[2]), argument)
        for argument in arguments
    ]


class Parser(argparse.ArgumentParser):
    """argparse's parser, with one-line errors instead of the usage of all options."""

    def error(self, message: str) -> NoReturn:
        """Ends the process with status 2."""
        self.exit(2, f"{self.prog}: {message}\n(--help shows the options)\n")


@contextlib.contextmanager
def ending_cleanly() -> Generator[None]:
    """A context in which Ctrl-C and SIGTERM end a command after its clean-up, with one line.

    The exit status is the one that shells report for the signal: 130 or 143. Training replaces both
    handlers while it runs, so that it saves first.
    """

    def terminate(signum: int, frame: FrameType | None) -> NoReturn:
        raise _Terminated

    handled = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, terminate) if handled else None
    try:
        yield
    except (KeyboardInterrupt, _Terminated) as stopped:
        number = signal.SIGTERM if isinstance(stopped, _Terminated) else signal.SIGINT
        print(f"\nStopped by {number.name}; no incomplete file is left.", file=sys.stderr)
        sys.exit(128 + number)
    finally:
        if handled:
            signal.signal(signal.SIGTERM, before)


def run(args: argparse.Namespace, name: str) -> None:
    """Runs `args.run(args)`; a user's mistake ends the process with one line on stderr.

    Mistakes are ValueErrors, whose message says what to fix, and files or folders that cannot be
    accessed. With `args.traceback` they are raised.
    """
    with ending_cleanly():
        try:
            args.run(args)
        except (ValueError, OSError) as error:
            if args.traceback:
                raise
            sys.exit(f"{name}: {error}")


class _Terminated(BaseException):
    """SIGTERM; like KeyboardInterrupt not an Exception, so that no error handler catches it."""
