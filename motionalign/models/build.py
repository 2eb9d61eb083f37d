"""Builds an architecture from the `model` section of a config and loads its pretrained weights.

`resolve` turns the section (its fields: motionalign/config.py) into a `DualEncoderConfig`, which
holds every size and is stored in checkpoints. `load_pretrained` fills the encoders with pretrained
weights.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

from flax.traverse_util import flatten_dict
from ml_collections import ConfigDict

from motionalign.config import FIELDS, GROUPS, Entry, below, defaults_below
from motionalign.data.augment import WINDOW_OF
from motionalign.data.representation import REPRESENTATIONS
from motionalign.data.tokenizer import Tokenizer
from motionalign.models import layers
from motionalign.models.architecture import Architecture, Known
from motionalign.models.dual_encoder import DualEncoder, DualEncoderConfig
from motionalign.models.families import (
    MOTION_FAMILIES,
    TEXT_FAMILIES,
    is_frozen,
    motion_entries,
    text_entries,
    variant_of,
)
from motionalign.models.family import CUSTOM, SIZE_NAMES, Inputs
from motionalign.models.weights.keymap import FINAL_NORM
from motionalign.models.weights.load import load_weights
from motionalign.models.weights.source import Source

Params = TypeVar("Params")

# The kind of the architecture is chosen before; on remat, only the training step depends.
DEFAULTS = {
    name: value for name, value in defaults_below("model").items() if name not in ("kind", "remat")
}

# Fields that may differ from the trained model in fine-tuning: they change no parameter's shape.
_FREE_TO_CHANGE = (
    *("motion.padding", "motion.dropout", "motion.final_norm", "text.dropout", "text.max_tokens"),
    *("head_dropout", "learn_temperature", "weights"),
)


def resolve(
    model_config: Mapping[str, Any],
    trained: DualEncoderConfig | None = None,
    inputs: Inputs | None = None,
) -> DualEncoderConfig:
    """Resolves the `model` section of a config to a complete architecture.

    Reads the config.json of the weights that the section names, which may download it.

    Args:
      model_config: the section.
      trained: architecture of the model that the section's `weights` names.
      inputs: properties of the data; needed for encoders over frames, frozen text encoders and
        classifiers only.

    Raises:
      ValueError: for unknown fields, missing sizes, or weights that contradict the sizes.
    """
    c = _with_defaults(model_config, DEFAULTS, "model")
    motion = _with_defaults(c.pop("motion"), _defaults("motion"), "model.motion")
    text = _with_defaults(c.pop("text"), _defaults("text"), "model.text")
    weights = c.pop("weights")
    if weights:
        assert trained is not None
        return _resolve_trained({**c, "motion": motion, "text": text}, trained, weights)
    max_tokens = text.pop("max_tokens")
    if (inputs and inputs.classifier) or is_frozen(text):
        tower = None
        c |= _without_text_encoder(c["embed_dim"], inputs)
    else:
        tower = _resolve_text(text, max_tokens)
    return DualEncoderConfig(
        motion=_resolve_motion(motion, inputs), text=tower, max_tokens=max_tokens, **c
    )


def _without_text_encoder(embed_dim: int | None, inputs: Inputs | None) -> dict[str, Any]:
    """The fields that follow from the classes of a classifier or from frozen text vectors."""
    classifier = inputs and inputs.classifier
    width = len(classifier.names) if classifier else inputs and inputs.text_width
    if width is None:
        raise ValueError("model.text.family='frozen' needs the width of the text vectors")
    if embed_dim not in (None, width):
        what = "classes" if classifier else "dimensions in the text vectors"
        raise ValueError(
            f"model.embed_dim is {embed_dim}, but there are {width} {what}: set it to {width}, or "
            "to None in the config file"
        )
    return {"embed_dim": width, "text_head": False, "classifier": classifier}


def section_of(config: DualEncoderConfig) -> dict[str, Any]:
    """The `model` section that describes an architecture, to fine-tune a model of it."""
    family = MOTION_FAMILIES[config.motion_family]
    if family.section is None or config.text is None or not config.text_head:
        raise ValueError(
            "only models with a ViT and a text encoder, each with a projection head, can be "
            "fine-tuned"
        )
    text = config.text.to_dict()
    # The section has one field for both rates; if they differ, None leaves both unchanged.
    dropout = text["dropout"]
    if text.get("attention_dropout", dropout) != dropout:
        dropout = None
    return {
        "motion": {"family": config.motion_family, **family.section(config.motion)},
        "text": {
            "family": config.text_family,
            **{name: text[name] for name in (*SIZE_NAMES, "vocab_size", "readout")},
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
    """The architecture of a trained model, with the changes that a section may make to it."""
    motion, text = section["motion"], section["text"]
    for tower, given in (("motion", motion), ("text", text)):
        if given["weights"]:
            raise ValueError(
                f"model.weights={weights} already provides both encoders; remove "
                f"model.{tower}.weights"
            )
    sizes = variant_of(motion["family"]).sizes
    if motion["size"] in sizes:
        motion = motion | sizes[motion["size"]] | {"size": CUSTOM}
    expected = flatten_dict(section_of(trained), sep=".")
    given = flatten_dict({**section, "motion": motion}, sep=".")
    different = [
        f"model.{name} is {given[name]!r}, the weights have {value!r}"
        for name, value in expected.items()
        # Sizes that are not given are those of the weights.
        if name not in _FREE_TO_CHANGE and given[name] not in (value, None)
    ]
    if different:
        raise ValueError(
            f"{weights} has another architecture than the config; configs/finetune.py:{weights} "
            "uses the architecture of the weights. " + "; ".join(different)
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


def load_pretrained(
    params: Params, model_config: Mapping[str, Any], config: DualEncoderConfig | None = None
) -> Params:
    """Fills the encoders for which a config's `model` section names weights.

    Args:
      params: all parameters of the `DualEncoder` of `config`: an NNX state, its
        nested dict or a flat {path: array}, of arrays or `jax.ShapeDtypeStruct`. The new values
        get the dtype and sharding of the old ones.
      model_config: the `model` section.
      config: the architecture; by default resolved from the section alone.

    Returns:
      `params` with the loaded leaves replaced; the others as given.

    Raises:
      ValueError: the weights do not fit; the message lists mismatches and their number.
    """
    config = config or resolve(model_config)
    motion, text = (model_config.get(tower, {}) for tower in ("motion", "text"))
    if weights := motion.get("weights"):
        family = MOTION_FAMILIES[config.motion_family]
        source = Source(weights)
        final_norm = motion.get("final_norm", DEFAULTS["motion"]["final_norm"])
        assert family.key_map is not None, f"{config.motion_family} supports no weights"
        rules = family.key_map(config.motion, source, final_norm)
        params = load_weights(params, source, rules, under="motion_encoder")
    weights = text.get("weights")
    if weights and config.text is not None:
        rules = TEXT_FAMILIES[config.text_family].key_map()
        params = load_weights(params, Source(weights), rules, under="text_encoder")
    return params


def _defaults(tower: str) -> dict[str, Any]:
    """The defaults of an encoder's section, with the fields that registered encoders declare."""
    own = {}
    for entries in (motion_entries(), text_entries()):
        for entry in entries.values():
            own |= below(entry.fields, f"model.{tower}")
    return DEFAULTS[tower] | {name: field.default for name, field in own.items()}


def _with_defaults(given: Mapping[str, Any], defaults: Mapping[str, Any], what: str) -> dict:
    layers.check_keys(given, defaults, what)
    return {**defaults, **given}


def _sizes(section: dict, names: tuple[str, ...]) -> dict[str, Any]:
    """Removes the sizes from a section and returns those that are not None."""
    sizes = {name: section.pop(name) for name in names}
    return {name: size for name, size in sizes.items() if size is not None}


def _resolve_motion(section: dict, inputs: Inputs | None) -> Any:
    """The motion encoder's config."""
    name, size = section["family"], section["size"]
    variant = variant_of(name)
    layers.check_choice(section["final_norm"], FINAL_NORM, "model.motion.final_norm")
    given = _sizes(section, SIZE_NAMES)
    if size in variant.sizes:
        if given:
            raise ValueError(
                f"model.motion.size={size!r} fixes {', '.join(variant.sizes[size])}, but "
                f"{', '.join(given)} is given too; set size='custom' to choose the sizes yourself"
            )
        return variant.build(variant.sizes[size], section, inputs)
    layers.check_choice(size, (*variant.sizes, CUSTOM), "model.motion.size")
    _require(given, ("width", "depth", "heads"), "model.motion.size='custom'")
    sizes = {"mlp_width": variant.mlp_ratio * given["width"], **given}
    return variant.build(sizes, section, inputs)


def _resolve_text(section: dict, max_tokens: int) -> Any:
    name = section.pop("family")
    layers.check_choice(name, TEXT_FAMILIES, "the text encoder's family")
    family = TEXT_FAMILIES[name]
    weights = section.pop("weights")
    dropout = section.pop("dropout")
    # CLIP's text encoder has only one rate.
    known = [field.name for field in dataclasses.fields(family.config)]
    rates = {rate: dropout for rate in ("dropout", "attention_dropout") if rate in known}
    rates = {} if dropout is None else rates
    readout = section.pop("readout")
    given = _sizes(section, (*SIZE_NAMES, "vocab_size"))
    own = {name: section[name] for name in below(family.entry.fields, "model.text")}
    if not weights:
        _require(given, ("width", "depth", "heads", "vocab_size"), "model.text without weights")
        sizes = {"mlp_width": 4 * given["width"], "max_positions": max_tokens, **given}
        return family.config(**sizes, **rates, **own, readout=readout)
    config = family.config_from_hf(Source(weights).config(), **rates, **own, readout=readout)
    for name, value in given.items():
        if getattr(config, name) != value:
            raise ValueError(
                f"{weights} has {name} {getattr(config, name)}, but model.text.{name} is {value}; "
                "leave it out to use the value of the weights"
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


# The entry of the registry of architectures ------------------------------------------------------


def section_in(model_config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a run's `model` section that `resolve` reads.

    Objectives, tasks and other architectures declare further fields in it.
    """
    return {name: value for name, value in model_config.items() if name in DEFAULTS}


def of_run(config: ConfigDict, known: Known) -> DualEncoderConfig:
    """The dual encoder that the config of a run describes for its data."""
    saved = known.trained
    if saved and saved.run["kind"] != "dual_encoder":
        raise ValueError(
            f"config.model.weights={config.model.weights} is a {saved.run['kind']}, which a dual "
            "encoder cannot start from; name a model of motions and texts, or set "
            "config.model.kind"
        )
    trained = DualEncoderConfig.from_dict(saved.run["architecture"]) if saved else None
    section = section_in(config.model.to_dict())
    if known.metadata is None:
        return resolve(section, trained)
    kind = REPRESENTATIONS[config.model.motion.input]
    joints, channels, dims = kind.shape_of(known.metadata)
    window = WINDOW_OF[config.data.sampling]
    inputs = Inputs(
        joints, channels, dims, window, known.text_width, known.classifier,
        config.model.motion.input,
    )  # fmt: skip
    return resolve(section, trained, inputs)


def _load(
    params: dict[str, Any], config: ConfigDict, architecture: DualEncoderConfig, trained: Any
) -> dict[str, Any]:
    """See `Architecture.load`."""
    if trained:
        return trained.load_params(params)
    return load_pretrained(params, config.model.to_dict(), architecture)


def _open_tokenizer(stored: str, architecture: DualEncoderConfig, where: str) -> Tokenizer | None:
    """See `Architecture.open_tokenizer`."""
    if architecture.text is None:
        return None
    tokenizer = Tokenizer(stored, architecture.max_tokens)
    tokenizer.check_fits(architecture.text.vocab_size, where)
    return tokenizer


ARCHITECTURE = Architecture(
    config=DualEncoderConfig,
    module=DualEncoder,
    entry=Entry(
        (
            *(name for name in FIELDS if name.startswith("model.") and name != "model.kind"),
            *(f"optim.groups.{group}.{name}" for group in GROUPS for name in ("match", "lr")),
        )
    ),
    groups=tuple(GROUPS),
    resolve=of_run,
    load=_load,
    open_tokenizer=_open_tokenizer,
)
