"""Networks as pure functions: state that is no parameter, frozen towers, Flax's switch."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from runs import tiny_config
from safetensors.numpy import load_file, save_file

from motionalign import sharding, train
from motionalign.checkpoints.run import Checkpoints
from motionalign.models import bert
from motionalign.models.dual_encoder import DualEncoder, DualEncoderConfig
from motionalign.models.frozen import FrozenWeights
from motionalign.models.network import Network
from motionalign.models.vit import ViTConfig
from motionalign.models.weights import keymap
from motionalign.tasks.objectives import OBJECTIVES

MOTION = ViTConfig(width=8, depth=1, heads=2, mlp_width=8, patch_size=8, max_frames=16)
TEXT = bert.BertConfig(
    vocab_size=30, width=8, depth=1, heads=2, mlp_width=8, max_positions=6, dropout=0.0
)
CONFIG = DualEncoderConfig(motion=MOTION, text=TEXT, embed_dim=4, max_tokens=6, head_dropout=0.0)


class Steps(nnx.Variable):
    """State that is no parameter."""


class Counting(DualEncoder):
    """A dual encoder that counts its forward passes in training."""

    def __init__(self, config, dtype=jnp.float32, *, rngs):
        super().__init__(config, dtype, rngs=rngs)
        self.steps = Steps(jnp.zeros((), jnp.int32))

    def __call__(self, batch, rngs=None):
        self.steps[...] = self.steps[...] + 1
        return super().__call__(batch, rngs)


def batch(size=4):
    rng = np.random.default_rng(0)
    return {
        "patches": rng.normal(size=(size, 16, 40, 3)).astype(np.float16),
        "num_frames": np.full(size, 16, np.int32),
        "input_ids": rng.integers(0, 30, (size, 6)).astype(np.int32),
        "text_mask": np.ones((size, 6), bool),
    }


@pytest.fixture
def make_step(tmp_path):
    """(network) to (state, train step) of a contrastive run on one device."""

    def make(network):
        config = tiny_config(tmp_path)
        mesh = sharding.mesh_of(jax.devices()[:1], 1, 1)
        optimizer = optax.sgd(0.1)
        objective = OBJECTIVES["contrastive"](config.loss, has_classes=False)
        state = train.init_state(network, optimizer, config, mesh)
        return state, train.make_train_step(network, objective, optimizer, config, mesh)

    return make


def test_state_that_is_no_parameter(make_step, tmp_path):
    network = Network(CONFIG, module=Counting)
    assert network.abstract_rest.keys() == {"steps"}
    assert "steps" not in network.abstract_params
    state, step = make_step(network)
    for number in range(3):
        state, _ = step(state, jnp.int32(number), batch())
    assert int(state["rest"]["steps"]) == 3

    checkpoints = Checkpoints(tmp_path)
    checkpoints.save_latest(3, state, {}, {})
    mesh = sharding.mesh_of(jax.devices()[:1], 1, 1)
    abstract = train.abstract_state(network, optax.sgd(0.1), mesh)
    assert int(checkpoints.restore_latest(abstract)[1]["rest"]["steps"]) == 3
    checkpoints.close()


def frozen_network(folder, dtype="bfloat16") -> Network:
    """A network whose text tower is a file of random BERT weights, referred to."""
    plain = Network(CONFIG)
    params = {
        path.removeprefix("text_encoder/"): np.asarray(value)
        for path, value in plain.init(1).items()
        if path.startswith("text_encoder/")
    }
    folder.mkdir(exist_ok=True)
    save_file(keymap.export(params, bert.key_map()), folder / "model.safetensors")
    tower = FrozenWeights.of("text_encoder", str(folder), dtype)
    return Network(CONFIG, frozen=(tower,))


def test_a_frozen_tower_is_referred_to(make_step, tmp_path):
    network = frozen_network(tmp_path / "bert")
    assert not any(path.startswith("text_encoder/") for path in network.abstract_params)
    assert {leaf.dtype for leaf in network.abstract_frozen.values()} == {jnp.dtype(jnp.bfloat16)}
    state, step = make_step(network)
    before = jax.tree.map(np.asarray, state["frozen"])
    trained = np.asarray(state["params"]["text_head/projection/kernel"])
    state, scalars = step(state, jnp.int32(0), batch())
    assert np.isfinite(scalars["loss"])
    for path, value in state["frozen"].items():  # in its own dtype, and unchanged
        assert value.dtype == jnp.bfloat16
        np.testing.assert_array_equal(np.asarray(value), before[path])
    assert np.abs(np.asarray(state["params"]["text_head/projection/kernel"]) - trained).max() > 0


def test_a_frozen_tower_computes_what_its_own_parameters_would(tmp_path):
    network, data = frozen_network(tmp_path / "bert", "float32"), batch()
    params, frozen = network.init(0), network.load_frozen(network.abstract_frozen)
    drawn = Network(CONFIG).init(1)  # of which the file was made
    own = {path: drawn[path] for path in frozen}
    texts = (data["input_ids"], data["text_mask"])
    expected = Network(CONFIG).bind({**params, **own}).encode_text(*texts)
    found = network.bind({**params, **frozen}).encode_text(*texts)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_checkpoint_does_not_hold_a_frozen_tower(make_step, tmp_path):
    network = frozen_network(tmp_path / "bert")
    state, _ = make_step(network)
    checkpoints = Checkpoints(tmp_path / "run")
    checkpoints.save_latest(1, state, {}, {})
    mesh = sharding.mesh_of(jax.devices()[:1], 1, 1)
    abstract = train.abstract_state(network, optax.sgd(0.1), mesh)
    restored = checkpoints.restore_latest(abstract)[1]
    checkpoints.close()
    assert restored["params"].keys() == network.abstract_params.keys()
    assert "frozen" not in restored
    assert not any("text_encoder" in str(path) for path in (tmp_path / "run").rglob("*"))


def test_other_weights_than_those_referred_to(tmp_path):
    network = frozen_network(tmp_path / "bert")
    tensors = load_file(tmp_path / "bert" / "model.safetensors")
    first = next(iter(tensors))
    save_file(tensors | {first: tensors[first] + 1}, tmp_path / "bert" / "model.safetensors")
    with pytest.raises(ValueError, match=r"bert has other weights .* text_encoder refers to"):
        network.load_frozen(network.abstract_frozen)
    gone = dataclasses.replace(network.frozen[0], source=str(tmp_path / "gone" / "away" / "far"))
    with pytest.raises(ValueError, match="which the checkpoint refers to and does not hold"):
        Network(CONFIG, frozen=(gone,)).load_frozen(network.abstract_frozen)
    with pytest.raises(ValueError, match="refers to weights of its text_encoder"):
        CONFIG.key_map("motion_encoder")
