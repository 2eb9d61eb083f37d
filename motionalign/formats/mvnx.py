"""Xsens's MVNX files: the segments of one or several subjects, in XML.

A subject has its segments, each with landmarks in the segment's axes, the joints that connect them,
and frames, of which the first are poses of the calibration. Positions are those of the segments'
origins, which are the joints towards the pelvis, in metres, Z up.
"""

import dataclasses
import itertools
import pathlib
from typing import Any
from xml.parsers import expat

import numpy as np

from motionalign import reading
from motionalign.formats import tables, text
from motionalign.formats.format import Format, Options
from motionalign.formats.motion import Motion, distinct, sorted_tree

_SPINE = ("Pelvis", "L5", "L3", "T12", "T8", "Neck", "Head")
_ARM = ("Shoulder", "UpperArm", "ForeArm", "Hand")
_LEG = ("UpperLeg", "LowerLeg", "Foot", "Toe")
SEGMENTS = (
    *_SPINE,
    *(f"{side}{part}" for side in ("Right", "Left") for part in _ARM),
    *(f"{side}{part}" for side in ("Right", "Left") for part in _LEG),
)
"""The segments of every file, in its order; props may follow."""

# Landmarks at the ends of the last segments, where a tree of joints would end otherwise.
_ENDS = {
    "pTopOfHead": "Head",
    "pRightTopOfHand": "RightHand",
    "pLeftTopOfHand": "LeftHand",
    "pRightToe": "RightToe",
    "pLeftToe": "LeftToe",
}

_RESTS = ("tpose", "npose", "identity")  # the first that there is
_DEEPEST = 100  # nested elements, of which a file has eight


@dataclasses.dataclass
class _Subject:
    """What was found of a subject.

    Attributes:
      name: its label.
      rate: the text of its frame rate.
      segments: their labels, in the order of the positions.
      ends: {landmark: (segment, the text of its position in the segment, its line)}.
      parents: {segment: the one it hangs from}.
      frames: {type: [(line, {"position": text, "orientation": text})]}.
      jumps: frames whose index does not follow that of the one before.
    """

    name: str = ""
    rate: str = ""
    segments: list[str] = dataclasses.field(default_factory=list)
    ends: dict[str, tuple[str, str, int]] = dataclasses.field(default_factory=dict)
    parents: dict[str, str] = dataclasses.field(default_factory=dict)
    frames: dict[str, list[tuple[int, dict[str, str]]]] = dataclasses.field(default_factory=dict)
    jumps: int = 0


class _Refused(ValueError):
    """What is wrong with a file, without its name."""


class _Parser:
    """Collects the subjects of a file from the events of its XML, which is never in memory.

    Attributes:
      subjects: found so far.
    """

    def __init__(self) -> None:
        self.subjects: list[_Subject] = []
        self._parser: Any = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.buffer_size = 1 << 16
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.EntityDeclHandler = self._entity
        self._path: list[str] = []
        self._text: list[str] | None = None  # of the element that is being read, if it is wanted
        self._point = ""
        self._connected: list[str] = []
        self._index: int | None = None
        self._done = {
            "pos_b": self._place,
            "pos_s": self._place,
            "connector1": self._connect,
            "connector2": self._connect,
            "position": self._value,
            "orientation": self._value,
        }

    def read(self, path: pathlib.Path) -> None:
        """Reads a file; a ValueError names it, and the line of what is wrong."""
        for piece in reading.read_pieces(path):
            self._feed(piece, False, path)
        self._feed(b"", True, path)

    def _feed(self, piece: bytes, is_last: bool, path: pathlib.Path) -> None:
        """Parses a piece of the file."""
        try:
            self._parser.Parse(piece, is_last)
        except expat.ExpatError as error:
            what = expat.ErrorString(error.code)
            raise ValueError(
                f"{path}, line {error.lineno}: {what}; expected XML, complete to its end"
            ) from error
        except (LookupError, ValueError) as error:  # _Refused; an encoding that is none
            line = self._parser.CurrentLineNumber
            raise ValueError(f"{path}, line {line}: {error}") from error

    def _entity(self, name: str, *_: Any) -> None:
        raise _Refused(f"the file defines the entity {name[:40]!r}, which no motion file needs")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        tag = tag.rpartition(":")[2]
        if not self._path and tag not in ("mvnx", "frames"):
            raise _Refused(f"the element {tag[:40]!r}; expected 'mvnx'")
        if len(self._path) == _DEEPEST:
            raise _Refused(f"more than {_DEEPEST} nested elements")
        if self._text is not None:
            raise _Refused(f"the element {tag[:40]!r} among numbers")
        self._path.append(tag)
        if tag == "subject" or (not self.subjects and tag == "frames"):
            self.subjects.append(_Subject(attributes.get("label", "")))
            self._index = None
        if not self.subjects:
            return
        subject = self.subjects[-1]
        if tag in ("subject", "frames", "mvnx") and not subject.rate:
            subject.rate = attributes.get("frameRate", "")
        elif tag == "segment":
            subject.segments.append(attributes.get("label", ""))
        elif tag == "point":
            self._point = attributes.get("label", "")
        elif tag == "joint":
            self._connected = []
        elif tag == "frame":
            self._frame(subject, attributes)
        elif self._wanted(tag):
            self._text = []
            self._parser.CharacterDataHandler = self._text.append

    def _wanted(self, tag: str) -> bool:
        """Whether the text of an element is read."""
        above = self._path[-2] if len(self._path) > 1 else ""
        if tag in ("position", "orientation"):
            return above == "frame"
        return tag in self._done and (above != "point" or self._point in _ENDS)

    def _frame(self, subject: _Subject, attributes: dict[str, str]) -> None:
        kind = attributes.get("type", "normal")
        line = self._parser.CurrentLineNumber
        subject.frames.setdefault(kind, []).append((line, {}))
        self._kind = kind
        index = attributes.get("index", "")
        if kind == "normal" and index.isdecimal():
            subject.jumps += self._index is not None and int(index) != self._index + 1
            self._index = int(index)

    def _end(self, tag: str) -> None:
        self._path.pop()
        if self._text is not None:
            content, self._text = "".join(self._text), None
            self._parser.CharacterDataHandler = None
            self._done[tag.rpartition(":")[2]](tag.rpartition(":")[2], content)

    def _place(self, tag: str, content: str) -> None:
        subject = self.subjects[-1]
        if subject.segments:
            line = self._parser.CurrentLineNumber
            subject.ends[self._point] = (subject.segments[-1], content, line)

    def _connect(self, tag: str, content: str) -> None:
        self._connected.append(content.strip().partition("/")[0])
        if len(self._connected) == 2:
            parent, child = self._connected
            self.subjects[-1].parents[child] = parent

    def _value(self, tag: str, content: str) -> None:
        self.subjects[-1].frames[self._kind][-1][1][tag] = content.replace("\n", " ")


@dataclasses.dataclass(frozen=True)
class _Measured:
    """The joints of one subject.

    Attributes:
      names: of its segments, and of the landmarks at the ends of the last ones.
      parents: {name: its parent}, without roots.
      positions: [T, J, 3].
      rest: [J, 3] of a pose of the calibration; None: there is none.
      fps: frames per second; None: not stated.
    """

    names: tuple[str, ...]
    parents: dict[str, str]
    positions: np.ndarray
    rest: np.ndarray | None
    fps: float | None


def read(path: pathlib.Path, options: Options) -> list[Motion]:
    """Reads an MVNX file; see `Format.read`.

    The joints are the origins of the segments, and the landmarks at the top of the head and at the
    tips of hands and feet. The rest pose is that of the calibration, the T-pose if there is one.
    """
    parser = _Parser()
    parser.read(path)
    subjects = [each for each in parser.subjects if each.frames.get("normal")]
    if not subjects:
        raise ValueError(
            f"{path} has no subject with a frame of type 'normal'; it has {len(parser.subjects)} "
            "subjects"
        )
    found = [_measured(each, path) for each in subjects]
    names = list(dict.fromkeys(name for each in found for name in each.names))
    parents = {name: above for each in reversed(found) for name, above in each.parents.items()}
    try:
        order = sorted_tree([_index(names, parents.get(name)) for name in names])
    except ValueError as error:
        raise ValueError(f"{path}: of its segments, {error}") from error
    names = [names[joint] for joint in order]
    frames = max(len(each.positions) for each in found)
    shape = (frames, len(found), len(names), 3)
    tables.check_size(shape, reading.check_file(path), path)
    positions = np.full(shape, np.nan)
    for person, each in enumerate(found):
        columns = [names.index(name) for name in each.names]
        positions[: len(each.positions), person, columns] = each.positions
    rest = found[0].rest
    if rest is not None:
        at = {name: joint for joint, name in enumerate(found[0].names)}
        rest = rest[[at[name] for name in names]] if len(at) == len(names) else None
    return [
        Motion(
            name=path.stem,
            format=FORMAT.name,
            joint_names=tuple(names),
            parents=tuple(_index(names, parents.get(name)) for name in names),
            positions=positions,
            fps=found[0].fps,
            unit_in_metres=1.0,
            up="z",
            rest=rest,
            persons=distinct([each.name for each in subjects]),
            ends=tuple(j for j, name in enumerate(names) if name in _ENDS),
            convention="Xsens",
            notes=_notes(subjects, found, path),
        )
    ]


def _index(names: list[str], name: str | None) -> int:
    return names.index(name) if name in names else -1


def _notes(subjects: list[_Subject], found: list[_Measured], path: pathlib.Path) -> tuple[str, ...]:
    """What was left out or assumed; a ValueError for subjects of different rates."""
    if len({each.fps for each in found}) > 1:
        rates = ", ".join(f"{each.name} {each.rate}" for each in subjects)
        raise ValueError(f"{path}: its subjects have different frame rates: {rates}")
    notes = ()
    counts = [len(each.positions) for each in found]
    if min(counts) < max(counts):
        notes += (f"Its subjects have {', '.join(map(str, counts))} frames, from the same start.",)
    if jumps := sum(each.jumps for each in subjects):
        notes += (f"The indices of the frames jump in {jumps} places, where frames are missing.",)
    others = {kind for each in subjects for kind in each.frames} - {"normal"}
    if unknown := sorted(kind for kind in others if not kind.startswith(_RESTS)):
        notes += (f"Frames of the types {', '.join(unknown)} are left out.",)
    return notes


def _measured(subject: _Subject, path: pathlib.Path) -> _Measured:
    """The joints of a subject; a ValueError names the line of what is wrong."""
    segments = distinct(subject.segments or SEGMENTS)
    ends = {name: at for name, at in subject.ends.items() if at[0] in segments}
    landmarks = np.array(
        [tables.parse_rows([at[1].strip()], 3, path, [at[2]])[0] for at in ends.values()]
    ).reshape(len(ends), 3)
    carriers = [segments.index(at[0]) for at in ends.values()]
    positions = _joints(subject.frames["normal"], len(segments), carriers, landmarks, path)
    rest = None
    for kind in _RESTS:
        if rest is None and kind in subject.frames:
            pose = subject.frames[kind][:1]
            if "position" in pose[0][1]:
                rest = _joints(pose, len(segments), carriers, landmarks, path)[0]
    parents = subject.parents or _standard_parents()
    parents = {child: above for child, above in parents.items() if above in segments}
    parents |= {name: at[0] for name, at in ends.items()}
    names = distinct((*segments, *ends))
    return _Measured(names, parents, positions, rest, _rate(subject, path))


def _joints(
    frames: list[tuple[int, dict[str, str]]],
    segments: int,
    carriers: list[int],
    landmarks: np.ndarray,
    path: pathlib.Path,
) -> np.ndarray:
    """Positions of the segments and of landmarks on them, [T, segments + landmarks, 3]."""

    def values(name: str, width: int) -> np.ndarray:
        for line, texts in frames:
            if name not in texts:
                text.fail(path, line, f"a frame without {name}", "an export with it")
        rows = [texts[name] for _, texts in frames]
        lines = [line for line, _ in frames]
        return tables.parse_rows(rows, width * segments, path, lines).reshape(-1, segments, width)

    positions = values("position", 3)
    if not carriers:
        return positions
    if not all("orientation" in texts for _, texts in frames):
        gaps = np.full((len(positions), len(carriers), 3), np.nan)
        return np.concatenate([positions, gaps], axis=1)
    turns = values("orientation", 4)[:, carriers]  # quaternions, the real part first
    twice = 2 * np.cross(turns[..., 1:], landmarks)
    offsets = landmarks + turns[..., :1] * twice + np.cross(turns[..., 1:], twice)
    return np.concatenate([positions, positions[:, carriers] + offsets], axis=1)


def _standard_parents() -> dict[str, str]:
    """{segment: the one it hangs from} of files that do not state the joints between them."""
    chains: list[tuple[str, ...]] = [_SPINE]
    for side in ("Right", "Left"):
        chains += [("T8", *(f"{side}{part}" for part in _ARM))]
        chains += [("Pelvis", *(f"{side}{part}" for part in _LEG))]
    return {child: above for chain in chains for above, child in itertools.pairwise(chain)}


def _rate(subject: _Subject, path: pathlib.Path) -> float | None:
    """Frames per second; None: not stated."""
    if not subject.rate:
        return None
    try:
        rate = float(subject.rate)
    except ValueError:
        rate = np.nan
    if not 0 < rate < np.inf:
        raise ValueError(f"{path}: frameRate is {subject.rate[:40]!r}; expected a positive number")
    return rate


FORMAT = Format(
    name="MVNX",
    about="Xsens's segments of one or several subjects, without fingers, sensors and angles",
    suffixes=(".mvnx",),
    read=read,
)
