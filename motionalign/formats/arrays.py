"""The general form: positions in an array, [T, J, 3], or [T, M, J, 3] of M persons.

    clip.npy                        the array
    clip.npz                        the only array of this form, or the one called joints or
                                    positions; with fps, joint_names and parents where they are
                                    known
    clip.skeleton.json              beside it: what the joints are (formats/skeleton_file.py); or
                                    skeleton.json of all arrays in the folder, or --skeleton=FILE

With two coordinates, or with "dims": 2 in the skeleton file, positions are those of an image: x, y
and the detector's confidence. 22 joints without names are taken for SMPL's, as in HumanML3D.
"""

import dataclasses
import pathlib
from collections.abc import Mapping

import numpy as np

from motionalign import reading
from motionalign.files import expand
from motionalign.formats import checks, skeleton_file
from motionalign.formats.checks import counted
from motionalign.formats.format import Format, Options
from motionalign.formats.motion import Motion
from motionalign.formats.skeleton_file import SkeletonFile
from motionalign.skeleton import SKELETONS, shape_advice

_NAME = "array"
_POSITIONS = ("joints", "positions")
_BESIDES = ("fps", "joint_names", "parents")
_MOST_PERSONS = 8  # in a clip of fewer frames than persons

# HumanML3D's folders new_joints, by the number of joints: skeleton, frames a second, unit.
_NEW_JOINTS = {22: ("smpl22", 20.0, 1.0), 21: ("kit21", 12.5, None)}

# What the joints of `SKELETONS` are called elsewhere (anatomy/sets.py).
_CONVENTIONS = {
    "smpl22": "SMPL",
    "kit21": "KIT-ML",
    "coco18": "OpenPose COCO-18",
    "kinect20": "Kinect v1",
    "sbu15": "OpenNI",
}


@dataclasses.dataclass
class _Found:
    """What is known of an array, from its file and then from its skeleton file.

    Attributes:
      values: the array as it is.
      where: its file and, in an .npz, its name.
      names: of its joints.
      parents: their indices, in any order.
      fps: frames per second.
      convention: the set of joints.
      unit: metres.
      up: a key of `conventions.AXES`.
      dims: 2 or 3.
      notes: what was assumed or left out.
    """

    values: np.ndarray
    where: str
    names: tuple[str, ...] | None = None
    parents: tuple[int, ...] | None = None
    fps: float | None = None
    convention: str | None = None
    unit: float | None = None
    up: str | None = None
    dims: int | None = None
    notes: list[str] = dataclasses.field(default_factory=list)


def claims(path: pathlib.Path) -> bool:
    """Whether an .npz file has an array of positions, or is damaged; every .npy file may be one."""
    if path.suffix.lower() != ".npz":
        return True
    try:
        stored = reading.open_arrays(path)
    except ValueError:
        return True  # `read` tells
    return bool(_fitting(stored))


def read(path: pathlib.Path, options: Options) -> list[Motion]:
    """Reads the one take of a file; see `Format.read`."""
    found = _read_npz(path) if path.suffix.lower() == ".npz" else _Found(
        reading.read_array(path), str(path)
    )  # fmt: skip
    given = skeleton_file.beside(path) if options.skeleton is None else expand(options.skeleton)
    said = None if given is None else skeleton_file.read_skeleton_file(given)
    if said is not None:
        _declare(found, said)
    if found.names is None:
        _name(found, path)
    assert found.names is not None
    values = _checked(found, said)
    parents = found.parents
    if said is not None:
        said = said.fitted(found.names, found.where)
        parents = parents if said.parents is None else said.parents
    names = found.names
    if parents is not None:
        order, parents = checks.tree(np.array(parents, np.int64), names, f"{found.where}: parents")
        names = tuple(names[joint] for joint in order)
        values = values[:, :, order]
    if found.dims == 2:
        values = _image(values, found)
    values, persons = _present(values, found.notes)
    return [
        Motion(
            name=path.stem,
            format=_NAME,
            joint_names=names,
            parents=parents,
            positions=values,
            fps=found.fps,
            dims=found.dims or 3,
            unit_in_metres=found.unit,
            up=None if found.dims == 2 else found.up,
            persons=persons,
            convention=found.convention,
            declared=None if said is None else said.fitted(names, found.where),
            notes=tuple(found.notes),
        )
    ]


# ---------------------------------------------------------------------------- what is known


def _read_npz(path: pathlib.Path) -> _Found:
    """The array of positions in an .npz, and what is beside it."""
    stored = reading.open_arrays(path)
    name = _choose(stored, path)
    found = _Found(stored[name].read(), f"{path}: {name}")
    if "fps" in stored:
        found.fps = checks.rate(stored["fps"].read(), f"{path}: fps")
    if "joint_names" in stored:
        found.names = checks.names(stored["joint_names"].read(), f"{path}: joint_names")
    if "parents" in stored:
        parents = stored["parents"].read()
        labels = found.names or tuple(str(index) for index in range(parents.size))
        checks.tree(parents, labels, f"{path}: parents")
        found.parents = tuple(int(parent) for parent in parents)
    if others := sorted(set(stored) - {name, *_BESIDES}):
        listed = ", ".join(others)
        found.notes.append(f"Left out: {counted(len(others), 'other array')} ({listed}).")
    return found


def _choose(stored: Mapping[str, reading.Stored], path: pathlib.Path) -> str:
    """The name of the array of positions."""
    fitting = _fitting(stored)
    if len(fitting) == 1:
        return fitting[0]
    content = "; ".join(f"{name} {each.dtype} {list(each.shape)}" for name, each in stored.items())
    if not fitting:
        raise ValueError(
            f"{path} has no positions, which are an array [frames, joints, 3] or [frames, persons, "
            f"joints, 3]; it has {content or 'no arrays'}"
        )
    raise ValueError(
        f"{path} has {len(fitting)} arrays that may be positions ({', '.join(fitting)}); call the "
        "right one joints, or save it alone"
    )


def _fitting(stored: Mapping[str, reading.Stored]) -> list[str]:
    """The names of the arrays that may be positions."""
    named = [name for name in _POSITIONS if name in stored]
    return named or [
        name
        for name, each in stored.items()
        if len(each.shape) in (3, 4) and each.shape[-1] in (2, 3) and each.dtype.kind in "fiu"
    ]


def _declare(found: _Found, said: SkeletonFile) -> None:
    """Adds what a skeleton file says."""
    if said.fps is not None:
        found.notes += said.overrides(found.fps)
        found.fps = said.fps
    found.unit, found.up, found.dims = said.unit_in_metres, said.up, said.dims
    found.convention = _CONVENTIONS.get(said.convention or "", said.convention)
    found.names = found.names or said.joint_names
    if found.names is None and said.convention in SKELETONS:
        skeleton = SKELETONS[said.convention]
        found.names, found.parents = skeleton.joint_names, skeleton.parents
        found.dims = found.dims or skeleton.dims


def _name(found: _Found, path: pathlib.Path) -> None:
    """Names joints without names: HumanML3D's, by their number."""
    shape = found.values.shape
    count = shape[-2] if len(shape) in (3, 4) else 0
    folder = "new_joints" in path.parent.name or "new_joints" in path.stem
    if found.dims != 2 and len(shape) > 2 and shape[-1] == 3 and folder and count in _NEW_JOINTS:
        skeleton, fps, unit = _NEW_JOINTS[count]
        found.up = found.up or "y"
        found.unit = found.unit or unit
        if found.fps is None:
            found.fps = fps
            found.notes.append(f"{fps:g} frames per second, those of HumanML3D's new_joints with "
                               f"{count} joints, are assumed.")  # fmt: skip
    elif found.dims != 2 and len(shape) > 2 and shape[-1] == 3 and count == 22:
        skeleton = "smpl22"
        found.notes.append("22 joints without names are taken for SMPL's, as in HumanML3D.")
    else:
        raise ValueError(f"{found.where} is {list(shape)}{_unnamed(shape, count, path)}")
    found.names = SKELETONS[skeleton].joint_names
    found.parents = found.parents or SKELETONS[skeleton].parents
    found.convention = found.convention or _CONVENTIONS[skeleton]


def _unnamed(shape: tuple[int, ...], count: int, path: pathlib.Path) -> str:
    """What to do with an array whose joints have no names, after its shape."""
    if len(shape) not in (3, 4) or shape[-1] not in (2, 3) or not count:
        return (
            "; expected positions, [frames, joints, 3] or [frames, persons, joints, 3]. "
            f"{shape_advice(shape, 22)}"
        )
    advice = f" {shape_advice((1, count, 3), 22)}." if count in (24, 52, 55, 127, 144) else ""
    return (
        f": the names of its {count} joints are unknown. Say what they are in a skeleton file, "
        f'{path.stem}{skeleton_file.SUFFIX} beside it or --skeleton=FILE.json: {{"joint_names": '
        f'[{count} names], "fps": 30}}.{advice}'
    )


# ---------------------------------------------------------------------------- positions


def _checked(found: _Found, said: SkeletonFile | None) -> np.ndarray:
    """[T, M, J, 2 or 3] float64; raises a ValueError for another shape."""
    assert found.names is not None
    values, count = found.values, len(found.names)
    found.dims = found.dims or (2 if values.ndim > 2 and values.shape[-1] == 2 else 3)
    axes = (2, 3) if found.dims == 2 else (3,)
    fits = values.ndim in (3, 4) and values.shape[-2] == count and values.shape[-1] in axes
    if not fits:
        source = said.source if said is not None and said.joint_names else ""
        known = f"{count} joints ({source})" if source else f"{count} joints"
        expected = f"[frames, {count}, {' or '.join(map(str, axes))}]"
        raise ValueError(
            f"{found.where} is {list(values.shape)}; expected {expected} of {known}, or the same "
            f"with persons as the second axis. {shape_advice(values.shape, count, bool(source))}"
        )
    if values.ndim == 3:
        values = values[:, None]
    frames, persons = values.shape[:2]
    if not frames or not persons:
        raise ValueError(f"{found.where} is {list(found.values.shape)}, without frames")
    if persons > max(frames, _MOST_PERSONS):
        raise ValueError(
            f"{found.where} is {list(values.shape)}, {persons} persons in "
            f"{counted(frames, 'frame')}: expected frames as the first axis, persons as the second"
        )
    return checks.finite(values, found.where)


def _image(values: np.ndarray, found: _Found) -> np.ndarray:
    """2D positions as (x, y, confidence), y up, from (x, y) or (x, y, confidence)."""
    if found.up not in (None, "y", "-y"):
        raise ValueError(
            f"{found.where}: up is {found.up!r} of positions in 2D; expected -y, where y points "
            "down as in images, or y"
        )
    if found.unit is not None:
        raise ValueError(f"{found.where}: positions in an image have no unit")
    if values.shape[-1] == 2:
        measured = ~np.isnan(values).any(axis=-1, keepdims=True)
        values = np.concatenate([values, np.where(measured, 1.0, np.nan)], axis=-1)
        found.notes.append("No confidence is stated: it is 1.")
    if found.up is None:
        found.notes.append(
            'y is taken to point down, as in images; where it points up, say "up": "y".'
        )
    return checks.image(values, down=found.up != "y")


def _present(values: np.ndarray, notes: list[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Without persons who are in no frame; of several, all zeros are nobody, too."""
    persons = values.shape[1]
    if persons == 1:
        return values, ("",)
    seen = (np.nan_to_num(values) != 0).any(axis=(2, 3))
    values = np.where(seen[..., None, None], values, np.nan)
    there = np.flatnonzero(seen.any(axis=0)).tolist() or [0]
    if len(there) < persons:
        notes.append(f"Left out: {persons - len(there)} of {persons} persons, who are in no frame.")
    return values[:, there], tuple(f"person {person + 1}" for person in there)


FORMAT = Format(
    name=_NAME,
    about="positions [frames, joints, 3] or [frames, persons, joints, 3], whose joints are named "
    "in the .npz or in a skeleton file",
    suffixes=(".npy", ".npz"),
    read=read,
    claims=claims,
)
