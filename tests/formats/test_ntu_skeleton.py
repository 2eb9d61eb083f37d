"""NTU's .skeleton files: bodies that come and go, and spoiled files."""

import mutations
import numpy as np
import pytest

from motionalign import formats
from motionalign.formats import ntu_skeleton


def write(path, frames, end="\r\n", seed=0):
    """A .skeleton file of frames, each a list of tracking ids; returns {id: [T, 25, 3]}."""
    rng = np.random.default_rng(seed)
    ids = list(dict.fromkeys(each for frame in frames for each in frame))
    bodies = {each: np.full((len(frames), 25, 3), np.nan) for each in ids}
    lines = [str(len(frames))]
    for t, frame in enumerate(frames):
        lines.append(str(len(frame)))
        for each in frame:
            lines += [f"{each} 0 1 1 1 1 0 -0.1159187 0.1413209 2", "25"]
            bodies[each][t] = rng.normal(size=(25, 3)).round(6)
            rest = "276.0976 190.0662 1032.328 514.0889 -0.17 0.042 0.97 -0.156 2"
            lines += [f"{x} {y} {z} {rest}" for x, y, z in bodies[each][t]]
    path.write_bytes((end.join(lines) + end).encode())
    return bodies


A, B, C = "72057594037931648", "72057594037931649", "72057594037931650"  # one as float64


def test_bodies_are_persons_in_the_order_of_their_appearance(tmp_path):
    path = tmp_path / "S001C001P001R001A050.skeleton"
    bodies = write(path, [[], [B], [A, B], [A], []])
    (motion,) = formats.read(path)
    assert motion.persons == (B, A)
    np.testing.assert_array_equal(motion.positions, np.stack([bodies[B], bodies[A]], axis=1))
    assert motion.joint_names == ntu_skeleton.JOINT_NAMES
    assert (motion.fps, motion.unit_in_metres, motion.up) == (30, 1, "y")
    assert (motion.convention, motion.notes) == ("Kinect v2", ())


def test_more_than_two_bodies_are_noted(tmp_path):
    write(tmp_path / "a.skeleton", [[A], [B], [C]], end="\n")
    (motion,) = formats.read(tmp_path / "a.skeleton")
    assert motion.positions.shape == (3, 3, 25, 3)
    assert motion.notes[0].startswith("3 bodies: a clip of the data set has one or two persons")


def test_joints_that_are_not_tracked_are_gaps(tmp_path):
    path = tmp_path / "a.skeleton"
    bodies = write(path, [[A], [A]])
    lines = path.read_text().splitlines()
    lines[4 + 7] = lines[4 + 7][:-1] + "0"
    path.write_text("\n".join(lines))
    (motion,) = formats.read(path)
    bodies[A][0, 7] = np.nan
    np.testing.assert_array_equal(motion.positions[:, 0], bodies[A])
    assert motion.notes == ("1 places of joints that the sensor did not track are left out.",)


def test_a_file_without_a_body_is_refused(tmp_path):
    write(tmp_path / "a.skeleton", [[], [], []])
    with pytest.raises(ValueError, match=r"a\.skeleton has no body in any of its 3 frames.*list"):
        formats.read(tmp_path / "a.skeleton")


@pytest.mark.parametrize(
    ("line", "new", "message"),
    [
        (1, "x", r"line 1: 'x'; expected the number of frames"),
        (1, "999999999", r"ends after line 57, in frame 3; its first line states 999999999 frames"),
        (1, "1", r"line 30: '1' after the 1 frames"),
        (2, "7", r"line 2: 7; expected the number of bodies in frame 1, at most 6"),
        (2, "-1", r"line 2: '-1'; expected the number of bodies in frame 1"),
        (2, "2", r"line 30: 1 values; expected the 10 of a body"),
        (3, "720 1", r"line 3: 2 values; expected the 10 of a body, its tracking id first"),
        (4, "20", r"line 4: '20'; expected 25, the number of joints"),
        (9, "1 2 3", r"line 9: 3 values, expected 12"),
        (9, "1 2 x 4 5 6 7 8 9 10 11 12", r"line 9: column 3 is 'x'; expected a finite number"),
    ],
)
def test_spoiled_files_are_refused_with_their_line(tmp_path, line, new, message):
    path = tmp_path / "a.skeleton"
    write(path, [[A], [A]])
    lines = path.read_text().splitlines()
    lines[line - 1] = new
    path.write_text("\n".join(lines))
    with pytest.raises(ValueError, match=message):
        formats.read(path)


def test_cut_and_empty_files_are_refused(tmp_path):
    path = tmp_path / "a.skeleton"
    write(path, [[A], [A, B]])
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:-1]))
    with pytest.raises(ValueError, match=r"ends after line 83, in frame 2"):
        formats.read(path)
    path.write_text("\n".join([*lines[:57], *lines[30:57]]))
    with pytest.raises(ValueError, match=f"line 58: body {A} for the second time"):
        formats.read(path)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"\.skeleton is empty: it has 0 bytes"):
        formats.read(path)


@pytest.mark.parametrize(
    ("name", "frames", "persons", "first"),
    [
        ("S001C001P001R001A011", 82, 1, (0.2058097, 0.1920515, 3.810989)),
        ("S001C003P008R002A058", 70, 2, (0.7201789, 0.1647426, 3.561895)),
        ("S002C001P003R001A003", 100, 1, (0.1264189, -0.08822607, 2.788731)),
    ],
)
def test_real_files(real_files, name, frames, persons, first):
    """Values read off by hand; the persons face the camera, so that their left is at -X."""
    (motion,) = formats.read(real_files / "ntu" / f"{name}.skeleton")
    assert motion.positions.shape == (frames, persons, 25, 3)
    np.testing.assert_array_equal(motion.positions[0, 0, 0], first)
    assert not np.isnan(motion.positions).any()
    at = motion.joint_names.index
    up = motion.positions[:, :, at("Head"), 1] - motion.positions[:, :, at("FootLeft"), 1]
    assert (up > 1.2).all() and (up < 2).all()
    across = motion.positions[:, :, at("HipLeft")] - motion.positions[:, :, at("HipRight")]
    assert (across[..., 0].mean(0) < 0).all()


def test_mutated_files_are_read_or_refused_by_name(tmp_path):
    path = tmp_path / "a.skeleton"
    write(path, [[A], [A, B], [], [B]])
    assert 20 < mutations.refusals(path) < 100
