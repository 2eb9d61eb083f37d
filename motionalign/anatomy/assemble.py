"""From the roles of joints to the points and chains of a body."""

from collections.abc import Mapping, Sequence

from motionalign.anatomy.body import SIDES, Point
from motionalign.anatomy.limbs import ARM, LEG
from motionalign.anatomy.names import Label
from motionalign.anatomy.rig import Rig

_SOLE = 0.9  # cosine with the shin above which what follows an ankle is the sole, not the toes
_TURN = 0.6  # cosine of ankle to sole with sole to toes, at most; those of pointed toes are one way
_TIP = 0.42  # of the shin: an end below the ankle that is farther away is the tip of the toes
_FEW = 16  # ends below a head, at most, among which its top is looked for
_TWINS = 0.03  # relative difference of two bones' lengths, at most, that are twins
_PALM = 0.45  # of the forearm: an end nearer to the wrist is in the hand, a farther one a finger's


def with_ends(rig: Rig, roles: Mapping[str, int], labels: Sequence[Label]) -> dict[str, int]:
    """The roles with those of the ends of bones, as far as they tell something of the body.

    Joints that are at the place of the one before them are left out: a toe that is where the ankle
    is has no direction.
    """
    roles = dict(roles)
    if rig.is_flat:
        return roles
    for side in SIDES:
        ankle, foot, toe = (f"{side}_{role}" for role in ("ankle", "foot", "toe"))
        knee, elbow, wrist, hand = (f"{side}_{role}" for role in ("knee", "elbow", "wrist", "hand"))
        for above, role in ((ankle, foot), (foot, toe)):
            if (
                above in roles
                and role not in roles
                and (end := _only_end(rig, labels, roles[above]))
            ):
                roles[role] = end
        _drop_together(rig, roles, (ankle, foot, toe))
        if foot in roles and knee in roles and not rig.children[roles[foot]]:
            _rename_last(rig, roles, labels, side)
        elif foot in roles and toe in roles and knee in roles:
            _drop_sole(rig, roles, (knee, ankle, foot, toe))
        if wrist in roles and hand not in roles and (end := _only_end(rig, labels, roles[wrist])):
            forearm = rig.distance(roles[elbow], roles[wrist])
            if rig.distance(roles[wrist], end) <= _PALM * forearm:
                roles[hand] = end
        _drop_together(rig, roles, (wrist, hand))
        if f"{side}_collar" in roles and rig.together(roles[f"{side}_collar"], roles["chest"]):
            del roles[f"{side}_collar"]
    _add_head_end(rig, roles, labels)
    return roles


def _rename_last(rig: Rig, roles: dict[str, int], labels: Sequence[Label], side: str) -> None:
    """Settles what the end below an ankle is: the sole, the ball of the foot, or the toes' tip."""
    knee, ankle, foot = (roles[f"{side}_{role}"] for role in ("knee", "ankle", "foot"))
    if labels[foot].part not in ("", "foot", "ankle"):
        return
    if rig.cosine(knee, ankle, ankle, foot) > _SOLE:
        del roles[f"{side}_foot"]
    elif rig.distance(ankle, foot) > _TIP * rig.distance(knee, ankle):
        roles[f"{side}_toe"] = roles.pop(f"{side}_foot")


def _drop_sole(rig: Rig, roles: dict[str, int], row: Sequence[str]) -> None:
    """Takes away the role of a foot that is below the ankle, where the toes go forwards from it."""
    knee, ankle, foot, toe = (roles[role] for role in row)
    below = rig.cosine(knee, ankle, ankle, foot) > _SOLE
    if below and rig.cosine(ankle, foot, foot, toe) < _TURN:
        del roles[row[2]]


def _only_end(rig: Rig, labels: Sequence[Label], joint: int) -> int | None:
    """The only joint below one, if it is at another place and nothing is below it.

    Not one whose name says that it is something else.
    """
    children = rig.children[joint]
    if len(children) != 1 or rig.together(joint, children[0]):
        return None
    end = children[0]
    if not all(rig.together(end, below) for below in rig.below(end)):
        return None
    return end if end in rig.ends or labels[end].end or not labels[end].kind else None


def _drop_together(rig: Rig, roles: dict[str, int], row: Sequence[str]) -> None:
    """Takes away the roles of joints at the place of the joint before them."""
    last: int | None = None
    for role in row:
        if role not in roles:
            continue
        if last is not None and rig.together(last, roles[role]):
            del roles[role]
        else:
            last = roles[role]


def _add_head_end(rig: Rig, roles: dict[str, int], labels: Sequence[Label]) -> None:
    """Adds the top of the skull: an end below the head, in the direction of the neck."""
    head = roles.get("head")
    if head is None or "head_end" in roles:
        return
    before = rig.between(roles["chest"], head)
    before = [joint for joint in before if not rig.together(joint, head)]
    leaves = [
        joint
        for joint in rig.children[head]
        if not rig.together(head, joint)
        and all(rig.together(joint, below) for below in rig.below(joint))
        and (labels[joint].part == "head" or labels[joint].kind in ("", "helper"))
        and labels[joint].side == ""
    ]
    if len(leaves) > _FEW:
        return
    far = [rig.distance(head, joint) for joint in leaves]
    ends = [
        joint
        for joint, length in zip(leaves, far, strict=True)
        if sum(abs(length / other - 1) < _TWINS for other in far) == 1  # not one of two eyes
        and (not before or rig.cosine(before[-1], head, head, joint) > 0.3)
    ]
    if len(ends) == 1 or (ends := [joint for joint in ends if labels[joint].part == "head"]):
        roles["head_end"] = ends[0]


def torso(rig: Rig, roles: Mapping[str, int], labels: Sequence[Label]) -> list[int]:
    """The joints of the torso from the pelvis to the head, or its end.

    Left out are helpers and joints at the place of the one before them, unless they have a role.
    """
    last = roles.get("head_end", roles.get("head", roles["chest"]))
    known = set(roles.values())
    if rig.is_flat:
        order = ("pelvis", "chest", "neck", "head", "head_end")
        spine = [joint for joint, label in enumerate(labels) if label.limb in ("spine", "chest")]
        path = [roles["pelvis"], *(joint for joint in spine if joint not in known)]
        path += [roles[role] for role in order[1:] if role in roles]
    else:
        path = rig.between(roles["pelvis"], roles["chest"])
        seen = set(path)
        path += [joint for joint in rig.between(roles["chest"], last) if joint not in seen]
    kept = path[:1]
    for joint in path[1:]:
        if joint in known:
            if rig.together(kept[-1], joint) and kept[-1] not in known:
                kept.pop()
            kept.append(joint)
        elif labels[joint].kind != "helper" and not rig.together(kept[-1], joint):
            kept.append(joint)
    return kept


def build(
    rig: Rig, roles: Mapping[str, int], trunk: Sequence[int]
) -> tuple[tuple[Point, ...], dict[str, tuple[int, ...]]]:
    """The points of a body with all five chains, and the chains.

    Args:
      rig: its joints.
      roles: {role: joint}, as `with_ends` returns them.
      trunk: the joints of the torso, as `torso` returns them.
    """
    role_of = {joint: role for role, joint in roles.items()}
    points: list[Point] = []

    def add(joint: int, parent: int) -> int:
        points.append(Point(rig.names[joint], rig.weights[joint], parent, role_of.get(joint)))
        return len(points) - 1

    def row(start: int, joints: Sequence[int]) -> tuple[int, ...]:
        chain = [start]
        for joint in joints:
            chain.append(add(joint, chain[-1]))
        return tuple(chain)

    pelvis = add(trunk[0], -1)
    spine = row(pelvis, trunk[1:])
    chest = spine[list(trunk).index(roles["chest"])]
    of_limb = {}
    for limb, start, order in (("leg", pelvis, LEG), ("arm", chest, ARM)):
        for side in SIDES:
            joints = [roles[f"{side}_{role}"] for role in order if f"{side}_{role}" in roles]
            of_limb[f"{side}_{limb}"] = row(start, joints)
    chains = {
        "right_leg": of_limb["right_leg"],
        "left_leg": of_limb["left_leg"],
        "torso": spine,
        "right_arm": of_limb["right_arm"],
        "left_arm": of_limb["left_arm"],
    }
    return tuple(points), chains
