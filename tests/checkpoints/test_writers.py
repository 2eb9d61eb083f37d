"""Writers: JSON lines, TensorBoard, and Weights & Biases with a stand-in for its package."""

import csv
import importlib.machinery
import json
import struct
import subprocess
import sys
import types

import pytest
from runs import one_device, tiny_config

from motionalign import evaluate, train
from motionalign.checkpoints.workdir import Metrics, is_run_of, log_results
from motionalign.checkpoints.writers import WRITERS, JsonLines, TensorBoard, check_writers
from motionalign.config import FIELDS

CONFIG = {"seed": 3, "data": {"datasets": "mine"}}


def curves(workdir) -> tuple[dict, dict]:
    """({tag: [(step, value)]}, {tag: text}) of all events files in tensorboard/."""
    from tensorboardX.proto.event_pb2 import Event

    points, texts = {}, {}
    for path in sorted((workdir / "tensorboard").glob("events.*")):
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            event = Event.FromString(data[12 : 12 + length])
            data = data[16 + length :]
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    points.setdefault(value.tag, []).append((event.step, value.simple_value))
                elif value.HasField("tensor"):
                    texts[value.tag] = value.tensor.string_val[0].decode()
    return points, texts


class FakeWandb(types.ModuleType):
    """What of the package `wandb` is used; a run, known by its id, keeps what it was given."""

    def __init__(self):
        super().__init__("wandb")
        self.__spec__ = importlib.machinery.ModuleSpec("wandb", None)
        self.calls, self.runs = [], {}

    def init(self, **arguments):
        self.calls.append(arguments)
        run = self.runs.setdefault(
            arguments["id"], types.SimpleNamespace(history=[], summary={}, finished=0)
        )
        run.log = lambda values, step: run.history.append((step, values))
        run.finish = lambda: setattr(run, "finished", run.finished + 1)
        return run


@pytest.fixture
def wandb(monkeypatch):
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    return fake


def test_every_writer_is_a_choice():
    assert set(FIELDS["log_to"].choices) == set(WRITERS)
    assert FIELDS["log_to"].free


def test_json_lines(tmp_path):
    writer = JsonLines(tmp_path / "lines", kept=['{"step": 1}'])
    writer.scalars(2, {"loss": 0.5})
    writer.results(2, {"test/top1": 50.0})
    writer.close()
    assert (tmp_path / "lines").read_text() == '{"step": 1}\n{"step": 2, "loss": 0.5}\n'


def test_tensorboard_has_curves_scores_and_the_config(tmp_path):
    metrics = Metrics(tmp_path, 0, config=CONFIG)
    metrics.write(1, {"loss": 2.5, "val/score": 7.0})
    metrics.write(2, {"loss": 2.0})
    metrics.close()
    log_results(tmp_path, ("tensorboard",), CONFIG, 2, {"test/top1": 50.0})
    points, texts = curves(tmp_path)
    assert points == {
        "loss": [(1, 2.5), (2, 2.0)],
        "val/score": [(1, 7.0)],
        "test/top1": [(2, 50.0)],
    }
    (text,) = texts.values()
    code = "\n".join(line.removeprefix("    ") for line in text.splitlines())
    assert json.loads(code) == CONFIG


def test_tensorboard_does_not_import_torch():
    code = (
        "import sys; from motionalign.checkpoints.writers import summary_writer_class;"
        "summary_writer_class(); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_wandb_goes_on_with_the_run_of_the_workdir(tmp_path, wandb):
    workdir = tmp_path / "mine"
    workdir.mkdir()
    for step in (0, 5):
        metrics = Metrics(workdir, step, ("wandb",), CONFIG)
        metrics.write(step + 1, {"loss": 2.0})
        metrics.close()
    log_results(workdir, ("wandb",), CONFIG, 6, {"test/top1": 50.0})
    (id,) = wandb.runs
    assert (workdir / "wandb_id.txt").read_text().strip() == id
    assert wandb.calls == 3 * [
        {
            "project": "motionalign",
            "name": "mine",
            "id": id,
            "resume": "allow",
            "dir": str(workdir),
            "config": CONFIG,
            "allow_val_change": True,
        }
    ]
    run = wandb.runs[id]
    assert run.history == [(1, {"loss": 2.0}), (6, {"loss": 2.0})]
    assert run.summary == {"test/step": 6, "test/top1": 50.0}
    assert run.finished == 3
    assert not (workdir / "tensorboard").exists()
    Metrics(workdir, 0, ("wandb",), CONFIG).close()  # begun anew: nothing was trained
    assert len(wandb.runs) == 2


def test_wandb_project_is_wandbs_own_variable(tmp_path, wandb, monkeypatch):
    monkeypatch.setenv("WANDB_PROJECT", "gait")
    Metrics(tmp_path, 0, ("wandb",), CONFIG).close()
    assert wandb.calls[0]["project"] == "gait"


def test_wandb_is_asked_for_before_anything_is_trained(small_dataset, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.setattr(sys, "meta_path", [])  # nor is it found anew
    monkeypatch.delitem(sys.modules, "wandb")
    with pytest.raises(
        ValueError, match=r"pip install 'motionalign\[wandb\]'.*--config\.log_to=tensorboard"
    ):
        check_writers(("tensorboard", "wandb"))
    check_writers(("tensorboard",))


def test_only_what_is_chosen_is_imported(small_dataset, tmp_path, monkeypatch):
    class Wrong:
        def find_spec(self, name, *rest):
            assert name != "wandb"

    monkeypatch.setattr(sys, "meta_path", [Wrong(), *sys.meta_path])
    Metrics(tmp_path, 0).close()
    check_writers(("tensorboard",))


def test_a_whole_run(small_dataset, tmp_path, wandb):
    """Training and the evaluation after it, to both; what is evaluated elsewhere is not logged."""
    workdir = tmp_path / "run"
    config = tiny_config(small_dataset, epochs=1, log_to=("tensorboard", "wandb"))
    with one_device():
        assert train.train(config, workdir) == "finished"
        evaluate.evaluate_checkpoint(config, workdir, tmp_path / "elsewhere")
        assert not (tmp_path / "elsewhere" / "tensorboard").exists()
        assert len(wandb.calls) == 1
        results = evaluate.evaluate_checkpoint(config, workdir, workdir)["small"]
    with (workdir / "evaluation" / "small-test" / "per_query.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 2 * results["all"]["gallery"]
    points, texts = curves(workdir)
    (run,) = wandb.runs.values()
    assert [step for step, _ in run.history] == [1, 2, 3, 4, 4]
    assert json.loads(next(iter(texts.values()))) == wandb.calls[0]["config"]
    assert wandb.calls[0]["config"]["log_to"] == ["tensorboard", "wandb"]
    scores = {
        f"test/{protocol}/{way}/{name}": value
        for protocol in ("all", "small_batches")
        if protocol in results
        for way in ("t2m", "m2t")
        for name, value in results[protocol][way].items()
    }
    assert scores and run.summary == {"test/step": 4, **scores}
    for name, value in scores.items():
        ((step, drawn),) = points[name.replace("@", "_")]  # as tensorboardX writes it
        assert step == 4 and drawn == pytest.approx(value)


def test_the_run_of_a_checkpoint(short_run, tmp_path):
    assert is_run_of(short_run, short_run) and is_run_of(short_run, short_run / "best")
    assert not is_run_of(tmp_path, short_run)
    (tmp_path / "metrics.jsonl").touch()
    assert not is_run_of(tmp_path, short_run)
    assert not is_run_of(tmp_path, tmp_path)


def test_tensorboard_is_made_for_scores_alone(tmp_path):
    writer = TensorBoard(tmp_path, CONFIG, None)
    writer.results(7, {"test/top1": 1.0})
    writer.close()
    assert curves(tmp_path) == ({"test/top1": [(7, 1.0)]}, {})
