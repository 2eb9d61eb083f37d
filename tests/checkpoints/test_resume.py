"""A run that does not stand on what its checkpoint recorded is refused, with one line."""

import dataclasses
import json
import os
import pathlib
import re
import shutil
import time

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from runs import command, start, tiny_config, tiny_flags

from data_prep.builders import prepare
from data_prep.readers import Clips
from data_prep.readers.synthetic import generate
from motionalign import digests, evaluate, train
from motionalign.checkpoints import resume
from motionalign.checkpoints.run import load_run
from motionalign.data.batches import position_of
from motionalign.data.dataset import VERSION, Dataset
from motionalign.files import InUse
from motionalign.train import NonFiniteLoss

pytestmark = pytest.mark.usefixtures("one_device")


@pytest.fixture
def folder(short_run, small_dataset, tmp_path) -> pathlib.Path:
    """A copy of the dataset and of a run that has trained 4 steps, which a test may change."""
    folder = tmp_path / "copy"
    shutil.copytree(small_dataset / "small", folder / "data" / "small")
    shutil.copytree(short_run, folder / "run")
    (folder / "run" / "metrics.jsonl").unlink()  # without a validated epoch, it is not finished
    return folder


def resumed(folder, **fields) -> list[str]:
    """What the run says when it resumes."""
    said = []
    config = tiny_config(folder / "data", epochs=1, **fields)
    assert train.train(config, folder / "run", said.append) == "finished"
    return said


def step_of(folder) -> pathlib.Path:
    (step,) = (folder / "run" / "checkpoints").glob("[0-9]*")
    return step


def edit(path, change) -> None:
    """Changes a JSON file, and removes the digests with which it would be taken for damaged."""
    stored = json.loads(path.read_text())
    change(stored)
    path.write_text(json.dumps(stored))
    for folder in path.parents[:2]:
        (folder / digests.NAME).unlink(missing_ok=True)


def prepare_again(folder, scale) -> None:
    clips = [
        dataclasses.replace(clip, joints=clip.joints[:40] * np.float32(scale))
        for clip in generate.generate(60, seed=0)
    ]
    prepare(lambda: Clips(clips), folder / "data", "small", overwrite=True)


def without_fingerprints(folder) -> None:
    """Makes the stored files those of a version without fingerprints."""

    def older(metadata):
        metadata["format_version"] = 1
        metadata.pop("fingerprint", None)

    def of_run(run):
        run["format_version"] = 1
        run.pop("supervision", None)
        older(run["datasets"]["small"])

    edit(folder / "data" / "small" / VERSION / "metadata.json", older)
    for path in (folder / "run").glob("*/[0-9]*/run/metadata"):
        edit(path, of_run)


def test_the_same_data_are_resumed(folder):
    said = resumed(folder)
    assert any("Resuming from step 4 of 4" in line for line in said)
    assert not any("verified" in line for line in said)
    record = load_run(step_of(folder))
    assert (
        record["datasets"]["small"]["fingerprint"] == Dataset(folder / "data", "small").fingerprint
    )


def test_data_prepared_anew_with_other_content(folder):
    prepare_again(folder, scale=1.02)
    message = (
        f"{folder}/run cannot be resumed: dataset 'small' in {folder}/data/small/1.0.0 is not the "
        r"one that the run began with \(fingerprint [0-9a-f]{12} then, [0-9a-f]{12} now\). Put that"
    )
    with pytest.raises(ValueError, match=message):
        resumed(folder)


def test_older_files_are_compared_by_their_statistics(folder):
    without_fingerprints(folder)
    said = resumed(folder)
    (line,) = [line for line in said if "verified" in line]
    assert line == (
        f"{folder}/run is of a version without fingerprints: that dataset 'small' still has the "
        "same clips could not be verified, only its statistics and classes"
    )
    without_fingerprints(folder)
    prepare_again(folder, scale=1.02)
    with pytest.raises(
        ValueError, match=r"is not the one that the run began with \(other mean, st"
    ):
        resumed(folder)


def test_other_training_texts(folder, monkeypatch):
    monkeypatch.setattr(train, "supervision_of", lambda source, fields: "other texts")
    with pytest.raises(ValueError, match="the training texts of dataset 'small', or the encoder"):
        resumed(folder)


def test_two_swapped_tokens(folder):
    path = folder / "run" / "tokenizer.json"
    whole = path.read_text()

    def swap(tokenizer):
        vocab = tokenizer["model"]["vocab"]
        a, b = list(vocab)[50:52]
        vocab[a], vocab[b] = vocab[b], vocab[a]

    edit(path, swap)
    with pytest.raises(
        ValueError, match=r"tokenizer\.json is not the tokenizer that the run was tr"
    ):
        resumed(folder)
    path.unlink()
    resumed(folder)  # as the message says
    assert path.read_text() == whole


def test_without_its_config_another_one_is_refused(folder):
    (folder / "run" / "config.json").unlink()
    with pytest.raises(
        ValueError, match=r"holds a run with another config.*\n  seed: 0 before, 1 now"
    ):
        resumed(folder, seed=1)
    assert not (folder / "run" / "config.json").exists()
    resumed(folder)
    assert (folder / "run" / "config.json").exists()


def test_a_config_that_is_not_the_checkpoints(folder):
    edit(folder / "run" / "config.json", lambda config: config.update(seed=1))
    for seed in (0, 1):
        with pytest.raises(ValueError, match=r"another config.*\n  seed: "):
            resumed(folder, seed=seed)


def test_a_renamed_step(folder):
    step_of(folder).rename(folder / "run" / "checkpoints" / "2")
    with pytest.raises(
        ValueError, match=r"checkpoints/2 is not what its name .* record is of step 4"
    ):
        resumed(folder)


def test_a_pipeline_of_another_step(folder):
    path = step_of(folder) / "pipeline" / "metadata"
    assert position_of(json.loads(path.read_text())) == 4
    edit(path, lambda pipeline: pipeline.update(next_index=3))
    message = r"checkpoints/4 is damaged: it is of step 4, but the input pipeline is at 3\. Restore"
    with pytest.raises(ValueError, match=message):
        resumed(folder)
    assert position_of({"of": "another version of Grain"}) is None


@pytest.mark.parametrize(
    ("item", "damage", "message"),
    [
        ("params", np.nan, r"it is of step 4, but \['params'\].* holds values that are not finite"),
        ("optimizer", np.inf, r"but \['optimizer'\].*\.mu\[.* holds values that are not finite"),
        ("optimizer", 3, r"but \['optimizer'\].*\.count is at 3"),
    ],
)
def test_a_state_that_is_not_what_was_saved(item, damage, message):
    """The learning rate was blamed for the loss that is not finite one step later."""
    moments = {"a": jax.numpy.ones(3)}
    adam = train.optax.ScaleByAdamState(jax.numpy.int32(4), moments, moments)
    state = {"params": {"a": jax.numpy.ones(3)}, "optimizer": (adam,)}
    path = pathlib.Path("run/checkpoints/4")
    resume.check_state(path, 4, state, 4)
    if item == "params":
        state["params"]["a"] *= damage
    elif damage == 3:
        state["optimizer"] = (adam._replace(count=jax.numpy.int32(3)),)
    else:
        state["optimizer"] = (adam._replace(mu={"a": moments["a"] * damage}),)
    with pytest.raises(ValueError, match=message):
        resume.check_state(path, 4, state, 4)


def test_a_damaged_state_is_refused_when_it_is_restored(folder):
    path = step_of(folder) / "params"
    with ocp.Checkpointer(ocp.StandardCheckpointHandler()) as checkpointer:
        params = checkpointer.restore(path)
        name = next(iter(params))
        params[name] = params[name] * np.nan
        checkpointer.save(path, args=ocp.args.StandardSave(params), force=True)
    (step_of(folder) / digests.NAME).unlink()
    with pytest.raises(
        ValueError, match=r"checkpoints/4 is damaged: .* values that are not finite"
    ):
        resumed(folder)


def test_a_loss_soon_after_resuming_is_not_blamed_on_the_learning_rate():
    class OfClips:
        def clip_ids(self, step):
            return ["a", "b"]

    scalars = {"loss": np.nan, "grad_norm": 1.0, "update_norm": 1.0}
    for began, message in (
        (0, r"at step 5\. Lower the learning rates"),
        (5, r"at step 5, the first since the run resumed\. .*checkpoint may be damaged"),
    ):
        check = train._FiniteCheck(OfClips(), began)
        check.submit(5, scalars)
        with pytest.raises(NonFiniteLoss, match=message + r".*: a, b$"):
            check.previous()


def test_evaluation_says_when_data_are_others(folder):
    config = tiny_config(folder / "data", epochs=1)

    def said() -> list[str]:
        lines = []
        evaluate.evaluate_checkpoint(config, folder / "run", folder / "out", "val", lines.append)
        return [line for line in "\n".join(lines).splitlines() if "trained on" in line]

    assert said() == []
    shutil.copytree(folder / "data" / "small", folder / "data" / "copy")
    edit(
        folder / "data" / "copy" / VERSION / "metadata.json", lambda each: each.update(name="copy")
    )
    config.data.datasets = "copy"
    assert said() == []  # the same data under another name
    config.data.datasets = "small"
    prepare_again(folder, scale=1.02)
    (line,) = said()
    assert re.fullmatch(
        r"Dataset 'small' is not the data that the model was trained on: fingerprint [0-9a-f]{12} "
        r"then, [0-9a-f]{12} now\.",
        line,
    )
    shutil.rmtree(folder / "data" / "copy")
    (folder / "data" / "small").rename(folder / "data" / "copy")
    config.data.datasets = "copy"
    assert said() == ["The model was not trained on dataset 'copy' but on small."]


def test_evaluation_of_an_older_model(folder):
    without_fingerprints(folder)
    lines = []
    config = tiny_config(folder / "data", epochs=1)
    evaluate.evaluate_checkpoint(config, folder / "run", folder / "out", "val", lines.append)
    assert [line for line in "\n".join(lines).splitlines() if "trained on" in line] == [
        "The model has stored no fingerprint: that dataset 'small' holds the clips that it was "
        "trained on could not be verified, only its statistics and classes."
    ]


# One process at a time ---------------------------------------------------------------------------


def test_a_second_process_is_told_who_trains(folder, monkeypatch):
    monkeypatch.setattr(resume, "WAIT", 0.0)
    who = f"training in {folder}/run is under way already, by process {os.getpid()} on .* since 2"
    before = sorted(folder.rglob("*"))
    with resume.hold_workdir(folder / "run"):
        with pytest.raises(InUse, match=who):
            resumed(folder)
        done = command(*tiny_flags(folder / "run", folder / "data", epochs=1))
        assert (done.code, done.stdout) == (1, "")
        assert re.search(who, done.stderr)
    assert sorted(folder.rglob("*")) == before
    resumed(folder)


def test_the_lock_of_a_killed_run_is_taken_over(small_dataset, tmp_path, monkeypatch):
    """Without a flag or a clean-up; test_kill_at_random_moments resumes such runs."""
    monkeypatch.setattr(resume, "WAIT", 0.0)
    workdir = tmp_path / "run"
    first = start(workdir, small_dataset)
    while not (workdir / "config.json").exists():
        time.sleep(0.02)
        assert first.poll() is None
    with pytest.raises(InUse, match=f"under way already, by process {first.pid} on"):
        train.train(tiny_config(small_dataset), workdir)
    first.kill()
    first.wait()
    assert (workdir / resume.LOCK).exists()
    with resume.hold_workdir(workdir):
        pass


def test_other_processes_end_with_process_0(tmp_path, monkeypatch):
    monkeypatch.setattr("jax.process_index", lambda: 1)
    monkeypatch.setattr(resume, "_as_process_0", lambda value: False)
    with pytest.raises(ValueError, match="process 0 cannot lock"), resume.hold_workdir(tmp_path):
        pass


def test_a_mistake_leaves_no_workdir(small_dataset, tmp_path):
    config = tiny_config(small_dataset, data__datasets="absent")
    with pytest.raises(ValueError, match="dataset 'absent' is not prepared"):
        train.train(config, tmp_path / "runs" / "new")
    assert not (tmp_path / "runs").exists()


def test_words_that_a_vocabulary_leaves_out_are_counted():
    said = []
    train._warn_of_long_words(["a person walks"], said.append)
    assert said == []
    train._warn_of_long_words([f"a {'ab' * 300} {'x' * 101}"] * 2, said.append)
    assert said == [
        "4 words of more than 100 characters in the training texts are unknown to the tokenizer, "
        f"for example '{'ab' * 20}'..."
    ]
