"""Whose statistics and conventions count: evaluation and encoding read the same clips alike."""

import dataclasses
import json
import types

import numpy as np
import pytest
from bodies import body
from runs import tiny_config

import motionalign
from motionalign import evaluate
from motionalign.conventions import Origin
from motionalign.data.dataset import Dataset, Metadata
from motionalign.data.representation import Joints, Patches, Rotations
from motionalign.inference.encoder import unit
from motionalign.inference.folder import encode_folder
from motionalign.inference.reference import described, reading_of
from motionalign.models.dual_encoder import DualEncoderConfig
from motionalign.models.motion_transformer import MotionTransformerConfig
from motionalign.models.vit import ViTConfig
from motionalign.skeleton import SKELETONS
from motionalign.tasks.registry import TASKS

PATCHES = Patches(patch_size=8, max_frames=40)
JOINTS = Joints(joints=22, channels=3, max_frames=12)
ROTATIONS = Rotations(joints=22, channels=6, max_frames=12)
PLACED = Metadata(
    "mine", SKELETONS["smpl22"], 8, 20.0, 1.0, np.tile([0, 0.9, 0], (22, 1)),
    np.full((22, 3), 0.5), 60.0, origin=Origin(), fingerprint="a",
)  # fmt: skip
SECOND = dataclasses.replace(
    PLACED, name="second", origin=None, unit_in_metres=None, fingerprint=None
)
KIT = dataclasses.replace(
    SECOND, name="other", skeleton=SKELETONS["kit21"], fps=12.5, mean=np.zeros((21, 3)),
    std=np.ones((21, 3)),
)  # fmt: skip
SIZES = {"width": 8, "depth": 1, "heads": 2, "mlp_width": 16}
OF_JOINTS = MotionTransformerConfig(
    joints=22, channels=3, **SIZES, norm="pre", positions="learned", frames=12, window="centre",
    root=None,
)  # fmt: skip
FACTOR = 100  # of centimetres


def elsewhere(joints):
    """A clip in centimetres, turned and moved away from HumanML3D's origin."""
    turn = np.array([[0.6, 0, -0.8], [0, 1, 0], [0.8, 0, 0.6]])
    return (FACTOR * (joints @ turn.T + [1.5, 0.4, -2.0])).astype(np.float32)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """A data_dir with "elsewhere": 12 clips at 40 frames per second, in centimetres."""
    from data_prep.builders import prepare
    from data_prep.readers import Clips

    folder = tmp_path_factory.mktemp("data")

    def clip(i):
        split, joints = ("train", "test")[i % 2], elsewhere(body(24 + 12 * i, seed=i))
        captions = [f"moves in way {i}"]
        return types.SimpleNamespace(
            id=f"clip-{i:02d}", split=split, joints=joints, captions=captions
        )

    def reader():
        reader = Clips(map(clip, range(12)))
        reader.source_fps = reader.fps = 40.0
        reader.unit_in_metres = 1 / FACTOR
        return reader

    prepare(reader, folder, "elsewhere", patch_size=8)
    return folder


@pytest.fixture(scope="module")
def models(write_model, tmp_path_factory):
    """Models that read patches and joints, trained on clips at 20 fps, in metres, and placed."""
    folder = tmp_path_factory.mktemp("models")
    vit = ViTConfig(**SIZES, patch_size=8, max_frames=40, padding="mask")
    motions = {"patches": vit, "joints": OF_JOINTS}
    return {
        name: write_model(
            folder / name,
            DualEncoderConfig(motion=motion, text=None, text_head=False, embed_dim=6),
            datasets=(PLACED, dataclasses.replace(KIT, fps=20.0)),
        )
        for name, motion in motions.items()
    }


def embedded(model, dataset, split="test"):
    """The vectors of all clips of a split, as an evaluation computes them."""
    opened = dataset.split(split)
    predict = evaluate._predictor_for(model, dataset)
    return predict.motions(dataset, opened, np.arange(len(opened)))


@pytest.mark.parametrize("reads", ["patches", "joints"])
def test_evaluation_and_encode_embed_the_same_clips_alike(models, data_dir, tmp_path, reads):
    """Another dataset: of other statistics, unit, placement and frame rate."""
    model, dataset = motionalign.load(models[reads]), Dataset(data_dir, "elsewhere")
    split, metadata = dataset.split("test"), dataset.metadata
    assert (metadata.fps, metadata.unit_in_metres, metadata.origin) == (40, 0.01, None)
    scored = embedded(model, dataset)

    raw = [record["joints"][:, 0] for record in split]
    given = {"fps": 40, "unit": "cm", "normalize": False}
    np.testing.assert_array_equal(scored, model.encode_motion(raw, **given))
    assert np.abs(scored - model.encode_motion(raw, **given, canonical="never")).max() > 1e-3

    for name, clip in zip(split.ids, raw):
        np.save(tmp_path / f"{name}.npy", clip)
    encode_folder(models[reads], tmp_path, tmp_path / "out.npz", fps=40, unit="cm")
    with np.load(tmp_path / "out.npz") as found:
        assert found["ids"].tolist() == split.ids
        np.testing.assert_allclose(found["embeddings"], unit(scored), atol=1e-6)

    # The same as before they were moved; of longer clips, the floor depends on the frames read.
    before = [body(24 + 12 * i, seed=i) for i in (1, 3)]
    expected = model.encode_motion(before, 40, normalize=False)
    np.testing.assert_allclose(scored[:2], expected, atol=2e-3)


def test_clips_of_a_training_dataset_are_read_as_recorded(models, data_dir):
    """Of the same name, or with the same content under another name; not moved, not converted."""
    dataset = Dataset(data_dir, "elsewhere")
    model = motionalign.load(models["patches"])
    recorded = [record["patches"][:, 0] for record in dataset.split("test")]
    expected = model.encode_prepared(recorded, normalize=False)
    others = np.abs(embedded(model, dataset) - expected).max()
    assert others > 1e-2
    own = dataclasses.replace(dataset.metadata, fingerprint=dataset.fingerprint)
    for name in ("elsewhere", "under_another_name"):
        model.datasets = {PLACED.name: PLACED, name: dataclasses.replace(own, name=name)}
        np.testing.assert_array_equal(embedded(model, dataset), expected)
        assert reading_of(model.datasets, dataset, PATCHES).about == {}
    model.datasets = {"elsewhere": dataclasses.replace(own, std=2 * own.std)}
    assert np.abs(embedded(model, dataset) - expected).max() > 1e-3
    assert reading_of(model.datasets, dataset, PATCHES).note == (
        "motions are standardised by the checkpoint's statistics, not the dataset's"
    )


def test_a_record_of_one_frame_is_a_pose_held_for_two(models, tmp_path):
    from data_prep.builders import prepare
    from data_prep.readers import Clips

    poses = [body(1, seed=i) for i in range(2)]
    clips = [
        types.SimpleNamespace(id=f"pose-{i}", split=split, joints=joints, captions=["stands"])
        for i, (split, joints) in enumerate(zip(("train", "test"), poses, strict=True))
    ]
    prepare(lambda: Clips(iter(clips)), tmp_path, "poses", patch_size=8, min_frames=1)
    model, dataset = motionalign.load(models["joints"]), Dataset(tmp_path, "poses")
    held = np.repeat(poses[1], 2, axis=0)
    given = {"fps": dataset.metadata.fps, "normalize": False, "canonical": "never"}
    expected = model.encode_motion([held], accept="frozen", **given)
    model.datasets = {"mine": dataclasses.replace(PLACED, origin=None)}
    np.testing.assert_allclose(embedded(model, dataset), expected, atol=1e-5)
    model.datasets = {"poses": dataset.metadata}
    np.testing.assert_allclose(embedded(model, dataset), expected, atol=1e-5)
    with pytest.raises(ValueError, match="frames >= 2"):
        model.encode_motion([poses[1]], **given)


def dataset_of(metadata, name="new", fingerprint="b"):
    """A stand-in for a prepared dataset."""
    metadata = dataclasses.replace(metadata, name=name)
    return types.SimpleNamespace(name=name, metadata=metadata, fingerprint=fingerprint)


@pytest.mark.parametrize(
    ("trained", "dataset", "reads", "note"),
    [
        ([PLACED, SECOND], dataset_of(PLACED, "mine"), PATCHES, ""),
        ([PLACED, SECOND], dataset_of(SECOND, "second"), PATCHES, ""),
        ([PLACED, SECOND], dataset_of(PLACED, fingerprint="a"), PATCHES, ""),
        (
            [PLACED, SECOND], dataset_of(PLACED), PATCHES,
            "motions are read with the statistics, unit, placement and frame rate (20 fps) of "
            "training dataset 'mine'",
        ),
        (
            [SECOND, PLACED], dataset_of(PLACED), PATCHES,
            "motions are read with the statistics and frame rate (20 fps) of training dataset "
            "'second'",
        ),
        (
            [PLACED], dataset_of(SECOND), JOINTS,
            "motions are read with the placement and frame rate (20 fps) of training dataset "
            "'mine'",
        ),
        (
            [PLACED], dataset_of(PLACED), ROTATIONS,
            "motions are read with the frame rate (20 fps) of training dataset 'mine'",
        ),
        (
            [KIT, dataclasses.replace(PLACED, fps=12.5)], dataset_of(PLACED), PATCHES,
            "motions are read with the statistics, unit, placement and frame rate (12.5 fps) of "
            "training dataset 'mine'",
        ),
        (
            [PLACED], dataset_of(dataclasses.replace(KIT, fps=20.0)), PATCHES,
            "no training dataset has the joints of skeleton 'kit21': motions are standardised by "
            "the dataset's own statistics",
        ),
        (
            [PLACED], dataset_of(KIT), JOINTS,
            "no training dataset has the joints of skeleton 'kit21': motions are read at 20 fps "
            "and otherwise as they are",
        ),
    ],
)  # fmt: skip
def test_whose_statistics_and_conventions_count(trained, dataset, reads, note):
    known = {each.name: each for each in trained}
    assert reading_of(known, dataset, reads).note == note


def test_patches_of_other_joints_cannot_be_resampled():
    with pytest.raises(ValueError, match=r"has 12\.5 frames per second, the model expects 20"):
        reading_of({"mine": PLACED}, dataset_of(KIT), PATCHES)


def test_the_placement_counts_if_clips_are_placed():
    assert described("a", PLACED, PATCHES, placed=False) == (
        "with the statistics, unit and frame rate (20 fps) of training dataset 'a'"
    )
    assert "placement" not in described("a", SECOND, PATCHES)


def evaluation_of(folder, data_dir, output):
    """(what an evaluation on the dataset says, its metrics.json, its page)."""
    config, said = tiny_config(data_dir, data__datasets="elsewhere"), []
    (scores,) = evaluate.evaluate_checkpoint(config, folder, output, say=said.append).values()
    written = output / "evaluation" / "elsewhere-test"
    metrics = json.loads((written / "metrics.json").read_text())
    assert metrics.items() >= scores.items()
    return "\n".join(said), metrics, (written / "index.html").read_text()


@pytest.mark.usefixtures("one_device")
def test_an_evaluation_notes_whose_statistics_count(folders, data_dir, tmp_path):
    """In the table, the page and metrics.json; scores that were of another reading are dropped."""
    said, metrics, page = evaluation_of(folders["captions"], data_dir, tmp_path)
    note = "motions are read with the statistics, unit and frame rate (20 fps) of training dataset "
    assert f"\n- input: {note}'mine'\n" in said + "\n"
    assert metrics["input"] == f"{note}'mine'"
    assert note in page

    model, dataset = motionalign.load(folders["captions"]), Dataset(data_dir, "elsewhere")
    task = TASKS["captions"](tiny_config(data_dir))
    assert evaluate.evaluated(model, task, dataset, "test") == metrics["evaluated"]
    model.datasets = {"elsewhere": dataset.metadata}
    assert evaluate.evaluated(model, task, dataset, "test") != metrics["evaluated"]


def test_the_summary_of_encode_says_whose_statistics_count(folders, models, tmp_path):
    np.save(tmp_path / "a.npy", body(30))

    def said(folder, **options):
        found = encode_folder(folder, tmp_path, tmp_path / "out.npz", fps=20, **options)
        return next(line for line in found.summary().splitlines() if line.startswith("They are"))

    two = "They are read with the statistics, unit and frame rate (20 fps) of training dataset "
    assert said(folders["captions"]) == f"{two}'mine', the first of 2 (--dataset names another)"
    assert said(folders["captions"], dataset="mine") == f"{two}'mine'"
    one = "They are read with the unit and frame rate (20 fps) of training dataset 'mine'"
    assert said(folders["frozen"]) == one
    assert "statistics, unit, placement and frame rate" in said(models["patches"])
    assert "statistics, unit and frame rate" in said(models["patches"], canonical="never")
