"""Motions and bodies made by hand, so that their tests need neither a format nor a finder."""

import numpy as np

from motionalign.anatomy import Body, Point
from motionalign.formats.motion import Motion
from motionalign.skeleton import PARTS, SKELETONS

# The roles of the joints of a skeleton, where its names do not say them.
_ROLES = {
    "smpl22": {"spine3": "chest"},
    "kinect20": {"hip_center": "pelvis", "shoulder_center": "neck"},
    "sbu15": {"torso": "pelvis"},
    "bandai": {
        "Hips": "pelvis", "Chest": "chest", "Neck": "neck", "Head": "head",
        **{
            f"{name}_{letter}": f"{side}_{role}"
            for letter, side in (("L", "left"), ("R", "right"))
            for name, role in {
                "Shoulder": "collar", "UpperArm": "shoulder", "LowerArm": "elbow",
                "Hand": "wrist", "UpperLeg": "hip", "LowerLeg": "knee", "Foot": "ankle",
                "Toes": "foot",
            }.items()
        },
    },
}  # fmt: skip

_SIDED = {f"{side}_{part}" for side in ("left", "right") for part in
          "collar shoulder elbow wrist hand hip knee ankle foot toe".split()}  # fmt: skip
_MIDDLE = {"pelvis", "chest", "neck", "head", "head_end"}

BANDAI_CHAINS = {
    "right_leg": "Hips UpperLeg_R LowerLeg_R Foot_R Toes_R",
    "left_leg": "Hips UpperLeg_L LowerLeg_L Foot_L Toes_L",
    "torso": "Hips Spine Chest Neck Head",
    "right_arm": "Chest Shoulder_R UpperArm_R LowerArm_R Hand_R",
    "left_arm": "Chest Shoulder_L UpperArm_L LowerArm_L Hand_L",
}


def motion(joints, names, parents=None, fps=20.0, **fields):
    """A motion of joints [T, (M,) J, 3]."""
    joints = np.asarray(joints, np.float64)
    joints = joints[:, None] if joints.ndim == 3 else joints
    fields.setdefault("persons", ("",) * joints.shape[1])
    return Motion("take", "test", tuple(names), parents, joints, fps, **fields)


def body(names, parents, chains, roles, unit=1.0, up="y", convention="Test"):
    """A body whose points are joints of the file: `names` in order, the root first.

    Args:
      names: of the file's joints; those in no chain are left out.
      parents: of the file's joints.
      chains: {part: names}.
      roles: {name: role}.
      unit, up, convention: of the body.
    """
    used = {name for chain in chains.values() for name in chain}
    kept = [i for i, name in enumerate(names) if name in used]
    points = []
    for joint in kept:
        parent = parents[joint]
        points.append(Point(
            names[joint],
            ((joint, 1.0),),
            kept.index(parent) if parent in kept else -1,
            roles.get(names[joint]),
        ))  # fmt: skip
    index = {point.name: i for i, point in enumerate(points)}
    return Body(
        kind="human",
        why="made by hand",
        convention=convention,
        points=tuple(points),
        chains={part: tuple(index[name] for name in chains[part]) for part in PARTS},
        unit_in_metres=unit,
        up=up,
    )


def body_of(skeleton, unit=1.0, up="y"):
    """The body of one of our skeletons."""
    skeleton = SKELETONS[skeleton]
    roles = {name: name for name in skeleton.joint_names if name in _SIDED | _MIDDLE}
    roles |= _ROLES.get(skeleton.name, {})
    chains = {
        part: [skeleton.joint_names[joint] for joint in chain]
        for part, chain in zip(skeleton.chain_names, skeleton.chains, strict=True)
    }
    return body(skeleton.joint_names, skeleton.parents, chains, roles, unit, up, skeleton.name)


def bandai_body(names, parents):
    """The body of a BVH file of Bandai Namco's dataset 2, in centimetres."""
    chains = {part: chain.split() for part, chain in BANDAI_CHAINS.items()}
    return body(names, parents, chains, _ROLES["bandai"], 0.01, "y", "Bandai Namco")
