"""What the formats that are text have in common: their encoding, and blocks of numbers."""

import pathlib
import re
from typing import NamedTuple, NoReturn

import numpy as np

from motionalign import reading

_PIECE = 1 << 20  # characters of a block that are parsed at once

_UTF16 = (b"\xff\xfe", b"\xfe\xff")

# Follows every piece, to show that NumPy has parsed it to its end: older versions stop at what is
# no number, and only warn.
_LAST = -1.25e307

_LARGEST = 1e100  # of numbers that count as finite, so that products with them are, too

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def read(path: pathlib.Path) -> tuple[str, tuple[str, ...]]:
    r"""Reads a text file in UTF-8 or UTF-16 or, where it is neither, in Latin-1.

    Returns:
      The text without a byte order mark, with \n for \r\n and \r; and a note if it is Latin-1.

    Raises:
      ValueError: the file cannot be read.
    """
    data = reading.read_bytes(path)
    notes = ()
    try:
        text = data.decode("utf-16" if data.startswith(_UTF16) else "utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
        notes = ("The file is not UTF-8 and is read as Latin-1.",)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.rstrip("\x00\x1a"), notes  # with which DOS and some programs end a file


def line_at(text: str, position: int) -> int:
    """The line number, from 1, of a position in a text."""
    return text.count("\n", 0, position) + 1


def quoted(found: str, most: int = 40) -> str:
    """A piece of a file for a message, shortened to `most` characters."""
    found = " ".join(found.split())
    return repr(found if len(found) <= most else found[: most - 3] + "...")


def number(word: str) -> float | None:
    """The finite number that a word is; None: it is none. Unlike float(), no 1_000 and no nan."""
    value = float(word) if _NUMBER.fullmatch(word) else np.inf
    return value if abs(value) < _LARGEST else None


def fail(path: pathlib.Path, line: int, found: str, expected: str) -> NoReturn:
    """Raises the ValueError for a line of a file."""
    raise ValueError(f"{path}, line {line}: {found}; expected {expected}")


class Numbers(NamedTuple):
    """A block of numbers separated by white space.

    Attributes:
      values: [N] float64, all finite.
      counts: [L] numbers in each line, also where it is blank.
      line: the number of the first of these lines in the file.
    """

    values: np.ndarray
    counts: np.ndarray
    line: int

    @property
    def lines(self) -> np.ndarray:
        """Line numbers of the lines that are not blank."""
        return np.flatnonzero(self.counts) + self.line


def numbers(path: pathlib.Path, text: str, start: int, line: int | None = None) -> Numbers:
    """Parses the numbers from a position of a text to its end.

    Args:
      path: of the file, for messages.
      text: of the whole file, or a part of it.
      start: the position; where it is within a line, the rest of the line counts as the first.
      line: the line number of the position in the file; None: its line in the text.

    Raises:
      ValueError: something is no finite number. The message names the line.
    """
    line = first = line_at(text, start) if line is None else line
    values, counts = [], []
    while True:
        end = text.find("\n", start + _PIECE)
        piece = text[start:] if end < 0 else text[start:end]
        found, of_lines = _parse(piece)
        if found is None:
            _fail_at_token(path, piece, line)
        values.append(found)
        counts.append(of_lines)
        line += len(of_lines)
        if end < 0:
            return Numbers(np.concatenate(values), np.concatenate(counts), first)
        start = end + 1


def _parse(piece: str) -> tuple[np.ndarray | None, np.ndarray]:
    """The numbers of a piece of text, None if it has anything else; and how many each line has."""
    codes = np.frombuffer(piece.encode("utf-8", "replace"), np.uint8)
    blank = codes <= ord(" ")
    starts = np.flatnonzero(~blank & np.concatenate([[True], blank[:-1]]))
    ends = np.append(np.flatnonzero(codes == ord("\n")), len(codes))
    counts = np.diff(np.searchsorted(starts, ends), prepend=0)
    try:
        values = np.fromstring(f"{piece} {_LAST!r}", sep=" ")
    except ValueError:
        return None, counts
    if values[-1] != _LAST:
        return None, counts
    assert len(values) == len(starts) + 1, (len(values), len(starts))
    values = values[:-1]
    return (values if (np.abs(values) < _LARGEST).all() else None), counts


def _fail_at_token(path: pathlib.Path, piece: str, line: int) -> NoReturn:
    """Raises the error for the first thing in a piece that is no finite number."""
    for match in re.finditer(r"\S+", piece, re.A):
        token = match.group()
        if number(token) is None:
            fail(path, line + piece.count("\n", 0, match.start()), quoted(token), "a finite number")
    raise AssertionError("NumPy and the pattern of a number differ")
