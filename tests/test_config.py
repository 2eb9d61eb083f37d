"""The schema of configs: defaults, ranges, what reads a field, differences, help."""

import importlib
import itertools
import math
import pathlib
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motionalign import config as config_module
from motionalign import optim
from motionalign.checkpoints import run
from motionalign.config import Entry, Field, Schema, stored_form
from motionalign.configs import common
from motionalign.data import augment, texts
from motionalign.models.weights import keymap
from motionalign.report import tables
from motionalign.tasks.schema import schema

SCHEMA = schema()
NUMBERS = [n for n, f in SCHEMA.fields.items() if f.type in (int, float) and not f.choices]


def changed(values, fields=SCHEMA):
    """The defaults with {dotted name: value} changed, as a dict; a ConfigDict refuses some."""
    config = fields.base().to_dict()
    for name, value in values.items():
        *sections, last = name.split(".")
        inner = config
        for part in sections:
            inner = inner[part]
        inner[last] = value
    return config


def alone(name, value):
    """A value of a field, in a list if the field takes several."""
    return [value] if SCHEMA.fields[name].of_several else value


def choices_for(name, fields=SCHEMA):
    """{field: value} of choices under which a field is read."""
    chosen = {}
    for choice, readers in fields._readers.get(name, {}).items():
        value = readers[0] if isinstance(readers[0], str | bool) else "any value"
        chosen |= {choice: alone(choice, value)} | choices_for(choice, fields)
    return chosen


# Defaults ----------------------------------------------------------------------------------------


def test_the_defaults_are_valid():
    base = SCHEMA.base()
    SCHEMA.validate(base)
    assert {n: f.default for n, f in SCHEMA.fields.items()} == SCHEMA.values(base)
    assert common.base().to_dict() == base.to_dict()
    own = base.model.to_dict()
    assert {"tokenizer", "language"} < own.keys()  # declared by architectures
    shared = config_module.defaults_below("model")
    assert shared == {name: value for name, value in own.items() if name in shared}
    assert config_module.defaults_below("mesh") == {"data": -1, "model": 1}


def test_every_field_has_a_meaning():
    for name, field in SCHEMA.fields.items():
        assert field.meaning.endswith("."), name
        assert field.type in (bool, int, float, str), name
        assert field.expected or name not in NUMBERS, f"{name} takes any number whatever"


# Every value by itself ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", NUMBERS)
def test_non_finite_numbers_are_refused(name):
    field = SCHEMA.fields[name]
    expected = field.expected if field.type is float else "a whole number"
    for value in (math.nan, math.inf, -math.inf):
        with pytest.raises(ValueError) as error:
            SCHEMA.validate(changed({name: alone(name, value)}))
        assert str(error.value) == f"config.{name} is {value}; expected {expected}"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("optim.groups.heads.lr", math.nan, "is nan; expected at least 0"),
        ("eval.threshold", math.nan, "is nan; expected at least -1 and at most 1"),
        ("eval.num_queries", -3, "is -3; expected at least 0 and at most 10000"),
        ("seed", 1e20, "is 1e+20; expected a whole number"),
        ("seed", 10**20, f"is {10**20}; expected at least 0 and at most 4294967295"),
        ("optim.clip_norm", 10**400, "is 1000"),  # beyond what a float holds
        ("model.text.vocab_size", 2147483647, "is 2147483647; expected at least 1 and at most 10"),
        ("data.augment.paces", [1.0, 0.0], "is 0.0; expected above 0 and at most 1000"),
        ("data.augment.squeeze", 1.0, "is 1.0; expected at least 0 and below 1"),
        ("epochs", 2.5, "is 2.5; expected a whole number"),
        ("epochs", True, "is True; expected a whole number"),
        ("optim.eps", "small", "is 'small'; expected a number"),
        ("model.motion.root", 1, "is 1; expected True or False"),
        ("data.datasets", 7, "is 7; expected a text"),
        ("data.datasets", "", "has no value"),
        ("epochs", None, "has no value"),
        ("epochs", [5], "is [5]; expected one value"),
        ("eval.protocols", "all", "is 'all'; expected a list of values"),
        ("eval.protocols", [], "is empty; expected one or more values"),
        ("eval.protocols", ["all", "most"], "is 'most'; valid: all, dissimilar, small_batches, al"),
        ("task", "caption", "is 'caption'; valid: captions, labels, attributes"),
        ("model.motion.size", "XL", "is 'XL'; valid: Ti, S, B, L, custom"),
        ("dtype", "float16", "is 'float16'; valid: float32, bfloat16"),
    ],
)
def test_absurd_values(name, value, said):
    with pytest.raises(ValueError) as error:
        SCHEMA.validate(changed({name: value}))
    assert str(error.value).startswith(f"config.{name} {said}")


def bounds_of(field):
    return [x for x in (field.low, field.high, field.above, field.below) if x is not None]


def numbers_of(field):
    """Numbers of the type of a field, many of them at or near its bounds."""
    if field.type is int:
        near = [int(x) + d for x in bounds_of(field) for d in (-1, 0, 1)]
        return st.sampled_from(near) | st.integers(-(2**70), 2**70) | st.integers(-3, 3000)
    near = [float(x) for x in bounds_of(field)]
    near += [math.nextafter(x, to) for x in near for to in (-math.inf, math.inf)]
    return st.sampled_from(near) | st.floats(allow_nan=False, allow_infinity=False)


def is_within(field, value):
    return not (
        (field.low is not None and value < field.low)
        or (field.high is not None and value > field.high)
        or (field.above is not None and value <= field.above)
        or (field.below is not None and value >= field.below)
    )


@given(st.data())
@settings(max_examples=400)
def test_a_number_is_valid_exactly_within_the_range(data):
    name = data.draw(st.sampled_from(NUMBERS))
    field = SCHEMA.fields[name]
    value = data.draw(numbers_of(field))
    config = changed(choices_for(name) | {name: alone(name, value)})
    if is_within(field, value):
        SCHEMA.validate(config)
        return
    with pytest.raises(ValueError) as error:
        SCHEMA.validate(config)
    assert str(error.value) == f"config.{name} is {value}; expected {field.expected}"


@given(st.data())
def test_of_choices_only_the_listed_are_valid(data):
    names = [name for name, field in SCHEMA.fields.items() if field.choices]
    name = data.draw(st.sampled_from(names))
    field = SCHEMA.fields[name]
    value = data.draw(st.sampled_from(list(field.choices)) | st.text(min_size=1))
    config = changed(choices_for(name) | {name: alone(name, value)})
    if value in field.choices:  # a text is neither 0 nor 1, which equal False and True
        SCHEMA.check_values(config)
        return
    with pytest.raises(ValueError) as error:
        SCHEMA.check_values(config)
    assert str(error.value).startswith(f"config.{name} is {value!r}; valid: ")


@pytest.mark.parametrize("unset", [None, ""])  # "" on the command line takes a value away again
def test_a_field_may_be_unset_where_it_says_so(unset):
    for name, field in SCHEMA.fields.items():
        if field.optional:
            SCHEMA.check_values(changed({name: unset}))
        else:
            with pytest.raises(ValueError, match=f"^config.{name} has no value$"):
                SCHEMA.check_values(changed({name: unset}))


def test_unknown_fields():
    with pytest.raises(ValueError, match=r"config\.epoch is not a field; did you mean epochs\?"):
        SCHEMA.validate(changed({"epoch": 3}))
    with pytest.raises(ValueError, match=r"config\.data\.zzz is not a field$"):
        SCHEMA.validate(changed({"data.zzz": 3}))


def test_groups_of_parameters_may_be_added():
    group = {"match": ".*norm.*", "lr": 0.1, "layer_decay": 1.0}
    SCHEMA.validate(changed({"optim.groups.norms": group}))
    for change, message in (
        ({"lr": math.nan}, r"groups\.norms\.lr is nan; expected at least 0"),
        ({"layer_decay": 0.0}, r"groups\.norms\.layer_decay is 0\.0; expected above 0 and at mo"),
        ({"match": ""}, r"groups\.norms\.match has no value"),
        ({"rate": 0.1}, r"groups\.norms\.rate is not a field"),
    ):
        with pytest.raises(ValueError, match=message):
            SCHEMA.validate(changed({"optim.groups.norms": group | change}))


# What reads a field ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "name", "reasons"),
    [
        (
            {"loss.margin": 3.0},
            "loss.margin is 3.0",
            "config.loss.kind is 'contrastive', and only 'triplet' reads it. Leave it at 10.0",
        ),
        (
            {"data.augment.mirror": 0.5},
            "data.augment.mirror is 0.5",
            "config.model.motion.family is 'vit', and only 'gaitformer' or 'actor' reads it. "
            "Leave it at 0.0",
        ),
        (
            {"data.augment.paces": (0.5, 1.0)},
            "data.augment.paces is [0.5, 1.0]",
            "config.model.motion.family is 'vit', and only 'gaitformer' or 'actor' reads it. "
            "Leave it at (1.0,)",
        ),
        (
            {"model.motion.family": "gaitformer", "model.motion.padding": "mask"},
            "model.motion.padding is 'mask'",
            "config.model.motion.family is 'gaitformer', and only 'vit' or 'clip' reads it. "
            "Leave it at 'attend'",
        ),
        (
            {"model.motion.family": "gaitformer", "model.motion.patch_size": 8},
            "model.motion.patch_size is 8",
            "config.model.motion.family is 'gaitformer', and only 'vit' or 'clip' reads it. "
            "Leave it at 16",
        ),
        (
            {"task": "labels", "loss.kind": "classify", "loss.mask_negatives": True},
            "loss.mask_negatives is True",
            "config.loss.kind is 'classify', and only 'contrastive' or 'triplet' reads it. "
            "Leave it at False",
        ),
        (
            {"loss.mask_threshold": 0.8},
            "loss.mask_threshold is 0.8",
            "config.loss.mask_negatives is False, and only True reads it. Leave it at 0.6",
        ),
        (
            {"model.motion.width": 64},
            "model.motion.width is 64",
            "config.model.motion.size is 'B', and only 'custom' reads it. Leave it unset",
        ),
        (
            {"model.motion.final_norm": "load"},
            "model.motion.final_norm is 'load'",
            "config.model.motion.weights is None, and only a value reads it. Leave it at 'fresh'",
        ),
        (
            {"data.texts": "descriptions"},
            "data.texts is 'descriptions'",
            "config.task is 'captions', and only 'labels' or 'attributes' reads it. "
            "Leave it at 'words'",
        ),
        (
            {"eval.protocols": ["all"], "eval.threshold": 0.5},
            "eval.threshold is 0.5",
            "config.eval.protocols is ['all'], and only 'all_threshold' reads it. Leave it at 0.9",
        ),
        (
            {"data.frame_bucket": 64},
            "data.frame_bucket is 64",
            "config.model.motion.padding is 'attend', and only 'mask' reads it. Leave it at 32",
        ),
    ],
)
def test_a_field_that_nothing_reads_is_an_error(values, name, reasons):
    with pytest.raises(ValueError) as error:
        SCHEMA.validate(changed(values))
    assert str(error.value) == f"config.{name}, but nothing reads it: {reasons}"
    SCHEMA.check_values(changed(values))  # each value on its own is valid


def test_a_field_that_depends_on_an_unread_field():
    values = {"task": "labels", "loss.kind": "classify", "loss.mask_threshold": 0.8}
    with pytest.raises(ValueError, match=r"mask_negatives, on which it depends, is not read"):
        SCHEMA.validate(changed(values))


def test_all_unread_fields_are_reported_at_once():
    values = {"loss.margin": 3.0, "data.augment.crop": 60}
    with pytest.raises(ValueError, match=r"augment\.crop is 60, .*; config\.loss\.margin is 3\.0,"):
        SCHEMA.validate(changed(values))
    assert SCHEMA.unread(changed(values)) == ["data.augment.crop", "loss.margin"]


@pytest.mark.parametrize("name", SCHEMA._readers)
def test_every_field_is_read_under_some_choices(name):
    """Changing one of these choices to a value that does not read the field makes it unread."""
    field = SCHEMA.fields[name]
    other = {
        bool: lambda: not field.default,
        str: lambda: next(iter(set(field.choices or ["x"]) - {field.default})),
        int: lambda: (field.default or 1) + 1,
        float: lambda: 0.3,
    }[field.type]()
    values = choices_for(name) | {name: alone(name, other)}
    assert name not in SCHEMA.unread(changed(values))
    for choice, readers in SCHEMA._readers[name].items():
        rest = set(SCHEMA.fields[choice].choices or [None]) - set(readers)
        for value in rest:
            assert name in SCHEMA.unread(changed(values | {choice: alone(choice, value)}))


def test_a_field_at_its_default_need_not_be_read():
    for name, field in SCHEMA.fields.items():
        default = list(field.default) if field.of_several else field.default
        assert SCHEMA.unread(changed({name: default})) == []
        if field.optional and default is None:
            assert SCHEMA.unread(changed({name: ""})) == []


def test_unread_fields_are_reset():
    values = {"loss.margin": 3.0, "data.augment.paces": [0.5], "epochs": 7, "model.motion.width": 8}
    stored = changed(values)
    reset = SCHEMA.reset_unread(stored)
    assert reset == changed({"data.augment.paces": [1.0], "epochs": 7})
    assert stored == changed(values)  # the argument is unchanged
    SCHEMA.validate(reset)


# Shipped configs ---------------------------------------------------------------------------------


def arguments(name):
    """Every combination of the arguments that a config file takes."""
    options = {}
    parse = common.parse_arg

    def remember(arg, **words):
        options.update(words)
        return parse(arg, **words)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(common, "parse_arg", remember)
        importlib.import_module(f"motionalign.configs.{name}").get_config()
    return map(",".join, itertools.product(*options.values()))


CONFIGS = {path.stem for path in pathlib.Path(common.__file__).parent.glob("[!_]*.py")}
# `common` is not a run; the others need a model: see tests/checkpoints/test_finetuning.py and
# tests/test_launch.py.
CONFIGS -= {"common", "finetune", "checkpoint"}
SHIPPED = [(name, argument) for name in sorted(CONFIGS) for argument in arguments(name)]


@pytest.mark.parametrize(("name", "argument"), SHIPPED)
def test_shipped_configs_are_valid(name, argument):
    config = importlib.import_module(f"motionalign.configs.{name}").get_config(argument)
    assert config.is_locked
    SCHEMA.validate(config)


@pytest.mark.parametrize("name", ["humanml3d_vit", "kit_ml_vit"])
def test_every_value_of_motion_patches_names_its_source(name):
    """The paper, the code or ours, in a comment behind the value or on the line above."""
    lines = (pathlib.Path(common.__file__).parent / f"{name}.py").read_text("utf-8").splitlines()
    sets = [i for i, line in enumerate(lines) if re.match(r" +(c|groups)\.\S+ = ", line)]
    assert len(sets) >= 3
    for i in sets:
        above = lines[i - 1].strip()
        comment = lines[i].partition("  # ")[2] or above * above.startswith("#")
        known = re.search(r"\b(the paper|the code|ours)\b", comment, re.IGNORECASE)
        assert known or "data.datasets" in lines[i], lines[i]


def test_the_arguments_of_config_files_are_found():
    assert ("quickstart", "") in SHIPPED
    assert ("humanml3d_vit", "L,paper") in SHIPPED
    assert ("densegait_gaitformer", "classify,descriptions,actor,augmented") in SHIPPED
    assert len(SHIPPED) > 60


# Entries of registries ---------------------------------------------------------------------------

REGISTRIES = {
    "model.kind": {"dual_encoder": Entry()},
    "task": {"captions": Entry()},
    "loss.kind": {
        "plain": Entry(),
        "focal": Entry(
            reads=("model.temperature",),
            fields={"loss.gamma": Field(2.0, "How much easy pairs count.", low=0, high=10)},
        ),
    },
    "model.motion.family": {"vit": Entry()},
    "model.motion.size": {"B": Entry()},
    "model.motion.input": {"joints": Entry()},
    "model.text.family": {"bert": Entry(reads=("model.text.width",)), "frozen": Entry()},
}


def test_fields_declared_by_entries_are_joined():
    fields = Schema(REGISTRIES | {"task": {"captions": Entry(), "words": Entry()}})
    base = fields.base()
    assert base.loss.gamma == 2.0
    base.update({"task": "captions", "loss": {"kind": "focal", "gamma": 0.5}})
    base.model.text.family = "bert"
    fields.validate(base)
    assert stored_form(base)["loss"]["gamma"] == 0.5
    base.loss.gamma = 11.0
    with pytest.raises(ValueError, match=r"loss\.gamma is 11\.0; expected at least 0 and at"):
        fields.validate(base)
    base.update({"loss": {"kind": "plain", "gamma": 0.5}, "model": {"temperature": 0.1}})
    assert set(fields.unread(base)) == {"model.temperature", "loss.gamma"}
    with pytest.raises(ValueError, match=r"loss\.gamma is 0\.5, .*'plain', and only 'focal' reads"):
        fields.validate(base)
    assert "loss.gamma" not in SCHEMA.fields


@pytest.mark.parametrize("declared", ["loss.margin", "optim.groups.heads.lr"])
def test_a_field_is_declared_once(declared):
    entry = Entry(fields={declared: Field(1.0, "Another.")})
    message = rf"model\.motion\.family='vit' declares {re.escape(declared)}, which is declared"
    with pytest.raises(ValueError, match=message):
        Schema(REGISTRIES | {"model.motion.family": {"vit": entry}})


def test_two_entries_may_not_declare_the_same_field():
    own = {"model.motion.stride": Field(2, "Frames from one token to the next.", low=1, high=9)}
    other = {"model.motion.stride": Field(4, "Frames that a token covers.", low=1, high=9)}
    families = {"a": Entry(fields=own), "b": Entry(fields=other)}
    with pytest.raises(ValueError, match=r"='b' declares model\.motion\.stride, which is declared"):
        Schema(REGISTRIES | {"model.motion.family": families})
    # It may read the field, or declare the identical one.
    for second in (Entry(reads=("model.motion.stride",)), Entry(fields=own)):
        families = {"a": Entry(fields=own), "b": second}
        fields = Schema(REGISTRIES | {"model.motion.family": families})
        for family in "ab":
            values = {"model.motion.family": family, "model.motion.stride": 3}
            assert "model.motion.stride" not in fields.unread(changed(values, fields))


def test_an_entry_may_only_read_existing_fields():
    entry = Entry(reads=("loss.gama",))
    with pytest.raises(
        ValueError, match=r"loss\.kind='focal' reads loss\.gama, which is not a field"
    ):
        Schema(REGISTRIES | {"loss.kind": {"focal": entry}})


def test_every_registry_must_be_passed():
    with pytest.raises(AssertionError, match=r"no registry declares the choices of task"):
        Schema({name: entries for name, entries in REGISTRIES.items() if name != "task"})


# Resuming, and help ------------------------------------------------------------------------------


def test_differences_cover_the_fields_that_a_resumed_run_may_not_change():
    for name, field in SCHEMA.fields.items():
        before = changed({name: alone(name, "then")})
        now = changed({name: alone(name, "now")})
        found = SCHEMA.differences(before, now)
        then, today = alone(name, "then"), alone(name, "now")
        assert found == ([] if field.free else [f"{name}: {then!r} before, {today!r} now"]), name
    assert {name.partition(".")[0] for name, f in SCHEMA.fields.items() if f.free} == {
        "checkpoint_steps", "log_steps", "log_to", "data", "mesh", "eval", "model",
    }  # fmt: skip


def test_equivalent_values_are_no_difference():
    config = SCHEMA.base()
    stored = {k: v for k, v in stored_form(config).items() if k != config_module.VERSION_KEY}
    assert stored["data"]["augment"]["paces"] == [1.0]  # JSON has no tuples
    assert SCHEMA.differences(stored, config) == []
    config.model.motion.weights = ""  # also means unset
    assert SCHEMA.differences(stored, config) == []


def test_added_and_removed_groups_are_differences():
    group = {"match": ".*norm.*", "lr": 0.1, "layer_decay": 1.0}
    found = SCHEMA.differences(changed({}), changed({"optim.groups.norms": group}))
    assert found == [
        "optim.groups.norms.layer_decay: None before, 1.0 now",
        "optim.groups.norms.lr: None before, 0.1 now",
        "optim.groups.norms.match: None before, '.*norm.*' now",
    ]


def test_fields_of_entries_registered_after_a_run_started_have_their_default():
    fields = Schema(REGISTRIES)
    before = changed({"loss.kind": "plain"}, fields)
    del before["loss"]["gamma"]
    assert fields.differences(before, changed({"loss.kind": "plain"}, fields)) == []
    now = changed({"loss.kind": "plain", "loss.gamma": 3.0}, fields)
    assert fields.differences(before, now) == ["loss.gamma: 2.0 before, 3.0 now"]


def test_the_help_lists_every_field():
    lines = SCHEMA.describe().splitlines()
    heads = [line for line in lines if not line.startswith(" ")]
    assert [line.split(" = ")[0] for line in heads] == list(SCHEMA.fields)
    for name, field in SCHEMA.fields.items():
        at = next(i for i, line in enumerate(lines) if line.startswith(f"{name} = "))
        default = "unset" if field.default is None else repr(field.default)
        assert lines[at].startswith(f"{name} = {default}")
        assert lines[at + 1].strip() == field.meaning
        if field.choices:
            assert lines[at].endswith(f"[{', '.join(map(str, field.choices))}]")
        if name in NUMBERS:
            assert lines[at].endswith(f"[{field.expected}]")
    at = lines.index("loss.mask_threshold = 0.6   [at least -1 and at most 1000]")
    assert lines[at + 2] == "    Read where loss.mask_negatives is True."
    at = lines.index("model.embed_dim = 256   [at least 1 and at most 65536]")
    assert lines[at + 2] == "    Read where model.kind is dual_encoder."
    at = lines.index("model.motion.final_norm = 'fresh'   [fresh, load]")
    assert lines[at + 2] == (
        "    Read where model.kind is dual_encoder, and model.motion.weights is set."
    )


def test_names_below_a_section():
    assert config_module.in_section(("a", "b"), "x.y") == ("x.y.a", "x.y.b")
    assert config_module.flat({"a": {"b": 1, "c": {"d": 2}}, "e": 3}) == {
        "a.b": 1, "a.c.d": 2, "e": 3,
    }  # fmt: skip


@pytest.mark.parametrize("number", [0, 1])
def test_a_number_is_not_accepted_as_a_switch(number):
    for name in ("model.learn_temperature", "loss.mask_negatives"):
        with pytest.raises(ValueError, match=f"config.{name} is {number}; valid: False, True"):
            SCHEMA.check_values(changed({name: number}))


@pytest.mark.parametrize(
    ("name", "elsewhere"),
    [
        ("data.sampling", augment.SAMPLINGS),
        ("data.texts", texts.KINDS[:2]),  # synonyms are used in evaluation only
        ("optim.schedule", optim.SCHEDULES),
        ("eval.protocols", tables.PROTOCOLS),
        ("eval.checkpoint", run.SERIES),
        ("model.motion.final_norm", keymap.FINAL_NORM),
    ],
)
def test_choices_declared_twice_agree(name, elsewhere):
    """A config is checked before the modules that do the work are imported."""
    assert set(SCHEMA.fields[name].choices) == set(elsewhere)
