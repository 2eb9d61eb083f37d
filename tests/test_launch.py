"""launch.py and motionalign.load: using a trained checkpoint."""

import importlib
import json
import pathlib
import re
import shutil
import subprocess
import sys
from types import SimpleNamespace

import motion_files
import numpy as np
import pytest
from bodies import body
from runs import ROOT, command, tiny_config, tiny_flags

import motionalign
from motionalign import digests, evaluate, launch
from motionalign.checkpoints.run import find, load_run
from motionalign.checkpoints.workdir import run_folder
from motionalign.config import flat
from motionalign.configs import (
    babel60_gaitformer,
    checkpoint,
    common,
    densegait_gaitformer,
    humanml3d_vit,
    kit_ml_vit,
    labelled_actions,
    mocap_actions,
    mocap_small,
    quickstart,
)
from motionalign.data.dataset import Dataset
from motionalign.data.resample import resample
from motionalign.inference.folder import encode_folder
from motionalign.tasks.captions import embed_split, evaluation_set
from motionalign.tasks.schema import schema


@pytest.fixture(scope="module")
def model(short_run):
    return motionalign.load(short_run)


def joints(dataset: Dataset, row: int) -> np.ndarray:
    return dataset.split("test")[row]["joints"][:, 0]


def test_copied_checkpoint_scores_the_same(short_run, small_dataset, tmp_path):
    """A step folder copied elsewhere, evaluated by the command."""
    config = tiny_config(small_dataset)
    expected = evaluate.evaluate_checkpoint(config, short_run, tmp_path / "here")["small"]
    (step_dir,) = (short_run / "best").glob("[0-9]*")
    copy = shutil.copytree(step_dir, tmp_path / "elsewhere")
    flags = tiny_flags(tmp_path / "results", small_dataset)
    done = command(*flags, "--mode=eval", f"--checkpoint={copy}")
    assert done.code == 0
    assert "text → motion" in done.stdout
    told = "Of --config, evaluation reads task, data, eval, mesh; the checkpoint sets the rest."
    assert told + " No effect: --config.epochs, " in done.stderr  # of the tiny config
    assert "--config.model.embed_dim" in done.stderr
    assert "--config.data" not in done.stdout + done.stderr
    written = json.loads((tmp_path / "results" / "metrics.json").read_text())
    assert written == json.loads((tmp_path / "here" / "metrics.json").read_text())
    assert written["all"]["t2m"] == pytest.approx(expected["all"]["t2m"])
    page = tmp_path / "results" / "evaluation" / "small-test" / "index.html"
    assert page.is_file()


def test_encode_a_folder(short_run, model, small_dataset, tmp_path):
    dataset = Dataset(small_dataset, "small")
    clips = tmp_path / "clips"
    (clips / "deep").mkdir(parents=True)
    np.save(clips / "a.npy", joints(dataset, 0))
    np.save(clips / "deep" / "b.npy", joints(dataset, 1))
    np.save(clips / "long.npy", np.resize(joints(dataset, 1), (225, 22, 3)))
    np.save(clips / "flat.npy", np.zeros((30, 66)))
    np.save(clips / "nan.npy", np.full((30, 22, 3), np.nan))
    np.save(clips / "words.npy", np.full((30, 22, 3), "x"))
    np.save(clips / "huge.npy", 1e7 * joints(dataset, 1))
    (clips / "broken.npy").write_bytes(b"not an array")
    output = tmp_path / "out" / "x.npz"
    encode_folder(short_run, clips, output)
    with np.load(output, allow_pickle=False) as written:
        assert list(written["ids"]) == ["a", "deep/b", "long"]
        assert list(written["cut"]) == ["long"]
        np.testing.assert_allclose(np.linalg.norm(written["embeddings"], axis=1), 1, atol=1e-5)
        np.testing.assert_allclose(
            written["embeddings"][1], model.encode_motion(joints(dataset, 1), fps=20), atol=1e-5
        )
        skipped = {item["id"]: item["reason"] for item in json.loads(str(written["skipped"]))}
    assert skipped.keys() == {"flat", "nan", "broken", "words", "huge"}
    assert "expected numbers" in skipped["words"]
    assert "unit_implausible" in skipped["huge"]
    assert "(30, 66)" in skipped["flat"]
    assert "not finite" in skipped["nan"]
    assert not list(tmp_path.rglob("*partial*"))
    with pytest.raises(ValueError, match=r"\.npz"):
        encode_folder(short_run, clips, tmp_path / "x.npy")
    with pytest.raises(ValueError, match=r"no \.npy file"):
        encode_folder(short_run, tmp_path / "out", output)


def test_default_frame_rate_is_that_of_the_raw_files(short_run, model, small_dataset, tmp_path):
    clip = joints(Dataset(small_dataset, "small"), 0)
    (tmp_path / "clips").mkdir()
    np.save(tmp_path / "clips" / "a.npy", clip)
    copy = shutil.copytree(find(short_run), tmp_path / "copy")
    run = load_run(copy)
    run["datasets"]["small"]["source_fps"] = 60.0  # prepared with --fps=60
    (copy / "run" / "metadata").write_text(json.dumps(run))
    (copy / digests.NAME).unlink()
    flags = (f"--checkpoint={copy}", f"--input={tmp_path}/clips", f"--output={tmp_path}/x.npz")
    done = command("--mode=encode", *flags)
    assert done.code == 0
    assert "1 clips at 60 fps" in done.stdout
    assert "60 fps is assumed, the rate of the raw training files: give --fps if" in done.stdout
    assert "assumed" not in command("--mode=encode", *flags, "--fps=60").stdout
    with np.load(tmp_path / "x.npz") as written:
        expected = model.encode_motion(clip, fps=60)
        np.testing.assert_allclose(written["embeddings"][0], expected, atol=1e-6)


def test_encode_motion_files(short_run, model, tmp_path):
    """The flags about files reach them."""
    body = motion_files.human()
    for i in range(2):
        path = tmp_path / f"clip {i}.bvh"
        motion_files.write_bvh(path, body, motion_files.swing(body, 40, seed=i))
    output = tmp_path / "x.npz"
    flags = ("--mode=encode", f"--checkpoint={short_run}", f"--input={tmp_path}",
             f"--output={output}")  # fmt: skip
    done = command(*flags)
    assert done.code == 0
    assert "2 clips → " in done.stdout and "Read from 2 BVH (" in done.stdout
    with np.load(output) as written:
        assert list(written["ids"]) == ["clip 0", "clip 1"]
        _, expected = model.encode_files([tmp_path / f"clip {i}.bvh" for i in range(2)])
        np.testing.assert_allclose(written["embeddings"], expected, atol=1e-6)
    assert "statistics of these clips themselves" in command(*flags, "--joints=native").stdout
    assert "--unit=cm" in command(*flags, "--unit=mm").stderr
    skeleton = tmp_path / "said.skeleton.json"
    skeleton.write_text('{"unit": "mm"}')
    assert "--unit=cm" in command(*flags, f"--skeleton={skeleton}").stderr
    assert command(*flags, f"--skeleton={skeleton}", "--unit=cm", "--up=y").code == 0


def test_a_query_does_not_cost_a_whole_batch(model, monkeypatch):
    """Batches of at most 8 here: 1 caption is one row, 3 are four, 11 are two batches of 8."""
    shapes = []
    put = model.encoder._put
    monkeypatch.setattr(model.encoder, "_put", lambda x: (shapes.append(x.shape[0]), put(x))[1])
    for count, rows in ((1, [1]), (3, [4]), (8, [8]), (11, [8, 8])):
        shapes.clear()
        captions = [f"a person takes {i} steps" for i in range(count)]
        assert model.encode_text(captions).shape == (count, 8)
        assert shapes[::2] == rows  # ids and mask of each batch


def test_results_are_written_next_to_the_checkpoint(short_run, small_dataset, tmp_path):
    (step_dir,) = (short_run / "best").glob("[0-9]*")
    for path in (short_run, short_run / "best", step_dir):
        assert run_folder(path) == short_run
    with pytest.raises(ValueError, match="with --workdir"):
        run_folder(shutil.copytree(step_dir, tmp_path / "copy"))

    config = tiny_config(small_dataset, data__eval_batch_size=16)
    scores = evaluate.evaluate_checkpoint(config, short_run, tmp_path, split="val")["small"]
    assert (scores["dataset"], scores["split"], scores["all"]["gallery"]) == ("small", "val", 7)
    assert (tmp_path / "evaluation" / "small-val" / "metrics.json").is_file()
    assert not (tmp_path / "metrics.json").exists()  # which is of the test split


def test_a_partial_evaluation_keeps_the_other_scores(short_run, small_dataset, tmp_path):
    run = shutil.copytree(short_run, tmp_path / "run")
    paths = run / "metrics.json", run / "evaluation" / "small-test" / "metrics.json"
    before = json.loads(paths[0].read_text())
    assert {"all", "left_out"} < before.keys()
    flags = "--mode=eval", f"--checkpoint={run}", f"--config.data.data_dir={small_dataset}"
    done = command(*flags, "--config.eval.protocols=small_batches")
    assert f"{paths[1]} keeps the scores of all, of an earlier evaluation of this" in done.stdout
    for path in paths:
        after = json.loads(path.read_text())
        assert after["left_out"].keys() == before["left_out"].keys()  # those not asked for, too
        assert {**after, "left_out": None} == {**before, "left_out": None}
    # Of another model or other data, nothing is kept.
    paths[1].write_text(json.dumps(before | {"evaluated": "0"}))
    done = command(*flags, "--config.eval.protocols=small_batches")
    assert "keeps" not in done.stdout
    assert json.loads(paths[1].read_text()).keys() == before.keys() - {"all"}
    assert json.loads(paths[0].read_text()).keys() == before.keys()


def test_a_further_evaluation_keeps_the_results_of_the_run(short_run, small_dataset, tmp_path):
    run = shutil.copytree(short_run, tmp_path / "run")
    before = (run / "metrics.json").read_bytes()
    flags = "--mode=eval", f"--checkpoint={run}", f"--config.data.data_dir={small_dataset}"
    done = command(*flags, "--config.data.test_split=val")
    place = run / "evaluation" / "small-val" / "metrics.json"
    kept = f"{run / 'metrics.json'} keeps the results of the run; these are in {place.parent}"
    assert kept in done.stdout
    assert (run / "metrics.json").read_bytes() == before
    assert json.loads(place.read_text())["split"] == "val"


@pytest.mark.parametrize(
    ("changed", "further"),
    [
        ({}, False),
        ({"dataset": "other"}, True),
        ({"split": "val"}, True),
        ({"step": 99}, True),  # not the checkpoint that the run selects
        ({"task": "labels"}, True),
    ],
)
def test_what_a_further_evaluation_is(short_run, model, changed, further):
    scores = json.loads((short_run / "metrics.json").read_text()) | changed
    task = SimpleNamespace(name=changed.get("task", "captions"))
    path = short_run / "metrics.json"
    assert evaluate.is_further(path, model, task, scores, run=True) == further
    elsewhere = evaluate.is_further(path, model, task, scores, run=False)
    assert elsewhere == (further and not {"step", "split"} & changed.keys())
    assert not evaluate.is_further(path.with_name("none.json"), model, task, scores, run=True)


def test_results_of_another_run_give_way(short_run, model, tmp_path):
    """Those of the model's own dataset replace them."""
    scores = json.loads((short_run / "metrics.json").read_text())
    path = tmp_path / "metrics.json"
    path.write_text(json.dumps(scores | {"dataset": "other"}))
    task = SimpleNamespace(name="captions")
    assert not evaluate.is_further(path, model, task, scores, run=False)
    assert evaluate.write_scores(path, scores, ["small_batches"]) == []
    path.write_text("{")  # damaged
    assert not evaluate.is_further(path, model, task, scores, run=False)
    assert evaluate.write_scores(path, scores, ["small_batches"]) == []
    assert json.loads(path.read_text()) == scores


def test_an_incomplete_published_subset(short_run, small_dataset, tmp_path):
    """Results state the missing clips; a subset without any clip is left out."""
    shutil.copytree(small_dataset / "small", tmp_path / "data" / "small")
    dataset = Dataset(tmp_path / "data", "small")
    split, rows = evaluation_set(dataset, "test")
    path = dataset.version_dir / "dissimilar-test.txt"
    config = tiny_config(tmp_path / "data", eval__num_queries=1)

    path.write_text("\n".join([split.sources[rows[0]], "gone", split.sources[rows[2]]]) + "\n")
    results = evaluate.evaluate_checkpoint(config, short_run, tmp_path)["small"]
    assert results["dissimilar"]["gallery"] == 2
    assert "2 of the 3 clips of the published subset" in results["dissimilar"]["note"]
    assert "gone" in results["dissimilar"]["note"]
    path.write_text("gone\n")
    results = evaluate.evaluate_checkpoint(config, short_run, tmp_path)["small"]
    assert "0 of the 1 clips" in results["left_out"]["dissimilar"]


def test_motions_are_those_of_the_evaluation(model, small_dataset):
    """Joints encoded by hand equal the prepared patches encoded by the evaluation."""
    dataset = Dataset(small_dataset, "small")
    embeddings, texts, gallery = embed_split(evaluate.predictor(model), dataset, "test")
    clips = [gallery.joints(i) for i in range(len(gallery.ids))]
    by_hand = model.encode_motion(clips, fps=20, normalize=False)
    # Prepared patches are float16, and so are those of encode_motion.
    np.testing.assert_allclose(by_hand, embeddings, atol=1e-4)
    np.testing.assert_allclose(
        model.encode_text(gallery.captions, normalize=False), texts, atol=1e-5
    )


def test_single_and_list(model, small_dataset):
    clip = joints(Dataset(small_dataset, "small"), 0)
    one, many = model.encode_motion(clip, fps=20), model.encode_motion([clip, clip[:25]], fps=20)
    assert one.shape == (8,)
    assert many.shape == (2, 8)
    assert one.dtype == many.dtype == np.float32
    np.testing.assert_allclose(many[0], one, atol=1e-5)
    text = model.encode_text("a person walks")
    assert text.shape == (8,)
    np.testing.assert_allclose(model.encode_text(["a person walks"])[0], text, atol=1e-6)
    assert np.linalg.norm(text) == pytest.approx(1, abs=1e-5)


def test_other_frame_rates(model):
    """A motion sampled at 60 fps has nearly the embedding of the same motion at 20."""
    clip = resample(body(60), 20, 60)
    at_60 = model.encode_motion(clip, fps=60)
    at_20 = model.encode_motion(clip[::3], fps=20)
    assert at_60 @ at_20 > 0.999
    assert at_60 @ model.encode_motion(clip, fps=20) < at_60 @ at_20


@pytest.mark.parametrize(
    ("shape", "fps", "message"),
    [
        ((30, 21, 3), 20, r"shape \(30, 21, 3\); expected \[frames >= 2, 22, 3\].*smpl22"),
        ((1, 22, 3), 20, "frames >= 2"),
        ((30, 22, 3), 0, "positive number of frames per second"),
        ((30, 22, 3), None, "fps=None; expected a positive number of frames per second"),
        ((30, 22, 3), float("inf"), "fps=inf; expected a positive number of frames per second"),
    ],
)
def test_bad_clips(model, shape, fps, message):
    with pytest.raises(ValueError, match=message):
        model.encode_motion(np.zeros(shape), fps=fps)


def test_load_reports_what_is_missing(short_run, tmp_path):
    with pytest.raises(ValueError, match="no checkpoint at"):
        motionalign.load(tmp_path)
    (step_dir,) = (short_run / "best").glob("[0-9]*")
    shutil.copytree(step_dir, tmp_path / "part")
    (tmp_path / "part" / "run" / "metadata").unlink()
    with pytest.raises(ValueError, match="incomplete copy"):
        motionalign.load(tmp_path / "part")


def test_a_run_without_a_workdir(small_dataset, tmp_path, monkeypatch, one_device):
    """Each slow step is announced; the same command again only evaluates."""
    monkeypatch.chdir(tmp_path)
    flags = [flag for flag in tiny_flags("", small_dataset) if not flag.startswith("--workdir")]
    done = command(*flags, "--config.epochs=1")
    assert done.code == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "Devices: 1 × cpu (data 1 × model 1)"
    assert re.match(r"Parameters: [\d,]+ \((motion|text)_encoder [\d,]+, ", lines[1])
    assert lines[2:5] == [
        "Data: 38 clips of small; batches of 8",
        "Steps: 4, 4 in each of 1 epochs",
        "Results: runs/quickstart",
    ]
    assert lines[5:7] == [
        "Initialising parameters",
        "Compiling the training step; the first step follows (later runs reuse the compilation)",
    ]
    assert "text → motion" in done.stdout
    assert (tmp_path / "runs" / "quickstart" / "metrics.json").is_file()

    again = command(*flags, "--config.epochs=1")
    assert again.code == 0, again.stderr
    assert again.stdout.startswith(
        "runs/quickstart is a finished run of 1 epochs. To train its model further, choose a new "
        "--workdir and --config=configs/finetune.py:runs/quickstart\n"
    )
    assert "text → motion" in again.stdout

    other = command(*flags, "--config.epochs=1", "--config.seed=1")
    assert other.code == 1
    assert "runs/quickstart holds a run with another config. Choose a new --workdir" in other.stderr
    assert "configs/finetune.py:runs/quickstart" in other.stderr
    assert other.stdout == ""  # nothing was begun


def test_evaluation_needs_no_config(short_run, small_dataset, tmp_path):
    """Checkpoints of runs and folders to share contain a config."""
    expected = json.loads((short_run / "metrics.json").read_text())
    shared = motionalign.load(short_run).save_pretrained(tmp_path / "shared")
    data = f"--config.data.data_dir={small_dataset}"
    for model, flags in ((short_run, []), (shared, [data])):
        out = tmp_path / f"of-{model.name}"
        done = command("--mode=eval", f"--checkpoint={model}", f"--workdir={out}", *flags)
        assert done.code == 0, done.stderr
        assert "Of --config" not in done.stderr
        assert json.loads((out / "metrics.json").read_text())["all"] == expected["all"]
    flags = (f"--checkpoint={short_run}", f"--workdir={tmp_path}/again", "--config.seed=7")
    assert "No effect: --config.seed" in command("--mode=eval", *flags).stderr
    done = command("--mode=eval", f"--checkpoint={tmp_path}/none")
    assert (done.code, done.stdout) == (1, "")
    assert f"no checkpoint at {tmp_path}/none" in done.stderr


def test_the_config_of_a_checkpoint(short_run, small_dataset):
    """Without the mesh, which belongs to the machine of training."""
    config = checkpoint.get_config(str(short_run))
    trained = tiny_config(small_dataset, epochs=1)
    assert schema().differences(json.loads(trained.to_json()), config) == []
    with pytest.raises(ValueError, match=r"name the model: --config=configs/checkpoint.py:FOLDER"):
        checkpoint.get_config()


def test_config_files_of_version_0_1(tmp_path):
    """They import the shipped ones as `configs`."""
    path = tmp_path / "mine.py"
    path.write_text(
        "from configs import common, quickstart\n"
        "def get_config(arg=None):\n"
        "    common.parse_arg(arg)\n"
        "    return quickstart.get_config()\n"
    )
    done = command(f"--config={path}", "--config.data.data_dir=nowhere")
    assert "dataset 'synthetic' is not prepared" in done.stderr
    with pytest.warns(DeprecationWarning, match=r"configs is now motionalign\.configs"):
        importlib.reload(importlib.import_module("configs"))


@pytest.mark.parametrize(
    ("config", "workdir"),
    [
        ("configs/humanml3d_vit.py", "runs/humanml3d_vit"),
        ("configs/humanml3d_vit.py:Ti,paper", "runs/humanml3d_vit-Ti-paper"),
        ("/x/mine.py", "runs/mine"),
        ("configs/finetune.py:/home/me/published", "runs/finetune-home-me-published"),
        ("configs/finetune.py:../me/model@v1", "runs/finetune-me-model@v1"),
    ],
)
def test_the_default_workdir(config, workdir):
    assert str(launch.default_workdir(config)) == workdir


def test_config_files_are_found(tmp_path, monkeypatch):
    """An existing file has priority; else an installed one, from any folder."""
    monkeypatch.chdir(tmp_path)
    installed = str(launch.CONFIGS / "quickstart.py")
    for given in ("configs/quickstart.py", "quickstart.py", "quickstart"):
        assert launch.find_config(given) == installed
        assert launch.find_config(f"{given}:a,b:c") == f"{installed}:a,b:c"
    for given in ("configs/none.py", "other/quickstart.py", "/configs/quickstart.py"):
        assert launch.find_config(given) == given
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "quickstart.py").write_text("")
    assert launch.find_config("configs/quickstart.py") == "configs/quickstart.py"
    assert "configs/quickstart.py" in launch.shipped_configs()
    assert not {"configs/common.py", "configs/checkpoint.py"} & set(launch.shipped_configs())


# Refused by the parser, by main.
@pytest.mark.parametrize("flags", [["--config.modl.x=3"], ["--config.data.data_dir=nowhere"]])
def test_in_this_process_as_in_a_new_one(flags):
    flags = ["--config=configs/quickstart.py", *flags]
    real = subprocess.run(
        [sys.executable, ROOT / "launch.py", *flags], cwd=ROOT, capture_output=True, text=True
    )
    done = command(*flags)
    assert (done.code, done.stdout) == (real.returncode, real.stdout)
    assert done.stderr.splitlines()[-2:] == real.stderr.splitlines()[-2:]


def test_help_shows_examples():
    done = command("--help")
    assert (
        "python launch.py --config=configs/humanml3d_vit.py:paper --workdir=runs/paper"
        in done.stdout
    )


def test_help_lists_every_field():
    done = command("--help_config")
    assert done.code == 0
    lines = done.stdout.splitlines()
    for name, field in schema().fields.items():
        (place,) = (i for i, line in enumerate(lines) if line.startswith(f"{name} = "))
        assert lines[place + 1].strip() == field.meaning


def test_freed_memory_is_kept_before_a_config_is_read(tmp_path):
    """Config files import JAX. `command` replaces the function by a stand-in."""
    config = tmp_path / "calls.py"
    config.write_text(
        "from motionalign import host\n"
        "def get_config():\n"
        "    raise ValueError(f'{host.keep_freed_memory.call_count} calls so far')\n"
    )
    assert "1 calls so far" in command(f"--config={config}", "--workdir=x").stderr


def test_nothing_heavy_is_imported_at_run_time():
    """Public modules import no TensorFlow, torch or transformers."""
    code = (
        "import sys; import motionalign, motionalign.convert, motionalign.train, launch;"
        "motionalign.checkpoints.writers.summary_writer_class();"
        "print([m for m in ('tensorflow', 'torch', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


# What the published code trains with (conf/*.yaml, scripts/train.py, models/clip.py) by data set:
# base rates times the factors of the data set; its temperature is in no parameter group.
MOTION_PATCHES_CODE = {
    "epochs": (50, 50),
    "data.batch_size": (128, 128),
    "model.motion.size": ("B", "B"),
    "model.motion.max_frames": (224, 224),
    "model.motion.patch_size": (16, 16),
    "model.motion.pool": ("mean", "mean"),
    "model.motion.padding": ("attend", "attend"),
    "model.text.readout": ("first", "first"),
    "model.embed_dim": (256, 256),
    "model.head_dropout": (0.5, 0.0),
    "model.temperature": (0.07, 0.07),
    "model.learn_temperature": (False, False),
    "optim.groups.motion_encoder.lr": (1e-5 * 10, 1e-5),
    "optim.groups.text_encoder.lr": (1e-5, 1e-5),
    "optim.groups.heads.lr": (1e-5 * 10, 1e-5),
    "optim.cosine_runs": (2.0, 2.0),
    "optim.warmup_steps": (0, 0),
    "optim.weight_decay": (0.0, 0.0),
    "optim.clip_norm": (0.0, 0.0),
    "optim.b1": (0.9, 0.9),
    "optim.b2": (0.999, 0.999),
    "optim.eps": (1e-8, 1e-8),
}
# What the paper states, §3.3 to §4.3, for both data sets.
MOTION_PATCHES_PAPER = {
    "data.batch_size": 256,
    "model.motion.size": "B",
    "model.motion.max_frames": 224,
    "model.motion.patch_size": 16,
    "model.motion.pool": "class",
    "model.text.readout": "first",
    "model.embed_dim": 256,
    "model.temperature": 0.07,
    "optim.groups.motion_encoder.lr": 1e-4,
    "optim.groups.text_encoder.lr": 1e-5,
    "optim.groups.heads.lr": 1e-3,
}
# What it leaves open, from the code.
OPEN_IN_THE_PAPER = {"epochs", "model.head_dropout", "optim.weight_decay", "optim.clip_norm"}


@pytest.mark.parametrize(("number", "module"), enumerate([humanml3d_vit, kit_ml_vit]))
def test_recipes_state_the_published_values(number, module):
    code, paper = (flat(module.get_config(arg).to_dict()) for arg in ("code", "paper"))
    theirs = {name: values[number] for name, values in MOTION_PATCHES_CODE.items()}
    assert {name: code[name] for name in theirs} == pytest.approx(theirs)
    left_open = {name: theirs[name] for name in OPEN_IN_THE_PAPER}
    theirs = MOTION_PATCHES_PAPER | left_open
    assert {name: paper[name] for name in theirs} == pytest.approx(theirs)
    assert module.get_config("paper,S").model.motion.size == "S"


def test_the_recipe_of_mocap_small_is_the_published_one():
    theirs = {name: values[0] for name, values in MOTION_PATCHES_CODE.items()}
    theirs |= {"epochs": 20, "model.motion.size": "Ti"}
    ours = flat(mocap_small.get_config("code").to_dict())
    assert {name: ours[name] for name in theirs} == pytest.approx(theirs)


@pytest.mark.parametrize(
    "module",
    [
        *(babel60_gaitformer, densegait_gaitformer, humanml3d_vit, kit_ml_vit),
        *(labelled_actions, mocap_actions, mocap_small, quickstart),
    ],
)
def test_configs_name_only_fields_of_common(module):
    """A field that nothing reads is a spelling mistake."""
    known = set(flat(common.base().to_dict()))
    assert set(flat(module.get_config().to_dict())) == known
    with pytest.raises(ValueError, match="unknown config argument 'huge'; valid:"):
        module.get_config("huge")


def test_readme_starts_with_the_two_commands():
    blocks = pathlib.Path(ROOT / "README.md").read_text().split("```bash\n")[1:]
    setup, tests = (block.split("```")[0] for block in blocks[:2])
    assert "configs/quickstart.py" in setup
    assert tests == "bash scripts/test.sh\n"
    script = (ROOT / "scripts/test.sh").read_text()
    for check in ("pre-commit run", 'pytest -m "not slow"', "mkdocs build --strict", "check_links"):
        assert check in script
    assert "\nexec bash scripts/test.sh\n" in (ROOT / ".ci/run").read_text()  # what CI runs
