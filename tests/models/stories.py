"""Reads stories260K, a small published LLaMA, in the binary formats of llama2.c."""

import pathlib
import re
import struct

import numpy as np

from motionalign.models.llama import LlamaConfig


def read_model(path: pathlib.Path) -> tuple[LlamaConfig, dict[str, np.ndarray]]:
    """The config and the parameters by our path."""
    data = path.read_bytes()
    width, mlp_width, depth, heads, key_heads, vocab, positions = struct.unpack("<7i", data[:28])
    assert vocab > 0  # tied
    head = width // heads
    config = LlamaConfig(
        vocab, width, depth, heads, key_heads, head, mlp_width, positions, norm_eps=1e-5, tied=True
    )
    values, at = np.frombuffer(data, "<f4", offset=28), 0

    def take(*shape: int) -> np.ndarray:
        nonlocal at
        at += int(np.prod(shape))
        return values[at - int(np.prod(shape)) : at].reshape(shape)

    def halves(x: np.ndarray) -> np.ndarray:
        """From pairs of neighbours that rotate together to pairs of the two halves of a head."""
        rows = x.reshape(depth, -1, head // 2, 2, width).swapaxes(2, 3)
        return rows.reshape(depth, -1, width)

    params, stacked = {"embed/embedding": take(vocab, width)}, {}
    stacked["attention_norm/scale"] = take(depth, width)
    stacked["attention/query/kernel"] = halves(take(depth, width, width))
    stacked["attention/key/kernel"] = halves(take(depth, key_heads * head, width))
    stacked["attention/value/kernel"] = take(depth, key_heads * head, width)
    stacked["attention/out/kernel"] = take(depth, width, width)
    stacked["mlp_norm/scale"] = take(depth, width)
    stacked["mlp/gate/kernel"] = take(depth, mlp_width, width)
    stacked["mlp/down/kernel"] = take(depth, width, mlp_width)
    stacked["mlp/up/kernel"] = take(depth, mlp_width, width)
    params["final_norm/scale"] = take(width)
    assert at + positions * head == len(values)  # then cosines and sines
    for name, every in stacked.items():
        for i, value in enumerate(every):
            params[f"blocks/{i}/{name}"] = value.T
    return config, params


def read_vocabulary(path: pathlib.Path) -> list[bytes]:
    """The tokens by id."""
    data, at, tokens = path.read_bytes(), 4, []
    while at < len(data):
        _, size = struct.unpack_from("<fi", data, at)
        tokens.append(data[at + 8 : at + 8 + size])
        at += 8 + size
    return tokens


def text(vocabulary: list[bytes], ids: list[int]) -> str:
    """The text of tokens; `<0x0A>` is a byte."""
    pieces = (vocabulary[i] for i in ids)
    return (
        b"".join(bytes([int(p[3:5], 16)]) if re.fullmatch(rb"<0x..>", p) else p for p in pieces)
        .decode()
        .lstrip(" ")
    )
