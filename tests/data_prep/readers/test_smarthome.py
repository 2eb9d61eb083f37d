"""Toyota Smarthome: names, protocols, the detection of most motion."""

import json

import numpy as np
import pytest
from bodies import body
from lcrnet_files import write

from data_prep import __main__ as command
from data_prep.class_names import SMARTHOME as CLASSES
from data_prep.readers.smarthome import Smarthome, parse_name
from motionalign.data.dataset import Dataset


def standing(seed=0, frames=15, x=0.0):
    """Joints [T, 13, 3] of skeleton smarthome13, Y up, two metres before the camera."""
    return (body(frames, "smarthome13", seed) * [-1, 1, -1] + [x, -1, -2]).astype(np.float64)


def in_file(joints):
    """As LCR-Net has them: the joints from the last one, in the camera's axes."""
    return (joints[:, ::-1] * [1, -1, -1]).tolist()


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("Cook.Cleandishes_p02_r00_v02_c03", (0, 2, 3)),
        ("WatchTV_p25_r01_v16_c07", (30, 25, 7)),
        ("Usetablet_p03_r00_v01_c01", (27, 3, 1)),
        ("Cook_p02_r00_v02_c03", None),
        ("Cook.Cleandishes_p2_r0_v2_c3", None),
        ("Walk", None),
    ],
)
def test_names(name, found):
    said = parse_name(name)
    assert (said and (said.label, said.subject, said.view)) == found


@pytest.fixture
def raw(tmp_path):
    """Clips of subjects who train, validate and test, and of cameras that do."""
    folder = tmp_path / "raw"
    seed = 0
    for subject, camera in ((3, 1), (19, 5), (2, 2), (4, 3)):
        for name in ("Cook.Cut", "Cutbread", "Walk"):
            seed += 1
            path = folder / f"{name}_p{subject:02d}_r00_v00_c{camera:02d}.json"
            write(path, [[pose] for pose in in_file(standing(seed))])
    return folder


def test_joints_are_turned_to_y_up(raw):
    reader = Smarthome(raw, "cs")
    joints = reader.joints("Cook.Cut_p03_r00_v00_c01")
    assert joints.shape == (15, 1, 13, 3) and joints.dtype == np.float32
    np.testing.assert_allclose(joints[:, 0], standing(1), atol=1e-6)
    assert joints[0, 0, 0, 1] > joints[0, 0, -1, 1]  # the head above an ankle


@pytest.mark.parametrize(
    ("protocol", "classes", "counts"),
    [("cs", 31, (6, 3, 3)), ("cv1", 19, (2, 2, 2)), ("cv2", 19, (4, 2, 2))],
)
def test_protocols(raw, protocol, classes, counts):
    reader = Smarthome(raw, protocol)
    assert tuple(len(names) for names in reader.splits().values()) == counts
    assert len(reader.label_names) == classes
    for names in reader.splits().values():
        for name in names:
            words = reader.label_names[reader.label(name)]
            assert words == CLASSES[name.split("_")[0]] == reader.captions(name)[0].text
    assert "top1_per_class, the mean of the classes' accuracies" in reader.protocol
    notes = " ".join(reader.notes)
    assert ("no part of it: 4 recordings of other classes" in notes) == (classes == 19)
    assert ("no part of it: 2 recordings of other cameras" in notes) == (protocol == "cv1")
    assert "val: the published one" in notes


def test_the_first_two_detections_are_looked_at_and_the_one_of_most_motion_is_kept(raw):
    still, moving, fast = standing(1), standing(2), standing(3)
    still[:] = still[0]
    moving += np.linspace(0, 1, 15)[:, None, None] * [1, 0, 0]
    fast += np.linspace(0, 9, 15)[:, None, None] * [1, 0, 0]
    frames = list(zip(in_file(still), in_file(moving), in_file(fast)))
    frames[4] = ()
    write(raw / "Cook.Cut_p03_r00_v00_c01.json", frames)
    joints = Smarthome(raw, "cs").joints("Cook.Cut_p03_r00_v00_c01")
    np.testing.assert_allclose(joints[:, 0], np.delete(moving, 4, axis=0), atol=1e-6)


def test_bodies_that_are_turned_already_are_refused(raw):
    for seed, path in enumerate(sorted(raw.iterdir())):
        write(path, [[pose] for pose in (standing(seed)[:, ::-1]).tolist()])
    with pytest.raises(ValueError, match="6 of 6 bodies of a sample stand along -y when -y of the"):
        Smarthome(raw, "cs")


def test_a_prepared_dataset(raw, tmp_path):
    write(raw / "Walk_p06_r00_v00_c01.json", [[], []])
    (raw / "Walk_p07_r00_v00_c01.json").write_text("{")
    command.main(["smarthome", f"--raw_dir={raw}", "--protocol=cs", f"--data_dir={tmp_path}"])
    metadata = Dataset(tmp_path, "smarthome").metadata
    assert metadata.label_names == tuple(CLASSES.values())
    assert metadata.skeleton.name == "smarthome13" and metadata.unit_in_metres is None
    report = json.loads((tmp_path / "smarthome" / "1.0.0" / "report.json").read_text())
    assert {entry["id"][:8]: entry["reason"] for entry in report["dropped"]} == {
        "Walk_p06": "no_body", "Walk_p07": "motion_unreadable",
    }  # fmt: skip
    assert report["split_made"]["val"] == {"subject": [19, 25]}
    assert report["options"]["protocol"] == "cs" and report["kept"] == 12


def test_a_folder_without_the_classes_of_cross_view(tmp_path):
    write(tmp_path / "Cook.Cut_p03_r00_v00_c01.json", [[]])
    with pytest.raises(
        ValueError, match="no recording of the classes of the benchmark, only 1 rec"
    ):
        Smarthome(tmp_path, "cv1")
