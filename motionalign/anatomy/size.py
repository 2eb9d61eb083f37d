"""The unit, the axis that points up and the height of a body, and whether they are plausible."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from motionalign.anatomy.body import SIDES, Body
from motionalign.anatomy.limbs import LEG
from motionalign.conventions import (
    AXES,
    UNITS,
    Declared,
    Finding,
    Measured,
    implausible,
    measure,
    to_y,
)
from motionalign.formats.motion import Motion
from motionalign.skeleton import PARTS, Skeleton

CMU = UNITS["in"] / 0.45  # metres per unit of CMU's mocap, whose files state 0.45

_STATURE = 1.65  # metres along the bones of a usual body
_SIZES = (0.5, 2.8)  # metres: other bodies have no unit by their height
_RARE: Mapping[float, float] = {CMU: 0.5, UNITS["ft"]: 0.4, UNITS["in"]: 0.1, UNITS["mm"]: 0.1}
# Units that a program uses, which therefore need less of a fit than others, and how much less, in
# the logarithm of the height, as all costs of a unit. The names of some are used by others, too.
_USUAL: Mapping[str, tuple[float, float]] = {
    "Mixamo": (UNITS["cm"], 0.7),
    "3ds Max Biped": (UNITS["in"], 0.3),
    "Character Creator": (UNITS["cm"], 0.7),
    "Unreal": (UNITS["cm"], 0.7),
    "VRM": (UNITS["m"], 0.7),
    "CMU (ASF)": (CMU, 0.7),
    "CMU (BVH)": (CMU, 0.7),
    "DAZ": (UNITS["cm"], 0.7),
    "Poser": (UNITS["in"], 0.3),
    "Xsens (BVH)": (UNITS["cm"], 0.7),
    "Bandai Namco": (UNITS["cm"], 0.7),
}
_CLOSE = 1.0  # of two costs: the choice between the units is said to be an assumption
_LEG_JOINTS, _ARM_JOINTS = 4, 3  # of a chain, at least, that is measured
_CLEAR = 0.3  # cosine, on the mean: an axis along which a body is upright more often than not
_JUMP = 2.0  # body heights from one frame to the next that nobody moves, at any usual rate
# Of the stature, from where the skull turns on the neck to its top; cameras see its middle.
_SKULL: Mapping[str, float] = {"optical": 0.13, "depth": 0.06}
_FEW = 10  # frames below which a body that does not move is no finding
_FRAMES = 20_000  # frames, at most, that are measured


# Units in a sentence, where "in" would be read as another word.
_WORDS = {"m": "metres", "cm": "centimetres", "mm": "millimetres", "in": "inches", "ft": "feet"}


def unit_name(unit_in_metres: float) -> str:
    """The name of a unit: a key of `UNITS`, or its length, such as "5.6444 cm"."""
    for name, metres in UNITS.items():
        if abs(unit_in_metres / metres - 1) < 1e-6:
            return name
    return f"{unit_in_metres * 100:.5g} cm"


def body_skeleton(body: Body) -> Skeleton:
    """The points of a body as a skeleton that `conventions.measure` takes, named by their roles.

    `motionalign.conventions` knows a shoulder by its name, which is the collar in some programs.
    """
    names = tuple(point.role or f"spine_{i}" for i, point in enumerate(body.points))
    places = {name: i for i, name in enumerate(names)}
    twins = {"left": "right", "right": "left"}

    def twin(index: int) -> int:
        side, _, rest = names[index].partition("_")
        other = f"{twins.get(side, side)}_{rest}" if rest else side
        return places.get(other, index)

    return Skeleton(
        name="body",
        joint_names=names,
        parents=tuple(point.parent for point in body.points),
        chains=tuple(_chain(body, part) for part in PARTS),
        chain_names=PARTS,
        mirror=tuple(twin(i) for i in range(len(names))),
    )


def _chain(body: Body, part: str) -> tuple[int, ...]:
    """A chain whose second joint is the hip, if it is a leg's, as `measure` takes it."""
    side, _, limb = part.partition("_")
    roles = [f"{side}_{role}" for role in LEG]
    if limb != "leg" or any(role not in body.roles for role in roles[:3]):
        return body.chains[part]
    return (0, *(body.roles[role] for role in roles if role in body.roles))


def positions_of(body: Body, positions: np.ndarray) -> np.ndarray:
    """The points [..., P, 3] of a body, from those of the file's joints [..., J, 3]."""
    return np.stack(
        [
            sum(weight * positions[..., joint, :] for joint, weight in point.weights)
            for point in body.points
        ],
        axis=-2,
    )


def with_size(body: Body, motion: Motion, unit: float | None = None, up: str | None = None) -> Body:
    """A body with its unit, its up axis, its height, and what is implausible about them.

    Args:
      body: of any kind; measured only if it has chains.
      motion: the motion that it was found in.
      unit: metres, as the user declares the unit; None: not declared.
      up: the axis as the user declares it; None: not declared.
    """
    if motion.dims == 2:
        return body
    if not body.chains:
        return _as_stated(body, motion, unit, up, ())
    skeleton = body_skeleton(body)
    legs, arms = (
        [len(_chain(body, f"{side}_{limb}")) for side in SIDES] for limb in ("leg", "arm")
    )
    if min(legs) < _LEG_JOINTS or min(arms) < _ARM_JOINTS:
        note = "its limbs have too few joints to be measured"
        return _as_stated(body, motion, unit, up, (note,))
    persons = np.moveaxis(motion.positions[:_FRAMES], 1, 0)
    seen = [positions_of(body, person) for person in persons]
    seen = [person[np.isfinite(person).all((1, 2))] for person in seen]
    seen = [person for person in seen if len(person)]
    if not seen:
        note = "no frame has all points of the body, so that it was not measured"
        return _as_stated(body, motion, unit, up, (note,))
    notes = list(body.notes)
    axis, axis_known = _up(body, motion, up, seen, skeleton, notes)
    turned = [person @ to_y(axis).T for person in seen]
    measured = [measure(person, skeleton) for person in turned]
    height = float(np.median([each.height for each in measured]))
    metres, unit_known = _unit(body, motion, unit, height, notes)
    stands = float(np.median([_standing(body, person) for person in seen]))
    notes += _jumps(body, motion, height, metres)
    return dataclasses.replace(
        body,
        unit_in_metres=metres,
        unit_known=unit_known,
        up=axis,
        up_known=axis_known,
        height=None if metres is None else stands * metres,
        finding=_finding(body, motion, measured, metres, axis),
        notes=tuple(notes),
    )


def _standing(body: Body, points: np.ndarray) -> float:
    """The height of a person [T, P, 3] standing straight, from the soles to the top of the head.

    Ours: the lengths of thigh, shin and torso, how far the root is above the hips along the torso,
    and how far the foot goes on below the ankle in the direction of the shin. So it does not matter
    how the person sits or bends, nor how far the hips are apart. The top of the head is at least a
    usual share of the height above the joint on which the skull turns: many rigs have no point
    there, or end in the middle of the head.
    """

    def length(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.median(np.linalg.norm(b - a, axis=-1)))

    torso = points[:, list(body.chains["torso"])]
    bones = [length(torso[:, i], torso[:, i + 1]) for i in range(torso.shape[1] - 1)]
    skull = bones.pop() if "head_end" in body.roles else 0.0
    legs, hips = [], []
    for side in SIDES:
        hip, knee, ankle, *foot = (points[:, joint] for joint in _chain(body, f"{side}_leg")[1:])
        hips.append(hip)
        shin = ankle - knee
        shin = shin / np.maximum(np.linalg.norm(shin, axis=-1, keepdims=True), 1e-12)
        below = [np.median(((joint - ankle) * shin).sum(-1)) for joint in foot]
        legs.append(length(hip, knee) + length(knee, ankle) + max([0.0, *map(float, below)]))
    along = torso[:, 1] - torso[:, 0]
    along = along / np.maximum(np.linalg.norm(along, axis=-1, keepdims=True), 1e-12)
    root = np.median(((torso[:, 0] - np.mean(hips, axis=0)) * along).sum(-1))
    up_to_head = float(np.mean(legs)) + float(root) + sum(bones)
    return max(up_to_head + skull, up_to_head / (1 - _SKULL[body.sensor]))


def _as_stated(
    body: Body, motion: Motion, unit: float | None, up: str | None, notes: tuple[str, ...]
) -> Body:
    """The body with the unit and the axis that the user or the file states."""
    return dataclasses.replace(
        body,
        unit_in_metres=unit or motion.unit_in_metres,
        unit_known="declared" if unit else "stated" if motion.unit_in_metres else "",
        up=up or motion.up,
        up_known="declared" if up else "stated" if motion.up else "",
        notes=(*body.notes, *notes),
    )


def _up(
    body: Body,
    motion: Motion,
    declared: str | None,
    seen: Sequence[np.ndarray],
    skeleton: Skeleton,
    notes: list[str],
) -> tuple[str, str]:
    """The axis that points up, and how that is known."""
    if declared or motion.up:
        return str(declared or motion.up), "declared" if declared else "stated"
    together = np.concatenate(seen)
    stands = measure(together, skeleton).up
    rests = _rest_axis(body, motion, skeleton)
    if rests and rests != stands and (stands is None or _is_down(together, skeleton, rests)):
        mostly = _mostly_up(body, together) if stands is None else None
        if mostly in (None, rests) or _is_down(together, skeleton, rests):
            return rests, "by the rest pose"
        return str(mostly), "by the body"
    if stands:
        return stands, "by the body"
    towards = _upwards(body, together).mean(0)
    axis = max(AXES, key=lambda name: float(towards @ AXES[name]))
    axis = axis if float(towards @ AXES[axis]) > 0.5 * np.linalg.norm(towards) else "y"
    notes.append(
        f"the body does not stand, and the file does not state the axis that points up: {axis} is "
        "assumed"
    )
    return axis, "assumed"


def _jumps(body: Body, motion: Motion, height: float, metres: float | None) -> list[str]:
    """A note if a person is somewhere else in the next frame, as where frames are damaged."""
    weights = body.points[0].weights
    root = sum(weight * motion.positions[:_FRAMES, :, joint] for joint, weight in weights)
    steps = np.linalg.norm(np.diff(np.asarray(root), axis=0), axis=-1)
    steps = np.where(np.isfinite(steps), steps, 0.0)
    places = int((steps > _JUMP * height).any(axis=-1).sum())
    if not places or height <= 0:
        return []
    frame = int(steps.max(axis=-1).argmax())
    far = f"{steps.max() * metres:.3g} m" if metres else f"{steps.max() / height:.3g} body heights"
    more = f"; so it does in {places - 1} other places" if places > 1 else ""
    return [
        f"the body jumps by {far} from frame {frame + 1} to the next{more}: frames are damaged, or "
        "clips are joined"
    ]


def _upwards(body: Body, points: np.ndarray) -> np.ndarray:
    """From the feet to the head [T, 3], of points [T, P, 3]."""
    ends = [body.chains["left_leg"][-1], body.chains["right_leg"][-1]]
    return points[:, body.chains["torso"][-1]] - points[:, ends].mean(1)


def _mostly_up(body: Body, points: np.ndarray) -> str | None:
    """The axis along which a body that turns over is upright in more frames than not; or None.

    A rest pose says nothing of it: MotionBuilder writes one along Y and a motion along Z.
    """
    upwards = _upwards(body, points)
    lengths = np.linalg.norm(upwards, axis=-1, keepdims=True)
    mean = (upwards / np.where(lengths > 0, lengths, 1)).mean(0)
    first, second = sorted(AXES, key=lambda name: float(mean @ AXES[name]))[::-1][:2]
    clear = mean @ (AXES[first] - np.asarray(AXES[second])) > _CLEAR
    return first if clear and float(mean @ AXES[first]) > _CLEAR else None


def _is_down(joints: np.ndarray, skeleton: Skeleton, up: str) -> bool:
    """Whether bodies [T, P, 3] lie on the ground or are on all fours, if this axis points up."""
    turned = joints @ to_y(up).T
    found = measure(turned, skeleton)
    return found.resting or (found.kneeling > 0.5 and _leans_on_arms(turned, skeleton))


def _leans_on_arms(joints: np.ndarray, skeleton: Skeleton) -> bool:
    """Whether the arms of bodies [T, P, 3], Y up, mostly point down; True if it has no arms."""
    place = {name: index for index, name in enumerate(skeleton.joint_names)}
    ends = [(f"{side}_shoulder", f"{side}_wrist") for side in ("left", "right")]
    arms = [joints[:, place[a]] - joints[:, place[b]] for a, b in ends if a in place and b in place]
    if not arms:
        return True
    lengths = np.maximum(np.linalg.norm(arms, axis=-1), 1e-12)
    return bool((np.mean(np.asarray(arms)[..., 1] / lengths, axis=0) > 0.5).mean() > 0.5)


def _rest_axis(body: Body, motion: Motion, skeleton: Skeleton) -> str | None:
    """The axis along which the rest pose stands; None if it does not: legs opposite the torso.

    Not all rest poses are poses of a body: in some files all bones lie along one axis.
    """
    if motion.rest is None:
        return None
    rest = positions_of(body, motion.rest[None])
    if not np.isfinite(rest).all():
        return None

    def direction(part: str) -> np.ndarray:
        chain = body.chains[part]
        end = chain[3] if part.endswith("leg") else chain[-1]
        vector = rest[0, end] - rest[0, chain[0]]
        return vector / (np.linalg.norm(vector) or 1.0)

    left, right, torso = (direction(part) for part in ("left_leg", "right_leg", "torso"))
    stands = left @ right > 0.8 and left @ torso < -0.8 and right @ torso < -0.8
    return measure(rest, skeleton).up if stands else None


def _unit(
    body: Body, motion: Motion, declared: float | None, height: float, notes: list[str]
) -> tuple[float | None, str]:
    """The unit in metres, and how it is known."""
    if declared is not None:
        return declared, "declared"
    if motion.unit_in_metres is not None:
        return motion.unit_in_metres, "stated"
    usual, gain = _USUAL.get(body.convention, (None, 0.0))
    costs = {
        metres: abs(np.log(height * metres / _STATURE))
        + _RARE.get(metres, 0.0) * (metres != usual)
        - gain * (metres == usual)
        for metres in (*UNITS.values(), CMU)
        if height > 0 and _SIZES[0] <= height * metres <= _SIZES[1]
    }
    if not costs:
        notes.append(f"the body measures {height:.4g} along its bones, which is human in no unit")
        return None, ""
    best, *others = sorted(costs, key=lambda metres: costs[metres])
    for other in others:
        if costs[other] - costs[best] < _CLOSE:
            name = unit_name(best)
            notes.append(
                f"the unit is assumed to be {_WORDS.get(name, name)}, in which the body measures "
                f"{height * best:.2f} m along its bones; in {unit_name(other)} it would be "
                f"{height * other:.2f} m"
            )
            break
    return best, "by height"


def _finding(
    body: Body,
    motion: Motion,
    measured: Sequence[Measured],
    metres: float | None,
    axis: str,
) -> Finding | None:
    """The first thing about a person of the motion that is implausible."""
    accept = ("frozen",) if motion.num_frames < _FEW else ()
    declared = Declared(up=axis)
    for each in measured:
        if finding := implausible(each, metres, body.sensor, accept, declared):
            return finding
    return None
