"""The training state and its update, as pure functions.

A step is a function of (state, step number, batch). All randomness is derived from the seed of the
run and the step number, so a resumed run equals an uninterrupted one bit for bit.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import optax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from motionalign import optim, sharding
from motionalign.checkpoints.shared import Saved
from motionalign.models import layers
from motionalign.models.architectures import architecture_of, groups_of
from motionalign.models.network import Network, Params, Rest
from motionalign.tasks.objectives import Objective, Scalars

State = dict[str, Any]


def abstract_state(network: Network, optimizer: optax.GradientTransformation, mesh: Mesh) -> State:
    """The training state as shapes with shardings; frozen parameters are not checkpointed."""
    shapes = {
        "frozen": network.abstract_frozen,
        "params": network.abstract_params,
        "rest": network.abstract_rest,
        "optimizer": jax.eval_shape(optimizer.init, network.abstract_params),
    }
    return sharding.abstract(shapes, mesh)


def _shardings(abstract: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf.sharding, abstract)


def init_params(
    network: Network,
    config: ConfigDict,
    abstract: Mapping[str, jax.ShapeDtypeStruct],
    trained: Saved | None,
) -> Params:
    """Sharded parameters, loaded from pretrained weights or initialised from the seed.

    Only parameters without pretrained weights are initialised, so that a large tower is in memory
    only once.

    Args:
      network: the network that has the parameters.
      config: config of the run: `model` names pretrained weights, `seed` initialises the rest.
      abstract: {path: shape, dtype and sharding}.
      trained: the model that config.model.weights names, or None.
    """
    assert (trained is not None) == bool(config.model.weights), config.model.weights
    kind = architecture_of(config.model.kind)
    params = kind.load(dict(abstract), config, network.config, trained)
    fresh = {
        path: value.sharding
        for path, value in params.items()
        if isinstance(value, jax.ShapeDtypeStruct)
    }
    if not fresh:
        return params

    def draw() -> Params:
        drawn = network.init(config.seed)
        return {path: drawn[path] for path in fresh}

    return params | jax.jit(draw, out_shardings=fresh)()


def init_state(
    network: Network,
    optimizer: optax.GradientTransformation,
    config: ConfigDict,
    abstract: State,
    trained: Saved | None,
) -> State:
    """The state before the first step: parameters of `init_params`, optimizer and other state.

    `abstract` is the result of `abstract_state`; the other arguments are as in `init_params`.
    """
    params = init_params(network, config, abstract["params"], trained)
    layout = _shardings(abstract)
    rest: Rest = {}
    if layout["rest"] and trained:
        rest = architecture_of(config.model.kind).load_rest(abstract["rest"], trained)
    elif layout["rest"]:
        draw = jax.jit(lambda: network.init_rest(config.seed), out_shardings=layout["rest"])
        rest = draw()
    begin = jax.jit(optimizer.init, out_shardings=layout["optimizer"])
    frozen = network.load_frozen(abstract["frozen"])
    return {"params": params, "rest": rest, "optimizer": begin(params), "frozen": frozen}


def make_loss(network: Network, objective: Objective, mesh: Mesh, remat: str = "none") -> Callable:
    """The loss function, to be differentiated with respect to its first argument.

    It maps (params, rest, frozen, batch, dropout key) to (loss, (rest, scalars)). `remat` is
    config.model.remat.
    """

    def loss_fn(
        params: Params, rest: Rest, frozen: Params, batch: Mapping[str, jax.Array], key: jax.Array
    ) -> tuple[jax.Array, tuple[Rest, Scalars]]:
        with layers.rematerialised(remat):
            outputs, rest = network.apply(params, rest, batch, key, frozen)
        loss, rest, scalars = objective.loss(outputs, rest, batch, mesh)
        return loss, (rest, scalars)

    return loss_fn


def make_train_step(
    network: Network,
    objective: Objective,
    optimizer: optax.GradientTransformation,
    config: ConfigDict,
    mesh: Mesh,
    abstract: State,
) -> jax.stages.Wrapped:
    """The jitted update (state, step, batch) → (state, scalars), for an `abstract_state`.

    The scalars are loss, grad_norm, update_norm and those of the objective. `grad_norm` covers the
    trained parameters, as `optim.clip_norm` does; `update_norm` is that of their change,
    before the temperature is limited. (The gradients of a frozen tower are therefore unused, and
    the compiler removes its backward pass.)
    """
    grad_fn = jax.value_and_grad(
        make_loss(network, objective, mesh, config.model.remat), has_aux=True
    )
    groups = groups_of(config.model.kind, config.optim.groups)
    trained = optim.trained_paths(groups, network.abstract_params)

    def train_step(
        state: State, step: jax.Array, batch: Mapping[str, jax.Array]
    ) -> tuple[State, dict[str, Any]]:
        key = jax.random.fold_in(jax.random.key(config.seed), step)
        (loss, (rest, scalars)), grads = grad_fn(
            state["params"], state["rest"], state["frozen"], batch, key
        )
        updates, opt_state = optimizer.update(grads, state["optimizer"], state["params"])
        updated: Any = optax.apply_updates(state["params"], updates)
        params = network.clamped(updated)
        # Of the difference, not of `updates`: a TPU's compiler then has one kernel for the moments,
        # the parameter and both norms, instead of two of which the second computes `updates` again.
        changes = {path: updated[path] - state["params"][path] for path in trained}
        metrics = {
            "loss": loss,
            "grad_norm": optax.global_norm({path: grads[path] for path in trained}),
            "update_norm": optax.global_norm(changes),
            **scalars,
        }
        return state | {"params": params, "rest": rest, "optimizer": opt_state}, metrics

    return jax.jit(train_step, donate_argnums=0, out_shardings=(_shardings(abstract), None))
