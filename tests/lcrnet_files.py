"""Writes JSON files with the poses of LCR-Net, as Toyota Smarthome has them."""

import json

import numpy as np


def detection(pose, **more):
    """A detection with joints [13, 3] as in `JOINT_NAMES`."""
    values = np.asarray(pose, float).T.ravel().tolist()
    return {"pose2d": values[:26], "pose3d": values, "cumscore": 7.5, **more}


def write(path, frames, **more):
    """Writes frames, each a list of joints [13, 3]."""
    content = {"njts": 13, "frames": [[detection(pose) for pose in frame] for frame in frames]}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content | more))
    return path
