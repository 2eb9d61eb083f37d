"""A clip of the built-in dataset as a viewer sees it, from the joints alone."""

import numpy as np

from data_prep.readers.synthetic.body import SIDES, SIGN
from motionalign.skeleton import SKELETONS

JOINT = {name: i for i, name in enumerate(SKELETONS["smpl22"].joint_names)}


def angle(a, b):
    """[T] degrees between two vectors [T, 3]."""
    cosine = (a * b).sum(-1) / (np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1))
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def bouts(active) -> int:
    """How many times a condition over the frames becomes true."""
    return int((np.diff(np.concatenate([[0], active.astype(int)])) == 1).sum())


class Seen:
    """A clip as a viewer sees it: places relative to the first or the current heading."""

    def __init__(self, joints):
        self.joints = joints.astype(float)
        across = self.at("left_hip") - self.at("right_hip")
        self.heading = np.unwrap(np.arctan2(-across[:, 2], across[:, 0]))

    def at(self, joint):
        return self.joints[:, JOINT[joint]]

    def up(self, joint):
        return self.at(joint)[:, 1]

    def _along(self, joint, origin, direction):
        sin, cos = np.sin(self.heading), np.cos(self.heading)
        axis = {"ahead": (sin, cos), "left": (cos, -sin)}[direction]
        place = self.at(joint) - self.at(origin)
        return place[:, 0] * axis[0] + place[:, 2] * axis[1]

    def ahead(self, joint, origin):
        return self._along(joint, origin, "ahead")

    def left(self, joint, origin):
        return self._along(joint, origin, "left")

    @property
    def moved(self):
        """(ahead, left) of the pelvis over the clip, seen from the first heading."""
        x, z = (self.joints[-1, 0] - self.joints[0, 0])[[0, 2]]
        sin, cos = np.sin(self.heading[0]), np.cos(self.heading[0])
        return x * sin + z * cos, x * cos - z * sin

    def shift(self, joint):
        """[T] (ahead, left) of a joint from where it was first, seen from the first heading."""
        x, _, z = (self.at(joint) - self.at(joint)[0]).T
        sin, cos = np.sin(self.heading[0]), np.cos(self.heading[0])
        return x * sin + z * cos, x * cos - z * sin

    @property
    def turned(self):
        return np.degrees(self.heading[-1] - self.heading[0])

    @property
    def steps(self):
        return sum(bouts(self.up(f"{side}_foot") > 0.03) for side in SIDES)

    @property
    def lower_foot(self):
        return np.minimum(self.up("left_foot"), self.up("right_foot"))

    @property
    def jumps(self):
        return bouts(self.lower_foot > 0.02)

    @property
    def runs(self):
        """Whether both feet leave the ground at once, be it for one frame."""
        return self.lower_foot.max() > 0.003

    def lean(self):
        """[T] degrees of the trunk from upright."""
        trunk = self.at("neck") - self.at("pelvis")
        return angle(trunk, np.asarray([0.0, 1.0, 0.0]))

    def twist(self):
        """[T] degrees of the shoulders to the left of the hips."""
        across = self.at("left_shoulder") - self.at("right_shoulder")
        angle = np.arctan2(-across[:, 2], across[:, 0]) - self.heading
        return np.degrees((angle + np.pi) % (2 * np.pi) - np.pi)

    def stretch(self, side):
        """[T] distance of a wrist from its shoulder."""
        return np.linalg.norm(self.at(f"{side}_wrist") - self.at(f"{side}_shoulder"), axis=1)

    def hands_apart(self):
        return np.linalg.norm(self.at("left_wrist") - self.at("right_wrist"), axis=1)

    def arm_travel(self, side):
        return np.ptp(self.at(f"{side}_wrist") - self.at(f"{side}_shoulder"), axis=0).sum()

    def apart(self, joint, other, frames):
        """Mean distance of two joints over some frames."""
        return np.linalg.norm((self.at(joint) - self.at(other))[frames], axis=1).mean()

    def arm(self, side, frames):
        """What one arm does over some frames; "" where nothing has a name."""
        wrist, elbow, shoulder = (f"{side}_{name}" for name in ("wrist", "elbow", "shoulder"))
        up = (self.up(wrist) - self.up(shoulder))[frames].mean()
        ahead = self.ahead(wrist, shoulder)[frames].mean()
        out = self.left(wrist, shoulder)[frames].mean() * SIGN[side]
        elbow_out = self.left(elbow, shoulder)[frames].mean() * SIGN[side]
        inside = -self.left(wrist, "spine3")[frames].mean() * SIGN[side]
        straight = self.stretch(side)[frames].mean() > 0.43
        from_head = self.apart(wrist, "head", frames)
        if from_head < 0.19:
            return "head" if elbow_out > 0.12 else "face"
        if from_head < 0.29 and elbow_out > 0.18:
            return "salute"
        if straight and out > 0.4:
            return "out"
        if elbow_out > 0.2 and (self.up(wrist) - self.up(elbow))[frames].mean() > 0.2:
            return "flexed"
        if straight and up > 0.28:
            return "overhead"
        if straight and ahead < -0.2:
            return "back"
        if not straight and self.apart(wrist, f"{side}_hip", frames) < 0.32:
            return "hips"
        if not straight and inside > 0:
            return "folded"
        if self.apart(wrist, f"{side}_knee", frames) < 0.36:
            return "knees"
        if straight and ahead > 0.43 and abs(up) < 0.2:
            return "front"
        return "down" if up < -0.2 else ""

    def arms(self, frames):
        """What both arms do alike; "" where they differ."""
        left, right = (self.arm(side, frames) for side in SIDES)
        return left if left == right else ""
