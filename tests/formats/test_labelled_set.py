"""Labelled sets in one .npz file."""

import time

import numpy as np
import pytest
from bodies import body

from motionalign import formats
from motionalign.anatomy import understand
from motionalign.skeleton import SKELETONS


def arrays(**changes):
    """Two clips of 2 and 3 frames, of two persons with three joints; the child comes first."""
    positions = np.arange(1, 5 * 2 * 3 * 3 + 1, dtype=np.int16).reshape(5, 2, 3, 3)
    positions[0, 0] = 0  # the first person comes late
    positions[2:, 1] = 0  # the second is not in the second clip
    values = {
        "positions_int16": positions,
        "scale": np.float32(0.5),
        "lengths": np.array([2, 3], np.int32),
        "labels": np.array([1, 0], np.int16),
        "subjects": np.array([7, 8], np.int16),
        "views": np.array([0, 3], np.int16),
        "trials": np.array([1, 2], np.int16),
        "files": np.array(["s1/clip.txt", "s2/clip.txt"]),
        "class_names": np.array(["walk", "sit"]),
        "joint_names": np.array(["Head", "Hips", "Spine"]),
        "parents": np.array([2, -1, 1], np.int16),
        "fps": np.float32(15),
    }
    return {k: v for k, v in (values | changes).items() if v is not None}


def written(tmp_path, **changes):
    np.savez_compressed(tmp_path / "set.npz", **arrays(**changes))
    return tmp_path / "set.npz"


def test_clips_persons_and_labels(tmp_path):
    first, second = formats.read(written(tmp_path))
    order = [1, 2, 0]  # the tree sorted: Hips, Spine, Head
    given = arrays()["positions_int16"][:, :, order] * 0.5

    assert (first.name, second.name) == ("s1/clip", "s2/clip")
    assert first.labels == {
        "class": "sit", "subject": 7, "view": 0, "trial": 1, "file": "s1/clip.txt",
    }  # fmt: skip
    assert second.labels["class"] == "walk"
    assert first.joint_names == ("Hips", "Spine", "Head")
    assert first.parents == (-1, 0, 1)
    assert (first.fps, first.unit_in_metres, first.up, first.dims) == (15.0, 1.0, None, 3)

    assert first.positions.shape == (2, 2, 3, 3)
    assert np.isnan(first.positions[0, 0]).all()
    np.testing.assert_array_equal(first.positions[1], given[1])
    np.testing.assert_array_equal(first.positions[0, 1], given[0, 1])
    assert first.persons == ("person 1", "person 2")
    assert first.notes == ("1 frame in which a person's positions are all zeros, not measured.",)

    np.testing.assert_array_equal(second.positions, given[2:, :1])
    assert second.persons == ("person 1",)
    assert second.notes == ("Left out: 1 of 2 persons, whose positions are all zeros.",)


def test_only_positions_lengths_and_names_are_required(tmp_path):
    values = np.random.default_rng(0).normal(size=(5, 1, 3, 3))
    keep = ("lengths", "joint_names")
    others = {name: None for name in arrays() if name not in keep}
    motions = formats.read(written(tmp_path, **others, positions=values, extra=np.zeros(3)))
    np.testing.assert_array_equal(np.concatenate([m.positions for m in motions]), values)
    assert [m.name for m in motions] == ["set 0", "set 1"]
    first = motions[0]
    assert (first.labels, first.parents, first.fps, first.persons) == ({}, None, None, ("",))
    assert first.notes == ("Left out: 1 other array (extra).",)
    (again, _) = formats.read(written(tmp_path, **others, positions=values[:, 0]))
    np.testing.assert_array_equal(again.positions, first.positions)


def test_lengths_of_bones_make_no_set(tmp_path):
    """Such a file is one clip."""
    content = {"positions": np.ones((5, 3, 3)), "lengths": np.ones(2), **{
        name: arrays()[name] for name in ("joint_names", "fps")}}  # fmt: skip
    np.savez(tmp_path / "clip.npz", **content)
    (motion,) = formats.read(tmp_path / "clip.npz")
    assert (motion.format, motion.num_frames) == ("array", 5)


def test_a_clip_without_anybody_is_kept(tmp_path):
    positions = arrays()["positions_int16"]
    positions[2:] = 0
    _, second = formats.read(written(tmp_path, positions_int16=positions))
    assert second.positions.shape == (3, 1, 3, 3)
    assert np.isnan(second.positions).all()
    assert second.notes == ("Nobody is there: all positions are zeros.",)


def test_classes_without_names_and_repeated_files(tmp_path):
    path = written(tmp_path, class_names=None, files=np.array(["a.txt", "a.txt"]))
    motions = formats.read(path)
    assert [m.labels["class"] for m in motions] == [1, 0]
    assert [m.name for m in motions] == ["a", "a.2"]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"positions_int16": np.zeros((5, 3, 3))}, r"positions_int16 is \[5, 3, 3\]; expected"),
        ({"positions_int16": np.zeros((5, 2, 3, 2))}, r"is \[5, 2, 3, 2\]; expected"),
        ({"positions_int16": np.zeros((0, 2, 3, 3))}, r"is \[0, 2, 3, 3\]; expected"),
        ({"positions_int16": np.zeros((5, 2, 3, 3), bool)}, "has the type bool; expected numbers"),
        ({"positions_int16": np.full((5, 2, 3, 3), np.inf)}, r"is infinite at \[0, 0, 0, 0\]"),
        ({"scale": None}, "has no array scale"),
        ({"lengths": None}, "has no array lengths"),
        ({"scale": np.zeros(3)}, r"scale is \[0.0, 0.0, 0.0\]; expected a positive number"),
        ({"scale": np.nan}, "scale is nan"),
        ({"scale": "1"}, "scale is '1'"),
        ({"joint_names": None}, "has no array joint_names, the names of its 3 joints"),
        ({"joint_names": np.array(["a", "b"])}, "joint_names are 2, and the positions have 3"),
        ({"joint_names": np.array(["a", "b", "a"])}, "has 'a' more than once"),
        ({"joint_names": np.array([1, 2, 3])}, r"joint_names is int64 \[3\]; expected a list of"),
        ({"parents": np.array([1, 0, 1])}, "parents: the parents form a circle"),
        ({"parents": np.array([-1, 0, 5])}, r"joint 2 \(Spine\) has the parent 5; expected 0 to 2"),
        ({"parents": np.array([-1.0, 0, 1])}, r"parents is float64 \[3\]"),
        ({"parents": np.array([-1, 0])}, r"parents is int64 \[2\]; expected 3 indices"),
        ({"fps": np.float32(0)}, "fps is 0.0; expected a positive number"),
        ({"fps": np.array([30, 30])}, r"fps is int64 \[2\]"),
        ({"lengths": np.array([2, 2])}, "lengths are 4 frames together, and the positions have 5"),
        ({"lengths": np.array([5, 0])}, r"lengths\[1\] is 0; expected 1 to 5"),
        ({"lengths": np.array([6, -1])}, r"lengths\[0\] is 6"),
        ({"lengths": np.array([2**62, 2**62])}, r"lengths\[0\] is 4611686018427387904"),
        ({"lengths": np.array([2.0, 3.0])}, r"lengths is float64 \[2\]; expected a whole number"),
        ({"lengths": np.array(5)}, r"lengths is int64 \[\]"),
        ({"lengths": np.zeros(0, int)}, r"lengths is int64 \[0\]"),
        ({"labels": np.array([0, 2])}, r"labels\[1\] is 2; expected 0 to 1, an index of class"),
        ({"labels": np.array([0, -1])}, r"labels\[1\] is -1"),
        ({"labels": np.array([0.5, 1])}, "labels has the type float64"),
        ({"labels": np.array([0, 1, 0])}, "has 2 lengths, and 3 values of class"),
        ({"labels": np.array([[0, 1]])}, r"labels is \[1, 2\]; expected one value for each clip"),
        ({"class_names": np.array(["a", "a"])}, "class_names has 'a' more than once"),
        ({"subjects": np.array(1)}, r"subjects is \[\]; expected one value for each clip"),
        ({"files": np.array(["a"])}, "has 2 lengths, and 1 values of file"),
    ],
)
def test_spoiled_sets(tmp_path, changes, problem):
    with pytest.raises(ValueError, match=problem) as error:
        formats.read(written(tmp_path, **changes))
    assert "set.npz" in str(error.value)


@pytest.mark.parametrize(("skeleton", "camera"), [("kinect20", "Kinect v1"), ("sbu15", "OpenNI")])
def test_joints_of_a_depth_camera_are_judged_as_such(tmp_path, skeleton, camera):
    """With their tree, too: a bone's length varies more than a marker system's may."""
    joints = body(30, skeleton)
    joints += np.random.default_rng(0).normal(0, 0.03, joints.shape)
    of = SKELETONS[skeleton]
    np.savez(
        tmp_path / "set.npz", positions=joints, lengths=np.array([30]), fps=np.array(30),
        joint_names=np.array(of.joint_names), parents=np.array(of.parents),
    )  # fmt: skip
    (motion,) = formats.read(tmp_path / "set.npz")
    found = understand(motion)
    assert (found.kind, found.convention, found.sensor) == ("human", camera, "depth")
    assert found.finding is None


@pytest.mark.parametrize(
    ("name", "clips", "persons", "joints", "fps"),
    [("nw_ucla", 1484, 1, 20, 30), ("sbu_interaction", 282, 2, 15, 15), ("utd_mhad", 861, 1, 20,
     30)],
)  # fmt: skip
def test_the_real_sets(test_data, name, clips, persons, joints, fps):
    path = test_data / "actions" / f"{name}.npz"
    start = time.perf_counter()
    motions = formats.read(path)
    assert time.perf_counter() - start < 2
    with np.load(path) as given:
        assert len(motions) == clips
        assert [m.num_frames for m in motions] == given["lengths"].tolist()
        classes = given["class_names"][given["labels"]].tolist()
        assert [m.labels["class"] for m in motions] == classes
        back = [given["joint_names"].tolist().index(name) for name in motions[0].joint_names]
        whole = given["positions_int16"][:, :, back] * np.float64(given["scale"])
    np.testing.assert_array_equal(np.concatenate([m.positions for m in motions]), whole)
    assert {(m.fps, m.positions.shape[1:3]) for m in motions} == {(fps, (persons, joints))}
    assert len({m.name for m in motions}) == clips
