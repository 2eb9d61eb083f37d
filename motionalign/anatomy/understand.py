"""What a motion is: which of its joints are which parts of a human, its unit, and its axes."""

from collections.abc import Sequence
from typing import Any

from motionalign.anatomy import assemble
from motionalign.anatomy.body import Body, NotHuman
from motionalign.anatomy.named import by_names, doubts
from motionalign.anatomy.names import Label, convention_of, labels
from motionalign.anatomy.rig import Rig
from motionalign.anatomy.size import with_size
from motionalign.formats.motion import Motion


def understand(motion: Motion, skeleton: Any = None) -> Body:
    """Finds what a motion is.

    Looks at the skeleton file, if there is one; at sets of joints known by their exact names; at
    what the names say; then at the tree and the pose.

    Args:
      motion: of any format.
      skeleton: a skeleton file that says what the joints are; None: the one of the motion.

    Returns:
      The body; its `kind` says what the motion is if it is not that of a human.
    """
    rig = Rig(motion)
    said = labels(motion.joint_names)
    body = _by_names(motion, rig, said)
    return with_size(body, motion) if body.kind == "human" else body


def _by_names(motion: Motion, rig: Rig, said: Sequence[Label]) -> Body:
    named = by_names(rig, said)
    convention = motion.convention or convention_of(motion.joint_names)
    if named.missing:
        return Body("unknown", f"the names say nothing of {', '.join(named.missing)}", convention)
    if doubt := doubts(rig, named.roles):
        return Body("unknown", doubt, convention)
    roles = assemble.with_ends(rig, named.roles, said)
    trunk = assemble.torso(rig, roles, said)
    points, chains = assemble.build(rig, roles, trunk)
    return Body(
        "human",
        f"by the names of its joints ({convention})",
        convention,
        points=points,
        chains=chains,
        left_out=_left_out(said, rig, points),
    )


def _left_out(said: Sequence[Label], rig: Rig, points: Sequence[Any]) -> dict[str, tuple[str, ...]]:
    used = {joint for point in points for joint, _ in point.weights}
    rest = [joint for joint in range(len(said)) if joint not in used]
    groups: dict[str, list[str]] = {"fingers": [], "face": [], "ends": [], "helpers": []}
    for joint in rest:
        label = said[joint]
        kind = {"finger": "fingers", "face": "face"}.get(label.kind)
        groups[kind or ("ends" if label.end else "helpers")].append(rig.names[joint])
    return {group: tuple(names) for group, names in groups.items()}


def require_human(body: Body, where: str) -> None:
    """Raises NotHuman, in one line, unless a body is that of a human.

    Args:
      body: what was found.
      where: the file, for the message.
    """
    if body.kind != "human":
        raise NotHuman(f"{where}: {body.kind}, not a human body: {body.why}", body)
