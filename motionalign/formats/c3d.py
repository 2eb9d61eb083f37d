"""C3D, the binary format of optical motion capture: labelled markers in space.

ezc3d parses a file (numbers of Intel and DEC processors, integer and real storage), in a process of
its own: see `worker`. Here its labels are read: whose they are, and which are markers. Analog
channels and force plates are left out; so are the angles, forces and moments that a model has
computed, which lie among the points but are none. The format is described at https://www.c3d.org/HTML.
"""

import itertools
import pathlib
import re
import struct
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from motionalign import reading
from motionalign.formats import worker
from motionalign.formats.format import Format, Options
from motionalign.formats.motion import Motion, distinct

_EXTRA = "c3d"

_BLOCK = 512  # bytes of a block; positions in the file are counted in blocks, from 1
_KEY = 0x50  # the second byte of every C3D file
_INTEL, _DEC, _MIPS = 84, 85, 86  # the processors whose numbers a file may have

_UNITS = {
    **dict.fromkeys("mm millimeter millimeters millimetre millimetres".split(), 0.001),
    **dict.fromkeys("cm centimeter centimeters centimetre centimetres".split(), 0.01),
    **dict.fromkeys("m meter meters metre metres".split(), 1.0),
    **dict.fromkeys("in inch inches".split(), 0.0254),
    **dict.fromkeys("ft foot feet".split(), 0.3048),
}

# Lists of the labels that are no positions, and how such labels end in files without the lists.
_COMPUTED = ("ANGLES", "FORCES", "MOMENTS", "POWERS", "SCALARS")
_COMPUTED_NAME = re.compile(r"(angles?|forces?|moments?|powers?|torques?|grf)$", re.IGNORECASE)

_SHOWN = 6  # names in a note

# What programs call a marker that nobody has labelled: *12, U012, U_12, uname*3, Unlabeled 4.
_UNLABELLED = re.compile(
    r"\*.*|U_?\d+|C_\d+|(un(named?|labell?ed|identified|known)|uname)\W*\d*", re.IGNORECASE
)


def read(path: pathlib.Path, options: Options) -> list[Motion]:
    """Reads a C3D file; see `formats.read`. It is parsed in another process."""
    _check(path)
    return worker.read(_EXTRA, path)


def parse(path: pathlib.Path) -> list[Motion]:
    """Reads a C3D file in this process, which the library may crash.

    Returns:
      One take of the subjects that have the same labels, and one of each other set of labels.

    Raises:
      ValueError: ezc3d is missing, or the file is spoiled or without a measured marker.
    """
    try:
        import ezc3d
    except ImportError as error:
        raise ValueError(
            f"{path}: reading C3D needs ezc3d: pip install 'motionalign[{_EXTRA}]'"
        ) from error
    try:
        content = ezc3d.c3d(str(path))
    except MemoryError:
        raise
    except Exception as error:  # of many types, from C++
        if "bad_alloc" in str(error):
            raise MemoryError from error
        # The first sentence says what is wrong; another may name an option of the library's.
        reason = re.sub(r"\s+", " ", str(error)).split(". If you want")[0][:300]
        raise ValueError(
            f"{path}: ezc3d cannot read this C3D file: {reason}. Its parameters are damaged or "
            "unusual; save it anew, for example with Mokka or the program that recorded it"
        ) from error
    parameters = _Parameters(content["parameters"])
    points = np.asarray(content["data"]["points"], np.float64)[:3].transpose(2, 1, 0)
    residuals = content["data"]["meta_points"]["residuals"][0].T
    if not points.size:
        raise ValueError(
            f"{path} has no points: {len(points)} frames of {points.shape[1]} points. It may hold "
            "force plates or muscles alone"
        )
    return _motions(path, parameters, points, residuals, content["header"]["points"])


# ---------------------------------------------------------------------------- the file as a whole


class _Header(NamedTuple):
    """What the first block and the start of the parameters promise.

    Attributes:
      points: in a frame.
      analogs: values of analog channels in a frame.
      frames: 65535 and more are stated elsewhere.
      scale: of points stored as integers; negative: they are stored as real numbers.
      data: the first block of the data.
    """

    points: int
    analogs: int
    frames: int
    scale: float
    data: int

    @property
    def frame_bytes(self) -> int:
        """Bytes of a frame."""
        return (4 * self.points + self.analogs) * (4 if self.scale < 0 else 2)


def _check(path: pathlib.Path) -> None:
    """Compares what a file promises with its size, before a library takes memory for it."""
    size = reading.check_file(path)
    head = reading.read_start(path, 256 * _BLOCK)
    if len(head) < 2 or head[1] != _KEY:
        found = f"0x{head[1]:02x}" if len(head) > 1 else "no more"
        raise ValueError(f"{path} is not a C3D file: its second byte is {found}; expected 0x50")
    if len(head) < 2 * _BLOCK or size < 2 * _BLOCK:
        raise ValueError(
            f"{path} is not a complete C3D file: it has {size:,} bytes; a header and parameters "
            f"have {2 * _BLOCK:,} or more"
        )
    start = (head[0] - 1) * _BLOCK
    if not 0 < start < len(head) - 4:
        raise ValueError(
            f"{path} is not a complete C3D file: its parameters should be in block {head[0]} of "
            f"{size // _BLOCK}"
        )
    processor = head[start + 3]
    if processor == _MIPS:
        raise ValueError(
            f"{path} has the numbers of SGI's MIPS processors, which ezc3d does not read; save it "
            "with those of Intel processors (PC), for example with Mokka"
        )
    if processor not in (_INTEL, _DEC):
        raise ValueError(
            f"{path} is not a complete C3D file: its processor type is {processor}; expected "
            f"{_INTEL} (Intel) or {_DEC} (DEC)"
        )
    header = _header(head, processor)
    promised = (header.data - 1) * _BLOCK + header.frames * header.frame_bytes
    if promised > size or header.data < 2:
        raise ValueError(
            f"{path} is not a complete C3D file: its header promises {header.frames} frames of "
            f"{header.points} points and {header.analogs} analog values from block {header.data} "
            f"on, which is {promised:,} bytes, but the file has {size:,}"
        )


def _header(head: bytes, processor: int) -> _Header:
    _, points, analogs, first, last = struct.unpack_from("<5H", head)
    scale = head[12:16]
    if processor == _DEC:  # its reals have their two words swapped; the sign is in the second byte
        scale = scale[2:] + scale[:2]
    data = struct.unpack_from("<H", head, 16)[0]
    frames = last - first + 1
    return _Header(points, analogs, max(frames, 0), struct.unpack("<f", scale)[0], data)


class _Parameters:
    """The parameters of a file, whatever types a spoiled file gives them."""

    def __init__(self, groups: Mapping[str, Any]) -> None:
        self._groups = groups

    def values(self, group: str, name: str) -> list[Any]:
        """The values of a parameter in one row; none if the file has no such parameter."""
        parameter = self._groups.get(group, {}).get(name)
        return [] if parameter is None else list(np.ravel(parameter["value"]))

    def texts(self, group: str, name: str) -> list[str]:
        """The texts of a parameter and of its continuations NAME2, NAME3, ..., 255 each."""
        found, number = [], 1
        while more := self.values(group, name if number == 1 else f"{name}{number}"):
            found += [value.strip() if isinstance(value, str) else "" for value in more]
            number += 1
        return found

    def text(self, group: str, name: str) -> str:
        """The first text of a parameter; empty if there is none."""
        return next(iter(self.texts(group, name)), "")


# ---------------------------------------------------------------------------- labels


def _motions(
    path: pathlib.Path,
    parameters: _Parameters,
    points: np.ndarray,
    residuals: np.ndarray,
    header: Mapping[str, Any],
) -> list[Motion]:
    """The takes of points [T, N, 3] with residuals [T, N]."""
    notes: list[str] = []
    labels, kept = _markers(parameters, points.shape[1], notes)
    points, residuals = points[:, kept], residuals[:, kept]
    if not kept:
        raise ValueError(f"{path} has no labelled markers. {' '.join(notes)}")
    points = _measured(points, residuals, notes)
    if np.isnan(points).all():
        raise ValueError(
            f"{path}: none of its {len(kept)} markers ({', '.join(labels[:5])}, ...) is measured "
            f"in any of {len(points)} frames"
        )
    gone = np.flatnonzero(np.isnan(points).all(axis=-1).all(axis=0))
    if never := [distinct(labels)[index] for index in gone]:
        notes.append(f"{len(never)} markers are measured in no frame: {', '.join(never)}.")
    stated: dict[str, Any] = {
        "fps": _rate(parameters, header, notes),
        "unit_in_metres": _unit(parameters, notes),
        "up": _up(parameters, notes),
    }
    motions = []
    texts = parameters.texts("POINT", "DESCRIPTIONS")
    groups = _subjects(labels, [texts[i] if i < len(texts) else "" for i in kept], parameters)
    for group in groups:
        positions = np.full((len(points), len(group.persons), len(group.labels), 3), np.nan)
        for person, columns in enumerate(group.columns):
            for joint, column in columns.items():
                positions[:, person, joint] = points[:, column]
        name = path.stem if len(groups) == 1 else f"{path.stem} {'+'.join(group.persons)}".strip()
        motions.append(
            Motion(
                name=name,
                format=FORMAT.name,
                joint_names=group.labels,
                parents=None,
                positions=positions,
                persons=group.persons,
                notes=(*notes, *group.notes),
                **stated,
            )
        )
    return motions


def _markers(parameters: _Parameters, count: int, notes: list[str]) -> tuple[list[str], list[int]]:
    """The labels of the markers among the points, and their indices."""
    labels = parameters.texts("POINT", "LABELS")[:count]
    labels += [""] * (count - len(labels))
    listed = {name for kind in _COMPUTED for name in parameters.texts("POINT", kind)} - {""}
    computed, unlabelled, kept = [], 0, []
    for index, label in enumerate(labels):
        name = label.rpartition(":")[2]
        if label in listed or name in listed or _COMPUTED_NAME.search(name):
            computed.append(name)
        elif not name or _UNLABELLED.fullmatch(name):
            unlabelled += 1
        else:
            kept.append(index)
    if computed:
        notes.append(
            f"{len(computed)} computed values such as {computed[0]} are left out: they are no "
            "positions."
        )
    if unlabelled:
        notes.append(f"{unlabelled} points without a label are left out.")
    return [labels[index] for index in kept], kept


def _measured(points: np.ndarray, residuals: np.ndarray, notes: list[str]) -> np.ndarray:
    """Points with NaN where they were not measured: the residual is negative, or all are 0."""
    gone = (residuals < 0) | ~np.isfinite(points).all(-1)
    origin = (points == 0).all(-1) & ~gone
    if origin.any():
        notes.append(
            f"{int(origin.sum())} positions at exactly (0, 0, 0) are taken as not measured."
        )
    return np.where((gone | origin)[..., None], np.nan, points)


def _rate(parameters: _Parameters, header: Mapping[str, Any], notes: list[str]) -> float | None:
    for value in (*parameters.values("POINT", "RATE")[:1], header["frame_rate"]):
        if isinstance(value, float | int | np.number) and 0 < float(value) < 1e5:
            return float(value)
    notes.append("The file states no frame rate.")
    return None


def _unit(parameters: _Parameters, notes: list[str]) -> float | None:
    unit = parameters.text("POINT", "UNITS")
    if unit.lower() not in _UNITS:
        notes.append(f"POINT:UNITS is {unit!r}, which is no unit of length.")
    return _UNITS.get(unit.lower())


def _up(parameters: _Parameters, notes: list[str]) -> str | None:
    """The axis that points up on the screen.

    A negative axis states nothing: Qualisys writes -Z in files whose floor is below along +Z.
    """
    axis = parameters.text("POINT", "Y_SCREEN").lower()
    if not axis:
        return None
    if re.fullmatch(r"\+?[xyz]", axis):
        return axis[-1]
    notes.append(f"POINT:Y_SCREEN is {axis.upper()!r}, which is not taken as the axis up.")
    return None


class _Group(NamedTuple):
    """Subjects with the same labels.

    Attributes:
      persons: their names.
      labels: of a person.
      columns: for each person, the points of its labels: {index of the label: index of the point}.
      notes: on the labels.
    """

    persons: tuple[str, ...]
    labels: tuple[str, ...]
    columns: list[dict[int, int]]
    notes: tuple[str, ...] = ()


def _subjects(
    labels: Sequence[str], described: Sequence[str], parameters: _Parameters
) -> list[_Group]:
    """Sorts labels by their subjects, whose name comes before a colon."""
    names = distinct(labels)
    notes = _repeated(labels, names, described)
    subjects: dict[str, list[int]] = {}
    for column, name in enumerate(names):
        subjects.setdefault(name.rpartition(":")[0], []).append(column)
    bare = [name.rpartition(":")[2] for name in names]
    if len(subjects) <= 2 and ("" in subjects or len(subjects) == 1):
        # One subject, perhaps with markers that are nobody's; if they are called alike, they keep
        # the prefix.
        person = max(subjects) or _only(parameters.texts("SUBJECTS", "NAMES"))
        own = tuple(bare) if len(set(bare)) == len(bare) else names
        return [_Group((person,), own, [{j: j for j in range(len(own))}], notes)]
    return [
        *_alike({subject: {bare[c]: c for c in own} for subject, own in subjects.items()}, notes)
    ]


def _alike(subjects: Mapping[str, dict[str, int]], notes: tuple[str, ...]) -> list[_Group]:
    """Puts together the subjects whose labels are the same but for a fifth."""
    groups: list[list[str]] = []
    for subject, own in subjects.items():
        for group in groups:
            other = subjects[group[0]].keys()
            if len(own.keys() & other) >= 0.8 * len(own.keys() | other):
                group.append(subject)
                break
        else:
            groups.append([subject])
    found = []
    for group in groups:
        labels = tuple(dict.fromkeys(itertools.chain.from_iterable(subjects[s] for s in group)))
        index = {label: j for j, label in enumerate(labels)}
        columns = [{index[label]: c for label, c in subjects[s].items()} for s in group]
        found.append(_Group(tuple(group), labels, columns, notes))
    return found


def _repeated(
    labels: Sequence[str], names: Sequence[str], described: Sequence[str]
) -> tuple[str, ...]:
    """A note on labels that occur twice, which are numbered, with what the file says of them."""
    new = [
        f"{name} ({about})" if about not in ("", label) else name
        for label, name, about in zip(labels, names, described)
        if name != label
    ]
    if not new:
        return ()
    more = " and others" if len(new) > _SHOWN else ""
    return (f"{len(new)} labels occur before; they are numbered: {', '.join(new[:_SHOWN])}{more}.",)


def _only(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else ""


FORMAT = Format(
    name="C3D",
    about="labelled markers of optical motion capture; no force plates and analog channels",
    suffixes=(".c3d",),
    read=read,
    extra=_EXTRA,
)
