"""The folder of a run: its config, tokenizer, metrics and results."""

import datetime
import importlib.metadata
import json
import math
import platform
import shutil
import sys

import numpy as np
import pytest
import vocabularies
from runs import ROOT

import motionalign
from motionalign.checkpoints import workdir as workdir_module
from motionalign.checkpoints.shared import open_saved
from motionalign.checkpoints.workdir import (
    Metrics,
    check_run,
    prepare_tokenizer,
    record_run,
    record_start,
    results_beside,
    run_folder,
)
from motionalign.config import stored_form
from motionalign.configs import common
from motionalign.tasks.schema import schema

SCHEMA = schema()


def read(path):
    return json.loads(path.read_text())


# Metrics -----------------------------------------------------------------------------------------


def test_metrics_are_lines_of_json(tmp_path):
    metrics = Metrics(tmp_path, resumed_step=0)
    metrics.write(1, {"loss": 2.5})
    metrics.write(2, {"loss": 2.0, "val/score": 7.0})
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()  # there before it is closed
    metrics.close()
    assert [json.loads(line) for line in lines] == [
        {"step": 1, "loss": 2.5},
        {"step": 2, "loss": 2.0, "val/score": 7.0},
    ]
    assert list((tmp_path / "tensorboard").glob("events.*"))


def test_a_resumed_run_writes_its_steps_again(tmp_path):
    path = tmp_path / "metrics.jsonl"
    lines = [json.dumps({"step": step, "loss": 1.0}) for step in range(1, 6)]
    path.write_text("\n".join([*lines, '{"step": 6, "lo']))  # killed while it wrote
    metrics = Metrics(tmp_path, resumed_step=3)
    metrics.write(4, {"loss": math.pi})
    metrics.close()
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 2, 3, 4]
    assert json.loads(path.read_text().splitlines()[-1])["loss"] == math.pi


def test_the_time_of_earlier_processes_is_known(tmp_path):
    path = tmp_path / "metrics.jsonl"
    times = {1: 5.0, 2: 9.5, 3: 12.0}
    lines = [json.dumps({"step": step, "wall_time": time}) for step, time in times.items()]
    path.write_text("\n".join(['{"step": 0}', *lines, '{"step": 4, "wall_ti']))
    for step, expected in ((3, 12.0), (2, 9.5), (0, 0.0)):  # of lines taken away nothing counts
        metrics = Metrics(tmp_path, resumed_step=step)
        assert metrics.earlier_seconds == expected
        metrics.close()


def test_what_each_start_of_a_run_ran_on(tmp_path):
    path = tmp_path / "environment.json"
    record_start(tmp_path, 0)
    (start,) = read(path)
    assert start["step"] == 0
    assert start["devices"] == {"platform": "cpu", "kind": "cpu", "count": 8}
    assert start["processes"] == 1
    assert start["versions"] == {
        "motionalign": motionalign.__version__,
        "jax": importlib.metadata.version("jax"),
        "flax": importlib.metadata.version("flax"),
        "python": sys.version.split()[0],
    }
    assert start["platform"] == platform.platform()
    assert datetime.datetime.fromisoformat(start["started"]).tzinfo is not None
    for step, expected in ((8, [0, 8]), (4, [0, 4]), (4, [0, 4, 4]), (0, [0])):
        record_start(tmp_path, step)  # what a run resumed before a start repeats, it forgets
        assert [each["step"] for each in read(path)] == expected


def test_only_the_first_process_writes(tmp_path, monkeypatch):
    monkeypatch.setattr("jax.process_index", lambda: 1)
    metrics = Metrics(tmp_path, resumed_step=0)
    metrics.write(1, {"loss": 2.5})
    metrics.close()
    record_run(common.base(), tmp_path)
    record_start(tmp_path, 0)
    assert not list(tmp_path.iterdir())


# Config ------------------------------------------------------------------------------------------


def test_what_is_recorded_of_a_run(tmp_path):
    config = common.base()
    record_run(config, tmp_path)
    assert read(tmp_path / "config.json") == stored_form(config)
    if (ROOT / ".git").exists():
        commit = (tmp_path / "git_commit.txt").read_text().strip()
        assert len(commit) == 40 and int(commit, 16)
        assert (tmp_path / "git_diff.txt").is_file()


def test_an_installed_package_has_no_repository(tmp_path, monkeypatch):
    def no_git(*args, **options):
        raise FileNotFoundError("git")

    monkeypatch.setattr(workdir_module.subprocess, "run", no_git)
    record_run(common.base(), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "SHA256SUMS"}


def test_a_run_goes_on_with_its_config(tmp_path):
    config = common.base()
    record_run(config, tmp_path)
    (tmp_path / "checkpoints" / "4").mkdir(parents=True)
    config.log_steps = 3  # free to change
    check_run(config, tmp_path, SCHEMA)
    record_run(config, tmp_path)
    assert read(tmp_path / "config.json")["log_steps"] == 3
    config.seed, config.optim.weight_decay = 1, 0.5
    with pytest.raises(ValueError) as error:
        check_run(config, tmp_path, SCHEMA)
    assert str(error.value) == (
        f"{tmp_path} holds a run with another config. Choose a new --workdir, or restore its "
        f"values (to train its model further: a new --workdir and --config=configs/finetune.py:"
        f"{tmp_path}):\n  optim.weight_decay: 0.0 before, 0.5 now\n  seed: 0 before, 1 now"
    )
    (tmp_path / "checkpoints" / "4").rmdir()
    check_run(config, tmp_path, SCHEMA)  # nothing is trained yet: it starts anew
    record_run(config, tmp_path)
    assert read(tmp_path / "config.json")["seed"] == 1


def test_a_converted_model_is_no_run(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"source": {"format": "walktext"}}))
    (tmp_path / "best" / "0").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"a converted model, not a run.*configs/finetune\.py:"):
        check_run(common.base(), tmp_path, SCHEMA)


def test_a_workdir_that_is_a_file(tmp_path):
    (tmp_path / "x").write_text("")
    with pytest.raises(ValueError, match="is a file; name a folder"):
        check_run(common.base(), tmp_path / "x", SCHEMA)


# Tokenizer ---------------------------------------------------------------------------------------


def model_section(**text):
    config = common.base().model
    config.text.update({"vocab_size": 80, "max_tokens": 20, **text})
    return config


SAID = ["a person walks", "someone waves twice"]


def unasked():
    raise AssertionError("asked for texts to learn a vocabulary from")
    yield


def test_a_vocabulary_is_learnt_once(tmp_path):
    tokenizer = prepare_tokenizer(model_section(), tmp_path, SAID, recorded=None, trained=None)
    assert tokenizer.max_tokens == 20
    assert (tmp_path / "tokenizer.json").read_text() == tokenizer.json
    again = prepare_tokenizer(model_section(), tmp_path, unasked(), tokenizer.json, None)
    assert again.json == tokenizer.json
    # What a run left that never came to a checkpoint is not gone on with.
    (tmp_path / "tokenizer.json").write_text("{}")
    anew = prepare_tokenizer(model_section(), tmp_path, SAID, recorded=None, trained=None)
    assert anew.json == tokenizer.json


def test_pretrained_weights_bring_their_tokenizer(minilm, tmp_path):
    section = model_section(weights=str(minilm))
    tokenizer = prepare_tokenizer(section, tmp_path, unasked(), recorded=None, trained=None)
    assert tokenizer.vocab_size == 30522


def test_a_vocabulary_of_pretrained_weights_is_converted_once(tmp_path):
    """By the class of the family; the run keeps the outcome and needs the source no more."""
    pytest.importorskip("transformers")
    source, workdir = tmp_path / "source", tmp_path / "run"
    source.mkdir()
    vocabularies.byte_level(source)
    section = model_section(weights=str(source), family="roberta")
    tokenizer = prepare_tokenizer(section, workdir, unasked(), recorded=None, trained=None)
    ids, mask = tokenizer.encode(["a person walks", "turns"])
    assert (ids[:, 0].tolist(), ids[~mask].tolist()[0]) == ([0, 0], 1)
    assert (workdir / "tokenizer.json").read_text("utf-8") == tokenizer.json
    shutil.rmtree(source)
    again = prepare_tokenizer(section, workdir, unasked(), tokenizer.json, None)
    np.testing.assert_array_equal(again.encode(["a person walks", "turns"])[0], ids)


def test_texts_longer_than_the_source_states(tmp_path):
    pytest.importorskip("transformers")
    vocabularies.byte_level(tmp_path)
    vocabularies.write_json(tmp_path / "tokenizer_config.json", {"model_max_length": 16})
    section = model_section(weights=str(tmp_path), family="roberta")
    message = r"max_tokens is 20, but .* model_max_length 16 .* --config.model.text.max_tokens=16"
    with pytest.raises(ValueError, match=message):
        prepare_tokenizer(section, tmp_path / "run", unasked(), recorded=None, trained=None)
    section.text.max_tokens = 16
    prepare_tokenizer(section, tmp_path / "run", unasked(), recorded=None, trained=None)


def test_a_trained_model_brings_its_tokenizer(trained, tmp_path):
    saved = open_saved(trained)
    tokenizer = prepare_tokenizer(model_section(), tmp_path, unasked(), None, saved)
    assert tokenizer.json == saved.run["tokenizer"]


def test_a_workdir_that_a_process_does_not_see(tmp_path, monkeypatch):
    monkeypatch.setattr("jax.process_index", lambda: 1)
    with pytest.raises(ValueError, match=r"process 1 does not see .*tokenizer\.json, which proc"):
        prepare_tokenizer(model_section(), tmp_path, SAID, recorded=None, trained=None)


# Results -----------------------------------------------------------------------------------------


def test_the_run_that_a_checkpoint_lies_in(trained, tmp_path):
    (step,) = (trained / "best").glob("[0-9]*")
    for path in (trained, str(trained), trained / "best", step):
        assert run_folder(path) == trained
    copied = shutil.copytree(step, tmp_path / "a" / "b" / "c")
    with pytest.raises(ValueError, match=r"is not in the folder of a run .*with --workdir"):
        run_folder(copied)


def test_results_are_of_the_same_step(trained, tmp_path):
    (step,) = (trained / "best").glob("[0-9]*")
    results = read(trained / "metrics.json")
    for path in (trained, trained / "best", step, str(step)):
        assert results_beside(path, 4) == results
    assert results_beside(trained, 3) is None
    # A checkpoint that somebody put into another run's folder.
    folder = shutil.copytree(trained, tmp_path / "run")
    shutil.copytree(trained / "best", folder / "other")
    assert results_beside(folder / "other" / "4", 4) is None
    assert results_beside(folder / "best" / "4", 4) is not None
    (folder / "metrics.json").unlink()
    assert results_beside(folder, 4) is None
