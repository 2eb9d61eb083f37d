"""Skeleton files: what the joints of a motion are, where the motion's own file does not say it.

One JSON document, given as `--skeleton=FILE.json` or found beside an array; every field may be
absent:

    {"joint_names": ["Hips", "Spine", "Head"], "parents": [null, "Hips", "Spine"],
     "fps": 30, "unit": "cm", "up": "z", "dims": 3,
     "chains": {"right_leg": ["Hips", "RightUpLeg"], "left_leg": [...], "torso": [...],
                "right_arm": [...], "left_arm": [...]},
     "roles": {"left_knee": "LKNE", "pelvis": ["LASI", "RASI"]}, "convention": "smpl22"}
"""

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from motionalign import reading
from motionalign.conventions import AXES, UNITS
from motionalign.formats import checks
from motionalign.skeleton import PARTS, ROLES

SUFFIX = ".skeleton.json"  # beside a clip, after its name without suffix
SHARED = "skeleton.json"  # of all clips in a folder

LIMIT = 1 << 24  # bytes; a skeleton of a thousand joints has 100 kB


@dataclasses.dataclass(frozen=True)
class SkeletonFile:
    """What a skeleton file says; None where it says nothing.

    Attributes:
      joint_names: J distinct names, in the order of the joints in the motion's file.
      parents: J indices in this order, -1 for the root. A parent may come after its children.
      fps: frames per second.
      unit: a key of `conventions.UNITS`, or metres per unit.
      up: the axis that points up, a key of `conventions.AXES`. In 2D "-y" says that y points down,
        as in images.
      dims: 3, or 2 for positions in an image.
      chains: {part: names of its joints, from the torso outwards} of each of `skeleton.PARTS`.
      roles: {role of `skeleton.ROLES`: names of the joints or markers whose mean it is}.
      convention: the name of a set of joints, such as one of `skeleton.SKELETONS`.
      source: the file that says it, for messages.
    """

    joint_names: tuple[str, ...] | None = None
    parents: tuple[int, ...] | None = None
    fps: float | None = None
    unit: str | float | None = None
    up: str | None = None
    dims: int | None = None
    chains: Mapping[str, tuple[str, ...]] | None = None
    roles: Mapping[str, tuple[str, ...]] | None = None
    convention: str | None = None
    source: str = "the skeleton file"

    @property
    def unit_in_metres(self) -> float | None:
        """Metres per unit of the positions; None: not stated."""
        return UNITS[self.unit] if isinstance(self.unit, str) else self.unit

    def overrides(self, fps: float | None) -> tuple[str, ...]:
        """What to say where the motion's own file states other frames per second."""
        if fps is None or self.fps is None or fps == self.fps:
            return ()
        return (f"{self.fps:g} frames per second by {self.source}; the file states {fps:g}.",)

    def fitted(self, joint_names: Sequence[str], where: str) -> "SkeletonFile":
        """The same for the joints of a motion, in their order.

        Args:
          joint_names: of the motion.
          where: the motion's file, for the message.

        Raises:
          ValueError: the motion has other joints, or lacks one that a chain or a role names.
        """
        names = tuple(joint_names)
        stated, parents = self.joint_names, self.parents
        if parents is not None and len(parents) != len(names):
            raise ValueError(
                f"{self.source}: parents has {len(parents)} entries, and {where} has {len(names)} "
                "joints"
            )
        if stated is not None and sorted(stated) != sorted(names):
            raise ValueError(f"{self.source}: joint_names {_difference(stated, names)} in {where}")
        if stated is not None and parents is not None:
            of = {name: stated[p] if p >= 0 else None for name, p in zip(stated, parents)}
            parents = tuple(-1 if of[name] is None else names.index(of[name]) for name in names)
        _check_known(self.chains or {}, "chains", names, self.source)
        _check_known(self.roles or {}, "roles", names, self.source)
        return dataclasses.replace(self, joint_names=names, parents=parents)


def _difference(stated: Sequence[str], found: Sequence[str]) -> str:
    """How the names of a skeleton file differ from those of a motion, whose file comes next."""
    if len(stated) != len(found):
        return f"are {len(stated)}, but there are {len(found)} joints"
    missing = [name for name in stated if name not in found]
    other = [name for name in found if name not in stated]
    return f"has {missing[0]!r}, but the joint is {other[0]!r}"


# ---------------------------------------------------------------------------- reading


def read_skeleton_file(path: str | os.PathLike) -> SkeletonFile:
    """Reads a skeleton file.

    Raises:
      ValueError: the file cannot be read, or is no skeleton file; the message names it, the field,
        what was found and what is expected.
    """
    path = pathlib.Path(path)
    content = reading.read_json(path, dict, LIMIT)
    known = [field.name for field in dataclasses.fields(SkeletonFile) if field.name != "source"]
    if unknown := [name for name in content if name not in known]:
        raise ValueError(
            f"{path}: a skeleton file has no field {unknown[0]!r}; known: {', '.join(known)}"
        )
    stated = {name: value for name, value in content.items() if value is not None}
    if not stated:
        raise ValueError(f"{path} states nothing; a skeleton file can have {', '.join(known)}")
    names = None
    if "joint_names" in stated:
        reading.check_form(stated["joint_names"], list[str], f"{path}: joint_names")
        names = checks.names(stated["joint_names"], f"{path}: joint_names")
    values = {
        "joint_names": names,
        "parents": _parents(stated.get("parents"), names, f"{path}: parents"),
        "fps": checks.rate(stated["fps"], f"{path}: fps") if "fps" in stated else None,
        "unit": _unit(stated.get("unit"), f"{path}: unit"),
        "up": _one_of(stated.get("up"), tuple(AXES), f"{path}: up"),
        "dims": _one_of(stated.get("dims"), (2, 3), f"{path}: dims"),
        "chains": _chains(stated.get("chains"), f"{path}: chains"),
        "roles": _roles(stated.get("roles"), f"{path}: roles"),
        "convention": _text(stated.get("convention"), f"{path}: convention"),
    }
    if names is not None:
        _check_known(values["chains"] or {}, "chains", names, str(path))
        _check_known(values["roles"] or {}, "roles", names, str(path))
    return SkeletonFile(**values, source=str(path))


def beside(path: pathlib.Path) -> pathlib.Path | None:
    """The skeleton file that lies beside a motion's file; None: there is none.

    Of clip.npy it is clip.skeleton.json, otherwise skeleton.json in the same folder.
    """
    for name in (path.stem + SUFFIX, SHARED):
        if reading.is_there(path.parent / name):
            return path.parent / name
    return None


def is_skeleton_file(path: pathlib.Path) -> bool:
    """Whether a file is called as a skeleton file is, and so is no motion."""
    return path.name == SHARED or path.name.endswith(SUFFIX)


# ---------------------------------------------------------------------------- the fields


def _parents(
    values: Any, joint_names: tuple[str, ...] | None, where: str
) -> tuple[int, ...] | None:
    """Indices of the parents, which are names, indices, or null or -1 for the root."""
    if values is None:
        return None
    reading.check_form(values, list[int | str | None], where)
    if joint_names is None and any(isinstance(value, str) for value in values):
        raise ValueError(f"{where} are names; the skeleton file must then have joint_names")
    found = []
    for index, value in enumerate(values):
        if isinstance(value, str) and value not in (joint_names or ()):
            raise ValueError(f"{where}[{index}] is {value!r}, which is not one of joint_names")
        if isinstance(value, str):
            assert joint_names is not None
            found.append(joint_names.index(value))
        else:
            found.append(-1 if value is None else value)
    labels = joint_names or tuple(str(index) for index in range(len(found)))
    order, _ = checks.tree(np.array(found, dtype=np.int64), labels, where)
    roots = [labels[joint] for joint in order if found[joint] in (-1, joint)]
    if len(roots) != 1:
        shown = ", ".join(roots[:5])
        raise ValueError(f"{where} has {len(roots)} roots ({shown}); expected one tree")
    return tuple(-1 if parent == joint else parent for joint, parent in enumerate(found))


def _unit(value: Any, where: str) -> str | float | None:
    if value is None or (isinstance(value, str) and value in UNITS):
        return value
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (number and 0 < value < checks.HIGHEST):
        raise ValueError(
            f"{where} is {value!r}; expected one of {', '.join(UNITS)}, or a positive number of "
            "metres"
        )
    return float(value)


def _one_of(value: Any, choices: tuple, where: str) -> Any:
    if value is None or (value in choices and type(value) is type(choices[0])):
        return value
    raise ValueError(f"{where} is {value!r}; expected one of {', '.join(map(str, choices))}")


def _text(value: Any, where: str) -> str | None:
    if value is not None:
        reading.check_form(value, str, where)
    return value


def _lists(value: Any, where: str) -> dict[str, tuple[str, ...]] | None:
    """{name: a name or a list of names} with all values as tuples."""
    if value is None:
        return None
    reading.check_form(value, dict[str, str | list[str]], where)
    found = {name: (each,) if isinstance(each, str) else tuple(each) for name, each in
             value.items()}  # fmt: skip
    for name, each in found.items():
        if not each:
            raise ValueError(f"{where}: {name} is empty")
        if len(set(each)) < len(each):
            twice = next(joint for joint in each if each.count(joint) > 1)
            raise ValueError(f"{where}: {name} has {twice!r} more than once")
    return found


def _chains(value: Any, where: str) -> dict[str, tuple[str, ...]] | None:
    """The five chains in the order of `PARTS`."""
    found = _lists(value, where)
    if found is None:
        return None
    if unknown := [name for name in found if name not in PARTS]:
        raise ValueError(f"{where}: unknown part {unknown[0]!r}; expected {', '.join(PARTS)}")
    if missing := [name for name in PARTS if name not in found]:
        raise ValueError(f"{where} lacks {', '.join(missing)}; expected all of {', '.join(PARTS)}")
    return {name: found[name] for name in PARTS}


def _roles(value: Any, where: str) -> dict[str, tuple[str, ...]] | None:
    """The joints of each role."""
    found = _lists(value, where)
    if unknown := [name for name in found or () if name not in ROLES]:
        raise ValueError(f"{where}: unknown role {unknown[0]!r}; expected {', '.join(ROLES)}")
    return found


def _check_known(
    lists: Mapping[str, tuple[str, ...]], field: str, joint_names: Sequence[str], source: str
) -> None:
    """Checks that chains or roles name joints that exist."""
    known = set(joint_names)
    for name, joints in lists.items():
        if missing := [joint for joint in joints if joint not in known]:
            shown = ", ".join(joint_names[:10]) + (", ..." if len(joint_names) > 10 else "")
            raise ValueError(
                f"{source}: {field}: {name} has {missing[0]!r}, which is not one of the joints "
                f"({shown})"
            )
