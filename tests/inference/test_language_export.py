"""Adapters alone and merged, read by PEFT and transformers."""

import dataclasses
import json
import types

import numpy as np
import pytest
from llmar import write_language_model

from motionalign.data.bodies import BodiesConfig
from motionalign.data.language_tokenizer import LanguageTokenizer
from motionalign.inference.language_export import save_adapters, save_merged
from motionalign.models import llama
from motionalign.models.frozen import FrozenWeights
from motionalign.models.lora import TRAINED, LoraConfig
from motionalign.models.motion_language import MotionLanguageConfig, MotionLanguageModel
from motionalign.models.motion_tokenizer import MotionTokenizerConfig
from motionalign.models.network import Network
from motionalign.models.quantizers import QuantizerConfig
from motionalign.models.weights.load import load_language_tokenizer
from motionalign.models.weights.source import Source

BODIES = BodiesConfig(joints=4, persons=1, frames=8, root=1, left=(2,), right=(3,), face=True)
LORA = LoraConfig(2, 4.0, r"blocks/\d+/(attention/(query|out)|mlp/down)")


def model_of(words: str, base: str = "float32", adapters: LoraConfig | None = LORA):
    """What the functions read of a `Model` whose adapters have been trained."""
    config = MotionLanguageConfig(
        tokenizer=MotionTokenizerConfig(BODIES, QuantizerConfig("euclidean", 8, 16), width=4),
        llama=llama.config_from_hf(Source(words).config(), lora=adapters),
        instruction="plain", before=(5,), between=(), after=(6,), answer_tokens=8, ends=(1,),
    )  # fmt: skip
    frozen = (FrozenWeights.of("llama", words, base, TRAINED),) if adapters else ()
    network = Network(config, module=MotionLanguageModel, frozen=frozen)
    rng = np.random.default_rng(0)
    params = {
        path: rng.normal(0, 0.3, value.shape).astype(np.float32) if "lora_b" in path else value
        for path, value in network.init(0).items()
    }
    arrays = params | network.init_rest(0) | network.load_frozen(network.abstract_frozen)
    encoder = types.SimpleNamespace(network=network, tokenizer=load_language_tokenizer(words, 8))
    return types.SimpleNamespace(encoder=encoder, arrays=arrays, run={"kind": "language_model"})


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    return write_language_model(tmp_path_factory.mktemp("llm") / "little-llama")


def logits(module) -> np.ndarray:
    torch = pytest.importorskip("torch")
    return module.eval()(torch.tensor([[5, 9, 60, 31]])).logits.detach().float().numpy()


def test_peft_and_transformers_compute_the_same(words, tmp_path):
    peft, transformers = pytest.importorskip("peft"), pytest.importorskip("transformers")
    model = model_of(words)
    folder = save_adapters(model, tmp_path / "adapters")
    merged = save_merged(model, tmp_path / "merged")
    base = transformers.LlamaForCausalLM.from_pretrained(words)
    plain = logits(base)
    adapted = logits(peft.PeftModel.from_pretrained(base, folder))
    found = logits(transformers.LlamaForCausalLM.from_pretrained(merged))
    np.testing.assert_allclose(found, adapted, atol=1e-4)
    assert np.abs(found - plain).max() > 1e-2
    bound = model.encoder.network.bind(model.arrays).llama
    hidden, _ = bound(bound.embed(np.array([[5, 9, 60, 31]])))
    table = np.asarray(model.arrays["llama/embed/embedding"], np.float32)
    np.testing.assert_allclose(np.asarray(hidden) @ table.T, adapted, atol=1e-4)


def test_what_is_written(words, tmp_path):
    model = model_of(words)
    folder = save_adapters(model, tmp_path / "adapters")
    stated = json.loads((folder / "motionalign.json").read_text())
    assert stated["base"]["sha256"] == Source(words).sha256
    assert stated["lora"] == LORA.to_dict()
    merged = save_merged(model, tmp_path / "merged")
    assert {path.name for path in merged.iterdir()} == {
        "config.json", "model.safetensors", "tokenizer.json",
    }  # fmt: skip
    again = load_language_tokenizer(str(merged), 8)
    assert isinstance(again, LanguageTokenizer)
    assert again.ids(" walk") == model.encoder.tokenizer.ids(" walk")
    for save in (save_adapters, save_merged):
        with pytest.raises(ValueError, match="exists"):
            save(model, merged)


def test_a_quantised_base_becomes_bfloat16(words, tmp_path):
    merged = Source(save_merged(model_of(words, "int8"), tmp_path / "merged"))
    key = "model.layers.0.mlp.up_proj.weight"
    value = merged.tensors[key].read()
    assert str(value.dtype) == "bfloat16"
    original = Source(words).tensors[key.removeprefix("model.")].read()
    np.testing.assert_allclose(value.astype(np.float32), original, atol=0.02 * original.max())


def test_adapters_of_random_weights_name_no_language_model(words, tmp_path):
    model = model_of(words)
    network = model.encoder.network
    frozen = (dataclasses.replace(network.frozen[0], seed=1),)
    model.encoder.network = dataclasses.replace(network, frozen=frozen)
    with pytest.raises(ValueError, match=r"belong to random weights, not to those of .*--merged"):
        save_adapters(model, tmp_path / "adapters")
    assert not (tmp_path / "adapters").exists()
    assert (save_merged(model, tmp_path / "merged") / "model.safetensors").is_file()


def test_models_without_adapters(words, tmp_path):
    for save in (save_adapters, save_merged):
        with pytest.raises(ValueError, match="this language model has no adapters"):
            save(model_of(words, adapters=None), tmp_path / "none")
    assert not (tmp_path / "none").exists()
