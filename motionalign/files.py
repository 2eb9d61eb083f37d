"""Atomic writes of files and folders; nothing else in motionalign writes any.

A file or folder appears under its name only once it is complete. After an exception or a killed
process, the previous content is still in place. Partial output of a killed process is removed by
the next write of the same name. Partial output and locks have names with ".motionalign-", so that
no file of the user is taken for one.
"""

import contextlib
import csv
import datetime
import errno
import json
import os
import pathlib
import shutil
import socket
import tempfile
import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from io import RawIOBase
from typing import Any, TextIO

import numpy as np

try:
    import fcntl
except ImportError:  # Windows has no flock; nothing is locked there
    fcntl = None

Path = str | os.PathLike

_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # of file systems without flock

_MOST_VANISHED = 100  # times that the folder of a lock may vanish before it is held

_WRITE_WAIT = 60.0  # seconds that a writer waits for another one of the same file


def expand(path: Path) -> pathlib.Path:
    """Expands `~` in a path to the home folder."""
    return pathlib.Path(path).expanduser()


class InUse(ValueError):
    """Another process holds the lock; the message says which one, where and since when."""


@contextlib.contextmanager
def hold(path: Path, doing: str, wait: float = 0.0) -> Generator[str | None]:
    """Holds the lock file `path` inside the context; no other process can hold it meanwhile.

    The lock is the kernel's (flock). It ends with the process, even with a killed one, so that a
    file that is left behind locks nothing and is taken over. On NFS, Linux asks the server, which
    makes the lock valid on all hosts: it is released as soon as the process has ended, and the one
    of a host that has crashed when its lease ends (with NFSv4, 90 seconds by default). Missing
    parent folders are created, and removed at the end if nothing was written to them.

    Args:
      path: the lock file; it holds the process number, host and time, and is removed at the end.
      doing: what the holder does, for messages: "training in runs/a".
      wait: seconds to wait for another holder, for example for one that is just being killed.

    Yields:
      None; or a line for the user where the file system has no locks, so that nothing is held.

    Raises:
      InUse: another process holds the lock.
    """
    path = expand(path).absolute()
    made = [folder for folder in path.parents if not folder.exists()]
    holder = ""
    try:
        handle = _lock(path, wait)
    except BlockingIOError:
        with contextlib.suppress(OSError):  # its holder has just removed it
            holder = path.read_text("utf-8", errors="replace")
        raise InUse(
            f"{doing} is under way already, by {holder or 'another process'} (lock file {path}). "
            "Wait until it has ended, or stop it"
        ) from None
    try:
        if handle is not None:
            os.ftruncate(handle, 0)
            os.pwrite(handle, _this_process().encode(), 0)
        no_locks = f"{path.parent}: the file system has no locks (flock); {doing}: start it once"
        yield no_locks if handle is None else None
    finally:
        path.unlink(missing_ok=True)  # while it is locked, so that it is not another holder's
        if handle is not None:
            os.close(handle)
        for folder in made:
            with contextlib.suppress(OSError):  # it is not empty
                folder.rmdir()


def _this_process() -> str:
    now = datetime.datetime.now(datetime.UTC).isoformat(sep=" ", timespec="seconds")
    return f"process {os.getpid()} on {socket.gethostname()} since {now}"


def _lock(path: pathlib.Path, wait: float) -> int | None:
    """Creates and locks a file: its handle, or None if the file system has no locks.

    Raises:
      BlockingIOError: another process holds the lock, after `wait` seconds.
      FileNotFoundError: no file can be created there, for example because `path` is a link to a
        folder that does not exist.
    """
    deadline = time.monotonic() + wait
    vanished = 0
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            # Open for writing: on NFS, an exclusive lock needs it.
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:  # the folder has just been removed again
            vanished += 1
            if vanished == _MOST_VANISHED:
                raise
            continue
        if fcntl is None:
            os.close(handle)
            return None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(handle, path):
                return handle
            os.close(handle)  # its holder has finished and removed it
        except BlockingIOError:
            os.close(handle)
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.05)
        except OSError as error:
            os.close(handle)
            if error.errno in _NO_LOCKS:
                return None
            raise


def _is_at(handle: int, path: pathlib.Path) -> bool:
    """Whether an open file is (still) the one at `path`."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def replacing(path: Path) -> Generator[pathlib.Path]:
    """A temporary path to write to, renamed to `path` at the end and removed on failure.

    It keeps the suffix, on which some writers depend. Missing parent folders are created. Of two
    processes that write the same file at once, the second waits for the first.
    """
    path = expand(path)
    partial = path.with_name(f".{path.stem}.motionalign-partial{path.suffix}")
    try:
        handle = _lock(partial, _WRITE_WAIT)
    except BlockingIOError:
        raise InUse(f"{path}: another process has been writing it for a minute") from None
    try:
        if handle is not None:
            os.ftruncate(handle, 0)  # it may be left by a killed process
        yield partial
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    finally:
        if handle is not None:
            os.close(handle)


def check_place(path: Path, option: str) -> None:
    """Checks that a file or folder can be written, before the work whose result it is to hold.

    Args:
      path: the file or folder.
      option: that names it, for the message, such as "--output=clips.npz".

    Raises:
      ValueError: a folder that it is to be in is a file, or may not be written to.
    """
    parent = expand(path).absolute().parent
    while not os.path.lexists(parent):
        parent = parent.parent
    if not parent.is_dir():
        raise ValueError(f"{option}: {parent} is not a folder")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise ValueError(f"{option}: no permission to write to the folder {parent}")


def write_bytes(path: Path, data: bytes) -> None:
    """Writes a binary file."""
    with replacing(path) as partial:
        partial.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Writes a text file in UTF-8."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any, indent: int | None = 2) -> None:
    """Writes a JSON file in UTF-8, without escaping non-ASCII characters."""
    # Piece by piece: the text of a report on a million clips takes gigabytes at once.
    with replacing(path) as partial, partial.open("w", encoding="utf-8") as file:
        json.dump(value, file, indent=indent, ensure_ascii=False)
        file.write("\n")


def write_csv(path: Path, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Writes a CSV file in UTF-8: a header row, then `rows`; cells are quoted where needed."""
    with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(head)
        writer.writerows(rows)


def write_array(path: Path, array: np.ndarray) -> None:
    """Writes an .npy file."""
    with replacing(path) as partial:
        np.save(partial, array)


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes an .npz file of named arrays."""
    with replacing(path) as partial:
        np.savez(partial, **dict[str, Any](arrays))


def open_lines(path: Path, keep: Iterable[str] = ()) -> TextIO:
    """Opens a line-buffered text file for appending; it starts with the lines `keep`."""
    write_text(path, "".join(line + "\n" for line in keep))
    return expand(path).open("a", buffering=1, encoding="utf-8")


def open_scratch() -> RawIOBase:
    """Opens a temporary file without a name, which vanishes with the process."""
    return tempfile.TemporaryFile(buffering=0)


@contextlib.contextmanager
def locked(path: Path) -> Generator[None]:
    """A context that one process or thread at a time may be in; the others wait.

    The lock of a killed process is free again. Where the platform or the file system has no such
    locks, nothing waits.

    Args:
      path: the file to lock, which exists only in the meantime; its folder must exist.
    """
    path = expand(path)
    while True:
        with path.open("ab") as file:
            with contextlib.suppress(ImportError, OSError):
                import fcntl  # POSIX only

                fcntl.flock(file, fcntl.LOCK_EX)
            if not _is_at(file.fileno(), path):
                continue  # the process that held it has removed the file
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
            return


@contextlib.contextmanager
def new_folder(folder: Path) -> Generator[pathlib.Path]:
    """A temporary folder to write to, renamed to `folder` at the end and removed on failure.

    Raises:
      ValueError: `folder` already exists.
      InUse: another process is writing it.
    """
    folder = expand(folder)
    _check_new(folder)
    partial = folder.with_name(f".{folder.name}.motionalign-partial")
    with hold(folder.with_name(f".{folder.name}.motionalign-lock"), f"writing {folder}"):
        _check_new(folder)  # another process may just have finished it
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            yield partial
            partial.rename(folder)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise


def _check_new(folder: pathlib.Path) -> None:
    if folder.exists():
        raise ValueError(f"{folder} already exists; choose another folder, or remove it")
