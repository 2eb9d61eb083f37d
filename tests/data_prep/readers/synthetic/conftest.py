"""Clips of the built-in dataset, shared by the tests."""

import pytest

from data_prep.readers.synthetic.catalogue import all_meanings
from data_prep.readers.synthetic.generate import SyntheticClip, generate


@pytest.fixture(scope="session")
def clips() -> list[SyntheticClip]:
    """Four clips per meaning."""
    return list(generate(4 * len(all_meanings()), seed=0))
