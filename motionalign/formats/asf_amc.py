"""ASF/AMC (Acclaim): a skeleton in one file, and its motion in another, as CMU publishes them.

How they are read, by Acclaim's definition of the formats (M. Schafer, version 1.10) and Vicon's
notes on it:

- A bone begins where its parent ends, and reaches along `direction` for `length`. Joints are the
  points in which bones begin, named after the bone, and where no bone goes on, its end:
  "lfemur" is the left hip, "ltoes_end" the tip of the toes. CMU's own BVH has the same joints.
- The rotation of a bone is C M C⁻¹: C from its `axis`, M from the channels of its `dof`. In both,
  the first axis turns first, so that it is the innermost.
- `length` of the units is the factor from inches to the unit of the file: at CMU's 0.45, a unit is
  1 / 0.45 inch or 5.6444 cm, as CMU's FAQ has it (mocap.cs.cmu.edu/faqs.php). A factor of 1, the
  default of programs that do not care, says nothing: the unit is not stated.
- A position and orientation of the root, which CMU leaves at zero, move and turn the whole motion.
- The rate is not stated, apart from a header :SAMPLES-PER-SECOND. CMU's is 120 frames per second.
"""

import dataclasses
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from motionalign.formats import tables
from motionalign.formats import text as text_
from motionalign.formats.format import Format, Options
from motionalign.formats.kinematics import Node, pose
from motionalign.formats.motion import Motion, distinct, sorted_tree

_INCH = 0.0254  # metres

_SECTIONS = ("version", "name", "units", "documentation", "root", "bonedata", "hierarchy", "skin")

_KEYWORDS = ("id", "name", "direction", "length", "axis", "dof", "limits", "bodymass", "cofmass")

_HEADER = re.compile(r"\s*(#[^\n]*|:[^\n]*)?(\n|$)")


# ---------------------------------------------------------------------------- skeleton


class _Bone(NamedTuple):
    """A bone; the root is one without length.

    Attributes:
      name: of the bone.
      line: of the file where it begins.
      reach: [3] from its beginning to its end, in the rest pose.
      axis: ((axis, degrees), ...) of its coordinate frame, the first innermost.
      channels: (kind, axis) of its values, kind "t" or "r".
    """

    name: str
    line: int
    reach: np.ndarray
    axis: tuple[tuple[int, float], ...]
    channels: tuple[tuple[str, int], ...]


@dataclasses.dataclass(frozen=True)
class _Skeleton:
    """The content of an ASF file.

    Attributes:
      path: of the file.
      bones: the root first, parents before their children.
      parents: index of the parent of each, -1 of the root.
      position: [3] of the root in the rest pose.
      length: the factor of the units.
      degrees: whether its angles are degrees.
      notes: on the file.
    """

    path: pathlib.Path
    bones: tuple[_Bone, ...]
    parents: tuple[int, ...]
    position: np.ndarray
    length: float
    degrees: bool
    notes: tuple[str, ...]


class _Line(NamedTuple):
    """The words of a line of an ASF file, at least one, without comments."""

    number: int
    words: tuple[str, ...]

    @property
    def keyword(self) -> str:
        """The first word, in lower case."""
        return self.words[0].lower()

    @property
    def quoted(self) -> str:
        """The line, for a message."""
        return text_.quoted(" ".join(self.words))


class _Asf:
    """The parser of an ASF file, line by line."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        text, self.notes = text_.read(path)
        self.sections = self._sections(text)
        self.length, self.degrees = self._units()

    def parse(self) -> _Skeleton:
        """The skeleton."""
        root, position = self._root()
        bones = {root.name: root}
        for bone in self._bones():
            if bone.name in bones:
                text_.fail(self.path, bone.line, f"a second bone {bone.name!r}", "distinct names")
            bones[bone.name] = bone
        parents = self._hierarchy(bones)
        names = list(bones)
        places = {name: index for index, name in enumerate(names)}
        above = [places[parents[name]] if name in parents else -1 for name in names]
        try:
            order = sorted_tree(above)
        except ValueError as error:
            line = self.sections["hierarchy"][0].number
            text_.fail(self.path, line, f"a hierarchy in which {error}", "every bone below root")
        new = {index: place for place, index in enumerate(order)}
        return _Skeleton(
            path=self.path,
            bones=tuple(bones[names[index]] for index in order),
            parents=tuple(new.get(above[index], -1) for index in order),
            position=position,
            length=self.length,
            degrees=self.degrees,
            notes=self.notes,
        )

    def _sections(self, text: str) -> dict[str, list[_Line]]:
        """The lines of each section; the first is the one with its keyword."""
        sections: dict[str, list[_Line]] = {}
        last: list[_Line] | None = None
        for number, line in enumerate(text.split("\n"), 1):
            # Commas and parentheses are white space, by the definition.
            words = re.sub(r"[(),]", " ", line.split("#", 1)[0]).split()
            if not words:
                continue
            entry = _Line(number, tuple(words))
            if words[0].startswith(":"):
                last = sections.setdefault(words[0][1:].lower(), [])
                if last:
                    text_.fail(self.path, number, f"a second section {words[0]}", "one")
            if last is None:
                found = text_.quoted(line)
                text_.fail(self.path, number, found, "a section such as :version or :units")
            last.append(entry)
        for name in ("root", "bonedata", "hierarchy"):
            if name not in sections:
                end = text.rstrip().count("\n") + 1
                text_.fail(self.path, end, f"the end of the file without :{name}", f":{name}")
        if unknown := [name for name in sections if name not in _SECTIONS]:
            self.notes += (f"Sections are left out: {', '.join(unknown)}.",)
        return sections

    def _units(self) -> tuple[float, bool]:
        length, degrees = 1.0, True
        for line in self.sections.get("units", [])[1:]:
            if line.keyword == "length":
                (length,) = self._numbers(line, 1)
                if length <= 0:
                    text_.fail(self.path, line.number, f"length {length:g}", "a positive number")
            elif line.keyword == "angle":
                unit = line.words[1].lower() if len(line.words) > 1 else ""
                if unit not in ("deg", "rad"):
                    text_.fail(self.path, line.number, f"angle {unit!r}", "angle deg or angle rad")
                degrees = unit == "deg"
        return length, degrees

    def _root(self) -> tuple[_Bone, np.ndarray]:
        """The root and its position."""
        start, *lines = self.sections["root"]
        position, orientation = np.zeros(3), (0.0, 0.0, 0.0)
        order: tuple[str, ...] = ()
        axes = "xyz"
        for line in lines:
            keyword = line.keyword
            if keyword == "order":
                order = line.words[1:]
                channels = self._channels(line, "txyzr")
            elif keyword == "axis":
                axes = self._axes(line, line.words[1:])
            elif keyword == "position":
                position = np.array(self._numbers(line, 3))
            elif keyword == "orientation":
                orientation = self._numbers(line, 3)
        if not order:
            text_.fail(self.path, start.number, ":root without order", "order TX TY TZ RX RY RZ")
        if any(position) or any(orientation):
            self.notes += ("The root's position and orientation in the ASF move the whole motion.",)
        axis = self._turned(axes, orientation)
        return _Bone("root", start.number, np.zeros(3), axis, channels), position

    def _bones(self) -> Iterator[_Bone]:
        """The bones of :bonedata, in the order of the file."""
        begin, found = None, {}
        for line in self.sections["bonedata"][1:]:
            keyword = line.keyword
            if keyword == "begin":
                if begin is not None:
                    expected = f"end of the bone of line {begin.number} before it"
                    text_.fail(self.path, line.number, "begin", expected)
                begin, found = line, {}
            elif begin is None:
                text_.fail(self.path, line.number, line.quoted, "begin")
            elif keyword == "end":
                yield self._bone(begin, line, found)
                begin = None
            elif keyword in _KEYWORDS:
                found[keyword] = line
            elif not (
                "limits" in found and text_.number(keyword) is not None
            ):  # limits go on over lines
                expected = f"one of {', '.join(_KEYWORDS)} or end"
                text_.fail(self.path, line.number, text_.quoted(line.words[0]), expected)
        if begin is not None:
            expected = f"end of the bone of line {begin.number}"
            text_.fail(self.path, self.sections["bonedata"][-1].number, "no end", expected)

    def _bone(self, begin: _Line, end: _Line, found: Mapping[str, _Line]) -> _Bone:
        for keyword in ("name", "direction", "length"):
            if keyword not in found or len(found[keyword].words) < 2:
                what = f"a bone (of line {begin.number}) without {keyword}"
                text_.fail(self.path, end.number, what, f"{keyword} before end")
        direction = np.array(self._numbers(found["direction"], 3))
        size = float(np.linalg.norm(direction))
        (length,) = self._numbers(found["length"], 1)
        if length and not size:
            expected = "a direction other than 0 0 0"
            text_.fail(self.path, found["direction"].number, "direction 0 0 0", expected)
        axis: tuple[tuple[int, float], ...] = ()
        if "axis" in found:
            line = found["axis"]
            angles = self._numbers(line._replace(words=line.words[:4]), 3)
            axis = self._turned(self._axes(line, line.words[4:]), angles)
        channels = self._channels(found["dof"], "rxyz") if "dof" in found else ()
        reach = direction * (length / (size or 1.0))
        return _Bone(found["name"].words[1], begin.number, reach, axis, channels)

    def _numbers(self, line: _Line, count: int) -> tuple[float, ...]:
        """The numbers after the keyword of a line."""
        words = line.words[1:]
        values = tuple(value for word in words if (value := text_.number(word)) is not None)
        if not len(words) == len(values) == count:
            expected = f"{line.keyword} and {count} finite number{'s' * (count > 1)}"
            text_.fail(self.path, line.number, line.quoted, expected)
        return values

    def _axes(self, line: _Line, words: Sequence[str]) -> str:
        axes = words[0].lower() if len(words) == 1 else ""
        if sorted(axes) != ["x", "y", "z"]:
            expected = "an order of axes such as XYZ at its end"
            text_.fail(self.path, line.number, line.quoted, expected)
        return axes

    def _turned(self, axes: str, angles: Sequence[float]) -> tuple[tuple[int, float], ...]:
        """(axis, degrees) of angles about x, y and z, in an order; those of zero left out."""
        degrees = angles if self.degrees else tuple(np.degrees(angles))
        turns = (("xyz".index(axis), float(degrees["xyz".index(axis)])) for axis in axes)
        return tuple((axis, angle) for axis, angle in turns if angle)

    def _channels(self, line: _Line, allowed: str) -> tuple[tuple[str, int], ...]:
        """(kind, axis) of the channels that a line names."""
        names = [word.lower() for word in line.words[1:]]
        kinds = "tr" if "t" in allowed else "r"
        valid = [kind + axis for kind in kinds for axis in "xyz"]
        for name in names:
            if name not in valid or names.count(name) > 1:
                found = f"{name!r} in {line.words[0]}"
                text_.fail(
                    self.path, line.number, found, f"each of {', '.join(valid)} at most once"
                )
        return tuple((name[0], "xyz".index(name[1])) for name in names)

    def _hierarchy(self, bones: Mapping[str, _Bone]) -> dict[str, str]:
        """{bone: its parent} of all bones but the root."""
        parents: dict[str, str] = {}
        for line in self.sections["hierarchy"][1:]:
            parent, *children = line.words
            if not children and line.keyword in ("begin", "end"):
                continue
            for name in (parent, *children):
                if name not in bones:
                    found = f"{name!r} in the hierarchy"
                    text_.fail(self.path, line.number, found, "root, or a bone of :bonedata")
            for name in children:
                if name == "root" or name in parents:
                    found = f"{name!r} below {parent!r}"
                    expected = f"one parent of each; it has {parents.get(name, 'none')!r}"
                    text_.fail(self.path, line.number, found, expected)
                parents[name] = parent
        for name, bone in bones.items():
            if name not in parents and name != "root":
                found = f"bone {name!r}, which the hierarchy lacks"
                text_.fail(self.path, bone.line, found, "every bone below root")
        return parents


# ---------------------------------------------------------------------------- motion


def _read(path: pathlib.Path, options: Options) -> list[Motion]:
    """See `Format.read`."""
    del options
    skeleton = _Asf(_skeleton_of(path)).parse()
    text, notes = text_.read(path)
    header = _read_header(path, text)
    values, value_notes = _values(path, text, header.end, skeleton)
    degrees = skeleton.degrees if header.degrees is None else header.degrees
    if not degrees:
        turns = [kind == "r" for bone in skeleton.bones for kind, _ in bone.channels]
        values[:, turns] = np.degrees(values[:, turns])
    names, nodes, ends = _joints(skeleton)
    notes += skeleton.notes + header.notes + value_notes
    if header.fps is None:
        notes += ("The file states no rate; CMU's is 120 frames per second.",)
    hidden = len(nodes) - len(names)
    unit = None if skeleton.length == 1 else _INCH / skeleton.length
    return [
        Motion(
            name=path.stem.lstrip(".") or path.stem,
            format=FORMAT.name,
            joint_names=names,
            parents=tuple(max(node.parent - hidden, -1) for node in nodes[hidden:]),
            positions=pose(nodes, values)[:, None, hidden:],
            fps=header.fps,
            unit_in_metres=unit,
            rest=pose(nodes, np.zeros((1, values.shape[1])))[0, hidden:],
            ends=ends,
            notes=notes,
        )
    ]


def _skeleton_of(path: pathlib.Path) -> pathlib.Path:
    """The ASF file of an AMC file, in the same folder.

    It is called like the AMC file, or as this begins before a "_", "-" or "."; failing that, it is
    the only one in the folder.
    """
    found = sorted(other for other in path.parent.iterdir() if other.suffix.lower() == ".asf")
    fitting = [
        other
        for other in found
        if re.match(rf"{re.escape(other.stem)}([_.-]|$)", path.stem, re.IGNORECASE)
    ]
    if fitting:
        return max(fitting, key=lambda other: len(other.stem))
    if len(found) == 1:
        return found[0]
    stems = dict.fromkeys((path.stem, path.stem.rsplit("_", 1)[0]))
    looked = " or ".join(f"{stem}.asf" for stem in stems)
    there = (
        f"{len(found)} others: {', '.join(other.name for other in found[:3])}" if found else "none"
    )
    raise ValueError(
        f"{path}: its skeleton, an .asf file, is missing: looked for {looked} in {path.parent}, "
        f"which has {there}; expected the .asf file that belongs to it beside it"
    )


class _Header(NamedTuple):
    """The header of an AMC file; see `_read_header`."""

    end: int
    degrees: bool | None
    fps: float | None
    notes: tuple[str, ...]


def _read_header(path: pathlib.Path, text: str) -> _Header:
    """Reads comments and keywords up to the first frame; None is what they do not state."""
    at, degrees, fps, notes = 0, None, None, ()
    while at < len(text) and (match := _HEADER.match(text, at)):
        words = (match[1] or "").split()
        keyword = words[0].upper() if words else ""
        if keyword in (":DEGREES", ":RADIANS"):
            degrees = keyword == ":DEGREES"
        elif keyword == ":SAMPLES-PER-SECOND":
            fps = text_.number(words[1]) if len(words) > 1 else None
            if fps is None or not 0 < fps <= 10_000:
                line = text_.line_at(text, match.start(1))
                text_.fail(path, line, text_.quoted(match[1]), "a rate above 0, up to 10000")
        elif keyword.startswith(":") and keyword != ":FULLY-SPECIFIED":
            notes += (f"The header {words[0]} is left out.",)
        at = match.end()
    return _Header(at, degrees, fps, notes)


class _Lines(NamedTuple):
    """The lines of an AMC file's frames, L of them.

    Attributes:
      names: [L] index of the bone of each; -1: a frame's number, -2: blank.
      numbers: the numbers in them.
      number: the line number of the first.
    """

    names: np.ndarray
    numbers: text_.Numbers
    number: int


def _values(
    path: pathlib.Path, text: str, start: int, skeleton: _Skeleton
) -> tuple[np.ndarray, tuple[str, ...]]:
    """The values [T, C] of all channels of a skeleton, and notes."""
    lines = _lines(path, text, start, skeleton)
    frame_lines = np.flatnonzero(lines.names == -1)
    if not len(frame_lines) or (lines.names[: frame_lines[0]] >= 0).any():
        line = lines.number + int(np.argmax(lines.names != -2))
        rest_of = text[start:].lstrip().split("\n", 1)[0]
        found = text_.quoted(rest_of) if rest_of else "the end of the file"
        text_.fail(path, line, found, "the number of a frame, such as 1")
    tables.check_size((len(frame_lines), 1, len(skeleton.bones), 3), len(text), path)
    counts = lines.numbers.counts
    starts = np.cumsum(counts) - counts
    _check_frame_numbers(path, lines, frame_lines, starts)
    frame_of = np.cumsum(lines.names == -1) - 1
    by_bone = np.argsort(lines.names, kind="stable")
    bounds = np.searchsorted(lines.names[by_bone], np.arange(len(skeleton.bones) + 1))
    columns, missing = [], []
    for index, bone in enumerate(skeleton.bones):
        width = len(bone.channels)
        of_bone = by_bone[bounds[index] : bounds[index + 1]]
        if not len(of_bone) and index:
            missing += [bone.name] * (width > 0)
            columns.append(np.zeros((len(frame_lines), width)))
            continue
        _check_bone(path, lines, skeleton, index, of_bone, frame_of[of_bone], frame_lines)
        columns.append(lines.numbers.values[starts[of_bone, None] + np.arange(width)])
    notes = ()
    if missing:
        names = ", ".join(missing)
        notes = (f"Bones that the AMC lacks keep their rest pose ({len(missing)}): {names}.",)
    return np.concatenate(columns, axis=1), notes


def _lines(path: pathlib.Path, text: str, start: int, skeleton: _Skeleton) -> _Lines:
    """The lines from a position of a text to its end, with the name that each begins with.

    The names are found, and overwritten with blanks, in all lines at once, so that what is left is
    a block of numbers.
    """
    body = text[start:]
    if "#" in body:
        body = re.sub(r"#[^\n]*", "", body)
    codes = np.frombuffer(bytearray(body.encode("utf-8", "replace")), np.uint8)
    blank = codes <= ord(" ")
    edges = np.diff(np.concatenate([[True], blank, [True]]).astype(np.int8))
    words, ends = np.flatnonzero(edges == -1), np.flatnonzero(edges == 1)
    line_starts = np.concatenate([[0], np.flatnonzero(codes == ord("\n")) + 1])
    firsts = np.searchsorted(words, line_starts)
    has_word = np.diff(np.append(firsts, len(words))) > 0
    firsts = firsts[has_word]
    firsts = firsts[~np.isin(codes[words[firsts]], list(b"0123456789+-."))]
    is_name = np.zeros(len(codes) + 1, np.int8)
    is_name[words[firsts]] = 1
    is_name[ends[firsts]] = -1
    is_name = np.cumsum(is_name[:-1], dtype=np.int8).astype(bool)
    joined = codes[is_name | (codes == ord("\n"))].tobytes()
    codes[is_name] = ord(" ")
    number = text_.line_at(text, start)
    numbers = text_.numbers(path, codes.tobytes().decode("utf-8", "replace"), 0, number)
    names = _bones_of(path, joined, numbers.counts, skeleton, number)
    return _Lines(names, numbers, number)


def _bones_of(
    path: pathlib.Path, joined: bytes, counts: np.ndarray, skeleton: _Skeleton, number: int
) -> np.ndarray:
    """`_Lines.names` from the names in all lines, joined by newlines.

    Frames nearly always have the same lines, and then those of the first are enough.
    """
    places = {bone.name.encode("utf-8", "replace"): i for i, bone in enumerate(skeleton.bones)}

    def find(names: Sequence[bytes]) -> np.ndarray:
        unknown = next((i for i, name in enumerate(names) if name and name not in places), None)
        if unknown is not None:
            name = names[unknown].decode("utf-8", "replace")
            expected = f"a bone of {skeleton.path.name} or the number of a frame"
            text_.fail(path, number + unknown, text_.quoted(name), expected)
        return np.array([places[name] if name else -1 for name in names], np.int64)

    bare = joined.rstrip(b"\n")
    second = re.compile(rb"[^\n]\n\n").search(bare)
    first = bare if second is None else bare[: second.end() - 1]
    length = first.count(b"\n")
    repeats = (bare.count(b"\n") + 1) // max(length, 1)
    if second is not None and first * repeats == bare + b"\n":
        names = np.tile(find(first.split(b"\n")[:-1]), repeats)
        names = np.append(names, np.full(len(counts) - len(names), -1))
    else:
        names = find(joined.split(b"\n"))
    return np.where((names < 0) & (counts == 0), -2, names)


def _check_frame_numbers(
    path: pathlib.Path, lines: _Lines, frame_lines: np.ndarray, starts: np.ndarray
) -> None:
    """Checks that every frame has a number, one more than that of the frame before."""
    counts = lines.numbers.counts[frame_lines]
    if (counts != 1).any():
        line = lines.number + int(frame_lines[np.argmax(counts != 1)])
        found = f"{counts[counts != 1][0]} numbers without a bone's name"
        text_.fail(path, line, found, "a name and its values, or the number of a frame")
    numbers = lines.numbers.values[starts[frame_lines]]
    wrong = np.diff(numbers, prepend=np.floor(numbers[0]) - 1) != 1
    if wrong.any():
        first = int(np.argmax(wrong))
        line = lines.number + int(frame_lines[first])
        expected = f"{numbers[first - 1] + 1:g}" if first else "a whole number"
        text_.fail(path, line, f"frame {numbers[first]:g}", expected)


def _check_bone(
    path: pathlib.Path,
    lines: _Lines,
    skeleton: _Skeleton,
    index: int,
    of_bone: np.ndarray,
    frames: np.ndarray,
    frame_lines: np.ndarray,
) -> None:
    """Checks that a bone has one line in every frame, with its number of values."""
    bone = skeleton.bones[index]
    counts = lines.numbers.counts[of_bone]
    if (counts != len(bone.channels)).any():
        first = int(np.argmax(counts != len(bone.channels)))
        names = " ".join(kind + "xyz"[axis] for kind, axis in bone.channels) or "none"
        text_.fail(
            path,
            int(lines.number + of_bone[first]),
            f"{counts[first]} values of {bone.name!r}",
            f"{len(bone.channels)}, as in {skeleton.path.name} ({names})",
        )
    times = np.bincount(frames, minlength=len(frame_lines))
    if (times != 1).any():
        frame = int(np.argmax(times != 1))
        line = int(lines.number + frame_lines[frame])
        found = f"{times[frame]} lines of {bone.name!r} in the frame that begins here"
        text_.fail(path, line, found, "one in every frame")


# ---------------------------------------------------------------------------- pose


class _Joints(NamedTuple):
    """The joints of a skeleton.

    Attributes:
      names: J, distinct.
      nodes: the tree; one hidden node comes before the J where the root is moved.
      ends: indices of those that are the ends of bones.
    """

    names: tuple[str, ...]
    nodes: list[Node]
    ends: tuple[int, ...]


def _joints(skeleton: _Skeleton) -> _Joints:
    """The points in which bones begin, and those in which no bone goes on."""
    root = skeleton.bones[0]
    nodes: list[Node] = []
    names: list[str] = []
    ends: list[int] = []
    x, y, z = skeleton.position
    if skeleton.position.any() or root.axis:
        nodes.append(Node(-1, (x, y, z), (), root.axis[::-1]))
    hidden = len(nodes)
    place_of: list[int] = []
    last, column = set(range(len(skeleton.bones))) - set(skeleton.parents), 0
    for index, (bone, parent) in enumerate(zip(skeleton.bones, skeleton.parents)):
        columns = range(column, column + len(bone.channels))
        column += len(bone.channels)
        moves = tuple((axis, c) for (kind, axis), c in zip(bone.channels, columns) if kind == "t")
        turns = tuple((axis, c) for (kind, axis), c in zip(bone.channels, columns) if kind == "r")
        turns = turns[::-1]
        if parent < 0:
            node = Node(hidden - 1, (0.0, 0.0, 0.0), moves, turns)
        else:
            back = tuple((axis, -angle) for axis, angle in bone.axis)
            if turns:
                turns = (*bone.axis[::-1], *turns, *back)
            node = Node(place_of[parent], tuple(skeleton.bones[parent].reach), moves, turns)
        place_of.append(len(nodes))
        nodes.append(node)
        names.append(bone.name)
        if index in last and bone.reach.any():
            ends.append(len(names))
            nodes.append(Node(place_of[index], tuple(bone.reach)))
            names.append(f"{bone.name}_end")
    return _Joints(distinct(names), nodes, tuple(ends))


FORMAT = Format(
    name="ASF/AMC",
    about="CMU's motion: an .amc file, posed by the skeleton of the .asf file beside it",
    suffixes=(".amc",),
    beside={".asf": "it is the skeleton of .amc files, read along with them; name an .amc file"},
    read=_read,
)
