"""ViT: resized positions and padded frames; see also test_towers.py."""

import dataclasses

import numpy as np
import pytest
from reference import eager, torch
from towers import VIT, load_vit, motion, save_vit

from motionalign.models import layers
from motionalign.models.weights import keymap


def test_positions_of_a_square_source_are_resized_to_the_grid(tmp_path):
    source = save_vit(tmp_path, image_size=64)  # 8 x 8 positions
    model = load_vit(tmp_path)
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


def test_attending_to_padding_ignores_the_number_of_frames():
    model = VIT.build()
    out, other = (
        eager(model.__call__, motion(40), np.array(frames, np.int32))
        for frames in ([3, 4], [60, 60])
    )
    np.testing.assert_array_equal(out.pooled, other.pooled)
    np.testing.assert_array_equal(out.tokens, other.tokens)
    assert out.mask.all()


@pytest.mark.parametrize(
    ("frames", "points", "padding", "message"),
    [
        (56, 40, "attend", "every clip must be padded to max_frames=64"),
        (72, 40, "mask", "multiple of 8 frames up to 64"),
        (60, 40, "mask", "multiple of 8 frames up to 64"),
        (64, 80, "mask", "64 frames x 80 points; this model takes 40 points"),
    ],
)
def test_wrong_input_shapes(frames, points, padding, message):
    with pytest.raises(ValueError, match=message):
        VIT.build(padding=padding).embed(np.zeros((1, frames, points, 3), np.float32))


def test_masking_needs_the_number_of_frames():
    with pytest.raises(ValueError, match="padding='mask' needs num_frames"):
        layers.patch_mask(dataclasses.replace(VIT.config, padding="mask"), 64, None)


def test_no_dropout_by_default():
    assert VIT.config.dropout == 0.0
