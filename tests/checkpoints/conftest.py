"""A small run and a folder to share made from it."""

import pytest

import motionalign
from motionalign.checkpoints.workdir import results_beside


@pytest.fixture(scope="session")
def trained(short_run):
    """The workdir of an evaluated run of one epoch; read-only."""
    return short_run


@pytest.fixture(scope="session")
def shared(trained, tmp_path_factory):
    """The same model as a folder to share; read-only."""
    model = motionalign.load(trained)
    results = results_beside(trained, model.run["step"])
    return model.save_pretrained(tmp_path_factory.mktemp("shared") / "waver", results)
