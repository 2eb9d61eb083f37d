"""Adapters in PEFT's layout: round trips, PEFT itself as the reference, and what is refused."""

import dataclasses
import json
import re
import types

import jax
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import load_file, save_file
from small_adapted import ADAPTED, DEPTH, HIDDEN, KEY_MAP, LORA, WIDTH, WORDS, Tower, save_base

from motionalign.models import llama, lora
from motionalign.models.lora import LoraConfig
from motionalign.models.weights import adapters
from motionalign.models.weights.adapters import Base
from motionalign.models.weights.load import load_weights, parameter_path
from motionalign.models.weights.source import Source

BASE = Base("base", "", "ab" * 32)

SIZES = lora.sizes(Tower(np.float32, nnx.Rngs(0), None))

Q = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"


def random_params(config=LORA, chosen=ADAPTED, seed=0):
    """{path: array} of random adapters."""
    rng = np.random.default_rng(seed)
    return {
        f"{path}/lora_{side}": rng.normal(size=shape).astype(np.float32)
        for path in chosen
        for side, shape in zip("ab", ((SIZES[path][0], config.rank), (config.rank, SIZES[path][1])))
    }


def save(folder, params=None, config=LORA, base=BASE):
    adapters.save(
        folder, random_params() if params is None else params, config, SIZES, KEY_MAP, base
    )
    return folder  # fmt: skip


def read(folder, base=BASE):
    return adapters.read(Source(folder), SIZES, KEY_MAP, base)


def edit(folder, **fields):
    """Changes fields of adapter_config.json."""
    path = folder / adapters.CONFIG
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def edit_tensors(folder, changes, remove=()):
    tensors = load_file(folder / adapters.WEIGHTS)
    kept = {name: value for name, value in tensors.items() if name not in remove}
    save_file(kept | changes, folder / adapters.WEIGHTS)


def check_same(found, expected):
    assert found.keys() == expected.keys()
    for path, value in expected.items():
        assert found[path].dtype == np.float32
        np.testing.assert_array_equal(found[path], value, err_msg=path)


def test_a_round_trip_is_exact(tmp_path):
    config = dataclasses.replace(LORA, alpha=2.5, dropout=0.1, rank_stabilized=True)
    params = random_params()
    kernels = {"blocks/0/mlp/up/kernel": np.zeros((WIDTH, HIDDEN), np.float32)}  # are not written
    found = read(save(tmp_path / "a", {**kernels, **params}, config))
    assert (found.config, found.notes) == (config, ())
    check_same(found.params, params)
    with pytest.raises(ValueError, match="already exists"):
        save(tmp_path / "a")


def test_published_names(tmp_path):
    """[out, in] as in PyTorch; the names are those of PEFT's documentation."""
    ours = {
        "model.layers.0.self_attn.v_proj": "blocks/0/attention/value",
        "model.layers.0.mlp.gate_proj": "blocks/0/mlp/gate",
        "model.layers.1.self_attn.v_proj": "blocks/1/attention/value",
        "model.layers.1.mlp.gate_proj": "blocks/1/mlp/gate",
        "lm_head": "head",
    }
    save(tmp_path / "a", params := random_params(chosen=ours.values()))
    expected = {
        f"base_model.model.{theirs}.lora_{side}.weight": params[f"{path}/lora_{side.lower()}"].T
        for theirs, path in ours.items()
        for side in "AB"
    }
    tensors = load_file(tmp_path / "a" / "adapter_model.safetensors")
    assert tensors.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(tensors[name], value)
    fields = json.loads((tmp_path / "a" / "adapter_config.json").read_text())
    assert fields["target_modules"] == ["gate_proj", "lm_head", "v_proj"]
    assert (fields["r"], fields["lora_alpha"], fields["bias"]) == (3, 6, "none")


def test_layers_of_some_blocks_only(tmp_path):
    chosen = ("blocks/0/mlp/up", "blocks/1/attention/key")
    config = dataclasses.replace(LORA, targets="|".join(chosen))
    params = random_params(config, chosen)
    found = read(save(tmp_path / "a", params, config))
    assert found.config == config
    check_same(found.params, params)
    (tmp_path / "a" / adapters.OURS).unlink()  # the regex then follows from PEFT's config
    found = read(tmp_path / "a")
    assert {p for p in SIZES if re.fullmatch(found.config.targets, p)} == set(chosen)


# ---------------------------------------------------------------------------------- PEFT


@pytest.fixture(scope="module")
def hugging_face():
    """A Llama of the stand-in's sizes, and PEFT."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    peft = pytest.importorskip("peft")

    def llama(key_heads=2):
        torch.manual_seed(0)
        sizes = {"hidden_size": WIDTH, "intermediate_size": HIDDEN, "num_hidden_layers": DEPTH}
        heads = {"num_attention_heads": 2, "num_key_value_heads": key_heads}
        config = transformers.LlamaConfig(vocab_size=WORDS, **heads, **sizes)
        return transformers.LlamaForCausalLM(config)

    return types.SimpleNamespace(llama=llama, torch=torch, peft=peft)


def kernels(model):
    """{path: [in, out]} of a LlamaForCausalLM's linear layers."""
    return {
        path: model.get_submodule(adapters._module_name(path, KEY_MAP)).weight.detach().numpy().T
        for path in SIZES
    }


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"target_modules": ["q_proj", "down_proj"]}, r"blocks/\d+/(attention/query|mlp/down)"),
        ({"target_modules": "all-linear"}, r"blocks/.*"),
        ({"target_modules": ["lm_head", "mlp.up_proj"]}, r"head|blocks/\d+/mlp/up"),
        ({"target_modules": r"model\.layers\.1\.self_attn\.[qk]_proj"},
         r"blocks/1/attention/(query|key)"),
        ({"target_modules": ["q_proj"], "layers_to_transform": [1]}, "blocks/1/attention/query"),
        ({"target_modules": "all-linear", "exclude_modules": ["up_proj", "o_proj"],
          "use_rslora": True}, r"blocks/\d+/(attention/(query|key|value)|mlp/(gate|down))"),
    ],
)  # fmt: skip
def test_what_peft_has_written(tmp_path, hugging_face, fields, expected):
    """The same layers, values, and merged kernels."""
    peft, torch = hugging_face.peft, hugging_face.torch
    model = hugging_face.llama()
    before = {path: value.copy() for path, value in kernels(model).items()}
    config = peft.LoraConfig(r=2, lora_alpha=5, lora_dropout=0.25, task_type="CAUSAL_LM", **fields)
    adapted = peft.get_peft_model(model, config)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                parameter.copy_(torch.randn_like(parameter))
    adapted.save_pretrained(tmp_path / "a", save_embedding_layers=False)
    found = read(tmp_path / "a")
    stable = bool(fields.get("use_rslora"))
    layers = {path for path in SIZES if re.fullmatch(expected, path)}
    assert {path for path in SIZES if re.fullmatch(found.config.targets, path)} == layers
    assert found.config == LoraConfig(2, 5, found.config.targets, 0.25, stable)
    assert "whether they are those of base (SHA-256 abababababab...) is not known" in found.notes[0]
    assert found.params.keys() == {f"{p}/lora_{side}" for p in layers for side in "ab"}
    params = {f"{path}/kernel": value for path, value in before.items()} | found.params
    merged = lora.merged(params, found.config)
    for path, value in kernels(adapted.merge_and_unload()).items():
        np.testing.assert_allclose(merged[f"{path}/kernel"], value, atol=1e-5)


def test_what_peft_reads(tmp_path, hugging_face):
    """PEFT finds every tensor and merges the same kernels; written again, the files are equal."""
    peft = hugging_face.peft
    params, config = random_params(), dataclasses.replace(LORA, dropout=0.1)
    model = hugging_face.llama()
    before = {f"{path}/kernel": value.copy() for path, value in kernels(model).items()}
    save(tmp_path / "a", params, config)
    adapted = peft.PeftModel.from_pretrained(model, tmp_path / "a")
    assert (adapted.peft_config["default"].r, adapted.peft_config["default"].lora_alpha) == (3, 6)
    adapted.save_pretrained(tmp_path / "b")
    found = read(tmp_path / "b")
    check_same(found.params, params)
    assert found.config == dataclasses.replace(config, targets=found.config.targets)
    merged = lora.merged({**before, **params}, config)
    for path, value in kernels(adapted.merge_and_unload()).items():
        np.testing.assert_allclose(merged[f"{path}/kernel"], value, atol=1e-5)


def test_a_llama_with_adapters_computes_what_peft_computes(tmp_path, hugging_face):
    """With the real key map, and fewer key heads than query heads."""
    peft, torch = hugging_face.peft, hugging_face.torch
    reference = hugging_face.llama(key_heads=1)
    reference.save_pretrained(tmp_path / "base")
    fields = {"r": 2, "lora_alpha": 5, "target_modules": "all-linear", "task_type": "CAUSAL_LM"}
    adapted = peft.get_peft_model(reference, peft.LoraConfig(**fields)).eval()
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.copy_(torch.randn_like(parameter))
    adapted.save_pretrained(tmp_path / "a")
    source = Source(tmp_path / "base")
    plain = llama.config_from_hf(source.config())
    sizes = lora.sizes(nnx.eval_shape(lambda: llama.Llama(plain, rngs=nnx.Rngs(0))))
    found = adapters.read(Source(tmp_path / "a"), sizes, llama.key_map(), Base.of(source))
    config = dataclasses.replace(plain, lora=found.config)
    model = nnx.eval_shape(lambda: llama.Llama(config, rngs=nnx.Rngs(0)))
    graphdef, params = nnx.split(model)
    params = load_weights(params, source, llama.key_map())

    def filled(path, leaf):
        return found.params.get(parameter_path(path), leaf)

    model = nnx.merge(graphdef, jax.tree_util.tree_map_with_path(filled, params))
    ids = np.random.default_rng(0).integers(0, WORDS, (2, 9))
    with torch.no_grad():
        expected = adapted(torch.from_numpy(ids)).logits.numpy()
    logits = jax.jit(lambda ids: model.logits(model(model.embed(ids))[0]))(ids)
    np.testing.assert_allclose(logits, expected, atol=1e-4)


# ---------------------------------------------------------------------------------- refusals


def test_adapters_of_another_base(tmp_path):
    one = Base.of(Source(save_base(tmp_path / "one")))
    other = Base.of(Source(save_base(tmp_path / "other", seed=1)))
    save(tmp_path / "a", base=one)
    assert read(tmp_path / "a", one).notes == ()
    assert read(tmp_path / "a", dataclasses.replace(one, source="elsewhere")).notes == ()
    with pytest.raises(ValueError) as error:
        read(tmp_path / "a", other)
    for part in (str(tmp_path / "a"), one.source, one.sha256[:12], other.source, other.sha256[:12]):
        assert part in str(error.value)


def test_adapters_of_peft_for_another_model_of_the_hub(tmp_path):
    save(tmp_path / "a")
    (tmp_path / "a" / adapters.OURS).unlink()
    edit(tmp_path / "a", base_model_name_or_path="meta-llama/Llama-2-7b-hf")
    ours = Base("meta-llama/Llama-2-7b-hf", "meta-llama/Llama-2-7b-hf@" + "0" * 40, "ab" * 32)
    assert "is not known" in read(tmp_path / "a", ours).notes[0]
    chat = dataclasses.replace(ours, hub_id="meta-llama/Llama-2-7b-chat-hf@" + "0" * 40)
    with pytest.raises(ValueError, match=r"trained on meta-llama/Llama-2-7b-hf, .*7b-chat-hf"):
        read(tmp_path / "a", chat)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"use_dora": True}, "not supported: use_dora=True"),
        ({"modules_to_save": ["lm_head"]}, r"modules_to_save=\['lm_head'\]"),
        ({"bias": "lora_only"}, "bias='lora_only'"),
        ({"rank_pattern": {"q_proj": 8}}, "rank_pattern="),
        ({"alpha_pattern": {"q_proj": 8}}, "alpha_pattern="),
        ({"init_lora_weights": "pissa"}, "init_lora_weights='pissa'"),
        ({"fan_in_fan_out": True}, "fan_in_fan_out"),
        ({"a_setting_of_the_future": 3}, "a_setting_of_the_future=3"),
        ({"peft_type": "IA3"}, "peft_type is 'IA3'"),
        ({"r": "8"}, "adapter_config.json: r is '8'; expected"),
        ({"r": 0}, "adapter_config.json: LoraConfig: rank is 0"),
        ({"r": 4}, "wrong shape"),
        ({"target_modules": None}, "adapter_config.json: target_modules"),
        ({"target_modules": ["c_attn"]}, r"\['c_attn'\], select none of the model's 15"),
        ({"target_modules": "model(("}, r"target_modules, 'model\(\(', is not a regular exp"),
        ({"target_modules": ["q_proj", "o_proj", "down_proj", "v_proj"]}, "missing .*value/lora_a"),
        ({"target_modules": ["q_proj", "o_proj"]}, "unexpected .*down_proj"),
    ],
)  # fmt: skip
def test_a_config_that_is_refused(tmp_path, fields, message):
    save(tmp_path / "a")
    edit(tmp_path / "a", **fields)
    with pytest.raises(ValueError, match=message):
        read(tmp_path / "a")


def test_tensors_that_are_refused(tmp_path):
    vector = np.zeros(WIDTH, np.float32)
    damages = (
        ({Q.replace("lora_A.weight", "lora_magnitude_vector"): vector}, (), "unexpected"),
        ({"base_model.model.lm_head.weight": np.zeros((WORDS, WIDTH), np.float32)}, (), "unexpect"),
        ({}, (Q,), r"missing .*blocks/0/attention/query/lora_a"),
        ({Q: np.full((3, WIDTH), np.inf, np.float32)}, (), f"{Q} has values that are NaN"),
        ({Q: np.zeros((3, 2 * WIDTH), np.float32)}, (), r"wrong shape .*q_proj"),
    )
    for i, (changes, remove, message) in enumerate(damages):
        folder = save(tmp_path / str(i))
        edit_tensors(folder, changes, remove)
        with pytest.raises(ValueError, match=message):
            read(folder)


def test_damaged_and_missing_files(tmp_path):
    for name in (adapters.CONFIG, adapters.WEIGHTS, adapters.OURS):
        folder = save(tmp_path / f"cut_{name}")
        (folder / name).write_bytes((folder / name).read_bytes()[:40])
        with pytest.raises(ValueError, match=name):
            read(folder)
    for name in (adapters.CONFIG, adapters.WEIGHTS):
        folder = save(tmp_path / f"no_{name}")
        (folder / name).unlink()
        with pytest.raises(ValueError, match=f"has no {name}"):
            read(folder)
    folder = save(tmp_path / "wrong")
    (folder / adapters.OURS).write_text('{"lora": {"rank": 2}, "base": {}}')
    with pytest.raises(ValueError, match=r"motionalign.json: LoraConfig lacks alpha"):
        read(folder)
