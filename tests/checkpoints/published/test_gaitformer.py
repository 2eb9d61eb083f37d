"""Conversion and export of GaitFormer, compared with the published code's outputs."""

import json

import jax
import numpy as np
import pytest
from converting import assert_same_state_dict, bound, randomise, run, shapes_of

import motionalign
from motionalign.checkpoints.published import gaitformer
from motionalign.checkpoints.published.convert import export
from motionalign.convert import main

torch = pytest.importorskip("torch")


class GaitFormer(torch.nn.Module):
    """PyTorch's own modules under the published names, 8 heads; in: [B, 48, 54]."""

    def __init__(self, depth, width=256, mlp_width=512, attributes=42):
        super().__init__()
        self.positional_embedding = torch.nn.Parameter(torch.zeros(1, 48, width))
        self.skeleton_encoding = torch.nn.Linear(54, width)
        layer = torch.nn.TransformerEncoderLayer(
            width, 8, mlp_width, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = torch.nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.out_embedding = torch.nn.Linear(width, width, bias=False)
        self.projection = torch.nn.Linear(width, 128)
        self.out_appearance = torch.nn.Linear(width, attributes)

    @torch.no_grad()
    def forward(self, clips):
        x = self.positional_embedding + self.skeleton_encoding(torch.from_numpy(clips))
        feature = self.encoder(x)[:, 0]
        embedding = torch.nn.functional.normalize(self.out_embedding(feature))
        return embedding.numpy(), self.out_appearance(feature).sigmoid().numpy()


@pytest.mark.parametrize("depth", [4, 12])
def test_the_published_sizes(depth, tmp_path):
    """Without further options, outputs equal those of PyTorch's own modules with 8 heads.

    Clips are not moved, and of a longer one the 48 frames in its middle are used.
    """
    theirs = randomise(GaitFormer(depth))
    torch.save(theirs.state_dict(), tmp_path / "gaitformer.pt")
    out = tmp_path / "ours"
    main(["gaitformer", str(tmp_path / "gaitformer.pt"), str(out), "--fps=24"])
    model = motionalign.load(out)
    motion = model.encoder.network.config.motion
    assert (motion.heads, motion.depth, motion.root, motion.frames) == (8, depth, None, 48)

    clips = np.random.default_rng(0).normal(2, 1, (2, 60, 18, 3)).astype(np.float32)
    embedding, probabilities = theirs(clips[:, 6:54].reshape(2, 48, 54))
    np.testing.assert_allclose(model.encode_motion(list(clips), fps=24), embedding, atol=1e-4)
    np.testing.assert_allclose(model.classify(list(clips), fps=24), probabilities, atol=1e-4)

    assert export(out, tmp_path / "out") == "gaitformer"
    assert_same_state_dict(tmp_path / "out", theirs.state_dict())


@pytest.mark.parametrize("changed", [{"width": 128}, {"mlp_width": 1024}, {"width": 768}])
def test_heads_of_other_sizes_are_asked_for(changed):
    sizes = {"depth": 4, "width": 256, "mlp_width": 512, **changed}
    with torch.device("meta"):
        shapes = shapes_of(GaitFormer(**sizes))
    message = (
        f"Found: layers of width {sizes['width']} with MLPs of {sizes['mlp_width']}. "
        "Published: layers of width 256 with MLPs of 512 have 8 heads. Give --motion_heads"
    )
    with pytest.raises(ValueError, match=message):
        gaitformer.architecture(shapes, gaitformer.Options())
    assert gaitformer.architecture(shapes, gaitformer.Options(motion_heads=4)).motion.heads == 4


@pytest.mark.parametrize(
    ("count", "at"),
    [
        (42, {0: "female", 24: "cloth shoes", 25: "casual wear", 34: "making a phone call"}),
        (12, {0: "female", 11: "senior"}),
        (22, {0: "backpack", 13: "casual wear", 21: "long sleeves"}),
        (13, {0: "attribute_0", 12: "attribute_12"}),
    ],
)
def test_attributes_are_in_the_order_of_the_published_configs(count, at):
    """The configs name clothing before actions, datasets/uwg_features.py after them."""
    with torch.device("meta"):
        shapes = shapes_of(GaitFormer(depth=4, attributes=count))
    head = gaitformer.architecture(shapes, gaitformer.Options()).gait_head
    assert {place: head.attributes[place] for place in at} == at
    assert len(set(head.attributes)) == count
    assert head.named == (count != 13)


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
        (["--channels=2", "--fps=24"], "takes 27 joints of 2 channels, which .* give --skeleton"),
        (
            ["--channels=2", "--fps=24", "--skeleton=coco18"],
            "takes 27 joints, but skeleton 'coco18' has 18",
        ),
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
