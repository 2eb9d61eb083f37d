"""The architecture rules, as functions from the root of a source tree to its violations.

Each check reads the files under a root without importing them, and returns a list of
"file:line: what is wrong", with the file relative to the root. docs/structure.md states the rules;
tests/test_rules.py applies them to this repository, and to small trees that break them.

An exception to a rule is listed in its `EXCUSED_...` with the reason. The tests also fail if an
exception is no longer needed.
"""

import ast
import functools
import itertools
import pathlib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from draw_imports import FACE, FLOORS, Import, ancestors, floor_of, imports, parse

CODE = ("launch.py", "configs", "data_prep", "motionalign")
Function = ast.FunctionDef | ast.AsyncFunctionDef


def rule(check):
    """Decorates a check: sorts its violations by file and line, and removes duplicates."""

    @functools.wraps(check)
    def sorted_check(*args, **kwargs) -> list[str]:
        return sorted(set(check(*args, **kwargs)), key=_place)

    return sorted_check


def _place(violation: str) -> tuple[str, int, str]:
    path, line, what = violation.split(":", 2)
    return path, int(line), what


class File(NamedTuple):
    """A source file.

    Attributes:
      path: Relative to the root, with slashes.
      nodes: All nodes of its syntax tree, from the top down.
      top: The names assigned at its top level, with their values.
    """

    path: str
    nodes: tuple[ast.AST, ...]
    top: Mapping[str, ast.AST]

    def at(self, node: ast.AST, what: str) -> str:
        """A violation at a node."""
        return f"{self.path}:{node.lineno}: {what}"


@functools.cache
def _read(text: str) -> tuple[tuple[ast.AST, ...], Mapping[str, ast.AST]]:
    tree = parse(text)
    top = {name: node.value for node in tree.body for name in names_assigned(node)}
    return tuple(ast.walk(tree)), top


def files(root: pathlib.Path, places: Iterable[str] = CODE) -> Iterator[File]:
    """The source files in folders, or single files, under `root`; absent ones are skipped."""
    for place in places:
        path = root / place
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            if file.is_file():
                yield File(file.relative_to(root).as_posix(), *_read(file.read_text("utf-8")))


def within(path: str, places: Iterable[str]) -> bool:
    """Whether a file is one of `places`, or inside one of the folders (which end with a slash)."""
    return any(path == place or (place[-1] == "/" and path.startswith(place)) for place in places)


def function_of(node: ast.AST) -> str | None:
    """The name of the outermost function or method around a node; None at the top level."""
    names = [a.name for a in ancestors(node) if isinstance(a, Function)]
    return names[-1] if names else None


def text_of(node: ast.AST | None) -> str | None:
    """The value of a string constant; None for other nodes."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def called(node: ast.Call) -> str:
    """The name of the called function: "open", "np.savez", or ".write_text" of an expression."""
    match node.func:
        case ast.Name(name):
            return name
        case ast.Attribute(ast.Name(of), name):
            return f"{of}.{name}"
        case ast.Attribute(_, name):
            return f".{name}"
    return ""


def names_assigned(node: ast.AST) -> tuple[str, ...]:
    """The plain names that a statement assigns to."""
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    if not isinstance(node, ast.Assign | ast.AnnAssign):
        return ()
    return tuple(target.id for target in targets if isinstance(target, ast.Name))


# ---------------------------------------------------------------------------- 1. imports


@rule
def check_floors(root: pathlib.Path) -> list[str]:
    """Imports run down the floors; boxes of a floor are independent, except on the lowest one."""
    found = []
    for line in imports(root):
        if line.module == FACE:
            if not line.lazy and line.target.partition(".")[0] in _TOPS:
                found.append(f"{_at(line)}: the package's face imports inside functions only")
            continue
        if line.target == FACE:
            if not set(line.names) <= {"__version__"} or not line.names:
                found.append(f"{_at(line)}: only __version__ may be imported from the face")
            continue
        if line.target.partition(".")[0] not in _TOPS:
            continue
        above, below = floor_of(line.module), floor_of(line.target)
        if above is None or below is None:
            lost = line.module if above is None else line.target
            found.append(f"{_at(line)}: {lost} has no floor (FLOORS in docs/draw_imports.py)")
        elif below[0] < above[0]:
            found.append(f"{_at(line)} runs up from {above[1]} to {below[1]}")
        elif above[0] == below[0] < len(FLOORS) - 1 and above[1] != below[1]:
            found.append(f"{_at(line)} runs across, from {above[1]} to {below[1]}")
    return found


_TOPS = {unit.partition(".")[0] for floor in FLOORS for unit in floor}


def _at(line: Import) -> str:
    return f"{line.path}:{line.line}: import of {line.target}"


@rule
def check_circles(root: pathlib.Path) -> list[str]:
    """There are no circular imports, inside functions or not."""
    lines = {}
    for line in imports(root):
        if line.module != FACE and line.target != FACE:
            lines.setdefault((line.module, line.target), line)
    below: dict[str, list[str]] = {}
    for module, target in lines:
        below.setdefault(module, []).append(target)
    found, done = [], set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        if module in path:
            circle = path[path.index(module) :]
            found.append(f"{_at(lines[circle[-1], module])} closes {' → '.join(circle)} → {module}")
        elif module not in done:
            for target in below.get(module, ()):
                visit(target, (*path, module))
            done.add(module)

    for module in list(below):
        visit(module, ())
    return found


# Where packages that are slow to import, large or optional may be imported.
GUARDED = {
    "tensorflow": ("data_prep/",),
    "tensorflow_datasets": ("data_prep/", "motionalign/data/records.py"),
    "torch": ("motionalign/checkpoints/published/torch_files.py",),
    "transformers": ("motionalign/models/weights/vocabulary.py",),
}


@rule
def check_guarded(root: pathlib.Path) -> list[str]:
    """TensorFlow, torch and transformers are imported only in the places listed in GUARDED."""
    return [
        f"{_at(line)}: only in {' and '.join(places) or 'tests and benchmarks'}"
        for line in imports(root)
        for package, places in GUARDED.items()
        if line.target.partition(".")[0] == package and not within(line.path, places)
    ]


# ---------------------------------------------------------------------------- 2. registries

# (file of a registry or folder of its entries, variable). The variable is a dict by entry names, or
# one such name. `variants` of a family are further names of entries in its file.
REGISTRIES = (
    ("motionalign/models/families.py", "MOTION_FAMILIES"),
    ("motionalign/models/families.py", "TEXT_FAMILIES"),
    ("motionalign/models/families.py", "FROZEN"),
    ("motionalign/models", "variants"),
    ("motionalign/tasks/registry.py", "TASKS"),
    ("motionalign/tasks/objectives.py", "OBJECTIVES"),
    ("motionalign/data/representation.py", "REPRESENTATIONS"),
)

# (file, name) → reason why the name may be compared there.
EXCUSED_NAMES: dict[tuple[str, str], str] = {}


def missing_registries(root: pathlib.Path) -> list[str]:
    """Those of REGISTRIES that do not exist."""
    return [f"{path}: {name}" for path, name in REGISTRIES if not [*_entries(root, path, name)]]


@rule
def check_names(root: pathlib.Path, excused: Mapping = EXCUSED_NAMES) -> list[str]:
    """Only the registry itself compares names of its entries with strings.

    Comparisons are `==`, `!=`, `in` and `not in` with a literal collection, `case`, and look-up in
    a literal dict. `"labels" in record` tests for a field and is not a comparison.
    """
    found, homes = [], {}
    for path, name in REGISTRIES:
        for place, key in _entries(root, path, name):
            if key is None:
                found.append(f"{place} a key of {name} that cannot be read; write it as a string")
            else:
                homes.setdefault(key, set()).add(place.partition(":")[0])
    for file in files(root):
        for node in file.nodes:
            if _migrates(file, function_of(node) or ""):  # migrations compare names in old files
                continue
            for compared in _compared(node):
                name = text_of(compared)
                if isinstance(compared, ast.Name):
                    name = text_of(file.top.get(compared.id))
                if name in homes and file.path not in homes[name] | _excused(name, excused):
                    home = " and ".join(sorted(homes[name]))
                    found.append(file.at(compared, f"{name!r} is compared; ask {home} instead"))
    return found


def _excused(name: str, excused: Mapping) -> set[str]:
    return {path for path, word in excused if word == name}


def _entries(root: pathlib.Path, path: str, name: str) -> Iterator[tuple[str, str | None]]:
    """("file:line:", key) of the entries of a registry; the key is None if it cannot be read."""
    for file in files(root, [path]):
        for node in file.nodes:
            if (name in names_assigned(node) and isinstance(node.parent, ast.Module)) or (
                isinstance(node, ast.keyword) and node.arg == name
            ):
                for key in _keys(file, node.value):
                    yield f"{file.path}:{node.value.lineno}:", key


def _keys(file: File, value: ast.AST | None) -> Iterator[str | None]:
    """The string keys of a dict, string elements of a collection, or a string itself.

    Supported are literals, also joined by `|`, as the argument of a call and as a variable at the
    top level of the file, as well as `{x: ... for x in literal}` and
    `{x.name: x for x in (A, B)}`, where `name` is a string in the classes A and B of the file.
    """
    match value:
        case ast.Constant(str(key)):
            yield key
        case ast.Dict(elements) | ast.Tuple(elements) | ast.List(elements) | ast.Set(elements):
            for element in elements:
                yield from _keys(file, element)
        case ast.BinOp(left, ast.BitOr(), right):
            yield from itertools.chain(_keys(file, left), _keys(file, right))
        case ast.Call(ast.Name("dict"), [], keywords):
            yield from (keyword.arg for keyword in keywords)
        case ast.Call(_, [inner], []):
            yield from _keys(file, inner)
        case ast.Name(name) if file.top.get(name):
            yield from _keys(file, file.top.get(name))
        case ast.DictComp(ast.Name(key), _, [ast.comprehension(ast.Name(each), over)]):
            yield from _keys(file, over if key == each else None)
        case ast.DictComp(
            ast.Attribute(ast.Name(key), name),
            _,
            [ast.comprehension(ast.Name(each), ast.Tuple(classes))],
        ) if key == each:
            for of in classes:
                yield text_of(_class_value(file, of, name))
        case _:
            yield None


def _class_value(file: File, of: ast.AST, name: str) -> ast.AST | None:
    """The value that a class of a file assigns to a name."""
    for node in file.nodes:
        if isinstance(node, ast.ClassDef) and node.name == ast.unparse(of):
            for statement in node.body:
                if name in names_assigned(statement):
                    return statement.value
    return None


def _compared(node: ast.AST) -> Iterator[ast.AST]:
    """The expressions (strings or others) that a node compares."""
    displays = ast.Tuple | ast.List | ast.Set | ast.Dict
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        for left, operator, right in zip(sides, node.ops, sides[1:], strict=False):
            if isinstance(operator, ast.Eq | ast.NotEq | ast.Is | ast.IsNot):
                yield from (left, right)
            elif isinstance(operator, ast.In | ast.NotIn) and isinstance(right, displays):
                yield left
                yield from right.keys if isinstance(right, ast.Dict) else right.elts
    elif isinstance(node, ast.MatchValue):
        yield node.value
    elif isinstance(node, ast.Subscript) and isinstance(node.value, ast.Dict):
        yield from node.value.keys
    elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Dict):
        yield from node.value.keys  # {...}.get


# ---------------------------------------------------------------------------- 3. config fields


@rule
def check_fields(root: pathlib.Path) -> list[str]:
    """A config field is declared once: as a key of `FIELDS`, or of the `fields` of an entry.

    Both are literal dicts: `FIELDS = {"data.batch_size": ...}`, and `Entry(reads, {...})`,
    `Entry(fields={...})` or `fields = {...}` in the entry of a registry.
    """
    found, first = [], {}
    for file in files(root, ["motionalign"]):
        declared = itertools.chain.from_iterable(map(_declared, file.nodes))
        for key in sorted(declared, key=lambda key: key.lineno):
            earlier = first.setdefault(key.value, f"{file.path}:{key.lineno}")
            if earlier != f"{file.path}:{key.lineno}":
                found.append(file.at(key, f"{key.value!r} is declared in {earlier} already"))
    return found


def _declared(node: ast.AST) -> Iterator[ast.Constant]:
    """The names of the config fields that a node declares."""
    declarations = None
    names = (node.arg,) if isinstance(node, ast.keyword) else names_assigned(node)
    if "FIELDS" in names or "fields" in names:
        declarations = node.value
    elif isinstance(node, ast.Call) and called(node).endswith("Entry") and len(node.args) > 1:
        declarations = node.args[1]
    if isinstance(declarations, ast.Dict):
        yield from (key for key in declarations.keys if text_of(key) is not None)


# ---------------------------------------------------------------------------- 4. stored files

STORED = (
    "motionalign/checkpoints",
    "motionalign/config.py",
    "motionalign/data/dataset.py",
    "motionalign/data/records.py",
)

# (file, field) → reason why the field may be absent.
EXCUSED_GETS = {
    ("motionalign/checkpoints/shared.py", "model_type"): "asks whether a folder is ours at all",
}


@rule
def check_stored(root: pathlib.Path, excused: Mapping = EXCUSED_GETS) -> list[str]:
    """Code that reads stored files does not use `.get` for fields; only migrations do.

    Migrations are functions listed in a tuple MIGRATIONS, or named migrate... They convert older
    files to the current form, which has every field.
    """
    return [
        file.at(node, f".get({field!r}) of a stored file outside of a migration")
        for file in files(root, STORED)
        for node in file.nodes
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if node.func.attr == "get" and node.args and (field := text_of(node.args[0])) is not None
        if (file.path, field) not in excused
        if not _migrates(file, function_of(node) or "")
    ]


def _migrates(file: File, function: str) -> bool:
    listed = file.top.get("MIGRATIONS")
    names = {node.id for node in ast.walk(listed) if isinstance(node, ast.Name)} if listed else ()
    return function in names or function.lstrip("_").startswith("migrate")


# ---------------------------------------------------------------------------- 5. files, printing

WRITES = re.compile(
    r".*\.(write_text|write_bytes|savefig|tofile|savetxt|rename|symlink_to|hardlink_to)"
    r"|np\.save(z|z_compressed)?"
    r"|os\.(replace|rename|renames|link|symlink)"
    r"|shutil\.(move|copy|copy2|copyfile|copytree)"
    r"|(json|pickle|yaml)\.dump"
    r"|(.*\.)?save_file"
)
OPENS = re.compile(r"open|.*\.(open|fdopen)|(.*\.)?ZipFile")
MODE = re.compile(r"[rwaxbtU+]*[wax+][rwaxbtU+]*")

EXCUSED_WRITES = {
    "motionalign/files.py": "the only place that writes files",
    "data_prep/builders.py": "TFDS writes the records; complete datasets are swapped",
}


@rule
def check_writes(root: pathlib.Path, excused: Mapping = EXCUSED_WRITES) -> list[str]:
    """Files are written through motionalign/files.py.

    A library that needs a path to write to gets it from `with files.replacing(...)`.
    """
    return [
        file.at(node, f"{called(node)} writes; use motionalign/files.py")
        for file in files(root)
        if file.path not in excused
        for node in file.nodes
        if isinstance(node, ast.Call) and _writes(node) and not _replacing(node)
    ]


def _writes(node: ast.Call) -> bool:
    name = called(node)
    if name.startswith("files."):
        return False
    if OPENS.fullmatch(name):
        # The mode is open's second argument, and the first of a path's open.
        given = node.args[1:2] if name in ("open", "io.open", "os.fdopen") else node.args[:2]
        given += [keyword.value for keyword in node.keywords if keyword.arg == "mode"]
        return any(MODE.fullmatch(mode) for mode in map(text_of, given) if mode)
    return bool(WRITES.fullmatch(name))


def _replacing(node: ast.AST) -> bool:
    return any(
        isinstance(item.context_expr, ast.Call)
        and called(item.context_expr) in ("files.replacing", "replacing")
        for around in ancestors(node)
        if isinstance(around, ast.With)
        for item in around.items
    )


READS = re.compile(
    r".*\.(read_text|read_bytes)|np\.(load|fromfile|memmap|loadtxt|genfromtxt)"
    r"|(json|pickle|tomllib)\.load|(.*\.)?(safe_open|load_file|ZipFile)"
)

EXCUSED_READS = {
    "motionalign/reading.py": "the only place that reads files",
    "motionalign/files.py": "the holder of a lock, for a message",
    "motionalign/digests.py": "the SHA-256 of large files",
    "motionalign/data/records.py": "record by record, with their checksums",
    "motionalign/models/weights/source.py": "the SHA-256 of large files",
    "motionalign/checkpoints/published/convert.py": "the SHA-256 of a large file",
}


@rule
def check_reads(root: pathlib.Path, excused: Mapping = EXCUSED_READS) -> list[str]:
    """Files are read through motionalign/reading.py, whose errors name the file."""
    return [
        file.at(node, f"{called(node)} reads a file; use motionalign/reading.py")
        for file in files(root)
        if file.path not in excused
        for node in file.nodes
        if isinstance(node, ast.Call) and not _writes(node)
        if READS.fullmatch(called(node)) or OPENS.fullmatch(called(node))
        if not called(node).startswith(("reading.", "digests.", "os.", "webbrowser.", "Image."))
    ]


TEXTS = re.compile(r".*\.(read_text|write_text)|open|io\.open|os\.fdopen|.*\.open")
PROCESSES = re.compile(r"subprocess\.(run|Popen|check_output|call|check_call)")


@rule
def check_encodings(root: pathlib.Path) -> list[str]:
    """Text is read and written as UTF-8, or another encoding, by name; so is that of processes.

    Otherwise it would depend on the locale. `read_text("utf-8")` names it, and so does
    `write_text(text, "utf-8")`; `open` and `subprocess.run` take `encoding="utf-8"`.
    """
    return [
        file.at(node, f"{called(node)} without an encoding")
        for file in files(root, (*CODE, "benchmarks", "docs", "scripts"))
        for node in file.nodes
        if isinstance(node, ast.Call) and _is_text(node)
        if "encoding" not in {keyword.arg for keyword in node.keywords}
    ]


def _is_text(node: ast.Call) -> bool:
    """Whether a call reads or writes text and its positional arguments name no encoding."""
    name, given = called(node), [text_of(argument) for argument in node.args]
    ours = ("files.", "reading.", "digests.")
    if name.startswith((*ours, "archive.", "webbrowser.", "Image.", "os.open")):
        return False
    if PROCESSES.fullmatch(name):
        return any(keyword.arg in ("text", "universal_newlines") for keyword in node.keywords)
    if not TEXTS.fullmatch(name) or "utf-8" in given:
        return False
    if not name.endswith("open"):
        return True
    modes = [mode for mode in given[:2] if mode and re.fullmatch(r"[rwaxbt+]+", mode)]
    modes += [text_of(keyword.value) or "" for keyword in node.keywords if keyword.arg == "mode"]
    return not any("b" in mode for mode in modes)


# File of a command → its functions that may print; None: all of them.
PRINTING = {
    "motionalign/launch.py": None,
    "motionalign/commands.py": ("ending_cleanly",),  # what ends a command
    "motionalign/convert.py": None,
    "motionalign/cli.py": None,
    "data_prep/__main__.py": None,
    "data_prep/embed.py": ("run",),
    "data_prep/inspect.py": ("run", "_refuse"),
    "data_prep/show.py": ("run",),
    "data_prep/export_humanml3d.py": ("run",),
    "data_prep/captions/describe.py": ("run",),
}


@rule
def check_prints(root: pathlib.Path) -> list[str]:
    """Only commands print; other functions return their messages."""
    return [
        file.at(node, f"{called(node)} outside a command")
        for file in files(root)
        for node in file.nodes
        if isinstance(node, ast.Call)
        if called(node) in ("print", "pprint", "pprint.pprint", "stdout.write", ".write")
        if called(node) != ".write" or ast.unparse(node.func.value) in ("sys.stdout", "sys.stderr")
        if not _may_print(file.path, function_of(node))
    ]


def _may_print(path: str, function: str | None) -> bool:
    functions = PRINTING.get(path, ())
    return functions is None or function in functions


# ---------------------------------------------------------------------------- 6. functions

LONGEST = 60


@rule
def check_lengths(root: pathlib.Path) -> list[str]:
    """No function has more than LONGEST lines, without decorators; tables of data are exempt."""
    return [
        file.at(node, f"{node.name} has {lines} lines; at most {LONGEST}")
        for file in files(root, (*CODE, "benchmarks"))
        for node in file.nodes
        if isinstance(node, Function)
        if (lines := node.end_lineno - node.lineno + 1) > LONGEST and not is_table(node)
    ]


def is_table(function: ast.AST) -> bool:
    """Whether a function is a table of data: it only returns literal data.

    Apart from the docstring, its body is one return, or one assignment and the return of that name.
    The value consists of collections and calls, without operators, conditions and loops.
    """
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    match body:
        case [ast.Return(value)] if value:
            return _written_out(value)
        case [ast.Assign([ast.Name(name)], value), ast.Return(ast.Name(returned))]:
            return name == returned and _written_out(value)
    return False


def _written_out(value: ast.AST) -> bool:
    plain = (ast.Constant, ast.Name, ast.Attribute, ast.Starred, ast.keyword, ast.Call)
    plain += (ast.List, ast.Tuple, ast.Set, ast.Dict, ast.UnaryOp, ast.operator, ast.unaryop)
    return all(isinstance(node, (*plain, ast.expr_context)) for node in ast.walk(value))


# ---------------------------------------------------------------------------- 7. tests

# Folders in which every file is one entry of a kind, and the folder of its tests.
MIRRORED = {
    "motionalign/models": "tests/models",
    "motionalign/tasks": "tests/tasks",
    "motionalign/formats": "tests/formats",
    "motionalign/checkpoints/published": "tests/checkpoints/published",
    "data_prep/readers": "tests/data_prep/readers",
}

EXCUSED_TESTS = {
    "motionalign/models/family.py": "shared by families: covered by the tests of all encoders",
    "motionalign/models/families.py": "the registry: covered by the tests of all encoders",
    "motionalign/tasks/task.py": "the protocol: covered by the tests of all tasks",
    "motionalign/formats/format.py": "the protocol: covered by the tests of all formats",
    "motionalign/checkpoints/published/format.py": "covered by the tests of all formats",
    "motionalign/checkpoints/published/joints.py": "covered by test_walktext and test_gaitformer",
}


@rule
def check_tests(root: pathlib.Path, excused: Mapping = EXCUSED_TESTS) -> list[str]:
    """Every file in MIRRORED has a test file of its name there; a package may have a test folder.

    Files shared by all entries of a kind are exempt.
    """
    found = []
    for place, tests in MIRRORED.items():
        for path in sorted((root / place).glob("*")):
            package = (path / "__init__.py").is_file()
            source = path.relative_to(root).as_posix()
            if (path.suffix != ".py" and not package) or path.stem[0] == "_" or source in excused:
                continue
            test = f"{tests}/test_{path.stem}.py"
            if not (root / test).is_file() and not (
                package and (root / tests / path.name).is_dir()
            ):
                found.append(f"{source}:1: there is no {test}")
    return found
