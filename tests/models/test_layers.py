"""Layers that the encoders share."""

import jax.numpy as jnp
import numpy as np
import pytest
import reference
from flax import nnx
from reference import eager
from towers import CLIP_TEXT, DISTILBERT, MPNET

from motionalign.models import layers


@pytest.mark.parametrize("tower", [CLIP_TEXT, DISTILBERT, MPNET], ids=["pre", "distilbert", "post"])
def test_a_block_computes_the_same_first_tokens_alone(tower):
    """With one bias per query, and with one for all queries."""
    ids, mask = tower.inputs
    model = tower.build()
    x = eager(model.embed, ids)
    seen = np.tril(np.ones((13, 13), bool)) & mask[:, None]
    causal = np.where(seen, 0.0, np.finfo(np.float32).min).astype(np.float32)[:, None]
    biases = [layers.attention_bias(jnp.asarray(mask)), None]
    if tower is not DISTILBERT:
        biases.append(causal)
    for bias in biases:
        whole = eager(model.blocks[0].__call__, x, bias)
        first = eager(model.blocks[0].__call__, x, bias, first=1)
        np.testing.assert_allclose(first, whole[:, :1], rtol=1e-5, atol=1e-5)


def test_masked_mean():
    x = np.random.default_rng(0).normal(size=(3, 13, 24)).astype(np.float32)
    mask = np.arange(13) < np.array([[13], [4], [0]])
    found = np.asarray(layers.masked_mean(x, jnp.asarray(mask)))
    expected = reference.masked_mean(x[:2], mask[:2])
    np.testing.assert_allclose(found[:2], expected, atol=1e-6)
    np.testing.assert_array_equal(found[2], 0.0)  # of a clip without any token
    np.testing.assert_allclose(layers.masked_mean(jnp.asarray(x), None), x.mean(1), atol=1e-6)


def test_no_mask_gives_no_bias():
    assert layers.attention_bias(None) is None


def test_dropout_keeps_the_mean():
    x = jnp.full((200, 300), 2.0)
    out = layers.dropout(x, 0.1, nnx.Rngs(dropout=0))
    assert np.mean(out == 0) == pytest.approx(0.1, abs=0.005)
    np.testing.assert_allclose(out[out != 0], 2.0 / 0.9, rtol=1e-6)
    assert layers.dropout(x, 0.1, None) is x
