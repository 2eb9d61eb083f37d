"""A new task, objective, encoder, representation, motion format: one file and one registry line.

The files are in tests/extending/. A dummy reader is in tests/data_prep/test_main.py.
"""

import json

import numpy as np
import pytest
from bodies import body
from extending import lengths, pooling, sharpened, sticks, velocities
from runs import command, losses, scalars, tiny_config

import motionalign
from data_prep.__main__ import main
from motionalign import evaluate, train
from motionalign.data.dataset import Dataset
from motionalign.data.representation import REPRESENTATIONS
from motionalign.formats import registry
from motionalign.models.families import MOTION_FAMILIES, representation_of
from motionalign.skeleton import SKELETONS
from motionalign.tasks.objectives import OBJECTIVES
from motionalign.tasks.registry import TASKS

pytestmark = pytest.mark.usefixtures("one_device")


def small_config(data_dir, **fields):
    """A run of two steps."""
    return tiny_config(data_dir, epochs=1, data__batch_size=16, data__eval_batch_size=16, **fields)


def use(config, workdir):
    """Trains, evaluates, loads and shares: the scores, and the model."""
    assert train.train(config, workdir) == "finished"
    assert len(losses(workdir)) == 2
    said, folder = [], workdir / "evaluation" / "small-test"
    scores = evaluate.evaluate_checkpoint(config, workdir, workdir, say=said.append)["small"]
    assert scores["split"] == "test"
    assert said[-1].strip().partition(": ")[2].startswith(str(folder))
    model = motionalign.load(workdir)
    shared = motionalign.load(model.save_pretrained(workdir / "shared", scores))
    clip = Dataset(config.data.data_dir, "small").split("test")[0]["joints"][:, 0]
    if model.class_names:
        np.testing.assert_array_equal(model.classify(clip, fps=20), shared.classify(clip, fps=20))
    else:
        np.testing.assert_array_equal(
            model.encode_motion(clip, fps=20), shared.encode_motion(clip, fps=20)
        )
    return scores, model


def test_an_objective(small_dataset, tmp_path, monkeypatch):
    monkeypatch.setitem(OBJECTIVES, "sharpened", sharpened.Sharpened)
    config = small_config(small_dataset, loss__kind="sharpened", loss__sharpness=5.0)
    scores, model = use(config, tmp_path / "run")
    assert scores["all"]["gallery"] == 15
    assert model.run["trained"]["loss"] == "sharpened"
    assert model.distance == "cosine"
    assert model.encode_text("a person walks").shape == (8,)
    assert all(0 < line["margin"] <= 10 for line in scalars(tmp_path / "run") if "loss" in line)

    # Its field is one like the others: it is in the help, is checked, is stored, and must be read.
    assert "\nloss.sharpness = 10.0   [above 0 and at most 99]" in command("--help_config").stdout
    stored = json.loads((tmp_path / "run" / "config.json").read_text())
    assert stored["loss"]["sharpness"] == 5
    for fields, message in (
        ({"loss__kind": "sharpened", "loss__sharpness": 6.0}, r"sharpness: 5.0 before, 6.0 now"),
        ({"loss__kind": "sharpened", "loss__sharpness": 0.0}, r"is 0.0; expected above 0"),
        ({"loss__sharpness": 5.0}, r"nothing reads it: .*, and only 'sharpened' reads it"),
        ({"loss__kind": "dull"}, r"'dull'; valid: contrastive, mse, .*, answer, sharpened"),
    ):
        with pytest.raises(ValueError, match=message):
            train.train(small_config(small_dataset, **fields), tmp_path / "run")


@pytest.mark.parametrize("loss", ["contrastive", "classify"])
def test_a_task(small_dataset, tmp_path, monkeypatch, loss):
    monkeypatch.setitem(TASKS, "lengths", lengths.Lengths)
    fields = {"loss__kind": loss, "model__embed_dim": 8 if loss == "contrastive" else None}
    config = small_config(small_dataset, task="lengths", data__long_from=50, **fields)
    scores, model = use(config, tmp_path)
    split = Dataset(small_dataset, "small").split("test")
    assert scores["clips"] == len(split)
    by_hand = []
    for row in range(len(split)):
        joints = split[row]["joints"][:, 0]
        if loss == "contrastive":
            found = model.similarity(joints, lengths.NAMES, fps=20)
        else:
            found = model.classify(joints, fps=20)
        by_hand.append(found.argmax() == (len(joints) >= 50))
    np.testing.assert_allclose(scores["right"], 100 * np.mean(by_hand))
    assert "val/right" in scalars(tmp_path)[-1]
    assert model.run["trained"] == {"task": "lengths", "loss": loss, "texts": "lengths"}
    assert "| lengths |" in (tmp_path / "shared" / "README.md").read_text()
    with pytest.raises(ValueError, match=r"config.data.long_from is 70, but nothing reads it"):
        train.train(small_config(small_dataset, data__long_from=70), tmp_path / "other")


def test_an_encoder(small_dataset, tmp_path, monkeypatch):
    monkeypatch.setitem(MOTION_FAMILIES, "pooling", pooling.FAMILY)
    fields = {"model__motion__family": "pooling", "model__motion__size": "tiny"}
    fields |= {f"model__motion__{name}": None for name in ("width", "depth", "heads")}
    config = small_config(
        small_dataset, model__motion__max_frames=40, model__motion__stride=2, **fields
    )
    _, model = use(config, tmp_path)
    motion = model.encoder.network.config.motion
    assert model.run["architecture"]["motion"]["family"] == "pooling"
    assert motion == pooling.PoolingConfig(joints=22, channels=3, width=16, frames=40, stride=2)
    # Every other frame counts, and no more than 40 of them.
    clip = body(60)
    unseen, seen = clip.copy(), clip.copy()
    unseen[1:40:2] += 1
    unseen[40:] += 1
    seen[38] += 1
    vectors = model.encode_motion([clip, unseen, seen], fps=20)
    np.testing.assert_array_equal(vectors[0], vectors[1])
    assert (vectors[0] != vectors[2]).any()
    assert "| motion encoder | pooling, width 16 |" in (tmp_path / "shared/README.md").read_text()
    with pytest.raises(ValueError, match=r"stride is 2, but nothing reads it: .*only 'pooling'"):
        train.train(small_config(small_dataset, model__motion__stride=2), tmp_path / "other")


def test_a_representation(small_dataset, tmp_path, monkeypatch):
    """Read by an encoder that knows nothing of it, as those over frames do."""
    monkeypatch.setitem(MOTION_FAMILIES, "pooling", pooling.FAMILY)
    monkeypatch.setitem(REPRESENTATIONS, "velocities", velocities.Velocities)
    fields = {"model__motion__family": "pooling", "model__motion__size": "tiny"}
    fields |= {f"model__motion__{name}": None for name in ("width", "depth", "heads")}
    config = small_config(
        small_dataset, model__motion__max_frames=40, model__motion__input="velocities",
        data__velocity_noise=0.1, **fields,
    )  # fmt: skip
    batch = train.set_up(config, tmp_path / "batches").batches[0]
    assert batch["joints"].shape == (16, 40, 22, 3)
    np.testing.assert_allclose(batch["joints"][:, 0].std(), 0.1, rtol=0.1)  # nothing but noise

    _, model = use(config, tmp_path / "run")
    # Poses that nobody leaves are all alike; the way from one to another is not.
    poses = body(30)
    seen = model.encoder.representation.window(poses)
    np.testing.assert_allclose(seen[1:30], np.diff(poses, axis=0), atol=1e-6)
    still = [np.repeat(poses[i : i + 1], 30, axis=0) for i in (0, 1)]
    first, second, moving = model.encode_motion([*still, poses], fps=20, accept=["frozen"])
    np.testing.assert_array_equal(first, second)
    assert (first != moving).any()
    with pytest.raises(ValueError, match=r"velocity_noise is 0.1, but nothing reads it"):
        train.train(small_config(small_dataset, data__velocity_noise=0.1), tmp_path / "other")

    # An encoder of ours takes it as well.
    ours = tiny_config(
        small_dataset, model__motion__family="gaitformer", model__motion__input="velocities"
    )
    motion = train.set_up(ours, tmp_path / "ours").network.config.motion
    assert isinstance(representation_of(motion, 1), velocities.Velocities)


def test_a_motion_format(tmp_path, monkeypatch, capsys):
    """It is inspected, becomes training data and is read from Python like all others."""
    formats = {**registry.FORMATS, sticks.FORMAT.name: sticks.FORMAT}
    monkeypatch.setattr(registry, "FORMATS", formats)
    folder = tmp_path / "clips"
    folder.mkdir()
    names = " ".join(SKELETONS["smpl22"].joint_names)
    for i in range(4):
        rows = body(60, seed=i).reshape(60, -1).tolist()
        lines = [names, *(" ".join(map(str, row)) for row in rows)]
        (folder / f"walk_{i}.sticks").write_text("\n".join(lines))
    main(["inspect", str(folder), "--json"])
    takes = [json.loads(line)["takes"] for line in capsys.readouterr().out.splitlines()]
    assert [(t["format"], t["body"], t["frames"]) for (t,) in takes] == [
        ("sticks", "human", 60)
    ] * 4
    (clip,) = motionalign.read_motion(folder / "walk_2.sticks")
    np.testing.assert_allclose(clip.joints, body(60, seed=2), atol=1e-5)
    main(["library", f"--raw_dir={folder}", "--name=walks", "--captions=names",
          f"--data_dir={tmp_path}"])  # fmt: skip
    assert len(Dataset(tmp_path, "walks").split("train")) == 2
    (folder / "walk_0.sticks").write_text(f"{names}\n1 2 3\n")
    with pytest.raises(ValueError, match=r"walk_0.sticks, line 2: .*; expected 66 numbers"):
        motionalign.read_motion(folder / "walk_0.sticks")
