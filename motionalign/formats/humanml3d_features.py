"""The features of HumanML3D and KIT-ML, an .npy file of 263 or 251 values a frame, as positions.

With J joints, the root first, a frame has (HumanML3D's motion_representation.ipynb):

    1           half the angle about Y by which the body turns until the next frame
    2           the root's way along X and Z until the next frame, as seen by the body
    1           the root's height
    3 (J - 1)   positions of the other joints, as seen by the body, from the root's place on the
                floor
    6 (J - 1)   their rotations
    3 J         velocities
    4           whether heels and toes touch the floor

Only the first four are needed: positions do not depend on the others.
"""

import pathlib

import numpy as np

from motionalign import reading
from motionalign.formats import checks
from motionalign.formats.format import Format, Options
from motionalign.formats.motion import Motion
from motionalign.skeleton import SKELETONS

_NAME = "HumanML3D features"

# Values of a frame: the skeleton, its frames per second, its unit in metres, and its name.
_KINDS = {
    263: ("smpl22", 20.0, 1.0, "SMPL"),
    251: ("kit21", 12.5, None, "KIT-ML"),
}


def claims(path: pathlib.Path) -> bool:
    """Whether an .npy file has as many values a frame as the features."""
    try:
        shape, _ = reading.array_header(path)
    except ValueError:
        return False
    return len(shape) >= 2 and shape[-1] in _KINDS


def read(path: pathlib.Path, options: Options) -> list[Motion]:
    """Reads one clip; see `Format.read`."""
    del options
    features = reading.read_array(path)
    if features.ndim != 2 or not len(features):
        raise ValueError(
            f"{path} is {list(features.shape)}; expected one clip, [frames, {features.shape[-1]}]"
        )
    values = checks.finite(features, str(path))
    if np.isnan(values).any():
        frame = int(np.flatnonzero(np.isnan(values).any(axis=1))[0])
        raise ValueError(f"{path} is NaN in frame {frame}; features have no gaps")
    name, fps, unit, convention = _KINDS[values.shape[1]]
    skeleton = SKELETONS[name]
    return [
        Motion(
            name=path.stem,
            format=_NAME,
            joint_names=skeleton.joint_names,
            parents=skeleton.parents,
            positions=positions(values, skeleton.num_joints)[:, None],
            fps=fps,
            unit_in_metres=unit,
            up="y",
            convention=convention,
            notes=(
                f"Positions are computed from {values.shape[1]} features, which state neither "
                "where the clip starts nor which way it faces there.",
                f"{fps:g} frames per second, those of the set, are assumed.",
            ),
        )
    ]


def positions(features: np.ndarray, num_joints: int) -> np.ndarray:
    """Positions of the joints from features, which are not normalised by a mean.

    Args:
      features: [T, 12 J - 1].
      num_joints: J, with the root first.

    Returns:
      [T, J, 3] in the features' unit, Y up. The root of the first frame is on the vertical axis,
      and the body faces +Z there.
    """
    assert features.shape[1] == 12 * num_joints - 1, features.shape
    features = np.asarray(features, np.float64)
    # What frame t states is the way to frame t + 1.
    turned = 2 * np.concatenate([[0.0], np.cumsum(features[:-1, 0])])
    steps = np.concatenate([np.zeros((1, 2)), features[:-1, 1:3]])
    cos, sin = np.cos(turned), np.sin(turned)

    def of_world(x: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """From what the body sees to the world's X and Z."""
        c, s = (values.reshape(-1, *[1] * (x.ndim - 1)) for values in (cos, sin))
        return c * x - s * z, s * x + c * z

    root_x, root_z = (np.cumsum(way) for way in of_world(steps[:, 0], steps[:, 1]))
    others = features[:, 4 : 4 + 3 * (num_joints - 1)].reshape(len(features), -1, 3)
    x, z = of_world(others[..., 0], others[..., 2])
    out = np.empty((len(features), num_joints, 3))
    out[:, 0] = np.stack([root_x, features[:, 3], root_z], axis=-1)
    out[:, 1:] = np.stack([x + root_x[:, None], others[..., 1], z + root_z[:, None]], axis=-1)
    return out


FORMAT = Format(
    name=_NAME,
    about="HumanML3D's 263 or KIT-ML's 251 values a frame, converted to positions",
    suffixes=(".npy",),
    read=read,
    claims=claims,
)
