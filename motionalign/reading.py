"""The readers of files that may be damaged, of another kind, or somebody else's.

One function for each kind of file: text, JSON, .npy, .npz, safetensors. Whatever is wrong with a
file is a ValueError that names it. None of them waits for a pipe, reads an endless device, or
takes memory that only a header promises; nothing is unpickled.
"""

import contextlib
import json
import math
import numbers
import os
import re
import stat
import struct
import types
import typing
import zipfile
from collections.abc import Collection, Generator, Mapping
from typing import Any, NamedTuple, NoReturn

import numpy as np

from motionalign.files import Path

LIMIT = 1 << 30  # bytes of a text or JSON file

# Deflate compresses by at most this factor; an archive that promises more is damaged, or a bomb.
_MOST_COMPRESSED = 1032

_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


_LFS_HEAD = b"version https://git-lfs.github.com/spec/"

_LFS_SIZE = 1024  # bytes; a pointer of Git LFS is smaller, by its specification


def is_there(path: Path) -> bool:
    """Whether something has this name; False for names that no file can have."""
    return os.path.exists(path)  # unlike pathlib's, no error for a name that is too long


def check_file(path: Path) -> int:
    """Checks that `path` is a regular file, or a link to one, and returns its size in bytes.

    Raises:
      ValueError: it is missing, cannot be accessed, is a folder, a pipe or a device, or is a
        pointer of Git LFS in place of the file.
    """
    try:
        found = os.stat(path)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:  # a null character
        raise ValueError(f"{str(path)!r} cannot be read: {error}") from error
    if not stat.S_ISREG(found.st_mode):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "a pipe, socket or device"
        raise ValueError(f"{path} is {kind}; expected a file")
    if found.st_size < _LFS_SIZE and _is_lfs_pointer(path):
        raise ValueError(
            f"{path} is a pointer of Git LFS, a few lines of text in place of the file: the "
            "repository was cloned without its large files. Run `git lfs pull` in it, or download "
            "the file itself"
        )
    return found.st_size


def _is_lfs_pointer(path: Path) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(len(_LFS_HEAD)) == _LFS_HEAD
    except OSError:  # told by the reader of the content
        return False


# ---------------------------------------------------------------------------- binary files


def read_part(path: Path, offset: int, count: int) -> bytes:
    """Reads `count` bytes of a file from the byte `offset`; a ValueError if it has fewer."""
    size = check_file(path)
    if offset + count > size:
        raise ValueError(
            f"{path} has {size:,} bytes, but {count:,} are to be read from byte {offset:,}"
        )
    with _accessing(path), open(path, "rb") as file:
        file.seek(offset)
        data = file.read(count)
    if len(data) != count:
        raise ValueError(f"{path} is shorter than it was: {len(data):,} of {count:,} bytes follow")
    return data


class Bytes:
    """The bytes of a binary file in order; a context. What a header promises is compared with them.

    Attributes:
      size: number of bytes of the file.
      position: number of bytes that were taken.
    """

    def __init__(self, path: Path, what: str) -> None:
        """Opens a file; `what` is its kind, for messages. A ValueError if it cannot be read."""
        self._path, self._what = path, what
        self.size, self.position = check_file(path), 0
        with _accessing(path):
            self._file = open(path, "rb")  # noqa: SIM115  (closed by __exit__)

    def __enter__(self) -> "Bytes":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def fail(self, reason: str) -> NoReturn:
        """Raises a ValueError that names the file."""
        raise ValueError(f"{self._path} is not a complete {self._what}: {reason[:300]}")

    def check(self, count: int, promised: str) -> None:
        """Raises a ValueError unless `count` bytes follow, which `promised` needs."""
        left = self.size - self.position
        if count > left:
            self.fail(f"byte {self.position:,} promises {promised}, but {left:,} bytes follow")

    def take(self, count: int) -> bytes:
        """The next `count` bytes; a ValueError if there are fewer."""
        if count > self.size - self.position:  # `check`, which is called less often
            self.check(count, f"{count:,} bytes")
        with _accessing(self._path):
            data = self._file.read(count)
        if len(data) != count:
            self.fail(f"it ends at byte {self.position + len(data):,}")
        self.position += count
        return data

    def number(self, form: str) -> Any:
        """The next number; `form` is one of `struct`'s."""
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]


# ---------------------------------------------------------------------------- text


def read_bytes(path: Path, limit: int = LIMIT) -> bytes:
    """Reads a file of at most `limit` bytes; a larger one is a ValueError."""
    size = check_file(path)
    with _accessing(path), open(path, "rb") as file:
        data = file.read(min(size, limit) + 1)  # takes the memory for as much as it may read
    if len(data) > limit:
        raise ValueError(
            f"{path} has more than {limit:,} bytes, which is more than a file of its kind can have"
        )
    return data


def read_start(path: Path, count: int) -> bytes:
    """Reads the first `count` bytes of a file, or all if it has fewer."""
    check_file(path)
    with _accessing(path), open(path, "rb") as file:
        return file.read(count)


def read_pieces(path: Path, count: int = 1 << 20) -> Generator[bytes]:
    """Reads a file of any size in pieces of at most `count` bytes."""
    check_file(path)
    with _accessing(path), open(path, "rb") as file:
        while piece := file.read(count):
            yield piece


def read_text(path: Path, limit: int = LIMIT) -> str:
    r"""Reads a UTF-8 file, with or without a byte order mark; \r\n and \r become \n.

    Raises:
      ValueError: the file cannot be read, has more than `limit` bytes, or is not UTF-8. The
        message names the line.
    """
    return decode(read_bytes(path, limit), path)


def decode(data: bytes, path: Path) -> str:
    """The text in the content of the file `path`; see `read_text`."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{path}, line {line}: byte 0x{data[error.start]:02x} is not UTF-8. Save the file as "
            f"UTF-8, in a text editor or by `iconv -f {_likely_encoding(data)} -t UTF-8`"
        ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _likely_encoding(data: bytes) -> str:
    return "UTF-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "ISO-8859-1"


# ---------------------------------------------------------------------------- JSON


def read_json(path: Path, form: Any = Any, limit: int = LIMIT) -> Any:
    """Reads a JSON file and checks its form.

    Args:
      path: the file.
      form: as for `check_form`.
      limit: maximum number of bytes.

    Raises:
      ValueError: the file cannot be read, is not JSON, or has another form.
    """
    value = parse_json(read_text(path, limit), path)
    check_form(value, form, str(path))
    return value


def parse_json(text: str, where: Path) -> Any:
    """Parses JSON; the ValueError for invalid JSON starts with `where`."""
    try:
        value = json.loads(text)
        if "\\u" in text:  # half a surrogate pair, which no file can store
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError as error:
        raise ValueError(f"{where} is not valid JSON: it is nested too deeply") from error
    except ValueError as error:
        raise ValueError(f"{where} is not valid JSON: {error}") from error
    return value


_WORDS = {
    str: "a text",
    bool: "true or false",
    int: "a whole number",
    float: "a finite number",
    numbers.Real: "a number",
    type(None): "null",
    list: "a list",
    dict: "an object",
}


def check_form(value: Any, form: Any, where: str) -> None:
    """Checks the types in a parsed JSON value, or in a value of a dataclass's field.

    Args:
      value: the value.
      form: a type hint: `Any`, str, bool, int, float (a finite number), `numbers.Real`, None, list,
        dict, a dataclass, `list[X]`, `tuple[X, ...]` (a list, too), `dict[str, X]`, `X | Y`; or
        {name: form} for an object that has at least these fields.
      where: the file and field, for the message.

    Raises:
      ValueError: the value has another form.
    """
    if isinstance(form, Mapping):
        _check_kind(value, dict, where)
        for name, inner in form.items():
            if name not in value:
                raise ValueError(f"{where} lacks {name!r}")
            check_form(value[name], inner, f"{where}: {name}")
        return
    origin, arguments = typing.get_origin(form), typing.get_args(form)
    if form is Any:
        return
    if origin in (types.UnionType, typing.Union):
        _check_union(value, arguments, where)
    elif origin in (list, tuple):
        _check_kind(value, list, where)
        for i, each in enumerate(value):
            check_form(each, arguments[0], f"{where}[{i}]")
    elif isinstance(origin, type) and issubclass(origin, Mapping):
        _check_kind(value, dict, where)
        for name, each in value.items():
            check_form(name, arguments[0], f"{where}: the name {name!r}")
            check_form(each, arguments[1], f"{where}: {name}")
    else:
        _check_kind(value, type(None) if form is None else form, where)


def _check_union(value: Any, forms: Collection[Any], where: str) -> None:
    """Checks one of several forms; the message is about the only one besides null, if it is."""
    if value is None and type(None) in forms:
        return
    others = [form for form in forms if form is not type(None)]
    for form in others[:-1]:
        with contextlib.suppress(ValueError):
            return check_form(value, form, where)
    check_form(value, others[-1], where)


def _check_kind(value: Any, kind: type, where: str) -> None:
    """Checks a value without looking into it. A bool is no number, and an int is a float."""
    if kind in (int, float, numbers.Real):
        # Whole numbers that fit into no array are none.
        whole = isinstance(value, int | np.integer) and abs(int(value)) < 2**63
        real = isinstance(value, float | np.floating) and kind is not int
        fits = (whole and not isinstance(value, bool)) or (
            real and (kind is numbers.Real or math.isfinite(value))
        )
    else:
        fits = isinstance(value, (list, tuple) if kind is list else kind)
    if not fits:
        raise ValueError(f"{where} is {_short(value)}; expected {_WORDS.get(kind, kind.__name__)}")


def _short(value: Any) -> str:
    text = repr(value) if isinstance(value, str | int | float | None) else type(value).__name__
    names = {"dict": "an object", "list": "a list"}
    return names.get(text, text if len(text) <= 60 else text[:57] + "...")


# ---------------------------------------------------------------------------- arrays


class Stored(NamedTuple):
    """An array of an .npz file that is not read yet."""

    path: Path
    member: zipfile.ZipInfo
    shape: tuple[int, ...]
    dtype: np.dtype

    def read(self) -> np.ndarray:
        """Reads the array; a ValueError names the file and the array."""
        what = f".npz file: {self.member.filename}"
        with _damaged(self.path, what), zipfile.ZipFile(self.path) as archive:
            _check_compressed(self.member, os.path.getsize(self.path))
            with archive.open(self.member) as file:
                start = _read_header(file)[2]
                _check_size(self.shape, self.dtype, self.member.file_size - start)
            with archive.open(self.member) as file:
                return np.lib.format.read_array(file, allow_pickle=False)


def read_array(path: Path) -> np.ndarray:
    """Reads an .npy file.

    Raises:
      ValueError: the file cannot be read, is damaged, or holds Python objects.
    """
    size = check_file(path)
    with _damaged(path, ".npy file"), open(path, "rb") as file:
        shape, dtype, start = _read_header(file)
        _check_size(shape, dtype, size - start)
        file.seek(0)
        return np.lib.format.read_array(file, allow_pickle=False)


def array_header(path: Path) -> tuple[tuple[int, ...], np.dtype]:
    """The shape and the dtype that an .npy file states; its content is not read.

    Raises:
      ValueError: the file cannot be read, or has no such header.
    """
    check_file(path)
    with _damaged(path, ".npy file"), open(path, "rb") as file:
        shape, dtype, _ = _read_header(file)
    return shape, dtype


def open_arrays(path: Path) -> dict[str, Stored]:
    """Opens an .npz file: its arrays by name, of which only the headers are read.

    Raises:
      ValueError: the file cannot be read or is damaged.
    """
    check_file(path)
    found = {}
    with _damaged(path, ".npz file"), zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            with archive.open(member) as file:
                shape, dtype, _ = _read_header(file)
            name = member.filename.removesuffix(".npy")
            found[name] = Stored(path, member, shape, dtype)
    return found


def read_arrays(path: Path, names: Collection[str] | None = None) -> dict[str, np.ndarray]:
    """Reads arrays of an .npz file, by default all.

    Raises:
      ValueError: the file cannot be read, is damaged, or lacks one of `names`.
    """
    stored = open_arrays(path)
    if missing := [name for name in names or () if name not in stored]:
        raise ValueError(f"{path} has no array {', '.join(missing)}; it has {', '.join(stored)}")
    return {name: stored[name].read() for name in (stored if names is None else names)}


def _read_header(file: Any) -> tuple[tuple[int, ...], np.dtype, int]:
    """Shape, dtype and the position after an .npy header."""
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"its .npy format is of version {version}; expected 1.0 or 2.0")
    shape, _, dtype = _HEADERS[version](file)
    if not all(0 <= size < 2**63 for size in shape):
        raise ValueError(f"its header states the shape {shape}")
    return shape, dtype, file.tell()


def _check_size(shape: tuple[int, ...], dtype: np.dtype, there: int) -> None:
    """Compares what a header promises with the bytes that follow it."""
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are never unpickled")
    count = math.prod(shape)
    if count and not dtype.itemsize:
        raise ValueError(f"its header states elements without content ({dtype})")
    if count * dtype.itemsize != there:
        raise ValueError(
            f"its header states {dtype} {list(shape)}, which is {count * dtype.itemsize:,} bytes, "
            f"but {there:,} follow"
        )


def _check_compressed(member: zipfile.ZipInfo, size: int) -> None:
    """Checks what an archive promises about a member, before memory is taken for it."""
    stored = member.compress_type == zipfile.ZIP_STORED
    if not stored and member.compress_type != zipfile.ZIP_DEFLATED:
        raise ValueError("its compression is neither of NumPy's two")
    most = member.compress_size * (1 if stored else _MOST_COMPRESSED)
    if member.compress_size > size or member.file_size > most:
        raise ValueError(f"it promises {member.file_size:,} bytes")


# ---------------------------------------------------------------------------- safetensors


class Tensors:
    """The tensors of a .safetensors file, of which only the header is read yet.

    Attributes:
      metadata: the texts in the header.
      shapes: the shape of each tensor by name.
    """

    def __init__(self, path: Path) -> None:
        """Opens the file; a ValueError if it cannot be read or is damaged."""
        import safetensors

        check_file(path)
        self._path = path
        with _damaged(path, "safetensors file"):
            self._file: Any = safetensors.safe_open(os.fspath(path), framework="np")
            self.metadata: dict[str, str] = self._file.metadata() or {}
            names = self._file.keys()
            self.shapes = {name: tuple(self._file.get_slice(name).get_shape()) for name in names}

    def read(self, name: str) -> np.ndarray:
        """Reads one tensor; a ValueError names the file and the tensor."""
        if name not in self.shapes:
            raise ValueError(f"{self._path} has no tensor {name}")
        with _damaged(self._path, "safetensors file"):
            try:
                return self._file.get_tensor(name)
            except (AttributeError, TypeError) as error:  # a dtype that NumPy does not have
                dtype = self._file.get_slice(name).get_dtype()
                raise ValueError(f"{name} has dtype {dtype}, which is not supported") from error


# ---------------------------------------------------------------------------- errors


@contextlib.contextmanager
def _accessing(path: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from error


@contextlib.contextmanager
def _damaged(path: Path, what: str) -> Generator[None]:
    """A context around a library that reads a file and raises errors of many types.

    NumPy evaluates a header as a Python literal, which fails in a dozen ways (SyntaxError,
    TypeError, TokenError, RecursionError, ...); zipfile, zlib and safetensors have their own.
    """
    try:
        yield
    except OSError as error:
        if error.strerror is None:  # NumPy's and zipfile's own
            raise ValueError(f"{path} is not a complete {what}: {error}") from error
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    except Exception as error:
        kind = "" if type(error) is ValueError else f"{type(error).__name__}: "
        reason = re.sub(r"\s+", " ", f"{kind}{error}")[:300]
        raise ValueError(f"{path} is not a complete {what}: {reason}") from error
