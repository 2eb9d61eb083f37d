"""SHA-256 digests of stored files: written after the files, verified where they are read.

A folder's digests are in its file SHA256SUMS, which `sha256sum --check SHA256SUMS` reads too. The
file's first line has the digest of the other lines, so that damage to it is not taken for damage to
the files that it describes. A folder without SHA256SUMS, from an older version, and a file without
a line in it are read without verification, after a warning.
"""

import concurrent.futures
import contextlib
import hashlib
import pathlib
from collections.abc import Collection, Generator, Iterable, Mapping
from typing import Any

from absl import logging

from motionalign import files, reading

NAME = "SHA256SUMS"

_HEAD = "# SHA-256 of the lines below: "

_LOCK = f".{NAME}.lock"

_warned: set[pathlib.Path] = set()  # folders that a warning of this process was about


def write(folder: files.Path, leave_out: Collection[str] = ()) -> None:
    """Writes the digests of all files below a folder.

    Args:
      folder: a folder that nothing else writes to.
      leave_out: names relative to the folder, of files that may change later.
    """
    folder = files.expand(folder)
    names = [
        path.relative_to(folder).as_posix()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in (NAME, _LOCK)
    ]
    _write_lines(folder, _digests(folder, [name for name in names if name not in leave_out]))


@contextlib.contextmanager
def recording(path: files.Path) -> Generator[None]:
    """A context that writes one file, whose digest is then added to those of its folder.

    The previous digest is removed first: if the process is killed in between, the file is read as
    one without a digest, and never taken for a damaged one.
    """
    path = files.expand(path)
    folder = path.parent
    folder.mkdir(parents=True, exist_ok=True)
    with files.locked(folder / _LOCK):
        known = _forget(path)
        yield
        _write_lines(folder, known | _digests(folder, [path.name]))


def remove(path: files.Path) -> None:
    """Removes a file, if it exists, and its digest."""
    path = files.expand(path)
    with files.locked(path.parent / _LOCK):
        _forget(path)
        path.unlink(missing_ok=True)


def stored(folder: files.Path) -> dict[str, str] | None:
    """The stored digests of a folder's files, {relative name: hexadecimal SHA-256}.

    Returns:
      The digests; None if the folder has none.

    Raises:
      ValueError: SHA256SUMS is damaged.
    """
    path = files.expand(folder) / NAME
    if not reading.is_there(path):
        return None
    head, _, body = _bytes(path).partition(b"\n")
    if head.decode("utf-8", "replace") != _HEAD + hashlib.sha256(body).hexdigest():
        raise ValueError(
            f"{path} is damaged. The files that it describes may be intact: copy it again, or "
            "delete it to read them without verification"
        )
    pairs = (line.split("  ", 1) for line in body.decode("utf-8").splitlines())
    return {name: digest for digest, name in pairs}


def check(folder: files.Path, below: Iterable[str] | None = None, advice: str = "") -> None:
    """Verifies files of a folder against the stored digests.

    Args:
      folder: the folder.
      below: names of subfolders or files to verify; None: everything that has a digest.
      advice: what to do about a damaged file, for the error message.

    Raises:
      ValueError: a file is missing, truncated or changed.
    """
    folder = files.expand(folder)
    digests = stored(folder)
    if digests is None:
        _warn(folder, folder)
        return
    if below is not None:
        tops = tuple(below)
        digests = {n: d for n, d in digests.items() if n in tops or n.partition("/")[0] in tops}
        for top in tops:
            if (folder / top).exists() and top not in {name.partition("/")[0] for name in digests}:
                _warn(folder, folder / top)
    missing = [name for name in digests if not reading.is_there(folder / name)]
    if missing:
        raise ValueError(f"{folder / missing[0]} is missing{_and(advice)}")
    with advising(advice):
        found = _digests(folder, digests)
    for name in (name for name, digest in digests.items() if found[name] != digest):
        now = (stored(folder) or {}).get(name)  # once more if the file was being replaced
        if now is not None and _digests(folder, [name])[name] != now:
            raise ValueError(_changed(folder, name, advice))


def read_bytes(path: files.Path, advice: str = "") -> bytes:
    """Reads and verifies a file.

    Args:
      path: the file.
      advice: what to do about a damaged file, for the error message.

    Raises:
      ValueError: the file is missing, truncated or changed, or cannot be read.
    """
    path = files.expand(path)
    for _ in range(2):  # once more if the file was being replaced
        data, digests = _bytes(path, advice), stored(path.parent)
        digest = digests.get(path.name) if digests is not None else None
        if digest is None:
            _warn(path.parent, path if digests is not None else path.parent)
            return data
        if hashlib.sha256(data).hexdigest() == digest:
            return data
    raise ValueError(_changed(path.parent, path.name, advice))


def read_text(path: files.Path, advice: str = "") -> str:
    """Reads and verifies a text file, as `reading.read_text` does; errors as in `read_bytes`."""
    data = read_bytes(path, advice)
    with advising(advice):
        return reading.decode(data, path)


def read_json(path: files.Path, advice: str = "", form: Any = Any) -> Any:
    """Reads and verifies a JSON file, and checks its form.

    Args:
      path: the file.
      advice: what to do about a damaged file, for the error message.
      form: as for `reading.check_form`.

    Raises:
      ValueError: as in `read_text`, or the file is not valid JSON, or has another form.
    """
    text = read_text(path, advice)
    with advising(advice):
        value = reading.parse_json(text, path)
        reading.check_form(value, form, str(path))
    return value


@contextlib.contextmanager
def advising(advice: str) -> Generator[None]:
    """A context whose ValueErrors, which name a file, also say what to do about it."""
    try:
        yield
    except ValueError as error:
        if not advice or advice in str(error):
            raise
        raise ValueError(f"{error}{_and(advice)}") from error


@contextlib.contextmanager
def interpreting(path: files.Path, advice: str = "") -> Generator[None]:
    """A context that uses the content of a file; what does not fit becomes a ValueError.

    Missing keys and values of a wrong type or length are errors of many types. Messages that
    already name the file are not changed.
    """
    try:
        yield
    except KeyError as error:
        raise ValueError(f"{path} lacks {error}{_and(advice)}") from error
    except ValueError as error:
        if str(path) in str(error):
            raise
        raise ValueError(f"{path}: {error}{_and(advice)}") from error
    except (TypeError, AttributeError, IndexError, OverflowError, RecursionError) as error:
        raise ValueError(f"{path} has unexpected content ({error}){_and(advice)}") from error


def _bytes(path: pathlib.Path, advice: str = "") -> bytes:
    if not reading.is_there(path):
        raise ValueError(f"{path} is missing{_and(advice)}")
    with advising(advice):
        return reading.read_bytes(path)


def _digests(folder: pathlib.Path, names: Iterable[str]) -> dict[str, str]:
    """{name: digest} of the current content of files; several are read at once."""

    def digest(name: str) -> str:
        reading.check_file(folder / name)
        try:
            with (folder / name).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise ValueError(f"{folder / name} cannot be read: {error.strerror}") from error

    names = list(names)
    with concurrent.futures.ThreadPoolExecutor(4) as threads:  # hashlib releases the lock
        return dict(zip(names, threads.map(digest, names), strict=True))


def _forget(path: pathlib.Path) -> dict[str, str]:
    """Removes the digest of a file; returns those of the other files of its folder."""
    try:
        known = stored(path.parent) or {}
    except ValueError:  # damaged: the other files lose their digests as well
        known = {}
    if known.pop(path.name, None):
        _write_lines(path.parent, known)
    return known


def _write_lines(folder: pathlib.Path, digests: Mapping[str, str]) -> None:
    body = "".join(f"{digests[name]}  {name}\n" for name in sorted(digests))
    head = _HEAD + hashlib.sha256(body.encode()).hexdigest()
    files.write_text(folder / NAME, f"{head}\n{body}")


def _changed(folder: pathlib.Path, name: str, advice: str) -> str:
    return (
        f"{folder / name} is damaged: its content is not what was stored (its SHA-256 differs "
        f"from that in {NAME}){_and(advice)}. If you changed it on purpose, delete {folder / NAME}"
    )


def _and(advice: str) -> str:
    return f". {advice}" if advice else ""


def _warn(folder: pathlib.Path, what: pathlib.Path) -> None:
    """Says, once per process and folder, that the folder or one of its files is not verified."""
    if folder not in _warned:
        _warned.add(folder)
        logging.warning("%s is not verified: it was stored without digests (%s)", what, NAME)
