"""MPNet: its relative positions; see also test_towers.py."""

import numpy as np
from reference import torch
from towers import MPNET

from motionalign.models import mpnet


def test_buckets_of_relative_positions():
    """Every distance up to 500 in both directions, compared with the reference."""
    distances = torch.arange(500)[None] - torch.arange(500)[:, None]
    from transformers.models.mpnet.modeling_mpnet import MPNetEncoder

    expected = MPNetEncoder.relative_position_bucket(distances, num_buckets=32)
    np.testing.assert_array_equal(mpnet.relative_buckets(500), expected)


def test_the_comparison_covers_the_last_bucket():
    """Otherwise test_towers.py would not detect wrong buckets of distant tokens."""
    _, mask = MPNET.compared
    assert mask.sum(1).max() > mpnet.MAX_DISTANCE
    buckets = mpnet.relative_buckets(mask.shape[1])
    assert set(np.unique(buckets)) == set(range(mpnet.BUCKETS)) - {mpnet.BUCKETS // 2}
