"""A GGUF file of the architecture "llama" as Hugging Face's files of LlamaForCausalLM.

llama.cpp's converter (convert_hf_to_gguf.py, class LlamaModel) renames the tensors, reorders the
rows of queries and keys, and turns LLaMA 3's scaling of rotary positions into a tensor. Here all of
that is undone.
"""

import math
import pathlib
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from motionalign import reading
from motionalign.models.weights import gguf_file
from motionalign.models.weights.gguf_file import Block, Header
from motionalign.models.weights.keymap import Shape

ARCHITECTURE = "llama"  # of LLaMA 1 to 3, TinyLlama, SmolLM 1 and 2, and Mistral

_NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
"""{llama.cpp's name: Hugging Face's}; of tensors of a layer, within the layer."""

_LAYER = re.compile(r"blk\.(\d+)\.(.+)")
_FREQUENCIES = "rope_freqs.weight"
_UNUSED = re.compile(r"blk\.\d+\.attn_rot_embd\.weight")  # inverse frequencies in older files


class Restored(NamedTuple):
    """A tensor in Hugging Face's layout; `heads` is the number of heads of its rows, or None."""

    block: Block
    heads: int | None

    @property
    def shape(self) -> Shape:
        """[out, in] of a matrix."""
        return self.block.shape

    def read(self) -> np.ndarray:
        """The dequantised tensor, float32."""
        value = self.block.read()
        return value if self.heads is None else unpermute(value, self.heads)


class LlamaFile:
    """The config and the tensors of a model in one GGUF file, or in all parts of a split one.

    Attributes:
      path: path of the file that was given.
      config: what config.json of LlamaForCausalLM states of the model.
      tensors: the tensors in Hugging Face's names and layout.
    """

    def __init__(self, path: pathlib.Path) -> None:
        """Reads the headers.

        Raises:
          ValueError: a file is damaged or missing, or the model is not a LLaMA.
        """
        self.path = path
        headers = [gguf_file.read_header(part) for part in gguf_file.parts(path)]
        _check_split(headers)
        self._metadata = headers[0].metadata
        _check_architecture(path, self._metadata)
        blocks: dict[str, Block] = {}
        for header in headers:
            if twice := blocks.keys() & header.tensors.keys():
                raise ValueError(f"{header.path} has {min(twice)}, which another part has too")
            blocks |= header.tensors
        self.config = self._read_config(blocks)
        self.tensors = self._restored(blocks)

    def _get(self, key: str, form: Any, default: Any = None) -> Any:
        """A value of the metadata; `llama.` is put before the key. Without a default, required."""
        key = f"{ARCHITECTURE}.{key}"
        value = self._metadata.get(key, default)
        if value is None:
            raise ValueError(f"{self.path} lacks {key}")
        if isinstance(value, np.ndarray):  # a number for each layer
            if not value.size or (value != value[0]).any():
                raise ValueError(f"{self.path}: {key} differs from layer to layer: unsupported")
            value = value[0].item()
        reading.check_form(value, form, f"{self.path}: {key}")
        if form in (int, float) and value <= 0:
            raise ValueError(f"{self.path}: {key} is {value}; expected more than 0")
        return value

    def _read_config(self, blocks: Mapping[str, Block]) -> dict[str, Any]:
        embedding = blocks.get("token_embd.weight")
        if embedding is None or len(embedding.shape) != 2:
            raise ValueError(f"{self.path} has no word embeddings, the matrix token_embd.weight")
        heads, width = self._get("attention.head_count", int), self._get("embedding_length", int)
        head_dim = self._get("attention.key_length", int, width // heads or None)
        for key in ("attention.value_length", "rope.dimension_count"):
            if (found := self._get(key, int, head_dim)) != head_dim:
                raise ValueError(
                    f"{self.path}: llama.{key} is {found}, but heads have {head_dim} dimensions; "
                    "LlamaForCausalLM has one size for both"
                )
        config = {
            "model_type": "llama",
            "architectures": ["LlamaForCausalLM"],
            "hidden_act": "silu",
            "vocab_size": embedding.shape[0],
            "hidden_size": width,
            "intermediate_size": self._get("feed_forward_length", int),
            "num_hidden_layers": self._get("block_count", int),
            "num_attention_heads": heads,
            "num_key_value_heads": self._get("attention.head_count_kv", int, heads),
            "head_dim": head_dim,
            "max_position_embeddings": self._get("context_length", int),
            "rms_norm_eps": _rounded(self._get("attention.layer_norm_rms_epsilon", float)),
            "rope_theta": _rounded(self._get("rope.freq_base", float, 10000.0)),
            "rope_scaling": None,
            "tie_word_embeddings": "output.weight" not in blocks,
            "attention_bias": "blk.0.attn_q.bias" in blocks,
            "mlp_bias": "blk.0.ffn_gate.bias" in blocks,
        }
        config["rope_scaling"] = self._scaling(config, blocks.get(_FREQUENCIES))
        if (window := self._metadata.get("llama.attention.sliding_window")) is not None:
            reading.check_form(window, int, f"{self.path}: llama.attention.sliding_window")
            # LlamaForCausalLM has no window; MistralForCausalLM is the same model with one.
            config |= {"model_type": "mistral", "architectures": ["MistralForCausalLM"]}
            config["sliding_window"] = window or None
        for name, key in (("bos", "bos"), ("eos", "eos"), ("pad", "padding")):
            found = self._metadata.get(f"tokenizer.ggml.{key}_token_id")
            reading.check_form(found, int | None, f"{self.path}: tokenizer.ggml.{key}_token_id")
            config[f"{name}_token_id"] = found
        return config

    def _scaling(
        self, config: Mapping[str, Any], frequencies: Block | None
    ) -> dict[str, Any] | None:
        """Hugging Face's rope_scaling, or None if positions are not scaled."""
        kind = self._get("rope.scaling.type", str, "none")
        old = self._metadata.get("llama.rope.scaling.original_context_length")
        if old is not None:
            old = self._get("rope.scaling.original_context_length", int)
        if frequencies is not None:
            if kind not in ("none", "llama3"):
                raise ValueError(f"{self.path} states {kind} scaling, and has {_FREQUENCIES} too")
            return _llama3_scaling(frequencies, config, old)
        if kind == "none" and "llama.rope.scale_linear" in self._metadata:  # of older files
            kind, factor = "linear", self._get("rope.scale_linear", float)
        elif kind == "none":
            return None
        else:
            factor = self._get("rope.scaling.factor", float)
        factor = _rounded(factor)
        if kind == "linear":
            return {"rope_type": "linear", "factor": factor} if factor != 1 else None
        if kind != "yarn":
            raise ValueError(
                f"{self.path}: llama.rope.scaling.type is {kind!r}; expected none, linear or yarn"
            )
        scaling: dict[str, Any] = {"rope_type": "yarn", "factor": factor}
        scaling["original_max_position_embeddings"] = old or config["max_position_embeddings"]
        for name, key in (("beta_fast", "yarn_beta_fast"), ("beta_slow", "yarn_beta_slow")):
            if f"llama.rope.scaling.{key}" in self._metadata:
                scaling[name] = _rounded(self._get(f"rope.scaling.{key}", float))
        for key in ("attn_factor", "yarn_attn_factor", "yarn_ext_factor", "yarn_log_multiplier"):
            if (found := self._metadata.get(f"llama.rope.scaling.{key}", 1.0)) != 1.0:
                raise ValueError(f"{self.path}: llama.rope.scaling.{key} {found}: unsupported")
        return scaling

    def _restored(self, blocks: Mapping[str, Block]) -> dict[str, Restored]:
        """The tensors by Hugging Face's names."""
        layers = self.config["num_hidden_layers"]
        heads = {
            "attn_q": self.config["num_attention_heads"],
            "attn_k": self.config["num_key_value_heads"],
        }
        restored, unknown = {}, []
        for name, block in blocks.items():
            if name == _FREQUENCIES or _UNUSED.fullmatch(name):
                continue
            match = _LAYER.fullmatch(name)
            stem, _, end = (match[2] if match else name).rpartition(".")
            at_top = stem in ("token_embd", "output_norm", "output")
            if stem not in _NAMES or end not in ("weight", "bias") or at_top == bool(match):
                unknown.append(name)
                continue
            if match and int(match[1]) >= layers:
                raise ValueError(f"{self.path} has {name}, but states {layers} layers")
            under = f"model.layers.{int(match[1])}." if match else ""
            if stem in heads and block.shape[0] % (2 * heads[stem]):
                raise ValueError(
                    f"{self.path}: {name} has {block.shape[0]} rows for {heads[stem]} heads; "
                    "expected an even number for each"
                )
            restored[f"{under}{_NAMES[stem]}.{end}"] = Restored(block, heads.get(stem))
        if unknown:
            raise ValueError(
                f"{self.path} has {len(unknown)} tensors that LlamaForCausalLM does not have, "
                f"such as {', '.join(sorted(unknown)[:3])}"
            )
        return restored


def _check_architecture(path: pathlib.Path, metadata: Mapping[str, Any]) -> None:
    found = metadata.get("general.architecture")
    if found != ARCHITECTURE:
        raise ValueError(
            f"{path} has a model of the architecture {found!r}; expected {ARCHITECTURE!r} (LLaMA, "
            "TinyLlama, SmolLM, Mistral)"
        )
    if metadata.get("llama.expert_count", 0):
        raise ValueError(
            f"{path} has a mixture of {metadata['llama.expert_count']} experts (Mixtral); expected "
            "one feed-forward network a layer"
        )


def _check_split(headers: list[Header]) -> None:
    """Raises a ValueError unless the files are all parts of one model, in order."""
    for i, header in enumerate(headers):
        count, number = (header.metadata.get(f"split.{key}", default)
                         for key, default in (("count", 0), ("no", 0)))  # fmt: skip
        if (count or 1, number) != (len(headers), i):
            raise ValueError(
                f"{header.path} states that it is part {number} of {count}, from 0, but its name "
                f"says {i} of {len(headers)}; the parts are named NAME-00001-of-0000N.gguf"
            )


def unpermute(value: np.ndarray, heads: int) -> np.ndarray:
    """Undoes llama.cpp's order of the rows of a query or key projection.

    Its rotary positions turn the neighbours (2i, 2i+1) of a head, as Meta's do; Hugging Face's turn
    (i, i + D/2), and the converter reorders the rows from these to those.

    Args:
      value: [heads · D, ...].
      heads: number of heads.
    """
    pairs = value.reshape(heads, value.shape[0] // heads // 2, 2, *value.shape[1:])
    return pairs.swapaxes(1, 2).reshape(value.shape)


def _rounded(value: float) -> float:
    """The shortest decimal number that is the same in float32, in which the file stores it."""
    return float(str(np.float32(value)))


def _llama3_scaling(
    block: Block, config: Mapping[str, Any], old: int | None
) -> dict[str, Any] | None:
    """LLaMA 3's rope_scaling, from the numbers by which the file divides the frequencies.

    The divisor of a frequency f (Hugging Face's _compute_llama3_parameters) is 1 for short waves,
    `factor` for long ones, and 1 / ((1 - s) / factor + s) between, with
    s = (old · f / 2π - low) / (high - low), where `old` is the context of pretraining. Both ends
    scale together, so that `low` is taken as 1, as in all models of Meta, unless the file states
    `old`.

    Raises:
      ValueError: the divisors do not have this form.
    """
    divisors = block.read().astype(np.float64).ravel()
    half, theta = config["head_dim"] // 2, config["rope_theta"]
    name = f"{block.path}: {_FREQUENCIES}"
    if divisors.shape != (half,) or not (np.isfinite(divisors) & (divisors > 0)).all():
        raise ValueError(f"{name} has no {half} positive numbers, one for each frequency")
    if (divisors == 1).all():
        return None
    factor = _rounded(divisors.max())
    frequencies = theta ** (-np.arange(half) / half) / (2 * math.pi)
    between = (divisors > 1 + 1e-6) & (divisors < factor * (1 - 1e-6))
    fitted = None
    if between.sum() >= 2:
        s = (1 / divisors[between] - 1 / factor) / (1 - 1 / factor)
        slope, offset = np.polyfit(frequencies[between], s, 1)
        low = 1.0 if old is None else -offset * old / slope
        fitted = (low, low - low / offset, -slope * low / offset)
    for low, high, old_context in ([fitted] if fitted else []) + [(1.0, 4.0, old or 8192)]:
        low, high, old_context = round(low, 3), round(high, 3), round(old_context)
        s = np.clip((old_context * frequencies - low) / (high - low), 0, 1)
        if np.allclose(1 / ((1 - s) / factor + s), divisors, rtol=1e-5, atol=0):
            return {
                "rope_type": "llama3",
                "factor": factor,
                "low_freq_factor": low,
                "high_freq_factor": high,
                "original_max_position_embeddings": old_context,
            }
    raise ValueError(f"{name} does not scale frequencies as LLaMA 3 does; other ways are not known")
