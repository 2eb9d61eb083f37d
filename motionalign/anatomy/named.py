"""The roles of joints by their names, checked with the tree."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from motionalign.anatomy.body import SIDES
from motionalign.anatomy.limbs import NEEDED, find_limb
from motionalign.anatomy.names import Label
from motionalign.anatomy.rig import Rig

CHAINS = tuple((limb, side) for limb in ("leg", "arm") for side in SIDES)


class Named(NamedTuple):
    """What the names say.

    Attributes:
      roles: {role: joint}, complete if `missing` is empty.
      missing: the parts of a body that no names make up, such as "the left arm".
      found: the parts that they do.
    """

    roles: dict[str, int]
    missing: tuple[str, ...]
    found: tuple[str, ...]


def by_names(rig: Rig, labels: Sequence[Label]) -> Named:
    """Finds the roles of joints by their names and their places in the tree."""
    roles: dict[str, int] = {}
    found, missing = [], []
    for limb, side in CHAINS:
        joints = find_limb(labels, rig.parents, limb, side)
        whole = all(f"{side}_{role}" in joints for role in NEEDED[limb])
        (found if whole else missing).append(f"the {side} {limb}")
        if whole:
            roles |= joints
    if rig.parents is None:
        roles |= _trunk_without_tree(labels)
    else:
        roles |= _trunk(rig, labels, roles)
    for role in ("pelvis", "chest", "head"):
        (found if role in roles else missing).append(f"the {role}")
    return Named(roles, tuple(missing), tuple(found))


def _trunk_without_tree(labels: Sequence[Label]) -> dict[str, int]:
    """Pelvis, chest, neck and head where there is no tree: the last of the trunk is the chest."""
    of = {part: [j for j, label in enumerate(labels) if label.limb == part]
          for part in ("pelvis", "spine", "chest", "neck", "head")}  # fmt: skip
    roles = {part: of[part][0] for part in ("pelvis", "neck", "head") if of[part]}
    if of["chest"] or of["spine"]:
        roles["chest"] = (of["chest"] or of["spine"])[-1]
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
    heads = [j for j, label in enumerate(labels) if label.limb == "head"]
    chest = rig.meeting(arms) if len(arms) == 2 else None
    if len(hips) == 2 and (pelvis := _pelvis(rig, labels, hips, chest)) is not None:
        roles["pelvis"] = pelvis
    if chest is None:
        return roles
    heads = [j for j in heads if labels[j].side == "" and chest in rig.up_to_root(j)]
    heads.sort(key=lambda j: len(rig.up_to_root(j)))
    if not heads:
        return roles | {"chest": chest}
    head = heads[0]
    above = rig.up_to_root(chest)
    if labels[chest].part == "neck" and len(above) > 1 and "pelvis" in roles:
        # Arms that hang on the neck, as those of Biped: the chest is the joint below it.
        below = rig.between(roles["pelvis"], chest)
        chest = below[-2] if len(below) > 2 else chest
    path = [joint for joint in rig.between(chest, head)[1:-1] if not rig.together(chest, joint)]
    necks = [joint for joint in path if labels[joint].limb == "neck"]
    return roles | {"chest": chest, "head": head} | ({"neck": necks[0]} if necks else {})


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


def doubts(rig: Rig, roles: Mapping[str, int]) -> str | None:
    """Why joints with these roles cannot be those of a human body, from the lengths of its bones.

    Wide limits: games' figures and children have other proportions than adults.
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
    for side, of in bones.items():
        if zero := [name for name, value in of.items() if value <= 0.01 * rig.size]:
            return f"the {side} {zero[0]} has no length"
        for upper, lower in (("thigh", "shin"), ("upper arm", "forearm")):
            if not 0.4 <= of[upper] / of[lower] <= 2.5:
                return f"the {side} {upper} is {of[upper] / of[lower]:.2g} times the {lower}"
        ratio = (of["thigh"] + of["shin"]) / (of["upper arm"] + of["forearm"])
        if not 0.6 <= ratio <= 3:
            return f"the {side} leg is {ratio:.2g} times as long as the arm"
    for name in bones["left"]:
        ratio = bones["left"][name] / bones["right"][name]
        if not 1 / 1.6 <= ratio <= 1.6:
            return f"the left {name} is {ratio:.2g} times as long as the right one"
    return None
