"""Conversion and export of Motion Patches, compared with the published code's outputs."""

import dataclasses
import json

import numpy as np
import pytest
import vocabularies
from bodies import body
from converting import assert_same_state_dict, bound, motionpatches_arguments, run, state_dict

import motionalign
from motionalign import losses
from motionalign.checkpoints.published.convert import convert, export
from motionalign.checkpoints.published.format import Sizes, heads_of
from motionalign.checkpoints.published.motionpatches import (
    TEXT_ENCODERS,
    VIT_HEADS,
    Options,
    architecture,
)
from motionalign.checkpoints.shared import open_saved
from motionalign.convert import main
from motionalign.data.dataset import Metadata
from motionalign.data.tokenizer import Tokenizer
from motionalign.skeleton import get_skeleton

torch = pytest.importorskip("torch")


def test_motion_patches_equal_the_published_outputs(motionpatches, golden):
    model = motionalign.load(motionpatches)
    config = model.encoder.network.config
    assert (config.motion.heads, config.motion.norm_eps, config.motion.pool) == (4, 1e-6, "mean")
    assert config.temperature == pytest.approx(0.07)
    io = np.load(golden / "motionpatches_clip_io.npz")
    patches = io["motion"].transpose(0, 2, 3, 1)  # [4, 224, 80, 3]
    ids, mask = io["input_ids"].astype(np.int32), io["attention_mask"].astype(bool)
    module = bound(model)
    features = run(module.motion_encoder, patches).pooled
    np.testing.assert_allclose(features, io["motion_features"], atol=1e-4)
    np.testing.assert_allclose(
        run(module.text_encoder, ids, mask).pooled, io["text_features"], atol=1e-4
    )
    inputs = {"patches": patches, "num_frames": None, "input_ids": ids, "text_mask": mask}
    motion, texts, _ = run(module, inputs)
    np.testing.assert_allclose(motion, io["motion_embeds"], atol=1e-4)
    np.testing.assert_allclose(texts, io["text_embeds"], atol=1e-4)
    loss = losses.info_nce(motion, texts, module.scale())
    np.testing.assert_allclose(loss, io["loss"], atol=1e-4)


def test_inference_with_a_converted_motion_patches(motionpatches, statistics):
    """Embeds joints, normalised with the given statistics, and sentences."""
    model = motionalign.load(motionpatches)
    metadata = model.metadata()
    assert (metadata.name, metadata.skeleton.name, metadata.fps) == ("humanml3d", "smpl22", 20)
    np.testing.assert_array_equal(metadata.mean, np.load(statistics / "Mean_raw.npy"))
    joints = body(50)
    assert model.encode_motion(joints, fps=20).shape == (256,)
    vectors = model.encode_text(["a person waves", "someone walks"])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_motion_patches_round_trip_is_bit_exact(motionpatches, golden, tmp_path):
    main(["export", str(motionpatches), str(tmp_path / "out")])
    expected = state_dict(golden / "motionpatches_clip.pt")
    expected = {key.rstrip("."): value for key, value in expected.items()}
    assert_same_state_dict(tmp_path / "out", expected)
    description = json.loads((tmp_path / "out" / "config.json").read_text())
    assert description["format"] == "motionpatches"
    assert description["motion_encoder"]["img_size"] == [224, 80]
    assert description["text_encoder"]["n_heads"] == 4


def test_unused_tensors_and_other_dtypes_are_exported_again(
    golden, tokenizer, statistics, tmp_path
):
    """An unused pooler, float16, bfloat16 and integer tensors."""
    expected = torch.load(golden / "motionpatches_clip.pt", weights_only=True)
    halves = "motion_projection.fc.weight"
    expected[halves] = expected[halves].half()
    bfloat = "text_projection.fc.weight"
    expected[bfloat] = expected[bfloat].bfloat16()
    position_ids = "text_encoder.text_model.embeddings.position_ids"
    expected[position_ids] = torch.arange(512)[None]
    torch.save(expected, tmp_path / "a.pt")
    out = tmp_path / "ours"
    source = {"source": tmp_path / "a.pt"}
    main(motionpatches_arguments(golden, tokenizer, statistics, out, **source))
    main(["export", str(out), str(tmp_path / "out")])
    assert_same_state_dict(tmp_path / "out", expected)


class PublishedClip(torch.nn.Module):
    """The published ClipModel's modules and names, made from an exported config.json."""

    def __init__(self, description):
        import timm_reference
        import transformers

        super().__init__()
        sizes = dict(description["motion_encoder"])
        # timm's own, which need not be said.
        assert (description["motion_norm_eps"], description["motion_activation"]) == (1e-6, "gelu")
        kind = description["text_encoder"].pop("model_type")
        text_config = transformers.AutoConfig.for_model(kind, **description["text_encoder"])
        dims = description["projection_dims"]

        def head(width):
            layers = {
                "projection": torch.nn.Linear(width, dims),
                "fc": torch.nn.Linear(dims, dims),
                "layer_norm": torch.nn.LayerNorm(dims),
            }
            return torch.nn.ModuleDict(layers)

        vit = timm_reference.VisionTransformer(**sizes)
        bert = transformers.AutoModel.from_config(text_config, attn_implementation="eager")
        self.motion_encoder = torch.nn.ModuleDict({"model": vit})
        self.text_encoder = torch.nn.ModuleDict({"text_model": bert})
        self.motion_projection, self.text_projection = (
            head(vit.embed_dim),
            head(bert.config.hidden_size),
        )
        self.logit_scale = torch.nn.Parameter(torch.tensor(0.0))

    def project(self, head, x):
        projected = head["projection"](x)
        return head["layer_norm"](head["fc"](torch.nn.functional.gelu(projected)) + projected)

    def forward(self, motion, ids, mask):
        motion = self.motion_encoder["model"](motion)
        words = self.text_encoder["text_model"](input_ids=ids, attention_mask=mask)
        words = words.last_hidden_state[:, 0]
        return self.project(self.motion_projection, motion), self.project(
            self.text_projection, words
        )


@pytest.mark.parametrize(
    ("family", "pool"), [("bert", "mean"), ("distilbert", "class"), ("mpnet", "mean")]
)
def test_a_model_trained_here_loads_in_the_published_code(family, pool, tmp_path):
    from safetensors.torch import load_file

    from motionalign.checkpoints.run import Checkpoints
    from motionalign.models.build import resolve
    from motionalign.models.network import Network

    config = resolve({
        "motion": {"size": "custom", "width": 24, "depth": 2, "heads": 3, "max_frames": 64,
                   "pool": pool},
        "text": {"family": family, "width": 16, "depth": 1, "heads": 2, "vocab_size": 50},
        "embed_dim": 32,
    })  # fmt: skip
    network = Network(config)
    rng = np.random.default_rng(0)
    params = {
        path: rng.normal(0, 0.2, leaf.shape).astype(np.float32)
        for path, leaf in network.abstract_params.items()
    }
    params = {p: np.asarray(x, np.float32) for p, x in params.items()}
    run_values = {
        "architecture": config.to_dict(),
        "config": {"dtype": "float32", "data": {}},
        "tokenizer": None,
        "datasets": {},
        "step": 7,
        "score": 1.0,
    }
    checkpoints = Checkpoints(tmp_path / "run")
    checkpoints.save_best(7, params, run_values)
    checkpoints.close()
    assert export(tmp_path / "run", tmp_path / "out") == "motionpatches"
    model = PublishedClip(json.loads((tmp_path / "out" / "config.json").read_text())).eval()
    tensors = load_file(tmp_path / "out" / "model.safetensors")
    missing = model.load_state_dict(tensors, strict=False)
    assert not missing.unexpected_keys
    assert all(".pooler." in key for key in missing.missing_keys), missing.missing_keys

    patches = rng.normal(size=(2, 64, 80, 3)).astype(np.float32)
    ids = rng.integers(5, 50, (2, 9)).astype(np.int32)
    mask = np.arange(9) < np.array([[9], [4]])
    ids = np.where(mask, ids, 1 if family == "mpnet" else 0)
    inputs = {"patches": patches, "num_frames": None, "input_ids": ids, "text_mask": mask}
    ours = run(network.bind(params), inputs)
    with torch.no_grad():
        theirs = model(
            torch.from_numpy(patches.transpose(0, 3, 1, 2)),
            torch.from_numpy(ids).long(),
            torch.from_numpy(mask).long(),
        )
    for a, b in zip(ours, theirs):
        np.testing.assert_allclose(a, b.numpy(), atol=1e-4)


def test_sizes_from_the_tensors_alone(golden, tokenizer, statistics, tmp_path):
    """Without config.json, flags provide the rest; their defaults are the published values."""
    given = {"text_config": None, "text_heads": 4}
    main(motionpatches_arguments(golden, tokenizer, statistics, tmp_path / "a", **given))
    config = motionalign.load(tmp_path / "a").encoder.network.config.text
    assert (config.vocab_size, config.width, config.depth, config.mlp_width) == (500, 48, 2, 96)
    assert (config.heads, config.max_positions) == (4, 512)
    assert (config.activation, config.norm_eps) == ("gelu", 1e-12)

    given |= {"text_activation": "relu", "text_norm_eps": 1e-5, "motion_norm_eps": 1e-12}
    given |= {"activation": "quick_gelu"}
    main(motionpatches_arguments(golden, tokenizer, statistics, tmp_path / "b", **given))
    config = motionalign.load(tmp_path / "b").encoder.network.config
    assert (config.text.activation, config.text.norm_eps) == ("relu", 1e-5)
    assert (config.motion.activation, config.motion.norm_eps) == ("quick_gelu", 1e-12)


@pytest.mark.parametrize(
    ("family", "sizes", "heads"),
    [
        ("distilbert", (768, 3072), 12),
        ("bert", (768, 3072), 12),
        ("bert", (1024, 4096), 16),
        ("bert", (384, 1536), 12),  # MiniLM, whose heads are 32 wide
        ("mpnet", (768, 3072), 12),
        ("bert", (512, 2048), None),
        ("distilbert", (384, 1536), None),
    ],
)
def test_heads_of_text_encoders_by_published_sizes(family, sizes, heads):
    known = TEXT_ENCODERS[family].heads
    if heads is not None:
        assert heads_of(Sizes(*sizes), None, known, "--text_heads") == heads
        return
    with pytest.raises(ValueError, match="Give --text_heads"):
        heads_of(Sizes(*sizes), None, known, "--text_heads")


@pytest.mark.parametrize(
    ("sizes", "heads"),
    [
        ((12, 192, 768), 3),
        ((12, 384, 1536), 6),
        ((12, 768, 3072), 12),
        ((24, 1024, 4096), 16),
        ((32, 1280, 5120), None),  # ViT-H has heads of width 80
        ((8, 768, 2304), None),  # an older ViT-S of timm has 8
    ],
)
def test_heads_of_vits_by_published_sizes(sizes, heads):
    """As timm builds them; other sizes need the flag, whatever their width."""
    if heads is not None:
        assert VIT_HEADS[Sizes(*sizes[1:])] == heads
        return
    depth, width, mlp_width = sizes
    shapes = {f"blocks.{i}.mlp.fc1.weight": (mlp_width, width) for i in range(depth)}
    shapes |= {"patch_embed.proj.weight": (width, 3, 16, 16)}
    tower = {f"motion_encoder.model.{key}": shape for key, shape in shapes.items()}
    tower["motion_encoder.model.pos_embed"] = (1, 71, width)
    rest = {"motion_projection.projection.weight": (256, width), "logit_scale": ()}
    with pytest.raises(ValueError, match=f"Found: layers of width {width} .* Give --motion_heads"):
        architecture(tower | rest, Options())


def test_the_distance_is_stored(motionpatches, golden, tokenizer, statistics, tmp_path):
    """Published scores are cosines; a stored run without a distance is scored so, too."""
    assert motionalign.load(motionpatches).run["distance"] == "cosine"
    changed = {"distance": "euclidean"}
    main(motionpatches_arguments(golden, tokenizer, statistics, tmp_path / "a", **changed))
    assert motionalign.load(tmp_path / "a").distance == "euclidean"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"mean": None}, "--mean=Mean_raw.npy --std=Std_raw.npy"),
        (
            {"motion_heads": None},
            "Found: layers of width 48 with MLPs of .* Give --motion_heads",
        ),
        (
            {"text_config": None},
            "Found: layers of width 48 with MLPs of 96. .* Give --text_heads or --text_config",
        ),
        ({"motion_heads": 5}, "5 heads do not evenly divide the width 48"),
        ({"skeleton": "kit21"}, "has 22 joints; smpl22 has 22"),
        ({"dataset": "small"}, "--dataset already provides --mean, --std: leave them out"),
        ({"activation": "swish"}, "activation is 'swish'; valid: 'gelu'"),
        (
            {"text_config": "/no/such/file"},
            "/no/such/file cannot be read: No such file or directory",
        ),
        ({"source": "/no/such/file"}, "/no/such/file does not exist; give the file of a published"),
        ({"fps": 0}, "--fps=0.0; expected a positive number"),
        ({"fps": "inf"}, "--fps=inf; expected a positive number"),
        ({"max_tokens": 1000}, "max_tokens is 1000; the text encoder has 512 positions"),
    ],
)
def test_bad_options(changed, message, golden, tokenizer, statistics, tmp_path):
    with pytest.raises(SystemExit, match=message):
        main(motionpatches_arguments(golden, tokenizer, statistics, tmp_path / "out", **changed))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("tokenizer.json", "{", "tokenizer.json cannot be read"),
        ("text_config", "[3]", "text_config is a list; expected an object"),
        ("text_config", '{"model_type": "distilbert"}', "text_config lacks 'vocab_size'"),
        ("text_config", "{", "text_config is not valid JSON"),
    ],
)
def test_bad_tokenizer_and_config_files(
    file, content, message, golden, tokenizer, statistics, tmp_path
):
    (tmp_path / file).write_text(content)
    name = "tokenizer" if file == "tokenizer.json" else file
    changed = {"tokenizer": tokenizer, name: tmp_path if name == "tokenizer" else tmp_path / file}
    out = tmp_path / "out"
    with pytest.raises(SystemExit, match=message):
        main(motionpatches_arguments(golden, statistics=statistics, out=out, **changed))
    assert [path.name for path in tmp_path.iterdir()] == [file]


def test_a_tokenizer_of_another_encoder(golden, minilm, statistics, tmp_path):
    with pytest.raises(
        SystemExit, match="30522 tokens, but the text encoder has 500: give the matching tokenizer"
    ):
        main(motionpatches_arguments(golden, minilm, statistics, tmp_path / "out"))


def test_a_vocabulary_as_the_tokenizer(golden, statistics, tmp_path):
    """Without tokenizer.json and config.json, the text encoder determines the class."""
    pytest.importorskip("transformers")
    words = ("a", "person", "walks")
    (tmp_path / "vocab.txt").write_text("\n".join((*vocabularies.BERT_TOKENS, *words)), "utf-8")
    out = tmp_path / "out"
    main(motionpatches_arguments(golden, tmp_path, statistics, out))
    tokenizer = Tokenizer(open_saved(out).run["tokenizer"], 64)
    assert tokenizer.encode(["A Person WALKS"])[0].tolist() == [[2, 5, 6, 7, 3]]

    vocabularies.write_json(tmp_path / "tokenizer_config.json", {"model_max_length": 8})
    again = motionpatches_arguments(golden, tmp_path, statistics, tmp_path / "again")
    with pytest.raises(SystemExit, match=r"states model_max_length 8 .* give --max_tokens=8"):
        main(again)
    main([*again, "--max_tokens=8"])


def test_statistics_of_a_prepared_dataset(golden, tokenizer, statistics, small_dataset, tmp_path):
    changed = {"mean": None, "std": None, "dataset": "small", "data_dir": small_dataset}
    out = tmp_path / "out"
    main(motionpatches_arguments(golden, tokenizer, statistics, out, **changed))
    metadata = Metadata.from_json(open_saved(out).run["datasets"]["small"])
    assert metadata.skeleton == get_skeleton("smpl22")


def test_evaluation_takes_the_checkpoints_own_statistics(
    golden, tokenizer, small_dataset, tmp_path, capsys
):
    """Not those of the prepared dataset of that name, which differ from the published ones."""
    from runs import tiny_config

    from motionalign import evaluate
    from motionalign.data.dataset import Dataset
    from motionalign.tasks.captions import embed_split

    metadata = Dataset(small_dataset, "small").metadata
    config = tiny_config(small_dataset)
    scores, embedded = {}, {}
    for name, factor in (("same", 1.0), ("other", 2.0)):
        options = convert_options(golden)
        own = dataclasses.replace(metadata, std=factor * metadata.std)
        source = golden / "motionpatches_clip.pt"
        convert(source, tmp_path / name, "motionpatches", own, options, str(tokenizer))
        scores[name] = evaluate.evaluate_checkpoint(
            config, tmp_path / name, tmp_path / name, say=print
        )
        model = motionalign.load(tmp_path / name)
        dataset = Dataset(small_dataset, "small")
        prepare = evaluate.own_preparation(model, dataset)
        assert (prepare is None) == (name == "same")
        predict = evaluate.predictor(model, prepare)
        embedded[name], _, gallery = embed_split(predict, dataset, "test")
        clips = [gallery.joints(i) for i in range(len(gallery.ids))]
        expected = model.encode_motion(clips, metadata.fps, normalize=False)
        np.testing.assert_allclose(embedded[name], expected, atol=1e-4)
    assert np.abs(embedded["same"] - embedded["other"]).max() > 0.1
    assert capsys.readouterr().out.count("by the checkpoint's statistics") == 1


def convert_options(golden):
    text_config = json.loads((golden / "motionpatches_clip_text_config.json").read_text())
    return Options(motion_heads=4, text_config=text_config)
