"""Files appear whole or not at all."""

import json

import numpy as np
import pytest

from motionalign import files


def test_what_is_written(tmp_path):
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


def test_a_failure_leaves_the_file_that_was_there(tmp_path):
    path = tmp_path / "a.npz"
    path.write_text("before")
    with pytest.raises(KeyboardInterrupt), files.replacing(path) as partial:
        assert partial.suffix == ".npz"
        partial.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_is_replaced(tmp_path):
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
    assert path.read_text() == "1\n2\n4\n"  # on disk before it is closed
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
