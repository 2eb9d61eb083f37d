"""The loader of pretrained weights: fills parameters from a source's tensors by a key map."""

from collections.abc import Generator, Mapping, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from motionalign import reading
from motionalign.data.tokenizer import Tokenizer
from motionalign.models.weights.keymap import KeyMap, Shape, match
from motionalign.models.weights.source import Source
from motionalign.models.weights.vocabulary import convert

Params = TypeVar("Params")


def parameter_path(key_path: Sequence[Any]) -> str:
    """'/'-joined path of a leaf from its JAX key path, in an NNX state or its pure dict."""
    names = [
        str(getattr(entry, "key", getattr(entry, "idx", getattr(entry, "name", None))))
        for entry in key_path
    ]
    if isinstance(key_path[-1], jax.tree_util.GetAttrKey):  # the value of an nnx.Param
        names.pop()
    return "/".join(names)


def load_weights(params: Params, source: Source, key_map: KeyMap, under: str = "") -> Params:
    """Fills the parameters below a path with a source's tensors.

    Source tensors are read one at a time, and each device receives only its slice.

    Args:
      params: a pytree of parameters (an NNX state or a nested dict) of arrays or
        `jax.ShapeDtypeStruct`; the new values get the dtype and sharding of the old ones.
      source: source of the weights.
      key_map: maps the source's tensors to our parameters.
      under: '/'-joined path of the tower; "" for all of `params`.

    Returns:
      `params` with the leaves of the tower replaced.

    Raises:
      ValueError: the weights do not fit (the message lists mismatches and their number), or a file
        is damaged.
    """
    leaves, treedef = jax.tree_util.tree_flatten_with_path(params)
    under = f"{under}/" if under else ""
    ours = {  # path within the tower -> index of the leaf
        path.removeprefix(under): i
        for i, (key_path, _) in enumerate(leaves)
        if (path := parameter_path(key_path)).startswith(under)
    }
    values = [leaf for _, leaf in leaves]
    shapes = {path: values[i].shape for path, i in ours.items()}
    for path, value in read_parameters(shapes, source, key_map):
        values[ours[path]] = place(value, values[ours[path]])
    return jax.tree_util.tree_unflatten(treedef, values)


def read_parameters(
    shapes: Mapping[str, Shape], source: Source, key_map: KeyMap
) -> Generator[tuple[str, np.ndarray]]:
    """Reads parameters (path, value) from a source, one at a time, in the source's dtype.

    Args:
      shapes: {path: shape} of the parameters.
      source: source of the weights.
      key_map: maps the source's tensors to the parameters.

    Raises:
      ValueError: as `load_weights`.
    """
    tensors = source.tensors
    try:
        plan = match(source.shapes(), shapes, key_map)
    except ValueError as error:
        raise ValueError(f"weights of {source.name} do not fit the model: {error}") from None
    read_key, tensor = None, np.zeros(())
    for path, (key, transform) in plan.items():
        if key != read_key:  # the parts of a fused tensor are consecutive
            read_key, tensor = key, tensors[key].read()
        value = transform.of(tensor, shapes[path])
        assert value.shape == shapes[path], (path, value.shape, shapes[path])
        yield path, value


def place(value: np.ndarray, like: jax.Array | jax.ShapeDtypeStruct) -> jax.Array:
    """Puts the value on the devices of `like`, in its dtype and sharding."""
    assert value.shape == like.shape, (value.shape, like.shape)
    value = np.asarray(value).astype(like.dtype, copy=False)
    sharding = getattr(like, "sharding", None)
    if sharding is None:
        return jnp.asarray(value)
    # Each device receives only its slice; this also works with several hosts.
    return jax.make_array_from_callback(value.shape, sharding, lambda index: value[index])


def load_tokenizer(
    source: str | Source, max_tokens: int, tokenizer_class: str | None = None
) -> Tokenizer:
    """Loads the tokenizer of a text encoder from tokenizer.json or converts its vocabulary.

    Args:
      source: a local folder or Hub id, or what is opened of one.
      max_tokens: texts are truncated to this number of tokens. If the options of a vocabulary state
        a smaller model_max_length, that applies; the tokenizer's `max_tokens` has the result.
      tokenizer_class: class of `transformers` that converts a vocabulary if the source names no
        class; a text family's `tokenizer`.

    Raises:
      ValueError: the source has neither file, or the file cannot be read.
    """
    opened = source if isinstance(source, Source) else Source(source)
    path = opened.file("tokenizer.json")
    if path is None:
        converted = convert(opened, tokenizer_class)
        return Tokenizer(converted.json, min(max_tokens, converted.max_tokens))
    try:
        return Tokenizer(reading.read_text(path), max_tokens)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
