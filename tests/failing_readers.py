"""Readers for motionalign.formats.worker that fail in every way; run as its process."""

import ctypes
import os
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import numpy as np

from motionalign.formats import worker_process
from motionalign.formats.motion import Motion


def motion(path, **fields):
    return Motion(path.stem, "test", ("a", "b"), (-1, 0), np.arange(12.0).reshape(2, 1, 2, 3), None)


def good(path):
    print("printed by a library")
    os.write(1, b"written by a library in C\n")
    whole = Motion(
        name="tåke",
        format="test",
        joint_names=("a", "b"),
        parents=(-1, 0),
        positions=np.arange(24.0).reshape(2, 2, 2, 3) * np.nan,
        fps=29.97,
        dims=2,
        unit_in_metres=0.01,
        up="z",
        rest=np.ones((2, 3)),
        persons=("A", "B"),
        ends=(1,),
        convention="test",
        notes=("One.", "Two."),
        labels={"class": 3, "name": "wave"},
    )
    return [whole, motion(path)]


def process(path):
    """Its number and the modules that it has imported, as names of joints."""
    slow = [name for name in ("jax", "flax", "tensorflow", "matplotlib") if name in sys.modules]
    names = (str(os.getpid()), *slow)
    return [Motion("process", "test", names, None, np.zeros((1, 1, len(names), 3)), None)]


def refuse(path):
    raise ValueError(f"{path}, line 3: found that, expected this")


def fail(path):
    return {}["key"]


def nested(path):
    return nested(path)


def fault(path):
    ctypes.string_at(0)


def abort(path):
    os.abort()


def leave(path):
    os._exit(3)


def hang(path):
    while True:
        time.sleep(0.01)


def memory(path):
    return [np.ones(1 << 40)]


def fill(path):
    """Grows step by step, as a loop over what a header promises does."""
    kept = []
    while len(kept) < 4000:
        kept.append(np.ones(1 << 20))
    return kept


READERS = (good, process, refuse, fail, nested, fault, abort, leave, hang, memory, fill)

if __name__ == "__main__":
    worker_process.main({reader.__name__: reader for reader in READERS})
