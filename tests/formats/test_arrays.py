"""Positions in arrays, with a skeleton file beside them."""

import json

import numpy as np
import pytest

from motionalign import formats
from motionalign.anatomy import takes
from motionalign.anatomy.takes import Told
from motionalign.skeleton import SKELETONS

NAMES = ["Head", "Hips", "Spine"]
CLIP = np.arange(1.0, 37.0).reshape(4, 3, 3)  # 4 frames of 3 joints
SAID = {"joint_names": NAMES, "fps": 30}


def saved(tmp_path, array, said=None, name="clip.npy"):
    path = tmp_path / name
    if isinstance(array, dict):
        np.savez(path, **array)
    else:
        np.save(path, array)
    if said is not None:
        (tmp_path / "clip.skeleton.json").write_text(json.dumps(said))
    return path


def test_an_array_with_a_skeleton_file(tmp_path):
    said = {**SAID, "parents": ["Spine", None, "Hips"], "unit": "cm", "up": "z",
            "roles": {"head": "Head"}, "convention": "mine"}  # fmt: skip
    (motion,) = formats.read(saved(tmp_path, CLIP, said))
    assert motion.joint_names == ("Hips", "Spine", "Head")  # parents first
    assert motion.parents == (-1, 0, 1)
    np.testing.assert_array_equal(motion.positions[:, 0], CLIP[:, [1, 2, 0]])
    assert (motion.fps, motion.unit_in_metres, motion.up, motion.dims) == (30.0, 0.01, "z", 3)
    assert (motion.name, motion.format, motion.convention) == ("clip", "array", "mine")
    assert motion.persons == ("",)
    assert motion.notes == ()
    assert motion.declared.joint_names == motion.joint_names
    assert motion.declared.parents == motion.parents
    assert motion.declared.roles == {"head": ("Head",)}


def test_where_the_skeleton_file_is(tmp_path):
    """Given, else of the clip, else of the folder."""
    path = saved(tmp_path, CLIP)
    (tmp_path / "skeleton.json").write_text(json.dumps({**SAID, "fps": 10}))
    assert formats.read(path)[0].fps == 10.0
    (tmp_path / "clip.skeleton.json").write_text(json.dumps({**SAID, "fps": 20}))
    assert formats.read(path)[0].fps == 20.0
    (tmp_path / "given.json").write_text(json.dumps({**SAID, "fps": 30}))
    assert formats.read(path, skeleton=tmp_path / "given.json")[0].fps == 30.0


def test_persons(tmp_path):
    """The second is nowhere, the third comes in frame 1."""
    crowd = np.stack([CLIP, np.zeros_like(CLIP), CLIP + 100], axis=1)
    crowd[0, 2] = 0
    (motion,) = formats.read(saved(tmp_path, crowd, SAID))
    assert motion.positions.shape == (4, 2, 3, 3)
    np.testing.assert_array_equal(motion.positions[:, 0], CLIP)
    assert np.isnan(motion.positions[0, 1]).all()
    np.testing.assert_array_equal(motion.positions[1:, 1], CLIP[1:] + 100)
    assert motion.persons == ("person 1", "person 3")
    assert motion.notes == ("Left out: 1 of 3 persons, who are in no frame.",)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, ">f8", np.int16, np.uint8])
def test_types(tmp_path, dtype):
    (motion,) = formats.read(saved(tmp_path, CLIP.astype(dtype), SAID))
    np.testing.assert_array_equal(motion.positions[:, 0], CLIP)


def test_a_joint_that_was_not_measured_stays_nan(tmp_path):
    clip = CLIP.copy()
    clip[1, 2] = np.nan
    (motion,) = formats.read(saved(tmp_path, clip, SAID))
    np.testing.assert_array_equal(motion.positions[:, 0], clip)


def test_two_coordinates(tmp_path):
    (motion,) = formats.read(saved(tmp_path, CLIP[..., :2], SAID))
    assert (motion.dims, motion.up, motion.unit_in_metres) == (2, None, None)
    np.testing.assert_array_equal(
        motion.positions[:, 0], np.stack([CLIP[..., 0], -CLIP[..., 1], np.ones((4, 3))], axis=-1)
    )
    assert motion.notes == (
        "No confidence is stated: it is 1.",
        'y is taken to point down, as in images; where it points up, say "up": "y".',
    )


@pytest.mark.parametrize(("up", "sign"), [("y", 1), ("-y", -1)])
def test_two_dimensions_with_confidence(tmp_path, up, sign):
    clip = CLIP.copy()
    clip[1, 2] = 0  # not detected
    (motion,) = formats.read(saved(tmp_path, clip, {**SAID, "dims": 2, "up": up}))
    expected = clip * [1, sign, 1]
    expected[1, 2, :2] = np.nan
    np.testing.assert_array_equal(motion.positions[:, 0], expected)
    assert motion.notes == ()


def test_an_npz_with_everything(tmp_path):
    content = {"joints": CLIP, "fps": np.float32(25), "joint_names": np.array(NAMES),
               "parents": np.array([2, 1, 1]), "more": np.zeros(3)}  # fmt: skip
    (motion,) = formats.read(saved(tmp_path, content, name="clip.npz"))
    assert (motion.joint_names, motion.parents) == (("Hips", "Spine", "Head"), (-1, 0, 1))
    assert (motion.fps, motion.declared) == (25.0, None)
    assert motion.notes == ("Left out: 1 other array (more).",)


def test_an_npz_with_one_array_and_a_skeleton_file(tmp_path):
    content = {"arr_0": CLIP, "fps": np.array(25), "weights": np.zeros((4, 3))}
    path = saved(tmp_path, content, SAID, name="clip.npz")
    (motion,) = formats.read(path)
    np.testing.assert_array_equal(motion.positions[:, 0], CLIP)
    assert motion.fps == 30.0
    assert motion.notes[0] == "Left out: 1 other array (weights)."
    assert motion.notes[1].startswith("30 frames per second by ")
    assert motion.notes[1].endswith("the file states 25.")


def test_the_name_of_a_known_skeleton_names_the_joints(tmp_path):
    (motion,) = formats.read(saved(tmp_path, np.ones((2, 18, 3)), {"convention": "coco18"}))
    assert motion.joint_names == SKELETONS["coco18"].joint_names
    assert motion.parents == SKELETONS["coco18"].parents
    assert (motion.dims, motion.convention) == (2, "OpenPose COCO-18")


def test_humanml3d(tmp_path):
    for folder in ("new_joints", "generated"):
        (tmp_path / folder).mkdir()
    clip = np.arange(132.0).reshape(2, 22, 3)
    (motion,) = formats.read(saved(tmp_path / "new_joints", clip))
    assert motion.joint_names == SKELETONS["smpl22"].joint_names
    assert (motion.fps, motion.unit_in_metres, motion.up) == (20.0, 1.0, "y")
    assert motion.convention == "SMPL"
    assert motion.notes == (
        "20 frames per second, those of HumanML3D's new_joints with 22 joints, are assumed.",
    )
    (motion,) = formats.read(saved(tmp_path / "generated", clip))
    assert motion.joint_names == SKELETONS["smpl22"].joint_names
    assert (motion.fps, motion.unit_in_metres, motion.up) == (None, None, None)
    assert motion.notes == ("22 joints without names are taken for SMPL's, as in HumanML3D.",)
    (motion,) = formats.read(saved(tmp_path / "new_joints", clip[:, :21]))
    assert motion.joint_names == SKELETONS["kit21"].joint_names
    assert (motion.fps, motion.unit_in_metres, motion.convention) == (12.5, None, "KIT-ML")


def test_the_published_sample(test_data):
    (motion,) = formats.read(test_data / "humanml3d_sample" / "new_joints_012314.npy")
    assert (motion.positions.shape, motion.fps) == ((170, 1, 22, 3), 20.0)


DEEP = np.zeros((2, 1, 1, 3, 3))


@pytest.mark.parametrize(
    ("array", "said", "problem"),
    [
        (CLIP, None, r"the names of its 3 joints are unknown.*clip\.skeleton\.json beside it"),
        (np.zeros((9, 24, 3)), None, r"joint_names.*first 22 are expected: save joints\[:, :22\]"),
        (np.zeros((9, 21, 3)), None, "the names of its 21 joints are unknown"),
        (np.zeros((9, 22, 2)), None, "the names of its 22 joints are unknown"),
        (np.zeros((9, 0, 3)), None, r"is \[9, 0, 3\]; expected positions"),
        (np.zeros((9, 66)), None, r"flattened: save joints\.reshape\(-1, 22, 3\)"),
        (np.zeros((9, 72)), None, "SMPL's pose parameters, or 24 flattened joints"),
        (np.zeros((9, 135)), None, r"Reshape to joints\.reshape\(-1, 45, 3\)"),
        (np.zeros((9, 22, 6)), None, "6 numbers a joint are 6D rotations"),
        (np.zeros((9, 3, 22)), None, "Joints and coordinates are swapped"),
        (np.zeros(263), None, r"is \[263\]; expected positions"),
        (np.float64(3), None, r"is \[\]; expected positions"),
        (DEEP, None, r"is \[2, 1, 1, 3, 3\]; expected positions"),
        (DEEP, SAID, r"is \[2, 1, 1, 3, 3\]; expected \[frames, 3, 3\] of 3 joints \(.*json\)"),
        (np.zeros((9, 4, 3)), SAID, "order names 3 joints: it must name all 4"),
        (np.zeros((3, 9, 3)), SAID, "Frames and joints are swapped"),
        (np.zeros((9, 9)), SAID, r"flattened: save joints\.reshape\(-1, 3, 3\)"),
        (np.zeros((9, 3, 2)), {**SAID, "dims": 3}, r"expected \[frames, 3, 3\]"),
        (np.zeros((0, 3, 3)), SAID, r"is \[0, 3, 3\], without frames"),
        (np.zeros((4, 0, 3, 3)), SAID, r"is \[4, 0, 3, 3\], without frames"),
        (np.zeros((1, 9, 3, 3)), SAID, "9 persons in 1 frame: expected frames as the first axis"),
        (CLIP.astype(bool), SAID, "has the type bool; expected numbers"),
        (CLIP.astype(complex), SAID, "has the type complex128"),
        (CLIP.astype(str), SAID, "has the type <U32"),
        (CLIP.astype(object), SAID, "holds Python objects, which are never unpickled"),
        (np.where(CLIP == 5, np.inf, CLIP), SAID, r"is infinite at \[0, 0, 1, 1\]"),
        (CLIP, {**SAID, "dims": 2, "up": "z"}, "up is 'z' of positions in 2D; expected -y"),
        (CLIP, {**SAID, "dims": 2, "unit": "m"}, "positions in an image have no unit"),
        (CLIP, {"parents": [None, 0]}, "the names of its 3 joints are unknown"),
        (np.zeros((9, 22, 3)), {"parents": [None, 0]}, "parents has 2 entries, and .* has 22"),
        (CLIP, {"convention": "smpl22"}, r"is \[4, 3, 3\]; expected \[frames, 22, 3\] of 22"),
        (CLIP, {"joints": NAMES}, "a skeleton file has no field 'joints'"),
    ],
)  # fmt: skip
def test_spoiled_arrays(tmp_path, array, said, problem):
    with pytest.raises(ValueError, match=problem) as error:
        formats.read(saved(tmp_path, array, said))
    assert "clip." in str(error.value)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({}, r"its content is none of the formats with the suffix \.npz"),
        ({"a": np.zeros(3)}, r"its content is none of the formats with the suffix \.npz"),
        ({"a": CLIP, "b": CLIP}, r"has 2 arrays that may be positions \(a, b\); call the right"),
        ({"joints": CLIP, "positions": CLIP}, r"has 2 arrays .*\(joints, positions\)"),
        ({"joints": CLIP, "joint_names": np.array(["a", "b"])}, "expected .* of 2 joints"),
        ({"joints": CLIP, "joint_names": np.array(["a", "b", "a"])}, "has 'a' more than once"),
        ({"joints": CLIP, "joint_names": np.array(NAMES), "parents": np.array([1, 0, 0])},
         "parents: the parents form a circle"),
        ({"joints": CLIP, "joint_names": np.array(NAMES), "parents": np.array([-1, 0])},
         r"parents is int64 \[2\]; expected 3 indices"),
        ({"joints": CLIP, "joint_names": np.array(NAMES), "fps": np.array([30, 30])}, "fps is int"),
        ({"joints": CLIP, "joint_names": np.array(NAMES), "fps": np.array("fast")}, "fps is 'fa"),
    ],
)  # fmt: skip
def test_spoiled_archives(tmp_path, content, problem):
    with pytest.raises(ValueError, match=problem):
        formats.read(saved(tmp_path, content, name="clip.npz"))


def test_names_that_contradict_the_skeleton_file(tmp_path):
    content = {"joints": CLIP, "joint_names": np.array(["Head", "Hips", "Tail"])}
    with pytest.raises(ValueError, match=r"joint_names has 'Spine', but the joint is 'Tail' in"):
        formats.read(saved(tmp_path, content, SAID, name="clip.npz"))


@pytest.mark.parametrize("name", ["clip.npy", "clip.npz"])
@pytest.mark.parametrize("content", [b"\0", b"\x93NUMPY\x01\x00", b"PK\x03\x04", b"\0" * 500])
def test_damaged_files(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name} is not a complete"):
        formats.read(tmp_path / name)


def test_a_header_that_promises_more_takes_no_memory(tmp_path):
    path = saved(tmp_path, CLIP, SAID)
    path.write_bytes(path.read_bytes().replace(b"(4, 3, 3), ", b"(4000000000, 3, 3), ")[:128])
    with pytest.raises(ValueError, match=r"clip\.npy is not a complete \.npy file"):
        formats.read(path)


def test_a_skeleton_file_that_is_given_fits_the_order_of_the_joints(tmp_path):
    """The head comes first in the file, and last in the motion."""
    (tmp_path / "of.json").write_text(json.dumps({**SAID, "parents": ["Spine", None, "Hips"]}))
    told = Told(skeleton=tmp_path / "of.json")
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(takes, "understand", lambda motion, said: seen.append((motion, said)))
        takes.read_takes(saved(tmp_path, CLIP), told)
    ((motion, said),) = seen
    assert said.joint_names == motion.joint_names == ("Hips", "Spine", "Head")
    assert said.parents == motion.parents == (-1, 0, 1)
