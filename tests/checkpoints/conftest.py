"""A small run and the folder to share that is made of it."""

import pytest

import motionalign
from motionalign.checkpoints.workdir import results_beside


@pytest.fixture(scope="session")
def trained(short_run):
    """The workdir of a run of one epoch, evaluated; to be read, not changed."""
    return short_run


@pytest.fixture(scope="session")
def shared(trained, tmp_path_factory):
    """The same as a folder to share; to be read, not changed."""
    model = motionalign.load(trained)
    results = results_beside(trained, model.run["step"])
    return model.save_pretrained(tmp_path_factory.mktemp("shared") / "waver", results)
