"""Persons over the frames of a video, from what a detector found in each frame alone."""

import dataclasses

import numpy as np

from motionalign.formats.checks import counted

MOST_PERSONS = 64  # of a take; a detector that sees more does not follow persons


@dataclasses.dataclass(frozen=True)
class Bodies:
    """What a file says of the bodies in its frames: N of them, each in one frame.

    Attributes:
      frames: T, the number of frames.
      frame: [N] int, ascending; the bodies of a frame are in the order of the file.
      ids: N tracking ids; where nobody is tracked, the place within the frame.
      positions: [N, J, 3] float64.
      tracked: [N, J] bool, whether the sensor tracked the joint; where it did not, the position is
        a guess.
      notes: on the encoding of the file.
    """

    frames: int
    frame: np.ndarray
    ids: tuple[str, ...]
    positions: np.ndarray
    tracked: np.ndarray
    notes: tuple[str, ...] = ()


class Detection:
    """One person in one frame.

    Attributes:
      frame: index of the frame.
      points: [J, 3] as in `Motion.positions`.
      person: number by which the detector follows a person; None: it does not.
    """

    def __init__(self, frame: int, points: np.ndarray, person: int | None = None) -> None:
        """`points` has at least one point that was detected."""
        self.frame, self.points, self.person = frame, points, person
        seen = points[~np.isnan(points[:, 0])]
        self.size = float(np.ptp(seen[:, :2], axis=0).max())
        self.centre = seen[:, :2].mean(axis=0)


def followed(
    detections: list[Detection], frames: int, where: str
) -> tuple[np.ndarray, tuple[str, ...], list[str]]:
    """The positions of each person.

    By the detector's numbers where every detection has one. Otherwise a detection is the person
    whose last mean position in the image is nearest, unless it is farther away than a body's size;
    then it is another person.

    Args:
      detections: at least one, in the order of frames, with the same number of points.
      frames: T.
      where: the file, for messages.

    Returns:
      [T, M, J, 3], NaN where a person is not seen; the names of the persons; and notes.

    Raises:
      ValueError: a number is twice in a frame, or there are more than `MOST_PERSONS` persons.
    """
    notes = []
    if all(each.person is not None for each in detections):
        numbers = sorted({each.person for each in detections if each.person is not None})
        persons = [numbers.index(each.person or 0) for each in detections]
        names = tuple(f"person {number}" for number in numbers)
    else:
        persons = _nearest(detections, where)
        names = tuple(f"person {index + 1}" for index in range(max(persons) + 1))
        if len(names) > 1:
            notes.append(
                "Persons are followed from frame to frame by the nearest mean position, since the "
                "detector does not number them."
            )
    _check_number(len(names), where)
    taken = set()
    for each, person in zip(detections, persons):
        if (each.frame, person) in taken:
            raise ValueError(f"{where}: {names[person]} is twice in frame {each.frame}")
        taken.add((each.frame, person))
    positions = np.full((frames, len(names), *detections[0].points.shape), np.nan)
    at = np.array([each.frame for each in detections])
    positions[at, persons] = np.stack([each.points for each in detections])
    if gaps := int(np.isnan(positions).all(axis=(1, 2, 3)).sum()):
        notes.append(f"Nobody is seen in {counted(gaps, 'frame')} of {frames:,}.")
    return positions, names if len(names) > 1 else ("",), notes


def _nearest(detections: list[Detection], where: str) -> list[int]:
    """The person of each detection by position, numbered as they appear."""
    last: list[Detection] = []  # of each person
    persons = [0] * len(detections)
    start = 0
    while start < len(detections):
        end = start
        while end < len(detections) and detections[end].frame == detections[start].frame:
            end += 1
        found = detections[start:end]
        pairs = sorted(
            (float(np.linalg.norm(old.centre - new.centre)), person, index)
            for person, old in enumerate(last)
            for index, new in enumerate(found)
        )
        of: dict[int, int] = {}
        for distance, person, index in pairs:
            near = distance <= max(last[person].size, found[index].size)
            if near and index not in of and person not in of.values():
                of[index] = person
        for index, new in enumerate(found):
            if index not in of:
                of[index] = len(last)
                _check_number(len(last) + 1, where)
                last.append(new)
            last[of[index]] = new
            persons[start + index] = of[index]
        start = end
    return persons


def _check_number(persons: int, where: str) -> None:
    if persons > MOST_PERSONS:
        raise ValueError(
            f"{where} has more than {MOST_PERSONS} persons, who cannot be followed: give the "
            "detector a tracker (OpenPose writes person_id), or cut the video"
        )
