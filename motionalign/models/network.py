"""motionalign.models.network."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
from flax import nnx

from motionalign.models.dual_encoder import MAX_SCALE, DualEncoder, DualEncoderConfig

Params = dict[str, jax.Array]


def flatten(state: nnx.State) -> dict:
    """An NNX state as a flat dict {path: array}, the form that everything here works on."""
    return {"/".join(map(str, path)): leaf.get_value() for path, leaf in nnx.to_flat_state(state)}


@dataclasses.dataclass(frozen=True)
class Network:
    """The architecture as a pure function of parameters.

    Attributes:
      config: sizes.
      dtype: compute dtype; parameters are float32.
    """

    config: DualEncoderConfig
    dtype: jnp.dtype = jnp.float32

    def init(self, seed: int) -> dict:
        """Fresh parameters {path: array}; traceable."""
        with nnx.set_graph_mode(False):
            return flatten(nnx.state(self._build(seed), nnx.Param))

    @functools.cached_property
    def abstract_params(self) -> dict[str, jax.ShapeDtypeStruct]:
        """{path: shape and dtype}."""
        return flatten(self._graph[1])

    def _build(self, seed: int) -> DualEncoder:
        with nnx.set_graph_mode(False):
            return DualEncoder(self.config, dtype=self.dtype, rngs=nnx.Rngs(seed))

    @functools.cached_property
    def _graph(self) -> tuple[nnx.GraphDef, nnx.State]:
        with nnx.set_graph_mode(False):
            return nnx.split(nnx.eval_shape(lambda: self._build(0)))

    def bind(self, params: Params) -> DualEncoder:
        """The module with these parameters in it."""
        graphdef, state = self._graph
        flat = [
            (path, leaf.replace(params["/".join(map(str, path))]))
            for path, leaf in nnx.to_flat_state(state)
        ]
        with nnx.set_graph_mode(False):
            return nnx.merge(graphdef, nnx.from_flat_state(flat))

    def clamped(self, params: Params) -> Params:
        """Parameters after an update, a learnt temperature kept at 0.01 or above, as CLIP does.

        It is the parameter that is clamped, not its use: a gradient can then take it back.
        """
        if not self.config.learn_temperature:
            return params
        highest = jnp.log(MAX_SCALE).astype(params["logit_scale"].dtype)
        return params | {"logit_scale": jnp.minimum(params["logit_scale"], highest)}

    def __hash__(self):
        return hash((repr(self.config), str(self.dtype)))


def network_of(run: dict) -> Network:
    """The network of a saved model, from what is stored beside its parameters."""
    config = DualEncoderConfig.from_dict(run["architecture"])
    return Network(config, jnp.dtype(run["config"]["dtype"]))
