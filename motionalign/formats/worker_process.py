"""What runs in the process of motionalign.formats.worker: reads files on request.

    python -m motionalign.formats.worker_process

Requests come through the standard input, takes and errors go through the standard output. It ends
with its input, so that it does not outlive who has started it.
"""

import io
import os
import pathlib
import signal
import sys
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import IO, Any

from motionalign.formats import c3d, fbx
from motionalign.formats.motion import Motion
from motionalign.formats.worker import receive, send, send_motions

try:
    import resource
except ImportError:  # Windows
    resource = None

Reader = Callable[[pathlib.Path], list[Motion]]

READERS: Mapping[str, Reader] = MappingProxyType({"c3d": c3d.parse, "fbx": fbx.parse})
"""What is read here, by name: functions from a path to the file's takes."""

_GRACE = 5  # seconds after the limit, for the case that nobody is left to end this process


def serve(readers: Mapping[str, Reader], requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answers requests until there are no more."""
    if hasattr(signal, "SIGINT"):  # the terminal's Ctrl-C is for who waits, who ends this process
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    send(answers, {"ready": True})
    while (request := receive(requests, 0)) is not None:
        head = request[0]
        _limit(head)
        path, shown = pathlib.Path(head["path"]), head["shown"]
        try:
            motions = readers[head["reader"]](path)
        except MemoryError:
            send(answers, {"memory": True})
        except Exception as error:
            text = str(error).replace(str(path), shown)
            if not isinstance(error, ValueError | ModuleNotFoundError):
                text = f"{shown} cannot be read: {type(error).__name__}: {text}"
            send(answers, {"error": text})
        else:
            send_motions(answers, motions)
            del motions
        _unlimit()


def _limit(head: Mapping[str, Any]) -> None:
    """Sets the limits of a request; the hard limits stay, so that the next may have more."""
    if resource is not None:
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        most = head["memory"] if hard == resource.RLIM_INFINITY else min(head["memory"], hard)
        resource.setrlimit(resource.RLIMIT_AS, (most, hard))
    if hasattr(signal, "alarm"):
        signal.alarm(int(head["seconds"]) + _GRACE)


def _unlimit() -> None:
    if hasattr(signal, "alarm"):
        signal.alarm(0)


def main(readers: Mapping[str, Reader] = READERS) -> None:
    """Serves the process's own input and output."""
    # What libraries print would spoil the answers: they get the file of errors for it.
    answers = io.BufferedWriter(io.FileIO(os.dup(1), "w"))
    os.dup2(2, 1)
    serve(readers, sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
