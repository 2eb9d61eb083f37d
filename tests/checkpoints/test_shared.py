"""Folders to share, and training that goes on from what is saved."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from runs import assert_same_bits, params, tiny_config

import motionalign
from configs import finetune
from motionalign import (
    evaluate,
    train,
)
from motionalign.checkpoints import shared as shared_module
from motionalign.checkpoints.run import LATEST, find
from motionalign.checkpoints.shared import open_saved, push_to_hub
from motionalign.checkpoints.workdir import results_beside
from motionalign.convert import main
from motionalign.inference.folder import encode_folder
from motionalign.models import build


@pytest.fixture(scope="module")
def trained(small_dataset, tmp_path_factory):
    """A run of one epoch, evaluated."""
    workdir = tmp_path_factory.mktemp("saved") / "run"
    config = tiny_config(small_dataset, epochs=1)
    assert train.train(config, workdir) == "finished"
    evaluate.evaluate_checkpoint(config, workdir, workdir)
    return workdir


@pytest.fixture(scope="module")
def shared(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shared") / "waver"
    return motionalign.load(trained).save_pretrained(
        folder, results_beside(trained, motionalign.load(trained).run["step"])
    )


def joints(count=3):
    rng = np.random.default_rng(0)
    return [rng.normal(size=(40 + i, 22, 3)) for i in range(count)]


# -------------------------------------------------------------------------------- folders to share


def test_a_shared_folder_computes_the_same(trained, shared):
    ours, theirs = motionalign.load(trained), motionalign.load(shared)
    assert_same_bits(ours.params, theirs.params)
    captions = ["a person waves", "someone walks"]
    np.testing.assert_array_equal(ours.encode_text(captions), theirs.encode_text(captions))
    clips = joints()
    np.testing.assert_array_equal(ours.encode_motion(clips, 20), theirs.encode_motion(clips, 20))
    assert ours.metadata().to_json() == theirs.metadata().to_json()
    assert_same_bits(motionalign.from_pretrained(shared).params, ours.params)


def test_what_a_shared_folder_holds(shared, trained):
    names = {path.name for path in shared.iterdir()}
    assert names == {
        "README.md", "config.json", "datasets.json", "model.safetensors", "tokenizer.json",
    }  # fmt: skip
    datasets = json.loads((shared / "datasets.json").read_text())
    assert datasets["small"]["skeleton_description"]["joint_names"][0] == "pelvis"
    card = (shared / "README.md").read_text()
    results = json.loads((trained / "metrics.json").read_text())
    assert f"{results['all']['t2m']['R@10']:.2f}" in card
    assert "small, split test" in card
    # No path of this machine.
    assert str(trained.parent) not in (shared / "config.json").read_text()
    assert (shared / "model.safetensors").stat().st_mode & 0o044 == 0o044


def test_evaluation_and_encoding_of_a_shared_folder(shared, trained, small_dataset, tmp_path):
    config = tiny_config(small_dataset)
    results = evaluate.evaluate_checkpoint(config, shared, tmp_path / "results")
    expected = json.loads((trained / "metrics.json").read_text())
    assert results["small"]["all"] == expected["all"]
    (tmp_path / "clips").mkdir()
    for i, clip in enumerate(joints()):
        np.save(tmp_path / "clips" / f"{i}.npy", clip)
    encode_folder(shared, tmp_path / "clips", tmp_path / "out.npz", fps=20)
    assert np.load(tmp_path / "out.npz")["embeddings"].shape == (3, 8)


def test_the_hub_as_it_caches(shared, tmp_path, monkeypatch):
    """A Hub id is read through huggingface_hub: here from its cache, offline."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    repo = tmp_path / "models--me--waver"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text("c" * 40)
    shutil.copytree(shared, repo / "snapshots" / ("c" * 40))
    assert_same_bits(motionalign.load("me/waver").params, motionalign.load(shared).params)
    with pytest.raises(ValueError, match=r"me/other is neither a local folder nor to be had from"):
        motionalign.load("me/other")


def test_pushing(shared, monkeypatch):
    import huggingface_hub

    calls = []

    class Api:
        def create_repo(self, repo, **options):
            calls.append((repo, options))

        def upload_folder(self, repo_id, folder_path):
            calls.append((repo_id, folder_path))
            return f"https://huggingface.co/{repo_id}"

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    assert push_to_hub(shared, "me/waver").endswith("me/waver")
    options = {"private": True, "exist_ok": True}
    assert calls == [("me/waver", options), ("me/waver", str(shared))]


def test_pushing_without_network(shared, monkeypatch):
    class ConnectError(Exception):
        """As the library's transport raises it."""

    def fail(*args, **options):
        raise ConnectError("no route to the host")

    monkeypatch.setattr("huggingface_hub.HfApi.create_repo", fail)
    with pytest.raises(ValueError, match=r"not be pushed to me/x: no route .* are you logged in"):
        push_to_hub(shared, "me/x")


def test_sharing_by_command(trained, tmp_path, capsys, monkeypatch):
    main(["share", str(trained), str(tmp_path / "out")])
    assert "motionalign.load(" in capsys.readouterr().out
    monkeypatch.setattr(
        shared_module, "push_to_hub", lambda folder, repo, private: f"{repo} {private}"
    )
    main(["push", str(tmp_path / "out"), "me/waver"])
    assert capsys.readouterr().out == "me/waver True\n"
    with pytest.raises(SystemExit, match="is already there"):
        main(["share", str(trained), str(tmp_path / "out")])


def test_the_latest_checkpoint_is_shared_too(trained, tmp_path):
    """It has no score."""
    main(["share", str(trained / "checkpoints"), str(tmp_path / "out")])
    assert "| checkpoint | step 4 |" in (tmp_path / "out" / "README.md").read_text()


def test_the_card_shows_no_other_checkpoints_scores(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    metrics = tmp_path / "run" / "metrics.json"
    metrics.write_text(json.dumps({**json.loads(metrics.read_text()), "step": 3}))
    main(["share", str(tmp_path / "run"), str(tmp_path / "out")])
    assert "Not evaluated yet" in (tmp_path / "out" / "README.md").read_text()
    # A checkpoint that somebody put into another run's folder.
    shutil.copytree(trained / "best", trained / "other")
    (step_dir,) = (trained / "other").glob("[0-9]*")
    assert results_beside(step_dir, 4) is None
    assert results_beside(next((trained / "best").glob("[0-9]*")), 4) is not None
    shutil.rmtree(trained / "other")


def test_a_failure_leaves_nothing_behind(trained, tmp_path, monkeypatch):
    def fail(*args):
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(shared_module, "model_card", fail)
    with pytest.raises(RuntimeError):
        motionalign.load(trained).save_pretrained(tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_misspelt_folders_are_no_hub_ids(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    with pytest.raises(ValueError, match=r"no checkpoint at .*runs/quikstart"):
        open_saved("runs/quikstart")
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    message = r"put config.json, datasets.json, model.safetensors and tokenizer.json of"
    with pytest.raises(ValueError, match=message):
        open_saved("me/model@refs/pr/1")


def test_a_model_from_before_families_had_names(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "old")
    (path,) = (tmp_path / "old" / "best").glob("*/run/metadata")
    run = json.loads(path.read_text())
    assert run["architecture"]["motion"].pop("family") == "vit"
    path.write_text(json.dumps(run))
    main(["share", str(tmp_path / "old"), str(tmp_path / "out")])
    assert_same_bits(motionalign.load(tmp_path / "out").params, motionalign.load(trained).params)


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        ("model.safetensors", lambda x: x[:-9], "is not a whole safetensors file"),
        ("config.json", lambda x: x[:40], "config.json is not JSON"),
        ("config.json", lambda x: x.replace(b'"motionalign"', b'"vit"'), "no checkpoint at"),
        ("datasets.json", lambda x: x.replace(b"pelvis", b"hips"), "describes a skeleton 'smpl22'"),
        ("config.json", lambda x: x.replace(b'"depth": 1', b'"depth": 2', 1), "do not fit the mod"),
        ("tokenizer.json", None, "has no tokenizer.json"),
    ],
)
def test_a_spoilt_shared_folder(shared, tmp_path, name, spoil, message):
    folder = tmp_path / "copy"
    shutil.copytree(shared, folder)
    if spoil is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(spoil((folder / name).read_bytes()))
    with pytest.raises(ValueError, match=message):
        motionalign.load(folder)


def test_a_converted_model_is_shared_with_all_its_tensors(test_data, tmp_path):
    golden = str(test_data / "golden" / "walktext_encoder.pt")
    flags = ["--skeleton=coco18", "--motion_heads=4"]
    main(["walktext", golden, str(tmp_path / "ours"), *flags])
    main(["share", str(tmp_path / "ours"), str(tmp_path / "shared")])
    for name in ("ours", "shared"):
        main(["export", str(tmp_path / name), str(tmp_path / f"from-{name}")])
    a, b = ((tmp_path / f"from-{name}/model.safetensors") for name in ("ours", "shared"))
    assert a.read_bytes() == b.read_bytes()


# --------------------------------------------------------------------------------- going on


def finetuning(path, data_dir, **fields):
    """configs/finetune.py with a tiny run's batches."""
    config = finetune.get_config(str(path))
    given = {name.replace("__", "."): value for name, value in fields.items()}
    tiny = {"data.data_dir": str(data_dir), "data.batch_size": 8, "data.eval_batch_size": 8}
    tiny |= {"data.frame_bucket": 96, "data.text_bucket": 48, "epochs": 1, "log_steps": 1}
    with config.unlocked():
        config.update_from_flattened_dict({**tiny, **given})
    return config


def test_training_goes_on_from_a_shared_folder(shared, small_dataset, tmp_path):
    config = finetuning(shared, small_dataset)
    assert config.data.datasets == "small"
    assert train.train(config, tmp_path / "on") == "finished"
    before, after = motionalign.load(shared).params, params(tmp_path / "on")
    steps = {path: np.abs(after[path] - before[path]).max() for path in before}
    assert 0 < max(steps.values()) < 5e-3  # it went on, and did not begin anew
    assert all(step > 0 for path, step in steps.items() if path.endswith("kernel"))
    tokenizer = (tmp_path / "on" / "tokenizer.json").read_text()
    assert tokenizer == (shared / "tokenizer.json").read_text()


def test_training_goes_on_from_a_converted_checkpoint(test_data, small_dataset, tmp_path):
    """Its tokenizer may have fewer tokens than its table rows."""
    from motionalign.data.tokenizer import train_wordpiece

    (tmp_path / "tokenizer.json").write_text(train_wordpiece(["a person walks"], 60))
    golden = test_data / "golden"
    flags = ["--motion_heads=4", "--dataset=small", f"--data_dir={small_dataset}"]
    flags += [f"--text_config={golden / 'motionpatches_clip_text_config.json'}"]
    flags += [f"--tokenizer={tmp_path}"]
    source, out = str(golden / "motionpatches_clip.pt"), str(tmp_path / "ours")
    main(["motionpatches", source, out, *flags])
    config = finetuning(out, small_dataset)
    assert train.train(config, tmp_path / "on") == "finished"
    before, after = motionalign.load(out).params, params(tmp_path / "on")
    assert after["text_encoder/tokens"].shape == (500, 48)
    steps = {path: np.abs(after[path] - before[path]).max() for path in before}
    assert 0 < max(steps.values()) < 5e-3


def test_frozen_towers_keep_no_optimizer_state(trained, small_dataset, tmp_path):
    frozen = {f"optim__groups__{name}__lr": 0.0 for name in ("motion_encoder", "text_encoder")}
    config = finetuning(trained, small_dataset, **frozen)
    assert train.train(config, tmp_path / "on") == "finished"
    before, after = motionalign.load(trained).params, params(tmp_path / "on")
    for path in before:
        changed = not np.array_equal(before[path], after[path])
        assert changed == (not path.startswith(("motion_encoder/", "text_encoder/"))), path
    step_dir = find(tmp_path / "on", LATEST)
    with ocp.PyTreeCheckpointer() as checkpointer:
        tree = checkpointer.metadata(step_dir / "optimizer").item_metadata.tree
    kept = [jax.tree_util.keystr(keys) for keys, _ in jax.tree_util.tree_leaves_with_path(tree)]
    assert any("motion_head/hidden/kernel" in path for path in kept)
    assert not any("motion_encoder/" in path or "text_encoder/" in path for path in kept)


def test_towers_of_weights_are_in_memory_once(shared, small_dataset):
    """Nothing is drawn for what weights fill."""
    from motionalign import sharding
    from motionalign.models.network import Network

    config = finetuning(shared, small_dataset)
    network = Network(train.resolve_architecture(config))

    class NoDraws(Network):
        def init(self, seed):
            raise AssertionError("drew parameters that the weights fill")

    no_draws = NoDraws(network.config)
    loaded = train.init_params(no_draws, config, sharding.make_mesh())
    assert_same_bits(loaded, motionalign.load(shared).params)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("model__motion__depth", 2, "model.motion.depth is 2, the weights have 1"),
        ("model__motion__pool", "class", "model.motion.pool is 'class', the weights have 'mean'"),
        ("model__motion__size", "Ti", "model.motion.width is 192, the weights have 16"),
        ("model__embed_dim", 16, "model.embed_dim is 16, the weights have 8"),
        ("model__text__family", "distilbert", "model.text.family is 'distilbert'"),
        ("model__motion__weights", "x/y", "brings both towers; take model.motion.weights away"),
        ("model__text__max_tokens", 500, "max_tokens is 500; .* has 48 positions"),
    ],
)
def test_a_config_that_contradicts_the_weights(shared, small_dataset, field, value, message):
    with pytest.raises(ValueError, match=message):
        train.resolve_architecture(finetuning(shared, small_dataset, **{field: value}))


def test_what_may_change(shared, small_dataset):
    changed = {"model__motion__padding": "attend", "model__head_dropout": 0.3}
    changed |= {"model__text__dropout": 0.2, "model__learn_temperature": False}
    config = train.resolve_architecture(finetuning(shared, small_dataset, **changed))
    assert (config.motion.padding, config.head_dropout) == ("attend", 0.3)
    assert (config.text.dropout, config.text.attention_dropout) == (0.2, 0.2)
    assert not config.learn_temperature


def test_sections_say_what_architectures_are():
    section = {
        "motion": {"size": "custom", "width": 24, "depth": 2, "heads": 3},
        "text": {"family": "bert", "width": 16, "depth": 1, "heads": 2, "vocab_size": 50},
    }
    config = build.resolve(section)
    again = {**build.section_of(config), "weights": "x"}
    assert build.resolve(again, config) == config
    uneven = dataclasses.replace(config, text=dataclasses.replace(config.text, dropout=0.3))
    again = {**build.section_of(uneven), "weights": "x"}
    assert again["text"]["dropout"] is None
    assert build.resolve(again, uneven) == uneven


def test_finetuning_needs_a_model():
    with pytest.raises(ValueError, match=r"--config=configs/finetune.py:FOLDER"):
        finetune.get_config()
