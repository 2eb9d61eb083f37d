"""BVH (Biovision hierarchy): a tree of joints and the values of their channels in every frame.

There is no standard; this is how its dialects are read:

- The rotation of a joint is the product of its rotation channels in the order in which they are
  listed, the first outermost, whatever their number and order. Angles are degrees.
- Position channels, of any joint, replace the offset on their axis, in the frame of the parent,
  also where they follow rotations. This is how MotionBuilder, Blender and Bandai Namco's data have
  it. (Only where the position channels of all joints below the roots are zero, so that every body
  would shrink to a point, are they added to the offsets, and a note says so.)
- An end site is a point of the body with a position: the top of the head, the tip of a finger. It
  is a joint of the motion, named after its parent: "Head_end".
- A frame time is a rounded number, and read as the rate that it rounds: .0083333 is 120 frames per
  second, not 120.00048.
- Several roots with trees that are alike are persons of one take; trees that are not alike are
  takes of their own.
- The unit and the axis that points up are not stated.
"""

import dataclasses
import decimal
import pathlib
import re
from collections.abc import Sequence
from typing import NamedTuple, NoReturn

import numpy as np

from motionalign.formats import tables
from motionalign.formats import text as text_
from motionalign.formats.format import Format, Options
from motionalign.formats.kinematics import Node, pose, rest
from motionalign.formats.motion import Motion, distinct

_WORD = re.compile(r"[^\s{}]+|[{}]")
_NAME = re.compile(r"[^\n{}]*")
_FRAMES = re.compile(r"\s*Frames\s*:?\s*(\S+)", re.I)
_FRAME_TIME = re.compile(r"\s*Frame\s*Time\s*:?\s*(\S+)", re.I)
_CHANNEL = re.compile(r"([XYZ])(position|rotation)", re.I)

# Rates that are common, in the order in which they are preferred for a rounded frame time.
_COMMON = (
    (24, 25, 30, 48, 50, 60, 90, 100, 120, 144, 150, 180, 200, 240, 250, 300, 360, 480, 500),
    (23.976, 29.97, 59.94, 119.88),
)


@dataclasses.dataclass
class _Joint:
    """A joint or end site of the hierarchy.

    Attributes:
      name: as in the file; None for an end site.
      parent: index, -1 for a root.
      start: position in the file's text where it begins.
      offset: (x, y, z), None until it is read.
      channels: (kind, axis) of each channel: "position" or "rotation", 0 to 2.
    """

    name: str | None
    parent: int
    start: int
    offset: tuple[float, float, float] | None = None
    channels: tuple[tuple[str, int], ...] = ()


def _read(path: pathlib.Path, options: Options) -> list[Motion]:
    """See `Format.read`."""
    del options
    text, notes = text_.read(path)
    joints, at = _Hierarchy(path, text).parse()
    frames, fps, at, more_notes = _read_header(path, text, at)
    values, row_notes = _rows(path, text_.numbers(path, text, at), joints, frames)
    notes += more_notes + row_notes
    tables.check_size((len(values), 1, len(joints), 3), len(text), path)
    nodes, move_notes = _nodes(joints, values)
    return _takes(path, joints, nodes, pose(nodes, values), fps, notes + move_notes)


# ---------------------------------------------------------------------------- hierarchy


class _Hierarchy:
    """The parser of the hierarchy, word by word."""

    def __init__(self, path: pathlib.Path, text: str) -> None:
        self.path = path
        self.text = text
        self.at = 0
        self.joints: list[_Joint] = []
        self.open: list[int] = []

    def parse(self) -> tuple[list[_Joint], int]:
        """The joints and end sites, and the position after MOTION."""
        word, start = self._next()
        if word.upper() != "HIERARCHY":
            self._fail(start, self._found(word), "HIERARCHY, with which a BVH file begins")
        while True:
            word, start = self._next()
            keyword = word.upper()
            if keyword == "MOTION":
                break
            if keyword in ("ROOT", "JOINT", "END"):
                self._begin(keyword, start)
            elif keyword == "OFFSET":
                self._offset(self._innermost(word, start), start)
            elif keyword == "CHANNELS":
                self._channels(self._innermost(word, start), start)
            elif keyword == "}":
                self._close(self._innermost(word, start), start)
            else:
                self._fail(
                    start, self._found(word), "JOINT, End Site, OFFSET, CHANNELS, } or MOTION"
                )
        if self.open:
            joint = self.joints[self.open[-1]]
            self._fail(
                start,
                f"MOTION, while {self._called(joint, True)} is still open",
                f"{len(self.open)} closing braces before it",
            )
        if not self.joints:
            self._fail(start, "MOTION without a joint before it", "ROOT and its joints")
        return self.joints, self.at

    def _next(self) -> tuple[str, int]:
        """The next word, "" at the end of the text, and its position; skips comments."""
        while match := _WORD.search(self.text, self.at):
            self.at = match.end()
            word = match.group()
            if not word.startswith(("#", "//")):
                return word, match.start()
            end = self.text.find("\n", self.at)
            self.at = len(self.text) if end < 0 else end
        return "", len(self.text)

    def _begin(self, keyword: str, start: int) -> None:
        """A joint or end site: its name, which may have spaces, and the opening brace."""
        parent = self.open[-1] if self.open else -1
        match = _NAME.match(self.text, self.at)
        assert match is not None
        name = match.group().strip()
        self.at = match.end()
        joint = _Joint(None if keyword == "END" else name, parent, start)
        if keyword == "ROOT" and self.open:
            last = self.joints[parent]
            self._fail(
                start,
                f"ROOT {name} inside {self._called(last, True)}",
                "JOINT, or closing braces before it",
            )
        if keyword != "ROOT":
            holder = self._innermost(f"{keyword} {name}", start)
            if holder.name is None:
                self._fail(start, f"{keyword} {name} in an End Site", "only its OFFSET")
        if joint.name == "":
            self._fail(start, f"{keyword} without a name", f"{keyword} and a name")
        word, at = self._next()
        if word != "{":
            self._fail(at, self._found(word), f"{{ after {self._called(joint)}")
        self.open.append(len(self.joints))
        self.joints.append(joint)

    def _innermost(self, word: str, start: int) -> _Joint:
        """The joint that is open."""
        if not self.open:
            self._fail(start, f"{word} outside of all joints", "ROOT or MOTION")
        return self.joints[self.open[-1]]

    def _offset(self, joint: _Joint, start: int) -> None:
        if joint.offset is not None:
            self._fail(start, f"a second OFFSET of {self._called(joint)}", "one")
        offset = []
        for _ in range(3):
            word, at = self._next()
            number = text_.number(word)
            if number is None:
                self._fail(at, self._found(word), "three finite numbers after OFFSET")
            offset.append(number)
        joint.offset = (offset[0], offset[1], offset[2])

    def _channels(self, joint: _Joint, start: int) -> None:
        if joint.channels:
            self._fail(start, f"a second CHANNELS of {self._called(joint)}", "one")
        word, at = self._next()
        if not re.fullmatch(r"\d{1,9}", word, re.A):
            self._fail(at, self._found(word), "the number of channels after CHANNELS")
        channels: list[tuple[str, int]] = []
        for index in range(int(word)):
            name, at = self._next()
            match = _CHANNEL.fullmatch(name)
            if match is None:
                self._fail(
                    at,
                    f"{self._found(name)} as channel {index + 1} of {word}",
                    "one of Xposition, Yposition, Zposition, Xrotation, Yrotation, Zrotation",
                )
            channel = (match[2].lower(), "XYZ".index(match[1].upper()))
            if channel[0] == "position" and channel in channels:
                self._fail(at, f"{name} twice in {self._called(joint)}", "each position once")
            channels.append(channel)
        joint.channels = tuple(channels)

    def _close(self, joint: _Joint, start: int) -> None:
        if joint.offset is None:
            found = f"}} of {self._called(joint, True)}, which has no OFFSET"
            self._fail(start, found, "its OFFSET")
        self.open.pop()

    def _called(self, joint: _Joint, with_line: bool = False) -> str:
        called = "an End Site" if joint.name is None else f"joint {text_.quoted(joint.name)}"
        return f"{called} of line {self._line(joint.start)}" if with_line else called

    def _found(self, word: str) -> str:
        return text_.quoted(word) if word else "the end of the file"

    def _line(self, position: int) -> int:
        return text_.line_at(self.text, position)

    def _fail(self, position: int, found: str, expected: str) -> NoReturn:
        text_.fail(self.path, self._line(position), found, expected)


# ---------------------------------------------------------------------------- motion


def _read_header(
    path: pathlib.Path, text: str, at: int
) -> tuple[int, float | None, int, tuple[str, ...]]:
    """Number of frames, rate, the position after them, and notes, from the lines after MOTION."""
    found = []
    for pattern, what in ((_FRAMES, "Frames: and their number"), (_FRAME_TIME, "Frame Time:")):
        match = pattern.match(text, at)
        if match is None:
            rest = text[at:].lstrip()
            line = text_.line_at(text, len(text) - len(rest))
            first = rest.split("\n", 1)[0]
            text_.fail(path, line, text_.quoted(first) if first else "the end of the file", what)
        found.append((match[1], text_.line_at(text, match.start(1))))
        at = match.end()
    (count, line), (time, time_line) = found
    if not re.fullmatch(r"\d+", count, re.A) or int(count[:19]) == 0:
        text_.fail(path, line, f"Frames: {text_.quoted(count)}", "a whole number from 1")
    seconds = text_.number(time)
    if seconds == 0:
        return int(count[:19]), None, at, ("Frame Time is 0: the rate is not stated.",)
    if seconds is None or not 0.0001 <= seconds <= 1:
        expected = "seconds per frame, a number from 0.0001 to 1, as 0.0333333 for 30 frames/s"
        text_.fail(path, time_line, f"Frame Time: {text_.quoted(time)}", expected)
    fps = rate(time)
    notes = ()
    if abs(fps * seconds - 1) > 1e-3:
        notes = (f"Frame Time {time} is read as {fps:g} frames per second, which it rounds.",)
    return int(count[:19]), fps, at, notes


def rate(frame_time: str) -> float:
    """The rate in frames per second that a frame time, as it is written, stands for.

    The reciprocal itself, if it has at most three decimals: 0.04 is 25, 0.0417083750417 is 23.976.
    Else a rate whose frame time gives the same digits when it is rounded, or failing that, differs
    by one in the last of them: a common rate, one of NTSC's, or the only whole number. Else the
    reciprocal.
    """
    time = decimal.Decimal(frame_time)
    exponent = time.as_tuple().exponent
    assert isinstance(exponent, int)
    step = decimal.Decimal(1).scaleb(exponent)
    exact = 1 / time
    thousandths = exact.quantize(decimal.Decimal("0.001"))
    if abs(exact / thousandths - 1) < decimal.Decimal("1e-9"):
        return float(thousandths)
    for slack in (step / 2, step):
        for rates in (*_COMMON, _whole(time, slack)):
            off = {each: abs(1 / decimal.Decimal(str(each)) - time) for each in rates}
            if off and min(off.values()) <= slack:
                return float(min(off, key=off.__getitem__))
    return float(exact)


def _whole(time: decimal.Decimal, slack: decimal.Decimal) -> tuple[int, ...]:
    """The whole rate within `slack` of a frame time, if there is exactly one."""
    if slack >= time:
        return ()
    low, high = 1 / (time + slack), 1 / (time - slack)
    first, last = int(low.to_integral_value(decimal.ROUND_CEILING)), int(high)
    return (first,) if first == last else ()


def _rows(
    path: pathlib.Path, numbers: text_.Numbers, joints: Sequence[_Joint], frames: int
) -> tuple[np.ndarray, tuple[str, ...]]:
    """The values [T, C] of the channels in every frame, and notes."""
    width = sum(len(joint.channels) for joint in joints)
    counts = numbers.counts[numbers.counts > 0]
    if width == 0:
        if len(counts):
            text_.fail(
                path,
                int(numbers.lines[0]),
                f"{counts[0]} values",
                "none, because no joint has channels",
            )
        return np.zeros((1, 0)), ("No joint has channels: the motion is the rest pose.",)
    stated = f"the hierarchy declares {width} channels and Frames: {frames}"
    if (counts != width).any():
        if counts.sum() == frames * width:
            return numbers.values.reshape(frames, width), ("Frames are wrapped over lines.",)
        first = int(np.argmax(counts != width))
        text_.fail(
            path,
            int(numbers.lines[first]),
            f"{counts[first]} values in a row; {stated}",
            f"{width} values",
        )
    if len(counts) < frames:
        last = numbers.line + len(numbers.counts) - 1
        text_.fail(path, last, f"the end of the file after {len(counts)} rows", f"{frames} rows")
    notes = ()
    if len(counts) > frames:
        notes = (f"Frames: states {frames}, but {len(counts)} rows follow: all are read.",)
    return numbers.values.reshape(len(counts), width), notes


# ---------------------------------------------------------------------------- pose


def _nodes(joints: Sequence[_Joint], values: np.ndarray) -> tuple[list[Node], tuple[str, ...]]:
    """The tree as its channels move it, and a note where these are read in another way."""
    nodes, column = [], 0
    for joint in joints:
        assert joint.offset is not None
        moves, turns = [], []
        for kind, axis in joint.channels:
            (moves if kind == "position" else turns).append((axis, column))
            column += 1
        nodes.append(Node(joint.parent, joint.offset, tuple(moves), tuple(turns)))
    moved = [node for node in nodes if node.parent >= 0 and node.moves]
    columns = [column for node in moved for _, column in node.moves]
    if sum(any(node.offset) for node in moved) < 3 or values[:, columns].any():
        return nodes, ()
    nodes = [node if node.parent < 0 else node._replace(moves=()) for node in nodes]
    return nodes, ("Position channels below the root are all zero and are added to the offsets.",)


# ---------------------------------------------------------------------------- takes


class _Tree(NamedTuple):
    """A root and what is below it.

    Attributes:
      indices: of its joints.
      prefix: what all names begin with.
      key: the same for trees that are alike.
    """

    indices: list[int]
    prefix: str
    key: tuple


def _takes(
    path: pathlib.Path,
    joints: Sequence[_Joint],
    nodes: Sequence[Node],
    positions: np.ndarray,
    fps: float | None,
    notes: tuple[str, ...],
) -> list[Motion]:
    """The takes of a file: one for the roots whose trees are alike."""
    roots = [index for index, joint in enumerate(joints) if joint.parent < 0]
    alike: dict[tuple, list[_Tree]] = {}
    for first, end in zip(roots, [*roots[1:], len(joints)]):
        tree = _tree(joints, first, end)
        alike.setdefault(tree.key, []).append(tree)
    if len(alike) > 1:
        notes += (f"The file has {len(alike)} trees of different joints, each a take.",)
    places = rest(nodes)
    title = path.stem.lstrip(".") or path.stem
    takes = []
    for trees in alike.values():
        first = trees[0].indices
        name = title if len(alike) == 1 else f"{title} {joints[first[0]].name}"
        names, rename_notes = _names(joints, first)
        person_notes = ()
        if any(not np.array_equal(places[first], places[tree.indices]) for tree in trees[1:]):
            person_notes = ("The rest pose is the first person's; the others' bones differ.",)
        takes.append(
            Motion(
                name=name,
                format=FORMAT.name,
                joint_names=names,
                parents=tuple(max(joints[index].parent - first[0], -1) for index in first),
                positions=positions[:, [tree.indices for tree in trees]],
                fps=fps,
                rest=places[first],
                persons=_persons(joints, trees),
                ends=tuple(i for i, index in enumerate(first) if joints[index].name is None),
                notes=notes + rename_notes + person_notes,
            )
        )
    return takes


def _tree(joints: Sequence[_Joint], first: int, end: int) -> _Tree:
    """The joints `first` to `end`, of which the first is the root."""
    names = [joint.name for joint in joints[first:end] if joint.name is not None]
    prefix = _common_start(names)
    shorter = [name[len(prefix) :] for name in names]
    suffix = _common_start([name[::-1] for name in shorter])
    key = tuple(
        (
            joint.name and joint.name[len(prefix) : len(joint.name) - len(suffix)],
            max(joint.parent - first, -1),
        )
        for joint in joints[first:end]
    )
    return _Tree(list(range(first, end)), prefix, key)


def _common_start(names: Sequence[str]) -> str:
    """What several names begin with; of a single name, nothing."""
    if len(names) < 2:
        return ""
    first, last = min(names), max(names)
    differ = (i for i, (a, b) in enumerate(zip(first, last)) if a != b)
    return first[: next(differ, len(first))]


def _names(
    joints: Sequence[_Joint], indices: Sequence[int]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Distinct names of joints, end sites after those of joints; and a note on what is renamed."""
    given = {i: name for i in indices if (name := joints[i].name) is not None}
    unique = distinct(list(given.values()))
    of = dict(zip(given, unique))
    ends = [i for i in indices if i not in given]
    with_ends = distinct([*unique, *(f"{of[joints[i].parent]}_end" for i in ends)])
    of.update(zip(ends, with_ends[len(unique) :]))
    renamed = [new for new, old in zip(unique, given.values()) if new != old]
    notes = ()
    if renamed:
        notes = (f"{len(renamed)} names of joints are repeated and are numbered: {renamed[0]} ...",)
    return tuple(of[i] for i in indices), notes


def _persons(joints: Sequence[_Joint], trees: Sequence[_Tree]) -> tuple[str, ...]:
    """Names of the persons: what their joints' names begin with, their roots, or numbers."""
    if len(trees) == 1:
        return ("",)
    prefixes = [tree.prefix.strip(":_-. ") for tree in trees]
    roots = [joints[tree.indices[0]].name or "" for tree in trees]
    for names in (prefixes, roots):
        if all(names) and len(set(names)) == len(names):
            return tuple(names)
    return tuple(str(number + 1) for number in range(len(trees)))


FORMAT = Format(
    name="BVH",
    about="joints and end sites by forward kinematics, every dialect; several roots as persons",
    suffixes=(".bvh",),
    read=_read,
)
