"""The body of the synthetic human: bone lengths, and channels of motion turned into joints.

Y is up; a person with heading 0 faces +Z and has the left side at +X, as in HumanML3D. Angles are
degrees, lengths metres. Everything here works on all T frames of a clip at once.
"""

import dataclasses

import numpy as np

from motionalign.skeleton import SKELETONS

SKELETON = SKELETONS["smpl22"]
JOINT = {name: index for index, name in enumerate(SKELETON.joint_names)}
SIDES = ("left", "right")
SIGN = {"left": 1.0, "right": -1.0}  # of the x axis, and of turning about the vertical

# Offset of each joint from its parent in an adult of SMPL-like proportions standing with the arms
# hanging down. The right side is the mirror image of the left.
_REST = {
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

_ABDUCTION = 6.0  # the shoulders hold the arms a little away from the trunk
_MAX_KNEE = 155.0
_STRAIGHTEST = 0.998  # of the leg's length: a knee never locks


@dataclasses.dataclass(frozen=True)
class Body:
    """The bones of one person.

    Attributes:
      offsets: [22, 3] each joint relative to its parent in the rest pose.
    """

    offsets: np.ndarray

    @property
    def leg(self) -> float:
        """Thigh and shin together: the unit of length in which actions are written."""
        return -float(self.offsets[JOINT["left_knee"], 1] + self.offsets[JOINT["left_ankle"], 1])

    @property
    def stand(self) -> float:
        """Height of the pelvis when standing at ease."""
        hip, foot = self.offsets[JOINT["left_hip"], 1], self.offsets[JOINT["left_foot"], 1]
        return 0.985 * self.leg - hip - foot

    @property
    def foot(self) -> np.ndarray:
        """[2] (outwards, forwards) from the pelvis to the ball of a foot when standing."""
        chain = [JOINT[f"left_{name}"] for name in ("hip", "knee", "ankle", "foot")]
        return self.offsets[chain].sum(axis=0)[[0, 2]]


def sample_body(rng: np.random.Generator) -> Body:
    """A person up to 8 % larger or smaller than average, limb by limb a little different too."""
    offsets = np.zeros((SKELETON.num_joints, 3))
    trunk, shoulders, legs, arms = rng.uniform(0.96, 1.04, 4)
    for name, offset in _REST.items():
        bone = name.removeprefix("left_")
        length = {"collar": shoulders, "shoulder": shoulders, "elbow": arms, "wrist": arms}.get(
            bone, legs if bone in ("knee", "ankle", "foot") else trunk
        )
        offsets[JOINT[name]] = length * np.asarray(offset)
        if name != bone:
            offsets[JOINT[f"right_{bone}"]] = offsets[JOINT[name]] * (-1, 1, 1)
    return Body(offsets * rng.uniform(0.94, 1.06))


def rotation(axis: str, degrees: np.ndarray) -> np.ndarray:
    """[T] angles to [T, 3, 3] right-handed rotations about a coordinate axis.

    About x: leans forward. About y: turns left. About z: tilts to the right (head towards -X).
    """
    angle = np.deg2rad(degrees)
    first, second = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    matrix = np.zeros((*angle.shape, 3, 3))
    matrix[..., range(3), range(3)] = 1.0
    matrix[..., first, first] = matrix[..., second, second] = np.cos(angle)
    matrix[..., second, first] = np.sin(angle)
    matrix[..., first, second] = -matrix[..., second, first]
    return matrix


def joint_positions(
    body: Body,
    ground: np.ndarray,
    torso: np.ndarray,
    arms: dict[str, np.ndarray],
    feet: dict[str, np.ndarray],
) -> np.ndarray:
    """Poses the body.

    The trunk and the arms follow from their angles; the legs reach for the feet, so that a planted
    foot stays where it is. The pelvis is lowered where a planted foot would be out of reach.

    Args:
      body: the bones.
      ground: [T, 3] pelvis x and z, heading (turning left is positive).
      torso: [T, 6] pelvis height above standing; forward pitch of the pelvis; bend of the spine
        forward, to the left side, and its twist to the left; nod of the head.
      arms: for each side [T, 4] raise of the upper arm (0 down, 90 level, 180 up) and the azimuth
        it is raised to (0 forward, 90 outward), its twist outward, bend of the elbow.
      feet: for each side [T, 5] x, y, z of the ball of the foot, its heading, lift of the heel.

    Returns:
      [T, 22, 3] joints.
    """
    out = np.zeros((len(ground), SKELETON.num_joints, 3))
    height, pitch, lean, side, twist, nod = torso.T
    pelvis = rotation("y", ground[:, 2]) @ rotation("x", pitch)
    vertebra = rotation("z", -side / 3) @ rotation("y", twist / 3) @ rotation("x", lean / 3)
    ankle = {s: _ankle(body, s, feet[s]) for s in SIDES}
    hip = {s: pelvis @ body.offsets[JOINT[f"{s}_hip"]] for s in SIDES}
    out[:, 0, 0], out[:, 0, 2] = ground[:, 0], ground[:, 1]
    highest = [_reachable_height(body, out[:, 0] + hip[s], ankle[s], feet[s]) for s in SIDES]
    out[:, 0, 1] = _soft_min(body.stand + height, *(h - hip[s][:, 1] for h, s in zip(highest, SIDES)))

    def attach(joint: str, parent: str, frame: np.ndarray) -> None:
        out[:, JOINT[joint]] = out[:, JOINT[parent]] + frame @ body.offsets[JOINT[joint]]

    frame = pelvis
    for joint, parent in (("spine1", "pelvis"), ("spine2", "spine1"), ("spine3", "spine2")):
        attach(joint, parent, frame)
        frame = frame @ vertebra
    attach("neck", "spine3", frame)
    attach("head", "neck", frame @ rotation("x", nod))
    for s in SIDES:
        raised, azimuth, spin, bend = arms[s].T
        # The collar bone follows a raised arm; a hanging arm keeps its elbow pointing backwards
        # whatever its azimuth.
        shrug = rotation("z", SIGN[s] * 0.2 * np.clip(raised - 70.0, 0.0, 110.0))
        spin = spin - azimuth * np.maximum(np.cos(np.deg2rad(raised)), 0.0)
        attach(f"{s}_collar", "spine3", frame)
        attach(f"{s}_shoulder", f"{s}_collar", frame @ shrug)
        upper = frame @ rotation("z", np.full(len(out), SIGN[s] * _ABDUCTION))
        upper = upper @ rotation("y", SIGN[s] * azimuth) @ rotation("x", -raised)
        upper = upper @ rotation("y", SIGN[s] * spin)
        attach(f"{s}_elbow", f"{s}_shoulder", upper)
        attach(f"{s}_wrist", f"{s}_elbow", upper @ rotation("x", -np.clip(bend, 0.0, 150.0)))
        _leg(body, s, out, out[:, 0] + hip[s], ankle[s], ground[:, 2], feet[s])
    return out


def _foot_frame(foot: np.ndarray) -> np.ndarray:
    return rotation("y", foot[:, 3]) @ rotation("x", foot[:, 4])


def _ankle(body: Body, side: str, foot: np.ndarray) -> np.ndarray:
    """[T, 3] the ankle over a foot."""
    return foot[:, :3] - _foot_frame(foot) @ body.offsets[JOINT[f"{side}_foot"]]


def _reachable_height(body: Body, hip: np.ndarray, ankle: np.ndarray, foot: np.ndarray):
    """[T] greatest height of the hip at which the leg reaches the ankle; no bound for raised feet."""
    apart = np.linalg.norm((hip - ankle)[:, [0, 2]], axis=1)
    reach = (_STRAIGHTEST * body.leg) ** 2 - np.minimum(apart, 0.95 * body.leg) ** 2
    return ankle[:, 1] + np.sqrt(reach) + 4.0 * np.maximum(foot[:, 1] - 0.02, 0.0)


def _soft_min(*values: np.ndarray) -> np.ndarray:
    """A minimum without corners, at most about a centimetre below the true one."""
    stacked, sharpness = np.stack(values), 150.0
    least = stacked.min(axis=0)
    return least - np.log(np.exp(-sharpness * (stacked - least)).sum(axis=0)) / sharpness


def _leg(
    body: Body,
    side: str,
    out: np.ndarray,
    hip: np.ndarray,
    ankle: np.ndarray,
    heading: np.ndarray,
    foot: np.ndarray,
) -> None:
    """Two-bone inverse kinematics; the knee bends in the plane of the leg and to the front only."""
    thigh = -body.offsets[JOINT["left_knee"], 1]
    shin = -body.offsets[JOINT["left_ankle"], 1]
    line = ankle - hip
    distance = np.linalg.norm(line, axis=1)
    line /= distance[:, None]
    folded = np.sqrt(thigh**2 + shin**2 + 2 * thigh * shin * np.cos(np.deg2rad(_MAX_KNEE)))
    distance = np.clip(distance, folded, _STRAIGHTEST * body.leg)
    hinge = rotation("y", (heading + foot[:, 3]) / 2)[:, :, 0]  # the left of the leg
    front = np.cross(line, hinge)
    front /= np.linalg.norm(front, axis=1, keepdims=True)
    along = (thigh**2 - shin**2 + distance**2) / (2 * distance)
    across = np.sqrt(np.maximum(thigh**2 - along**2, 0.0))
    knee = hip + along[:, None] * line + across[:, None] * front
    out[:, JOINT[f"{side}_hip"]] = hip
    out[:, JOINT[f"{side}_knee"]] = knee
    # From the ankle that the leg really reached: an unreachable one shortens no bone.
    reached = hip + distance[:, None] * line
    out[:, JOINT[f"{side}_ankle"]] = reached
    out[:, JOINT[f"{side}_foot"]] = reached + _foot_frame(foot) @ body.offsets[JOINT[f"{side}_foot"]]
