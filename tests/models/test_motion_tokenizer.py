"""The motion tokenizer: convolutions, persons, statistics, sentences and back."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from motionalign.data.bodies import BodiesConfig
from motionalign.models import motion_tokenizer
from motionalign.models.motion_tokenizer import Conv, MotionTokenizer, MotionTokenizerConfig
from motionalign.models.network import Network
from motionalign.models.quantizers import QuantizerConfig

torch = pytest.importorskip("torch")

BODIES = BodiesConfig(joints=4, persons=2, frames=16, root=1, left=(2,), right=(3,), face=True)
CONFIG = MotionTokenizerConfig(
    bodies=BODIES,
    quantizer=QuantizerConfig("hyperbolic", codes=8, width=6, factor=3),
    width=5,
    depth=2,
    growth=3,
    reach=2,
    words=20,
    word_samples=7,
)


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    walk = np.cumsum(rng.normal(0, 0.05, (3, 16, 2, 1, 3)), axis=1)
    bodies = (walk + rng.normal(0, 0.3, (3, 16, 2, 4, 3))).astype(np.float32)
    persons = np.array([[True, True], [True, False], [False, True]])
    bodies *= persons[:, None, :, None, None]
    return {"bodies": bodies, "persons": persons}


@pytest.fixture(scope="module")
def network():
    return Network(CONFIG, module=MotionTokenizer)


@pytest.fixture(scope="module")
def trained(network, batch):
    """(parameters, state, outputs) of one step; the codebook and the statistics have begun."""
    params = network.init(0)
    outputs, rest = jax.jit(network.apply)(params, network.init_rest(0), batch, jax.random.key(1))
    return params, rest, outputs


@pytest.fixture(scope="module")
def model(network, trained):
    params, rest, _ = trained
    return network.bind(params | rest)


@pytest.mark.parametrize(
    ("taps", "stride", "dilation"), [(3, 1, 1), (3, 1, 3), (4, 2, 1), (1, 1, 1)]
)
def test_convolutions_equal_pytorchs(taps, stride, dilation):
    """With T2M-GPT's padding: dilation for 3 taps, 1 for 4 taps of stride 2."""
    conv = Conv(5, 7, taps, jnp.float32, nnx.Rngs(0), stride)
    theirs = torch.nn.Conv1d(
        5, 7, taps, stride, padding=dilation * (taps - 1) // 2, dilation=dilation
    )
    with torch.no_grad():
        kernel = np.array(conv.kernel[...]).transpose(2, 1, 0)
        theirs.weight.copy_(torch.from_numpy(kernel))
        theirs.bias.copy_(torch.from_numpy(np.array(conv.bias[...])))
        x = np.random.default_rng(0).normal(size=(2, 12, 5)).astype(np.float32)
        expected = theirs(torch.from_numpy(x.transpose(0, 2, 1))).numpy().transpose(0, 2, 1)
    np.testing.assert_allclose(conv(x, dilation), expected, atol=1e-5)


def test_dilations_fall_from_block_to_block(monkeypatch):
    seen = []
    monkeypatch.setattr(
        motion_tokenizer.ResidualBlock, "__call__", lambda self, x, d: seen.append(d) or x
    )
    config = dataclasses.replace(CONFIG, depth=3)
    motion_tokenizer.Stage(config, jnp.float32, nnx.Rngs(0))(jnp.zeros((1, 8, 5)))
    assert seen == [9, 3, 1]


def test_shapes(trained, batch):
    outputs = trained[2]
    assert outputs.reconstruction.shape == batch["bodies"].shape
    assert outputs.predicted.shape == outputs.wanted.shape == (3, 2, 16, 15)
    assert outputs.quantized.codes.shape == (3, 2, 4)
    assert outputs.quantized.vectors.shape == outputs.summaries.shape == (3, 2, 4, 6)
    assert outputs.code_vectors.shape == (8, 6)
    assert outputs.words.shape == (7, 6)


def channels_of(bodies):
    """Plain NumPy: per clip and person, joints about the root, its steps, height and place."""
    out = []
    for clip in bodies:
        for person in range(clip.shape[1]):
            root = clip[:, person, 1]
            about = clip[:, person, [0, 2, 3]] - root[:, None]
            steps = np.concatenate([[[0, 0, 0]], root[1:] - root[:-1]])
            apart = root - clip[:, 0, 1]
            parts = [about.reshape(len(clip), 9), steps[:, [0, 2]], root[:, [1]], apart]
            out.append(np.concatenate(parts, axis=1))
    return np.stack(out).reshape(len(bodies), -1, *out[0].shape)


def test_statistics_are_those_of_the_first_batch(network, trained, batch):
    params, rest, outputs = trained
    bodies, persons = batch["bodies"], batch["persons"]
    channels = channels_of(bodies)[persons]
    np.testing.assert_allclose(rest["mean"], channels.mean((0, 1)), atol=1e-5)
    group = np.array([0] * 9 + [1] * 2 + [2] + [3] * 3)

    def shared(squares):
        return np.sqrt(np.array([squares[group == g].mean() for g in range(4)])[group])

    np.testing.assert_allclose(rest["deviation"], shared(channels.var((0, 1))), rtol=1e-4)
    pace = shared(np.square(np.diff(channels, axis=1)).mean((0, 1)))
    np.testing.assert_allclose(rest["pace"], pace, rtol=1e-4)
    wanted = np.asarray(outputs.wanted)[persons]
    for g in range(4):
        np.testing.assert_allclose(wanted[..., group == g].var((0, 1)).mean(), 1, rtol=1e-3)
    rows = np.asarray(outputs.wanted)[persons].reshape(-1, 4 * 15)
    _, axes = np.linalg.eigh(rows.T @ rows)
    assert rest["basis"].shape == (60, 3)  # as many as the codes have coordinates
    found = np.abs(rest["basis"].T @ axes[:, ::-1][:, :3])
    np.testing.assert_allclose(found, np.eye(3), atol=1e-2)
    other = batch | {"bodies": 2 * bodies}
    _, after = jax.jit(network.apply)(params, rest, other, jax.random.key(2))
    for name in ("mean", "deviation", "pace", "basis"):
        np.testing.assert_array_equal(after[name], rest[name])
    assert after["batches"] == 2


def test_channels_and_back(model, batch):
    persons = jnp.asarray(batch["persons"])
    first = batch["persons"].argmax(axis=1)  # the first person who is there starts at the origin
    start = batch["bodies"][np.arange(3), 0, first, 1][:, None, None, None]
    there = batch["persons"][:, None, :, None, None]
    bodies = jnp.asarray(np.where(there, batch["bodies"] - start, 0))
    channels = model._channels(bodies)
    np.testing.assert_allclose(channels, channels_of(np.asarray(bodies)), atol=1e-6)
    metres = model._metres(model._normalised(channels), persons)
    np.testing.assert_allclose(metres, bodies, atol=1e-5)


def test_a_single_person_has_the_same_channels_anywhere(batch):
    bodies = dataclasses.replace(BODIES, persons=1)
    network = Network(dataclasses.replace(CONFIG, bodies=bodies), module=MotionTokenizer)
    model = network.bind(network.init(0) | network.init_rest(0))
    one = batch["bodies"][:1, :, :1]
    channels = model._channels(one)
    assert channels.shape == (1, 1, 16, 12)
    np.testing.assert_allclose(model._channels(one + np.array([3, 0, -2])), channels, atol=1e-5)


def test_sentences_and_back(model, batch):
    codes = model.codes(**batch)
    assert codes.shape == (3, 2, 4)
    np.testing.assert_array_equal((codes >= 0).all(-1), batch["persons"])
    np.testing.assert_array_equal(codes < 0, ~batch["persons"][..., None] & (codes < 8))
    outputs = model(batch)
    decoded = model.decode(codes)
    np.testing.assert_allclose(decoded, outputs.reconstruction, atol=1e-5)
    absent = ~batch["persons"]
    np.testing.assert_array_equal(np.asarray(decoded).transpose(0, 2, 1, 3, 4)[absent], 0)
    np.testing.assert_allclose(model.embed(**batch), outputs.quantized.vectors, atol=1e-6)
    found = model.measured(batch)
    np.testing.assert_array_equal(found["codes"], codes)
    distances = np.linalg.norm(decoded - batch["bodies"], axis=-1).mean((1, 3))
    expected = [1000 * d[p].mean() for d, p in zip(distances, batch["persons"], strict=True)]
    np.testing.assert_allclose(found["error_mm"], expected, rtol=1e-4)
    about = [x - x[:, :, :, 1:2] for x in (np.asarray(decoded), batch["bodies"])]
    distances = np.linalg.norm(about[0] - about[1], axis=-1).mean((1, 3))
    expected = [1000 * d[p].mean() for d, p in zip(distances, batch["persons"], strict=True)]
    np.testing.assert_allclose(found["pose_mm"], expected, rtol=1e-4)


def test_absent_persons_change_nothing(network, trained, batch):
    """Whatever stands in their place: no output, no loss, no state."""
    params, _, _ = trained
    fresh = network.init_rest(0)
    other = {**batch, "bodies": batch["bodies"].copy()}
    absent = ~batch["persons"]
    other["bodies"].transpose(0, 2, 1, 3, 4)[absent] = np.nan
    run = jax.jit(network.apply)
    (one, state), (two, other_state) = (
        run(params, fresh, each, jax.random.key(0)) for each in (batch, other)
    )
    for path in state:
        np.testing.assert_array_equal(state[path], other_state[path])
    jax.tree.map(np.testing.assert_array_equal, one, two)


def test_persons_are_encoded_alike(model, batch):
    """With the same weights: only the place of the second one tells them apart."""
    together = batch["bodies"].copy()
    together[:, :, :, 1] = 0  # all roots at one place
    there = np.ones((3, 2), bool)
    codes = model.codes(together, there)
    np.testing.assert_array_equal(model.codes(together[:, :, ::-1], there), codes[:, ::-1])


def test_a_step_is_a_function_of_state_batch_and_key(network, trained, batch):
    params, rest, _ = trained
    run = jax.jit(network.apply)
    one = run(params, rest, batch, jax.random.key(5))
    two = run(params, rest, batch, jax.random.key(5))
    jax.tree.map(np.testing.assert_array_equal, one, two)


def test_every_parameter_but_the_words_has_a_gradient(network, trained, batch):
    params, rest, _ = trained

    def loss(params):
        outputs, _ = network.apply(params, rest, batch, jax.random.key(0))
        return (
            jnp.square(outputs.predicted - outputs.wanted).mean()
            + outputs.quantized.commitment
            + jnp.square(outputs.summaries - 1).mean()
        )

    gradients = jax.jit(jax.grad(loss))(params)
    assert all(np.isfinite(g).all() for g in gradients.values())
    assert {path for path, g in gradients.items() if not np.any(g)} == {"words/embedding"}


def test_training_rebuilds_the_motions(batch):
    """Overfits three clips to a fraction of their extent."""
    config = dataclasses.replace(CONFIG, width=16, reach=0, words=0)
    config = dataclasses.replace(config, quantizer=QuantizerConfig("none", 8, 24))
    network = Network(config, module=MotionTokenizer)
    params, rest = network.init(0), network.init_rest(0)

    @jax.jit
    def step(params, rest, key):
        def loss(params):
            outputs, after = network.apply(params, rest, batch, key)
            kept = batch["persons"][:, :, None, None]
            return jnp.mean(jnp.square(outputs.predicted - outputs.wanted) * kept), after

        (value, after), gradients = jax.value_and_grad(loss, has_aux=True)(params)
        return jax.tree.map(lambda p, g: p - 0.5 * g, params, gradients), after, value

    values = []
    for i in range(150):
        params, rest, value = step(params, rest, jax.random.key(i))
        values.append(float(value))
    assert values[-1] < 0.3 * values[0]


def test_a_token_is_predicted_without_itself(model):
    x = np.random.default_rng(0).normal(size=(8, 7, 6)).astype(np.float32)
    # Several sentences: the activation can be off for all channels of one.
    jacobian = jax.vmap(jax.jacobian(lambda each: model.context(each[None])[0]))(x)
    reached = np.abs(jacobian).sum((0, 2, 4)) > 0
    apart = np.abs(np.subtract.outer(np.arange(7), np.arange(7)))
    np.testing.assert_array_equal(reached, (apart > 0) & (apart <= 2))


def test_a_config_as_json():
    assert MotionTokenizerConfig.from_dict(CONFIG.to_dict()) == CONFIG
    with pytest.raises(ValueError, match="QuantizerConfig has no field 'size'"):
        values = CONFIG.to_dict()
        values["quantizer"]["size"] = 3
        MotionTokenizerConfig.from_dict(values)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"down": 5}, "frames is 16; with down=5 it must be a multiple of 32"),
        ({"depth": 0}, "depth is 0; it must be at least 1"),
        ({"reach": -1}, "reach is -1; it must not be negative"),
        ({"activation": "sin"}, "activation is 'sin'"),
    ],
)
def test_mistakes_in_a_config(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(CONFIG, **changes)


def test_bodies_of_another_shape(model, batch):
    with pytest.raises(ValueError, match=r"this model takes \[clips, 16 frames, persons, 4 joints"):
        model.codes(batch["bodies"][:, :8], batch["persons"])


def test_continuous_features_have_no_sentences(batch):
    config = dataclasses.replace(CONFIG, quantizer=QuantizerConfig("none", 8, 6))
    model = MotionTokenizer(config, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="continuous features"):
        model.codes(**batch)
    features = np.asarray(model.features(**batch))
    expected = features * batch["persons"][..., None, None]
    np.testing.assert_allclose(model.embed(**batch), expected, atol=1e-6)
    assert "codes" not in model.measured(batch)
