"""Which of the bodies that a sensor found are the one or two persons of a clip.

`of_tracks` is the preparation of NTU RGB+D that the field's results share, that of CTR-GCN (Chen et
al., 2021, https://github.com/Uason-Chen/CTR-GCN, data/ntu); `of_slots` is that of the tools of
UAV-Human (https://github.com/sutdcv/UAV-Human, uavhumanposetools).
"""

from typing import NamedTuple

import numpy as np

from motionalign.formats.tracks import Bodies

# Of CTR-GCN. Its filter by motion (0.089925 to 2) is defined, but never called.
SHORTEST = 11  # frames; a body with no more is noise
SPREAD = 0.8  # of a body's height, that it is wide at most
SPREAD_RATE = 0.69754  # of its frames, from which a body that is wider is noise


class _Track(NamedTuple):
    """A body: its joints [n, J, 3] in the frames from `start` on, and how much it moves."""

    joints: np.ndarray
    start: int
    motion: float

    @property
    def last(self) -> int:
        return self.start + len(self.joints) - 1


def of_tracks(found: Bodies) -> np.ndarray:
    """The main bodies of a recording, by the ids that the sensor has given them.

    Frames without a body are cut. Where there are several bodies, those are left out that are seen
    in at most 11 frames, and those that are wider than 0.8 of their height in most frames, as
    tables and seats are. The others come in the order of their motion: the first one begins as
    person 1, and every further body continues person 1 where its frames do not overlap those of
    person 1, else person 2, else it is left out. Frames that are empty then are cut, too.

    As in the published code, the frames in which a body is seen are taken for consecutive ones,
    from its first on, and those of person 2 for having begun in the first frame of the recording.

    Args:
      found: the bodies of a file.

    Returns:
      [T, 2, J, 3] float32: zeros where a person is absent. T is 0 if no body is left.
    """
    seen = np.unique(found.frame)
    tracks = _tracks(found, seen)
    if len(tracks) > 1:
        tracks = [track for track in tracks if len(track.joints) > SHORTEST]
    tracks = _without_furniture(tracks)
    tracks.sort(key=lambda track: -track.motion)  # stable
    out = np.zeros((len(seen), 2, *found.positions.shape[1:]), np.float32)
    ends = [(0, 0), (0, 0)]  # the first and the last frame of the persons
    for index, track in enumerate(tracks):
        for person, (first, last) in enumerate(ends):
            if index == 0:
                first, last = track.start, track.last
            elif min(last, track.last) - max(first, track.start) > 0:
                continue
            out[track.start : track.last + 1, person] = track.joints
            ends[person] = min(first, track.start), max(last, track.last)
            break
    return out[out.any(axis=(1, 2, 3))]


def _tracks(found: Bodies, seen: np.ndarray) -> list[_Track]:
    """The bodies in the order of their appearance; `seen` are the frames with bodies."""
    rows: dict[str, list[int]] = {}
    for row, each in enumerate(found.ids):
        rows.setdefault(each, []).append(row)
    joints = found.positions.astype(np.float32)
    starts = np.searchsorted(seen, [found.frame[of[0]] for of in rows.values()])
    return [
        _Track(joints[of], int(start), _motion(joints[of]))
        for of, start in zip(rows.values(), starts)
    ]


def _motion(joints: np.ndarray) -> float:
    """How much a body [n, J, 3] moves: the variances of x, y and z over all joints and frames."""
    return float(np.var(joints.reshape(-1, 3), axis=0).sum())


def _without_furniture(tracks: list[_Track]) -> list[_Track]:
    """Leaves out bodies too wide for persons, and the frames in which they are from the motion.

    The last body stays, whatever it is.
    """
    kept = list(tracks)
    for track in tracks:
        if len(kept) == 1:
            break
        size = np.ptp(track.joints[..., :2], axis=1)
        upright = size[:, 0] <= SPREAD * size[:, 1]
        if upright.all():
            continue
        index = next(i for i, each in enumerate(kept) if each is track)
        if 1 - upright.mean() >= SPREAD_RATE:
            del kept[index]
        else:
            kept[index] = track._replace(motion=min(track.motion, _motion(track.joints[upright])))
    return kept


def of_slots(found: Bodies, slots: int, persons: int) -> np.ndarray:
    """The bodies of most motion, by their places in the frames of the file.

    The bodies that a frame names first, second and so on are taken for one body each, where nobody
    tracks them. Motion is the sum of the standard deviations of x, y and z over the joints of all
    frames in which the body is there. Frames in which none of the chosen ones is are cut.

    Args:
      found: the bodies of a file.
      slots: how many bodies of a frame are looked at.
      persons: M, how many are chosen.

    Returns:
      [T, M, J, 3] float32, the body of most motion first; zeros where one is absent.
    """
    slot = np.arange(len(found.frame)) - np.searchsorted(found.frame, found.frame)
    known = slot < slots
    bodies = np.zeros((slots, found.frames, *found.positions.shape[1:]))
    bodies[slot[known], found.frame[known]] = found.positions[known]
    motion = []
    for body in bodies:
        there = body[body.any(axis=(1, 2))]
        motion.append(float(there.std(axis=(0, 1)).sum()) if len(there) else -1.0)
    order = np.argsort(motion, kind="stable")[::-1][:persons]
    out = bodies[order].swapaxes(0, 1).astype(np.float32)
    return out[out.any(axis=(1, 2, 3))]
