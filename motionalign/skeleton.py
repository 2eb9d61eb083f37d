"""Skeletons: joint names, joint tree, the five body parts and the mirror map.

To support another skeleton, add an entry to `SKELETONS`; no other code depends on joint numbers.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

PARTS = ("right_leg", "left_leg", "torso", "right_arm", "left_arm")

SIDES = ("left", "right")

# Of each side; every role has its name with the side before it, such as left_knee.
_ARM = ("collar", "shoulder", "elbow", "wrist", "hand")
_LEG = ("hip", "knee", "ankle", "foot", "toe")

ROLES = (
    "pelvis",
    "chest",
    "neck",
    "head",
    "head_end",
    *(f"{side}_{role}" for side in SIDES for role in (*_ARM, *_LEG)),
)
"""What a point of a body can be.

chest: the joint in which the two arms part from the spine, SMPL's spine3. neck: the base of the
neck. head: where the skull turns on the neck, SMPL's head; head_end: the top of the skull. hand:
the middle of the hand or the base of the middle finger. foot: the ball of the foot, SMPL's foot;
toe: the tip of the toes.
"""


@dataclasses.dataclass(frozen=True)
class Skeleton:
    """A joint tree and its division into body parts.

    Attributes:
      name: key in `SKELETONS`.
      joint_names: J names, in the order of the joint axis.
      parents: J indices, -1 for the root; a parent comes before its children.
      chains: the five kinematic chains of Motion Patches (§3.2), joints ordered outwards from the
        torso, in the published column order.
      chain_names: the body part of each chain.
      mirror: J indices; `joints[:, mirror]` with x negated is the mirrored motion.
      dims: coordinates per joint. 3: a joint is (x, y, z), Y up. 2: a joint is (x, y, confidence)
        in the camera's image, y up; the confidence is the pose detector's.
    """

    name: str
    joint_names: tuple[str, ...]
    parents: tuple[int, ...]
    chains: tuple[tuple[int, ...], ...]
    chain_names: tuple[str, ...]
    mirror: tuple[int, ...]
    dims: int = 3

    def __post_init__(self) -> None:
        """Checks the consistency of the fields, which may come from a file."""
        joints = range(len(self.joint_names))
        tree = len(self.parents) == len(joints) and self.parents[:1] == (-1,)
        sides = len(self.mirror) == len(joints) and all(twin in joints for twin in self.mirror)
        holds = {
            "joints with distinct names": len(set(self.joint_names)) == len(joints) > 0,
            "the first joint as its only root, and every parent before its children": tree
            and all(0 <= self.parents[j] < j for j in joints[1:]),
            "chains of its joints, one name each": len(self.chains) == len(self.chain_names)
            and all(j in joints for chain in self.chains for j in chain),
            "a mirror that is its own inverse": sides
            and all(self.mirror[self.mirror[j]] == j for j in joints),
            "2 or 3 dims": self.dims in (2, 3),
        }
        if wrong := [what for what, is_so in holds.items() if not is_so]:
            raise ValueError(f"skeleton {self.name!r} must have {wrong[0]}")

    @property
    def num_joints(self) -> int:
        """J, the number of joints."""
        return len(self.joint_names)

    def to_dict(self) -> dict[str, Any]:
        """The complete skeleton in JSON types."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Skeleton":
        """Inverse of `to_dict`; a ValueError names a missing or unknown field."""
        names = {field.name for field in dataclasses.fields(cls)}
        if wrong := names ^ values.keys():
            raise ValueError(
                f"a skeleton must have the fields {', '.join(sorted(names))}; {min(wrong)} is "
                "missing or unknown"
            )
        return cls(**{name: _tuples(value) for name, value in values.items()})

    @property
    def bones(self) -> tuple[tuple[int, int], ...]:
        """(parent, child) joints of every bone."""
        return tuple((p, j) for j, p in enumerate(self.parents) if p >= 0)

    def mirrored(self, joints: np.ndarray) -> np.ndarray:
        """Reflects joints [..., J, 3] in the plane x = 0 and swaps left and right joints."""
        return joints[..., list(self.mirror), :] * np.asarray([-1, 1, 1], joints.dtype)


def _tuples(value: Any) -> Any:
    """Converts JSON's nested lists to tuples."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _mirror_by_name(names: tuple[str, ...], left: str, right: str) -> tuple[int, ...]:
    """The mirror map: for each joint the index of its counterpart, by `left`/`right` prefixes."""
    twin = {}
    for name in names:
        for a, b in ((left, right), (right, left)):
            if name.startswith(a) and b + name[len(a) :] in names:
                twin[name] = b + name[len(a) :]
    return tuple(names.index(twin.get(name, name)) for name in names)


_SMPL22_NAMES = (
    "pelvis left_hip right_hip spine1 left_knee right_knee spine2 left_ankle right_ankle spine3 "
    "left_foot right_foot neck left_collar right_collar head left_shoulder right_shoulder "
    "left_elbow right_elbow left_wrist right_wrist"
).split()

# The joints of the Master Motor Map (MMM) that KIT-ML keeps. The names are KIT's own (L = left, R =
# right); HumanML3D's comments swap the two sides.
_KIT21_NAMES = ("root BP BT BLN BUN LS LE LW RS RE RW LH LK LA LMrot LF RH RK RA RMrot RF").split()

# OpenPose's joint order, which DenseGait uses, in 2D. Eyes and ears belong to no body part.
_COCO18_NAMES = (
    "nose neck right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist "
    "right_hip right_knee right_ankle left_hip left_knee left_ankle right_eye left_eye right_ear "
    "left_ear"
).split()

# Kinect for Windows SDK 1, as in NW-UCLA; UTD-MHAD has the same joints in another order.
_KINECT20_NAMES = (
    "hip_center spine shoulder_center head left_shoulder left_elbow left_wrist left_hand "
    "right_shoulder right_elbow right_wrist right_hand left_hip left_knee left_ankle left_foot "
    "right_hip right_knee right_ankle right_foot"
).split()

# The joints of SBU Kinect Interaction (OpenNI), the torso first.
_SBU15_NAMES = (
    "torso neck head left_shoulder left_elbow left_hand right_shoulder right_elbow right_hand "
    "left_hip left_knee left_foot right_hip right_knee right_foot"
).split()

# Kinect for Windows SDK 2, as in NTU RGB+D. Its files have spine_shoulder after right_foot, and the
# tips of the hands before the thumbs, from which they hang in the graphs of ST-GCN and CTR-GCN.
_NTU25_NAMES = (
    "spine_base spine_mid spine_shoulder neck head left_shoulder left_elbow left_wrist left_hand "
    "right_shoulder right_elbow right_wrist right_hand left_hip left_knee left_ankle left_foot "
    "right_hip right_knee right_ankle right_foot left_thumb left_hand_tip right_thumb "
    "right_hand_tip"
).split()

_NTU25_PARENTS = (
    -1, 0, 1, 2, 3, 2, 5, 6, 7, 2, 9, 10, 11, 0, 13, 14, 15, 0, 17, 18, 19, 8, 21, 12, 23,
)  # fmt: skip

# COCO's keypoints, as in UAV-Human, with the bones of its published graph: hips hang from the
# shoulders, and these from the nose. Eyes and ears belong to no body part.
_UAV17_NAMES = (
    "nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow "
    "right_elbow left_wrist right_wrist left_hip right_hip left_knee right_knee left_ankle "
    "right_ankle"
).split()

# The joints of Toyota Smarthome (LCR-Net), whose files have them in the opposite order.
_SMARTHOME13_NAMES = (
    "head left_shoulder right_shoulder left_elbow right_elbow left_wrist right_wrist left_hip "
    "right_hip left_knee right_knee left_ankle right_ankle"
).split()

SKELETONS = {
    skeleton.name: skeleton
    for skeleton in (
        Skeleton(
            name="smpl22",
            joint_names=tuple(_SMPL22_NAMES),
            parents=(-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19),
            chains=(
                (0, 2, 5, 8, 11),
                (0, 1, 4, 7, 10),
                (0, 3, 6, 9, 12, 15),
                (9, 14, 17, 19, 21),
                (9, 13, 16, 18, 20),
            ),
            chain_names=("right_leg", "left_leg", "torso", "right_arm", "left_arm"),
            mirror=_mirror_by_name(tuple(_SMPL22_NAMES), "left_", "right_"),
        ),
        Skeleton(
            name="kit21",
            joint_names=tuple(_KIT21_NAMES),
            parents=(-1, 0, 1, 2, 3, 3, 5, 6, 3, 8, 9, 0, 11, 12, 13, 14, 0, 16, 17, 18, 19),
            chains=(
                (0, 11, 12, 13, 14, 15),
                (0, 16, 17, 18, 19, 20),
                (0, 1, 2, 3, 4),
                (3, 5, 6, 7),
                (3, 8, 9, 10),
            ),
            chain_names=("left_leg", "right_leg", "torso", "left_arm", "right_arm"),
            mirror=_mirror_by_name(tuple(_KIT21_NAMES), "L", "R"),
        ),
        Skeleton(
            name="coco18",
            joint_names=tuple(_COCO18_NAMES),
            parents=(-1, 0, 1, 2, 3, 1, 5, 6, 1, 8, 9, 1, 11, 12, 0, 0, 14, 15),
            chains=((1, 8, 9, 10), (1, 11, 12, 13), (0, 1), (1, 2, 3, 4), (1, 5, 6, 7)),
            chain_names=("right_leg", "left_leg", "torso", "right_arm", "left_arm"),
            mirror=_mirror_by_name(tuple(_COCO18_NAMES), "left_", "right_"),
            dims=2,
        ),
        Skeleton(
            name="kinect20",
            joint_names=tuple(_KINECT20_NAMES),
            parents=(-1, 0, 1, 2, 2, 4, 5, 6, 2, 8, 9, 10, 0, 12, 13, 14, 0, 16, 17, 18),
            chains=(
                (0, 16, 17, 18, 19),
                (0, 12, 13, 14, 15),
                (0, 1, 2, 3),
                (2, 8, 9, 10, 11),
                (2, 4, 5, 6, 7),
            ),
            chain_names=("right_leg", "left_leg", "torso", "right_arm", "left_arm"),
            mirror=_mirror_by_name(tuple(_KINECT20_NAMES), "left_", "right_"),
        ),
        Skeleton(
            name="sbu15",
            joint_names=tuple(_SBU15_NAMES),
            parents=(-1, 0, 1, 1, 3, 4, 1, 6, 7, 0, 9, 10, 0, 12, 13),
            chains=((0, 12, 13, 14), (0, 9, 10, 11), (0, 1, 2), (1, 6, 7, 8), (1, 3, 4, 5)),
            chain_names=("right_leg", "left_leg", "torso", "right_arm", "left_arm"),
            mirror=_mirror_by_name(tuple(_SBU15_NAMES), "left_", "right_"),
        ),
        Skeleton(
            name="ntu25",
            joint_names=tuple(_NTU25_NAMES),
            parents=_NTU25_PARENTS,
            chains=(
                (0, 17, 18, 19, 20),
                (0, 13, 14, 15, 16),
                (0, 1, 2, 3, 4),
                (2, 9, 10, 11, 12, 23, 24),
                (2, 5, 6, 7, 8, 21, 22),
            ),
            chain_names=("right_leg", "left_leg", "torso", "right_arm", "left_arm"),
            mirror=_mirror_by_name(tuple(_NTU25_NAMES), "left_", "right_"),
        ),
        Skeleton(
            name="uav17",
            joint_names=tuple(_UAV17_NAMES),
            parents=(-1, 0, 0, 1, 2, 0, 0, 5, 6, 7, 8, 5, 6, 11, 12, 13, 14),
            chains=((6, 12, 14, 16), (5, 11, 13, 15), (0,), (0, 6, 8, 10), (0, 5, 7, 9)),
            chain_names=("right_leg", "left_leg", "torso", "right_arm", "left_arm"),
            mirror=_mirror_by_name(tuple(_UAV17_NAMES), "left_", "right_"),
        ),
        Skeleton(
            name="smarthome13",
            joint_names=tuple(_SMARTHOME13_NAMES),
            parents=(-1, 0, 0, 1, 2, 3, 4, 1, 2, 7, 8, 9, 10),
            chains=((2, 8, 10, 12), (1, 7, 9, 11), (0,), (0, 2, 4, 6), (0, 1, 3, 5)),
            chain_names=("right_leg", "left_leg", "torso", "right_arm", "left_arm"),
            mirror=_mirror_by_name(tuple(_SMARTHOME13_NAMES), "left_", "right_"),
        ),
    )
}


def get_skeleton(name: str) -> Skeleton:
    """The skeleton called `name`; a ValueError lists the known ones if there is none."""
    if name not in SKELETONS:
        raise ValueError(f"unknown skeleton {name!r}; known: {', '.join(sorted(SKELETONS))}")
    return SKELETONS[name]


# Joints of other body models, whose first 22 are those of smpl22.
_LONGER = {24: "SMPL", 52: "SMPL-H", 55: "SMPL-X", 127: "SMPL-X", 144: "SMPL-X"}

# Values of a frame in common files that are not positions.
_NOT_POSITIONS = {
    263: "HumanML3D's features (new_joint_vecs); take the files of new_joints",
    251: "KIT-ML's features (new_joint_vecs); take the files of new_joints",
    72: "SMPL's pose parameters, or 24 flattened joints. Of parameters, compute the joints first",
    156: "SMPL-H's pose parameters; compute the positions of the joints first",
    165: "SMPL-X's pose parameters; compute the positions of the joints first",
}


def shape_advice(shape: Sequence[int], num_joints: int, named: bool = False) -> str:
    """What to do with an array of joints that is not [frames, `num_joints`, 3].

    Args:
      shape: of the array, called `joints` in the advice.
      num_joints: the expected number of joints.
      named: whether that is how many joints the user named, and not the skeleton's number.
    """
    shape = tuple(shape)
    if len(shape) == 4 and 1 in shape[:2] and shape[2:] == (num_joints, 3):
        return f"An axis is superfluous: save joints[{'0' if shape[0] == 1 else ':, 0'}]"
    if len(shape) == 2:
        return _flat_advice(shape, num_joints)
    if len(shape) != 3:
        return f"One clip is one array with three axes: frames, {num_joints} joints, and x, y, z"
    if shape[1:] != (num_joints, 3) and sorted(shape[1:]) == sorted((num_joints, 3)):
        return "Joints and coordinates are swapped: save joints.transpose(0, 2, 1)"
    if shape[0] == num_joints and shape[2] == 3:
        return "Frames and joints are swapped: save joints.transpose(1, 0, 2)"
    if shape[2] != 3:
        return _channel_advice(shape[2])
    found = shape[1]
    if named:
        return f"The declared order names {num_joints} joints: it must name all {found}, no others"
    if num_joints == 22 and found in _LONGER:
        body = _LONGER[found]
        return f"{found} joints are {body}'s, whose first 22 are expected: save joints[:, :22]"
    for name, skeleton in SKELETONS.items():
        if skeleton.num_joints == found != num_joints and found not in _COMMON_COUNTS:
            return f"{found} joints are those of {_HOME.get(name, name)}"
    names = [skeleton.name for skeleton in SKELETONS.values() if skeleton.num_joints == num_joints]
    return (
        f"Choose or compute the {num_joints} joints of {names[0] if names else 'the skeleton'}, in "
        "its order (motionalign/skeleton.py)"
    )


# Numbers of joints that several sets have: 13 and 17 those of COCO and Human3.6M, too, and 25 those
# of OpenPose.
_COMMON_COUNTS = (13, 17, 25)

_HOME = {
    "smpl22": "HumanML3D (smpl22): use `python -m data_prep humanml3d`",
    "kit21": "KIT-ML (kit21): use `python -m data_prep kit_ml`",
}


def _flat_advice(shape: tuple[int, ...], num_joints: int) -> str:
    """`shape_advice` of an array with two axes."""
    values = shape[1]
    if values == 3 * num_joints:
        return f"Joints and coordinates are flattened: save joints.reshape(-1, {num_joints}, 3)"
    if shape == (num_joints, 3):
        return "This is a single frame: save all frames of a clip in one array"
    if values in _NOT_POSITIONS:
        return f"{values} values a frame are {_NOT_POSITIONS[values]}"
    if values % 3 == 0:
        each = f"joints.reshape(-1, {values // 3}, 3)"
        return f"Reshape to {each}, and choose {num_joints} of the {values // 3} joints"
    return f"{values} values a frame are not positions of joints, which are 3 numbers each"


def _channel_advice(channels: int) -> str:
    """`shape_advice` where a joint has another number of values than three."""
    known = {
        2: "2D positions, without depth; positions in 3D are expected",
        4: "3 coordinates and a further number: if x, y and z come first, save joints[..., :3]",
        6: "6D rotations; compute the positions of the joints first",
    }
    return f"{channels} numbers a joint are {known.get(channels, 'not its x, y and z')}"
