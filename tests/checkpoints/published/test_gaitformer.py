"""Conversion and export of GaitFormer, compared with the published code's outputs."""

import json

import jax
import numpy as np
import pytest
from converting import assert_same_state_dict, bound, run

import motionalign
from motionalign.checkpoints.published.convert import export
from motionalign.convert import main

torch = pytest.importorskip("torch")


def test_gaitformer(golden, tmp_path):
    names = [f"attribute {i}" for i in range(42)]
    (tmp_path / "names.json").write_text(json.dumps(names))
    out = tmp_path / "gaitformer"
    arguments = ["--motion_heads=4", "--fps=24", f"--attributes={tmp_path / 'names.json'}"]
    main(["gaitformer", str(golden / "gaitformer.pt"), str(out), *arguments])
    model = motionalign.load(out)
    assert model.encoder.network.config.gait_head.attributes == tuple(names)
    io = np.load(golden / "gaitformer_io.npz")
    joints = io["image"][..., 0].transpose(0, 2, 3, 1)  # [3, 60, 18, 3]
    module = bound(model)
    features = run(module.motion_encoder, joints).pooled
    embedding = run(module.motion_head, features)
    probabilities = jax.nn.sigmoid(module.motion_head.attribute_logits(features))
    np.testing.assert_allclose(probabilities, io["appearance"], atol=1e-4)

    def unit(x):
        return x / np.linalg.norm(x, axis=-1, keepdims=True)

    np.testing.assert_allclose(unit(embedding), io["representation"], atol=1e-4)
    projection = module.motion_head.project(embedding)
    np.testing.assert_allclose(unit(projection), io["projection"], atol=1e-4)

    assert export(out, tmp_path / "out") == "gaitformer"
    expected = torch.load(golden / "gaitformer.pt", weights_only=True)
    assert_same_state_dict(tmp_path / "out", expected)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--channels=2", "--fps=24"], "takes 27 joints, but skeleton 'coco18' has 18"),
        (["--root=30", "--fps=24"], "root is 30; the joints of the encoder are 0 to 17"),
        (["--channels=7", "--fps=24"], "takes 54 values per frame, which is not a multiple"),
        ([], "give --fps, the frame rate of the training data"),
        (["--attributes={number}", "--fps=24"], "expected a JSON list of names"),
        (["--attributes={one}", "--fps=24"], "1 attribute names are given; the checkpoint has 42"),
        (["--dataset=small", "--data_dir={data}"], "takes 18 joints, but skeleton 'smpl22' has 22"),
    ],
)
def test_bad_options_of_gaitformer(flags, message, golden, small_dataset, tmp_path):
    given = {"number": tmp_path / "number.json", "one": tmp_path / "one.json"}
    given["number"].write_text("3")
    given["one"].write_text('["a"]')
    flags = [flag.format(**given, data=small_dataset) for flag in flags]
    source, out = str(golden / "gaitformer.pt"), str(tmp_path / "out")
    with pytest.raises(SystemExit, match=message):
        main(["gaitformer", source, out, "--motion_heads=4", *flags])
    assert not (tmp_path / "out").exists()


def test_models_that_evaluation_cannot_score(golden, small_dataset, tmp_path):
    from runs import tiny_config

    from motionalign import evaluate

    flags = ["--motion_heads=4", "--fps=24"]
    main(["gaitformer", str(golden / "gaitformer.pt"), str(tmp_path / "gait"), *flags])
    with pytest.raises(ValueError, match="no text encoder: retrieval by text cannot be scored"):
        evaluate.evaluate_checkpoint(tiny_config(small_dataset), tmp_path / "gait", tmp_path)
