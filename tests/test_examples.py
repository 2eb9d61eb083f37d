"""The notebooks of examples/, executed with small settings."""

import base64
import os
import re

import pytest
from runs import ROOT, TINY

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")

NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))


def read(path):
    return nbformat.read(path, as_version=4)


def parameters(notebook):
    """The cell of the parameters; there is one."""
    (cell,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ()))
    return cell


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_outputs(path):
    notebook = read(path)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None
    assert parameters(notebook)


def test_the_search_notebook_runs(tmp_path, monkeypatch):
    notebook = read(ROOT / "examples" / "search.ipynb")
    names = re.findall(r"^(\w+) =", parameters(notebook).source, re.MULTILINE)
    small = {name: value for name, value in TINY.items() if name not in ("data.datasets", "epochs")}
    given = {"num_clips": 60, "epochs": 1, "overrides": small}
    assert set(given) < set(names)
    parameters(notebook).source += "".join(f"\n{name} = {value!r}" for name, value in given.items())

    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    one_device = re.sub("device_count=[0-9]+", "device_count=1", os.environ["XLA_FLAGS"])
    monkeypatch.setenv("XLA_FLAGS", one_device)
    monkeypatch.setenv("PIP_NO_INDEX", "1")  # everything is installed
    client = nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    )
    try:
        client.execute()
    finally:
        for cell in notebook.cells:  # shown where it fails
            for output in cell.get("outputs", ()):
                print(output.get("text", output.get("ename", "")))

    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert not [output for output in outputs if output.output_type == "error"]
    printed = "".join(output.text for output in outputs if output.output_type == "stream")
    assert "text → motion" in printed and "3 clips at 20 fps" in printed
    data = [output.data for output in outputs if "data" in output]
    pictures = [base64.b64decode(each["image/png"]) for each in data if "image/png" in each]
    assert len(pictures) == 9 and all(p.startswith(b"\x89PNG") for p in pictures)
    said = [each["text/markdown"] for each in data if "text/markdown" in each]
    assert said[0] == "### a person waves with the left hand"
    assert re.fullmatch(r"\*\*-?\d\.\d\d\*\* · clip synthetic-\d+: \*.*\*", said[1])
    assert re.fullmatch(r"\*\*-?\d\.\d\d\*\* · take-\d{3}", said[-1])
    assert (tmp_path / "runs/search/evaluation/synthetic-test/index.html").is_file()
