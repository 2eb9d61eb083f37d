"""The takes of motion files with what their joints are, and what the user says about the files.

What all that read any file share: `data_prep inspect`, `data_prep library` and the encoding of
folders.
"""

import collections
import dataclasses
import os
import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence

from motionalign import reading
from motionalign.anatomy.body import Body
from motionalign.anatomy.understand import understand
from motionalign.conventions import AXES, UNITS
from motionalign.files import expand
from motionalign.formats import Motion, find, format_of, read
from motionalign.formats.skeleton_file import SkeletonFile, is_skeleton_file, read_skeleton_file


@dataclasses.dataclass(frozen=True)
class Told:
    """What the user says about files; None: what they state themselves, or what is found.

    Attributes:
      smplh_dir: folder of SMPL or SMPL-H body models.
      skeleton: a skeleton file, which counts before what the files say.
      unit: of the positions, a key of `conventions.UNITS`.
      up: the axis that points up, a key of `conventions.AXES`.
      fps: frames per second of the files that state none.
    """

    smplh_dir: str | os.PathLike | None = None
    skeleton: str | os.PathLike | None = None
    unit: str | None = None
    up: str | None = None
    fps: float | None = None

    def __post_init__(self) -> None:
        """Raises a ValueError for an unknown unit or axis."""
        if self.unit is not None and self.unit not in UNITS:
            raise ValueError(f"unit {self.unit!r}; expected one of {', '.join(UNITS)}")
        if self.up is not None and self.up not in AXES:
            raise ValueError(f"up {self.up!r}; expected one of {', '.join(AXES)}")

    def declared(self) -> SkeletonFile | None:
        """What is said about the joints of all files; None: nothing.

        Raises:
          ValueError: the skeleton file cannot be read.
        """
        file = None if self.skeleton is None else read_skeleton_file(self.skeleton)
        own = {name: getattr(self, name) for name in ("unit", "up") if getattr(self, name)}
        return dataclasses.replace(file or SkeletonFile(), **own) if own else file


@dataclasses.dataclass(frozen=True)
class Take:
    """A take of a file.

    Attributes:
      file: it is in this file, or folder of frames.
      motion: as the file has it.
      body: what its joints are.
      fps: frames per second; None: neither stated by the file nor told.
      label: what tells it from the other takes of the file; "" if it is the only one.
    """

    file: pathlib.Path
    motion: Motion
    body: Body
    fps: float | None
    label: str = ""

    @property
    def where(self) -> str:
        """The file and the take, for messages."""
        return f"{self.file}, take {self.label}" if self.label else str(self.file)

    def clip_id(self, file_id: str) -> str:
        """The id of the take: that of its file, with "#take" where the file has several."""
        return f"{file_id}#{self.label}" if self.label else file_id


def read_takes(path: str | os.PathLike, told: Told = Told()) -> list[Take]:
    """Reads a motion file of any format and finds out what its joints are.

    Args:
      path: the file, or the folder of a sequence with one file a frame.
      told: what the user says about it.

    Returns:
      Its takes, at least one, whether of a human body or not.

    Raises:
      ValueError: the file cannot be read; the message names it.
    """
    path = expand(path)
    motions = read(path, smplh_dir=told.smplh_dir, skeleton=told.skeleton)
    takes, of_all = [], told.declared()
    for motion, label in zip(motions, _labels(motions), strict=True):
        said = _both(motion.declared, of_all)
        fps = motion.fps or (said.fps if said else None) or told.fps
        takes.append(Take(path, motion, understand(motion, said), fps, label))
    return takes


def _both(beside: SkeletonFile | None, told: SkeletonFile | None) -> SkeletonFile | None:
    """What a skeleton file says of a motion, replaced by what the user says.

    `beside` is in the order of the motion's joints, and `told` in that of the file.
    """
    if beside is None or told is None:
        return beside or told
    order = ("joint_names", "parents")
    names = [field.name for field in dataclasses.fields(told) if field.name not in order]
    stated = {name: getattr(told, name) for name in names if getattr(told, name) is not None}
    return dataclasses.replace(beside, **stated)


def _labels(motions: Sequence[Motion]) -> list[str]:
    """What tells the takes of a file apart: their names, or their numbers from 1."""
    if len(motions) == 1:
        return [""]
    # "/" separates folders, and "#" takes and persons.
    names = [re.sub(r"[\s/#]+", "_", motion.name).strip("_") for motion in motions]
    if len(set(names)) == len(names) and all(names):
        return names
    return [str(number) for number in range(1, len(motions) + 1)]


def motion_files(path: str | os.PathLike) -> tuple[list[pathlib.Path], list[pathlib.Path]]:
    """The motion files of a file or folder, and further files in the folder, both sorted.

    Files that are read with others, skeleton files and those of ASF, are neither; nor are further
    files whose names start with a dot, such as .DS_Store.

    Raises:
      ValueError: there is no such file or folder, or the folder has no motion file.
    """
    path = expand(path)
    if not path.is_dir():
        return [path], []
    found = [each for each in find(path) if _may_be_motion(each)]
    if found == [path]:
        return found, []
    if not found:
        raise ValueError(f"{path}: the folder has no motion files")
    folders, known = {each for each in found if each.is_dir()}, set(found)
    others = [
        each
        for each in sorted(path.rglob("*"))
        if each.is_file() and each not in known and not folders & {*each.parents}
        if not is_skeleton_file(each) and each.suffix.lower() not in _READ_WITH_OTHERS
        if not each.name.startswith(".")
    ]
    return found, others


_READ_WITH_OTHERS = (".asf",)

# Suffixes of files that are often something else; what no format claims is no damaged motion file.
_AMBIGUOUS = (".csv", ".json", ".npz", ".txt")


def _may_be_motion(path: pathlib.Path) -> bool:
    """Whether a file that was found by its suffix is a motion file, or a damaged one."""
    if is_skeleton_file(path):
        return False
    if path.is_dir() or path.suffix.lower() not in _AMBIGUOUS:
        return True
    if (path.parent / "dataset_info.json").is_file():
        return False  # of a dataset that data_prep has written below the folder
    try:
        format_of(path)
    except ValueError:
        return path.suffix.lower() == ".npz" and not _is_archive(path)
    return True


def _is_archive(path: pathlib.Path) -> bool:
    """Whether an .npz file is complete."""
    try:
        reading.open_arrays(path)
    except ValueError:
        return False
    return True


def file_ids(folder: pathlib.Path, files: Iterable[pathlib.Path]) -> dict[pathlib.Path, str]:
    """The ids of files: their paths below the folder without suffix.

    Files that would have one id, such as walk.bvh and walk.c3d, keep their suffixes.
    """
    paths = {file: file.relative_to(folder) for file in files}
    stems = {file: stem_of(file, path).as_posix() for file, path in paths.items()}
    counts = collections.Counter(stems.values())
    return {
        file: stem if counts[stem] == 1 else paths[file].as_posix() for file, stem in stems.items()
    }


def stem_of(file: pathlib.Path, path: pathlib.PurePath) -> pathlib.PurePath:
    """A file's path below a folder without its suffix.

    A folder of frames is called as it is; .bvh, as some programs call a file, has no stem.
    """
    return path if file.is_dir() or path.name.startswith(".") else path.with_suffix("")


def kinds(takes: Iterable[tuple[str, str]]) -> str:
    """How many of which kind: "12 BVH (Mixamo), 3 C3D (Plug-in Gait)".

    Args:
      takes: the format and the convention of each; a convention may be empty.
    """
    counts = collections.Counter(_kind(*each) for each in takes)
    return ", ".join(f"{count} {name}" for name, count in counts.most_common())


def _kind(format_name: str, convention: str) -> str:
    """Format and convention: "BVH (Mixamo)"; of Xsens (BVH) in a BVH file "BVH (Xsens)"."""
    convention = convention.partition(" (")[0]
    return f"{format_name} ({convention})" if convention else format_name


def chain_names(body: Body) -> dict[str, list[str]]:
    """The names of the points of each body part, from the torso outwards."""
    return {
        part: [body.points[point].name for point in chain] for part, chain in body.chains.items()
    }


def left_out(body: Body) -> Mapping[str, Sequence[str]]:
    """The joints of a file that are no points of the body, by kind, without empty kinds."""
    return {kind: names for kind, names in body.left_out.items() if names}
