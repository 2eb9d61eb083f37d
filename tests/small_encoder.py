"""A small BERT with random weights and a learned vocabulary, in Hugging Face's layout."""

import json
import pathlib

import jax
import numpy as np
import safetensors.numpy
from flax import nnx

from motionalign.data.tokenizer import train_wordpiece
from motionalign.models import bert
from motionalign.models.weights import keymap
from motionalign.models.weights.load import parameter_path


def write_encoder(folder: pathlib.Path, texts: list[str], activation: str = "gelu") -> pathlib.Path:
    """Writes config.json, model.safetensors and tokenizer.json for a vocabulary of `texts`."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = train_wordpiece(texts, 300)
    rows = len(json.loads(tokenizer)["model"]["vocab"])
    config = bert.BertConfig(
        vocab_size=rows, width=8, depth=1, heads=2, mlp_width=16, max_positions=32,
        activation=activation,
    )  # fmt: skip
    with nnx.set_graph_mode(False):
        params = nnx.split(bert.Bert(config, rngs=nnx.Rngs(0)))[1]
    leaves = jax.tree_util.tree_flatten_with_path(params)[0]
    by_path = {parameter_path(path): np.asarray(value) for path, value in leaves}
    tensors = keymap.export(by_path, bert.key_map())
    safetensors.numpy.save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(bert.config_to_hf(config)))
    (folder / "tokenizer.json").write_text(tokenizer)
    return folder


def with_token(folder: pathlib.Path, token: str, new_id: int) -> None:
    """Gives a token of the vocabulary another id."""
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text("utf-8"))
    content["model"]["vocab"][token] = new_id
    path.write_text(json.dumps(content), "utf-8")
