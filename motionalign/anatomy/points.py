"""The points of a body over time: metres, Y up, short gaps filled.

Nothing is invented: a gap that is not short stays one, and is told of.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from motionalign.anatomy.body import Body
from motionalign.conventions import to_y
from motionalign.formats.motion import Motion

LONGEST_GAP = 0.25
"""Seconds of the longest gap that is interpolated.

Ours: in a quarter of a second, a hand that is waved once a second leaves the straight line by less
than ten centimetres.
"""

_USUAL_FPS = 30.0  # where the file states none

_FEWEST = 10  # frames of a clip whose first frame may be cut

_NAMED = 5  # joints named in a note


@dataclasses.dataclass(frozen=True)
class Points:
    """The points of a body over time.

    Attributes:
      joints: [T, M, P, 3] float64 of M persons: metres, Y up; NaN where a person is absent. In 2D
        as the file has them, (x, y, confidence) with y up.
      present: [T, M] whether all points of a person are known in a frame.
      start: the frame of the file that is the first one here. Those before it and after the last
        one show nobody completely, or a pose before the motion.
      filled: number of values (frames x persons x joints of the file) that were interpolated.
      notes: what was filled, cut or left out, one sentence each.
    """

    joints: np.ndarray
    present: np.ndarray
    start: int
    filled: int
    notes: tuple[str, ...]

    @property
    def persons(self) -> tuple[int, ...]:
        """The persons who are there in at least one frame."""
        return tuple(np.flatnonzero(self.present.any(0)).tolist())


def points(motion: Motion, body: Body) -> Points:
    """The points of a body, in metres and with Y up.

    A joint that was not measured for at most `LONGEST_GAP` seconds is interpolated linearly between
    the frames around; a keypoint in 2D has the confidence 0 there. Where a gap is longer, or at an
    end of the clip, the person is absent. Frames without a person are cut at both ends, and so is a
    first frame from which joints jump: a T-pose that a program wrote before the motion.

    Raises:
      ValueError: the body has no points, its unit or its vertical axis is unknown, or no frame has
        all its joints. The message starts with the name of the take and says what to do.
    """
    turn = _to_metres(motion, body)
    used = sorted({joint for point in body.points for joint, _ in point.weights})
    given = motion.positions[:, :, used]
    measured = np.asarray(np.isfinite(given).all(-1))
    given, gaps = _filled(given, measured, motion)
    known = measured | gaps
    present = known.all(-1)
    if not present.any():
        raise ValueError(f"{motion.name}: {_nobody(motion, used, known)}")
    start = int(present.any(1).argmax())
    stop = len(present) - int(present.any(1)[::-1].argmax())
    weights = np.zeros((len(body.points), len(used)))
    for index, point in enumerate(body.points):
        for joint, weight in point.weights:
            weights[index, used.index(joint)] += weight
    inside = present[start:stop]
    joints = np.where(inside[..., None, None], given[start:stop], 0)  # NaN times 0 is NaN
    joints = weights @ joints @ turn.T
    joints[~inside] = np.nan
    notes = (
        *_gap_notes(motion, used, gaps),
        *_cut_notes(motion, used, known, start, stop),
        *_person_notes(motion, used, known, inside),
    )
    jump = _jump(joints) if motion.dims == 3 else 0.0
    if jump:
        joints, inside, start = joints[1:], inside[1:], start + 1
        notes += (
            f"the first frame is cut, a pose before the motion: joints are up to {jump:.2f} m away "
            "in the next one, several times as far as they move anywhere else",
        )
    return Points(joints, inside, start, int(gaps.sum()), notes)


def _jump(joints: np.ndarray) -> float:
    """How far joints [T, M, P, 3] in metres jump after a first frame that is not of the motion.

    Several programs write a calibration or rest pose before a motion. 0 where there is none: the
    first step must be more than 10 cm, and more than three times as long as 99 % of the others.
    """
    if len(joints) < _FEWEST:
        return 0.0
    steps = np.linalg.norm(np.diff(joints, axis=0), axis=-1).max(-1)  # NaN: somebody is absent
    steps = steps[:, ~np.isnan(steps[0]) & ~np.isnan(steps[1:]).all(0)]
    if not steps.size:
        return 0.0
    usual = np.nanquantile(steps[1:], 0.99, axis=0)
    if (steps[0] > np.maximum(0.1, 3 * usual)).all():
        return float(steps[0].max())
    return 0.0


def _to_metres(motion: Motion, body: Body) -> np.ndarray:
    """The matrix [3, 3] from the positions of the file to metres with Y up."""
    if not body.points:
        raise ValueError(f"{motion.name}: no points of a body were found in it ({body.why})")
    if motion.dims == 2:
        return np.eye(3)
    if body.unit_in_metres is None:
        what, field = "unit", '"unit": "cm"'
    elif body.up is None:
        what, field = "vertical axis", '"up": "z"'
    else:
        return body.unit_in_metres * to_y(body.up)
    raise ValueError(
        f"{motion.name}: its {what} is stated nowhere and cannot be found from the body; state it "
        f"in a skeleton file ({field}), and name that by --skeleton=FILE.json"
    )


# ---------------------------------------------------------------------------- gaps


def _filled(
    given: np.ndarray, measured: np.ndarray, motion: Motion
) -> tuple[np.ndarray, np.ndarray]:
    """Interpolates short gaps.

    Args:
      given: [T, M, J, 3] positions.
      measured: [T, M, J] whether they are numbers.
      motion: their motion.

    Returns:
      The positions, and [T, M, J] whether they were interpolated.
    """
    if measured.all():
        return given, np.zeros_like(measured)
    count = len(given)
    frame = np.arange(count)[:, None, None]
    before = np.maximum.accumulate(np.where(measured, frame, -1), axis=0)
    after = np.minimum.accumulate(np.where(measured, frame, count)[::-1], axis=0)[::-1]
    short = after - before - 1 <= LONGEST_GAP * (motion.fps or _USUAL_FPS)
    gaps = ~measured & (before >= 0) & (after < count) & short
    where = np.nonzero(gaps)
    left, right = before[gaps], after[gaps]
    share = ((where[0] - left) / (right - left))[:, None]
    out = given.copy()
    out[gaps] = given[left, *where[1:]] * (1 - share) + given[right, *where[1:]] * share
    if motion.dims == 2:
        out[..., 2][gaps] = 0
    return out, gaps


def _nobody(motion: Motion, used: Sequence[int], known: np.ndarray) -> str:
    """Why no frame shows a person completely."""
    never = _names(motion, used, ~known.any((0, 1)))
    if never:
        return (
            f"{never} not measured in any frame. Export the file with them, or say in a skeleton "
            'file ("roles") which other joints stand for them'
        )
    often = known.mean((0, 1))
    worst = _names(motion, used, often < max(0.5, 1.01 * often.min()))
    return (
        f"no frame has all joints of a body: {worst} not measured in many frames. Fill the gaps in "
        "the program that recorded it"
    )


# ---------------------------------------------------------------------------- notes


def _names(motion: Motion, used: Sequence[int], chosen: npt.ArrayLike) -> str:
    """Names of the chosen joints, with the verb: "LTOE was", "LTOE, RTOE and 3 others were"."""
    names = [motion.joint_names[used[index]] for index in np.flatnonzero(chosen)]
    if not names:
        return ""
    more = f" and {len(names) - _NAMED} others" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more} {'was' if len(names) == 1 else 'were'}"


def _gap_notes(motion: Motion, used: Sequence[int], gaps: np.ndarray) -> list[str]:
    if not gaps.any():
        return []
    names = _names(motion, used, gaps.any((0, 1)))
    return [
        f"{names} not measured in some frames: {int(gaps.sum()):,} positions in gaps of at most "
        f"{LONGEST_GAP:g} s are interpolated"
        + ("" if motion.fps else f", taking {_USUAL_FPS:g} frames for a second")
    ]


def _cut_notes(
    motion: Motion, used: Sequence[int], known: np.ndarray, start: int, stop: int
) -> list[str]:
    notes = []
    for where, frames in (("first", slice(0, start)), ("last", slice(stop, len(known)))):
        cut = known[frames]
        if len(cut):
            # The person who is there most tells which joints were lacking.
            person = int(known.all(-1).sum(0).argmax())
            names = _names(motion, used, ~cut[:, person].all(0))
            notes.append(
                f"the {where} {len(cut)} of {len(known)} frames are cut: {names} not measured"
            )
    return notes


def _person_notes(
    motion: Motion, used: Sequence[int], known: np.ndarray, present: np.ndarray
) -> list[str]:
    notes = []
    for person, there in enumerate(present.T):
        who = f"person {motion.persons[person] or person + 1}" if len(present.T) > 1 else "the body"
        lacking = _names(motion, used, ~known[:, person].all(0))
        if not there.any():
            notes.append(f"{who} is left out: {lacking} never measured with all other joints")
        elif not there.all():
            notes.append(
                f"{who} is absent in {int((~there).sum())} of {len(there)} frames: {lacking} not "
                f"measured for more than {LONGEST_GAP:g} s"
            )
    return notes
