"""AMASS archives and others of their layout: the pose parameters of SMPL or SMPL-H in an .npz.

    poses [T, 72 or 156]     axis-angle rotations of SMPL's 24 or SMPL-H's 52 joints; or instead
                             root_orient [T, 3] and pose_body [T, 63]
    trans [T, 3]             metres, Z up
    betas [B]                the body's shape
    gender                   female, male or neutral
    mocap_framerate          or mocap_frame_rate

Positions follow from the parameters and a body model (formats/smplh.py), which is a file of its
own, with a licence of its own.
"""

import os
import pathlib
from collections.abc import Mapping

import numpy as np

from motionalign import reading
from motionalign.files import expand
from motionalign.formats import checks, smplh
from motionalign.formats.checks import counted
from motionalign.formats.format import Format, Options
from motionalign.formats.motion import Motion
from motionalign.skeleton import SKELETONS

GENDERS = ("female", "male", "neutral")

_NAME = "SMPL"
_BODY_VALUES = 3 * smplh.NUM_BODY
_VALUES = {72: "SMPL", smplh.POSE_VALUES: "SMPL-H"}  # of `poses`, a frame
_RATES = ("mocap_framerate", "mocap_frame_rate", "fps")
_USED = {"poses", "root_orient", "pose_body", "trans", "betas", "gender", "surface_model_type",
         *_RATES}  # fmt: skip

GET_BODIES = (
    'SMPL-H\'s are "Extended SMPL+H model" of https://mano.is.tue.mpg.de, in the folders '
    f"{', '.join(f'{gender}/model.npz' for gender in GENDERS)}"
)


def claims(path: pathlib.Path) -> bool:
    """Whether an .npz file has pose parameters."""
    try:
        stored = reading.open_arrays(path)
    except ValueError:
        return False
    return "poses" in stored or {"root_orient", "pose_body"} <= stored.keys()


def read(path: pathlib.Path, options: Options) -> list[Motion]:
    """Reads the one take of an archive; see `Format.read`."""
    stored = reading.open_arrays(path)
    model = _body_model(stored, path)
    if options.smplh_dir is None:
        raise ValueError(
            f"{path} has pose parameters of {model}, and no positions, which need a body model: "
            f"--smplh_dir=DIR is the folder of body models. {GET_BODIES}"
        )
    gender, notes = _gender(stored, path)
    rest = read_body(options.smplh_dir, gender, path).rest_joints(_betas(stored, path))
    poses, trans = _poses(stored, path), _numbers(stored, "trans", path)
    if trans.shape != (len(poses), 3) or not len(poses):
        raise ValueError(
            f"{path}: trans is {list(trans.shape)}, of {len(poses)} frames of poses; expected "
            "[frames, 3]"
        )
    rotations = smplh.rotation_matrices(poses.reshape(-1, smplh.NUM_BODY, 3))
    joints = smplh.forward_kinematics(rotations, rest, trans)
    if "betas" not in stored:
        notes.append("No betas are stated: the body has the mean shape.")
    rate = next((name for name in _RATES if name in stored), None)
    return [
        Motion(
            name=path.stem,
            format=_NAME,
            joint_names=SKELETONS["smpl22"].joint_names,
            parents=SKELETONS["smpl22"].parents,
            positions=joints[:, None],
            fps=checks.rate(stored[rate].read(), f"{path}: {rate}") if rate else None,
            unit_in_metres=1.0,
            up="z",
            rest=rest @ smplh.Z_UP_TO_Y_UP,  # a body model is Y up, and turned by the root
            convention="SMPL",
            notes=(*notes, *_left_out(stored)),
        )
    ]


def read_body(folder: str | os.PathLike, gender: str, path: str | os.PathLike) -> smplh.SMPLH:
    """The body model of a gender.

    Args:
      folder: of the body models, by gender.
      gender: one of `GENDERS`.
      path: the motion that needs it, for messages.

    Raises:
      ValueError: there is none, or it is spoiled.
    """
    folder = expand(folder)
    file = folder / gender / "model.npz"
    if reading.is_there(file):
        return smplh.SMPLH.read(file)
    message = f"--smplh_dir={folder} has no {gender}/model.npz, which {path} needs."
    if not folder.is_dir():
        message = f"--smplh_dir={folder} is not a folder; {path} needs its {gender}/model.npz."
    elif pickles := sorted([*folder.glob("*.pkl"), *folder.glob("*/*.pkl")]):
        message += (
            f" {pickles[0]} is a pickle, which is never read, because it can run arbitrary code: "
            "save its arrays v_template, shapedirs, J_regressor and kintree_table with "
            "numpy.savez, or download the model as .npz."
        )
    raise ValueError(f"{message} {GET_BODIES}")


# ---------------------------------------------------------------------------- the arrays


def _body_model(stored: Mapping[str, reading.Stored], path: pathlib.Path) -> str:
    """The name of the body model; raises a ValueError for one that is not SMPL or SMPL-H."""
    model = None
    if "surface_model_type" in stored:
        model = _text(stored["surface_model_type"].read()).lower()
    shape = stored["poses"].shape if "poses" in stored else ()
    # SMPL's first 22 joints are those of SMPL-H.
    smplh.check_body_model(str(path), "smplh" if model == "smpl" else model, shape)
    if "poses" not in stored:
        return model or "SMPL-H"
    if len(shape) != 2 or shape[1] not in _VALUES:
        expected = " or ".join(f"{values} ({name})" for values, name in _VALUES.items())
        raise ValueError(f"{path}: poses is {list(shape)}; expected [frames, values], {expected}")
    return _VALUES[shape[1]]


def _poses(stored: Mapping[str, reading.Stored], path: pathlib.Path) -> np.ndarray:
    """Axis-angle rotations [T, 66] of the body."""
    if "poses" in stored:
        return _numbers(stored, "poses", path)[:, :_BODY_VALUES]
    root, body = (_numbers(stored, name, path) for name in ("root_orient", "pose_body"))
    if root.ndim != 2 or root.shape[1] != 3 or body.shape != (len(root), _BODY_VALUES - 3):
        raise ValueError(
            f"{path}: root_orient is {list(root.shape)} and pose_body {list(body.shape)}; expected "
            f"[frames, 3] and [frames, {_BODY_VALUES - 3}]"
        )
    return np.concatenate([root, body], axis=1)


def _numbers(stored: Mapping[str, reading.Stored], name: str, path: pathlib.Path) -> np.ndarray:
    """An array as finite float64."""
    if name not in stored:
        raise ValueError(f"{path} has no array {name}; it has {', '.join(stored)}")
    values = checks.finite(stored[name].read(), f"{path}: {name}")
    if np.isnan(values).any():
        first = [int(index) for index in np.argwhere(np.isnan(values))[0]]
        raise ValueError(f"{path}: {name} is NaN at {first}; expected numbers")
    return values


def _betas(stored: Mapping[str, reading.Stored], path: pathlib.Path) -> np.ndarray:
    """The shape [B] of the body, which some files repeat in each frame."""
    if "betas" not in stored:
        return np.zeros(0)
    betas = _numbers(stored, "betas", path)
    if betas.ndim == 2 and len(betas) and (betas == betas[0]).all():
        betas = betas[0]
    if betas.ndim != 1:
        raise ValueError(f"{path}: betas is {list(betas.shape)}; expected one list of numbers")
    return betas


def _gender(stored: Mapping[str, reading.Stored], path: pathlib.Path) -> tuple[str, list[str]]:
    """One of `GENDERS`, and what was assumed."""
    if "gender" not in stored:
        return "neutral", ["No gender is stated: the neutral body model is used."]
    given = stored["gender"].read()
    # Some files have the text of a bytes object: "b'female'".
    text = _text(given).lower().removeprefix("b'").removesuffix("'").strip()
    found = [gender for gender in GENDERS if text in (gender, gender[0])]
    if not found:
        raise ValueError(f"{path}: gender is {text!r}; expected {', '.join(GENDERS)}")
    return found[0], []


def _text(values: np.ndarray) -> str:
    value = values.item() if values.size == 1 else values.tolist()
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _left_out(stored: Mapping[str, reading.Stored]) -> list[str]:
    notes = []
    if "poses" in stored:
        hands = stored["poses"].shape[1] // 3 - smplh.NUM_BODY
        notes.append(f"Left out: {counted(hands, 'joint')} of the hands.")
    if others := sorted(set(stored) - _USED):
        notes.append(f"Left out: {counted(len(others), 'other array')} ({', '.join(others)}).")
    return notes


FORMAT = Format(
    name=_NAME,
    about="pose parameters of SMPL or SMPL-H as in AMASS (poses, trans, betas, gender); needs "
    "--smplh_dir, a folder of body models",
    suffixes=(".npz",),
    read=read,
    claims=claims,
)
