"""Compiles the steps of a run for accelerators that are not here, and says what they need."""

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent import futures
from typing import Any

import jax
from ml_collections import ConfigDict

from motionalign import sharding
from motionalign.ahead.hlo import Exchange, shape_bytes
from motionalign.ahead.programs import Program, estimate, measure
from motionalign.ahead.targets import Kind, Target
from motionalign.planning.run import Planned, plan, unread_weights
from motionalign.report.tables import Table

GB = 1e9


@dataclasses.dataclass(frozen=True)
class CompiledStep:
    """A step of a run, compiled for a target.

    Attributes:
      name: of the step.
      target, about: the target, and the figures of its devices.
      dtype: of the run's products.
      batch_size: of all devices together.
      state: {part of the training state: (bytes of all of it, bytes of it on a device)}; a step
        that encodes reads some of it.
      program: what the step needs of each device, or why the compiler refuses it: its memory.
    """

    name: str
    target: str
    about: Kind
    dtype: str
    batch_size: int
    state: Mapping[str, tuple[int, int]]
    program: Program | str

    def numbers(self) -> dict[str, Any]:
        """What `--json` prints: sizes in bytes of one device, times in seconds."""
        p = self.program
        about = {"step": self.name, "target": self.target, "batch_size": self.batch_size}
        if isinstance(p, str):
            return about | {"does_not_fit": p}
        least = estimate(p, self.about, self.dtype)
        return about | {
            "arguments_bytes": p.arguments,
            "output_bytes": p.outputs,
            "aliased_bytes": p.aliased,
            "temporary_bytes": p.temporaries,
            "code_bytes": p.code,
            "total_bytes": p.total,
            "memory_bytes": self.about.memory,
            "state_bytes": {part: device for part, (_, device) in self.state.items()},
            "flops": p.flops,
            "flops_counted_by": p.counted,
            "traffic_bytes": p.traffic,
            "accessed_bytes": p.accessed,
            "products": p.products,
            "fusions": p.fusions,
            "fused_attention": p.attention,
            "collectives": [each._asdict() for each in p.exchanges],
            "collective_bytes": p.exchanged,
            "host_transfers": list(p.transfers),
            "arrays_written": _most_written(p),
            "estimated_seconds": least and least.seconds,
            "bound_by": least and least.bound,
            "compiler_cycles": p.cycles or None,
            "compiler_seconds": self.compiler_seconds,
            "loops_of_unknown_length": p.unknown_loops,
        }

    @property
    def compiler_seconds(self) -> float | None:
        """Seconds of its kernels by the compiler's own estimate; None if it has none."""
        cycles = 0 if isinstance(self.program, str) else self.program.cycles
        return cycles / self.about.clock if cycles and self.about.clock else None

    def cells(self) -> list[str]:
        """The row of the table."""
        p = self.program
        if isinstance(p, str):
            about = [self.target, self.name, str(self.batch_size)]
            return about + ["does not fit"] + [""] * (len(_HEAD) - 4)
        least = estimate(p, self.about, self.dtype)
        kept = p.arguments + p.outputs - p.aliased
        return [
            self.target,
            self.name,
            str(self.batch_size),
            *(f"{x / GB:.2f}" for x in (kept, p.temporaries, p.total)),
            f"{self.about.memory / GB:.1f}" if self.about.memory else "",
            f"{p.flops / 1e12:.2f}",
            f"{p.traffic / GB:.1f}",
            f"{p.products:,}",
            f"{p.fusions:,}",
            str(p.attention),
            f"{p.exchanged / GB:.2f}",
            f"{1000 * least.seconds:.1f}" if least else "",
            least.bound if least else "",
            f"{1000 * self.compiler_seconds:.1f}" if self.compiler_seconds else "",
        ]


def _most_written(program: Program) -> dict[str, int]:
    """{shape: number of kernels that write such an array}, the twenty of the most bytes."""
    of_bytes = sorted(program.written.items(), key=lambda item: -item[1] * shape_bytes(item[0]))
    return dict(of_bytes[:20])


_HEAD = (
    "target", "step", "batch", "kept, GB", "temporaries", "together", "of", "TFLOP", "traffic, GB",
    "products", "fusions", "fused attention", "exchanged, GB", "estimate, ms", "bound by",
    "by the compiler, ms",
)  # fmt: skip
_NOTES = {
    "compiler": "TFLOP are the compiler's count",
    "text": "TFLOP are counted from the compiled text: products and fused attention",
}


def compile_run(
    config: ConfigDict,
    targets: Sequence[str],
    tokens: int | None,
    say: Callable[[str], None],
) -> list[CompiledStep]:
    """Compiles the steps of a run for every target.

    Args:
      config: config of the run.
      targets: such as "h100:8" and "v5e:2x2".
      tokens: length of the texts in a batch; None: the longest that the model reads.
      say: receives what is compiled, before each step.

    Raises:
      ValueError: a target does not exist, its compiler is missing, or see `planning.run.plan`.
    """
    found = []
    if unread := unread_weights(config):
        size = config.model.motion.size
        say(f"{unread} is not downloaded: its sizes are taken from config.model.motion.size={size}")
    for target, devices in _opened([Target.parse(text) for text in targets]).items():
        planned = plan(config, devices, tokens)
        say(_about(planned, target))
        for name, lowered in planned.steps().items():
            say(f"Compiling {name} for {target}")
            try:
                compiled = _compiled(lowered, target)
            except jax.errors.JaxRuntimeError as error:
                # Compilers for TPUs plan the memory, and refuse what does not fit.
                if "RESOURCE_EXHAUSTED" not in str(error):
                    raise
                reason = str(error).strip().partition("\n")[0]  # what follows lists all buffers
                found.append(_measured(planned, target, name, reason))
                continue
            found.append(_measured(planned, target, name, measure(compiled)))
    return found


def _opened(targets: Sequence[Target]) -> dict[Target, list[Any]]:
    """The devices of every target, before anything is compiled.

    The largest number of this machine's first: JAX starts with as many.
    """
    largest = sorted(targets, key=lambda t: -int(t.topology) if t.kind == "cpu" else 0)
    by_size = {target: target.devices() for target in largest}
    return {target: by_size[target] for target in targets}


def _compiled(lowered: jax.stages.Lowered, target: Target) -> jax.stages.Compiled:
    """Compiles in a thread: the main one would see no Ctrl-C for minutes."""
    with futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(lowered.compile, compiler_options=target.compiler_options).result()


def _about(planned: Planned, target: Target) -> str:
    made_up = "" if planned.is_prepared else " (not prepared: its published sizes)"
    texts = f", texts of {planned.tokens} tokens" if planned.tokens else ""
    axes = planned.mesh.shape
    return (
        f"{target}: data {axes['data']} × model {axes['model']}, {planned.config.dtype}; dataset "
        f"{planned.dataset.name}{made_up}{texts}"
    )


def _measured(planned: Planned, target: Target, name: str, program: Program | str) -> CompiledStep:
    data = planned.config.data
    size = data.batch_size if name == "train" else data.eval_batch_size
    state = {part: sharding.bytes_of(arrays) for part, arrays in planned.state.items()}
    return CompiledStep(name, str(target), target.about, planned.config.dtype, size, state, program)


def as_json(steps: Iterable[CompiledStep]) -> str:
    """The steps as numbers, a JSON array."""
    return json.dumps([step.numbers() for step in steps], indent=1)


def as_table(steps: Sequence[CompiledStep]) -> str:
    """The steps as a table, in Markdown, with what devices exchange and whether a step fits."""
    counted: dict[str, list[str]] = {}  # {how: names of steps}
    for step in steps:
        if not isinstance(step.program, str):
            counted.setdefault(step.program.counted, []).append(f"{step.name} on {step.target}")
    notes = [
        "kept: what the step reads of parameters, optimizer and batch; sizes are of one device. "
        "The validation of a run has its whole state in memory. Together: with the program itself",
        *(
            f"{_NOTES[how]} ({', '.join(names)})" if len(counted) > 1 else _NOTES[how]
            for how, names in counted.items()
        ),
        "traffic: operands and results of all kernels in main memory, counted from the compiled "
        "text; what stays on a TPU's chip is not in it",
        "estimate: the longest of arithmetic, memory and exchange by the makers' figures, a "
        "roofline; runs usually take longer",
    ]
    if any(step.compiler_seconds for step in steps):
        notes.append(
            "by the compiler: what a TPU's compiler estimates for its kernels one after another, "
            "those of gathers, scatters, sorts and some reshapes excepted, and without waiting for "
            "copies and exchanges"
        )
    parts = [Table(_HEAD, [step.cells() for step in steps], notes, left=2).markdown()]
    parts += [_exchanged(step) for step in steps if _exchanges(step)]
    parts += [line for step in steps for line in _warnings(step)]
    return "\n\n".join(parts)


def _exchanges(step: CompiledStep) -> tuple[Exchange, ...]:
    return () if isinstance(step.program, str) else step.program.exchanges


def _exchanged(step: CompiledStep) -> str:
    """What the devices exchange in a step, by size."""
    found = _exchanges(step)
    rows = [
        [each.kind, each.shape[:60], f"{each.count:,}", f"{each.count * each.size / 1e6:,.2f}"]
        for each in found[:10]
    ]
    rest = len(found) - len(rows)
    notes = [f"and {rest} smaller kinds"] if rest > 0 else []
    title = f"Exchanged by {step.name} on {step.target}:"
    return f"{title}\n\n{Table(('operation', 'result', 'number', 'MB'), rows, notes, 2).markdown()}"


_RESERVED = 0.75  # of a GPU's memory, by XLA_PYTHON_CLIENT_MEM_FRACTION
_SMALLER = "Choose a smaller config.data.batch_size, more devices, or a larger config.mesh.model"


def _warnings(step: CompiledStep) -> list[str]:
    p, memory = step.program, step.about.memory
    if isinstance(p, str):
        return [f"{step.name} does not fit {step.target}: {p}. {_SMALLER}"]
    found = []
    if p.unknown_loops:
        found.append(
            f"{step.name} on {step.target}: loops whose number of iterations depends on the data: "
            f"{p.unknown_loops}; one iteration of each is counted"
        )
    if p.transfers:
        found.append(f"{step.name} exchanges data with the host: {', '.join(p.transfers)}")
    if memory and p.total > memory:
        found.append(
            f"{step.name} does not fit {step.target}: {p.total / GB:.1f} of {memory / GB:.1f} GB a "
            f"device. {_SMALLER}"
        )
    elif memory and step.about.platform == "cuda" and p.total > _RESERVED * memory:
        found.append(
            f"{step.name} needs {p.total / GB:.1f} of {memory / GB:.1f} GB of {step.target}, and "
            f"JAX reserves {_RESERVED:.0%} of a GPU by default: set "
            "XLA_PYTHON_CLIENT_MEM_FRACTION=0.95"
        )
    return found
