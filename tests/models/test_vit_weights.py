"""ViT weights of timm and Google, compared with timm's model and its reader of Google's."""

import dataclasses
import json

import jax
import ml_dtypes
import numpy as np
import pytest
import reference
import timm_reference
from flax import nnx
from reference import eager, run, torch
from safetensors.numpy import load_file, save_file
from timm_reference import hidden_states, random_vit
from towers import load_vit, motion

from motionalign.models import vit_weights
from motionalign.models.vit import ViT, ViTConfig
from motionalign.models.weights import keymap
from motionalign.models.weights.load import load_weights, parameter_path
from motionalign.models.weights.source import Source


def save_timm(folder, model, config=True):
    from safetensors.torch import save_file

    folder.mkdir(exist_ok=True)
    save_file(model.state_dict(), folder / "model.safetensors")
    if config:  # as timm pushes it to the Hub
        arguments = {"num_heads": 3, "img_size": list(model.patch_embed.img_size)}
        values = {"architecture": "vit_tiny_patch16_224", "model_args": arguments}
        (folder / "config.json").write_text(json.dumps(values))
    return folder


def load(path, **ours):
    return load_vit(path, **{"max_frames": 64, **ours})


def assert_equal_layers(model, expected, patches, compute=eager):
    np.testing.assert_allclose(compute(model.embed, patches), expected[0], atol=1e-5)
    for block, before, after in zip(model.blocks, expected, expected[1:]):
        np.testing.assert_allclose(compute(block.__call__, before), after, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(compute(model.__call__, patches).pooled, expected[-1], atol=1e-4)


@pytest.mark.parametrize(("pool", "timm_pool"), [("class", "token"), ("mean", "avg")])
def test_timm_layers_and_model(tmp_path, pool, timm_pool):
    reference_model = random_vit(img_size=(64, 40), global_pool=timm_pool)
    model = load(save_timm(tmp_path, reference_model), pool=pool)
    assert model.config == ViTConfig(
        width=24, depth=2, heads=3, mlp_width=40, patch_size=8, max_frames=64, pool=pool
    )
    assert model.config.norm_eps == 1e-6
    assert_equal_layers(model, hidden_states(reference_model, motion(40)), motion(40))
    out = eager(model.__call__, motion(40))
    np.testing.assert_allclose(
        out.tokens, timm_reference.tokens(reference_model, motion(40)), atol=1e-4
    )


@pytest.mark.parametrize("wrong", [{"activation": "gelu_new"}, {"norm_eps": 1e-12}, {"heads": 2}])
def test_the_comparison_with_timm_detects_errors(tmp_path, wrong):
    reference_model = random_vit(img_size=(64, 40), global_pool="token")
    if "norm_eps" in wrong:  # Hugging Face's; it shows where activations are small
        with torch.no_grad():
            for parameter in (*reference_model.parameters(),)[:4]:  # of the embedding
                parameter.mul_(1e-3)
    model = load(save_timm(tmp_path, reference_model), pool="class")
    expected = hidden_states(reference_model, motion(40))[-1]
    config = dataclasses.replace(model.config, **{k: v for k, v in wrong.items() if k != "heads"})
    if "heads" in wrong:
        model = load(save_timm(tmp_path, reference_model, config=False), heads=2, pool="class")
        config = model.config
    wrong_model = reference.build(config, ViT, nnx.state(model))
    assert np.abs(eager(wrong_model.__call__, motion(40)).pooled - expected).max() > 2e-4


def test_final_norm_fresh_or_loaded(tmp_path):
    """A source with class pooling, read with mean pooling: as published, or with its norm."""
    reference_model = random_vit(img_size=(64, 40), global_pool="token")
    folder = save_timm(tmp_path, reference_model)
    patches = motion(40)
    pooled = torch.from_numpy(hidden_states(reference_model, patches)[-2][:, 1:].mean(1))
    fresh = torch.nn.functional.layer_norm(pooled, (24,), eps=1e-6)
    np.testing.assert_allclose(eager(load(folder).__call__, patches).pooled, fresh, atol=1e-4)
    with torch.no_grad():
        loaded = reference_model.norm(pooled)
    out = eager(load(folder, final_norm="load").__call__, patches)
    np.testing.assert_allclose(out.pooled, loaded, atol=1e-4)
    assert np.abs(fresh - loaded).max() > 0.1
    with pytest.raises(ValueError, match="final_norm is 'keep'; valid: 'fresh', 'load'"):
        load(folder, final_norm="keep")


def test_a_file_alone_needs_its_heads(tmp_path):
    reference_model = random_vit(img_size=(64, 40), global_pool="token")
    save_timm(tmp_path, reference_model, config=False)
    path = tmp_path / "model.safetensors"
    model = load(path, heads=3, pool="class")
    assert_equal_layers(model, hidden_states(reference_model, motion(40)), motion(40))
    with pytest.raises(ValueError, match="24 is not a multiple of 64, the usual width"):
        load(path, pool="class")
    own = load_file(path)
    save_file({f"module.{key}": value for key, value in own.items()}, path)  # of DataParallel
    wrapped = load(path, heads=3, pool="class")
    np.testing.assert_array_equal(wrapped.positions, model.positions)


@pytest.mark.parametrize("parts", [5, 10])
def test_positions_resized_to_any_grid_equal_timms(tmp_path, parts):
    square = random_vit(img_size=(64, 64), global_pool="token")
    model = load(save_timm(tmp_path, square), pool="class", parts=parts)
    resized = random_vit(img_size=(64, 8 * parts), global_pool="token")
    resized.load_state_dict(timm_checkpoint(square.state_dict(), resized))
    patches = motion(8 * parts)
    assert_equal_layers(model, hidden_states(resized, patches), patches, run)


def timm_checkpoint(state_dict, model):
    from timm.models.vision_transformer import checkpoint_filter_fn

    return checkpoint_filter_fn(dict(state_dict), model, interpolation="bicubic", antialias=True)


def google_arrays(width=24, depth=2, heads=3, mlp=40, patch=8, tokens=65, big_vision=False):
    """Random arrays under the names of google-research/vision_transformer, or its successor's."""
    rng = np.random.default_rng(0)
    numbers = (0, 0, 1, 0) if big_vision else (0, 1, 2, 3)  # norm, attention, norm, MLP
    shapes = {
        "cls": (1, 1, width),
        "embedding/kernel": (patch, patch, 3, width),
        "embedding/bias": (width,),
        "head/kernel": (width, 7),
        "head/bias": (7,),
    }
    positions = "pos_embedding" if big_vision else "Transformer/posembed_input/pos_embedding"
    shapes[positions] = (1, tokens, width)
    for i in range(depth):
        block = f"Transformer/encoderblock_{i}/"
        for number in (numbers[0], numbers[2]):
            shapes |= {f"{block}LayerNorm_{number}/{leaf}": (width,) for leaf in ("scale", "bias")}
        attention = f"{block}MultiHeadDotProductAttention_{numbers[1]}/"
        for name in ("query", "key", "value"):
            shapes[f"{attention}{name}/kernel"] = (width, heads, width // heads)
            shapes[f"{attention}{name}/bias"] = (heads, width // heads)
        shapes[f"{attention}out/kernel"] = (heads, width // heads, width)
        shapes[f"{attention}out/bias"] = (width,)
        for layer, (inputs, outputs) in enumerate(((width, mlp), (mlp, width))):
            dense = f"{block}MlpBlock_{numbers[3]}/Dense_{layer}/"
            shapes |= {dense + "kernel": (inputs, outputs), dense + "bias": (outputs,)}
    shapes |= {f"Transformer/encoder_norm/{leaf}": (width,) for leaf in ("scale", "bias")}
    return {
        key: (rng.normal(0, 0.3, shape) + key.endswith("scale")).astype(np.float32)
        for key, shape in shapes.items()
    }


@pytest.mark.parametrize(
    ("prefix", "big_vision"), [("", False), ("opt/target/", False), ("params/", True)]
)
def test_googles_npz_equals_timms_reading_of_it(tmp_path, prefix, big_vision):
    arrays = google_arrays(big_vision=big_vision)
    np.savez(tmp_path / "vit.npz", **{prefix + key: value for key, value in arrays.items()})
    reference_model = random_vit(img_size=(64, 64), global_pool="token")
    reference_model.load_pretrained(str(tmp_path / "vit.npz"))
    model = load(tmp_path / "vit.npz", pool="class", parts=8)
    assert model.config == ViTConfig(
        width=24, depth=2, heads=3, mlp_width=40, patch_size=8, max_frames=64, pool="class", parts=8
    )
    patches = motion(64)
    assert_equal_layers(model, hidden_states(reference_model, patches), patches)


def test_googles_npz_with_mean_pooling_and_in_bfloat16(tmp_path):
    arrays = google_arrays()
    np.savez(tmp_path / "vit.npz", **arrays)
    half = {key: value.astype(ml_dtypes.bfloat16) for key, value in arrays.items()}
    np.savez(tmp_path / "half.npz", **half)
    fresh, loaded = load(tmp_path / "vit.npz"), load(tmp_path / "half.npz", final_norm="load")
    np.testing.assert_array_equal(fresh.fc_norm.scale[...], 1.0)
    np.testing.assert_array_equal(
        loaded.fc_norm.scale[...], half["Transformer/encoder_norm/scale"].astype(np.float32)
    )
    np.testing.assert_array_equal(
        loaded.blocks[1].mlp.up.kernel[...],
        half["Transformer/encoderblock_1/MlpBlock_3/Dense_0/kernel"].astype(np.float32),
    )


@pytest.mark.parametrize("patch", [8, 16, 32])
def test_patch_sizes(tmp_path, patch):
    torch.manual_seed(0)
    sizes = {"embed_dim": 24, "depth": 1, "num_heads": 3, "num_classes": 0}
    reference_model = timm_reference.VisionTransformer(
        img_size=(64, 5 * patch), patch_size=patch, global_pool="avg", **sizes
    ).eval()
    model = load(save_timm(tmp_path, reference_model))
    assert model.config.patch_size == patch
    patches = motion(5 * patch)
    expected = hidden_states(reference_model, patches)[-1]
    np.testing.assert_allclose(run(model.__call__, patches).pooled, expected, atol=1e-4)


def test_sources_that_are_not_a_vit(tmp_path):
    from safetensors.numpy import save_file

    save_file({"a": np.zeros(3, np.float32)}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"not a ViT in a known layout: expected Hugging Face's"):
        load(tmp_path / "model.safetensors")
    np.savez(tmp_path / "a.npz", a=np.zeros(3))
    with pytest.raises(
        ValueError, match=r"not one of Google's ViT checkpoints: it has no embedding"
    ):
        load(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", a=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match=r"b.npz is not a complete .npz file.* never unpickled"):
        load(tmp_path / "b.npz")
    (tmp_path / "c.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:-30])
    with pytest.raises(ValueError, match=r"c.npz is not a complete .npz file"):
        load(tmp_path / "c.npz")


def test_an_extra_and_a_missing_key_of_timm(tmp_path):
    reference_model = random_vit(img_size=(64, 40), global_pool="token", reg_tokens=0)
    reference_model.reg_token = torch.nn.Parameter(torch.zeros(1, 4, 24))
    del reference_model.blocks[1].norm2
    folder = save_timm(tmp_path, reference_model)
    with pytest.raises(ValueError, match="3 mismatches") as error:
        load(folder, pool="class")
    assert "unexpected  reg_token [1, 4, 24]" in str(error.value)
    assert "missing     nothing fills blocks/1/mlp_norm/scale [24]" in str(error.value)


@pytest.mark.parametrize("config", [{"img_size": 64}, {"img_size": [64, 64]}, None])
def test_image_sizes_of_timm(tmp_path, config):
    reference_model = random_vit(img_size=(64, 64), global_pool="token")
    folder = save_timm(tmp_path, reference_model)
    values = {"architecture": "vit", "model_args": {"num_heads": 3, **(config or {})}}
    if config is None:
        values |= {"pretrained_cfg": {"input_size": [3, 64, 64]}}
    (folder / "config.json").write_text(json.dumps(values))
    model = load(folder, pool="class", parts=8)
    assert_equal_layers(model, hidden_states(reference_model, motion(64)), motion(64))


def test_timms_arguments_are_used_or_rejected(tmp_path):
    reference_model = random_vit(img_size=(64, 40), global_pool="token", act_layer="quick_gelu")
    folder = save_timm(tmp_path, reference_model)
    values = {"architecture": "vit", "pretrained_cfg": None}
    values["model_args"] = {"num_heads": 3, "act_layer": "quick_gelu"}
    (folder / "config.json").write_text(json.dumps(values))
    model = load(folder, pool="class")
    assert model.config.activation == "quick_gelu"
    assert_equal_layers(model, hidden_states(reference_model, motion(40)), motion(40))
    values["model_args"]["reg_tokens"] = 4
    (folder / "config.json").write_text(json.dumps(values))
    with pytest.raises(ValueError, match="model_args reg_tokens, which this ViT does not support"):
        load(folder, pool="class")


def test_a_grid_that_could_be_a_square():
    config = ViTConfig(width=24, depth=1, heads=3, mlp_width=40, max_frames=320)
    assert config.grid == (20, 5)
    assert vit_weights.source_grid(101, config, None) == (20, 5)
    assert vit_weights.source_grid(101, config, (160, 160)) == (10, 10)
    assert vit_weights.source_grid(197, config, None) == (14, 14)
    assert vit_weights.source_grid(71, config, None) == (14, 5)
    with pytest.raises(ValueError, match="13 position embeddings form neither"):
        vit_weights.source_grid(14, config, None)


@pytest.mark.parametrize("layout", ["timm", "google"])
def test_key_maps_are_invertible(tmp_path, layout):
    """`export` returns the source's tensors, without the task head and excused tensors."""
    if layout == "timm":
        save_timm(tmp_path, random_vit(img_size=(64, 40), global_pool="token"))
        source = Source(tmp_path)
    else:
        np.savez(tmp_path / "vit.npz", **google_arrays(tokens=41))
        source = Source(tmp_path / "vit.npz")
    config = vit_weights.config_from(source, max_frames=64, pool="class")
    key_map = vit_weights.key_map(config, source)
    shapes = nnx.state(nnx.eval_shape(lambda: ViT(config, rngs=nnx.Rngs(0))))
    loaded = load_weights(shapes, source, key_map)
    params = {
        parameter_path(path): np.asarray(value)
        for path, value in jax.tree_util.tree_flatten_with_path(loaded)[0]
    }
    exported = keymap.export(params, key_map)
    kept = {key for key in source.tensors if not key.startswith("head/")}
    assert exported.keys() == kept
    for key, value in exported.items():
        np.testing.assert_array_equal(value, source.tensors[key].read(), err_msg=key)
    with pytest.raises(ValueError, match="this format has no name for other"):
        keymap.export({**params, "other": np.zeros(2)}, key_map)
