"""LLaMA language models (Touvron et al., 2023), like Hugging Face's `LlamaForCausalLM`.

The same architecture, with other sizes and options, is that of LLaMA 1 to 3, TinyLlama, SmolLM and,
with a sliding window, Mistral (Jiang et al., 2023).
"""

import dataclasses
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from motionalign import reading
from motionalign.models import layers, lora, rope
from motionalign.models.lora import Linear, LoraConfig
from motionalign.models.rope import RopeScaling
from motionalign.models.weights import keymap
from motionalign.models.weights.keymap import KeyMap


@dataclasses.dataclass(frozen=True)
class LlamaConfig(layers.Config):
    """Sizes and options of a LLaMA.

    Attributes:
      vocab_size: number of rows in the token embedding table.
      width, depth, mlp_width: sizes of the transformer.
      heads: number of query heads.
      key_heads: number of key and value heads; each serves heads / key_heads query heads.
      head_width: width of a head; in some models not width / heads.
      max_positions: context of the model, in tokens, before `rope_scaling`.
      rope_base: base of the rotary frequencies.
      rope_scaling: how the frequencies are scaled to a longer context; None: not at all.
      norm_eps: epsilon of every RMSNorm.
      tied: whether the output layer is the embedding table.
      attention_bias, mlp_bias: whether these linear layers have biases.
      window: a token attends to itself and the window - 1 positions before it (Mistral); None: to
        all positions before it.
      lora: adapters of linear layers; None: there are none.
      remat: whether the backward pass computes each block anew instead of storing what is in it.
    """

    vocab_size: int
    width: int
    depth: int
    heads: int
    key_heads: int
    head_width: int
    mlp_width: int
    max_positions: int
    rope_base: float = 10_000.0
    rope_scaling: RopeScaling | None = None
    norm_eps: float = 1e-6
    tied: bool = False
    attention_bias: bool = False
    mlp_bias: bool = False
    window: int | None = None
    lora: LoraConfig | None = None
    remat: bool = False

    def __post_init__(self) -> None:
        """Raises a ValueError for sizes that do not fit together."""
        layers.check_types(type(self), vars(self))
        sizes = {name: value for name, value in vars(self).items() if type(value) is int}
        for name, value in sizes.items():
            most = layers.MOST_LAYERS if name == "depth" else 2**31
            if not 1 <= value <= most:
                raise ValueError(f"LlamaConfig.{name} is {value}; it must be from 1 to {most}")
        if self.heads % self.key_heads:
            raise ValueError(
                f"LlamaConfig: {self.heads} heads are not a multiple of {self.key_heads} key heads"
            )
        if self.head_width % 2:
            raise ValueError(
                f"LlamaConfig.head_width is {self.head_width}; rotary positions need an even width"
            )
        if not 0 < self.norm_eps < 1 or not 1 < self.rope_base < math.inf:
            raise ValueError(
                f"LlamaConfig: norm_eps is {self.norm_eps}, rope_base {self.rope_base}; expected "
                "above 0 and below 1, and above 1"
            )

    @property
    def context(self) -> int:
        """The most tokens that a text may have, with what `rope_scaling` adds.

        Beyond `max_positions`, the frequencies of "dynamic" depend on a text's length, so that keys
        in a cache would be those of another length: it adds nothing here.
        """
        scaling = self.rope_scaling
        if scaling is None or scaling.kind == "dynamic":
            return self.max_positions
        original = scaling.original_positions or self.max_positions
        return max(self.max_positions, math.ceil(original * scaling.factor))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "LlamaConfig":
        """Inverse of `to_dict`; unknown or missing names raise a ValueError."""
        reading.check_form(values, dict, cls.__name__)
        values = dict(values)
        if values.get("rope_scaling") is not None:
            values["rope_scaling"] = RopeScaling.from_dict(values["rope_scaling"])
        if values.get("lora") is not None:
            values["lora"] = LoraConfig.from_dict(values["lora"])
        return super().from_dict(values)


class Part(NamedTuple):
    """Keys and values of consecutive tokens, for every block.

    The batch size is that of the inputs, or 1 if the tokens are the same for all of them.

    Attributes:
      keys: per block [B or 1, K, S, d], rotated.
      values: per block [B or 1, K, S, d].
      mask: [B or 1, S] bool, True at the tokens that may be attended to.
      positions: [B or 1, S] int32.
    """

    keys: tuple[jax.Array, ...]
    values: tuple[jax.Array, ...]
    mask: jax.Array
    positions: jax.Array


class Cache(NamedTuple):
    """What has been computed of the tokens before the next ones.

    Attributes:
      parts: in the order of the tokens. Parts with batch size 1 are shared by a batch of any size,
        without copies; gradients of the batch add up in them.
      used: None: the next tokens are a further part. Otherwise an int32 scalar: the next tokens are
        written into the last part, whose first `used` tokens are taken.
    """

    parts: tuple[Part, ...]
    used: jax.Array | None = None

    @property
    def next_position(self) -> jax.Array:
        """[B or 1, 1] int32: one more than the highest position that may be attended to, or 0."""
        end = jnp.zeros((1, 1), jnp.int32)
        for part in self.parts:
            last = jnp.where(part.mask, part.positions, -1).max(axis=1, keepdims=True)
            end = jnp.maximum(end, last + 1)
        return end

    @property
    def capacity(self) -> int:
        """Number of tokens in all parts, with those that are not taken yet."""
        return sum(part.mask.shape[1] for part in self.parts)

    def with_room(self, batch: int, tokens: int) -> "Cache":
        """The cache with an empty last part for so many tokens, which need not come at once."""
        shape = (batch, *self.parts[0].keys[0].shape[1:])
        shape = (*shape[:2], tokens, shape[3])
        empty = tuple(jnp.zeros(shape, keys.dtype) for keys in self.parts[0].keys)
        masked = jnp.zeros((batch, tokens), bool)
        room = Part(empty, empty, masked, masked.astype(jnp.int32))
        return Cache((*self.parts, room), jnp.zeros((), jnp.int32))


class Context(NamedTuple):
    """What all blocks share in one call.

    Attributes:
      cosines, sines: [B, L, d / 2] float32 of the tokens' positions.
      visible: per part of the cache, then for the tokens themselves (or, if the last part has room
        for them, for that part): [B or 1, 1, 1, L, S] bool.
      used: as `Cache.used`.
    """

    cosines: jax.Array
    sines: jax.Array
    visible: tuple[jax.Array, ...]
    used: jax.Array | None


KeysValues = tuple[jax.Array, jax.Array]


class Embedding(nnx.Module):
    """Table of token embeddings."""

    def __init__(self, rows: int, width: int, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        """Initializes a random table [rows, width]; `dtype` is the compute dtype."""
        self.embedding = nnx.Param(layers.published(rngs.params(), (rows, width)))
        self.dtype = dtype

    def __call__(self, ids: jax.Array) -> jax.Array:
        """Embeds ids [B, L] as [B, L, D]; an id that is out of range gives NaN."""
        return self.embedding[...].at[ids].get(mode="fill").astype(self.dtype)


class RMSNorm(nnx.Module):
    """Division by the root mean square (Zhang and Sennrich, 2019), in float32."""

    def __init__(self, width: int, eps: float, dtype: DTypeLike) -> None:
        """Initializes the scale [width] to 1; `dtype` is the output dtype."""
        self.scale = nnx.Param(jnp.ones((width,)))
        self.eps = eps
        self.dtype = dtype

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps [..., D] to [..., D] in the output dtype."""
        x = x.astype(jnp.float32)
        x = x * jax.lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + self.eps)
        return (x * self.scale[...].astype(jnp.float32)).astype(self.dtype)


class Attention(nnx.Module):
    """Causal attention with grouped key heads and rotary positions; softmax in float32."""

    def __init__(self, config: LlamaConfig, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        """Initializes random parameters of the config's sizes; `dtype` is the compute dtype."""
        c = self.config = config
        bias, width = c.attention_bias, c.head_width
        self.query = Linear(c.width, c.heads * width, dtype, rngs, bias)
        self.key = Linear(c.width, c.key_heads * width, dtype, rngs, bias)
        self.value = Linear(c.width, c.key_heads * width, dtype, rngs, bias)
        self.out = Linear(c.heads * width, c.width, dtype, rngs, bias)

    def __call__(
        self,
        x: jax.Array,
        context: Context,
        before: tuple[KeysValues, ...] = (),
        rngs: nnx.Rngs | None = None,
    ) -> tuple[jax.Array, KeysValues]:
        """Attends from each token to those that are visible to it.

        Args:
          x: [B, L, D].
          context: positions and visibility.
          before: per part of the cache, the keys and values [B or 1, K, S, d].
          rngs: stream `dropout`; None in evaluation.

        Returns:
          [B, L, D], and keys and values of the tokens, or those of the last part with the tokens
          written into it.
        """
        c = self.config
        batch, length, _ = x.shape

        def split(y: jax.Array, heads: int) -> jax.Array:
            return y.reshape(batch, length, heads, c.head_width)

        query = rope.rotate(split(self.query(x, rngs), c.heads), context.cosines, context.sines)
        key = rope.rotate(split(self.key(x, rngs), c.key_heads), context.cosines, context.sines)
        # Heads before tokens: batched products of contiguous matrices, faster on a CPU.
        query = query.reshape(batch, length, c.key_heads, -1, c.head_width)
        query = query.transpose(0, 2, 3, 1, 4)  # [B, K, G, L, d]
        own = key.swapaxes(1, 2), split(self.value(x, rngs), c.key_heads).swapaxes(1, 2)
        if context.used is not None:
            (keys, values), before = before[-1], before[:-1]
            at = (0, 0, context.used, 0)
            own = (
                jax.lax.dynamic_update_slice(keys, own[0].astype(keys.dtype), at),
                jax.lax.dynamic_update_slice(values, own[1].astype(values.dtype), at),
            )
        out = attend(query, (*before, own), context.visible)  # [B, K, G, L, d]
        out = out.transpose(0, 3, 1, 2, 4).reshape(batch, length, -1)
        return self.out(out, rngs), own


def attend(
    query: jax.Array, parts: tuple[KeysValues, ...], visible: tuple[jax.Array, ...]
) -> jax.Array:
    """Attention over several parts, of which some are shared by the batch.

    Masked tokens get the lowest finite number as their logit, so that a token without any visible
    key gives a meaningless but finite result.

    Args:
      query: [B, K, G, L, d].
      parts: keys and values [B or 1, K, S, d] each.
      visible: per part [B or 1, 1, 1, L, S] bool.

    Returns:
      [B, K, G, L, d].
    """
    dtype, scale, lowest = query.dtype, query.shape[-1] ** -0.5, jnp.finfo(jnp.float32).min
    logits = []
    for (keys, _), seen in zip(parts, visible, strict=True):
        product = _product(layers.einsum_float32, "bkgld,bksd->bkgls", query, keys)
        logits.append(jnp.where(seen, product * scale, lowest))
    sizes = [x.shape[-1] for x in logits]
    weights = jax.nn.softmax(jnp.concatenate(logits, axis=-1), axis=-1).astype(dtype)
    out, start = None, 0
    for (_, values), size in zip(parts, sizes):
        own = weights[..., start : start + size]
        term = _product(layers.einsum, "bkgls,bksd->bkgld", own, values)
        out = term if out is None else out + term
        start += size
    assert out is not None
    return out


def _product(einsum: Callable, spec: str, x: jax.Array, part: jax.Array) -> jax.Array:
    """`einsum` of `x` and keys or values, which the batch may share."""
    part = part.astype(x.dtype)
    if len(part) == len(x) or len(part) > 1:
        return einsum(spec, x, part)
    # Key heads first: XLA has no other batched products of bfloat16 on a CPU.
    first, _, result = re.split(",|->", spec.replace("bk", "kb"))
    return einsum(f"{first},ksd->{result}", x.swapaxes(0, 1), part[0]).swapaxes(0, 1)


class MLP(nnx.Module):
    """Gated MLP, SwiGLU (Shazeer, 2020)."""

    def __init__(self, config: LlamaConfig, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        """Initializes random parameters of the config's sizes; `dtype` is the compute dtype."""
        c = config
        self.gate = Linear(c.width, c.mlp_width, dtype, rngs, c.mlp_bias)
        self.up = Linear(c.width, c.mlp_width, dtype, rngs, c.mlp_bias)
        self.down = Linear(c.mlp_width, c.width, dtype, rngs, c.mlp_bias)

    def __call__(self, x: jax.Array, rngs: nnx.Rngs | None = None) -> jax.Array:
        """Maps [..., D] to [..., D]; `rngs`: stream `dropout`, None in evaluation."""
        return self.down(jax.nn.silu(self.gate(x, rngs)) * self.up(x, rngs), rngs)


class Block(nnx.Module):
    """Transformer block with RMSNorm before attention and MLP."""

    def __init__(self, config: LlamaConfig, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        """Initializes random parameters of the config's sizes; `dtype` is the compute dtype."""
        self.attention_norm = RMSNorm(config.width, config.norm_eps, dtype)
        self.attention = Attention(config, dtype, rngs)
        self.mlp_norm = RMSNorm(config.width, config.norm_eps, dtype)
        self.mlp = MLP(config, dtype, rngs)

    def __call__(
        self,
        x: jax.Array,
        context: Context,
        before: tuple[KeysValues, ...] = (),
        rngs: nnx.Rngs | None = None,
    ) -> tuple[jax.Array, KeysValues]:
        """Maps [B, L, D] to [B, L, D]; arguments and keys and values as in `Attention`."""
        attended, own = self.attention(self.attention_norm(x), context, before, rngs)
        x = x + attended
        return x + self.mlp(self.mlp_norm(x), rngs), own


class Llama(nnx.Module):
    """LLaMA: embeddings of tokens to hidden states and the logits of the next tokens.

    Attributes:
      embed: `embed(ids [B, L])` is [B, L, D] in the compute dtype.
    """

    def __init__(
        self, config: LlamaConfig, dtype: DTypeLike = jnp.float32, *, rngs: nnx.Rngs
    ) -> None:
        """Initializes random float32 parameters; `dtype` is the compute dtype."""
        c = self.config = config
        self.dtype = dtype
        self.embed = Embedding(c.vocab_size, c.width, dtype, rngs)
        self.blocks = layers.repeat(c.depth, lambda rngs: Block(c, dtype, rngs), rngs)
        self.final_norm = RMSNorm(c.width, c.norm_eps, dtype)
        self.head = None if c.tied else Linear(c.width, c.vocab_size, dtype, rngs)
        if c.lora is not None:
            lora.adapt(self, c.lora, rngs)

    def __call__(
        self,
        x: jax.Array,
        mask: jax.Array | None = None,
        positions: jax.Array | None = None,
        cache: Cache | None = None,
        rngs: nnx.Rngs | None = None,
        *,
        segments: jax.Array | None = None,
    ) -> tuple[jax.Array, Cache]:
        """Computes the hidden states of tokens, each from those before it.

        Args:
          x: [B, L, D], embedded tokens.
          mask: [B, L] bool, True at real tokens. Padding may be on either side; its content does
            not matter, and what is computed for it has no meaning. None: all are real.
          positions: [B, L] int32; None: real tokens are counted, from the end of the cache.
          cache: what was computed of the tokens before.
          rngs: stream `dropout`; None in evaluation.
          segments: [B or 1, L] int32: of these L tokens, each attends to those of its own number
            only, so that one row can hold several continuations of the same cache. They need
            `positions`, and a cache without room.

        Returns:
          [B, L, D] after the final norm, and the cache with these tokens.

        Raises:
          ValueError: `positions` is None, and the tokens and the cache are more than the context.
        """
        cache = cache or Cache(())
        batch, length, _ = x.shape
        if mask is None:
            mask = jnp.ones((batch, length), bool)
        if positions is None:
            assert segments is None
            self.check_length(cache.capacity + (length if cache.used is None else 0))
            positions = jnp.maximum(jnp.cumsum(mask, axis=1) - 1, 0).astype(jnp.int32)
            positions = positions + cache.next_position
        # A weight of 0 does not hide NaN.
        x = jnp.where(mask[..., None], x, 0).astype(self.dtype)
        cache, context = self._extended(cache, mask, positions, segments)
        keys, values = [], []
        for i, block in enumerate(self.blocks):
            before = tuple((part.keys[i], part.values[i]) for part in cache.parts if part.keys)
            key = None if rngs is None else rngs.dropout()
            x, own = self._run(block, x, context, before, key)
            keys.append(own[0])
            values.append(own[1])
        last = cache.parts[-1]._replace(keys=tuple(keys), values=tuple(values))
        used = None if cache.used is None else cache.used + length
        return self.final_norm(x), Cache((*cache.parts[:-1], last), used)

    def check_length(self, length: int) -> None:
        """Raises a ValueError if a text of so many tokens is longer than the model's context."""
        if length > self.config.context:
            raise ValueError(
                f"a text has {length} tokens with its padding; this model has {self.config.context}"
                " positions"
            )

    def _run(
        self,
        block: Block,
        x: jax.Array,
        context: Context,
        before: tuple[KeysValues, ...],
        key: jax.Array | None,
    ) -> tuple[jax.Array, KeysValues]:
        """Calls a block, rematerialised if the config says so; `key`: of dropout, or None."""
        graphdef, state = nnx.split(block, graph=False)

        def compute(state: nnx.State, *args: Any, key: jax.Array | None) -> Any:
            rngs = None if key is None else nnx.Rngs(dropout=key)
            return nnx.merge(graphdef, state)(*args, rngs)

        run = jax.checkpoint(compute) if self.config.remat else compute
        return run(state, x, context, before, key=key)

    def _extended(
        self, cache: Cache, mask: jax.Array, positions: jax.Array, segments: jax.Array | None
    ) -> tuple[Cache, Context]:
        """The cache with the mask and positions of new tokens, and what their blocks share.

        Tokens that are a further part of the cache have no keys and values yet.
        """
        c, length = self.config, mask.shape[1]
        order = jnp.arange(length)[:, None]  # of the tokens in the last part
        if cache.used is None:
            new = Part((), (), mask, positions)
            parts = (*cache.parts, new)
        else:
            last, at = cache.parts[-1], (0, cache.used)
            order = order + cache.used
            parts = (
                *cache.parts[:-1],
                last._replace(
                    mask=jax.lax.dynamic_update_slice(last.mask, mask, at),
                    positions=jax.lax.dynamic_update_slice(last.positions, positions, at),
                ),
            )
        visible = []
        for i, part in enumerate(parts):
            seen = part.mask[:, None, :]  # [B or 1, L, S]
            if i == len(parts) - 1:
                seen = seen & (jnp.arange(part.mask.shape[1]) <= order)
                if segments is not None:
                    assert cache.used is None
                    seen = seen & (segments[:, :, None] == segments[:, None])
            if c.window is not None:
                seen = seen & (positions[:, :, None] - part.positions[:, None] < c.window)
            visible.append(
                jnp.broadcast_to(seen, (len(seen), length, seen.shape[2]))[:, None, None]
            )
        rotation = rope.rotation(positions, c.head_width, c.rope_base, c.rope_scaling)
        return Cache(parts, cache.used), Context(*rotation, tuple(visible), cache.used)

    def logits(self, hidden: jax.Array) -> jax.Array:
        """Logits [..., V] float32 of the tokens that follow, from hidden states [..., D]."""
        hidden = hidden.astype(self.dtype)
        if self.head is not None and self.head.adapter is not None:
            return self.head(hidden).astype(jnp.float32)
        if self.head is not None:
            kernel, product = self.head.kernel, "...d,dv->...v"
        else:
            kernel, product = self.embed.embedding, "...d,vd->...v"
        return layers.einsum_float32(product, hidden, kernel[...].astype(self.dtype))

    def log_probabilities(self, hidden: jax.Array, ids: jax.Array) -> jax.Array:
        """Log-probabilities [...] float32 of the tokens `ids` [...] after states [..., D]."""
        logits = self.logits(hidden)
        chosen = jnp.take_along_axis(logits, ids[..., None], axis=-1)[..., 0]
        return chosen - jax.nn.logsumexp(logits, axis=-1)


_NEUTRAL: dict[str, tuple[Any, ...]] = {  # fields of config.json → values that change nothing
    "hidden_act": (None, "silu", "swish"),
    "pretraining_tp": (None, 1),
    "partial_rotary_factor": (None, 1.0),
    "rope_interleaved": (None, False),
    "quantization_config": (None,),
    "layer_types": (None,),
    "no_rope_layers": (None,),
    "is_causal": (None, True),
    "final_logit_softcapping": (None,),
    "attn_logit_softcapping": (None,),
}


def config_from_hf(source: Mapping[str, Any], **ours: Any) -> LlamaConfig:
    """Builds the config of a Hugging Face LLaMA or Mistral from config.json.

    Fields that are missing have the values that `transformers` gives them.

    Args:
      source: content of the config.json.
      **ours: further fields of the config.

    Raises:
      ValueError: names a field that is missing, or has a value that is not supported.
    """
    layers.check_choice(source.get("model_type"), ("llama", "mistral"), "model_type")
    for name, values in _NEUTRAL.items():
        layers.check_choice(source.get(name), values, name)
    sizes = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads")
    required = (*sizes, "intermediate_size", "max_position_embeddings")
    if missing := [name for name in required if source.get(name) is None]:
        raise ValueError(f"config.json lacks {', '.join(missing)}")
    reading.check_form(source, dict.fromkeys(required, int), "config.json")
    mistral = source["model_type"] == "mistral"
    width, heads = source["hidden_size"], source["num_attention_heads"]
    key_heads = source.get("num_key_value_heads", 8 if mistral else None)
    head_width = source.get("head_dim")
    if head_width is None and (heads < 1 or width % heads):
        raise ValueError(
            f"num_attention_heads {heads} does not divide hidden_size {width}, and there is no "
            "head_dim"
        )
    base, scaling = rope.from_hf(source, source["max_position_embeddings"])
    fields: dict[str, Any] = {
        "vocab_size": source["vocab_size"],
        "width": width,
        "depth": source["num_hidden_layers"],
        "heads": heads,
        "key_heads": heads if key_heads is None else key_heads,
        "head_width": width // heads if head_width is None else head_width,
        "mlp_width": source["intermediate_size"],
        "max_positions": source["max_position_embeddings"],
        "rope_base": base,
        "rope_scaling": scaling,
        "norm_eps": source.get("rms_norm_eps", 1e-6),
        "tied": source.get("tie_word_embeddings", False),
        "attention_bias": not mistral and source.get("attention_bias", False),
        "mlp_bias": not mistral and source.get("mlp_bias", False),
        "window": source.get("sliding_window", 4096) if mistral else None,
    }
    return LlamaConfig(**fields | ours)


def key_map() -> KeyMap:
    """Maps the tensors of Hugging Face's `LlamaForCausalLM` and `LlamaModel` to our parameters."""
    block, ours = r"layers\.(\d+)\.", r"blocks/\1/"
    attention = {"q": "query", "k": "key", "v": "value", "o": "out"}

    def scale(key: str, path: str) -> keymap.Rule:
        return (key + r"\.weight", path + "/scale", keymap.SAME)

    return KeyMap(
        prefix=r"model\.",
        rules=(
            (r"embed_tokens\.weight", "embed/embedding", keymap.SAME),
            scale(block + "input_layernorm", ours + "attention_norm"),
            *(
                rule
                for theirs, name in attention.items()
                for rule in keymap.linear(
                    rf"{block}self_attn\.{theirs}_proj", f"{ours}attention/{name}"
                )
            ),
            scale(block + "post_attention_layernorm", ours + "mlp_norm"),
            *keymap.linear(block + r"mlp\.(gate|up|down)_proj", ours + r"mlp/\2"),
            scale("norm", "final_norm"),
            (r"lm_head\.weight", "head/kernel", keymap.LINEAR),
        ),
        excused=(
            r"(?:layers\.\d+\.self_attn\.)?rotary_emb\.inv_freq",  # a buffer of older versions
        ),
        fresh=(lora.TRAINED,),
        copies=((r"lm_head\.weight", "embed/embedding"),),  # if tied
    )
