"""GaitFormer and the encoder of Walk and Text, against the published code and PyTorch's layers."""

import dataclasses

import jax
import numpy as np
import pytest
import reference
from flax import nnx
from reference import run, torch

from motionalign.data import representation
from motionalign.models import motion_transformer
from motionalign.models.motion_transformer import MotionTransformer, MotionTransformerConfig
from motionalign.models.weights.load import load_weights, parameter_path
from motionalign.models.weights.source import Source

CONFIG = MotionTransformerConfig(
    joints=5,
    channels=3,
    width=24,
    depth=2,
    heads=4,
    mlp_width=40,
    norm="pre",
    positions="learned",
    frames=11,
)


def torch_encoder(norm):
    """PyTorch's own encoder, norms and biases away from 1 and 0."""
    torch.manual_seed(0)
    layer = torch.nn.TransformerEncoderLayer(
        24, 4, 40, activation="gelu", batch_first=True, norm_first=norm == "pre"
    )
    encoder = torch.nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return encoder


def load(folder, encoder, norm):
    """Ours with the weights of PyTorch's encoder, between random others."""
    from safetensors.torch import save_file

    tensors = {f"encoder.{key}": value for key, value in encoder.state_dict().items()}
    tensors["skeleton_encoding.weight"] = torch.randn(24, 15)
    tensors["skeleton_encoding.bias"] = torch.randn(24)
    tensors["positional_embedding"] = torch.randn(1, 11, 24)
    save_file(tensors, folder / "model.safetensors")
    config = dataclasses.replace(CONFIG, norm=norm)
    params = nnx.state(nnx.eval_shape(lambda: MotionTransformer(config, rngs=nnx.Rngs(0))))
    source = Source(folder)
    params = load_weights(params, source, motion_transformer.gaitformer_key_map())
    return reference.build(config, MotionTransformer, params)


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_layers_equal_pytorchs(tmp_path, norm):
    encoder = torch_encoder(norm)
    model = load(tmp_path, encoder, norm)
    x = np.random.default_rng(0).normal(size=(3, 11, 24)).astype(np.float32)
    for block, layer in zip(model.blocks, encoder.layers):
        with torch.no_grad():
            expected = layer(torch.from_numpy(x)).numpy()
        np.testing.assert_allclose(run(block.__call__, x), expected, atol=1e-5)
        x = expected


@pytest.mark.parametrize("wrong", [{"activation": "gelu_new"}, {"norm_eps": 1e-2}])
@pytest.mark.parametrize("norm", ["pre", "post"])
def test_the_comparison_notices_a_wrong_gelu_or_epsilon(tmp_path, norm, wrong):
    encoder = torch_encoder(norm)
    model = load(tmp_path, encoder, norm)
    config = dataclasses.replace(model.config, **wrong)
    wrong_model = reference.build(config, MotionTransformer, nnx.state(model))
    x = np.random.default_rng(0).normal(size=(3, 11, 24)).astype(np.float32)
    with torch.no_grad():
        expected = encoder.layers[0](torch.from_numpy(x)).numpy()
    assert np.abs(run(wrong_model.blocks[0].__call__, x) - expected).max() > 2e-4


@pytest.mark.parametrize("readout", ["first", "mean"])
@pytest.mark.parametrize("positions", ["learned", "sinusoidal"])
def test_readout(readout, positions):
    config = dataclasses.replace(CONFIG, readout=readout, positions=positions)
    model = reference.build(config, MotionTransformer)
    joints = np.random.default_rng(0).normal(size=(2, 11, 5, 3)).astype(np.float32)
    x = run(model.embed, joints)
    for block in model.blocks:
        x = run(block.__call__, x)
    expected = x[:, 0] if readout == "first" else x.mean(1)
    np.testing.assert_allclose(run(model.__call__, joints), expected, atol=1e-5)


def test_wrong_input_shape():
    model = reference.build(CONFIG, MotionTransformer)
    with pytest.raises(ValueError, match=r"\(2, 12, 5, 3\); this model takes \[clips, 11, 5, 3\]"):
        run(model.__call__, np.zeros((2, 12, 5, 3), np.float32))


def test_dropout_sites_are_pytorchs(monkeypatch):
    weights, hidden, inner = (0.1, (2, 4, 11, 11)), (0.1, (2, 11, 24)), (0.1, (2, 11, 40))
    block = [weights, hidden, inner, hidden]
    joints = np.zeros((2, 11, 5, 3), np.float32)
    for positions, expected in (("learned", []), ("sinusoidal", [hidden])):
        config = dataclasses.replace(CONFIG, positions=positions, readout="mean")
        model = reference.build(config, MotionTransformer)
        sites = reference.dropout_sites(monkeypatch, model, joints, np.array([11, 11]))
        assert sites == expected + 2 * block


def test_a_clip_is_cut_filled_up_and_moved_to_the_origin():
    joints = np.arange(4 * 5 * 3, dtype=np.float32).reshape(4, 5, 3)
    filled = representation.clip(joints, CONFIG)
    assert filled.shape == (11, 5, 3)
    np.testing.assert_array_equal(filled[0, 0], 0)
    np.testing.assert_array_equal(filled[:4], joints - joints[0, 0])
    np.testing.assert_array_equal(filled[4:], np.broadcast_to(filled[3], (7, 5, 3)))
    config = dataclasses.replace(CONFIG, frames=2, root=None)
    np.testing.assert_array_equal(representation.clip(joints, config), joints[:2])


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_initial_values_are_the_published_ones(norm):
    """Against PyTorch's layers, as GaitFormer leaves them and as Walk and Text redraws them."""
    sizes = {"width": 128, "heads": 4, "mlp_width": 256, "depth": 1, "joints": 18, "norm": norm}
    config = dataclasses.replace(CONFIG, **sizes)
    torch.manual_seed(0)
    layer = torch.nn.TransformerEncoderLayer(128, 4, 256)
    embed = torch.nn.Linear(54, 128)
    if norm == "post":
        for parameter in (*layer.parameters(), *embed.parameters()):
            if parameter.dim() > 1:
                torch.nn.init.xavier_uniform_(parameter)
    expected = {
        "frame_embed": embed,
        "attention/out": layer.self_attn.out_proj,
        "mlp/up": layer.linear1,
        "mlp/down": layer.linear2,
    }
    model = jax.jit(lambda: MotionTransformer(config, rngs=nnx.Rngs(0)))()
    params = {
        parameter_path(path).removeprefix("blocks/0/"): np.asarray(value)
        for path, value in jax.tree_util.tree_flatten_with_path(nnx.state(model))[0]
    }
    for path, theirs in expected.items():
        for leaf, tensor in (("kernel", theirs.weight), ("bias", theirs.bias)):
            spread = tensor.detach().numpy().std()
            assert params[f"{path}/{leaf}"].std() == pytest.approx(spread, rel=0.15), path
            largest = np.abs(tensor.detach().numpy()).max()
            assert np.abs(params[f"{path}/{leaf}"]).max() == pytest.approx(largest, rel=0.1), path
    for name in ("query", "key", "value"):
        spread = layer.self_attn.in_proj_weight.detach().numpy().std()
        assert params[f"attention/{name}/kernel"].std() == pytest.approx(spread, rel=0.05)
        np.testing.assert_array_equal(params[f"attention/{name}/bias"], 0)
    assert params["positions"].std() == pytest.approx(1, rel=0.1)  # GaitFormer's
