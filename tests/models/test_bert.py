"""BERT: names of its tensors in other files, and the real all-MiniLM; see also test_towers.py."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from flax import nnx
from reference import eager, masked_mean, run, transformers
from towers import BERT

from motionalign.models import bert, layers
from motionalign.models.weights.load import load_tokenizer


def test_tensorflow_names_of_layer_norm(tmp_path):
    from safetensors.numpy import load_file, save_file

    BERT.save(tmp_path)
    ours = nnx.state(BERT.load(tmp_path))
    tensors = load_file(tmp_path / "model.safetensors")
    names = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    for torch_name, tensorflow_name in names.items():
        tensors = {key.replace(torch_name, tensorflow_name): x for key, x in tensors.items()}
    assert sum("gamma" in key for key in tensors) == 5
    save_file(tensors, tmp_path / "model.safetensors")
    jax.tree.map(np.testing.assert_array_equal, ours, nnx.state(BERT.load(tmp_path)))


def test_relative_positions_are_refused():
    values = {**bert.config_to_hf(BERT.config), "position_embedding_type": "relative_key"}
    with pytest.raises(ValueError, match="='relative_key'; only 'absolute' is supported"):
        bert.config_from_hf(values)


@pytest.fixture(scope="module")
def real(minilm):
    """(ids, mask, hidden states) of three captions by transformers' all-MiniLM."""
    captions = ["a person walks forward and waves twice", "someone sits down", "Jumps!"]
    ids, mask = load_tokenizer(minilm, 64).encode(captions)
    model = transformers.AutoModel.from_pretrained(minilm, attn_implementation="eager").eval()
    states = reference.hidden_states(
        model, input_ids=ids.astype(np.int64), attention_mask=mask.astype(np.int64)
    )
    return ids, mask, states


@pytest.mark.parametrize(("readout", "dtype"), [("first", "bfloat16"), ("mean", "float32")])
def test_real_minilm_equals_transformers(minilm, real, readout, dtype):
    ids, mask, states = real
    last = states[-1]
    expected = last[:, 0] if readout == "first" else masked_mean(last, mask)
    model = BERT.load(minilm, jnp.dtype(dtype), readout=readout)
    # Compiled once; its layers in float32 are for the next test too.
    out = (run if dtype == "bfloat16" else eager)(model.__call__, ids, mask)
    assert (out.pooled.dtype, out.tokens.dtype) == (dtype, dtype)
    atol = 1e-4 if dtype == "float32" else 0.05
    np.testing.assert_allclose(out.pooled.astype(np.float32), expected, atol=atol)
    atol = 1e-4 if dtype == "float32" else 0.15
    np.testing.assert_allclose(out.tokens.astype(np.float32)[mask], last[mask], atol=atol)


def test_real_minilm_layer_by_layer(minilm, real):
    ids, mask, expected = real
    model = BERT.load(minilm, readout="first")
    x = eager(model.embed, ids)
    bias = layers.attention_bias(jnp.asarray(mask))
    assert len(model.blocks) == len(expected) - 1 == 6
    for block, before, after in zip(model.blocks, expected, expected[1:]):
        np.testing.assert_allclose(x, before, atol=1e-4)
        x = eager(block.__call__, x, bias)
        np.testing.assert_allclose(x, after, atol=1e-4)
    out = eager(model.__call__, ids, mask)
    np.testing.assert_allclose(out.pooled, expected[-1][:, 0], atol=1e-4)
