"""The records of binary FBX 7: named, with values, and records within them.

The layout is not published by Autodesk; it is as Blender's developers have described it
(https://code.blender.org/2013/08/fbx-binary-file-format-specification). What a record promises is
compared with the bytes of the file before memory is taken for it.
"""

import dataclasses
import pathlib
import struct
import zlib
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

_MAGIC = b"Kaydara FBX Binary  \x00"
_HEADER = struct.Struct("<2sI")  # after the magic: two bytes and the version

_WIDE = 7500  # from this version on, positions and counts have 8 bytes instead of 4
_LEAST, _MOST = 7000, 8000  # versions whose records are known

_DEPTH = 64  # of records within records; files have about 6
_MOST_COMPRESSED = 1032  # the factor by which deflate compresses at most

_SCALARS = {b"Y": "h", b"C": "?", b"B": "?", b"I": "i", b"F": "f", b"D": "d", b"L": "q"}
_SCALARS_BY_BYTE = {code[0]: struct.Struct("<" + form) for code, form in _SCALARS.items()}
_ARRAYS = {
    ord("f"): "<f4", ord("d"): "<f8", ord("l"): "<i8", ord("i"): "<i4", ord("b"): "?",
    ord("c"): "u1",
}  # fmt: skip
_ARRAY_HEAD = struct.Struct("<3I")
_LENGTH = struct.Struct("<I")

EXPORT = (
    "Export it as GLB, BVH or binary FBX 2014 or later, for example with Blender, Maya, "
    "MotionBuilder or Autodesk's FBX Converter"
)
"""What to do with a file of another kind."""


@dataclasses.dataclass(frozen=True)
class Array:
    """An array in a file that is not read yet."""

    data: bytes
    start: int
    count: int
    dtype: str
    packed: int  # bytes in the file if it is compressed, else 0

    def read(self) -> np.ndarray:
        """The values; a ValueError if they cannot be decompressed."""
        size = self.count * np.dtype(self.dtype).itemsize
        if not self.packed:
            return np.frombuffer(self.data, self.dtype, self.count, self.start)
        if size > self.packed * _MOST_COMPRESSED:
            raise ValueError(
                f"an array at byte {self.start:,} promises {size:,} bytes out of {self.packed:,}"
            )
        packed = self.data[self.start : self.start + self.packed]
        try:
            values = zlib.decompressobj().decompress(packed, size + 1)
        except zlib.error as error:
            raise ValueError(f"an array at byte {self.start:,} is damaged: {error}") from error
        if len(values) != size:
            raise ValueError(
                f"an array at byte {self.start:,} has {len(values):,} bytes; expected {size:,}"
            )
        return np.frombuffer(values, self.dtype)


@dataclasses.dataclass(frozen=True)
class Record:
    """A record.

    Attributes:
      name: such as "Model".
      values: numbers, texts, bytes and `Array`s.
      inner: the records within it.
    """

    name: str
    values: tuple[Any, ...]
    inner: tuple["Record", ...]

    def all(self, name: str) -> list["Record"]:
        """The inner records of a name."""
        return [record for record in self.inner if record.name == name]

    def first(self, *path: str) -> "Record | None":
        """The first record on a path of names; None if there is none."""
        record: Record | None = self
        for name in path:
            record = next((r for r in record.inner if r.name == name), None) if record else None
        return record

    def value(self, index: int, kind: type, default: Any = None) -> Any:
        """A value if it is of this type, else the default."""
        found = self.values[index] if index < len(self.values) else None
        return found if isinstance(found, kind) and not isinstance(found, bool) else default

    def array(self, name: str) -> np.ndarray | None:
        """The array that is the value of an inner record; None if there is none."""
        record = self.first(name)
        found = record.value(0, Array) if record is not None else None
        return None if found is None else found.read()


def version_of(head: bytes, path: pathlib.Path) -> int:
    """The version in the first bytes of a file.

    Raises:
      ValueError: it is text, too old, or no FBX; the message says how to export another kind.
    """
    if head.startswith(_MAGIC):
        if len(head) < len(_MAGIC) + _HEADER.size:
            raise ValueError(f"{path} is not a complete FBX file: it has {len(head)} bytes")
        version = _HEADER.unpack_from(head, len(_MAGIC))[1]
        if not _LEAST <= version <= _MOST:
            raise ValueError(
                f"{path} is FBX of version {version / 1000:g}; versions 7 to 8 are read. {EXPORT}"
            )
        return version
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b";", b"FBXHeaderExtension")):
        raise ValueError(f"{path} is FBX as text (ASCII), which is not read. {EXPORT}")
    raise ValueError(f"{path} is not an FBX file: it starts with {head[:12]!r}")


def parse(data: bytes, version: int, sections: Mapping[str, Collection[str] | None]) -> Record:
    """The records of a file, as those within one record.

    Args:
      data: the file.
      version: its version.
      sections: {name of a record at the top level: names of the records in it; None: all}. Others
        are passed by.

    Raises:
      ValueError: the file is cut off or damaged; the message names the byte.
    """
    return _Parser(data, version, sections).parse()


class _Parser:
    """Reads records from their bytes."""

    def __init__(
        self, data: bytes, version: int, sections: Mapping[str, Collection[str] | None]
    ) -> None:
        self._data = data
        self._head = struct.Struct("<3QB" if version >= _WIDE else "<3IB")
        self._sections = sections

    def parse(self) -> Record:
        """All records."""
        start, inner = len(_MAGIC) + _HEADER.size, []
        while True:
            found, start = self._record(start, len(self._data), 0, self._sections)
            if found is None and start < 0:
                return Record("", (), tuple(inner))
            if found is not None:
                inner.append(found)

    def _record(
        self, start: int, most: int, depth: int, keep: Collection[str] | None
    ) -> tuple[Record | None, int]:
        """A record at `start` and where the next begins; -1: it is the end of a list.

        None: the record is not one of `keep`.
        """
        if start + self._head.size > most:
            raise ValueError(f"a record at byte {start:,} lies beyond the end, byte {most:,}")
        end, count, size, length = self._head.unpack_from(self._data, start)
        if end == 0:
            return None, -1
        first = start + self._head.size + length
        if not first + size <= end <= most:
            raise ValueError(
                f"a record at byte {start:,} promises to end at byte {end:,} with {size:,} bytes "
                f"of values; expected at most {most:,}"
            )
        name = self._data[first - length : first].decode("utf-8", "replace")
        if keep is not None and name not in keep:
            return None, end
        if depth > _DEPTH:
            raise ValueError(f"a record at byte {start:,} lies within {depth} others")
        values = self._values(first, first + size, count)
        within = self._sections.get(name) if depth == 0 else None
        inner, at = [], first + size
        while at < end and at >= 0:
            found, at = self._record(at, end, depth + 1, within)
            if found is not None:
                inner.append(found)
        return Record(name, values, tuple(inner)), end

    def _values(self, start: int, end: int, count: int) -> tuple[Any, ...]:
        values = []
        while start < end and len(values) < count:
            code, start = self._data[start], start + 1
            if code in _SCALARS_BY_BYTE:
                form = _SCALARS_BY_BYTE[code]
                size = form.size
                if start + size <= end:
                    values.append(form.unpack_from(self._data, start)[0])
            elif code in b"SR":
                size = 4 + (_LENGTH.unpack_from(self._data, start)[0] if start + 4 <= end else 0)
                body = self._data[start + 4 : min(start + size, end)]
                values.append(body.decode("utf-8", "replace") if code == ord("S") else body)
            elif code in _ARRAYS and start + _ARRAY_HEAD.size <= end:
                number, encoding, packed = _ARRAY_HEAD.unpack_from(self._data, start)
                plain = number * np.dtype(_ARRAYS[code]).itemsize
                size = _ARRAY_HEAD.size + (packed if encoding else plain)
                begin = start + _ARRAY_HEAD.size
                values.append(
                    Array(self._data, begin, number, _ARRAYS[code], packed if encoding else 0)
                )
            else:
                raise ValueError(f"a value at byte {start - 1:,} has the unknown type {code}")
            start += size
        if start != end or len(values) != count:
            raise ValueError(
                f"{count} values should end at byte {end:,}, but {len(values)} end at {start:,}"
            )
        return tuple(values)
