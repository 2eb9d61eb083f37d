"""Checks that several formats share."""

import numpy as np
import pytest

from motionalign.formats import checks


@pytest.mark.parametrize("value", [30, 30.0, np.float32(30), np.array(30), np.array([30], ">i2")])
def test_rates(value):
    assert checks.rate(value, "clip: fps") == 30.0
    assert type(checks.rate(value, "clip: fps")) is float


@pytest.mark.parametrize(
    "value", [0, -1, True, "30", None, np.nan, np.inf, 10**400, np.array([1, 2]), np.array("30")]
)
def test_what_is_no_rate(value):
    with pytest.raises(ValueError, match=r"clip: fps is .*; expected a positive number of frames"):
        checks.rate(value, "clip: fps")


@pytest.mark.parametrize(
    "values", [["Hüfte", "b"], np.array(["Hüfte", "b"]), np.char.encode(["Hüfte", "b"], "utf-8")]
)
def test_names(values):
    assert checks.names(values, "clip: names") == ("Hüfte", "b")


def test_a_tree_in_another_order():
    order, parents = checks.tree([2, 1, 1, 0], "abcd", "clip: parents")
    assert order == [1, 2, 0, 3]
    assert parents == (-1, 0, 1, 2)


def test_positions():
    found = checks.finite(np.array([1, 2], np.uint8), "clip")
    assert (found.dtype, found.tolist()) == (np.float64, [1.0, 2.0])
    np.testing.assert_array_equal(checks.finite(np.array([1, np.nan]), "clip"), [1, np.nan])
    for values in (np.array([1j]), np.array([True]), np.array(["1"])):
        with pytest.raises(ValueError, match=r"clip has the type .*; expected numbers"):
            checks.finite(values, "clip")
    with pytest.raises(ValueError, match=r"clip is infinite at \[1\], which is no measurement"):
        checks.finite(np.array([1, -np.inf]), "clip")
    with pytest.raises(ValueError, match=r"clip is -3.40282e\+38 at \[0, 1\], which is no"):
        checks.finite(np.array([[1, np.finfo(np.float32).min]]), "clip")


def test_numbers_with_their_nouns():
    assert checks.counted(1, "frame") == "1 frame"
    assert checks.counted(0, "frame") == "0 frames"
    assert checks.counted(1200, "frame") == "1,200 frames"


@pytest.mark.parametrize(
    ("values", "kind", "shape"),
    [
        ([[1, 2], [3, 4]], "i", (2, 2)),
        ([[1, 2.5]], "f", (1, 2)),
        ([], "f", (0,)),
        ([[1, None]], "O", (1, 2)),
        ([[1, True]], "O", (1, 2)),
        ([["x" * 1_000_000] + [0.0] * 2000] * 20, "O", (20, 2001)),  # 160 GB as text
        ([[10**30]], "O", (1, 1)),
        ([[1, 2], [3]], None, None),
        ([[1, 2], 3], None, None),
    ],
)
def test_lists_as_arrays(values, kind, shape):
    found = checks.array(values)
    if kind is None:
        assert found is None
    else:
        assert (found.dtype.kind, found.shape) == (kind, shape)
