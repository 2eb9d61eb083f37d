"""Frozen towers: not in optimizer or checkpoint, own dtype, referred to by source and hash."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import load_file, save_file
from small_network import CONFIG, abstract, batch, begin

from motionalign.checkpoints.run import Checkpoints
from motionalign.models import bert
from motionalign.models.dual_encoder import DualEncoder
from motionalign.models.frozen import FrozenWeights
from motionalign.models.network import Network
from motionalign.models.weights import keymap


def frozen_network(folder, dtype="bfloat16") -> Network:
    """A network whose text encoder refers to a file of random BERT weights."""
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


def test_a_frozen_tower_is_stored_as_a_reference(tmp_path):
    network = frozen_network(tmp_path / "bert")
    assert not any(path.startswith("text_encoder/") for path in network.abstract_params)
    assert {leaf.dtype for leaf in network.abstract_frozen.values()} == {jnp.dtype(jnp.bfloat16)}
    state, step = begin(network)
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


def test_a_checkpoint_does_not_contain_a_frozen_tower(tmp_path):
    network = frozen_network(tmp_path / "bert")
    state, _ = begin(network)
    checkpoints = Checkpoints(tmp_path / "run")
    checkpoints.save_latest(1, state, {}, {})
    restored = checkpoints.restore_latest(abstract(network))[1]
    checkpoints.close()
    assert restored["params"].keys() == network.abstract_params.keys()
    assert "frozen" not in restored
    assert not any("text_encoder" in str(path) for path in (tmp_path / "run").rglob("*"))


class Adapted(DualEncoder):
    """A dual encoder with an adapter in its text encoder that the weights do not contain."""

    def __init__(self, config, dtype=jnp.float32, *, rngs):
        super().__init__(config, dtype, rngs=rngs)
        self.text_encoder.adapter = nnx.Linear(8, 8, dtype=dtype, rngs=rngs)

    def encode_text(self, input_ids, text_mask, rngs=None):
        features = self.text_encoder(input_ids, text_mask, rngs, tokens=False).pooled
        return self.text_head(features + self.text_encoder.adapter(features), rngs)


def test_an_adapter_of_a_frozen_tower_is_trained(tmp_path):
    """It has optimizer state, is float32, and is stored in the checkpoint."""
    tower = dataclasses.replace(frozen_network(tmp_path / "bert").frozen[0], trained="adapter/.*")
    network = Network(CONFIG, module=Adapted, frozen=(tower,))
    adapter = {f"text_encoder/adapter/{leaf}" for leaf in ("kernel", "bias")}
    assert {p for p in network.abstract_params if p.startswith("text_encoder/")} == adapter
    assert not adapter & set(network.abstract_frozen)
    state, step = begin(network)
    assert state["frozen"].keys() == network.abstract_frozen.keys()
    before = {path: np.asarray(state["params"][path]) for path in adapter}
    state, _ = step(state, jnp.int32(0), batch())
    for path, old in before.items():
        assert state["params"][path].dtype == jnp.float32
        assert np.abs(np.asarray(state["params"][path]) - old).max() > 0
    checkpoints = Checkpoints(tmp_path / "run")
    checkpoints.save_latest(1, state, {}, {})
    restored = checkpoints.restore_latest(abstract(network))[1]
    checkpoints.close()
    assert restored["params"].keys() == network.abstract_params.keys()
    assert adapter <= restored["params"].keys()


def test_weights_that_differ_from_the_reference(tmp_path):
    network = frozen_network(tmp_path / "bert")
    tensors = load_file(tmp_path / "bert" / "model.safetensors")
    first = next(iter(tensors))
    save_file(tensors | {first: tensors[first] + 1}, tmp_path / "bert" / "model.safetensors")
    with pytest.raises(
        ValueError, match=r"bert has other weights .* text_encoder was trained with"
    ):
        network.load_frozen(network.abstract_frozen)
    gone = dataclasses.replace(network.frozen[0], source=str(tmp_path / "gone" / "away" / "far"))
    with pytest.raises(ValueError, match="which the checkpoint refers to without storing it"):
        Network(CONFIG, frozen=(gone,)).load_frozen(network.abstract_frozen)
    with pytest.raises(ValueError, match="refers to frozen weights of its text_encoder"):
        CONFIG.key_map("motion_encoder")
