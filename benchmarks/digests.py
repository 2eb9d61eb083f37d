"""Time that digests add to saving and loading a checkpoint.

    python -m benchmarks.digests                 a ViT-B with its optimizer state, 1 GB
    python -m benchmarks.digests --megabytes=600

Saves and loads arrays of the given size with and without digests, in turn. Prints medians, and the
median, smallest and largest ratio of a round: of the whole save (Orbax's background thread
included, during which training goes on), of resuming, and of loading the parameters, from files
that the system has in memory, which makes the share of the digests as large as it can be. Some hash
functions are measured beside it.
"""

import argparse
import contextlib
import hashlib
import json
import os
import pathlib
import statistics
import tempfile
import time
import zlib
from collections.abc import Callable
from unittest import mock

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import numpy as np

from motionalign import digests, sharding
from motionalign.checkpoints.run import Checkpoints, find, load_params, stored_run


def seconds(run: Callable[[], object]) -> float:
    """The time that a call takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def make_state(megabytes: int) -> dict:
    """Parameters and two moments of random float32 numbers, of `megabytes` MB in all."""
    rng = np.random.default_rng(0)
    rows = int(megabytes * 1e6 / 3 / 24 / 4 / 1024)
    params = {
        f"motion_encoder/{i}": jnp.asarray(rng.normal(size=(rows, 1024)), jnp.float32)
        for i in range(24)
    }
    return {"params": params, "rest": {}, "optimizer": {"mu": params, "nu": params}}


def save_and_load(state: dict, with_digests: bool) -> tuple[float, float, float]:
    """Seconds to save, to resume, and to load the parameters only."""
    off = contextlib.nullcontext()
    if not with_digests:
        off = mock.patch.multiple(digests, write=mock.DEFAULT, check=mock.DEFAULT)
    abstract = sharding.abstract(state, sharding.mesh_of(jax.devices()[:1], 1, 1))
    run = stored_run({"score": 1.0})
    with tempfile.TemporaryDirectory() as name, off:
        workdir = pathlib.Path(name)
        checkpoints = Checkpoints(workdir)

        def save() -> None:
            checkpoints.save_latest(1, state, {}, run)
            checkpoints.wait()

        saving = seconds(save)
        resuming = seconds(lambda: jax.block_until_ready(checkpoints.restore_latest(abstract)))
        step = find(workdir, "checkpoints")
        loading = seconds(lambda: jax.block_until_ready(load_params(step, abstract["params"])))
        checkpoints.close()
    return saving, resuming, loading


def main() -> None:
    """Measures and prints."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--megabytes", type=int, default=1030, help="size of the state")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=pathlib.Path, help="JSON file for all measurements")
    args = parser.parse_args()
    data = os.urandom(1 << 28)
    for name, digest in (
        ("sha256", lambda: hashlib.sha256(data)),
        ("blake2b", lambda: hashlib.blake2b(data)),
        ("crc32", lambda: zlib.crc32(data)),
    ):
        best = min(seconds(digest) for _ in range(3))
        print(f"{name:8} {len(data) / best / 1e9:.2f} GB/s")
    state = make_state(args.megabytes)
    save_and_load(state, True)  # warm up
    times = {True: [], False: []}
    for _ in range(args.rounds):
        for with_digests, each in times.items():
            each.append(save_and_load(state, with_digests))
    for i, what in enumerate(("save", "resume", "load parameters")):
        without, with_them = ([each[i] for each in times[on]] for on in (False, True))
        ratios = [a / b for a, b in zip(with_them, without, strict=True)]
        print(
            f"{what:16} {statistics.median(without):.2f} s without, "
            f"{statistics.median(with_them):.2f} s with digests; ratio "
            f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        )
    if args.output:
        args.output.write_text(json.dumps({"with": times[True], "without": times[False]}), "utf-8")


if __name__ == "__main__":
    main()
