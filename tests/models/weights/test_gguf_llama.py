"""The model in a GGUF file against the Hugging Face model that it was written from."""

import math
import re

import gguf_files
import numpy as np
import pytest
from gguf_files import CONFIG

from motionalign.models.weights.source import Source

pytest.importorskip("gguf")

BIASED = {**CONFIG, "attention_bias": True, "mlp_bias": True}
TIED = {**CONFIG, "tie_word_embeddings": True, "head_dim": 32}


@pytest.mark.parametrize("config", [CONFIG, BIASED, TIED], ids=["plain", "biases", "tied"])
def test_is_the_model_that_was_written(tmp_path, config):
    given = gguf_files.write_llama(tmp_path / "m.gguf", config)
    source = Source(tmp_path / "m.gguf")
    found = source.config()
    assert {name: found[name] for name in config} == config
    assert source.shapes() == {name: value.shape for name, value in given.items()}
    for name, tensor in source.tensors.items():
        np.testing.assert_array_equal(tensor.read(), given[name], name)
        assert tensor.read().dtype == np.float32
    assert (source.hub_id, source.has_config()) == ("", True)


def test_transformers_reads_the_same(tmp_path):
    """Config and tensors, also of quantised matrices, are those that transformers reads itself."""
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("torch")
    vocabulary = {"tokenizer.ggml.tokens": [f"t{i}" for i in range(96)]}
    gguf_files.write_llama(tmp_path / "m.gguf", kind="Q8_0", more=vocabulary)
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="m.gguf")
    source = Source(tmp_path / "m.gguf")
    theirs, ours = model.config.to_dict(), source.config()
    assert theirs.pop("rope_parameters")["rope_theta"] == ours.pop("rope_theta")
    for name in ("hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
                 "intermediate_size", "vocab_size", "head_dim", "max_position_embeddings",
                 "tie_word_embeddings", "hidden_act", "model_type", "attention_bias"):  # fmt: skip
        assert ours[name] == theirs[name], name
    assert math.isclose(ours["rms_norm_eps"], theirs["rms_norm_eps"], rel_tol=1e-6)
    state = model.state_dict()
    assert source.shapes() == {name: tuple(value.shape) for name, value in state.items()}
    for name, tensor in source.tensors.items():
        np.testing.assert_array_equal(tensor.read(), state[name].numpy(), name)


@pytest.mark.parametrize(
    "kind", "Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 F16 BF16 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL IQ4_XS".split()
)
def test_quantisations(tmp_path, kind):
    """Blocks are dequantised as formulas written elsewhere do, row by row."""
    import gguf

    torch = pytest.importorskip("torch")
    of = gguf.GGMLQuantizationType[kind]
    config = {**CONFIG, "hidden_size": 256, "intermediate_size": 256, "head_dim": 64}
    given = gguf_files.blocks(gguf_files.tensors(config), config)
    size, stored = gguf.GGML_QUANT_SIZES[of]
    rng = np.random.default_rng(0)
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "llama")
    for key, value in gguf_files.metadata(config).items():
        (writer.add_float32 if isinstance(value, float) else writer.add_uint32)(key, value)
    raw = {}
    for name, value in given.items():
        if value.ndim == 1:
            writer.add_tensor(name, value)
            continue
        # Small half-precision numbers everywhere, so that any two bytes are a valid scale.
        halves = (rng.normal(size=value.size // size * stored // 2) * 0.1).astype("<f2")
        raw[name] = halves.view("u1").reshape(len(value), -1)
        if kind in ("F16", "BF16"):
            raw[name] = raw[name].view("<f2" if kind == "F16" else "<u2")
        writer.add_tensor(name, raw[name], raw_dtype=of)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    tensors = Source(tmp_path / "m.gguf").tensors
    for ours, theirs in (("mlp.down_proj", "ffn_down"), ("self_attn.v_proj", "attn_v")):
        data = raw[f"blk.1.{theirs}.weight"]
        if kind == "F16":
            expected = data.astype("f4")
        elif kind == "BF16":
            expected = (data.astype("u4") << 16).view("f4")
        elif kind in ("Q5_0", "Q5_1"):
            expected = _five_bits(data, kind)
        else:
            from transformers.integrations.gguf import dequant

            expected = dequant.dequantize(torch.from_numpy(data), int(of)).numpy()
        value = tensors[f"model.layers.1.{ours}.weight"].read()
        assert value.dtype == np.float32 and np.isfinite(value).all()
        np.testing.assert_allclose(value, expected.reshape(value.shape), rtol=1e-6, atol=1e-7)


def _five_bits(data, kind):
    """ggml's blocks of 32 numbers of 5 bits: scale, perhaps minimum, high bits, low nibbles."""
    blocks = data.reshape(-1, 22 if kind == "Q5_0" else 24)
    out = np.empty((len(blocks), 32), "f4")
    for row, block in zip(out, blocks):
        head = block[:-20].tobytes()
        halves = np.frombuffer(head, "<f2").astype("f4")
        high = int.from_bytes(block[-20:-16].tobytes(), "little")
        for i in range(32):
            byte = int(block[-16 + i % 16])
            low = byte & 15 if i < 16 else byte >> 4
            number = low | (high >> i & 1) << 4
            row[i] = halves[0] * (number - 16) if kind == "Q5_0" else halves[0] * number + halves[1]
    return out


# ---------------------------------------------------------------------------- rotary positions


def _scaling(tmp_path, more, extra=None, config=CONFIG):
    gguf_files.write_llama(tmp_path / "m.gguf", config, more=more, extra=extra)
    return Source(tmp_path / "m.gguf").config()["rope_scaling"]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, None),
        ({"llama.rope.scaling.type": "none"}, None),
        (
            {"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 2.5},
            {"rope_type": "linear", "factor": 2.5},
        ),
        ({"llama.rope.scale_linear": 4.0}, {"rope_type": "linear", "factor": 4.0}),
        (
            {
                "llama.rope.scaling.type": "yarn",
                "llama.rope.scaling.factor": 4.0,
                "llama.rope.scaling.original_context_length": 32,
                "llama.rope.scaling.yarn_beta_fast": 16.0,
            },
            {
                "rope_type": "yarn",
                "factor": 4.0,
                "original_max_position_embeddings": 32,
                "beta_fast": 16.0,
            },
        ),
    ],
)
def test_scaling(tmp_path, more, expected):
    assert _scaling(tmp_path, more) == expected


def _divisors(theta, dim, factor, low, high, old):
    """As llama.cpp's converter computes them from LLaMA 3's rope_scaling, by wavelengths."""
    found = []
    for i in range(0, dim, 2):
        wave = 2 * math.pi * theta ** (i / dim)
        if wave < old / high:
            found.append(1.0)
        elif wave > old / low:
            found.append(factor)
        else:
            smooth = (old / wave - low) / (high - low)
            found.append(1 / ((1 - smooth) / factor + smooth))
    return np.array(found, "f4")


@pytest.mark.parametrize("dim", [64, 128])
@pytest.mark.parametrize("factor", [8.0, 32.0])
@pytest.mark.parametrize(
    ("low", "high", "old"), [(1.0, 4.0, 8192), (1.0, 8.0, 4096), (2.0, 8.0, 8192)]
)
def test_llama3_scaling(tmp_path, dim, factor, low, high, old):
    """What is recovered gives the same frequencies; with low = 1 it is what was written."""
    config = {**CONFIG, "rope_theta": 500000.0, "head_dim": dim}
    divisors = _divisors(500000.0, dim, factor, low, high, old)
    found = _scaling(tmp_path, {}, {"rope_freqs.weight": divisors}, config)
    assert found["rope_type"] == "llama3"
    again = _divisors(
        500000.0, dim, found["factor"], found["low_freq_factor"], found["high_freq_factor"],
        found["original_max_position_embeddings"],
    )  # fmt: skip
    np.testing.assert_allclose(again, divisors, rtol=1e-5)
    if low == 1:
        assert found == {
            "rope_type": "llama3", "factor": factor, "low_freq_factor": low,
            "high_freq_factor": high, "original_max_position_embeddings": old,
        }  # fmt: skip


def test_divisors_of_one_scale_nothing(tmp_path):
    assert _scaling(tmp_path, {}, {"rope_freqs.weight": np.ones(8, "f4")}) is None


def test_a_sliding_window_is_that_of_mistral(tmp_path):
    gguf_files.write_llama(tmp_path / "m.gguf", more={"llama.attention.sliding_window": 32})
    config = Source(tmp_path / "m.gguf").config()
    assert (config["model_type"], config["sliding_window"]) == ("mistral", 32)


# ---------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"llama.expert_count": 8}, "mixture of 8 experts"),
        ({"llama.attention.head_count_kv": [2, 1]}, "head_count_kv differs from layer to layer"),
        ({"llama.rope.dimension_count": 8}, "rope.dimension_count is 8, but heads have 16"),
        ({"llama.embedding_length": None}, "lacks llama.embedding_length"),
        ({"llama.embedding_length": "wide"}, "embedding_length is 'wide'; expected a whole number"),
        ({"llama.block_count": 0}, "block_count is 0; expected more than 0"),
        ({"llama.block_count": 1}, "has blk.1.*, but states 1 layers"),
        ({"llama.attention.head_count": 0}, "head_count is 0"),
        ({"llama.rope.freq_base": math.nan}, "freq_base is nan"),
        ({"llama.rope.scaling.type": "longrope", "llama.rope.scaling.factor": 2.0}, "'longrope'"),
        ({"llama.rope.scaling.type": "linear"}, "lacks llama.rope.scaling.factor"),
        ({"tokenizer.ggml.eos_token_id": "x"}, "eos_token_id is 'x'"),
    ],
)
def test_a_model_of_another_kind(tmp_path, more, said):
    gguf_files.write_llama(tmp_path / "m.gguf", more=more)
    with pytest.raises(ValueError, match=f"m.gguf.*{said}"):
        Source(tmp_path / "m.gguf").config()


def test_another_architecture(tmp_path):
    gguf_files.write(tmp_path / "m.gguf", {}, {}, architecture="qwen2")
    with pytest.raises(ValueError, match=r"architecture 'qwen2'; expected 'llama'"):
        Source(tmp_path / "m.gguf").config()


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ({"blk.0.attn_q_norm.weight": np.ones(16, "f4")}, "1 tensors .* such as blk.0.attn_q_norm"),
        ({"attn_q.weight": np.ones((64, 64), "f4")}, "such as attn_q.weight"),
        ({"blk.0.output.weight": np.ones((64, 64), "f4")}, "such as blk.0.output.weight"),
        ({"rope_freqs.weight": np.ones(3, "f4")}, "has no 8 positive numbers"),
        ({"rope_freqs.weight": np.linspace(1, 7, 8).astype("f4") ** 2}, "does not scale"),
        ({"blk.0.attn_k.weight": np.ones((6, 64), "f4")}, "has 6 rows for 2 heads"),
    ],
)
def test_tensors_that_it_cannot_have(tmp_path, extra, said):
    gguf_files.write_llama(tmp_path / "m.gguf", extra=extra)
    with pytest.raises(ValueError, match=f"m.gguf.*{said}"):
        Source(tmp_path / "m.gguf").config()


# ---------------------------------------------------------------------------- folders and parts


def test_a_folder_with_one_file(tmp_path):
    gguf_files.write_llama(tmp_path / "m.gguf")
    source = Source(tmp_path)
    assert source.config()["hidden_size"] == 64
    assert source.sha256 == Source(tmp_path / "m.gguf").sha256
    (tmp_path / "config.json").write_text("{}", "utf-8")
    assert Source(tmp_path).config()["hidden_size"] == 64
    (tmp_path / "model.safetensors").touch()
    assert Source(tmp_path).gguf is None


def test_a_folder_with_several_files(tmp_path):
    for name in ("a-Q4_0.gguf", "a-Q8_0.gguf"):
        gguf_files.write_llama(tmp_path / name)
    with pytest.raises(ValueError, match=r"several GGUF files.*: a-Q4_0.gguf, a-Q8_0.gguf"):
        Source(tmp_path).config()
    assert Source(tmp_path / "a-Q8_0.gguf").config()["hidden_size"] == 64


def write_parts(folder, count=3):
    """A model in parts, as llama.cpp's gguf-split writes them. Returns its tensors."""
    given = gguf_files.tensors()
    blocks = list(gguf_files.blocks(given).items())
    for i in range(count):
        values = {"split.no": i, "split.count": count, "split.tensors.count": len(blocks)}
        values |= gguf_files.metadata() if i == 0 else {}
        name = f"m-{i + 1:05d}-of-{count:05d}.gguf"
        gguf_files.write(folder / name, values, dict(blocks[i::count]))
    return given


def test_a_model_in_parts(tmp_path):
    given = write_parts(tmp_path)
    for source in (Source(tmp_path), Source(tmp_path / "m-00002-of-00003.gguf")):
        assert len(source.weights()) == 3
        assert source.config()["hidden_size"] == 64
        for name, value in given.items():
            np.testing.assert_array_equal(source.tensors[name].read(), value)


def test_a_part_is_missing_or_another(tmp_path):
    write_parts(tmp_path)
    second = tmp_path / "m-00002-of-00003.gguf"
    complete = second.read_bytes()
    second.unlink()
    with pytest.raises(ValueError, match=r"split model, of which m-00002-of-00003.gguf is missing"):
        Source(tmp_path).config()
    second.write_bytes((tmp_path / "m-00003-of-00003.gguf").read_bytes())
    with pytest.raises(ValueError, match=r"states that it is part 2 of 3.*says 1 of 3"):
        Source(tmp_path).config()
    second.write_bytes(complete)
    assert Source(tmp_path).config()["num_hidden_layers"] == 2


# ---------------------------------------------------------------------------- a real file


def test_smollm2():
    source = Source(gguf_files.smollm2())
    expected = {
        "model_type": "llama", "hidden_size": 576, "num_hidden_layers": 30, "vocab_size": 49152,
        "num_attention_heads": 9, "num_key_value_heads": 3, "intermediate_size": 1536,
        "rms_norm_eps": 1e-5, "rope_theta": 100000.0, "rope_scaling": None, "head_dim": 64,
        "max_position_embeddings": 8192, "tie_word_embeddings": True, "attention_bias": False,
        "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2,
    }  # fmt: skip
    found = source.config()
    assert {name: found[name] for name in expected} == expected
    assert sum(math.prod(shape) for shape in source.shapes().values()) == 134_515_008
    norm = source.tensors["model.norm.weight"].read()
    assert 0.1 < np.abs(norm).mean() < 100


def test_without_the_package(tmp_path, monkeypatch):
    gguf_files.write_llama(tmp_path / "m.gguf")
    from motionalign.models.weights import gguf_file

    monkeypatch.setattr(gguf_file.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=re.escape('pip install "motionalign[gguf]"')):
        Source(tmp_path / "m.gguf").config()
