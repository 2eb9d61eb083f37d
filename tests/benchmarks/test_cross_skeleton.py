"""Actions by words on other skeletons: protocols, statistics, and the table of a small model."""

import bodies
import numpy as np
import pytest

import motionalign
from benchmarks import cross_skeleton
from motionalign import formats
from motionalign.skeleton import SKELETONS

KINECT = SKELETONS["kinect20"]


def write_set(path, views=(1, 2, 3, 3), frames=12, empty=()):
    clips = [bodies.body(frames, "kinect20", seed) for seed in range(len(views))]
    for number in empty:
        clips[number] = np.zeros_like(clips[number])
    np.savez(
        path,
        positions=np.concatenate(clips)[:, None].astype(np.float32),
        lengths=[frames] * len(views),
        labels=[number % 2 for number in range(len(views))],
        subjects=[1] * len(views), views=views, trials=[1] * len(views),
        files=[f"clip{number}" for number in range(len(views))],
        class_names=["sit_down", "throw"],
        joint_names=KINECT.joint_names, parents=KINECT.parents, fps=20.0,
    )  # fmt: skip
    return path


def test_the_table_of_a_small_model(tmp_path, short_run):
    model = motionalign.load(short_run)
    path = write_set(tmp_path / "nw_ucla.npz")
    rows = [row.strip("| ").split(" | ") for row in cross_skeleton.rows(model, path)]
    assert [row[:4] for row in rows] == [
        ["nw_ucla", "2", "2", "sentences"], ["nw_ucla", "2", "2", "class names"]
    ]  # fmt: skip
    for row in rows:
        assert row[-2:] == ["50.0", "50.0"]
        assert all(float(each) in (0, 50, 100) for each in row[4:7])


def test_a_clip_without_anybody_is_wrong(tmp_path, short_run):
    model = motionalign.load(short_run)
    path = write_set(tmp_path / "nw_ucla.npz", empty=(2, 3))
    for row in cross_skeleton.rows(model, path):
        assert row.strip("| ").split(" | ")[4:7] == ["0.0"] * 3


def test_a_fold_has_the_statistics_of_the_others(tmp_path, short_run, monkeypatch):
    model = motionalign.load(short_run)
    path = write_set(tmp_path / "nw_ucla.npz")
    motions, skeleton, clips = cross_skeleton.read_set(path)
    assert skeleton == KINECT
    seen = []
    kept = cross_skeleton.own_metadata
    monkeypatch.setattr(
        cross_skeleton,
        "own_metadata",
        lambda reference, skeleton, clips: (
            seen.append(len(clips)) or kept(reference, skeleton, clips)
        ),
    )
    folds = cross_skeleton.folds_of("nw_ucla", motions)
    assert folds.tolist() == [-1, -1, 0, 0]
    vectors = cross_skeleton.own_vectors(model, motions, skeleton, clips, folds)
    assert seen == [4, 2] and vectors.shape == (4, vectors.shape[1])


def test_every_class_of_the_sets_has_a_sentence_and_a_fold(test_data):
    for path in sorted((test_data / "actions").glob("*.npz")):
        motions = formats.read(path)
        assert {motion.labels["class"] for motion in motions} <= cross_skeleton.SENTENCES.keys()
        folds = cross_skeleton.folds_of(path.stem, motions)
        assert (folds >= 0).any()
        if path.stem == "sbu_interaction":
            assert sorted(set(folds.tolist())) == [0, 1, 2, 3, 4]


def test_a_set_without_a_protocol_is_refused(tmp_path):
    motions = formats.read(write_set(tmp_path / "mine.npz"))
    with pytest.raises(ValueError, match="mine: no protocol is known"):
        cross_skeleton.folds_of("mine", motions)
