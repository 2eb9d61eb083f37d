"""CLIP's two towers against Hugging Face's, layer by layer and whole, through the real loader."""

import dataclasses
import json

import numpy as np
import pytest
import reference
from flax import nnx
from reference import masked_mean, run, text_batch, torch, transformers

from motionalign.models import clip
from motionalign.models.weights import keymap
from motionalign.models.weights.load import load_weights
from motionalign.models.weights.source import Source

END = 49  # of a text, in a vocabulary of 50
TEXT = clip.CLIPTextConfig(
    vocab_size=50, width=24, depth=2, heads=4, mlp_width=40, max_positions=20, eos_id=END
)
VISION = clip.CLIPVisionConfig(
    width=24, depth=2, heads=3, mlp_width=40, patch_size=8, max_frames=64, parts=8
)


def save(folder, model_class="CLIPModel", activation="quick_gelu", eps=1e-5, end=END):
    common = {"num_hidden_layers": 2, "intermediate_size": 40, "hidden_size": 24}
    common |= {"hidden_act": activation, "layer_norm_eps": eps}
    text = {"vocab_size": 50, "num_attention_heads": 4, "max_position_embeddings": 20}
    text = text | common | {"eos_token_id": end, "bos_token_id": 48}
    vision = {"num_attention_heads": 3, "image_size": 64, "patch_size": 8} | common
    if model_class == "CLIPModel":
        config = transformers.CLIPConfig(text_config=text, vision_config=vision)
    elif model_class == "CLIPTextModel":
        config = transformers.CLIPTextConfig(**text)
    else:
        config = transformers.CLIPVisionConfig(**vision)
    model = reference.save_random(folder, model_class, config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "embedding" in name:
                parameter.normal_(0, 0.5)
    model.save_pretrained(folder)
    return model


def towers(model):
    """(vision, text), of a whole model or the one that it is."""
    if hasattr(model, "vision_model"):
        return model.vision_model, model.text_model
    return (model, None) if "Vision" in type(model).__name__ else (None, model)


def load_vision(folder, final_norm="fresh", **ours):
    source = Source(folder)
    config = clip.vision_config_from_hf(source.config(), max_frames=64, **{"parts": 8, **ours})
    params = nnx.state(reference.build(config, clip.CLIPVision))
    if config.pool == "mean":
        params["fc_norm"]["scale"][...] = np.ones(24, np.float32)
        params["fc_norm"]["bias"][...] = np.zeros(24, np.float32)
    key_map = clip.vision_key_map(config, source.config(), final_norm)
    return reference.build(config, clip.CLIPVision, load_weights(params, source, key_map))


def load_text(folder, **ours):
    return reference.load(folder, clip, clip.CLIPText, **ours)


def motion(points=64):
    return np.random.default_rng(0).normal(size=(2, 64, points, 3)).astype(np.float32)


def vision_states(model, patches):
    pixels = torch.from_numpy(patches.transpose(0, 3, 1, 2))
    with torch.no_grad():
        output = towers(model)[0](pixels, output_hidden_states=True)
    return [state.numpy() for state in output.hidden_states], output.pooler_output.numpy()


def captions():
    """Odd and short texts, each with its end; what follows it is the end again, as CLIP pads."""
    ids, mask = text_batch(48, (13, 2, 7))
    for row, length in zip(ids, mask.sum(1)):
        row[length - 1 :] = END
    return ids, mask


def text_states(model, ids, mask):
    with torch.no_grad():
        output = towers(model)[1](
            torch.from_numpy(ids).long(), torch.from_numpy(mask).long(), output_hidden_states=True
        )
    last = output.last_hidden_state.numpy()
    return [state.numpy() for state in output.hidden_states], last, output.pooler_output.numpy()


@pytest.mark.parametrize(
    ("model_class", "activation"),
    [("CLIPModel", "quick_gelu"), ("CLIPVisionModel", "quick_gelu"), ("CLIPVisionModel", "gelu")],
)
def test_vision_layers_and_whole(tmp_path, model_class, activation):
    reference_model = save(tmp_path, model_class, activation)
    states, pooled = vision_states(reference_model, motion())
    model = load_vision(tmp_path)
    assert model.config == dataclasses.replace(VISION, activation=activation)
    np.testing.assert_allclose(run(model.embed, motion()), states[0], atol=1e-5)
    for block, before, after in zip(model.blocks, states, states[1:]):
        np.testing.assert_allclose(run(block.__call__, before), after, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(run(model.__call__, motion()), pooled, atol=1e-4)

    mean = torch.from_numpy(states[-1][:, 1:].mean(1))
    fresh = torch.nn.functional.layer_norm(mean, (24,))
    out = run(load_vision(tmp_path, pool="mean").__call__, motion())
    np.testing.assert_allclose(out, fresh, atol=1e-4)
    with torch.no_grad():
        loaded = towers(reference_model)[0].post_layernorm(mean)
    out = run(load_vision(tmp_path, "load", pool="mean").__call__, motion())
    np.testing.assert_allclose(out, loaded, atol=1e-4)


def test_vision_positions_are_resized(tmp_path):
    model = load_vision(tmp_path if save(tmp_path) else None, parts=5)
    source = Source(tmp_path)
    table = source.tensors["vision_model.embeddings.position_embedding.weight"].read()
    expected = keymap.resize_positions(table, (8, 8), (8, 5))
    np.testing.assert_allclose(model.positions[...], expected, atol=1e-6)


@pytest.mark.parametrize("pool", ["mean", "class"])
def test_a_masked_batch_equals_single_clips(pool):
    config = dataclasses.replace(VISION, pool=pool, padding="mask")
    model = reference.build(config, clip.CLIPVision)
    patches, num_frames = motion(), np.array([64, 13], np.int32)
    patches[1, 13:] = 0.0
    together = run(model.__call__, patches, num_frames)
    alone = run(model.__call__, patches[1:, :16], num_frames[1:])
    np.testing.assert_allclose(together[1], alone[0], atol=1e-5)


@pytest.mark.parametrize(
    ("model_class", "activation"),
    [("CLIPModel", "quick_gelu"), ("CLIPTextModel", "quick_gelu"), ("CLIPTextModel", "gelu")],
)
def test_text_layers_and_whole(tmp_path, model_class, activation):
    ids, mask = captions()
    states, last, pooled = text_states(save(tmp_path, model_class, activation), ids, mask)
    model = load_text(tmp_path)
    assert model.config == dataclasses.replace(TEXT, activation=activation)
    np.testing.assert_allclose(run(model.embed, ids), states[0], atol=1e-5)
    bias = run(model.bias, mask)
    for block, before, after in zip(model.blocks, states, states[1:]):
        out = run(block.__call__, before, bias)
        np.testing.assert_allclose(out[mask], after[mask], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(run(model.__call__, ids, mask), pooled, atol=1e-4)
    out = run(load_text(tmp_path, readout="mean").__call__, ids, mask)
    np.testing.assert_allclose(out, masked_mean(last, mask), atol=1e-4)


def test_the_end_of_a_text_in_old_configs(tmp_path):
    """eos_token_id 2 means: the highest id."""
    ids, mask = captions()
    ids[0, 3] = 2
    expected = text_states(save(tmp_path, end=2), ids, mask)[2]
    model = load_text(tmp_path)
    assert model.config.eos_id is None
    np.testing.assert_allclose(run(model.__call__, ids, mask), expected, atol=1e-4)


@pytest.mark.parametrize("readout", ["end", "mean"])
def test_padding_changes_nothing(readout):
    model = reference.build(dataclasses.replace(TEXT, readout=readout), clip.CLIPText)
    ids, mask = captions()
    together = run(model.__call__, ids, mask)
    alone = run(model.__call__, ids[2:, :7], mask[2:, :7])
    np.testing.assert_allclose(together[2], alone[0], atol=1e-5)
    zeros = np.where(mask, ids, 0)
    np.testing.assert_allclose(run(model.__call__, zeros, mask), together, atol=1e-5)


@pytest.mark.parametrize("wrong", [{"activation": "gelu"}, {"norm_eps": 1e-2}])
def test_the_comparison_notices_a_wrong_gelu_or_epsilon(tmp_path, wrong):
    reference_model = save(tmp_path)
    ids, mask = captions()
    model = load_text(tmp_path)
    config = dataclasses.replace(model.config, **wrong)
    wrong_model = reference.build(config, clip.CLIPText, nnx.state(model))
    expected = text_states(reference_model, ids, mask)[2]
    assert np.abs(run(wrong_model.__call__, ids, mask) - expected).max() > 2e-4
    model = load_vision(tmp_path)
    config = dataclasses.replace(model.config, **wrong)
    wrong_model = reference.build(config, clip.CLIPVision, nnx.state(model))
    expected = vision_states(reference_model, motion())[1]
    assert np.abs(run(wrong_model.__call__, motion()) - expected).max() > 2e-4


def test_epsilon_comes_from_the_source(tmp_path):
    reference_model = save(tmp_path, eps=1e-2)
    ids, mask = captions()
    np.testing.assert_allclose(
        run(load_text(tmp_path).__call__, ids, mask),
        text_states(reference_model, ids, mask)[2],
        atol=1e-4,
    )
    expected = vision_states(reference_model, motion())[1]
    np.testing.assert_allclose(run(load_vision(tmp_path).__call__, motion()), expected, atol=1e-4)


def test_configs_that_leave_out_the_defaults(tmp_path):
    """As the published CLIPs' do; ViT-B/32."""
    config = {"model_type": "clip", "text_config": {"eos_token_id": 2}, "vision_config": None}
    text = clip.config_from_hf(json.loads(json.dumps(config)))
    assert text == clip.CLIPTextConfig(49408, 512, 12, 8, 2048)
    vision = clip.vision_config_from_hf(config)
    assert vision == clip.CLIPVisionConfig(**clip.VISION_SIZES["B"], patch_size=32)
    with pytest.raises(ValueError, match="'bert'; expected 'clip' or 'clip_text_model'"):
        clip.config_from_hf({"model_type": "bert"})


def test_too_many_tokens():
    model = reference.build(TEXT, clip.CLIPText)
    with pytest.raises(ValueError, match="21 tokens; this model has 20 positions"):
        run(model.__call__, np.ones((1, 21), np.int32), np.ones((1, 21), bool))
