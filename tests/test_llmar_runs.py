"""Whole runs of LLM-AR: both stages, the folder of a run, the model in use, a shared model."""

import json

import numpy as np
import pytest
from llmar import CLASSES, sentences_config, tokens_config, write_dataset, write_language_model
from runs import one_device, scalars

import motionalign
from motionalign import evaluate, train
from motionalign.data.dataset import Dataset

pytestmark = pytest.mark.usefixtures("one_device")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_dataset(folder)
    return folder


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    return write_language_model(tmp_path_factory.mktemp("llm") / "little-llama")


@pytest.fixture(scope="module")
def tokens(data_dir, words, tmp_path_factory):
    """The evaluated run of a motion tokenizer."""
    workdir = tmp_path_factory.mktemp("runs") / "tokens"
    config = tokens_config(data_dir, words)
    with one_device():
        assert train.train(config, workdir) == "finished"
        evaluate.evaluate_checkpoint(config, workdir, workdir)
    return workdir


@pytest.fixture(scope="module")
def llmar(data_dir, words, tokens, tmp_path_factory):
    """The evaluated run of a language model that reads its tokens."""
    workdir = tmp_path_factory.mktemp("runs") / "llmar"
    config = sentences_config(data_dir, words, tokens)
    with one_device():
        assert train.train(config, workdir) == "finished"
        evaluate.evaluate_checkpoint(config, workdir, workdir)
    return workdir


def test_first_stage(tokens):
    assert "reconstruction" in scalars(tokens)[0]


def test_second_stage(llmar):
    print((llmar / "metrics.json").read_text()[:3000])
    print(sorted(p.relative_to(llmar).as_posix() for p in llmar.rglob("*"))[:80])
