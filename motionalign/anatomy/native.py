"""A motion in the skeleton that it has, for motion patches from its own chains.

Motion patches have one form for every skeleton with five body parts (Motion Patches, §3.1), so that
a model can be trained on, or transferred to, joints that are not SMPL's (Table 5).
"""

import re

import numpy as np

from motionalign.anatomy.body import SIDES, Body
from motionalign.anatomy.points import Points, points
from motionalign.formats.motion import Motion
from motionalign.skeleton import PARTS, SKELETONS, Skeleton


def native(motion: Motion, body: Body, found: Points | None = None) -> tuple[Skeleton, np.ndarray]:
    """The skeleton of a body, and its joints.

    Args:
      motion: the motion.
      body: what was found in it.
      found: its points, if they are known already.

    Returns:
      The skeleton of `skeleton_of`, and joints [T, M, P, 3] float32 in its order: metres, Y up. All
      joints of an absent person are 0.

    Raises:
      ValueError: as `points`.
    """
    found = points(motion, body) if found is None else found
    skeleton = skeleton_of(body, motion.dims)
    names = [point.name for point in body.points]
    order = [names.index(name) for name in skeleton.joint_names]
    joints = np.where(found.present[..., None, None], found.joints, 0)[:, :, order]
    return skeleton, joints.astype(np.float32)


def _known(names: frozenset[str], bones: frozenset[tuple[str, str]], dims: int) -> Skeleton | None:
    """The skeleton of `SKELETONS` with these joints and bones."""
    for skeleton in SKELETONS.values():
        theirs = frozenset(
            (skeleton.joint_names[parent], skeleton.joint_names[child])
            for parent, child in skeleton.bones
        )
        if (frozenset(skeleton.joint_names), theirs, skeleton.dims) == (names, bones, dims):
            return skeleton
    return None


def skeleton_of(body: Body, dims: int = 3) -> Skeleton:
    """The skeleton of a body: its points and chains, and which are mirror images.

    It is one of `SKELETONS` where that has the same joints and bones. A point of one side without a
    counterpart on the other one is left out, since its mirror image would be on the wrong side.

    Args:
      body: of a human, with the five chains.
      dims: 3, or 2 for positions in an image.
    """
    assert body.chains, body.kind
    twins = _twins(body)
    kept = [i for i in range(len(body.points)) if i in twins]
    new = {old: index for index, old in enumerate(kept)}
    parents = []
    for old in kept:
        parent = body.points[old].parent
        while parent >= 0 and parent not in new:
            parent = body.points[parent].parent
        parents.append(new[parent] if parent >= 0 else -1)
    names = tuple(body.points[old].name for old in kept)
    bones = frozenset((names[p], name) for p, name in zip(parents, names, strict=True) if p >= 0)
    if (skeleton := _known(frozenset(names), bones, dims)) is not None:
        return skeleton
    return Skeleton(
        name=f"{re.sub('[^a-z0-9]+', '_', body.convention.lower()).strip('_')}_{len(names)}",
        joint_names=names,
        parents=tuple(parents),
        chains=tuple(tuple(new[i] for i in body.chains[part] if i in new) for part in PARTS),
        chain_names=PARTS,
        mirror=tuple(new[twins[old]] for old in kept),
        dims=dims,
    )


def _twins(body: Body) -> dict[int, int]:
    """{point: its mirror image} of the points that have one; those in the middle are their own.

    Points with a role are paired by it. The others of a limb are paired by their place: as many
    points after the same role.
    """
    place = _places(body)
    by_place = {where: point for point, where in place.items()}
    twins = {}
    for point in range(len(body.points)):
        side, *where = place.get(point, ("",))
        other = {"left": "right", "right": "left"}.get(side)
        twin = point if other is None else by_place.get((other, *where))
        if twin is not None:
            twins[point] = twin
    return twins


def _places(body: Body) -> dict[int, tuple[str, str, int]]:
    """{point: (side, the last role at or before it without the side, points since then)}.

    Of the points on a side: those with a role of it, and those that hang from such a point or are
    in a limb's chain.
    """
    torso = set(body.chains["torso"])
    sides: dict[int, str] = {}
    for part, chain in body.chains.items():
        side = part.partition("_")[0]
        if side in SIDES:
            sides |= {point: side for point in chain if point not in torso}
    found: dict[int, tuple[str, str, int]] = {}
    taken: dict[tuple[str, str, int], int] = {}
    for index, point in enumerate(body.points):
        side, role = _side_and_role(point.role)
        before = found.get(point.parent)
        side = side or sides.get(index, "") or (before[0] if before else "")
        if not side:
            continue
        where = (side, role, 0) if role else _after(before, side)
        while where in taken:  # a second branch after the same role
            where = (where[0], where[1], where[2] + 1)
        taken[where] = index
        found[index] = where
    return found


def _after(before: tuple[str, str, int] | None, side: str) -> tuple[str, str, int]:
    return (before[0], before[1], before[2] + 1) if before else (side, "", 1)


def _side_and_role(role: str | None) -> tuple[str, str]:
    """("left", "knee") of left_knee; ("", "") of a role in the middle, or of none."""
    side, _, rest = (role or "").partition("_")
    return (side, rest) if side in SIDES else ("", "")
