"""The rules of docs/structure.md: this repository keeps them, and what breaks one is found."""

import os
import pathlib
import subprocess
import sys
import textwrap

import draw_imports
import pytest
import rules

ROOT = pathlib.Path(__file__).resolve().parents[1]
CHECKS = sorted(name for name in vars(rules) if name.startswith("check_"))


def write(root: pathlib.Path, tree: dict[str, str]) -> pathlib.Path:
    """A source tree of these files."""
    for path, source in tree.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(textwrap.dedent(source), "utf-8")
    return root


@pytest.mark.parametrize("check", CHECKS)
def test_the_repository_keeps_the_rule(check):
    assert getattr(rules, check)(ROOT) == []


# check → trees with the "file:line" of each violation, and a part of the first message.
BROKEN = {
    "check_floors": [
        (
            {
                "motionalign/data/batches.py": """\
                    import numpy as np
                    from motionalign.models import vit
                """,
                "motionalign/models/vit.py": "from motionalign.data import batches\n",
            },
            ["motionalign/data/batches.py:2"],
            "runs up from motionalign.data to motionalign.models",
        ),
        (
            {
                "motionalign/report/page.py": """\
                    def page():
                        from ..metrics import ndcg_at_k
                        from ..tasks import captions
                """,
                "motionalign/metrics.py": "from motionalign import files\n",
                "motionalign/tasks/captions.py": "",
                "motionalign/files.py": "",
            },
            ["motionalign/report/page.py:3"],
            "import of motionalign.tasks.captions runs up",
        ),
        (
            {
                "motionalign/convert.py": """\
                    import motionalign.configs.common, data_prep.mirror
                """,
                "motionalign/configs/common.py": "",
                "data_prep/mirror.py": "import motionalign.configs\n",
                "data_prep/survey.py": "from data_prep import mirror\n",
            },
            ["data_prep/mirror.py:1", "motionalign/convert.py:1", "motionalign/convert.py:1"],
            "runs across, from data_prep to motionalign.configs",
        ),
        (
            {
                "motionalign/train.py": "import importlib\nimportlib.import_module('launch')\n",
                "launch.py": "from motionalign import train\n",
            },
            ["motionalign/train.py:2"],
            "runs up from motionalign.train to launch",
        ),
        (
            {"motionalign/utils.py": "", "motionalign/train.py": "from motionalign import utils\n"},
            ["motionalign/train.py:1"],
            "motionalign.utils has no floor",
        ),
        (
            {
                "motionalign/__init__.py": """\
                    from motionalign.inference import model
                    if TYPE_CHECKING:
                        from motionalign.inference.model import Model
                    def load(path):
                        from motionalign.inference import model
                """,
                "motionalign/inference/model.py": "from motionalign import __version__\n",
                "motionalign/tasks/captions.py": "from motionalign import load\n",
            },
            ["motionalign/__init__.py:1", "motionalign/tasks/captions.py:1"],
            "inside functions only",
        ),
    ],
    "check_circles": [
        (
            {
                "motionalign/data/a.py": "from motionalign.data import b\n",
                "motionalign/data/b.py": "from motionalign.data.c import x\nimport json\n",
                "motionalign/data/c.py": "def x():\n    from motionalign.data.a import y\n",
                "motionalign/data/d.py": "from motionalign.data import a, b, c\n",
            },
            ["motionalign/data/c.py:2"],
            "motionalign.data.a → motionalign.data.b → motionalign.data.c → motionalign.data.a",
        ),
    ],
    "check_guarded": [
        (
            {
                "data_prep/builders.py": "import tensorflow as tf, tensorflow_datasets as tfds\n",
                "motionalign/data/records.py": """\
                    from tensorflow_datasets import features
                    import tensorflow.io
                """,
                "motionalign/checkpoints/published/torch_files.py": "import torch\n",
                "motionalign/checkpoints/run.py": "def f():\n    from torch import nn\n",
                "motionalign/data/tokenizer.py": "from transformers import AutoTokenizer\n",
            },
            [
                "motionalign/checkpoints/run.py:2",
                "motionalign/data/records.py:2",
                "motionalign/data/tokenizer.py:1",
            ],
            "import of torch: only in motionalign/checkpoints/published/torch_files.py",
        ),
    ],
    "check_names": [
        (
            {
                "motionalign/tasks/registry.py": """\
                    TASKS = {"captions": 1, "labels": 2}
                    def default(config):
                        return config.task == "captions"
                """,
                "motionalign/tasks/objectives.py": """\
                    MSE = "mse"
                    OBJECTIVES: dict = MappingProxyType({MSE: 1} | dict(triplet=2))
                """,
                "motionalign/train.py": """\
                    MSE = "mse"
                    if config.task == "captions" or "labels" in batch or name == "title":
                        pass
                    if kind not in (MSE, "triplet") or kind in TASKS:
                        pass
                    match task:
                        case "labels" | "other":
                            pass
                    loss = {"mse": 1}[kind] + {"triplet": 3}.get(kind) + {"triplet": 3}
                """,
            },
            [f"motionalign/train.py:{line}" for line in (2, 4, 4, 7, 9, 9)],
            "'captions' is compared; ask motionalign/tasks/registry.py",
        ),
        (
            {
                "motionalign/models/gait.py": """\
                    KINDS = {"gaitformer": 1, "actor": 2}
                    FAMILY = Family(variants={kind: Variant(kind) for kind in KINDS})
                    mine = kind == "actor"
                """,
                "motionalign/data/representation.py": """\
                    class Patches:
                        field: str = "patches"
                    class Joints:
                        field = "joints"
                    REPRESENTATIONS = {each.field: each for each in (Patches, Joints)}
                """,
                "motionalign/models/families.py": 'FROZEN = "frozen"\n',
                "motionalign/train.py": """\
                    if kind == "actor" or field != "joints" or FROZEN == family != "frozen":
                        pass
                """,
                "motionalign/tasks/registry.py": """\
                    TASKS = {task.name: task for task in all_tasks()}
                """,
            },
            ["motionalign/tasks/registry.py:1", *["motionalign/train.py:1"] * 3],
            "a key of TASKS that cannot be read",
        ),
    ],
    "check_fields": [
        (
            {
                "motionalign/config.py": """\
                    FIELDS = {
                        "seed": Field(0, meaning={"seed": "inside"}),
                        "data.batch_size": Field(128),
                    }
                """,
                "motionalign/tasks/objectives.py": """\
                    OBJECTIVES = {"triplet": Entry(("seed",), {"loss.margin": Field(1.0)})}
                    class Mse:
                        entry = Entry(fields={"data.batch_size": Field(64)})
                    class Classify:
                        fields: Fields = {"loss.margin": Field(2.0)}
                """,
            },
            ["motionalign/tasks/objectives.py:3", "motionalign/tasks/objectives.py:5"],
            "'data.batch_size' is declared in motionalign/config.py:3 already",
        ),
    ],
    "check_stored": [
        (
            {
                "motionalign/config.py": """\
                    def migrate(config):
                        return config.get("version", 0)
                    def _name_the_task(config):
                        return config.get("task", "captions")
                    def name_of(config):
                        return config.get("name")
                    MIGRATIONS: tuple = (_name_the_task,)
                """,
                "motionalign/data/dataset.py": """\
                    def from_json(values, name):
                        return values.get("labels", ()), values.get(name), values["skeleton"]
                """,
                "motionalign/train.py": 'scalars.get("loss")\n',
            },
            ["motionalign/config.py:6", "motionalign/data/dataset.py:2"],
            ".get('name') of a stored file",
        ),
    ],
    "check_writes": [
        (
            {
                "motionalign/files.py": "os.replace(partial, path)\n",
                "motionalign/train.py": """\
                    from motionalign import files
                    path.write_text("x")
                    (folder / "a").write_bytes(b"x")
                    open(path, "w"); open(path); open("w"); path.open("a"); path.open("rb")
                    gzip.open(path, mode="xt"); zipfile.ZipFile(path, "w"); path.open(encoding="a")
                    np.savez(path, a=1); np.save(path, a); json.dump(x, file); json.dumps(x)
                    os.replace(a, b); a.rename(b); shutil.move(a, b); text.replace("a", "b")
                    files.write_text(path, "x")
                    with files.replacing(path) as partial:
                        figure.savefig(partial)
                    figure.savefig(path)
                """,
            },
            [
                f"motionalign/train.py:{line}"
                for line in (2, 3, 4, 4, 5, 5, 6, 6, 6, 7, 7, 7, 11)
            ],
            "path.write_text writes; use motionalign/files.py",
        ),
    ],
    "check_reads": [
        (
            {
                "motionalign/reading.py": "def text(path):\n    return path.read_text('utf-8')\n",
                "motionalign/train.py": """\
                    value = np.load(path, allow_pickle=False)
                    text = path.read_text("utf-8")
                    with open(path, "rb") as file, path.open() as other:
                        json.load(file)
                    reading.read_text(path)
                    files.write_text(path, json.dumps(value))
                    open(path, "w")
                """,
            },
            [f"motionalign/train.py:{line}" for line in (1, 2, 3, 3, 4)],
            "np.load reads a file; use motionalign/reading.py",
        ),
    ],
    "check_encodings": [
        (
            {
                "data_prep/a.py": """\
                    path.read_text()
                    path.write_text("text")
                    open(path)
                    path.open("w")
                    subprocess.run(command, text=True)
                    path.read_text("utf-8")
                    path.write_text("text", encoding="utf-8")
                    open(path, "rb")
                    path.open("rb")
                    open(path, encoding="utf-8")
                    subprocess.run(command, encoding="utf-8", text=True)
                    subprocess.run(command)
                """,
                "benchmarks/b.py": "path.read_text()\n",
            },
            ["benchmarks/b.py:1", *(f"data_prep/a.py:{line}" for line in (1, 2, 3, 4, 5))],
            "path.read_text without an encoding",
        ),
    ],
    "check_prints": [
        (
            {
                "motionalign/launch.py": "print('trained')\n",
                "data_prep/show.py": """\
                    def run(args):
                        print("wrote")
                    def page():
                        print("a page")
                """,
                "motionalign/train.py": """\
                    import sys
                    def train():
                        print("epoch")
                        sys.stdout.write("epoch")
                        file.write("epoch")
                """,
            },
            ["data_prep/show.py:4", "motionalign/train.py:3", "motionalign/train.py:4"],
            "print outside a command",
        ),
    ],
    "check_lengths": [
        (
            {
                "motionalign/a.py": "def f():\n" + "    x = 1\n" * 59 + "@decorated\n" * 9
                + "def g():\n" + "    x = 1\n" * 60
                + "class A:\n    async def h(self):\n" + "        x = 1\n" * 60,
                "benchmarks/b.py": "def table():\n    'Data.'\n    return [\n"
                + "        Row('a', -1, b=(2, 3)),\n" * 60 + "    ]\n"
                + "def work():\n    return [\n" + "        Row(x) if x else y,\n" * 60 + "    ]\n",
            },
            ["benchmarks/b.py:65", "motionalign/a.py:70", "motionalign/a.py:132"],
            "work has 63 lines; at most 60",
        ),
    ],
    "check_tests": [
        (
            {
                "motionalign/models/vit.py": "",
                "motionalign/models/families.py": "",  # excused
                "motionalign/models/__init__.py": "",
                "motionalign/models/gpt.py": "",
                "data_prep/readers/synthetic/__init__.py": "",
                "data_prep/readers/bvh/__init__.py": "",
                "data_prep/readers/notes/more.txt": "",
                "tests/models/test_vit.py": "",
                "tests/data_prep/readers/test_synthetic.py": "",
            },
            ["data_prep/readers/bvh:1", "motionalign/models/gpt.py:1"],
            "there is no tests/data_prep/readers/test_bvh.py",
        ),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("check", "tree", "places", "said"),
    [(check, *case) for check, cases in BROKEN.items() for case in cases],
)
def test_a_violation_is_found(tmp_path, check, tree, places, said):
    found = getattr(rules, check)(write(tmp_path, tree))
    assert [violation.split(": ")[0] for violation in found] == places
    assert said in found[0]


def test_every_rule_has_a_case_that_breaks_it():
    assert sorted(BROKEN) == CHECKS


@pytest.mark.parametrize(
    "check", ["check_names", "check_stored", "check_reads", "check_writes", "check_tests"]
)
def test_every_exception_is_needed(check):
    """Exceptions that are no longer needed must be removed."""
    check = getattr(rules, check)
    (excused,) = check.__wrapped__.__defaults__
    found = check(ROOT, {})
    for place in excused:
        path, *name = [place] if isinstance(place, str) else place
        assert any(
            line.startswith(f"{path}:") and all(repr(word) in line for word in name)
            for line in found
        ), f"{place} needs no excuse"


def test_every_registry_is_found():
    """Comparisons with the names of a registry that moved would go unnoticed."""
    assert rules.missing_registries(ROOT) == []


def test_the_drawing_matches_the_code():
    """Byte for byte, for any order of sets. `python docs/draw_imports.py` redraws it."""
    command = [sys.executable, str(ROOT / "docs" / "draw_imports.py"), "--check"]
    environment = os.environ | {"PYTHONHASHSEED": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_drawing_of_a_small_tree(tmp_path):
    tree = {
        "launch.py": '"""Trains <models>."""\nfrom motionalign import train\n',
        "motionalign/__init__.py": "",
        "motionalign/train.py": "from motionalign.models import vit\nimport motionalign.files\n",
        "motionalign/models/__init__.py": "",
        "motionalign/models/vit.py": "from motionalign import files\n",
        "motionalign/files.py": "",
    }
    drawn = draw_imports.drawing(write(tmp_path, tree))
    assert "Trains &lt;models&gt;." in drawn
    assert drawn.count("<circle") == 4  # launch → train → models → files, train → files
    assert draw_imports.WRONG not in drawn

    write(tmp_path, {"motionalign/files.py": "from motionalign.models import vit\n"})
    drawn = draw_imports.drawing(tmp_path)
    assert drawn.count("<circle") == 5
    assert draw_imports.WRONG in drawn
