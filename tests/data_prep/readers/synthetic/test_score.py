"""Keyframe interpolation."""

import numpy as np

from data_prep.readers.synthetic.score import interpolate


def test_interpolation_passes_its_keys_and_never_overshoots():
    times = np.asarray([0.0, 0.4, 1.0, 1.5, 2.5])
    values = np.asarray([[0.0], [3.0], [3.0], [-1.0], [-2.0]])
    assert np.allclose(interpolate(times, values, times), values)
    fine = interpolate(times, values, np.linspace(-1, 4, 400))
    assert fine.max() <= 3 + 1e-9 and fine.min() >= -2 - 1e-9
    assert fine[0] == 0 and fine[-1] == -2
    assert np.array_equal(interpolate(times[:1], values[:1], times), np.zeros((5, 1)))
