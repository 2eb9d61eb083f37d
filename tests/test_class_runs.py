"""Whole runs of Walk and Text: from files as they are published to tables and pictures."""

import csv
import json
import shutil

import numpy as np
import pytest
import safetensors.numpy
from published_files import write_babel, write_densegait
from runs import command, losses, one_device, scalars

import motionalign
from data_prep.__main__ import main
from motionalign import digests, evaluate, metrics, sharding, train
from motionalign.configs import babel60_gaitformer, densegait_gaitformer
from motionalign.data.dataset import Dataset
from motionalign.tasks import attributes

pytestmark = pytest.mark.usefixtures("one_device")

SMALL = {
    "epochs": 2,
    "log_steps": 1,
    "checkpoint_steps": 0,
    "data.batch_size": 16,
    "data.eval_batch_size": 16,
    "model.motion.size": "custom",
    "model.motion.width": 32,
    "model.motion.depth": 1,
    "model.motion.heads": 2,
    "optim.groups.motion_encoder.lr": 1e-3,
    "optim.groups.heads.lr": 1e-3,
}


def small(config, data_dir, **fields):
    given = {name.replace("__", "."): value for name, value in fields.items()}
    with config.unlocked():
        config.update_from_flattened_dict({**SMALL, "data.data_dir": str(data_dir), **given})
    return config


def launch(config: str, workdir, fields: dict) -> str:
    """What launch.py prints of a config file."""
    with one_device():
        done = command(
            f"--config=configs/{config}",
            f"--workdir={workdir}",
            *(f"--config.{name}={value}" for name, value in fields.items()),
        )
    assert done.code == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def babel(tmp_path_factory, minilm):
    """A data_dir with BABEL as published, prepared and embedded by the commands of the README."""
    folder = tmp_path_factory.mktemp("babel")
    paths = write_babel(folder / "raw")
    flags = [f"--{name}={path}" for name, path in paths.items()]
    main(["babel", *flags, f"--data_dir={folder}"])
    main(["embed", f"--data_dir={folder}", "--name=babel", f"--encoder={minilm}"])
    return folder


@pytest.fixture(scope="module")
def densegait(tmp_path_factory, minilm):
    folder = tmp_path_factory.mktemp("densegait")
    raw = write_densegait(folder / "raw")
    main(["densegait", f"--raw_dir={raw}", f"--data_dir={folder}"])
    main(["embed", f"--data_dir={folder}", "--name=densegait", f"--encoder={minilm}"])
    return folder


@pytest.fixture(scope="module")
def babel_run(babel, tmp_path_factory):
    """(workdir, what was printed) of the published recipe, small, through launch.py."""
    workdir = tmp_path_factory.mktemp("run")
    return workdir, launch("babel60_gaitformer.py", workdir, {**SMALL, "data.data_dir": babel})


def test_the_published_recipe(babel, babel_run):
    """Rotations and descriptions, by triplets: tables and pictures."""
    workdir, printed = babel_run
    for row in ("| label words", "| descriptions", "| unseen synonyms"):
        assert row in printed
    of_several = "a class with several texts is represented by the mean of their vectors"
    assert f"- euclidean distance; {of_several}" in printed
    results = json.loads((workdir / "metrics.json").read_text())
    assert (results["dataset"], results["split"], results["task"]) == ("babel", "test", "labels")
    split = Dataset(babel, "babel").split("test")
    for scores in results["recognition"].values():
        assert (scores["classes"], scores["clips"]) == (60, len(split))
        assert 0 <= scores["top1"] <= scores["top5"] <= 100
    for kind in ("words", "descriptions", "synonyms"):
        png = (workdir / "evaluation" / "babel-test" / f"confusion-{kind}.png").read_bytes()
        assert png.startswith(b"\x89PNG")
    lines = scalars(workdir)
    assert np.isfinite([line["val/loss"] for line in lines if "val/score" in line]).all()


def test_the_model_in_use(babel, babel_run, minilm):
    workdir, _ = babel_run
    model = motionalign.load(workdir)
    assert model.distance == "euclidean"
    dataset = Dataset(babel, "babel")
    read = model.encoder.representation.read
    clip = read(dataset.split("test")[0])[:, 0]
    assert clip.shape[1:] == (25, 6)
    assert model.encode_motion(clip, fps=30, normalize=False).shape == (384,)
    walk = dataset.caption_vectors[["walk"]][0]
    np.testing.assert_allclose(model.encode_text("walk", normalize=False), walk, atol=1e-5)
    moved = motionalign.load(workdir, text_encoder=str(minilm))  # where it lies on this machine
    np.testing.assert_allclose(moved.encode_text(["walk"], normalize=False)[0], walk, atol=1e-5)

    with pytest.raises(ValueError, match="texts are strings; found 1"):
        model.encode_text(["walk", 1])

    # The table's top-1, by hand: the Euclidean distance of raw vectors to the labels' words.
    split = dataset.split("test")
    clips = [read(split[i])[:, 0] for i in range(len(split))]
    motion = model.encode_motion(clips, fps=30, normalize=False)
    words = dataset.caption_vectors[list(dataset.metadata.label_names)]
    away = np.linalg.norm(motion[:, None] - words, axis=-1)
    names = ["walk", "jump"]
    found = model.similarity(clips[:2], names, fps=30)
    columns = [dataset.metadata.label_names.index(name) for name in names]
    np.testing.assert_allclose(found, -away[:2, columns], atol=1e-4)
    np.testing.assert_allclose(model.similarity(clips[0], names, fps=30), found[0], atol=1e-5)
    np.testing.assert_allclose(model.similarity(clips[0], "walk", fps=30), found[0, :1], atol=1e-5)
    nearest = away.argmin(axis=1)
    results = json.loads((workdir / "metrics.json").read_text())
    top1 = 100 * np.mean(nearest == split.labels)
    np.testing.assert_allclose(results["recognition"]["label words"]["top1"], top1, atol=1e-6)


def test_another_text_encoder_than_the_models(babel, babel_run, minilm, tmp_path):
    shutil.copytree(Dataset(babel, "babel").version_dir, tmp_path / "babel" / "1.0.0")
    path = tmp_path / "babel" / "1.0.0" / "caption_vectors.safetensors"
    vectors = safetensors.numpy.load_file(path)
    with safetensors.safe_open(path, framework="np") as file:
        made_by = file.metadata()
    with digests.recording(path):
        path.write_bytes(safetensors.numpy.save(vectors, {**made_by, "readout": "first"}))
    config = small(babel60_gaitformer.get_config(), tmp_path)
    with pytest.raises(ValueError, match=r"trained with text vectors of .*, readout mean"):
        evaluate.evaluate_checkpoint(config, babel_run[0], tmp_path / "out")


@pytest.mark.parametrize(
    "arg", ["mse,words,joints", pytest.param("contrastive,actor", marks=pytest.mark.slow)]
)
def test_other_losses_inputs_and_encoders(babel, tmp_path, arg):
    config = small(babel60_gaitformer.get_config(arg), babel)
    assert train.train(config, tmp_path) == "finished"
    results = evaluate.evaluate_checkpoint(config, tmp_path, tmp_path)["babel"]
    assert results["distance"] == ("cosine" if "contrastive" in arg else "euclidean")
    assert list(results["recognition"]) == ["label words", "descriptions", "unseen synonyms"]
    assert losses(tmp_path)[-1] < losses(tmp_path)[0]
    assert {"val/top1", "val/top5", "val/score"} <= scalars(tmp_path)[-1].keys()


def test_a_linear_classifier_of_actions(babel, tmp_path):
    config = small(babel60_gaitformer.get_config("classify,joints"), babel)
    train.train(config, tmp_path)
    results = evaluate.evaluate_checkpoint(config, tmp_path, tmp_path)["babel"]
    assert list(results["recognition"]) == ["linear classifier"]
    model = motionalign.load(tmp_path)
    clip = Dataset(babel, "babel").split("test")[0]["joints"][:, 0]
    probabilities = model.classify([clip, clip[:50]], fps=30)
    assert probabilities.shape == (2, 60)
    assert model.class_names == Dataset(babel, "babel").metadata.label_names
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    with pytest.raises(ValueError, match="no text encoder"):
        model.encode_text("walk")
    with pytest.raises(ValueError, match=r"clip 1 of the list: a clip has shape \(1, 22, 3\)"):
        model.classify([clip, clip[:1]], fps=30)
    arrays, rows = classified_folder(tmp_path, [clip, clip[:50]], fps=30)
    np.testing.assert_allclose(arrays["probabilities"], probabilities, atol=1e-6)
    assert tuple(arrays["class_names"]) == model.class_names
    assert rows[0] == ["id", "class", *model.class_names]
    assert [row[:2] for row in rows[1:]] == [
        [f"clip-{i}", model.class_names[p.argmax()]] for i, p in enumerate(probabilities)
    ]
    np.testing.assert_allclose(np.array([r[2:] for r in rows[1:]], float), probabilities, atol=1e-5)


def classified_folder(workdir, clips, fps) -> tuple[dict, list[list[str]]]:
    """What --mode=encode writes of clips: the arrays of the .npz, the rows of the .csv."""
    folder = workdir / "clips"
    folder.mkdir()
    for i, clip in enumerate(clips):
        np.save(folder / f"clip-{i}.npy", clip)
    np.save(folder / "flat.npy", np.zeros((30, 66)))
    for name in ("out.npz", "out.csv"):
        flags = (f"--checkpoint={workdir}", f"--input={folder}", f"--output={workdir / name}")
        done = command("--mode=encode", f"--fps={fps}", *flags)
        assert done.code == 0, done.stderr
        assert f"{len(clips)} clips at {fps} fps" in done.stdout
    with np.load(workdir / "out.npz") as arrays, (workdir / "out.csv").open(newline="") as file:
        assert list(arrays["ids"]) == [f"clip-{i}" for i in range(len(clips))]
        with (workdir / "out.notes.csv").open(newline="") as notes:
            head, *rows = csv.reader(notes)
        assert head == ["id", "note", "reason"]
        assert [row[:2] for row in rows] == [
            *([name, "cut"] for name in arrays["cut"]), ["flat", "skipped"]
        ]  # fmt: skip
        assert "(30, 66)" in rows[-1][2]
        assert f"All of these clips: {workdir / 'out.notes.csv'}" in done.stdout
        return dict(arrays), list(csv.reader(file))


def test_attributes_retrieved(densegait, tmp_path):
    config = small(densegait_gaitformer.get_config("triplet,augmented"), densegait)
    with config.unlocked():
        config.data.augment.crop = 40
    train.train(config, tmp_path)
    results = evaluate.evaluate_checkpoint(config, tmp_path, tmp_path)["densegait"]
    found = results["retrieval"]
    split = Dataset(densegait, "densegait").split("test")
    assert found["gallery"] == len(split)
    assert set(found["ndcg"]) == {"cosine", "euclidean"}
    assert found["queries"] == len({tuple(row) for row in split.attributes > 0.5})
    # The curve by hand, of the words of every distinct set of attributes.
    model, dataset = motionalign.load(tmp_path), Dataset(densegait, "densegait")
    clips = [split[i]["joints"][:, 0] for i in range(len(split))]
    motion = model.encode_motion(clips, fps=24, normalize=False)
    sets = dataset.metadata.positive(split.attributes)
    queries = np.unique(sets, axis=0)
    texts = dataset.caption_vectors[[dataset.metadata.attribute_words(q) for q in queries]]
    nearness = -np.linalg.norm(texts[:, None] - motion, axis=-1)
    gains = queries.astype(float) @ sets.T
    curve = metrics.ndcg_at_k(nearness, gains, found["ks"])
    np.testing.assert_allclose(found["ndcg"]["euclidean"], curve, atol=1e-4)
    for name in ("ndcg.png", "attribute-ndcg.png", "metrics.json"):
        assert (tmp_path / "evaluation" / "densegait-test" / name).stat().st_size > 100


def test_attributes_classified(densegait, tmp_path):
    config = small(densegait_gaitformer.get_config("classify"), densegait)
    train.train(config, tmp_path)
    found = evaluate.evaluate_checkpoint(config, tmp_path, tmp_path)["densegait"]["classification"]
    metadata = Dataset(densegait, "densegait").metadata
    assert list(found["attributes"]) == list(metadata.attribute_names)
    assert len(metadata.attribute_names) == 42
    assert (tmp_path / "evaluation" / "densegait-test" / "attributes.png").is_file()
    model = motionalign.load(tmp_path)
    clip = Dataset(densegait, "densegait").split("test")[0]["joints"][:, 0]
    assert clip.shape[1:] == (18, 3)
    assert model.classify(clip, fps=24).shape == (42,)
    with pytest.raises(ValueError, match="use `classify`"):
        model.encode_motion(clip, fps=24)
    split = Dataset(densegait, "densegait").split("test")
    clips = [split[i]["joints"][:, 0] for i in range(len(split))]
    again = attributes.classification(
        model.classify(clips, fps=24), split.attributes > 0.5, model.class_names
    )
    np.testing.assert_allclose(again["macro"]["f1"], found["macro"]["f1"], atol=1e-6)
    arrays, rows = classified_folder(tmp_path, clips[:2], fps=24)
    assert rows[0][:2] == ["id", "attributes"]
    for row, probabilities in zip(rows[1:], arrays["probabilities"], strict=True):
        there = [name for name, p in zip(model.class_names, probabilities) if p > 0.5]
        assert row[1] == ", ".join(there)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["babel", "densegait"])
def test_two_steps_at_the_published_size(name, tmp_path, minilm):
    """12 layers of width 768 over 60 frames."""
    data_dir = tmp_path / "data"
    if name == "babel":
        paths = write_babel(tmp_path / "raw", num_train=10, num_val=2)
    else:
        paths = {"raw_dir": write_densegait(tmp_path / "raw", num_tracks=17)}
    main([name, *(f"--{flag}={path}" for flag, path in paths.items()), f"--data_dir={data_dir}"])
    main(["embed", f"--data_dir={data_dir}", f"--name={name}", f"--encoder={minilm}"])
    batch_size = len(Dataset(data_dir, name).split("train")) // 2
    launch(
        f"{name if name != 'babel' else 'babel60'}_gaitformer.py",
        tmp_path / "run",
        {
            "data.data_dir": data_dir,
            "data.batch_size": batch_size,
            "epochs": 1,
            "log_steps": 1,
        },
    )
    found = losses(tmp_path / "run")
    assert len(found) == 2
    assert np.isfinite(found).all()
    run = json.loads(next((tmp_path / "run").glob("best/*/run/metadata")).read_text())
    motion = run["architecture"]["motion"]
    assert (motion["depth"], motion["width"], motion["frames"]) == (12, 768, 60)
    assert (motion["joints"], motion["channels"]) == {"babel": (25, 6), "densegait": (18, 3)}[name]


def batches(arg, data_dir, workdir):
    """The training batches of a BABEL run."""
    return train.set_up(small(babel60_gaitformer.get_config(arg), data_dir), workdir).batches


def test_batches_of_rotations_and_translation(babel, tmp_path):
    """The published input is the default; its translation starts in each window."""
    every = batches("triplet", babel, tmp_path)
    batch, plain = (batches(arg, babel, tmp_path)[0] for arg in ("triplet", "rotations"))
    clips = batch["rotations_translation"]
    assert clips.shape == (16, 60, 25, 6)
    np.testing.assert_array_equal(clips[:, 0, -1], 0)
    np.testing.assert_array_equal(clips[:, :, -1, 3:], 0)
    assert (np.abs(clips[:, :, -1, :3]).max(axis=(1, 2)) > 0.01).all()
    # Without translation, the batch has the same frames: all joints but the root, which is Z up.
    np.testing.assert_array_equal(clips[:, :, 1:-1], plain["rotations"][:, :, 1:])
    split = every.splits[0]
    for clip, row in zip(clips, every._records(0)[1]):
        record = split[row]
        at = np.flatnonzero((record["rotations"][:, 0, 1:] == clip[0, 1:-1]).all(axis=(1, 2)))[0]
        root = record["joints"][at : at + 60, 0, 0]
        x, y, z = (root - root[0]).T
        np.testing.assert_allclose(
            clip[: len(root), -1, :3], np.stack([x, -z, y], axis=-1), atol=1e-5
        )


def test_the_protocol_of_walk_and_text(tmp_path):
    """Pieces with all their categories, from the commands to the table."""
    paths = write_babel(tmp_path / "raw", num_train=12, num_val=3)
    flags = [f"--{name}={path}" for name, path in paths.items()]
    name = ["--protocol=walktext", "--name=babel_walktext"]
    main(["babel", *flags, *name, f"--data_dir={tmp_path}"])
    fields = {"data.datasets": "babel_walktext", "data.batch_size": 8, "epochs": 1}
    config = small(babel60_gaitformer.get_config("classify"), tmp_path, **fields)
    assert train.train(config, tmp_path / "run") == "finished"
    evaluate.evaluate_checkpoint(config, tmp_path / "run", tmp_path / "run")
    results = json.loads((tmp_path / "run" / "metrics.json").read_text())
    split = Dataset(tmp_path, "babel_walktext").split("test")
    assert {*split.num_frames} == {100} and (split.all_labels >= 0).sum() > len(split)
    row = results["recognition"]["linear classifier"]
    assert row["protocol"] == "Walk and Text: any category of a piece"
    assert row["clips"] == len(split) and 0 <= row["top1"] <= row["top5"] <= 100
    assert "- Walk and Text: any category of a piece" in results["table"]
    page = (tmp_path / "run/evaluation/babel_walktext-test/index.html").read_text()
    assert "A clip with several actions is shown under each of them" in page
    validated = [line for line in scalars(tmp_path / "run") if "val/score" in line]
    assert np.isfinite([line["val/loss"] for line in validated]).all()


def test_the_batches(babel, tmp_path, monkeypatch):
    dataset = Dataset(babel, "babel")
    every = batches("triplet,joints", babel, tmp_path)
    batch = every[0]
    again = batches("triplet,joints", babel, tmp_path)[0]
    for name, array in again.items():  # a resumed run sees the same
        np.testing.assert_array_equal(array, batch[name])
    shapes = {name: array.shape for name, array in batch.items()}
    assert shapes == {
        "joints": (16, 60, 22, 3),
        "text_vectors": (16, 384),
        "negative_vectors": (16, 384),
    }
    np.testing.assert_array_equal(batch["joints"][:, 0, 0], 0)  # the root in the first frame
    vectors = dataset.caption_vectors
    described = dataset.texts["descriptions"]
    dataset_rows = every.splits[0]
    for i, row in enumerate(every._records(0)[1]):
        name = dataset.metadata.label_names[dataset_rows.labels[row]]
        own = vectors[described[name]]
        assert (own == batch["text_vectors"][i]).all(axis=1).any()
        assert not (own == batch["negative_vectors"][i]).all(axis=1).any()
    classes = batches("contrastive,joints", babel, tmp_path)[0]
    np.testing.assert_array_equal(classes["classes"], dataset_rows.labels[every._records(0)[1]])
    # A process reads its own rows of the same batch.
    monkeypatch.setattr(sharding, "local_rows", lambda mesh, batch_size: np.array([3, 7]))
    some = batches("triplet,joints", babel, tmp_path)
    for name, array in some[0].items():
        np.testing.assert_array_equal(array, batch[name][[3, 7]])


def test_what_is_wrong_is_said_before_training(babel, densegait, tmp_path):
    def fails(match, config, data_dir, **fields):
        with pytest.raises(ValueError, match=match):
            train.train(small(config, data_dir, **fields), tmp_path)

    fails("has no descriptions for .* describe --name=densegait --kind=appearance --out=",
          densegait_gaitformer.get_config("descriptions"), densegait)  # fmt: skip
    fails("'densegait' has no rotations", densegait_gaitformer.get_config(), densegait,
          model__motion__input="rotations")  # fmt: skip
    fails("2D joints", densegait_gaitformer.get_config(), densegait,
          model__motion__family="vit", model__motion__pool="mean")  # fmt: skip
    fails("has no labels", densegait_gaitformer.get_config(), densegait, task="labels")
    fails("no attributes", babel60_gaitformer.get_config(), babel, task="attributes")
    fails("loss.kind='classify' needs classes", babel60_gaitformer.get_config("classify"), babel,
          task="captions")  # fmt: skip
    fails("text.family='frozen'", babel60_gaitformer.get_config("mse"), babel,
          model__text__family="bert", model__embed_dim=8)  # fmt: skip
    fails("there are 384 dimensions in the text vectors", babel60_gaitformer.get_config(), babel,
          model__embed_dim=256)  # fmt: skip
    fails("config.data.sampling is 'all'", babel60_gaitformer.get_config(), babel,
          data__sampling="all")  # fmt: skip
    fails("data.augment.mirror is 2", densegait_gaitformer.get_config(), densegait,
          data__augment__mirror=2.0)  # fmt: skip
    assert not (tmp_path / "checkpoints").exists()
