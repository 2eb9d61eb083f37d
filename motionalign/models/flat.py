"""NNX states as flat dicts of arrays, {path: array}, the form used throughout the package."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import jax
from flax import nnx


def tree_mode() -> AbstractContextManager[Any]:
    """A context in which Flax treats modules as trees; the previous mode is restored after it."""
    return nnx.set_graph_mode(False)


def flatten(state: nnx.State) -> dict:
    """Converts an NNX state to a flat dict {path: array}."""
    return {"/".join(map(str, path)): leaf.get_value() for path, leaf in nnx.to_flat_state(state)}


def fill(state: nnx.State, arrays: Mapping[str, Any]) -> nnx.State:
    """Replaces the values of a state by these arrays."""
    return nnx.from_flat_state(
        [
            (path, leaf.replace(arrays["/".join(map(str, path))]))
            for path, leaf in nnx.to_flat_state(state)
        ]
    )


def abstract_params(build: Callable[[], nnx.Module]) -> dict[str, jax.ShapeDtypeStruct]:
    """{path: shape and dtype} of the parameters of the module that `build` makes."""
    with tree_mode():
        return flatten(nnx.split(nnx.eval_shape(build), nnx.Param, ...)[1])
