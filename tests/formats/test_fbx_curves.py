"""Curves of FBX: what is at a key, and between two."""

import fbx_files
import numpy as np
import pytest
from fbx_files import CONSTANT, CUBIC, LINEAR, USER

from motionalign.formats.fbx_curves import Curve
from motionalign.formats.fbx_records import parse


def curve(times, values, flags=LINEAR, slopes=None, change=None):
    inner = fbx_files.Scene().curve(times, values, flags, slopes)
    if change is not None:
        change({each.name: each for each in inner})
    data = fbx_files.content([fbx_files.record("Curve", inner=inner)])
    return Curve.of(parse(data, 7400, {"Curve": None}).inner[0], fbx_files.TICKS)


def test_linear_keys():
    found = curve([0, 1, 3], [0, 10, 30]).at(np.asarray([-1, 0, 0.25, 1, 2, 3, 4]))
    np.testing.assert_allclose(found, [0, 0, 2.5, 10, 20, 30, 30])


def test_one_key():
    np.testing.assert_array_equal(curve([2], [7]).at(np.asarray([0.0, 2, 5])), [7, 7, 7])


def test_constant_keys():
    times = np.asarray([0, 0.9, 1, 1.5, 2, 3])
    found = curve([0, 1, 2], [5, 6, 7], CONSTANT).at(times)
    np.testing.assert_array_equal(found, [5, 5, 6, 6, 7, 7])
    found = curve([0, 1, 2], [5, 6, 7], CONSTANT | 0x100).at(times)
    np.testing.assert_array_equal(found, [5, 6, 6, 7, 7, 7])


def test_constant_keys_of_every_frame_are_not_late():
    times = 0.1 + np.arange(1000) / 30
    ticks = np.round(times * fbx_files.TICKS) / fbx_files.TICKS
    found = curve(times, np.arange(1000), CONSTANT).at(ticks[0] + np.arange(1000) / 30)
    np.testing.assert_array_equal(found, np.arange(1000))


def test_cubic_keys_with_stored_tangents():
    t = np.linspace(0, 2, 21)
    keys = np.asarray([0.0, 0.5, 1.5, 2.0])
    slopes = np.stack([3 * keys**2, 3 * np.append(keys[1:], 0) ** 2], -1)
    found = curve(keys, keys**3, CUBIC | USER, slopes).at(t)
    np.testing.assert_allclose(found, t**3, atol=1e-6)


def test_cubic_keys_whose_tangents_are_computed():
    keys = np.linspace(0, 1, 11)
    t = np.linspace(0.1, 0.9, 50)
    found = curve(keys, keys**2, CUBIC | 0x100).at(t)
    np.testing.assert_allclose(found, t**2, atol=1e-6)  # a parabola's chords are its tangents


def test_computed_tangents_of_uneven_keys():
    """Half the slope between the neighbours, half the mean of both sides by the other's length."""
    found = curve([0, 1, 4], [0, 6, 6], CUBIC | 0x100)
    between, mean = 6 / 4, 6 * 3 / 4
    assert found.slopes[0].tolist() == [6, (between + mean) / 2]
    assert found.slopes[1].tolist() == [(between + mean) / 2, 0]
    assert curve([0, 1, 4], [0, 6, 6], CUBIC | 0x2100).slopes[0].tolist() == [6, between]
    assert curve([0, 1, 4], [0, 6, 6], CUBIC | 0x1100).slopes.tolist() == [[6, 0], [0, 0]]
    assert curve([0, 1, 4], [0, 6, 7], CUBIC | 0x4100).slopes.tolist() == [[0, 1], [1, 0]]


def test_clamped_tangents_do_not_overshoot():
    t = np.linspace(0, 4, 100)
    values = [0, 0, 1, 1, 0]
    free = curve(np.arange(5), values, CUBIC | 0x100).at(t)
    clamped = curve(np.arange(5), values, CUBIC | 0x4100).at(t)
    assert free.max() > 1.05
    assert clamped.min() > -1e-9
    assert clamped.max() < 1 + 1e-9


def test_keys_of_several_kinds():
    flags = [LINEAR, CONSTANT, CUBIC | USER, LINEAR]
    slopes = np.zeros((4, 2))
    found = curve(np.arange(4), [0, 2, 4, 8], flags, slopes).at(np.asarray([0.5, 1.5, 2.25, 2.5]))
    np.testing.assert_allclose(found, [1, 2, 4 + 4 * (3 / 16 - 2 / 64), 6])


def test_flags_are_stored_for_runs_of_keys():
    def runs(records):
        records["KeyAttrFlags"].values = (np.asarray([CONSTANT, LINEAR], "<i4"),)
        records["KeyAttrDataFloat"].values = (np.zeros(8, "<f4"),)
        records["KeyAttrRefCount"].values = (np.asarray([2, 2], "<i4"),)

    found = curve(np.arange(4), [0, 1, 2, 3], change=runs).at(np.asarray([0.5, 1.5, 2.5]))
    np.testing.assert_allclose(found, [0, 1, 2.5])


@pytest.mark.parametrize("counts", [[3], [-1], [2**31 - 1], [1, 1], []])
def test_flags_that_do_not_fit_are_passed_by(counts):
    def change(records):
        records["KeyAttrRefCount"].values = (np.asarray(counts, "<i4"),)
        records["KeyAttrFlags"].values = (np.asarray([CONSTANT], "<i4"),)

    found = curve([0, 1], [0, 1], change=change).at(np.asarray([0.5]))
    np.testing.assert_allclose(found, [0.5])


def test_two_keys_at_one_time_are_a_jump():
    found = curve([0, 1, 1, 2], [0, 1, 5, 6]).at(np.asarray([0.5, 0.999, 1, 1.5]))
    np.testing.assert_allclose(found, [0.5, 0.999, 5, 5.5], atol=1e-6)


def test_no_keys_are_no_curve():
    assert curve([], []) is None

    def gone(records):
        records["KeyTime"].name = "Other"

    assert curve([0, 1], [0, 1], change=gone) is None
