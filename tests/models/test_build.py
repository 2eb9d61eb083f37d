"""Architectures from the model section of a config, and their pretrained weights."""

import dataclasses
import re

import jax
import numpy as np
import pytest
import reference
from flax import nnx
from reference import transformers

from motionalign.models import bert, build
from motionalign.models.build import resolve
from motionalign.models.dual_encoder import DualEncoder
from motionalign.models.families import TEXT_FAMILIES
from motionalign.models.vit import ViTConfig
from motionalign.models.weights.load import parameter_path

CUSTOM = {
    "motion": {"size": "custom", "width": 24, "depth": 2, "heads": 3, "max_frames": 64},
    "text": {"family": "bert", "width": 16, "depth": 1, "heads": 2, "vocab_size": 50},
    "embed_dim": 32,
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
        (
            {"motion": {"sise": "B"}},
            "model.motion has no field 'sise'; valid: family, input, root, size",
        ),
        ({"motion": {"size": "XL"}}, "'XL'; valid: 'Ti', 'S', 'B', 'L', 'custom'"),
        ({"motion": {"size": "B", "width": 8}}, "size='B' fixes width, .* set size='custom'"),
        ({"motion": {"size": "custom", "width": 8}}, "'custom' needs depth, heads"),
        ({"motion": {**CUSTOM["motion"], "heads": 5}}, "5 heads do not evenly divide the width 24"),
        ({"motion": {"pool": "max"}}, "pool is 'max'; valid: 'mean', 'class'"),
        ({"motion": {"padding": "no"}}, "padding is 'no'; valid: 'attend', 'mask'"),
        ({"motion": {"weights": "no/such/folder"}}, "neither an existing folder or file nor"),
        ({"text": {"family": "gpt2"}}, f"'gpt2'; valid: {', '.join(map(repr, TEXT_FAMILIES))}"),
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


def test_sections_of_architectures():
    section = {
        "motion": {"size": "custom", "width": 24, "depth": 2, "heads": 3},
        "text": {"family": "bert", "width": 16, "depth": 1, "heads": 2, "vocab_size": 50},
    }
    config = build.resolve(section)
    again = {**build.section_of(config), "weights": "x"}
    assert build.resolve(again, config) == config
    uneven = dataclasses.replace(config, text=dataclasses.replace(config.text, dropout=0.3))
    again = {**build.section_of(uneven), "weights": "x"}
    assert again["text"]["dropout"] is None
    assert build.resolve(again, uneven) == uneven


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
