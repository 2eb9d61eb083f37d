"""Draws which package imports which, from the code: docs/images/imports.svg.

    python docs/draw_imports.py           draws it anew
    python docs/draw_imports.py --check   exits with 1 where the drawing is not that of the code

Needs the standard library only, and gives the same bytes on every machine. FLOORS and `imports`
are what tests/rules.py checks the code by.
"""

import argparse
import ast
import colorsys
import functools
import html
import itertools
import pathlib
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

ROOT = pathlib.Path(__file__).resolve().parents[1]
DRAWING = pathlib.Path("docs/images/imports.svg")

FACE = "motionalign"  # motionalign/__init__.py, which imports inside its functions only

# What imports run down: a unit imports those of lower floors. Units of the first floor do not
# import each other, those of the last may.
FLOORS = (
    ("launch", "configs", "motionalign.__main__", "motionalign.compile_ahead"),
    ("motionalign.cli",),
    ("motionalign.launch", "motionalign.configs", "data_prep", "motionalign.convert"),
    ("motionalign.planning",),
    ("motionalign.train",),
    ("motionalign.step",),
    ("motionalign.evaluate",),
    ("motionalign.tasks",),
    ("motionalign.inference",),
    ("motionalign.checkpoints",),
    ("motionalign.models",),
    ("motionalign.data",),
    ("motionalign.anatomy",),
    ("motionalign.formats",),
    ("motionalign.report",),
    ("motionalign.ahead",),
    (
        "motionalign.config",
        "motionalign.conventions",
        "motionalign.skeleton",
        "motionalign.patches",
        "motionalign.metrics",
        "motionalign.losses",
        "motionalign.token_losses",
        "motionalign.optim",
        "motionalign.sharding",
        "motionalign.files",
        "motionalign.reading",
        "motionalign.digests",
        "motionalign.commands",
        "motionalign.host",
    ),
)


# ---------------------------------------------------------------------------- the imports


class Import(NamedTuple):
    """One import statement's share: `module` (in `path`, at `line`) imports `target`.

    Attributes:
      path: The importing file, relative to the root, with slashes.
      line: The statement's first line.
      module: The importing file's module; of a package's __init__.py the package.
      target: A module of the project where there is such a file, else what the statement names.
      names: What is taken from `target`; empty where it is `target` itself.
      lazy: Whether importing the file passes it by: it is inside a function, or for type checkers.
    """

    path: str
    line: int
    module: str
    target: str
    names: tuple[str, ...]
    lazy: bool


@functools.cache
def parse(text: str) -> ast.Module:
    """The syntax tree of a file; every node knows its `parent`."""
    tree = ast.parse(text)
    tree.parent = None  # ty: ignore[missing-attribute]
    for node in ast.walk(tree):
        for child in ast.iter_child_nodes(node):
            child.parent = node  # ty: ignore[missing-attribute]
    return tree


def _parent(node: Any) -> ast.AST | None:
    return node.parent


def ancestors(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes around a node of `parse`, from the inside out."""
    around: ast.AST | None = node
    while around := _parent(around):
        yield around


def is_lazy(node: ast.AST) -> bool:
    """Whether a node of `parse` is inside a function or under `if TYPE_CHECKING:`."""
    return any(
        isinstance(a, ast.FunctionDef | ast.AsyncFunctionDef)
        or (isinstance(a, ast.If) and isinstance(a.test, ast.Name) and a.test.id == "TYPE_CHECKING")
        for a in ancestors(node)
    )


def modules(root: pathlib.Path) -> dict[str, str]:
    """The project's modules under `root` → their files, relative to it, with slashes."""
    tops = sorted({unit.partition(".")[0] for floor in FLOORS for unit in floor})
    found = {}
    for top in tops:
        for path in [root / f"{top}.py", *sorted((root / top).rglob("*.py"))]:
            if path.is_file():
                parts = path.relative_to(root).with_suffix("").parts
                name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
                found[name] = path.relative_to(root).as_posix()
    return found


def imports(root: pathlib.Path) -> list[Import]:
    """All imports of the project's files, of its own modules and of others."""
    known = modules(root)
    found = []
    for module, path in known.items():
        package = module if path.endswith("__init__.py") else module.rpartition(".")[0]
        for node in ast.walk(parse((root / path).read_text("utf-8"))):
            for target, names in _targets(node, package, known):
                line = node.lineno  # ty: ignore[missing-attribute]  (of a statement)
                found.append(Import(path, line, module, target, names, is_lazy(node)))
    return found


def _targets(
    node: ast.AST, package: str, known: Collection[str]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """(module, names taken from it) for each module that a statement imports."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.name, ()
    elif isinstance(node, ast.ImportFrom):
        source = node.module or ""
        if node.level:
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            source = ".".join([*above, *filter(None, [source])])
        for alias in node.names:
            full = f"{source}.{alias.name}"
            yield (full, ()) if full in known else (source, (alias.name,))
    elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        called = node.func.attr if isinstance(node.func, ast.Attribute) else node.func
        called = called.id if isinstance(called, ast.Name) else called
        if called in ("import_module", "__import__"):
            yield str(node.args[0].value), ()


def floor_of(module: str) -> tuple[int, str] | None:
    """(floor, from the top; unit) of a module of the project; None where FLOORS has it not."""
    for index, floor in enumerate(FLOORS):
        for unit in floor:
            if module == unit or module.startswith(unit + "."):
                return index, unit
    return None


def _placed(module: str) -> tuple[int, str]:
    """`floor_of` a module that has one."""
    place = floor_of(module)
    assert place is not None, module
    return place


# ---------------------------------------------------------------------------- the drawing

MARGIN, BOX, LANE, GAP = 28, 600, 29, 10  # px
LETTER, CHIP = 6.63, 21  # px: the width of a letter of a file's name, the height of its chip
MONO = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace"
SANS = "'Helvetica Neue',Helvetica,Arial,'DejaVu Sans',sans-serif"
INK, GREY, LINE, WRONG = "#1f2933", "#667380", "#c3ccd5", "#d11d1d"
LEGEND = (
    "A box is a package, or a file, on its floor, with its files inside. A line leaves a box at "
    "its right, runs down, and enters every box that it imports",
    "from; a number says how many times a file of the one imports a file of the other. Imports run "
    "down only (a line that ran up would be red), and the",
    "boxes of the first floor do not import each other. Not drawn: motionalign/__init__.py, which "
    "imports inside its functions only.",
)


class Row(NamedTuple):
    """A box: its title and what it is, its lines of files, and where it is from `top` on."""

    units: tuple[str, ...]
    title: str
    about: str
    lines: tuple[tuple[str, tuple[str, ...]], ...]  # (folder, names of its files)
    top: float
    height: float

    @property
    def enters(self) -> float:
        """The height at which lines come in."""
        return self.top + min(self.height / 2, 28) - 8

    @property
    def leaves(self) -> float:
        """The height at which lines go out."""
        return self.enters + 17


def drawing(root: pathlib.Path = ROOT) -> str:
    """The drawing of a source tree, as SVG."""
    rows = _rows(root)
    counts = _counts(root, rows)
    lanes = _lanes(rows, counts)
    width = max(lanes.values(), default=MARGIN + BOX) + MARGIN + 6
    height = rows[-1].top + rows[-1].height + MARGIN
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}" role="img" aria-labelledby="title">',
        '<title id="title">The packages of motionalign and what they import</title>',
        f"<style>text{{font-family:{SANS};fill:{INK}}}.mono{{font-family:{MONO}}}"
        f".grey{{fill:{GREY}}}.title{{font-weight:bold}}.middle{{text-anchor:middle}}</style>",
        f'<rect width="{width:g}" height="{height:g}" fill="#fff"/>',
        _text(MARGIN, MARGIN + 14, "What imports what", 21, "title"),
    ]
    out += [_text(MARGIN, MARGIN + 38 + 16 * i, s, 12, "grey") for i, s in enumerate(LEGEND)]
    out += _floors(rows, width)
    out += _flows(rows, counts, lanes)
    for index, row in enumerate(rows):
        out += _box(row, _color(index, len(rows)))
    return "\n".join([*out, "</svg>"]) + "\n"


def _rows(root: pathlib.Path) -> list[Row]:
    """The boxes from the top down. The units of the last floor share one."""
    known = modules(root)
    shared = FLOORS[-1]
    boxes = [(unit,) for floor in FLOORS[:-1] for unit in floor] + [shared]
    rows, top, floor = [], MARGIN + 38 + 16 * len(LEGEND) + 14.0, 0
    for units in boxes:
        files = [m for m in known if floor_of(m) and _placed(m)[1] in units]
        if not files:
            continue
        if _placed(units[0])[0] != floor:
            floor, top = _placed(units[0])[0], top + GAP
        path = known.get(units[0])
        if units == shared:
            title, about = "definitions and helpers", "single files, which may import each other"
        else:
            title = units[0].replace(".", "/") + (".py" if path and "__init__" not in path else "/")
            about = _summary(root, path)
        lines = _file_lines(units, [known[m] for m in files])
        height = (42 if about else 28) + sum(_wrapped(folder, names)[1] for folder, names in lines)
        rows.append(Row(units, title, about, lines, top, height))
        top += height + GAP
    return rows


def _summary(root: pathlib.Path, path: str | None) -> str:
    """The first sentence of a file's docstring, where it is one line."""
    said = ast.get_docstring(parse((root / path).read_text("utf-8"))) if path else None
    line = (said or "").partition("\n")[0].replace("`", "")
    return line if len(line) < 90 else ""


def _file_lines(units: Sequence[str], paths: list[str]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """(folder below the unit, names of its files): its own ones first."""
    if len(units) == 1 and paths == [units[0].replace(".", "/") + ".py"]:
        return ()  # the title says it
    above = len(units[0].split(".")) - (len(units) > 1)
    folders: dict[str, list[str]] = {}
    for path in paths:
        *folder, name = path.split("/")[above:]
        if name != "__init__.py":
            folders.setdefault("/".join(folder), []).append(name.removesuffix(".py"))
    return tuple((folder, tuple(names)) for folder, names in sorted(folders.items()))


def _counts(root: pathlib.Path, rows: list[Row]) -> Counter:
    """(importing row, imported row) → how many pairs of files import each other so."""
    row_of = {unit: index for index, row in enumerate(rows) for unit in row.units}
    pairs = set()
    for found in imports(root):
        above, below = floor_of(found.module), floor_of(found.target)
        if above and below and row_of[above[1]] != row_of.get(below[1], row_of[above[1]]):
            pairs.add((row_of[above[1]], row_of[below[1]], found.module, found.target))
    return Counter((above, below) for above, below, _, _ in sorted(pairs))


def _lanes(rows: list[Row], counts: Counter) -> dict[int, float]:
    """Row → the x of the line that leaves it: the lower the row, the nearer to the boxes."""
    leaving = sorted({above for above, _ in counts}, reverse=True)
    return {row: MARGIN + BOX + 40 + LANE * i for i, row in enumerate(leaving)}


def _flows(rows: list[Row], counts: Counter, lanes: dict[int, float]) -> list[str]:
    """The lines between boxes, as wide as they hold imports, and their numbers."""
    most = max(itertools.chain(_totals(counts, 0).values(), _totals(counts, 1).values()), default=1)

    def wide(count: int) -> float:
        return round(1 + 7 * count / most, 2)

    out, edge = [], MARGIN + BOX
    for below in sorted({below for _, below in counts}):  # along a row, to its box
        y, held = rows[below].enters, 0
        above = sorted((a for a, b in counts if b == below), key=lanes.__getitem__, reverse=True)
        for row, after in itertools.zip_longest(above, above[1:]):
            held += counts[row, below]
            end = lanes[after] if after is not None else edge + 7
            out.append(_path(f"M{lanes[row]:g} {y:g}H{end:g}", LINE, wide(held)))
        out.append(f'<path d="M{edge:g} {y:g}l10 -5.5v11z" fill="{GREY}"/>')
    for row, x in lanes.items():  # out of a box and down its lane
        color = _color(row, len(rows))
        y, left = rows[row].leaves, sum(n for (a, b), n in counts.items() if a == row and b > row)
        if left:
            out.append(_path(f"M{edge:g} {y:g}H{x - 6:g}q6 0 6 6", color, wide(left)))
            y += 5.5  # into the corner, so that no seam shows
        for below in sorted(b for a, b in counts if a == row and b > row):
            out.append(_path(f"M{x:g} {y:g}V{rows[below].enters:g}", color, wide(left)))
            y, left = rows[below].enters, left - counts[row, below]
        for target in (b for a, b in counts if a == row and b < row):
            start = rows[row].leaves
            out.append(_path(f"M{edge:g} {start:g}H{x:g}V{rows[target].enters:g}", WRONG, 2))
    for (row, below), count in sorted(counts.items()):
        color = _color(row, len(rows)) if below > row else WRONG
        x, y = lanes[row], rows[below].enters
        out.append(f'<circle cx="{x:g}" cy="{y:g}" r="9" fill="#fff" stroke="{color}"/>')
        out.append(_text(x, y + 3.6, str(count), 10.5, "middle"))
    return out


def _totals(counts: Counter, side: int) -> Counter:
    """Row → all imports that leave it (side 0) or enter it (side 1)."""
    totals = Counter()
    for pair, count in counts.items():
        totals[pair[side]] += count
    return totals


def _floors(rows: list[Row], width: float) -> list[str]:
    """A band behind each floor."""
    out = []
    for _, floor in itertools.groupby(rows, key=lambda row: _placed(row.units[0])[0]):
        first, *_, last = [*floor] * 2
        top, bottom = first.top - GAP / 2, last.top + last.height + GAP / 2
        out.append(
            f'<rect x="{MARGIN - 12:g}" y="{top:g}" width="{width - 2 * MARGIN + 24:g}" '
            f'height="{bottom - top:g}" rx="9" fill="#f4f6f8"/>'
        )
    return out


def _box(row: Row, color: str) -> list[str]:
    """A box with its title, what it is, and its files."""
    x, y = MARGIN + 14, row.top + (42 if row.about else 28)
    out = [
        f'<rect x="{MARGIN}" y="{row.top:g}" width="{BOX}" height="{row.height:g}" rx="6" '
        f'fill="#fff" stroke="{LINE}"/>',
        f'<path d="M{MARGIN + 6} {row.top:g}h-0.5a5.5 5.5 0 0 0 -5.5 5.5v{row.height - 11:g}'
        f'a5.5 5.5 0 0 0 5.5 5.5h0.5z" fill="{color}"/>',
        _text(x, row.top + 18, row.title, 13.5, "mono title"),
    ]
    if row.about:
        out.append(_text(x, row.top + 34, row.about, 11.5, "grey"))
    for folder, names in row.lines:
        chips, height = _wrapped(folder, names)
        if folder:
            out.append(_text(x, y + 14.5, folder + "/", 11, "mono grey"))
        for name, left, down in chips:
            out.append(
                f'<rect x="{left:g}" y="{y + down:g}" width="{_chip(name):g}" height="{CHIP}" '
                f'rx="4" fill="{_light(color)}"/>'
            )
            middle = left + _chip(name) / 2
            out.append(_text(middle, y + down + 14.5, name, 11, "mono middle"))
        y += height
    return out


def _wrapped(folder: str, names: Iterable[str]) -> tuple[list[tuple[str, float, float]], float]:
    """(name, x, y below the first line) of a folder's chips, and their height with a gap below."""
    start = MARGIN + 14 + (round((len(folder) + 2) * LETTER, 2) if folder else 0)
    chips, x, y = [], start, 0.0
    for name in names:
        if x + _chip(name) > MARGIN + BOX - 10 and x > start:
            x, y = start, y + CHIP + 4
        chips.append((name, x, y))
        x = round(x + _chip(name) + 5, 2)
    return chips, y + CHIP + 7


def _chip(name: str) -> float:
    return round(len(name) * LETTER + 14, 2)


def _color(index: int, count: int) -> str:
    """One of `count` colours of like lightness, around the circle of hues."""
    return _hex(*colorsys.hls_to_rgb((0.58 + 0.9 * index / count) % 1, 0.42, 0.45))


def _light(color: str) -> str:
    """A colour, nine tenths white."""
    return _hex(*(0.89 + 0.11 * int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)))


def _hex(*channels: float) -> str:
    return "#" + "".join(f"{round(255 * channel):02x}" for channel in channels)


def _path(d: str, color: str, width: float) -> str:
    return f'<path d="{d}" fill="none" stroke="{color}" stroke-width="{width:g}"/>'


def _text(x: float, y: float, text: str, size: float, look: str) -> str:
    said = html.escape(text, quote=False)
    return f'<text x="{x:g}" y="{y:g}" font-size="{size:g}" class="{look}">{said}</text>'


def main() -> None:
    """Draws, or checks the drawing."""
    parser = argparse.ArgumentParser("python docs/draw_imports.py", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say whether it is up to date")
    args = parser.parse_args()
    path, now = ROOT / DRAWING, drawing()
    if not args.check:
        path.write_bytes(now.encode("utf-8"))
        print(f"drawn: {DRAWING}")
    elif not path.is_file() or path.read_bytes() != now.encode("utf-8"):
        sys.exit(f"{DRAWING} is not that of the code: python docs/draw_imports.py draws it anew")


if __name__ == "__main__":
    main()
