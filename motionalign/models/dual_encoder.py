"""Motion encoder and text encoder with a projection head each, into one space (Motion Patches, §3).

`resolve` turns the `model` section of a config into a `DualEncoderConfig`, which knows every size
and is what a checkpoint stores; `DualEncoder` is the model; `load_pretrained` fills its towers.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from motionalign.models import bert, distilbert, layers, pretrained, vit


class Family(NamedTuple):
    """What a family of text encoders brings."""

    config: type
    module: type
    config_from_hf: Callable
    key_map: Callable


TEXT_FAMILIES = {
    "bert": Family(bert.BertConfig, bert.Bert, bert.config_from_hf, bert.key_map),
    "distilbert": Family(
        distilbert.DistilBertConfig,
        distilbert.DistilBert,
        distilbert.config_from_hf,
        distilbert.key_map,
    ),
}

MAX_SCALE = 100.0  # a learnt temperature goes no lower than its inverse, as in CLIP


@dataclasses.dataclass(frozen=True)
class DualEncoderConfig(layers.Config):
    """Everything that decides what a dual encoder computes.

    embed_dim: E of the common space. head_dropout: in both projection heads.
    temperature: of the softmax over similarities; where training starts if learn_temperature.
    max_tokens: texts are cut after so many tokens, special ones included.
    """

    motion: vit.ViTConfig
    text: bert.BertConfig | distilbert.DistilBertConfig
    embed_dim: int = 256
    head_dropout: float = 0.5
    temperature: float = 0.07
    learn_temperature: bool = False
    max_tokens: int = 128

    @property
    def text_family(self) -> str:
        """Key of `TEXT_FAMILIES`."""
        return next(k for k, f in TEXT_FAMILIES.items() if isinstance(self.text, f.config))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; the text section says its family."""
        text = {"family": self.text_family, **self.text.to_dict()}
        return dataclasses.asdict(self) | {"text": text}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "DualEncoderConfig":
        """Inverse of `to_dict`; unknown or missing names are a ValueError."""
        values = dict(values)
        if "motion" in values:
            values["motion"] = vit.ViTConfig.from_dict(values["motion"])
        if "text" in values:
            text = dict(values["text"])
            values["text"] = _text_family(text.pop("family", None)).config.from_dict(text)
        return super().from_dict(values)


class ProjectionHead(nnx.Module):
    """Feature to embedding, as in the published code: erf GELU, LayerNorm with eps 1e-5."""

    def __init__(self, width: int, embed_dim: int, dropout: float, dtype, *, rngs: nnx.Rngs):
        def dense(fan_in):
            init = layers.torch_linear(fan_in)
            return layers.Dense((fan_in,), (embed_dim,), dtype, rngs, init, init)

        self.projection = dense(width)
        self.hidden = dense(embed_dim)
        self.norm = layers.LayerNorm(embed_dim, 1e-5, dtype)
        self.dropout = dropout

    def __call__(self, x, rngs: nnx.Rngs | None = None):
        """[B, D] to [B, E]."""
        projected = self.projection(x)
        x = self.hidden(layers.gelu(projected))
        return self.norm(layers.dropout(x, self.dropout, rngs) + projected)


class DualEncoder(nnx.Module):
    """Motion and text to vectors that are close where one describes the other.

    Parameters are float32; `dtype` is what towers and heads compute in, with LayerNorm statistics,
    softmax and pooling in float32.
    """

    def __init__(self, config: DualEncoderConfig, dtype=jnp.float32, *, rngs: nnx.Rngs):
        c = self.config = config
        text = TEXT_FAMILIES[c.text_family].module
        self.motion_encoder = vit.ViT(c.motion, dtype, rngs=rngs)
        self.text_encoder = text(c.text, dtype, rngs=rngs)
        head = (c.embed_dim, c.head_dropout, dtype)
        self.motion_head = ProjectionHead(c.motion.width, *head, rngs=rngs)
        self.text_head = ProjectionHead(c.text.width, *head, rngs=rngs)
        self.logit_scale = nnx.Param(-jnp.log(jnp.asarray(c.temperature, jnp.float32)))

    def encode_motion(self, patches, num_frames=None, rngs: nnx.Rngs | None = None):
        """Embeddings of motions, not normalised.

        Args:
          patches: [B, F, 5 * N, 3] motion patches of any float dtype, zero beyond a clip's end.
          num_frames: [B] int32, real frames; needed with padding="mask" only.
          rngs: stream `dropout` in training; None in evaluation.

        Returns:
          [B, E] in the compute dtype.
        """
        return self.motion_head(self.motion_encoder(patches, num_frames, rngs), rngs)

    def encode_text(self, input_ids, text_mask, rngs: nnx.Rngs | None = None):
        """Embeddings of texts, not normalised.

        Args:
          input_ids: [B, L] int32.
          text_mask: [B, L] bool, True at real tokens.
          rngs: stream `dropout` in training; None in evaluation.

        Returns:
          [B, E] in the compute dtype.
        """
        return self.text_head(self.text_encoder(input_ids, text_mask, rngs), rngs)

    def __call__(self, batch: Mapping[str, jax.Array], rngs: nnx.Rngs | None = None):
        """Both embeddings [B, E] of a batch of patches, num_frames, input_ids and text_mask."""
        motion = self.encode_motion(batch["patches"], batch["num_frames"], rngs)
        return motion, self.encode_text(batch["input_ids"], batch["text_mask"], rngs)

    def scale(self):
        """What similarities are multiplied by: 1 / temperature."""
        logit_scale = self.logit_scale[...]
        if not self.config.learn_temperature:
            logit_scale = jax.lax.stop_gradient(logit_scale)
        return jnp.exp(logit_scale)


# ---------------------------------------------------------------- from a config's model section

DEFAULTS = {
    "motion": {
        "size": "B",
        "width": None,
        "depth": None,
        "heads": None,
        "mlp_width": None,
        "patch_size": 16,
        "max_frames": 224,
        "pool": "mean",
        "padding": "attend",
        "dropout": 0.0,
        "weights": None,
    },
    "text": {
        "family": "distilbert",
        "weights": None,
        "readout": "first",
        "dropout": 0.1,
        "max_tokens": 128,
        "width": None,
        "depth": None,
        "heads": None,
        "mlp_width": None,
        "vocab_size": None,
    },
    "embed_dim": 256,
    "head_dropout": 0.5,
    "temperature": 0.07,
    "learn_temperature": False,
}
"""The `model` section of a config: its fields and their defaults.

motion.size: Ti, S, B, L, or "custom" with width, depth, heads and, if not 4 x width, mlp_width.
motion.weights, text.weights: a folder or Hub id in Hugging Face's layout; None or "": random ones.
text.width, depth, heads, mlp_width, vocab_size: needed without text.weights, else config.json's.
text.dropout: on hidden states and attention weights; None takes config.json's two rates.
"""


def resolve(model_config: Mapping[str, Any]) -> DualEncoderConfig:
    """The full configuration of a config's `model` section (`DEFAULTS` lists its fields).

    Reads config.json of the weights that are named, which may download it.

    Raises:
      ValueError: for unknown fields, missing sizes, or weights that contradict the sizes.
    """
    c = _with_defaults(model_config, DEFAULTS, "model")
    motion = _with_defaults(c.pop("motion"), DEFAULTS["motion"], "model.motion")
    text = _with_defaults(c.pop("text"), DEFAULTS["text"], "model.text")
    max_tokens = text.pop("max_tokens")
    return DualEncoderConfig(
        motion=_resolve_motion(motion),
        text=_resolve_text(text, max_tokens),
        max_tokens=max_tokens,
        **c,
    )


def load_pretrained(params, model_config: Mapping[str, Any]):
    """Fills the towers for which a config's `model` section names weights.

    Args:
      params: all parameters of the `DualEncoder` of `resolve(model_config)`: an NNX state, its
        nested dict or a flat {path: array}, of arrays or `jax.ShapeDtypeStruct`. The new values
        get the dtype and sharding of the old ones.
      model_config: the `model` section.

    Returns:
      `params` with new leaves; all of it as given where no weights are named.

    Raises:
      ValueError: if weights do not fit, listing everything that does not.
    """
    config = resolve(model_config)
    towers = (
        ("motion", config.motion, vit.key_map),
        ("text", config.text, TEXT_FAMILIES[config.text_family].key_map),
    )
    for tower, tower_config, key_map in towers:
        if weights := model_config.get(tower, {}).get("weights"):
            source = pretrained.Source(weights)
            rules = key_map(tower_config, source.config())
            params = pretrained.load(params, source, rules, under=f"{tower}_encoder")
    return params


def text_tower(source: pretrained.Source, **ours):
    """(family, config) of the text encoder that a source holds; `ours` are config fields."""
    model_type = source.config().get("model_type")
    layers.check_choice(model_type, TEXT_FAMILIES, f"model_type of {source.name}")
    family = TEXT_FAMILIES[model_type]
    return family, family.config_from_hf(source.config(), **ours)


def _with_defaults(given: Mapping[str, Any], defaults: Mapping[str, Any], what: str) -> dict:
    layers.check_keys(given, defaults, what)
    return {**defaults, **given}


def _text_family(name: str | None) -> Family:
    layers.check_choice(name, TEXT_FAMILIES, "the text encoder's family")
    return TEXT_FAMILIES[name]


def _sizes(section: dict, names: tuple[str, ...]) -> dict[str, Any]:
    """Takes the sizes out of a section, leaving out those that are None."""
    sizes = {name: section.pop(name) for name in names}
    return {name: size for name, size in sizes.items() if size is not None}


def _resolve_motion(section: dict) -> vit.ViTConfig:
    size, weights = section.pop("size"), section.pop("weights")
    given = _sizes(section, ("width", "depth", "heads", "mlp_width"))
    layers.check_choice(size, (*vit.SIZES, "custom"), "model.motion.size")
    if size == "custom":
        _require(given, ("width", "depth", "heads"), "model.motion.size='custom'")
        sizes = {"mlp_width": 4 * given["width"], **given}
    elif given:
        raise ValueError(
            f"model.motion.size={size!r} fixes {', '.join(vit.SIZES[size])}, but "
            f"{', '.join(given)} is given as well; set size='custom' to choose them"
        )
    else:
        sizes = vit.SIZES[size]
    if not weights:
        return vit.ViTConfig(**sizes, **section)
    patch_size = section.pop("patch_size")
    config = vit.config_from_hf(pretrained.Source(weights).config(), **section)
    for name, value in {**sizes, "patch_size": patch_size}.items():
        if getattr(config, name) != value:
            raise ValueError(
                f"{weights} has {name} {getattr(config, name)}, but model.motion asks for {value} "
                f"(size={size!r}); choose the size and patch_size of the weights, or other weights"
            )
    return config


def _resolve_text(section: dict, max_tokens: int):
    family = _text_family(section.pop("family"))
    weights = section.pop("weights")
    dropout = section.pop("dropout")
    rates = {} if dropout is None else {"dropout": dropout, "attention_dropout": dropout}
    readout = section.pop("readout")
    given = _sizes(section, ("width", "depth", "heads", "mlp_width", "vocab_size"))
    assert not section, section
    if not weights:
        _require(given, ("width", "depth", "heads", "vocab_size"), "model.text without weights")
        sizes = {"mlp_width": 4 * given["width"], "max_positions": max_tokens, **given}
        return family.config(**sizes, **rates, readout=readout)
    config = family.config_from_hf(pretrained.Source(weights).config(), **rates, readout=readout)
    for name, value in given.items():
        if getattr(config, name) != value:
            raise ValueError(
                f"{weights} has {name} {getattr(config, name)}, but model.text.{name} is {value}; "
                "leave it out to take the weights' own"
            )
    if max_tokens > config.max_positions:
        raise ValueError(
            f"model.text.max_tokens is {max_tokens}; {weights} has {config.max_positions} positions"
        )
    return config


def _require(given: Mapping[str, Any], names: tuple[str, ...], what: str) -> None:
    missing = [name for name in names if name not in given]
    if missing:
        raise ValueError(f"{what} needs {', '.join(missing)}")
