"""The complete model: initial values, dropout, precision, its config as JSON."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from flax import nnx
from reference import run

from motionalign.models.build import resolve
from motionalign.models.dual_encoder import DualEncoder, DualEncoderConfig
from motionalign.models.weights.load import parameter_path

CUSTOM = {
    "motion": {"size": "custom", "width": 24, "depth": 2, "heads": 3, "max_frames": 64},
    "text": {"family": "bert", "width": 16, "depth": 1, "heads": 2, "vocab_size": 50},
    "embed_dim": 32,
}
MASKED = resolve({**CUSTOM, "motion": {**CUSTOM["motion"], "padding": "mask"}})


def batch(config, frames=64):
    ids, mask = reference.text_batch(config.text.vocab_size)
    rng = np.random.default_rng(0)
    return {
        "patches": rng.normal(size=(3, frames, 80, 3)).astype(np.float16),
        "num_frames": np.array([frames, 33, 1], np.int32),
        "input_ids": ids,
        "text_mask": mask,
    }


def embed(model, inputs, rngs=None):
    """The embeddings of motions and texts."""
    outputs = run(model.__call__, inputs, rngs)
    assert outputs.scale == pytest.approx(np.exp(model.logit_scale[...]))
    return outputs.motion, outputs.text


# --------------------------------------------------------------------------------- behaviour


def test_initial_values_are_the_published_ones():
    config = resolve({**CUSTOM, "embed_dim": 256})
    params = nnx.state(jax.jit(lambda: DualEncoder(config, rngs=nnx.Rngs(0)))())
    leaves = jax.tree_util.tree_flatten_with_path(jax.device_get(params))[0]
    seen = {}
    for key_path, value in leaves:
        path = parameter_path(key_path)
        assert value.dtype == jnp.float32, path
        fan_in = {
            "motion_encoder/patch_embed": 768,
            "motion_head/projection": 24,
            "text_head/projection": 16,
            "motion_head/hidden": 256,
            "text_head/hidden": 256,
        }.get(path.rpartition("/")[0])
        if fan_in:  # PyTorch's default for Linear and Conv2d, biases too
            bound = fan_in**-0.5
            assert 0.8 * bound < np.abs(value).max() <= bound, path
            assert np.std(value) == pytest.approx(bound / 3**0.5, rel=0.2), path
        elif path == "logit_scale":
            assert value == pytest.approx(np.log(1 / 0.07))
        elif path.endswith("class_token"):
            assert np.abs(value).max() < 1e-5
        elif path.endswith("/bias"):
            np.testing.assert_array_equal(value, 0.0)
        elif path.endswith("/scale"):
            np.testing.assert_array_equal(value, 1.0)
        else:  # linears, embeddings, positions; not cut at two standard deviations
            seen[path] = value
            assert np.std(value) == pytest.approx(0.02, rel=0.25), path
    drawn = np.concatenate([np.ravel(value) for value in seen.values()])
    assert np.std(drawn) == pytest.approx(0.02, rel=0.01)
    assert 0.07 < np.abs(drawn).max() < 0.12
    first, second = (seen[f"motion_encoder/blocks/{i}/attention/query/kernel"] for i in (0, 1))
    assert np.abs(first - second).max() > 0.01  # each block has its own


def test_dropout_only_with_rngs():
    model = reference.build(MASKED, DualEncoder)
    inputs = batch(MASKED)
    evaluated = embed(model, inputs)
    rngs = [nnx.Rngs(dropout=seed) for seed in (0, 0, 1)]
    first, same, other = (embed(model, inputs, rng) for rng in rngs)
    for a, b, c, d in zip(evaluated, first, same, other):
        np.testing.assert_array_equal(b, c)
        assert np.abs(a - b).max() > 0.1
        assert np.abs(b - d).max() > 0.1


def test_bfloat16_compute_with_float32_parameters():
    inputs = batch(MASKED)
    single = reference.build(MASKED, DualEncoder)
    half = reference.build(MASKED, DualEncoder, nnx.state(single), dtype=jnp.bfloat16)
    for a, b in zip(embed(single, inputs), embed(half, inputs)):
        assert a.dtype == jnp.float32
        assert b.dtype == jnp.bfloat16
        np.testing.assert_allclose(b.astype(np.float32), a, atol=0.15)
        cosine = np.sum(a * b, 1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
        assert np.all(cosine > 0.999)


@pytest.mark.parametrize("learn", [True, False])
def test_scale(learn):
    config = resolve({**CUSTOM, "temperature": 0.05, "learn_temperature": learn})
    model = reference.build(config, DualEncoder)

    graphdef, params = nnx.split(model)

    def scale_of(value):
        changed = jax.tree.map(lambda x: value if x.ndim == 0 else x, params)
        return nnx.merge(graphdef, changed).scale()

    scale, gradient = jax.value_and_grad(scale_of)(jnp.log(20.0))
    assert scale == pytest.approx(20.0)
    assert gradient == pytest.approx(20.0 if learn else 0.0)
    assert scale_of(jnp.float32(6.0)) == pytest.approx(np.exp(6.0), rel=1e-5)


# ------------------------------------------------------------------------ its configuration


def test_config_goes_to_json_and_back():
    for text in (CUSTOM["text"], {**CUSTOM["text"], "family": "distilbert"}):
        config = resolve({**CUSTOM, "text": text})
        assert DualEncoderConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(("motion", "text"), [("clip", "clip"), ("vit", "mpnet")])
def test_every_family_in_a_complete_model(motion, text):
    readout = "end" if text == "clip" else "mean"
    section = {
        **CUSTOM,
        "motion": {**CUSTOM["motion"], "family": motion, "padding": "mask"},
        "text": {**CUSTOM["text"], "family": text, "readout": readout},
    }
    config = resolve(section)
    assert DualEncoderConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    model = reference.build(config, DualEncoder)
    for embeddings in embed(model, batch(config)):
        assert embeddings.shape == (3, 32)
        assert np.isfinite(embeddings).all()


def test_stored_config_is_strict():
    values = resolve(CUSTOM).to_dict()
    with pytest.raises(ValueError, match="DualEncoderConfig has no field 'new'"):
        DualEncoderConfig.from_dict({**values, "new": 1})
    with pytest.raises(ValueError, match="ViTConfig lacks width"):
        motion = {k: v for k, v in values["motion"].items() if k != "width"}
        DualEncoderConfig.from_dict({**values, "motion": motion})
