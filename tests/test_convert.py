"""Published checkpoints in and out, against the published code's own outputs."""

import dataclasses
import json
import pickle
import re
import sys

import jax
import ml_dtypes
import numpy as np
import pytest
from flax import nnx

import motionalign
from motionalign import losses
from motionalign.checkpoints.published import torch_files
from motionalign.checkpoints.published.convert import convert, export
from motionalign.checkpoints.shared import open_saved
from motionalign.convert import main
from motionalign.data.dataset import Metadata
from motionalign.data.tokenizer import train_wordpiece
from motionalign.inference.sentence_encoder import SentenceEncoder
from motionalign.skeleton import get_skeleton

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def golden(test_data):
    return test_data / "golden"


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    """A folder with a small tokenizer, as the published code takes DistilBERT's."""
    folder = tmp_path_factory.mktemp("tokenizer")
    captions = ["a person walks", "someone waves twice"]
    (folder / "tokenizer.json").write_text(train_wordpiece(captions, 60))
    return folder


@pytest.fixture(scope="module")
def statistics(tmp_path_factory):
    folder = tmp_path_factory.mktemp("statistics")
    rng = np.random.default_rng(0)
    np.save(folder / "Mean_raw.npy", rng.normal(size=(22, 3)).astype(np.float32))
    np.save(folder / "Std_raw.npy", rng.uniform(0.1, 1, (22, 3)).astype(np.float32))
    return folder


@pytest.fixture(scope="module")
def motionpatches(golden, tokenizer, statistics, tmp_path_factory):
    """The published Motion Patches, small, converted through the command line."""
    out = tmp_path_factory.mktemp("converted") / "motionpatches"
    main(motionpatches_arguments(golden, tokenizer, statistics, out))
    return out


def motionpatches_arguments(golden, tokenizer, statistics, out, **changed):
    flags = {
        "mean": statistics / "Mean_raw.npy",
        "std": statistics / "Std_raw.npy",
        "tokenizer": tokenizer,
        "motion_heads": 4,
        "text_config": golden / "motionpatches_clip_text_config.json",
        **changed,
    }
    source = flags.pop("source", golden / "motionpatches_clip.pt")
    given = [f"--{name}={value}" for name, value in flags.items() if value is not None]
    return ["motionpatches", str(source), str(out), *given]


def run(module, *args):
    graphdef, params = nnx.split(module)
    return jax.jit(lambda params, *args: nnx.merge(graphdef, params)(*args))(params, *args)


def bound(model):
    return model.encoder.network.bind(model.params)


def state_dict(path):
    """As the file has it, nested dictionaries joined by dots."""
    content = torch.load(path, weights_only=True)
    return {
        (f"{name}.{key}" if isinstance(value, dict) else name): tensor
        for name, value in content.items()
        for key, tensor in (value.items() if isinstance(value, dict) else [("", value)])
    }


def assert_same_state_dict(folder, expected):
    from safetensors.torch import load_file

    exported = load_file(folder / "model.safetensors")
    assert exported.keys() == expected.keys()
    for key, tensor in expected.items():
        assert exported[key].dtype == tensor.dtype, key
        assert torch.equal(exported[key], tensor), key


# -------------------------------------------------------------------------------- Motion Patches


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
    texts = run(module.text_encoder, ids, mask).pooled
    np.testing.assert_allclose(texts, io["text_features"], atol=1e-4)
    inputs = {"patches": patches, "num_frames": None, "input_ids": ids, "text_mask": mask}
    motion, texts = run(module, inputs)
    np.testing.assert_allclose(motion, io["motion_embeds"], atol=1e-4)
    np.testing.assert_allclose(texts, io["text_embeds"], atol=1e-4)
    loss = losses.info_nce(motion, texts, module.scale())
    np.testing.assert_allclose(loss, io["loss"], atol=1e-4)


def test_motion_patches_in_use(motionpatches, statistics):
    """Joints in, through the statistics that were given; sentences in."""
    model = motionalign.load(motionpatches)
    metadata = model.metadata()
    assert (metadata.name, metadata.skeleton.name, metadata.fps) == ("humanml3d", "smpl22", 20)
    np.testing.assert_array_equal(metadata.mean, np.load(statistics / "Mean_raw.npy"))
    joints = np.random.default_rng(0).normal(size=(50, 22, 3))
    assert model.encode_motion(joints, fps=20).shape == (256,)
    vectors = model.encode_text(["a person waves", "someone walks"])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_motion_patches_there_and_back_bit_for_bit(motionpatches, golden, tmp_path):
    main(["export", str(motionpatches), str(tmp_path / "out")])
    expected = state_dict(golden / "motionpatches_clip.pt")
    expected = {key.rstrip("."): value for key, value in expected.items()}
    assert_same_state_dict(tmp_path / "out", expected)
    description = json.loads((tmp_path / "out" / "config.json").read_text())
    assert description["format"] == "motionpatches"
    assert description["motion_encoder"]["img_size"] == [224, 80]
    assert description["text_encoder"]["n_heads"] == 4


def test_unused_tensors_and_other_dtypes_come_back(golden, tokenizer, statistics, tmp_path):
    """A pooler that nothing uses, halves, bfloat16, whole numbers."""
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


def test_export_of_trained_parameters(motionpatches, tmp_path):
    """What has been trained since is written, not the published tensor that was kept."""
    from motionalign.checkpoints.run import Checkpoints

    saved = open_saved(motionpatches)
    model = motionalign.load(motionpatches)
    params = {**model.params, "logit_scale": jax.numpy.float32(1.5)}
    checkpoints = Checkpoints(tmp_path / "run")
    checkpoints.save_best(3, params, saved.run, saved.load_unused())
    checkpoints.close()
    export(tmp_path / "run", tmp_path / "out")
    from safetensors.torch import load_file

    scale = load_file(tmp_path / "out" / "model.safetensors")["logit_scale"]
    assert (scale.dtype, scale.item()) == (torch.float64, 1.5)


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
def test_a_model_trained_here_loads_in_the_published_code(family, pool, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(
        str(pytest.importorskip("pathlib").Path(__file__).parent / "models")
    )
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
    """Without config.json: the rest from flags, by default as published."""
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


# ----------------------------------------------------------------- Walk and Text, and GaitFormer


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
    """The frozen encoder's vectors as they are: no head, no normalisation."""
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


# --------------------------------------------------------------------------------- bad input


class Malicious:
    def __reduce__(self):
        return (print, ("code of the file has run",))


def spoil(tmp_path, golden, how):
    """A spoilt copy of the published checkpoint."""
    state = torch.load(golden / "motionpatches_clip.pt", weights_only=True)
    path = tmp_path / "bad.pt"
    if how == "missing":
        del state["motion_projection.fc.bias"]
    elif how == "extra":
        state["motion_encoder.model.extra"] = torch.zeros(3)
    elif how == "shape":
        state["motion_projection.fc.bias"] = torch.zeros(7)
    elif how == "family":
        state = {k.replace("word_embeddings", "wte"): v for k, v in state.items()}
    elif how == "gpt":
        state = {k.replace("attention.q_lin", "attn.c_attn"): v for k, v in state.items()}
    elif how == "roberta":  # BERT's names, but positions from 2 on and one type
        state = {k.replace("attention.q_lin", "attention.self.query"): v for k, v in state.items()}
        types = "text_encoder.text_model.embeddings.token_type_embeddings.weight"
        state[types] = torch.zeros(1, 48)
    elif how == "twice":
        state["motion_projection"] = {"fc.bias": torch.zeros(256)}
    elif how == "float8":
        state["motion_projection.fc.bias"] = torch.zeros(256).to(torch.float8_e4m3fn)
    elif how == "epoch":
        state["epoch"] = 3
    elif how == "sparse":
        state["logit_scale"] = torch.eye(3).to_sparse()
    elif how == "other":
        state = {"weight": torch.zeros(2)}
    elif how == "code":
        path.write_bytes(pickle.dumps({"a": Malicious()}))
        return path
    elif how == "module":
        torch.save(torch.nn.Linear(2, 2), path)
        return path
    torch.save(state, path)
    if how == "truncated":
        path.write_bytes(path.read_bytes()[:100_000])
    if how == "text":
        path.write_text("this is no checkpoint")
    return path


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("missing", r"1 mismatches:\s+missing +nothing fills motion_head/hidden/bias \[256\]"),
        ("extra", r"1 mismatches:\s+unexpected +motion_encoder.model.extra \[3\]"),
        ("shape", r"wrong shape motion_projection.fc.bias \[7\], expected \[256\]"),
        ("family", "text encoder is of an unknown family: no embeddings.word_embeddings.weight"),
        ("gpt", "text encoder is of an unknown family: its tensors are .* known: distilbert"),
        ("roberta", "text encoder is of an unknown family: its tensors are .* known: distilbert"),
        ("twice", "two tensors are named motion_projection.fc.bias"),
        ("float8", "motion_projection.fc.bias is of torch.float8_e4m3fn, which is not read"),
        ("epoch", r"bad.pt: epoch is a int; only tensors and plain containers"),
        ("sparse", r"logit_scale is a sparse or quantised tensor"),
        ("other", "no checkpoint of Motion Patches: it has no motion_encoder.model.pos_embed"),
        ("code", "more than tensors and plain containers, and is refused"),
        ("module", "more than tensors and plain containers, and is refused"),
        ("truncated", "is not a whole file of PyTorch"),
        ("text", "is not a whole file of PyTorch"),
    ],
)
def test_bad_files(how, message, golden, tokenizer, statistics, tmp_path, capsys):
    out = tmp_path / "out"
    source = spoil(tmp_path, golden, how)
    with pytest.raises(SystemExit) as error:
        main(motionpatches_arguments(golden, tokenizer, statistics, out, source=source))
    assert re.search(message, str(error.value)), error.value
    assert "code of the file has run" not in capsys.readouterr().out
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad.pt"]  # nothing half-written


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"mean": None}, "--mean=Mean_raw.npy --std=Std_raw.npy"),
        ({"motion_heads": None}, "width 48 is not a multiple of the usual 64: say --motion_heads"),
        ({"motion_heads": 5}, "5 heads do not divide the width 48"),
        ({"skeleton": "kit21"}, "is of 22 joints; smpl22 has 22"),
        ({"dataset": "small"}, "--dataset brings its own --mean, --std: leave them out"),
        ({"activation": "swish"}, "activation is 'swish'; valid: 'gelu'"),
        ({"text_config": "/no/such/file"}, "No such file or directory: '/no/such/file'"),
        ({"source": "/no/such/file"}, "/no/such/file is no file"),
        ({"fps": 0}, "--fps=0.0; expected a positive number"),
        ({"max_tokens": 1000}, "max_tokens is 1000; the text encoder has 512 positions"),
    ],
)
def test_bad_options(changed, message, golden, tokenizer, statistics, tmp_path):
    with pytest.raises(SystemExit, match=message):
        main(motionpatches_arguments(golden, tokenizer, statistics, tmp_path / "out", **changed))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--channels=2", "--fps=24"], "takes 27 joints; skeleton 'coco18' has 18"),
        (["--root=30", "--fps=24"], "root is 30; the encoder has joints 0 to 17"),
        (["--channels=7", "--fps=24"], "takes 54 numbers a frame, which is no multiple"),
        ([], "--fps, the frame rate of its training data, is needed"),
        (["--attributes={number}", "--fps=24"], "expected a JSON list of names"),
        (["--attributes={one}", "--fps=24"], "1 names of attributes; the checkpoint has 42"),
        (["--dataset=small", "--data_dir={data}"], "takes 18 joints; skeleton 'smpl22' has 22"),
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


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("tokenizer.json", "{", "tokenizer.json cannot be read"),
        ("text_config", "[3]", "text_config holds no JSON object but a list"),
        ("text_config", '{"model_type": "distilbert"}', "text_config lacks 'vocab_size'"),
        ("text_config", "{", "text_config is not JSON"),
    ],
)
def test_bad_files_beside(file, content, message, golden, tokenizer, statistics, tmp_path):
    (tmp_path / file).write_text(content)
    name = "tokenizer" if file == "tokenizer.json" else file
    changed = {"tokenizer": tokenizer, name: tmp_path if name == "tokenizer" else tmp_path / file}
    out = tmp_path / "out"
    with pytest.raises(SystemExit, match=message):
        main(motionpatches_arguments(golden, statistics=statistics, out=out, **changed))
    assert [path.name for path in tmp_path.iterdir()] == [file]


def test_models_that_evaluation_cannot_score(golden, small_dataset, tmp_path):
    from runs import tiny_config

    from motionalign import evaluate

    flags = ["--motion_heads=4", "--fps=24"]
    main(["gaitformer", str(golden / "gaitformer.pt"), str(tmp_path / "gait"), *flags])
    with pytest.raises(ValueError, match="no text encoder: retrieval by text cannot be scored"):
        evaluate.evaluate_checkpoint(tiny_config(small_dataset), tmp_path / "gait", tmp_path)


def test_export_of_what_the_published_code_cannot_compute():
    from motionalign.checkpoints.published import registry
    from motionalign.models.build import resolve

    section = {
        "motion": {"size": "custom", "width": 24, "depth": 2, "heads": 3},
        "text": {"family": "bert", "width": 16, "depth": 1, "heads": 2, "vocab_size": 50},
    }
    assert registry.format_of(resolve(section)) == "motionpatches"
    section["motion"]["padding"] = "mask"
    with pytest.raises(ValueError, match="attends to the padding"):
        registry.format_of(resolve(section))
    section["motion"] |= {"padding": "attend", "family": "clip"}
    with pytest.raises(ValueError, match="no published code has a motion encoder of family 'clip'"):
        registry.format_of(resolve(section))


def test_a_tokenizer_of_another_encoder(golden, minilm, statistics, tmp_path):
    with pytest.raises(SystemExit, match="30522 tokens, the text encoder 500: name the right one"):
        main(motionpatches_arguments(golden, minilm, statistics, tmp_path / "out"))


def test_nothing_is_overwritten(motionpatches, golden, tokenizer, statistics):
    with pytest.raises(SystemExit, match="is already there"):
        main(motionpatches_arguments(golden, tokenizer, statistics, motionpatches))
    with pytest.raises(SystemExit, match="is already there"):
        main(["export", str(motionpatches), str(motionpatches)])


def test_without_torch(golden, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ValueError, match="takes torch, which is not installed: pip install torch"):
        torch_files.read_state_dict(golden / "gaitformer.pt")


def test_safetensors_need_no_torch(golden, tmp_path, monkeypatch):
    from safetensors.torch import save_file

    state = torch.load(golden / "gaitformer.pt", weights_only=True)
    save_file({**state, "half": torch.ones(2, dtype=torch.bfloat16)}, tmp_path / "a.safetensors")
    monkeypatch.setitem(sys.modules, "torch", None)
    tensors = torch_files.read_state_dict(tmp_path / "a.safetensors")
    np.testing.assert_array_equal(tensors["projection.bias"], state["projection.bias"])
    assert tensors["half"].dtype == ml_dtypes.bfloat16


def test_statistics_of_a_prepared_dataset(golden, tokenizer, statistics, small_dataset, tmp_path):
    changed = {"mean": None, "std": None, "dataset": "small", "data_dir": small_dataset}
    out = tmp_path / "out"
    main(motionpatches_arguments(golden, tokenizer, statistics, out, **changed))
    metadata = Metadata.from_json(open_saved(out).run["datasets"]["small"])
    assert metadata.skeleton is get_skeleton("smpl22")


def test_evaluation_takes_the_checkpoints_own_statistics(
    golden, tokenizer, small_dataset, tmp_path, capsys
):
    """Not those of the prepared dataset of that name, which differ from the published ones."""
    from runs import tiny_config

    from motionalign import evaluate
    from motionalign.data.dataset import Dataset
    from motionalign.inference.model import own_preparation
    from motionalign.tasks.captions import embed_split

    metadata = Dataset(small_dataset, "small").metadata
    config = tiny_config(small_dataset)
    scores, embedded = {}, {}
    for name, factor in (("same", 1.0), ("other", 2.0)):
        options = convert_options(golden)
        own = dataclasses.replace(metadata, std=factor * metadata.std)
        source = golden / "motionpatches_clip.pt"
        convert(source, tmp_path / name, "motionpatches", own, options, str(tokenizer))
        scores[name] = evaluate.evaluate_checkpoint(config, tmp_path / name, tmp_path / name)
        model = motionalign.load(tmp_path / name)
        dataset = Dataset(small_dataset, "small")
        prepare = own_preparation(model, dataset)
        assert (prepare is None) == (name == "same")
        embedded[name], _, gallery = embed_split(
            model.encoder, model.params, dataset, "test", prepare=prepare
        )
        clips = [gallery.joints(i) for i in range(len(gallery.ids))]
        expected = model.encode_motion(clips, metadata.fps, normalize=False)
        np.testing.assert_allclose(embedded[name], expected, atol=1e-4)
    assert np.abs(embedded["same"] - embedded["other"]).max() > 0.1
    assert capsys.readouterr().out.count("by the checkpoint's statistics") == 1


def convert_options(golden):
    from motionalign.checkpoints.published.format import Options

    text_config = json.loads((golden / "motionpatches_clip_text_config.json").read_text())
    return Options(motion_heads=4, text_config=text_config)
