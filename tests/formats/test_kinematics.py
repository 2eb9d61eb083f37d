"""Forward kinematics about coordinate axes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from motionalign.formats import kinematics
from motionalign.formats.kinematics import Node

ANGLES = st.floats(-720, 720)


def test_a_turn_by_hand():
    # The upper arm turns about z by 90 degrees, then (inside) about its own x by 90.
    nodes = [
        Node(-1, (1, 2, 3)),
        Node(0, (1, 0, 0), turns=((2, 0), (0, 1))),
        Node(1, (0, 1, 0)),
        Node(1, (1, 0, 0)),
    ]
    found = kinematics.pose(nodes, np.array([[90.0, 0], [90, 90], [0, 90]]))
    expected = [
        [(1, 2, 3), (2, 2, 3), (1, 2, 3), (2, 3, 3)],
        [(1, 2, 3), (2, 2, 3), (2, 2, 4), (2, 3, 3)],
        [(1, 2, 3), (2, 2, 3), (2, 2, 4), (3, 2, 3)],
    ]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_array_equal(
        kinematics.rest(nodes), [(1, 2, 3), (2, 2, 3), (2, 3, 3), (3, 2, 3)]
    )


def test_moves_replace_the_offset_on_their_axis_in_the_frame_of_the_parent():
    nodes = [Node(-1, (0, 5, 0), turns=((1, 2),)), Node(0, (1, 2, 3), moves=((2, 0), (0, 1)))]
    found = kinematics.pose(nodes, np.array([[7.0, 8, 0], [7, 8, 90]]))
    np.testing.assert_allclose(found[:, 1], [(8, 7, 7), (7, 7, -8)], atol=1e-12)


@given(
    axes=st.lists(st.integers(0, 2), max_size=6),
    angles=st.lists(ANGLES, min_size=6, max_size=6),
    constant=st.lists(st.booleans(), min_size=6, max_size=6),
)
def test_any_order_of_turns_is_the_product_of_matrices(axes, angles, constant):
    turns = tuple((axis, angles[i] if constant[i] else i) for i, axis in enumerate(axes))
    nodes = [Node(-1, (0, 0, 0), turns=turns), *(Node(0, tuple(row)) for row in np.eye(3))]
    found = kinematics.pose(nodes, np.array([angles]))[0, 1:].T
    expected = np.eye(3)
    for axis, angle in zip(axes, angles):
        expected = expected @ Rotation.from_rotvec(np.radians(angle) * np.eye(3)[axis]).as_matrix()
    np.testing.assert_allclose(found, expected, atol=1e-12)


@given(order=st.permutations("XYZ"), angles=st.lists(ANGLES, min_size=3, max_size=3))
def test_three_turns_are_intrinsic_euler_angles(order, angles):
    turns = tuple(("XYZ".index(axis), i) for i, axis in enumerate(order))
    nodes = [Node(-1, (0, 0, 0), turns=turns), Node(0, (1, 2, 3))]
    found = kinematics.pose(nodes, np.array([angles]))[0, 1]
    turned = Rotation.from_euler("".join(order), angles, degrees=True).apply([1, 2, 3])
    np.testing.assert_allclose(found, turned, atol=1e-12)


@pytest.mark.parametrize("chunk", [1, 7, 100])
def test_frames_do_not_depend_on_each_other(chunk, monkeypatch):
    rng = np.random.default_rng(0)
    nodes = [
        Node(parent, tuple(rng.normal(size=3)), turns=((j % 3, j), ((j + 1) % 3, j + 8)))
        for j, parent in enumerate((-1, 0, 1, 1, 0, 4, -1, 6))
    ]
    values = rng.uniform(-180, 180, (20, 16))
    single = [kinematics.pose(nodes, row[None])[0] for row in values]
    monkeypatch.setattr(kinematics, "_CHUNK", chunk)
    np.testing.assert_array_equal(kinematics.pose(nodes, values), single)
