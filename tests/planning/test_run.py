"""A run as shapes equals the run that training sets up from data and weights."""

import json

import jax
import numpy as np
import pytest
from runs import one_device, tiny_config
from test_class_runs import small
from test_token_runs import config_of

from motionalign import launch, sharding, train
from motionalign.configs import babel60_gaitformer, humanml3d_vit, ntu60_llmar
from motionalign.planning import run as planning
from motionalign.planning import stand_ins


def described(tree):
    return jax.tree.map(lambda leaf: (leaf.shape, str(leaf.dtype), leaf.sharding.spec), tree)


def same_as_training(config, workdir, tokens=None):
    """Compares state and batch with those of a run that is set up; returns both."""
    with one_device():
        run = train.set_up(config, workdir)
    planned = planning.plan(config, jax.devices()[:1], tokens)
    assert planned.is_prepared
    assert described(planned.state) == described(run.abstract_state)
    batch = run.batches[0]
    shapes = planned.batch(config.data.batch_size, training=True)
    assert {name: each.dtype for name, each in batch.items()} == {
        name: each.dtype for name, each in shapes.items()
    }
    return batch, shapes


def test_motions_and_captions(small_dataset, tmp_path):
    config = tiny_config(small_dataset)
    batch, shapes = same_as_training(config, tmp_path / "run")
    frames = shapes["patches"].shape[1]
    assert frames == config.model.motion.max_frames > batch["patches"].shape[1]  # as long as any
    assert batch.pop("patches").shape[2:] == shapes.pop("patches").shape[2:]
    assert {name: each.shape for name, each in shapes.items()} == {
        name: each.shape for name, each in batch.items()
    }


def test_texts_are_padded_as_in_training(small_dataset):
    config = tiny_config(small_dataset, data__text_bucket=8)
    lengths = [
        planning.plan(config, jax.devices()[:1], tokens).tokens for tokens in (1, 8, 9, 500, None)
    ]
    assert lengths == [8, 8, 16, config.model.text.max_tokens, config.model.text.max_tokens]


def test_motion_tokens(small_dataset, tmp_path):
    batch, shapes = same_as_training(config_of(small_dataset), tmp_path / "run")
    assert {name: each.shape for name, each in shapes.items()} == {
        name: each.shape for name, each in batch.items()
    }


def test_steps_of_a_classifier(tmp_path):
    config = small(babel60_gaitformer.get_config("classify,joints"), tmp_path)
    planned = planning.plan(config, jax.devices()[:2])
    batch = planned.batch(16, training=True)
    assert batch["targets"].shape == (16,)
    assert batch["targets"].sharding == sharding.batch_sharding(planned.mesh)
    assert set(planned.steps()) == {"train", "encode motions"}


# Fine-tuning starts from a run. UTD-MHAD's and SBU's language models are planned as NW-UCLA's.
OTHERS = ("finetune", "utd_mhad_llmar", "sbu_llmar")
SHIPPED = [path for path in launch.shipped_configs() if not any(name in path for name in OTHERS)]


@pytest.mark.parametrize("path", SHIPPED)
def test_every_installed_config_without_data(path, tmp_path):
    """With nothing prepared or downloaded; those of own datasets say what is missing."""
    name = path.removeprefix("configs/").removesuffix(".py")
    config = __import__(f"motionalign.configs.{name}", fromlist=["get_config"]).get_config()
    with config.unlocked():
        config.data.data_dir = str(tmp_path)
    if config.data.datasets in stand_ins.LAYOUTS:
        planned = planning.plan(config, jax.devices()[:1])
        assert not planned.is_prepared
        assert sum(np.prod(leaf.shape) for leaf in planned.state["params"].values()) > 1e5
    else:
        with pytest.raises(ValueError, match=f"{config.data.datasets}' is not in .*: prepare it"):
            planning.plan(config, jax.devices()[:1])


def test_sizes_of_published_towers(tmp_path):
    config = humanml3d_vit.get_config("paper").unlock()
    config.data.data_dir = str(tmp_path)
    params = planning.plan(config, jax.devices()[:1]).state["params"]
    size = {
        tower: sum(leaf.size for path, leaf in params.items() if path.startswith(tower))
        for tower in ("motion_encoder", "text_encoder")
    }
    # DistilBERT as its model card says; ViT-B/16 without classifier, 196 positions and pooler.
    assert size["text_encoder"] == 66_362_880
    assert 85.6e6 < size["motion_encoder"] < 86e6


def test_a_frozen_language_model_has_no_moments(tmp_path):
    config = ntu60_llmar.get_config("7b").unlock()
    config.data.data_dir = str(tmp_path)
    state = planning.plan(config, jax.devices()[:1]).state
    frozen = sharding.bytes_of(state["frozen"])[0]
    assert frozen == 2 * 6_738_415_616  # LLaMA-2-7B in bfloat16
    adapters = sum(leaf.size for path, leaf in state["params"].items() if "lora" in path)
    assert 8 * adapters <= sharding.bytes_of(state["optimizer"])[0] < 8 * adapters + 1e6


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"data.batch_size": 3}, "config.data.batch_size=3 is not a multiple of the 2 devices"),
        ({"mesh.model": 3}, "config.mesh.model=3 must divide .* 2"),
        ({"data.datasets": "mine"}, "'mine' is not in .*, and its sizes are not known"),
        ({"data.datasets": "small,mine"}, "'mine' is not in .*, and its sizes are not known"),
    ],
)
def test_a_run_that_cannot_be_planned(small_dataset, fields, message):
    config = tiny_config(small_dataset)
    with config.unlocked():
        config.update_from_flattened_dict(fields)
    with pytest.raises(ValueError, match=message):
        planning.plan(config, jax.devices()[:2])


def test_sizes_that_weights_contradict(tmp_path):
    """Those on the Hub are not asked: their sizes are those of the config."""
    config = humanml3d_vit.get_config("Ti").unlock()
    config.data.data_dir = str(tmp_path)
    sizes = {"hidden_size": 192, "num_attention_heads": 3, "intermediate_size": 768}
    about = {"model_type": "vit", "num_hidden_layers": 11, **sizes}
    (tmp_path / "config.json").write_text(json.dumps(about))
    for weights, message in [
        (str(tmp_path), r"has depth 11, but model.motion asks for 12 \(size='Ti'\)"),
        ("runs/of/mine", "'runs/of/mine' is neither an existing folder or file nor a Hub id"),
    ]:
        config.model.motion.weights = weights
        with pytest.raises(ValueError, match=message):
            planning.plan(config, jax.devices()[:1])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model.weights": None}, "set config.model.weights to the run of a motion tokenizer"),
        ({"data.datasets": "humanml3d"}, "'humanml3d' has no actions to name"),
        ({"model.language.instruction": "What is it?"}, "a text that contains {motion} once"),
    ],
)
def test_a_language_model_that_cannot_be_planned(tmp_path, fields, message):
    config = ntu60_llmar.get_config().unlock()
    config.data.data_dir = str(tmp_path)
    config.update_from_flattened_dict(fields)
    with pytest.raises(ValueError, match=message):
        planning.plan(config, jax.devices()[:1])


def test_a_length_of_texts_where_there_are_none(tmp_path):
    config = small(babel60_gaitformer.get_config("classify,joints"), tmp_path)
    with pytest.raises(ValueError, match="--tokens has no effect"):
        planning.plan(config, jax.devices()[:1], 16)


def test_a_motion_tokenizer_that_no_config_describes(tmp_path):
    config = ntu60_llmar.get_config().unlock()
    config.model.weights, config.data.data_dir = "runs/mine", str(tmp_path)
    with pytest.raises(ValueError, match=r"runs/mine is not there, .* such as runs/ntu60_tokens"):
        planning.plan(config, jax.devices()[:1])
