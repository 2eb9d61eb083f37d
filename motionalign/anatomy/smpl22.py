"""SMPL's 22 joints from any human skeleton.

Joints that a skeleton has are taken as they are. Others are placed between or beyond these, at the
proportions of SMPL's mean body, and are named as virtual.
"""

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np

from motionalign.anatomy.body import SIDES, Body
from motionalign.anatomy.points import Points, points
from motionalign.formats.motion import Motion
from motionalign.skeleton import SKELETONS

NAMES = SKELETONS["smpl22"].joint_names

# Shares of the way along the spine, from the lengths of SMPL's mean body in centimetres: pelvis,
# 13, spine1, 14, spine2, 6, spine3, 21, neck, 10, head. Rounded; the choice is ours.
_SPINE = {"pelvis": 0.0, "spine1": 13.0, "spine2": 27.0, "spine3": 33.0, "neck": 54.0, "head": 64.0}

# All that follow are ours, too: proportions of SMPL's mean body, rounded.
_HEAD_OF_SKULL = 0.4  # of the way from the neck to the top of the skull
_COLLAR = {"spine3": 0.3, "neck": 0.34, "shoulder": 0.36}
_ANKLE_TO_TOE = 0.7  # of the way from the ankle to the tip of the toes
_KNEE_TO_FOOT = 0.9  # of the way from the knee to the ball of the foot
_ELBOW_TO_HAND = 0.8  # of the way from the elbow to the middle of the hand
_PELVIS = 0.11  # above the middle of the hips, over the length of a leg

# Found on files of many makers: in none, a pelvis is higher above the hips than 0.18 of a leg, and
# joints in which the arms part are the chest from 0.56 of the way from pelvis to neck on.
_HIGHEST_PELVIS = 0.22
_LOWEST_CHEST = 0.5
_SHOULDERS_ABOVE_CHEST = 0.05  # over the distance of pelvis and chest; SMPL's are at 0.4

_FOOT = (0.27, -0.1)  # forwards and along the shin towards the knee, over the shin's length


@dataclasses.dataclass(frozen=True)
class Smpl22:
    """SMPL's 22 joints of a motion.

    Attributes:
      joints: [T, M, 22, 3] float32, metres, Y up, in the order of `SKELETONS["smpl22"]`; all
        joints of an absent person are 0.
      virtual: the joints that the skeleton does not have, interpolated or extrapolated.
      points: the points that they were made of, with what was filled, cut and left out.
    """

    joints: np.ndarray
    virtual: tuple[str, ...]
    points: Points


def smpl22(motion: Motion, body: Body, found: Points | None = None) -> Smpl22:
    """SMPL's 22 joints of a motion, at its own frame rate and where it is in space.

    Limbs are taken by their roles. The joints of the spine between pelvis and chest are spread over
    SMPL's three: of two joints with the chest, Spine and Chest, spine1 is the first, spine2 the
    middle between them, and spine3 the second. Feet without toes point forwards of the shin.

    Args:
      motion: the motion, three-dimensional.
      body: what was found in it.
      found: its points, if they are known already.

    Raises:
      ValueError: the joints cannot be made, as those of a body without legs, or as `points`.
    """
    if motion.dims == 2:
        raise ValueError(
            f"{motion.name}: its positions are those of an image, without depth, and SMPL's joints "
            "are three-dimensional; a model of 2D keypoints can use them"
        )
    found = points(motion, body) if found is None else found
    maker = _Maker(motion.name, body, found)
    weights = maker.weights()
    there = found.present[..., None, None]
    known = np.where(there, found.joints, 0)
    joints = weights @ known
    for side in SIDES:
        if f"{side}_foot" in maker.forwards:
            joints[:, :, NAMES.index(f"{side}_foot")] = _foot(joints, side)
    joints = np.where(there, joints, 0).astype(np.float32)
    return Smpl22(joints, tuple(name for name in NAMES if name in maker.virtual), found)


def _foot(joints: np.ndarray, side: str) -> np.ndarray:
    """The ball of a foot that is at right angles with the shin, [T, M, 3].

    The knee's axis is about that of the hips, so that forwards of the shin is at right angles with
    both.
    """
    at = {name: joints[:, :, index] for index, name in enumerate(NAMES)}
    shin = at[f"{side}_knee"] - at[f"{side}_ankle"]
    length = np.linalg.norm(shin, axis=-1, keepdims=True)
    forwards = np.cross(at["left_hip"] - at["right_hip"], shin)
    norm = np.linalg.norm(forwards, axis=-1, keepdims=True)
    forwards = forwards / np.where(norm > 0, norm, 1)
    return at[f"{side}_ankle"] + _FOOT[0] * length * forwards + _FOOT[1] * shin


class _Maker:
    """Makes the joints of a body as weights of its points, and notes which are virtual.

    Attributes:
      virtual: names of the joints made so far that the body does not have.
      forwards: those of them that are to be placed forwards of the shin.
    """

    def __init__(self, name: str, body: Body, found: Points) -> None:
        """`name`: of the take, for messages."""
        self._name, self._body = name, body
        self._eye = np.eye(len(body.points))
        self._roles = _roles(body, found)
        self._trunk = list(body.chains["torso"])
        if "pelvis" in self._roles or "pelvis" not in body.roles:
            del self._trunk[0]  # the pelvis
        self.virtual: set[str] = set()
        self.forwards: set[str] = set()
        self._poses = found.joints[found.present]

    def weights(self) -> np.ndarray:
        """[22, P]: each joint's weights of the body's points."""
        made: dict[str, np.ndarray] = {}
        for side in SIDES:
            made |= self._limbs(side)
        made["pelvis"] = self._pelvis(made)
        made |= self._spine(made)
        for side in SIDES:
            name = f"{side}_collar"
            near = {**made, "shoulder": made[f"{side}_shoulder"]}
            middle = np.sum([share * near[part] for part, share in _COLLAR.items()], axis=0)
            collar = self._role(name)
            made[name] = self._virtual(name, middle) if collar is None else collar
        return np.stack([made[name] for name in NAMES])

    def _role(self, name: str) -> np.ndarray | None:
        return self._eye[self._roles[name]] if name in self._roles else None

    def _virtual(self, name: str, weights: np.ndarray) -> np.ndarray:
        self.virtual.add(name)
        return weights

    def _need(self, name: str, instead: str = "") -> np.ndarray:
        """The weights of a role without which nothing can be made."""
        found = self._role(name)
        if found is None:
            what = name.replace("_", " ") + (f" (or {instead})" if instead else "")
            raise ValueError(
                f"{self._name}: SMPL's joints need a {what}, and the skeleton "
                f"({self._body.convention}) has none. If one of its joints is it, say so in a "
                f'skeleton file ("roles": {{"{name}": "NAME"}}) and name that by '
                "--skeleton=FILE.json"
            )
        return found

    def _limbs(self, side: str) -> dict[str, np.ndarray]:
        """The joints of an arm and a leg, without the collar."""
        names = ("hip", "knee", "shoulder", "elbow")
        made = {f"{side}_{name}": self._need(f"{side}_{name}") for name in names}
        for end, beyond, before, share in (
            ("ankle", "foot", "knee", _KNEE_TO_FOOT),
            ("wrist", "hand", "elbow", _ELBOW_TO_HAND),
        ):
            name, last = f"{side}_{end}", self._role(f"{side}_{beyond}")
            if name in self._roles or last is None:
                made[name] = self._need(name, f"a {beyond}")
            else:
                start = made[f"{side}_{before}"]
                made[name] = self._virtual(name, start + share * (last - start))
        foot, toe, ankle = self._role(f"{side}_foot"), self._role(f"{side}_toe"), f"{side}_ankle"
        if foot is None:
            self.virtual.add(f"{side}_foot")
            if toe is None:
                self.forwards.add(f"{side}_foot")
                foot = made[ankle]
            else:
                foot = made[ankle] + _ANKLE_TO_TOE * (toe - made[ankle])
        made[f"{side}_foot"] = foot
        return made

    def _pelvis(self, made: dict[str, np.ndarray]) -> np.ndarray:
        pelvis = self._role("pelvis")
        if pelvis is not None:
            return pelvis
        hips = (made["left_hip"] + made["right_hip"]) / 2
        root = self._eye[0]
        share = min(1.0, _PELVIS * self._leg(made) / max(self._length(root - hips), 1e-9))
        return self._virtual("pelvis", hips + share * (root - hips))

    def _leg(self, made: dict[str, np.ndarray]) -> float:
        return sum(
            self._length(made[f"left_{end}"] - made[f"left_{start}"])
            for start, end in (("hip", "knee"), ("knee", "ankle"))
        )

    def _spine(self, made: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """spine1, spine2, spine3, neck and head."""
        chest, neck, head = (self._role(role) for role in ("chest", "neck", "head"))
        if neck is None and head is None:
            middle = (made["left_shoulder"] + made["right_shoulder"]) / 2
            neck = self._virtual("neck", middle)
        end = "spine3" if chest is not None else "neck" if neck is not None else "head"
        last = next(each for each in (chest, neck, head) if each is not None)
        below = self._between({"spine3": "chest"}.get(end, end))
        if chest is not None and below:
            out = self._spread([*below, chest])
        elif chest is None and len(below) >= 3:
            out = self._spread(below)
        else:
            out = self._placed([made["pelvis"], *below, last], end)
            if chest is not None:
                out["spine3"] = chest
        if neck is None:
            assert head is not None  # or the neck is between the shoulders
            share = _share("spine3", "neck", "head")
            neck = self._virtual("neck", out["spine3"] + share * (head - out["spine3"]))
        if head is None:
            head = self._virtual("head", self._head(made["pelvis"], neck))
        return out | {"neck": neck, "head": head}

    def _head(self, pelvis: np.ndarray, neck: np.ndarray) -> np.ndarray:
        """The head of a body without one."""
        skull = self._role("head_end")
        if skull is not None:
            return neck + _HEAD_OF_SKULL * (skull - neck)
        return pelvis + _share("pelvis", "head", "neck") * (neck - pelvis)

    def _spread(self, line: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """SMPL's three joints of the spine, spread evenly over those of a line up to the chest."""
        out = {}
        places = np.linspace(0, len(line) - 1, 3)
        for name, where in zip(("spine1", "spine2", "spine3"), places, strict=True):
            left, right = int(np.floor(where)), int(np.ceil(where))
            weights = line[left] + (where - left) * (line[right] - line[left])
            out[name] = weights if left == right else self._virtual(name, weights)
        return out

    def _placed(self, line: Sequence[np.ndarray], end: str) -> dict[str, np.ndarray]:
        """The same by SMPL's proportions, along a line from the pelvis to a joint of SMPL's."""
        names = [name for name in ("spine1", "spine2", "spine3") if name != end]
        return {
            name: self._virtual(name, self._along(line, _share("pelvis", name, end)))
            for name in names
        }

    def _between(self, top: str) -> list[np.ndarray]:
        """The points without a role in the torso's chain, from its start to the role `top`."""
        end = self._trunk.index(self._roles[top]) if self._roles.get(top) in self._trunk else 0
        known = set(self._roles.values())
        return [self._eye[point] for point in self._trunk[:end] if point not in known]

    def _along(self, rows: Sequence[np.ndarray], share: float) -> np.ndarray:
        """The weights at a share of the length of a line through points."""
        lengths = [self._length(b - a) for a, b in itertools.pairwise(rows)]
        ends = np.cumsum([0.0, *lengths])
        where = np.interp(share * ends[-1], ends, np.arange(len(rows)))
        left = min(int(where), len(rows) - 2)
        return rows[left] + (where - left) * (rows[left + 1] - rows[left])

    def _length(self, bone: np.ndarray) -> float:
        """The usual length in metres of the difference of two points."""
        return _usual(bone @ self._poses)


def _usual(vectors: np.ndarray) -> float:
    """The median length of vectors [N, 3]."""
    return float(np.median(np.linalg.norm(vectors, axis=-1)))


def _roles(body: Body, found: Points) -> dict[str, int]:
    """The roles of the points as SMPL's joints have them, by where the points are.

    Some skeletons have a joint in the middle of the trunk as their root (OpenNI), one in which the
    arms part at the base of the neck (the first Kinect), or just above the pelvis (Biovision).
    """
    roles = body.roles
    if not {"pelvis", "left_hip", "right_hip", "left_knee", "left_ankle"} <= roles.keys():
        return roles
    poses = found.joints[found.present]

    def middle(name: str) -> np.ndarray:
        return (poses[:, roles[f"left_{name}"]] + poses[:, roles[f"right_{name}"]]) / 2

    pelvis, hips = poses[:, roles["pelvis"]], middle("hip")
    knee, ankle = poses[:, roles["left_knee"]], poses[:, roles["left_ankle"]]
    leg = _usual(knee - poses[:, roles["left_hip"]]) + _usual(ankle - knee)
    if _usual(pelvis - hips) > _HIGHEST_PELVIS * leg:
        del roles["pelvis"]
    if "chest" not in roles or not {"left_shoulder", "right_shoulder"} <= roles.keys():
        return roles
    chest = poses[:, roles["chest"]]
    trunk = _usual(chest - hips)
    along = ((middle("shoulder") - chest) * (chest - hips)).sum(-1)
    if "neck" not in roles and np.median(along) < _SHOULDERS_ABOVE_CHEST * trunk**2:
        roles["neck"] = roles.pop("chest")
        return roles
    top = "neck" if "neck" in roles else "head"
    if top in roles and "pelvis" in roles:
        below, above = _usual(chest - pelvis), _usual(poses[:, roles[top]] - chest)
        if below < _LOWEST_CHEST * (below + above) * _share("pelvis", "neck", top):
            del roles["chest"]
    return roles


def _share(start: str, middle: str, end: str) -> float:
    """How far `middle` is on the way along the spine from `start` to `end`."""
    return (_SPINE[middle] - _SPINE[start]) / (_SPINE[end] - _SPINE[start])
