"""Captions of motion files from a CSV table.

    file,caption,start,end           the header; further columns are not read
    walk/w01.bvh,a person walks,,
    walk/w01.bvh,a slow walk,,       several rows of a file are several captions
    duo,they dance,2.5,6             without suffix; about a stretch in seconds

Of a file with several takes or persons, a row is about all of them unless it names one, by the
columns take and person, or as in file#take#person.
"""

import collections
import math
import pathlib
from collections.abc import Collection, Iterable
from typing import Protocol

from data_prep.readers import Caption, InvalidClip, read_table

_SHOWN = 3  # rows without a file that are named


class OfFile(Protocol):
    """What tells a clip from others."""

    @property
    def id(self) -> str:
        """Its id."""

    @property
    def file(self) -> str:
        """The path of its file below the folder, with suffix."""

    @property
    def take(self) -> str:
        """Its take; "" if the file has no other."""

    @property
    def person(self) -> int:
        """Its person, from 1; 0 if the take has no other."""


class CaptionTable:
    """The rows of a table; `of_clips` finds those of each clip.

    Attributes:
      path: the file.
    """

    def __init__(self, path: pathlib.Path, rows: Collection[tuple[int, dict]]) -> None:
        """`rows`: (line, {column: text or None})."""
        self.path = path
        self._rows = rows
        self._lost: list[tuple[int, str]] = []

    @classmethod
    def read(cls, path: str | pathlib.Path) -> "CaptionTable":
        """Reads a table; a ValueError if it lacks one of the columns file and caption."""
        return cls(pathlib.Path(path), read_table(path, ["file", "caption"]))

    def of_clips(self, clips: Iterable[OfFile]) -> dict[str, list[Caption | InvalidClip]]:
        """The captions of each clip in the order of the rows, empty for a clip without rows.

        Raises:
          ValueError: most rows name files that are not there.
        """
        known = collections.defaultdict(list)
        found: dict[str, list[Caption | InvalidClip]] = {}
        for clip in clips:
            found[clip.id] = []
            for key in keys_of(clip):
                known[key].append(clip.id)
        for line, row in self._rows:
            key = _key(row)
            if key not in known:
                self._lost.append((line, key))
            for name in known.get(key, ()):
                found[name].append(_caption(row, line))
        if 2 * len(self._lost) > len(self._rows):
            line, key = self._lost[0]
            example = next(iter(known), "none")
            raise ValueError(
                f"{self.path}: {len(self._lost)} of {len(self._rows)} rows name files that are not "
                f"there; the first, in line {line}, is {key!r}. Expected paths below the folder, "
                f"such as {example!r}"
            )
        return found

    def notes(self) -> list[str]:
        """What to tell about rows that belong to no file."""
        if not self._lost:
            return []
        shown = ", ".join(f"line {line}: {key}" for line, key in self._lost[:_SHOWN])
        more = ", ..." if len(self._lost) > _SHOWN else ""
        return [f"{self.path.name}: {len(self._lost)} rows name no file here: {shown}{more}"]


def keys_of(clip: OfFile) -> list[str]:
    """The ways in which a row can name a clip."""
    path = pathlib.PurePosixPath(clip.file)
    keys = [clip.id]
    for name in (clip.file, path.with_suffix("").as_posix()):
        ends = [name, f"{name}#{clip.take}"] if clip.take else [name]
        keys += ends
        if clip.person:
            keys += [f"{end}#{clip.person}" for end in ends]
    if clip.person:
        keys.append(clip.id.removesuffix(f"#{clip.person}"))
    return list(dict.fromkeys(keys))


def _key(row: dict) -> str:
    """What a row names: file[#take][#person]."""
    parts = [_cell(row, name) for name in ("file", "take", "person")]
    parts[0] = parts[0].replace("\\", "/").removeprefix("./")
    return "#".join(part for part in parts if part)


def _caption(row: dict, line: int) -> Caption | InvalidClip:
    """The caption of a row."""
    text = " ".join(_cell(row, "caption").split())
    if not text:
        return InvalidClip("caption_empty", f"line {line} of the table: the caption is empty")
    times = []
    for name in ("start", "end"):
        cell = _cell(row, name)
        try:
            times.append(float(cell) if cell else 0.0)
        except ValueError:
            times.append(math.nan)
        if not math.isfinite(times[-1]):
            detail = f"line {line} of the table: {name} is {cell!r}, not a number of seconds"
            return InvalidClip("span_outside", detail)
    if times[0] and not _cell(row, "end"):
        return InvalidClip("span_outside", f"line {line} of the table: a start without an end")
    return Caption(text, times[0], times[1])


def _cell(row: dict, name: str) -> str:
    return (row.get(name) or "").strip()
