"""Files and folders are written atomically."""

import concurrent.futures
import csv
import errno
import json
import os
import socket
import subprocess
import sys
import threading
import tracemalloc

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


HOLDER = """
import sys, time
from motionalign import files

with files.hold(sys.argv[1], "a task"):
    print("held", flush=True)
    time.sleep(600)
"""


def hold_elsewhere(path) -> subprocess.Popen:
    """A process that holds a lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    return process


def test_who_holds_a_lock_is_said_until_it_is_dead(tmp_path):
    path = tmp_path / "new" / "lock"
    holder = hold_elsewhere(path)
    who = rf"a task is under way already, by process {holder.pid} on {socket.gethostname()} since 2"
    with pytest.raises(files.InUse, match=who), files.hold(path, "a task"):
        pass
    holder.kill()
    holder.wait()
    assert path.exists()  # left behind, and locks nothing
    with files.hold(path, "a task") as note:
        assert note is None
        assert path.read_text().startswith(f"process {os.getpid()} on")
    assert list(tmp_path.rglob("*")) == [path.parent]  # the folder was there already


def test_a_lock_waits_for_a_holder_that_is_ending(tmp_path):
    holder = hold_elsewhere(tmp_path / "lock")
    threading.Timer(0.5, holder.kill).start()
    with files.hold(tmp_path / "lock", "a task", wait=60):
        pass
    holder.wait()


def test_a_lock_leaves_no_folder(tmp_path):
    with files.hold(tmp_path / "a" / "b" / "lock", "a task"):
        pass
    assert not list(tmp_path.iterdir())
    with files.hold(tmp_path / "a" / "b" / "lock", "a task"):
        (tmp_path / "a" / "kept").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "kept"]


def test_one_of_many_holds_a_lock_that_comes_and_goes(tmp_path):
    """A lock file that its holder removes is not taken for the one that follows it."""
    inside, most = [], []

    def use(i):
        for _ in range(30):
            with files.hold(tmp_path / "lock", "a task", wait=60):
                inside.append(i)
                most.append(len(inside))
                inside.remove(i)

    threads = [threading.Thread(target=use, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 120


def test_a_lock_on_a_file_that_is_gone_holds_nothing(tmp_path, monkeypatch):
    """The former holder removes the file after it has been opened, before it is locked."""
    flock = files.fcntl.flock
    opened = []

    def after_the_former_holder(handle, operation):
        opened.append(handle)
        if len(opened) == 1:
            (tmp_path / "lock").unlink()
        flock(handle, operation)

    monkeypatch.setattr(files.fcntl, "flock", after_the_former_holder)
    with files.hold(tmp_path / "lock", "a task"):
        assert len(opened) == 2
        assert (tmp_path / "lock").exists()


def test_a_lock_that_cannot_be_created(tmp_path):
    """It is a link to a folder that does not exist, for which opening blames a missing file."""
    (tmp_path / "lock").symlink_to(tmp_path / "gone" / "lock")
    with pytest.raises(FileNotFoundError), files.hold(tmp_path / "lock", "a task"):
        pass


def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch):
    def flock(handle, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(files.fcntl, "flock", flock)
    with files.hold(tmp_path / "lock", "a task") as note:
        assert str(tmp_path) in note and "no locks" in note
    files.write_text(tmp_path / "a", "written")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_files_that_are_written_at_once(tmp_path):
    """Writers of one file wait for each other; they shared a temporary file."""

    def write(i):
        for _ in range(20):
            files.write_text(tmp_path / "a", str(i) * 100_000)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    assert len(set((tmp_path / "a").read_text())) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_new_folder_leaves_those_of_the_user_alone(tmp_path):
    (tmp_path / "out.partial").mkdir()
    (tmp_path / "out.partial" / "thesis").write_text("of the user")
    with pytest.raises(OSError, match="disk full"), files.new_folder(tmp_path / "out"):
        raise OSError("disk full")
    with files.new_folder(tmp_path / "out"):
        pass
    assert (tmp_path / "out.partial" / "thesis").read_text() == "of the user"


def test_a_new_folder_is_written_by_one_process(tmp_path):
    with files.new_folder(tmp_path / "out") as first:
        (first / "a").touch()
        who = rf"writing .*out is under way already, by process {os.getpid()} on "
        with pytest.raises(files.InUse, match=who), files.new_folder(tmp_path / "out"):
            pass
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a"]
    left = tmp_path / ".new.motionalign-partial"  # of a killed process
    left.mkdir()
    (left / "half").touch()
    with files.new_folder(tmp_path / "new"):
        pass
    assert not list((tmp_path / "new").iterdir()) and not left.exists()


def test_a_long_report_is_not_held_as_text(tmp_path):
    """A report on a million clips took gigabytes."""
    entries = [{"id": "000001", "reason": "duplicate_id"}] * 100_000
    tracemalloc.start()
    files.write_json(tmp_path / "report.json", entries, indent=1)
    assert tracemalloc.get_traced_memory()[1] < 2e6
    tracemalloc.stop()
    assert json.loads((tmp_path / "report.json").read_text()) == entries


def test_a_place_that_cannot_be_written_is_told_before_the_work(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    files.check_place(tmp_path / "new" / "deeper" / "clips.npz", "--output=clips.npz")
    with pytest.raises(ValueError, match=r"--output=x: .*file is not a folder"):
        files.check_place(tmp_path / "file" / "clips.npz", "--output=x")
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
    with pytest.raises(ValueError, match=r"--output=x: no permission to write to the folder /"):
        files.check_place(tmp_path / "new" / "clips.npz", "--output=x")
    assert not (tmp_path / "new").exists()
