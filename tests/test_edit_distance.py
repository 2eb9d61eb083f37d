"""Edit distances: hand-worked, and against a plain loop over the table."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motionalign import metrics
from motionalign.metrics import edit_distances, normalised_edit_distances

SENTENCES = st.lists(st.lists(st.integers(0, 3), max_size=7), min_size=1, max_size=6)


def padded(sentences):
    """[N, L], sentences of different lengths filled up with -1."""
    longest = max(map(len, sentences))
    return np.array([[*sentence, *[-1] * (longest - len(sentence))] for sentence in sentences], int)


def plain(a, b):
    """Wagner and Fischer's table, cell by cell."""
    table = [[i + j if i * j == 0 else 0 for j in range(len(b) + 1)] for i in range(len(a) + 1)]
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            table[i][j] = min(
                table[i - 1][j] + 1,
                table[i][j - 1] + 1,
                table[i - 1][j - 1] + (a[i - 1] != b[j - 1]),
            )
    return table[-1][-1]


def letters(*words):
    return padded([list(word.encode()) for word in words])


def test_by_hand():
    pairs = {
        ("kitten", "sitting"): 3,
        ("sunday", "saturday"): 3,
        ("", "abc"): 3,
        ("abc", ""): 3,
        ("", ""): 0,
        ("abcd", "bcda"): 2,
        ("same", "same"): 0,
    }
    first, second = zip(*pairs)
    found = edit_distances(letters(*first), letters(*second))
    assert found.tolist() == list(pairs.values())
    shares = normalised_edit_distances(letters(*first), letters(*second))
    np.testing.assert_allclose(shares, [3 / 7, 3 / 8, 1, 1, 0, 0.5, 0])


@settings(max_examples=60, deadline=None)
@given(SENTENCES, SENTENCES)
def test_as_a_plain_loop(first, second):
    pairs = [(a, b) for a in first for b in second]
    a, b = map(padded, zip(*pairs))
    assert edit_distances(a, b).tolist() == [plain(*pair) for pair in pairs]
    assert edit_distances(b, a).tolist() == edit_distances(a, b).tolist()


def test_pairs_are_computed_in_parts(monkeypatch):
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 4, (9, 6)), rng.integers(0, 4, (9, 5))
    whole = edit_distances(first, second)
    monkeypatch.setattr(metrics, "_CELLS", 12)
    np.testing.assert_array_equal(edit_distances(first, second), whole)
    assert len(edit_distances(first[:0], second[:0])) == 0


def test_a_gap_in_a_sentence():
    with pytest.raises(ValueError, match="-1 must follow"):
        edit_distances(np.array([[1, -1, 2]]), np.array([[1, 2, 3]]))
