"""Small training runs for tests, and launch.py in this process or in a separate one."""

import contextlib
import io
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import NamedTuple
from unittest import mock

import jax
import numpy as np
from absl import app, logging
from absl.testing import flagsaver
from jax.experimental.compilation_cache import compilation_cache
from ml_collections import ConfigDict

from motionalign import host, launch, sharding
from motionalign.checkpoints.run import LATEST
from motionalign.configs import quickstart
from motionalign.inference.model import load
from motionalign.tasks.schema import schema

ROOT = pathlib.Path(__file__).resolve().parents[1]

TINY = {
    "epochs": 4,  # of 4 steps: 38 training clips in batches of 8
    "checkpoint_steps": 3,
    "log_steps": 1,
    "data.datasets": "small",
    "data.batch_size": 8,
    "data.eval_batch_size": 8,
    "data.frame_bucket": 96,  # one shape to compile
    "data.text_bucket": 48,
    "model.motion.width": 16,
    "model.motion.depth": 1,
    "model.motion.heads": 2,
    "model.text.width": 16,
    "model.text.depth": 1,
    "model.text.heads": 2,
    "model.text.dropout": 0.1,
    "model.text.vocab_size": 200,
    "model.embed_dim": 8,
}


def tiny_config(data_dir, **fields) -> ConfigDict:
    """configs/quickstart.py with a tiny model; double underscores in keywords stand for dots.

    Fields of TINY that the given fields leave unread are reset to their defaults.
    """
    config = quickstart.get_config()
    given = {name.replace("__", "."): value for name, value in fields.items()}
    with config.unlocked():
        config.update_from_flattened_dict({**TINY, "data.data_dir": str(data_dir), **given})
        idle = [name for name in schema().unread(config) if name not in given]
        config.update_from_flattened_dict({name: schema().fields[name].default for name in idle})
    return config


class Done(NamedTuple):
    """The result of a command: its exit code and output."""

    code: int
    stdout: str
    stderr: str


def command(*arguments: str) -> Done:
    """Runs `python launch.py ARGUMENTS` in this process and restores its state afterwards.

    Exceptions that launch.py does not turn into a message are raised.
    """
    printed, errors = io.StringIO(), io.StringIO()
    code = 0
    with (
        _process_restored("launch.py", "--compilation_cache=", *arguments),
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(errors),
    ):
        try:
            launch.run()
        except SystemExit as end:
            code = end.code or 0
            if isinstance(code, str):  # the interpreter would print it
                errors.write(code + "\n")
                code = 1
    return Done(code, printed.getvalue(), errors.getvalue())


@contextlib.contextmanager
def _process_restored(*argv: str) -> Iterator[None]:
    """A context with the arguments `argv` that restores the process state set by launch.py."""
    app.define_help_flags()  # absl defines them once per process
    verbosity = logging.get_verbosity()
    with (
        flagsaver.flagsaver(),
        mock.patch.object(sys, "argv", list(argv)),
        mock.patch.object(host, "keep_freed_memory"),
    ):
        try:
            yield
        finally:
            logging.set_verbosity(verbosity)


def _cache() -> str:
    """The cache folder of compiled programs, which all tests share."""
    return os.environ["MOTIONALIGN_TEST_CACHE"]


@contextlib.contextmanager
def one_device() -> Iterator[None]:
    """A context in which the meshes of runs have one of the eight devices.

    Programs for one device compile in half the time and are cached in a folder that all tests
    share. Programs for eight devices cannot be cached: see `sharding.programs_can_be_stored`.
    """

    def make_mesh(data: int = -1, model: int = 1, over=None):
        assert (data, model) == (-1, 1)
        return sharding.mesh_of((over or jax.devices())[:1], 1, 1)

    with (
        mock.patch.object(sharding, "make_mesh", make_mesh),
        mock.patch.object(sharding, "programs_can_be_stored", lambda: True),
    ):
        jax.config.update("jax_compilation_cache_dir", _cache())
        compilation_cache.reset_cache()
        try:
            yield
        finally:
            jax.config.update("jax_compilation_cache_dir", None)
            compilation_cache.reset_cache()


def tiny_flags(workdir, data_dir, **fields) -> list[str]:
    """The arguments of launch.py that correspond to `tiny_config`."""
    given = {name.replace("__", "."): value for name, value in fields.items()}
    values = {**TINY, "data.data_dir": str(data_dir), **given}
    return [
        "--config=configs/quickstart.py",
        f"--workdir={workdir}",
        *(f"--config.{name}={value}" for name, value in values.items()),
    ]


def start(workdir, data_dir, *flags, devices: int = 1, **fields) -> subprocess.Popen:
    """Starts `launch.py` with the same config in a separate process."""
    return python(
        "launch.py",
        f"--compilation_cache={_cache()}",
        *tiny_flags(workdir, data_dir, **fields),
        *flags,
        devices=devices,
    )


def python(*arguments: str, devices: int = 1) -> subprocess.Popen:
    """Starts Python with these arguments in a separate process that has `devices` CPU devices."""
    few = re.sub("device_count=[0-9]+", f"device_count={devices}", os.environ["XLA_FLAGS"])
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": few}
    return subprocess.Popen(
        [sys.executable, *arguments], cwd=ROOT, env=environment, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def cluster() -> list[list[str]]:
    """The flags of each of two processes that form a cluster on this machine."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        coordinator = f"--coordinator=localhost:{free.getsockname()[1]}"
    return [[coordinator, "--num_processes=2", f"--process_id={i}"] for i in range(2)]


def finish(process: subprocess.Popen, code: int = 0) -> str:
    """Waits for the process, checks its exit code and returns its output."""
    output, _ = process.communicate(timeout=300)
    assert process.returncode == code, output
    return output


def scalars(workdir) -> list[dict]:
    """The lines of metrics.jsonl, without measured times."""
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    timed = ("pairs_per_second", "wall_time")
    return [{k: v for k, v in line.items() if k not in timed} for line in lines]


def losses(workdir) -> np.ndarray:
    return np.array([line["loss"] for line in scalars(workdir) if "loss" in line])


def params(workdir, series=LATEST) -> dict[str, np.ndarray]:
    """The parameters of the newest checkpoint of a series."""
    loaded = load(workdir, series)
    return jax.tree.map(np.asarray, loaded.params)


def assert_same_bits(a: dict, b: dict) -> None:
    assert a.keys() == b.keys()
    for path in a:
        np.testing.assert_array_equal(a[path], b[path], err_msg=path)
