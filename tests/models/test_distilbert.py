"""DistilBERT against Hugging Face's, layer by layer and whole, weights through the real loader."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
import reference
from flax import nnx
from reference import masked_mean, run, text_batch, transformers

from motionalign.models import distilbert, layers

CONFIG = distilbert.DistilBertConfig(
    vocab_size=50, width=24, depth=2, heads=4, mlp_width=40, max_positions=20
)


def save(folder, activation="gelu", model_class="DistilBertModel"):
    config = transformers.DistilBertConfig(
        dim=24,
        n_layers=2,
        n_heads=4,
        hidden_dim=40,
        vocab_size=50,
        max_position_embeddings=20,
        activation=activation,
    )
    return reference.save_random(folder, model_class, config)


def load(folder, **ours):
    return reference.load(folder, distilbert, distilbert.DistilBert, **ours)


def hidden_states(model, ids, mask):
    return reference.hidden_states(
        model, input_ids=ids.astype(np.int64), attention_mask=mask.astype(np.int64)
    )


@pytest.mark.parametrize(
    ("activation", "model_class"),
    [
        ("gelu", "DistilBertForMaskedLM"),
        ("gelu", "DistilBertModel"),
        ("relu", "DistilBertForSequenceClassification"),
    ],
)
def test_layers_and_whole_equal_hugging_face(tmp_path, activation, model_class):
    ids, mask = text_batch(50)
    expected = hidden_states(save(tmp_path, activation, model_class), ids, mask)
    model = load(tmp_path)
    assert model.config == dataclasses.replace(CONFIG, activation=activation)

    np.testing.assert_allclose(run(model.embed, ids), expected[0], rtol=1e-5, atol=1e-5)
    bias = layers.attention_bias(jnp.asarray(mask))
    for block, before, after in zip(model.blocks, expected, expected[1:]):
        np.testing.assert_allclose(
            run(block.__call__, before, bias)[mask], after[mask], rtol=1e-5, atol=1e-5
        )
    out = run(model.__call__, ids, mask)
    np.testing.assert_allclose(out, expected[-1][:, 0], atol=1e-4)
    out = run(load(tmp_path, readout="mean").__call__, ids, mask)
    np.testing.assert_allclose(out, masked_mean(expected[-1], mask), atol=1e-4)


@pytest.mark.parametrize("wrong", [{"activation": "gelu_new"}, {"norm_eps": 1e-6}])
def test_the_comparison_notices_a_wrong_gelu_or_epsilon(tmp_path, wrong):
    ids, mask = text_batch(50)
    expected = hidden_states(save(tmp_path), ids, mask)[-1][:, 0]
    model = load(tmp_path)
    wrong_config = dataclasses.replace(model.config, **wrong)
    wrong_model = reference.build(wrong_config, distilbert.DistilBert, nnx.state(model))
    assert np.abs(run(wrong_model.__call__, ids, mask) - expected).max() > 2e-4


@pytest.mark.parametrize("readout", ["first", "mean"])
def test_padding_changes_nothing(readout):
    config = dataclasses.replace(CONFIG, readout=readout)
    model = reference.build(config, distilbert.DistilBert)
    ids, mask = text_batch(50, lengths=(13, 7))
    together = run(model.__call__, ids, mask)
    alone = run(model.__call__, ids[1:, :7], mask[1:, :7])
    np.testing.assert_allclose(together[1], alone[0], atol=1e-5)


def test_dropout_sites_are_hugging_faces(monkeypatch):
    config = dataclasses.replace(CONFIG, dropout=0.1, attention_dropout=0.2, readout="mean")
    model = reference.build(config, distilbert.DistilBert)
    hidden, weights = (0.1, (3, 13, 24)), (0.2, (3, 4, 13, 13))
    sites = reference.dropout_sites(monkeypatch, model, *text_batch(50))
    assert sites == [hidden, *2 * [weights, hidden]]
