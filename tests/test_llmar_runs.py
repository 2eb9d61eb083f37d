"""Whole runs of LLM-AR: both stages, the folder of a run, the model in use, a shared model."""

import json
import shutil

import gguf_files
import jax
import numpy as np
import pytest
from llmar import (
    CLASSES,
    WIDTH,
    sentences_config,
    tokens_config,
    write_dataset,
    write_language_model,
)
from runs import assert_same_bits, command, one_device, scalars

import motionalign
from motionalign import evaluate, train
from motionalign.checkpoints.run import BEST, LATEST, find, load_run
from motionalign.convert import main as convert
from motionalign.data.dataset import Dataset
from motionalign.inference.language_export import save_adapters
from motionalign.inference.model import load
from motionalign.models.weights.source import Source
from motionalign.planning import run as planning
from motionalign.planning import stand_ins

pytestmark = pytest.mark.usefixtures("one_device")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_dataset(folder)
    return folder


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    return write_language_model(tmp_path_factory.mktemp("llm") / "little-llama")


def trained(config, workdir):
    with one_device():
        assert train.train(config, workdir) == "finished"
        evaluate.evaluate_checkpoint(config, workdir, workdir)
    return workdir


@pytest.fixture(scope="module")
def tokens(data_dir, words, tmp_path_factory):
    """The evaluated run of a motion tokenizer."""
    return trained(tokens_config(data_dir, words), tmp_path_factory.mktemp("runs") / "tokens")


@pytest.fixture(scope="module")
def llmar(data_dir, words, tokens, tmp_path_factory):
    """The evaluated run of a language model that reads its tokens."""
    config = sentences_config(data_dir, words, tokens)
    return trained(config, tmp_path_factory.mktemp("runs") / "llmar")


def test_a_plan_is_the_run_but_for_its_prompt(data_dir, words, tokens, tmp_path):
    """planning.run: shapes as of the real set-up; the stand-in of the prompt has a fixed length."""
    config = sentences_config(data_dir, words, tokens)
    run = train.set_up(config, tmp_path / "run")
    planned = planning.plan(config, jax.devices()[:1])
    shapes = [
        jax.tree.map(lambda leaf: (leaf.shape, str(leaf.dtype), leaf.sharding.spec), state)
        for state in (planned.state, run.abstract_state)
    ]
    assert shapes[0] == shapes[1]
    own, real = planned.network.config, run.network.config
    assert (own.tokenizer, own.llama) == (real.tokenizer, real.llama)
    assert len(own.before) == stand_ins.ALONE >= len(real.before)
    assert set(planned.steps()) == {"train", "scores", "answer"}


@pytest.fixture(scope="module")
def model(llmar):
    with one_device():
        return motionalign.load(llmar)


@pytest.fixture(scope="module")
def clips(data_dir):
    """Four test clips [T, 2, 20, 3] in metres."""
    split = Dataset(data_dir, "acts").split("test")
    return [split[i]["joints"] for i in range(4)]


def files(folder):
    return {path.name for path in folder.iterdir()}


def test_the_folders_of_both_runs(tokens, llmar):
    whole = {"config.json", "metrics.json", "metrics.jsonl", "environment.json", "tensorboard",
             "checkpoints", "best", "evaluation", "SHA256SUMS"}  # fmt: skip
    for workdir in (tokens, llmar):
        assert whole <= files(workdir)
    first, last = scalars(tokens)[0], scalars(tokens)[-1]
    assert {"reconstruction", "zipf", "context", "alignment", "perplexity"} <= first.keys()
    assert {"val/error_mm", "val/pose_mm", "val/perplexity", "val/zipf_distance"} <= last.keys()
    assert {"val/top1", "val/top1_sum", "val/top1_mean", "val/loss"} <= scalars(llmar)[-1].keys()
    results = json.loads((llmar / "metrics.json").read_text())
    assert (results["task"], results["split"]) == ("sentences", "test")
    assert list(results["recognition"]) == ["seen names", "all names"]
    assert results["recognition"]["seen names"]["classes"] == 3
    assert (llmar / "evaluation" / "acts-test" / "confusion-seen-names.png").is_file()
    assert (llmar / "evaluation" / "acts-test" / "index.html").is_file()


def test_the_best_checkpoint_has_adapters_and_tokenizer_only(llmar):
    step = find(llmar)
    run = load_run(step)
    (tower,) = run["frozen"]
    assert (tower["under"], tower["seed"]) == ("llama", None)
    assert run["trained"]["length"] in ("sum", "mean")
    params = load(llmar).params
    assert {path.partition("/")[0] for path in params} == {"llama", "tokenizer"}
    of_llama = [path for path in params if path.startswith("llama/")]
    assert of_llama and all("lora_" in path for path in of_llama)
    size = sum(np.asarray(x).nbytes for x in params.values())
    written = sum(p.stat().st_size for p in (step / "params").rglob("*") if p.is_file())
    assert written < 2 * size + 100_000


def test_the_motion_tokenizer_stays_as_the_first_stage_left_it(tokens, model):
    first = load(tokens)
    for path, value in (first.params | first.rest).items():
        if not path.startswith("context/"):
            np.testing.assert_array_equal(model.arrays[f"tokenizer/{path}"], value, err_msg=path)


def test_training_starts_from_given_adapters(data_dir, words, tokens, model, tmp_path):
    folder = save_adapters(model, tmp_path / "adapters")
    given = {"model__language__adapters": str(folder), "epochs": 1}
    still = given | {"optim__groups__language_model__lr": 1e-30}
    params = load(
        trained(sentences_config(data_dir, words, tokens, **still), tmp_path / "r")
    ).params
    adapters = [path for path in params if "/lora_" in path]
    assert adapters
    for path in adapters:
        np.testing.assert_allclose(params[path], model.arrays[path], atol=1e-20, err_msg=path)
    for wrong, message in (
        (
            {"rank": 1},
            r"have rank 2, alpha 4 .* rank 1.* Set config.model.language.rank=2, alpha=4",
        ),
        ({"alpha": 8.0}, r"rank 2, alpha 4 .* rank 2, alpha 8 "),
        ({"targets": r"blocks/\d+/attention/query"}, "alpha=4 and targets="),
        ({"random": True}, "random=True has none"),
        ({"adapters": str(tmp_path)}, "adapter_config.json"),
    ):
        fields = given | {f"model__language__{name}": value for name, value in wrong.items()}
        with pytest.raises(ValueError, match=message):
            trained(sentences_config(data_dir, words, tokens, **fields), tmp_path / "wrong")


def test_evaluation_of_unseen_classes(data_dir, words, tokens, llmar, tmp_path):
    config = sentences_config(data_dir, words, tokens)
    found = evaluate.evaluate_checkpoint(config, llmar, tmp_path, "unseen")["acts"]
    assert list(found["recognition"]) == ["unseen names", "all names"]
    assert found["recognition"]["unseen names"]["top1"] == 100  # the only name
    both = found["seen_and_unseen"]
    seen = json.loads((llmar / "metrics.json").read_text())["recognition"]["all names"]["top1"]
    assert both["seen"] == seen
    assert both["unseen"] == found["recognition"]["all names"]["top1"]


def test_recognition_equals_the_evaluation(data_dir, llmar, model, clips):
    split = Dataset(data_dir, "acts").split("test")
    every = [split[i]["joints"] for i in range(len(split))]
    found = model.recognise(every, CLASSES, 30)
    assert np.asarray(found).shape == (len(split), len(CLASSES))
    names = Dataset(data_dir, "acts").metadata.label_names
    right = np.mean([names.index(name) for name in found.best] == split.labels)
    results = json.loads((llmar / "metrics.json").read_text())
    assert results["recognition"]["all names"]["top1"] == pytest.approx(100 * right)


def test_recognise_any_names(model, clips):
    names = ["walk", "make a call"]
    found = model.recognise(clips[0], names, 30, length="sum")
    assert found.scores.shape == (2,)
    mean = model.recognise(clips[0], names, 30, length="mean").scores
    counts = [len(model.encoder.tokenizer.ids(" " + name)) + 1 for name in names]
    np.testing.assert_allclose(found.scores / counts, mean, rtol=1e-5)
    own = model.run["trained"]["length"]
    np.testing.assert_array_equal(
        model.recognise(clips[0], names, 30), model.recognise(clips[0], names, 30, length=own)
    )
    assert model.recognise(clips[0], None, 30).names == model.metadata().label_names
    for wrong, message in (
        (["walk", " "], "name 1 of 2 is ' '"),
        (["walk", "walk"], "named 2 times"),
        ([], "names is empty"),
        ("walk", "give a list of names"),
        (["x" * 40], "has 42 tokens .*at most 14"),
    ):
        with pytest.raises(ValueError, match=message):
            model.recognise(clips[0], wrong, 30)
    with pytest.raises(ValueError, match="length='max'; expected one of sum, mean"):
        model.recognise(clips[0], names, 30, length="max")


def test_each_person_is_read_in_the_declared_conventions(model, clips):
    clip = next(clip for clip in clips if clip[:, 1].any())
    own = model.recognise(clip, ["walk", "wave"], 30)
    given = np.stack([clip[..., 0], -clip[..., 2], clip[..., 1]], axis=-1) * 100  # Z up
    moved = model.recognise(given, ["walk", "wave"], 30, unit="cm", up="z")
    np.testing.assert_allclose(moved, own, atol=1e-3)
    with pytest.raises(ValueError, match="person 1: unit_implausible"):
        model.recognise(np.concatenate([clip[:, :1], 100 * clip[:, 1:]], axis=1), None, 30)
    with pytest.raises(ValueError, match="canonical='always' moves and turns one person"):
        model.recognise(clip, None, 30, canonical="always")
    with pytest.raises(ValueError, match="no person"):
        model.recognise(np.zeros_like(clip), None, 30)
    with pytest.raises(ValueError, match=r"clip 1 of the list: .*3 persons; the model reads 2"):
        three = np.concatenate([clip, clip[:, :1] + 1], axis=1)
        model.recognise([clip, three], None, 30)


def test_sentences_of_clips(tokens, model, clips):
    first = motionalign.load(tokens)
    found = first.sentence(clips, 30)
    assert (found.shape, found.dtype) == ((4, 2, 4), np.int32)
    np.testing.assert_array_equal(found, model.sentence(clips, 30))
    there = np.array([clip.any(axis=(0, 2, 3)) for clip in clips])
    np.testing.assert_array_equal((found >= 0).all(axis=-1), there)
    np.testing.assert_array_equal(first.sentence(clips[0][:, 0], 30)[0], found[0, 0])


def test_what_these_models_do_not_have(tokens, model, clips, llmar, tmp_path):
    first = motionalign.load(tokens)
    for each, advice in ((first, "sentence"), (model, "recognise")):
        for use in (
            lambda m: m.encode_motion(clips[0], 30),
            lambda m: m.encode_text("walk"),
            lambda m: m.classify(clips[0][:, 0], 30),
            lambda m: m.similarity(clips[0], ["walk"], 30),
            lambda m: m.encode_files("x.bvh"),
        ):
            with pytest.raises(ValueError, match=f"has no .*{advice}"):
                use(each)
    with pytest.raises(ValueError, match="knows no names"):
        first.recognise(clips[0], ["walk"], 30)
    np.save(tmp_path / "a.npy", clips[0][:, 0])
    for workdir, advice in ((tokens, "--mode=tokenize"), (llmar, "recognise")):
        done = command("--mode=encode", f"--checkpoint={workdir}", f"--input={tmp_path}",
                       f"--output={tmp_path / 'out.npz'}")  # fmt: skip
        assert done.code == 1 and "has no embeddings to write" in done.stderr
        assert advice in done.stderr
        with pytest.raises(SystemExit):
            convert(["export", str(workdir), str(tmp_path / "out")])
        done = command(f"--config=configs/finetune.py:{workdir}")
        assert done.code == 1 and "stages of LLM-AR" in done.stderr


def test_evaluation_with_a_language_model_elsewhere(data_dir, llmar, words, tmp_path, monkeypatch):
    convert(["share", str(llmar), str(tmp_path / "shared")])
    monkeypatch.chdir(tmp_path)  # the folder names its language model without a path
    given = ("--mode=eval", "--checkpoint=shared", f"--config.data.data_dir={data_dir}")
    done = command(*given, "--workdir=scores")
    assert done.code == 1 and "or the option --language_model" in done.stderr
    done = command(*given, "--workdir=scores", f"--language_model={words}")
    assert done.code == 0, done.stderr
    found, own = (
        json.loads((p / "metrics.json").read_text()) for p in (tmp_path / "scores", llmar)
    )
    assert found["recognition"] == own["recognition"]
    done = command("--mode=encode", "--checkpoint=shared", f"--language_model={words}")
    assert done.code == 1 and "only with --mode=eval and --mode=tokenize" in done.stderr


def test_a_shared_model(llmar, tokens, words, model, clips, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "shared"
    convert(["share", str(llmar), str(folder)])
    assert "its language model" in capsys.readouterr().out
    text = (folder / "config.json").read_text() + (folder / "README.md").read_text()
    assert str(tmp_path) not in text and words not in text and "little-llama" in text
    card = (folder / "README.md").read_text()
    assert 'load("shared", language_model="little-llama")' in card
    assert "| language model | LLaMA, 2 layers of width 16 |" in card
    assert "adapters of rank 2" in card and "| seen names" in card
    with pytest.raises(ValueError, match=r"language_model=FOLDER"):
        motionalign.load(folder)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(words, "elsewhere")
    again = motionalign.load("shared", language_model="elsewhere")
    expected = model.recognise(clips, CLASSES, 30)
    np.testing.assert_array_equal(again.recognise(clips, CLASSES, 30), expected)
    other = write_language_model(tmp_path / "other", seed=1)
    with pytest.raises(ValueError, match=r"other weights .* than the model's"):
        motionalign.load(folder, language_model=other)
    convert(["share", str(tokens), str(tmp_path / "tokens")])
    first = motionalign.load(tmp_path / "tokens")  # without any language model
    np.testing.assert_array_equal(first.sentence(clips, 30), model.sentence(clips, 30))
    card = (tmp_path / "tokens" / "README.md").read_text()
    assert "8 hyperbolic codes of width 16; 4 a person, up to 2 persons, 20 joints" in card
    with pytest.raises(ValueError, match="this motion_tokenizer needs none"):
        load(tmp_path / "tokens", language_model=words)


def test_adapters_by_the_command(llmar, tokens, words, tmp_path, capsys):
    convert(["adapters", str(llmar), str(tmp_path / "adapters")])
    assert "as PEFT reads them" in capsys.readouterr().out
    convert(["adapters", str(llmar), str(tmp_path / "merged"), "--merged"])
    assert "as transformers reads" in capsys.readouterr().out
    assert {"adapter_config.json", "adapter_model.safetensors"} <= files(tmp_path / "adapters")
    assert Source(tmp_path / "merged").config()["hidden_size"] == WIDTH
    with pytest.raises(SystemExit, match="this motion tokenizer has no adapters"):
        convert(["adapters", str(tokens), str(tmp_path / "none")])
    assert not (tmp_path / "none").exists()


class Killed(Exception):
    """Stands for a kill between two steps."""


def whole_state(workdir):
    """All arrays of the newest checkpoint: parameters, codebook, counts, optimizer."""
    import orbax.checkpoint as ocp

    step = find(workdir, LATEST)
    found = {}
    for item in ("params", "rest", "optimizer"):
        with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as checkpointer:
            args = ocp.args.Composite(**{item: ocp.args.StandardRestore()})
            tree = checkpointer.restore(step, args=args)[item]
        leaves = jax.tree_util.tree_leaves_with_path(tree)
        found |= {f"{item}{jax.tree_util.keystr(p)}": np.asarray(x) for p, x in leaves}
    return found


@pytest.mark.parametrize("stage", ["tokens", "llmar"])
def test_killed_and_resumed(stage, tokens, llmar, data_dir, words, tmp_path, monkeypatch):
    every = {"checkpoint_steps": 2}  # which no parameter depends on
    config = (
        tokens_config(data_dir, words, **every)
        if stage == "tokens"
        else sentences_config(data_dir, words, tokens, **every)
    )
    feed = train.to_device

    def until(last):
        def batches(*args):
            for i, batch in enumerate(feed(*args)):
                if i == last:
                    raise Killed
                yield batch

        return batches

    for last in (3, 2):  # after steps 3 and 4, of 6; checkpoints are of steps 2 and 4
        monkeypatch.setattr(train, "to_device", until(last))
        with pytest.raises(Killed):
            train.train(config, tmp_path)
    monkeypatch.setattr(train, "to_device", feed)
    assert train.train(config, tmp_path) == "finished"
    whole = {"tokens": tokens, "llmar": llmar}[stage]
    expected = whole_state(whole)
    assert any("quantizer" in path for path in expected)
    assert_same_bits(whole_state(tmp_path), expected)
    for series in (BEST, LATEST):
        a, b = load(tmp_path, series), load(whole, series)
        assert_same_bits(*({p: np.asarray(x) for p, x in m.arrays.items()} for m in (a, b)))
    assert scalars(tmp_path) == scalars(whole)
    starts = json.loads((tmp_path / "environment.json").read_text())
    assert len(starts) == 3


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model.weights": None}, "config.model.weights is unset: name the run of a motion"),
        ({"model.weights": "runs/none"}, "no checkpoint at .*runs/none"),
        ({"model.language.instruction": "Name it:"}, r"contains \{motion\} once"),
        ({"model.language.instruction": "{motion}"}, "must have a text after"),
        ({"model.language.instruction": "word " * 60 + "{motion}:"}, "reads 128"),
        ({"model.language.targets": "nothing"}, "nothing"),
        ({"model.language.answer_tokens": 6}, "has 10 tokens .*answer_tokens"),
        ({"task": "labels"}, "is for config.model.kind='dual_encoder'.* to sentences"),
        ({"loss.kind": "reconstruction"}, "is for config.model.kind='motion_tokenizer'.* answer"),
    ],
)
def test_wrong_values_of_the_second_stage(data_dir, words, tokens, tmp_path, fields, message):
    config = sentences_config(data_dir, words, tokens)
    with config.unlocked():
        config.update_from_flattened_dict(fields)
    with pytest.raises(ValueError, match=message):
        train.train(config, tmp_path)


def test_models_that_do_not_fit_each_other(data_dir, words, tokens, llmar, tmp_path):
    wide = write_language_model(tmp_path / "wide", hidden_size=32)
    with pytest.raises(ValueError, match="words have width 16, those of the language model 32"):
        train.train(sentences_config(data_dir, wide, tokens), tmp_path / "a")
    gguf_files.write(tmp_path / "qwen.gguf", {}, {}, architecture="qwen2")
    with pytest.raises(ValueError, match=r"qwen.gguf.*architecture 'qwen2'; expected 'llama'"):
        train.train(sentences_config(data_dir, str(tmp_path / "qwen.gguf"), tokens), tmp_path / "a")
    with pytest.raises(ValueError, match="is a language_model; a language model needs the run"):
        train.train(sentences_config(data_dir, words, llmar), tmp_path / "b")
    one = tokens_config(data_dir, words, model__tokenizer__persons=1)
    with pytest.raises(ValueError, match="2 persons; the model reads 1"):
        train.train(one, tmp_path / "c")


def test_a_run_whose_language_model_has_changed(data_dir, words, tokens, llmar, tmp_path):
    shutil.copytree(llmar, tmp_path / "run")
    config = sentences_config(data_dir, words, tokens)
    (tmp_path / "run" / "metrics.jsonl").unlink()  # as if it had not finished
    path = tmp_path / "run" / "checkpoints"
    assert path.is_dir()
    changed = write_language_model(tmp_path / "changed", seed=3)
    kept = shutil.copy(f"{words}/model.safetensors", tmp_path / "kept")
    try:
        shutil.copy(f"{changed}/model.safetensors", words)
        with pytest.raises(ValueError, match=r"cannot be resumed: .* has other weights"):
            train.train(config, tmp_path / "run")
        with pytest.raises(ValueError, match=r"has other weights .* than the model's llama"):
            motionalign.load(llmar)
    finally:
        shutil.copy(kept, f"{words}/model.safetensors")


def test_evaluation_by_the_wrong_task(data_dir, llmar, tmp_path):
    done = command("--mode=eval", f"--checkpoint={llmar}", f"--config.data.data_dir={data_dir}",
                   "--config.task=labels", f"--workdir={tmp_path}")  # fmt: skip
    assert done.code == 1
    assert "evaluates a dual_encoder, but the model is a language_model" in done.stderr
