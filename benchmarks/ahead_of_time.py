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
import dataclasses
import json
import math
import os
import pathlib
import re
import time
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from ml_collections import ConfigDict

from motionalign import files, optim, sharding, step
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

# An H100 SXM as XLA describes it to itself (stream_executor's GpuTargetConfigProto). Sizes of
# memories and numbers of units: NVIDIA, "NVIDIA H100 Tensor Core GPU Architecture" (2022), tables 1
# and 3; limits of blocks and grids: CUDA C++ Programming Guide, compute capability 9.0.
_H100 = """
gpu_device_info {
  cuda_compute_capability { major: 9 }
  core_count: 132
  fpus_per_core: 128
  threads_per_warp: 32
  threads_per_block_limit: 1024
  threads_per_core_limit: 2048
  registers_per_block_limit: 65536
  registers_per_core_limit: 65536
  shared_memory_per_block: 49152
  shared_memory_per_block_optin: 232448
  shared_memory_per_core: 233472
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  l2_cache_size: 52428800
  memory_bandwidth: 3352320000000
  clock_rate_ghz: 1.98
  device_memory_size: 84942979072
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 10 patch: 0 }
device_description_str: "NVIDIA H100 80GB HBM3"
"""

GB = 1e9


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of accelerator.

    Attributes:
      platform: "cuda" or "tpu".
      memory: of a device, in bytes.
      package: what provides its compiler, as pip installs it.
      shape: regex of the topologies.
    """

    platform: str
    memory: float
    package: str
    shape: str


KINDS = {
    "h100": Kind("cuda", 84_942_979_072, "jax[cuda12]", r"[1-8]"),  # one machine
    "v5e": Kind("tpu", 16 * 2**30, "jax[tpu]", r"\d+x\d+"),
    "v6e": Kind("tpu", 32 * 2**30, "jax[tpu]", r"\d+x\d+"),
    "v5p": Kind("tpu", 95 * 2**30, "jax[tpu]", r"\d+x\d+x\d+"),
}


@dataclasses.dataclass(frozen=True)
class Target:
    """Accelerators to compile for: a kind and a topology, written `h100:8` or `v5e:2x2`."""

    kind: str
    topology: str

    @classmethod
    def parse(cls, text: str) -> "Target":
        """Reads `KIND:TOPOLOGY`.

        Raises:
          ValueError: it is not of this form.
        """
        kind, _, topology = text.partition(":")
        if kind not in KINDS or not re.fullmatch(KINDS[kind].shape, topology):
            raise ValueError(
                f"target {text!r} is not a kind of accelerator and a topology; examples: h100:1, "
                f"h100:8, v5e:2x2, v5e:4x4; kinds: {', '.join(KINDS)}"
            )
        return cls(kind, topology)

    def __str__(self) -> str:
        return f"{self.kind}:{self.topology}"

    @property
    def memory(self) -> float:
        """Memory of a device, in bytes."""
        return KINDS[self.kind].memory

    @property
    def compiler_options(self) -> dict[str, Any]:
        """Options of `Lowered.compile`; without those for GPUs, it looks for one to time kernels.

        Products are then cuBLAS's, without the choice among kernels that a run makes on its GPU.
        """
        if KINDS[self.kind].platform == "tpu":
            return {}
        return {"xla_gpu_autotune_level": "0", "xla_gpu_enable_triton_gemm": False}

    def devices(self) -> list[Any]:
        """The devices, for `sharding.mesh_of`; they can be compiled for, and nothing else.

        Raises:
          ValueError: the kind's compiler is not installed.
        """
        from jax.experimental import topologies

        kind = KINDS[self.kind]
        # The process itself runs on the CPU; compilers would otherwise look for their devices.
        jax.config.update("jax_platforms", "cpu")
        try:
            if kind.platform == "tpu":
                for name, value in _TPU_ENVIRONMENT.items():
                    os.environ.setdefault(name, value)
                topology = topologies.get_topology_desc(
                    platform="tpu", topology_name=f"{self.kind}:{self.topology}"
                )
            else:
                topology = topologies.get_topology_desc(
                    "h100", "cuda", target_config=_H100, topology=f"1x1x{self.topology}"
                )
        except (NotImplementedError, RuntimeError) as error:
            raise ValueError(
                f"no compiler for {self} was found ({error}). It comes with "
                f"`pip install '{kind.package}=={jax.__version__}'`, and is found only if the "
                "process has not used JAX before"
            ) from error
        return list(topology.devices)


# What libtpu otherwise asks the machine's metadata server for; and that it may be loaded although
# another process has it, since no device is used.
_TPU_ENVIRONMENT = {
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
}


class Exchange(NamedTuple):
    """Collective operations of one kind and size in a run of a program.

    Attributes:
      kind: such as "all-reduce".
      shape: of the result on one device, such as "bf16[16,128,4096]".
      count: how often it happens.
      size: bytes of one result.
    """

    kind: str
    shape: str
    count: int
    size: int


_COLLECTIVES = (
    "all-reduce",
    "all-gather",
    "reduce-scatter",
    "all-to-all",
    "ragged-all-to-all",
    "collective-permute",
    "collective-broadcast",
)
_TRANSFERS = ("infeed", "outfeed", "send", "recv")
_BITS = {"pred": 8, "token": 0}  # others have their number of bits in their name
_HEADER = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\) -> .+ \{$")
_OPERATION = re.compile(r"^\s+(?:ROOT )?%?[\w.\-]+ = (\(.*?\)|\S+) ([\w\-]+)\((.*)$")
_CALLED = re.compile(
    r"(?:calls|body|condition|to_apply|branch_computations|(?:true|false)_computation"
    r"|called_computations)=(\{[^}]*\}|%?[\w.\-]+)"
)
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
_ARRAY = re.compile(r"\b([a-z]+\d*\w*)\[([\d,]*)\]")


def shape_bytes(shape: str) -> int:
    """Bytes of an HLO shape: `bf16[16,128]{1,0}`, or a tuple of such."""
    total = 0
    for dtype, sizes in _ARRAY.findall(shape):
        digits = re.search(r"\d+", dtype)
        bits = _BITS.get(dtype, int(digits[0]) if digits else 0)
        total += math.prod(int(size) for size in sizes.split(",") if size) * bits // 8
    return total


class _Operation(NamedTuple):
    """An operation of an HLO computation: its shape, its name and the rest of its line."""

    shape: str
    name: str
    rest: str


def _computations(text: str) -> tuple[dict[str, list[_Operation]], str]:
    """The computations of a module in HLO's text form by name, and the name of the entry."""
    found: dict[str, list[_Operation]] = {}
    entry = name = ""
    for line in text.splitlines():
        if header := _HEADER.match(line):
            name = header[2]
            found[name] = []
            entry = name if header[1] else entry
        elif name and (operation := _OPERATION.match(re.sub(r"/\*.*?\*/", "", line))):
            found[name].append(_Operation(operation[1], operation[2], operation[3]))
    assert entry, "no ENTRY computation in the text"
    return found, entry


def runs_of(text: str) -> dict[_Operation, int]:
    """How often each operation of a module happens in a run of it.

    The body of a loop counts as often as the compiler knows it to run, otherwise once; each branch
    of a condition counts once.

    Args:
      text: the module in HLO's text form, `Compiled.as_text()`.

    Returns:
      {operation: count}; operations whose line is the same (without their name) are one.
    """
    computations, entry = _computations(text)
    counts: dict[_Operation, int] = defaultdict(int)

    def visit(name: str, times: int) -> None:
        for operation in computations[name]:
            counts[operation] += times
            trips = _TRIPS.search(operation.rest) if operation.name == "while" else None
            for group in _CALLED.findall(operation.rest):
                for called in re.findall(r"[\w.\-]+", group):
                    visit(called, times * (int(trips[1]) if trips else 1))

    visit(entry, 1)
    return dict(counts)


def _plain(shape: str) -> str:
    """A shape without layouts: `bf16[16,128]{1,0:T(8,128)}` → `bf16[16,128]`."""
    return re.sub(r"\{[^}]*\}", "", shape)


def exchanges(text: str) -> list[Exchange]:
    """The collective operations of a module in HLO's text form, the largest sum of bytes first.

    An asynchronous operation counts where it ends.
    """
    counts: dict[tuple[str, str], int] = defaultdict(int)
    for operation, count in runs_of(text).items():
        kind = operation.name.removesuffix("-done")
        if kind in _COLLECTIVES:
            counts[kind, _plain(operation.shape)] += count
    found = [Exchange(*key, count, shape_bytes(key[1])) for key, count in counts.items()]
    return sorted(found, key=lambda each: (-each.count * each.size, each))


def host_transfers(text: str) -> list[str]:
    """The operations of a module that exchange data with the host: their names and shapes."""
    found = []
    for operation in runs_of(text):
        name = operation.name.removesuffix("-done")
        # Sends between devices are collective permutes; memory space 5 is the host's.
        callback = name == "custom-call" and "callback" in operation.rest
        if name in _TRANSFERS or callback or re.search(r":S\(5\)|S\(5\)\}", operation.shape):
            found.append(f"{name} {_plain(operation.shape)}")
    return sorted(found)


class Program(NamedTuple):
    """What a compiled program needs of each device.

    Attributes:
      arguments, outputs, temporaries: bytes.
      aliased: bytes of outputs that take the place of arguments.
      flops: floating-point operations of a run, by the compiler's count; None if it gives none.
      exchanges: as of `exchanges`.
      transfers: as of `host_transfers`.
    """

    arguments: int
    outputs: int
    temporaries: int
    aliased: int
    flops: float | None
    exchanges: tuple[Exchange, ...]
    transfers: tuple[str, ...]

    @property
    def total(self) -> int:
        """Bytes of memory while it runs; the compiler's own peak may be a little below."""
        return self.arguments + self.outputs - self.aliased + self.temporaries

    @property
    def exchanged(self) -> int:
        """Bytes that collective operations give each device in a run."""
        return sum(each.count * each.size for each in self.exchanges)


def measure(compiled: jax.stages.Compiled) -> Program:
    """Reads a compiled program's memory and communication."""
    memory: Any = compiled.memory_analysis()
    costs: Any = compiled.cost_analysis() or {}
    text = compiled.as_text()
    assert text is not None
    return Program(
        arguments=memory.argument_size_in_bytes,
        outputs=memory.output_size_in_bytes,
        temporaries=memory.temp_size_in_bytes,
        aliased=memory.alias_size_in_bytes,
        flops=costs.get("flops"),
        exchanges=tuple(exchanges(text)),
        transfers=tuple(host_transfers(text)),
    )


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
        f"{target.memory / GB:.1f}",
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
        model = args.model or (1 if KINDS[target.kind].platform == "cuda" else 4)
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
