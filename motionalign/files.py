"""Atomic writes of files and folders; nothing else in motionalign writes any.

A file or folder appears under its name only once it is complete. After an exception or a killed
process, the previous content is still in place. Partial output of a killed process is removed by
the next write of the same name.
"""

import contextlib
import csv
import json
import os
import pathlib
import shutil
from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Any, TextIO

import numpy as np

Path = str | os.PathLike


def expand(path: Path) -> pathlib.Path:
    """Expands `~` in a path to the home folder."""
    return pathlib.Path(path).expanduser()


@contextlib.contextmanager
def replacing(path: Path) -> Generator[pathlib.Path]:
    """A temporary path to write to, renamed to `path` at the end and removed on failure.

    It keeps the suffix, on which some writers depend. Missing parent folders are created.
    """
    path = expand(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        yield partial
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_bytes(path: Path, data: bytes) -> None:
    """Writes a binary file."""
    with replacing(path) as partial:
        partial.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Writes a text file in UTF-8."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any, indent: int | None = 2) -> None:
    """Writes a JSON file in UTF-8, without escaping non-ASCII characters."""
    write_text(path, json.dumps(value, indent=indent, ensure_ascii=False) + "\n")


def write_csv(path: Path, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Writes a CSV file in UTF-8: a header row, then `rows`; cells are quoted where needed."""
    with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(head)
        writer.writerows(rows)


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes an .npz file of named arrays."""
    with replacing(path) as partial:
        np.savez(partial, **dict[str, Any](arrays))


def open_lines(path: Path, keep: Iterable[str] = ()) -> TextIO:
    """Opens a line-buffered text file for appending; it starts with the lines `keep`."""
    write_text(path, "".join(line + "\n" for line in keep))
    return expand(path).open("a", buffering=1, encoding="utf-8")


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
            if not path.exists() or not os.path.samestat(os.fstat(file.fileno()), path.stat()):
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
    """
    folder = expand(folder)
    if folder.exists():
        raise ValueError(f"{folder} already exists; choose another folder, or remove it")
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
