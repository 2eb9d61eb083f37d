"""What a run is compiled with where its data or weights are not there: sizes, and no values.

Compiled programs depend on shapes alone. For the datasets and pretrained models that installed
configs name, their published sizes are here; whatever is prepared or downloaded is read instead.
"""

import contextlib
import dataclasses
import importlib
import pathlib
import tempfile
from collections.abc import Generator, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from motionalign import files
from motionalign.data.dataset import Dataset, Metadata
from motionalign.formats import smplh
from motionalign.skeleton import get_skeleton

# Datasets ----------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Layout:
    """The sizes of a dataset's records.

    Attributes:
      skeleton: a key of `skeleton.SKELETONS`.
      patch_size: of its motion patches; None: it has none.
      labels, attributes: numbers of action classes and of attributes.
      rotations: number of rotations of a body.
    """

    skeleton: str
    patch_size: int | None = 16
    labels: int = 0
    attributes: int = 0
    rotations: int = 0


LAYOUTS = {
    "humanml3d": Layout("smpl22"),
    "kit_ml": Layout("kit21"),
    "babel": Layout("smpl22", labels=60, rotations=len(smplh.ROTATED)),
    "densegait": Layout("coco18", patch_size=None, attributes=42),
    "ntu60": Layout("ntu25", labels=60),
    "nw_ucla": Layout("kinect20", labels=10),
    "utd_mhad": Layout("kinect20", labels=27),
    "sbu": Layout("sbu15", labels=8),
    "synthetic": Layout("smpl22"),
}
"""Layouts by the names that `data_prep` gives prepared datasets."""

VECTOR_WIDTH = 1024  # of UAE-Large-V1, the default of `data_prep embed`


@dataclasses.dataclass(frozen=True, eq=False)
class StandIn:
    """A dataset of which only the layout is known; as much of `Dataset` as building a model needs.

    Attributes:
      name: of the dataset.
      metadata: with the layout's sizes; statistics and names of classes are made up.
    """

    name: str
    metadata: Metadata

    def require_caption_vectors(self) -> Any:
        """Vectors of no text, of the usual width."""
        return SimpleNamespace(vectors=np.zeros((0, VECTOR_WIDTH), np.float32))


def dataset(data_dir: str, name: str) -> Dataset | StandIn:
    """A prepared dataset, or the stand-in for one that is not prepared.

    Raises:
      ValueError: it is not prepared, and its layout is not known.
    """
    if (files.expand(data_dir) / name).is_dir():
        return Dataset(data_dir, name)
    if name not in LAYOUTS:
        raise ValueError(
            f"dataset {name!r} is not in {data_dir}, and its sizes are not known: prepare it, or "
            f"set config.data.datasets to one of {', '.join(LAYOUTS)}"
        )
    layout = LAYOUTS[name]
    skeleton = get_skeleton(layout.skeleton)
    size = (skeleton.num_joints, 3)
    return StandIn(
        name,
        Metadata(
            name, skeleton, layout.patch_size, 20.0, 1.0, np.zeros(size), np.ones(size), 20.0,
            label_names=tuple(f"class {k}" for k in range(layout.labels)),
            attribute_names=tuple(f"attribute {k}" for k in range(layout.attributes)),
            num_rotations=layout.rotations,
        ),
    )  # fmt: skip


# Pretrained models --------------------------------------------------------------------------------

_LLAMA_2 = {
    "model_type": "llama",
    "vocab_size": 32000,
    "max_position_embeddings": 4096,
    "rms_norm_eps": 1e-5,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
}
_LLAMA_7B = _LLAMA_2 | {
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
}
_LLAMA_13B = _LLAMA_2 | {
    "hidden_size": 5120,
    "intermediate_size": 13824,
    "num_hidden_layers": 40,
    "num_attention_heads": 40,
    "num_key_value_heads": 40,
}
CONFIGS: dict[str, dict[str, Any]] = {
    "distilbert/distilbert-base-uncased": {
        "model_type": "distilbert",
        "activation": "gelu",
        "attention_dropout": 0.1,
        "dim": 768,
        "dropout": 0.1,
        "hidden_dim": 3072,
        "max_position_embeddings": 512,
        "n_heads": 12,
        "n_layers": 6,
        "vocab_size": 30522,
    },
    "sentence-transformers/all-MiniLM-L6-v2": {
        "model_type": "bert",
        "attention_probs_dropout_prob": 0.1,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "hidden_size": 384,
        "intermediate_size": 1536,
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": 512,
        "num_attention_heads": 12,
        "num_hidden_layers": 6,
        "type_vocab_size": 2,
        "vocab_size": 30522,
    },
    "meta-llama/Llama-2-7b-hf": _LLAMA_7B,
    "meta-llama/Llama-2-13b-hf": _LLAMA_13B,
    # LLaMA 1 has the same sizes, apart from its shorter context and the constant in its norms.
    "huggyllama/llama-7b": _LLAMA_7B | {"max_position_embeddings": 2048, "rms_norm_eps": 1e-6},
    "huggyllama/llama-13b": _LLAMA_13B | {"max_position_embeddings": 2048, "rms_norm_eps": 1e-6},
    "HuggingFaceTB/SmolLM2-135M-Instruct": {
        "model_type": "llama",
        "vocab_size": 49152,
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "max_position_embeddings": 8192,
        "rms_norm_eps": 1e-5,
        "rope_theta": 100000,
        "hidden_act": "silu",
        "tie_word_embeddings": True,
    },
}
"""config.json by Hub id, as far as the steps of a model depend on it."""

_NO_TENSORS = (2).to_bytes(8, "little") + b"{}"  # a .safetensors of nothing


@contextlib.contextmanager
def models(ids: Sequence[str]) -> Generator[dict[str, str]]:
    """Folders that stand for pretrained models: {Hub id: folder} of those whose sizes are here.

    A folder has a config.json and no weights, and is removed at the end. Another source is read as
    usual: from its folder or the Hub.
    """
    with tempfile.TemporaryDirectory(prefix="motionalign-") as temporary:
        folders = {}
        for number, name in enumerate(sorted(set(ids) & CONFIGS.keys())):
            folder = pathlib.Path(temporary) / str(number)
            folder.mkdir()
            files.write_json(folder / "config.json", CONFIGS[name])
            files.write_bytes(folder / "model.safetensors", _NO_TENSORS)
            folders[name] = str(folder)
        yield folders


# A motion tokenizer and a prompt ------------------------------------------------------------------


def tokenizer_config(weights: str) -> ConfigDict:
    """The config of the motion tokenizer's run that a language model reads, `runs/CONFIG`.

    Raises:
      ValueError: no installed config has this name.
    """
    name = pathlib.PurePath(weights).name.partition("-")[0]
    try:
        module = importlib.import_module(f"motionalign.configs.{name}")
    except ImportError as error:
        raise ValueError(
            f"config.model.weights={weights} is not there, and its last part names no installed "
            "config of a motion tokenizer, such as runs/ntu60_tokens"
        ) from error
    return module.get_config()


LISTED, ALONE, BETWEEN, AFTER = 384, 32, 1, 4
"""Tokens of the instruction before the motion with and without a list of class names, between two
persons, and after the motion. Rounded up (ours): with the names of NTU RGB+D 60, SmolLM2's
tokenizer makes 331, 1 and 3 of it, and LLaMA's vocabulary is smaller."""
