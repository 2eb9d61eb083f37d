"""A small stack of adapted linear layers with the paths of a Llama, as a network that trains."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from ml_collections import ConfigDict
from safetensors.numpy import save_file

from motionalign import sharding, step
from motionalign.models import layers, lora
from motionalign.models.frozen import FrozenWeights
from motionalign.models.network import Network
from motionalign.models.weights import keymap
from motionalign.models.weights.keymap import KeyMap

WIDTH, HIDDEN, DEPTH, WORDS = 12, 20, 2, 7

LORA = lora.LoraConfig(rank=3, alpha=6.0, targets=r"blocks/\d+/(attention/(query|out)|mlp/down)")

ADAPTED = tuple(
    f"blocks/{i}/{name}" for i in range(DEPTH) for name in ("attention/out", "attention/query")
) + tuple(f"blocks/{i}/mlp/down" for i in range(DEPTH))

ATTENTION = {"q": "query", "k": "key", "v": "value", "o": "out"}

KEY_MAP = KeyMap(
    prefix=r"model\.",
    rules=(
        (r"embed_tokens\.weight", "embed/embedding", keymap.SAME),
        *(
            rule
            for theirs, ours in ATTENTION.items()
            for rule in keymap.linear(
                rf"layers\.(\d+)\.self_attn\.{theirs}_proj", rf"blocks/\1/attention/{ours}"
            )
        ),
        *keymap.linear(r"layers\.(\d+)\.mlp\.(gate|up|down)_proj", r"blocks/\1/mlp/\2"),
        (r"lm_head\.weight", "head/kernel", keymap.LINEAR),
    ),
    fresh=(lora.TRAINED,),
)


class Attention(nnx.Module):
    def __init__(self, dtype, rngs):
        for name in ATTENTION.values():
            setattr(self, name, lora.Linear(WIDTH, WIDTH, dtype, rngs, kernel_init=wide))


class MLP(nnx.Module):
    def __init__(self, dtype, rngs):
        self.gate = lora.Linear(WIDTH, HIDDEN, dtype, rngs, kernel_init=wide)
        self.up = lora.Linear(WIDTH, HIDDEN, dtype, rngs, kernel_init=wide)
        self.down = lora.Linear(HIDDEN, WIDTH, dtype, rngs, kernel_init=wide)


class Block(nnx.Module):
    def __init__(self, dtype, rngs):
        self.attention, self.mlp = Attention(dtype, rngs), MLP(dtype, rngs)

    def __call__(self, x, rngs):
        a, m = self.attention, self.mlp
        x = x + a.out(jnp.tanh(a.query(x, rngs) * a.key(x, rngs)) + a.value(x, rngs), rngs)
        return x + m.down(jnp.tanh(m.gate(x, rngs)) * m.up(x, rngs), rngs)


class Embed(nnx.Module):
    def __init__(self, rngs):
        self.embedding = nnx.Param(wide(rngs.params(), (WORDS, WIDTH)))


class Tower(nnx.Module):
    """Called with ids [...]; returns float32 logits [..., WORDS]."""

    def __init__(self, dtype, rngs, adapters=LORA):
        self.embed = Embed(rngs)
        self.blocks = layers.repeat(DEPTH, lambda each: Block(dtype, each), rngs)
        self.head = lora.Linear(WIDTH, WORDS, dtype, rngs, kernel_init=wide)
        if adapters is not None:
            lora.adapt(self, adapters, rngs)

    def __call__(self, ids, rngs=None):
        x = self.embed.embedding[...][ids]
        for block in self.blocks:
            x = block(x, rngs)
        return self.head(x, rngs).astype(jnp.float32)


wide = nnx.initializers.normal(0.3)


class Model(nnx.Module):
    """The tower and one parameter beside it."""

    def __init__(self, config, dtype=jnp.float32, *, rngs):
        self.llama = Tower(dtype, rngs, config.adapters)
        self.scale = nnx.Param(jnp.ones(()))

    def __call__(self, batch, rngs=None):
        return self.scale[...] * self.llama(batch["ids"], rngs)


@dataclasses.dataclass(frozen=True)
class Config:
    adapters: lora.LoraConfig | None = LORA
    learn_temperature: bool = False

    def key_map(self, under):
        assert under == "llama", under
        return KEY_MAP


class Objective:
    """Cross-entropy of the next id."""

    def loss(self, outputs, rest, batch, mesh):
        logits = jax.nn.log_softmax(outputs[:, :-1])
        loss = -jnp.take_along_axis(logits, batch["ids"][:, 1:, None], axis=-1).mean()
        return loss, rest, {}


def base_values(seed=0) -> dict[str, np.ndarray]:
    """{path in the tower: float32 array} of random base weights."""
    drawn: Any = Network(Config(None), module=Model).init(seed)
    prefix = "llama/"
    return {p.removeprefix(prefix): np.asarray(v) for p, v in drawn.items() if p.startswith(prefix)}


def save_base(folder, seed=0) -> str:
    """Writes model.safetensors of random base weights; returns the folder's path."""
    folder.mkdir(exist_ok=True)
    tensors = keymap.export(base_values(seed), KEY_MAP)
    save_file(tensors, folder / "model.safetensors")
    return str(folder)


def network(folder, dtype="bfloat16", compute=jnp.float32, adapters=LORA) -> Network:
    """The network with its tower frozen but for the adapters."""
    tower = FrozenWeights.of("llama", folder, dtype, lora.TRAINED)
    return Network(Config(adapters), compute, Model, (tower,))


def begin(net, optimizer=None):
    """(state, its abstract state, train step) on one device."""
    groups = {"all": {"match": ".*", "lr": 1.0}}
    kind = {"kind": "dual_encoder", "remat": "none"}  # any kind: none has a group of this name
    config = ConfigDict({"seed": 0, "optim": {"groups": groups}, "model": kind})
    mesh = sharding.mesh_of(jax.devices()[:1], 1, 1)
    optimizer = optimizer or optax.adam(0.02)
    shapes = step.abstract_state(net, optimizer, mesh)
    params = net.init(0)
    state = {
        "params": params,
        "rest": {},
        "optimizer": optimizer.init(params),
        "frozen": net.load_frozen(shapes["frozen"]),
    }
    return state, shapes, step.make_train_step(net, Objective(), optimizer, config, mesh, shapes)


def batch():
    """Ids [4, 6]."""
    return {"ids": np.random.default_rng(0).integers(0, WORDS, (4, 6)).astype(np.int32)}


def logits(net, arrays):
    """The logits of `batch()` from a network with these arrays."""
    compute = jax.jit(lambda arrays, batch: net.bind(arrays)(batch))  # faster than op by op
    return np.asarray(compute(arrays, batch()))
