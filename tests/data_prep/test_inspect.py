"""What motion files are, as `python -m data_prep inspect` tells it."""

import json
import pathlib
import subprocess
import sys

import motion_files
import numpy as np
import pytest
from bodies import body
from PIL import Image

from data_prep.__main__ import main
from motionalign.skeleton import SKELETONS

ROOT = pathlib.Path(__file__).parents[2]
PARTS = ["right_leg", "left_leg", "torso", "right_arm", "left_arm"]


def write(path, frames=40, **options):
    joints = motion_files.human(**options)
    return motion_files.write_bvh(path, joints, motion_files.swing(joints, frames))


def write_set(path, persons=1, clips=2, frames=30):
    """A labelled set of smpl22 bodies."""
    skeleton = SKELETONS["smpl22"]
    shifts = np.arange(persons)[:, None] * np.array([1, 0, 0])
    joints = np.stack([body(clips * frames, seed=i) for i in range(persons)], axis=1)
    joints = joints + shifts[:, None]
    np.savez(
        path,
        positions=joints,
        lengths=np.full(clips, frames),
        labels=np.arange(clips) % 2,
        class_names=np.array(["walk", "wave"]),
        subjects=np.arange(clips),
        joint_names=np.array(skeleton.joint_names),
        parents=np.array(skeleton.parents),
        fps=20.0,
    )
    return path


def write_rig(path, names, parents):
    """A BVH file of joints in a row or a fan, which are no body."""
    joints = [
        motion_files.Joint(name, parent, (float(i % 3), 3.0, float(i % 2)))
        for i, (name, parent) in enumerate(zip(names, parents, strict=True))
    ]
    return motion_files.write_bvh(path, joints, motion_files.swing(joints, 10))


def inspected(capsys, *arguments):
    """Exit status, standard output and standard error."""
    status = 0
    try:
        main(["inspect", *map(str, arguments)])
    except SystemExit as stop:
        status = stop.code
    out, err = capsys.readouterr()
    return status, out, err


def test_json_has_one_object_a_file(tmp_path, capsys):
    first, second = write(tmp_path / "a.bvh"), write_set(tmp_path / "set.npz", persons=2)
    status, out, err = inspected(capsys, first, second, "--json")
    assert (status, err) == (0, "")
    one, two = map(json.loads, out.splitlines())
    assert one["file"] == str(first)
    assert two["file"] == str(second)
    (take,) = one["takes"]
    assert list(take)[:9] == ["frames", "fps", "persons", "joints", "unit", "up", "height", "body",
                              "chains"]  # fmt: skip
    assert (take["frames"], take["persons"], take["joints"], take["body"]) == (40, 1, 22, "human")
    assert take["fps"] == pytest.approx(30, rel=1e-4)
    assert (take["unit"], take["unit_known"], take["up"]) == ("cm", "by height", "y")
    assert 1.5 < take["height"] < 2.0
    assert (take["end_sites"], len(take["joint_names"])) == (5, 27)
    assert list(take["chains"]) == PARTS
    assert take["chains"]["left_leg"][:4] == ["Hips", "LeftUpLeg", "LeftLeg", "LeftFoot"]
    assert [(t["frames"], t["persons"], t["unit"]) for t in two["takes"]] == [(30, 2, "m")] * 2
    assert [t["labels"]["class"] for t in two["takes"]] == ["walk", "wave"]


def test_the_table_tells_everything_about_a_take(tmp_path, capsys):
    status, out, err = inspected(capsys, write(tmp_path / "a.bvh", prefix="mixamorig:"))
    assert (status, err) == (0, "")
    for part in ("a.bvh: BVH", "40 at 30", "1.33 s", "Mixamo", "cm (by height)", "y (by the body)",
                 "right leg", "SMPL's 22", "5 end sites", "mixamorig:LeftForeArm"):  # fmt: skip
        assert part in out


@pytest.mark.parametrize(("count", "words"), [(1, "1 helper ("), (2, "2 helpers (")])
def test_one_is_not_told_as_many(tmp_path, capsys, count, words):
    joints = motion_files.human()
    knee = next(i for i, joint in enumerate(joints) if joint.name == "LeftLeg")
    more = [motion_files.Joint(f"LeftKneeTwist{i}", knee, (3.0, 0.0, 0.0)) for i in range(count)]
    joints = (*joints, *more)
    path = motion_files.write_bvh(tmp_path / "a.bvh", joints, motion_files.swing(joints, 40))
    assert words in inspected(capsys, path)[1]


def test_a_refused_file_is_one_line_and_the_others_are_shown(tmp_path, capsys):
    good, spoiled = write(tmp_path / "a.bvh"), tmp_path / "b.bvh"
    spoiled.write_text("HIERARCHY\nROOT Hips\n{\n  OFFSET 0 zero 0\n")
    status, out, err = inspected(capsys, spoiled, good, tmp_path / "none.bvh", "--json")
    assert status == 1
    assert json.loads(out)["file"] == str(good)
    lines = err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"data_prep: {spoiled}, line 4")
    assert str(tmp_path / "none.bvh") in lines[1]


def test_what_is_no_body_is_shown_and_refused(tmp_path, capsys):
    prop = write_rig(tmp_path / "chair.bvh", ["seat", "back", "leg1"], [-1, 0, 0])
    status, out, err = inspected(capsys, prop, "--json")
    assert status == 1
    (take,) = json.loads(out)["takes"]
    assert take["body"] != "human"
    assert (take["frames"], take["joints"]) == (10, 3)
    assert take["chains"] == {} and take["smpl22_virtual"] is None
    assert len(err.splitlines()) == 1
    assert err.startswith(f"data_prep: {prop}: ")


def test_folders_are_searched_and_other_files_counted(tmp_path, capsys):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    write(tmp_path / "deep" / "er" / "a.bvh")
    write(tmp_path / "b.bvh")
    (tmp_path / "notes.md").write_text("x")
    status, out, err = inspected(capsys, tmp_path, "--brief")
    assert status == 0
    assert err == f"{tmp_path}: left out 1 file of other kinds (.md)\n"
    head, *rows = out.splitlines()
    assert head.split() == ["file", "format", "frames", "fps", "persons", "joints", "unit", "up",
                            "height", "body"]  # fmt: skip
    assert [row.split()[0] for row in rows] == [
        str(tmp_path / "b.bvh"), str(tmp_path / "deep" / "er" / "a.bvh"),
    ]  # fmt: skip
    (tmp_path / "empty").mkdir()
    status, out, err = inspected(capsys, tmp_path / "empty")
    assert (status, out) == (1, "")
    assert err == f"data_prep: {tmp_path / 'empty'}: the folder has no motion files\n"


def test_of_a_file_with_many_takes_the_first_is_shown(tmp_path, capsys):
    path = write_set(tmp_path / "set.npz", clips=9)
    _, out, _ = inspected(capsys, path)
    assert out.count("frames ") == 1
    assert "and 8 further takes" in out
    _, out, _ = inspected(capsys, path, "--brief")
    assert len(out.splitlines()) == 10
    _, out, _ = inspected(capsys, write_set(tmp_path / "two.npz", clips=2))
    assert out.count("frames ") == 2


def test_what_is_declared_counts_before_what_is_found(tmp_path, capsys):
    path = write(tmp_path / "a.bvh")
    _, out, _ = inspected(capsys, path, "--json", "--unit=in")
    (take,) = json.loads(out)["takes"]
    assert (take["unit"], take["unit_known"]) == ("in", "declared")
    assert take["finding"]["reason"] == "unit_implausible"
    assert take["finding"]["remedy"] == "--unit=cm"
    skeleton = tmp_path / "skeleton.json"
    skeleton.write_text(json.dumps({"unit": "cm", "up": "z"}))
    _, out, _ = inspected(capsys, path, "--json", f"--skeleton={skeleton}", "--up=y")
    (take,) = json.loads(out)["takes"]
    assert (take["unit_known"], take["up"], take["up_known"]) == ("declared", "y", "declared")


def test_a_wrong_skeleton_file_is_told_once(tmp_path, capsys):
    skeleton = tmp_path / "skeleton.json"
    skeleton.write_text('{"units": "cm"}')
    paths = [write(tmp_path / f"{name}.bvh") for name in "ab"]
    status, out, _ = inspected(capsys, *paths, f"--skeleton={skeleton}")
    assert out == ""
    assert str(skeleton) in status and "units" in status


def test_arrays_with_a_skeleton_file_and_without_a_rate(tmp_path, capsys):
    skeleton = SKELETONS["smpl22"]
    clip = tmp_path / "clip.npy"
    np.save(clip, body(30))
    names = {"joint_names": skeleton.joint_names, "parents": skeleton.parents}
    (tmp_path / "clip.skeleton.json").write_text(json.dumps(names))
    _, out, _ = inspected(capsys, clip, "--json")
    (take,) = json.loads(out)["takes"]
    assert take["fps"] is None
    assert take["body"] == "human"
    _, out, _ = inspected(capsys, clip)
    assert "30; the rate is not stated" in out


@pytest.mark.parametrize("suffix", [".png", ".html"])
def test_pictures(tmp_path, capsys, suffix):
    paths = [write(tmp_path / "a.bvh"), write_set(tmp_path / "set.npz", persons=2, clips=1)]
    prop = write_rig(tmp_path / "chair.bvh", ["seat", "back", "leg1"], [-1, 0, 0])
    picture = tmp_path / "out" / f"picture{suffix}"
    status, _, err = inspected(capsys, *paths, prop, f"--picture={picture}", "--brief")
    assert status == 1
    assert f"wrote {picture}" in err
    if suffix == ".png":
        image = np.asarray(Image.open(picture))
        assert image.shape == (3 * 176, 960, 3)
        assert all(len(np.unique(strip)) > 5 for strip in np.split(image, 3))
    else:
        page = picture.read_text("utf-8")
        assert page.count("<section>") == 3
        assert page.count("<img") == 3
        assert "chair.bvh" in page


def test_a_picture_of_an_unknown_kind_is_refused_before_anything_is_read(tmp_path, capsys):
    status, out, _ = inspected(capsys, tmp_path / "none.bvh", "--picture=a.gif")
    assert out == ""
    assert "--picture=a.gif: expected a name that ends in .html or .png" in status


def test_it_starts_without_tensorflow_and_jax(tmp_path):
    path = write(tmp_path / "a.bvh")
    script = (
        "import sys\nfrom data_prep.__main__ import main\n"
        f"main(['inspect', {str(path)!r}])\n"
        "print('HEAVY', {'tensorflow', 'jax', 'torch', 'matplotlib'} & set(sys.modules))"
    )
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert "HEAVY set()" in out.stdout, out.stderr


def test_real_files_in_two_dimensions(real_files, capsys):
    folder = next((real_files / "keypoints").glob("openpose*"))
    status, out, _ = inspected(capsys, folder, "--json")
    (take,) = json.loads(out)["takes"]
    assert status == 0
    assert (take["dims"], take["body"], take["unit"], take["smpl22_virtual"]) == (
        2, "human", None, None,
    )  # fmt: skip
