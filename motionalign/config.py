"""The schema of a run's config: every shared field once, and what a config is checked against.

A `Field` states a default, what it means, which values it takes and whether a resumed run may
change it. A choice (`task`, `loss.kind`, a family, ...) has an `Entry` for each of its values,
which names the fields that this value reads. Registries above this module (models/families.py,
tasks/registry.py, ...) declare the entries of their choices, and fields of their own, in the same
terms; `Schema` joins all of it (tasks/schema.py makes the one that the project uses). Defaults,
validation, what may change on resume, differences, migrations and help all come from it.
"""

import copy
import dataclasses
import difflib
import json
import math
import numbers
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder

VERSION_KEY = "format_version"  # of what is stored: how many migrations it has gone through


@dataclasses.dataclass(frozen=True)
class Entry:
    """What one value of a choice means.

    Attributes:
      reads: dotted names of the fields that it reads, of those that not every run reads.
      fields: fields of its own, by dotted name; it reads these as well.
    """

    reads: tuple[str, ...] = ()
    fields: Mapping[str, "Field"] = dataclasses.field(default_factory=dict)

    @property
    def all_reads(self) -> tuple[str, ...]:
        """Everything that it reads, each once."""
        return tuple(dict.fromkeys((*self.reads, *self.fields)))


@dataclasses.dataclass(frozen=True)
class Field:
    """One field of a config.

    Attributes:
      default: its value unless a config says otherwise; None: it has none.
      meaning: what it is, for `--help_config` and errors.
      kind: type of an optional field, which may be unset.
      choices: the values it takes, each with what it reads; REGISTRY: a registry declares them.
      when_set: of an optional field, the fields that are read once it has a value.
      low, high: the smallest and largest number.
      above, below: numbers that it stays above and below.
      free: whether a resumed run may change it, because no parameter depends on it.
    """

    default: Any
    meaning: str
    kind: type | None = None
    choices: Mapping[Any, Entry] | str | None = None
    when_set: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    above: float | None = None
    below: float | None = None
    free: bool = False

    @property
    def optional(self) -> bool:
        """Whether it may be unset."""
        return self.kind is not None

    @property
    def of_several(self) -> bool:
        """Whether its value is several, in a list or tuple."""
        return isinstance(self.default, tuple)

    @property
    def type(self) -> type:
        """The type of its value, or of each of several."""
        return self.kind or type(self.default[0] if self.of_several else self.default)

    @property
    def expected(self) -> str:
        """The range in words."""
        bounds = {"at least": self.low, "above": self.above, "at most": self.high}
        bounds["below"] = self.below
        return " and ".join(f"{word} {x}" for word, x in bounds.items() if x is not None)

    def holds(self, value: float) -> bool:
        """Whether a number is finite and within the range."""
        return (
            (isinstance(value, int) or math.isfinite(value))  # large integers overflow it
            and (self.low is None or value >= self.low)
            and (self.high is None or value <= self.high)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )


REGISTRY = "registry"


def one_of(*values: Any, **reads: tuple[str, ...]) -> dict[Any, Entry]:
    """Choices of a field: `values`, which read nothing more, and those that read `reads`."""
    return {value: Entry() for value in values} | {k: Entry(reads=r) for k, r in reads.items()}


_SIZES = ("width", "depth", "heads", "mlp_width")


def _size(what: str, most: int) -> Field:
    return Field(None, what, int, low=1, high=most)


FIELDS: dict[str, Field] = {
    "seed": Field(0, "Of initial parameters, batches and dropout.", low=0, high=2**32 - 1),
    "task": Field(
        "captions",
        "What a clip is described by: its captions, or the words of its class, which is an "
        "action (labels) or a set of attributes.",
        choices=REGISTRY,
    ),
    "epochs": Field(50, "Passes over the training split.", low=1, high=10**6),
    "dtype": Field(
        "float32",
        "Precision of the computation; parameters are float32.",
        choices=one_of("float32", "bfloat16"),
    ),
    "checkpoint_steps": Field(
        500,
        "Steps between checkpoints, besides one at the end of each epoch; 0: only those.",
        low=0,
        high=10**9,
        free=True,
    ),
    "log_steps": Field(10, "Steps between lines of metrics.", low=1, high=10**9, free=True),
    "log_to": Field(
        ("tensorboard",),
        "Where metrics go besides metrics.jsonl; wandb is Weights & Biases.",
        choices=one_of("tensorboard", "wandb"),
        free=True,
    ),
    "data.data_dir": Field("data", "Parent folder of all prepared datasets.", free=True),
    "data.datasets": Field(
        "humanml3d", "A prepared dataset, or a mixture by weight: humanml3d:2,kit_ml:1."
    ),
    "data.train_split": Field("train", "Split to train on."),
    "data.val_split": Field("val", "Split that selects the best checkpoint; test never does."),
    "data.test_split": Field("test", "Split that is scored at the end.", free=True),
    "data.batch_size": Field(
        128, "Global batch: over all devices of all processes.", low=1, high=10**7
    ),
    "data.eval_batch_size": Field(64, "Batch in evaluation.", low=1, high=10**7, free=True),
    "data.frame_bucket": Field(
        32, "Batches are padded to a multiple of so many frames.", low=1, high=10**6
    ),
    "data.length_window": Field(
        4,
        "The clips of so many batches are sorted by length, then cut into batches. More is "
        "faster; 1 leaves batches random, padded to their longest clip.",
        low=1,
        high=10**6,
    ),
    "data.text_bucket": Field(
        16, "Texts are padded to a multiple of so many tokens.", low=1, high=10**6
    ),
    "data.texts": Field(
        "words",
        "Texts of the classes: their names (words), or descriptions.",
        choices=one_of("words", "descriptions"),
    ),
    "data.sampling": Field(
        "conseq",
        "Frames of a training clip: every step-th one (conseq), with a random step "
        "(random_conseq), or any in their order (random).",
        choices=one_of("random_conseq", "random", conseq=("data.step",)),
    ),
    "data.step": Field(1, "Frames from one to the next.", low=1, high=10**6),
    "data.augment.crop": Field(
        0, "Random stretch of so many frames, before the pace; 0: the whole.", low=0, high=10**6
    ),
    "data.augment.paces": Field((1.0,), "Speeds, one of which is drawn.", above=0, high=1000),
    "data.augment.squeeze": Field(0.0, "Largest part of x that is taken away.", low=0, below=1),
    "data.augment.mirror": Field(
        0.0,
        "Probability of mirroring. Leave it at 0 where texts name a side.",
        low=0,
        high=1,
    ),
    "data.augment.reverse": Field(0.0, "Probability of playing backwards.", low=0, high=1),
    "data.augment.joint_noise": Field(
        0.0, "Standard deviation of a joint's offset, in the joints' unit.", low=0, high=10**6
    ),
    "data.augment.point_noise": Field(
        0.0, "Standard deviation of noise on every joint of every frame.", low=0, high=10**6
    ),
    "data.workers": Field(2, "Threads that read and tokenise ahead.", low=1, high=1024, free=True),
    "data.cache_gb": Field(
        4.0, "Memory for decoded clips, in gibibytes.", low=0, high=10**6, free=True
    ),
    "model.motion.family": Field("vit", "The motion encoder.", choices=REGISTRY),
    "model.motion.input": Field(
        "joints", "What an encoder over frames reads.", choices=REGISTRY
    ),
    "model.motion.root": Field(True, "Whether the first frame's root is moved to the origin."),
    "model.motion.size": Field(
        "B",
        "Ti, S, B or L, as far as the family has them, or custom, with width, depth, heads and "
        "mlp_width.",
        choices=REGISTRY,
    ),
    "model.motion.width": _size("Width of the motion encoder.", 65536),
    "model.motion.depth": _size("Its layers.", 1000),
    "model.motion.heads": _size("Its attention heads.", 4096),
    "model.motion.mlp_width": _size(
        "Width of its MLPs; by default 4 times the width, of encoders over frames twice.", 262144
    ),
    "model.motion.patch_size": Field(
        16, "Frames, and points of a body part, of a patch.", low=1, high=1024
    ),
    "model.motion.max_frames": Field(
        224, "Frames of a clip that the encoder sees.", low=1, high=10**5
    ),
    "model.motion.pool": Field(
        "mean",
        "Readout: mean over the tokens, the class token (class; of a ViT), or the first frame's "
        "(first; of encoders over frames).",
    ),
    "model.motion.padding": Field(
        "attend",
        "Whether frames beyond a clip's end are attended to (attend, as published) or masked, "
        "which is faster.",
        choices=one_of("attend", mask=("data.frame_bucket", "data.length_window")),
    ),
    "model.motion.dropout": Field(0.0, "Dropout in the motion encoder.", low=0, below=1),
    "model.motion.weights": Field(
        None,
        "Pretrained weights: a folder, file or Hub id, in the layout of Hugging Face or timm or a "
        "Google .npz. Unset or empty: from scratch.",
        str,
        when_set=("model.motion.final_norm",),
    ),
    "model.motion.final_norm": Field(
        "fresh",
        "With mean pooling, whether the norm after pooling starts fresh (as published) or from "
        "the weights' norm of the class token (load).",
        choices=one_of("fresh", "load"),
    ),
    "model.text.family": Field(
        "distilbert",
        "The text encoder, or frozen: no encoder in training, but the vectors that `data_prep "
        "embed` made, whose width embed_dim then is: leave that unset.",
        choices=REGISTRY,
    ),
    "model.text.weights": Field(
        None, "Pretrained weights: a folder or Hub id. Unset or empty: from scratch.", str
    ),
    "model.text.readout": Field(
        "first",
        "Readout: the first token, the mean over tokens, or the end of the text (CLIP).",
    ),
    "model.text.dropout": Field(
        0.1,
        "On hidden states and attention weights; None: the two rates of config.json.",
        float,
        low=0,
        below=1,
    ),
    "model.text.max_tokens": Field(128, "Longer texts are cut.", low=1, high=10**5),
    "model.text.width": _size("Width of a text encoder from scratch.", 65536),
    "model.text.depth": _size("Its layers.", 1000),
    "model.text.heads": _size("Its attention heads.", 4096),
    "model.text.mlp_width": _size("Width of its MLPs; by default 4 times the width.", 262144),
    "model.text.vocab_size": _size("Tokens of a vocabulary learnt from the texts.", 10**6),
    "model.embed_dim": Field(
        256, "Width of the common space; None: of the frozen text vectors.", int, low=1, high=65536
    ),
    "model.head_dropout": Field(0.5, "Dropout in the projection heads.", low=0, below=1),
    "model.temperature": Field(
        0.07, "Of the softmax over similarities; where it starts if learnt.", above=0, high=1000
    ),
    "model.learn_temperature": Field(
        False,
        "Whether the temperature is learnt.",
        choices={False: Entry(), True: Entry(("optim.groups.temperature.lr",))},
    ),
    "model.weights": Field(
        None,
        "A trained model to go on from: a run's folder, a shared one, a Hub id; see "
        "configs/finetune.py.",
        str,
    ),
    "loss.kind": Field("contrastive", "What training minimises.", choices=REGISTRY),
    "loss.margin": Field(10.0, "Margin of the triplets.", above=0, high=10**6),
    "loss.mask_negatives": Field(
        False,
        "Whether negatives are left out whose texts say nearly the same, and those of the clip's "
        "own class.",
        choices={False: Entry(), True: Entry(("loss.mask_threshold",))},
    ),
    "loss.mask_threshold": Field(
        0.60, "Cosine of two texts' vectors above which they say the same.", low=-1, high=1000
    ),
    "optim.schedule": Field(
        "cosine",
        "Learning rate after the warm-up.",
        choices=one_of("constant", cosine=("optim.cosine_runs",)),
    ),
    "optim.warmup_steps": Field(0, "Steps of linear warm-up.", low=0, high=10**9),
    "optim.cosine_runs": Field(
        1.0, "The cosine reaches zero after so many runs of this length.", above=0, high=10**6
    ),
    "optim.b1": Field(0.9, "Adam's decay of the gradient's mean.", low=0, below=1),
    "optim.b2": Field(0.999, "Adam's decay of the gradient's square.", low=0, below=1),
    "optim.eps": Field(1e-8, "Adam's epsilon.", above=0, high=1),
    "optim.weight_decay": Field(
        0.0, "Decoupled, on kernels and embeddings.", low=0, high=10**6
    ),
    "optim.clip_norm": Field(
        0.0, "Largest norm of the gradient; 0: no clipping.", low=0, high=10**12
    ),
    "mesh.data": Field(
        -1, "Devices that the batch is split over; -1: all that model leaves.", low=-1, high=10**6,
        free=True,
    ),
    "mesh.model": Field(
        1, "Devices that attention heads and MLPs are split over.", low=1, high=10**6, free=True
    ),
    "eval.checkpoint": Field(
        "best",
        "Which checkpoint of a run is scored.",
        choices=one_of("best", "last"),
        free=True,
    ),
    "eval.protocols": Field(
        ("all", "all_threshold", "dissimilar", "small_batches"),
        "Retrieval protocols to score by.",
        choices=one_of("all", "dissimilar", "small_batches", all_threshold=("eval.threshold",)),
        free=True,
    ),
    "eval.threshold": Field(
        0.90,
        "Cosine of caption vectors above which another caption is right too.",
        low=-1,
        high=1,
        free=True,
    ),
    "eval.num_queries": Field(
        12, "Queries, classes or attributes on the page of examples.", low=0, high=10**4, free=True
    ),
}  # fmt: skip
"""Shared fields by dotted name, in the order in which they are shown."""

GROUP_FIELDS = {
    "match": Field("", "Regex that a parameter's whole path must match."),
    "lr": Field(0.0, "Peak learning rate; 0 freezes the group.", low=0),
    "layer_decay": Field(
        1.0, "What a tower's rate is multiplied by for each layer further down.", above=0, high=1
    ),
}
"""Fields of each group of `optim.groups`; every parameter belongs to exactly one group."""

GROUPS = {
    "motion_encoder": ("motion_encoder/.*", 1e-4),
    "text_encoder": ("text_encoder/.*", 1e-5),
    "heads": ("(motion|text)_head/.*", 1e-4),
    "temperature": ("logit_scale", 0.0),
}
"""The groups of a run: regex and peak learning rate."""


def _group_fields() -> dict[str, Field]:
    fields = {}
    for group, (match, lr) in GROUPS.items():
        for name, field in GROUP_FIELDS.items():
            default = {"match": match, "lr": lr}.get(name, field.default)
            fields[f"optim.groups.{group}.{name}"] = dataclasses.replace(field, default=default)
    return fields


class Schema:
    """All fields of a config, the shared ones and those of the registries' entries."""

    def __init__(self, registries: Mapping[str, Mapping[str, Entry]]) -> None:
        """Joins the shared fields with what registries declare.

        Args:
          registries: for each field whose choices a registry declares, {value: what it reads}.

        Raises:
          ValueError: an entry declares a field that there is, or reads one that there is not.
        """
        self.fields = dict(FIELDS) | _group_fields()
        for name, entries in registries.items():
            for value, entry in entries.items():
                for own, field in entry.fields.items():
                    if self.fields.setdefault(own, field) is not field:
                        raise ValueError(f"{name}={value!r} declares {own}, which is declared")
        for name, entries in registries.items():
            self.fields[name] = dataclasses.replace(self.fields[name], choices=entries)
        self._readers = self._find_readers()

    def _find_readers(self) -> dict[str, dict[str, list[Any]]]:
        """{field: {choice: its values that read the field}} of the fields that not all read."""
        readers: dict[str, dict[str, list[Any]]] = {}
        for name, field in self.fields.items():
            assert not isinstance(field.choices, str), f"no registry declares the choices of {name}"
            values = dict(field.choices or {})
            if field.when_set:
                values |= {_SET: Entry(field.when_set)}
            for value, entry in values.items():
                for read in entry.all_reads:
                    if read not in self.fields:
                        raise ValueError(f"{name}={value!r} reads {read}, which is no field")
                    readers.setdefault(read, {}).setdefault(name, []).append(value)
        return readers

    def base(self) -> ConfigDict:
        """A config of the defaults, to be changed by a config file."""
        config = ConfigDict()
        for name, field in self.fields.items():
            *sections, last = name.split(".")
            section = config
            for part in sections:
                if part not in section:
                    section[part] = ConfigDict()
                section = section[part]
            section[last] = placeholder(field.kind) if field.default is None else field.default
        return config

    def values(self, config: ConfigDict | Mapping) -> dict[str, Any]:
        """The values of a config by dotted name."""
        return flat(config.to_dict() if isinstance(config, ConfigDict) else config)

    def field(self, name: str) -> Field:
        """The field of a dotted name; groups of `optim` beyond the usual ones have fields too."""
        if name in self.fields:
            return self.fields[name]
        if name.startswith("optim.groups.") and name.rsplit(".", 1)[1] in GROUP_FIELDS:
            return GROUP_FIELDS[name.rsplit(".", 1)[1]]
        close = difflib.get_close_matches(name, self.fields, 1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise ValueError(f"config.{name} is no field{hint}")

    def check_values(self, config: ConfigDict | Mapping) -> None:
        """Checks every value by itself.

        Raises:
          ValueError: an unknown field, a value of another type or out of range.
        """
        for name, value in self.values(config).items():
            _check_value(f"config.{name}", value, self.field(name))

    def validate(self, config: ConfigDict | Mapping) -> None:
        """Checks every value, and that what is set is also read.

        Raises:
          ValueError: what `check_values` raises; a field that is not at its default though nothing
            that was chosen reads it.
        """
        self.check_values(config)
        if unread := self.unread(config):
            raise ValueError("; ".join(self._explain(n, config) for n in unread))

    def unread(self, config: ConfigDict | Mapping) -> list[str]:
        """Names of the fields that are not at their default, but that nothing chosen reads."""
        values = self.values(config)
        return [
            name
            for name, value in values.items()
            if name in self._readers
            and _plain(value) != _plain(self.fields[name].default)
            and not self._is_read(name, values)
        ]

    def _is_read(self, name: str, values: Mapping[str, Any]) -> bool:
        """Whether all choices that have a say about a field let it be read."""
        return all(
            self._is_read(choice, values) and _chosen(self._value(choice, values), readers)
            for choice, readers in self._readers.get(name, {}).items()
        )

    def _value(self, name: str, values: Mapping[str, Any]) -> Any:
        """The value of a field, its default where a config does not have it."""
        return values[name] if name in values else self.fields[name].default

    def _explain(self, name: str, config: ConfigDict | Mapping) -> str:
        """Why nothing reads a field, and what would."""
        values = self.values(config)
        reasons = []
        for choice, readers in self._readers[name].items():
            if not self._is_read(choice, values):
                reasons.append(f"config.{choice}, which decides about it, is not read either")
            elif not _chosen(self._value(choice, values), readers):
                by = " or ".join("a value" if r is _SET else repr(r) for r in readers)
                value = self._value(choice, values)
                reasons.append(f"config.{choice} is {value!r}, and only {by} reads it")
        default = self.fields[name].default
        back = "unset" if default is None else f"at {default!r}"
        return (
            f"config.{name} is {_plain(values[name])!r}, but nothing reads it: "
            f"{', '.join(reasons)}. Leave it {back}"
        )

    def reset_unread(self, stored: dict) -> dict:
        """A stored config with the fields that nothing reads at their defaults."""
        stored = copy.deepcopy(stored)
        for name in self.unread(stored):
            *sections, last = name.split(".")
            section = stored
            for part in sections:
                section = section[part]
            section[last] = _plain(self.fields[name].default)
        return stored

    def differences(self, before: Mapping, now: ConfigDict) -> list[str]:
        """What differs of two configs of one run, of the fields that must not.

        Args:
          before: a stored config, migrated.
          now: the config of today.
        """
        old, new = self.values(before), self.values(now)
        for name in new.keys() - old.keys() - FIELDS.keys():
            if name in self.fields:  # of an entry that was registered since
                old[name] = self.fields[name].default
        return [
            f"{name}: {_plain(old.get(name))!r} before, {_plain(new.get(name))!r} now"
            for name in sorted(old.keys() | new.keys())
            if _plain(old.get(name)) != _plain(new.get(name))
            and not (name in self.fields and self.fields[name].free)
        ]

    def describe(self) -> str:
        """Every field: default, values, who reads it, meaning; for the help."""
        lines = []
        for name, field in self.fields.items():
            default = "unset" if field.default is None else repr(field.default)
            valid = ", ".join(map(str, field.choices)) if field.choices else field.expected
            lines.append(f"{name} = {default}" + (f"   [{valid}]" if valid else ""))
            lines.append(f"    {field.meaning}")
            for choice, values in self.readers(name).items():
                lines.append(f"    Read where {choice} is {', '.join(map(str, values)) or 'set'}.")
        return "\n".join(lines)

    def readers(self, name: str) -> dict[str, tuple[Any, ...]]:
        """What must be chosen for a field to be read, all of it; empty where every run reads it.

        Returns:
          {field: its values that read the field; () where any value does}.
        """
        return {
            choice: tuple(value for value in values if value is not _SET)
            for choice, values in self._readers.get(name, {}).items()
        }


_SET = object()  # stands for any value of an optional field


def _chosen(value: Any, readers: list[Any]) -> bool:
    if _SET in readers:
        return bool(value)
    values = value if isinstance(value, list | tuple) else [value]
    return any(each in readers for each in values)


def _plain(value: Any) -> Any:
    """A value as JSON has it; "" is an optional field that was taken away again."""
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return None if value == "" else value


def _check_value(name: str, value: Any, field: Field) -> None:
    if value is None or value == "":
        if not field.optional:
            raise ValueError(f"{name} has no value")
        return
    several = isinstance(value, list | tuple)
    if several != field.of_several:
        raise ValueError(
            f"{name} is {value!r}; expected {'one value' if several else 'a list of values'}"
        )
    if several and not value:
        raise ValueError(f"{name} is empty; expected one or more values")
    for each in value if several else [value]:
        if field.choices:
            # Not `in` alone: 1 == True.
            if not any(each == c and type(each) is type(c) for c in field.choices):
                valid = ", ".join(map(str, field.choices))
                raise ValueError(f"{name} is {each!r}; valid: {valid}")
            continue
        kind, words = _TYPES[field.type]
        if not isinstance(each, kind) or (isinstance(each, bool) and field.type is not bool):
            raise ValueError(f"{name} is {each!r}; expected {words}")
        if field.type in (int, float) and not field.holds(each):
            raise ValueError(f"{name} is {each}; expected {field.expected or 'a finite number'}")


_TYPES: dict[type, tuple[type, str]] = {
    bool: (bool, "True or False"),
    int: (numbers.Integral, "a whole number"),
    float: (numbers.Real, "a number"),
    str: (str, "a text"),
}
"""Types of fields: what their values may be, and what that is called."""


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} as {"a.b": 1}."""
    out: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            out |= flat(value, f"{prefix}{key}.")
        else:
            out[prefix + key] = value
    return out


# Migrations of stored configs -----------------------------------------------------------------


_BEFORE_THEY_WERE_FIELDS = {
    "task": "captions",
    "data.texts": "words",
    "data.sampling": "conseq",
    "data.step": 1,
    "data.augment.crop": 0,
    "data.augment.paces": [1.0],
    "data.augment.squeeze": 0.0,
    "data.augment.mirror": 0.0,
    "data.augment.reverse": 0.0,
    "data.augment.joint_noise": 0.0,
    "data.augment.point_noise": 0.0,
    "model.motion.family": "vit",
    "model.motion.input": "joints",
    "model.motion.root": True,
    "model.motion.final_norm": "fresh",
    "model.weights": None,
    "loss.kind": "contrastive",
    "loss.margin": 10.0,
}


def migrate_missing(stored: dict, schema: Schema) -> dict:
    """Migration 1: fields that older runs do not have get the values that the code had then."""
    stored = copy.deepcopy(stored)
    for name, value in _BEFORE_THEY_WERE_FIELDS.items():
        *sections, last = name.split(".")
        section = stored
        for part in sections:
            section = section.setdefault(part, {})
        section.setdefault(last, value)
    for group in stored["optim"]["groups"].values():
        group.setdefault("layer_decay", 1.0)
    return stored


def migrate_unread(stored: dict, schema: Schema) -> dict:
    """Migration 2: fields that nothing reads go back to their defaults; they are refused today."""
    return schema.reset_unread(stored)


def migrate_log_to(stored: dict, schema: Schema) -> dict:
    """Migration 3: metrics went to TensorBoard."""
    return {"log_to": ["tensorboard"], **stored}


MIGRATIONS: tuple[Callable[[dict, Schema], dict], ...] = (
    migrate_missing,
    migrate_unread,
    migrate_log_to,
)
"""Migration n takes a stored config of version n - 1 to version n."""


def migrate(
    stored: Mapping[str, Any], migrations: Sequence[Callable[..., dict]], what: str, *context: Any
) -> dict[str, Any]:
    """What is stored, as today's code stores it, without its version.

    Args:
      stored: content of a JSON file; without a version it is of version 0.
      migrations: number n, counted from 1, takes version n - 1 to version n.
      what: is stored, for the error.
      context: further arguments of the migrations.

    Raises:
      ValueError: it was stored by a newer version of motionalign.
    """
    stored = dict(stored)
    version = stored.pop(VERSION_KEY, 0)
    if version > len(migrations):
        raise ValueError(
            f"{what} is of version {version}, written by a newer motionalign; this one reads up "
            f"to version {len(migrations)}"
        )
    for migration in migrations[version:]:
        stored = migration(stored, *context)
    return stored


def migrate_config(stored: Mapping[str, Any], schema: Schema) -> dict[str, Any]:
    """A stored config of a run as today's code would have stored it, without its version."""
    return migrate(stored, MIGRATIONS, "the config of the run", schema)


def stored_form(config: ConfigDict) -> dict[str, Any]:
    """What config.json of a run holds."""
    return {VERSION_KEY: len(MIGRATIONS), **json.loads(config.to_json())}


def in_section(names: Iterable[str], prefix: str) -> tuple[str, ...]:
    """Dotted names of fields: `in_section(("a", "b"), "x")` is ("x.a", "x.b")."""
    return tuple(f"{prefix}.{name}" for name in names)


def below(fields: Mapping[str, Field], prefix: str) -> dict[str, Field]:
    """The fields of a section by the rest of their names."""
    start = prefix + "."
    return {name.removeprefix(start): f for name, f in fields.items() if name.startswith(start)}


def defaults_below(prefix: str) -> dict[str, Any]:
    """The defaults of the shared fields of a section, nested as a config is."""
    out: dict[str, Any] = {}
    for name, field in below(FIELDS, prefix).items():
        *sections, last = name.split(".")
        inner = out
        for part in sections:
            inner = inner.setdefault(part, {})
        inner[last] = field.default
    return out
