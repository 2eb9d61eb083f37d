"""Whole runs of a motion tokenizer: training, evaluation with pictures, sentences of a dataset."""

import json

import numpy as np
import pytest
from runs import command, losses, one_device

from motionalign import evaluate, train
from motionalign.config import flat
from motionalign.configs import nw_ucla_tokens
from motionalign.data.dataset import Dataset

pytestmark = pytest.mark.usefixtures("one_device")

FIELDS = {
    "epochs": 12,
    "optim.warmup_steps": 2,
    "optim.groups.motion_tokenizer.lr": 5e-3,
    "log_steps": 1,
    "checkpoint_steps": 3,
    "data.datasets": "small",
    "data.batch_size": 8,
    "data.eval_batch_size": 8,
    "model.tokenizer.words": None,
    "model.tokenizer.vector_width": 12,
    "model.tokenizer.factor": 4,
    "model.tokenizer.codes": 8,
    "model.tokenizer.frames": 16,
    "model.tokenizer.width": 8,
    "model.tokenizer.depth": 1,
    "loss.alignment": 0.0,
}


def config_of(data_dir, **fields):
    config = nw_ucla_tokens.get_config()
    given = {name.replace("__", "."): value for name, value in fields.items()}
    with config.unlocked():
        known = flat(config.to_dict())
        values = {**FIELDS, "data.data_dir": str(data_dir), **given}
        config.update_from_flattened_dict({k: v for k, v in values.items() if k in known})
    return config


@pytest.fixture(scope="module")
def run(small_dataset, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("tokens") / "run"
    with one_device():
        assert train.train(config_of(small_dataset), workdir) == "finished"
    return workdir


def test_a_run_learns(run):
    found = losses(run)
    assert all(np.isfinite(found))
    assert np.mean(found[-8:]) < 0.95 * np.mean(found[:8])


def test_evaluation_with_pictures(run, small_dataset, tmp_path):
    config = config_of(small_dataset)
    scores = evaluate.evaluate_checkpoint(config, run, tmp_path)["small"]["tokens"]
    assert set(scores) == {"error_mm", "pose_mm", "perplexity", "used_codes", "zipf_distance"}
    assert 0 < scores["pose_mm"] < scores["error_mm"] < 2000
    assert 1 <= scores["perplexity"] <= scores["used_codes"] <= 8
    drawn = {file.stem for file in (tmp_path / "evaluation/small-test").glob("*.png")}
    assert {"frequencies", "ball", "sentence-1"} <= drawn
    page = (tmp_path / "evaluation/small-test/index.html").read_text("utf-8")
    assert page.count("<article>") == config.eval.num_queries
    assert "distance to Zipf" in page


def test_sentences_of_a_dataset(run, small_dataset, tmp_path):
    """Each clip's, in the order of the ids, and the same again."""
    output, one = tmp_path / "sentences.jsonl", tmp_path / "test.jsonl"
    arguments = "--mode=tokenize", f"--checkpoint={run}", f"--config.data.data_dir={small_dataset}"
    done = command(*arguments, f"--output={output}")
    assert done.code == 0, done.stderr
    lines = [json.loads(line) for line in output.read_text("utf-8").splitlines()]
    dataset = Dataset(small_dataset, "small")
    splits = sorted({line["split"] for line in lines})
    assert {"train", "test"} <= set(splits)
    for split in splits:
        ids = [line["id"] for line in lines if line["split"] == split]
        assert ids == list(dataset.split(split).ids)
    for line in lines:
        assert set(line) == {"id", "split", "frames", "persons", "error_mm", "pose_mm"}
        assert line["frames"] > 0
        assert np.shape(line["persons"]) == (1, 4)
        assert 0 <= np.min(line["persons"]) <= np.max(line["persons"]) < 8
    assert f"{len(lines)} clips of small → {output}" in done.stdout
    assert "perplexity | used codes | distance to Zipf's law" in done.stdout
    done = command(*arguments, f"--output={one}", "--split=test")
    assert done.code == 0, done.stderr
    again = [json.loads(line) for line in one.read_text("utf-8").splitlines()]
    assert again == [line for line in lines if line["split"] == "test"]


def test_mistakes(run, short_run, small_dataset, tmp_path):
    place = f"--config.data.data_dir={small_dataset}", f"--output={tmp_path / 'out.jsonl'}"
    for arguments, message in (
        ((f"--checkpoint={short_run}", *place), "dual_encoder, which writes no sentences"),
        ((f"--checkpoint={run}",), "--mode=tokenize needs --output=sentences.jsonl"),
        ((f"--checkpoint={run}", place[0], "--output=x.csv"), "ends in .jsonl"),
        ((f"--checkpoint={run}", *place, "--split=none"), "has no split 'none'"),
        ((f"--checkpoint={run}", *place, "--config.data.datasets=small,small"), "small"),
    ):
        done = command("--mode=tokenize", *arguments)
        assert done.code == 1, (arguments, done.stdout)
        assert message in done.stderr
    assert not (tmp_path / "out.jsonl").exists()
