"""Advice about reasons for dropping a clip."""

from data_prep.advice import ADVICE, advice_on
from data_prep.readers import REASONS


def test_every_reason_has_its_own_advice():
    assert ADVICE.keys() == REASONS.keys()
    assert len(set(ADVICE.values())) == len(ADVICE)


def test_the_advice_of_the_reader_comes_first():
    own = {"text_malformed": "Write TOML."}
    assert advice_on("text_malformed", ["a"], own) == "Write TOML."
    assert advice_on("too_short", ["a"], own) == ADVICE["too_short"]


def test_names_with_an_extension():
    assert "no extension: 01, not 01.npy" in advice_on("motion_missing", ["a", "01.npy"], {})
    assert "extension" not in advice_on("wrong_shape", ["01.npy"], {})
