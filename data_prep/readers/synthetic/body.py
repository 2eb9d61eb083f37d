"""The body of the synthetic human: bone lengths, and joints from motion channels.

Y is up; a person with heading 0 faces +Z and has the left side at +X, as in HumanML3D. Angles are
in degrees, lengths in metres. All functions process the T frames of a clip at once.
"""

import dataclasses

import numpy as np

from motionalign.skeleton import SKELETONS

SKELETON = SKELETONS["smpl22"]

JOINT = {name: index for index, name in enumerate(SKELETON.joint_names)}

SIDES = ("left", "right")

OTHER = {"left": "right", "right": "left"}

_PAIR = {
    name.removeprefix("left_"): [index, JOINT[name.replace("left", "right")]]
    for name, index in JOINT.items()
    if name.startswith("left_")
}

SIGN = {"left": 1.0, "right": -1.0}  # sign of x, and of turns about the vertical axis

# Offset of each joint from its parent, for an adult of SMPL-like proportions who stands with the
# arms hanging down. The right side is the mirror image of the left.
_OFFSETS = {
    "pelvis": (0, 0, 0),
    "left_hip": (0.060, -0.086, -0.015),
    "left_knee": (0, -0.386, 0),
    "left_ankle": (0, -0.424, 0),
    "left_foot": (0.020, -0.061, 0.126),
    "spine1": (0, 0.124, -0.038),
    "spine2": (0, 0.138, 0.027),
    "spine3": (0, 0.056, 0.003),
    "neck": (0, 0.212, -0.033),
    "head": (0, 0.089, 0.050),
    "left_collar": (0.077, 0.113, -0.021),
    "left_shoulder": (0.118, 0.046, -0.014),
    "left_elbow": (0, -0.258, 0),
    "left_wrist": (0, -0.268, 0),
}

_LIMBS = ("trunk", "hip knee ankle foot", "collar shoulder", "elbow wrist")  # scaled independently

_REST = np.zeros((SKELETON.num_joints, 3))

_LIMB = np.zeros(SKELETON.num_joints, int)  # 0, the trunk, unless listed

for _name, _offset in _OFFSETS.items():
    _both = _PAIR.get(_name.removeprefix("left_"), [JOINT[_name]])
    _REST[_both] = np.outer((1, 1), _offset)[: len(_both)]
    _REST[_both[1:], 0] *= -1
    _LIMB[_both] = max(i for i, limb in enumerate(_LIMBS) if i == 0 or _name[5:] in limb.split())

_ABDUCTION = 6.0  # hanging arms are slightly away from the trunk

_MAX_KNEE = 155.0

_STRAIGHTEST = 0.998  # longest hip-ankle distance, as a share of the leg: the knee never locks


@dataclasses.dataclass(frozen=True)
class Body:
    """The bones of one person.

    Attributes:
      offsets: [22, 3] position of each joint relative to its parent in the rest pose.
    """

    offsets: np.ndarray

    def pair(self, name: str) -> np.ndarray:
        """[2, 3] the offsets of the left and the right joint called `name`."""
        return self.offsets[_PAIR[name]]

    @staticmethod
    def put(joints: np.ndarray, name: str, positions: np.ndarray) -> None:
        """Writes positions [2, T, 3] of a pair of joints into joints [T, 22, 3]."""
        joints[:, _PAIR[name]] = positions.swapaxes(0, 1)

    @property
    def leg(self) -> float:
        """Length of thigh and shin together: the unit of length of the actions."""
        return -float(self.offsets[JOINT["left_knee"], 1] + self.offsets[JOINT["left_ankle"], 1])

    @property
    def stand(self) -> float:
        """Height of the pelvis in the neutral stance."""
        hip, foot = self.offsets[JOINT["left_hip"], 1], self.offsets[JOINT["left_foot"], 1]
        return 0.985 * self.leg - hip - foot

    @property
    def foot(self) -> np.ndarray:
        """[2] (outwards, forwards) from the pelvis to the ball of a foot when standing."""
        chain = [JOINT[f"left_{name}"] for name in ("hip", "knee", "ankle", "foot")]
        return self.offsets[chain].sum(axis=0)[[0, 2]]


def sample_body(rng: np.random.Generator) -> Body:
    """Samples a body: overall size within ±6 % of the average, each limb within a further ±4 %."""
    return Body(_REST * rng.uniform(0.96, 1.04, 4)[_LIMB, None] * rng.uniform(0.94, 1.06))


def rotation(axis: str, degrees: np.ndarray) -> np.ndarray:
    """Angles [...] to right-handed rotations [..., 3, 3] about a coordinate axis.

    A positive angle about x leans forward, about y turns left, and about z tilts to the right (head
    towards -X).
    """
    angle = np.deg2rad(degrees)
    cos, sin = np.cos(angle), np.sin(angle)
    fixed = "xyz".index(axis)
    first, second = (fixed + 1) % 3, (fixed + 2) % 3
    matrix = np.zeros((*angle.shape, 3, 3))
    matrix[..., fixed, fixed] = 1.0
    matrix[..., first, first] = cos
    matrix[..., second, second] = cos
    matrix[..., second, first] = sin
    matrix[..., first, second] = -sin
    return matrix


def joint_positions(
    body: Body, ground: np.ndarray, torso: np.ndarray, arms: np.ndarray, feet: np.ndarray
) -> np.ndarray:
    """Poses the body.

    Trunk and arms are posed by forward kinematics. The legs are posed by inverse kinematics from
    the feet, so that a planted foot does not slide. The pelvis is lowered if a planted foot would
    otherwise be out of reach.

    Args:
      body: the bones.
      ground: [T, 3] x and z of the pelvis, and heading (turning left is positive).
      torso: [T, 6] height of the pelvis above its standing height; forward pitch of the pelvis;
        bend of the spine forward and to the left, twist of the spine to the left; nod of the head.
      arms: [2, T, 4] for left and right: raise of the upper arm (0 down, 90 level, 180 up), azimuth
        of the raise (0 forward, 90 outward), outward twist, bend of the elbow.
      feet: [2, T, 5] for left and right: x, y, z of the ball of the foot, heading, lift of the
        heel.

    Returns:
      [T, 22, 3] joints.
    """
    joints = np.zeros((len(ground), SKELETON.num_joints, 3))
    height, pitch, lean, side, twist, nod = torso.T
    pelvis = rotation("y", ground[:, 2]) @ rotation("x", pitch)

    root = np.stack([ground[:, 0], np.zeros(len(ground)), ground[:, 1]], axis=1)
    hips = pelvis @ body.pair("hip")[:, None, :, None]  # [2, T, 3, 1], from the pelvis
    hips = root + hips[..., 0]
    ankles = feet[..., :3] - _in_foot(feet, body.pair("foot"))
    highest = _reachable_height(body.leg, hips, ankles, feet)
    root[:, 1] = _soft_min(
        body.stand + height, highest[0] - hips[0, :, 1], highest[1] - hips[1, :, 1]
    )
    hips[..., 1] += root[:, 1]
    joints[:, 0] = root
    _pose_legs(body, joints, hips, ankles, ground[:, 2], feet)

    chest = pelvis
    vertebra = rotation("z", -side / 3) @ rotation("y", twist / 3) @ rotation("x", lean / 3)
    for joint, parent in (("spine1", "pelvis"), ("spine2", "spine1"), ("spine3", "spine2")):
        joints[:, JOINT[joint]] = joints[:, JOINT[parent]] + chest @ body.offsets[JOINT[joint]]
        chest = chest @ vertebra
    joints[:, JOINT["neck"]] = joints[:, JOINT["spine3"]] + chest @ body.offsets[JOINT["neck"]]
    head = chest @ rotation("x", nod) @ body.offsets[JOINT["head"]]
    joints[:, JOINT["head"]] = joints[:, JOINT["neck"]] + head
    _pose_arms(body, joints, chest, arms)
    return joints


def _in_foot(feet: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Offsets [2, 3] in the frame of each foot to offsets [2, T, 3] in the world frame."""
    frame = rotation("y", feet[..., 3]) @ rotation("x", feet[..., 4])
    return (frame @ offsets[:, None, :, None])[..., 0]


def _reachable_height(
    leg: float, hips: np.ndarray, ankles: np.ndarray, feet: np.ndarray
) -> np.ndarray:
    """[2, T] greatest hip heights at which the legs reach the ankles; looser for raised feet."""
    apart = np.hypot(*np.moveaxis((hips - ankles)[..., [0, 2]], -1, 0))
    reach = (_STRAIGHTEST * leg) ** 2 - np.minimum(apart, 0.95 * leg) ** 2
    return ankles[..., 1] + np.sqrt(reach) + 4.0 * np.maximum(feet[..., 1] - 0.02, 0.0)


def _soft_min(*values: np.ndarray) -> np.ndarray:
    """A smooth minimum, at most about a centimetre below the exact one."""
    stacked, sharpness = np.stack(values), 150.0
    least = stacked.min(axis=0)
    return least - np.log(np.exp(-sharpness * (stacked - least)).sum(axis=0)) / sharpness


def _pose_legs(
    body: Body,
    joints: np.ndarray,
    hips: np.ndarray,
    ankles: np.ndarray,
    heading: np.ndarray,
    feet: np.ndarray,
) -> None:
    """Two-bone inverse kinematics; a knee bends in the plane of its leg, and only forward."""
    thigh, shin = -body.pair("knee")[0, 1], -body.pair("ankle")[0, 1]
    line = ankles - hips
    distance = np.linalg.norm(line, axis=-1, keepdims=True)
    line /= distance
    folded = np.sqrt(thigh**2 + shin**2 + 2 * thigh * shin * np.cos(np.deg2rad(_MAX_KNEE)))
    distance = np.clip(distance, folded, _STRAIGHTEST * body.leg)
    # The knee's hinge axis points to the left of the leg, whose heading is halfway between those of
    # the pelvis and the foot.
    yaw = np.deg2rad((heading + feet[..., 3]) / 2)
    x, z = np.cos(yaw), -np.sin(yaw)
    front = np.stack(
        [line[..., 1] * z, line[..., 2] * x - line[..., 0] * z, -line[..., 1] * x], axis=-1
    )  # line × hinge
    front /= np.linalg.norm(front, axis=-1, keepdims=True)
    along = (thigh**2 - shin**2 + distance**2) / (2 * distance)
    across = np.sqrt(np.maximum(thigh**2 - along**2, 0.0))
    # The foot attaches to the ankle position that the leg reaches, so that no bone changes length.
    reached = hips + distance * line
    body.put(joints, "hip", hips)
    body.put(joints, "knee", hips + along * line + across * front)
    body.put(joints, "ankle", reached)
    body.put(joints, "foot", reached + _in_foot(feet, body.pair("foot")))


def _pose_arms(body: Body, joints: np.ndarray, chest: np.ndarray, arms: np.ndarray) -> None:
    """Poses the arms from their angles, in the frame of the chest [T, 3, 3]."""
    raised, azimuth, spin, bend = np.moveaxis(arms, -1, 0)
    sign = np.asarray([[1.0], [-1.0]])
    # The elbow of a hanging arm points backwards whatever its azimuth.
    spin = spin - azimuth * np.maximum(np.cos(np.deg2rad(raised)), 0.0)
    shrug = rotation("z", sign * 0.2 * np.clip(raised - 70.0, 0.0, 110.0))
    upper = chest @ rotation("z", sign * _ABDUCTION) @ rotation("y", sign * azimuth)
    upper = upper @ rotation("x", -raised) @ rotation("y", sign * spin)
    place = joints[:, JOINT["spine3"]]
    for name, frame in (
        ("collar", chest[None]),
        ("shoulder", chest @ shrug),  # raising an arm lifts the collar bone
        ("elbow", upper),
        ("wrist", upper @ rotation("x", -np.clip(bend, 0.0, 150.0))),
    ):
        place = place + (frame @ body.pair(name)[:, None, :, None])[..., 0]
        body.put(joints, name, place)
