"""Small training runs for the tests: in this process, or through launch.py in another."""

import json
import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
from ml_collections import ConfigDict

from configs import quickstart
from motionalign.checkpoints.run import LATEST
from motionalign.inference.model import load

ROOT = pathlib.Path(__file__).resolve().parents[1]

TINY = {
    "epochs": 6,  # of 4 steps: 38 training clips in batches of 8
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
    """configs/quickstart.py made tiny; a double underscore in a keyword stands for a dot."""
    config = quickstart.get_config()
    given = {name.replace("__", "."): value for name, value in fields.items()}
    with config.unlocked():
        config.update_from_flattened_dict({**TINY, "data.data_dir": str(data_dir), **given})
    return config


def launch(workdir, data_dir, *flags, devices: int = 1, **fields) -> subprocess.Popen:
    """Starts `launch.py` with the same config as a process of its own."""
    given = {name.replace("__", "."): value for name, value in fields.items()}
    values = {**TINY, "data.data_dir": str(data_dir), **given}
    environment = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices} "
        "--xla_backend_optimization_level=0",
    }
    command = [
        sys.executable,
        str(ROOT / "launch.py"),
        f"--config={ROOT / 'configs' / 'quickstart.py'}",
        f"--workdir={workdir}",
        f"--compilation_cache={os.environ['JAX_COMPILATION_CACHE_DIR']}",
        *(f"--config.{name}={value}" for name, value in values.items()),
        *flags,
    ]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip


def finish(process: subprocess.Popen, code: int = 0) -> str:
    """Waits for the process, checks its exit code and gives what it printed."""
    output, _ = process.communicate(timeout=300)
    assert process.returncode == code, output
    return output


def scalars(workdir) -> list[dict]:
    """The lines of metrics.jsonl that are of steps, without what a clock decided."""
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "pairs_per_second"} for line in lines]


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
