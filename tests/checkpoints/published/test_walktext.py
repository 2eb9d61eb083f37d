"""Conversion and export of Walk and Text, compared with the published code's outputs."""

import numpy as np
import pytest
from converting import assert_same_state_dict, bound, run, state_dict

import motionalign
from motionalign.checkpoints.published.convert import export
from motionalign.convert import main
from motionalign.inference.sentence_encoder import SentenceEncoder

torch = pytest.importorskip("torch")


def test_walk_and_text(golden, tmp_path):
    arguments = ["--skeleton=coco18", "--motion_heads=4"]
    out = tmp_path / "walktext"
    main(["walktext", str(golden / "walktext_encoder.pt"), str(out), *arguments])
    model = motionalign.load(out)
    io = np.load(golden / "walktext_encoder_io.npz")
    joints = io["x"].transpose(0, 3, 1, 2)  # [3, 60, 18, 3]
    module = bound(model)
    features = run(module.motion_encoder, joints).pooled
    np.testing.assert_allclose(features, io["mu"], atol=1e-4)
    np.testing.assert_allclose(run(module.motion_head, features), io["projected"], atol=1e-4)

    vectors = model.encode_motion(list(joints), fps=30, normalize=False)
    moved = joints - joints[:, :1, :1]
    expected = run(module.motion_head, run(module.motion_encoder, moved).pooled)
    np.testing.assert_allclose(vectors, expected, atol=1e-4)
    with pytest.raises(ValueError, match="no text encoder: it encodes motions only"):
        model.encode_text("a person walks")

    assert export(out, tmp_path / "out") == "walktext"
    expected = {
        key.replace("head.", "motion_projection."): value
        for key, value in state_dict(golden / "walktext_encoder.pt").items()
    }
    assert_same_state_dict(tmp_path / "out", expected)


def test_walk_and_text_with_its_frozen_text_encoder(golden, minilm, tmp_path):
    """The frozen encoder's vectors are used without head or normalisation."""
    state = torch.load(golden / "walktext_encoder.pt", weights_only=True)
    width = 384  # of this text encoder; the published head ends at UAE-Large's 1024
    state["head"] |= {
        "projection.weight": torch.randn(width, 64), "projection.bias": torch.randn(width),
        "fc.weight": torch.randn(width, width), "fc.bias": torch.randn(width),
        "layer_norm.weight": torch.randn(width), "layer_norm.bias": torch.randn(width),
    }  # fmt: skip
    torch.save(state, tmp_path / "a.pt")
    arguments = ["--skeleton=coco18", "--motion_heads=4", f"--text_weights={minilm}"]
    main(["walktext", str(tmp_path / "a.pt"), str(tmp_path / "ours"), *arguments])
    model = motionalign.load(tmp_path / "ours")
    captions = ["a person walks slowly", "she waves"]
    expected = SentenceEncoder(str(minilm), "first")(captions)
    np.testing.assert_allclose(model.encode_text(captions, normalize=False), expected, atol=1e-4)


def test_a_head_stored_under_both_names(golden, tmp_path):
    state = state_dict(golden / "walktext_encoder.pt")
    state["motion_projection.fc.bias"] = state["head.fc.bias"]
    torch.save(state, tmp_path / "a.pt")
    with pytest.raises(SystemExit, match=r"a.pt has motion_projection.fc.bias twice"):
        main(["walktext", str(tmp_path / "a.pt"), str(tmp_path / "out"), "--motion_heads=4"])
    assert not (tmp_path / "out").exists()
