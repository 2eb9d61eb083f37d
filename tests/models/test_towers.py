"""The contract of every encoder, checked against the published model that it must equal."""

import dataclasses
import functools
import json
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from flax import nnx
from reference import eager, run
from towers import TOWERS

from motionalign.models.families import MOTION_FAMILIES, TEXT_FAMILIES
from motionalign.models.weights import keymap
from motionalign.models.weights.source import Source

every_tower = pytest.mark.parametrize("tower", TOWERS.values(), ids=TOWERS)
every_text_tower = pytest.mark.parametrize(
    "tower", [pytest.param(t, id=name) for name, t in TOWERS.items() if t.kind == "text"]
)
every_masking_tower = pytest.mark.parametrize(
    "tower",
    [pytest.param(t, id=name) for name, t in TOWERS.items() if hasattr(t.config, "padding")],
)


def every(field: str):
    """One case per entry of a tower's `field`."""
    return pytest.mark.parametrize(
        ("tower", "changes"),
        [
            pytest.param(tower, changes, id="-".join([name, *map(str, changes.values())]))
            for name, tower in TOWERS.items()
            for changes in getattr(tower, field)
        ],
    )


@pytest.fixture(scope="session")
def published(tmp_path_factory):
    """`published(tower, **changes)`: folder and `States` of a random reference model."""

    @functools.cache
    def make(name, changes):
        folder = tmp_path_factory.mktemp(name)
        tower = TOWERS[name]
        model = tower.save(folder, **dict(changes))
        return folder, tower.states(model, *tower.compared)

    names = {id(tower): name for name, tower in TOWERS.items()}
    return lambda tower, **changes: make(names[id(tower)], tuple(changes.items()))


def test_every_family_of_the_registries_is_in_the_table():
    registered = {("motion", name) for name in MOTION_FAMILIES}
    registered |= {("text", name) for name in TEXT_FAMILIES}
    assert {(tower.kind, tower.family) for tower in TOWERS.values()} == registered
    for tower in TOWERS.values():
        family = {"motion": MOTION_FAMILIES, "text": TEXT_FAMILIES}[tower.kind][tower.family]
        assert (family.config, family.module) == (type(tower.config), tower.module)


# ------------------------------------------------------------------------------ what it computes


@every("variants")
def test_layers_and_model_equal_the_reference(published, tower, changes):
    folder, states = published(tower, **changes)
    inputs = tower.compared
    models = {pooling: tower.load(folder, **{tower.pooling: pooling}) for pooling in tower.poolings}
    fields = {name: value for name, value in changes.items() if name != "model_class"}
    for pooling, model in models.items():
        ours = {tower.pooling: pooling, **fields}
        assert model.config == dataclasses.replace(tower.loaded, **ours)
    first = states.blocks[0]
    real = inputs[1] if tower.kind == "text" else np.ones(first.shape[:2], bool)
    embedded = np.ones_like(real) if tower.pads_alike else real
    np.testing.assert_allclose(eager(model.embed, inputs[0])[embedded], first[embedded], atol=1e-5)
    bias = tower.bias(model, *inputs)
    assert len(model.blocks) == len(states.blocks) - 1
    for block, before, after in zip(model.blocks, states.blocks, states.blocks[1:]):
        np.testing.assert_allclose(
            eager(block.__call__, before, bias)[real], after[real], rtol=tower.rtol, atol=1e-5
        )
    assert set(states.encoded) == set(tower.poolings)
    for pooling, (tokens, pooled) in states.encoded.items():
        out = eager(models[pooling].__call__, *inputs)
        np.testing.assert_allclose(out.pooled, pooled, atol=1e-4)
        assert out.tokens.shape == tokens.shape
        real = inputs[1] if tower.kind == "text" else np.ones(tokens.shape[:2], bool)
        np.testing.assert_array_equal(out.mask, real)
        assert out.mask.dtype == bool
        np.testing.assert_allclose(out.tokens[real], tokens[real], atol=1e-4)


@every("wrong")
def test_the_comparison_detects_a_wrong_activation_or_epsilon(published, tower, changes):
    folder, states = published(tower)
    model = tower.load(folder, **{tower.pooling: tower.poolings[0]})
    config = dataclasses.replace(model.config, **changes)
    wrong = reference.build(config, tower.module, nnx.state(model))
    tokens, pooled = states.encoded[tower.poolings[0]]
    out = eager(wrong.__call__, *tower.compared)
    assert np.abs(out.pooled - pooled).max() > 2e-4
    assert np.abs(out.tokens - tokens)[out.mask].max() > 2e-4


@every_tower
def test_what_is_pooled_needs_no_tokens(tower):
    """Compiled, as in training."""
    for pooling in tower.poolings:
        model = tower.build(**{tower.pooling: pooling})
        whole = eager(model.__call__, *tower.inputs)
        compute = eager if pooling == "mean" else run
        spare = compute(model.__call__, *tower.inputs, tokens=False)
        np.testing.assert_allclose(spare.pooled, whole.pooled, rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(spare.mask, whole.mask)
        if pooling == "mean":  # reads them all
            np.testing.assert_allclose(spare.tokens, whole.tokens, rtol=1e-5, atol=1e-5)
        else:
            assert spare.tokens is None


# ------------------------------------------------------------------------------------- padding


@every_text_tower
def test_a_padded_text_equals_the_text_alone(tower):
    ids, mask = tower.inputs
    assert mask[2].sum() == 7
    for readout in tower.poolings:
        model = tower.build(readout=readout)
        together = eager(model.__call__, ids, mask)
        alone = eager(model.__call__, ids[2:, :7], mask[2:, :7])
        np.testing.assert_allclose(together.pooled[2], alone.pooled[0], atol=1e-5)
        np.testing.assert_allclose(together.tokens[2, :7], alone.tokens[0], atol=1e-5)
        zeros = eager(model.__call__, np.where(mask, ids, 0), mask)
        np.testing.assert_allclose(zeros.pooled, together.pooled, atol=1e-5)


@every_masking_tower
def test_a_masked_batch_equals_single_clips(tower):
    patches = tower.inputs[0].copy()
    num_frames = np.array([60, 17, 1], np.int32)
    patches[np.arange(64) >= num_frames[:, None]] = 0.0
    parts = tower.config.parts
    for pool in tower.poolings:
        model = tower.build(pool=pool, padding="mask")
        together = eager(model.__call__, patches, num_frames)
        frames = np.repeat(8 * np.arange(8), parts)
        np.testing.assert_array_equal(together.mask, frames < num_frames[:, None])
        for row, padded in ((1, 24), (2, 8)):
            some = slice(row, row + 1)
            alone = eager(model.__call__, patches[some, :padded], num_frames[some])
            np.testing.assert_allclose(together.pooled[row], alone.pooled[0], atol=1e-5)
            np.testing.assert_allclose(
                together.tokens[row, : padded // 8 * parts], alone.tokens[0], atol=1e-5
            )
        # What lies in tokens without a real frame is not looked at.
        other = patches.copy()
        other[1, 24:] = 7.0
        other[2, 8:] = -7.0
        changed = eager(model.__call__, other, num_frames)
        np.testing.assert_array_equal(changed.pooled, together.pooled)
        np.testing.assert_array_equal(changed.tokens[together.mask], together.tokens[together.mask])


# ------------------------------------------------------------------------------- Flax's modes


@every_tower
def test_both_modes_of_flax_build_the_same_module(tower):
    """Graph mode is the default of Flax; motionalign itself works in tree mode."""
    expected = reference.flat(nnx.state(tower.build()))
    out = []
    for mode in (True, False):
        with nnx.set_graph_mode(mode):
            model = nnx.eval_shape(lambda: tower.module(tower.config, rngs=nnx.Rngs(0)))
            graphdef, shapes = nnx.split(model)
            found = reference.flat(shapes)
            assert {p: (x.shape, x.dtype) for p, x in found.items()} == {
                p: (x.shape, x.dtype) for p, x in expected.items()
            }
            assert list(found) == list(expected)
            model = nnx.merge(graphdef, nnx.state(tower.build()))
            out.append(eager(model.__call__, *tower.inputs))
    np.testing.assert_array_equal(out[0].pooled, out[1].pooled)
    np.testing.assert_array_equal(out[0].tokens, out[1].tokens)


# ------------------------------------------------------------------------------- dropout, dtypes


@every_tower
def test_dropout_only_with_rngs(tower):
    model = tower.build(**tower.dropout, **{tower.pooling: tower.poolings[1]})
    evaluated, again = (eager(model.__call__, *tower.inputs).pooled for _ in range(2))
    first, same, other = (
        eager(model.__call__, *tower.inputs, nnx.Rngs(dropout=seed)).pooled for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(evaluated, again)
    np.testing.assert_array_equal(first, same)
    assert np.abs(first - evaluated).max() > 0.01
    assert np.abs(first - other).max() > 0.01


def as_matrices(sites):
    """Tokens may be rows [B * N, D]; attention weights [B, H, N, N] are not."""
    return [(rate, s if len(s) > 3 else (math.prod(s[:-1]), s[-1])) for rate, s in sites]


@every_tower
def test_dropout_sites_equal_the_reference(monkeypatch, tower):
    for pooling in tower.poolings:
        model = tower.build(**tower.dropout, **{tower.pooling: pooling})
        sites = reference.dropout_sites(monkeypatch, model, *tower.inputs)
        assert as_matrices(sites) == as_matrices(tower.sites)
        spare = reference.dropout_sites(monkeypatch, model, *tower.inputs, tokens=False)
        assert [rate for rate, _ in spare] == [rate for rate, _ in sites]
    model = tower.build(**dict.fromkeys(tower.dropout, 0.0))
    assert reference.dropout_sites(monkeypatch, model, *tower.inputs) == []


@every_tower
def test_bfloat16_compute_with_float32_parameters(tower):
    single = tower.build()
    half = tower.build(nnx.state(single), jnp.bfloat16)
    expected = eager(single.__call__, *tower.inputs)
    out = eager(half.__call__, *tower.inputs)
    assert (expected.tokens.dtype, expected.pooled.dtype) == (np.float32, np.float32)
    assert (out.tokens.dtype, out.pooled.dtype) == (jnp.bfloat16, jnp.bfloat16)
    for ours, theirs in ((out.tokens, expected.tokens), (out.pooled, expected.pooled)):
        a, b = np.ravel(ours.astype(np.float32)), np.ravel(theirs)
        assert a @ b / np.linalg.norm(a) / np.linalg.norm(b) > 0.999
    assert {x.dtype for x in jax.tree.leaves(nnx.state(half))} == {jnp.dtype(np.float32)}


# ------------------------------------------------------------------------------- wrong inputs


@every_tower
def test_inputs_that_are_refused(tower):
    inputs, message = tower.refused
    with pytest.raises(ValueError, match=message):
        eager(tower.build().__call__, *inputs)


@every_text_tower
def test_unknown_ids_give_nan(tower):
    ids, mask = tower.inputs
    assert np.isnan(eager(tower.build().__call__, np.full_like(ids, 50), mask).pooled).all()


# ------------------------------------------------------------------------------ weights, config


@every_tower
def test_weights_are_read_strictly_and_written_back(published, tmp_path, tower):
    """Additional and missing keys are errors; the inverted rules give the source."""
    from safetensors.numpy import load_file, save_file

    folder, _ = published(tower)
    ours = {tower.pooling: tower.poolings[0] if tower.pooling == "readout" else "class"}
    model = tower.load(folder, **ours)
    source = Source(folder)
    key_map = tower.key_map(model.config, source)
    params = reference.flat(jax.device_get(nnx.state(model)))
    tensors = load_file(folder / "model.safetensors")
    names = {key: re.sub(f"^(?:{key_map.prefix})", "", key) for key in tensors}
    needed = {
        key
        for key, name in names.items()
        if not any(re.fullmatch(x, name) for x in key_map.excused)
    }
    exported = keymap.export(params, key_map)
    assert exported.keys() == {names[key] for key in needed}
    for key in needed:
        np.testing.assert_array_equal(exported[names[key]], tensors[key], err_msg=key)

    missing = min(needed)
    del tensors[missing]
    save_file({**tensors, "other.weight": np.zeros((2, 3), np.float32)}, tmp_path / "a.safetensors")
    (tmp_path / "a.safetensors").rename(tmp_path / "model.safetensors")
    if (folder / "config.json").is_file():
        (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    with pytest.raises(ValueError, match="do not fit the model") as error:
        tower.load(tmp_path, **ours)
    lines = str(error.value).split("\n  ")
    assert "unexpected  other.weight [2, 3]" in lines
    assert any(line.startswith("missing     nothing fills") for line in lines)


@every_tower
def test_config_goes_to_json_and_back(tower):
    config = tower.config
    assert type(config).from_dict(json.loads(json.dumps(config.to_dict()))) == config
    with pytest.raises(ValueError, match=r"has no field 'new'; valid: .*width"):
        type(config).from_dict({**config.to_dict(), "new": 1})
    with pytest.raises(ValueError, match="lacks width"):
        type(config).from_dict({k: v for k, v in config.to_dict().items() if k != "width"})


@every_tower
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"heads": 5}, "5 heads do not evenly divide the width 24"),
        ({"depth": 0}, r"Config\.depth is 0; it must be at least 1"),
        ({"activation": "swish"}, r"Config\.activation is 'swish'; valid: 'gelu'"),
    ],
)
def test_mistakes_in_a_config(tower, changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(tower.config, **changes)


@every_tower
def test_poolings_are_checked(tower):
    with pytest.raises(ValueError, match=rf"Config\.{tower.pooling} is 'last'; valid: '"):
        dataclasses.replace(tower.config, **{tower.pooling: "last"})


@pytest.mark.parametrize(
    "tower",
    [pytest.param(t, id=name) for name, t in TOWERS.items() if hasattr(t.file, "config_to_hf")],
)
def test_config_goes_to_hugging_face_and_back(tower):
    values = json.loads(json.dumps(tower.file.config_to_hf(tower.config)))
    assert tower.file.config_from_hf(values) == tower.config
    (model_type,) = TEXT_FAMILIES[tower.family].model_types
    with pytest.raises(ValueError, match=f"model_type 'other'; expected '{model_type}'"):
        tower.file.config_from_hf({**values, "model_type": "other"})
