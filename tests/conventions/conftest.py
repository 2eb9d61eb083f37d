"""Real clips of several sensors, as (skeleton, sensor, clips)."""

import numpy as np
import pytest

from motionalign.skeleton import SKELETONS

# The joints of the labelled sets by our names, where lower case and order of words do not give it.
_SETS = {"nw_ucla": "kinect20", "utd_mhad": "kinect20", "sbu_interaction": "sbu15"}


def our_name(name):
    """HipCenter to hip_center, ShoulderLeft to left_shoulder, LHip to left_hip."""
    for side, (word, letter) in {"left": ("Left", "L"), "right": ("Right", "R")}.items():
        if name.endswith(word):
            return f"{side}_{name.removesuffix(word).lower()}"
        if name[0] == letter and name[1].isupper():
            return f"{side}_{name[1:].lower()}"
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).strip("_")


@pytest.fixture(scope="session", params=_SETS)
def labelled(request, test_data):
    """A set of depth-camera clips: (skeleton, [clip])."""
    skeleton = SKELETONS[_SETS[request.param]]
    with np.load(test_data / "actions" / f"{request.param}.npz", allow_pickle=False) as file:
        names = [our_name(name) for name in file["joint_names"].tolist()]
        order = [names.index(name) for name in skeleton.joint_names]
        joints = file["positions_int16"][:, :, order] * file["scale"].astype(np.float32)
        ends = np.cumsum(file["lengths"])
        spans = list(zip(ends - file["lengths"], ends))
    persons = range(joints.shape[1])
    return skeleton, [joints[start:end, person] for start, end in spans for person in persons]


@pytest.fixture(scope="session")
def mocap(mocap_folder):
    """The 2,902 real mocap clips {name: joints}."""
    return {path.stem: np.load(path) for path in sorted(mocap_folder.glob("new_joints/*.npy"))}
