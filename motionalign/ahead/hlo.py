"""Reads compiled programs in HLO's text form: products, kernels, traffic, what devices exchange.

XLA's compilers for CPUs and TPUs count arithmetic themselves, that of a loop once; the one for GPUs
does not. `Module.flops` is for its programs, and for those with loops. What the compilers count as
bytes is no traffic of a device's main memory: on a TPU most of it stays on the chip.
`Module.traffic` reads memory spaces, and the tiles of arrays, in the text.
"""

import functools
import json
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

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
_CYCLES = re.compile(r'"estimated_cycles":"(\d+)"')
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
_CONDITION = re.compile(r"\bcondition=%?([\w.\-]+)")
_BODY = re.compile(r"\bbody=%?([\w.\-]+)")
_ARRAY = re.compile(r"\b([a-z]+\d*\w*)\[([\d,]*)\](?:\{([\d,]*):?([^}]*)\})?")
# Operations that read no more of their first operand than they give; and those that change a part
# of it in place: the position of the operand with the changes.
_PARTS = ("slice", "dynamic-slice", "gather")
_IN_PLACE = {"dynamic-update-slice": 1, "scatter": 2}
_TILES, _SPACE = re.compile(r"T\(([\d,]+)\)"), re.compile(r"S\((\d+)\)")
_GEMM = re.compile(r"cublas.*(gemm|matmul)")
_CHANNEL = re.compile(r"channel_id=(\d+)")
_TARGET = re.compile(r'custom_call_target="([^"]+)"')


def arrays(shape: str) -> list[tuple[str, tuple[int, ...]]]:
    """The (dtype, sizes) of an HLO shape: `bf16[16,128]{1,0}`, or a tuple of such."""
    return [
        (dtype, tuple(int(size) for size in sizes.split(",") if size))
        for dtype, sizes, _, _ in _ARRAY.findall(shape)
    ]


def _bytes(dtype: str, sizes: Iterable[int]) -> int:
    digits = re.search(r"\d+", dtype)
    return math.prod(sizes) * _BITS.get(dtype, int(digits[0]) if digits else 0) // 8


@functools.lru_cache(maxsize=100_000)
def shape_bytes(shape: str) -> int:
    """Bytes of an HLO shape: `bf16[16,128]{1,0}`, or a tuple of such."""
    return sum(_bytes(dtype, sizes) for dtype, sizes in arrays(shape))


def _in_main_memory(layout: str) -> bool:
    space = _SPACE.search(layout)
    return not space or (space[1] != "5" and not _TILES.match(layout))


@functools.lru_cache(maxsize=100_000)
def tiled_bytes(shape: str, anywhere: bool = False) -> int:
    """Bytes that an HLO shape takes up in a device's main memory.

    In programs for TPUs, arrays are laid out in tiles, `T(8,128)`, whose last ones are padded, and
    those in another memory space, `S(1)`, are on the chip. Without tiles, on GPUs, other spaces are
    regions of main memory; only `S(5)` is the host's.

    Args:
      shape: `bf16[16,128]{1,0:T(8,128)(2,1)}`, or a tuple of such.
      anywhere: as if all arrays were in main memory.
    """
    total = 0
    for dtype, sizes, order, layout in _ARRAY.findall(shape):
        tiles = _TILES.match(layout)
        if not (anywhere or _in_main_memory(layout)):
            continue
        extents = [int(size) for size in sizes.split(",") if size]
        if tiles and extents:
            tile = [int(size) for size in tiles[1].split(",")]
            major_to_minor = [extents[int(axis)] for axis in reversed(order.split(","))]
            ones = [1] * (len(tile) - len(extents))
            extents = ones + major_to_minor
            inner = zip(extents[-len(tile) :], tile, strict=True)
            extents[-len(tile) :] = [-(-size // by) * by for size, by in inner]
        total += _bytes(dtype, extents)
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
        return _operands(self.rest)

    @property
    def called(self) -> list[str]:
        """The names of the computations that it calls."""
        groups = _CALLED.findall(self.rest)
        return [name for group in groups for name in re.findall(r"[\w.\-]+", group)]


@functools.lru_cache(maxsize=1_000_000)
def _operands(rest: str) -> list[str]:
    depth, end = 1, 0
    while depth and end < len(rest):
        depth += {"(": 1, ")": -1}.get(rest[end], 0)
        end += 1
    return re.findall(r"%([\w.\-]+)", rest[:end])


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
        self._roots: dict[str, Operation] = {}
        self.entry = name = ""
        for line in text.splitlines():
            if header := _HEADER.match(line):
                name = header[2]
                self.computations[name] = []
                self.entry = name if header[1] else self.entry
            elif name and (found := _OPERATION.match(re.sub(r"/\*.*?\*/", "", line))):
                self.computations[name].append(Operation(*found.groups()))
                if line.lstrip().startswith("ROOT "):
                    self._roots[name] = self.computations[name][-1]
        assert self.entry, "no ENTRY computation in the text"
        self._named = {
            name: {each.name: each for each in operations}
            for name, operations in self.computations.items()
        }

    def shapes_of_operands(self, computation: str, operation: Operation) -> list[str]:
        """The shapes of an operation's operands."""
        known = self._named[computation]
        return [known[name].shape for name in operation.operands if name in known]

    @functools.cached_property
    def runs(self) -> Mapping[str, tuple[int, bool]]:
        """{computation: (how often it runs, whether it is within a kernel)} in a run of the module.

        The body of a loop counts as often as it runs, or once if that is not known (`loops`); each
        branch of a condition counts once. A computation that is both a kernel's and not counts as
        not.
        """
        counts: dict[str, int] = defaultdict(int)
        inside: dict[str, bool] = {}

        def visit(name: str, times: int, kernel: bool) -> None:
            counts[name] += times
            inside[name] = inside.get(name, True) and kernel
            for operation in self.computations[name]:
                known = self._iterations(name, operation) if operation.kind == "while" else None
                own = kernel or operation.kind not in _FLOW
                for called in operation.called:
                    visit(called, times * (1 if known is None else known), own)

        visit(self.entry, 1, False)
        return {name: (count, inside[name]) for name, count in counts.items()}

    def loops(self) -> list[int | None]:
        """The number of iterations of every loop in the text; None where it is not known."""
        return [
            self._iterations(name, each)
            for name in self.runs
            for each in self.computations[name]
            if each.kind == "while"
        ]

    def _iterations(self, computation: str, loop: Operation) -> int | None:
        """The number of iterations of a loop; None if the text does not determine it.

        Compilers for CPUs and GPUs write it down. In programs for TPUs it follows from the form
        that JAX gives to loops of a fixed length: a counter goes up by 1 from one constant until it
        reaches another.
        """
        if found := _TRIPS.search(loop.rest):
            return int(found[1])
        condition, body = _CONDITION.search(loop.rest), _BODY.search(loop.rest)
        assert condition and body, loop
        test, after = self._roots[condition[1]], self._roots[body[1]]
        start = self._source(computation, loop.operands[0])
        if test.kind != "compare" or "direction=LT" not in test.rest:
            return None
        counter, end = (self._source(condition[1], name) for name in test.operands)
        place = _element(counter)
        if place is None or start.kind != "tuple" or after.kind != "tuple":
            return None
        change = self._source(body[1], after.operands[place])
        if change.kind != "add":
            return None
        added = [self._source(body[1], name) for name in change.operands]
        first = _constant(self._source(computation, start.operands[place]))
        last = _constant(end)
        if place not in map(_element, added) or 1 not in map(_constant, added):
            return None
        return None if first is None or last is None else max(0, last - first)

    def _source(self, computation: str, name: str) -> Operation:
        """The operation that makes a result, before it is copied."""
        operation = self._named[computation][name]
        if operation.kind in ("copy", "bitcast", "reshape"):
            return self._source(computation, operation.operands[0])
        return operation

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
            name_only |= each.target == "ConcatBitcast"  # parts that lie one after the other
            if not name_only and each.kind != "async-done" and not self.runs[name][1]:
                yield name, each, count

    # Counts ---------------------------------------------------------------------------------------

    def exchanges(self) -> list[Exchange]:
        """The collective operations, the largest sum of bytes first.

        An asynchronous operation counts where it ends. One that a TPU does beside several kernels
        is written in each of them, with one channel, and counts once.
        """
        counts: dict[tuple[str, str], int] = defaultdict(int)
        beside: dict[tuple[str, str, str], int] = {}
        for name, operation, count in self.operations():
            kind, channel = operation.kind.removesuffix("-done"), _CHANNEL.search(operation.rest)
            if kind not in COLLECTIVES:
                continue
            if self.runs[name][1] and channel:
                key = (kind, plain(operation.shape), channel[1])
                beside[key] = max(count, beside.get(key, 0))
            else:
                counts[kind, plain(operation.shape)] += count
        for (kind, shape, _), count in beside.items():
            counts[kind, shape] += count
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

        A forward kernel of attention makes two products, a backward one five. Convolutions are the
        form that products have in programs for TPUs.
        """
        total = 0
        for name, each, count in self.operations():
            if each.kind == "convolution":
                total += count * self._convolution_flops(name, each)
            elif each.kind == "dot" or _GEMM.search(each.target):
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

    def _convolution_flops(self, computation: str, operation: Operation) -> int:
        """As of XLA's HloCostAnalysis: products of padding and of holes do not count.

        The batch of a product is a spatial axis here, with a window that moves from hole to hole.
        """
        labels = re.search(r"dim_labels=(\w+)_(\w+)->(\w+)", operation.rest)
        assert labels, operation
        shapes = [*self.shapes_of_operands(computation, operation)[:2], operation.shape]
        sizes = [dict(zip(of, arrays(x)[0][1])) for of, x in zip(labels.groups(), shapes)]
        image, kernel, out = sizes
        groups = re.search(r"batch_group_count=(\d+)", operation.rest)
        total = 2 * kernel["i"] * kernel["o"] * image["b"] // (int(groups[1]) if groups else 1)
        window = re.search(r"window=\{([^}]*)\}", operation.rest)
        given = dict(each.split("=") for each in window[1].split()) if window else {}
        for axis in filter(str.isdigit, labels[2]):

            def of(name: str, default: str, axis: str = axis) -> list[int]:
                part = given[name].split("x")[int(axis)] if name in given else default
                return [int(x) for x in part.split("_")]

            [size], [stride], [dilated] = of("size", "1"), of("stride", "1"), of("lhs_dilate", "1")
            [spread], [low, _] = of("rhs_dilate", "1"), of("pad", "0_0")
            at = np.add.outer(np.arange(out[axis]) * stride - low, np.arange(size) * spread)
            inside = (at >= 0) & (at % dilated == 0) & (at // dilated < image[axis])
            total *= int(inside.sum())
        return total

    def traffic(self) -> int:
        """Bytes that kernels read from a device's main memory and write to it.

        These are the sizes of operands and results there; what a kernel reads twice counts once. Of
        an array from which a kernel takes only slices or rows, these count; of one that it changes
        in place, the changes. An asynchronous operation counts where it ends. The scratch memory
        that a library's kernel gets is none of its results.
        """
        return sum(count * self._moved(name, each) for name, each, count in self._kernels())

    def _moved(self, computation: str, kernel: Operation) -> int:
        """Bytes of main memory that a kernel reads and writes."""
        if kernel.kind.endswith("-done"):
            start = self._named[computation][kernel.operands[0]]
            read = sum(map(tiled_bytes, self.shapes_of_operands(computation, start)))
            if start.kind.removesuffix("-start") in ("copy", *_PARTS):
                read = min(read, tiled_bytes(kernel.shape, anywhere=True))
            return read + tiled_bytes(kernel.shape)
        inner, root, read = computation, kernel, list(kernel.operands)
        if kernel.kind == "fusion":
            [inner] = kernel.called
            root, read = self._roots[inner], self._parameters(inner)
        moved = tiled_bytes(kernel.shape) - _scratch(kernel)
        if root.kind in _IN_PLACE and (root is kernel or self._is_given(inner, root.operands[0])):
            moved = min(moved, self._changes(inner, root))
        for shape, name in zip(self.shapes_of_operands(computation, kernel), read, strict=True):
            users = [kernel] if root is kernel else self._users(inner, name)
            parts = [self._part(inner, user, name) for user in users]
            moved += min(tiled_bytes(shape), sum(parts))
        return moved

    def _parameters(self, computation: str) -> list[str]:
        """The names of a computation's parameters, in order."""
        found = [each for each in self.computations[computation] if each.kind == "parameter"]
        return [each.name for each in sorted(found, key=lambda p: int(p.rest.partition(")")[0]))]

    def _is_given(self, computation: str, name: str) -> bool:
        """Whether a result is a parameter of the computation, or a name for one."""
        operation = self._named[computation][name]
        if operation.kind == "bitcast":
            return self._is_given(computation, operation.operands[0])
        return operation.kind == "parameter"

    def _part(self, computation: str, user: Operation, name: str) -> int:
        """Bytes that an operation reads of an operand, wherever that is."""
        operand = self._named[computation][name]
        if user.operands.count(name) == 1 and user.operands[0] == name:
            if user.kind in _PARTS:
                return tiled_bytes(user.shape, anywhere=True)
            if user.kind in _IN_PLACE:
                return self._changes(computation, user)
            if user.kind == "bitcast":
                users = self._users(computation, user.name)
                return sum(self._part(computation, each, user.name) for each in users)
        return tiled_bytes(operand.shape, anywhere=True)

    def _changes(self, computation: str, operation: Operation) -> int:
        """Bytes that an operation changes in place."""
        changes = operation.operands[_IN_PLACE[operation.kind]]
        return tiled_bytes(self._named[computation][changes].shape, anywhere=True)

    def _users(self, computation: str, name: str) -> list[Operation]:
        """The operations of a computation that read a result of it."""
        return [each for each in self.computations[computation] if name in each.operands]

    def cycles(self) -> int:
        """Cycles that a TPU's compiler estimates for its kernels; other compilers write none.

        It estimates none for gathers, scatters, sorts and some reshapes, nor for what happens
        beside kernels: copies and what devices exchange.
        """
        found = ((_CYCLES.search(each.rest), count) for _, each, count in self._kernels())
        return sum(int(cycles[1]) * count for cycles, count in found if cycles)

    def written(self) -> dict[str, int]:
        """{shape without layout: number of kernels that write an array of it to main memory}."""
        found: dict[str, int] = defaultdict(int)
        for _, each, count in self._kernels():
            for dtype, sizes, _, layout in _ARRAY.findall(each.shape):
                if _in_main_memory(layout):
                    found[f"{dtype}[{sizes}]"] += count
        return dict(found)


def _element(operation: Operation) -> int | None:
    """The place in a tuple of what an operation takes from it; None for other operations."""
    found = re.search(r"index=(\d+)", operation.rest)
    return int(found[1]) if found and operation.kind == "get-tuple-element" else None


def _constant(operation: Operation) -> int | None:
    """The integer that an operation gives; None if it gives another value."""
    found = re.match(r"(-?\d+)\)", operation.rest) if operation.kind == "constant" else None
    return int(found[1]) if found else None


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
