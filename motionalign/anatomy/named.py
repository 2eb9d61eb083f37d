"""The roles of joints by their names, and whether tree and pose agree."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from motionalign.anatomy.body import SIDES
from motionalign.anatomy.limbs import NEEDED, find_limb
from motionalign.anatomy.names import Label
from motionalign.anatomy.rig import Rig
from motionalign.anatomy.tree import head_above

LIMBS = tuple((limb, side) for limb in ("leg", "arm") for side in SIDES)


class Named(NamedTuple):
    """What the names say.

    Attributes:
      roles: {role: joint}, complete if `missing` is empty.
      missing: the parts of a body that no names make up, such as "left arm", or "left elbow and
        wrist" of an arm that is there in part.
      found: the parts that they do.
      notes: what was assumed.
    """

    roles: dict[str, int]
    missing: tuple[str, ...]
    found: tuple[str, ...]
    notes: tuple[str, ...] = ()


def by_names(rig: Rig, labels: Sequence[Label], given: Mapping[str, int]) -> Named:
    """Finds the roles of joints by their names and their places in the tree.

    Args:
      rig: the joints.
      labels: what the names say, joint by joint.
      given: {role: joint} that is known, whatever the names say.
    """
    roles: dict[str, int] = {}
    found, missing = [], []
    for limb, side in LIMBS:
        joints = find_limb(labels, rig.parents, limb, side)
        ours = {role: joint for role, joint in given.items() if role.startswith(side)}
        joints = {role: joint for role, joint in joints.items() if joint not in given.values()}
        joints |= {role: j for role, j in ours.items() if role in _roles_of(limb, side)}
        lacking = [role for role in NEEDED[limb] if f"{side}_{role}" not in joints]
        if not lacking:
            roles |= joints
            found.append(f"{side} {limb}")
        elif len(lacking) == len(NEEDED[limb]):
            missing.append(f"{side} {limb}")
        else:
            missing.append(f"{side} {' and '.join(lacking)}")
    notes: list[str] = []
    if rig.is_flat:
        roles |= _trunk_without_tree(rig, labels, {**roles, **given}, notes)
    else:
        roles |= _trunk(rig, labels, roles)
    roles |= {role: joint for role, joint in given.items() if "_" not in role or role == "head_end"}
    incomplete = bool(missing)  # so that the trunk's place between the limbs is not known
    for role in ("pelvis", "chest", "head"):
        parts = ("chest", "spine") if role == "chest" else (role,)
        called = incomplete and any(label.limb in parts for label in labels)
        (found if role in roles or called else missing).append(role)
    return Named(roles, tuple(missing), tuple(found), tuple(notes))


def _roles_of(limb: str, side: str) -> tuple[str, ...]:
    more = ("foot", "toe") if limb == "leg" else ("collar", "hand")
    return tuple(f"{side}_{role}" for role in (*NEEDED[limb], *more))


def _trunk_without_tree(
    rig: Rig, labels: Sequence[Label], known: Mapping[str, int], notes: list[str]
) -> dict[str, int]:
    """Pelvis, chest, neck and head where there is no tree: the last of the trunk is the chest."""
    of = {part: [j for j, label in enumerate(labels) if label.limb == part]
          for part in ("pelvis", "spine", "chest", "neck", "head")}  # fmt: skip
    roles = {part: of[part][0] for part in ("pelvis", "neck", "head") if of[part]}
    if of["chest"] or of["spine"]:
        roles["chest"] = (of["chest"] or of["spine"])[-1]
    for role, pair in (("pelvis", "hip"), ("chest", "shoulder")):
        ends = [known[f"{side}_{pair}"] for side in SIDES if f"{side}_{pair}" in known]
        if role not in roles and role not in known and len(ends) == 2:
            roles[role] = rig.mean(ends, f"{role} (mean)")
            notes.append(f"the {role} is taken to be in the middle of the {pair}s")
    return roles


def _trunk(rig: Rig, labels: Sequence[Label], limbs: Mapping[str, int]) -> dict[str, int]:
    """Pelvis, chest, neck and head, where the limbs leave the tree's trunk."""
    roles: dict[str, int] = {}
    hips = [limbs[f"{side}_hip"] for side in SIDES if f"{side}_hip" in limbs]
    arms = [
        limbs.get(f"{side}_collar", limbs[f"{side}_shoulder"])
        for side in SIDES
        if f"{side}_shoulder" in limbs
    ]
    chest = rig.meeting(arms) if len(arms) == 2 else None
    if len(hips) == 2 and (pelvis := _pelvis(rig, labels, hips, chest)) is not None:
        roles["pelvis"] = pelvis
    if chest is None or chest in arms:
        return roles
    heads = [joint for joint in rig.below(chest) if labels[joint].limb == "head"]
    head = min(heads, key=lambda joint: rig.depth[joint], default=None)
    if head is None:
        return roles | {"chest": chest} | _unnamed_head(rig, labels, chest, arms)
    if labels[chest].part == "neck" and "pelvis" in roles:
        # Arms that hang on the neck, as those of Biped: the chest is the joint below it.
        below = rig.between(roles["pelvis"], chest)
        chest = below[-2] if len(below) > 2 else chest
    path = [joint for joint in rig.between(chest, head)[1:-1] if not rig.together(chest, joint)]
    path = [joint for joint in path if labels[joint].kind != "helper"]
    necks = [joint for joint in path if labels[joint].limb == "neck"] or path
    return roles | {"chest": chest, "head": head} | ({"neck": necks[0]} if necks else {})


def _unnamed_head(
    rig: Rig, labels: Sequence[Label], chest: int, arms: Sequence[int]
) -> dict[str, int]:
    """Neck and head above a chest where no joint is called a head.

    A branch that seems to be a helper is taken where there is no other: in some rigs all joints are
    called controls.
    """
    above_arms = {joint for arm in arms for joint in rig.up_to_root(arm)}
    branches = [
        child
        for child in rig.children[chest]
        if labels[child].side == ""
        and labels[child].part in ("", "neck", "spine", "chest")
        and child not in above_arms
    ]
    plain = [child for child in branches if labels[child].kind in ("", "body")]
    others = [child for child in branches if labels[child].kind == "helper" and rig.children[child]]
    return head_above(rig, chest, plain) or head_above(rig, chest, others)


def _pelvis(
    rig: Rig, labels: Sequence[Label], hips: Sequence[int], chest: int | None
) -> int | None:
    """The joint of the pelvis: where legs and spine part, or one above it that is called so."""
    legs = rig.meeting(hips)
    all_three = rig.meeting([*hips, chest]) if chest is not None else legs
    if legs is None or legs in hips:
        return None
    for joint in (all_three, legs, *rig.up_to_root(legs)):
        if joint is not None and labels[joint].limb == "pelvis":
            return joint
    return legs


_Bones = dict[str, dict[str, float]]


def doubts(rig: Rig, roles: Mapping[str, int]) -> str | None:
    """Why joints with these roles cannot be those of a human body; None: they can.

    Args:
      rig: the joints.
      roles: {role: joint}, complete.
    """

    def length(side: str, first: str, second: str) -> float:
        return rig.distance(roles[f"{side}_{first}"], roles[f"{side}_{second}"])

    bones = {
        side: {
            "thigh": length(side, "hip", "knee"),
            "shin": length(side, "knee", "ankle"),
            "upper arm": length(side, "shoulder", "elbow"),
            "forearm": length(side, "elbow", "wrist"),
        }
        for side in SIDES
    }
    return _wrong_tree(rig, roles) or _wrong_lengths(bones, rig.size) or _wrong_sides(rig, roles)


def _wrong_tree(rig: Rig, roles: Mapping[str, int]) -> str | None:
    """Whether a joint would be in two limbs, or in a limb and the torso."""
    last = roles.get("head_end", roles["head"])
    trunk = {roles["pelvis"], roles["chest"], last}
    if not rig.is_flat:
        trunk.update(rig.between(roles["pelvis"], roles["chest"]))
        trunk.update(rig.between(roles["chest"], last))
    seen: set[int] = set()
    for role, joint in roles.items():
        if not role.startswith(SIDES):
            continue
        if joint in trunk or joint in seen:
            where = "the torso" if joint in trunk else "two limbs"
            return f"the {role.replace('_', ' ')} would be in {where}"
        seen.add(joint)
    return None


def _wrong_lengths(bones: _Bones, size: float) -> str | None:
    """Why bones are not those of a body; the limits let figures of games and children pass."""
    for side, of in bones.items():
        if zero := [name for name, value in of.items() if value <= 0.01 * size]:
            return f"the {side} {zero[0]} would have no length"
        for upper, lower in (("thigh", "shin"), ("upper arm", "forearm")):
            if not 0.4 <= of[upper] / of[lower] <= 2.5:
                ratio = of[upper] / of[lower]
                return f"the {side} {upper} would be {ratio:.2g} times as long as the {lower}"
        ratio = (of["thigh"] + of["shin"]) / (of["upper arm"] + of["forearm"])
        if not 0.6 <= ratio <= 3:
            return f"the {side} leg would be {ratio:.2g} times as long as the arm"
    for name in bones["left"]:
        ratio = bones["left"][name] / bones["right"][name]
        if not 1 / 1.6 <= ratio <= 1.6:
            return f"the left {name} would be {ratio:.2g} times as long as the right one"
    return None


def _wrong_sides(rig: Rig, roles: Mapping[str, int]) -> str | None:
    """Whether the left shoulder is on the side of the right hip in nearly all frames."""
    hips, shoulders = (
        rig.frames[:, roles[f"left_{role}"]] - rig.frames[:, roles[f"right_{role}"]]
        for role in ("hip", "shoulder")
    )
    norms = np.linalg.norm(hips, axis=-1) * np.linalg.norm(shoulders, axis=-1)
    known = np.isfinite(norms) & (norms > 0)
    if not known.any():
        return None
    cosines = (hips * shoulders).sum(-1)[known] / norms[known]
    if np.quantile(cosines, 0.95) < -0.5:
        return "the left arm would be on the side of the right leg"
    return None
