"""The roles of joints by the tree and the pose alone, whatever the joints are called.

A body has two pairs of equal limbs. Legs meet in the pelvis, arms in the chest, from which neck and
head go on. A limb's two longest bones that follow each other are thigh and shin, or upper arm and
forearm. Left and right are told by where the feet point.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from motionalign.anatomy.body import SIDES
from motionalign.anatomy.rig import Rig

_EVEN = 1.25  # ratio of two bones, at most, that are twins
_ADJACENT = 2.0  # ratio of thigh and shin, or of upper arm and forearm, at most
_SHORTEST = 0.15  # of the rig's size: two bones that are a limb
_MOST = 64  # branches of a joint, and pairs of limbs, that are looked at; a body has fewer
_STRAIGHT = 0.999  # cosine at a joint that does not bend
_PIECES = 1.5  # length of whole bones over that of their pieces, at least
_SKULL = 1.5  # from the head to its top, over the bone before
_LEGS = 0.4  # of the way from pelvis to head, at least, that legs are long; a child's are 0.8
_BENT = 0.02  # sideways way of the knees, over the leg's length, that tells where a body faces


class Found(NamedTuple):
    """What the tree says.

    Attributes:
      roles: {role: joint}; empty if the tree is not that of a body.
      why: what was found, or what is missing.
      notes: what was assumed.
    """

    roles: dict[str, int]
    why: str
    notes: tuple[str, ...] = ()


class _Limb(NamedTuple):
    """A branch with two long bones.

    Attributes:
      path: the joints from the one below the branching outwards.
      start: index in `path` of the joint where the first long bone starts.
      bones: the lengths of the two long bones.
    """

    path: tuple[int, ...]
    start: int
    bones: tuple[float, float]

    def joint(self, place: int) -> int:
        """The start of the first long bone, its end, and the end of the second: 0, 1 and 2."""
        return self.path[self.start + place]


class _Pair(NamedTuple):
    """Two equal limbs of one joint."""

    branching: int
    limbs: tuple[_Limb, _Limb]

    @property
    def length(self) -> float:
        """Of both bones, the mean of both sides."""
        return sum(sum(limb.bones) for limb in self.limbs) / 2


def by_tree(rig: Rig, named: Sequence[str] = ()) -> Found:
    """Finds the roles of joints by the tree and the pose.

    Args:
      rig: the joints.
      named: the sides, "left", "right" or "", that names give the joints, which go before the pose.
    """
    if rig.parents is None:
        return Found({}, "there is none")
    pairs = _pairs(rig)
    if len(pairs) < 2:
        count = "one pair" if pairs else "no pair"
        return Found({}, f"it has {count} of equal limbs, where a body has two")
    if (bodies := _many(pairs)) > 3:
        return Found({}, f"it has {bodies} pairs of equal limbs, where a body has two")
    for first, second in itertools.combinations(pairs, 2):
        if first.branching != second.branching and _apart(rig, first, second):
            break
    else:
        return Found({}, "its pairs of equal limbs do not part from a spine")
    legs, arms = _legs_first(rig, first, second)
    roles = {"pelvis": legs.branching, "chest": arms.branching}
    for role, joint in head_above(rig, arms.branching, _further(rig, arms, legs)).items():
        roles[role] = joint
    if "head" not in roles:
        return Found({}, "no head goes on from where the shorter pair of limbs meet")
    trunk = rig.distance(roles["pelvis"], roles["chest"])
    trunk += rig.distance(roles["chest"], roles["head"])
    if legs.length < _LEGS * trunk:
        return Found({}, f"its legs would be {legs.length / trunk:.2g} times as long as its trunk")
    (left_leg, right_leg), notes = _left_by_names(legs, named) or _left_first(rig, legs, arms)
    sides = dict(zip(SIDES, (left_leg, right_leg), strict=True))
    for side, leg in sides.items():
        for place, role in enumerate(("hip", "knee", "ankle")):
            roles[f"{side}_{role}"] = leg.joint(place)
        rest = [
            joint
            for above, joint in itertools.pairwise(leg.path[leg.start + 2 :])
            if not rig.together(above, joint)
        ]
        roles |= {f"{side}_{role}": joint for role, joint in zip(("foot", "toe"), rest)}
    for side, arm in zip(SIDES, _arms(rig, roles, arms), strict=True):
        for place, role in enumerate(("shoulder", "elbow", "wrist")):
            roles[f"{side}_{role}"] = arm.joint(place)
        collars = [
            joint for joint in arm.path[: arm.start] if not rig.together(joint, arms.branching)
        ]
        if collars:
            roles[f"{side}_collar"] = collars[0]
    return Found(roles, "two pairs of equal limbs part from a spine", notes)


def _pairs(rig: Rig) -> list[_Pair]:
    """The pairs of equal limbs, the longest first."""
    assert rig.parents is not None
    found = []
    for joint in range(len(rig.names)):
        if joint and rig.parents[joint] >= 0 and rig.together(joint, rig.parents[joint]):
            continue  # of joints at one place the first is taken
        children = _children(rig, joint)
        if not 2 <= len(children) <= _MOST:
            continue
        limbs = [limb for child in children if (limb := _limb(rig, joint, child, children))]
        for limb, other in itertools.combinations(limbs, 2):
            if all(
                max(bones) <= _EVEN * min(bones)
                for bones in zip(limb.bones, other.bones, strict=True)
            ):
                found.append(_Pair(joint, (limb, other)))
    return sorted(found, key=lambda pair: -pair.length)[:_MOST]


def _many(pairs: Sequence[_Pair]) -> int:
    """How many pairs of long limbs there are of which no two share a joint: those of all bodies.

    A pair whose limbs hold the joints of other pairs is of bodies, not of limbs.
    """
    long = [pair for pair in pairs if pair.length > pairs[0].length / 2]
    branchings = {pair.branching for pair in long}
    seen: set[int] = set()
    count = 0
    for pair in long:
        joints = {joint for limb in pair.limbs for joint in limb.path}
        if not joints & branchings and not joints & seen:
            count += 1
            seen |= joints
    return count


def _children(rig: Rig, joint: int) -> list[int]:
    """The joints below one, those of joints at the same place included."""
    found, queue = [], list(rig.children[joint])
    for child in queue:
        if rig.together(joint, child):
            queue += rig.children[child]
        else:
            found.append(child)
    return found


def _limb(rig: Rig, branching: int, child: int, children: Sequence[int]) -> _Limb | None:
    """The branch that begins with a child, as a limb; None if it has no two long bones."""
    path = rig.longest(child)
    beside = [branching, *(other for other in children if other != child)]
    limb = _long_bones(rig, path, beside)
    bending = _without_straight(rig, branching, path)
    if len(bending) < len(path):
        # Bones in two pieces, whose inner joint twists and never bends. A knee that is never bent
        # is none: without it, the leg has no two long bones.
        whole = _long_bones(rig, bending, beside)
        if whole and (limb is None or sum(whole.bones) > _PIECES * sum(limb.bones)):
            return whole
    return limb


def _long_bones(rig: Rig, path: Sequence[int], beside: Sequence[int]) -> _Limb | None:
    """The limb of a path with its two long bones; None if there are none.

    Args:
      rig: the joints.
      path: the joints of the branch.
      beside: the joint where it begins, and the first joints of its other branches. No limb starts
        at the place of one of them: two hips, or two shoulders, are not at one place.
    """
    lengths = [rig.distance(a, b) for a, b in itertools.pairwise(path)]
    fits = [
        # Long bones, and of one length: not the way to a shoulder and the bone after it.
        ((first + second) * min(first, second) / max(first, second), start)
        for start, (first, second) in enumerate(itertools.pairwise(lengths))
        if 0 < max(first, second) <= _ADJACENT * min(first, second)
        and first + second >= _SHORTEST * rig.size
    ]
    for _, start in sorted(fits, key=lambda fit: (-fit[0], fit[1])):
        if not any(rig.together(other, path[start]) for other in beside):
            return _Limb(tuple(path), start, (lengths[start], lengths[start + 1]))
    return None


def _without_straight(rig: Rig, branching: int, path: Sequence[int]) -> list[int]:
    """A path without the joints that are on the line between their neighbours in all frames."""
    kept = [branching]
    for joint, following in itertools.pairwise(path):
        cosines = rig.cosines(kept[-1], joint, joint, following)
        if not len(cosines) or cosines.min() < _STRAIGHT:
            kept.append(joint)
    return [*kept[1:], path[-1]]


def _apart(rig: Rig, first: _Pair, second: _Pair) -> bool:
    """Whether no limb of a pair holds the other pair's joint."""
    return not any(
        second.branching in limb.path or first.branching in other.path
        for limb in first.limbs
        for other in second.limbs
    ) and not any(
        set(limb.path) & set(other.path) for limb in first.limbs for other in second.limbs
    )


def _legs_first(rig: Rig, first: _Pair, second: _Pair) -> tuple[_Pair, _Pair]:
    """The pair of legs and the pair of arms, by three signs of which the head counts most."""
    sign = 2.0 * (_has_head(rig, second, first) - _has_head(rig, first, second))
    sign += first.branching in rig.up_to_root(second.branching)
    sign -= second.branching in rig.up_to_root(first.branching)
    sign += 0.5 * (1 if first.length > second.length else -1)
    return (first, second) if sign > 0 else (second, first)


def _has_head(rig: Rig, pair: _Pair, other: _Pair) -> bool:
    """Whether a branch goes on from where two limbs meet that is neither."""
    return bool(_further(rig, pair, other))


def _further(rig: Rig, pair: _Pair, other: _Pair) -> list[int]:
    """The first joints of the branches below a pair's joint, without the limbs and the spine."""
    limbs = {limb.path[0] for limb in pair.limbs}
    towards = set(rig.up_to_root(other.branching))
    return [
        child
        for child in _children(rig, pair.branching)
        if child not in limbs and child not in towards
    ]


def head_above(rig: Rig, chest: int, children: Sequence[int]) -> dict[str, int]:
    """Neck, head and the end of the head; empty if none of the children of the chest leads there.

    Args:
      rig: the joints.
      chest: the joint in which the arms part.
      children: the first joints of the branches in which the head may be.
    """
    ways = [rig.longest(child) for child in children]
    if not ways:
        return {}
    way = max(ways, key=lambda path: _length(rig, (chest, *path)))
    path = [chest]
    end = True  # whether the last joint is only the end of a bone: it has no end at its own place
    for joint in way:
        if rig.together(path[-1], joint):
            end = False
        else:
            end = joint in rig.ends
            path.append(joint)
    hanging = False  # hair, which turns back
    while len(path) > 2 and rig.cosine(path[-3], path[-2], path[-2], path[-1]) < 0:
        path.pop()
        hanging = True
    path = path[1 : len(path) - hanging]
    if not path:
        return {}
    branched = [i for i, joint in enumerate(path) if len(_children(rig, joint)) > 1]
    if branched and not hanging:  # eyes, a jaw
        return _head_roles(path[: branched[0] + 1], None)
    if len(path) > 2 and not end and not hanging:
        neck, skull = (rig.distance(*pair) for pair in (path[-3:-1], path[-2:]))
        end = skull > _SKULL * neck
    if end and len(path) > 1 and not hanging:
        return _head_roles(path[:-1], path[-1])
    return _head_roles(path, None)


def _head_roles(path: Sequence[int], end: int | None) -> dict[str, int]:
    """Neck and head of the joints above the chest, and the end of the head."""
    roles = {"head": path[-1]}
    if len(path) > 1:
        roles["neck"] = path[0]
    return roles if end is None else roles | {"head_end": end}


def _length(rig: Rig, path: Sequence[int]) -> float:
    return sum(rig.distance(a, b) for a, b in itertools.pairwise(path))


def _left_by_names(
    legs: _Pair, named: Sequence[str]
) -> tuple[tuple[_Limb, _Limb], tuple[str, ...]] | None:
    """The left and the right leg as all names in them that give a side say; None: they do not."""
    first, second = (
        {named[joint] for joint in limb.path if joint < len(named)} - {""} for limb in legs.limbs
    )
    if (first, second) == ({"left"}, {"right"}):
        return legs.limbs, ()
    return (legs.limbs[::-1], ()) if (first, second) == ({"right"}, {"left"}) else None


def _left_first(rig: Rig, legs: _Pair, arms: _Pair) -> tuple[tuple[_Limb, _Limb], tuple[str, ...]]:
    """The left and the right leg, and what was assumed about them.

    A body's left is where up turned towards forward by a quarter points, in right-handed axes.
    Forward is where the feet point, or else where the knees bend to.
    """
    first, second = legs.limbs
    hips = [limb.joint(0) for limb in legs.limbs]
    across = rig.frames[:, hips[0]] - rig.frames[:, hips[1]]
    up = _unit(rig.frames[:, arms.branching] - rig.frames[:, legs.branching])
    forward, bend, length = np.zeros_like(up), np.zeros_like(up), 0.0
    for limb in legs.limbs:
        hip, knee, ankle = (rig.frames[:, limb.joint(i)] for i in range(3))
        shin = _unit(ankle - knee)
        leg = _unit(ankle - hip)
        bend += (knee - hip) - ((knee - hip) * leg).sum(-1, keepdims=True) * leg
        length += sum(limb.bones)
        if rest := limb.path[limb.start + 3 :]:
            foot = rig.frames[:, rest[-1]] - ankle
            forward += foot - (foot * shin).sum(-1, keepdims=True) * shin

    def left(direction: np.ndarray) -> float:
        """How far the first leg is to the left if the body faces in this direction."""
        sides = (np.cross(up, direction) * _unit(across)).sum(-1)
        return _mean(sides) / length

    notes: tuple[str, ...] = ()
    sign = left(forward)
    if abs(sign) < _BENT:
        sign = left(bend)
        notes = ("left and right are told by where the knees bend to, as there are no toes",)
    if abs(sign) < _BENT / 4:
        notes = (
            "left and right cannot be told: there are no toes, and the knees do not bend; the "
            "first leg of the file is taken as the left one",
        )
        sign = 1.0
    return ((first, second) if sign > 0 else (second, first)), notes


def _arms(rig: Rig, roles: dict[str, int], arms: _Pair) -> tuple[_Limb, _Limb]:
    """The left and the right arm: on the sides of the legs."""
    first, second = arms.limbs
    across = rig.frames[:, roles["left_hip"]] - rig.frames[:, roles["right_hip"]]
    # Roots of the arms, which hands may have crossed.
    roots = [
        next(
            (joint for joint in limb.path if not rig.together(joint, arms.branching)),
            limb.path[0],
        )
        for limb in arms.limbs
    ]
    shoulders = [limb.joint(0) for limb in arms.limbs]
    if rig.together(*shoulders):
        shoulders = roots
    between = rig.frames[:, shoulders[0]] - rig.frames[:, shoulders[1]]
    sign = _mean((between * across).sum(-1))
    return (first, second) if sign > 0 else (second, first)


def _mean(values: np.ndarray) -> float:
    """The mean of the values that are known; 0 if none is."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else 0.0


def _unit(vectors: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(norms > 0, norms, 1)
