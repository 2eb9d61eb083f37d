"""Small published checkpoints and the files that their conversion needs."""

import numpy as np
import pytest
from converting import motionpatches_arguments

from motionalign.convert import main
from motionalign.data.tokenizer import train_wordpiece


@pytest.fixture(scope="session")
def golden(test_data):
    return test_data / "golden"


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory):
    """A folder with a small tokenizer in place of DistilBERT's."""
    folder = tmp_path_factory.mktemp("tokenizer")
    captions = ["a person walks", "someone waves twice"]
    (folder / "tokenizer.json").write_text(train_wordpiece(captions, 60))
    return folder


@pytest.fixture(scope="session")
def statistics(tmp_path_factory):
    folder = tmp_path_factory.mktemp("statistics")
    rng = np.random.default_rng(0)
    np.save(folder / "Mean_raw.npy", rng.normal(size=(22, 3)).astype(np.float32))
    np.save(folder / "Std_raw.npy", rng.uniform(0.1, 1, (22, 3)).astype(np.float32))
    return folder


@pytest.fixture(scope="session")
def motionpatches(golden, tokenizer, statistics, tmp_path_factory):
    """A small published Motion Patches model, converted by the command."""
    out = tmp_path_factory.mktemp("converted") / "motionpatches"
    main(motionpatches_arguments(golden, tokenizer, statistics, out))
    return out
