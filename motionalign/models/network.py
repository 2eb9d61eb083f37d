"""Architectures as pure functions of their parameters.

Flax modules are split into a graph definition and trees of arrays, and merged again inside pure
functions; nothing relies on graph updates, shared parameters or object identity, which Flax is
moving away from (FLIP 5310). Tree mode makes that a fact instead of a habit; it is switched on
around each split and merge only, so that the host process and its other models keep their own.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from motionalign.models.dual_encoder import MAX_SCALE, DualEncoder, DualEncoderConfig, Outputs
from motionalign.models.frozen import FrozenWeights

Params = dict[str, jax.Array]
Rest = dict[str, jax.Array]


def tree_mode() -> AbstractContextManager[Any]:
    """A context in which Flax treats modules as trees; the mode outside is as it was."""
    return nnx.set_graph_mode(False)


def flatten(state: nnx.State) -> dict:
    """An NNX state as a flat dict {path: array}, the form that everything here works on."""
    return {"/".join(map(str, path)): leaf.get_value() for path, leaf in nnx.to_flat_state(state)}


def _fill(state: nnx.State, arrays: Mapping[str, Any]) -> nnx.State:
    """A state of the same structure with these arrays in it."""
    return nnx.from_flat_state(
        [
            (path, leaf.replace(arrays["/".join(map(str, path))]))
            for path, leaf in nnx.to_flat_state(state)
        ]
    )


@dataclasses.dataclass(frozen=True)
class Network:
    """An architecture as a pure function of parameters and of its other state.

    Attributes:
      config: sizes.
      dtype: compute dtype; parameters are float32.
      module: class of the Flax module, made as `module(config, dtype, rngs=...)`.
      frozen: towers whose parameters are not among `abstract_params`, but referred to.
    """

    config: DualEncoderConfig
    dtype: jnp.dtype = jnp.float32
    module: Callable[..., DualEncoder] = DualEncoder
    frozen: tuple[FrozenWeights, ...] = ()

    def init(self, seed: int) -> Params:
        """Fresh parameters {path: array}, the frozen excepted; traceable."""
        with tree_mode():
            drawn = flatten(nnx.state(self._build(seed), nnx.Param))
        return {path: drawn[path] for path in self.abstract_params}

    def init_rest(self, seed: int) -> Rest:
        """Fresh state that is no parameter, {path: array}, such as counters; traceable."""
        with tree_mode():
            return flatten(nnx.split(self._build(seed), nnx.Param, ...)[2])

    @functools.cached_property
    def abstract_params(self) -> dict[str, jax.ShapeDtypeStruct]:
        """{path: shape and dtype} of the parameters, the frozen excepted."""
        every = flatten(self._graph[1])
        return {path: leaf for path, leaf in every.items() if path not in self.abstract_frozen}

    @functools.cached_property
    def abstract_frozen(self) -> dict[str, jax.ShapeDtypeStruct]:
        """{path: shape and own dtype} of the frozen parameters."""
        every, frozen = flatten(self._graph[1]), {}
        for tower in self.frozen:
            frozen |= tower.abstract(every)
        return frozen

    def load_frozen(self, abstract: Mapping[str, jax.ShapeDtypeStruct]) -> Params:
        """The frozen parameters from where they are referred to, in the given shardings."""
        loaded: Params = {}
        for tower in self.frozen:
            loaded |= tower.load(abstract, self.config.key_map(tower.under))
        return loaded

    @functools.cached_property
    def abstract_rest(self) -> dict[str, jax.ShapeDtypeStruct]:
        """{path: shape and dtype} of the state that is no parameter."""
        return flatten(self._graph[2])

    def _build(self, seed: int) -> nnx.Module:
        return self.module(self.config, dtype=self.dtype, rngs=nnx.Rngs(seed))

    @functools.cached_property
    def _graph(self) -> tuple[nnx.GraphDef, nnx.State, nnx.State]:
        with tree_mode():
            abstract = nnx.eval_shape(lambda: self._build(0))
            graphdef, params, rest = nnx.split(abstract, nnx.Param, ...)
            return graphdef, params, rest

    def bind(self, arrays: Mapping[str, jax.Array]) -> DualEncoder:
        """The module with these arrays in it: parameters, frozen ones and other state, by path."""
        graphdef, params, rest = self._graph
        with tree_mode():
            return nnx.merge(graphdef, _fill(params, arrays), _fill(rest, arrays))

    def apply(
        self,
        params: Params,
        rest: Rest,
        batch: Mapping[str, jax.Array],
        key: jax.Array,
        frozen: Params | None = None,
    ) -> tuple[Outputs, Rest]:
        """The outputs of a training batch, and the new state that is no parameter.

        Args:
          params, rest, frozen: of the network.
          batch: as `data.TrainingData` makes it.
          key: of dropout.
        """
        module = self.bind(params | rest | (frozen or {}))
        outputs = module(batch, rngs=nnx.Rngs(dropout=key))
        if not rest:
            return outputs, rest
        with tree_mode():
            return outputs, flatten(nnx.split(module, nnx.Param, ...)[2])

    def clamped(self, params: Params) -> Params:
        """Parameters after an update, a learnt temperature kept at 0.01 or above, as CLIP does.

        It is the parameter that is clamped, not its use: a gradient can then take it back.
        """
        if not self.config.learn_temperature:
            return params
        highest = jnp.log(MAX_SCALE).astype(params["logit_scale"].dtype)
        return params | {"logit_scale": jnp.minimum(params["logit_scale"], highest)}

    def __hash__(self) -> int:
        return hash((repr(self.config), str(self.dtype), self.module, self.frozen))


def network_of(run: Mapping[str, Any]) -> Network:
    """The network of a saved model, from what is stored beside its parameters."""
    config = DualEncoderConfig.from_dict(run["architecture"])
    frozen = tuple(map(FrozenWeights.from_dict, run["frozen"]))
    return Network(config, jnp.dtype(run["config"]["dtype"]), frozen=frozen)
