"""The schema of a run's config: declaration of the shared fields, validation and migrations.

A `Field` declares its default, meaning, valid values and whether a resumed run may change it. A
choice (`task`, `loss.kind`, a family, ...) has an `Entry` per value, which lists the fields that
this value reads. Registries above this module (models/families.py, tasks/registry.py, ...) declare
the entries of their choices, and fields of their own, in the same way. `Schema` joins all of them
(tasks/schema.py builds the one that the project uses). Defaults, validation, the check on resuming,
migrations and the help text are derived from it.
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

VERSION_KEY = "format_version"  # of stored content: the number of migrations applied to it


@dataclasses.dataclass(frozen=True)
class Entry:
    """One value of a choice, and the fields that it reads.

    Attributes:
      reads: dotted names of the fields that it reads; fields that every run reads are omitted.
      fields: fields that the entry itself declares, by dotted name; it reads these as well.
    """

    reads: tuple[str, ...] = ()
    fields: Mapping[str, "Field"] = dataclasses.field(default_factory=dict)

    @property
    def all_reads(self) -> tuple[str, ...]:
        """Names of all fields that it reads, without duplicates."""
        return tuple(dict.fromkeys((*self.reads, *self.fields)))


@dataclasses.dataclass(frozen=True)
class Field:
    """One field of a config.

    Attributes:
      default: value if a config does not set the field; None: unset.
      meaning: description for `--help_config` and the documentation.
      kind: type of an optional field, which may be unset.
      choices: valid values, each with the fields that it reads; REGISTRY: declared by a registry.
      when_set: for an optional field, the fields that are read if it has a value.
      low, high: inclusive bounds of a number.
      above, below: exclusive bounds of a number.
      free: whether a resumed run may change the field, because no parameter depends on it.
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
        """Whether the field may be unset."""
        return self.kind is not None

    @property
    def of_several(self) -> bool:
        """Whether the field takes several values, in a list or tuple."""
        return isinstance(self.default, tuple)

    @property
    def type(self) -> type:
        """The type of the value, or of each of several values."""
        return self.kind or type(self.default[0] if self.of_several else self.default)

    @property
    def expected(self) -> str:
        """The valid range in words."""
        bounds = {"at least": self.low, "above": self.above, "at most": self.high}
        bounds["below"] = self.below
        return " and ".join(f"{word} {x}" for word, x in bounds.items() if x is not None)

    def holds(self, value: float) -> bool:
        """Whether a number is finite and within the range."""
        return (
            (isinstance(value, int) or math.isfinite(value))  # isfinite overflows on large integers
            and (self.low is None or value >= self.low)
            and (self.high is None or value <= self.high)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )


REGISTRY = "registry"


def one_of(*values: Any, **reads: tuple[str, ...]) -> dict[Any, Entry]:
    """Choices of a field: `values` read no further fields; keys of `reads` read their fields."""
    return {value: Entry() for value in values} | {k: Entry(reads=r) for k, r in reads.items()}


_SIZES = ("width", "depth", "heads", "mlp_width")


def _size(what: str, most: int) -> Field:
    return Field(None, what, int, low=1, high=most)


FIELDS: dict[str, Field] = {
    "seed": Field(
        0, "Random seed of initial parameters, batches and dropout.", low=0, high=2**32 - 1
    ),
    "task": Field(
        "captions",
        "Supervision of clips: their captions, or class texts, where a class is an action (labels) "
        "or a set of attributes.",
        choices=REGISTRY,
    ),
    "epochs": Field(50, "Passes over the training split.", low=1, high=10**6),
    "dtype": Field(
        "float32",
        "Precision of computation; parameters are always float32.",
        choices=one_of("float32", "bfloat16"),
    ),
    "checkpoint_steps": Field(
        500,
        "Steps between checkpoints, in addition to one at the end of each epoch; 0: only at the "
        "end of each epoch.",
        low=0,
        high=10**9,
        free=True,
    ),
    "log_steps": Field(
        10, "Steps between lines of training metrics.", low=1, high=10**9, free=True
    ),
    "log_to": Field(
        ("tensorboard",),
        "Where metrics are logged in addition to metrics.jsonl; wandb is Weights & Biases.",
        choices=one_of("tensorboard", "wandb"),
        free=True,
    ),
    "data.data_dir": Field("data", "Folder that contains the prepared datasets.", free=True),
    "data.datasets": Field(
        "humanml3d",
        "A prepared dataset, or several. An epoch has as many clips as all of them together: with "
        "humanml3d,kit_ml every clip of both once; with weights, as in humanml3d:2,kit_ml:1, two "
        "thirds of the clips are of the first, whatever the sizes, repeated if there are too few.",
    ),
    "data.train_split": Field("train", "Split to train on."),
    "data.val_split": Field(
        "val", "Split that selects the best checkpoint; the test split never does."
    ),
    "data.test_split": Field("test", "Split that is scored after training.", free=True),
    "data.batch_size": Field(
        128, "Global batch size, over all devices of all processes.", low=1, high=10**7
    ),
    "data.eval_batch_size": Field(
        64, "Batch size in evaluation.", low=1, high=10**7, free=True
    ),
    "data.frame_bucket": Field(
        32, "Batches are padded to a multiple of this number of frames.", low=1, high=10**6
    ),
    "data.length_window": Field(
        4,
        "The clips of this number of batches are sorted by length and then divided into batches. "
        "Larger is faster; with 1, batches are random and padded to their longest clip.",
        low=1,
        high=10**6,
    ),
    "data.text_bucket": Field(
        16, "Texts are padded to a multiple of this number of tokens.", low=1, high=10**6
    ),
    "data.texts": Field(
        "words",
        "Class texts: class names (words), or descriptions.",
        choices=one_of("words", "descriptions"),
    ),
    "data.sampling": Field(
        "conseq",
        "Frames sampled from a training clip: every data.step-th frame (conseq), frames with a "
        "random step (random_conseq), or a random subset in order (random).",
        choices=one_of("random_conseq", "random", conseq=("data.step",)),
    ),
    "data.step": Field(1, "Distance in frames between sampled frames.", low=1, high=10**6),
    "data.augment.crop": Field(
        0,
        "Length in frames of a random crop, before the pace is applied; 0: no crop.",
        low=0,
        high=10**6,
    ),
    "data.augment.paces": Field(
        (1.0,), "Playback speeds, one of which is drawn per clip.", above=0, high=1000
    ),
    "data.augment.squeeze": Field(
        0.0, "x is scaled by a random factor between 1 - squeeze and 1.", low=0, below=1
    ),
    "data.augment.mirror": Field(
        0.0,
        "Probability of mirroring. Leave it at 0 if texts mention left or right.",
        low=0,
        high=1,
    ),
    "data.augment.reverse": Field(0.0, "Probability of reversing time.", low=0, high=1),
    "data.augment.joint_noise": Field(
        0.0,
        "Standard deviation of a random offset per joint, in the unit of the joints.",
        low=0,
        high=10**6,
    ),
    "data.augment.point_noise": Field(
        0.0,
        "Standard deviation of noise on every joint in every frame, in the unit of the joints.",
        low=0,
        high=10**6,
    ),
    "data.workers": Field(
        2, "Threads that read and tokenise batches in advance.", low=1, high=1024, free=True
    ),
    "data.cache_gb": Field(
        4.0, "Memory for decoded clips, in gibibytes.", low=0, high=10**6, free=True
    ),
    "model.kind": Field(
        "dual_encoder",
        "The architecture: a motion encoder and a text encoder or classifier (dual_encoder), or "
        "one of the two stages of LLM-AR.",
        choices=REGISTRY,
    ),
    "model.motion.family": Field("vit", "The motion encoder.", choices=REGISTRY),
    "model.motion.input": Field(
        "joints", "Representation that an encoder over frames reads.", choices=REGISTRY
    ),
    "model.motion.root": Field(True, "Whether the root of the first frame is moved to the origin."),
    "model.motion.size": Field(
        "B",
        "Ti, S, B or L if the family has them, or custom with width, depth, heads and mlp_width.",
        choices=REGISTRY,
    ),
    "model.motion.width": _size("Width of the motion encoder.", 65536),
    "model.motion.depth": _size("Number of layers of the motion encoder.", 1000),
    "model.motion.heads": _size("Number of attention heads of the motion encoder.", 4096),
    "model.motion.mlp_width": _size(
        "Width of the MLPs of the motion encoder; by default 4 times its width, or twice for "
        "encoders over frames.",
        262144,
    ),
    "model.motion.patch_size": Field(
        16, "Size of a patch: frames, and points along a body part.", low=1, high=1024
    ),
    "model.motion.max_frames": Field(
        224, "Largest number of frames of a clip that the encoder reads.", low=1, high=10**5
    ),
    "model.motion.pool": Field(
        "mean",
        "Pooling: mean over the tokens (mean), the class token of a ViT (class), or the token of "
        "the first frame of an encoder over frames (first).",
    ),
    "model.motion.padding": Field(
        "attend",
        "Whether padding frames are attended to (attend, as published) or masked (mask), which is "
        "faster.",
        choices=one_of("attend", mask=("data.frame_bucket", "data.length_window")),
    ),
    "model.motion.dropout": Field(0.0, "Dropout in the motion encoder.", low=0, below=1),
    "model.motion.weights": Field(
        None,
        "Pretrained weights: a folder, file or Hub id with safetensors of Hugging Face or timm, or "
        "a Google .npz file. Unset or empty: train from scratch.",
        str,
        when_set=("model.motion.final_norm",),
    ),
    "model.motion.final_norm": Field(
        "fresh",
        "With mean pooling: whether the norm after pooling is newly initialised (fresh, as "
        "published) or takes the pretrained norm of the class token (load).",
        choices=one_of("fresh", "load"),
    ),
    "model.text.family": Field(
        "distilbert",
        "The text encoder. frozen: training uses the sentence vectors of `data_prep embed` instead "
        "of an encoder; leave model.embed_dim unset, it is the width of these vectors.",
        choices=REGISTRY,
    ),
    "model.text.weights": Field(
        None, "Pretrained weights: a folder or Hub id. Unset or empty: train from scratch.", str
    ),
    "model.text.readout": Field(
        "first",
        "Pooling: the first token, the mean over tokens, or the end-of-text token (CLIP).",
    ),
    "model.text.dropout": Field(
        0.1,
        "Dropout on hidden states and attention weights; None: the two rates in config.json of the "
        "pretrained weights.",
        float,
        low=0,
        below=1,
    ),
    "model.text.max_tokens": Field(
        128, "Largest number of tokens; longer texts are truncated.", low=1, high=10**5
    ),
    "model.text.width": _size("Width of a text encoder trained from scratch.", 65536),
    "model.text.depth": _size("Number of layers of a text encoder trained from scratch.", 1000),
    "model.text.heads": _size("Number of its attention heads.", 4096),
    "model.text.mlp_width": _size("Width of its MLPs; by default 4 times its width.", 262144),
    "model.text.vocab_size": _size(
        "Largest size of the vocabulary learned from the training texts.", 10**6
    ),
    "model.embed_dim": Field(
        256,
        "Width of the shared embedding space; None: width of the frozen text vectors.",
        int,
        low=1,
        high=65536,
    ),
    "model.remat": Field(
        "none",
        "What the backward pass computes again, to save memory: nothing; of transformer blocks all "
        "but the outputs of dense layers and fused attention (elementwise); or whole blocks.",
        choices=one_of("none", "elementwise", "blocks"),
        free=True,
    ),
    "model.head_dropout": Field(0.5, "Dropout in the projection heads.", low=0, below=1),
    "model.temperature": Field(
        0.07,
        "Temperature of the softmax over similarities; the initial value if it is learned.",
        above=0,
        high=1000,
    ),
    "model.learn_temperature": Field(
        False,
        "Whether the temperature is learned.",
        choices={False: Entry(), True: Entry(("optim.groups.temperature.lr",))},
    ),
    "model.weights": Field(
        None,
        "A trained model to fine-tune: the folder of a run, a shared folder or a Hub id; see "
        "configs/finetune.py.",
        str,
    ),
    "loss.kind": Field("contrastive", "The training objective.", choices=REGISTRY),
    "loss.margin": Field(10.0, "Margin of the triplet loss.", above=0, high=10**6),
    "loss.mask_negatives": Field(
        False,
        "Whether false negatives are excluded: negatives with nearly the same text, and negatives "
        "of the clip's own class.",
        choices={False: Entry(), True: Entry(("loss.mask_threshold",))},
    ),
    "loss.mask_threshold": Field(
        0.60,
        "Cosine of sentence vectors above which two texts count as the same.",
        low=-1,
        high=1000,
    ),
    "optim.schedule": Field(
        "cosine",
        "Schedule of the learning rate after the warm-up.",
        choices=one_of("constant", cosine=("optim.cosine_runs",)),
    ),
    "optim.warmup_steps": Field(0, "Number of linear warm-up steps.", low=0, high=10**9),
    "optim.cosine_runs": Field(
        1.0,
        "Length of the cosine schedule, at whose end the rate is zero, in multiples of the run.",
        above=0,
        high=10**6,
    ),
    "optim.b1": Field(0.9, "Adam's decay rate of the first moment.", low=0, below=1),
    "optim.b2": Field(0.999, "Adam's decay rate of the second moment.", low=0, below=1),
    "optim.eps": Field(1e-8, "Adam's epsilon.", above=0, high=1),
    "optim.weight_decay": Field(
        0.0,
        "Decoupled weight decay, multiplied by the learning rate; optim.decayed selects its "
        "parameters.",
        low=0,
        high=10**6,
    ),
    "optim.decayed": Field(
        "kernels",
        "Parameters with weight decay: kernels and embeddings, or all trained parameters, "
        "including biases, norms and a learned temperature (PyTorch's AdamW without groups).",
        choices=one_of("kernels", "all"),
    ),
    "optim.clip_norm": Field(
        0.0, "Largest norm of the gradient; 0: no clipping.", low=0, high=10**12
    ),
    "mesh.data": Field(
        -1,
        "Number of devices over which the batch is split; -1: all devices divided by mesh.model.",
        low=-1,
        high=10**6,
        free=True,
    ),
    "mesh.model": Field(
        1,
        "Number of devices over which attention heads and MLPs are split.",
        low=1,
        high=10**6,
        free=True,
    ),
    "eval.checkpoint": Field(
        "best",
        "Checkpoint of a run that is scored: best by validation, or the last one.",
        choices=one_of("best", "last"),
        free=True,
    ),
    "eval.protocols": Field(
        ("all", "all_threshold", "dissimilar", "small_batches"),
        "Retrieval protocols to evaluate.",
        choices=one_of("all", "dissimilar", "small_batches", all_threshold=("eval.threshold",)),
        free=True,
    ),
    "eval.class_scores": Field(
        "mean_vector",
        "Similarity of a clip to a class with several texts: to the mean of their vectors, as in "
        "the code of Walk and Text, or the mean of the similarities to each.",
        choices=one_of("mean_vector", "mean_score"),
        free=True,
    ),
    "eval.threshold": Field(
        0.90,
        "Cosine of caption vectors above which another caption also counts as correct.",
        low=-1,
        high=1,
        free=True,
    ),
    "eval.num_queries": Field(
        12,
        "Number of queries, classes or attributes on the page of examples.",
        low=0,
        high=10**4,
        free=True,
    ),
}  # fmt: skip
"""Shared fields by dotted name, in the order of the help text."""

GROUP_FIELDS = {
    "match": Field("", "Regex that must match the complete path of a parameter."),
    "lr": Field(0.0, "Peak learning rate; 0 freezes the group.", low=0),
    "layer_decay": Field(
        1.0,
        "Factor by which the learning rate of a tower decreases per layer towards the input.",
        above=0,
        high=1,
    ),
}
"""Fields of each group of `optim.groups`; every parameter belongs to exactly one group."""

GROUPS = {
    "motion_encoder": ("motion_encoder/.*", 1e-4),
    "text_encoder": ("text_encoder/.*", 1e-5),
    "heads": ("(motion|text)_head/.*", 1e-4),
    "temperature": ("logit_scale", 0.0),
}
"""The default parameter groups: regex and peak learning rate."""


def _group_fields() -> dict[str, Field]:
    fields = {}
    for group, (match, lr) in GROUPS.items():
        for name, field in GROUP_FIELDS.items():
            default = {"match": match, "lr": lr}.get(name, field.default)
            fields[f"optim.groups.{group}.{name}"] = dataclasses.replace(field, default=default)
    return fields


class Schema:
    """All fields of a config: the shared fields and those declared by registry entries."""

    def __init__(self, registries: Mapping[str, Mapping[str, Entry]]) -> None:
        """Joins the shared fields with those that registries declare.

        Args:
          registries: {field whose choices a registry declares: {value: its entry}}.

        Raises:
          ValueError: an entry declares a field that exists already, or reads an unknown one.
        """
        self.fields = dict(FIELDS) | _group_fields()
        for name, entries in registries.items():
            for value, entry in entries.items():
                for own, field in entry.fields.items():
                    if self.fields.setdefault(own, field) is not field:
                        raise ValueError(
                            f"{name}={value!r} declares {own}, which is declared already; rename it"
                        )
        for name, entries in registries.items():
            self.fields[name] = dataclasses.replace(self.fields[name], choices=entries)
        self._readers = self._find_readers()

    def _find_readers(self) -> dict[str, dict[str, list[Any]]]:
        """{field: {choice: values that read the field}} of the fields that not every run reads."""
        readers: dict[str, dict[str, list[Any]]] = {}
        for name, field in self.fields.items():
            assert not isinstance(field.choices, str), f"no registry declares the choices of {name}"
            values = dict(field.choices or {})
            if field.when_set:
                values |= {_SET: Entry(field.when_set)}
            for value, entry in values.items():
                for read in entry.all_reads:
                    if read not in self.fields:
                        raise ValueError(f"{name}={value!r} reads {read}, which is not a field")
                    readers.setdefault(read, {}).setdefault(name, []).append(value)
        return readers

    def base(self) -> ConfigDict:
        """A config with the default values, which a config file changes."""
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
        """The field of a dotted name; additional groups in `optim.groups` have fields as well."""
        if name in self.fields:
            return self.fields[name]
        if name.startswith("optim.groups.") and name.rsplit(".", 1)[1] in GROUP_FIELDS:
            return GROUP_FIELDS[name.rsplit(".", 1)[1]]
        close = difflib.get_close_matches(name, self.fields, 1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise ValueError(f"config.{name} is not a field{hint}")

    def check_values(self, config: ConfigDict | Mapping) -> None:
        """Checks every value on its own.

        Raises:
          ValueError: a field is unknown, or a value has the wrong type or is out of range.
        """
        for name, value in self.values(config).items():
            _check_value(f"config.{name}", value, self.field(name))

    def validate(self, config: ConfigDict | Mapping) -> None:
        """Checks every value, and that every field that is set is also read.

        Raises:
          ValueError: as `check_values`; also if a field differs from its default while no chosen
            value reads it.
        """
        self.check_values(config)
        if unread := self.unread(config):
            raise ValueError("; ".join(self._explain(n, config) for n in unread))

    def unread(self, config: ConfigDict | Mapping) -> list[str]:
        """Names of the fields that differ from their default while no chosen value reads them."""
        values = self.values(config)
        return [
            name
            for name, value in values.items()
            if name in self._readers
            and _plain(value) != _plain(self.fields[name].default)
            and not self._is_read(name, values)
        ]

    def _is_read(self, name: str, values: Mapping[str, Any]) -> bool:
        """Whether all choices on which a field depends have values that read it."""
        return all(
            self._is_read(choice, values) and _chosen(self._value(choice, values), readers)
            for choice, readers in self._readers.get(name, {}).items()
        )

    def _value(self, name: str, values: Mapping[str, Any]) -> Any:
        """The value of a field, or its default if the config does not have the field."""
        return values[name] if name in values else self.fields[name].default

    def _explain(self, name: str, config: ConfigDict | Mapping) -> str:
        """The reason why nothing reads a field, and the values that would."""
        values = self.values(config)
        reasons = []
        for choice, readers in self._readers[name].items():
            if not self._is_read(choice, values):
                reasons.append(f"config.{choice}, on which it depends, is not read either")
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
        """A copy of a stored config in which fields that nothing reads have their defaults."""
        stored = copy.deepcopy(stored)
        for name in self.unread(stored):
            *sections, last = name.split(".")
            section = stored
            for part in sections:
                section = section[part]
            section[last] = _plain(self.fields[name].default)
        return stored

    def differences(self, before: Mapping, now: ConfigDict) -> list[str]:
        """Differences between two configs of a run in fields that a resumed run may not change.

        Args:
          before: the stored config, migrated.
          now: the current config.
        """
        old, new = self.values(before), self.values(now)
        for name in new.keys() - old.keys() - FIELDS.keys():
            if name in self.fields:  # declared by an entry that was registered since
                old[name] = self.fields[name].default
        return [
            f"{name}: {_plain(old.get(name))!r} before, {_plain(new.get(name))!r} now"
            for name in sorted(old.keys() | new.keys())
            if _plain(old.get(name)) != _plain(new.get(name))
            and not (name in self.fields and self.fields[name].free)
        ]

    def describe(self) -> str:
        """Help text for all fields: default, valid values, meaning, and what reads them."""
        lines = []
        for name, field in self.fields.items():
            default = "unset" if field.default is None else repr(field.default)
            valid = ", ".join(map(str, field.choices)) if field.choices else field.expected
            lines.append(f"{name} = {default}" + (f"   [{valid}]" if valid else ""))
            lines.append(f"    {field.meaning}")
            where = [
                f"{choice} is {', '.join(map(str, values)) or 'set'}"
                for choice, values in self.readers(name).items()
            ]
            if where:
                lines.append(f"    Read where {', and '.join(where)}.")
        return "\n".join(lines)

    def readers(self, name: str) -> dict[str, tuple[Any, ...]]:
        """The choices that must all be made for a field to be read; empty if every run reads it.

        Returns:
          {choice: its values that read the field; () if any value does}.
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
    """A value as JSON represents it; "" means that an optional field was unset."""
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
            # Types are compared as well, because 1 == True.
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
"""{type of a field: (accepted types of its values, name in error messages)}."""


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
    """Migration 1: fields that older runs lack get the values that the code used at the time."""
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
    """Migration 2: resets fields that nothing reads to their defaults; they are errors now."""
    return schema.reset_unread(stored)


def migrate_log_to(stored: dict, schema: Schema) -> dict:
    """Migration 3: adds `log_to`; older runs logged to TensorBoard."""
    return {"log_to": ["tensorboard"], **stored}


def migrate_class_scores(stored: dict, schema: Schema) -> dict:
    """Migration 4: adds how classes are scored and what decays, as the code did until then."""
    stored = copy.deepcopy(stored)
    stored["eval"].setdefault("class_scores", "mean_score")
    stored["optim"].setdefault("decayed", "kernels")
    return schema.reset_unread(stored)  # most tasks have no class texts


def migrate_mixture(stored: dict, schema: Schema) -> dict:
    """Migration 5: writes out the weights of a mixture without any, which were equal.

    Without weights, a mixture is now the union of its datasets.
    """
    stored = copy.deepcopy(stored)
    stored["data"]["datasets"] = _with_equal_weights(stored["data"]["datasets"])
    return stored


def _with_equal_weights(datasets: str) -> str:
    """`"a,b"` as `"a:1,b:1"`; one dataset, or a mixture with a weight, as it is."""
    if "," not in datasets or ":" in datasets:
        return datasets
    return ",".join(f"{name.strip()}:1" for name in datasets.split(","))


def changed_mixture(before: Mapping, now: ConfigDict) -> str:
    """What to say if a run's unweighted mixture is given again, which is another one today.

    Args:
      before: the stored config, migrated.
      now: the current config.

    Returns:
      A line for the user; empty if `now` does not name the mixture without weights.
    """
    stored, given = before["data"]["datasets"], now.data.datasets
    if stored == given or stored != _with_equal_weights(given):
        return ""
    return (
        f"Without weights, datasets={given} is the union of its datasets. This run draws equally "
        "from each of them, as that meant in version 0.1 and as equal weights do: continue it with "
        f"--config.data.datasets={stored}"
    )


def migrate_kind(stored: dict, schema: Schema) -> dict:
    """Migration 6: adds `model.kind`; all older runs train a dual encoder."""
    return {**stored, "model": {"kind": "dual_encoder", **stored["model"]}}


def migrate_remat(stored: dict, schema: Schema) -> dict:
    """Migration 7: adds `model.remat`; older runs kept all that their backward passes needed."""
    return {**stored, "model": {"remat": "none", **stored["model"]}}


MIGRATIONS: tuple[Callable[[dict, Schema], dict], ...] = (
    migrate_missing,
    migrate_unread,
    migrate_log_to,
    migrate_class_scores,
    migrate_mixture,
    migrate_kind,
    migrate_remat,
)
"""Migration n converts a stored config of version n - 1 to version n."""


def migrate(
    stored: Mapping[str, Any], migrations: Sequence[Callable[..., dict]], what: str, *context: Any
) -> dict[str, Any]:
    """Converts stored content to the current version, and removes its version number.

    Args:
      stored: content of a JSON file; content without a version has version 0.
      migrations: the n-th migration, counted from 1, converts version n - 1 to version n.
      what: name of the content in the error message.
      context: further arguments of the migrations.

    Raises:
      ValueError: the content was stored by a newer version of motionalign, or lacks a field.
    """
    if not isinstance(stored, Mapping):
        raise ValueError(f"{what} is not an object with fields")
    stored = dict(stored)
    version = stored.pop(VERSION_KEY, 0)
    if not isinstance(version, int) or version < 0:
        raise ValueError(f"{what} has the version {version!r}; expected a whole number")
    if version > len(migrations):
        raise ValueError(
            f"{what} is of version {version}, written by a newer motionalign; this one reads up "
            f"to version {len(migrations)}: upgrade motionalign"
        )
    try:
        for migration in migrations[version:]:
            stored = migration(stored, *context)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(
            f"{what}, of version {version}, lacks a field or has one of another type "
            f"({type(error).__name__}: {error})"
        ) from error
    return stored


def migrate_config(stored: Mapping[str, Any], schema: Schema) -> dict[str, Any]:
    """Converts a stored config to the current version, and removes its version number."""
    return migrate(stored, MIGRATIONS, "the config of the run", schema)


def stored_form(config: ConfigDict) -> dict[str, Any]:
    """The content of config.json of a run."""
    return {VERSION_KEY: len(MIGRATIONS), **json.loads(config.to_json())}


def in_section(names: Iterable[str], prefix: str) -> tuple[str, ...]:
    """Dotted names of fields: `in_section(("a", "b"), "x")` is ("x.a", "x.b")."""
    return tuple(f"{prefix}.{name}" for name in names)


def below(fields: Mapping[str, Field], prefix: str) -> dict[str, Field]:
    """The fields of a section, by their names relative to it."""
    start = prefix + "."
    return {name.removeprefix(start): f for name, f in fields.items() if name.startswith(start)}


def defaults_below(prefix: str) -> dict[str, Any]:
    """The defaults of the shared fields of a section, nested as in a config."""
    out: dict[str, Any] = {}
    for name, field in below(FIELDS, prefix).items():
        *sections, last = name.split(".")
        inner = out
        for part in sections:
            inner = inner.setdefault(part, {})
        inner[last] = field.default
    return out
