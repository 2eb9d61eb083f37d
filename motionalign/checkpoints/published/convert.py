"""Converts published checkpoints to ours, and exports ours in the published formats.

A converted checkpoint keeps the order and dtypes of the file's tensors, and the tensors that no
computation needs, so that its export reproduces the file's tensors bit for bit.
"""

import dataclasses
import hashlib
import json
import math
import pathlib
from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np
import safetensors.numpy

from motionalign import digests, files
from motionalign.checkpoints.published import registry
from motionalign.checkpoints.published.format import (
    DISTANCES,
    Format,
    MetadataOf,
    Options,
    max_tokens,
)
from motionalign.checkpoints.published.torch_files import read_state_dict
from motionalign.checkpoints.run import Checkpoints, stored_run
from motionalign.checkpoints.shared import open_saved
from motionalign.data.dataset import Metadata
from motionalign.models.architectures import architecture_of
from motionalign.models.dual_encoder import DualEncoderConfig
from motionalign.models.families import TEXT_FAMILIES, text_tower
from motionalign.models.layers import check_choice
from motionalign.models.network import Network, network_of
from motionalign.models.weights import keymap
from motionalign.models.weights.keymap import Transform
from motionalign.models.weights.load import load_tokenizer, load_weights
from motionalign.models.weights.source import Source

Path = str | pathlib.Path
Tensors = Mapping[str, np.ndarray]
Plan = Mapping[str, tuple[str, Transform]]  # {parameter path: (key of its tensor, transform)}

# ---------------------------------------------------------------------------------- converting


def convert(
    path: Path,
    workdir: Path,
    published: str,
    metadata: Metadata | MetadataOf,
    options: Options | None = None,
    tokenizer: str | None = None,
    text_weights: str | None = None,
) -> None:
    """Converts a published checkpoint to one of ours.

    Args:
      path: a state dict, as a PyTorch file or .safetensors.
      workdir: folder to write best/0 and config.json to, like a run; it must not exist.
      published: name of the published model, a key of `registry.FORMATS`.
      metadata: metadata of the dataset that the model was trained on, or a function from our
        architecture to it.
      options: properties that the tensors do not state, in the published model's options class.
      tokenizer: folder or Hub id with the text encoder's tokenizer.json or vocabulary.
      text_weights: folder or Hub id of the frozen text encoder, if the model has one that its file
        does not contain.

    Raises:
      ValueError: the checkpoint does not fit; the message lists every mismatch.
    """
    form = registry.named(published)
    if text_weights and form.text_readout is None:
        raise ValueError(f"{published} does not support a separate text encoder (--text_weights)")
    if pathlib.Path(workdir).exists():  # checked before minutes of reading
        raise ValueError(f"{workdir} already exists; choose another folder, or remove it")
    options = options or form.options()
    if options.distance is not None:
        check_choice(options.distance, DISTANCES, "distance")
    tensors = _named_tensors(path, form)
    try:
        frozen = Source(text_weights) if text_weights else None
        network = Network(_architecture(form, tensors, options, frozen))
        plan = _plan(form, tensors, network)
    except (ValueError, KeyError) as error:
        missing = f"no tensor {error}" if isinstance(error, KeyError) else error
        raise ValueError(f"{path} does not fit {published}: {missing}") from error
    if not isinstance(metadata, Metadata):
        metadata = metadata(network.config)
    metadata = form.fit_metadata(metadata, network.config)
    params = _parameters(tensors, plan, network)
    if frozen is not None:
        params |= _frozen_text(network, frozen)
    temperature = _temperature(tensors, plan, network)
    architecture = dataclasses.replace(network.config, temperature=temperature)
    tokenizer_json = _tokenizer(tokenizer or text_weights, architecture, form)
    source = _source(path, published, tensors)
    distance = options.distance or form.distance(architecture)
    run = _run(architecture, metadata, tokenizer_json, distance, source)
    _write(workdir, params, run, _unused(tensors, plan))


def _named_tensors(path: Path, form: Format) -> dict[str, np.ndarray]:
    """The file's tensors by the published model's own names."""
    tensors: dict[str, np.ndarray] = {}
    found = read_state_dict(path)
    names = keymap.unwrapped(found, known=lambda name: form.own_name(name) in form.keys)
    for key, value in found.items():
        name = form.own_name(names[key])
        if name in tensors:
            raise ValueError(f"{path} has {name} twice, under this name and under another one")
        tensors[name] = value
    return tensors


def _architecture(
    form: Format, tensors: Tensors, options: Options, frozen: Source | None
) -> DualEncoderConfig:
    """Our architecture for the tensors, with the frozen text encoder if one is given."""
    architecture = form.architecture(_shapes(tensors), options)
    if frozen is None:
        return architecture
    assert form.text_readout is not None  # checked by `convert`
    _, text = text_tower(frozen, readout=form.text_readout(architecture, options))
    return dataclasses.replace(architecture, text=text, max_tokens=max_tokens(text, options))


def _plan(form: Format, tensors: Tensors, network: Network) -> Plan:
    """Which tensor fills which parameter; a ValueError lists every mismatch."""
    parameters = _shapes(network.abstract_params)
    return keymap.match(_shapes(tensors), parameters, form.key_map(network.config))


def _shapes(arrays: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    return {name: array.shape for name, array in arrays.items()}


def _parameters(tensors: Tensors, plan: Plan, network: Network) -> dict[str, np.ndarray]:
    """Our parameters from the file's tensors, in float32."""
    abstract = network.abstract_params
    params: dict[str, Any] = {
        path: transform.of(tensors[key], abstract[path].shape).astype(np.float32)
        for path, (key, transform) in plan.items()
    }
    if "logit_scale" not in params:
        params["logit_scale"] = np.float32(-math.log(network.config.temperature))
    return params


def _temperature(tensors: Tensors, plan: Plan, network: Network) -> float:
    """The file's temperature in its own precision, or the architecture's if it has none."""
    if "logit_scale" not in plan:
        return network.config.temperature
    key, transform = plan["logit_scale"]
    return float(np.exp(-np.float64(transform.of(tensors[key], ()))))


def _frozen_text(network: Network, source: Source) -> dict[str, np.ndarray]:
    """Loads the parameters of the frozen text encoder."""
    tower = {p: x for p, x in network.abstract_params.items() if p.startswith("text_encoder/")}
    rules = TEXT_FAMILIES[network.config.text_family].key_map()
    loaded = load_weights(tower, source, rules, under="text_encoder")
    return {path: np.asarray(value) for path, value in loaded.items()}


def _unused(tensors: Tensors, plan: Plan) -> dict[str, np.ndarray]:
    """The tensors that an export cannot reproduce from the parameters bit for bit."""
    used = {key for key, _ in plan.values()}
    return {
        key: value
        for key, value in tensors.items()
        # tensors of higher precision than the parameters are kept too
        if key not in used or not _same_bits(value.astype(np.float32).astype(value.dtype), value)
    }


def _tokenizer(name: str | None, architecture: DualEncoderConfig, form: Format) -> str | None:
    """The text encoder's tokenizer.json; by default that of the published model.

    Raises:
      ValueError: it cannot be found, has more tokens than the text encoder, or is for shorter
        texts.
    """
    if architecture.text is None:
        return None
    name = name or form.tokenizer(architecture)
    if name is None:
        raise ValueError("the text encoder's tokenizer is missing: give it with --tokenizer")
    tokenizer_class = TEXT_FAMILIES[architecture.text_family].tokenizer
    tokenizer = load_tokenizer(name, architecture.max_tokens, tokenizer_class)
    if tokenizer.max_tokens < architecture.max_tokens:
        raise ValueError(
            f"texts are truncated to {architecture.max_tokens} tokens, but {name} states "
            f"model_max_length {tokenizer.max_tokens} in its tokenizer_config.json: give "
            f"--max_tokens={tokenizer.max_tokens} or less"
        )
    if tokenizer.vocab_size > architecture.text.vocab_size:
        raise ValueError(
            f"the tokenizer {name} has {tokenizer.vocab_size} tokens, but the text encoder has "
            f"{architecture.text.vocab_size}: give the matching tokenizer with --tokenizer"
        )
    tokenizer.check_fits(architecture.text.vocab_size, name)
    return tokenizer.json


def _source(path: Path, published: str, tensors: Tensors) -> dict[str, Any]:
    """What a converted checkpoint stores about its source file."""
    with pathlib.Path(path).open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "format": published,
        "file": pathlib.Path(path).name,
        "sha256": sha256,
        "tensors": [[key, str(value.dtype)] for key, value in tensors.items()],
    }


def _run(
    architecture: DualEncoderConfig,
    metadata: Metadata,
    tokenizer_json: str | None,
    distance: str,
    source: dict[str, Any],
) -> dict[str, Any]:
    """The metadata that a checkpoint stores with its parameters."""
    return stored_run(
        {
            "kind": "dual_encoder",
            "architecture": architecture.to_dict(),
            "config": {
                "dtype": "float32",
                "data": {"eval_batch_size": 64, "frame_bucket": 32, "text_bucket": 16},
            },
            "tokenizer": tokenizer_json,
            "trained": None,
            "distance": distance,
            "text_encoder": None,
            "frozen": [],
            "source": source,
            "supervision": None,
            "datasets": {metadata.name: metadata.to_json()},
            "step": 0,
            "score": None,
        }
    )


def _write(workdir: Path, params: Tensors, run: dict[str, Any], unused: Tensors) -> None:
    """Writes the folder of a run with only its best checkpoint."""
    with files.new_folder(workdir) as partial:
        checkpoints = Checkpoints(partial)
        checkpoints.save_best(0, params, run, unused=unused)
        checkpoints.close()
        (partial / "checkpoints").rmdir()
        config = run["config"] | {"source": run["source"]}
        with digests.recording(partial / "config.json"):
            files.write_text(partial / "config.json", json.dumps(config))


def _same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return a.tobytes() == b.tobytes()


# ----------------------------------------------------------------------------------- exporting


def export(path: Path, folder: Path) -> str:
    """Exports a checkpoint with the published code's names: model.safetensors and config.json.

    A converted checkpoint reproduces the tensors of the published file bit for bit, in their order
    and dtypes, including unused ones.

    Args:
      path: the checkpoint, as for `motionalign.load`.
      folder: folder to write; it must not exist.

    Returns:
      The name of the published model.

    Raises:
      ValueError: no published code can run the model, or the folder already exists.
    """
    saved = open_saved(path)
    if architecture_of(saved.run["kind"]).config is not DualEncoderConfig:
        raise ValueError(
            f"{path} is a {saved.run['kind']}, for which there is no published code; only models "
            "that embed or classify motions can be exported"
        )
    network = network_of(saved.run)
    source = saved.run["source"]
    name = source["format"] if source else registry.format_of(network.config)
    form = registry.named(name)
    loaded = saved.load_params(network.abstract_params)
    params = {p: np.asarray(value) for p, value in loaded.items()}
    key_map = form.key_map(network.config)
    if source is None:
        tensors = keymap.export(params, key_map) | form.unused(network.config)
    else:
        dtypes, unused = dict(source["tensors"]), saved.load_unused()
        made = keymap.export(params, key_map, dtypes)
        tensors = {key: _original(made.get(key), unused.get(key), dtypes[key]) for key in dtypes}
    description = form.describe(network.config) | {"format": name}
    with files.new_folder(folder) as partial:
        data = safetensors.numpy.save(tensors, {"format": "pt"})
        files.write_bytes(partial / "model.safetensors", data)
        files.write_json(partial / "config.json", description)
        digests.write(partial)
    return name


def _original(made: np.ndarray | None, kept: np.ndarray | None, dtype: str) -> np.ndarray:
    """A tensor of the published file: from the parameters, or the stored one if more precise."""
    if made is None:
        assert kept is not None
        return kept
    if kept is not None and _same_bits(kept.astype(made.dtype), made):
        return kept
    return made.astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
