"""Arrays that take long to make and are needed several times, in a temporary file."""

import math
from collections.abc import Callable

import numpy as np

from motionalign import files


class Spool:
    """Keeps float32 arrays outside of memory; what does not fit on the disk is made again."""

    def __init__(self, make: Callable[[str], np.ndarray]) -> None:
        """`make` returns the array of a name, float32 of any shape."""
        self._make = make
        self._file = files.open_scratch()
        self._places: dict[str, tuple[int, tuple[int, ...]]] = {}  # offset and shape
        self._full = False

    def __call__(self, name: str) -> np.ndarray:
        """The array of a name; whatever `make` raises is raised again the next time."""
        if name in self._places:
            return self._read(*self._places[name])
        array = np.ascontiguousarray(self._make(name))
        assert array.dtype == np.float32, array.dtype
        if not self._full:
            self._keep(name, array)
        return array

    def _read(self, offset: int, shape: tuple[int, ...]) -> np.ndarray:
        data = bytearray(4 * math.prod(shape))
        left = memoryview(data)
        self._file.seek(offset)
        while left:
            count = self._file.readinto(left)
            assert count, (offset, shape)
            left = left[count:]
        return np.frombuffer(data, np.float32).reshape(shape)

    def _keep(self, name: str, array: np.ndarray) -> None:
        offset = self._file.seek(0, 2)
        left = memoryview(array.tobytes())
        try:
            while left:
                left = left[self._file.write(left) or 0 :]
        except OSError:  # the disk is full
            self._full = True
            return
        self._places[name] = offset, array.shape
