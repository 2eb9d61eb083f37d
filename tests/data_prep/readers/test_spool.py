"""Arrays that are made once and kept in a temporary file."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep.readers.spool import Spool
from motionalign import files


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3)), min_size=1, max_size=40))
def test_arrays_come_back_and_are_made_once(asked):
    made = []

    def make(name):
        made.append(name)
        rows, columns = (int(part) for part in name.split())
        return np.random.default_rng(rows).normal(size=(rows, columns)).astype(np.float32)

    spool = Spool(make)
    for rows, columns in asked:
        array = spool(f"{rows} {columns}")
        expected = np.random.default_rng(rows).normal(size=(rows, columns)).astype(np.float32)
        np.testing.assert_array_equal(array, expected)
        array += 1  # is the caller's own
    assert sorted(made) == sorted(set(made))


def test_what_cannot_be_made_is_asked_for_again():
    def make(name):
        raise ValueError(name)

    spool = Spool(make)
    for _ in range(2):
        with pytest.raises(ValueError, match="a"):
            spool("a")


class Small:
    """A disk with room for some bytes, which takes three at a time."""

    def __init__(self, room):
        self.content, self.room, self.at = bytearray(), room, 0

    def seek(self, offset, whence=0):
        self.at = offset + (len(self.content) if whence == 2 else 0)
        return self.at

    def write(self, data):
        if len(self.content) >= self.room:
            raise OSError(28, "No space left on device")
        self.content[self.at :] = bytes(data[:3])
        self.at += len(data[:3])
        return len(data[:3])

    def readinto(self, view):
        part = self.content[self.at : self.at + min(len(view), 3)]
        view[: len(part)] = part
        self.at += len(part)
        return len(part)


def test_a_full_disk_only_costs_time(monkeypatch):
    monkeypatch.setattr(files, "open_scratch", lambda: Small(40))
    made = []

    def make(name):
        made.append(name)
        return np.full((2, 3), float(name), np.float32)

    spool = Spool(make)
    for name in ("1", "2", "3", "1", "2", "3"):
        np.testing.assert_array_equal(spool(name), np.full((2, 3), float(name)))
    assert made == ["1", "2", "3", "2", "3"]  # 24 bytes fit, 48 do not
