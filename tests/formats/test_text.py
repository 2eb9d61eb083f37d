"""Text files and their blocks of numbers."""

import numpy as np
import pytest

from motionalign.formats import text


def test_numbers_by_line(tmp_path):
    content = "head\n1 -2.5\t.5\n\n  +3e2 4.\n"
    found = text.numbers(tmp_path, content, content.index("\n") + 1)
    np.testing.assert_array_equal(found.values, [1, -2.5, 0.5, 300, 4])
    np.testing.assert_array_equal(found.counts, [3, 0, 2, 0])
    np.testing.assert_array_equal(found.lines, [2, 4])


@pytest.mark.parametrize(
    "token",
    [
        "nan",
        "-inf",
        "1e999",
        "-1e200",
        "1.2.3",
        "1-2",
        "1,5",
        "abc",
        "0x10",
        "1_0",
        "٣",
        "1é",
        "--1",
    ],
)
@pytest.mark.parametrize("piece", [4, 1 << 20])
def test_what_is_no_finite_number_is_told_with_its_line(token, piece, monkeypatch, tmp_path):
    monkeypatch.setattr(text, "_PIECE", piece)
    with pytest.raises(ValueError, match=r"f\.bvh, line 3: .*; expected a finite number") as told:
        text.numbers(tmp_path / "f.bvh", f"1 2\n3 4\n5 {token} 6\n7", 0)
    assert repr(token) in str(told.value)


def test_a_numpy_that_stops_at_what_is_no_number_is_noticed(monkeypatch, tmp_path):
    """As older versions do, with a warning."""
    monkeypatch.setattr(np, "fromstring", lambda *_, **__: np.array([1.0, 2]))
    with pytest.raises(ValueError, match=r"line 1: '3x'; expected a finite number"):
        text.numbers(tmp_path, "1 2 3x", 0)


@pytest.mark.parametrize("piece", [1, 5, 17, 1 << 20])
def test_numbers_do_not_depend_on_the_size_of_pieces(piece, monkeypatch, tmp_path):
    monkeypatch.setattr(text, "_PIECE", piece)
    values = np.random.default_rng(0).normal(size=(20, 3))
    content = "\n".join(" ".join(map(repr, row)) for row in values.tolist())
    found = text.numbers(tmp_path, content, 0)
    np.testing.assert_array_equal(found.values.reshape(20, 3), values)
    assert found.counts.tolist() == [3] * 20


def test_latin1_is_read_with_a_note(tmp_path):
    path = tmp_path / "a"
    path.write_bytes("Hüfte\r\nx\ry".encode("latin-1"))
    content, notes = text.read(path)
    assert content == "Hüfte\nx\ny" and notes == ("The file is not UTF-8 and is read as Latin-1.",)


def test_utf8_with_a_byte_order_mark_has_no_note(tmp_path):
    path = tmp_path / "a"
    path.write_bytes("\ufeffHüfte\n".encode())
    assert text.read(path) == ("Hüfte\n", ())


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_with_a_byte_order_mark_has_no_note(encoding, tmp_path):
    path = tmp_path / "a"
    path.write_bytes("\ufeffHüfte\r\n".encode(encoding))
    assert text.read(path) == ("Hüfte\n", ())
