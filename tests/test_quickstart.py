"""The README's main job on the built-in dataset, as a user runs it: minutes, so marked slow."""

import json
import re
import shlex
import subprocess
import sys

import pytest
from runs import ROOT


def readme_commands() -> list[str]:
    """The lines of the README's first bash block after the one that installs."""
    first = re.search(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    install, *commands = first[1].strip().split("\n")
    assert "pip install" in install
    return commands


@pytest.mark.slow
def test_the_main_job_learns(tmp_path):
    """Text to motion R@3 of 50 or more over at least 300 distinct captions, where chance is 1."""
    prepare, train = readme_commands()
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "JAX_PLATFORMS": "cpu"}
    for command, *flags in (
        (prepare, f"--data_dir={tmp_path}/data"),
        (train, f"--config.data.data_dir={tmp_path}/data", f"--workdir={tmp_path}/run"),
    ):
        python, *arguments = shlex.split(command)
        assert python == "python"
        subprocess.run([sys.executable, *arguments, *flags], cwd=ROOT, env=environment, check=True)
    results = json.loads((tmp_path / "run" / "metrics.json").read_text())["all"]
    distinct = int(re.search(r"\((\d+) distinct captions\)", results["note"])[1])
    assert distinct >= 300
    assert results["t2m"]["R@3"] >= 50
    page = tmp_path / "run" / "evaluation" / "synthetic-test" / "index.html"
    assert page.is_file()
