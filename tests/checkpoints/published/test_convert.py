"""Conversion errors, and the files that conversion and export write."""

import pickle
import re

import jax
import pytest
from converting import motionpatches_arguments

import motionalign
from motionalign.checkpoints.published import registry
from motionalign.checkpoints.published.convert import _named_tensors, convert, export
from motionalign.checkpoints.shared import open_saved
from motionalign.convert import main

torch = pytest.importorskip("torch")


def test_export_of_trained_parameters(motionpatches, tmp_path):
    """Exports the trained parameters, not the stored published tensors."""
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


class Malicious:
    def __reduce__(self):
        return (print, ("code of the file has run",))


def spoil(tmp_path, golden, how):
    """A damaged copy of the published checkpoint."""
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
        ("family", "text encoder's family is not known: no embeddings.word_embeddings.weight"),
        ("gpt", "text encoder's family is not known: its tensors are .* known: distilbert"),
        ("roberta", "text encoder's family is not known: its tensors are .* known: distilbert"),
        ("twice", "two tensors are named motion_projection.fc.bias"),
        (
            "float8",
            "motion_projection.fc.bias has dtype torch.float8_e4m3fn, which is not supported",
        ),
        ("epoch", r"bad.pt: epoch is a int; only tensors and plain containers"),
        ("sparse", r"logit_scale is sparse or quantised"),
        ("other", "not a checkpoint of Motion Patches: motion_encoder.model.pos_embed, .* missing"),
        ("code", "more than tensors and plain containers and is rejected"),
        ("module", "more than tensors and plain containers and is rejected"),
        ("truncated", "is not a complete PyTorch file"),
        ("text", "is not a complete PyTorch file"),
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


@pytest.mark.parametrize("wrapper", ["module.", "model.", "state_dict._orig_mod."])
def test_a_wrapped_model_is_converted_as_itself(golden, tmp_path, wrapper):
    """As DataParallel, a trainer, or a compiled model in a dictionary name the tensors."""
    state = torch.load(golden / "gaitformer.pt", weights_only=True)
    torch.save({wrapper + key: value for key, value in state.items()}, tmp_path / "wrapped.pt")
    found = _named_tensors(tmp_path / "wrapped.pt", registry.named("gaitformer"))
    assert found.keys() == state.keys()
    torch.save(state | {"_orig_mod.projection.bias": torch.zeros(3)}, tmp_path / "twice.pt")
    with pytest.raises(ValueError, match=r"are two tensors of the same name projection\.bias"):
        _named_tensors(tmp_path / "twice.pt", registry.named("gaitformer"))


def test_nothing_is_overwritten(motionpatches, golden, tokenizer, statistics):
    with pytest.raises(SystemExit, match="already exists"):
        main(motionpatches_arguments(golden, tokenizer, statistics, motionpatches))
    with pytest.raises(SystemExit, match="already exists"):
        main(["export", str(motionpatches), str(motionpatches)])


def test_unsupported_options_of_a_published_model(golden, tmp_path):
    source, out = golden / "gaitformer.pt", tmp_path / "out"
    with pytest.raises(ValueError, match="the published model is 'tmr'; valid: 'motionpatches'"):
        convert(source, out, "tmr", None)
    with pytest.raises(ValueError, match="gaitformer does not support a separate text encoder"):
        convert(source, out, "gaitformer", None, text_weights="WhereIsAI/UAE-Large-V1")
