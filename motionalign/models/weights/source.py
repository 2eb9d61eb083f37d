"""Sources of pretrained weights: a local file or folder, or a repository of the Hugging Face Hub.

Nothing is unpickled: tensors come from .safetensors and .npz files, one at a time when they are
asked for; their shapes are known from the files' headers.
"""

import contextlib
import functools
import hashlib
import json
import logging
import pathlib
import re
import zipfile
from collections.abc import Callable, Generator, Mapping
from typing import Any, NamedTuple, NoReturn

import ml_dtypes
import numpy as np

from motionalign.files import expand
from motionalign.models.weights.keymap import Shape

# ----------------------------------------------------------------------------------- tensors


class _Json(dict):
    """A JSON object in which a name that is not there is an error that a user can read."""

    def __init__(self, values: Any, path: str) -> None:
        if not isinstance(values, dict):
            raise ValueError(f"{path} holds no JSON object but a {type(values).__name__}")
        super().__init__(values)
        self.path = path

    def __missing__(self, key: str) -> NoReturn:
        raise ValueError(f"{self.path} lacks {key!r}")


def read_json(path: pathlib.Path) -> dict[str, Any]:
    """A JSON object; a ValueError names the file where it is damaged, and what it lacks later."""
    try:
        return _Json(json.loads(path.read_text("utf-8")), str(path))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from error


class Tensor(NamedTuple):
    """One tensor of a file, read when it is asked for."""

    shape: Shape
    read: Callable[[], np.ndarray]


def open_tensors(path: pathlib.Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors or .npz file by key; nothing is read yet but the header.

    Raises:
      ValueError: the file is of another kind, or damaged.
    """
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError, safe_open

        try:
            file = safe_open(path, "numpy")
        except SafetensorError as error:
            raise ValueError(f"{path} is not a whole safetensors file: {error}") from error
        return {
            key: Tensor(
                tuple(file.get_slice(key).get_shape()),
                functools.partial(_read_safetensors, file, path, key),
            )
            for key in file.keys()  # noqa: SIM118 (not a mapping)
        }
    if path.suffix == ".npz":
        return _open_npz(path)
    raise ValueError(f"{path}: weights are read from .safetensors and .npz files")


def _read_safetensors(file: Any, path: pathlib.Path, key: str) -> np.ndarray:
    try:
        return file.get_tensor(key)
    except (AttributeError, TypeError) as error:  # a dtype that NumPy has no name for
        dtype = file.get_slice(key).get_dtype()
        raise ValueError(f"{path}: {key} is of dtype {dtype}, which is not read") from error


def _open_npz(path: pathlib.Path) -> dict[str, Tensor]:
    try:
        archive = zipfile.ZipFile(path)
        tensors = {}
        for member in archive.namelist():
            with archive.open(member) as file:
                version = np.lib.format.read_magic(file)
                header = {
                    (1, 0): np.lib.format.read_array_header_1_0,
                    (2, 0): np.lib.format.read_array_header_2_0,
                }[version]
                shape, _, dtype = header(file)
            if dtype.hasobject:
                raise ValueError(f"{member} holds Python objects, which are never unpickled")
            read = functools.partial(_read_npz, path, member.removesuffix(".npy"))
            tensors[member.removesuffix(".npy")] = Tensor(shape, read)
    except (zipfile.BadZipFile, OSError, EOFError, KeyError, ValueError) as error:
        raise ValueError(f"{path} is not a whole .npz file of arrays: {error}") from error
    return tensors


def _read_npz(path: pathlib.Path, key: str) -> np.ndarray:
    try:
        with np.load(path, allow_pickle=False) as file:
            value = file[key]
    except (zipfile.BadZipFile, OSError, EOFError, ValueError) as error:
        raise ValueError(f"{path}: {key} cannot be read: {error}") from error
    # NumPy saves bfloat16 as two bytes of nothing known.
    return value.view(ml_dtypes.bfloat16) if value.dtype == np.dtype("V2") else value


# ----------------------------------------------------------------------------------- sources


@contextlib.contextmanager
def _quiet(name: str) -> Generator[None]:
    """A context in which a package logs errors only."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


class Source:
    """A pretrained model's files: a local folder or file, or a Hub id `owner/name[@revision]`.

    A file is .safetensors or .npz; a config.json beside it is read with it.

    Attributes:
      name: as given.
      path: of the file, where the source is one; else None.
      folder: of local files; None where they come from the Hub.
    """

    def __init__(
        self,
        name: str | pathlib.Path,
        files: str = "config.json, model.safetensors (or model.safetensors.index.json with its "
        "shards) and, for a text encoder, tokenizer.json (or its vocabulary and "
        "tokenizer_config.json)",
    ) -> None:
        """Takes a name; nothing is read or downloaded yet.

        Args:
          name: of a folder, file or Hub id.
          files: for errors: what a user without the Hub must put into a folder.

        Raises:
          ValueError: there is no such folder or file, and a Hub id does not look so.
        """
        self._files = files
        self.name = str(name)
        path = expand(self.name)
        self.path = path if self.name and path.is_file() else None
        self.folder = path.parent if self.path else path if self.name and path.is_dir() else None
        if self.folder is None and not re.fullmatch(r"[\w.-]+(/[\w.-]+)?(@[\w./-]+)?", self.name):
            raise ValueError(
                f"{self.name!r} is neither a folder or file that exists nor a Hub id "
                "(owner/name or owner/name@revision)"
            )

    def file(self, name: str) -> pathlib.Path | None:
        """Path of one of the source's files, downloaded if need be; None if it has no such file."""
        if self.folder is not None:
            path = self.folder / name
            return path if path.is_file() else None
        # Imported here: reading a local folder needs neither the package nor its start-up time.
        import huggingface_hub
        from huggingface_hub import errors

        repo, _, revision = self.name.partition("@")
        try:
            with _quiet("huggingface_hub"):  # its retries; what they come to is an error below
                path = huggingface_hub.hf_hub_download(repo, name, revision=revision or None)
            return pathlib.Path(path)
        except errors.LocalEntryNotFoundError as error:  # no network, or offline mode
            cached = huggingface_hub.try_to_load_from_cache(repo, name, revision=revision or None)
            if cached is huggingface_hub._CACHED_NO_EXIST:  # the Hub was asked for it before
                return None
            raise self._unreachable(error) from error
        except errors.EntryNotFoundError:
            return None
        except (errors.HfHubHTTPError, errors.OfflineModeIsEnabled, OSError) as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> ValueError:
        """The error to raise where the Hub cannot be asked, with what to do without it."""
        reason = str(error).strip().split("\n")[0]
        return ValueError(
            f"{self.name} is neither a local folder nor to be had from the Hugging Face Hub "
            f"({reason}). Without the Hub: put {self._files} of "
            f"https://huggingface.co/{self.name.partition('@')[0]} into a folder and name that "
            "folder instead"
        )

    def require(self, name: str) -> pathlib.Path:
        """Like `file`, but a ValueError if there is none."""
        path = self.file(name)
        if path is None:
            raise ValueError(f"{self.name} has no {name}")
        return path

    def config(self) -> dict[str, Any]:
        """What config.json says."""
        return read_json(self.require("config.json"))

    def has_config(self) -> bool:
        """Whether there is a config.json; a file of weights may come without."""
        return self.path is None or self.file("config.json") is not None

    def weights(self) -> list[pathlib.Path]:
        """The files of weights: itself, `model.safetensors`, or the shards that its index names."""
        if self.path is not None:
            return [self.path]
        unreachable = None
        for name in ("model.safetensors", "model.safetensors.index.json"):
            try:
                path = self.file(name)
            except ValueError as error:  # offline, a sharded model's cache has the second only
                unreachable = unreachable or error
                continue
            if path is not None and name.endswith(".json"):
                shards = sorted(set(read_json(path)["weight_map"].values()))
                return [self.require(shard) for shard in shards]
            if path is not None:
                return [path]
        if unreachable is not None:
            raise unreachable
        raise ValueError(
            f"{self.name} has neither model.safetensors nor model.safetensors.index.json. Weights "
            "in PyTorch's own files can be saved as safetensors where PyTorch is; a .safetensors "
            "or .npz file of another name can be named itself"
        )

    @functools.cached_property
    def sha256(self) -> str:
        """SHA-256 of the files of weights, one after the other."""
        digest = hashlib.sha256()
        for path in self.weights():
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        return digest.hexdigest()

    @functools.cached_property
    def tensors(self) -> dict[str, Tensor]:
        """All tensors by key."""
        tensors: dict[str, Tensor] = {}
        for path in self.weights():
            found = open_tensors(path)
            if twice := found.keys() & tensors.keys():
                raise ValueError(f"{path} holds {min(twice)}, which another shard holds too")
            tensors |= found
        return tensors

    def shapes(self) -> dict[str, Shape]:
        """Shapes of all tensors by key."""
        return {key: tensor.shape for key, tensor in self.tensors.items()}


def check_model_type(source: Mapping[str, Any], expected: str) -> None:
    """Raises a ValueError unless the source's config.json is that of an `expected` model."""
    found = source.get("model_type")
    if found != expected:
        raise ValueError(f"config.json has model_type {found!r}; expected {expected!r}")
