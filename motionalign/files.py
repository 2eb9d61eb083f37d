"""Files and folders, written whole or not at all: the only place that writes any.

What is written appears under its name when it is complete. A process that is killed, or an
exception on the way, leaves what was there before; what a killed process left beside it, the next
write of the same name removes.
"""

import contextlib
import json
import os
import pathlib
import shutil
from collections.abc import Generator, Iterable, Mapping
from typing import Any, TextIO

import numpy as np

Path = str | os.PathLike


def expand(path: Path) -> pathlib.Path:
    """A path as the user means it, `~` being the home folder."""
    return pathlib.Path(path).expanduser()


@contextlib.contextmanager
def replacing(path: Path) -> Generator[pathlib.Path]:
    """A path to write to that becomes `path` at the end, or is removed if anything fails.

    The suffix stays, for writers that go by it. Folders above are made where absent.
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
    """Writes a file of bytes."""
    with replacing(path) as partial:
        partial.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Writes a file of text, in UTF-8."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any, indent: int | None = 2) -> None:
    """Writes a JSON file, letters of all languages as they are."""
    write_text(path, json.dumps(value, indent=indent, ensure_ascii=False) + "\n")


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes an .npz file of arrays by name."""
    with replacing(path) as partial:
        np.savez(partial, **dict[str, Any](arrays))


def open_lines(path: Path, keep: Iterable[str] = ()) -> TextIO:
    """A text file to add lines to, each on disk at its end; it begins with the lines `keep`."""
    write_text(path, "".join(line + "\n" for line in keep))
    return expand(path).open("a", buffering=1, encoding="utf-8")


@contextlib.contextmanager
def new_folder(folder: Path) -> Generator[pathlib.Path]:
    """A folder to write into that becomes `folder` at the end, or is removed if anything fails.

    Raises:
      ValueError: `folder` is already there.
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
