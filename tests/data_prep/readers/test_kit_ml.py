import math

import numpy as np
import pytest

from data_prep.readers import FPS
from data_prep.readers.kit_ml import KitML
from motionalign.data.resample import resample


def plain_resampling(num_frames: int) -> list[int]:
    """The published rule step by step: complete blocks of 12 frames, then an incomplete one."""
    pattern = [math.floor(12.5 / 20 * i) for i in range(20)]
    index = [12 * block + frame for block in range(num_frames // 12) for frame in pattern]
    rest = num_frames // 12 * 12
    return index + [rest + frame for frame in pattern if rest + frame < num_frames]


@pytest.mark.parametrize("num_frames", [1, 2, 11, 12, 13, 24, 25, 37, 400])
def test_20fps(published_kit, num_frames):
    reader = KitML(published_kit.folder)
    index = resample(np.arange(num_frames), reader.source_fps, FPS)
    np.testing.assert_array_equal(index, plain_resampling(num_frames))


def test_constants(published_kit):
    reader = KitML(published_kit.clip("a").folder)
    assert reader.joints("a").shape == (30, 1, 21, 3)
    assert (reader.source_fps, reader.unit_in_metres) == (12.5, None)
