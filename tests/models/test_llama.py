"""LLaMA and Mistral against transformers, with and without a cache."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
import safetensors.numpy
from flax import nnx

from motionalign.models import llama
from motionalign.models.llama import Llama, LlamaConfig
from motionalign.models.lora import LoraConfig
from motionalign.models.rope import RopeScaling
from motionalign.models.weights.source import Source

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

SIZES = {
    "vocab_size": 61,
    "hidden_size": 32,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32,
}
CONFIG = LlamaConfig(61, 32, 2, 4, 2, 8, 40, 32)

LLAMA3 = {
    "rope_type": "llama3",
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8,
}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 8}

VARIANTS = {
    "grouped": {},
    "mha": {"num_key_value_heads": 4},
    "one key head": {"num_key_value_heads": 1},
    "tied": {"tie_word_embeddings": True},
    "biases": {"attention_bias": True, "mlp_bias": True},
    "head_dim": {"head_dim": 12},
    "base": {"rope_theta": 500.0, "rms_norm_eps": 1e-2},
    "linear": {"rope_scaling": {"type": "linear", "factor": 3.0}},
    "dynamic": {"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}},
    "llama3": {"rope_theta": 100.0, "rope_scaling": LLAMA3},
    "yarn": {"rope_theta": 100.0, "rope_scaling": YARN},
    "yarn ramp": {
        "rope_theta": 100.0,
        "rope_scaling": {**YARN, "beta_fast": 4.0, "beta_slow": 0.5, "truncate": False},
    },
    "yarn factor": {"rope_scaling": {**YARN, "attention_factor": 0.7}},
    "yarn mscale": {"rope_scaling": {**YARN, "mscale": 2.0, "mscale_all_dim": 0.5}},
    "mistral": {"model_type": "mistral", "sliding_window": 4, "head_dim": 12},
    "mistral without a window": {"model_type": "mistral", "sliding_window": None},
}
every_variant = pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)


def make(folder, **changes):
    """(transformers' model with random parameters, ours with the same ones)."""
    values = {**SIZES, **changes}
    kind = "Mistral" if values.pop("model_type", "llama") == "mistral" else "Llama"
    config = getattr(transformers, f"{kind}Config")(**values)
    theirs = reference.save_random(folder, f"{kind}ForCausalLM", config)
    return theirs, load(folder)


def load(folder, dtype=np.float32, **ours):
    source = Source(folder)
    config = llama.config_from_hf(source.config(), **ours)
    return reference.fill(config, Llama, source, llama.key_map(), dtype)


def tokens(side="right", lengths=(11, 1, 6)):
    """Random ids [B, L] and mask [B, L], padded on one side."""
    ids, mask = reference.text_batch(61, lengths)
    return (ids, mask) if side == "right" else (ids[:, ::-1].copy(), mask[:, ::-1].copy())


def states(theirs, ids, mask):
    """transformers' hidden states by layer, the last one after the norm, and its logits."""
    with torch.no_grad():
        out = theirs(
            input_ids=torch.from_numpy(ids).long(),
            attention_mask=torch.from_numpy(mask).long(),
            output_hidden_states=True,
        )
    return [state.numpy() for state in out.hidden_states], out.logits.numpy()


def recorded(monkeypatch):
    """A list that the outputs of all blocks are appended to."""
    outputs, call = [], llama.Block.__call__

    def record(self, *args):
        result = call(self, *args)
        outputs.append(np.asarray(result[0]))
        return result

    monkeypatch.setattr(llama.Block, "__call__", record)
    return outputs


def hidden_of(model, ids, mask=None, **options):
    mask = None if mask is None else jnp.asarray(mask)
    return model(model.embed(jnp.asarray(ids)), mask, **options)


# ------------------------------------------------------------------------------ what it computes


@every_variant
def test_layers_and_logits_equal_those_of_transformers(tmp_path, monkeypatch, changes):
    theirs, ours = make(tmp_path, **changes)
    for side in ("right", "left"):
        ids, mask = tokens(side)
        expected, expected_logits = states(theirs, ids, mask)
        with monkeypatch.context() as patch:
            blocks = recorded(patch)
            hidden, _ = hidden_of(ours, ids, mask)
        np.testing.assert_array_equal(ours.embed(ids)[mask], expected[0][mask])
        for i, (found, wanted) in enumerate(zip(blocks[:-1], expected[1:-1], strict=True)):
            np.testing.assert_allclose(found[mask], wanted[mask], atol=1e-4, err_msg=f"{side} {i}")
        np.testing.assert_allclose(hidden[mask], expected[-1][mask], atol=1e-4)
        logits = np.asarray(ours.logits(hidden))
        assert logits.dtype == np.float32
        np.testing.assert_allclose(logits[mask], expected_logits[mask], atol=1e-4)
        assert np.isfinite(logits).all()  # also where no key is visible


@pytest.mark.parametrize("name", ["grouped", "llama3", "mistral"])
def test_with_a_cache_the_same_is_computed(tmp_path, name):
    """In pieces, and with room into which token after token is written."""
    _, ours = make(tmp_path, **VARIANTS[name])
    ids, mask = tokens("left", (11, 2, 6))
    expected, _ = hidden_of(ours, ids, mask)
    found, cache = hidden_of(ours, ids[:, :7], mask[:, :7])
    pieces = [found]
    for start, stop in ((7, 10), (10, 11)):
        found, cache = hidden_of(ours, ids[:, start:stop], mask[:, start:stop], cache=cache)
        pieces.append(found)
    np.testing.assert_allclose(
        np.concatenate(pieces, axis=1)[mask], np.asarray(expected)[mask], atol=1e-5
    )
    assert (cache.capacity, len(cache.parts), cache.used) == (11, 3, None)
    cache = hidden_of(ours, ids[:, :7], mask[:, :7])[1].with_room(3, 6)
    for at in range(7, 11):
        real = mask[:, at]
        found, cache = hidden_of(ours, ids[:, at : at + 1], mask[:, at : at + 1], cache=cache)
        np.testing.assert_allclose(found[real, 0], expected[real, at], atol=1e-5)
    assert (cache.capacity, len(cache.parts), int(cache.used)) == (13, 2, 4)
    np.testing.assert_array_equal(cache.next_position[:, 0], mask.sum(1))


def test_padding_changes_nothing_even_if_it_is_not_a_number():
    model = reference.build(CONFIG, Llama)
    ids, mask = tokens("left")
    x = model.embed(jnp.asarray(ids))
    expected, _ = model(x, jnp.asarray(mask))
    x = jnp.where(mask[..., None], x, jnp.nan)
    hidden, cache = model(x, jnp.asarray(mask))
    np.testing.assert_array_equal(np.asarray(hidden)[mask], np.asarray(expected)[mask])
    assert np.isfinite(jax.tree.leaves(cache.parts)[0]).all()
    alone, _ = hidden_of(model, ids[2:, 5:])
    np.testing.assert_allclose(hidden[2:, 5:], alone, atol=1e-5)


def test_gradients_are_finite_where_no_key_is_visible():
    model = reference.build(CONFIG, Llama)
    ids, mask = tokens("left", (5, 1))
    mask[1] = False

    def total(x):
        hidden, _ = model(x, jnp.asarray(mask))
        return jnp.where(mask[..., None], hidden, 0).sum()

    gradient = jax.grad(total)(model.embed(jnp.asarray(ids)))
    assert np.isfinite(gradient).all() and np.any(gradient[0]) and not np.any(gradient[1])


def test_segments_are_continuations_of_the_same_cache():
    model = reference.build(dataclasses.replace(CONFIG, window=5), Llama)
    ids, _ = tokens(lengths=(11, 11))
    _, cache = hidden_of(model, ids[:, :5])
    row, _ = hidden_of(
        model,
        ids[:, 5:11],
        positions=jnp.broadcast_to(jnp.array([5, 6, 7, 5, 6, 7]), (2, 6)),
        cache=cache,
        segments=jnp.array([[0, 0, 0, 1, 1, 1]]),
    )
    for part in (slice(5, 8), slice(8, 11)):
        alone, _ = hidden_of(model, ids[:, part], cache=cache)
        np.testing.assert_allclose(row[:, part.start - 5 : part.stop - 5], alone, atol=1e-5)


LORA = LoraConfig(2, 4.0, r".*/(query|key|value|up)", dropout=0.5)


@pytest.mark.parametrize("remat", [False, True])
def test_a_shared_prompt_gives_the_gradients_of_repeated_ones(remat):
    """Of all parameters, adapters with them, through the keys and values of the prompt."""
    config = dataclasses.replace(CONFIG, lora=LORA, remat=remat)
    graphdef, params = nnx.split(reference.build(config, Llama))
    ids, mask = tokens("right", (4, 2, 3))
    prompt = np.random.default_rng(2).integers(0, 61, (1, 5))

    def loss(params, shared):
        model = nnx.merge(graphdef, params)
        if shared:
            _, cache = hidden_of(model, prompt)
            hidden, _ = hidden_of(model, ids, mask, cache=cache)
        else:
            every = np.concatenate([np.repeat(prompt, 3, axis=0), ids], axis=1)
            hidden, _ = hidden_of(
                model, every, np.pad(mask, ((0, 0), (5, 0)), constant_values=True)
            )
            hidden = hidden[:, 5:]
        found = model.log_probabilities(hidden[:, :-1], jnp.asarray(ids[:, 1:]))
        return jnp.where(mask[:, 1:], found, 0).sum()

    step = jax.jit(jax.value_and_grad(loss), static_argnums=1)
    (value, gradient), (expected, expected_gradient) = step(params, True), step(params, False)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    gradient, expected_gradient = reference.flat(gradient), reference.flat(expected_gradient)
    for path, wanted in expected_gradient.items():
        np.testing.assert_allclose(gradient[path], wanted, atol=1e-4, err_msg=path)
        assert np.abs(wanted).max() > 1e-3, path


def test_rematerialisation_changes_no_numbers():
    """Nor the dropout of adapters; the backward pass computes the blocks again."""
    ids, mask = tokens()
    found = []
    for remat in (False, True):
        config = dataclasses.replace(CONFIG, lora=LORA, remat=remat)
        graphdef, params = nnx.split(reference.build(config, Llama))

        def loss(params):
            model = nnx.merge(graphdef, params)  # noqa: B023
            return hidden_of(model, ids, mask, rngs=nnx.Rngs(dropout=1))[0].sum()

        traced = jax.jit(jax.value_and_grad(loss)).trace(params)
        assert ("remat" in str(traced.jaxpr)) == remat
        value, gradient = traced.lower().compile()(params)
        found.append((value, reference.flat(gradient)))
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-5)
    for path, value in found[0][1].items():
        np.testing.assert_allclose(found[1][1][path], value, atol=1e-4, err_msg=path)
    evaluated = hidden_of(nnx.merge(graphdef, params), ids, mask)[0].sum()
    assert abs(evaluated - found[0][0]) > 1e-2  # dropout was on


def test_new_adapters_change_nothing():
    ids, mask = tokens()
    plain = Llama(CONFIG, rngs=nnx.Rngs(0))
    adapted = Llama(dataclasses.replace(CONFIG, lora=LORA), rngs=nnx.Rngs(0))
    expected = reference.flat(nnx.state(plain))
    found = reference.flat(nnx.state(adapted))
    adapters = found.keys() - expected.keys()
    assert "blocks/1/attention/key/lora_a" in adapters and len(adapters) == 2 * 4 * 2
    np.testing.assert_array_equal(hidden_of(adapted, ids, mask)[0], hidden_of(plain, ids, mask)[0])


def test_bfloat16_is_close(tmp_path):
    _, ours = make(tmp_path, tie_word_embeddings=True)
    ids, mask = tokens()
    expected = ours.logits(hidden_of(ours, ids, mask)[0])
    half = load(tmp_path, jnp.bfloat16)
    hidden, cache = hidden_of(half, ids, mask)
    assert {leaf.dtype for leaf in cache.parts[0].keys} == {hidden.dtype} == {jnp.dtype("bfloat16")}
    logits = half.logits(hidden)
    assert logits.dtype == jnp.float32
    error = np.abs(np.asarray(logits - expected))[mask]
    assert 1e-4 < error.max() < 0.1 * np.abs(np.asarray(expected)[mask]).max()


# --------------------------------------------------------------------------- configs and weights


@every_variant
def test_configs_of_transformers_are_read(tmp_path, changes):
    """What it writes today, and the fields of older files, which published models have."""
    _, ours = make(tmp_path, **changes)
    config = llama.config_from_hf({"model_type": "llama", **SIZES, **changes})
    assert ours.config == config
    assert LlamaConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_adapters_are_in_the_stored_config():
    config = dataclasses.replace(CONFIG, lora=LORA, rope_scaling=RopeScaling("linear", 2.0))
    assert LlamaConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_fields_that_are_missing_have_the_values_of_transformers():
    without = {k: v for k, v in SIZES.items() if k != "num_key_value_heads"}
    for kind in ("Llama", "Mistral"):
        theirs = getattr(transformers, f"{kind}Config")(**{**without, "num_attention_heads": 8})
        source = {"model_type": kind.lower(), **without, "num_attention_heads": 8}
        assert llama.config_from_hf(source) == llama.config_from_hf(theirs.to_dict())
    assert llama.config_from_hf({"model_type": "mistral", **SIZES}).window == 4096


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "gemma"}, "model_type is 'gemma'; valid: 'llama', 'mistral'"),
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu'"),
        ({"pretraining_tp": 2}, "pretraining_tp is 2"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor is 0.5"),
        ({"quantization_config": {"bits": 4}}, "quantization_config is {'bits': 4}"),
        ({"hidden_size": None}, "config.json lacks hidden_size"),
        ({"hidden_size": "32"}, "hidden_size"),
        ({"num_attention_heads": 5}, "num_attention_heads 5 does not divide hidden_size 32"),
        ({"num_key_value_heads": 3}, "4 heads are not a multiple of 3 key heads"),
        ({"num_key_value_heads": 0}, "LlamaConfig.key_heads is 0"),
        ({"head_dim": 7}, "LlamaConfig.head_width is 7"),
        ({"num_hidden_layers": 10**6}, "LlamaConfig.depth is 1000000"),
        ({"rms_norm_eps": "x"}, "LlamaConfig.norm_eps"),
        ({"rope_theta": 0.5}, "rope_base 0.5"),
        ({"rope_scaling": {"type": "longrope"}}, "rope_type .* 'longrope'; valid"),
    ],
)
def test_what_changes_the_numbers_and_is_not_supported(changes, message):
    with pytest.raises(ValueError, match=message):
        llama.config_from_hf({"model_type": "llama", **SIZES, **changes})


def test_texts_longer_than_the_context():
    model = reference.build(CONFIG, Llama)
    with pytest.raises(ValueError, match="33 tokens with its padding; this model has 32 positions"):
        hidden_of(model, np.zeros((1, 33), np.int32))
    _, cache = hidden_of(model, np.zeros((1, 30), np.int32))
    with pytest.raises(ValueError, match="33 tokens"):
        hidden_of(model, np.zeros((1, 3), np.int32), cache=cache)
    with pytest.raises(ValueError, match="34 tokens"):
        hidden_of(model, np.zeros((1, 1), np.int32), cache=cache.with_room(1, 4))
    scaled = {
        None: 32,
        RopeScaling("linear", 2.5): 80,
        RopeScaling("dynamic", 4.0): 32,
        RopeScaling("yarn", 8.0, 8): 64,
        RopeScaling("llama3", 2.0, 8): 32,
    }
    for scaling, context in scaled.items():
        assert dataclasses.replace(CONFIG, rope_scaling=scaling).context == context


def write(folder, tensors, **changes):
    safetensors.numpy.save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", **SIZES, **changes}))


def test_tensors_of_files(tmp_path):
    """A tied output layer may be in the file as a copy; buffers of older versions are passed by."""
    make(tmp_path, tie_word_embeddings=True)
    tensors = safetensors.numpy.load_file(tmp_path / "model.safetensors")
    assert "lm_head.weight" not in tensors
    expected = reference.flat(nnx.state(load(tmp_path)))
    embedding = tensors["model.embed_tokens.weight"]
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = np.zeros(4, np.float32)
    tensors["lm_head.weight"] = embedding.copy()
    write(tmp_path, tensors, tie_word_embeddings=True)
    found = reference.flat(nnx.state(load(tmp_path)))
    assert found.keys() == expected.keys() and "head/kernel" not in found
    for path, value in expected.items():
        np.testing.assert_array_equal(found[path], value)
    untied = tmp_path / "untied"
    untied.mkdir()
    tensors["lm_head.weight"][3, 4] += 1
    write(untied, tensors)
    head = reference.flat(nnx.state(load(untied)))["head/kernel"]
    np.testing.assert_array_equal(head, tensors["lm_head.weight"].T)
    write(untied, tensors, tie_word_embeddings=True)
    with pytest.raises(ValueError, match=r"lm_head\.weight differs from model\.embed_tokens"):
        load(untied)


def test_tensors_that_do_not_fit(tmp_path):
    make(tmp_path)
    tensors = safetensors.numpy.load_file(tmp_path / "model.safetensors")
    tensors["model.layers.0.self_attn.q_norm.weight"] = np.ones(8, np.float32)
    del tensors["lm_head.weight"]
    write(tmp_path, tensors)
    with pytest.raises(ValueError, match="2 mismatches") as error:
        load(tmp_path)
    for line in ("unexpected  model.layers.0.self_attn.q_norm", "nothing fills head/kernel"):
        assert line in str(error.value)


def test_parameters():
    """The paths are those that key maps, adapters, shardings and checkpoints refer to."""
    config = dataclasses.replace(CONFIG, depth=1, attention_bias=True, head_width=6)
    _, params = reference.abstract(config, Llama)
    shapes = {path: leaf.shape for path, leaf in reference.flat(params).items()}
    block = "blocks/0/"
    assert shapes == {
        "embed/embedding": (61, 32),
        block + "attention_norm/scale": (32,),
        block + "attention/query/kernel": (32, 24),
        block + "attention/query/bias": (24,),
        block + "attention/key/kernel": (32, 12),
        block + "attention/key/bias": (12,),
        block + "attention/value/kernel": (32, 12),
        block + "attention/value/bias": (12,),
        block + "attention/out/kernel": (24, 32),
        block + "attention/out/bias": (32,),
        block + "mlp_norm/scale": (32,),
        block + "mlp/gate/kernel": (32, 40),
        block + "mlp/up/kernel": (32, 40),
        block + "mlp/down/kernel": (40, 32),
        "final_norm/scale": (32,),
        "head/kernel": (32, 61),
    }
