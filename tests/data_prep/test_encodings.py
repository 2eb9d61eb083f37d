"""Texts and names of files are the same under every locale."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from bodies import body
from runs import ROOT

from motionalign.data.dataset import Dataset

C = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}


@pytest.fixture
def latin1(tmp_path):
    """The environment of a latin-1 locale, which is made for the test."""
    folder = tmp_path / "locales"
    folder.mkdir()
    if shutil.which("localedef") is None:
        pytest.skip("localedef is not installed")
    command = ["localedef", "-i", "en_US", "-f", "ISO-8859-1", str(folder / "en_US.ISO-8859-1")]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("the sources of locales are not installed")
    return {"LC_ALL": "en_US.ISO-8859-1", "LOCPATH": str(folder)}


@pytest.mark.parametrize("locale", ["C", pytest.param("latin1", marks=pytest.mark.slow)])
def test_preparation_under_another_locale(published, tmp_path, request, locale):
    names = ("läuft", "b", "c")
    for name in (*names, "v", "t"):
        split = {"v": "val", "t": "test"}.get(name, "train")
        np.save(published.motion(name), body(30))
        published.text(name).write_text(f"jemand läuft — {name}#x#0#0\n", "utf-8")
        with (published.folder / f"{split}.txt").open("a", encoding="utf-8") as file:
            file.write(f"{name}\n")
    rows = "id,tat\nläuft,läuft\nb,läuft\nc,sitzt\nv,läuft\nt,läuft\n"
    (published.folder / "labels.csv").write_text(rows, "utf-8")
    command = [
        *(sys.executable, "-m", "data_prep", "humanml3d", f"--raw_dir={published.folder}"),
        *("--name=mine", f"--data_dir={tmp_path / 'data'}"),
        *(f"--labels_csv={published.folder / 'labels.csv'}", "--label=tat", "--only=läuft"),
    ]
    setting = C if locale == "C" else request.getfixturevalue("latin1")
    environment = {key: value for key, value in os.environ.items() if key[:3] not in ("LC_", "LAN")}
    environment |= {**setting, "PYTHONUTF8": "0", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [part.encode() for part in command], env=environment, cwd=tmp_path, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()
    assert "records per class: läuft 4" in done.stdout.decode()
    dataset = Dataset(tmp_path / "data", "mine")
    assert dataset.metadata.label_names == ("läuft",)
    train = dataset.split("train")
    assert sorted(train.ids) == ["b", "läuft"]
    assert train.captions[train.ids.index("läuft")] == ["jemand läuft — läuft"]
    assert train[train.ids.index("läuft")]["captions"] == ["jemand läuft — läuft"]


def test_a_file_in_another_encoding_is_named_with_its_line(published):
    from data_prep.readers import InvalidClip
    from data_prep.readers.humanml3d import HumanML3D

    published.clip("a")
    published.text("a").write_bytes("jemand geht#x#0#0\njemand läuft#x#0#0\n".encode("latin-1"))
    with pytest.raises(
        InvalidClip, match=r"text_malformed: texts/a\.txt, line 2: byte 0xe4 .*iconv"
    ):
        HumanML3D(published.folder).captions("a")
    (published.folder / "train.txt").write_bytes("a\nläuft\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"train\.txt, line 2: byte 0xe4 is not UTF-8\. Save"):
        HumanML3D(published.folder).splits()
