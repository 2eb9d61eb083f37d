"""Fine-tuning saved models with configs/finetune.py."""

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from runs import assert_same_bits, params

import motionalign
from motionalign import sharding, step, train
from motionalign.checkpoints.run import LATEST, find
from motionalign.checkpoints.shared import open_saved
from motionalign.configs import finetune
from motionalign.convert import main
from motionalign.data.tokenizer import train_wordpiece
from motionalign.models.network import Network
from motionalign.tasks.objectives import OBJECTIVES
from motionalign.tasks.registry import TASKS

pytestmark = pytest.mark.usefixtures("one_device")


def finetuning(path, data_dir, **fields):
    """configs/finetune.py with a tiny run's batches."""
    config = finetune.get_config(str(path))
    given = {name.replace("__", "."): value for name, value in fields.items()}
    tiny = {"data.data_dir": str(data_dir), "data.batch_size": 8, "data.eval_batch_size": 8}
    tiny |= {"data.frame_bucket": 96, "data.text_bucket": 48, "epochs": 1, "log_steps": 1}
    with config.unlocked():
        config.update_from_flattened_dict({**tiny, **given})
    return config


def architecture_of(config):
    task = TASKS[config.task](config)
    objective = OBJECTIVES[config.loss.kind](config.loss, task.has_classes)
    return train.resolve_architecture(config, task, objective, open_saved(config.model.weights))


def test_finetuning_from_a_shared_folder(shared, small_dataset, tmp_path):
    config = finetuning(shared, small_dataset)
    assert config.data.datasets == "small"
    assert train.train(config, tmp_path / "on") == "finished"
    before, after = motionalign.load(shared).params, params(tmp_path / "on")
    steps = {path: np.abs(after[path] - before[path]).max() for path in before}
    assert 0 < max(steps.values()) < 5e-3  # it went on, and did not begin anew
    assert all(step > 0 for path, step in steps.items() if path.endswith("kernel"))
    tokenizer = (tmp_path / "on" / "tokenizer.json").read_text()
    assert tokenizer == (shared / "tokenizer.json").read_text()


def test_finetuning_from_a_converted_checkpoint(test_data, small_dataset, tmp_path):
    """Its tokenizer may have fewer tokens than its table rows."""
    (tmp_path / "tokenizer.json").write_text(train_wordpiece(["a person walks"], 60))
    golden = test_data / "golden"
    flags = ["--motion_heads=4", "--dataset=small", f"--data_dir={small_dataset}"]
    flags += [f"--text_config={golden / 'motionpatches_clip_text_config.json'}"]
    flags += [f"--tokenizer={tmp_path}"]
    source, out = str(golden / "motionpatches_clip.pt"), str(tmp_path / "ours")
    main(["motionpatches", source, out, *flags])
    config = finetuning(out, small_dataset, data__frame_bucket=32)  # its padding is attended to
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


def test_pretrained_towers_are_in_memory_only_once(shared, small_dataset):
    """No random values are drawn for parameters that weights fill."""
    config = finetuning(shared, small_dataset)
    network = Network(architecture_of(config))

    class NoDraws(Network):
        def init(self, seed):
            raise AssertionError("drew parameters that the weights fill")

    no_draws = NoDraws(network.config)
    shapes = sharding.abstract(network.abstract_params, sharding.make_mesh())
    loaded = step.init_params(no_draws, config, shapes, open_saved(shared))
    assert_same_bits(loaded, motionalign.load(shared).params)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("model__motion__depth", 2, "model.motion.depth is 2, the weights have 1"),
        ("model__motion__pool", "class", "model.motion.pool is 'class', the weights have 'mean'"),
        ("model__motion__size", "Ti", "model.motion.width is 192, the weights have 16"),
        ("model__embed_dim", 16, "model.embed_dim is 16, the weights have 8"),
        ("model__text__family", "distilbert", "model.text.family is 'distilbert'"),
        (
            "model__motion__weights",
            "x/y",
            "already provides both encoders; remove model.motion.weights",
        ),
        ("model__text__max_tokens", 500, "max_tokens is 500; .* has 48 positions"),
    ],
)
def test_a_config_that_contradicts_the_weights(shared, small_dataset, field, value, message):
    with pytest.raises(ValueError, match=message):
        architecture_of(finetuning(shared, small_dataset, **{field: value}))


def test_fields_that_may_change(shared, small_dataset):
    changed = {"model__motion__padding": "attend", "model__head_dropout": 0.3}
    changed |= {"model__text__dropout": 0.2, "model__learn_temperature": False}
    config = architecture_of(finetuning(shared, small_dataset, **changed))
    assert (config.motion.padding, config.head_dropout) == ("attend", 0.3)
    assert (config.text.dropout, config.text.attention_dropout) == (0.2, 0.2)
    assert not config.learn_temperature


def test_finetuning_needs_a_model():
    with pytest.raises(ValueError, match=r"--config=configs/finetune.py:FOLDER"):
        finetune.get_config()
