"""Thousands of damaged files of every kind, read with every reader.

tests/mutated_reads.py describes the cases and shows a single one.
"""

import collections

import mutated_reads
import pytest

QUICK, ALL = 500, 3000  # cases


def faults(base, start, stop):
    lines, peak = mutated_reads.outcomes(base, start, stop)
    assert len(lines) == stop - start
    counts = collections.Counter(line["outcome"] for line in lines)
    # Most mutations are noticed; some change nothing that is read, such as a letter of a caption.
    assert counts["said"] > len(lines) / 2
    assert counts["read"] > len(lines) / 10
    assert peak < 1024
    return [line for line in lines if line["outcome"] not in ("said", "read")]


def test_damaged_files_are_named(tmp_path):
    assert faults(tmp_path, 0, QUICK) == []


@pytest.mark.slow
def test_many_more_damaged_files_are_named(tmp_path):
    assert faults(tmp_path, QUICK, ALL) == []
