"""motionalign.checkpoints.published.convert."""

import dataclasses
import hashlib
import json
import math
import pathlib

import numpy as np

from motionalign.checkpoints.published import registry
from motionalign.checkpoints.published.format import Options, max_tokens
from motionalign.checkpoints.published.torch_files import read_state_dict
from motionalign.checkpoints.run import Checkpoints
from motionalign.checkpoints.shared import new_folder, open_saved
from motionalign.models.families import TEXT_FAMILIES, text_tower
from motionalign.models.network import Network, network_of
from motionalign.models.weights import keymap
from motionalign.models.weights.load import load_tokenizer, load_weights
from motionalign.models.weights.source import Source

TOKENIZERS = {  # of the text encoders that the published code names
    "distilbert": "distilbert/distilbert-base-uncased",
    "bert": "google-bert/bert-base-uncased",
    "mpnet": "sentence-transformers/all-mpnet-base-v2",
}


# ---------------------------------------------------------------------------------- converting


def convert(
    path: str | pathlib.Path,
    workdir: str | pathlib.Path,
    published: str,
    metadata,
    options=None,
    tokenizer: str | None = None,
    text_weights: str | None = None,
) -> None:
    """Writes a published checkpoint as one of ours.

    Args:
      path: a state dict, of PyTorch or .safetensors.
      workdir: gets best/0 and config.json, as a run's folder; it must not be there yet.
      published: key of `published.FORMATS`.
      metadata: `records.Metadata` of the dataset that the model was trained on.
      options: `published.Options`: what tensors do not say.
      tokenizer: folder or Hub id with the text encoder's tokenizer.json.
      text_weights: for walktext: folder or Hub id of the frozen text encoder, first token read out.

    Raises:
      ValueError: with everything that does not fit.
    """

    if pathlib.Path(workdir).exists():  # before minutes of reading
        raise ValueError(f"{workdir} is already there; choose another folder, or remove it")
    tensors = read_state_dict(path)
    if published == "walktext":  # {encoder, head} in some files, the model's own names in others
        renamed = {_walktext_name(key): value for key, value in tensors.items()}
        if len(renamed) < len(tensors):
            raise ValueError(f"{path} has a head both as head. and as motion_projection.")
        tensors = renamed
    form = registry.FORMATS[published]
    options = options or Options()
    shapes = {key: value.shape for key, value in tensors.items()}
    try:
        architecture = form.architecture(shapes, options)
        frozen = None
        if text_weights:
            frozen = Source(text_weights)
            architecture = _with_frozen_text(architecture, frozen, options)
        network = Network(architecture)
        abstract = network.abstract_params
        key_map = form.key_map(architecture)
        plan = keymap.match(shapes, {p: x.shape for p, x in abstract.items()}, key_map)
    except (ValueError, KeyError) as error:
        missing = f"no tensor {error}" if isinstance(error, KeyError) else error
        raise ValueError(f"{path} does not fit {published}: {missing}") from error
    params = {
        p: transform.of(tensors[key], abstract[p].shape).astype(np.float32)
        for p, (key, transform) in plan.items()
    }
    if "logit_scale" in params:
        temperature = float(np.exp(-np.float64(tensors["logit_scale"])))
        architecture = dataclasses.replace(architecture, temperature=temperature)
    else:
        params["logit_scale"] = np.float32(-math.log(architecture.temperature))
    if frozen is not None:
        params |= _frozen_text(network, frozen)

    used = {key for key, _ in plan.values()}
    unused = {
        key: value
        for key, value in tensors.items()
        # what has more bits than a parameter is kept as well
        if key not in used or not _same_bits(value.astype(np.float32).astype(value.dtype), value)
    }
    tokenizer_json = None
    if architecture.text is not None:
        name = tokenizer or text_weights or TOKENIZERS[architecture.text_family]
        used_tokenizer = load_tokenizer(name, architecture.max_tokens)
        tokenizer_json, size = used_tokenizer.json, used_tokenizer.vocab_size
        if size > architecture.text.vocab_size:
            raise ValueError(
                f"the tokenizer {name} has {size} tokens, the text encoder "
                f"{architecture.text.vocab_size}: name the right one with --tokenizer"
            )
    metadata = _checked_metadata(metadata, architecture)
    run = {
        "architecture": architecture.to_dict(),
        "config": {
            "dtype": "float32",
            "data": {"eval_batch_size": 64, "frame_bucket": 32, "text_bucket": 16},
        },
        "tokenizer": tokenizer_json,
        "datasets": {metadata.name: metadata.to_json()},
        "step": 0,
        "score": None,
        "source": {
            "format": published,
            "file": pathlib.Path(path).name,
            "sha256": _sha256(path),
            "tensors": [[key, str(value.dtype)] for key, value in tensors.items()],
        },
    }
    with new_folder(workdir) as partial:
        checkpoints = Checkpoints(partial)
        checkpoints.save_best(0, params, run, unused)
        checkpoints.close()
        (partial / "checkpoints").rmdir()
        (partial / "config.json").write_text(json.dumps(run["config"] | {"source": run["source"]}))


def _sha256(path: str | pathlib.Path) -> str:
    with pathlib.Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return a.tobytes() == b.tobytes()


def _walktext_name(key: str) -> str:
    return f"motion_projection.{key.removeprefix('head.')}" if key.startswith("head.") else key


def _with_frozen_text(architecture, source, options):

    _, text = text_tower(source, readout="first")
    return dataclasses.replace(architecture, text=text, max_tokens=max_tokens(text, options))


def _frozen_text(network, source) -> dict[str, np.ndarray]:

    tower = {p: x for p, x in network.abstract_params.items() if p.startswith("text_encoder/")}
    rules = TEXT_FAMILIES[network.config.text_family].key_map()
    loaded = load_weights(tower, source, rules, under="text_encoder")
    return {path: np.asarray(value) for path, value in loaded.items()}


def _checked_metadata(metadata, architecture):
    """The metadata with the model's patch size; a ValueError where they do not fit each other."""
    motion = architecture.motion
    if architecture.motion_inputs == "joints":
        rotations = motion.channels == 6  # of which a skeleton may have any number
        if not rotations and metadata.skeleton.num_joints != motion.joints:
            raise ValueError(
                f"the encoder takes {motion.joints} joints; skeleton {metadata.skeleton.name!r} "
                f"has {metadata.skeleton.num_joints}: name the right one with --skeleton"
            )
    elif metadata.patch_size is None:
        return dataclasses.replace(metadata, patch_size=motion.patch_size)
    elif metadata.patch_size != motion.patch_size:
        raise ValueError(
            f"the ViT has patches of {motion.patch_size}; dataset {metadata.name!r} was prepared "
            f"with --patch_size={metadata.patch_size}"
        )
    return metadata


# ----------------------------------------------------------------------------------- exporting


def export(path: str | pathlib.Path, folder: str | pathlib.Path) -> str:
    """Writes a checkpoint under the published code's names: model.safetensors and config.json.

    A converted checkpoint gives back the tensors of the published file, bit for bit: in their order
    and dtypes, with those that nothing uses.

    Args:
      path: as for `motionalign.load`.
      folder: must not be there yet.

    Returns:
      Which published model it is.
    """
    import safetensors.numpy

    saved = open_saved(path)
    network = network_of(saved.run)
    config = network.config
    source = saved.run.get("source")
    name = source["format"] if source else registry.format_of(config)
    form = registry.FORMATS[name]
    params = saved.load_params(network.abstract_params)
    params = {path: np.asarray(value) for path, value in params.items()}
    key_map = form.key_map(config)
    if source is None:
        tensors = keymap.export(params, key_map) | form.unused(config)
    else:
        dtypes, unused = dict(source["tensors"]), saved.load_unused()
        made = keymap.export(params, key_map, dtypes)
        tensors = {key: _original(made.get(key), unused.get(key), dtypes[key]) for key in dtypes}
    description = form.describe(config) | {"format": name}
    with new_folder(folder) as partial:
        data = safetensors.numpy.save(tensors, {"format": "pt"})
        (partial / "model.safetensors").write_bytes(data)
        (partial / "config.json").write_text(json.dumps(description, indent=2) + "\n")
    return name


def _original(made: np.ndarray | None, kept: np.ndarray | None, dtype: str) -> np.ndarray:
    """A tensor of the published file: from the parameters, unless more bits of it were kept."""
    import ml_dtypes

    if made is None:
        return kept
    if kept is not None and _same_bits(kept.astype(made.dtype), made):
        return kept
    return made.astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
