"""Shared parts of all commands: `~`, one-line errors, termination by signals."""

import importlib
import os
import re
import signal
import subprocess
import sys
import time

import motion_files
import pytest
from runs import ROOT

from motionalign.commands import Parser, ending_cleanly, expand_arguments, told


@pytest.fixture(autouse=True)
def interruptible():
    """SIGINT as at a terminal; a script's background processes and their children ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_home_is_expanded_where_a_path_begins(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    given = ["~/x", "--workdir=~/runs/x", "-input=~", "--config=configs/finetune.py:~/runs/x"]
    given += ["--config.data.data_dir=~/data"]
    assert expand_arguments(given) == [
        "/home/me/x", "--workdir=/home/me/runs/x", "-input=/home/me",
        "--config=configs/finetune.py:/home/me/runs/x", "--config.data.data_dir=/home/me/data",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "argument", ["a~/x", "--name=a~b", "--name=x:a~/y", "--x=a/~/b", "~5 steps", "--", "-", ""]
)
def test_other_arguments_are_unchanged(argument):
    assert expand_arguments([argument]) == [argument]


def test_a_mistake_is_one_line(capsys):
    parser = Parser("prog")
    for i in range(30):
        parser.add_argument(f"--option{i}")
    with pytest.raises(SystemExit) as end:
        parser.parse_args(["--nothing"])
    assert end.value.code == 2
    printed = capsys.readouterr().err
    assert printed == "prog: unrecognized arguments: --nothing\n(--help shows the options)\n"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_command_after_clean_up(number, code, capsys):
    before = signal.getsignal(signal.SIGTERM)
    cleaned = []
    with pytest.raises(SystemExit) as end, ending_cleanly():
        try:
            os.kill(os.getpid(), number)
            time.sleep(5)
        except Exception:
            pytest.fail("an Exception, which handlers of errors would keep")
        finally:
            cleaned.append(True)
    assert (end.value.code, cleaned) == (code, [True])
    assert f"Stopped by {number.name}; no incomplete file is left." in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("where", ["destructor", "import"])
def test_a_signal_is_not_lost(number, where, tmp_path, monkeypatch, capsys):
    """Where the interpreter or a library would drop the exception that it raises."""
    seen = []

    class Dying:
        def __del__(self):
            seen.append(where)
            os.kill(os.getpid(), number)
            time.sleep(0.001)

    (tmp_path / f"imported_{number}.py").write_text(
        f"import os\ntry:\n    os.kill(os.getpid(), {number:d})\n    os.getpid()\n"
        "except BaseException as error:\n    raise ImportError('not initialised') from error\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SystemExit) as end, ending_cleanly():
        if where == "destructor":
            Dying()
        else:
            seen.append(importlib.import_module(f"imported_{number}"))
        time.sleep(5)
        pytest.fail("the signal is lost")
    assert end.value.code == 128 + number
    assert len(seen) == 1
    printed = capsys.readouterr().err
    assert printed.strip() == f"Stopped by {number.name}; no incomplete file is left."


# Each command with a module during whose import it is stopped.
STARTING = [
    ([str(ROOT / "launch.py"), "--config=configs/quickstart.py"], "numpy"),
    ([str(ROOT / "launch.py"), "--config=configs/quickstart.py"], "jaxlib"),
    ([str(ROOT / "launch.py"), "--mode=encode", "--checkpoint=x", "--input=.", "--output=x.npz"],
     "jaxlib"),
    (["-m", "motionalign", "train", "--config=configs/quickstart.py"], "absl"),
    (["-m", "motionalign", "data_prep", "synthetic"], "numpy"),
    (["-m", "data_prep", "synthetic"], "numpy"),
    (["-m", "data_prep", "synthetic"], "tensorflow_datasets"),
    (["-m", "motionalign.convert", "share", "x", "y"], "jaxlib"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "module"), STARTING)
def test_a_command_is_stopped_while_it_starts(arguments, module, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-X", "importtime", *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    imported = iter(process.stderr.readline, "")
    assert any(re.search(rf"\b{module}\b", line) for line in imported)  # the first of its modules
    process.send_signal(signal.SIGINT)
    printed, problems = process.communicate(timeout=60)
    assert process.returncode == 130
    told = [line for line in problems.splitlines() if line and not line.startswith("import time:")]
    assert told == ["Stopped by SIGINT; no incomplete file is left."]
    assert not printed and not list(tmp_path.iterdir())


def test_data_preparation_leaves_nothing_when_interrupted(tmp_path):
    """While it writes."""
    process = subprocess.Popen(
        [sys.executable, "-m", "data_prep", "synthetic", "--num_clips=1000"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    data = tmp_path / "data"
    while process.poll() is None and not list(data.glob(".synthetic.incomplete/*")):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, printed = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Stopped by SIGINT" in printed
    assert "Traceback" not in printed
    assert not data.exists() or not list(data.iterdir())


def test_warnings_are_printed_as_their_text():
    script = (
        "from absl import logging; from motionalign import commands; commands.plain_warnings();"
        "logging.warning('%s is not verified', 'data/x')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, encoding="utf-8"
    )
    assert done.stderr == "data/x is not verified\n"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(13, "Permission denied", "/data/x"), "/data/x: Permission denied"),
        (
            OSError(2, "No such file or directory", "/a/.x.motionalign-partial.npz"),
            "/a/x.npz: No such file or directory",
        ),
        (OSError(28, "No space left", "/a/.out.motionalign-partial/b"), "/a/out/b: No space left"),
        (OSError("disk full"), "disk full"),
        (ValueError("--fps=0: expected more"), "--fps=0: expected more"),
    ],
)
def test_what_the_system_refuses_is_told_by_name(error, message):
    assert told(error) == message


@pytest.mark.parametrize("command", ["-m data_prep inspect {}/walk.bvh", "launch.py --help"])
def test_output_may_be_cut_by_the_reader_of_a_pipe(command, tmp_path):
    joints = motion_files.human()
    motion_files.write_bvh(tmp_path / "walk.bvh", joints, motion_files.swing(joints, 20))
    command = [part.format(tmp_path) for part in command.split()]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, *command], stdout=writer, stderr=subprocess.PIPE, cwd=ROOT
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")
