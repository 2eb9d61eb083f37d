"""OptiTrack Motive's CSV exports: the bones of skeletons, or labelled markers.

One line of facts on the take, rows that say of each column what it is (its type, name, ID, and in
newer versions of the format its parent), and a row for each frame. The format states no
vertical axis: it is Motive's, Y, unless another was chosen for the export.
"""

import csv
import itertools
import pathlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from motionalign.formats import tables, text
from motionalign.formats.format import Format, Options
from motionalign.formats.motion import Motion, sorted_tree

_HEAD = 12  # lines among which the one with Frame and Time is
_UNLABELLED = re.compile(r"(.*:)?\s*unlabell?ed\b", re.IGNORECASE)

# Of what there is in a file the first is read; a Marker is where one was seen, a Bone Marker where
# the skeleton has it.
_ORDER = ("Bone", "Marker", "Bone Marker", "Rigid Body", "Rigid Body Marker")
_UNLABELLED_MARKER = "unlabelled Marker"

ROOT = "Hip"  # Motive's name of the bone that exports call as the skeleton


def _motive_parents() -> dict[str, str]:
    """{bone of Motive's skeletons: its parent}, as exports with parents (version 1.25) have it."""
    parents = {"Ab": ROOT, "Chest": "Ab", "Neck": "Chest", "Head": "Neck"}
    for side in "LR":
        fingers = [
            ("Hand", *(f"{finger}{i}" for i in (1, 2, 3)))
            for finger in ("Thumb", "Index", "Middle", "Ring", "Pinky")
        ]
        limbs = (("Shoulder", "UArm", "FArm", "Hand"), ("Thigh", "Shin", "Foot", "Toe"), *fingers)
        for limb in limbs:
            parents |= {f"{side}{b}": f"{side}{a}" for a, b in itertools.pairwise(limb)}
        parents |= {f"{side}Shoulder": "Chest", f"{side}Thigh": ROOT}
    return parents


class _Column(NamedTuple):
    """Where a bone, a marker or a rigid body is in a row."""

    kind: str  # one of _ORDER, or _UNLABELLED_MARKER
    owner: str  # the skeleton or set of markers; "" if there is none
    name: str
    parent: str  # "" if none is stated
    at: tuple[int, ...]  # columns of X, Y, Z


def read(path: pathlib.Path, options: Options) -> list[Motion]:
    """Reads a Motive CSV export; see `Format.read`.

    The persons are the skeletons, or the sets that markers belong to. The root bone, which has its
    skeleton's name, is called "Hip".
    """
    lines, notes = tables.read_lines(path)
    head, last, facts = _head(lines, path)
    unit = _unit(facts, path)
    columns = _columns(head, last, path)
    kind = next((kind for kind in _ORDER if any(c.kind == kind for c in columns)), None)
    if kind is None:
        raise ValueError(
            f"{path} has no position of a bone, a labelled marker or a rigid body in its "
            f"{len(head[-1])} columns"
        )
    used = _persons([column for column in columns if column.kind == kind], kind)
    rows = [(i + 1, line) for i, line in enumerate(lines) if i >= last and line.strip(" ,")]
    if not rows:
        raise ValueError(f"{path} has no row with a frame after line {last}")
    numbers, texts = zip(*rows)
    wanted = [1, *(at for column in used for at in column.at)]
    values = tables.parse_rows(texts, len(head[-1]), path, numbers, ",", wanted)
    fps, more = tables.rate_of(values[:, 0], _rate(facts, path))
    notes += more
    stated = facts.get("Total Exported Frames", "")
    if stated.isdecimal() and int(stated) != len(rows):
        notes += (f"The header states {stated} frames; {len(rows)} are there.",)
    if left := Counter(column.kind for column in columns if column.kind != kind):
        rest = ", ".join(f"{count} {name}" for name, count in sorted(left.items()))
        notes += (f"What is read is of the type {kind}; left out: {rest}.",)
    values = values[:, 1:].reshape(len(rows), len(used), 3)
    names, persons, positions = _placed(used, values, path)
    parents = None
    if kind == "Bone":
        parents, more = _parents(used, names, path)
        notes += more
    if parents is None:
        names, positions, more = _seen(names, positions, kind, path)
        notes += more
    else:
        order = sorted_tree(parents)
        parents = tuple(order.index(parents[j]) if parents[j] >= 0 else -1 for j in order)
        names, positions = [names[j] for j in order], positions[:, :, order]
    return [
        Motion(
            name=facts.get("Take Name") or path.stem,
            format=FORMAT.name,
            joint_names=tuple(names),
            parents=parents,
            positions=positions,
            fps=fps,
            unit_in_metres=unit,
            persons=tuple(persons),
            convention="Motive" if kind == "Bone" else None,
            notes=notes,
        )
    ]


def _placed(
    used: Sequence[_Column], values: np.ndarray, path: pathlib.Path
) -> tuple[list[str], list[str], np.ndarray]:
    """Names of joints and persons, and positions [T, M, J, 3] of columns [T, columns, 3]."""
    names = list(dict.fromkeys(column.name for column in used))
    persons = list(dict.fromkeys(column.owner for column in used))
    shape = (len(values), len(persons), len(names), 3)
    tables.check_size(shape, values.nbytes, path)
    positions = np.full(shape, np.nan)
    for index, column in enumerate(used):
        positions[:, persons.index(column.owner), names.index(column.name)] = values[:, index]
    positions[np.isnan(positions).any(-1)] = np.nan
    return names, persons, positions


def _seen(
    names: list[str], positions: np.ndarray, kind: str, path: pathlib.Path
) -> tuple[list[str], np.ndarray, tuple[str, ...]]:
    """What has a position in some frame, and a note on what has none."""
    seen = np.flatnonzero(~np.isnan(positions[..., 0]).all((0, 1)))
    if not seen.size:
        raise ValueError(f"{path}: no {kind} has a position in any frame")
    notes = ()
    if gone := [name for joint, name in enumerate(names) if joint not in seen]:
        notes = (f"{len(gone)} without any position are left out: {', '.join(gone)}.",)
    return [names[joint] for joint in seen], positions[:, :, seen], notes


def _head(lines: Sequence[str], path: pathlib.Path) -> tuple[list[list[str]], int, dict[str, str]]:
    """The rows up to that of the axes, the number of its line, and the facts of the first."""
    if not lines or not _claimed(lines[0]):
        found = text.quoted(lines[0] if lines else "")
        text.fail(path, 1, found, "Format Version, as an export of Motive begins")
    head: list[list[str]] = []
    reader = csv.reader(lines[:_HEAD])  # of which a quoted cell may have several
    try:
        for cells in reader:
            head.append([cell.strip() for cell in cells])
            if head[-1][:1] == ["Frame"]:
                return head, reader.line_num, dict(zip(head[0][::2], head[0][1::2]))
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: {error}") from error
    raise ValueError(
        f"{path} has no line that begins with Frame among its first {len(lines[:_HEAD])}; expected "
        "one with Frame, Time and the axes of the columns"
    )


def _unit(facts: Mapping[str, str], path: pathlib.Path) -> float | None:
    """Metres per unit; None: not stated. Refuses bones in the coordinates of their parents."""
    space = facts.get("Coordinate Space", "")
    if space.lower() not in ("", "global", "world"):
        raise ValueError(
            f"{path}, line 1: Coordinate Space is {space}, so that bones are given in the axes of "
            "their parents; export it again with Global (World Space Coordinates)"
        )
    name = facts.get("Length Units", "")
    if not name:
        return None
    unit = tables.unit_named(name)
    if unit is None:
        text.fail(path, 1, f"Length Units is {text.quoted(name)}", "Meters, Centimeters or such")
    return unit


def _rate(facts: Mapping[str, str], path: pathlib.Path) -> float | None:
    """Frames per second; None: not stated."""
    for name in ("Export Frame Rate", "Capture Frame Rate"):
        if value := facts.get(name):
            try:
                rate = float(value)
            except ValueError:
                rate = np.nan
            if not 0 < rate < np.inf:
                text.fail(path, 1, f"{name} is {text.quoted(value)}", "a positive number")
            return rate
    return None


def _columns(head: Sequence[Sequence[str]], last: int, path: pathlib.Path) -> list[_Column]:
    """The things that have positions, in the order of the file."""
    rows = {cells[1]: cells for cells in head[:-1] if len(cells) > 1 and not cells[0]}
    if "Type" not in rows and "Name" not in rows:
        rows |= _unlabelled_rows(head)
    if missing := [name for name in ("Type", "Name") if name not in rows]:
        raise ValueError(
            f"{path} has no line {' and no line '.join(missing)} before line {last}, the one "
            "with Frame and Time; it is of an older version than 1.2, or no export of Motive"
        )
    blank = [""] * len(head[-1])
    kinds, names, ids, parents, measures = (
        list(row) + blank[len(row) :]
        for row in (
            rows["Type"], rows["Name"], rows.get("ID", []), rows.get("Parent", []), head[-2],
        )
    )  # fmt: skip
    axes: dict[tuple[str, str, str], dict[str, int]] = {}
    for at, axis in enumerate(head[-1]):
        if measures[at] == "Position" and at > 1:
            found = axes.setdefault((kinds[at], names[at], ids[at]), {})
            if axis not in tuple("XYZ") or axis in found:
                problem = f"column {at + 1} of {text.quoted(names[at])} is {text.quoted(axis)}"
                text.fail(path, last, problem, "X, Y and Z once each")
            found[axis] = at
    out = []
    for (kind, name, _), found in axes.items():
        if len(found) < 3:
            text.fail(path, last, f"{text.quoted(name)} has only {', '.join(found)}", "X, Y and Z")
        owner, _, own = name.rpartition(":")
        if kind == "Marker" and _UNLABELLED.match(name):
            kind = _UNLABELLED_MARKER
        parent = parents[found["X"]].rpartition(":")[2]
        at = tuple(found[axis] for axis in "XYZ")
        out.append(_Column(kind, owner, own or name, parent, at))
    return out


def _unlabelled_rows(head: Sequence[Sequence[str]]) -> dict[str, Sequence[str]]:
    """The rows of types, names and IDs where they are not called so, known by the types."""
    lines = [cells for cells in head[:-1] if len(cells) > 2 and not any(cells[:2])]
    for place, cells in enumerate(lines):
        if set(cells[2:]) - {""} and set(cells[2:]) <= {*_ORDER, ""}:
            return dict(zip(("Type", "Name", "ID"), lines[place : place + 3]))
    return {}


def _persons(used: Sequence[_Column], kind: str) -> list[_Column]:
    """The columns with distinct names; what belongs to one person has one owner.

    Sets of markers are persons if they have markers of the same names, else parts of one.
    """
    owners: dict[str, set[str]] = {}
    for column in used:
        owners.setdefault(column.owner, set()).add(column.name)
    shared = len(set().union(*owners.values())) < sum(map(len, owners.values()))
    taken: Counter[tuple[str, str]] = Counter()
    out = []
    for column in used:
        owner, name, parent = column.owner, column.name, column.parent
        if kind == "Bone":
            name, parent = (ROOT if each == owner else each for each in (name, parent))
        elif len(owners) > 1 and not shared:
            owner, name = "", f"{owner}:{name}" if owner else name
        taken[owner, name] += 1
        if taken[owner, name] > 1:
            name = f"{name}.{taken[owner, name]}"
        out.append(column._replace(owner=owner, name=name, parent=parent))
    return out


def _parents(
    used: Sequence[_Column], names: Sequence[str], path: pathlib.Path
) -> tuple[tuple[int, ...] | None, tuple[str, ...]]:
    """The parents of bones, and a note where the file does not state them."""
    stated = {column.name: column.parent for column in reversed(used)}
    notes = ()
    if not any(stated.values()):
        known = _motive_parents()
        if not set(names) <= {ROOT, *known}:
            return None, ("The file does not state the parents of its bones.",)
        notes = ("The file does not state the parents of its bones, which are those of Motive's.",)
        for name in names:
            parent = known.get(name, "")
            while parent and parent not in names:
                parent = known.get(parent, "")
            stated[name] = parent
    out = []
    for name in names:
        parent = stated[name]
        if parent in ("", "Root") and parent not in names:
            out.append(-1)
        elif parent in names:
            out.append(names.index(parent))
        else:
            raise ValueError(
                f"{path}: the parent of bone {text.quoted(name)}, {text.quoted(parent)}, is none "
                "of its bones"
            )
    try:
        sorted_tree(out)
    except ValueError as error:
        raise ValueError(f"{path}: of the parents of its bones, {error}") from error
    return tuple(out), notes


def _claimed(line: str) -> bool:
    return line.lstrip(' "').lower().startswith("format version")


def claims(path: pathlib.Path) -> bool:
    """Whether a file begins as Motive's exports do."""
    return _claimed(tables.head(path))


FORMAT = Format(
    name="Motive CSV",
    about="OptiTrack Motive's CSV exports: bones of skeletons, else labelled markers",
    suffixes=(".csv",),
    read=read,
    claims=claims,
)
