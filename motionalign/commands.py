"""Shared parts of all commands: `~` in arguments, one-line errors, clean termination.

Imports the standard library only, so that mistakes are reported before slow imports.
"""

import argparse
import contextlib
import logging
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterable
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


def exit_on_signals() -> None:
    """Makes Ctrl-C and SIGTERM end the process at once, with one line, from now on.

    The first call of a process that is a command, before the imports that take seconds: an
    exception raised inside an import is turned into other errors or crashes compiled modules.
    Nothing has to be cleaned up then. `ending_cleanly` takes over while the command works.
    """
    for number in _handled():
        signal.signal(number, _exit)


@contextlib.contextmanager
def importing() -> Generator[None]:
    """A context as after `exit_on_signals`: for slow imports, before a command writes anything."""
    with _handlers(_exit):
        yield


@contextlib.contextmanager
def ending_cleanly() -> Generator[None]:
    """A context in which Ctrl-C and SIGTERM end a command after its clean-up, with one line.

    The exit status is the one that shells report for the signal: 130 or 143. Training replaces both
    handlers while it runs, so that it saves first.

    A signal is delivered again if it arrives during an import (see `exit_on_signals`), or if the
    interpreter drops its exception, as it does in destructors and garbage collection.
    """
    dropped = sys.unraisablehook
    imports = _imports(sys._getframe())

    def interrupt(signum: int, frame: FrameType | None) -> None:
        if _imports(frame) > imports:
            _deliver_again(signum)
        elif signum == signal.SIGINT:
            raise KeyboardInterrupt
        else:
            raise _Terminated

    def unraisable(found: "sys.UnraisableHookArgs") -> None:
        if issubclass(found.exc_type, KeyboardInterrupt | _Terminated):
            stopped = issubclass(found.exc_type, KeyboardInterrupt)
            _deliver_again(signal.SIGINT if stopped else signal.SIGTERM)
        else:
            dropped(found)

    sys.unraisablehook = unraisable
    try:
        with _handlers(interrupt):
            yield
    except (KeyboardInterrupt, _Terminated) as stopped:
        number = signal.SIGTERM if isinstance(stopped, _Terminated) else signal.SIGINT
        print(_stopped_by(number), file=sys.stderr)
        sys.exit(128 + number)
    finally:
        sys.unraisablehook = dropped


def _handled() -> tuple[signal.Signals, ...]:
    """The signals to handle: none outside the main thread, and not a SIGINT that is ignored."""
    if threading.current_thread() is not threading.main_thread():
        return ()
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a script's background process
        return (signal.SIGTERM,)
    return (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def _handlers(handler: Callable[[int, FrameType | None], None]) -> Generator[None]:
    """A context in which `handler` handles both signals."""
    before = {number: signal.signal(number, handler) for number in _handled()}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)


def _exit(signum: int, frame: FrameType | None) -> NoReturn:
    # Not by print, which the signal may have interrupted.
    os.write(2, f"{_stopped_by(signal.Signals(signum))}\n".encode())
    os._exit(128 + signum)


def _imports(frame: FrameType | None) -> int:
    """Number of frames of import statements on the stack."""
    count = 0
    while frame is not None:
        count += frame.f_code.co_filename == "<frozen importlib._bootstrap>"
        frame = frame.f_back
    return count


def _deliver_again(signum: int) -> None:
    """Sends a signal to this process in a moment."""
    main = threading.main_thread().ident
    timer = threading.Timer(0.05, signal.pthread_kill, (main, signum))
    timer.daemon = True
    timer.start()


def _stopped_by(number: signal.Signals) -> str:
    return f"\nStopped by {number.name}; no incomplete file is left."


def run(args: argparse.Namespace, name: str) -> None:
    """Runs `args.run(args)`; a user's mistake ends the process with one line on stderr.

    Mistakes are ValueErrors, whose message says what to fix, and files or folders that cannot be
    accessed. With `args.traceback` they are raised.
    """
    plain_warnings()
    with ending_cleanly(), quiet_pipe():
        try:
            args.run(args)
            sys.stdout.flush()
        except BrokenPipeError:
            raise
        except (ValueError, OSError) as error:
            if args.traceback:
                raise
            sys.exit(f"{name}: {told(error)}")


@contextlib.contextmanager
def quiet_pipe() -> Generator[None]:
    """A context in which the end of what reads the output, such as `head`, is no mistake.

    The exit status is then the one that shells report for SIGPIPE, 141.
    """
    try:
        yield
    except BrokenPipeError:
        # What is still buffered would fail again when the process ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)


# Names of what motionalign/files.py writes before it is complete.
_PARTIAL = re.compile(r"\.([^/\\]+)\.motionalign-(?:partial|lock)(?=[./\\]|$)")


def told(error: Exception) -> str:
    """The message of an error for the user: "FILE: Permission denied" where the system has it."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        name = _PARTIAL.sub(r"\1", os.fsdecode(error.filename))
        return f"{name}: {error.strerror}"
    return str(error)


def plain_warnings() -> None:
    """Warnings that are logged are printed as their text alone: they are for the user."""
    logging.basicConfig()  # absl's handler is there already in a command that absl runs
    for handler in logging.getLogger().handlers:
        handler.setFormatter(logging.Formatter("%(message)s"))


class _Terminated(BaseException):
    """SIGTERM; like KeyboardInterrupt not an Exception, so that no error handler catches it."""
