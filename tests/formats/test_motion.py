"""A motion, and the order of its joints."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from motionalign.formats.motion import distinct, sorted_tree


def test_names_that_are_repeated_are_numbered():
    assert distinct(["Arm", "Leg", "Arm", "Arm.2", "Arm"]) == (
        "Arm", "Leg", "Arm.2", "Arm.2.2", "Arm.3",
    )  # fmt: skip


@given(st.data())
def test_parents_come_before_their_children(data):
    count = data.draw(st.integers(1, 12))
    ordered = [data.draw(st.integers(-1, joint - 1)) if joint else -1 for joint in range(count)]
    shuffle = data.draw(st.permutations(range(count)))
    parents = np.full(count, -1)
    for joint, parent in enumerate(ordered):
        parents[shuffle[joint]] = shuffle[parent] if parent >= 0 else -1
    order = sorted_tree(parents.tolist())
    assert sorted(order) == list(range(count))
    place = {joint: at for at, joint in enumerate(order)}
    assert all(place[p] < place[j] for j, p in enumerate(parents) if p >= 0)
    assert sorted_tree(ordered) == list(range(count))


@pytest.mark.parametrize(
    ("parents", "problem"), [([1, 0], "form a circle"), ([-1, 5], "not one of"), ([0], "circle")]
)
def test_what_is_no_tree_is_refused(parents, problem):
    with pytest.raises(ValueError, match=problem):
        sorted_tree(parents)
