"""CLIP: final norm, positions, end-of-text tokens, configs; see also test_towers.py."""

import json

import numpy as np
import pytest
from reference import eager, torch
from towers import CLIP_TEXT, CLIP_VISION, clip_vision, load_clip_vision, save_clip

from motionalign.models import clip
from motionalign.models.weights import keymap
from motionalign.models.weights.source import Source


@pytest.mark.parametrize(
    ("model_class", "activation"),
    [("CLIPModel", "quick_gelu"), ("CLIPVisionModel", "quick_gelu"), ("CLIPVisionModel", "gelu")],
)
def test_final_norm_fresh_or_loaded(tmp_path, model_class, activation):
    """With mean pooling, for which the source's final norm was not trained."""
    model = save_clip(tmp_path, model_class, activation)
    patches, _ = CLIP_VISION.compared
    states = CLIP_VISION.states(model, patches, None)
    mean = torch.from_numpy(states.blocks[-1][:, 1:].mean(1))
    with torch.no_grad():
        loaded = clip_vision(model).post_layernorm(mean)
    out = eager(load_clip_vision(tmp_path, final_norm="load", pool="mean").__call__, patches)
    np.testing.assert_allclose(out.pooled, loaded, atol=1e-4)
    assert np.abs(states.encoded["mean"][1] - loaded.numpy()).max() > 0.1
    with pytest.raises(ValueError, match="final_norm is 'keep'; valid: 'fresh', 'load'"):
        load_clip_vision(tmp_path, final_norm="keep")


def test_vision_positions_are_resized(tmp_path):
    save_clip(tmp_path)
    model = load_clip_vision(tmp_path, parts=5)
    source = Source(tmp_path)
    table = source.tensors["vision_model.embeddings.position_embedding.weight"].read()
    expected = keymap.resize_positions(table, (8, 8), (8, 5))
    np.testing.assert_allclose(model.positions[...], expected, atol=1e-6)


def test_end_of_text_token_in_old_configs(tmp_path):
    """eos_token_id 2 stands for the highest id."""
    ids, mask = CLIP_TEXT.inputs
    ids = ids.copy()
    ids[0, 3] = 2
    _, expected = CLIP_TEXT.states(save_clip(tmp_path, end=2), ids, mask).encoded["end"]
    model = CLIP_TEXT.load(tmp_path)
    assert model.config.eos_id is None
    np.testing.assert_allclose(eager(model.__call__, ids, mask).pooled, expected, atol=1e-4)


def test_configs_that_leave_out_the_defaults():
    """As the published CLIPs' do; ViT-B/32."""
    config = {"model_type": "clip", "text_config": {"eos_token_id": 2}, "vision_config": None}
    text = clip.config_from_hf(json.loads(json.dumps(config)))
    assert text == clip.CLIPTextConfig(49408, 512, 12, 8, 2048)
    vision = clip.vision_config_from_hf(config)
    assert vision == clip.CLIPVisionConfig(**clip.VISION_SIZES["B"], patch_size=32)
    with pytest.raises(ValueError, match="'bert'; expected 'clip' or 'clip_text_model'"):
        clip.config_from_hf({"model_type": "bert"})
    with pytest.raises(ValueError, match="needs 3 channels; the source has 1"):
        clip.vision_config_from_hf({"model_type": "clip_vision_model", "num_channels": 1})
