"""Thousands of damaged motion files of every format, read up to the joints of a model.

tests/mutated_motions.py describes the cases and shows a single one.
"""

import collections

import mutated_motions
import mutated_reads
import pytest

QUICK, ALL = 500, 10_000  # cases


def faults(base, start, stop):
    lines, peak = mutated_reads.outcomes(base, start, stop, mutated_motions.__file__)
    assert len(lines) == stop - start
    counts = collections.Counter(line["outcome"] for line in lines)
    # Most mutations are noticed; some change nothing that is read, such as a comment.
    assert counts["said"] > len(lines) / 2
    assert counts["read"] > len(lines) / 10
    assert peak < 1024
    return [line for line in lines if line["outcome"] not in ("said", "read")]


def test_damaged_motion_files_are_named(tmp_path):
    assert faults(tmp_path, 0, QUICK) == []


@pytest.mark.slow
def test_many_more_damaged_motion_files_are_named(tmp_path):
    assert faults(tmp_path, QUICK, ALL) == []
