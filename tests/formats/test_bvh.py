"""BVH files."""

import re
import time
import tracemalloc

import bvhio
import motion_files
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from motion_files import Joint

from motionalign import formats
from motionalign.formats import bvh, text

# A leg: 9 channels, two frames; the lines are numbered in SPOILED.
LEG = """HIERARCHY
ROOT Hips
{
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT Leg
  {
    OFFSET 0 -1 0
    CHANNELS 3 Zrotation Xrotation Yrotation
    End Site
    {
      OFFSET 0 -2 0
    }
  }
}
MOTION
Frames: 2
Frame Time: 0.0333333
0 5 0 0 0 0 0 0 0
1 5 0 90 0 0 0 90 0
"""


def read(tmp_path, content, name="clip.bvh"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return formats.read(path)


def read_one(tmp_path, content):
    (motion,) = read(tmp_path, content)
    return motion


# ---------------------------------------------------------------------------- what is read


def test_a_leg_by_hand(tmp_path):
    motion = read_one(tmp_path, LEG)
    assert motion.name == "clip" and motion.format == "BVH" and motion.fps == 30
    assert motion.joint_names == ("Hips", "Leg", "Leg_end")
    assert motion.parents == (-1, 0, 1) and motion.ends == (2,) and motion.persons == ("",)
    assert motion.unit_in_metres is None and motion.up is None and motion.notes == ()
    np.testing.assert_array_equal(motion.rest, [(0, 0, 0), (0, -1, 0), (0, -3, 0)])
    # Second frame: the hips turn the leg, which points down, to +X; the knee then turns the shin
    # about the thigh's own x, from "down" to "backward".
    expected = [
        [(0, 5, 0), (0, 4, 0), (0, 2, 0)],
        [(1, 5, 0), (2, 5, 0), (2, 5, -2)],
    ]
    np.testing.assert_allclose(motion.positions[:, 0], expected, atol=1e-12)


def test_a_written_human_reads_back(tmp_path):
    joints = motion_files.human()
    still = motion_files.swing(joints, 3, degrees=0)
    (motion,) = formats.read(motion_files.write_bvh(tmp_path / "still.bvh", joints, still))
    assert motion.positions.shape == (3, 1, 27, 3)
    np.testing.assert_allclose(motion.positions, np.stack([motion.rest] * 3)[:, None])
    of = dict(zip(motion.joint_names, motion.rest))
    np.testing.assert_allclose(of["Head_end"], [0, 172, 1])
    np.testing.assert_allclose(of["RightHand"], [-71, 141, 0])
    np.testing.assert_allclose(of["LeftToeBase_end"], [9, 2, 20])


def test_position_channels_replace_the_offset_on_their_axis(tmp_path):
    joints = (
        Joint("a", -1, (1, 2, 3), "yZ"),
        Joint("b", 0, (4, 5, 6), "zX"),
        Joint("c", 1, (0, 1, 0), ""),
    )
    content = motion_files.bvh_text(joints, [[20, 0, 60, 0], [20, 90, 60, 90]])
    motion = read_one(tmp_path, content)
    expected = [
        [(1, 20, 3), (5, 25, 63), (5, 26, 63)],
        [(1, 20, 3), (-4, 24, 63), (-4, 24, 64)],
    ]
    np.testing.assert_allclose(motion.positions[:, 0], expected, atol=1e-12)
    np.testing.assert_array_equal(motion.rest, [(1, 2, 3), (5, 7, 9), (5, 8, 9)])


def test_position_channels_that_are_all_zero_are_added(tmp_path):
    joints = motion_files.human(channels="xyzZXY")
    values = motion_files.swing(joints, 4)
    where = [letter in "xyz" for joint in joints for letter in joint.channels]
    where[:3] = [False] * 3
    zero = np.where(where, 0.0, values)
    motion = read_one(tmp_path, motion_files.bvh_text(joints, zero))
    expected = read_one(tmp_path, motion_files.bvh_text(joints, values))
    np.testing.assert_allclose(motion.positions, expected.positions, atol=1e-9)
    assert motion.notes == (
        "Position channels below the root are all zero and are added to the offsets.",
    )
    assert expected.notes == ()
    zero[1, np.argmax(where) + 1] = 0.1  # one that is not: all are positions
    motion = read_one(tmp_path, motion_files.bvh_text(joints, zero))
    assert motion.notes == () and np.ptp(motion.positions[0, 0, 1:, 1]) < 60


def test_rotations_before_positions_are_the_same_motion(tmp_path):
    joints = motion_files.human()
    values = motion_files.swing(joints, 5)
    turned = (joints[0]._replace(channels="ZXYxyz"), *joints[1:])
    swapped = np.concatenate([values[:, 3:6], values[:, :3], values[:, 6:]], axis=1)
    found = [
        read_one(tmp_path, motion_files.bvh_text(*each)).positions
        for each in ((joints, values), (turned, swapped))
    ]
    np.testing.assert_array_equal(*found)


def test_joints_without_channels_and_orders_that_differ(tmp_path):
    joints = (
        Joint("a", -1, (0, 0, 0), "xyzXYZ"),
        Joint("b", 0, (0, 1, 0), ""),
        Joint("c", 1, (0, 1, 0), "Y", ends=((1, 0, 0), (0, 0, 1))),
        Joint("d", 1, (1, 0, 0), "YX", ends=((0, 0, 1),)),
    )
    content = motion_files.bvh_text(joints, [[0, 0, 0, 0, 0, 0, 90, 90, 90]])
    motion = read_one(tmp_path, content)
    assert motion.joint_names == ("a", "b", "c", "c_end", "c_end.2", "d", "d_end")
    assert motion.ends == (3, 4, 6) and motion.notes == ()
    expected = [(0, 0, 0), (0, 1, 0), (0, 2, 0), (0, 2, -1), (1, 2, 0), (1, 1, 0), (1, 0, 0)]
    np.testing.assert_allclose(motion.positions[0, 0], expected, atol=1e-12)
    without = content.replace("  CHANNELS 0\n", "")
    assert without != content
    np.testing.assert_array_equal(read_one(tmp_path, without).positions, motion.positions)


def test_names_with_colons_spaces_and_other_alphabets(tmp_path):
    names = ("mixamorig:Hips", "Bip01 L Thigh", "腿", "Schädel.001", "a{".rstrip("{"))
    joints = tuple(Joint(name, i - 1, (0, 1, 0)) for i, name in enumerate(names))
    motion = read_one(tmp_path, motion_files.bvh_text(joints, np.zeros((1, 15))))
    assert motion.joint_names == names and motion.notes == ()


def test_repeated_names_are_numbered_and_told(tmp_path):
    names = ("Hips", "Arm", "Arm", "Arm_end", "Hips")
    joints = tuple(Joint(name, i - 1, (0, 1, 0)) for i, name in enumerate(names))
    joints = (*joints[:2], joints[2]._replace(ends=((0, 1, 0),)), *joints[3:])
    motion = read_one(tmp_path, motion_files.bvh_text(joints, np.zeros((1, 15))))
    assert motion.joint_names == ("Hips", "Arm", "Arm.2", "Arm.2_end", "Arm_end", "Hips.2")
    assert motion.notes == ("2 names of joints are repeated and are numbered: Arm.2 ...",)


@pytest.mark.parametrize("newline", ["\r\n", "\r"])
def test_other_line_ends_and_a_byte_order_mark(newline, tmp_path):
    expected = read_one(tmp_path, LEG).positions
    content = b"\xef\xbb\xbf" + LEG.replace("\n", newline).encode()
    np.testing.assert_array_equal(read_one(tmp_path, content).positions, expected)


def test_latin1_names_and_comments(tmp_path):
    content = LEG.replace("HIERARCHY", "# erzeugt von Jürgen\nHIERARCHY // Körper").replace(
        "JOINT Leg", "JOINT Bein_größer"
    )
    motion = read_one(tmp_path, content.encode("latin-1"))
    assert motion.joint_names == ("Hips", "Bein_größer", "Bein_größer_end")
    assert motion.notes == ("The file is not UTF-8 and is read as Latin-1.",)


def test_layouts_that_mean_the_same(tmp_path):
    expected = read_one(tmp_path, LEG).positions
    for change in (
        lambda s: s.replace(" ", "\t"),
        lambda s: s.replace("  ", ""),
        lambda s: re.sub(r"\s*\n\s*\{", " {", s),
        lambda s: s.replace("\n", "\n\n"),
        lambda s: s + "\n \n\t\n",
        lambda s: s.rstrip(),
        lambda s: s + "\x1a",
        lambda s: s.replace("rotation", "ROTATION").replace("JOINT", "Joint"),
        lambda s: s.replace("MOTION", "motion").replace("HIERARCHY", "Hierarchy"),
        lambda s: s.replace("End Site", "End  site"),
        lambda s: s.replace("1 5 0 90", " +1.0e0 5. 0 9E1"),
        lambda s: s.replace("Frames:", "Frames :").replace("Frame Time:", "FRAME TIME :"),
        lambda s: s.replace("\n      OFFSET 0 -2 0\n    }", " OFFSET\n0 -2 0 }"),
    ):
        content = change(LEG)
        assert content != LEG
        np.testing.assert_array_equal(read_one(tmp_path, content).positions, expected, content)


def test_frames_that_are_wrapped_over_lines(tmp_path):
    expected = read_one(tmp_path, LEG)
    content = LEG.replace("0 5 0 0 0 0", "0 5 0\n0 0 0\n").replace("1 5 0 90 0 0", "1 5 0\n90 0 0")
    motion = read_one(tmp_path, content)
    np.testing.assert_array_equal(motion.positions, expected.positions)
    assert motion.notes == ("Frames are wrapped over lines.",)


def test_more_rows_than_stated_are_read_and_told(tmp_path):
    motion = read_one(tmp_path, LEG.replace("Frames: 2", "Frames: 1"))
    assert motion.num_frames == 2
    assert motion.notes == ("Frames: states 1, but 2 rows follow: all are read.",)


def test_no_channels_at_all_are_the_rest_pose(tmp_path):
    content = re.sub(r".*CHANNELS.*\n", "", LEG).split("0 5 0")[0]
    motion = read_one(tmp_path, content)
    np.testing.assert_array_equal(motion.positions[:, 0], [motion.rest])
    assert motion.notes == ("No joint has channels: the motion is the rest pose.",)


def test_a_hidden_file_has_a_name(tmp_path):
    (motion,) = read(tmp_path, LEG, ".bvh")
    assert motion.name == "bvh"


def test_a_frame_time_of_zero_states_no_rate(tmp_path):
    motion = read_one(tmp_path, LEG.replace("0.0333333", "0.0"))
    assert motion.fps is None and motion.notes == ("Frame Time is 0: the rate is not stated.",)


# ---------------------------------------------------------------------------- several roots


def persons(names, offsets=(1, 1), prefixes=("", "")):
    """Roots with a chain of two joints below each, 9 channels."""
    out = []
    for root, offset, prefix in zip(names, offsets, prefixes):
        start = len(out)
        out += [
            Joint(prefix + root, -1, (0, 0, 0), "xyzZXY"),
            Joint(f"{prefix}Spine", start, (0, offset, 0), "ZXY", ends=((0, 1, 0),)),
        ]
    return tuple(out)


def test_alike_roots_are_persons_of_one_take(tmp_path):
    values = np.zeros((2, 18))
    values[:, 9] = 5
    (motion,) = read(tmp_path, motion_files.bvh_text(persons(("Hips", "Hips")), values))
    assert motion.persons == ("1", "2") and motion.parents == (-1, 0, 1)
    assert motion.joint_names == ("Hips", "Spine", "Spine_end") and motion.notes == ()
    np.testing.assert_array_equal(
        motion.positions[0],
        [[(0, 0, 0), (0, 1, 0), (0, 2, 0)], [(5, 0, 0), (5, 1, 0), (5, 2, 0)]],
    )


def test_prefixes_of_joints_name_the_persons(tmp_path):
    joints = persons(("Hips", "Hips"), (1, 2), ("Anna:", "Ben:"))
    (motion,) = read(tmp_path, motion_files.bvh_text(joints, np.zeros((1, 18))))
    assert motion.persons == ("Anna", "Ben")
    assert motion.joint_names == ("Anna:Hips", "Anna:Spine", "Anna:Spine_end")
    assert motion.notes == ("The rest pose is the first person's; the others' bones differ.",)
    np.testing.assert_array_equal(motion.positions[0, :, 1, 1], [1, 2])


def test_roots_that_are_not_alike_are_takes_of_their_own(tmp_path):
    joints = (*persons(("Hips",)), Joint("Sword", -1, (0, 0, 0), "xyz"))
    values = np.arange(24.0).reshape(2, 12)
    takes = read(tmp_path, motion_files.bvh_text(joints, values))
    assert [take.name for take in takes] == ["clip Hips", "clip Sword"]
    assert [take.joint_names for take in takes] == [("Hips", "Spine", "Spine_end"), ("Sword",)]
    np.testing.assert_array_equal(takes[1].positions[:, 0, 0], values[:, 9:])
    assert all(
        take.notes == ("The file has 2 trees of different joints, each a take.",) for take in takes
    )


# ---------------------------------------------------------------------------- the rate


@pytest.mark.parametrize(
    ("written", "fps"),
    [
        (".0083333", 120), ("0.0083333", 120), ("0.00833333", 120), ("0.008333", 120),
        ("0.00833", 120), ("0.0083", 120), ("0.008334", 120), ("8.333e-03", 120),
        ("0.00833333333333333333333333333333333", 120), ("0.0333333", 30), ("0.033333", 30),
        ("0.033334", 30), ("0.0333", 30), ("0.033", 30), ("0.03", 30), ("0.03333333333333333", 30),
        ("0.0417083750417", 23.976), ("0.041708", 23.976), ("0.0416667", 24), ("0.033367", 29.97),
        ("0.0333667", 29.97), ("0.016683", 59.94), ("0.016667", 60), ("0.0166667", 60),
        ("0.016666", 60), ("0.0167", 60), ("0.066667", 15), ("0.04000000", 25), ("0.04", 25),
        ("0.05", 20), ("0.01", 100), ("0.02", 50), ("0.1", 10), ("1", 1), ("0.008", 125),
        ("0.005", 200), ("0.0041667", 240), ("0.08", 12.5), ("0.0142857", 70), ("0.0344828", 29),
        ("0.0084034", 119), ("0.0084", 119), ("0.0123", 81), ("0.0023", 434.783),
        ("0.0001234", 8103.728),
    ],
)  # fmt: skip
def test_a_frame_time_is_the_rate_that_it_rounds(written, fps, tmp_path):
    assert bvh.rate(written) == pytest.approx(fps, abs=5e-3)
    motion = read_one(tmp_path, LEG.replace("0.0333333", written))
    assert motion.fps == bvh.rate(written)
    if float(fps).is_integer():
        assert motion.fps == fps
    coarse = abs(fps * float(written) - 1) > 1e-3
    expected = f"Frame Time {written} is read as {fps:g} frames per second, which it rounds."
    assert motion.notes == ((expected,) if coarse else ())


@given(fps=st.integers(1, 500), digits=st.integers(6, 12))
def test_whole_rates_survive_the_rounding_of_frame_times(fps, digits):
    assert bvh.rate(f"{1 / fps:.{digits}f}") == pytest.approx(fps, abs=0 if digits > 6 else 0.05)


@given(time=st.floats(1e-4, 1))
def test_a_rate_has_the_digits_of_its_frame_time(time):
    written = f"{time:.7f}"
    assert abs(1 / bvh.rate(written) - float(written)) <= 1.01e-7


# ---------------------------------------------------------------------------- what is refused

# What is replaced, by what; the line, and what the message says after it.
SPOILED = {
    "another kind": (LEG, "<html>\n<body>", 1, "'<html>'; expected HIERARCHY, with which a BVH"),
    "no root": ("ROOT Hips\n{", "{", 2, "'{'; expected JOINT, End Site, OFFSET, CHANNELS, } or"),
    "no brace": ("JOINT Leg\n  {", "JOINT Leg\n", 8, "'OFFSET'; expected { after joint 'Leg'"),
    "no name": ("JOINT Leg", "JOINT", 6, "JOINT without a name; expected JOINT and a name"),
    "root in a joint": ("JOINT Leg", "ROOT Leg", 6,
                        "ROOT Leg inside joint 'Hips' of line 2; expected JOINT, or closing"),
    "joint in an end site": ("OFFSET 0 -2 0", "JOINT Toe", 12,
                             "JOINT Toe in an End Site; expected only its OFFSET"),
    "joint outside": ("ROOT Hips", "JOINT Hips", 2,
                      "JOINT Hips outside of all joints; expected ROOT or MOTION"),
    "a brace too many": ("  }\n}\n", "  }\n}\n}\n", 16,
                         "} outside of all joints; expected ROOT or MOTION"),
    "a brace too few": ("  }\n}\n", "  }\n", 15,
                        "MOTION, while joint 'Hips' of line 2 is still open; expected 1 closing"),
    "cut in the hierarchy": (LEG[LEG.index("    End"):], "", 10,
                             "the end of the file; expected JOINT, End Site, OFFSET"),
    "offset of two": ("OFFSET 0 -1 0", "OFFSET 0 -1", 9,
                      "'CHANNELS'; expected three finite numbers after OFFSET"),
    "offset of four": ("OFFSET 0 -1 0", "OFFSET 0 -1 0 9", 8, "'9'; expected JOINT, End Site"),
    "offset nan": ("OFFSET 0 -1 0", "OFFSET 0 nan 0", 8, "'nan'; expected three finite numbers"),
    "offset infinite": ("OFFSET 0 -1 0", "OFFSET 0 1e999 0", 8, "'1e999'; expected three finite"),
    "offset with a comma": ("OFFSET 0 -1 0", "OFFSET 0 -1,5 0", 8, "'-1,5'; expected three"),
    "no offset": ("    OFFSET 0 -1 0\n", "", 13,
                  "} of joint 'Leg' of line 6, which has no OFFSET; expected its OFFSET"),
    "no offset of an end": ("      OFFSET 0 -2 0\n", "", 12,
                            "} of an End Site of line 10, which has no OFFSET"),
    "two offsets": ("OFFSET 0 -1 0", "OFFSET 0 -1 0\nOFFSET 0 -1 0", 9,
                    "a second OFFSET of joint 'Leg'; expected one"),
    "fewer channels": ("CHANNELS 3 Zrotation", "CHANNELS 3", 10,
                       "'End' as channel 3 of 3; expected one of Xposition, Yposition"),
    "more channels": ("CHANNELS 3 Zrotation", "CHANNELS 2 Zrotation", 9,
                      "'Yrotation'; expected JOINT, End Site"),
    "channels without a number": ("CHANNELS 3 Z", "CHANNELS Z", 9,
                                  "'Zrotation'; expected the number of channels after CHANNELS"),
    "a billion channels": ("CHANNELS 3", "CHANNELS 1000000000", 9,
                           "'1000000000'; expected the number of channels"),
    "two channels": ("    End", "CHANNELS 1 Xrotation\n    End", 10,
                     "a second CHANNELS of joint 'Leg'; expected one"),
    "a position twice": ("6 Xposition", "6 Yposition", 5,
                         "Yposition twice in joint 'Hips'; expected each position once"),
    "unknown channel": ("3 Zrotation", "3 Wrotation", 9,
                        "'Wrotation' as channel 1 of 3; expected one of Xposition"),
    "unknown word": ("    End", "    LENGTH 3\n    End", 10, "'LENGTH'; expected JOINT"),
    "no joints": (LEG[9: LEG.index("MOTION")], "\n", 2,
                  "MOTION without a joint before it; expected ROOT and its joints"),
    "no MOTION": ("MOTION\n", "", 16, "'Frames:'; expected JOINT, End Site"),
    "nothing after MOTION": (LEG[LEG.index("Frames"):], "", 17,
                             "the end of the file; expected Frames: and their number"),
    "no Frames": ("Frames: 2\n", "", 17, "'Frame Time: 0.0333333'; expected Frames: and their"),
    "no Frame Time": ("Frame Time: 0.0333333\n", "", 18, "'0 5 0 0 0 0 0 0 0'; expected Frame"),
    "no frames": ("Frames: 2", "Frames: 0", 17, "Frames: '0'; expected a whole number from 1"),
    "negative frames": ("Frames: 2", "Frames: -2", 17, "Frames: '-2'; expected a whole number"),
    "half a frame": ("Frames: 2", "Frames: 2.5", 17, "Frames: '2.5'; expected a whole number"),
    "a billion frames": ("Frames: 2", "Frames: 1000000000", 21,
                         "the end of the file after 2 rows; expected 1000000000 rows"),
    "fewer rows": ("Frames: 2", "Frames: 3", 21, "the end of the file after 2 rows; expected 3"),
    "no rows": (LEG[LEG.index("0 5 0"):], "", 19, "the end of the file after 0 rows; expected 2"),
    "cut in a row": ("1 5 0 90 0 0 0 90 0\n", "1 5 0 90", 20,
                     "4 values in a row; the hierarchy declares 9 channels and Frames: 2; exp"),
    "a long row": ("1 5 0 90", "1 5 0 0 90", 20, "10 values in a row; the hierarchy declares 9"),
    "rows of another width": ("0 0 0 0 0 0\n1 5 0 90 0 0", "0 0 0\n1 5 0", 19,
                              "6 values in a row; the hierarchy declares 9 channels"),
    "wrapped rows of another number": ("0 0 0 0 0 0\n1 5 0 90 0 0 0 90 0",
                                       "0 0 0\n0 0 0\n0 0 0\n1 5 0\n9 0 0\n0 9 0\n1 1 1\n1 1 1", 19,
                                       "6 values in a row; the hierarchy declares 9 channels"),
    "nan": ("1 5 0 90", "1 5 0 nan", 20, "'nan'; expected a finite number"),
    "infinite": ("1 5 0 90", "1 5 0 -inf", 20, "'-inf'; expected a finite number"),
    "too large": ("1 5 0 90", "1 5 0 1e999", 20, "'1e999'; expected a finite number"),
    "a word": ("1 5 0 90", "1 5 0 ninety", 20, "'ninety'; expected a finite number"),
    "two points": ("1 5 0 90", "1 5 0 9.0.0", 20, "'9.0.0'; expected a finite number"),
    "decimal comma": ("1 5 0 90", "1 5 0 9,5", 20, "'9,5'; expected a finite number"),
    "frame time of a rate": ("0.0333333", "30", 18,
                             "Frame Time: '30'; expected seconds per frame, a number from 0.0001"),
    "negative frame time": ("0.0333333", "-0.03", 18, "Frame Time: '-0.03'; expected seconds"),
    "frame time nan": ("0.0333333", "nan", 18, "Frame Time: 'nan'; expected seconds per frame"),
    "frame time with a comma": ("0.0333333", "0,033", 18, "Frame Time: '0,033'; expected seconds"),
    "tiny frame time": ("0.0333333", "0.00001", 18, "Frame Time: '0.00001'; expected seconds"),
    "rows without channels": ("CHANNELS", "# CHANNELS", 19,
                              "9 values; expected none, because no joint has channels"),
}  # fmt: skip


@pytest.mark.parametrize("what", SPOILED)
def test_spoiled_files_are_told_with_the_line(what, tmp_path):
    old, new, line, message = SPOILED[what]
    assert old in LEG
    with pytest.raises(ValueError, match=re.escape(f"clip.bvh, line {line}: {message}")):
        read(tmp_path, LEG.replace(old, new))


def test_joints_without_channels_cannot_ask_for_more_memory_than_the_file_warrants(tmp_path):
    joints = (
        Joint("a", -1, (0, 0, 0), "X"),
        *(Joint(f"b{i}", 0, (0, 1, 0), "") for i in range(500)),
    )
    head = motion_files.bvh_text(joints, np.zeros((1, 1))).rsplit("0.0\n", 1)[0]
    content = head.replace("Frames: 1", "Frames: 300000") + "0\n" * 300_000
    with pytest.raises(ValueError, match=r"clip\.bvh: 300,000 frames .* take 3,607,200,000 bytes"):
        read(tmp_path, content)


def test_a_count_of_frames_takes_no_memory(tmp_path):
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="expected 1000000000 rows"):
            read(tmp_path, LEG.replace("Frames: 2", "Frames: 1000000000"))
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_many_joints_take_no_time_that_grows_with_their_square(tmp_path):
    nested = "JOINT a { OFFSET 0 1 0 CHANNELS 0\n" * 20_000
    content = LEG.replace("    End Site", nested + "    End Site", 1)
    content = content.replace("MOTION", "}" * 20_000 + "\nMOTION")
    start = time.perf_counter()
    motion = read_one(tmp_path, content)
    assert len(motion.joint_names) == 20_003 and time.perf_counter() - start < 10
    assert motion.joint_names[-2] == "a.20000"


@given(st.text("0123456789+-.eEnaif \n\t", max_size=40))
def test_blocks_of_numbers_are_what_python_reads(content):
    try:
        found = text.numbers("f", content, 0)
    except ValueError:
        assert any(text.number(word) is None for word in content.split())
    else:
        assert found.values.tolist() == [float(word) for word in content.split()]
        assert found.counts.tolist() == [len(line.split()) for line in content.split("\n")]


# ---------------------------------------------------------------------------- real files

# Joints, end sites, frames, rate, read off the files by hand.
REAL = {
    "bandai1_bow_active_001": (22, 5, 128, 30),
    "bvhio_example_classic": (18, 5, 2, 30),
    "cmu_cgspeed_12_01_walk": (31, 7, 524, 120),
    "geno_stance": (75, 21, 2, 60),
    "h36m_0626_take_01": (21, 5, 20, 30),
    "mixamorig_freebvh": (55, 15, 69, 30),
    "mocapbank": (19, 5, 455, 30),
    "mocapnet_doubleclap": (165, 47, 22, 25),
    "momask_output": (24, 5, 720, 60),
    "motionbuilder_AV_8Walk_Meredith": (23, 7, 1064, 120),
    "pybvh_full_precision_frame_time": (2, 1, 3, 23.976),
    "pybvh_rotation_first_root": (4, 2, 4, 25),
    "pybvh_test3": (60, 13, 100, 120),
    "secondlife_avatar_walk": (21, 5, 14, 15),
    "threejs_pirouette": (43, 14, 592, 120),
    "two_person_salsa_10_A": (43, 14, 1198, 120),
    "two_person_salsa_25_B": (43, 14, 1198, 120),
    "xsens_mvn_blender_test_mocap": (23, 5, 112, 60),
    "xsens_mvn_just_hierarchy": (23, 5, 1, 60),
}


def test_every_real_file_is_known(real_files):
    found = {path.stem for path in (real_files / "bvh").glob("*.bvh")}
    assert found == {*REAL, "secondlife_avatar_dance8"}


@pytest.mark.parametrize("name", REAL)
def test_a_real_file(name, real_files):
    (motion,) = formats.read(real_files / "bvh" / f"{name}.bvh")
    ends = len(motion.ends)
    assert (len(motion.joint_names) - ends, ends, motion.num_frames, motion.fps) == REAL[name]
    assert motion.persons == ("",) and motion.unit_in_metres is motion.up is None
    assert motion.notes == () and np.isfinite(motion.positions).all()


def test_a_real_file_with_rows_that_are_too_short_is_refused(real_files):
    message = re.escape(
        "dance8.bvh, line 276: 66 values in a row; the hierarchy declares 132 channels and Frames: "
        "45; expected 132 values"
    )
    with pytest.raises(ValueError, match=message):
        formats.read(real_files / "bvh" / "secondlife_avatar_dance8.bvh")


@pytest.mark.parametrize("name", REAL)
def test_kinematics_are_those_of_bvhio(name, real_files, tmp_path):
    (motion,) = formats.read(real_files / "bvh" / f"{name}.bvh")
    head, body = (real_files / "bvh" / f"{name}.bvh").read_text().split("MOTION\n")
    _, frame_time, *rows = [line for line in body.split("\n") if line.strip()]
    frames = sorted({0, motion.num_frames // 2, motion.num_frames - 1})
    short = tmp_path / "short.bvh"  # bvhio takes its time
    picked = "\n".join(rows[frame] for frame in frames)
    short.write_text(f"{head}MOTION\nFrames: {len(frames)}\n{frame_time}\n{picked}\n")
    root = bvhio.readAsHierarchy(str(short))
    joints = [joint for joint, *_ in root.layout()]
    own = [j for j in range(len(motion.joint_names)) if j not in motion.ends]
    assert [joint.Name for joint in joints] == [motion.joint_names[j] for j in own]
    # bvhio counts in single precision, and subtracts the rest pose: Bandai Namco's is far away.
    tolerance = max(1e-4, 5e-7 * np.abs(motion.rest).max())
    for index, frame in enumerate(frames):
        root.loadPose(index, recursive=True)
        expected = np.array([list(joint.PositionWorld) for joint in joints])
        np.testing.assert_allclose(motion.positions[frame, 0, own], expected, atol=tolerance)


def test_bones_of_real_files_are_rigid(real_files):
    """Position channels on every joint that were added to the offsets would double the bones."""
    for name in ("bandai1_bow_active_001", "geno_stance"):
        (motion,) = formats.read(real_files / "bvh" / f"{name}.bvh")
        bones = [(j, p) for j, p in enumerate(motion.parents) if p > 0]
        joints, parents = map(list, zip(*bones))
        lengths, rest = (
            np.linalg.norm(of[..., joints, :] - of[..., parents, :], axis=-1)
            for of in (motion.positions[:, 0], motion.rest)
        )
        np.testing.assert_allclose(lengths, np.broadcast_to(rest, lengths.shape), atol=0.02)


def test_a_minute_of_cmu_is_parsed_within_a_second(real_files, tmp_path):
    content = (real_files / "bvh" / "cmu_cgspeed_12_01_walk.bvh").read_text()
    head, rows = content.split("Frame Time: .0083333\n")
    rows = (rows.strip().split("\n") * 14)[:7200]
    path = tmp_path / "minute.bvh"
    head = head.replace("Frames: 524", "Frames: 7200")
    path.write_text("\n".join([f"{head}Frame Time: .0083333", *rows]))
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        (motion,) = formats.read(path)
        seconds.append(time.perf_counter() - start)
    assert motion.num_frames / motion.fps == 60 and min(seconds) < 1, seconds
