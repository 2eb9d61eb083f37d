import json
import pathlib

import motion_files
import numpy as np
import pytest

from motionalign.anatomy.takes import (
    Told,
    chain_names,
    file_ids,
    kinds,
    read_takes,
)
from motionalign.anatomy.takes import (
    motion_files as files_in,
)


def write(path):
    joints = motion_files.human()
    return motion_files.write_bvh(path, joints, motion_files.swing(joints, 20))


def test_a_take_has_its_body_and_rate(tmp_path):
    (take,) = read_takes(write(tmp_path / "a.bvh"))
    assert take.where == str(tmp_path / "a.bvh")
    assert take.clip_id("x/a") == "x/a"
    assert take.fps == pytest.approx(30, rel=1e-4)
    assert chain_names(take.body)["torso"][:2] == ["Hips", "Spine"]


def test_of_several_takes_each_has_a_label(tmp_path):
    names = np.array(["a/b#1", "c d"])
    positions = np.random.default_rng(0).normal(size=(4, 1, 3, 3))
    np.savez(
        tmp_path / "set.npz", positions=positions, lengths=[2, 2], joint_names=list("xyz"),
        files=names,
    )  # fmt: skip
    takes = read_takes(tmp_path / "set.npz", Told(fps=25.0))
    assert [take.clip_id("set") for take in takes] == ["set#a_b_1", "set#c_d"]
    assert takes[1].where.endswith("set.npz, take c_d")
    assert [take.fps for take in takes] == [25.0, 25.0]


def test_what_is_told_counts_before_the_skeleton_file(tmp_path):
    path = tmp_path / "skeleton.json"
    path.write_text(json.dumps({"unit": "cm", "up": "z", "fps": 50}))
    told = Told(skeleton=path, unit="in", fps=10.0).declared()
    assert (told.unit, told.up, told.fps) == ("in", "z", 50)
    assert Told(fps=10.0).declared() is None
    for wrong in ({"unit": "furlong"}, {"up": "w"}):
        with pytest.raises(ValueError, match="expected one of"):
            Told(**wrong)


def test_ids_keep_suffixes_where_stems_are_equal():
    folder = pathlib.Path("/data")
    files = [folder / name for name in ("a.bvh", "b/a.bvh", "b/a.c3d", "x#1.bvh", ".bvh")]
    assert list(file_ids(folder, files).values()) == ["a", "b/a.bvh", "b/a.c3d", "x#1", ".bvh"]


def test_files_of_a_folder_and_what_is_left_out(tmp_path):
    (tmp_path / "deep").mkdir()
    clip = write(tmp_path / "deep" / "a.bvh")
    (tmp_path / "readme.md").write_text("x")
    assert files_in(tmp_path) == ([clip], [tmp_path / "readme.md"])
    assert files_in(clip) == ([clip], [])
    assert files_in(tmp_path / "none.bvh") == ([tmp_path / "none.bvh"], [])  # reading tells
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty: the folder has no motion files"):
        files_in(tmp_path / "empty")


def test_a_prepared_dataset_below_the_folder_is_no_motion(tmp_path):
    """Such as that of data_prep in the folder of the files, whose --data_dir is data."""
    (tmp_path / "walk.bvh").touch()
    folder = tmp_path / "data" / "mine" / "1.0.0"
    folder.mkdir(parents=True)
    (folder / "metadata.json").write_text('{"skeleton": {"joint_names": ["pelvis"]}}')
    names = [path.name for path in files_in(tmp_path)[0]]
    assert names == ["metadata.json", "walk.bvh"]  # of a folder of the user, to be told by name
    (folder / "dataset_info.json").write_text("{}")
    found, others = files_in(tmp_path)
    assert [path.name for path in found] == ["walk.bvh"]
    assert [path.name for path in others] == ["dataset_info.json", "metadata.json"]


def test_words_for_kinds():
    takes = [("BVH", "Mixamo"), ("C3D", ""), ("BVH", "Mixamo"), ("BVH", "Xsens (BVH)")]
    assert kinds(takes) == "2 BVH (Mixamo), 1 C3D, 1 BVH (Xsens)"
