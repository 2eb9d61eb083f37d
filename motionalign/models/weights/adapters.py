"""Files of low-rank adapters alone, without the model that they adapt: a few megabytes.

A folder has the layout of Hugging Face's PEFT, `adapter_config.json` and
`adapter_model.safetensors`, so that PEFT reads what is written here and the other way round.
`motionalign.json` beside them has what PEFT's config cannot express: the regex of the adapted
layers, and the weights that the adapters were trained on, by the SHA-256 of their files.
"""

import dataclasses
import pathlib
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import safetensors.numpy

from motionalign import files, reading
from motionalign.models import layers
from motionalign.models.lora import LoraConfig
from motionalign.models.weights import keymap
from motionalign.models.weights.keymap import KeyMap
from motionalign.models.weights.source import HUB_ID, Source, open_tensors, read_json

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
OURS = "motionalign.json"

_PREFIX = "base_model.model."  # what PEFT puts in front of the names of the model's tensors
_OUTPUT = "lm_head"  # the only linear layer that is outside of LlamaForCausalLM's `model`

# PEFT's initialisations of adapters that leave the base as it is.
_INITS = (True, False, "gaussian", "eva", "orthogonal")

_FORMS = {
    "peft_type": str,
    "r": int,
    "lora_alpha": float,
    "lora_dropout": float | None,
    "target_modules": list[str] | str,
    "exclude_modules": list[str] | str | None,
    "layers_to_transform": list[int] | int | None,
    "layers_pattern": list[str] | str | None,
    "use_rslora": bool | None,
    "base_model_name_or_path": str | None,
    "init_lora_weights": bool | str | None,
    "bias": str | None,
}
"""The fields that are read."""

_IRRELEVANT = (
    "task_type auto_mapping inference_mode revision peft_version megatron_core qalora_group_size "
    "runtime_config ensure_weight_tying loftq_config eva_config"
).split()
"""Fields that do not change what the adapters compute."""

Layers = Mapping[str, tuple[int, int]]
"""{path: (inputs, outputs)} of a model's linear layers, as of `lora.sizes`."""


@dataclasses.dataclass(frozen=True)
class Base(layers.Config):
    """The weights that adapters were trained on.

    Attributes:
      source: a folder, file or Hub id.
      hub_id: owner/name@commit, "" for files that are not from the Hub.
      sha256: SHA-256 of the weight files.
    """

    source: str
    hub_id: str
    sha256: str

    @classmethod
    def of(cls, source: Source) -> "Base":
        """The weights that are in a source now."""
        return cls(source.name, source.hub_id, source.sha256)

    @property
    def title(self) -> str:
        """A name for messages."""
        return f"{self.hub_id or self.source} (SHA-256 {self.sha256[:12]}...)"


class Adapters(NamedTuple):
    """Adapters that were read.

    Attributes:
      config: their config.
      params: {path within the model: float32 array}, two for each adapted layer.
      notes: what the user should know, such as that the base cannot be verified.
    """

    config: LoraConfig
    params: dict[str, np.ndarray]
    notes: tuple[str, ...]


# ---------------------------------------------------------------------------------- names


def _key_map(key_map: KeyMap) -> KeyMap:
    """The map of PEFT's tensors, from that of the model's."""
    kernel, weight = "/kernel", r"\.weight"
    return KeyMap(
        # A bare LlamaModel has no `model.`.
        prefix=rf"{re.escape(_PREFIX)}(?:{key_map.prefix})?",
        rules=tuple(
            (
                rf"{regex.removesuffix(weight)}\.lora_{side}{weight}",
                f"{path.removesuffix(kernel)}/lora_{side.lower()}",
                keymap.LINEAR,
            )
            for regex, path, transform in key_map.rules
            for side in "AB"
            if path.endswith(kernel) and regex.endswith(weight) and transform is keymap.LINEAR
        ),
    )


def _module_name(path: str, key_map: KeyMap) -> str:
    """Hugging Face's name of a linear layer, such as model.layers.0.self_attn.q_proj."""
    keys = (keymap.source_key(path + "/kernel", rule) for rule in key_map.rules)
    name = next(key for key in keys if key is not None).removesuffix(".weight")
    return name if name == _OUTPUT else f"model.{name}"


def _matches(name: str, patterns: list[str] | str) -> bool:
    """Whether PEFT's target_modules or exclude_modules select a layer."""
    if isinstance(patterns, str):  # of a bare LlamaModel, without `model.`
        return any(re.fullmatch(patterns, each) for each in (name, name.removeprefix("model.")))
    return any(f".{name}".endswith(f".{end}") for end in patterns)


def _targeted(fields: Mapping[str, Any], found: Layers, key_map: KeyMap) -> list[str]:
    """The paths of the layers that a PEFT config selects."""
    targets, excluded = fields["target_modules"], fields["exclude_modules"] or []
    if targets == "all-linear":
        targets = rf"(?!{_OUTPUT}).*"
    blocks = fields["layers_to_transform"]
    blocks = [blocks] if isinstance(blocks, int) else blocks
    chosen = []
    for path in found:
        name = _module_name(path, key_map)
        block = re.search(r"\.layers\.(\d+)\.", name)
        inside = blocks is None or (block is not None and int(block[1]) in blocks)
        if inside and _matches(name, targets) and not _matches(name, excluded):
            chosen.append(path)
    return chosen


def _indexed(path: str) -> str:
    """A regex of a layer's path in every block."""
    return re.sub(r"\b\d+\b", r"\\d+", re.escape(path))


def _regex(chosen: Iterable[str], found: Layers) -> str:
    """A regex that matches exactly these paths of the layers; short if all blocks are alike."""
    chosen = sorted(chosen)
    short = "|".join(dict.fromkeys(map(_indexed, chosen)))
    if [path for path in sorted(found) if re.fullmatch(short, path)] == chosen:
        return short
    return "|".join(map(re.escape, chosen))


# ---------------------------------------------------------------------------------- writing


def save(
    folder: pathlib.Path,
    params: Mapping[str, Any],
    config: LoraConfig,
    found: Layers,
    key_map: KeyMap,
    base: Base,
) -> None:
    """Writes the adapters of a model to a new folder.

    Args:
      folder: the folder; it must not exist.
      params: {path within the model: array}; other parameters than the adapters' are ignored.
      config: the adapters' config.
      found: the model's linear layers.
      key_map: of the model's tensors in Hugging Face's layout.
      base: the weights that the adapters were trained on.

    Raises:
      ValueError: the folder exists.
    """
    adapters = {p: np.asarray(v) for p, v in params.items() if p.endswith(("/lora_a", "/lora_b"))}
    chosen = sorted({path.rpartition("/")[0] for path in adapters})
    tensors = {
        f"{_PREFIX}{key if key.startswith(_OUTPUT) else 'model.' + key}": value
        for key, value in keymap.export(adapters, _key_map(key_map)).items()
    }
    names = {path: _module_name(path, key_map) for path in found}
    ends: Any = sorted({names[path].rpartition(".")[2] for path in chosen})
    if [path for path in sorted(found) if _matches(names[path], ends)] != chosen:
        ends = "|".join(re.escape(names[path]) for path in chosen)
    alpha = int(config.alpha) if float(config.alpha).is_integer() else config.alpha
    fields = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base.hub_id.partition("@")[0] or base.source,
        "r": config.rank,
        "lora_alpha": alpha,
        "lora_dropout": config.dropout,
        "use_rslora": config.rank_stabilized,
        "target_modules": ends,
        "bias": "none",
        "inference_mode": True,
    }
    with files.new_folder(folder) as partial:
        data = safetensors.numpy.save(tensors, {"format": "pt"})
        files.write_bytes(partial / WEIGHTS, data)
        files.write_json(partial / CONFIG, fields)
        files.write_json(partial / OURS, {"lora": config.to_dict(), "base": base.to_dict()})


# ---------------------------------------------------------------------------------- reading


def _fields(path: pathlib.Path) -> dict[str, Any]:
    """The fields of PEFT's config that are read; a ValueError if it asks for more than LoRA."""
    content = read_json(path)
    given = {name: content.get(name) for name in _FORMS}
    reading.check_form(given, _FORMS, str(path))
    if given["peft_type"] != "LORA":
        raise ValueError(f"{path}: peft_type is {given['peft_type']!r}; only 'LORA' is supported")
    unsupported = {
        name: value
        for name, value in content.items()
        if name not in _FORMS and name not in _IRRELEVANT and value
    }
    if given["bias"] not in (None, "none"):
        unsupported["bias"] = given["bias"]
    if given["init_lora_weights"] not in (None, *_INITS):
        unsupported["init_lora_weights"] = given["init_lora_weights"]
    if given["layers_pattern"] not in (None, [], "layers", ["layers"]):
        unsupported["layers_pattern"] = given["layers_pattern"]
    if unsupported:
        raise ValueError(
            f"{path}: these settings of PEFT are not supported: "
            + ", ".join(f"{name}={value!r}"[:80] for name, value in unsupported.items())
            + ". Only plain LoRA of linear layers, with one rank and alpha, can be read"
        )
    for name in ("target_modules", "exclude_modules"):
        pattern = given[name]
        if isinstance(pattern, str):
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(
                    f"{path}: {name}, {pattern!r}, is not a regular expression: {error}"
                ) from error
    return given


def _check_base(name: str, stated: str, trained_on: Base | None, base: Base) -> tuple[str, ...]:
    """Raises a ValueError if the base is another one than the adapters'; returns notes."""
    if trained_on is not None:
        if trained_on.sha256 != base.sha256:
            raise ValueError(
                f"the adapters {name} were trained on {trained_on.title}; they do not fit "
                f"{base.title}. Load them with the weights that they were trained on"
            )
        return ()
    ours, theirs = base.hub_id.partition("@")[0], stated.partition("@")[0]
    if ours and re.fullmatch(HUB_ID, theirs) and ours.lower() != theirs.lower():
        raise ValueError(
            f"the adapters {name} were trained on {theirs}, by their {CONFIG}; the base is {ours}. "
            f"If both have the same weights, correct base_model_name_or_path in {CONFIG}"
        )
    return (
        f"{name} does not state the hash of the weights that its adapters were trained on "
        f"({stated or 'an unnamed model'}); whether they are those of {base.title} is not known",
    )


def read(source: Source, found: Layers, key_map: KeyMap, base: Base) -> Adapters:
    """Reads adapters in PEFT's layout.

    Args:
      source: a folder or Hub id.
      found: the linear layers of the model that is to get them.
      key_map: of the model's tensors in Hugging Face's layout.
      base: the model's weights.

    Raises:
      ValueError: a file is missing or damaged, the adapters are not plain LoRA, they do not fit the
        model's layers, or they were trained on other weights.
    """
    path = source.require(CONFIG)
    fields = _fields(path)
    own = _own(source)
    notes = _check_base(
        source.name, fields["base_model_name_or_path"] or "", own[1] if own else None, base
    )
    chosen = _targeted(fields, found, key_map)
    if not chosen:
        raise ValueError(
            f"{path}: target_modules, {fields['target_modules']!r}, select none of the model's "
            f"{len(found)} linear layers"
        )
    try:
        config = LoraConfig(
            rank=fields["r"],
            alpha=fields["lora_alpha"],
            targets=_regex(chosen, found),
            dropout=fields["lora_dropout"] or 0.0,
            rank_stabilized=bool(fields["use_rslora"]),
        )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if own and {p for p in found if re.fullmatch(own[0].targets, p)} == set(chosen):
        config = dataclasses.replace(config, targets=own[0].targets)
    shapes = {}
    for layer in chosen:
        shapes[layer + "/lora_a"] = (found[layer][0], config.rank)
        shapes[layer + "/lora_b"] = (config.rank, found[layer][1])
    params = _read_tensors(source.require(WEIGHTS), shapes, key_map)
    return Adapters(config, params, notes)


def _own(source: Source) -> tuple[LoraConfig, Base] | None:
    """What `save` adds to PEFT's files; None for adapters that PEFT has written."""
    path = source.file(OURS)
    if path is None:
        return None
    content = read_json(path)
    try:
        return LoraConfig.from_dict(content["lora"]), Base.from_dict(content["base"])
    except ValueError as error:
        raise error if str(path) in str(error) else ValueError(f"{path}: {error}") from error


def _read_tensors(
    path: pathlib.Path, shapes: Mapping[str, tuple[int, int]], key_map: KeyMap
) -> dict[str, np.ndarray]:
    """Reads {path: float32 array} of these shapes; a ValueError lists what does not fit."""
    tensors = open_tensors(path)
    given = {key: tensor.shape for key, tensor in tensors.items()}
    try:
        plan = keymap.match(given, shapes, _key_map(key_map))
    except ValueError as error:
        raise ValueError(f"adapters of {path} do not fit the model: {error}") from None
    params = {}
    for target, (key, transform) in plan.items():
        value = transform.of(tensors[key].read(), shapes[target]).astype(np.float32)
        if not np.isfinite(value).all():
            raise ValueError(f"{path}: {key} has values that are NaN or infinite")
        params[target] = np.ascontiguousarray(value)
    return params
