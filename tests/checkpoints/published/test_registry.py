"""The published model that matches an architecture."""

import pytest


def test_architectures_that_cannot_be_exported():
    from motionalign.checkpoints.published import registry
    from motionalign.models.build import resolve

    section = {
        "motion": {"size": "custom", "width": 24, "depth": 2, "heads": 3},
        "text": {"family": "bert", "width": 16, "depth": 1, "heads": 2, "vocab_size": 50},
    }
    assert registry.format_of(resolve(section)) == "motionpatches"
    section["motion"]["padding"] = "mask"
    with pytest.raises(ValueError, match="attends to the padding"):
        registry.format_of(resolve(section))
    section["motion"] |= {"padding": "attend", "family": "clip"}
    with pytest.raises(ValueError, match="no published code has a motion encoder of family 'clip'"):
        registry.format_of(resolve(section))
