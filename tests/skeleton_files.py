"""Writes .skeleton files of NTU RGB+D, and files of their layout with other joints."""

import numpy as np
from bodies import body

from motionalign.skeleton import SKELETONS

KINECT = tuple(
    "spine_base spine_mid neck head left_shoulder left_elbow left_wrist left_hand right_shoulder "
    "right_elbow right_wrist right_hand left_hip left_knee left_ankle left_foot right_hip "
    "right_knee right_ankle right_foot spine_shoulder left_hand_tip left_thumb right_hand_tip "
    "right_thumb".split()
)
"""The joints of ntu25 in the order of the files, written down by hand."""


def person(frames, seed=0, at=(0.0, 0.0, 3.0), skeleton="ntu25"):
    """Joints [T, J, 3] of a standing body in the order of the files, facing the camera."""
    joints = body(frames, skeleton, seed).astype(np.float64) * [-1, 1, -1] + at
    if skeleton == "ntu25":
        joints = joints[:, [SKELETONS[skeleton].joint_names.index(name) for name in KINECT]]
    return joints.round(6)


def write(path, frames, state=2):
    """Writes frames, each a list of (tracking id, [J, 3]).

    `state` is that of all joints: 2 tracked, 1 inferred, 0 not tracked.
    """
    lines = [str(len(frames))]
    for frame in frames:
        lines.append(str(len(frame)))
        for name, joints in frame:
            lines += [f"{name} 0 1 1 1 1 0 -0.1159187 0.1413209 2", str(len(joints))]
            rest = f"276.0976 190.0662 1032.328 514.0889 -0.17 0.042 0.97 -0.156 {state}"
            lines += [f"{x!r} {y!r} {z!r} {rest}" for x, y, z in np.asarray(joints).tolist()]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\r\n".join([*lines, ""]), newline="")


def alone(path, frames=20, seed=0, **options):
    """Writes a clip of one person and returns its joints."""
    joints = person(frames, seed, **options)
    write(path, [[("72057594037931648", pose)] for pose in joints])
    return joints
