"""HumanML3D's uniform skeleton and its 263 values a frame, which most motion generators train on.

The definitions are those of HumanML3D (Guo et al., "Generating Diverse and Natural 3D Human Motions
From Text", CVPR 2022) as its published code computes them (motion_representation.ipynb,
cal_mean_variance.ipynb), with what is peculiar about it.
"""

import dataclasses
from types import MappingProxyType

import numpy as np
from scipy.ndimage import gaussian_filter1d

from motionalign.conventions import canonical
from motionalign.skeleton import SKELETONS

SKELETON = SKELETONS["smpl22"]
FPS = 20.0

FEET_THRESHOLD = 0.002
"""Square metres: a foot joint that moves by a smaller square distance in a frame is in contact."""

_SMOOTHING = 20.0  # frames, the standard deviation of the Gaussian over the facing direction

_J = SKELETON.num_joints

GROUPS = MappingProxyType(
    {
        "root_rotation_velocity": slice(0, 1),
        "root_linear_velocity": slice(1, 3),
        "root_height": slice(3, 4),
        "positions": slice(4, 4 + 3 * (_J - 1)),
        "rotations": slice(4 + 3 * (_J - 1), 4 + 9 * (_J - 1)),
        "velocities": slice(4 + 9 * (_J - 1), 4 + 9 * (_J - 1) + 3 * _J),
        "foot_contacts": slice(4 + 9 * (_J - 1) + 3 * _J, 8 + 9 * (_J - 1) + 3 * _J),
    }
)
"""What the values of a frame are.

root_rotation_velocity: half the angle in radians by which the body turns about Y until the next
frame. root_linear_velocity: of the pelvis in X and Z, in metres a frame, as the body of the next
frame faces. root_height: of the pelvis. positions: of the other joints, as the body faces, relative
to the pelvis in X and Z. rotations: of their bones, six numbers each, the first two columns of a
matrix. velocities: of all joints in metres a frame, as the body faces. foot_contacts: of left
ankle, left foot, right ankle and right foot, 0 or 1.
"""

NUM_FEATURES = GROUPS["foot_contacts"].stop

# The directions of the bones for which HumanML3D's rotations are zero (its paramUtil.py).
_UP, _DOWN, _FRONT, _LEFT, _RIGHT = (0, 1, 0), (0, -1, 0), (0, 0, 1), (1, 0, 0), (-1, 0, 0)
_ZERO = {"pelvis": (0, 0, 0), "head": _FRONT} | {
    **dict.fromkeys(("spine1", "spine2", "spine3", "neck"), _UP),
    **dict.fromkeys(("left_hip", "left_collar"), _LEFT),
    **dict.fromkeys(("right_hip", "right_collar"), _RIGHT),
    **dict.fromkeys(("left_foot", "right_foot"), _FRONT),
}
_DIRECTIONS = np.array([_ZERO.get(name, _DOWN) for name in SKELETON.joint_names], float)
_PARENTS = np.array(SKELETON.parents)


def _joint(name: str) -> int:
    return SKELETON.joint_names.index(name)


# HumanML3D names these by their numbers, and takes the right leg for both.
_LEG = (_joint("right_knee"), _joint("right_ankle"))
_FEET = tuple(map(_joint, ("left_ankle", "left_foot", "right_ankle", "right_foot")))


# ---------------------------------------------------------------------------- uniform skeleton


def target_offsets(joints: np.ndarray) -> np.ndarray:
    """The bones of a clip's first frame, as a target of `uniform_skeleton`.

    Args:
      joints: [T, 22, 3].

    Returns:
      [22, 3] of each joint from its parent where HumanML3D's rotations are zero; the pelvis at 0.
      HumanML3D takes its clip 000021.
    """
    first = np.asarray(joints[0], np.float64)
    lengths = np.linalg.norm(first - first[_PARENTS], axis=-1)
    lengths[0] = 0
    return _DIRECTIONS * lengths[:, None]


def uniform_skeleton(joints: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Gives a body the bones of another one, as HumanML3D does with all of its clips.

    Every bone keeps its direction and gets another length; the path of the pelvis is scaled by the
    lengths of the leg (of thigh and shin). HumanML3D does this by inverse and forward kinematics,
    whose rotations bring a bone from its zero direction to that in the clip, and so cancel.

    Args:
      joints: [T, 22, 3], Y up.
      offsets: [22, 3], the target, of `target_offsets`.

    Returns:
      [T, 22, 3] float64. The floor is no longer where it was: `conventions.canonical` puts it back.

    Raises:
      ValueError: the leg has no length, so that there is no scale.
    """
    joints = np.asarray(joints, np.float64)
    own = np.abs(target_offsets(joints)[list(_LEG)]).max(-1).sum()
    target = np.abs(offsets[list(_LEG)]).max(-1).sum()
    if not own or not target:
        raise ValueError(
            "a uniform skeleton is scaled by the length of the right leg, which is 0 in the first "
            f"frame of the {'target' if own else 'clip'}"
        )
    out = np.empty_like(joints)
    out[:, 0] = joints[:, 0] * (target / own)
    bones = _unit(joints - joints[:, _PARENTS]) * np.linalg.norm(offsets, axis=-1)[:, None]
    for parent, joint in SKELETON.bones:
        out[:, joint] = out[:, parent] + bones[:, joint]
    return out


# ---------------------------------------------------------------------------- features


@dataclasses.dataclass(frozen=True)
class _Facing:
    """The rotation about Y that turns a body to +Z, as HumanML3D computes it.

    Attributes:
      matrices: [T, 3, 3].
      half: [T, 2] cosine, not negative, and sine of half the angle.
    """

    matrices: np.ndarray
    half: np.ndarray

    def velocity(self) -> np.ndarray:
        """Half the angle of the next frame relative to each, [T - 1].

        In the step in which a body turns through -Z, it has the wrong sign, as in the published
        values: half the angle jumps from 90 to -90 degrees there, and the cosine of the difference
        becomes negative.
        """
        (cos, sin), (next_cos, next_sin) = self.half[:-1].T, self.half[1:].T
        return np.arcsin(np.clip(next_sin * cos - next_cos * sin, -1, 1))


def features(joints: np.ndarray, feet_threshold: float = FEET_THRESHOLD) -> np.ndarray:
    """HumanML3D's 263 values of each frame but the last.

    The clip is moved and turned to HumanML3D's origin first (`conventions.canonical`); its bones
    are kept, see `uniform_skeleton`.

    Args:
      joints: [T, 22, 3], T >= 2, metres, Y up, at 20 frames per second.
      feet_threshold: square metres that a foot in contact moves in a frame, at most.

    Returns:
      [T - 1, 263] float32, in the order of `GROUPS`.

    Raises:
      ValueError: there are fewer than two frames.
    """
    if len(joints) < 2:
        raise ValueError(
            f"HumanML3D's values are of two frames or more; the clip has {len(joints)}"
        )
    joints = canonical(np.asarray(joints, np.float64), SKELETON)
    facing = _facing(joints)
    step = np.diff(joints, axis=0)
    local = joints - joints[:, :1] * [1, 0, 1]
    local = np.einsum("tij,tnj->tni", facing.matrices, local)[:-1]
    contacts = (step[:, list(_FEET)] ** 2).sum(-1) < feet_threshold
    count = len(step)
    parts = (
        facing.velocity()[:, None],
        np.einsum("tij,tj->ti", facing.matrices[1:], step[:, 0])[:, [0, 2]],
        joints[:-1, 0, 1:2],
        local[:, 1:].reshape(count, -1),
        _rotations(joints, facing)[:-1, 1:].reshape(count, -1),
        np.einsum("tij,tnj->tni", facing.matrices[:-1], step).reshape(count, -1),
        contacts,
    )
    return np.concatenate(parts, axis=-1).astype(np.float32)


def _facing(joints: np.ndarray) -> _Facing:
    """The facing of canonical joints, smoothed over time; the first frame faces +Z.

    The published code exchanges the two hips here, so that the body faces where the shoulders do
    after the hips' direction is taken away from theirs, and not where both do.
    """
    hips, shoulders = (
        joints[:, _joint(f"left_{name}")] - joints[:, _joint(f"right_{name}")]
        for name in ("hip", "shoulder")
    )
    forwards = np.cross([0.0, 1.0, 0.0], _unit(hips - shoulders))
    forwards = _unit(gaussian_filter1d(forwards, _SMOOTHING, axis=0, mode="nearest"))
    # Of the shortest rotation from a direction to +Z. A body that faces -Z exactly turns left.
    half = np.stack([1 + forwards[:, 2], -forwards[:, 0]], axis=-1)
    half[(half == 0).all(-1)] = [0, 1]
    half = _unit(half)
    half[0] = [1, 0]
    cos, sin = half[:, 0] ** 2 - half[:, 1] ** 2, 2 * half[:, 0] * half[:, 1]
    matrices = np.zeros((len(joints), 3, 3))
    matrices[:, 0, 0] = matrices[:, 2, 2] = cos
    matrices[:, 0, 2], matrices[:, 2, 0] = sin, -sin
    matrices[:, 1, 1] = 1
    return _Facing(matrices, half)


def _rotations(joints: np.ndarray, facing: _Facing) -> np.ndarray:
    """Of each bone relative to the one before it in its chain, six numbers, [T, 22, 6].

    The first bone of each chain, also of the arms, is relative to the rotation that turns the body
    to +Z: to the inverse of how the body faces. That is so in the published values.
    """
    world = _between(_DIRECTIONS, _unit(joints - joints[:, _PARENTS]))
    local = np.empty_like(world)
    for chain in SKELETON.chains:
        before = facing.matrices
        for joint in chain[1:]:
            local[:, joint] = before.mT @ world[:, joint]
            before = world[:, joint]
    local[:, 0] = facing.matrices
    return np.concatenate([local[..., 0], local[..., 1]], axis=-1)


def _between(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The shortest rotations [..., 3, 3] from unit vectors [..., 3] to others.

    Where they are opposite, there is none; then half a turn about X, or about Y along X.
    """
    start, end = np.broadcast_arrays(start, end)
    axis = np.cross(start, end)
    cos = (start * end).sum(-1)
    x, y, z = np.moveaxis(axis, -1, 0)
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*x.shape, 3, 3)
    opposite = cos < -1 + 1e-12
    scale = 1 / np.where(opposite, 1, 1 + cos)
    out = np.eye(3) + cross + cross @ cross * scale[..., None, None]
    along_x = np.abs(start[..., 0]) > 0.5
    half_turn = np.where(
        along_x[..., None, None], np.diag([-1.0, 1.0, -1.0]), np.diag([1.0, -1.0, -1.0])
    )
    return np.where(opposite[..., None, None], half_turn, out)


def _unit(vectors: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(norms > 0, norms, 1)


# ---------------------------------------------------------------------------- statistics


class Statistics:
    """Mean and standard deviation of the values of many clips, one clip after the other."""

    def __init__(self) -> None:
        """Starts without a clip."""
        self.rows = 0
        self._mean = np.zeros(NUM_FEATURES)
        self._squares = np.zeros(NUM_FEATURES)  # sum of squared differences from the mean

    def add(self, values: np.ndarray) -> None:
        """Adds the values [T, 263] of a clip."""
        values = np.asarray(values, np.float64)
        mean, rows = values.mean(0), self.rows + len(values)
        between = mean - self._mean
        self._squares += ((values - mean) ** 2).sum(0)
        self._squares += between**2 * self.rows * len(values) / rows
        self._mean += between * len(values) / rows
        self.rows = rows

    def mean(self) -> np.ndarray:
        """[263] float32 over all frames."""
        return self._mean.astype(np.float32)

    def std(self) -> np.ndarray:
        """[263] float32 over all frames; every group of `GROUPS` has the mean of its values'."""
        std = np.sqrt(self._squares / max(self.rows, 1))
        for group in GROUPS.values():
            std[group] = std[group].mean()
        return std.astype(np.float32)
