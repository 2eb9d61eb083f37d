"""Which joints of a limb have which role, from what they are called and their order.

A name alone does not settle it: "LeftShoulder" is the collar bone above a "LeftArm" and the upper
arm above a "LeftElbow". The roles of a limb have an order from the trunk outwards, and so have its
joints; the names decide among the assignments that keep both.
"""

from collections.abc import Mapping, Sequence

from motionalign.anatomy.body import SIDES
from motionalign.anatomy.names import Label
from motionalign.formats.motion import sorted_tree

ARM = ("collar", "shoulder", "elbow", "wrist", "hand")
LEG = ("hip", "knee", "ankle", "foot", "toe")

# What a part may be, and at which cost.
_ARM_PARTS: Mapping[str, Mapping[str, float]] = {
    "collar": {"collar": 0.0},
    "shoulder": {"shoulder": 0.05, "collar": 0.2},
    "upperarm": {"shoulder": 0.0},
    "arm": {"shoulder": 0.1, "elbow": 0.5},
    "forearm": {"elbow": 0.0},
    "wrist": {"wrist": 0.0},
    "hand": {"wrist": 0.2, "hand": 0.0},
    "palm": {"hand": 0.0, "wrist": 0.6},
}
_LEG_PARTS: Mapping[str, Mapping[str, float]] = {
    "hip": {"hip": 0.1},
    "thigh": {"hip": 0.0},
    "leg": {"knee": 0.0, "hip": 0.3},
    "shin": {"knee": 0.0},
    "ankle": {"ankle": 0.0},
    "foot": {"ankle": 0.2, "foot": 0.0},
    "toe": {"foot": 0.0, "toe": 0.1},
}
PARTS_OF = {"arm": _ARM_PARTS, "leg": _LEG_PARTS}
ROLES_OF = {"arm": ARM, "leg": LEG}
NEEDED = {"arm": ("shoulder", "elbow", "wrist"), "leg": ("hip", "knee", "ankle")}
_UNSURE = 0.4  # of a joint whose name says something else, too
_NEEDED_GAIN, _GAIN, _UNUSED = 1.5, 0.1, 0.6  # for a role found; of a named joint that has none


def find_limb(
    labels: Sequence[Label], parents: Sequence[int] | None, limb: str, side: str
) -> dict[str, int]:
    """{role with its side: joint} of an arm or a leg; the roles that are missing are left out.

    Args:
      labels: of all joints.
      parents: of all joints; None: there is no tree, and the order is that of the parts.
      limb: "arm" or "leg".
      side: one of `SIDES`.
    """
    assert side in SIDES, side
    parts = PARTS_OF[limb]
    joints = [j for j, label in enumerate(labels) if label.side == side and label.limb in parts]
    palms = [j for j in joints if labels[j].part == "palm"]
    hands = [j for j in joints if labels[j].part in ("wrist", "hand")]
    if len(palms) > 1 and hands:  # the bones of the palm, one a finger
        joints = [j for j in joints if j not in palms]
    if parents is None:
        order = list(parts)
        paths = [tuple(sorted(joints, key=lambda j: order.index(labels[j].part)))]
    else:
        paths = sorted(_paths(joints, parents))
    found = [_align(path, labels, limb) for path in paths]
    _, roles = min(found, key=lambda each: each[0], default=(0.0, {}))
    if limb == "leg" and parents is not None and "knee" in roles and "ankle" not in roles:
        roles |= _loose_foot([path for path in paths if roles["knee"] not in path], labels)
    return {f"{side}_{role}": joint for role, joint in roles.items()}


def _loose_foot(paths: Sequence[Sequence[int]], labels: Sequence[Label]) -> dict[str, int]:
    """The roles of a foot that is not below its shin; none if there are several such feet.

    In rigs made for inverse kinematics feet are children of the root, and legs reach for them.
    """
    feet = [path for path in paths if labels[path[0]].part in ("ankle", "foot")]
    if len(feet) != 1:
        return {}
    return _align(feet[0], labels, "leg")[1]


def _paths(joints: Sequence[int], parents: Sequence[int]) -> set[tuple[int, ...]]:
    """The longest rows of these joints in which each is an ancestor of the next."""
    chosen = set(joints)
    above: dict[int, int] = {}  # the nearest of the joints above each joint
    for joint in sorted_tree(parents):
        parent = parents[joint]
        above[joint] = parent if parent < 0 or parent in chosen else above[parent]
    paths = set()
    for joint in chosen - {above[joint] for joint in chosen}:
        path = [joint]
        while (parent := above[path[-1]]) >= 0:
            path.append(parent)
        paths.add(tuple(reversed(path)))
    return paths


def _align(path: Sequence[int], labels: Sequence[Label], limb: str) -> tuple[float, dict[str, int]]:
    """The cheapest assignment of roles to joints that keeps the order of both, and its cost."""
    roles = ROLES_OF[limb]
    # best[r]: cost and assignment of the joints so far, with the first r roles only. Of joints of
    # one part the first has the role, since those further out cost a little more.
    best: list[tuple[float, dict[str, int]]] = [(0.0, {})] * (len(roles) + 1)
    for place, joint in enumerate(path):
        costs = PARTS_OF[limb][labels[joint].part]
        unsure = _UNSURE * (not labels[joint].sure)
        new = [(cost + _UNUSED, found) for cost, found in best]
        for r, role in enumerate(roles):
            if role in costs:
                cost, found = best[r]
                gain = _NEEDED_GAIN if role in NEEDED[limb] else _GAIN
                taken = (cost + costs[role] + unsure + 1e-6 * place - gain, found | {role: joint})
                new[r + 1] = min(new[r + 1], taken, key=lambda each: each[0])
            new[r + 1] = min(new[r + 1], new[r], key=lambda each: each[0])
        best = new
    return best[-1]
