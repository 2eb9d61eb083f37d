"""GaitFormer and the encoder of Walk and Text: readout, initial values; see also test_towers.py."""

import dataclasses

import jax
import numpy as np
import pytest
from flax import nnx
from reference import eager, torch
from towers import GAITFORMER

from motionalign.data import augment
from motionalign.models import motion_transformer
from motionalign.models.families import representation_of
from motionalign.models.motion_transformer import MotionTransformer
from motionalign.models.weights.load import parameter_path


@pytest.mark.parametrize("readout", ["first", "mean"])
@pytest.mark.parametrize("positions", ["learned", "sinusoidal"])
@pytest.mark.parametrize("norm", ["pre", "post"])
def test_readout(norm, positions, readout):
    model = GAITFORMER.build(readout=readout, positions=positions, norm=norm)
    joints, _ = GAITFORMER.inputs
    x = eager(model.embed, joints)
    for block in model.blocks:
        x = eager(block.__call__, x)
    expected = x[:, 0] if readout == "first" else x.mean(1)
    out = eager(model.__call__, joints)
    np.testing.assert_allclose(out.pooled, expected, atol=1e-5)
    np.testing.assert_allclose(out.tokens, x, atol=1e-5)


def test_the_number_of_frames_is_ignored():
    model = GAITFORMER.build()
    joints, _ = GAITFORMER.inputs
    out = eager(model.__call__, joints, np.array([1, 5, 13], np.int32))
    np.testing.assert_array_equal(out.pooled, eager(model.__call__, joints).pooled)
    assert out.mask.all()


def test_windows_equal_those_of_augment():
    assert motion_transformer.WINDOWS == augment.WINDOWS


def test_a_clip_is_cropped_padded_and_centred():
    config = dataclasses.replace(GAITFORMER.config, frames=11)
    joints = np.arange(4 * 5 * 3, dtype=np.float32).reshape(4, 5, 3)
    filled = representation_of(config, frame_bucket=1).window(joints)
    assert filled.shape == (11, 5, 3)
    np.testing.assert_array_equal(filled[0, 0], 0)
    np.testing.assert_array_equal(filled[:4], joints - joints[0, 0])
    np.testing.assert_array_equal(filled[4:], np.broadcast_to(filled[3], (7, 5, 3)))
    config = dataclasses.replace(config, frames=2, root=None)
    two = representation_of(config, frame_bucket=1).window(joints)
    np.testing.assert_array_equal(two, joints[:2])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"norm": "both"}, "norm is 'both'; valid: 'pre', 'post'"),
        ({"positions": "none"}, "positions is 'none'; valid: 'learned', 'sinusoidal'"),
        ({"window": "end"}, "window is 'end'; valid: 'first', 'centre', 'spread'"),
        ({"frames": 0}, "frames is 0; it must be at least 1"),
        ({"root": 5}, "root is 5; the joints of the encoder are 0 to 4"),
    ],
)
def test_mistakes_in_a_config(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(GAITFORMER.config, **changes)


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_initial_values_are_the_published_ones(norm):
    """Compared with PyTorch's layers: GaitFormer's defaults, Walk and Text's own values."""
    sizes = {"width": 128, "heads": 4, "mlp_width": 256, "depth": 1, "joints": 18, "norm": norm}
    config = dataclasses.replace(GAITFORMER.config, **sizes)
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
    model = MotionTransformer(config, rngs=nnx.Rngs(0))
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
