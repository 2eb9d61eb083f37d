"""A labelled set of motions in one .npz file, as benchmarks of action recognition are packed.

    positions_int16 [sum of T, P, J, 3]  times `scale` = metres; zeros where a person is absent
    scale                                also of `positions`, where it defaults to 1; these may
                                         be [sum of T, J, 3], of one person
    lengths [N]                          clip i has the next lengths[i] rows
    labels [N], class_names              the class of each clip, an index of class_names
    subjects, views, trials, files [N]   of each clip
    joint_names, parents [J]             in any order, -1 for a root
    fps

Only the positions, `lengths` and `joint_names` are required.
"""

import itertools
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from motionalign import reading
from motionalign.formats import checks
from motionalign.formats.checks import counted
from motionalign.formats.format import Format, Options
from motionalign.formats.motion import Motion, distinct

POSITIONS = ("positions_int16", "positions")

_NAME = "labelled set"

# Arrays with one value for each clip, and the name of the label.
_OF_CLIPS = {"subjects": "subject", "views": "view", "trials": "trial", "files": "file"}

_KNOWN = {*POSITIONS, "scale", "lengths", "labels", "class_names", "joint_names", "parents", "fps",
          *_OF_CLIPS}  # fmt: skip


def claims(path: pathlib.Path) -> bool:
    """Whether an .npz file has clips one after the other."""
    try:
        stored = reading.open_arrays(path)
    except ValueError:
        return False
    # Lengths that are no whole numbers are those of bones.
    whole = "lengths" in stored and stored["lengths"].dtype.kind in "iu"
    return "positions_int16" in stored or ("positions" in stored and whole)


def class_names(path: pathlib.Path) -> tuple[str, ...]:
    """The names of all classes, by label, also of those without a clip; () if there are none.

    Raises:
      ValueError: they are no distinct names.
    """
    stored = reading.open_arrays(path)
    if "class_names" not in stored:
        return ()
    return checks.names(stored["class_names"].read(), f"{path}: class_names")


def read(path: pathlib.Path, options: Options) -> list[Motion]:
    """Reads all clips; see `Format.read`."""
    del options
    stored = reading.open_arrays(path)
    arrays = {name: each.read() for name, each in stored.items() if name in _KNOWN}
    if "lengths" not in arrays:
        raise ValueError(f"{path} has no array lengths, the number of frames of each clip")
    positions = _positions(arrays, path)
    total, persons, joints = positions.shape[:3]
    if "joint_names" not in arrays:
        raise ValueError(f"{path} has no array joint_names, the names of its {joints} joints")
    names = checks.names(arrays["joint_names"], f"{path}: joint_names")
    if len(names) != joints:
        raise ValueError(f"{path}: joint_names are {len(names)}, and the positions have {joints}")
    parents = None
    if "parents" in arrays:
        order, parents = checks.tree(arrays["parents"], names, f"{path}: parents")
        names = tuple(names[joint] for joint in order)
        positions = positions[:, :, order]
    fps = checks.rate(arrays["fps"], f"{path}: fps") if "fps" in arrays else None
    starts = _starts(arrays["lengths"], total, f"{path}: lengths")
    labels = _labels(arrays, len(starts) - 1, path)

    seen = (np.nan_to_num(positions) != 0).any(axis=(2, 3))
    positions[~seen] = np.nan
    there = np.logical_or.reduceat(seen, starts[:-1], axis=0)
    titles = distinct([_title(each, path, index) for index, each in enumerate(labels)])
    left_out = sorted(set(stored) - _KNOWN)
    notes = ()
    if left_out:
        notes = (f"Left out: {counted(len(left_out), 'other array')} ({', '.join(left_out)}).",)
    motions = []
    for index, (start, end) in enumerate(itertools.pairwise(starts)):
        present = np.flatnonzero(there[index]).tolist() or [0]
        clip = positions[start:end]
        motion = Motion(
            name=titles[index],
            format=_NAME,
            joint_names=names,
            parents=parents,
            positions=clip if len(present) == persons else clip[:, present],
            fps=fps,
            unit_in_metres=1.0,
            persons=tuple(f"person {p + 1}" for p in present) if persons > 1 else ("",),
            notes=(*notes, *_absent(seen[start:end], present, persons)),
            labels=labels[index],
        )
        motions.append(motion)
    return motions


def _absent(seen: np.ndarray, present: list[int], persons: int) -> tuple[str, ...]:
    """What to say of persons who are not there, in a clip's `seen` [T, P]."""
    notes = []
    if not seen.any():
        return ("Nobody is there: all positions are zeros.",)
    if persons > len(present):
        notes.append(f"Left out: {persons - len(present)} of {persons} persons, whose positions "
                     "are all zeros.")  # fmt: skip
    if gaps := int((~seen[:, present]).sum()):
        notes.append(
            f"{counted(gaps, 'frame')} in which a person's positions are all zeros, not measured."
        )
    return tuple(notes)


def _positions(arrays: Mapping[str, np.ndarray], path: pathlib.Path) -> np.ndarray:
    """[sum of T, P, J, 3] float64 in metres."""
    name = next(name for name in POSITIONS if name in arrays)
    found = arrays[name]
    if name == "positions" and found.ndim == 3:
        found = found[:, None]
    if found.ndim != 4 or found.shape[3] != 3 or 0 in found.shape:
        raise ValueError(
            f"{path}: {name} is {list(found.shape)}; expected [frames of all clips, persons, "
            "joints, 3]"
        )
    positions = checks.finite(found, f"{path}: {name}")
    if name == "positions_int16" and "scale" not in arrays:
        raise ValueError(f"{path} has no array scale, the metres of a unit of {name}")
    scale = arrays.get("scale", np.array(1.0))
    number = scale.size == 1 and scale.dtype.kind in "fiu"
    if not (number and 0 < scale.item() < np.inf):
        raise ValueError(f"{path}: scale is {scale.tolist()!r}; expected a positive number")
    positions *= float(scale.item())
    return positions


def _starts(lengths: np.ndarray, total: int, where: str) -> list[int]:
    """The first row of each clip, and the end of the last."""
    if lengths.ndim != 1 or lengths.dtype.kind not in "iu" or not len(lengths):
        raise ValueError(
            f"{where} is {lengths.dtype} {list(lengths.shape)}; expected a whole number for each "
            "clip"
        )
    if not ((lengths > 0) & (lengths <= total)).all():
        wrong = int(np.flatnonzero((lengths <= 0) | (lengths > total))[0])
        raise ValueError(f"{where}[{wrong}] is {lengths[wrong]}; expected 1 to {total} frames")
    ends = np.cumsum(lengths, dtype=np.int64)
    if ends[-1] != total:
        raise ValueError(f"{where} are {ends[-1]} frames together, and the positions have {total}")
    return [0, *ends.tolist()]


def _labels(
    arrays: Mapping[str, np.ndarray], count: int, path: pathlib.Path
) -> list[dict[str, Any]]:
    """The labels of each clip."""
    columns = {}
    if "labels" in arrays:
        columns["class"] = _classes(arrays, path)
    for name, label in _OF_CLIPS.items():
        if name in arrays:
            columns[label] = _listed(arrays[name], f"{path}: {name}")
    for label, values in columns.items():
        if len(values) != count:
            raise ValueError(f"{path} has {count} lengths, and {len(values)} values of {label}")
    return [dict(zip(columns, row)) for row in zip(*columns.values())] or [{}] * count


def _listed(values: np.ndarray, where: str) -> list[Any]:
    """An array with one value for each clip as a list."""
    if values.ndim != 1:
        raise ValueError(f"{where} is {list(values.shape)}; expected one value for each clip")
    return values.tolist()


def _classes(arrays: Mapping[str, np.ndarray], path: pathlib.Path) -> list[Any]:
    """The class of each clip, by name where there are names."""
    labels = arrays["labels"]
    values = _listed(labels, f"{path}: labels")
    if "class_names" not in arrays:
        return values
    classes = checks.names(arrays["class_names"], f"{path}: class_names")
    if labels.dtype.kind not in "iu":
        raise ValueError(f"{path}: labels has the type {labels.dtype}; expected whole numbers")
    if not ((labels >= 0) & (labels < len(classes))).all():
        wrong = int(np.flatnonzero((labels < 0) | (labels >= len(classes)))[0])
        raise ValueError(
            f"{path}: labels[{wrong}] is {labels[wrong]}; expected 0 to {len(classes) - 1}, an "
            "index of class_names"
        )
    return [classes[label] for label in values]


def _title(labels: Mapping[str, Any], path: pathlib.Path, index: int) -> str:
    """A clip's name: that of the file from which it comes, without the suffix."""
    file = labels.get("file")
    if not isinstance(file, str) or not file:
        return f"{path.stem} {index}"
    return file[: -len(pathlib.PurePosixPath(file).suffix) or None]


FORMAT = Format(
    name=_NAME,
    about="many clips in one .npz: positions_int16 or positions, lengths, joint_names, labels",
    suffixes=(".npz",),
    read=read,
    claims=claims,
)
