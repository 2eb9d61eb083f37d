"""A new objective, task, encoder and representation is each one file and one registry line."""

import numpy as np
import pytest
from extending import lengths, pooling, sharpened, velocities
from runs import scalars, tiny_config

import motionalign
from motionalign import train
from motionalign.data.dataset import Dataset
from motionalign.data.representation import REPRESENTATIONS
from motionalign.evaluate import evaluate_checkpoint
from motionalign.models.families import MOTION_FAMILIES
from motionalign.tasks.objectives import OBJECTIVES
from motionalign.tasks.registry import TASKS
from motionalign.tasks.schema import schema

SHORT = {"epochs": 1, "data__batch_size": 16, "checkpoint_steps": 0}  # two steps
POOLING = {
    "model__motion__family": "pooling",
    "model__motion__size": "tiny",
    "model__motion__max_frames": 16,
    "model__motion__padding": "attend",
    "model__motion__width": None,
    "model__motion__depth": None,
    "model__motion__heads": None,
    "model__motion__gain": 2.0,
    "data__frame_bucket": 32,
}


def used(small_dataset, workdir, **fields):
    """Trains two steps, evaluates, loads and encodes; (config, results, model, embedding)."""
    config = tiny_config(small_dataset, **SHORT, **fields)
    assert train.train(config, workdir) == "finished"
    assert np.isfinite([line["loss"] for line in scalars(workdir) if "loss" in line]).all()
    said = []
    results = evaluate_checkpoint(config, workdir, workdir, say=said.append)["small"]
    model = motionalign.load(workdir)
    clip = Dataset(small_dataset, "small").split("test")[0]["joints"][:, 0]
    vector = model.encode_motion(clip, fps=20)
    assert vector.shape == (8,)
    return config, results, model, "\n".join(said)


def test_an_objective(small_dataset, tmp_path, monkeypatch):
    monkeypatch.setitem(OBJECTIVES, "sharpened", sharpened.Sharpened)
    _, results, model, _ = used(
        small_dataset, tmp_path, loss__kind="sharpened", loss__sharpness=3.0,
        model__learn_temperature=False, optim__groups__temperature__lr=0.0,
    )  # fmt: skip
    assert {line["sharpness"] for line in scalars(tmp_path) if "loss" in line} == {3.0}
    assert model.run["trained"]["loss"] == "sharpened"
    assert "all" in results
    # Its field is another's error.
    wrong = tiny_config(small_dataset, loss__sharpness=3.0)
    with pytest.raises(ValueError, match="only 'sharpened' reads it"):
        schema().validate(wrong)
    wrong = tiny_config(small_dataset, loss__kind="sharpened", loss__sharpness=-1.0)
    with pytest.raises(
        ValueError, match=r"loss\.sharpness is -1\.0; expected above 0 and at most 10"
    ):
        schema().check_values(wrong)


def test_a_task(small_dataset, tmp_path, monkeypatch):
    monkeypatch.setitem(TASKS, "lengths", lengths.Lengths)
    _, results, model, said = used(
        small_dataset, tmp_path, task="lengths", eval__long_frames=60,
        eval__num_queries=12,
    )  # fmt: skip
    assert 0 <= results["right"] <= 100
    assert "| lengths |" in said
    assert model.run["trained"] == {"task": "lengths", "loss": "contrastive", "texts": "lengths"}
    assert "val/right" in scalars(tmp_path)[-1]


def test_a_motion_encoder(small_dataset, tmp_path, monkeypatch):
    monkeypatch.setitem(MOTION_FAMILIES, "pooling", pooling.FAMILY)
    _, _, model, _ = used(small_dataset, tmp_path, **POOLING)
    assert model.encoder.network.config.motion.gain == 2.0
    assert model.run["architecture"]["motion"]["family"] == "pooling"


def test_a_representation(small_dataset, tmp_path, monkeypatch):
    monkeypatch.setitem(MOTION_FAMILIES, "pooling", pooling.FAMILY)
    monkeypatch.setitem(REPRESENTATIONS, "velocities", velocities.Velocities)
    _, _, model, _ = used(small_dataset, tmp_path, **POOLING, model__motion__input="velocities")
    clip = Dataset(small_dataset, "small").split("test")[0]["joints"][:, 0]
    seen = model.encoder.representation.window(clip)
    np.testing.assert_allclose(seen[1:], np.diff(clip[:16], axis=0), atol=1e-6)
    moved = model.encode_motion(clip + 3.0, fps=20)
    np.testing.assert_allclose(moved, model.encode_motion(clip, fps=20), atol=1e-4)
