"""Rows of numbers in text: as fast as they are many, and the line of what is wrong."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from motionalign.formats import tables

CELLS = st.one_of(st.just(np.nan), st.floats(-1e9, 1e9), st.integers(-5, 5), st.floats(-1e-9, 1e-9))


@given(st.data())
def test_rows_are_what_was_written(data):
    delimiter = data.draw(st.sampled_from(["\t", ",", ";", None]))
    shape = data.draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))
    cells = CELLS if delimiter else CELLS.filter(np.isfinite)
    values = np.array([[data.draw(cells) for _ in range(shape[1])] for _ in range(shape[0])], float)
    pad = data.draw(st.sampled_from(["", " ", "  "]))
    lines = [
        (delimiter or " ").join(pad + ("" if np.isnan(v) else repr(float(v))) + pad for v in row)
        for row in values
    ]
    numbers = range(1, len(lines) + 1)
    found = tables.parse_rows(lines, shape[1], "x.txt", numbers, delimiter)
    np.testing.assert_array_equal(found, values)
    slow = [
        tables._parse_row(*each, shape[1], "x", delimiter, range(shape[1]))
        for each in zip(lines, numbers)
    ]
    np.testing.assert_array_equal(slow, values)


@pytest.mark.parametrize(
    ("lines", "delimiter", "message"),
    [
        (["1 2 3", "1 2"], None, "clip.txt, line 12: 2 values, expected 3"),
        (["1 2 3 4", "1 2"], None, "line 11: 4 values, expected 3"),
        (["1 2 3", "1 2-3 4"], None, "line 12: column 2 is '2-3'; expected a finite number"),
        (["1,2,3", "1,2_0,3"], ",", "line 12: column 2 is '2_0'; expected a finite number"),
        (["1,2,3", "1,2 0,3"], ",", "line 12: column 2 is '2 0'; expected a finite number"),
        (["1,2,٣"], ",", "line 11: column 3 is '٣'; expected a finite number"),
        (["1,2,inf"], ",", "line 11: column 3 is 'inf'; expected a finite number"),
        (["1,2,1e400"], ",", "line 11: column 3 is '1e400'; expected at most 1e.09"),
        (["1,2,\0"], ",", r"line 11: column 3 is '\\x00'; expected a finite number"),
        (["1,2,0x10"], ",", "line 11: column 3 is '0x10'; expected a finite number"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(lines, delimiter, message):
    with pytest.raises(ValueError, match=message):
        tables.parse_rows(lines, 3, "clip.txt", (11, 12), delimiter)


def test_rows_may_have_blank_cells_at_their_end():
    found = tables.parse_rows(["1,2,,", "3,4"], 2, "clip.txt", (1, 2), ",")
    np.testing.assert_array_equal(found, [[1, 2], [3, 4]])


def test_fortran_exponents():
    found = tables.parse_rows(["1.5D+02 2"], 2, "clip.txt", (1,))
    np.testing.assert_array_equal(found, [[150, 2]])


def test_two_million_numbers_in_seconds():
    values = np.random.default_rng(0).normal(size=200)
    lines = [",".join(f"{value:.6f}" for value in values)] * 10_000
    start = time.perf_counter()
    tables.parse_rows(lines, 200, "clip.csv", range(1, 10_001), ",")
    assert time.perf_counter() - start < 5


def test_encodings(tmp_path):
    path = tmp_path / "a.txt"
    for encoding, notes in (("utf-8", 0), ("utf-8-sig", 0), ("latin-1", 1)):
        path.write_bytes("é\r\n1\n\n".encode(encoding))
        lines, found = tables.read_lines(path)
        assert (lines, len(found)) == (["é", "1"], notes)
        assert tables.head(path).endswith("1\n\n") and "\xef\xbb" not in tables.head(path)
    assert tables.head(tmp_path / "missing.txt") == ""


def test_columns_are_chosen():
    """What is in the others does not matter."""
    for other in ("", "2", "-1.#INF", "1e999", "Infinity"):
        lines = ["1,2,3", f"4,{other},6"] * 3
        found = tables.parse_rows(lines, 3, "clip.csv", range(6), ",", [2, 0])
        np.testing.assert_array_equal(found, [[3, 1], [6, 4]] * 3)
    lines = ["1,2,3", "4,,6"] * 3
    found = tables.parse_rows(lines, 3, "clip.csv", range(6), ",", [2, 0])
    np.testing.assert_array_equal(found, [[3, 1], [6, 4]] * 3)


def test_rows_are_parsed_in_pieces(monkeypatch):
    monkeypatch.setattr(tables, "_PIECE", 12)
    lines = [f"{i} {-i}.5" for i in range(20)]
    found = tables.parse_rows(lines, 2, "clip.txt", range(1, 21))
    np.testing.assert_array_equal(found, [[i, float(f"{-i}.5")] for i in range(20)])
    with pytest.raises(ValueError, match="line 18: column 2 is 'x'"):
        tables.parse_rows([*lines[:17], "1 x", *lines[18:]], 2, "clip.txt", range(1, 21))


def test_positions_beyond_what_the_file_warrants_are_refused():
    tables.check_size((100, 6, 25, 3), 1000, "a.skeleton")
    with pytest.raises(ValueError, match=r"a\.skeleton: 1,000,000 frames of 50 persons take"):
        tables.check_size((1_000_000, 50, 25, 3), 10_000_000, "a.skeleton")


@pytest.mark.parametrize("rate", [24, 29.97, 30, 59.94, 60, 120, 240, 1000])
@pytest.mark.parametrize("digits", [2, 3, 6])
@pytest.mark.parametrize("frames", [2, 3, 500])
def test_rounded_times_are_of_the_stated_rate(rate, digits, frames):
    if 10.0**-digits > 0.7 / rate and frames < 500:
        pytest.skip("frames are shorter than the last digit, and too few")
    times = np.round(np.arange(frames) / rate, digits)
    found, notes = tables.rate_of(times, rate)
    assert (found, notes) == (rate, ())


def test_times_tell_the_rate():
    times = np.arange(200) / 30
    assert tables.rate_of(np.round(times, 2), None) == (pytest.approx(30, rel=1e-3), ())
    assert tables.rate_of(times, 30) == (30, ())
    found, notes = tables.rate_of(times, 60)
    assert found == 30 and notes == (
        "The header states 60 frames a second, the times 30; the times are taken.",
    )
    found, notes = tables.rate_of(np.delete(times, [50, 51, 90]), 30)
    assert (found, notes) == (30, ("The times jump in 2 places, where frames are missing.",))


@pytest.mark.parametrize("times", [
    [0, 0, 0], [3, 2, 1], [0, 1e30, 2e30], [0, 1e-9, 2e-9], [-1e308, 0, 1e308],
])  # fmt: skip
def test_times_that_are_none_are_not_used(times):
    found, notes = tables.rate_of(np.array(times, float), 25)
    assert found == 25 and "not used" in notes[0]
    assert tables.rate_of(np.array(times, float), None)[0] is None
    assert tables.rate_of(np.array([0, np.nan, 1]), 25) == (25, ())
