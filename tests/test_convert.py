"""The command: a published model needs only one file and one line in the registry."""

import argparse
import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from bodies import body
from safetensors.numpy import load_file, save_file

import motionalign
from motionalign.checkpoints.published import format as published
from motionalign.checkpoints.published import registry
from motionalign.convert import main
from motionalign.data.dataset import Metadata
from motionalign.inference import similarity
from motionalign.models.dual_encoder import DualEncoderConfig
from motionalign.models.motion_transformer import MotionTransformerConfig
from motionalign.models.network import Network
from motionalign.models.weights import keymap
from motionalign.skeleton import get_skeleton

# ------------------------------------------------------------------- a published model of our own


@dataclasses.dataclass(frozen=True)
class Options(published.Options):
    window: str = "first"


def add_options(parser: argparse.ArgumentParser) -> None:
    published.add_motion_options(parser)
    parser.add_argument("--fps", type=float)
    parser.add_argument("--window", help="which frames of a long clip are looked at")


def metadata(args: argparse.Namespace) -> Metadata:
    published.check_fps(args.fps)
    skeleton = get_skeleton("smpl22")
    mean, std = np.zeros((22, 3)), np.ones((22, 3))
    return Metadata("dummies", skeleton, None, args.fps, 1.0, mean, std, args.fps)


def architecture(shapes, options: Options) -> DualEncoderConfig:
    published.require(shapes, ("net.motion_encoder/positions",), "dummy")
    frames, width = shapes["net.motion_encoder/positions"]
    motion = MotionTransformerConfig(
        joints=22,
        channels=3,
        width=width,
        depth=1,
        heads=published.heads_of(
            published.Sizes(width, 12), options.motion_heads, {}, "--motion_heads"
        ),
        mlp_width=12,
        norm="pre",
        positions="learned",
        frames=frames,
        window=options.window,
    )
    embed_dim = shapes["net.motion_head/projection/bias"][0]
    return DualEncoderConfig(motion=motion, text=None, embed_dim=embed_dim, text_head=False)


def fit_metadata(metadata: Metadata, config: DualEncoderConfig) -> Metadata:
    return dataclasses.replace(metadata, patch_size=16)


DUMMY = published.Format(
    name="dummy",
    title="a model that nobody has published",
    options=Options,
    add_options=add_options,
    metadata=metadata,
    dataset_options=("fps",),
    architecture=architecture,
    key_map=lambda config: keymap.KeyMap("", ((r"net\.(.+)", r"\1", keymap.SAME),)),
    fit_metadata=fit_metadata,
    fits=lambda config: config.motion.positions == "learned" and config.gait_head is None,
    describe=lambda config: {"model": "Dummy", "dims": config.embed_dim},
    own_name=lambda key: key.removeprefix("module."),
)


@pytest.fixture
def dummy(monkeypatch, tmp_path):
    """Registers the dummy model; returns (file with {module.net.x: tensor}, tensors)."""
    monkeypatch.setitem(registry.FORMATS, DUMMY.name, DUMMY)
    motion = {"net.motion_encoder/positions": (10, 8), "net.motion_head/projection/bias": (6,)}
    config = architecture(motion, Options(motion_heads=2))
    rng = np.random.default_rng(0)
    tensors = {
        f"net.{path}": rng.normal(size=leaf.shape).astype(np.float32)
        for path, leaf in Network(config).abstract_params.items()
    }
    path = tmp_path / "dummy.safetensors"
    save_file({f"module.{key}": value for key, value in tensors.items()}, path)
    return path, tensors


def test_a_registered_model_converts_and_exports(dummy, tmp_path, capsys):
    source, tensors = dummy
    out = tmp_path / "ours"
    main(["dummy", str(source), str(out), "--motion_heads=2", "--fps=10", "--window=centre"])
    printed = capsys.readouterr().out
    assert "motion motion_transformer, 1 layers of 8, 2 heads" in printed
    assert "data of dummies: skeleton smpl22, 10 per second" in printed
    assert f"{len(tensors)} tensors → {out}" in printed

    model = motionalign.load(out)
    config = model.encoder.network.config
    assert (config.motion.heads, config.motion.window) == (2, "centre")
    assert config.temperature == float(np.exp(-np.float64(tensors["net.logit_scale"])))
    assert (model.metadata().name, model.metadata().fps) == ("dummies", 10)
    assert {f"net.{path}" for path in model.params} == set(tensors)
    for path, value in model.params.items():
        np.testing.assert_array_equal(value, tensors[f"net.{path}"])
    assert model.encode_motion(body(12), fps=10).shape == (6,)

    assert registry.format_of(config) == "dummy"
    main(["export", str(out), str(tmp_path / "theirs")])
    assert "in the format of dummy" in capsys.readouterr().out
    exported = load_file(tmp_path / "theirs" / "model.safetensors")
    assert exported.keys() == tensors.keys()
    for key, value in tensors.items():
        assert exported[key].tobytes() == value.tobytes()


def test_a_registered_model_has_its_command(dummy, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    for name, form in registry.FORMATS.items():
        assert name in shown
        assert form.title in " ".join(shown.split())
    with pytest.raises(SystemExit):
        main(["dummy", "--help"])
    assert "which frames of a long clip are looked at" in capsys.readouterr().out

    arguments = ["dummy", str(dummy[0]), str(tmp_path / "out")]
    with pytest.raises(
        SystemExit, match="convert: --dataset already provides --fps: leave them out"
    ):
        main([*arguments, "--dataset=small", "--fps=3"])
    with pytest.raises(SystemExit, match=r"convert: --fps=-3.0; expected a positive number"):
        main([*arguments, "--fps=-3"])
    with pytest.raises(ValueError, match=r"--fps=-3.0; expected a positive number"):
        main(["--traceback", *arguments, "--fps=-3"])
    with pytest.raises(ValueError, match="fps"):
        main([*arguments, "--fps=-3", "--traceback"])
    with pytest.raises(
        SystemExit, match=r"does not fit dummy: .* MLPs of 12\. Give --motion_heads"
    ):
        main([*arguments, "--fps=3"])
    with pytest.raises(SystemExit, match=r"dummy: MotionTransformerConfig.window is 'all'; valid:"):
        main([*arguments, "--fps=3", "--motion_heads=2", "--window=all"])
    with pytest.raises(SystemExit) as stopped:
        main([*arguments, "--motion_heads=0"])
    assert stopped.value.code == 2
    assert "--motion_heads: 0 is below the minimum of 1" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_distances_are_those_of_inference():
    assert published.DISTANCES == similarity.DISTANCES


def test_a_model_that_is_not_registered():
    shapes = {"net.motion_encoder/positions": (10, 8), "net.motion_head/projection/bias": (6,)}
    config = architecture(shapes, Options(motion_heads=2))
    with pytest.raises(ValueError, match="no published model has pre-norm, learned positions"):
        registry.format_of(config)
    with pytest.raises(SystemExit) as stopped:
        main(["dummy", "a.safetensors", "out"])
    assert stopped.value.code == 2


def test_the_platform_is_set_before_jax_is_imported():
    code = "import sys, motionalign.convert; print('jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
