"""Conversion and export of Walk and Text, compared with the published code's outputs."""

import numpy as np
import pytest
from converting import assert_same_state_dict, bound, run, state_dict
from scipy.spatial.transform import Rotation

import motionalign
from motionalign.checkpoints.published.convert import export
from motionalign.convert import main
from motionalign.formats import smplh
from motionalign.inference.sentence_encoder import SentenceEncoder
from motionalign.models.motion_transformer import sinusoids

torch = pytest.importorskip("torch")

FRAMES, WIDTH, OUT = 20, 16, 12


class Published(torch.nn.Module):
    """The published computation in PyTorch's modules, under the published names, random weights."""

    def __init__(self, rows, channels):
        super().__init__()
        self.encoder = torch.nn.Module()
        self.encoder.skelEmbedding = torch.nn.Linear(rows * channels, WIDTH)
        layer = torch.nn.TransformerEncoderLayer(WIDTH, 2, 24, activation="gelu")
        self.encoder.seqTransEncoder = torch.nn.TransformerEncoder(
            layer, 2, enable_nested_tensor=False
        )
        self.motion_projection = torch.nn.Module()
        self.motion_projection.projection = torch.nn.Linear(WIDTH, OUT)
        self.motion_projection.fc = torch.nn.Linear(OUT, OUT)
        self.motion_projection.layer_norm = torch.nn.LayerNorm(OUT)

    def forward(self, x):
        """Of x [B, rows, channels, F], the layout of the published data set."""
        x = x.permute(3, 0, 1, 2).reshape(x.shape[3], x.shape[0], -1)
        x = self.encoder.skelEmbedding(x) + torch.tensor(sinusoids(x.shape[0], WIDTH))[:, None]
        x = self.motion_projection.projection(self.encoder.seqTransEncoder(x)[0])
        added = self.motion_projection.fc(torch.nn.functional.gelu(x))
        return self.motion_projection.layer_norm(x + added)


def converted(tmp_path, rows, *arguments):
    """A random published model of 6 channels a row, and ours after conversion."""
    torch.manual_seed(0)
    published = Published(rows, 6).eval()
    torch.save(published.state_dict(), tmp_path / "a.pt")
    sizes = ["--channels=6", "--motion_heads=2", f"--frames={FRAMES}", *arguments]
    main(["walktext", str(tmp_path / "a.pt"), str(tmp_path / "ours"), *sizes])
    return published, motionalign.load(tmp_path / "ours")


def test_the_published_input_of_rotations_and_translation(tmp_path):
    """25 rows of 6 channels, flattened row by row, from a file of AMASS to the embedding."""
    published, model = converted(tmp_path, 25)
    rng = np.random.default_rng(0)
    poses = rng.normal(0, 0.5, (40, 156))
    translation = np.cumsum(rng.normal(0, 0.1, (40, 3)), axis=0) + 3
    # By hand, for the first frames: the body, the first joints of both index fingers, translation.
    vectors = poses[:FRAMES].reshape(FRAMES, 52, 3)[:, [*range(22), 22, 37]]
    matrices = Rotation.from_rotvec(vectors.reshape(-1, 3)).as_matrix()
    x = np.zeros((FRAMES, 25, 6), np.float32)
    x[:, :24] = matrices[:, :2].reshape(FRAMES, 24, 6)
    x[:, 24, :3] = translation[:FRAMES] - translation[0]
    with torch.no_grad():
        across = published(torch.tensor(x).permute(1, 2, 0)[None])[0].numpy()
        x[:, 24] = 0
        on_the_spot = published(torch.tensor(x).permute(1, 2, 0)[None])[0].numpy()

    motion = model.encoder.network.config.motion
    assert (motion.joints, motion.channels, motion.input) == (25, 6, "rotations_translation")
    clip = smplh.rotations_translation(poses, translation)
    found = model.encode_motion(clip, fps=30, normalize=False)
    np.testing.assert_allclose(found, across, atol=1e-4)
    assert np.abs(across - on_the_spot).max() > 0.01
    clip = smplh.rotations_translation(poses, np.zeros((40, 3)))
    found = model.encode_motion(clip, fps=30, normalize=False)
    np.testing.assert_allclose(found, on_the_spot, atol=1e-4)


@pytest.mark.parametrize("arguments", [(), ("--root=0",)])
def test_rotations_are_not_moved_to_a_root(tmp_path, arguments):
    """Other numbers of rows are rotations only, which have no origin."""
    published, model = converted(tmp_path, 24, *arguments)
    assert model.encoder.network.config.motion.input == "rotations"
    x = np.random.default_rng(0).normal(size=(FRAMES, 24, 6)).astype(np.float32)
    with torch.no_grad():
        expected = published(torch.tensor(x).permute(1, 2, 0)[None])[0].numpy()
    found = model.encode_motion(x, fps=30, normalize=False)
    np.testing.assert_allclose(found, expected, atol=1e-4)


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
