"""Conversion and export of Walk and Text, compared with the published code's outputs."""

import numpy as np
import pytest
from converting import assert_same_state_dict, bound, randomise, run, shapes_of, state_dict
from scipy.spatial.transform import Rotation

import motionalign
from motionalign.checkpoints.published import walktext
from motionalign.checkpoints.published.convert import export
from motionalign.convert import main
from motionalign.formats import smplh
from motionalign.inference.sentence_encoder import SentenceEncoder

torch = pytest.importorskip("torch")

# What the small model of the goldens needs beside its file: its sizes were never published.
SMALL = ["--motion_heads=4", "--fps=30"]


class WalkText(torch.nn.Module):
    """PyTorch's own modules under the published names, 4 heads; in: [B, 60, inputs]."""

    def __init__(self, inputs, width=768, depth=12, mlp_width=1024, embed_dim=1024):
        super().__init__()
        place, even = torch.arange(5000)[:, None], torch.arange(0, width, 2)
        angles = place * 10000 ** (-even / width)
        waves = torch.stack([angles.sin(), angles.cos()], -1).reshape(5000, 1, width)
        encoder = torch.nn.Module()
        encoder.muQuery = torch.nn.Parameter(torch.zeros(1, width))
        encoder.sigmaQuery = torch.nn.Parameter(torch.zeros(1, width))
        encoder.skelEmbedding = torch.nn.Linear(inputs, width)
        encoder.sequence_pos_encoder = torch.nn.Module()
        encoder.sequence_pos_encoder.register_buffer("pe", waves)
        layer = torch.nn.TransformerEncoderLayer(width, 4, mlp_width, activation="gelu")
        encoder.seqTransEncoder = torch.nn.TransformerEncoder(
            layer, depth, enable_nested_tensor=False
        )
        head = torch.nn.Module()
        head.projection = torch.nn.Linear(width, embed_dim)
        head.fc = torch.nn.Linear(embed_dim, embed_dim)
        head.layer_norm = torch.nn.LayerNorm(embed_dim)
        self.encoder, self.motion_projection = encoder, head

    @torch.no_grad()
    def forward(self, clips):
        encoder, head = self.encoder, self.motion_projection
        x = encoder.skelEmbedding(torch.from_numpy(clips).transpose(0, 1))
        x = encoder.seqTransEncoder(x + encoder.sequence_pos_encoder.pe[: len(x)])
        projected = head.projection(x[0])
        x = head.fc(torch.nn.functional.gelu(projected))
        return head.layer_norm(x + projected).numpy()


def poses():
    """2D joints of DenseGait [2, 60, 18, 3] and what the published reader makes of them."""
    joints = np.random.default_rng(0).normal(3, 1, (2, 60, 18, 3)).astype(np.float32)
    return joints, joints - joints[:, :1, :1]


def rotations():
    """24 rotations and a translation relative to the first frame [2, 60, 25, 6]; same as read."""
    clips = np.random.default_rng(0).normal(size=(2, 60, 25, 6)).astype(np.float32)
    clips[:, :, -1, 3:] = 0
    clips[:, :, -1] -= clips[:, :1, -1]
    return clips, clips


def converted(given, read, options, tmp_path):
    """A random model of the published sizes and its conversion, whose outputs are equal."""
    theirs = randomise(WalkText(inputs=given[0, 0].size))
    torch.save(theirs.state_dict(), tmp_path / "checkpoint.pt")
    main(["walktext", str(tmp_path / "checkpoint.pt"), str(tmp_path / "ours"), *options])
    model = motionalign.load(tmp_path / "ours")
    vectors = model.encode_motion(list(given), fps=model.metadata().fps, normalize=False)
    np.testing.assert_allclose(vectors, theirs(read.reshape(2, 60, -1)), atol=1e-4)
    model.encoder.representation.check(model.metadata())
    return theirs, model


def test_the_published_model_of_densegait(tmp_path, capsys):
    """Without further options, outputs equal those of PyTorch's own modules with 4 heads."""
    theirs, model = converted(*poses(), ["--fps=24"], tmp_path)
    printed = capsys.readouterr().out
    assert "12 layers of 768, 4 heads, gelu" in printed
    assert "embedding width 1024, euclidean distance" in printed
    motion, data = model.encoder.network.config.motion, model.metadata()
    assert (motion.input, motion.heads, motion.root, motion.window) == ("joints", 4, 0, "spread")
    assert (data.skeleton.name, data.fps, data.num_rotations) == ("coco18", 24, 0)
    assert model.distance == "euclidean"

    assert export(tmp_path / "ours", tmp_path / "out") == "walktext"
    assert_same_state_dict(tmp_path / "out", theirs.state_dict())


def test_the_published_model_of_babel(tmp_path):
    """The input tells them apart; it has a translation and no origin to move."""
    _, model = converted(*rotations(), [], tmp_path)
    motion, data = model.encoder.network.config.motion, model.metadata()
    assert (motion.input, motion.heads, motion.root) == ("rotations_translation", 4, None)
    assert motion.window == "centre"
    assert (data.skeleton.name, data.fps, data.num_rotations) == ("smpl22", 30, 24)
    assert model.distance == "euclidean"


@pytest.mark.parametrize("changed", [{"width": 512}, {"mlp_width": 2048}])
def test_heads_of_other_sizes_are_asked_for(changed):
    sizes = {"width": 768, "depth": 12, "mlp_width": 1024, **changed}
    with torch.device("meta"):
        shapes = shapes_of(WalkText(inputs=54, **sizes))
    message = (
        "sizes are not those of a published model. Found: layers of width "
        f"{sizes['width']} with MLPs of {sizes['mlp_width']}. Published: layers of width 768 "
        "with MLPs of 1024 have 4 heads. Give --motion_heads"
    )
    with pytest.raises(ValueError, match=message):
        walktext.architecture(shapes, walktext.Options())
    config = walktext.architecture(shapes, walktext.Options(motion_heads=2))
    assert config.motion.heads == 2


@pytest.mark.parametrize(
    ("inputs", "flags", "message"),
    [
        (54, ["--fps=24"], "walktext: the tensors do not state .* Give --motion_heads"),
        (60, SMALL, r"takes 60 values per frame; published models take 54 \(18 joints of 3 channels"
                    r"\) or 150 \(25 joints, or rotations and a translation, of 6 .* --channels"),
        (66, [*SMALL, "--skeleton=kit21"], "takes 66 values per frame; published models take 54"),
        (60, [*SMALL, "--channels=3"], "takes 20 joints of 3 channels, which is not .* --skeleton"),
        (66, [*SMALL, "--skeleton=smpl22", "--channels=3", "--root=22"], "root is 22; the joints"),
    ],
)  # fmt: skip
def test_what_has_to_be_given(inputs, flags, message, golden, tmp_path):
    out = tmp_path / "out"
    source = with_inputs(golden, inputs, tmp_path)
    with pytest.raises(SystemExit, match=message):
        main(["walktext", source, str(out), *flags])
    assert not out.exists()


def with_inputs(golden, inputs, tmp_path):
    """A file with the golden's model, which takes other inputs."""
    state = torch.load(golden / "walktext_encoder.pt", weights_only=True)
    state["encoder"]["skelEmbedding.weight"] = torch.randn(64, inputs)
    torch.save(state, tmp_path / f"{inputs}.pt")
    return str(tmp_path / f"{inputs}.pt")


def test_joints_of_babels_bodies(golden, tmp_path, capsys):
    """66 values are 22 joints; what is assumed about them is printed."""
    main(["walktext", with_inputs(golden, 66, tmp_path), str(tmp_path / "a"), "--motion_heads=4"])
    model = motionalign.load(tmp_path / "a")
    motion, data = model.encoder.network.config.motion, model.metadata()
    assert (motion.joints, motion.channels, motion.input, motion.root) == (22, 3, "joints", 0)
    assert (data.skeleton.name, data.fps) == ("smpl22", 30)
    printed = capsys.readouterr().out
    assert "data of walktext: skeleton smpl22, 30 per second\n" in printed
    assert "--fps was not given: convert again with it if" in printed


def test_options_replace_what_is_published(golden, tmp_path):
    """Also for inputs that were never published, of which those with 3 channels are joints."""
    source, out = with_inputs(golden, 66, tmp_path), tmp_path / "out"
    flags = ["--skeleton=smpl22", "--root=-1", "--distance=cosine", "--frames=10"]
    main(["walktext", source, str(out), *SMALL, *flags])
    model = motionalign.load(out)
    motion, data = model.encoder.network.config.motion, model.metadata()
    assert (motion.joints, motion.channels, motion.root, motion.frames) == (22, 3, None, 10)
    assert (data.skeleton.name, data.fps, model.distance) == ("smpl22", 30, "cosine")
    with pytest.raises(SystemExit) as stopped:
        main(["walktext", source, str(out), *SMALL, "--distance=l2"])
    assert stopped.value.code == 2


def test_tensors_of_training_on_babel(golden, tmp_path):
    """Its files hold the frozen text encoder and the loss's temperatures, which are kept."""
    state = state_dict(golden / "walktext_encoder.pt")
    state = {key.replace("head.", "motion_projection."): value for key, value in state.items()}
    state |= {
        "text_encoder.embeddings.word_embeddings.weight": torch.randn(5, 4),
        "text_encoder.pooler.dense.bias": torch.randn(4),
        "loss.logit_scale": torch.tensor(2.5),
        "loss.logit_scale_gen": torch.tensor(2.6),
    }
    torch.save(state, tmp_path / "a.pt")
    main(["walktext", str(tmp_path / "a.pt"), str(tmp_path / "ours"), *SMALL])
    export(tmp_path / "ours", tmp_path / "out")
    assert_same_state_dict(tmp_path / "out", state)


FRAMES = 20


def small_converted(tmp_path, rows, *arguments):
    """A small random published model of 6 channels per row, and its conversion."""
    torch.manual_seed(0)
    theirs = WalkText(rows * 6, width=16, depth=2, mlp_width=24, embed_dim=12).eval()
    torch.save(theirs.state_dict(), tmp_path / "a.pt")
    sizes = ["--channels=6", "--motion_heads=4", f"--frames={FRAMES}", "--fps=30"]
    main(["walktext", str(tmp_path / "a.pt"), str(tmp_path / "ours"), *sizes, *arguments])
    return theirs, motionalign.load(tmp_path / "ours")


def test_the_published_input_of_rotations_and_translation(tmp_path):
    """25 rows of 6 channels, flattened row by row, from a file of AMASS to the embedding."""
    theirs, model = small_converted(tmp_path, 25)
    rng = np.random.default_rng(0)
    poses = rng.normal(0, 0.5, (40, 156))
    translation = np.cumsum(rng.normal(0, 0.1, (40, 3)), axis=0) + 3
    # By hand, for the first frames: the body, the first joints of both index fingers, translation.
    vectors = poses[:FRAMES].reshape(FRAMES, 52, 3)[:, [*range(22), 22, 37]]
    matrices = Rotation.from_rotvec(vectors.reshape(-1, 3)).as_matrix()
    x = np.zeros((FRAMES, 25, 6), np.float32)
    x[:, :24] = matrices[:, :2].reshape(FRAMES, 24, 6)
    x[:, 24, :3] = translation[:FRAMES] - translation[0]
    across = theirs(x.reshape(1, FRAMES, -1))[0]
    x[:, 24] = 0
    on_the_spot = theirs(x.reshape(1, FRAMES, -1))[0]

    motion = model.encoder.network.config.motion
    assert (motion.joints, motion.channels, motion.input) == (25, 6, "rotations_translation")
    clip = smplh.rotations_translation(poses, translation)[:FRAMES]
    found = model.encode_motion(clip, fps=30, normalize=False)
    np.testing.assert_allclose(found, across, atol=1e-4)
    assert np.abs(across - on_the_spot).max() > 0.01
    clip = smplh.rotations_translation(poses, np.zeros((40, 3)))[:FRAMES]
    found = model.encode_motion(clip, fps=30, normalize=False)
    np.testing.assert_allclose(found, on_the_spot, atol=1e-4)


@pytest.mark.parametrize("arguments", [(), ("--root=0",)])
def test_rotations_are_not_moved_to_a_root(tmp_path, arguments):
    """Other numbers of rows are rotations only, which have no origin."""
    theirs, model = small_converted(tmp_path, 24, "--skeleton=smpl22", *arguments)
    assert model.encoder.network.config.motion.input == "rotations"
    x = np.random.default_rng(0).normal(size=(FRAMES, 24, 6)).astype(np.float32)
    expected = theirs(x.reshape(1, FRAMES, -1))[0]
    found = model.encode_motion(x, fps=30, normalize=False)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_walk_and_text(golden, tmp_path):
    arguments = SMALL
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


@pytest.mark.parametrize(
    ("inputs", "flags", "readout", "distance"),
    [
        (54, [], "first", "euclidean"),
        (54, ["--distance=cosine", "--text_readout=mean"], "mean", "cosine"),
        (150, [], "mean", "euclidean"),
    ],
)
def test_walk_and_text_with_its_frozen_text_encoder(
    inputs, flags, readout, distance, golden, minilm, tmp_path
):
    """The frozen encoder's vectors are used without head, and compared by the distance."""
    state = torch.load(with_inputs(golden, inputs, tmp_path), weights_only=True)
    width = 384  # of this text encoder; the published head ends at UAE-Large's 1024
    state["head"] |= {
        "projection.weight": torch.randn(width, 64), "projection.bias": torch.randn(width),
        "fc.weight": torch.randn(width, width), "fc.bias": torch.randn(width),
        "layer_norm.weight": torch.randn(width), "layer_norm.bias": torch.randn(width),
    }  # fmt: skip
    torch.save(state, tmp_path / "a.pt")
    arguments = [*SMALL, f"--text_weights={minilm}", *flags]
    main(["walktext", str(tmp_path / "a.pt"), str(tmp_path / "ours"), *arguments])
    model = motionalign.load(tmp_path / "ours")
    captions = ["a person walks slowly", "she waves"]
    texts = SentenceEncoder(str(minilm), readout)(captions)
    np.testing.assert_allclose(model.encode_text(captions, normalize=False), texts, atol=1e-4)

    clips = list((poses() if inputs == 54 else rotations())[0])
    motions = model.encode_motion(clips, fps=30, normalize=False)
    expected = -np.linalg.norm(motions[:, None] - texts, axis=-1)
    if distance == "cosine":
        expected = motions @ texts.T / np.linalg.norm(motions, axis=1)[:, None]
        expected /= np.linalg.norm(texts, axis=1)
    assert model.run["distance"] == distance
    np.testing.assert_allclose(model.similarity(clips, captions, fps=30), expected, atol=1e-4)


def test_a_head_stored_under_both_names(golden, tmp_path):
    state = state_dict(golden / "walktext_encoder.pt")
    state["motion_projection.fc.bias"] = state["head.fc.bias"]
    torch.save(state, tmp_path / "a.pt")
    with pytest.raises(SystemExit, match=r"a.pt has motion_projection.fc.bias twice"):
        main(["walktext", str(tmp_path / "a.pt"), str(tmp_path / "out"), *SMALL])
    assert not (tmp_path / "out").exists()
