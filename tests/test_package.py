"""The metadata that `pip install .` reads."""

import shutil
import subprocess
import sys

from runs import ROOT


def test_metadata_builds(tmp_path):
    for name in (
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "requirements.txt",
        "requirements-dev.txt",
    ):
        shutil.copy(ROOT / name, tmp_path)
    for folder in ("motionalign/models", "out"):
        (tmp_path / folder).mkdir(parents=True)
    shutil.copy(ROOT / "motionalign/__init__.py", tmp_path / "motionalign")  # has the version
    code = "import setuptools.build_meta as b; print(b.prepare_metadata_for_build_wheel('out'))"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    (metadata,) = tmp_path.glob("out/*.dist-info/METADATA")
    required = [line for line in metadata.read_text().split("\n") if line.startswith("Requires-")]
    assert "Requires-Python: <3.14,>=3.11" in required
    assert any("jax" in line for line in required)
