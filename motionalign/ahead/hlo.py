"""Reads compiled programs in HLO's text form: products, kernels, traffic, what devices exchange.

XLA's compilers for CPUs and TPUs count arithmetic and traffic themselves, the one for GPUs does
not: `Module.flops` and `Module.traffic` are for its programs, everything else is for all.
"""

import functools
import json
import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import NamedTuple

COLLECTIVES = (
    "all-reduce",
    "all-gather",
    "reduce-scatter",
    "all-to-all",
    "ragged-all-to-all",
    "collective-permute",
    "collective-broadcast",
)
_TRANSFERS = ("infeed", "outfeed", "send", "recv")
# Operations that move nothing: names for memory that is there.
_NAMES = frozenset(
    "parameter constant tuple get-tuple-element bitcast after-all partition-id replica-id "
    "opt-barrier while conditional call add-dependency".split()
)
_FLOW = ("while", "conditional", "call", "async-start")  # what they call are no kernels' parts
_BITS = {"pred": 8, "token": 0}  # others have their number of bits in their name
_HEADER = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\) -> .+ \{$")
_OPERATION = re.compile(r"^\s+(?:ROOT )?%?([\w.\-]+) = (\(.*?\)|\S+) ([\w\-]+)\((.*)$")
_CALLED = re.compile(
    r"(?:calls|body|condition|to_apply|branch_computations|(?:true|false)_computation"
    r"|called_computations)=(\{[^}]*\}|%?[\w.\-]+)"
)
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
_ARRAY = re.compile(r"\b([a-z]+\d*\w*)\[([\d,]*)\]")
_GEMM = re.compile(r"cublas.*(gemm|matmul)")
_TARGET = re.compile(r'custom_call_target="([^"]+)"')


def arrays(shape: str) -> list[tuple[str, tuple[int, ...]]]:
    """The (dtype, sizes) of an HLO shape: `bf16[16,128]{1,0}`, or a tuple of such."""
    return [
        (dtype, tuple(int(size) for size in sizes.split(",") if size))
        for dtype, sizes in _ARRAY.findall(shape)
    ]


@functools.lru_cache(maxsize=100_000)
def shape_bytes(shape: str) -> int:
    """Bytes of an HLO shape: `bf16[16,128]{1,0}`, or a tuple of such."""
    total = 0
    for dtype, sizes in arrays(shape):
        digits = re.search(r"\d+", dtype)
        bits = _BITS.get(dtype, int(digits[0]) if digits else 0)
        total += math.prod(sizes) * bits // 8
    return total


def plain(shape: str) -> str:
    """A shape without layouts: `bf16[16,128]{1,0:T(8,128)}` → `bf16[16,128]`."""
    return re.sub(r"\{[^}]*\}", "", shape)


class Operation(NamedTuple):
    """An operation of a computation.

    Attributes:
      name: of its result.
      shape: of its result.
      kind: such as "fusion".
      rest: the rest of its line: operands, attributes and metadata.
    """

    name: str
    shape: str
    kind: str
    rest: str

    @property
    def target(self) -> str:
        """What a custom call calls; "" for others."""
        found = _TARGET.search(self.rest) if self.kind == "custom-call" else None
        return found[1] if found else ""

    @property
    def operands(self) -> list[str]:
        """The names of its operands."""
        depth, end = 1, 0
        while depth and end < len(self.rest):
            depth += {"(": 1, ")": -1}.get(self.rest[end], 0)
            end += 1
        return re.findall(r"%([\w.\-]+)", self.rest[:end])

    @property
    def called(self) -> list[str]:
        """The names of the computations that it calls."""
        groups = _CALLED.findall(self.rest)
        return [name for group in groups for name in re.findall(r"[\w.\-]+", group)]


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


class Module:
    """A compiled program in HLO's text form.

    Attributes:
      computations: {name: its operations}.
      entry: name of the first computation.
    """

    def __init__(self, text: str) -> None:
        """Parses the text of `Compiled.as_text()`."""
        self.computations: dict[str, list[Operation]] = {}
        self.entry = name = ""
        for line in text.splitlines():
            if header := _HEADER.match(line):
                name = header[2]
                self.computations[name] = []
                self.entry = name if header[1] else self.entry
            elif name and (found := _OPERATION.match(re.sub(r"/\*.*?\*/", "", line))):
                self.computations[name].append(Operation(*found.groups()))
        assert self.entry, "no ENTRY computation in the text"
        self._shapes = {
            name: {each.name: each.shape for each in operations}
            for name, operations in self.computations.items()
        }

    def shapes_of_operands(self, computation: str, operation: Operation) -> list[str]:
        """The shapes of an operation's operands."""
        known = self._shapes[computation]
        return [known[name] for name in operation.operands if name in known]

    @functools.cached_property
    def runs(self) -> Mapping[str, tuple[int, bool]]:
        """{computation: (how often it runs, whether it is within a kernel)} in a run of the module.

        The body of a loop counts as often as the compiler knows it to run, otherwise once; each
        branch of a condition counts once. A computation that is both a kernel's and not counts as
        not.
        """
        counts: dict[str, int] = defaultdict(int)
        inside: dict[str, bool] = {}

        def visit(name: str, times: int, kernel: bool) -> None:
            counts[name] += times
            inside[name] = inside.get(name, True) and kernel
            for operation in self.computations[name]:
                trips = _TRIPS.search(operation.rest) if operation.kind == "while" else None
                own = kernel or operation.kind not in _FLOW
                for called in operation.called:
                    visit(called, times * (int(trips[1]) if trips else 1), own)

        visit(self.entry, 1, False)
        return {name: (count, inside[name]) for name, count in counts.items()}

    def operations(self) -> Iterator[tuple[str, Operation, int]]:
        """(computation, operation, how often it happens) of all operations in a run."""
        for name, (count, _) in self.runs.items():
            for operation in self.computations[name]:
                yield name, operation, count

    def _kernels(self) -> Iterator[tuple[str, Operation, int]]:
        """Those `operations` that are kernels of their own; asynchronous ones where they end.

        A computation that runs asynchronously has operations of its own, which count instead.
        """
        for name, each, count in self.operations():
            name_only = each.kind in _NAMES or each.kind.endswith(("-start", "-update"))
            if not name_only and each.kind != "async-done" and not self.runs[name][1]:
                yield name, each, count

    # Counts ---------------------------------------------------------------------------------------

    def exchanges(self) -> list[Exchange]:
        """The collective operations, the largest sum of bytes first.

        An asynchronous operation counts where it ends.
        """
        counts: dict[tuple[str, str], int] = defaultdict(int)
        for _, operation, count in self.operations():
            kind = operation.kind.removesuffix("-done")
            if kind in COLLECTIVES:
                counts[kind, plain(operation.shape)] += count
        found = [Exchange(*key, count, shape_bytes(key[1])) for key, count in counts.items()]
        return sorted(found, key=lambda each: (-each.count * each.size, each))

    def host_transfers(self) -> list[str]:
        """The operations that exchange data with the host: their names and shapes."""
        found = []
        for _, operation, _ in self.operations():
            kind = operation.kind.removesuffix("-done")
            # Sends between devices are collective permutes; memory space 5 is the host's.
            callback = "callback" in operation.target
            if kind in _TRANSFERS or callback or re.search(r":S\(5\)|S\(5\)\}", operation.shape):
                found.append(f"{kind} {plain(operation.shape)}")
        return sorted(set(found))

    def products(self) -> int:
        """Number of matrix products: `dot`, `convolution`, and calls of cuBLAS."""
        return sum(count for _, each, count in self.operations() if _is_product(each))

    def fusions(self) -> int:
        """Number of fused kernels, those within another kernel not counted."""
        return sum(count for _, each, count in self._kernels() if each.kind == "fusion")

    def attention_kernels(self) -> int:
        """Number of calls of a fused attention kernel, forward and backward."""
        return sum(count for _, each, count in self.operations() if _is_attention(each))

    def calls_libraries(self) -> bool:
        """Whether products or attention are calls of a library, whose work XLA does not count."""
        return any(
            _GEMM.search(each.target) or _is_attention(each) for _, each, _ in self.operations()
        )

    def flops(self) -> int:
        """Floating-point operations of matrix products and attention kernels.

        A forward kernel of attention makes two products, a backward one five. Convolutions, as
        which products appear in programs for TPUs, are not counted.
        """
        total = 0
        for name, each, count in self.operations():
            if each.kind == "dot" or _GEMM.search(each.target):
                total += count * self._product_flops(name, each)
            elif _is_attention(each):
                query, key = (arrays(x)[0][1] for x in self.shapes_of_operands(name, each)[:2])
                batch, length, heads, width = query
                one = 2 * batch * heads * length * key[1] * width
                total += count * one * (5 if "Backward" in each.target else 2)
        return total

    def _product_flops(self, computation: str, operation: Operation) -> int:
        first = arrays(self.shapes_of_operands(computation, operation)[0])[0][1]
        if operation.kind == "dot":
            found = re.search(r"lhs_contracting_dims=\{([\d,]*)\}", operation.rest)
            summed = [int(x) for x in found[1].split(",") if x] if found else []
        else:
            found = re.search(r'"dot_dimension_numbers":(\{[^}]*\})', operation.rest)
            assert found, operation
            summed = [int(x) for x in json.loads(found[1])["lhs_contracting_dimensions"]]
        result = arrays(operation.shape)[0][1]
        return 2 * math.prod(result) * math.prod(first[axis] for axis in summed)

    def traffic(self) -> int:
        """Bytes that kernels read and write: the sizes of their operands and results.

        An operand that a kernel reads in part, or twice, counts once as a whole; an asynchronous
        operation counts where it ends, as if it read as much as it writes. The scratch memory that
        a library's kernel gets is none of its results.
        """
        total = 0
        for name, each, count in self._kernels():
            written = read = shape_bytes(each.shape) - _scratch(each)
            if not each.kind.endswith("-done"):
                read = sum(map(shape_bytes, self.shapes_of_operands(name, each)))
            total += count * (read + written)
        return total

    def written(self) -> dict[str, int]:
        """{shape without layout: number of kernels that write an array of this shape to memory}."""
        found: dict[str, int] = defaultdict(int)
        for _, each, count in self._kernels():
            for dtype, sizes in arrays(each.shape):
                found[f"{dtype}[{','.join(map(str, sizes))}]"] += count
        return dict(found)


def _scratch(operation: Operation) -> int:
    """Bytes of a library's scratch memory: the last of several results, a row of bytes."""
    results = arrays(operation.shape)
    if operation.kind != "custom-call" or len(results) < 2:
        return 0
    dtype, sizes = results[-1]
    return math.prod(sizes) if dtype in ("s8", "u8") and len(sizes) == 1 else 0


def _is_product(operation: Operation) -> bool:
    return operation.kind in ("dot", "convolution") or bool(_GEMM.search(operation.target))


def _is_attention(operation: Operation) -> bool:
    return "fmha" in operation.target
