"""motionalign.models.build."""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

from motionalign.models import (
    clip,
    layers,
    motion_transformer,
    vit_weights,
)
from motionalign.models.dual_encoder import DualEncoderConfig
from motionalign.models.families import MOTION_FAMILIES, MOTION_SIZES, TEXT_FAMILIES
from motionalign.models.heads import ClassifierConfig
from motionalign.models.motion_transformer import MotionTransformerConfig
from motionalign.models.weights import keymap
from motionalign.models.weights.load import load_weights
from motionalign.models.weights.source import Source

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
    if motion["size"] in MOTION_SIZES.get(motion["family"], {}):
        motion = motion | MOTION_SIZES[motion["family"]][motion["size"]] | {"size": "custom"}
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
        source = Source(weights)
        final_norm = motion.get("final_norm", DEFAULTS["motion"]["final_norm"])
        if config.motion_family == "clip":
            rules = clip.vision_key_map(config.motion, source.config(), final_norm)
        else:
            rules = vit_weights.key_map(config.motion, source, final_norm)
        params = load_weights(params, source, rules, under="motion_encoder")
    weights = text.get("weights")
    if weights and config.text is not None:
        rules = TEXT_FAMILIES[config.text_family].key_map()
        params = load_weights(params, Source(weights), rules, under="text_encoder")
    return params


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
    layers.check_choice(family, MOTION_SIZES, "model.motion.family")
    layers.check_choice(final_norm, keymap.FINAL_NORM, "model.motion.final_norm")
    known_sizes = MOTION_SIZES[family]
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
        return MotionTransformerConfig(
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
    source = Source(weights)
    if family == "clip":
        config = clip.vision_config_from_hf(source.config(), **section)
    else:
        config = vit_weights.config_from(source, sizes["heads"], **section)
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
    config = family.config_from_hf(Source(weights).config(), **rates, readout=readout)
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
