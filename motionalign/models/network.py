"""Architectures as pure functions of their parameters.

Flax modules are split into a graph definition and trees of arrays, and merged again inside pure
functions. Nothing relies on graph updates, shared parameters or object identity, which Flax is
moving away from (FLIP 5310). Flax's tree mode enforces this. It is enabled only around each split
and merge, so that other models in the process keep their own mode.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from motionalign.models.architectures import architecture_of
from motionalign.models.dual_encoder import MAX_SCALE, DualEncoder
from motionalign.models.flat import fill, flatten, tree_mode
from motionalign.models.frozen import FrozenWeights

Params = dict[str, jax.Array]
Rest = dict[str, jax.Array]


@dataclasses.dataclass(frozen=True)
class Network:
    """An architecture as a pure function of its parameters and non-parameter state.

    Attributes:
      config: the architecture's config, an `ArchitectureConfig` or a `DualEncoderConfig`.
      dtype: compute dtype; parameters are float32.
      module: class of the Flax module, constructed as `module(config, dtype, rngs=...)`.
      frozen: references to towers whose parameters are not part of `abstract_params`.
    """

    config: Any
    dtype: jnp.dtype = jnp.float32
    module: Callable[..., Any] = DualEncoder
    frozen: tuple[FrozenWeights, ...] = ()

    def init(self, seed: int) -> Params:
        """Initial parameters {path: array}, without the frozen ones; traceable."""
        with tree_mode():
            drawn = flatten(nnx.state(self._build(seed), nnx.Param))
        return {path: drawn[path] for path in self.abstract_params}

    def init_rest(self, seed: int) -> Rest:
        """Initial non-parameter state {path: array}, such as counters; traceable."""
        with tree_mode():
            return flatten(nnx.split(self._build(seed), nnx.Param, ...)[2])

    @functools.cached_property
    def abstract_params(self) -> dict[str, jax.ShapeDtypeStruct]:
        """{path: shape and dtype} of the parameters, without the frozen ones."""
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
        """Loads the frozen parameters from their sources, in the given shardings."""
        loaded: Params = {}
        for tower in self.frozen:
            if tower.seed is None:
                loaded |= tower.load(abstract, self.config.key_map(tower.under))
            else:
                loaded |= self._drawn(tower, abstract)
        return loaded

    def _drawn(self, tower: FrozenWeights, abstract: Mapping[str, jax.ShapeDtypeStruct]) -> Params:
        """The parameters of a tower of random weights."""
        own = {path: leaf for path, leaf in abstract.items() if tower.holds(path)}
        seed = tower.seed
        assert seed is not None

        def draw() -> Params:
            with tree_mode():
                drawn = flatten(nnx.state(self._build(seed), nnx.Param))
            return {path: drawn[path].astype(leaf.dtype) for path, leaf in own.items()}

        shardings = {path: getattr(leaf, "sharding", None) for path, leaf in own.items()}
        placed = None if None in shardings.values() else shardings
        return jax.jit(draw, out_shardings=placed)()

    @functools.cached_property
    def abstract_rest(self) -> dict[str, jax.ShapeDtypeStruct]:
        """{path: shape and dtype} of the non-parameter state."""
        return flatten(self._graph[2])

    def _build(self, seed: int) -> nnx.Module:
        module = self.module(self.config, dtype=self.dtype, rngs=nnx.Rngs(seed))
        for tower in self.frozen:
            tower.prepare(module)
        return module

    @functools.cached_property
    def _graph(self) -> tuple[nnx.GraphDef, nnx.State, nnx.State]:
        with tree_mode():
            abstract = nnx.eval_shape(lambda: self._build(0))
            graphdef, params, rest = nnx.split(abstract, nnx.Param, ...)
            return graphdef, params, rest

    def bind(self, arrays: Mapping[str, jax.Array]) -> Any:
        """The module with these arrays by path: parameters, frozen parameters and other state."""
        graphdef, params, rest = self._graph
        with tree_mode():
            return nnx.merge(graphdef, fill(params, arrays), fill(rest, arrays))

    def apply(
        self,
        params: Params,
        rest: Rest,
        batch: Mapping[str, jax.Array],
        key: jax.Array,
        frozen: Params | None = None,
    ) -> tuple[Any, Rest]:
        """Runs the network on a training batch.

        Args:
          params: {path: array} of the parameters.
          rest: {path: array} of the non-parameter state.
          batch: as `data.TrainingData` makes it.
          key: random key of dropout.
          frozen: {path: array} of the frozen parameters.

        Returns:
          The outputs and the updated non-parameter state.
        """
        module = self.bind(params | rest | (frozen or {}))
        outputs = module(batch, rngs=nnx.Rngs(dropout=key))
        if not rest:
            return outputs, rest
        with tree_mode():
            return outputs, flatten(nnx.split(module, nnx.Param, ...)[2])

    def clamped(self, params: Params) -> Params:
        """Parameters after an update, with a learned temperature clamped to 0.01 or above.

        As in CLIP, the parameter itself is clamped, not its use, so that its gradient does not
        vanish at the bound.
        """
        if not self.config.learn_temperature:
            return params
        highest = jnp.log(MAX_SCALE).astype(params["logit_scale"].dtype)
        return params | {"logit_scale": jnp.minimum(params["logit_scale"], highest)}

    def __hash__(self) -> int:
        return hash((repr(self.config), str(self.dtype), self.module, self.frozen))


def network_of(run: Mapping[str, Any]) -> Network:
    """The network of a saved model in use, from the metadata stored with its parameters."""
    kind = architecture_of(run["kind"])
    config = kind.in_use(kind.config.from_dict(run["architecture"]))
    dtype, frozen = jnp.dtype(run["config"]["dtype"]), map(FrozenWeights.from_dict, run["frozen"])
    paths = Network(config, dtype, kind.module).abstract_params
    needed = tuple(tower for tower in frozen if any(map(tower.holds, paths)))
    return Network(config, dtype, kind.module, needed)
