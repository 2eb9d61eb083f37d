"""Which bodies are the persons of a clip: cases by hand, and what holds for all files."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep.readers.main_bodies import of_slots, of_tracks
from motionalign.formats.tracks import Bodies

# Three joints: a body 1 m high and 0.2 m wide, and one that lies.
UPRIGHT = np.array([[0, 0, 0], [0.2, 0.5, 0], [0, 1, 0]], float)
LYING = UPRIGHT[:, [1, 0, 2]]
HERE = np.array([0, 0, 1])


def bodies(frames, *rows):
    """Rows (frame, id, joints [J, 3]) in any order."""
    rows = sorted(rows, key=lambda row: row[0])
    positions = np.array([joints for _, _, joints in rows], float).reshape(len(rows), 3, 3)
    return Bodies(
        frames=frames,
        frame=np.array([frame for frame, _, _ in rows], int),
        ids=tuple(name for _, name, _ in rows),
        positions=positions,
        tracked=np.ones(positions.shape[:2], bool),
    )


def moving(name, frames, step, pose=UPRIGHT, at=0.0):
    """A body that moves by `step` a frame along x."""
    return [(t, name, pose + np.array([at + i * step, 0, 1])) for i, t in enumerate(frames)]


def test_one_body_is_person_1_and_empty_frames_are_cut():
    found = bodies(8, *moving("a", (1, 2, 5), 0.1))
    joints = of_tracks(found)
    assert joints.shape == (3, 2, 3, 3) and joints.dtype == np.float32
    np.testing.assert_array_equal(joints[:, 0], found.positions.astype(np.float32))
    assert not joints[:, 1].any()


def test_a_short_clip_of_one_body_is_kept_but_short_bodies_beside_others_are_not():
    assert of_tracks(bodies(3, *moving("a", range(3), 0.1))).shape[0] == 3
    long = moving("a", range(12), 0.1)
    beside = of_tracks(bodies(12, *long, *moving("b", range(11), 0.5, at=2)))
    assert not beside[:, 1].any()
    twelve = of_tracks(bodies(12, *long, *moving("b", range(12), 0.5, at=2)))
    assert twelve.any(axis=(2, 3)).all()


def test_bodies_that_all_are_short_leave_nobody():
    found = bodies(20, *moving("a", range(11), 0.1), *moving("b", range(9, 20), 0.1))
    assert of_tracks(found).shape == (0, 2, 3, 3)
    assert of_tracks(bodies(4)).shape[0] == 0


def test_the_body_of_most_motion_is_person_1():
    still, fast = moving("a", range(15), 0.01), moving("b", range(15), 0.1, at=3)
    joints = of_tracks(bodies(15, *still, *fast))
    assert joints[0, 0, 0, 0] == 3 and joints[0, 1, 0, 0] == 0
    swapped = of_tracks(bodies(15, *fast, *still))
    np.testing.assert_array_equal(swapped, joints)


@pytest.mark.parametrize(("lying", "persons"), [(20, 1), (14, 1), (13, 2), (0, 2)])
def test_a_body_that_is_wider_than_high_in_most_frames_is_no_person(lying, persons):
    """14 of 20 frames are 0.7, above the threshold of 0.69754; 13 of 20 are 0.65."""
    person = moving("a", range(20), 0.01)
    table = [
        (t, "b", joints if t >= lying else joints - UPRIGHT + LYING)
        for t, _, joints in moving("b", range(20), 0.1, at=5)
    ]
    joints = of_tracks(bodies(20, *person, *table))
    assert joints.any(axis=(0, 2, 3)).sum() == persons
    assert joints[0, persons - 1, 0, 0] == 0  # the person


def test_a_body_0_8_times_as_wide_as_high_is_a_person():
    for width, persons in ((0.8, 2), (0.81, 1)):
        pose = np.array([[0, 0, 0], [width, 0, 0], [0, 1, 0]])
        wide = moving("b", range(12), 0.0, pose)
        joints = of_tracks(bodies(12, *moving("a", range(12), 0.1), *wide))
        assert joints.any(axis=(0, 2, 3)).sum() == persons


def test_frames_in_which_a_body_lies_do_not_count_as_motion():
    """The body that lies in frames far away moves less than the other in its upright ones."""
    jumps = [(t, "a", UPRIGHT + HERE if t >= 6 else LYING + 50 * HERE) for t in range(12)]
    joints = of_tracks(bodies(12, *jumps, *moving("b", range(12), 0.1, at=3)))
    assert joints[0, 0, 0, 0] == 3


def test_the_last_body_stays_even_if_it_lies():
    lying = [moving(name, range(12), 0.1, LYING, at) for name, at in (("a", 0), ("b", 4))]
    joints = of_tracks(bodies(12, *lying[0], *lying[1]))
    assert joints.any(axis=(0, 2, 3)).tolist() == [True, False]
    assert joints[0, 0, 0, 0] == 4  # the first was left out while there were two


def test_a_body_found_again_continues_the_person():
    """Person 1 is lost in frame 15 and has a new id from frame 15 on."""
    first, again = moving("a", range(15), 0.2), moving("b", range(15, 30), 0.05, at=3)
    joints = of_tracks(bodies(30, *first, *again))
    assert joints[:, 0].any(axis=(1, 2)).all() and not joints[:, 1].any()
    np.testing.assert_allclose(joints[15, 0, 0], [3, 0, 1])


def test_a_third_body_at_the_same_time_is_left_out():
    three = [moving(name, range(12), step, at=at)
             for name, step, at in (("a", 0.3, 0), ("b", 0.2, 10), ("c", 0.1, 20))]  # fmt: skip
    joints = of_tracks(bodies(12, *three[0], *three[1], *three[2]))
    assert joints[0, :, 0, 0].tolist() == [0, 10]


def test_frames_of_a_body_that_comes_and_goes_are_taken_for_consecutive_ones():
    """As in the published code: its third frame follows its second one, whenever it was seen."""
    other = moving("b", range(30), 0.3, at=9)
    gaps = moving("a", (*range(6), *range(20, 26)), 0.1)
    joints = of_tracks(bodies(30, *other, *gaps))
    there = joints[:, 1].any(axis=(1, 2))
    assert there.tolist() == [True] * 12 + [False] * 18


def test_person_2_counts_from_the_first_frame():
    """A body before person 2 is no second part of it, as its time is taken for that of person 2."""
    main = moving("a", range(40), 0.5)
    late, early = moving("b", range(26, 39), 0.3, at=50), moving("c", range(13), 0.1, at=70)
    joints = of_tracks(bodies(40, *main, *late, *early))
    assert not joints[:26, 1].any() and joints[26:39, 1].any(axis=(1, 2)).all()


poses = st.builds(
    lambda seed, scale: np.random.default_rng(seed).normal(0, scale, (3, 3)) + 0.01,
    st.integers(0, 99),
    st.sampled_from([0.05, 1.0]),
)
rows = st.dictionaries(
    st.tuples(st.integers(0, 25), st.sampled_from("abcd")), poses, max_size=100
)  # fmt: skip


@given(rows)
def test_whoever_is_chosen_was_there(found):
    """Every person of every frame is a body of the file, and no frame is empty."""
    given_rows = [(frame, name, pose) for (frame, name), pose in sorted(found.items())]
    joints = of_tracks(bodies(26, *given_rows))
    assert joints.shape[1:] == (2, 3, 3) if found else len(joints) == 0
    assert len(joints) <= len({frame for frame, _ in found})
    assert joints.any(axis=(1, 2, 3)).all()
    known = {pose.astype(np.float32).tobytes() for pose in found.values()}
    for person in joints.reshape(-1, 3, 3):
        assert not person.any() or person.tobytes() in known


def test_slots_by_hand():
    """Of the first four bodies of every frame the two that move most, by their places."""
    steps = (0.0, 0.3, 0.1, 0.2, 0.9)
    found = bodies(5, *(
        (t, str(place), UPRIGHT + np.array([10 * place + step * t, 0, 1]))
        for t in range(5) if t != 2
        for place, step in enumerate(steps)
    ))  # fmt: skip
    joints = of_slots(found, 4, 2)
    assert joints.shape == (4, 2, 3, 3) and joints.dtype == np.float32
    assert joints[0, :, 0, 0].tolist() == [10, 30]
    assert of_slots(found, 4, 1)[0, :, 0, 0].tolist() == [10]
    assert of_slots(found, 2, 1)[:, 0, 0, 0].tolist() == pytest.approx([10, 10.3, 10.9, 11.2])


def test_one_slot_and_nobody():
    joints = of_slots(bodies(3, *moving("a", (0, 2), 0.0)), 4, 2)
    assert joints.any(axis=(0, 2, 3)).tolist() == [True, False]  # though it does not move
    assert of_slots(bodies(3), 4, 2).shape[0] == 0


@given(rows)
def test_slots_keep_the_most_motion(found):
    given_rows = [(frame, name, pose) for (frame, name), pose in sorted(found.items())]
    joints = of_slots(bodies(26, *given_rows), 4, 2)
    assert joints.any(axis=(1, 2, 3)).all()
    spread = [
        there.std(axis=(0, 1)).sum() if len(there) else 0
        for there in (one[one.any(axis=(1, 2))] for one in joints.swapaxes(0, 1))
    ]
    assert spread == sorted(spread, reverse=True) or not found
