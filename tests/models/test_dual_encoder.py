"""The whole model: initial values, configuration, weights of its towers."""

import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from flax import nnx
from reference import run, torch, transformers

from motionalign.models import bert, build
from motionalign.models.build import resolve
from motionalign.models.dual_encoder import DualEncoder, DualEncoderConfig
from motionalign.models.heads import ProjectionHead
from motionalign.models.vit import ViTConfig
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
    evaluated = run(model.__call__, inputs)
    rngs = [nnx.Rngs(dropout=seed) for seed in (0, 0, 1)]
    first, same, other = (run(model.__call__, inputs, rng) for rng in rngs)
    for a, b, c, d in zip(evaluated, first, same, other):
        np.testing.assert_array_equal(b, c)
        assert np.abs(a - b).max() > 0.1
        assert np.abs(b - d).max() > 0.1


def test_dropout_keeps_the_mean():
    from motionalign.models import layers

    x = jnp.full((200, 300), 2.0)
    out = layers.dropout(x, 0.1, nnx.Rngs(dropout=0))
    assert np.mean(out == 0) == pytest.approx(0.1, abs=0.005)
    np.testing.assert_allclose(out[out != 0], 2.0 / 0.9, rtol=1e-6)
    assert layers.dropout(x, 0.1, None) is x


def test_bfloat16_compute_with_float32_parameters():
    inputs = batch(MASKED)
    single = reference.build(MASKED, DualEncoder)
    half = reference.build(MASKED, DualEncoder, nnx.state(single), dtype=jnp.bfloat16)
    for a, b in zip(run(single.__call__, inputs), run(half.__call__, inputs)):
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


# -------------------------------------------------------------------------- the model section


def test_config_goes_to_json_and_back():
    for text in (CUSTOM["text"], {**CUSTOM["text"], "family": "distilbert"}):
        config = resolve({**CUSTOM, "text": text})
        assert DualEncoderConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(("motion", "text"), [("clip", "clip"), ("vit", "mpnet")])
def test_every_family_in_a_whole_model(motion, text):
    readout = "end" if text == "clip" else "mean"
    section = {
        **CUSTOM,
        "motion": {**CUSTOM["motion"], "family": motion, "padding": "mask"},
        "text": {**CUSTOM["text"], "family": text, "readout": readout},
    }
    config = resolve(section)
    assert DualEncoderConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    model = reference.build(config, DualEncoder)
    for embeddings in run(model.__call__, batch(config)):
        assert embeddings.shape == (3, 32)
        assert np.isfinite(embeddings).all()


def test_both_towers_of_one_clip(tmp_path):
    """Its other tensors, the projections and the temperature, are excused."""
    sizes = {"num_hidden_layers": 12, "hidden_size": 24, "intermediate_size": 96}
    sizes |= {"num_attention_heads": 2}
    config = transformers.CLIPConfig(
        text_config={**sizes, "vocab_size": 50, "max_position_embeddings": 130},
        vision_config={**sizes, "image_size": 64, "patch_size": 16},
    )
    reference.save_random(tmp_path, "CLIPModel", config)
    motion = {"size": "custom", "width": 24, "depth": 12, "heads": 2, "pool": "class"}
    section = {
        "motion": {**motion, "family": "clip", "weights": str(tmp_path)},
        "text": {"family": "clip", "weights": str(tmp_path), "readout": "end"},
    }
    config = resolve(section)
    assert (config.motion.activation, config.text.activation) == ("quick_gelu", "quick_gelu")
    shapes = nnx.state(nnx.eval_shape(lambda: DualEncoder(config, rngs=nnx.Rngs(0))))
    loaded = build.load_pretrained(shapes, section)
    unfilled = {
        parameter_path(path)
        for path, leaf in jax.tree_util.tree_flatten_with_path(loaded)[0]
        if isinstance(leaf, jax.ShapeDtypeStruct)
    }
    assert {path.partition("/")[0] for path in unfilled} == {
        "motion_head",
        "text_head",
        "logit_scale",
    }


def test_defaults_are_the_published_sizes():
    sizes = {"width": 768, "depth": 6, "heads": 12, "vocab_size": 30522}
    config = resolve({"text": sizes})
    assert config.motion == ViTConfig(width=768, depth=12, heads=12, mlp_width=3072)
    assert config.motion.grid == (14, 5)
    assert config.text.mlp_width == 3072
    assert config.text.max_positions == config.max_tokens
    assert (config.embed_dim, config.head_dropout, config.temperature) == (256, 0.5, 0.07)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"embeded_dim": 1}, "model has no field 'embeded_dim'; valid: motion, text, embed_dim"),
        ({"motion": {"sise": "B"}}, "model.motion has no field 'sise'; valid: family, size"),
        ({"motion": {"size": "XL"}}, "'XL'; valid: 'Ti', 'S', 'B', 'L', 'custom'"),
        ({"motion": {"size": "B", "width": 8}}, "size='B' fixes width, .* set size='custom'"),
        ({"motion": {"size": "custom", "width": 8}}, "'custom' needs depth, heads"),
        ({"motion": {**CUSTOM["motion"], "heads": 5}}, "5 heads do not divide the width 24"),
        ({"motion": {"pool": "max"}}, "pool is 'max'; valid: 'mean', 'class'"),
        ({"motion": {"padding": "no"}}, "padding is 'no'; valid: 'attend', 'mask'"),
        ({"motion": {"weights": "no/such/folder"}}, "neither a folder or file that exists nor"),
        ({"text": {"family": "gpt2"}}, "'gpt2'; valid: 'bert', 'distilbert', 'mpnet', 'clip'"),
        ({"motion": {"family": "resnet"}}, "family is 'resnet'; valid: 'vit', 'clip'"),
        ({"motion": {"family": "clip", "size": "Ti"}}, "'Ti'; valid: 'B', 'L', 'custom'"),
        ({"motion": {"final_norm": "keep"}}, "final_norm is 'keep'; valid: 'fresh', 'load'"),
        ({"text": {**CUSTOM["text"], "family": "clip"}}, "'first'; valid: 'end', 'mean'"),
        ({"text": {"family": "bert"}}, "without weights needs width, depth, heads, vocab_size"),
        ({"text": {**CUSTOM["text"], "readout": "last"}}, "'last'; valid: 'first', 'mean'"),
    ],
)
def test_mistakes_in_the_model_section(change, message):
    with pytest.raises(ValueError, match=message):
        resolve({**CUSTOM, **change})


def test_stored_config_is_strict():
    values = resolve(CUSTOM).to_dict()
    with pytest.raises(ValueError, match="DualEncoderConfig has no field 'new'"):
        DualEncoderConfig.from_dict({**values, "new": 1})
    with pytest.raises(ValueError, match="ViTConfig lacks width"):
        motion = {k: v for k, v in values["motion"].items() if k != "width"}
        DualEncoderConfig.from_dict({**values, "motion": motion})


@pytest.fixture(scope="module")
def pretrained_folder(tmp_path_factory):
    """A folder with a random ViT in "vit" and a BERT in "bert"."""
    folder = tmp_path_factory.mktemp("pretrained")
    vit_config = transformers.ViTConfig(
        hidden_size=192,
        num_hidden_layers=12,
        num_attention_heads=3,
        intermediate_size=768,
        image_size=64,
    )
    reference.save_random(folder / "vit", "ViTModel", vit_config)
    bert_config = transformers.BertConfig(
        hidden_size=24,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        vocab_size=30,
    )
    reference.save_random(folder / "bert", "BertModel", bert_config)
    return folder


@pytest.fixture
def section(pretrained_folder):
    """The `model` section that names both."""
    return {
        "motion": {"size": "Ti", "weights": str(pretrained_folder / "vit")},
        "text": {"family": "bert", "weights": str(pretrained_folder / "bert"), "dropout": None},
    }


def test_pretrained_towers_fill_only_themselves(section):
    config = resolve(section)
    assert config.motion.norm_eps == 1e-12  # the source's
    assert config.text == bert.BertConfig(
        vocab_size=30, width=24, depth=1, heads=2, mlp_width=8, dropout=0.1
    )
    shapes = nnx.state(nnx.eval_shape(lambda: DualEncoder(config, rngs=nnx.Rngs(0))))
    flat = {
        parameter_path(path): np.full(leaf.shape, 9.0, np.float32)
        for path, leaf in jax.tree_util.tree_flatten_with_path(shapes)[0]
    }
    loaded = build.load_pretrained(flat, section)
    kept = {path for path in flat if np.all(loaded[path] == 9.0)}
    outside = {path for path in flat if not re.match("(motion|text)_encoder/", path)}
    assert kept == outside | {"motion_encoder/fc_norm/scale", "motion_encoder/fc_norm/bias"}
    assert loaded.keys() == flat.keys()


@pytest.mark.parametrize(
    ("tower", "change", "message"),
    [
        ("motion", {"size": "S"}, "vit has width 192, but model.motion asks for 384"),
        ("motion", {"patch_size": 8}, "vit has patch_size 16, but model.motion asks for 8"),
        ("text", {"depth": 2}, "bert has depth 1, but model.text.depth is 2"),
        ("text", {"max_tokens": 513}, "max_tokens is 513; .* has 512 positions"),
        ("text", {"family": "distilbert"}, "model_type 'bert'; expected 'distilbert'"),
    ],
)
def test_weights_that_contradict_the_section(section, tower, change, message):
    section[tower].update(change)
    with pytest.raises(ValueError, match=message):
        resolve(section)


@pytest.mark.parametrize("eps", [1e-5, 1e-6])
def test_projection_head_equals_the_published_modules(eps):
    """Linear, erf GELU, Linear, residual, LayerNorm; so small that another epsilon shows."""
    torch.manual_seed(0)
    first, second, norm = torch.nn.Linear(6, 4), torch.nn.Linear(4, 4), torch.nn.LayerNorm(4)
    x = 2e-3 * torch.randn(3, 6)
    with torch.no_grad():
        for layer in (first, second):
            layer.bias.mul_(2e-3)
        projected = first(x)
        expected = norm(second(torch.nn.functional.gelu(projected)) + projected)
    head = ProjectionHead(6, 4, 0.5, jnp.float32, rngs=nnx.Rngs(0))
    head.norm.eps = eps
    for ours, theirs in ((head.projection, first), (head.hidden, second)):
        ours.kernel[...] = jnp.asarray(theirs.weight.detach().numpy().T)
        ours.bias[...] = jnp.asarray(theirs.bias.detach().numpy())
    difference = np.abs(head(jnp.asarray(x.numpy())) - expected.numpy()).max()
    assert (difference < 1e-4) == (eps == 1e-5)
    assert ProjectionHead(6, 4, 0.5, jnp.float32, rngs=nnx.Rngs(0)).norm.eps == 1e-5
