"""Splits that are made: shares, and what stays together."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep.splits import SplitPlan, make_splits, note, parse_shares

EIGHTY = (80.0, 10.0, 10.0)


def table(**columns):
    """Rows of clips 0, 1, 2, ... from columns."""
    return {str(i): dict(zip(columns, row)) for i, row in enumerate(zip(*columns.values()))}


@pytest.mark.parametrize("text", ["80,20", "80,10,x", "0,50,50", "80,-10,30", "80,10,inf", ""])
def test_shares_that_are_none(text):
    with pytest.raises(ValueError, match=f"--split={text}: expected the shares of train, val and"):
        parse_shares(text)


@given(count=st.integers(3, 300), seed=st.integers(0, 5))
def test_clips_of_their_own_fill_the_shares(count, seed):
    names = [f"{i:03d}" for i in range(count)]
    splits, made = make_splits(names, SplitPlan(parse_shares("80,10,10"), seed), {})
    assert sorted(name for of_split in splits.values() for name in of_split) == names
    assert all(splits.values()) and made["groups"] == count
    wanted = np.array(EIGHTY) / 100 * count
    assert np.abs(np.array([len(of) for of in splits.values()]) - wanted).max() < 2


def test_the_seed_alone_decides():
    names = [str(i) for i in range(50)]
    one = make_splits(names, SplitPlan(EIGHTY, 1), {})
    assert make_splits(names[::-1], SplitPlan(EIGHTY, 1), {}) == one
    assert make_splits(names, SplitPlan(EIGHTY, 2), {})[0] != one[0]


def test_a_share_of_zero_is_an_empty_split():
    splits, _ = make_splits(list("abcde"), SplitPlan((80.0, 20.0, 0.0)), {})
    assert [len(of_split) for of_split in splits.values()] == [4, 1, 0]


@pytest.mark.parametrize("column", ["subject", "Actor", "take"])
def test_groups_of_a_known_column_stay_together(column):
    rows = table(**{"style": ["x"] * 100, column: [f"s{i % 10}" for i in range(100)]})
    splits, made = make_splits(list(rows), SplitPlan(EIGHTY, table=rows), {})
    assert made == {
        "shares": [80, 10, 10],
        "seed": 0,
        "by": column,
        "groups": 10,
        "clips": {"train": 80, "val": 10, "test": 10},
    }
    of_split = {split: {rows[name][column] for name in names} for split, names in splits.items()}
    assert sum(map(len, of_split.values())) == 10
    line = note(made)
    assert f"split 80,10,10 with seed 0, by the column {column!r}, 10 groups: train 80" in line
    assert "--split_by" not in line


def test_a_column_with_too_few_values_is_passed_over():
    rows = table(subject=["one"] * 30, take=[f"t{i % 6}" for i in range(30)])
    assert make_splits(list(rows), SplitPlan(EIGHTY, table=rows), {})[1]["by"] == "take"
    plan = SplitPlan(EIGHTY, by="subject", table=rows)
    with pytest.raises(ValueError, match="1 groups by 'subject' cannot fill 3 splits"):
        make_splits(list(rows), plan, {})
    _, made = make_splits(list(rows), SplitPlan(EIGHTY, by="", table=rows), {})
    assert made["by"] is None and made["groups"] == 30
    assert "name one with --split_by=COLUMN" in note(made)


def test_a_column_that_does_not_exist():
    rows = table(content=["walk", "sit", "run"])
    with pytest.raises(ValueError, match=r"--split_by=who: .* no such column .* it has content"):
        make_splits(list(rows), SplitPlan(EIGHTY, by="who", table=rows), {})
    with pytest.raises(ValueError, match="it has no rows of them"):
        make_splits(["x"], SplitPlan(EIGHTY, by="who", table=rows), {})


@pytest.mark.parametrize("seed", range(5))
def test_twins_and_copies_stay_together(seed):
    names = [f"{m}{i:02d}" for i in range(30) for m in ("", "M")] + ["copy", "flipped"]
    same = {"copy": "key", "07": "key", "flipped": "other", "M08": "other"}
    subjects = {"07": "p", "11": "p", "12": "q", "13": "r"}
    rows = {name: {"subject": subject} for name, subject in subjects.items()}
    splits, made = make_splits(names, SplitPlan(EIGHTY, seed, table=rows), same)
    home = {name: split for split, of_split in splits.items() for name in of_split}
    assert all(home[f"M{i:02d}"] == home[f"{i:02d}"] for i in range(30))
    assert home["copy"] == home["07"] == home["M07"] == home["11"] == home["M11"]
    assert home["flipped"] == home["08"]
    assert made["groups"] == 29


def test_only_an_m_makes_a_name_a_twin():
    names = ["0", "10", "20", "x0", "m0"]
    assert make_splits(names, SplitPlan(EIGHTY), {})[1]["groups"] == 5


def test_too_few_clips():
    with pytest.raises(ValueError, match="2 clips that do not belong together cannot fill 3 spl"):
        make_splits(["a", "Ma", "b"], SplitPlan(EIGHTY), {})
