"""Sources of pretrained weights: a local file or folder, or a repository on the Hugging Face Hub.

Nothing is unpickled. Tensors are read from .safetensors, .npz and .gguf files, one at a time and on
demand; their shapes come from the file headers.
"""

import contextlib
import functools
import hashlib
import logging
import pathlib
import re
from collections.abc import Callable, Generator, Mapping
from typing import Any, NamedTuple, NoReturn

import ml_dtypes
import numpy as np

from motionalign import reading
from motionalign.files import expand
from motionalign.models.weights import gguf_file
from motionalign.models.weights.gguf_llama import LlamaFile
from motionalign.models.weights.keymap import Shape

# ----------------------------------------------------------------------------------- tensors


class _Json(dict):
    """A JSON object that raises a readable ValueError for a missing name."""

    def __init__(self, values: dict[str, Any], path: str) -> None:
        super().__init__(values)
        self.path = path

    def __missing__(self, key: str) -> NoReturn:
        raise ValueError(f"{self.path} lacks {key!r}")


def read_json(path: pathlib.Path) -> dict[str, Any]:
    """Reads a JSON object; a ValueError names the file if it is damaged or a name is missing."""
    return _Json(reading.read_json(path, dict), str(path))


class Tensor(NamedTuple):
    """One tensor of a file, read on demand."""

    shape: Shape
    read: Callable[[], np.ndarray]


def open_tensors(path: pathlib.Path) -> dict[str, Tensor]:
    """Opens the tensors of a .safetensors or .npz file by key; reads only the header.

    Raises:
      ValueError: the file has another format or is damaged.
    """
    if path.suffix == ".safetensors":
        file = reading.Tensors(path)
        return {
            key: Tensor(shape, functools.partial(file.read, key))
            for key, shape in file.shapes.items()
        }
    if path.suffix == ".npz":
        arrays = reading.open_arrays(path)
        if objects := [key for key, stored in arrays.items() if stored.dtype.hasobject]:
            raise ValueError(
                f"{path} is not a complete .npz file of arrays: {objects[0]} holds Python objects, "
                "which are never unpickled"
            )
        return {
            key: Tensor(stored.shape, functools.partial(_read_npz, stored))
            for key, stored in arrays.items()
        }
    raise ValueError(f"{path}: weights can be read from .safetensors, .npz and .gguf files only")


def _read_npz(stored: reading.Stored) -> np.ndarray:
    value = stored.read()
    # NumPy saves bfloat16 as two bytes of an unknown type.
    return value.view(ml_dtypes.bfloat16) if value.dtype == np.dtype("V2") else value


# ----------------------------------------------------------------------------------- sources


class _OneLine(logging.Handler):
    """Logs one line instead of all warnings of a package about requests that it repeats."""

    def __init__(self, line: str) -> None:
        super().__init__(logging.WARNING)
        self._line = line

    def emit(self, record: logging.LogRecord) -> None:
        """Logs the line at the first warning; errors are raised to the caller and not logged."""
        if self._line and record.levelno == logging.WARNING:
            logging.getLogger("motionalign").warning(self._line)
        self._line = ""


@contextlib.contextmanager
def _in_one_line(name: str, line: str) -> Generator[None]:
    """A context in which the first warning that a package logs is replaced by `line`."""
    logger = logging.getLogger(name)
    level, handlers, propagate = logger.level, logger.handlers[:], logger.propagate
    logger.setLevel(logging.WARNING)
    logger.handlers[:] = [_OneLine(line)]
    logger.propagate = False
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.handlers[:] = handlers
        logger.propagate = propagate


# Fields of config.json that models read, with their types, wherever they occur.
_SECTIONS = ("text_config", "vision_config", "model_args", "pretrained_cfg")
_CONFIG = {
    **dict.fromkeys(
        "vocab_size hidden_size num_hidden_layers num_attention_heads intermediate_size "
        "max_position_embeddings type_vocab_size relative_attention_num_buckets num_channels "
        "pad_token_id dim n_layers n_heads hidden_dim embed_dim depth num_key_value_heads head_dim "
        "sliding_window bos_token_id".split(),
        int,
    ),
    "eos_token_id": int | list[int],  # LLaMA 3 ends texts by several tokens
    **dict.fromkeys(
        "layer_norm_eps hidden_dropout_prob attention_probs_dropout_prob dropout attention_dropout "
        "mlp_ratio rms_norm_eps rope_theta".split(),
        float,
    ),
    **dict.fromkeys(("tie_word_embeddings", "attention_bias", "mlp_bias"), bool),
    **dict.fromkeys(("rope_scaling", "rope_parameters"), dict),
    **dict.fromkeys("model_type hidden_act activation position_embedding_type".split(), str),
    **dict.fromkeys(("image_size", "patch_size", "img_size"), int | list[int]),
    "input_size": list[int],
    "tokenizer_class": str,
}


HUB_ID = r"[\w.-]+(/[\w.-]+)?(@[\w./-]+)?"
"""Regex of a Hub id, owner/name or owner/name@revision; the oldest ones have no owner."""

_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")

_PATIENCE = 5.0  # seconds that the Hub has for its first answer

_COMMIT = r"[0-9a-f]{40}"


WITHOUT_THE_HUB = ". Without the Hub: "
"""Starts the instructions in the error for a Hub that cannot be asked."""


class Source:
    """A pretrained model's files: a local folder or file, or a Hub id `owner/name[@revision]`.

    A file is .safetensors or .npz; a config.json in the same folder belongs to it. A .gguf file has
    all in itself: the config and the tensors are those that Hugging Face's files of the model have
    (models/weights/gguf_llama.py); a folder with one and without safetensors is that file. If the
    Hub does not answer a first request, its cache is used at once, without the half minute in which
    the library repeats its requests.

    Attributes:
      name: the source as given.
      path: path of the file if the source is a file, else None.
      folder: folder of the local files; None if they come from the Hub.
    """

    def __init__(
        self,
        name: str | pathlib.Path,
        files: str = "config.json, model.safetensors (or model.safetensors.index.json with its "
        "shards) and, for a text encoder, tokenizer.json (or its vocabulary and "
        "tokenizer_config.json)",
        cached: bool = False,
    ) -> None:
        """Does not read or download anything yet.

        Args:
          name: a folder, a file or a Hub id.
          files: the files that a folder must have, for error messages.
          cached: of a Hub id, only what is in the local cache exists; the Hub is not asked.

        Raises:
          ValueError: `name` is neither an existing folder or file nor has the form of a Hub id.
        """
        self._files, self._cached = files, cached
        self.name = str(name)
        path = expand(self.name)
        self.path = path if self.name and path.is_file() else None
        self.folder = path.parent if self.path else path if self.name and path.is_dir() else None
        if self.folder is None and not re.fullmatch(HUB_ID, self.name):
            raise ValueError(
                f"{self.name!r} is neither an existing folder or file nor a Hub id "
                "(owner/name or owner/name@revision)"
            )

    @functools.cached_property
    def gguf(self) -> pathlib.Path | None:
        """The GGUF file that has the model, the first of a split one; None if another file has it.

        Raises:
          ValueError: the folder has no safetensors, but several GGUF files.
        """
        if self.path is not None:
            return self.path if gguf_file.is_gguf(self.path) else None
        if self.folder is None or any(reading.is_there(self.folder / name) for name in _WEIGHTS):
            return None
        return gguf_file.find(self.folder)

    @functools.cached_property
    def _llama(self) -> LlamaFile:
        """The content of the GGUF file."""
        assert self.gguf is not None
        return LlamaFile(self.gguf)

    def file(self, name: str) -> pathlib.Path | None:
        """Path of one of the source's files, downloaded if necessary; None if it does not exist."""
        if self.folder is not None:
            path = self.folder / name
            return path if reading.is_there(path) else None
        # Imported here because reading a local folder does not need the package.
        import huggingface_hub
        from huggingface_hub import errors

        repo, revision = self._repo
        there = huggingface_hub.try_to_load_from_cache(repo, name, revision=revision)
        path = pathlib.Path(there) if isinstance(there, str) else None
        if self._cached or (path and re.fullmatch(_COMMIT, revision or "")):
            return path
        if self._no_answer:
            # None: whether such a file exists is not known, unlike with the library's other object.
            if there is None:
                raise self._unreachable(self._no_answer)
            return path
        download = huggingface_hub.hf_hub_download  # imports lazily, which sets the level of logs
        try:
            waits = f"{self.name}: no answer from the Hub yet; trying again for half a minute"
            with _in_one_line("huggingface_hub", waits):  # a final failure is an error below
                return pathlib.Path(download(repo, name, revision=revision))
        except errors.LocalEntryNotFoundError as error:  # no network, or offline mode
            if there is not None:  # the absence of the file is known from an earlier request
                return None
            raise self._unreachable(error) from error
        except errors.EntryNotFoundError:
            return None
        except (errors.HfHubHTTPError, errors.OfflineModeIsEnabled, OSError) as error:
            raise self._unreachable(error) from error

    @property
    def _repo(self) -> tuple[str, str | None]:
        """(owner/name, revision or None) of a Hub id."""
        repo, _, revision = self.name.partition("@")
        return repo, revision or None

    @functools.cached_property
    def _no_answer(self) -> str:
        """Why the Hub does not answer, by one request; "" if it does, or is not to be asked."""
        import huggingface_hub
        from huggingface_hub import constants, errors

        if constants.HF_HUB_OFFLINE:  # which the library knows
            return ""
        repo, revision = self._repo
        url = huggingface_hub.hf_hub_url(repo, "config.json", revision=revision)
        try:
            with _in_one_line("huggingface_hub", ""):
                huggingface_hub.get_hf_file_metadata(url, timeout=_PATIENCE)
        except errors.HfHubHTTPError:  # an answer, for example that there is no such file
            return ""
        except Exception as error:  # the library passes errors of its transport through
            return f"no answer: {str(error).strip() or type(error).__name__}"
        return ""

    @functools.cached_property
    def hub_id(self) -> str:
        """The Hub id of the files, owner/name@commit; "" for a folder outside of the Hub's cache.

        It is "" for a GGUF file, too, whose repository has one for each quantisation.

        The config.json of a local folder is not asked: its `_name_or_path` names what the weights
        were initialised from, in most published encoders another model.
        """
        if self.gguf is not None:
            return ""
        folder = self.folder or self.require("config.json").parent
        repo, snapshots, commit = ("", "", "", *folder.resolve().parts)[-3:]
        if self.folder is not None:
            if snapshots != "snapshots" or not repo.startswith("models--"):
                return ""
            name = repo.removeprefix("models--").replace("--", "/")
        else:
            name = self._repo[0]
        if re.fullmatch(_COMMIT, commit):
            return f"{name}@{commit}"
        return name if self.folder is not None else self.name

    def _unreachable(self, error: Exception | str) -> ValueError:
        """The error for an unreachable Hub, with instructions for working without it."""
        reason = str(error).strip().split("\n")[0]
        return ValueError(
            f"{self.name} is not a local folder and cannot be loaded from the Hugging Face Hub "
            f"({reason}){WITHOUT_THE_HUB}put {self._files} from https://huggingface.co/"
            f"{self._repo[0]} into a folder and give that folder instead"
        )

    def require(self, name: str) -> pathlib.Path:
        """Like `file`, but raises a ValueError if the file does not exist."""
        path = self.file(name)
        if path is None:
            raise ValueError(f"{self.name} has no {name}")
        return path

    def config(self) -> dict[str, Any]:
        """Content of config.json; a ValueError if a field that a model reads is invalid."""
        if self.gguf is not None:
            return _Json(self._llama.config, str(self.gguf))
        path = self.require("config.json")
        content = read_json(path)
        for given, where in (
            (content, str(path)),
            *((content[name], f"{path}: {name}") for name in _SECTIONS if content.get(name)),
        ):
            reading.check_form(given, dict, where)
            stated = {name: form for name, form in _CONFIG.items() if given.get(name) is not None}
            reading.check_form(given, stated, where)
        return content

    @contextlib.contextmanager
    def naming_config(self) -> Generator[None]:
        """A context whose ValueErrors about the content of config.json name the source."""
        try:
            yield
        except ValueError as error:
            if self.name in str(error):
                raise
            raise ValueError(f"config.json of {self.name}: {error}") from error

    def has_config(self) -> bool:
        """Whether a config.json exists; a weight file may come without one."""
        if self.path is None or self.gguf is not None:
            return True
        return self.file("config.json") is not None

    def weights(self) -> list[pathlib.Path]:
        """The weight files: the file itself, `model.safetensors`, or the shards of its index."""
        if self.gguf is not None:
            return gguf_file.parts(self.gguf)
        if self.path is not None:
            return [self.path]
        unreachable = None
        for name in _WEIGHTS:
            try:
                path = self.file(name)
            except ValueError as error:  # offline: the cache of a sharded model has only the index
                unreachable = unreachable or error
                continue
            if path is not None and name.endswith(".json"):
                content = read_json(path)
                reading.check_form(content["weight_map"], dict[str, str], f"{path}: weight_map")
                shards = sorted(set(content["weight_map"].values()))
                return [self.require(shard) for shard in shards]
            if path is not None:
                return [path]
        if unreachable is not None:
            raise unreachable
        raise ValueError(
            f"{self.name} has neither model.safetensors nor model.safetensors.index.json. Convert "
            "PyTorch weight files to safetensors where PyTorch is installed; give the path of a "
            ".safetensors, .npz or .gguf file that has another name"
        )

    @functools.cached_property
    def sha256(self) -> str:
        """SHA-256 of the concatenated weight files."""
        digest = hashlib.sha256()
        for path in self.weights():
            reading.check_file(path)
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        return digest.hexdigest()

    @functools.cached_property
    def tensors(self) -> dict[str, Tensor]:
        """All tensors by key."""
        if self.gguf is not None:
            return {
                key: Tensor(tensor.shape, tensor.read)
                for key, tensor in self._llama.tensors.items()
            }
        tensors: dict[str, Tensor] = {}
        for path in self.weights():
            found = open_tensors(path)
            if twice := found.keys() & tensors.keys():
                raise ValueError(f"{path} contains {min(twice)}, which another shard contains too")
            tensors |= found
        return tensors

    def shapes(self) -> dict[str, Shape]:
        """Shapes of all tensors by key."""
        return {key: tensor.shape for key, tensor in self.tensors.items()}


def check_model_type(source: Mapping[str, Any], expected: str) -> None:
    """Raises a ValueError unless the model_type of the source's config.json is `expected`."""
    found = source.get("model_type")
    if found != expected:
        raise ValueError(f"config.json has model_type {found!r}; expected {expected!r}")
