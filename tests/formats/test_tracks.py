"""Persons over the frames of a video."""

import numpy as np
import pytest

from motionalign.formats import tracks


def detection(frame, x, person=None, size=10.0):
    """A body of two points, `size` high, at x."""
    points = np.array([[x, 0.0, 1.0], [x, size, 1.0], [np.nan, np.nan, 0.0]])
    return tracks.Detection(frame, points, person)


def where(positions):
    """x of the first point, [T, M]."""
    return positions[:, :, 0, 0]


def test_the_nearest_is_the_same_person():
    """Two who come closer, listed in another order in each frame."""
    listed = ((0, 0), (0, 30), (1, 28), (1, 3), (2, 6), (2, 26))
    found = [detection(frame, x, size=60) for frame, x in listed]
    positions, persons, notes = tracks.followed(found, 3, "clip")
    np.testing.assert_array_equal(where(positions), [[0, 30], [3, 28], [6, 26]])
    assert persons == ("person 1", "person 2")
    assert len(notes) == 1
    assert "nearest mean position" in notes[0]


def test_one_person_is_not_two():
    """Somebody who comes close to a person whom the detector knows already."""
    found = [detection(0, 0), detection(1, 4), detection(1, 1)]
    positions, _, _ = tracks.followed(found, 2, "clip")
    np.testing.assert_array_equal(where(positions), [[0, np.nan], [1, 4]])


def test_farther_than_a_body_is_somebody_else():
    found = [detection(0, 0), detection(1, 50), detection(3, 2)]
    positions, _, notes = tracks.followed(found, 4, "clip")
    np.testing.assert_array_equal(
        where(positions), [[0, np.nan], [np.nan, 50], [np.nan, np.nan], [2, np.nan]]
    )
    assert np.isnan(positions[2]).all()
    assert notes[1] == "Nobody is seen in 1 frame of 4."


def test_numbers_of_the_detector_come_first():
    found = [detection(0, 0, 7), detection(0, 30, 4), detection(1, 0, 4), detection(1, 30, 7)]
    positions, persons, notes = tracks.followed(found, 2, "clip")
    np.testing.assert_array_equal(where(positions), [[30, 0], [0, 30]])
    assert (persons, notes) == (("person 4", "person 7"), [])
    found.append(detection(1, 5, 7))
    with pytest.raises(ValueError, match="clip: person 7 is twice in frame 1"):
        tracks.followed(found, 2, "clip")


def test_one_person_has_no_name():
    positions, persons, notes = tracks.followed([detection(0, 1)], 1, "clip")
    assert (persons, notes, positions.shape) == (("",), [], (1, 1, 3, 3))


@pytest.mark.parametrize("numbered", [False, True])
def test_a_crowd_is_refused(numbered):
    found = [detection(i, 100 * i, i if numbered else None) for i in range(65)]
    with pytest.raises(ValueError, match="clip has more than 64 persons"):
        tracks.followed(found, 65, "clip")
