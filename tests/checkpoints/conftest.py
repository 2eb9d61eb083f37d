"""A small run and the folder to share that is made of it."""

import pytest
from runs import tiny_config

import motionalign
from motionalign import evaluate, train
from motionalign.checkpoints.workdir import results_beside


@pytest.fixture(scope="session")
def trained(small_dataset, tmp_path_factory):
    """The workdir of a run of one epoch, evaluated; to be read, not changed."""
    workdir = tmp_path_factory.mktemp("saved") / "run"
    config = tiny_config(small_dataset, epochs=1)
    assert train.train(config, workdir) == "finished"
    evaluate.evaluate_checkpoint(config, workdir, workdir)
    return workdir


@pytest.fixture(scope="session")
def shared(trained, tmp_path_factory):
    """The same as a folder to share; to be read, not changed."""
    model = motionalign.load(trained)
    results = results_beside(trained, model.run["step"])
    return model.save_pretrained(tmp_path_factory.mktemp("shared") / "waver", results)
