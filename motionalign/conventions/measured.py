"""What a clip is, from its joints alone: size, axes, sides, origin, and how steady its bones are.

A body is measured along the chains of its skeleton, whose order is that of Motion Patches (§3.2):
a leg is root, hip, knee, ankle and, if there is one more joint, toes.
"""

import dataclasses
import functools
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from motionalign.skeleton import Skeleton

AXES: Mapping[str, tuple[float, float, float]] = MappingProxyType(
    {
        "x": (1.0, 0.0, 0.0), "-x": (-1.0, 0.0, 0.0),
        "y": (0.0, 1.0, 0.0), "-y": (0.0, -1.0, 0.0),
        "z": (0.0, 0.0, 1.0), "-z": (0.0, 0.0, -1.0),
    }
)  # fmt: skip
"""The axes that may point up."""

_SHOULDER = re.compile("shoulder", re.IGNORECASE)
_UPPER_ARM = re.compile(
    r"humerus|up(per)?[-_ ]?arm|(?<!fore)(?<!fore[-_ ])(?<!low)(?<!lower)arm(?![a-z])",
    re.IGNORECASE,
)

_RESTING = 0.01  # metres between the lowest joint and Y = 0 of a body that lies on the floor
_UPRIGHT = 0.5  # cosine from feet to head with the axis that points up, of an upright body
_FRAMES = 0.8  # share of frames that must agree on an axis


@dataclasses.dataclass(frozen=True)
class Measured:
    """What a clip is, from its joints alone. Lengths are in the unit of the joints.

    Attributes:
      height: sum of the bone lengths from toes to head.
      spread: extent of the body in its most stretched frames, over `height`.
      longest_bone: the longest bone, over `height`.
      bone_variation: standard deviation over mean length of the least constant bone.
      typical_variation: the same of the median bone.
      asymmetry: largest ratio of a bone's length to that of its counterpart.
      up: the axis along which the body stands in most frames; None: it does not stand.
      upright: share of the frames in which the body stands along +Y.
      kneeling: share of the frames in which the thighs stand along +Y: on all fours, a body that
        is level does not stand along another axis.
      forwards: cosine of toes and knees with the facing direction; negative: left and right are
        swapped, or an axis is mirrored. 0 for a skeleton without legs.
      toes: whether the skeleton has toes.
      lowest: the lowest Y of any joint.
      resting: whether the body lies on the plane Y = 0.
      origin: distance of the root from the vertical axis in the first frame.
      facing: degrees between the facing direction of the first frame and +Z, -180 to 180.
      repeated: the longest row of frames that repeat the previous frame exactly, over all frames.
      empty: share of frames with all joints at one point.
      speed: of the fastest joint in the median frame, per frame.
    """

    height: float
    spread: float
    longest_bone: float
    bone_variation: float
    typical_variation: float
    asymmetry: float
    up: str | None
    upright: float
    kneeling: float
    forwards: float
    toes: bool
    lowest: float
    resting: bool
    origin: float
    facing: float
    repeated: float
    empty: float
    speed: float


@dataclasses.dataclass(frozen=True)
class Landmarks:
    """Joint indices that measurements need, from the chains of a skeleton."""

    head: int
    hips: tuple[int, int]  # left, right
    knees: tuple[int, int]
    ankles: tuple[int, int]
    toes: tuple[int, int] | None
    shoulders: tuple[int, int]
    ends: tuple[int, int]  # the last joints of the legs


@functools.cache
def landmarks(skeleton: Skeleton) -> Landmarks:
    """The landmarks of a three-dimensional skeleton with the five body parts."""
    chains = dict(zip(skeleton.chain_names, skeleton.chains, strict=True))
    legs = chains["left_leg"], chains["right_leg"]
    arms = chains["left_arm"], chains["right_arm"]

    def of_legs(i: int) -> tuple[int, int]:
        return legs[0][i], legs[1][i]

    def shoulder(chain: Sequence[int]) -> int:
        # Where there is an upper arm, the joint called shoulder is the collar.
        for name in (_UPPER_ARM, _SHOULDER):
            for joint in chain[1:]:
                if name.search(skeleton.joint_names[joint]):
                    return joint
        return chain[-3]  # shoulder, elbow, wrist

    has_toes = len(legs[0]) > 4
    return Landmarks(
        head=chains["torso"][-1],
        hips=of_legs(1),
        knees=of_legs(2),
        ankles=of_legs(3),
        toes=of_legs(-1) if has_toes else None,
        shoulders=(shoulder(arms[0]), shoulder(arms[1])),
        ends=of_legs(-1),
    )


def measure(joints: np.ndarray, skeleton: Skeleton) -> Measured:
    """Measures a clip of one person.

    Args:
      joints: [T, J, 3] finite numbers in any unit, T >= 1.
      skeleton: the J joints, three-dimensional.
    """
    joints = np.asarray(joints, np.float64)
    step = np.abs(np.diff(joints, axis=0)).max((1, 2))
    empty = empty_frames(joints)
    speed = np.linalg.norm(np.diff(joints, axis=0), axis=-1).max(-1)
    body = joints[~empty] if not empty.all() else joints
    up, upright = _up(body, skeleton)
    marks = landmarks(skeleton)
    hips, knees = (body[:, list(pair)].mean(1) for pair in (marks.hips, marks.knees))
    across = across_body(body, skeleton)
    lowest = float(body[..., 1].min())
    size = _size(body, skeleton)
    pelvis = np.quantile(body[:, 0, 1], 0.95) - lowest
    return Measured(
        **size,
        up=up,
        upright=upright,
        kneeling=float((_unit(hips - knees)[:, 1] > _UPRIGHT).mean()),
        toes=landmarks(skeleton).toes is not None,
        forwards=_forwards(body, skeleton, across, np.array(AXES[up or "y"])),
        lowest=lowest,
        resting=abs(lowest) < _RESTING * size["height"] / 1.6 and pelvis < 0.3 * size["height"],
        origin=float(np.linalg.norm(body[0, 0, [0, 2]])),
        facing=facing_of(across[0]),
        repeated=_longest_run(step == 0) / max(len(step), 1),
        empty=float(empty.mean()),
        speed=float(np.median(speed)) if len(speed) else 0.0,
    )


def empty_frames(joints: np.ndarray) -> np.ndarray:
    """Which frames [T] of joints [T, J, 3] have all joints at one point: nobody was tracked."""
    return (np.ptp(joints, axis=1) == 0).all(-1)


def _longest_run(flags: np.ndarray) -> int:
    """Length of the longest run of True in flags [T]."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(int), [0]])))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def _size(body: np.ndarray, skeleton: Skeleton) -> dict[str, float]:
    """Measurements of bones and extent; see `Measured`."""
    bones = np.array(skeleton.bones)
    lengths = np.linalg.norm(body[:, bones[:, 1]] - body[:, bones[:, 0]], axis=-1)
    usual = np.median(lengths, axis=0)
    of_joint = np.zeros(skeleton.num_joints)  # length of the bone that ends in a joint
    of_joint[bones[:, 1]] = usual
    chains = dict(zip(skeleton.chain_names, skeleton.chains, strict=True))
    legs = [of_joint[list(chains[side][1:])].sum() for side in ("left_leg", "right_leg")]
    # Bones, not distances within a chain: a chain may start beside its parent joint.
    height = float(np.mean(legs) + of_joint[list(chains["torso"][1:])].sum())
    mean = lengths.mean(0)
    variation = lengths.std(0) / np.where(mean > 0, mean, 1)
    twins = of_joint[list(skeleton.mirror)]
    long = np.maximum(of_joint, twins) > 0.05 * height  # relative errors of short bones are large
    ratio = np.maximum(of_joint, twins) / np.maximum(np.minimum(of_joint, twins), 1e-12)
    extent = np.linalg.norm(np.ptp(body, axis=1), axis=-1)
    safe = height or 1.0
    return {
        "height": height,
        "spread": float(np.quantile(extent, 0.9)) / safe,
        "longest_bone": float(usual.max()) / safe,
        "bone_variation": float(variation.max()),
        "typical_variation": float(np.median(variation)),
        "asymmetry": float(ratio[long].max()) if long.any() else np.inf,
    }


def _up(body: np.ndarray, skeleton: Skeleton) -> tuple[str | None, float]:
    """The axis along which the body stands, or None; and the share of frames upright along +Y."""
    marks = landmarks(skeleton)
    towards_head = _unit(body[:, marks.head] - body[:, list(marks.ends)].mean(1))
    upright = float((towards_head[:, 1] > _UPRIGHT).mean())
    along = {name: towards_head @ np.array(axis) for name, axis in AXES.items()}
    name = max(along, key=lambda name: float(along[name].mean()))
    stands = (along[name] > 0.7).mean() >= _FRAMES
    return (name if stands else None), upright


def across_body(body: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """From the right to the left side [T, 3]: hips and shoulders, as HumanML3D computes facing."""
    marks = landmarks(skeleton)
    (left_hip, right_hip), (left_arm, right_arm) = marks.hips, marks.shoulders
    return body[:, left_hip] - body[:, right_hip] + body[:, left_arm] - body[:, right_arm]


def facing_of(across: np.ndarray) -> float:
    """Degrees from +Z towards +X of the facing direction, for a vector to the left side [3]."""
    x, _, z = np.cross(across, AXES["y"])
    return float(np.degrees(np.arctan2(x, z)))


def _forwards(body: np.ndarray, skeleton: Skeleton, across: np.ndarray, up: np.ndarray) -> float:
    """Cosine of toes and bent knees with the facing direction, weighted by their lengths."""
    marks = landmarks(skeleton)
    facing = _unit(np.cross(across, up))
    along = total = 0.0
    for side in range(2):
        hip, knee, ankle = (
            body[:, joints[side]] for joints in (marks.hips, marks.knees, marks.ankles)
        )
        thigh_to_ankle = _unit(ankle - hip)
        bend = knee - hip
        bend = bend - (bend * thigh_to_ankle).sum(-1, keepdims=True) * thigh_to_ankle
        vectors = [bend]
        if marks.toes is not None:
            vectors.append(body[:, marks.toes[side]] - ankle)
        for vector in vectors:
            level = vector - (vector @ up)[:, None] * up
            along += float((level * facing).sum())
            total += float(np.linalg.norm(level, axis=-1).sum())
    return along / total if total else 0.0


def _unit(vectors: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(norms > 0, norms, 1)
