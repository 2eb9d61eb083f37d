"""Joints of the SMPL-H body from shape and pose (Loper et al., 2015; Romero et al., 2017).

Converts the poses of AMASS files to joint positions by forward kinematics in NumPy. Joints depend
on neither skinning nor pose blend shapes, only on the rest pose of the body and the rotations.
AMASS is Z up, motionalign is Y up: `pose_clip` converts a file, `amass_axes` a clip back.
"""

import dataclasses
import pathlib

import numpy as np

from motionalign import reading
from motionalign.skeleton import SKELETONS

_ARRAYS = ("v_template", "shapedirs", "J_regressor", "kintree_table")

NUM_BODY = 22  # the first joints of SMPL-H, in SMPL's order; 30 hand joints follow

# The joints whose rotations Walk and Text reads (`get_joints_to_use` of its amass_parser.py): the
# body, then the first joints of the left and of the right index finger. They take the places that
# SMPL's 24 joints have for the hands.
ROTATED = (*range(NUM_BODY), 22, 37)

POSE_VALUES = 156  # numbers of a frame's pose in a file of AMASS: 52 joints
SMPLX_POSE_VALUES = 165  # 55 joints; the jaw and the eyes come before the hands
SMPLX_SUFFIX = "_stageii.npz"  # of the names of AMASS's SMPL-X archives

GET_SMPLH = 'Download "SMPL+H G" of https://amass.is.tue.mpg.de, whose files end in _poses.npz'

PARENTS = SKELETONS["smpl22"].parents

# AMASS is Z up, motionalign is Y up: a rotation about x by -90 degrees.
Z_UP_TO_Y_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])


class WrongBodyModel(ValueError):
    """A file of AMASS is of another body model than SMPL-H."""


def check_body_model(file: str, model: str | None, shape: tuple[int, ...]) -> None:
    """Checks that a file of AMASS is of SMPL-H, before it is posed with SMPL-H's rest joints.

    Args:
      file: its name. AMASS's SMPL-X archives end in `_stageii.npz`.
      model: its `surface_model_type`, which settles the matter; None: it states none.
      shape: of its `poses`, [frames, values].

    Raises:
      WrongBodyModel: it is of SMPL-X or another model; the message says where to get SMPL-H.
    """
    signs = []
    if model is not None and model != "smplh":
        signs.append(f"surface_model_type is {model!r}")
    if len(shape) == 2 and shape[1] == SMPLX_POSE_VALUES:
        signs.append(f"poses has {SMPLX_POSE_VALUES} values a frame, SMPL-X's 55 joints")
    if model is None and file.endswith(SMPLX_SUFFIX):
        signs.append(f"names that end in {SMPLX_SUFFIX} are SMPL-X's")
    if signs:
        raise WrongBodyModel(
            f"{file}: {', and '.join(signs)}; expected SMPL-H, {POSE_VALUES} values. {GET_SMPLH}"
        )


@dataclasses.dataclass(frozen=True)
class SMPLH:
    """Rest positions of the body's joints, as a linear function of its shape.

    Attributes:
      joints: [22, 3] metres, for the mean shape.
      directions: [22, 3, B], the change per unit of each shape component.
    """

    joints: np.ndarray
    directions: np.ndarray

    @classmethod
    def read(cls, path: str | pathlib.Path) -> "SMPLH":
        """Reads `model.npz` of https://mano.is.tue.mpg.de, "Extended SMPL+H model".

        Raises:
          ValueError: the file is of another type (a .pkl is never unpickled), is damaged, or lacks
            a required array.
        """
        path = pathlib.Path(path)
        if path.suffix != ".npz":
            raise ValueError(
                f"{path}: the body model must be model.npz; a pickle is never read, because it can "
                "run arbitrary code. The download page has both"
            )
        stored = reading.open_arrays(path)
        if missing := [name for name in _ARRAYS if name not in stored]:
            raise ValueError(f"{path} is not an SMPL-H model: it has no {', '.join(missing)}")
        arrays = {name: stored[name].read() for name in _ARRAYS}
        for name, array in arrays.items():
            if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
                raise ValueError(f"{path}: {name} ({array.dtype}) must have finite numbers")
        tree = arrays.pop("kintree_table")
        if tree.ndim != 2 or len(tree) < 1:
            raise ValueError(f"{path}: kintree_table is {list(tree.shape)}; expected [2, joints]")
        parents = tree[0, :NUM_BODY].astype(np.int64)
        arrays = {name: array.astype(np.float64) for name, array in arrays.items()}
        template, directions, regressor = arrays.values()
        vertices = template.shape[0] if template.ndim else 0
        if (
            template.shape != (vertices, 3)
            or directions.shape[:2] != (vertices, 3)
            or directions.ndim != 3
            or regressor.ndim != 2
            or regressor.shape[1] != vertices
            or len(regressor) < NUM_BODY
        ):
            shapes = ", ".join(f"{name} {list(value.shape)}" for name, value in arrays.items())
            raise ValueError(
                f"{path} has {shapes}; expected [V, 3], [V, 3, B] and [at least {NUM_BODY}, V]"
            )
        if tuple(parents[1:]) != PARENTS[1:]:
            raise ValueError(f"{path}: kintree_table is not SMPL's tree: parents {list(parents)}")
        regressor = regressor[:NUM_BODY]
        return cls(regressor @ template, np.einsum("jv,vcb->jcb", regressor, directions))

    def rest_joints(self, betas: np.ndarray) -> np.ndarray:
        """Rest joints [22, 3] of a body of shape `betas` [B'], using the first min(B, B')."""
        count = min(len(betas), self.directions.shape[-1])
        return self.joints + self.directions[..., :count] @ np.asarray(betas[:count], np.float64)


def rotation_matrices(axis_angle: np.ndarray) -> np.ndarray:
    """Axis-angle vectors [..., 3] in radians to matrices [..., 3, 3] (Rodrigues' formula)."""
    vector = np.asarray(axis_angle, np.float64)
    x, y, z = np.moveaxis(vector, -1, 0)
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1)
    cross = cross.reshape(*vector.shape[:-1], 3, 3)
    angle = np.linalg.norm(vector, axis=-1)[..., None, None]
    # sin(a) / a and (1 - cos(a)) / a**2, in terms of sinc, which is smooth at 0.
    first = np.sinc(angle / np.pi)
    second = 0.5 * np.square(np.sinc(angle / (2 * np.pi)))
    return np.eye(3) + first * cross + second * (cross @ cross)


def rotation_6d(matrices: np.ndarray) -> np.ndarray:
    """Matrices [..., 3, 3] to 6D rotations [..., 6]: the first two rows, as published."""
    return matrices[..., :2, :].reshape(*matrices.shape[:-2], 6)


def rotations_translation(poses: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """What a model with this input takes of an AMASS file, which needs no body model.

    Args:
      poses: [T, 156] axis-angle rotations of the 52 joints in radians.
      translation: [T, 3] metres.

    Returns:
      [T, 25, 6] float32 in AMASS's axes: the 6D rotations of `ROTATED`, then x, y, z, 0, 0, 0.

    Raises:
      ValueError: an array has the wrong shape or contains numbers that are not finite.
    """
    poses, translation = _checked(poses, translation)
    rows = np.zeros((len(poses), len(ROTATED) + 1, 6), np.float32)
    rows[:, :-1] = rotation_6d(_rotated(poses))
    rows[:, -1, :3] = translation
    return rows


def amass_axes(rotations: np.ndarray, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """6D rotations [..., R, 6], root first, and positions [..., 3] from Y up to AMASS's Z up.

    Only the root's rotation is relative to the world; the others stay as they are.
    """
    turned = np.array(rotations)
    first, second = turned[..., 0, :3], turned[..., 0, 3:]
    # Z_UP_TO_Y_UP moves row 1 of the root's matrix to row 2, negated; that row is not stored, but
    # is the cross product of the other two.
    turned[..., 0, 3:] = -np.cross(first, second)
    x, y, z = np.moveaxis(np.asarray(positions), -1, 0)
    return turned, np.stack([x, -z, y], axis=-1)


def forward_kinematics(
    rotations: np.ndarray, rest_joints: np.ndarray, translation: np.ndarray
) -> np.ndarray:
    """Computes the joint positions of a clip.

    Args:
      rotations: [T, 22, 3, 3], rotation of each joint relative to its parent.
      rest_joints: [22, 3], positions in the rest pose.
      translation: [T, 3], added to the root's rest position.

    Returns:
      [T, 22, 3] joint positions, in the units of the arguments.
    """
    world = np.empty_like(rotations)
    joints = np.empty((*rotations.shape[:2], 3))
    for joint, parent in enumerate(PARENTS):  # all frames at once
        if parent < 0:
            world[:, joint] = rotations[:, joint]
            joints[:, joint] = rest_joints[joint] + translation
            continue
        world[:, joint] = world[:, parent] @ rotations[:, joint]
        bone = rest_joints[joint] - rest_joints[parent]
        joints[:, joint] = joints[:, parent] + world[:, parent] @ bone
    return joints


def pose_clip(
    body: SMPLH, poses: np.ndarray, translation: np.ndarray, betas: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Poses a clip of an AMASS file and converts it from Z up to Y up.

    Args:
      body: the body model for the file's gender.
      poses: [T, 156] axis-angle rotations of the 52 joints in radians.
      translation: [T, 3] metres.
      betas: [B], the shape.

    Returns:
      joints [T, 22, 3] float32 in metres, and rotations [T, 24, 6] float32 of `ROTATED`, each
      relative to the parent joint (the root's relative to the world).

    Raises:
      ValueError: an array has the wrong shape or contains numbers that are not finite.
    """
    poses, translation = _checked(poses, translation)
    rotations = _rotated(poses)
    rest = body.rest_joints(np.asarray(betas))
    rotations[:, 0] = Z_UP_TO_Y_UP @ rotations[:, 0]
    # The body rotates about its pelvis, whose rest position is not the origin: that offset rotates
    # with the world.
    moved = (translation + rest[0]) @ Z_UP_TO_Y_UP.T - rest[0]
    joints = forward_kinematics(rotations[:, :NUM_BODY], rest, moved)
    return joints.astype(np.float32), rotation_6d(rotations).astype(np.float32)


def _rotated(poses: np.ndarray) -> np.ndarray:
    """The matrices [T, 24, 3, 3] of the joints in `ROTATED`, of poses [T, 156]."""
    vectors = poses[:, :POSE_VALUES].reshape(-1, POSE_VALUES // 3, 3)
    return rotation_matrices(vectors[:, list(ROTATED)])


def _checked(poses: np.ndarray, translation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A clip's poses and translation, as arrays; raises a ValueError if they cannot be such."""
    poses, translation = np.asarray(poses), np.asarray(translation)
    if poses.ndim != 2 or poses.shape[1] < POSE_VALUES:
        raise ValueError(f"poses is {list(poses.shape)}; expected [frames, {POSE_VALUES}]")
    if poses.shape[1] == SMPLX_POSE_VALUES:
        raise WrongBodyModel(
            f"poses has {SMPLX_POSE_VALUES} values a frame, SMPL-X's; expected SMPL-H's "
            f"{POSE_VALUES}. {GET_SMPLH}"
        )
    if translation.shape != (len(poses), 3):
        raise ValueError(f"trans is {list(translation.shape)}; expected [{len(poses)}, 3]")
    if not (np.isfinite(poses).all() and np.isfinite(translation).all()):
        raise ValueError("poses or trans contain values that are not finite")
    return poses, translation
