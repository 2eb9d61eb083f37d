"""Preparation verifies what clips are, converts what is declared, makes HumanML3D's origin."""

import json

import numpy as np
import pytest
from bodies import body

from data_prep.__main__ import main
from motionalign.conventions import Origin
from motionalign.data.dataset import Dataset
from motionalign.skeleton import SKELETONS

Z = np.float32([1, -1, 1])
NAMES = [f"clip{i}" for i in range(6)]


@pytest.fixture
def folder(published):
    """Six clips, five of them for training."""
    for i, name in enumerate(NAMES):
        published.clip(name, "train" if i else "test")
    return published


def change(published, function, names=NAMES):
    for name in names:
        np.save(published.motion(name), function(published.joints(name)))


def prepare(published, data_dir, *flags):
    main(["humanml3d", f"--raw_dir={published.folder}", f"--data_dir={data_dir}", "--name=mine",
          *flags])  # fmt: skip
    folder = data_dir / "mine" / "1.0.0"
    return Dataset(data_dir, "mine"), json.loads((folder / "report.json").read_text())


def joints_of(dataset):
    split = dataset.split("train")
    return {split.ids[row]: split[row]["joints"][:, 0] for row in range(len(split))}


def test_a_folder_in_centimetres_stops_and_can_be_declared(folder, tmp_path, capsys):
    metres, _ = prepare(folder, tmp_path / "metres")
    change(folder, lambda clip: 100 * clip)
    with pytest.raises(SystemExit) as stop:
        prepare(folder, tmp_path / "data")
    message = str(stop.value)
    assert "5 of 5 clips of train are implausible; nothing was written" in message
    assert "clip1: the body measures 165 m along its bones" in message
    assert "--unit=cm" in message and "--accept=unit_implausible" in message
    assert not (tmp_path / "data" / "mine").exists()
    dataset, report = prepare(folder, tmp_path / "data", "--unit=cm")
    assert report["options"]["unit"] == "cm" and report["kept"] == 6
    for name, joints in joints_of(dataset).items():
        np.testing.assert_allclose(joints, joints_of(metres)[name], atol=1e-6)
    capsys.readouterr()
    dataset, report = prepare(folder, tmp_path / "accepted", "--accept=unit_implausible")
    assert report["kept"] == 6 and dataset.metadata.accepted == ("unit_implausible",)
    assert "bodies: 165.00/165.00/165.00 m from toes to head" in capsys.readouterr().out


def test_one_clip_in_millimetres_does_not_spoil_the_statistics(folder, tmp_path):
    without, _ = prepare(folder, tmp_path / "without")
    folder.clip("odd")
    change(folder, lambda clip: 1000 * clip, ["odd"])
    dataset, report = prepare(folder, tmp_path / "data")
    (entry,) = report["dropped"]
    assert (entry["id"], entry["reason"]) == ("odd", "unit_implausible")
    assert "It looks like mm" in entry["detail"]
    np.testing.assert_array_equal(dataset.metadata.std, without.metadata.std)


@pytest.mark.parametrize(
    ("spoil", "reason", "flag"),
    [
        (lambda clip: clip[..., [0, 2, 1]] * Z, "axis_implausible", "--up=z"),
        (lambda clip: clip[..., [1, 0, 2]] * Z, "axis_implausible", "--up=x"),
        (lambda clip: clip * np.float32([1, 1, -1]), "handedness", "--accept=handedness"),
        (lambda clip: clip[:, ::-1], "order_implausible", "--order=" + ",".join(
            SKELETONS["smpl22"].joint_names[::-1])),
        (lambda clip: np.repeat(clip[:1], 30, axis=0), "frozen", "--accept=frozen"),
        (
            lambda clip: clip * (np.arange(30) != 7)[:, None, None].astype("f"),
            "zeros",
            "--accept=zeros",
        ),
    ],
)  # fmt: skip
def test_what_stops_and_the_flag_that_declares_it(folder, tmp_path, spoil, reason, flag):
    change(folder, spoil)
    with pytest.raises(SystemExit) as stop:
        prepare(folder, tmp_path)
    assert f"nothing was written. {reason}: clip1: " in str(stop.value)
    dataset, report = prepare(folder, tmp_path, flag)
    assert report["kept"] == 6
    if not flag.startswith("--accept"):
        expected = body(30, seed=sum(ord(c) * 31**i for i, c in enumerate("clip1")) % 2**32)
        np.testing.assert_allclose(joints_of(dataset)["clip1"], expected, atol=1e-6)


def test_canonical_makes_the_origin_of_humanml3d(folder, tmp_path, capsys):
    dataset, _ = prepare(folder, tmp_path / "there")
    assert dataset.metadata.origin == Origin()
    assert "origin: HumanML3D's, facing +Z" in capsys.readouterr().out
    there = joints_of(dataset)
    quarter = np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0]], np.float32)
    change(folder, lambda clip: clip @ quarter + np.float32([1, 2, 3]))
    dataset, _ = prepare(folder, tmp_path / "away")
    assert dataset.metadata.origin is None
    assert "origin: not HumanML3D's (--canonical makes it)" in capsys.readouterr().out
    dataset, report = prepare(folder, tmp_path / "made", "--canonical")
    assert dataset.metadata.origin is not None and report["options"]["canonical"] is True
    for name, joints in joints_of(dataset).items():
        np.testing.assert_allclose(joints, there[name], atol=1e-5)


def test_a_clip_is_judged_before_it_is_made_canonical(folder, tmp_path):
    """The floor that is made under a body with Z up is none on which it lies."""
    change(folder, lambda clip: clip[..., [0, 2, 1]] * Z)
    with pytest.raises(SystemExit, match=r"5 of 5 .*axis_implausible: .*--up=z"):
        prepare(folder, tmp_path, "--canonical")
    dataset, report = prepare(folder, tmp_path, "--canonical", "--up=z")
    assert report["kept"] == 6 and dataset.metadata.origin == Origin()
    change(folder, lambda clip: clip[..., [0, 2, 1]] * Z[[0, 2, 1]])  # Y up again
    change(folder, lambda clip: clip[..., [0, 2, 1]] * Z, NAMES[3:4])
    labels = tmp_path / "labels.csv"
    labels.write_text("id,action\n" + "".join(f"{name},{name}\n" for name in NAMES))
    flags = ("--canonical", "--overwrite", f"--labels_csv={labels}", "--label=action")
    _, report = prepare(folder, tmp_path, *flags)
    ((entry),) = report["dropped"]
    assert (entry["id"], entry["reason"]) == (NAMES[3], "axis_implausible")


def test_a_split_of_clips_that_are_implausible_for_several_reasons(folder, tmp_path):
    change(folder, lambda clip: 100 * clip, NAMES[1:3])
    change(folder, lambda clip: clip[..., [0, 2, 1]] * Z, NAMES[3:4])
    message = r"3 of 5 clips of train are implausible \(2 unit_implausible, 1 axis_implausible\)"
    with pytest.raises(SystemExit, match=message):
        prepare(folder, tmp_path)


def test_an_order_of_another_number_of_joints(folder, tmp_path):
    order = ",".join((*SKELETONS["smpl22"].joint_names, "left_hand", "right_hand"))
    with pytest.raises(SystemExit, match="order names 24 joints: it must name all 22, no others"):
        prepare(folder, tmp_path, f"--order={order}")


@pytest.mark.parametrize(
    ("function", "advice"),
    [
        (
            lambda clip: clip[:, ::-1],
            "with --order, or the sensor of shaking joints with --sensor=",
        ),
        (lambda clip: clip * np.float32([-1, 1, 1]), "Exchange left and right, or"),
    ],
)
def test_a_stop_without_a_guess_says_what_to_do(folder, tmp_path, function, advice):
    change(folder, function)
    with pytest.raises(SystemExit) as stop:
        prepare(folder, tmp_path)
    assert advice in str(stop.value) and "--accept=" in str(stop.value)


def test_advice_names_only_options_that_the_command_has(published, tmp_path):
    for i, name in enumerate(NAMES):
        published.clip(name, "train" if i else "test")
    change(published, lambda clip: body(30, "kit21")[..., [0, 2, 1]] * Z)
    with pytest.raises(SystemExit, match="Turn the joints so that y points up") as stop:
        main(["kit_ml", f"--raw_dir={published.folder}", f"--data_dir={tmp_path}"])
    assert "--up" not in str(stop.value) and "--accept=axis_implausible" in str(stop.value)


def test_the_measurements_of_every_clip_are_reported(folder, tmp_path):
    _, report = prepare(folder, tmp_path)
    of_clips = report["conventions"]
    assert of_clips["sensor"] == "optical" and of_clips["accepted"] == []
    assert set(of_clips["clips"]) == set(NAMES)
    row = dict(zip(of_clips["columns"], of_clips["clips"]["clip0"], strict=True))
    assert row["height_m"] == 1.65 and row["up"] == "y" and row["facing_deg"] == 0


def test_joints_that_shake_are_those_of_a_depth_camera(folder, tmp_path):
    noise = np.random.default_rng(0).normal(0, 0.02, (30, 22, 3)).astype(np.float32)
    change(folder, lambda clip: clip + noise)
    with pytest.raises(SystemExit, match="order_implausible"):
        prepare(folder, tmp_path)
    dataset, report = prepare(folder, tmp_path, "--sensor=depth")
    assert report["kept"] == 6 and dataset.metadata.sensor == "depth"


def test_an_unknown_reason(folder, tmp_path):
    with pytest.raises(SystemExit, match="accept='size'; expected one of zeros, frozen"):
        prepare(folder, tmp_path, "--accept=size")
