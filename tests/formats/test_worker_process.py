"""What runs in the process: light, and gone with its input."""

import os
import subprocess
import sys
import time

import pytest

from motionalign.formats import worker

CODE = """
import sys
from motionalign.formats import worker_process
print(*sorted(sys.modules))
"""


def test_it_imports_nothing_slow():
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, check=True, env=env)
    loaded = done.stdout.decode().split()
    assert "numpy" in loaded
    slow = "jax flax tensorflow matplotlib torch transformers scipy safetensors ezc3d".split()
    assert not set(loaded) & set(slow)


def start():
    return subprocess.Popen(
        [sys.executable, *worker.PROCESS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def test_it_greets_and_ends_with_its_input():
    process = start()
    assert worker.receive(process.stdout, 0) == ({"ready": True}, [])
    process.stdin.close()
    assert process.wait(10) == 0
    process.stdout.close()


def test_modules_in_the_users_folder_are_not_imported(tmp_path, monkeypatch):
    (tmp_path / "numpy.py").write_text("raise SystemExit('the wrong module')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path not in ("", ".")])
    process = start()
    assert worker.receive(process.stdout, 0) == ({"ready": True}, [])
    process.communicate()


@pytest.mark.skipif(sys.platform == "win32", reason="no alarms there")
def test_it_does_not_outlive_a_file_when_nobody_waits(tmp_path, monkeypatch):
    import failing_readers

    process = subprocess.Popen(
        [sys.executable, failing_readers.__file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    worker.receive(process.stdout, 0)
    head = {"reader": "hang", "path": "x", "shown": "x", "seconds": -4.0, "memory": 1 << 30}
    start = time.perf_counter()
    worker.send(process.stdin, head)
    process.stdin.close()
    assert process.wait(20) < 0
    assert time.perf_counter() - start < 10
    process.stdout.close()
