"""The rules of the source tree, as functions from its root to the violations that it has.

Each check reads the files under a root without importing them, and returns a list of
"file:line: what is wrong", with the file relative to the root. docs/structure.md states the rules;
tests/test_rules.py applies them to this repository, and to small trees that break them.

A place that a rule has to let through is in that rule's `EXCUSED_...` with the reason. One that is
no longer needed fails the tests too.
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
    """A check whose violations are sorted by file and line, each once."""

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
      nodes: All of its syntax tree, from the top down.
      top: The names that it assigns to at its top, with their values.
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
    """The source files of folders, or of single files, under `root`; absent ones are passed by."""
    for place in places:
        path = root / place
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            if file.is_file():
                yield File(file.relative_to(root).as_posix(), *_read(file.read_text("utf-8")))


def within(path: str, places: Iterable[str]) -> bool:
    """Whether a file is one of `places`, or in one that ends with a slash."""
    return any(path == place or (place[-1] == "/" and path.startswith(place)) for place in places)


def function_of(node: ast.AST) -> str | None:
    """The name of the outermost function or method around a node; None at the top of a file."""
    names = [a.name for a in ancestors(node) if isinstance(a, Function)]
    return names[-1] if names else None


def text_of(node: ast.AST | None) -> str | None:
    """The string that a node is, where it is one."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def called(node: ast.Call) -> str:
    """What is called, as the code has it: "open", "np.savez", ".write_text" of anything else."""
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
    """Imports run down the floors of the tree; boxes of the first floor are apart."""
    found = []
    for line in imports(root):
        if line.module == FACE:
            if not line.lazy and line.target.partition(".")[0] in _TOPS:
                found.append(f"{_at(line)}: the package's face imports inside functions only")
            continue
        if line.target == FACE:
            if not set(line.names) <= {"__version__"} or not line.names:
                found.append(f"{_at(line)}: of the package's face only __version__ is free")
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
    """No file imports itself by way of others, inside functions or not."""
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


# What may import packages that are slow, large or not always there.
GUARDED = {
    "tensorflow": ("data_prep/",),
    "tensorflow_datasets": ("data_prep/", "motionalign/data/records.py"),
    "torch": ("motionalign/checkpoints/published/torch_files.py",),
    "transformers": ("motionalign/models/weights/vocabulary.py",),
}


@rule
def check_guarded(root: pathlib.Path) -> list[str]:
    """TensorFlow, torch and transformers are imported where GUARDED says, and nowhere else."""
    return [
        f"{_at(line)}: only in {' and '.join(places) or 'tests and benchmarks'}"
        for line in imports(root)
        for package, places in GUARDED.items()
        if line.target.partition(".")[0] == package and not within(line.path, places)
    ]


# ---------------------------------------------------------------------------- 2. registries

# A registry's file, or the folder of its entries, and its name there: a dict by the entries' names,
# or one such name. `variants` of a family are further names that its one file stands for.
REGISTRIES = (
    ("motionalign/models/families.py", "MOTION_FAMILIES"),
    ("motionalign/models/families.py", "TEXT_FAMILIES"),
    ("motionalign/models/families.py", "FROZEN"),
    ("motionalign/models", "variants"),
    ("motionalign/tasks/registry.py", "TASKS"),
    ("motionalign/tasks/objectives.py", "OBJECTIVES"),
    ("motionalign/data/representation.py", "REPRESENTATIONS"),
)

# (file, name) → why it may be compared there.
EXCUSED_NAMES: dict[tuple[str, str], str] = {}


def missing_registries(root: pathlib.Path) -> list[str]:
    """Those of REGISTRIES that are not there."""
    return [f"{path}: {name}" for path, name in REGISTRIES if not [*_entries(root, path, name)]]


@rule
def check_names(root: pathlib.Path, excused: Mapping = EXCUSED_NAMES) -> list[str]:
    """The names of registry entries are compared with strings in their registry only.

    A comparison is `==`, `!=`, `in` and `not in` of a written-out collection, a `case`, and the
    look-up in a dict that is written out in place. `"labels" in record` asks for a field, and is
    none.
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
            if _migrates(file, function_of(node) or ""):  # names that old files have
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
    """("file:line:", key) of a registry's entries; None for a key that cannot be read."""
    for file in files(root, [path]):
        for node in file.nodes:
            if (name in names_assigned(node) and isinstance(node.parent, ast.Module)) or (
                isinstance(node, ast.keyword) and node.arg == name
            ):
                for key in _keys(file, node.value):
                    yield f"{file.path}:{node.value.lineno}:", key


def _keys(file: File, value: ast.AST | None) -> Iterator[str | None]:
    """The strings that a dict has as keys, or a collection as elements, or that a string is.

    Read are displays, also joined by `|`, as the argument of a call and under a name at the top of
    the file, and `{x: ... for x in display}` and `{x.name: x for x in (A, B)}` with `name` a string
    in the classes A and B of the file.
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
    """The value that a class of a file gives to a name."""
    for node in file.nodes:
        if isinstance(node, ast.ClassDef) and node.name == ast.unparse(of):
            for statement in node.body:
                if name in names_assigned(statement):
                    return statement.value
    return None


def _compared(node: ast.AST) -> Iterator[ast.AST]:
    """The expressions, strings or not, that a node compares something with."""
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
    """A config field is declared once: a key of a dict `FIELDS`, or of an entry's `fields`.

    Either is written out as a dict: `FIELDS = {"data.batch_size": ...}`, and of an entry of a
    registry `Entry(reads, {...})`, `Entry(fields={...})` or `fields = {...}`.
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
    """The names of the fields that a node declares."""
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

# (file, field) → why it may be absent there.
EXCUSED_GETS = {
    ("motionalign/checkpoints/shared.py", "model_type"): "asks whether a folder is ours at all",
}


@rule
def check_stored(root: pathlib.Path, excused: Mapping = EXCUSED_GETS) -> list[str]:
    """What reads stored files takes no field by `.get`: only migrations do.

    They are functions that a tuple MIGRATIONS lists, or that are called migrate... An older file is
    brought to today's form by them, and has every field then.
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
    "motionalign/files.py": "the one place",
    "data_prep/builders.py": "TFDS writes the records; whole datasets are swapped",
}


@rule
def check_writes(root: pathlib.Path, excused: Mapping = EXCUSED_WRITES) -> list[str]:
    """Files are written through motionalign/files.py.

    A library that wants a path to write to gets it from `with files.replacing(...)`.
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


# A command's file → its functions that may print; None: all.
PRINTING = {
    "motionalign/launch.py": None,
    "motionalign/commands.py": ("ending_cleanly",),  # what ends a command
    "motionalign/convert.py": None,
    "motionalign/cli.py": None,
    "data_prep/__main__.py": None,
    "data_prep/embed.py": ("run",),
    "data_prep/show.py": ("run",),
    "data_prep/captions/describe.py": ("run",),
}


@rule
def check_prints(root: pathlib.Path) -> list[str]:
    """Only commands print; what else has something to say returns it."""
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
    """No function has more than LONGEST lines, its decorators not counted, but tables of data."""
    return [
        file.at(node, f"{node.name} has {lines} lines; at most {LONGEST}")
        for file in files(root, (*CODE, "benchmarks"))
        for node in file.nodes
        if isinstance(node, Function)
        if (lines := node.end_lineno - node.lineno + 1) > LONGEST and not is_table(node)
    ]


def is_table(function: ast.AST) -> bool:
    """Whether a function is a table of data: all it does is return what is written out there.

    Its body, but for the docstring, is one return, or one assignment and the return of that name,
    of collections and calls of names with such, without operators, conditions and loops.
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

# Where one more of a kind is one more file, and where its test is.
MIRRORED = {
    "motionalign/models": "tests/models",
    "motionalign/tasks": "tests/tasks",
    "motionalign/formats": "tests/formats",
    "motionalign/checkpoints/published": "tests/checkpoints/published",
    "data_prep/readers": "tests/data_prep/readers",
}

EXCUSED_TESTS = {
    "motionalign/models/family.py": "what families have in common: every encoder's test",
    "motionalign/models/families.py": "the registry: every encoder's test",
    "motionalign/tasks/task.py": "the protocol: every task's test",
    "motionalign/checkpoints/published/format.py": "every format's test",
    "motionalign/checkpoints/published/joints.py": "test_walktext and test_gaitformer",
}


@rule
def check_tests(root: pathlib.Path, excused: Mapping = EXCUSED_TESTS) -> list[str]:
    """A file of MIRRORED has a test of its name in the mirrored place; of a package also a folder.

    Excused are those that are not one of a kind but what the kind has in common.
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
