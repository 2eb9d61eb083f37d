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

from motionalign.models import (
    bert,
    clip,
    distilbert,
    layers,
    motion_transformer,
    mpnet,
    pretrained,
    vit,
)


class MotionFamily(NamedTuple):
    """What a family of motion encoders brings.

    inputs: "patches" or "joints": what its module takes.
    """

    config: type
    module: type
    inputs: str


MOTION_FAMILIES = {
    "vit": MotionFamily(vit.ViTConfig, vit.ViT, "patches"),
    "clip": MotionFamily(clip.CLIPVisionConfig, clip.CLIPVision, "patches"),
    "motion_transformer": MotionFamily(
        motion_transformer.MotionTransformerConfig, motion_transformer.MotionTransformer, "joints"
    ),
}


class TextFamily(NamedTuple):
    """What a family of text encoders brings.

    model_types: what its config.json says in Hugging Face's layout.
    """

    config: type
    module: type
    config_from_hf: Callable
    key_map: Callable
    model_types: tuple[str, ...]


TEXT_FAMILIES = {
    "bert": TextFamily(bert.BertConfig, bert.Bert, bert.config_from_hf, bert.key_map, ("bert",)),
    "distilbert": TextFamily(
        distilbert.DistilBertConfig,
        distilbert.DistilBert,
        distilbert.config_from_hf,
        distilbert.key_map,
        ("distilbert",),
    ),
    "mpnet": TextFamily(
        mpnet.MPNetConfig, mpnet.MPNet, mpnet.config_from_hf, mpnet.key_map, ("mpnet",)
    ),
    "clip": TextFamily(
        clip.CLIPTextConfig,
        clip.CLIPText,
        clip.config_from_hf,
        clip.key_map,
        ("clip", "clip_text_model"),
    ),
}


@dataclasses.dataclass(frozen=True)
class ClassifierConfig(layers.Config):
    """A linear classifier where the projection head would stand.

    names: of the classes. exclusive: a clip is of exactly one; else of any number of them.
    """

    names: tuple[str, ...]
    exclusive: bool

    def __post_init__(self):
        object.__setattr__(self, "names", tuple(self.names))  # JSON has lists


MAX_SCALE = 100.0  # a learnt temperature goes no lower than its inverse, as in CLIP


@dataclasses.dataclass(frozen=True)
class DualEncoderConfig(layers.Config):
    """Everything that decides what a dual encoder computes.

    motion: of any family of `MOTION_FAMILIES`; text: of `TEXT_FAMILIES`, or None: no text encoder.
    embed_dim: E of the common space. head_dropout: in the projection heads.
    text_head: False: the text encoder's feature is the embedding, as with the frozen sentence
      encoder of Walk and Text.
    gait_head: GaitFormer's outputs in place of the motion's projection head.
    classifier: likewise a linear classifier; embed_dim is then the number of its classes.
    temperature: of the softmax over similarities; where training starts if learn_temperature.
    max_tokens: texts are cut after so many tokens, special ones included.
    """

    motion: Any
    text: Any
    embed_dim: int = 256
    head_dropout: float = 0.5
    text_head: bool = True
    gait_head: motion_transformer.GaitHeadConfig | None = None
    classifier: ClassifierConfig | None = None
    temperature: float = 0.07
    learn_temperature: bool = False
    max_tokens: int = 128

    def __post_init__(self):
        if self.classifier and self.embed_dim != len(self.classifier.names):
            raise ValueError(
                f"embed_dim is {self.embed_dim}; a classifier of {len(self.classifier.names)} "
                "classes has as many outputs"
            )
        if self.text is not None and not self.text_head and self.text.width != self.embed_dim:
            raise ValueError(
                f"without a text head, embed_dim={self.embed_dim} must be the width of the text "
                f"encoder, {self.text.width}"
            )
        if self.text is not None and not 1 <= self.max_tokens <= self.text.max_positions:
            raise ValueError(
                f"max_tokens is {self.max_tokens}; the text encoder has {self.text.max_positions} "
                "positions"
            )

    @property
    def motion_family(self) -> str:
        """Key of `MOTION_FAMILIES`."""
        return _family_of(self.motion, MOTION_FAMILIES)

    @property
    def text_family(self) -> str:
        """Key of `TEXT_FAMILIES`."""
        return _family_of(self.text, TEXT_FAMILIES)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Of the classes or attributes that the model tells apart; () where it gives embeddings."""
        if self.classifier:
            return self.classifier.names
        return self.gait_head.attributes if self.gait_head else ()

    def probabilities(self, logits):
        """Logits [N, K] of `class_names` to probabilities, of one class a clip or of any number."""
        if self.classifier and self.classifier.exclusive:
            return jax.nn.softmax(logits, axis=-1)
        return jax.nn.sigmoid(logits)

    @property
    def motion_inputs(self) -> str:
        """ "patches" or "joints"."""
        return MOTION_FAMILIES[self.motion_family].inputs

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; the sections of the encoders say their family."""
        sections = {"motion": {"family": self.motion_family, **self.motion.to_dict()}}
        if self.text is not None:
            sections["text"] = {"family": self.text_family, **self.text.to_dict()}
        return dataclasses.asdict(self) | sections

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "DualEncoderConfig":
        """Inverse of `to_dict`; unknown or missing names are a ValueError."""
        values = dict(values)
        for section, families, first in (
            ("motion", MOTION_FAMILIES, "vit"),  # of runs from before there were others
            ("text", TEXT_FAMILIES, None),
        ):
            if values.get(section) is not None:
                given = dict(values[section])
                family = given.pop("family", first)
                layers.check_choice(family, families, f"the {section} encoder's family")
                values[section] = families[family].config.from_dict(given)
        if values.get("gait_head") is not None:
            values["gait_head"] = motion_transformer.GaitHeadConfig.from_dict(values["gait_head"])
        if values.get("classifier") is not None:
            values["classifier"] = ClassifierConfig.from_dict(values["classifier"])
        return super().from_dict(values)


def _family_of(config, families: Mapping[str, Any]) -> str:
    return next(name for name, family in families.items() if isinstance(config, family.config))


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


class Classifier(nnx.Module):
    """Feature to the logits of classes."""

    def __init__(self, width: int, num_classes: int, dtype, *, rngs: nnx.Rngs):
        init = layers.torch_linear(width)
        self.logits = layers.Dense((width,), (num_classes,), dtype, rngs, init, init)

    def __call__(self, x, rngs: nnx.Rngs | None = None):
        """[B, D] to [B, K]."""
        return self.logits(x)


class DualEncoder(nnx.Module):
    """Motion and text to vectors that are close where one describes the other.

    Parameters are float32; `dtype` is what towers and heads compute in, with LayerNorm statistics,
    softmax and pooling in float32.
    """

    def __init__(self, config: DualEncoderConfig, dtype=jnp.float32, *, rngs: nnx.Rngs):
        c = self.config = config
        self.motion_encoder = MOTION_FAMILIES[c.motion_family].module(c.motion, dtype, rngs=rngs)
        if c.text is not None:
            self.text_encoder = TEXT_FAMILIES[c.text_family].module(c.text, dtype, rngs=rngs)
        head = (c.embed_dim, c.head_dropout, dtype)
        if c.classifier:
            self.motion_head = Classifier(c.motion.width, c.embed_dim, dtype, rngs=rngs)
        elif c.gait_head is None:
            self.motion_head = ProjectionHead(c.motion.width, *head, rngs=rngs)
        else:
            self.motion_head = motion_transformer.GaitHead(
                c.motion.width, c.embed_dim, c.gait_head, dtype, rngs=rngs
            )
        if c.text is not None and c.text_head:
            self.text_head = ProjectionHead(c.text.width, *head, rngs=rngs)
        self.logit_scale = nnx.Param(-jnp.log(jnp.asarray(c.temperature, jnp.float32)))

    def encode_motion(self, clips, num_frames=None, rngs: nnx.Rngs | None = None):
        """Embeddings of motions, not normalised.

        Args:
          clips: [B, F, 5 * N, 3] motion patches of any float dtype, zero beyond a clip's end; for
            encoders of joints [B, F, J, C].
          num_frames: [B] int32, real frames; needed with padding="mask" only.
          rngs: stream `dropout` in training; None in evaluation.

        Returns:
          [B, E] in the compute dtype.
        """
        return self.motion_head(self.motion_encoder(clips, num_frames, rngs), rngs)

    def encode_text(self, input_ids, text_mask, rngs: nnx.Rngs | None = None):
        """Embeddings of texts, not normalised.

        Args:
          input_ids: [B, L] int32.
          text_mask: [B, L] bool, True at real tokens.
          rngs: stream `dropout` in training; None in evaluation.

        Returns:
          [B, E] in the compute dtype.
        """
        features = self.text_encoder(input_ids, text_mask, rngs)
        return self.text_head(features, rngs) if self.config.text_head else features

    def classify(self, clips, num_frames=None, rngs: nnx.Rngs | None = None):
        """Logits [B, K] of `config.class_names`; arguments as of `encode_motion`."""
        if not self.config.class_names:
            raise ValueError(
                "this model has no classes of its own: it compares motions with any texts, by "
                "`nearness`"
            )
        features = self.motion_encoder(clips, num_frames, rngs)
        if self.config.classifier:
            return self.motion_head(features, rngs)
        return self.motion_head.attribute_logits(features)

    def __call__(self, batch: Mapping[str, jax.Array], rngs: nnx.Rngs | None = None):
        """Both embeddings [B, E] of a batch as `data.TrainingData` makes it.

        Without a text encoder the text's are the sentence vectors of the batch.
        """
        clips = batch[self.config.motion_inputs]
        motion = self.encode_motion(clips, batch.get("num_frames"), rngs)
        if self.config.text is None:
            return motion, batch["text_vectors"]
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
        "family": "vit",
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
        "final_norm": "fresh",
        "input": "joints",
        "root": True,
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
    "weights": None,
}
"""The `model` section of a config: its fields and their defaults.

motion.family: "vit", or "clip" for the vision tower of CLIP, or over joints "gaitformer" or
  "actor".
motion.input, root: of encoders over joints: "joints" or "rotations", and whether the root of the
  first frame is put at the origin. They take max_frames frames, and pool="first" or "mean"; what
  is said of patches, weights and padding is not theirs.
text.family: "frozen": no encoder; texts are the vectors that `data_prep embed` made.
motion.size: Ti, S, B, L (of clip B, L), or "custom" with width, depth, heads and, if not 4 x width,
  mlp_width.
motion.weights: a folder, file or Hub id: a ViT in Hugging Face's layout, timm's or Google's .npz,
  or a CLIP in Hugging Face's. text.weights: a folder or Hub id in Hugging Face's layout. None or
  "": random ones.
motion.final_norm: with mean pooling and weights, "fresh" (as published) or "load": see
  `vit.key_map`.
text.width, depth, heads, mlp_width, vocab_size: needed without text.weights, else config.json's.
text.dropout: on hidden states and attention weights; None takes config.json's two rates.
weights: a trained model to go on from, whole; `resolve` is then given its architecture.
"""

# What may differ from a trained model that training goes on from: it changes no parameter's shape.
_FREE_TO_CHANGE = (
    *("motion.padding", "motion.dropout", "motion.final_norm", "text.dropout", "text.max_tokens"),
    *("head_dropout", "learn_temperature", "weights"),
)

_MOTION_SIZES = {
    "vit": vit.SIZES,
    "clip": clip.VISION_SIZES,
    "gaitformer": motion_transformer.SIZES["gaitformer"],
    "actor": motion_transformer.SIZES["actor"],
}


class Inputs(NamedTuple):
    """What the data decide about an architecture.

    joints, channels, dims, window: of what an encoder over joints reads; see
      `MotionTransformerConfig`.
    text_width: of the sentence vectors, where the text encoder is frozen.
    classifier: the classes to tell apart, where no text is compared.
    """

    joints: int
    channels: int = 3
    dims: int = 3
    window: str = "first"
    text_width: int | None = None
    classifier: ClassifierConfig | None = None


def resolve(
    model_config: Mapping[str, Any],
    trained: DualEncoderConfig | None = None,
    inputs: Inputs | None = None,
) -> DualEncoderConfig:
    """The full configuration of a config's `model` section (`DEFAULTS` lists its fields).

    Reads config.json of the weights that are named, which may download it.

    Args:
      model_config: the section.
      trained: architecture of the model that its `weights` name.
      inputs: of the data; only needed for encoders over joints, frozen texts and classifiers.

    Raises:
      ValueError: for unknown fields, missing sizes, or weights that contradict the sizes.
    """
    c = _with_defaults(model_config, DEFAULTS, "model")
    motion = _with_defaults(c.pop("motion"), DEFAULTS["motion"], "model.motion")
    text = _with_defaults(c.pop("text"), DEFAULTS["text"], "model.text")
    weights = c.pop("weights")
    if weights:
        assert trained is not None
        return _resolve_trained({**c, "motion": motion, "text": text}, trained, weights)
    max_tokens = text.pop("max_tokens")
    classifier = inputs and inputs.classifier
    if classifier or text["family"] == "frozen":
        width = len(classifier.names) if classifier else inputs and inputs.text_width
        if width is None:
            raise ValueError("model.text.family='frozen' needs the width of the text vectors")
        if c["embed_dim"] not in (None, width):
            what = "classes" if classifier else "numbers in a text vector"
            raise ValueError(
                f"model.embed_dim is {c['embed_dim']}, but there are {width} {what}: set it to "
                f"{width}, or to None in the config file"
            )
        c |= {"embed_dim": width, "text_head": False, "classifier": classifier}
        tower = None
    else:
        tower = _resolve_text(text, max_tokens)
    return DualEncoderConfig(
        motion=_resolve_motion(motion, inputs), text=tower, max_tokens=max_tokens, **c
    )


def section_of(config: DualEncoderConfig) -> dict[str, Any]:
    """The `model` section that says what an architecture is, to go on training it."""
    if config.motion_inputs != "patches" or config.text is None or not config.text_head:
        raise ValueError(
            "training goes on only from models with a ViT and a text encoder, each with its head"
        )
    motion, text = config.motion.to_dict(), config.text.to_dict()
    sizes = ("width", "depth", "heads", "mlp_width")
    fields = (*sizes, "patch_size", "max_frames", "pool", "padding", "dropout")
    # Two rates that differ cannot be said: None leaves both as they are.
    dropout = text["dropout"]
    if text.get("attention_dropout", dropout) != dropout:
        dropout = None
    return {
        "motion": {
            "family": config.motion_family,
            "size": "custom",
            **{name: motion[name] for name in fields},
        },
        "text": {
            "family": config.text_family,
            **{name: text[name] for name in (*sizes, "vocab_size", "readout")},
            "dropout": dropout,
            "max_tokens": config.max_tokens,
        },
        "embed_dim": config.embed_dim,
        "head_dropout": config.head_dropout,
        "temperature": config.temperature,
        "learn_temperature": config.learn_temperature,
    }


def _resolve_trained(
    section: dict[str, Any], trained: DualEncoderConfig, weights: str
) -> DualEncoderConfig:
    """The architecture of a trained model, with what a section may change about it."""
    motion, text = section["motion"], section["text"]
    for tower, given in (("motion", motion), ("text", text)):
        if given["weights"]:
            raise ValueError(
                f"model.weights={weights} brings both towers; take model.{tower}.weights away"
            )
    if motion["size"] in _MOTION_SIZES.get(motion["family"], {}):
        motion = motion | _MOTION_SIZES[motion["family"]][motion["size"]] | {"size": "custom"}
    expected, given = _flat(section_of(trained)), _flat({**section, "motion": motion})
    different = [
        f"model.{name} is {given[name]!r}, the weights have {value!r}"
        for name, value in expected.items()
        # Sizes that are not given are the weights' own.
        if name not in _FREE_TO_CHANGE and given[name] not in (value, None)
    ]
    if different:
        raise ValueError(
            f"{weights} is of another architecture than the config says; "
            f"configs/finetune.py:{weights} takes its own. " + "; ".join(different)
        )
    if text["max_tokens"] > trained.text.max_positions:
        raise ValueError(
            f"model.text.max_tokens is {text['max_tokens']}; {weights} has "
            f"{trained.text.max_positions} positions"
        )
    changes = {} if text["dropout"] is None else {"dropout": text["dropout"]}
    if changes and hasattr(trained.text, "attention_dropout"):
        changes["attention_dropout"] = text["dropout"]
    return dataclasses.replace(
        trained,
        motion=dataclasses.replace(
            trained.motion, padding=motion["padding"], dropout=motion["dropout"]
        ),
        text=dataclasses.replace(trained.text, **changes),
        head_dropout=section["head_dropout"],
        learn_temperature=section["learn_temperature"],
        max_tokens=text["max_tokens"],
    )


def _flat(section: Mapping[str, Any]) -> dict[str, Any]:
    """{"a": {"b": 1}} as {"a.b": 1}."""
    flat = {}
    for name, value in section.items():
        if isinstance(value, Mapping):
            flat |= {f"{name}.{inner}": v for inner, v in value.items()}
        else:
            flat[name] = value
    return flat


def load_pretrained(
    params, model_config: Mapping[str, Any], config: DualEncoderConfig | None = None
):
    """Fills the towers for which a config's `model` section names weights.

    Args:
      params: all parameters of the `DualEncoder` of `config`: an NNX state, its
        nested dict or a flat {path: array}, of arrays or `jax.ShapeDtypeStruct`. The new values
        get the dtype and sharding of the old ones.
      model_config: the `model` section.
      config: the architecture, where the section alone does not say it.

    Returns:
      `params` with new leaves where weights fill them; the others as given.

    Raises:
      ValueError: if weights do not fit, listing everything that does not.
    """
    config = config or resolve(model_config)
    motion, text = (model_config.get(tower, {}) for tower in ("motion", "text"))
    if weights := motion.get("weights"):
        source = pretrained.Source(weights)
        final_norm = motion.get("final_norm", DEFAULTS["motion"]["final_norm"])
        if config.motion_family == "clip":
            rules = clip.vision_key_map(config.motion, source.config(), final_norm)
        else:
            rules = vit.key_map(config.motion, source, final_norm)
        params = pretrained.load(params, source, rules, under="motion_encoder")
    weights = text.get("weights")
    if weights and config.text is not None:
        rules = TEXT_FAMILIES[config.text_family].key_map()
        params = pretrained.load(params, pretrained.Source(weights), rules, under="text_encoder")
    return params


def text_tower(source: pretrained.Source, **ours):
    """(family, config) of the text encoder that a source holds; `ours` are config fields."""
    family = text_family(source.config(), source.name)
    return family, family.config_from_hf(source.config(), **ours)


def text_family(source_config: Mapping[str, Any], name: str) -> TextFamily:
    """The family of a text encoder from its config.json; `name` is for the error."""
    families = {kind: family for family in TEXT_FAMILIES.values() for kind in family.model_types}
    model_type = source_config.get("model_type")
    layers.check_choice(model_type, families, f"model_type of {name}")
    return families[model_type]


def _with_defaults(given: Mapping[str, Any], defaults: Mapping[str, Any], what: str) -> dict:
    layers.check_keys(given, defaults, what)
    return {**defaults, **given}


def _sizes(section: dict, names: tuple[str, ...]) -> dict[str, Any]:
    """Takes the sizes out of a section, leaving out those that are None."""
    sizes = {name: section.pop(name) for name in names}
    return {name: size for name, size in sizes.items() if size is not None}


def _resolve_motion(section: dict, inputs: Inputs | None):
    family, size = section.pop("family"), section.pop("size")
    weights, final_norm = section.pop("weights"), section.pop("final_norm")
    kind, root = section.pop("input"), section.pop("root")
    layers.check_choice(family, _MOTION_SIZES, "model.motion.family")
    layers.check_choice(final_norm, pretrained.FINAL_NORM, "model.motion.final_norm")
    known_sizes = _MOTION_SIZES[family]
    given = _sizes(section, ("width", "depth", "heads", "mlp_width"))
    layers.check_choice(size, (*known_sizes, "custom"), "model.motion.size")
    if size == "custom":
        _require(given, ("width", "depth", "heads"), "model.motion.size='custom'")
        wider = 4 if family in MOTION_FAMILIES else 2
        sizes = {"mlp_width": wider * given["width"], **given}
    elif given:
        raise ValueError(
            f"model.motion.size={size!r} fixes {', '.join(known_sizes[size])}, but "
            f"{', '.join(given)} is given as well; set size='custom' to choose them"
        )
    else:
        sizes = known_sizes[size]
    if family not in MOTION_FAMILIES:
        layers.check_choice(kind, ("joints", "rotations"), "model.motion.input")
        layers.check_choice(section["pool"], ("first", "mean"), "model.motion.pool")
        if weights:
            raise ValueError(
                f"model.motion.weights={weights}: a published {family} is a whole model, which "
                "motionalign.convert reads"
            )
        if inputs is None:
            raise ValueError(f"model.motion.family={family!r} needs the data's joints")
        return motion_transformer.MotionTransformerConfig(
            joints=inputs.joints,
            channels=inputs.channels,
            dims=inputs.dims,
            window=inputs.window,
            frames=section["max_frames"],
            readout=section["pool"],
            dropout=section["dropout"],
            root=0 if root and kind == "joints" else None,
            **motion_transformer.KINDS[family],
            **sizes,
        )
    if not weights:
        return MOTION_FAMILIES[family].config(**sizes, **section)
    patch_size = section.pop("patch_size")
    source = pretrained.Source(weights)
    if family == "clip":
        config = clip.vision_config_from_hf(source.config(), **section)
    else:
        config = vit.config_from(source, sizes["heads"], **section)
    for name, value in {**sizes, "patch_size": patch_size}.items():
        if getattr(config, name) != value:
            raise ValueError(
                f"{weights} has {name} {getattr(config, name)}, but model.motion asks for {value} "
                f"(size={size!r}); choose the size and patch_size of the weights, or other weights"
            )
    return config


def _resolve_text(section: dict, max_tokens: int):
    name = section.pop("family")
    layers.check_choice(name, TEXT_FAMILIES, "the text encoder's family")
    family = TEXT_FAMILIES[name]
    weights = section.pop("weights")
    dropout = section.pop("dropout")
    # CLIP's text tower has one rate.
    known = [field.name for field in dataclasses.fields(family.config)]
    rates = {rate: dropout for rate in ("dropout", "attention_dropout") if rate in known}
    rates = {} if dropout is None else rates
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
