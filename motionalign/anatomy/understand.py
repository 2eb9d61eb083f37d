"""What a motion is: which of its joints are which parts of a human, its unit, and its axes."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from motionalign.anatomy import assemble, sets
from motionalign.anatomy.body import PARTS, SIDES, Body, NotHuman, Point
from motionalign.anatomy.kinds import is_quadruped, kind_of, named_animal
from motionalign.anatomy.named import Named, by_names, doubts
from motionalign.anatomy.names import Label, convention_of, labels
from motionalign.anatomy.rig import Rig
from motionalign.anatomy.size import with_size
from motionalign.anatomy.tree import by_tree
from motionalign.formats.motion import Motion
from motionalign.formats.skeleton_file import SkeletonFile

_SECOND_BODY = 12  # joints that have the names of parts and no role: of a second body, perhaps

MOST_JOINTS = 3000
"""Of a rig: a game's face has some hundred. More are a mesh, or not looked through in seconds."""


def understand(motion: Motion, skeleton: SkeletonFile | None = None) -> Body:
    """Finds what a motion is.

    Looks at the skeleton file, if there is one; at sets of joints known by their names; at what
    the names say, checked with the tree; then at the tree and the pose alone.

    Args:
      motion: of any format.
      skeleton: a skeleton file that says what the joints are; None: the one that the motion came
        with, if any.

    Returns:
      The body; its `kind` says what the motion is if it is not that of a human.

    Raises:
      ValueError: the skeleton file is not that of these joints.
    """
    if len(motion.joint_names) > MOST_JOINTS:
        why = f"it has {len(motion.joint_names)} joints; a rig has at most {MOST_JOINTS}"
        return with_size(Body("unknown", why, motion.convention or "none"), motion)
    stated = skeleton if skeleton is not None else motion.declared
    if stated is not None:
        stated = stated.fitted(motion.joint_names, motion.name)
    body = _Search(motion, stated).body()
    if stated is None:
        return with_size(body, motion)
    return with_size(body, motion, stated.unit_in_metres, stated.up)


def require_human(body: Body, where: str) -> None:
    """Raises NotHuman, in one line, unless a body is that of a whole human.

    Args:
      body: what was found.
      where: the file, for the message.
    """
    if body.kind == "human":
        return
    half = body.kind.endswith(" body")
    what = {
        "unknown": "no human body was found",
        "upper body": "only the upper half of a body",
        "lower body": "only the lower half of a body",
    }.get(body.kind, f"{_article(body.kind)} {body.kind}, not a human body")
    advice = (
        "A model needs both legs, the torso with the head, and both arms"
        if half
        else "If that is wrong, say which joints are which: --skeleton=FILE.json"
    )
    raise NotHuman(f"{where}: {what}: {body.why}. {advice}", body)


def _article(kind: str) -> str:
    return "an" if kind[0] in "aeiou" else "a"


class _Search:
    """The search for a body in a motion."""

    def __init__(self, motion: Motion, stated: SkeletonFile | None) -> None:
        self.motion = motion
        self.stated = stated
        self.rig = Rig(motion, stated.parents if stated else None)
        self.said: list[Label] = labels(motion.joint_names)
        stated_name = stated.convention if stated is not None else None
        self.convention: str = stated_name or motion.convention or convention_of(motion.joint_names)

    def body(self) -> Body:
        """What was found, without its unit, axis and height."""
        if self.stated is not None and self.stated.chains:
            return self._by_chains(self.stated.chains)
        given = self._given()
        of_set = self._by_set()
        if of_set and not given:
            return of_set
        named = by_names(self.rig, self.said, given)
        said = self.said + [Label("", "", "", False, ())] * (len(self.rig.names) - len(self.said))
        problem = f"{', '.join(named.missing)} missing" if named.missing else None
        if problem is None and self.motion.dims == 3:
            problem = doubts(self.rig, named.roles)
        if problem and of_set:
            return self._with_roles(of_set, given)
        if problem is None:
            by = "by the skeleton file and the names" if given else "by the names"
            why = f"{by} of its joints ({self.convention})"
            return self._human(named.roles, said, why, self.convention, named.notes)
        tree = ""
        if not given and self.motion.dims == 3:
            found = self._by_tree(named, problem)
            if isinstance(found, Body):
                return found
            tree = f"; by the tree, {found}"
        if not named.missing:
            return Body("unknown", f"by the names, {problem}{tree}", self.convention)
        kind, why = kind_of(self.rig, self.said, named)
        return Body(kind, why + tree * (kind == "unknown"), self.convention)

    def _by_set(self) -> Body | None:
        """A body of a known set of joints, markers or keypoints; None: it is of none.

        The names in a file with a tree are of a set only if the file says so, or if all of them are
        of a camera's: a rig may have more joints than the set whose names it uses, and its tree
        tells what they are, while a camera's joints shake too much to be judged by their bones.
        Markers that a file names and never measures are none, unless nothing is known without them.
        """
        names = self.motion.joint_names
        measured = np.isfinite(self.motion.positions).all(axis=-1)
        seen = set(np.flatnonzero(np.any(measured, axis=(0, 1))).tolist())
        matched = sets.match(names, seen) or sets.match(names)
        if matched is None:
            return None
        known, found = matched
        own_tree = self.motion.parents is not None and not self.motion.convention
        whole = known.sensor == "depth" and len(set(found.values())) == self.motion.num_joints
        if own_tree and known.kind != "markers" and not whole:
            return None
        points, chains = sets.points_of(known, found, self.motion.joint_names)
        kind = "human" if known.covers == "body" else known.covers
        why = f"its {known.kind} are those of {known.name}"
        if kind != "human":
            why += f"; {', '.join(_missing_in(points))} missing"
        notes = (known.about,) if known.about else ()
        out = self._left_out(points)
        return Body(
            kind,
            why,
            known.name,
            points,
            chains,
            left_out=out,
            notes=notes,
            sensor=known.sensor,
        )

    def _given(self) -> dict[str, int]:
        """{role: joint} of the skeleton file; means of joints are added to the rig."""
        roles = (self.stated.roles if self.stated else None) or {}
        index = {name: joint for joint, name in enumerate(self.motion.joint_names)}
        return {
            role: self.rig.mean([index[name] for name in names], " + ".join(names))
            for role, names in roles.items()
        }

    def _human(
        self,
        roles: Mapping[str, int],
        said: Sequence[Label],
        why: str,
        convention: str,
        notes: tuple[str, ...],
    ) -> Body:
        """A body of these roles, or an animal."""
        if self.motion.dims == 3 and (animal := self._quadruped(roles, said)):
            return Body("animal", animal, convention)
        roles = assemble.with_ends(self.rig, roles, said)
        points, chains = assemble.build(self.rig, roles, assemble.torso(self.rig, roles, said))
        out = self._left_out(points)
        if len(others := self._others(points, said)) >= _SECOND_BODY:
            notes += (
                f"{len(others)} more joints are called as parts of a body and are left out: "
                f"{', '.join(others[:3])}, ...",
            )
        return Body("human", why, convention, points, chains, left_out=out, notes=notes)

    def _quadruped(self, roles: Mapping[str, int], said: Sequence[Label]) -> str | None:
        """Why a body with these roles walks on four legs, in the motion or the rest pose."""
        if animal := is_quadruped(self.rig, roles, said):
            return animal
        rest = self.motion.rest
        if rest is None or max(roles.values()) >= len(rest):
            return None
        still = dataclasses.replace(
            self.motion, positions=rest[None, None], persons=self.motion.persons[:1]
        )
        return is_quadruped(Rig(still, self.rig.parents), roles, said, at_rest=True)

    def _others(self, points: Sequence[Point], said: Sequence[Label]) -> list[str]:
        """The joints that have the names of parts and are no points, nor below one."""
        used = {joint for point in points for joint, _ in point.weights}
        below = set(used)
        for joint in self.rig.order:
            parent = self.rig.parents[joint] if self.rig.parents else -1
            if parent in below:
                below.add(joint)
        return [
            self.rig.names[joint]
            for joint, label in enumerate(said)
            if label.limb and label.sure and joint not in below
        ]

    def _by_tree(self, named: Named, problem: str) -> Body | str:
        """A body by the tree and the pose alone, or why they are not that of one."""
        found = by_tree(self.rig, [label.side for label in self.said])
        if not found.roles:
            return found.why
        if doubt := doubts(self.rig, found.roles):
            return doubt
        if animal := named_animal(self.motion.joint_names):
            return Body("animal", animal, self.convention)
        notes = found.notes
        if len(named.found) > 3 or not named.missing:
            notes = (f"names and tree disagree: by the names, {problem}", *notes)
        unsaid = [Label("", "", "", False, label.words) for label in self.said]
        why = f"by the tree and the pose: {found.why}"
        return self._human(found.roles, unsaid, why, "by the tree", notes)

    def _by_chains(self, stated: Mapping[str, Sequence[str]]) -> Body:
        """A body of the chains of a skeleton file; roles are by the order in a chain."""
        index = {name: joint for joint, name in enumerate(self.motion.joint_names)}
        chains = {part: [index[name] for name in stated[part]] for part in PARTS}
        roles = _roles_in(chains, self.said)
        given = self._given()
        listed = {joint for chain in chains.values() for joint in chain}
        roles |= {role: joint for role, joint in given.items() if joint in listed}
        role_of = {joint: role for role, joint in roles.items()}
        points: list[Point] = []
        place: dict[int, int] = {}
        of_part: dict[str, tuple[int, ...]] = {}
        for part in ("torso", *(part for part in PARTS if part != "torso")):
            before = -1 if not points else 0
            for joint in chains[part]:
                if joint not in place:
                    weights = self.rig.weights[joint]
                    points.append(Point(self.rig.names[joint], weights, before, role_of.get(joint)))
                    place[joint] = len(points) - 1
                before = place[joint]
            of_part[part] = tuple(place[joint] for joint in chains[part])
        ordered = {part: of_part[part] for part in PARTS}
        why = "by the chains of the skeleton file"
        out = self._left_out(points)
        body = Body("human", why, self.convention, tuple(points), ordered, left_out=out)
        return self._with_roles(body, given)

    def _with_roles(self, body: Body, given: Mapping[str, int]) -> Body:
        """The body with the joints that a skeleton file gives for its roles."""
        points = tuple(
            point._replace(name=self.rig.names[joint], weights=self.rig.weights[joint])
            if (joint := given.get(point.role or "")) is not None
            else point
            for point in body.points
        )
        notes = body.notes
        if unused := [role for role in given if role not in body.roles]:
            notes += (f"no point of the body has the role {', '.join(unused)} of the file",)
        return dataclasses.replace(body, points=points, notes=notes)

    def _left_out(self, points: Sequence[Point]) -> dict[str, tuple[str, ...]]:
        """The joints that are no points, in groups."""
        used = {joint for point in points for joint, _ in point.weights}
        groups: dict[str, list[str]] = {"fingers": [], "face": [], "ends": [], "helpers": []}
        for joint, label in enumerate(self.said):
            if joint in used:
                continue
            group = {"finger": "fingers", "face": "face"}.get(label.kind, "helpers")
            if joint in self.rig.ends or (label.end and group == "helpers"):
                group = "ends"
            groups[group].append(self.rig.names[joint])
        return {group: tuple(names) for group, names in groups.items()}


def _missing_in(points: Sequence[Point]) -> list[str]:
    """The parts of a body of which points have no roles."""
    roles = {point.role for point in points}
    ends = {
        f"{side} {limb}": f"{side}_{role}"
        for limb, role in (("leg", "ankle"), ("arm", "wrist"))
        for side in SIDES
    }
    missing = [part for part, role in ends.items() if role not in roles]
    return missing + ["head"] * (not roles & {"head", "head_end"})


def _roles_in(chains: Mapping[str, Sequence[int]], said: Sequence[Label]) -> dict[str, int]:
    """{role: joint} of the joints of five chains, by their order from the torso outwards."""
    torso = chains["torso"]
    roles = {"pelvis": torso[0]}
    for side in SIDES:
        leg, arm = chains[f"{side}_leg"], chains[f"{side}_arm"]
        start = int(leg[0] in torso)
        names = ("hip", "knee", "ankle", "foot", "toe")
        roles |= {f"{side}_{role}": joint for role, joint in zip(names, leg[start:])}
        rest = arm[int(arm[0] in torso) :]
        with_collar = len(rest) > 3 and said[rest[-1]].part not in ("hand", "palm")
        names = ("collar", "shoulder", "elbow", "wrist", "hand")
        roles |= {f"{side}_{role}": joint for role, joint in zip(names[not with_collar :], rest)}
    meeting = chains["left_arm"][0]
    if meeting in torso and meeting != torso[0]:
        roles["chest"] = meeting
    ends = [joint for joint in torso if joint not in roles.values()]
    if ends:
        roles["head"] = ends[-1]
    return roles
