"""Memory and communication of a language model's steps, compiled for accelerators without any.

  python -m benchmarks.ahead_of_time --targets h100:1 h100:8 v5e:2x2 v5e:4x4

The real compilers for GPUs and TPUs run on any machine: the training step and the scoring step of
`configs/ntu60_llmar.py` are compiled with the shapes of LLaMA-2-7B and 13B, which needs neither
weights, nor data, nor the memory for them. The result is what the compiler plans: memory of a
device, what devices exchange, and whether anything goes through the host. It is no time.

The compilers come with `pip install 'jax[cuda12]'` (5 GB) and `pip install 'jax[tpu]'`; neither
needs a driver. A compilation takes one to some minutes of one core.
"""

import argparse
import json
import math
import pathlib
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from ml_collections import ConfigDict

from motionalign import files, optim, sharding, step
from motionalign.ahead.programs import Program, measure
from motionalign.ahead.targets import Target
from motionalign.configs import ntu60_llmar, ntu60_tokens
from motionalign.data.bodies import BodiesConfig
from motionalign.models import llama, lora, motion_language
from motionalign.models.frozen import FrozenWeights
from motionalign.models.motion_language import MotionLanguageConfig
from motionalign.models.motion_tokenizer import MotionTokenizerConfig
from motionalign.models.network import Network
from motionalign.models.quantizers import QuantizerConfig
from motionalign.skeleton import SKELETONS
from motionalign.tasks.objectives import OBJECTIVES
from motionalign.train import optimizer_config

GB = 1e9


def state_bytes(tree: Any) -> tuple[int, int]:
    """Bytes of arrays or shapes with shardings: all of them once, and what one device holds."""
    total = device = 0
    for leaf in jax.tree.leaves(tree):
        own = leaf.sharding.shard_shape(leaf.shape)
        total += math.prod(leaf.shape) * leaf.dtype.itemsize
        device += math.prod(own) * leaf.dtype.itemsize
    return total, device


# The steps ---------------------------------------------------------------------------------------

_SHARED: dict[str, Any] = {
    "model_type": "llama",
    "vocab_size": 32000,
    "max_position_embeddings": 4096,
    "rms_norm_eps": 1e-5,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
}
LLAMA_2 = {
    "7b": _SHARED
    | {
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
    },
    "13b": _SHARED
    | {
        "hidden_size": 5120,
        "intermediate_size": 13824,
        "num_hidden_layers": 40,
        "num_attention_heads": 40,
        "num_key_value_heads": 40,
    },
}
"""config.json of meta-llama/Llama-2-7b-hf and -13b-hf, as far as steps depend on it. LLaMA 1 has
the same sizes, apart from its shorter context."""

BEFORE, BETWEEN, AFTER = 384, 1, 4
"""Tokens of the instruction "listed" with the 60 class names, rounded up (ours): SmolLM2's
tokenizer makes 331, 1 and 3 of it, and LLaMA's vocabulary is smaller."""

CLASSES = 60


class Compiled(NamedTuple):
    """A step compiled for a target.

    Attributes:
      program: what it needs.
      state: {part of the state: (bytes of all of it, bytes of it on a device)}.
      seconds: of the compilation.
    """

    program: Program
    state: dict[str, tuple[int, int]]
    seconds: float


def language_network(config: ConfigDict, tokens: ConfigDict, source: Mapping[str, Any]) -> Network:
    """The network of a run on NTU RGB+D 60, with a language model of which only sizes are known.

    Args:
      config: the config of the run.
      tokens: the config of the motion tokenizer's run.
      source: the language model's config.json.
    """
    c, t = config.model.language, tokens.model.tokenizer
    sizes = llama.config_from_hf(source, remat=c.remat, lora=motion_language.adapters_of(c))
    architecture = MotionLanguageConfig(
        tokenizer=MotionTokenizerConfig(
            bodies=BodiesConfig.of(SKELETONS["ntu25"], t.persons, t.frames, t.face),
            quantizer=QuantizerConfig(t.quantizer, t.codes, sizes.width, t.factor),
            width=t.width,
            down=t.down,
            depth=t.depth,
            growth=t.growth,
        ),
        llama=sizes,
        instruction=c.instruction,
        before=(1,) * BEFORE,
        between=(1,) * BETWEEN,
        after=(1,) * AFTER,
        answer_tokens=c.answer_tokens,
        ends=(2,),
        word_rms=0.02,
    )
    frozen = FrozenWeights(motion_language.TOWER, "", "", c.base, lora.TRAINED)
    module = motion_language.MotionLanguageModel
    return Network(architecture, jnp.dtype(config.dtype), module, (frozen,))


def compile_training(network: Network, config: ConfigDict, target: Target, mesh: Mesh) -> Compiled:
    """Compiles the training step of a run for the devices of `mesh`."""
    optimizer, _ = optim.make_optimizer(optimizer_config(config), network.abstract_params, 1000)
    state = step.abstract_state(network, optimizer, mesh)
    objective = OBJECTIVES[config.loss.kind](config.loss, has_classes=True)
    train_step = step.make_train_step(network, objective, optimizer, config, mesh, state)
    answers = (config.data.batch_size, network.config.answer_tokens)
    batch = _clips(network, config.data.batch_size) | {
        "input_ids": jax.ShapeDtypeStruct(answers, jnp.int32),
        "text_mask": jax.ShapeDtypeStruct(answers, bool),
    }
    number = jax.ShapeDtypeStruct((), jnp.int32, sharding=NamedSharding(mesh, P()))
    return _compile(train_step.lower(state, number, _over_data(batch, mesh)), target, state)


def compile_scoring(network: Network, config: ConfigDict, target: Target, mesh: Mesh) -> Compiled:
    """Compiles the step that ranks the class names for a batch of clips."""
    state = {
        "frozen": network.abstract_frozen,
        "params": network.abstract_params,
        "rest": network.abstract_rest,
    }
    state = sharding.abstract(state, mesh)
    replicated = NamedSharding(mesh, P())
    shape = (CLASSES, network.config.answer_tokens)
    names = tuple(
        jax.ShapeDtypeStruct(shape, dtype, sharding=replicated) for dtype in (jnp.int32, bool)
    )

    def scores(state: Mapping[str, Any], batch: Any, ids: jax.Array, mask: jax.Array) -> jax.Array:
        arrays = state["frozen"] | state["params"] | state["rest"]
        return network.bind(arrays).scores(batch, ids, mask)

    batch = _over_data(_clips(network, config.data.eval_batch_size), mesh)
    jitted = jax.jit(scores, out_shardings=replicated)
    return _compile(jitted.lower(state, batch, *names), target, state)


def _clips(network: Network, batch_size: int) -> dict[str, jax.ShapeDtypeStruct]:
    """The clips of a batch, as shapes."""
    b = network.config.tokenizer.bodies
    return {
        "bodies": jax.ShapeDtypeStruct((batch_size, b.frames, b.persons, b.joints, 3), jnp.float32),
        "persons": jax.ShapeDtypeStruct((batch_size, b.persons), bool),
    }


def _over_data(batch: Mapping[str, jax.ShapeDtypeStruct], mesh: Mesh) -> dict[str, Any]:
    layout = sharding.batch_sharding(mesh)
    return {
        name: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=layout)
        for name, leaf in batch.items()
    }


def _compile(lowered: jax.stages.Lowered, target: Target, state: Mapping[str, Any]) -> Compiled:
    start = time.perf_counter()
    compiled = lowered.compile(compiler_options=target.compiler_options)
    seconds = time.perf_counter() - start
    parts = {name: state_bytes(part) for name, part in state.items()}
    return Compiled(measure(compiled), parts, seconds)


STEPS = {"train": compile_training, "scores": compile_scoring}


def run_configs(
    size: str, base: str, batch_size: int | None = None
) -> tuple[ConfigDict, ConfigDict]:
    """The configs of configs/ntu60_llmar.py and of its motion tokenizer.

    Args:
      size: a key of `LLAMA_2`.
      base: dtype in which the frozen language model is stored.
      batch_size: of all devices together; None: those of the config.
    """
    config = ntu60_llmar.get_config(size)
    with config.unlocked():
        config.model.language.base = base
        if batch_size is not None:
            config.data.batch_size = config.data.eval_batch_size = batch_size
    return config, ntu60_tokens.get_config(size)


# The command -------------------------------------------------------------------------------------

COLUMNS = (
    "step", "model", "base", "devices", "mesh (data × model)", "batch", "arguments", "temporaries",
    "together", "of", "exchanged",
)  # fmt: skip
HEADER = f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}"


def row(name: str, size: str, config: ConfigDict, target: Target, mesh: Mesh, got: Compiled) -> str:
    """A row of the table; sizes are of one device, in GB (10**9 bytes)."""
    program = got.program
    kept = program.arguments + program.outputs - program.aliased
    batch = config.data.batch_size if name == "train" else config.data.eval_batch_size
    cells = [
        name, size, config.model.language.base, str(target),
        f"{mesh.shape['data']} × {mesh.shape['model']}", str(batch),
        *(f"{x / GB:.2f}" for x in (kept, program.temporaries, program.total)),
        f"{target.about.memory / GB:.1f}",
        f"{program.exchanged / GB:.2f}",
    ]  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Runs the benchmark and prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--targets", nargs="+", default=["h100:1", "v5e:2x2"])
    parser.add_argument("--sizes", nargs="+", choices=LLAMA_2, default=list(LLAMA_2))
    parser.add_argument("--bases", nargs="+", default=["bfloat16", "int8"])
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--batch_size", type=int, help="of all devices; default: the config's")
    parser.add_argument(
        "--model", type=int, help="size of the mesh's model axis; default: 1 of GPUs, 4 of TPUs"
    )
    parser.add_argument("--layers", type=int, help="fewer layers than the model has, to try it")
    parser.add_argument("--output", type=pathlib.Path, help="a JSON file for the results")
    args = parser.parse_args()
    print(HEADER, flush=True)
    results = []
    for text in args.targets:
        target = Target.parse(text)
        devices = target.devices()
        model = args.model or (1 if target.about.platform == "cuda" else 4)
        mesh = sharding.mesh_of(devices, len(devices) // model, model)
        for size in args.sizes:
            source = LLAMA_2[size]
            if args.layers:
                source = source | {"num_hidden_layers": args.layers}
            for base in args.bases:
                config, tokens = run_configs(size, base, args.batch_size)
                network = language_network(config, tokens, source)
                for name in args.steps:
                    got = STEPS[name](network, config, target, mesh)
                    print(row(name, size, config, target, mesh, got), flush=True)
                    results.append(
                        {"step": name, "size": size, "base": base, "target": text}
                        | {"seconds": got.seconds, "state": got.state}
                        | got.program._asdict()
                        | {"exchanges": [each._asdict() for each in got.program.exchanges]}
                    )
                    if args.output:
                        files.write_text(args.output, json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
