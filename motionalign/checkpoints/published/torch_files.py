"""Reads state dicts from PyTorch files without running code that they contain.

Such a file is a pickle; `torch.load(weights_only=True)` rejects everything except tensors and plain
containers. torch is imported only when such a file is read; .safetensors files do not need it.
"""

import pathlib
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np

from motionalign import reading
from motionalign.models.weights.source import open_tensors


def read_state_dict(path: str | pathlib.Path) -> dict[str, np.ndarray]:
    """Reads the tensors {key: array} of a .safetensors or PyTorch file, in their dtypes.

    Keys of nested dictionaries are joined by dots.

    Raises:
      ValueError: the file is damaged, or contains anything but tensors and plain containers.
    """
    path = pathlib.Path(path)
    reading.check_file(path)
    if path.suffix == ".safetensors":
        tensors = open_tensors(path)
        return {key: tensor.read() for key, tensor in tensors.items()}
    try:
        import torch
    except ImportError:
        raise ValueError(
            f"reading {path} needs torch, which is not installed: pip install torch (the CPU build "
            "is sufficient), or save the tensors as .safetensors where torch is installed"
        ) from None
    import pickle

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = next((line for line in str(error).split("\n") if "GLOBAL" in line), str(error))
        raise ValueError(
            f"{path} contains more than tensors and plain containers and is rejected, because a "
            f"pickle can run any code ({reason.strip()[:200]}). Save only its state_dict()"
        ) from None
    except Exception as error:  # invalid bytes raise exceptions of many types
        raise ValueError(f"{path} is not a complete PyTorch file: {error}") from error
    out: dict[str, np.ndarray] = {}
    _flatten(content, "", out, path, torch)
    if not out:
        raise ValueError(f"{path} contains no tensors")
    return out


def _flatten(value: Any, key: str, out: dict, path: pathlib.Path, torch: ModuleType) -> None:
    if isinstance(value, torch.Tensor):
        if key in out:
            raise ValueError(f"{path}: two tensors are named {key}")
        if value.layout != torch.strided or value.is_quantized:
            raise ValueError(f"{path}: {key} is sparse or quantised, which is not supported")
        value = value.detach().contiguous()
        if value.dtype == torch.bfloat16:
            import ml_dtypes

            out[key] = value.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
            return
        try:
            out[key] = value.numpy()
        except TypeError as error:
            raise ValueError(
                f"{path}: {key} has dtype {value.dtype}, which is not supported"
            ) from error
        return
    items: Any = None
    if isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, list | tuple):
        items = enumerate(value)
    if items is None:
        raise ValueError(
            f"{path}: {key or 'the content'} is a {type(value).__name__}; only tensors and plain "
            "containers of tensors can be read. Save only the model's state_dict()"
        )
    for name, item in items:
        _flatten(item, f"{key}.{name}" if key else str(name), out, path, torch)
