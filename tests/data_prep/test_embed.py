"""Caption vectors of a prepared dataset."""

import argparse
import os

import numpy as np
import pytest
from safetensors import safe_open

from data_prep import embed
from motionalign import records

CAPTIONS = {
    "train": [["a person walks", "someone is walking slowly to the left and then stops to look"]],
    "test": [["a person walks"], ["a person waves “hello”", "jumps"]],
}


@pytest.fixture
def dataset(tmp_path, monkeypatch):
    """A prepared dataset as far as `embed` sees it."""
    version_dir = tmp_path / "tiny" / records.VERSION
    version_dir.mkdir(parents=True)

    class Split:
        def __init__(self, folder, split):
            assert folder == version_dir
            self.captions = CAPTIONS[split]

    class Dataset:
        def __init__(self, data_dir, name):
            self.version_dir = version_dir

    for split in CAPTIONS:
        (version_dir / f"index-{split}.npz").touch()
    monkeypatch.setattr(records, "Split", Split)
    monkeypatch.setattr(records, "Dataset", Dataset)
    return version_dir


def arguments(*flags):
    parser = argparse.ArgumentParser()
    embed.add_arguments(parser)
    return parser.parse_args(["--name=tiny", *flags])


@pytest.mark.parametrize("readout", ["mean", "first"])
def test_equals_transformers(dataset, minilm, readout, monkeypatch):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    monkeypatch.setattr(embed, "BATCH_SIZE", 3)  # the second batch is not full
    embed.run(arguments(f"--encoder={minilm}", f"--readout={readout}"))

    with safe_open(dataset / "caption_vectors.safetensors", "numpy") as file:
        captions = bytes(file.get_tensor("captions")).decode().split("\n")
        vectors = file.get_tensor("vectors")
        metadata = file.metadata()
    assert captions == sorted({c for split in CAPTIONS.values() for clip in split for c in clip})
    assert metadata["encoder"] == str(minilm)
    assert metadata["readout"] == readout
    assert len(metadata["sha256"]) == 64
    assert not list(dataset.glob("*.partial"))
    umask = os.umask(0o022)
    os.umask(umask)
    mode = (dataset / "caption_vectors.safetensors").stat().st_mode & 0o777
    assert mode == 0o666 & ~umask  # as any file, not for the owner alone

    model = transformers.AutoModel.from_pretrained(minilm).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(minilm)
    for caption, vector in zip(captions, vectors):  # one by one: without padding
        with torch.no_grad():
            last = model(**tokenizer(caption, return_tensors="pt")).last_hidden_state[0].numpy()
        expected = last.mean(0) if readout == "mean" else last[0]
        np.testing.assert_allclose(vector, expected, atol=1e-4)
    assert abs(np.linalg.norm(vectors[0]) - 1) > 0.1  # not normalised


def test_unknown_encoder(dataset, tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(ValueError, match="is 'llama'; valid: 'bert', 'distilbert'"):
        embed.run(arguments(f"--encoder={tmp_path}"))
    assert not (dataset / "caption_vectors.safetensors").exists()


def test_a_killed_run_leaves_nothing(dataset, minilm, monkeypatch):
    def killed(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(embed.os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        embed.run(arguments(f"--encoder={minilm}"))
    assert not (dataset / "caption_vectors.safetensors").exists()
