"""MPNet against Hugging Face's, layer by layer and whole, weights through the real loader."""

import dataclasses

import numpy as np
import pytest
import reference
from flax import nnx
from reference import masked_mean, run, text_batch, torch, transformers

from motionalign.models import mpnet

CONFIG = mpnet.MPNetConfig(
    vocab_size=50, width=24, depth=2, heads=4, mlp_width=40, max_positions=200, norm_eps=1e-5
)
LENGTHS = (151, 1, 7)  # relative positions beyond the last bucket's start, an odd length


def save(folder, activation="gelu", eps=1e-5, model_class="MPNetModel"):
    config = transformers.MPNetConfig(
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=40,
        vocab_size=50,
        max_position_embeddings=202,
        hidden_act=activation,
        layer_norm_eps=eps,
    )
    model = reference.save_random(folder, model_class, config)
    with torch.no_grad():  # so large that a bucket too far shows
        model.base_model.encoder.relative_attention_bias.weight.normal_()
    model.save_pretrained(folder)
    return model


def load(folder, **ours):
    return reference.load(folder, mpnet, mpnet.MPNet, **ours)


def batch():
    """Ids from 2 on: 1 is MPNet's padding, by which the reference counts positions."""
    ids, mask = text_batch(48, LENGTHS)
    return np.where(mask, ids + 1, 1).astype(np.int32), mask


def hidden_states(model, ids, mask):
    return reference.hidden_states(
        model, input_ids=ids.astype(np.int64), attention_mask=mask.astype(np.int64)
    )


@pytest.mark.parametrize(
    ("activation", "model_class"),
    [("gelu", "MPNetForMaskedLM"), ("gelu_new", "MPNetModel")],
)
def test_layers_and_whole_equal_hugging_face(tmp_path, activation, model_class):
    ids, mask = batch()
    expected = hidden_states(save(tmp_path, activation, model_class=model_class), ids, mask)
    model = load(tmp_path)
    assert model.config == dataclasses.replace(CONFIG, activation=activation)

    embedded = run(model.embed, ids)
    np.testing.assert_allclose(embedded[mask], expected[0][mask], rtol=1e-5, atol=1e-5)
    bias = run(model.bias, mask)
    for block, before, after in zip(model.blocks, expected, expected[1:]):
        out = run(block.__call__, before, bias)
        np.testing.assert_allclose(out[mask], after[mask], rtol=1e-5, atol=1e-5)
    out = run(model.__call__, ids, mask)
    np.testing.assert_allclose(out, expected[-1][:, 0], atol=1e-4)
    out = run(load(tmp_path, readout="mean").__call__, ids, mask)
    np.testing.assert_allclose(out, masked_mean(expected[-1], mask), atol=1e-4)


@pytest.mark.parametrize("wrong", [{"activation": "gelu_new"}, {"norm_eps": 1e-2}])
def test_the_comparison_notices_a_wrong_gelu_or_epsilon(tmp_path, wrong):
    ids, mask = batch()
    expected = hidden_states(save(tmp_path), ids, mask)[-1][:, 0]
    model = load(tmp_path)
    wrong_model = reference.build(
        dataclasses.replace(model.config, **wrong), mpnet.MPNet, nnx.state(model)
    )
    assert np.abs(run(wrong_model.__call__, ids, mask) - expected).max() > 2e-4


def test_epsilon_comes_from_the_source(tmp_path):
    ids, mask = batch()
    expected = hidden_states(save(tmp_path, eps=1e-2), ids, mask)[-1][:, 0]
    np.testing.assert_allclose(run(load(tmp_path).__call__, ids, mask), expected, atol=1e-4)


def test_buckets_of_relative_positions():
    """Every distance up to 500 either way, as the reference puts them."""
    distances = torch.arange(500)[None] - torch.arange(500)[:, None]
    from transformers.models.mpnet.modeling_mpnet import MPNetEncoder

    expected = MPNetEncoder.relative_position_bucket(distances, num_buckets=32)
    np.testing.assert_array_equal(mpnet.relative_buckets(500), expected)


@pytest.mark.parametrize("readout", ["first", "mean"])
def test_padding_changes_nothing(readout):
    model = reference.build(dataclasses.replace(CONFIG, readout=readout), mpnet.MPNet)
    ids, mask = text_batch(50, lengths=(13, 7))
    together = run(model.__call__, ids, mask)
    alone = run(model.__call__, ids[1:, :7], mask[1:, :7])
    np.testing.assert_allclose(together[1], alone[0], atol=1e-5)


def test_too_many_tokens():
    model = reference.build(CONFIG, mpnet.MPNet)
    with pytest.raises(ValueError, match="201 tokens; this model has 200 positions"):
        run(model.__call__, np.ones((1, 201), np.int32), np.ones((1, 201), bool))


def test_dropout_sites_are_hugging_faces(monkeypatch):
    config = dataclasses.replace(CONFIG, dropout=0.1, attention_dropout=0.2, readout="mean")
    model = reference.build(config, mpnet.MPNet)
    hidden, weights = (0.1, (3, 13, 24)), (0.2, (3, 4, 13, 13))
    sites = reference.dropout_sites(monkeypatch, model, *text_batch(50))
    assert sites == [hidden, *2 * [weights, hidden, hidden]]
