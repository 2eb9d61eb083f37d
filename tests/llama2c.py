"""Reads models and tokenizers of llama2.c, as folders in Hugging Face's layout and as GGUF files.

The formats (llama2.c's run.c and export.py, legacy version): a model is seven int32 (width, width
of the MLP, layers, heads, key heads, vocabulary, context; a negative vocabulary stands for an own
output layer), then float32 weights, kind by kind. A tokenizer is the length of the longest token,
int32, then for each token its score, float32, its length, int32, and its bytes.
"""

import itertools
import json
import pathlib
import struct

import numpy as np
import safetensors.numpy
import tokenizers
from tokenizers import decoders, models, normalizers

BOS, EOS = 1, 2


def read_model(path: pathlib.Path) -> tuple[dict, dict[str, np.ndarray]]:
    """config.json and the tensors by Hugging Face's names, with rows in the order of the file."""
    data = path.read_bytes()
    width, inner, layers, heads, keys, words, context = struct.unpack_from("<7i", data)
    weights = np.frombuffer(data, "<f4", offset=28)
    start = 0

    def take(*shape):
        nonlocal start
        start += int(np.prod(shape))
        return weights[start - int(np.prod(shape)) : start].reshape(shape)

    size = width // heads
    found = {"model.embed_tokens.weight": take(abs(words), width)}
    for name, shape in (
        ("input_layernorm", (width,)),
        ("self_attn.q_proj", (width, width)),
        ("self_attn.k_proj", (keys * size, width)),
        ("self_attn.v_proj", (keys * size, width)),
        ("self_attn.o_proj", (width, width)),
        ("post_attention_layernorm", (width,)),
        ("mlp.gate_proj", (inner, width)),
        ("mlp.down_proj", (width, inner)),
        ("mlp.up_proj", (inner, width)),
    ):
        for i, layer in enumerate(take(layers, *shape)):
            found[f"model.layers.{i}.{name}.weight"] = layer
    found["model.norm.weight"] = take(width)
    take(2, context, size // 2)  # cosines and sines, which run.c computes anew
    if words < 0:
        found["lm_head.weight"] = take(-words, width)
    assert start == len(weights), (start, len(weights))
    config = {
        "model_type": "llama", "vocab_size": abs(words), "hidden_size": width,
        "intermediate_size": inner, "num_hidden_layers": layers, "num_attention_heads": heads,
        "num_key_value_heads": keys, "head_dim": size, "max_position_embeddings": context,
        "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": words > 0,
        "attention_bias": False, "mlp_bias": False, "bos_token_id": BOS, "eos_token_id": EOS,
    }  # fmt: skip
    return config, found


def read_vocabulary(path: pathlib.Path) -> tuple[list[str], list[float]]:
    """The tokens as SentencePiece writes them, and their scores."""
    data, tokens, scores, at = path.read_bytes(), [], [], 4
    while at < len(data):
        score, length = struct.unpack_from("<fi", data, at)
        at += 8
        tokens.append(data[at : at + length].decode())
        scores.append(score)
        at += length
    tokens[BOS], tokens[EOS] = "<s>", "</s>"  # export.py puts line breaks around them
    return [token.replace(" ", "▁") for token in tokens], scores


def halves(value: np.ndarray, heads: int) -> np.ndarray:
    """Rows of a query or key projection in Hugging Face's order: even ones of a head, then odd."""
    size = len(value) // heads
    order = [*range(0, size, 2), *range(1, size, 2)]
    return value[[head * size + i for head in range(heads) for i in order]]


def encode(tokens: list[str], scores: list[float], text: str) -> list[int]:
    """Tokens of a text as run.c finds them: the pair with the best score is joined, the first one.

    A space is put before the text; characters that are no token become their bytes.
    """
    number = {token: i for i, token in enumerate(tokens)}
    ids: list[int] = []
    for character in ("▁" + text.replace(" ", "▁")) if text else "":
        if character in number:
            ids.append(number[character])
        else:
            ids += [byte + 3 for byte in character.encode()]
    while True:
        pairs = [tokens[a] + tokens[b] for a, b in itertools.pairwise(ids)]
        known = [(-scores[number[p]], i) for i, p in enumerate(pairs) if p in number]
        if not known:
            return ids
        _, i = min(known)
        ids[i : i + 2] = [number[pairs[i]]]


def write_folder(model: pathlib.Path, vocabulary: pathlib.Path, folder: pathlib.Path) -> None:
    """Writes config.json, model.safetensors and tokenizer.json."""
    config, tensors = read_model(model)
    of = {"q_proj": config["num_attention_heads"], "k_proj": config["num_key_value_heads"]}
    for name, value in tensors.items():
        if heads := of.get(name.split(".")[-2]):
            tensors[name] = halves(value, heads)
    safetensors.numpy.save_file(
        {name: np.ascontiguousarray(value) for name, value in tensors.items()},
        folder / "model.safetensors",
    )
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    tokens, scores = read_vocabulary(vocabulary)
    number = {token: i for i, token in enumerate(tokens)}
    merges = [
        (score, token[:at], token[at:])
        for token, score in zip(tokens[259:], scores[259:])  # after special tokens and bytes
        for at in range(1, len(token))
        if token[:at] in number and token[at:] in number
    ]
    merges.sort(key=lambda merge: -merge[0])
    tokenizer = tokenizers.Tokenizer(
        models.BPE(
            number, [merge[1:] for merge in merges], unk_token="<unk>", fuse_unk=True,
            byte_fallback=True,
        )
    )  # fmt: skip
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    (folder / "tokenizer.json").write_text(tokenizer.to_str(), "utf-8")


def write_gguf(model: pathlib.Path, vocabulary: pathlib.Path, path: pathlib.Path) -> None:
    """Writes a GGUF file; its rotary positions turn neighbours, as those of llama2.c do."""
    import gguf_files

    config, tensors = read_model(model)
    tokens, scores = read_vocabulary(vocabulary)
    more = {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": scores,
        "tokenizer.ggml.token_type": [2, 3, 3] + [6] * 256 + [1] * (len(tokens) - 259),
    }
    blocks = {gguf_files.theirs(name): value for name, value in tensors.items()}
    gguf_files.write(path, gguf_files.metadata(config) | more, blocks)
