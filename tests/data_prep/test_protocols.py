"""Published protocols, held-out groups and drawn classes."""

import numpy as np
import pytest

from data_prep import protocols
from data_prep.protocols import Protocol, drawn_classes, held_out, held_out_clips


def test_parts_are_disjoint_and_folds_are_all_pairs():
    """SBU's 21 pairs of seven subjects are in one fold each, as its README lists them."""
    for (protocol,) in (protocols.NW_UCLA, protocols.UTD_MHAD):
        assert not set(protocol.train) & set(protocol.test)
    (sbu,) = protocols.SBU
    pairs = [pair for fold in sbu.folds for pair in fold]
    assert len(pairs) == len(set(pairs)) == 21
    assert {number for pair in pairs for number in divmod(pair, 100)} == set(range(1, 8))


def test_a_fold_tests_and_the_others_train():
    (sbu,) = protocols.SBU
    second = sbu.of_fold(2)
    assert second.title == "SBU Kinect Interaction, 5 folds, fold 2"
    assert second.test == (203, 207, 305, 503)
    assert len(second.train) == 17 and not set(second.train) & set(second.test)
    (ucla,) = protocols.NW_UCLA
    assert ucla.of_fold(None) is ucla


@pytest.mark.parametrize("fold", [None, 0, 6, -1])
def test_folds_outside_are_refused(fold):
    with pytest.raises(ValueError, match=r"--fold.* needs the fold that tests, 1 to 5"):
        protocols.SBU[0].of_fold(fold)
    if fold is not None:
        with pytest.raises(ValueError, match=r"--protocol=cross_view has no folds"):
            protocols.NW_UCLA[0].of_fold(fold)


def test_whole_groups_are_held_out():
    groups = [3, 1, 2, 3, 1, 2, 4, 5, 6, 7, 8, 9, 10]
    assert held_out(groups, 0.0, 0) == ()
    (one,) = held_out(groups, 0.1, 0)
    assert one in groups
    assert held_out(groups, 0.1, 0) == held_out(sorted(groups), 0.1, 0)  # of the set, in any order
    assert len({held_out(groups, 0.1, seed) for seed in range(20)}) > 3
    assert len(held_out(groups, 0.26, 0)) == 3
    assert len(held_out([1, 2], 0.9, 0)) == 1  # not all
    assert len(held_out([1, 2, 3, 4], 0.01, 0)) == 1  # not none
    assert set(held_out(["b", 10, "a", 2], 0.7, 0)) < {2, 10, "a", "b"}


@pytest.mark.parametrize("share", [-0.1, 1, 1.5, np.nan])
def test_other_shares_are_refused(share):
    with pytest.raises(ValueError, match=r"--val_share=\S+; expected at least 0 and below 1"):
        held_out([1, 2], share, 0)
    with pytest.raises(ValueError, match="--val_share"):
        held_out_clips({"a": 0}, share, 0)


def test_a_part_of_one_group_is_refused():
    with pytest.raises(ValueError, match=r"training clips are of one group \(7\)"):
        held_out([7, 7], 0.5, 0)


def test_clips_are_held_out_of_every_class():
    class_of = {f"{label}{i:02d}": label for label in "abc" for i in range(20)}
    class_of["alone"] = "d"
    val = held_out_clips(class_of, 0.1, 0)
    assert sorted(name[0] for name in val) == ["a", "a", "b", "b", "c", "c"]
    assert val == held_out_clips(dict(reversed(class_of.items())), 0.1, 0)
    assert val != held_out_clips(class_of, 0.1, 1)
    assert held_out_clips(class_of, 0.0, 0) == set()


def test_draws_are_disjoint():
    names = [f"class {i}" for i in range(27)]
    draws = [drawn_classes(names, 5, draw) for draw in range(5)]
    assert len({name for draw in draws for name in draw}) == 25
    assert all(list(draw) == sorted(draw, key=names.index) for draw in draws)
    with pytest.raises(
        ValueError, match=r"--draw=5; 27 classes give 5 disjoint draws of 5: 0 to 4"
    ):
        drawn_classes(names, 5, 5)
    with pytest.raises(ValueError, match=r"--draw=-1"):
        drawn_classes(names, 5, -1)
    for count in (0, 26):
        with pytest.raises(ValueError, match=rf"--leave_out={count}; expected 1 to 25 of 27"):
            drawn_classes(names, count, 0)


def test_a_protocol_of_ones_own():
    own = Protocol("own", "own", "subject", ("a", 2), (), "the options", rest_tests=True)
    assert own.of_fold(None).rest_tests
