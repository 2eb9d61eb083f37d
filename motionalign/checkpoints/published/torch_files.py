"""State dicts of PyTorch's own files, read without running any code that they hold.

A file is a pickle; `torch.load(weights_only=True)` refuses whatever is neither tensor nor plain
container. torch is imported only where such a file is read; .safetensors files need none.
"""

import pathlib
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np

from motionalign.models.weights.source import open_tensors


def read_state_dict(path: str | pathlib.Path) -> dict[str, np.ndarray]:
    """The tensors {key: array} of a .safetensors file or one that PyTorch saved, in their dtypes.

    Dictionaries within dictionaries become keys joined by dots.

    Raises:
      ValueError: the file is damaged, or holds anything but tensors and plain containers.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise ValueError(f"{path} is no file")
    if path.suffix == ".safetensors":
        tensors = open_tensors(path)
        return {key: tensor.read() for key, tensor in tensors.items()}
    try:
        import torch
    except ImportError:
        raise ValueError(
            f"reading {path} takes torch, which is not installed: pip install torch (the CPU build "
            "will do), or save the tensors as .safetensors where you have it"
        ) from None
    import pickle

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = next((line for line in str(error).split("\n") if "GLOBAL" in line), str(error))
        raise ValueError(
            f"{path} holds more than tensors and plain containers, and is refused: a pickle can "
            f"run any code. ({reason.strip()[:200]}) Save its state_dict() alone"
        ) from None
    except Exception as error:  # of any type, where the bytes are no pickle of PyTorch's
        raise ValueError(f"{path} is not a whole file of PyTorch: {error}") from error
    out: dict[str, np.ndarray] = {}
    _flatten(content, "", out, path, torch)
    if not out:
        raise ValueError(f"{path} holds no tensor")
    return out


def _flatten(value: Any, key: str, out: dict, path: pathlib.Path, torch: ModuleType) -> None:
    if isinstance(value, torch.Tensor):
        if key in out:
            raise ValueError(f"{path}: two tensors are named {key}")
        if value.layout != torch.strided or value.is_quantized:
            raise ValueError(f"{path}: {key} is a sparse or quantised tensor, which is not read")
        value = value.detach().contiguous()
        if value.dtype == torch.bfloat16:
            import ml_dtypes

            out[key] = value.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
            return
        try:
            out[key] = value.numpy()
        except TypeError as error:
            raise ValueError(f"{path}: {key} is of {value.dtype}, which is not read") from error
        return
    items: Any = None
    if isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, list | tuple):
        items = enumerate(value)
    if items is None:
        raise ValueError(
            f"{path}: {key or 'the content'} is a {type(value).__name__}; only tensors and plain "
            "containers of them are read. Save the model's state_dict() alone"
        )
    for name, item in items:
        _flatten(item, f"{key}.{name}" if key else str(name), out, path, torch)
