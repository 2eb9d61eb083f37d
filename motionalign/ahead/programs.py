"""What a compiled program needs of each device, and how long it takes at least."""

from typing import Any, NamedTuple

import jax

from motionalign.ahead.hlo import Exchange, Module
from motionalign.ahead.targets import Kind


class Program(NamedTuple):
    """What a compiled program needs of each device.

    Attributes:
      arguments, outputs, temporaries: bytes.
      aliased: bytes of outputs that take the place of arguments.
      code: bytes of the program itself, which lies in a TPU's memory too.
      flops: floating-point operations of a run.
      counted: who has counted them: "compiler" or "text", see `hlo.Module`.
      traffic: bytes that a run reads from main memory and writes to it, see `hlo.Module.traffic`.
      accessed: bytes that operations read and write by the compiler's count, those on the chip and
        those of names for the same memory among them; None where it does not know all operations.
      cycles: as of `hlo.Module.cycles`.
      products, fusions, attention: numbers of matrix products, of fused kernels, and of fused
        attention kernels.
      exchanges: as of `hlo.Module.exchanges`.
      transfers: as of `hlo.Module.host_transfers`.
      unknown_loops: number of loops whose number of iterations is not known; each counts as one.
      written: as of `hlo.Module.written`.
    """

    arguments: int
    outputs: int
    temporaries: int
    aliased: int
    code: int
    flops: float
    counted: str
    traffic: int
    accessed: float | None
    cycles: int
    products: int
    fusions: int
    attention: int
    exchanges: tuple[Exchange, ...]
    transfers: tuple[str, ...]
    unknown_loops: int
    written: dict[str, int]

    @property
    def total(self) -> int:
        """Bytes of memory while it runs; the compiler's own peak may be a little below."""
        return self.arguments + self.outputs - self.aliased + self.temporaries + self.code

    @property
    def exchanged(self) -> int:
        """Bytes that collective operations give each device in a run."""
        return sum(each.count * each.size for each in self.exchanges)


def measure(compiled: jax.stages.Compiled) -> Program:
    """Reads a compiled program: its memory, arithmetic, traffic, kernels and communication."""
    memory: Any = compiled.memory_analysis()
    costs: Any = compiled.cost_analysis() or {}
    text = compiled.as_text()
    assert text is not None
    module = Module(text)
    loops = module.loops()
    repeats = not {None, 1}.issuperset(loops)  # the compiler counts one iteration
    own = {"flops", "bytes accessed"} <= costs.keys() and not (repeats or module.calls_libraries())
    return Program(
        arguments=memory.argument_size_in_bytes,
        outputs=memory.output_size_in_bytes,
        temporaries=memory.temp_size_in_bytes,
        aliased=memory.alias_size_in_bytes,
        code=memory.generated_code_size_in_bytes,
        flops=costs["flops"] if own else module.flops(),
        counted="compiler" if own else "text",
        traffic=module.traffic(),
        accessed=costs["bytes accessed"] if own else None,
        cycles=module.cycles(),
        products=module.products(),
        fusions=module.fusions(),
        attention=module.attention_kernels(),
        exchanges=tuple(module.exchanges()),
        transfers=tuple(module.host_transfers()),
        unknown_loops=loops.count(None),
        written=module.written(),
    )


class Estimate(NamedTuple):
    """The least time of a run by the figures of a device: a roofline (Williams et al., 2009).

    Attributes:
      arithmetic, memory, exchange: seconds of each alone.
    """

    arithmetic: float
    memory: float
    exchange: float

    @property
    def seconds(self) -> float:
        """The longest of the three, as if they were done at the same time."""
        return max(self)

    @property
    def bound(self) -> str:
        """What it is bound by."""
        return max(self._fields, key=lambda name: getattr(self, name))


def estimate(program: Program, kind: Kind, dtype: str) -> Estimate | None:
    """The least time of a run by the figures of a kind of device; None if it has none.

    Args:
      program: the program.
      kind: the kind of device.
      dtype: of the products, "float32" or "bfloat16".
    """
    flops = kind.flops if dtype == "bfloat16" else kind.float32_flops
    if not (flops and kind.bandwidth and kind.exchange):
        return None
    return Estimate(
        program.flops / flops, program.traffic / kind.bandwidth, program.exchanged / kind.exchange
    )
