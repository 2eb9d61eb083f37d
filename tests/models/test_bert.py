"""BERT against Hugging Face's, layer by layer and whole, weights through the real loader."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from flax import nnx
from reference import masked_mean, run, text_batch, transformers

from motionalign.models import bert, layers
from motionalign.models.weights.load import load_tokenizer

CONFIG = bert.BertConfig(vocab_size=50, width=24, depth=2, heads=4, mlp_width=40, max_positions=20)


def save(folder, activation="gelu", eps=1e-12, model_class="BertModel"):
    config = transformers.BertConfig(
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=40,
        vocab_size=50,
        max_position_embeddings=20,
        hidden_act=activation,
        layer_norm_eps=eps,
    )
    return reference.save_random(folder, model_class, config)


def load(folder, **ours):
    return reference.load(folder, bert, bert.Bert, **ours)


def hidden_states(model, ids, mask):
    return reference.hidden_states(
        model, input_ids=ids.astype(np.int64), attention_mask=mask.astype(np.int64)
    )


@pytest.mark.parametrize(
    ("activation", "model_class"),
    [
        ("gelu", "BertForPreTraining"),
        ("gelu", "BertForQuestionAnswering"),
        ("gelu_new", "BertModel"),
    ],
)
def test_layers_and_whole_equal_hugging_face(tmp_path, activation, model_class):
    ids, mask = text_batch(50)
    expected = hidden_states(save(tmp_path, activation, model_class=model_class), ids, mask)
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
    wrong_model = reference.build(wrong_config, bert.Bert, nnx.state(model))
    assert np.abs(run(wrong_model.__call__, ids, mask) - expected).max() > 2e-4


def test_epsilon_comes_from_the_source(tmp_path):
    ids, mask = text_batch(50)
    expected = hidden_states(save(tmp_path, eps=1e-3), ids, mask)[-1][:, 0]
    np.testing.assert_allclose(run(load(tmp_path).__call__, ids, mask), expected, atol=1e-4)


def test_tensorflow_names_of_layer_norm(tmp_path):
    from safetensors.numpy import load_file, save_file

    save(tmp_path)
    ours = nnx.state(load(tmp_path))
    tensors = load_file(tmp_path / "model.safetensors")
    names = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    for torch_name, tensorflow_name in names.items():
        tensors = {key.replace(torch_name, tensorflow_name): x for key, x in tensors.items()}
    save_file(tensors, tmp_path / "model.safetensors")
    jax.tree.map(np.testing.assert_array_equal, ours, nnx.state(load(tmp_path)))


@pytest.mark.parametrize("readout", ["first", "mean"])
def test_padding_changes_nothing(readout):
    model = reference.build(dataclasses.replace(CONFIG, readout=readout), bert.Bert)
    ids, mask = text_batch(50, lengths=(13, 7))
    together = run(model.__call__, ids, mask)
    alone = run(model.__call__, ids[1:, :7], mask[1:, :7])
    np.testing.assert_allclose(together[1], alone[0], atol=1e-5)


def test_too_many_tokens_and_unknown_ids():
    model = reference.build(CONFIG, bert.Bert)
    ids, mask = text_batch(50)
    with pytest.raises(ValueError, match="21 tokens; this model has 20 positions"):
        run(model.__call__, np.ones((1, 21), np.int32), np.ones((1, 21), bool))
    assert jnp.isnan(run(model.__call__, np.full_like(ids, 50), mask)).all()


def test_dropout_sites_are_hugging_faces(monkeypatch):
    config = dataclasses.replace(CONFIG, dropout=0.1, attention_dropout=0.2, readout="mean")
    model = reference.build(config, bert.Bert)
    hidden, weights = (0.1, (3, 13, 24)), (0.2, (3, 4, 13, 13))
    sites = reference.dropout_sites(monkeypatch, model, *text_batch(50))
    assert sites == [hidden, *2 * [weights, hidden, hidden]]


@pytest.mark.parametrize(("readout", "dtype"), [("first", "bfloat16"), ("mean", "float32")])
def test_real_minilm_equals_transformers(minilm, readout, dtype):
    captions = ["a person walks forward and waves twice", "someone sits down", "Jumps!"]
    ids, mask = load_tokenizer(minilm, 64).encode(captions)
    model = transformers.AutoModel.from_pretrained(minilm, attn_implementation="eager").eval()
    last = hidden_states(model, ids, mask)[-1]
    expected = last[:, 0] if readout == "first" else masked_mean(last, mask)
    model = reference.load(minilm, bert, bert.Bert, jnp.dtype(dtype), readout=readout)
    out = run(model.__call__, ids, mask)
    assert out.dtype == dtype
    atol = 1e-4 if dtype == "float32" else 0.05
    np.testing.assert_allclose(out.astype(np.float32), expected, atol=atol)


def test_real_minilm_layer_by_layer(minilm):
    ids, mask = load_tokenizer(minilm, 64).encode(["a man sits down", "she waves"])
    model = transformers.AutoModel.from_pretrained(minilm, attn_implementation="eager").eval()
    expected = hidden_states(model, ids, mask)
    model = reference.load(minilm, bert, bert.Bert, readout="first")
    x = run(model.embed, ids)
    bias = layers.attention_bias(mask)
    assert len(model.blocks) == len(expected) - 1 == 6
    for block, before, after in zip(model.blocks, expected, expected[1:]):
        np.testing.assert_allclose(x, before, atol=1e-4)
        x = run(block.__call__, x, bias)
        np.testing.assert_allclose(x, after, atol=1e-4)
    np.testing.assert_allclose(run(model.__call__, ids, mask), expected[-1][:, 0], atol=1e-4)
