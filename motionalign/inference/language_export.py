"""What LLM-AR's second stage has trained, for other software: adapters alone, or merged."""

import json
import pathlib
from typing import Any

import numpy as np
import safetensors.numpy
from flax import nnx

from motionalign import files
from motionalign.inference.model import Model
from motionalign.models import flat, llama, lora
from motionalign.models.frozen import FrozenWeights
from motionalign.models.motion_language import TOWER, MotionLanguageConfig
from motionalign.models.weights import adapters, keymap
from motionalign.models.weights.source import Source


def save_adapters(model: Model, folder: str | pathlib.Path) -> pathlib.Path:
    """Writes a language model's adapters alone, in the layout of Hugging Face's PEFT.

    The folder names the language model and the SHA-256 of its files. It has no motion words: the
    model's own folder, which `Model.save_pretrained` writes, has both.

    Args:
      model: a language model with adapters.
      folder: to write; it must not exist.

    Returns:
      The folder.

    Raises:
      ValueError: the model has no adapters, the folder exists, or the adapters belong to random
        weights, which no folder has.
    """
    config, tower = _adapted(model)
    assert config.llama.lora is not None
    if tower.seed is not None:
        raise ValueError(
            f"these adapters belong to random weights, not to those of {tower.source}: write both "
            "together with --merged (`save_merged`)"
        )
    with flat.tree_mode():
        layers = lora.sizes(nnx.eval_shape(lambda: llama.Llama(config.llama, rngs=nnx.Rngs(0))))
    base = adapters.Base(tower.source, Source(tower.source).hub_id, tower.sha256)
    folder = files.expand(folder)
    adapters.save(folder, _of_tower(model), config.llama.lora, layers, llama.key_map(), base)
    return folder


def save_merged(model: Model, folder: str | pathlib.Path) -> pathlib.Path:
    """Writes a language model with its adapters merged into it, in the layout of Hugging Face.

    The folder has config.json, model.safetensors and tokenizer.json, as transformers and
    `config.model.language.weights` read them. Kernels have the dtype of the frozen ones; of
    quantised ones bfloat16. Arguments, result and errors are those of `save_adapters`.
    """
    config, tower = _adapted(model)
    assert config.llama.lora is not None
    arrays = {path: np.asarray(value) for path, value in _of_tower(model).items()}
    merged = keymap.export(lora.merged(arrays, config.llama.lora), llama.key_map())
    tensors = {key if key.startswith("lm_head") else f"model.{key}": x for key, x in merged.items()}
    tokenizer = model.encoder.tokenizer.json
    content = {"architectures": ["LlamaForCausalLM"], **Source(tower.source).config()}
    with files.new_folder(files.expand(folder)) as partial:
        data = safetensors.numpy.save(tensors, {"format": "pt"})
        files.write_bytes(partial / "model.safetensors", data)
        files.write_json(partial / "config.json", content)
        files.write_json(partial / "tokenizer.json", json.loads(tokenizer)["tokenizer"])
    return files.expand(folder)


def _adapted(model: Model) -> tuple[MotionLanguageConfig, FrozenWeights]:
    """The config of a language model with adapters, and its frozen language model."""
    network = model.encoder.network
    if not isinstance(network.config, MotionLanguageConfig) or network.config.llama.lora is None:
        raise ValueError(
            f"this {model.run['kind'].replace('_', ' ')} has no adapters: they are those of a "
            "language model trained with config.model.language.train=adapters"
        )
    (tower,) = (each for each in network.frozen if each.under == TOWER)
    return network.config, tower


def _of_tower(model: Model) -> dict[str, Any]:
    """{path within the language model: array}, adapters and frozen ones."""
    start = TOWER + "/"
    return {
        path.removeprefix(start): value
        for path, value in model.arrays.items()
        if path.startswith(start)
    }
