"""ViT against Hugging Face's, layer by layer and whole, and its masking of padded frames."""

import dataclasses

import numpy as np
import pytest
import reference
from flax import nnx
from reference import run, torch, transformers

from motionalign.models import layers, vit_weights
from motionalign.models.vit import ViT, ViTConfig
from motionalign.models.weights import keymap
from motionalign.models.weights.load import load_weights
from motionalign.models.weights.source import Source

CONFIG = ViTConfig(
    width=24, depth=2, heads=3, mlp_width=40, patch_size=8, max_frames=60, norm_eps=1e-12
)  # 60 frames: 8 rows of tokens, the last one not full


def save(folder, activation="gelu", eps=1e-12, model_class="ViTModel", image_size=(64, 40)):
    config = transformers.ViTConfig(
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=40,
        patch_size=8,
        image_size=image_size,
        hidden_act=activation,
        layer_norm_eps=eps,
    )
    return reference.save_random(folder, model_class, config)


def load(folder, final_norm="fresh", **ours):
    """With parameters that the loader leaves fresh at 1 (scale) and 0 (bias)."""
    source = Source(folder)
    config = vit_weights.config_from(source, max_frames=60, **ours)
    params = nnx.state(reference.build(config, ViT))
    if config.pool == "mean":
        params["fc_norm"]["scale"][...] = np.ones(24, np.float32)
        params["fc_norm"]["bias"][...] = np.zeros(24, np.float32)
    key_map = vit_weights.key_map(config, source, final_norm)
    return reference.build(config, ViT, load_weights(params, source, key_map))


def motion(batch=2, frames=64, points=40):
    return np.random.default_rng(0).normal(size=(batch, frames, points, 3)).astype(np.float32)


def hidden_states(model, patches):
    # Frames are the image's rows and points its columns.
    return reference.hidden_states(model, pixel_values=patches.transpose(0, 3, 1, 2))


@pytest.mark.parametrize(
    ("activation", "model_class"),
    [("gelu", "ViTForMaskedImageModeling"), ("gelu_pytorch_tanh", "ViTForImageClassification")],
)
def test_layers_and_whole_equal_hugging_face(tmp_path, activation, model_class):
    reference_model = save(tmp_path, activation, model_class=model_class)
    patches = motion()
    expected = hidden_states(reference_model, patches)
    model = load(tmp_path, pool="class")
    assert model.config == dataclasses.replace(CONFIG, pool="class", activation=activation)

    np.testing.assert_allclose(run(model.embed, patches), expected[0], rtol=1e-5, atol=1e-5)
    for block, before, after in zip(model.blocks, expected, expected[1:]):
        np.testing.assert_allclose(run(block.__call__, before), after, rtol=1e-5, atol=1e-5)
    with torch.no_grad():
        norm = reference_model.base_model.layernorm
        final = norm(torch.from_numpy(expected[-1])).numpy()
    np.testing.assert_allclose(run(model.__call__, patches), final[:, 0], atol=1e-4)

    # Mean pooling: patch tokens only, before a norm that starts at 1 and 0.
    pooled = expected[-1][:, 1:].mean(1)
    pooled = (pooled - pooled.mean(1, keepdims=True)) / pooled.std(1, keepdims=True)
    np.testing.assert_allclose(run(load(tmp_path).__call__, patches), pooled, atol=1e-4)


@pytest.mark.parametrize("wrong", [{"activation": "gelu_new"}, {"norm_eps": 1e-3}])
def test_the_comparison_notices_a_wrong_gelu_or_epsilon(tmp_path, wrong):
    save(tmp_path)
    model = load(tmp_path, pool="class")
    wrong_config = dataclasses.replace(model.config, **wrong)
    wrong_model = reference.build(wrong_config, ViT, nnx.state(model))
    patches = 0.01 * motion()
    out = run(model.__call__, patches)
    assert np.abs(run(wrong_model.__call__, patches) - out).max() > 2e-4


def test_epsilon_comes_from_the_source(tmp_path):
    reference_model = save(tmp_path, eps=1e-2)
    expected = hidden_states(reference_model, motion())
    model = load(tmp_path, pool="class")
    for block, before, after in zip(model.blocks, expected, expected[1:]):
        np.testing.assert_allclose(run(block.__call__, before), after, rtol=1e-5, atol=1e-5)


def test_positions_of_a_square_source_are_resized_to_the_grid(tmp_path):
    source = save(tmp_path, image_size=64)  # 8 x 8 positions
    model = load(tmp_path)
    positions = source.base_model.embeddings.position_embeddings[0].detach()
    grid = positions[1:].T.reshape(1, 24, 8, 8)
    expected = torch.nn.functional.interpolate(
        grid, (8, 5), mode="bicubic", align_corners=False, antialias=True
    )
    np.testing.assert_array_equal(model.positions[0], positions[0])
    np.testing.assert_allclose(model.positions[1:], expected[0].reshape(24, -1).T, atol=1e-6)


@pytest.mark.parametrize("columns", [5, 10])
def test_resized_positions_equal_timm(test_data, columns):
    golden = np.load(test_data / "golden/timm_pos_embed_resize.npz")
    resized = keymap.resize_positions(golden["pos_embed_14x14"][0], (14, 14), (14, columns))
    np.testing.assert_allclose(resized, golden[f"resized_14x{columns}"][0], atol=1e-5)


@pytest.mark.parametrize("pool", ["mean", "class"])
def test_a_masked_batch_equals_single_clips(pool):
    config = dataclasses.replace(CONFIG, pool=pool, padding="mask")
    model = reference.build(config, ViT)
    patches, num_frames = motion(3), np.array([60, 17, 1], np.int32)
    patches[np.arange(64) >= num_frames[:, None]] = 0.0
    together = run(model.__call__, patches, num_frames)
    for row, padded in ((1, 24), (2, 8)):
        alone = run(model.__call__, patches[row : row + 1, :padded], num_frames[row : row + 1])
        np.testing.assert_allclose(together[row], alone[0], atol=1e-5)
    # What lies in tokens without a real frame is not looked at.
    patches[1, 24:] = 7.0
    patches[2, 8:] = -7.0
    np.testing.assert_array_equal(run(model.__call__, patches, num_frames), together)


def test_attending_to_padding_ignores_the_number_of_frames():
    model = reference.build(CONFIG, ViT)
    patches = motion()
    out = run(model.__call__, patches, np.array([3, 4], np.int32))
    np.testing.assert_array_equal(out, run(model.__call__, patches, np.array([60, 60], np.int32)))


@pytest.mark.parametrize(
    ("frames", "points", "padding", "message"),
    [
        (56, 40, "attend", "every clip is padded to max_frames=64"),
        (72, 40, "mask", "multiple of 8 frames up to 64"),
        (60, 40, "mask", "multiple of 8 frames up to 64"),
        (64, 80, "mask", "64 frames x 80 points; this model takes 40 points"),
    ],
)
def test_wrong_input_shapes(frames, points, padding, message):
    config = dataclasses.replace(CONFIG, padding=padding)
    model = nnx.eval_shape(lambda: ViT(config, rngs=nnx.Rngs(0)))
    with pytest.raises(ValueError, match=message):
        model.embed(motion(1, frames, points))


def test_masking_needs_the_number_of_frames():
    with pytest.raises(ValueError, match="padding='mask' needs num_frames"):
        layers.patch_mask(dataclasses.replace(CONFIG, padding="mask"), 64, None)


def test_no_dropout_by_default(monkeypatch):
    model = reference.build(CONFIG, ViT)
    assert reference.dropout_sites(monkeypatch, model, motion(), np.array([60, 60])) == []
    model = reference.build(dataclasses.replace(CONFIG, dropout=0.1), ViT)
    sites = reference.dropout_sites(monkeypatch, model, motion(), np.array([60, 60]))
    assert sites == 5 * [(0.1, (2, 41, 24))]  # embedding, and two in each of two blocks
