"""The generated dataset: splits, captions and clips."""

import collections

import numpy as np
import pytest

from data_prep.readers.synthetic.catalogue import all_meanings
from data_prep.readers.synthetic.generate import generate


def test_is_deterministic_and_prefix_stable_across_sizes():
    first, again = (list(generate(12, seed=3)) for _ in range(2))
    other = list(generate(12, seed=4))
    for a, b in zip(first, again):
        assert (a.id, a.split, a.captions, a.meaning) == (b.id, b.split, b.captions, b.meaning)
        assert np.array_equal(a.joints, b.joints)
    assert any(a.captions != b.captions for a, b in zip(first, other))
    longer = list(generate(20, seed=3))
    assert all(np.array_equal(a.joints, b.joints) for a, b in zip(first, longer))


def test_shapes_and_lengths(clips):
    for clip in clips:
        assert clip.joints.dtype == np.float32 and clip.joints.shape[1:] == (22, 3)
        assert np.isfinite(clip.joints).all()
        assert 20 <= len(clip.joints) <= 200, clip.meaning
        assert np.abs(clip.joints[0, 0, [0, 2]]).max() < 0.75  # starts at the origin, or on a seat
    assert 50 < np.mean([len(clip.joints) for clip in clips]) < 120


def test_splits_share_meanings_but_no_clip(clips):
    assert len({clip.id for clip in clips}) == len(clips)
    meanings = {meaning.key for meaning in all_meanings()}
    by_split = {split: [c for c in clips if c.split == split] for split in ("train", "val", "test")}
    assert len(meanings) >= 300
    rounds = len(clips) // len(meanings)
    test = by_split["test"]
    assert {clip.meaning for clip in test} == meanings and len(test) == len(meanings)
    assert len({clip.captions[0] for clip in test}) == len(test)
    trained = collections.Counter(clip.meaning for clip in by_split["train"])
    assert set(trained) == meanings and min(trained.values()) >= rounds - 2
    assert 0.05 < len(by_split["val"]) / len(clips) < 0.2


def test_a_small_dataset_has_every_split():
    assert {clip.split for clip in generate(40, seed=0)} == {"train", "val", "test"}


def test_equal_captions_imply_equal_meanings(clips):
    meaning_of = {}
    for clip in clips:
        assert 2 <= len(clip.captions) == len(set(clip.captions))
        for caption in clip.captions:
            assert len(caption.split()) <= 25 and caption == caption.strip()
            assert not set("{}*#") & set(caption) and "  " not in caption
        assert meaning_of.setdefault(clip.captions[0], clip.meaning) == clip.meaning


def test_invalid_arguments_are_rejected():
    for arguments in ((0, 0), (5, -1)):
        with pytest.raises(ValueError, match="at least one clip"):
            next(generate(*arguments))
