"""Recognised names: ranked, printed, as an array; and names that cannot be asked for."""

import numpy as np
import pytest

from motionalign.inference.recognition import Recognised, checked_names, normalised

NAMES = ("walk", "sit down", "wave")


def test_one_clip():
    found = Recognised(NAMES, np.array([-2.0, -0.5, -3.0]), "log-probability of a name")
    assert found.best == "sit down"
    assert found.ranked() == [("sit down", -0.5), ("walk", -2.0), ("wave", -3.0)]
    assert str(found).splitlines() == ["sit down  -0.5", "walk      -2", "wave      -3"]
    assert repr(found).startswith("Recognised(log-probability of a name)\nsit down")
    np.testing.assert_array_equal(np.asarray(found), [-2, -0.5, -3])
    assert found[1] == -0.5 and len(found) == 3


def test_several_clips():
    scores = np.array([[-2.0, -0.5, -3.0], [-1.0, -5.0, -0.1]])
    found = Recognised(NAMES, scores, "similarity")
    assert found.best == ["sit down", "wave"]
    assert len(found) == 2
    assert found[1].best == "wave" and found[1].ranked()[0] == ("wave", -0.1)
    assert found[:1].best == ["sit down"]
    assert str(found).splitlines() == ["sit down  -0.5", "wave  -0.1"]
    assert np.asarray(found).shape == (2, 3)
    assert np.asarray(found, np.float32).dtype == np.float32
    with pytest.raises(ValueError, match=r"these are 2 clips.*recognised\[0\]"):
        found.ranked()


def test_an_array_of_the_scores_is_a_copy():
    found = Recognised(NAMES, np.zeros(3), "similarity")
    np.array(found)[0] = 1
    assert found.scores[0] == 0


def test_log_probabilities_are_divided_by_the_number_of_tokens():
    sums, lengths = np.array([[-2.0, -6.0]]), np.array([1, 4])
    np.testing.assert_array_equal(normalised(sums, lengths, "sum"), sums)
    np.testing.assert_array_equal(normalised(sums, lengths, "mean"), [[-2, -1.5]])


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("walk", "give a list of names"),
        ([], "names is empty"),
        (["walk", 3], "name 1 is 3; names are texts"),
        (["walk", "\t"], r"name 1 of 2 is '\\t'; a name cannot be empty"),
        (["a", "b", "a"], "'a' is named 2 times"),
    ],
)
def test_names_that_cannot_be_asked_for(names, message):
    with pytest.raises(ValueError, match=message):
        checked_names(names)
    assert checked_names(iter(NAMES)) == NAMES
