"""A trained model on disk: a checkpoint of a run, or a folder to share.

A folder to share contains everything for encoding new clips, in standard formats:
  model.safetensors   parameters by path
  config.json         architecture, precision, batch sizes, information about training
  datasets.json       skeleton, frame rate, unit and statistics of each training dataset
  tokenizer.json      tokenizer of the text encoder, if the model has one
  rest.safetensors    non-parameter state of the network, if it has any
  unused.safetensors  unused tensors of the published file, for a converted model
  SHA256SUMS          digests of these files (motionalign/digests.py)
  README.md           the model card, with the evaluation table
It can be pushed to the Hugging Face Hub unchanged and loaded from there.
"""

import contextlib
import dataclasses
import numbers
import pathlib
import re
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import safetensors.numpy

from motionalign import __version__, digests, files, reading
from motionalign.checkpoints.model_card import model_card
from motionalign.checkpoints.run import (
    BEST,
    COPY_AGAIN,
    find,
    has_checkpoint,
    load_params,
    load_rest,
    load_run,
    load_unused,
    migrate_run,
    stored_run,
)
from motionalign.data.dataset import (
    Metadata,
    check_hub_id,
    encoder_name,
    read_metadata,
)
from motionalign.models import motion_language
from motionalign.models.architectures import architecture_of
from motionalign.models.frozen import FrozenWeights
from motionalign.models.layers import check_choice
from motionalign.models.weights import keymap
from motionalign.models.weights.keymap import KeyMap
from motionalign.models.weights.load import load_weights
from motionalign.models.weights.source import Source, read_json

MODEL_TYPE = "motionalign"

_FILES = "config.json, datasets.json, model.safetensors and tokenizer.json"

_BY_PATH = KeyMap(prefix="", rules=((r"(.+)", r"\1", keymap.SAME),))


@dataclasses.dataclass(frozen=True)
class Saved:
    """A trained model whose parameters are loaded on demand.

    Attributes:
      run: architecture, config (dtype and data), tokenizer, datasets, step, score; for a converted
        model also `source`.
      load_params: function from {path: ShapeDtypeStruct} to the parameters in these dtypes and
        shardings.
      load_rest: the same for the non-parameter state.
      load_unused: function without arguments that returns the unused tensors stored with the model.
    """

    run: dict[str, Any]
    load_params: Callable[[Mapping], dict[str, Any]]
    load_rest: Callable[[Mapping], dict[str, Any]]
    load_unused: Callable[[], dict[str, np.ndarray]]


def open_saved(path: str | pathlib.Path, series: str = BEST) -> Saved:
    """Finds a trained model.

    Args:
      path: a training workdir, one of its checkpoint folders, a folder to share, a copy of any of
        these, or the Hub id (owner/name or owner/name@revision) of a shared model.
      series: checkpoint of a workdir: "best" (by validation) or "checkpoints" (the latest).

    Raises:
      ValueError: there is no model, or it is incomplete.
    """
    shared = _find_shared(path)
    return _open_shared(shared) if shared else _open_checkpoint(find(files.expand(path), series))


def _find_shared(path: str | pathlib.Path) -> Source | None:
    """The source that `path` names if it is a Hub id or a folder to share, else None."""
    folder = files.expand(path)
    # A path below an existing folder is not a Hub id but a misspelled path; so is a path below
    # runs/, where training writes its results.
    hub_id = re.fullmatch(r"(?!runs/)[\w.-]+/[\w.-]+(@[\w./-]+)?", str(path))
    if hub_id and not folder.exists() and not pathlib.Path(folder.parts[0]).is_dir():
        return Source(str(path), _FILES)
    if not all((folder / name).is_file() for name in ("config.json", "model.safetensors")):
        return None
    source = Source(str(folder), _FILES)
    if digests.stored(folder) is not None:  # other folders may not be ours
        digests.check(folder, ("config.json",), COPY_AGAIN)
    with digests.advising(COPY_AGAIN):
        ours = source.config().get("model_type") == MODEL_TYPE
    # Without a checkpoint, opening the folder says what is wrong with its config.json.
    return source if ours or not has_checkpoint(folder) else None


def _open_checkpoint(step_dir: pathlib.Path) -> Saved:
    return Saved(
        run=_checked(load_run(step_dir), step_dir / "run" / "metadata"),
        load_params=lambda abstract: load_params(step_dir, dict(abstract)),
        load_rest=lambda abstract: load_rest(step_dir, dict(abstract)),
        load_unused=lambda: load_unused(step_dir),
    )


def _verified(source: Source, name: str) -> pathlib.Path:
    """The path of a file of a shared model, whose digest matches."""
    path = source.require(name)
    with contextlib.suppress(ValueError):  # offline, and not in the cache of the Hub
        source.file(digests.NAME)
    digests.check(path.parent, (name,), COPY_AGAIN)
    return path


_DTYPES = ("float32", "bfloat16")
_SIZES = ("eval_batch_size", "frame_bucket", "text_bucket")
_RUN = {
    "config": {"dtype": str, "data": dict},
    "kind": str,
    "architecture": dict,
    "tokenizer": str | None,
    "datasets": dict[str, dict],
    "frozen": list[dict],
    "trained": dict[str, str] | None,
    "distance": str | None,
    "step": int,
    "score": numbers.Real | None,
}
_TEXT_ENCODER = {
    **dict.fromkeys(("encoder", "source", "hub_id", "readout", "sha256", "settings"), str),
    "max_tokens": int | None,
}
_SOURCE = {"format": str, "file": str, "tensors": list[list[str]]}


def _checked(run: dict[str, Any], path: pathlib.Path) -> dict[str, Any]:
    """The run with all fields that today's version stores; a ValueError names `path`."""
    try:
        reading.check_form(run, _RUN, "the model")
        for name, form in (("text_encoder", _TEXT_ENCODER), ("source", _SOURCE)):
            if run[name] is not None:
                reading.check_form(run[name], form, name)
        check_choice(run["distance"], (None, "cosine", "euclidean"), "distance")
        check_choice(run["config"]["dtype"], _DTYPES, "dtype")
        for name in run["config"]["data"].keys() & {*_SIZES}:
            reading.check_form(run["config"]["data"], {name: int}, "config.data")
            if run["config"]["data"][name] < 1:
                raise ValueError(f"config.data.{name} is below 1")
        config = architecture_of(run["kind"]).config
        architecture = config.from_dict(run["architecture"]).to_dict()
        for each in run["frozen"]:
            FrozenWeights.from_dict(each)
        for each in run["datasets"].values():
            Metadata.from_json(each)
    except ValueError as error:
        raise ValueError(f"{path}: {error}. {COPY_AGAIN}") from error
    return run | {"architecture": architecture}


def _open_shared(source: Source) -> Saved:
    _verified(source, "config.json")
    config = source.config()
    if config.get("model_type") != MODEL_TYPE:
        raise ValueError(
            f"{source.name} is not a motionalign model: its config.json has "
            + (
                f"model_type {config['model_type']!r}"
                if "model_type" in config
                else "no model_type"
            )
            + f", expected {MODEL_TYPE!r}"
        )
    path = _verified(source, "datasets.json")
    with digests.interpreting(path, COPY_AGAIN):
        datasets = {
            name: read_metadata(each, f"{path}: {name}").to_json()
            for name, each in read_json(path).items()
        }
    path = source.require("config.json")
    reading.check_form(dict(config), {"architecture": dict}, str(path))
    run = {key: value for key, value in config.items() if key not in ("model_type", "version")}
    with digests.interpreting(path, COPY_AGAIN):
        run = migrate_run(run) | {"datasets": datasets, "tokenizer": None}
    run = _checked(run, path)
    if architecture_of(run["kind"]).config.from_dict(run["architecture"]).has_tokenizer:
        run["tokenizer"] = digests.read_text(source.require("tokenizer.json"), COPY_AGAIN)

    def load_params(abstract: Mapping[str, jax.ShapeDtypeStruct]) -> dict[str, Any]:
        _verified(source, "model.safetensors")
        return load_weights(dict(abstract), source, _BY_PATH)

    def load_unused() -> dict[str, np.ndarray]:
        if not run["source"]:  # only converted models have unused tensors
            return {}
        known = digests.stored(source.require("config.json").parent) or {}
        if source.file("unused.safetensors") is None and "unused.safetensors" not in known:
            return {}
        with digests.advising(COPY_AGAIN):
            file = reading.Tensors(_verified(source, "unused.safetensors"))
            return {name: file.read(name) for name in file.shapes}

    def load_rest(abstract: Mapping[str, jax.ShapeDtypeStruct]) -> dict[str, Any]:
        if not abstract:
            return {}
        path = _verified(source, "rest.safetensors")
        return load_weights(dict(abstract), Source(path, _FILES), _BY_PATH)

    return Saved(
        run=run,
        load_params=load_params,
        load_rest=load_rest,
        load_unused=load_unused,
    )


def write_shared(
    folder: str | pathlib.Path,
    saved: Saved,
    params: Mapping,
    results: Mapping[str, Any] | None,
    rest: Mapping | None = None,
    encoder_id: str | None = None,
) -> pathlib.Path:
    """Writes a folder to share, without a path of this machine in any of its files.

    Args:
      folder: folder to write; it must not exist.
      saved: the model.
      params: {path: array} of its parameters.
      results: content of a metrics.json, for the model card; None: not evaluated.
      rest: {path: array} of the non-parameter state.
      encoder_id: Hub id of the frozen text encoder or language model, if the run does not record
        it.

    Returns:
      The folder. It appears only when it is complete.

    Raises:
      ValueError: the folder already exists, or `encoder_id` cannot be that of the text encoder.
    """
    folder, run = pathlib.Path(folder), saved.run
    if encoder_id is not None:
        run = _with_encoder_id(run, encoder_id)
    shared = _shared_run(run)
    config = {"model_type": MODEL_TYPE, "version": __version__, **stored_run(shared)}
    with files.new_folder(folder) as partial:
        _write_safetensors(partial / "model.safetensors", params)
        if rest:
            _write_safetensors(partial / "rest.safetensors", rest)
        if unused := saved.load_unused():
            _write_safetensors(partial / "unused.safetensors", unused)
        files.write_json(partial / "config.json", config)
        files.write_json(partial / "datasets.json", run["datasets"], indent=None)
        if run["tokenizer"] is not None:
            files.write_text(partial / "tokenizer.json", run["tokenizer"])
        card = model_card(folder.name, {**run, **shared}, results)
        files.write_text(partial / "README.md", card)
        digests.write(partial, leave_out=("README.md",))  # which its owner may edit
    return folder


def _shared_run(run: Mapping[str, Any]) -> dict[str, Any]:
    """The information about a run for config.json, without local paths and other fields."""
    shared = {key: value for key, value in run.items() if key not in ("tokenizer", "datasets")}
    if run["text_encoder"]:
        shared["text_encoder"] = {**run["text_encoder"], "source": ""}
    shared["frozen"] = [{**tower, "source": _public(tower["source"])} for tower in run["frozen"]]
    data = ("eval_batch_size", "frame_bucket", "text_bucket")
    shared["config"] = {
        "dtype": run["config"]["dtype"],
        "data": {name: run["config"]["data"][name] for name in data},
    }
    return shared


def _public(source: str) -> str:
    """A source of weights as another machine can find it: its Hub id, or the name of its path."""
    path = files.expand(source)
    if path.is_file():
        return path.name  # a path of one folder and the file would look like a Hub id
    return encoder_name(source, Source(source).hub_id if path.is_dir() else "")


def _with_encoder_id(run: Mapping[str, Any], encoder_id: str) -> dict[str, Any]:
    """The run with the Hub id of its frozen text encoder or language model.

    The id of a text encoder must not be that of another one.
    """
    trained = run["text_encoder"]
    if run["kind"] == motion_language.KIND and run["frozen"]:
        check_hub_id(encoder_id)
        return {**run, "frozen": [{**tower, "source": encoder_id} for tower in run["frozen"]]}
    if trained is None:
        own = run["kind"] == "dual_encoder" and run["architecture"]["text"]
        raise ValueError(
            f"the Hub id {encoder_id} is given for a frozen text encoder, but the model has "
            + ("its own text encoder" if own else "no text encoder")
        )
    check_hub_id(encoder_id, trained["hub_id"])
    named = {"hub_id": encoder_id, "encoder": encoder_name(encoder_id)}
    return {**run, "text_encoder": {**trained, **named}}


def _write_safetensors(path: pathlib.Path, tensors: Mapping[str, Any]) -> None:
    # save_file would create a file that only its owner can read.
    arrays = {name: np.asarray(value) for name, value in tensors.items()}
    files.write_bytes(path, safetensors.numpy.save(arrays, {"format": "np"}))


def push_to_hub(folder: str | pathlib.Path, repo: str, private: bool = True) -> str:
    """Uploads a folder to share to the Hub, authenticated by `hf auth login` or HF_TOKEN.

    Args:
      folder: a folder that `write_shared` wrote.
      repo: owner/name of the repository; created if it does not exist.
      private: whether a new repository is private.

    Returns:
      The URL of the upload.

    Raises:
      ValueError: the folder is not a shared model, or the upload fails.
    """
    import huggingface_hub

    if not files.expand(folder).is_dir():
        raise ValueError(
            f"{folder} is not a folder; give one that `python -m motionalign.convert share` wrote"
        )
    if _find_shared(files.expand(folder).absolute()) is None:
        raise ValueError(
            f"{folder} is not a folder to share (no config.json of a shared model beside a "
            "model.safetensors). To share a run, write such a folder first: python -m "
            f"motionalign.convert share {folder} FOLDER"
        )
    _open_shared(Source(str(folder)))
    api = huggingface_hub.HfApi()
    try:
        api.create_repo(repo, private=private, exist_ok=True)
        return str(api.upload_folder(repo_id=repo, folder_path=str(folder)))
    except Exception as error:  # the library passes errors of its transport through
        raise ValueError(
            f"{folder} cannot be pushed to {repo}: {str(error).strip()}. Check the network and "
            "your login (`hf auth login`, or HF_TOKEN)"
        ) from error
