"""What a motion is that is not that of a whole human: an animal, a hand, a camera, ..."""

import re
from collections.abc import Mapping, Sequence

import numpy as np

from motionalign.anatomy.body import SIDES
from motionalign.anatomy.named import Named
from motionalign.anatomy.names import Label, words_of
from motionalign.anatomy.rig import Rig

_CAMERA = frozenset("camera cam cameras view viewpoint lens".split())
_ANIMAL = frozenset(
    "hind paw hoof wing beak fetlock pastern hock snout fin antenna horse dog cat".split()
)
_TAIL = frozenset(["tail"])
_FRONT = frozenset("front fore rear hind back".split())
_PAIR = re.compile(r"(?P<front>front|fore)|(?P<back>hind|rear|back)")
_OF_LEG = re.compile(r"leg|paw|foot|thigh|knee")
_PROP = frozenset(
    "prop weapon sword blade gun rifle pistol shield chair table door car vehicle wheel bike bat "
    "racket stick box crate cup bottle phone umbrella basketball football rigidbody".split()
)
_FEW = 5  # joints, at most, of a rigid body or a simple object
_SEEN = 10  # frames, at least, in which joints must keep their distances
_LEVEL = 0.5  # cosine of legs and spine below which the spine lies across the legs
_PARALLEL = 0.6  # cosine of front and hind legs
_LEANING = 0.85  # the same of a body whose arms are longer than its legs
_LONG_ARMS = 0.75  # of arms over legs: front legs; a human's are 0.6 to 0.7


def is_quadruped(
    rig: Rig, roles: Mapping[str, int], labels: Sequence[Label], at_rest: bool = False
) -> str | None:
    """Why a body with these roles walks on four legs; None: it does not.

    Its spine lies across its legs, and its front legs are nearly as long as, and parallel to, its
    hind legs. Those of a human on all fours are much shorter.

    Args:
      rig: its joints.
      roles: {role: joint}, complete.
      labels: what the names say.
      at_rest: whether the rig is in its rest pose, in which a quadruped stands even where it never
        does in the motion; some rest poses are none of a body, and are believed less.
    """
    legs, arms, level, parallel = [], [], [], []
    for side in SIDES:
        hip, knee, ankle, shoulder, elbow, wrist = (
            roles[f"{side}_{role}"]
            for role in ("hip", "knee", "ankle", "shoulder", "elbow", "wrist")
        )
        legs.append(rig.distance(hip, knee) + rig.distance(knee, ankle))
        arms.append(rig.distance(shoulder, elbow) + rig.distance(elbow, wrist))
        level.append(rig.cosine(roles["chest"], roles["pelvis"], hip, ankle))
        parallel.append(rig.cosine(hip, ankle, shoulder, wrist))
    ratio = float(np.mean(arms) / np.mean(legs))
    words = {word for label in labels for word in label.words}
    tail = bool(words & _TAIL)
    across = -_LEANING < np.mean(level) < (_LEANING if ratio > 1 else _LEVEL)
    longer = ratio > (1 if at_rest else _LONG_ARMS)
    if across and np.mean(parallel) > _PARALLEL and (longer or tail):
        return (
            f"its front legs are {ratio:.2g} times as long as the hind legs, with the spine across "
            f"both{', and it has a tail' if tail else ''}"
        )
    return None


def named_animal(names: Sequence[str]) -> str | None:
    """Why joints are an animal's by what they are called, such as a wing; None: they are not."""
    found = sorted({word for name in names for word in words_of(name)} & _ANIMAL)
    return f"its joints are called {', '.join(found)}" if found else None


def kind_of(rig: Rig, labels: Sequence[Label], named: Named) -> tuple[str, str]:
    """(kind, why) of a motion whose joints are not those of a whole human body.

    Args:
      rig: the joints.
      labels: what their names say.
      named: the parts of a body that the names make up.
    """
    words = {word for label in labels for word in label.words}
    joints = [j for j in range(len(labels)) if j not in rig.ends]
    fingers = sum(labels[j].kind == "finger" for j in joints)
    face = sum(labels[j].kind == "face" for j in joints)
    limbs = [part for part in named.found if part.endswith(("leg", "arm"))]
    missing = f"{', '.join(named.missing)} missing"
    if words & _CAMERA and len(joints) <= 3:
        return "camera", f"it has {_count(joints)}, called {', '.join(sorted(words & _CAMERA))}"
    signs = [words & each for each in (_ANIMAL, _TAIL, _FRONT)]
    if len(signs[0]) > 1 or sum(map(bool, signs)) > 1:
        found = sorted(set().union(*signs))
        return "animal", f"its joints are called {', '.join(found)}"
    if _has_two_pairs(labels):
        return "animal", "its joints are called front and back legs"
    for kind, count, what in (("hand", fingers, "fingers"), ("face", face, "a face")):
        if count >= 4 and count > 0.5 * len(joints) and not limbs and "pelvis" not in named.found:
            return kind, f"{count} of its {len(joints)} joints are of {what}, and none of a trunk"
    whole = [f"{side} {limb}" for limb in ("leg", "arm") for side in SIDES]
    legs, arms = ([part in limbs for part in pair] for pair in (whole[:2], whole[2:]))
    if all(arms) and not any(legs):
        return "upper body", missing
    if all(legs) and not any(arms):
        return "lower body", missing
    body_parts = sum(bool(labels[j].limb) for j in joints)
    if not body_parts and (found := sorted(words & _PROP)):
        return "prop", f"it has {_count(joints)}, called {', '.join(found)}"
    if len(joints) <= _FEW and body_parts <= len(joints) / 2:
        return "prop", f"it has {_count(joints)} and no limbs"
    if not named.found:
        if _is_hand(rig):
            return "hand", "its tree is a joint with five rows of joints, as a hand has fingers"
        if _is_rigid(rig):
            return "prop", f"its {_count(joints)} keep their distances, as those of a rigid body"
    if named.found:
        return "unknown", f"{missing}; found {', '.join(named.found)}"
    return "unknown", f"the names of its {_count(joints)} tell of no parts of a body"


def _has_two_pairs(labels: Sequence[Label]) -> bool:
    """Whether the names are those of front legs and of back legs."""
    legs = ["".join(label.words) for label in labels if _OF_LEG.search("".join(label.words))]
    found = {match.lastgroup for name in legs if (match := _PAIR.match(name.lstrip("lr")))}
    found |= {match.lastgroup for name in legs if (match := _PAIR.match(name))}
    return found >= {"front", "back"}


def _is_hand(rig: Rig) -> bool:
    """Whether nearly all joints are in five rows that go out from one joint."""
    for joint, children in enumerate(rig.children if not rig.is_flat else ()):
        if len(children) != 5:
            continue
        rows = [[child, *rig.below(child)] for child in children]
        straight = all(len(rig.children[each]) <= 1 for row in rows for each in row)
        lengths = sorted(len(row) for row in rows)
        outside = len(rig.names) - sum(lengths) - 1
        if (
            straight
            and lengths[0] >= 2
            and lengths[-1] <= 6
            and outside <= len(rig.up_to_root(joint))
        ):
            return True
    return False


def _is_rigid(rig: Rig) -> bool:
    """Whether joints move, and keep their distances from the first one."""
    if len(rig.frames) < _SEEN or len(rig.names) < 3:
        return False
    known = rig.frames[np.isfinite(rig.frames).all((1, 2))]
    if len(known) < _SEEN:
        return False
    distances = np.linalg.norm(known - known[:, :1], axis=-1)
    pairs = np.linalg.norm(np.diff(known, axis=1), axis=-1)
    moves = np.ptp(known, axis=0).max() > 0.01 * rig.size
    steady = max(np.ptp(distances, axis=0).max(), np.ptp(pairs, axis=0).max()) < 0.01 * rig.size
    return bool(moves and steady)


def _count(joints: Sequence[int]) -> str:
    return f"{len(joints)} joint{'s' if len(joints) != 1 else ''}"
