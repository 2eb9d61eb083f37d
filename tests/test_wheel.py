"""The wheel: what is in it, and what a user can do who has installed it and has no clone."""

import configparser
import json
import os
import pathlib
import re
import subprocess
import sys
import sysconfig
import venv
import zipfile

import numpy as np
import pytest
from bodies import body
from runs import ROOT, TINY

import motionalign
from data_prep.__main__ import COMMANDS, READERS
from motionalign import cli, launch
from motionalign.checkpoints.published.registry import FORMATS


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> pathlib.Path:
    """The wheel of this source tree, built without network."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    files = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split("\0")  # fmt: skip
    for name in filter(None, files):
        if (ROOT / name).is_file():  # a deleted one is listed until it is committed
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", folder,
         source],
        check=True, capture_output=True,
    )  # fmt: skip
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(
    scope="module", params=["borrowed", pytest.param("downloaded", marks=pytest.mark.slow)]
)
def installed(request, wheel, tmp_path_factory) -> pathlib.Path:
    """The bin folder of an environment with the wheel in it, and nothing of the clone.

    Its dependencies are those of this environment, or downloaded, as a user's are.
    """
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    pip = [folder / "bin" / "python", "-m", "pip", "install", "-q"]
    if request.param == "borrowed":
        # As a path entry, so that an editable install of the clone there stays unseen.
        (site,) = folder.glob("lib/python*/site-packages")
        (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
        subprocess.run([*pip, "--no-deps", "--no-index", wheel], check=True)
    else:
        subprocess.run([*pip, f"{wheel}[prep]"], check=True)
    return folder / "bin"


def test_what_is_in_it(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names}
    info = f"motionalign-{motionalign.__version__}.dist-info"
    assert tops == {"motionalign", "data_prep", info}
    for package in ("motionalign", "data_prep"):
        files = {
            path.relative_to(ROOT).as_posix()
            for path in (ROOT / package).rglob("*")
            if path.suffix in (".py", ".json", ".typed")
        }
        assert files <= set(names), sorted(files - set(names))
    entry_points = configparser.ConfigParser()
    entry_points.read_string(zipfile.ZipFile(wheel).read(f"{info}/entry_points.txt").decode())
    assert dict(entry_points["console_scripts"]) == {"motionalign": "motionalign.cli:main"}
    metadata = zipfile.ZipFile(wheel).read(f"{info}/METADATA").decode()
    required = re.findall("^Requires-Dist: (.*)$", metadata, re.MULTILINE)
    always = [line for line in required if "extra ==" not in line]
    for heavy in ("torch", "tensorflow<", "tensorflow-cpu", "openai", "wandb"):
        assert not any(re.match(rf"{heavy}\b", line) for line in always), heavy
    assert any(line.startswith("tensorflow-cpu") and '"prep"' in line for line in required)


def test_one_version():
    assert "version" not in (ROOT / "pyproject.toml").read_text().partition("dynamic")[0]


def test_an_installed_user(installed, minilm, tmp_path):
    """From data preparation to search, in a folder of their own."""

    def run(*command) -> str:
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        environment["XLA_FLAGS"] = ""
        command = (installed / command[0], *command[1:])
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    where = run("python", "-c", "import motionalign, data_prep; print(motionalign.__file__)")
    assert str(installed.parent) in where
    assert str(ROOT) not in where
    assert run("motionalign", "--version") == f"motionalign {motionalign.__version__}\n"
    assert "motionalign train --config=configs/quickstart.py" in run("motionalign")

    printed = run("motionalign", "data_prep", "synthetic", "--num_clips=60")
    (train,) = re.findall(r"^  python -m (motionalign train .*)$", printed, re.MULTILINE)
    (show,) = re.findall(r"^  python -m (data_prep show .*)$", printed, re.MULTILINE)
    run("python", "-m", *show.split())
    run("python", "-m", "data_prep", "embed", "--name=synthetic", f"--encoder={minilm}")
    # Padding as in the published code, for which the model is exported.
    # Padding as in the published code, for which the model is exported.
    tiny = {**TINY, "epochs": 1, "model.motion.padding": "attend", "data.frame_bucket": 32}
    tiny = [f"--config.{name}={value}" for name, value in tiny.items() if name != "data.datasets"]
    assert "text → motion" in run("python", "-m", *train.split(), *tiny)
    assert "text → motion" in run("motionalign", "eval", "--checkpoint=runs/quickstart")

    (tmp_path / "clips").mkdir()
    np.save(tmp_path / "clips" / "a.npy", body(40))
    flags = ("--checkpoint=runs/quickstart", "--input=clips", "--output=clips.npz")
    assert "1 clips at 20 fps" in run("motionalign", "encode", *flags)
    run("motionalign", "convert", "share", "runs/quickstart", "shared")
    run("motionalign", "convert", "export", "runs/quickstart", "exported")
    found = run(
        "python",
        "-c",
        "import motionalign, sys; model = motionalign.load('shared');"
        "print(model.encode_text('a person walks').shape);"
        "print([name for name in ('tensorflow', 'torch', 'transformers') if name in sys.modules])",
    )
    assert found.splitlines() == ["(8,)", "[]"]
    metrics = json.loads((tmp_path / "runs" / "quickstart" / "metrics.json").read_text())
    assert metrics["dataset"] == "synthetic"


# What is told to users ---------------------------------------------------------------------------

SOURCES = [
    *(path for top in ("motionalign", "data_prep") for path in (ROOT / top).rglob("*.py")),
    ROOT / "README.md",
]


def told(pattern: str) -> set[str]:
    """What the first group of a pattern finds in all that an installed user may read."""
    return {found for path in SOURCES for found in re.findall(pattern, path.read_text("utf-8"))}


def test_every_command_that_users_are_told_of_exists():
    prepare = {reader.name for reader in READERS} | {name for name, _ in COMMANDS}
    convert = {*FORMATS, "adapters", "export", "share", "push"}
    found = told(r"(?:python -m|motionalign) data_prep ([a-z][a-z_0-9]*)(?= +--|`|\n)")
    assert {"synthetic", "embed", "show"} <= found <= prepare
    found = told(r"motionalign[. ]convert (?!import)([a-z]+) ")
    assert {"export", "share"} <= found <= convert
    found = told(r"(?<!/)\bmotionalign (train|eval|encode|[a-z_]+) --")
    assert "train" in found
    assert found <= set(cli.COMMANDS)


def test_every_config_that_users_are_told_of_is_installed():
    found = told(r"configs/([a-z_0-9]+)\.py")
    assert {"quickstart", "finetune", "humanml3d_vit"} <= found
    assert not {name for name in found if not (launch.CONFIGS / f"{name}.py").is_file()}
