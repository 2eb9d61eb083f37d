"""Text files of numbers: their lines, their rows as arrays, and their times.

Rows are parsed as one block; only where that fails are they looked at one by one, for a message
that names the line.
"""

import pathlib
import re
from collections.abc import Sequence

import numpy as np

from motionalign import reading
from motionalign.formats import checks, text

_PIECE = 1 << 20  # characters of rows that are parsed at once

_FREE = 1 << 28  # bytes that positions may take, however small the file is
_MOST = 16  # bytes of positions for a byte of a larger file

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eEdD][+-]?\d+)?|[+-]?nan", re.ASCII | re.IGNORECASE)

_UNITS = {
    "m": 1.0, "meter": 1.0, "metre": 1.0, "cm": 0.01, "centimeter": 0.01, "centimetre": 0.01,
    "mm": 0.001, "millimeter": 0.001, "millimetre": 0.001, "in": 0.0254, "inch": 0.0254,
    "inche": 0.0254, "ft": 0.3048, "foot": 0.3048, "feet": 0.3048,
}  # fmt: skip

_SHORTEST, _LONGEST = 1e-5, 100.0  # seconds between two frames

_UNEVEN = 0.5  # of a frame, by which a time may be off
_OTHER_RATE = 0.01  # relative difference of two rates that are not the same


def read_lines(path: pathlib.Path) -> tuple[list[str], tuple[str, ...]]:
    """The lines of a text file without their ends, and the notes of `text.read`."""
    content, notes = text.read(path)
    lines = content.split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    return lines, notes


def head(path: pathlib.Path, size: int = 4096) -> str:
    """The start of a file as text, for a look at what it is; empty if it cannot be read."""
    try:
        data = reading.read_start(path, size)
    except ValueError:
        return ""
    return data.removeprefix(b"\xef\xbb\xbf").decode("latin-1")


def parse_rows(
    lines: Sequence[str],
    width: int,
    path: pathlib.Path,
    line_numbers: Sequence[int],
    delimiter: str | None = None,
    columns: Sequence[int] | None = None,
) -> np.ndarray:
    """The numbers of rows of text.

    Args:
      lines: N rows.
      width: the number of cells that each must have.
      path: of the file, for messages.
      line_numbers: N numbers of the lines in the file, for messages.
      delimiter: a comma, a tab or a semicolon between cells, of which blank ones are NaN, and blank
        ones beyond `width` are passed over; None: white space.
      columns: the C cells of each row to keep; None: all.

    Returns:
      [N, C] float64, NaN where a cell is blank or says so.

    Raises:
      ValueError: a row has another number of cells, or a cell that is kept is no number, or beyond
        `checks.HIGHEST`. The message names the line.
    """
    kept = np.arange(width) if columns is None else np.asarray(columns)
    step = max(1, _PIECE // max(1, len(lines[0]))) if lines else 1
    pieces = [np.zeros((0, width))[:, kept]]
    for start in range(0, len(lines), step):
        rows = lines[start : start + step]
        block = "\n".join(rows)
        values = None
        if block.isascii():
            if delimiter is None:
                values = _parse_cells(block.encode(), len(rows), width, kept)
            else:
                values = _parse_block(block.encode(), len(rows), width, delimiter, kept)
        if values is not None and not (np.abs(values) > checks.HIGHEST).any():
            pieces.append(values)
            continue
        numbers = line_numbers[start : start + step]
        each = (_parse_row(*row, width, path, delimiter, kept) for row in zip(rows, numbers))
        pieces.append(np.array(list(each), float))
    return np.concatenate(pieces)


def _parse_cells(block: bytes, rows: int, width: int, kept: np.ndarray) -> np.ndarray | None:
    """The kept numbers of rows whose cells white space separates; None where something is unusual.

    Most of the time goes into numbers, and so those that are not kept are cut out before.
    """
    codes = np.frombuffer(block + b"\n", np.uint8)
    dark = codes > ord(" ")
    edges = np.flatnonzero(dark[1:] != dark[:-1]) + 1
    edges = np.concatenate([[0], edges]) if dark[0] else edges
    starts, ends = edges[::2], edges[1::2]
    lines = np.flatnonzero(codes == ord("\n"))
    counts = np.diff(np.searchsorted(starts, lines), prepend=0)
    if len(counts) != rows or (counts != width).any() or not len(starts):
        return None
    if len(kept) < width:
        # From the start of a cell that is kept to the space after it.
        change = np.zeros(len(codes) + 1, np.int8)
        change[starts.reshape(rows, width)[:, kept]] += 1
        change[ends.reshape(rows, width)[:, kept] + 1] -= 1
        block = codes[np.cumsum(change[:-1], dtype=np.int8).view(bool)].tobytes()
    return _numbers(block, rows, len(kept))


def _parse_block(
    block: bytes, rows: int, width: int, delimiter: str, kept: np.ndarray
) -> np.ndarray | None:
    """The same of rows with a delimiter between the cells."""
    codes = np.frombuffer(block, np.uint8)
    ends = np.append(np.flatnonzero(codes == ord("\n")), len(codes))
    mark = delimiter.encode()
    counts = np.diff(np.searchsorted(np.flatnonzero(codes == mark[0]), ends), prepend=0) + 1
    if b" " in block:
        block = re.sub(b" *" + re.escape(mark) + b" *", mark, block)
    block = b"\n" + block + b"\n"
    for _ in range(2):  # of three in a row, the first and the second
        block = block.replace(mark + mark, mark + b"nan" + mark)
    block = block.replace(mark + b"\n", mark + b"nan\n").replace(b"\n" + mark, b"\nnan" + mark)
    block = block.replace(mark, b" ")
    if (counts != width).any() or not block.strip():  # NumPy finds a number in a blank text
        return None
    values = _numbers(block, rows, width)
    return None if values is None else values[:, kept]


def _numbers(block: bytes, rows: int, width: int) -> np.ndarray | None:
    """The numbers [rows, width] of a block; None: it does not have them."""
    try:
        values = np.fromstring(block, float, sep=" ")
    except (ValueError, DeprecationWarning):
        return None
    return values.reshape(rows, width) if values.size == rows * width else None


def _parse_row(
    line: str, number: int, width: int, path: pathlib.Path, delimiter: str | None, kept: np.ndarray
) -> list[float]:
    """The numbers of one row that are kept, or the message on what is wrong with it."""
    cells = [cell.strip() for cell in line.split(delimiter)]
    if any(cells[width:]) or len(cells) < width:
        raise ValueError(
            f"{path}, line {number}: {len(cells)} values, expected {width}"
            + (". The file ends too early, or is damaged" if len(cells) < width else "")
        )
    for column in kept:
        cell = cells[column]
        what = None
        if cell and not _NUMBER.fullmatch(cell):
            what = "a finite number"
        elif abs(_number(cell)) > checks.HIGHEST:
            what = f"at most {checks.HIGHEST:g}, beyond which is no measurement"
        if what:
            text.fail(path, number, f"column {column + 1} is {text.quoted(cell)}", what)
    return [_number(cells[column]) for column in kept]


def _number(cell: str) -> float:
    return float(cell.lower().replace("d", "e")) if cell else np.nan


def whole(found: str, path: pathlib.Path, number: int, what: str, most: int | None = None) -> int:
    """The whole number on a line of a file.

    Raises:
      ValueError: it is none, or more than `most`; the message names the line.
    """
    if not re.fullmatch(r"\s*\d{1,18}\s*", found, re.ASCII):
        text.fail(path, number, text.quoted(found), what)
    if most is not None and int(found) > most:
        text.fail(path, number, found.strip(), f"{what}, at most {most}")
    return int(found)


def check_size(shape: Sequence[int], size: int, path: pathlib.Path) -> None:
    """Checks that positions take no more memory than a file of this size warrants.

    Raises:
      ValueError: they do, as where a frame a person comes and goes.
    """
    needed = 8 * int(np.prod([int(each) for each in shape], dtype=object))
    if needed > max(_FREE, _MOST * size):
        raise ValueError(
            f"{path}: {shape[0]:,} frames of {shape[1]:,} persons take {needed:,} bytes, though "
            f"the file has {size:,}; it is damaged"
        )


def unit_named(name: str) -> float | None:
    """Metres per unit of a name such as "mm" or "Millimeters"; None: it is none."""
    name = name.strip().strip("\"'").lower()
    return _UNITS.get(name, _UNITS.get(name.removesuffix("s")))


def rate_of(times: np.ndarray, stated: float | None) -> tuple[float | None, tuple[str, ...]]:
    """The frame rate of rows with times, and notes on times that do not fit it.

    Args:
      times: [T] seconds.
      stated: the rate in the file's header; None: none.

    Returns:
      The stated rate; that of the times where none is stated, or where they are even and differ
      from it: every frame has its time, and the header only a number.
    """
    if len(times) < 2 or not np.isfinite(times).all():
        return stated, ()
    steps = np.clip(np.diff(times), -_LONGEST, _LONGEST)
    # Times may be rounded: the mean of the steps tells more than one of them, and that of all steps
    # more than that of the even ones, unless frames are missing.
    overall, middle = float(steps.mean()), float(np.median(steps))
    even = steps[np.abs(steps - middle) <= _UNEVEN * middle]
    step = float(even.mean()) if middle > 0 and even.size else overall
    if not _SHORTEST < step < _LONGEST:
        return stated, ("The times do not increase as those of frames do, and are not used.",)
    rate, notes = round(1 / step, 3), ()
    off = [abs(each * stated - 1) for each in (step, overall)] if stated is not None else [1.0]
    if stated is None:
        stated = rate
    elif min(off) > _OTHER_RATE and min(off) * len(times) > _UNEVEN:
        notes = (
            f"The header states {stated:g} frames a second, the times {rate:g}; the times are "
            "taken.",
        )
        stated = rate
    missing = steps.sum() * stated - len(steps)
    if missing > 1 - _OTHER_RATE and steps.min() > 0:
        jumps = int((steps * stated > 1 + _UNEVEN).sum())
        notes += (f"The times jump in {jumps} places, where frames are missing.",)
    return stated, notes
