"""The choice of a format."""

import numpy as np
import pytest

from motionalign import formats
from motionalign.formats import FORMATS


def test_a_file_of_no_format_is_refused_by_name(tmp_path):
    path = tmp_path / "clip.xyz"
    path.write_text("nothing")
    with pytest.raises(ValueError, match=r"clip\.xyz: no motion format has the suffix \.xyz"):
        formats.read(path)


def test_a_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match=r"clip\.bvh cannot be read: No such file"):
        formats.read(tmp_path / "clip.bvh")


def test_a_folder_is_no_take(tmp_path):
    with pytest.raises(ValueError, match="is a folder, and not one of a sequence"):
        formats.read(tmp_path)


def test_a_skeleton_file_is_declared_of_any_format(tmp_path):
    frames = {"lengths": np.array([1]), "fps": np.array(15), "joint_names": np.array(["a", "b"])}
    np.savez(tmp_path / "set.npz", positions=np.ones((1, 1, 2, 3)), **frames)
    (tmp_path / "of.json").write_text('{"roles": {"head": "b"}, "fps": 30}')
    (motion,) = formats.read(tmp_path / "set.npz", skeleton=tmp_path / "of.json")
    assert motion.declared.roles == {"head": ("b",)}
    assert motion.declared.joint_names == ("a", "b")
    assert motion.fps == 30.0
    assert motion.notes == (f"30 frames per second by {tmp_path / 'of.json'}; the file states 15.",)
    (tmp_path / "of.json").write_text('{"roles": {"head": "c"}}')
    with pytest.raises(ValueError, match=r"of\.json: roles: head has 'c'"):
        formats.read(tmp_path / "set.npz", skeleton=tmp_path / "of.json")


def test_skeleton_files_are_no_motions_of_a_folder(tmp_path):
    for name in ("b.npz", "b.skeleton.json", "skeleton.json", "a.npz", "readme.md"):
        (tmp_path / name).touch()
    assert formats.find(tmp_path) == [tmp_path / "a.npz", tmp_path / "b.npz"]


def test_what_macos_adds_to_copies_is_no_motion(tmp_path):
    for name in ("walk.bvh", "._walk.bvh", "__MACOSX/walk.bvh", "__MACOSX/._walk.bvh", ".bvh"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert formats.find(tmp_path) == [tmp_path / ".bvh", tmp_path / "walk.bvh"]


@pytest.mark.parametrize(
    "suffix", sorted({end for each in FORMATS.values() for end in each.suffixes})
)
def test_an_empty_file_is_called_so(tmp_path, suffix):
    path = tmp_path / f"clip{suffix}"
    path.touch()
    with pytest.raises(ValueError, match=rf"clip\{suffix} is empty: it has 0 bytes"):
        formats.read(path)
