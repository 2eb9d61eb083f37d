"""TRC files: markers over time, as Motion Analysis's programs and OpenSim write them.

Three lines of facts on the file, a line with the markers' names, one with X1, Y1, Z1 and so on, and
a row for each frame. The format states no vertical axis: OpenSim takes Y, laboratories often Z.
"""

import pathlib
import re
from collections.abc import Sequence

import numpy as np

from motionalign.formats import tables
from motionalign.formats.format import Format, Options
from motionalign.formats.motion import Motion, distinct

_HEAD = 5  # lines before the first row, or the blank line before it
_ROW = 2  # values of a row before those of the markers: the frame's number and its time


def read(path: pathlib.Path, options: Options) -> list[Motion]:
    """Reads a TRC file; see `Format.read`. Markers without any position are left out."""
    lines, notes = tables.read_lines(path)
    if not lines or not lines[0].lstrip().startswith("PathFileType"):
        found = lines[0].strip()[:40] if lines else ""
        raise ValueError(f"{path}, line 1: {found!r}; expected PathFileType, as a TRC file begins")
    if len(lines) <= _HEAD:
        raise ValueError(f"{path} ends after line {len(lines)}; expected {_HEAD} lines and rows")
    delimiter = next((mark for mark in "\t,;" if mark in lines[3]), None)
    facts = _facts(lines[1], lines[2], delimiter)
    names, more = _names(lines[3], lines[4], delimiter, path)
    notes += more
    rows = [(i + 1, line) for i, line in enumerate(lines) if i >= _HEAD and _is_row(line)]
    if not rows:
        raise ValueError(f"{path} has no row with a frame after its {_HEAD} lines of header")
    numbers, texts = zip(*rows)
    width = _ROW + 3 * len(names)
    texts, more = _named_cells(texts, width, delimiter)
    notes += more
    values = tables.parse_rows(texts, width, path, numbers, delimiter)
    fps, more = tables.rate_of(values[:, 1], _fact(facts, "DataRate", path))
    notes += more
    for fact, there, what in (
        ("NumFrames", len(rows), "frames"),
        ("NumMarkers", len(names), "markers"),
    ):
        stated = _fact(facts, fact, path)
        if stated is not None and stated != there:
            notes += (f"The header states {stated:g} {what}; {there} are there.",)
    positions, seen, gaps = _measured(values[:, _ROW:].reshape(len(rows), len(names), 3))
    if not seen.size:
        raise ValueError(f"{path}: no marker has a position in any of the {len(rows)} frames")
    names = distinct(names)
    if gone := [name for i, name in enumerate(names) if i not in seen]:
        notes += (f"{len(gone)} markers without any position are left out: {', '.join(gone)}.",)
    if gaps:
        notes += (f"{gaps} positions are exactly 0, 0, 0, as some programs write gaps.",)
    return [
        Motion(
            name=path.stem,
            format=FORMAT.name,
            joint_names=tuple(names[i] for i in seen),
            parents=None,
            positions=positions[:, None, seen],
            fps=fps,
            unit_in_metres=_unit(facts.get("Units", ""), path),
            notes=notes,
        )
    ]


def _measured(positions: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Positions [T, J, 3] with NaN for gaps, the markers ever seen, and how many gaps were zeros.

    A marker that is at 0, 0, 0 in every frame is the origin where it is the only one.
    """
    zero = (positions == 0).all(-1)
    if zero.all(0).sum() == 1:
        zero[:, zero.all(0)] = False
    positions = np.where((zero | np.isnan(positions).any(-1))[..., None], np.nan, positions)
    return positions, np.flatnonzero(np.isfinite(positions).all(-1).any(0)), int(zero.sum())


def _cells(line: str, delimiter: str | None) -> list[str]:
    return [cell.strip() for cell in line.split(delimiter)]


def _facts(heads: str, values: str, delimiter: str | None) -> dict[str, str]:
    """The header's facts; some programs write two delimiters between values."""
    named = [cell for cell in _cells(heads, delimiter) if cell]
    found = _cells(values, delimiter)
    given = [cell for cell in found if cell]
    return dict(zip(named, given if len(given) == len(named) else found))


def _named_cells(
    rows: Sequence[str], width: int, delimiter: str | None
) -> tuple[Sequence[str], tuple[str, ...]]:
    """The rows without markers that have no name: Cortex writes those behind all others."""
    if delimiter is None:
        return rows, ()
    more = [row.rstrip(" \t,;").count(delimiter) + 1 - width for row in rows]
    most = max(more)
    # A last position may lack coordinates, which are blank; fewer than one are no marker.
    if most < 3 or any(0 < each < 3 for each in more):
        return rows, ()
    cut = [
        delimiter.join(row.split(delimiter, width)[:width]) if each > 0 else row
        for row, each in zip(rows, more)
    ]
    return cut, (f"{-(-most // 3)} markers without a name are left out.",)


def _is_row(line: str) -> bool:
    """Whether a line has more than delimiters."""
    return bool(line.strip(" \t,;"))


def _names(
    labels: str, axes: str, delimiter: str | None, path: pathlib.Path
) -> tuple[list[str], tuple[str, ...]]:
    """The names of the markers: every third cell of line 4, of which the next two are blank.

    Cortex also names its virtual markers, which have no columns where they are not exported.
    """
    cells = _cells(labels, delimiter)
    if not cells[0].lower().startswith("frame"):
        raise ValueError(
            f"{path}, line 4: {cells[0][:40]!r}; expected Frame#, Time and the markers' names"
        )
    names = [cell for cell in cells[_ROW:] if cell]
    found = [cell.lower() for cell in axes.split(delimiter) if cell.strip()]
    found = [re.sub(r"\s", "", cell) for cell in found]
    if not names and not found:
        raise ValueError(f"{path} has no markers: line 4 names none")
    notes: tuple[str, ...] = ()
    kept = len(found) // 3
    if 0 < kept < len(names) and all(name.startswith("V_") for name in names[kept:]):
        notes = (f"{len(names) - kept} virtual markers have a name and no positions.",)
        names = names[:kept]
    expected = [f"{axis}{number}" for number in range(1, len(names) + 1) for axis in "xyz"]
    if not names or found != expected:
        wrong = next((a for a, b in zip(found, expected) if a != b), None)
        raise ValueError(
            f"{path}, line 5: {f'{wrong[:40]!r} among ' if wrong else ''}{len(found)} axes for the "
            f"{len(names)} markers of line 4; expected X1, Y1, Z1 to Z{len(names)}"
        )
    return names, notes


def _fact(facts: dict[str, str], name: str, path: pathlib.Path) -> float | None:
    """A number of the header; None: not stated."""
    text = facts.get(name, "")
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not 0 < value < np.inf:
        raise ValueError(f"{path}, line 3: {name} is {text[:40]!r}; expected a positive number")
    return value


def _unit(text: str, path: pathlib.Path) -> float | None:
    """Metres per unit of a header; None: not stated."""
    if not text:
        return None
    unit = tables.unit_named(text)
    if unit is None:
        raise ValueError(f"{path}, line 3: Units is {text[:40]!r}; expected m, cm, mm, in or ft")
    return unit


FORMAT = Format(
    name="TRC",
    about="markers of Motion Analysis's programs and OpenSim: all of them, blank ones as gaps",
    suffixes=(".trc",),
    read=read,
)
