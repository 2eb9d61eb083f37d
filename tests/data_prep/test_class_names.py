"""The classes of benchmarks: their numbers, and some by hand."""

import pytest

from data_prep.class_names import NTU, SMARTHOME, SMARTHOME_CV, UAV_HUMAN


@pytest.mark.parametrize(
    ("names", "count", "some"),
    [
        (NTU, 120, {1: "drink water", 11: "read", 50: "punch or slap another person",
                    60: "walk apart from each other", 61: "put on headphones",
                    120: "play rock-paper-scissors"}),
        (("", *UAV_HUMAN)[1:], 155, {1: "drink", 100: "hover", 155: "close an umbrella"}),
        (tuple(SMARTHOME.values()), 31, {1: "clean dishes", 28: "use a tablet", 31: "watch TV"}),
        ([SMARTHOME[name] for name in SMARTHOME_CV], 19, {1: "cut bread", 19: "walk"}),
    ],
    ids=("ntu", "uav_human", "smarthome", "smarthome_cv"),
)  # fmt: skip
def test_classes(names, count, some):
    assert len(names) == len({name.lower() for name in names}) == count
    assert {number: names[number - 1] for number in some} == some
    for name in names:
        assert name and name == " ".join(name.split()) and not set(name) & set("/()_.")


def test_files_of_smarthome_are_named_in_alphabetical_order():
    assert list(SMARTHOME) == sorted(SMARTHOME)
    assert [name for name in SMARTHOME if name in SMARTHOME_CV] == list(SMARTHOME_CV)
