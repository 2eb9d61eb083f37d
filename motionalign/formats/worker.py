"""Runs the readers of formats that may crash, hang or take all memory in a process of their own.

A C3D file is parsed by a library in C++, and a spoiled FBX file can promise anything. Whatever
happens to the process, here it is a ValueError about the file:

- A file has `Limits` of time and memory, which grow with its size. The process is ended at the
  limit of time. Memory is limited by the kernel (RLIMIT_AS) on Linux; macOS accepts that limit and
  does not keep it, and Windows has none, so that there only time is limited.
- The process is started at the first file, as a new interpreter (nothing is forked, so that
  threads and JAX do not matter), reads many files in turn, and is started anew after a crash.
- Takes come back through a pipe as JSON and the bytes of arrays. Nothing is unpickled.

`motionalign.formats.worker_process` is what runs in the process.
"""

import atexit
import contextlib
import dataclasses
import json
import math
import os
import pathlib
import signal
import subprocess
import sys
import threading
from typing import IO, Any

import numpy as np

from motionalign import reading
from motionalign.formats.motion import Motion

PROCESS = ("-P", "-m", "motionalign.formats.worker_process")
"""Arguments of the Python interpreter. -P: modules in the user's folder are not imported."""

_PART = 1 << 20  # bytes that are read from a pipe at once

_START = 60.0  # seconds in which the process is up, also on a machine that is busy


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a file may take.

    Attributes:
      seconds: from the request to the takes.
      memory: bytes of address space of the process.
    """

    seconds: float
    memory: int

    @classmethod
    def of(cls, size: int) -> "Limits":
        """The limits of a file of `size` bytes: several times what a good file needs."""
        return cls(5.0 + size / 1e6, (1 << 30) + 40 * size)


# ---------------------------------------------------------------------------- messages


def send(stream: IO[bytes], head: dict[str, Any], arrays: list[np.ndarray] | None = None) -> None:
    """Writes a message: a line of JSON, then the bytes of the arrays that it describes."""
    arrays = [np.ascontiguousarray(array, np.float64) for array in arrays or ()]
    line = json.dumps({**head, "shapes": [array.shape for array in arrays]})
    stream.write(line.encode() + b"\n")
    for array in arrays:
        stream.write(array.reshape(-1).view(np.uint8).data)  # no copy: memory may be scarce
    stream.flush()


def receive(stream: IO[bytes], most: int) -> tuple[dict[str, Any], list[np.ndarray]] | None:
    """Reads a message of arrays of at most `most` bytes; None: there is no whole one."""
    line = stream.readline()
    if not line.endswith(b"\n"):
        return None
    head = json.loads(line)
    arrays = []
    for shape in head.pop("shapes"):
        most -= 8 * math.prod(shape)
        if most < 0:
            return None
        array = np.empty(shape)
        data, done = array.reshape(-1).view(np.uint8), 0
        while done < len(data):
            part = stream.read(min(len(data) - done, _PART))
            if not part:
                return None
            data[done : done + len(part)] = np.frombuffer(part, np.uint8)
            done += len(part)
        arrays.append(array)
    return head, arrays


def send_motions(stream: IO[bytes], motions: list[Motion]) -> None:
    """Writes the takes of a file."""
    heads, arrays = [], []
    for motion in motions:
        assert motion.declared is None, motion.declared  # a skeleton file is not read here
        fields = {field.name: getattr(motion, field.name) for field in dataclasses.fields(motion)}
        own = {name: value for name, value in fields.items() if isinstance(value, np.ndarray)}
        arrays += own.values()
        rest = {name: value for name, value in fields.items() if name not in own}
        heads.append({"fields": rest, "arrays": list(own)})
    send(stream, {"motions": heads}, arrays)


def _motions(heads: list[dict[str, Any]], arrays: list[np.ndarray]) -> list[Motion]:
    """The takes in a message, in which tuples have become lists."""
    rest = iter(arrays)
    motions = []
    for head in heads:
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in head["fields"].items()
        }
        motions.append(Motion(**fields, **{name: next(rest) for name in head["arrays"]}))
    return motions


# ---------------------------------------------------------------------------- the process


class Worker:
    """A process that reads files in turn.

    Attributes:
      process: it; None: not started yet, or ended.
    """

    def __init__(self, arguments: tuple[str, ...] = PROCESS) -> None:
        """Describes a process by the arguments of its interpreter; the first file starts it."""
        self.process: subprocess.Popen[bytes] | None = None
        self._arguments = arguments
        self._owner = 0  # the process that has started it; a fork of that one starts its own
        self._lock = threading.Lock()

    def read(self, reader: str, path: pathlib.Path, limits: Limits | None = None) -> list[Motion]:
        """The takes of a file.

        Args:
          reader: a key of `worker_process.READERS`.
          path: the file.
          limits: by default those of the file's size.

        Raises:
          ValueError: the file is spoiled or took more than its limits, or the process crashed.
        """
        limits = limits or Limits.of(reading.check_file(path))
        with self._lock:
            try:
                return self._ask(reader, path, limits)
            except _Refused as error:
                raise ValueError(str(error)) from None
            except BaseException:  # the next answer would begin within this one
                self.close()
                raise

    def close(self) -> None:
        """Ends the process; the next file starts another."""
        process, self.process = self.process, None
        if process is None:
            return
        if self._owner == os.getpid():
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()

    def _ask(self, reader: str, path: pathlib.Path, limits: Limits) -> list[Motion]:
        process = self._started()
        assert process.stdin is not None and process.stdout is not None
        late = threading.Event()
        with _timer(limits.seconds, process, late), contextlib.suppress(BrokenPipeError):
            head = {"reader": reader, "path": os.fspath(path.absolute())}
            send(process.stdin, {**head, **dataclasses.asdict(limits), "shown": str(path)})
            answer = receive(process.stdout, limits.memory)
            if answer is not None:
                return self._answered(*answer, path, limits)
        if late.is_set():
            raise ValueError(
                f"{path}: reading it took longer than {limits.seconds:.0f} s, so it was given up; "
                "the file is damaged, or this machine is very busy"
            )
        process.kill()
        raise ValueError(
            f"{path}: its reader crashed ({_ending(process.wait())}); the file is damaged, or of a "
            "kind that the reader does not know"
        )

    def _answered(
        self, head: dict[str, Any], arrays: list[np.ndarray], path: pathlib.Path, limits: Limits
    ) -> list[Motion]:
        if "motions" in head:
            return _motions(head["motions"], arrays)
        if head.get("memory"):
            raise _Refused(
                f"{path}: reading it needed more than {limits.memory / (1 << 30):.1f} GB of "
                "memory, so it was given up; the file is damaged"
            )
        raise _Refused(head["error"])

    def _started(self) -> subprocess.Popen[bytes]:
        if self.process is not None and self._owner == os.getpid() and self.process.poll() is None:
            return self.process
        self.close()
        path = os.pathsep.join(os.path.abspath(each) for each in sys.path)
        # Threads of linear algebra would take address space, and nothing here needs them.
        threads = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")
        self._owner = os.getpid()
        self.process = process = subprocess.Popen(
            [sys.executable, *self._arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": path, **threads},
        )
        assert process.stdout is not None
        with _timer(_START, process, threading.Event()):
            greeting = receive(process.stdout, 0)
        if greeting is None:
            process.kill()
            raise RuntimeError(
                f"the process that reads files could not be started: {sys.executable} "
                f"{' '.join(self._arguments)} ended ({_ending(process.wait())})"
            )
        return process


class _Refused(ValueError):
    """The process says why it does not read a file, and is ready for the next."""


@contextlib.contextmanager
def _timer(seconds: float, process: subprocess.Popen[bytes], late: threading.Event) -> Any:
    """Ends the process after so many seconds, which ends the wait for its answer."""

    def end() -> None:
        late.set()
        process.kill()

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _ending(status: int) -> str:
    """How a process ended, in words."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"


_WORKER = Worker()
atexit.register(_WORKER.close)


def read(reader: str, path: pathlib.Path) -> list[Motion]:
    """The takes of a file, by the process of this one; see `Worker.read`."""
    return _WORKER.read(reader, path)
