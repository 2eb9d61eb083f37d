"""The motion formats that can be read, and the choice among them."""

import dataclasses
import os
import pathlib
import re
from collections.abc import Mapping
from types import MappingProxyType

from motionalign import reading
from motionalign.files import expand
from motionalign.formats import (
    arrays,
    asf_amc,
    bvh,
    c3d,
    fbx,
    gltf,
    humanml3d_features,
    labelled_set,
    mediapipe,
    motive_csv,
    mvnx,
    ntu_skeleton,
    nw_ucla,
    openpose,
    sbu_skeleton,
    skeleton_file,
    smarthome,
    smpl,
    trc,
    unread,
    utd_mhad,
)
from motionalign.formats.format import Format, Options
from motionalign.formats.motion import Motion

# Of several formats with one suffix, the first that claims a file reads it.
_ALL: tuple[Format, ...] = (
    bvh.FORMAT,
    asf_amc.FORMAT,
    fbx.FORMAT,
    gltf.FORMAT,
    c3d.FORMAT,
    trc.FORMAT,
    motive_csv.FORMAT,
    mvnx.FORMAT,
    ntu_skeleton.FORMAT,
    nw_ucla.FORMAT,
    utd_mhad.FORMAT,
    sbu_skeleton.FORMAT,
    openpose.FORMAT,
    smarthome.FORMAT,
    mediapipe.FORMAT,
    smpl.FORMAT,
    labelled_set.FORMAT,
    humanml3d_features.FORMAT,
    arrays.FORMAT,
)

FORMATS: Mapping[str, Format] = MappingProxyType({each.name: each for each in _ALL})
"""The formats by name."""


def read(
    path: str | os.PathLike,
    *,
    smplh_dir: str | os.PathLike | None = None,
    skeleton: str | os.PathLike | None = None,
) -> list[Motion]:
    """Reads a motion file of any known format.

    Args:
      path: the file, or the folder of a sequence with one file a frame.
      smplh_dir: folder of SMPL or SMPL-H body models, for files of SMPL's parameters.
      skeleton: a skeleton file (formats/skeleton_file.py), which says what the joints are; arrays
        without joint names need one, here or beside them.

    Returns:
      Its takes, at least one; the persons of a take are together.

    Raises:
      ValueError: no format reads it, or it is spoiled. The message names the file, what was found
        and what was expected.
    """
    path = expand(path)
    options = Options(smplh_dir, skeleton)
    motions = format_of(path).read(path, options)
    if not motions:
        raise ValueError(f"{path} has no motion")
    return motions if skeleton is None else _declared(motions, expand(skeleton), path)


def _declared(motions: list[Motion], skeleton: pathlib.Path, path: pathlib.Path) -> list[Motion]:
    """The motions with what a skeleton file says, unless their format has used it already."""
    if all(motion.declared is not None for motion in motions):
        return motions
    said = skeleton_file.read_skeleton_file(skeleton)
    return [
        dataclasses.replace(
            motion,
            declared=said.fitted(motion.joint_names, str(path)),
            fps=motion.fps if said.fps is None else said.fps,
            notes=(*motion.notes, *said.overrides(motion.fps)),
        )
        for motion in motions
    ]


def format_of(path: pathlib.Path) -> Format:
    """The format of a file, or of a folder of frames.

    Raises:
      ValueError: the file is missing, or no format reads it.
    """
    if path.is_dir():
        names = sorted(name for name in os.listdir(path) if not name.startswith("._"))
        for each in FORMATS.values():
            if each.frames and any(name.endswith(each.frames) for name in names):
                return each
        raise ValueError(
            f"{path} is a folder, and not one of a sequence with one file a frame "
            f"({', '.join(end for each in FORMATS.values() for end in each.frames)}); name the "
            "files in it"
        )
    if not reading.check_file(path):
        raise ValueError(f"{path} is empty: it has 0 bytes")
    suffix = _suffix(path)
    fitting = [each for each in FORMATS.values() if _fits(each, path.name)]
    if about := [each.beside[suffix] for each in FORMATS.values() if suffix in each.beside]:
        raise ValueError(f"{path} has no motion: {about[0]}")
    for each in fitting:
        if each.claims is None or each.claims(path):
            return each
    if advice := unread.why(path):
        raise ValueError(f"{path} {advice}")
    if not fitting:
        known = sorted({end for e in FORMATS.values() if e.files is None for end in e.suffixes})
        raise ValueError(
            f"{path}: no motion format has the suffix {suffix or '(none)'}; known: "
            f"{', '.join(known)}"
        )
    raise ValueError(
        f"{path}: its content is none of the formats with the suffix {suffix}: "
        f"{', '.join(each.name for each in fitting)}. docs/formats.md says what they are"
    )


def _suffix(path: pathlib.Path) -> str:
    """The suffix in lower case; a file called .bvh, as some programs write it, has .bvh."""
    return (path.suffix or (path.name if path.name.startswith(".") else "")).lower()


def _fits(each: Format, name: str) -> bool:
    """Whether a file may be of a format, by its name."""
    named = each.files is None or re.fullmatch(each.files, name, re.IGNORECASE)
    return bool(named) and _suffix(pathlib.Path(name)) in each.suffixes


def find(folder: pathlib.Path) -> list[pathlib.Path]:
    """The files below a folder that a format may read, by their names, sorted.

    A folder of a sequence with one file a frame stands for its files. Skeleton files are left out,
    and so is what macOS adds to copies and archives: files ._NAME and folders __MACOSX, which have
    the names of motion files but hold none.
    """
    frames = tuple(end for each in FORMATS.values() for end in each.frames)
    found = []
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != "__MACOSX")
        names = [name for name in names if not name.startswith("._")]
        here = pathlib.Path(where)
        if frames and any(name.endswith(frames) for name in names):
            found.append(here)
            names = [name for name in names if not name.endswith(frames)]
        fitting = (name for name in names if any(_fits(e, name) for e in FORMATS.values()))
        files = [here / name for name in fitting]
        found += [path for path in files if not skeleton_file.is_skeleton_file(path)]
    return sorted(found)
