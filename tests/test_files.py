"""Files and folders are written atomically."""

import csv
import json

import numpy as np
import pytest

from motionalign import files


def test_written_files_read_back(tmp_path):
    files.write_text(tmp_path / "new" / "a.txt", "→\n")
    assert (tmp_path / "new" / "a.txt").read_bytes() == "→\n".encode()
    files.write_bytes(tmp_path / "b", b"\0")
    assert (tmp_path / "b").read_bytes() == b"\0"
    files.write_json(tmp_path / "c.json", {"ä": [1]})
    assert json.loads((tmp_path / "c.json").read_text("utf-8")) == {"ä": [1]}
    files.write_arrays(tmp_path / "d.npz", {"x": np.arange(3)})
    with np.load(tmp_path / "d.npz") as arrays:
        np.testing.assert_array_equal(arrays["x"], [0, 1, 2])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "c.json", "d.npz", "new"]


def test_csv_cells_are_read_back_as_they_were(tmp_path):
    head = ["id", "caption, first", "score"]
    rows = [
        ["a", 'a person says "hello", waves,\nand läuft → fort', 0.5],
        ["b", "'; \r\n\ttab", -1.25],
        ["", '"', 3],
    ]
    path = tmp_path / "new" / "a.csv"
    files.write_csv(path, head, iter(rows))
    with path.open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [head, *([*map(str, row)] for row in rows)]
    text = path.read_bytes()
    assert text.startswith(b'id,"caption, first",score\na,"a person says ""hello"", waves,\nand l')
    with pytest.raises(ZeroDivisionError):
        files.write_csv(path, head, ([1 / 0] for _ in rows))
    assert path.read_bytes() == text and [p.name for p in path.parent.iterdir()] == ["a.csv"]


def test_a_failure_keeps_the_previous_file(tmp_path):
    path = tmp_path / "a.npz"
    path.write_text("before")
    with pytest.raises(KeyboardInterrupt), files.replacing(path) as partial:
        assert partial.suffix == ".npz"
        partial.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_leftovers_of_a_killed_process_are_replaced(tmp_path):
    with pytest.raises(StopIteration), files.replacing(tmp_path / "a") as partial:
        left = partial
        raise StopIteration
    left.write_text("left by a kill")
    files.write_text(tmp_path / "a", "whole")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_lines(tmp_path):
    path = tmp_path / "log"
    path.write_text("1\n2\n3\n")
    file = files.open_lines(path, ["1", "2"])
    file.write("4\n")
    assert path.read_text() == "1\n2\n4\n"  # on disk before the file is closed
    file.close()


def test_a_folder(tmp_path):
    with files.new_folder(tmp_path / "x") as folder:
        (folder / "a").touch()
        assert not (tmp_path / "x").exists()
    assert (tmp_path / "x" / "a").is_file()
    with pytest.raises(ValueError, match="already exists"), files.new_folder(tmp_path / "x"):
        pass
    with pytest.raises(OSError, match="disk full"), files.new_folder(tmp_path / "y"):
        raise OSError("disk full")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert files.expand("~/runs/x") == tmp_path / "runs" / "x"
    assert files.expand("runs/~x").parts == ("runs", "~x")
