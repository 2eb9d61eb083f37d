"""The driver of LLM-AR's runs on small labelled sets: commands, records, scores and tables."""

import csv
import dataclasses
import importlib
import json
import pathlib
import re
import subprocess
import time
import types

import bodies
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import language_actions, language_results, language_tables, pairs
from benchmarks.language_actions import Places, Run, all_runs, commands, finished, run_all
from benchmarks.sentences import edit_distances, within_and_between
from data_prep.protocols import Protocol
from motionalign.data.dataset import Dataset
from motionalign.skeleton import SKELETONS
from motionalign.tasks.schema import schema


def places(tmp_path, **given):
    defaults = {"language_model": "lm.gguf", "text_encoder": "minilm"}
    folders = tmp_path / "raw", tmp_path / "data", tmp_path / "runs"
    return Places(*folders, **(defaults | given))


# Commands ----------------------------------------------------------------------------------------


def test_runs_have_names_of_their_own_and_are_those_of_the_tables():
    runs = all_runs()
    names = [run.name for run in runs]
    assert len(set(names)) == len(names)
    of = {run.name: run for run in runs}
    assert {"nw_ucla/llm_ar", "nw_ucla/llm_ar-seed1", "nw_ucla/llm_ar-seed2"} <= set(of)
    changed = {name for name in of if name.startswith("nw_ucla/llm_ar-") and "seed" not in name}
    assert changed == {
        f"nw_ucla/llm_ar-{each}"
        for each in ("unbiased", "euclidean", "continuous", "random", "all")
    }
    for set_ in ("nw_ucla", "utd_mhad", *(f"sbu_{fold}" for fold in range(1, 6))):
        assert {f"{set_}/llm_ar", f"{set_}/gaitformer", f"{set_}/warping"} <= set(of)
    for set_ in ("nw_ucla", "utd_mhad"):
        for draw in range(3):
            assert of[f"{set_}_unseen_{draw}/llm_ar"].fields == ("epochs=4",)
            assert f"{set_}_unseen_{draw}/contrastive" in of


def test_every_training_is_a_valid_config(tmp_path):
    """The config files exist and have the variants; every given field is read by its run."""
    seen = set()
    for run in all_runs():
        for _, _, arguments in commands(run, places(tmp_path)):
            if arguments[2:3] != ["train"] or tuple(arguments[3:]) in seen:
                continue
            seen.add(tuple(arguments[3:]))
            given = dict(re.findall(r"--([\w.]+)=(\S+)", " ".join(arguments)))
            file, _, argument = given.pop("config").partition(":")
            module = importlib.import_module(f"motionalign.configs.{pathlib.Path(file).stem}")
            config = module.get_config(argument or None)
            fields = {name.removeprefix("config."): value for name, value in given.items()}
            assert fields.pop("workdir").startswith(str(tmp_path))
            with config.unlocked():
                for name, value in fields.items():
                    kind = schema().fields[name].type
                    config.update_from_flattened_dict({name: kind(value)})
            schema().validate(config)
    assert len(seen) > 30


def test_stage_1_is_shared_and_comes_first(tmp_path):
    there = places(tmp_path)
    of = {run.name: list(commands(run, there)) for run in all_runs()}
    full = of["nw_ucla/llm_ar"]
    assert [title for title, *_ in full] == ["data", "stage 1", "stage 2"]
    assert full[1][1:] == of["nw_ucla/llm_ar-all"][1][1:] == of["nw_ucla/tokens-biased"][1][1:]
    folder = full[1][1].parent
    assert f"--config.model.weights={folder}" in full[2][2]
    second = of["nw_ucla/llm_ar-seed1"]
    assert second[1][1].parent not in (folder, *folder.parents) and second[1] != full[1]
    assert "--config.seed=1" in second[1][2] and "--config.seed=1" in second[2][2]
    assert "--config=configs/nw_ucla_tokens.py:none" in of["nw_ucla/llm_ar-continuous"][1][2]
    assert [title for title, *_ in of["utd_mhad_unseen_1/llm_ar"]][-1] == "unseen"
    data = of["utd_mhad_unseen_1/llm_ar"][0][2]
    assert {"--leave_out=5", "--draw=1", "--protocol=cross_subject"} <= set(data)
    assert "--fold=3" in of["sbu_3/llm_ar"][0][2] and of["sbu_3/gaitformer"][0][2][1].endswith(
        "pairs"
    )


def test_options_are_of_one_stage(tmp_path):
    there = places(tmp_path, options=("stage 1:epochs=1", "stage 2:data.batch_size=4"))
    _, first, second = commands(Run("nw_ucla", "sentences", "llm_ar"), there)
    assert "--config.epochs=1" in first[2] and "--config.data.batch_size=4" not in first[2]
    assert "--config.data.batch_size=4" in second[2] and "--config.epochs=1" not in second[2]


def test_a_model_that_is_not_named(tmp_path):
    with pytest.raises(ValueError, match="nw_ucla/llm_ar needs --language_model"):
        list(commands(Run("nw_ucla", "sentences", "llm_ar"), places(tmp_path, language_model="")))


# Running -----------------------------------------------------------------------------------------


@pytest.fixture
def fake(monkeypatch):
    """Commands that write what says that they are done; `fails` are titles that fail."""
    made = types.SimpleNamespace(calls=[], fails={})

    def execute(arguments):
        text = " ".join(arguments)
        made.calls.append(text)
        for part, status in made.fails.items():
            if part in text:
                raise subprocess.CalledProcessError(status, arguments)
        if "--workdir=" in text:
            folder = pathlib.Path(re.search(r"--workdir=(\S+)", text)[1])
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "metrics.json").write_text("{}")
            lines = [{"wall_time": 7.5, "loss": 1}, {"wall_time": 90.25, "val/score": 1}]
            (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))

    monkeypatch.setattr(language_actions, "execute", execute)
    monkeypatch.setattr(
        language_results, "scores", lambda run, *_: {"val": 1.0, "test": {"names": run.name}}
    )
    return made


def test_runs_are_recorded_and_gone_on_with(tmp_path, fake):
    there, out = places(tmp_path), tmp_path / "out.jsonl"
    runs = [run for run in all_runs() if run.name in ("nw_ucla/llm_ar", "nw_ucla/llm_ar-all")]
    fake.fails = {"llm_ar-all": 1}
    assert run_all(runs, there, out) == ["nw_ucla/llm_ar-all"]
    assert list(finished(out)) == ["nw_ucla/llm_ar"]
    record = finished(out)["nw_ucla/llm_ar"]
    assert record["test"] == {"names": "nw_ucla/llm_ar"} and record["dataset"] == "nw_ucla"
    assert set(record["seconds"]) == {"data", "stage 1", "stage 2", "scores"}
    assert record["seconds"]["stage 1"] == 90.2

    fake.fails, fake.calls[:] = {}, []
    (there.workdir / "nw_ucla/llm_ar-all").mkdir()  # a training that was interrupted
    with out.open("a") as file:
        file.write('{"run": "cut sh')
    assert run_all(runs, there, out) == []
    trained = [text for text in fake.calls if " train " in text]
    assert len(trained) == 1 and "llm_ar-all" in trained[0]  # stage 1 is that of the first run
    assert finished(out)["nw_ucla/llm_ar-all"]["seconds"]["stage 1"] == 90.2
    assert [json.loads(line)["run"] for line in out.read_text().splitlines()] == [
        "nw_ucla/llm_ar", "nw_ucla/llm_ar-all"
    ]  # fmt: skip


def test_a_stopped_run_stops_the_driver(tmp_path, fake):
    fake.fails = {"llm_ar": 143}
    with pytest.raises(SystemExit):
        run_all(all_runs(), places(tmp_path), tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists() or "llm_ar" not in finished(tmp_path / "out.jsonl")


def test_an_interrupted_command_is_told(tmp_path, monkeypatch):
    """It can save: it ends by itself before the driver does."""
    told = tmp_path / "told"
    script = (
        "import pathlib, signal, sys, time\n"
        f"place = pathlib.Path({str(told)!r})\n"
        "def save(*_):\n    place.write_text('saved')\n    sys.exit(143)\n"
        "signal.signal(signal.SIGTERM, save)\n"
        "place.write_text('ready')\n"
        "time.sleep(60)\n"
    )

    def interrupted(process, wait=subprocess.Popen.wait, calls=[]):  # noqa: B006  (counts)
        calls.append(process)
        if len(calls) > 1:
            return wait(process)
        while not told.exists() or told.read_text() != "ready":
            time.sleep(0.02)
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess.Popen, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        language_actions.execute(["-c", script])
    assert told.read_text() == "saved"


def test_a_command_that_fails():
    with pytest.raises(subprocess.CalledProcessError, match="exit status 3"):
        language_actions.execute(["-c", "raise SystemExit(3)"])


def test_a_damaged_record(tmp_path):
    path = tmp_path / "out.jsonl"
    path.write_text('{"run": "a"\n{"run": "b"}\n')
    with pytest.raises(ValueError, match="line 1 is no JSON"):
        finished(path)


# Scores ------------------------------------------------------------------------------------------


def test_counts_come_from_the_files_of_an_evaluation(tmp_path, monkeypatch):
    folder = tmp_path / "evaluation" / "set-test"
    folder.mkdir(parents=True)
    row = {"classes": 2, "top5": 100.0}
    (folder / "metrics.json").write_text(json.dumps({"recognition": {"names": row, "all": row}}))
    with (folder / "per_clip.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "id", "class", "predicted"])
        writer.writerows([["names", "a", "sit", "sit"], ["names", "b", "sit", "run"]])
        writer.writerows([["all", "a", "sit", "run"], ["all", "b", "sit", "run"]])
    monkeypatch.setattr(language_results, "copied", lambda *_: {"a": True, "b": False})
    found = language_results.written_scores(tmp_path, types.SimpleNamespace(name="set"), "test")
    assert found["names"] == {"clips": 2, "right": 1, "new_clips": 1, "new_right": 0, **row}
    assert found["all"]["right"] == 0


def plain_edits(first, second):
    table = np.zeros((len(first) + 1, len(second) + 1), int)
    table[0], table[:, 0] = range(len(second) + 1), range(len(first) + 1)
    for i, x in enumerate(first, 1):
        for j, y in enumerate(second, 1):
            same = table[i - 1, j - 1] + (x != y)
            table[i, j] = min(same, table[i - 1, j] + 1, table[i, j - 1] + 1)
    return table[-1, -1] / len(first)


@settings(max_examples=30)
@given(st.lists(st.lists(st.integers(0, 3), min_size=5, max_size=5), min_size=1, max_size=4))
def test_edit_distances_equal_a_loop_over_cells(sentences):
    expected = [[plain_edits(x, y) for y in sentences] for x in sentences]
    np.testing.assert_allclose(edit_distances(np.array(sentences)), expected, rtol=1e-6)


def test_distances_within_and_between():
    sentences = np.array([[1, 2, 3, 4], [2, 3, 4, 4], [7, 7, 7, 7]])
    distances = edit_distances(sentences)
    assert distances[0, 1] == 0.5  # one token taken out, one put in
    assert within_and_between(distances, np.array([0, 0, 1])) == (0.5, 1.0)
    with pytest.raises(ValueError, match="W > 0"):
        edit_distances(np.zeros((3, 0)))


# Tables ------------------------------------------------------------------------------------------


def record(run, **given):
    base = {"run": run.name, **dataclasses.asdict(run), "seconds": {"stage 2": 60}}
    return base | {"val": 90.0} | given


def counts(right, clips, new=None):
    return {"right": right, "clips": clips, "new_right": right - 1, "new_clips": new or clips}


def test_tables():
    llm_ar = Run("nw_ucla", "sentences", "llm_ar")
    closed = [
        record(llm_ar, test={"names": counts(80, 100, 90)}),
        record(dataclasses.replace(llm_ar, seed=1), test={"names": counts(90, 100, 90)}),
        *(record(Run("sbu", "warping", "warping", fold), test={"names": counts(9, 10)})
          for fold in (1, 2)),
    ]  # fmt: skip
    unseen = [
        record(
            Run("utd_mhad", "sentences", "llm_ar", draw, left_out=True),
            test={"seen names": counts(9, 10), "all names": counts(8, 10)},
            unseen={
                "unseen names": counts(right, 10) | {"classes": 5}, "all names": counts(2, 10)
            },
        )
        for draw, right in enumerate((4, 6))
    ]  # fmt: skip
    alone = [record(Run("nw_ucla", "tokens", "tokens-none", tokens="none"), test={"error_mm": 31})]
    text = language_tables.tables(closed + unseen + alone)
    rows = [re.split(r"\s*\|\s*", line.strip("| ")) for line in text.splitlines() if "|" in line]
    by_name = {tuple(row[:2]): row[2:] for row in rows}
    assert by_name["nw_ucla", "llm_ar"][1:3] == [
        "80.0 [71.1, 86.7] (80/100)", "87.8 [79.4, 93.0] (79/90)"
    ]  # fmt: skip
    assert by_name["nw_ucla", "llm_ar, mean of 2 seeds"][1].startswith("85.0 ± 7.1")
    assert by_name["sbu", "warping, 2 folds"][1].endswith("(18/20)")
    assert by_name["utd_mhad", "llm_ar"] == [
        "50.0 [29.9, 70.1] (10/20)", "40.0, 60.0", "20.0", "80.0", "20.0", "32.0", "2.0"
    ]  # fmt: skip
    assert by_name["nw_ucla", "none"][0] == "31.0"


# Pairs -------------------------------------------------------------------------------------------


def test_two_persons_become_one_body(tmp_path):
    skeleton = SKELETONS["sbu15"]
    both = [
        np.stack(
            [
                bodies.body(12, "sbu15", seed),
                np.array([1, 0, 0]) + bodies.body(12, "sbu15", seed + 9),
            ],
            axis=1,
        )
        for seed in range(4)
    ]
    both[3][5:, 1] = 0  # the second person leaves
    np.savez(
        tmp_path / "mine.npz",
        positions=np.concatenate(both).astype(np.float32), lengths=[12] * 4, labels=[0, 1, 0, 1],
        subjects=[1, 2, 3, 4], views=[1, 1, 2, 2], files=[f"clip{i}" for i in range(4)],
        class_names=["push", "hug"], joint_names=skeleton.joint_names, parents=skeleton.parents,
        fps=15.0,
    )  # fmt: skip
    own = Protocol("own", "own division", "view", (1,), (2,), source="the test")
    reader = pairs.Pairs(tmp_path / "mine.npz", own, None)
    joints = reader.joints("clip3")
    assert joints.shape == (12, 1, 30, 3) and reader.skeleton.num_joints == 30
    np.testing.assert_allclose(joints[:5, 0, 15:], both[3][:5, 1], atol=1e-6)
    root = joints[5:, 0, :1]
    np.testing.assert_array_equal(joints[5:, 0, 15:], np.broadcast_to(root, (7, 15, 3)))
    # Placed by the first person; the second keeps the distance.
    placed = reader.placed(reader.joints("clip0"))
    np.testing.assert_allclose(placed[0, 0, 0, [0, 2]], 0, atol=1e-5)
    apart = [np.linalg.norm(x[:, 0, 15] - x[:, 0, 0], axis=-1) for x in (placed, joints)]
    expected = np.linalg.norm(both[0][:, 1, 0] - both[0][:, 0, 0], axis=-1)
    np.testing.assert_allclose(apart[0], expected, atol=1e-5)
    path = pairs.prepare_pairs(tmp_path, "mine_pairs", tmp_path / "mine.npz", None, own)
    dataset = Dataset(tmp_path, "mine_pairs")
    assert path == dataset.version_dir and dataset.metadata.skeleton.num_joints == 30
    assert len(dataset.split("train")) + len(dataset.split("test")) == 4
