"""Published divisions, as their sources state them."""

import pytest

from data_prep.protocols_ntu import NTU, SMARTHOME, UAV_HUMAN, chosen


def of(benchmarks, name):
    return chosen(benchmarks, name, "--protocol")


@pytest.mark.parametrize("each", [*NTU, *UAV_HUMAN, *SMARTHOME], ids=lambda each: each.name)
def test_parts_are_disjoint_and_every_value_has_one(each):
    parts = {"train": each.train, "val": each.val, "test": each.test}
    values = [value for part in parts.values() for value in part]
    assert len(values) == len(set(values))
    for split, part in parts.items():
        assert part == tuple(sorted(part))
        assert all(each.split(value) == split for value in part)
    assert each.split(max(values) + 1) is None
    assert each.source and each.title and each.classes


def test_sizes_of_the_parts():
    sizes = {each.name: (len(each.train), len(each.test)) for each in (*NTU, *UAV_HUMAN)}
    assert sizes == {
        "xsub60": (20, 20), "xview60": (2, 1), "xsub120": (53, 53), "xset120": (16, 16),
        "csv1": (89, 30), "csv2": (89, 30),
    }  # fmt: skip


def test_some_by_hand():
    xsub60, xview60, xsub120, xset120 = NTU
    assert [xsub60.split(p) for p in (1, 3, 38, 40, 41)] == ["train", "test", "train", "test", None]
    assert set(xsub60.train) < set(xsub120.train) and 103 in xsub120.train and 106 in xsub120.test
    assert [xview60.split(camera) for camera in (1, 2, 3)] == ["test", "train", "train"]
    assert [xset120.split(setup) for setup in (1, 2, 31, 32)] == ["test", "train"] * 2
    # Of the published lists of training subjects the first ones, the last one, and some between.
    csv1, csv2 = UAV_HUMAN
    assert csv1.train[:6] == (0, 2, 5, 6, 7, 8) and csv1.train[-9:-6] == (106, 110, 111)
    assert csv2.train[:6] == (0, 3, 4, 5, 6, 8) and csv2.train[-2:] == (117, 118)
    cs, cv1, cv2 = SMARTHOME
    assert (cs.train, cs.val) == ((3, 4, 6, 7, 9, 12, 13, 15, 17), (19, 25))
    assert (cv1.train, cv1.val, cv1.test, cv2.train) == ((1,), (5,), (2,), (1, 3, 4, 6, 7))


def test_published_counts_add_up():
    """Of 56,880 and 114,480 recordings, 302 and 535 are listed as missing."""
    counts = {each.name: sum(each.counts) for each in NTU}
    assert counts == {"xsub60": 56_578, "xview60": 56_578, "xsub120": 113_945, "xset120": 113_945}
    assert (56_880 - 302, 114_480 - 535) == (56_578, 113_945)


def test_an_unknown_name():
    with pytest.raises(ValueError, match=r"^--benchmark=xsub; expected one of xsub60, xview60, xs"):
        chosen(NTU, "xsub", "--benchmark")
    assert of(SMARTHOME, "cv2").name == "cv2"
