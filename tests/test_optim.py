"""Optimizers compared with torch, schedules by hand, and parameter groups."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch

from motionalign.configs import common
from motionalign.optim import group_of, layer_scales, learning_rate, make_optimizer

SHAPES = {
    "motion_encoder/embed/kernel": (4, 3),
    "motion_encoder/embed/bias": (3,),
    "motion_encoder/attention/query/bias": (2, 3),
    "text_encoder/norm/scale": (3,),
    "text_encoder/words/embedding": (7, 3),
    "motion_head/out/kernel": (3, 2),
    "logit_scale": (),
}


def config(**changes):
    c = common.base().optim
    c.schedule = "constant"
    c.update(changes)
    return c


def one_group(lr=0.1, **changes):
    c = config(**changes)
    c.groups = {"all": {"match": ".*", "lr": lr, "layer_decay": 1.0}}
    return c


def params_and_grads(steps, seed=0):
    rng = np.random.default_rng(seed)

    def draw():
        return {path: rng.normal(size=shape).astype(np.float32) for path, shape in SHAPES.items()}

    return draw(), [draw() for _ in range(steps)]


def run(c, params, grads, num_steps=100):
    """Parameters after each step."""
    optimizer, _ = make_optimizer(c, params, num_steps)
    state = optimizer.init(params)
    update = jax.jit(optimizer.update)
    history = []
    for grad in grads:
        updates, state = update(grad, state, params)
        params = optax.apply_updates(params, updates)
        history.append(params)
    return history, state


def run_torch(params, grads, make, lrs=None, clip=None):
    tensors = {path: torch.tensor(value, requires_grad=True) for path, value in params.items()}
    optimizer = make(tensors)
    history = []
    for step, grad in enumerate(grads):
        for path, tensor in tensors.items():
            tensor.grad = torch.tensor(grad[path])
        if clip:
            torch.nn.utils.clip_grad_norm_(tensors.values(), clip)
        for group in optimizer.param_groups:
            group["lr"] = lrs[step] if lrs else group["lr"]
        optimizer.step()
        history.append({path: tensor.detach().numpy().copy() for path, tensor in tensors.items()})
    return history


def assert_same(ours, theirs, atol=2e-6):
    for mine, other in zip(ours, theirs, strict=True):
        for path in SHAPES:
            np.testing.assert_allclose(mine[path], other[path], rtol=1e-5, atol=atol, err_msg=path)


def test_adam_as_in_torch():
    params, grads = params_and_grads(6)
    c = one_group(0.05, b1=0.8, b2=0.95, eps=1e-3)
    theirs = run_torch(
        params,
        grads,
        lambda p: torch.optim.Adam(p.values(), lr=0.05, betas=(0.8, 0.95), eps=1e-3),
    )
    assert_same(run(c, params, grads)[0], theirs)


def test_cosine_decay_and_clipping_as_in_torch():
    params, grads = params_and_grads(6)
    lrs = [0.05 * 0.5 * (1 + math.cos(math.pi * step / 8)) for step in range(6)]
    c = one_group(0.05, schedule="cosine", clip_norm=1.5)
    ours, _ = run(c, params, grads, num_steps=8)
    theirs = run_torch(params, grads, lambda p: torch.optim.Adam(p.values()), lrs, clip=1.5)
    assert_same(ours, theirs)


def test_weight_decay_is_adamw_on_kernels_and_embeddings_only():
    params, grads = params_and_grads(5)
    c = one_group(0.05, weight_decay=0.3)

    def adamw(tensors):
        decayed = {
            "motion_encoder/embed/kernel",
            "text_encoder/words/embedding",
            "motion_head/out/kernel",
        }
        return torch.optim.AdamW(
            [
                {
                    "params": [t for p, t in tensors.items() if (p in decayed) == yes],
                    "weight_decay": 0.3 if yes else 0.0,
                }
                for yes in (True, False)
            ],
            lr=0.05,
        )

    assert_same(run(c, params, grads)[0], run_torch(params, grads, adamw))


def test_weight_decay_of_all_parameters_is_adamw_without_groups():
    params, grads = params_and_grads(5)
    c = one_group(0.05, weight_decay=0.3, decayed="all")
    theirs = run_torch(
        params, grads, lambda p: torch.optim.AdamW(p.values(), lr=0.05, weight_decay=0.3)
    )
    assert_same(run(c, params, grads)[0], theirs)


def test_weight_decay_with_several_groups():
    """Each group decays by its own learning rate; a frozen one not at all."""
    params, _ = params_and_grads(0)
    zeros = jax.tree.map(np.zeros_like, params)
    c = config(weight_decay=0.5)
    c.groups.motion_encoder.lr = 0.1
    c.groups.text_encoder.lr = 0.0
    c.groups.heads.lr = 0.01
    ours = run(c, params, [zeros])[0][0]
    kept = dict.fromkeys(SHAPES, 1.0)
    kept |= {"motion_encoder/embed/kernel": 1 - 0.05, "motion_head/out/kernel": 1 - 0.005}
    for path in SHAPES:
        np.testing.assert_allclose(ours[path], kept[path] * params[path], rtol=1e-6, err_msg=path)


def test_each_group_has_its_learning_rate():
    params, grads = params_and_grads(4)
    c = config()
    rates = {"motion_encoder": 0.1, "text_encoder": 0.01, "heads": 0.03, "temperature": 0.002}
    for name, lr in rates.items():
        c.groups[name].lr = lr
    _, schedules = make_optimizer(c, params, 10)
    assert {name: float(schedule(3)) for name, schedule in schedules.items()} == pytest.approx(
        rates
    )
    ours = run(c, params, grads)[0]
    for name, lr in rates.items():
        alone = run(one_group(lr), params, grads)[0]
        for path in SHAPES:
            if group_of(path, c.groups) == name:
                for mine, other in zip(ours, alone):
                    np.testing.assert_allclose(mine[path], other[path], rtol=1e-6)


def test_a_frozen_group_stays_and_keeps_no_state():
    params, grads = params_and_grads(3)
    c = config(clip_norm=1.0, weight_decay=0.1)
    c.groups.text_encoder.lr = 0.0
    (*_, last), state = run(c, params, grads)
    for path in SHAPES:
        frozen = path.startswith("text_encoder") or path == "logit_scale"
        assert np.array_equal(last[path], params[path]) == frozen, path
    _, schedules = make_optimizer(c, params, 10)
    assert set(schedules) == {"motion_encoder", "heads"}
    trained = sum(
        math.prod(shape)
        for path, shape in SHAPES.items()
        if path.startswith(("motion_encoder", "motion_head"))
    )
    numbers = [leaf.size for leaf in jax.tree.leaves(state) if leaf.ndim]
    assert sum(numbers) == 2 * trained  # Adam's two moments
    # Shapes are enough to build it: large models are never held twice.
    abstract = {p: jax.ShapeDtypeStruct(s, jnp.float32) for p, s in SHAPES.items()}
    shapes = jax.eval_shape(make_optimizer(c, abstract, 10)[0].init, abstract)
    assert jax.tree.structure(shapes) == jax.tree.structure(state)


def test_clipping_ignores_frozen_gradients():
    """Gradients of a frozen tower, however large, do not change the norm."""
    params, grads = params_and_grads(4)
    c = config(clip_norm=0.7, eps=0.1)  # a large eps makes Adam feel the gradient's size
    c.groups.text_encoder.lr = 0.0
    c.groups.motion_encoder.lr = c.groups.heads.lr = 0.1
    ours = run(c, params, grads)[0]
    for grad in grads:
        for path in SHAPES:
            if path.startswith("text_encoder") or path == "logit_scale":
                grad[path] = grad[path] * np.float32(1e6)
    assert_same(run(c, params, grads)[0], ours)

    trained = [p for p in SHAPES if p.startswith("motion")]
    for scale, grad in zip((0.01, 1, 5, 100), grads):  # below and above the limit
        for path in trained:
            grad[path] = grad[path] * np.float32(scale)
    ours = run(c, params, grads)[0]
    for grad in grads:
        norm = math.sqrt(sum((grad[path].astype(np.float64) ** 2).sum() for path in trained))
        for path in trained:
            grad[path] = grad[path] * np.float32(min(1, 0.7 / norm))
    c.clip_norm = 0.0
    assert_same(run(c, params, grads)[0], ours)


@pytest.mark.parametrize(
    ("runs", "at"),
    [
        (1.0, {0: 1, 25: 0.5 + math.sqrt(0.125), 50: 0.5, 75: 0.5 - math.sqrt(0.125), 100: 0}),
        # Half-way down at the end, as the released code's scheduler steps over twice the run.
        (2.0, {0: 1, 50: 0.5 + math.sqrt(0.125), 100: 0.5, 200: 0}),
        (0.5, {0: 1, 25: 0.5, 50: 0, 80: 0}),
    ],
)
def test_cosine_by_hand(runs, at):
    schedule = learning_rate(0.2, config(schedule="cosine", cosine_runs=runs), 100)
    for step, share in at.items():
        assert float(schedule(step)) == pytest.approx(0.2 * share, abs=1e-7), step


def test_warm_up_by_hand():
    schedule = learning_rate(0.2, config(schedule="cosine", warmup_steps=10), 50)
    expected = {0: 0, 1: 0.02, 5: 0.1, 9: 0.18, 10: 0.2, 30: 0.1, 50: 0}
    assert {step: float(schedule(step)) for step in expected} == pytest.approx(expected, abs=1e-7)
    schedule = learning_rate(0.2, config(schedule="constant", warmup_steps=4), 50)
    expected = {0: 0, 2: 0.1, 4: 0.2, 49: 0.2}
    assert {step: float(schedule(step)) for step in expected} == pytest.approx(expected)


def test_updates_follow_the_warm_up():
    params, grads = params_and_grads(3)
    ours = run(one_group(0.05, schedule="cosine", warmup_steps=2), params, grads, num_steps=6)[0]
    lrs = [0, 0.025, 0.05]
    assert_same(ours, run_torch(params, grads, lambda p: torch.optim.Adam(p.values()), lrs))


def test_unknown_schedule():
    with pytest.raises(ValueError, match=r"schedule is 'linear'; valid: cosine, constant"):
        learning_rate(0.1, config(schedule="linear"), 10)


def test_a_parameter_without_a_group():
    params = params_and_grads(0)[0] | {"audio_encoder/kernel": np.zeros((2, 2), np.float32)}
    with pytest.raises(ValueError, match="'audio_encoder/kernel' is matched by no group"):
        make_optimizer(config(), params, 10)


def test_a_parameter_in_two_groups():
    c = config()
    c.groups.embeddings = {"match": ".*/embedding", "lr": 0.1}
    message = "'text_encoder/words/embedding' is matched by the groups .*text_encoder.*embeddings"
    with pytest.raises(ValueError, match=message) as error:
        make_optimizer(c, params_and_grads(0)[0], 10)
    assert "embeddings='.*/embedding'" in str(error.value)


def test_a_group_must_match_the_whole_path():
    groups = {"head": {"match": "head"}, "rest": {"match": "(motion|text)_head/.*"}}
    assert group_of("motion_head/kernel", groups) == "rest"


def test_nothing_to_train():
    with pytest.raises(ValueError, match=r"every group .* has lr 0, so there is nothing to train"):
        make_optimizer(one_group(lr=0.0), params_and_grads(0)[0], 10)


TOWERS = {
    **{f"motion_encoder/blocks/{i}/mlp/up/kernel": (2, 2) for i in range(3)},
    "motion_encoder/patch_embed/kernel": (2, 2),
    "motion_encoder/positions": (2, 2),
    "motion_encoder/fc_norm/scale": (2,),
    "text_encoder/tokens": (2, 2),
    "text_encoder/embedding_norm/scale": (2,),
    "text_encoder/blocks/0/mlp/up/kernel": (2, 2),
    "motion_head/hidden/kernel": (2, 2),
    "logit_scale": (),
}


def layered(decay):
    c = config()
    c.groups.motion_encoder.update(lr=0.1, layer_decay=decay)
    c.groups.text_encoder.update(lr=0.1, layer_decay=0.9)
    c.groups.heads.lr = 0.1
    c.groups.temperature.lr = 0.1
    return c


def test_layer_scales_by_hand():
    shapes = {path: jax.ShapeDtypeStruct(shape, jnp.float32) for path, shape in TOWERS.items()}
    assert layer_scales(layered(0.5).groups, shapes) == {
        "motion_encoder/patch_embed/kernel": 0.5**4,
        "motion_encoder/positions": 0.5**4,
        "motion_encoder/blocks/0/mlp/up/kernel": 0.5**3,
        "motion_encoder/blocks/1/mlp/up/kernel": 0.5**2,
        "motion_encoder/blocks/2/mlp/up/kernel": 0.5,
        "motion_encoder/fc_norm/scale": 1.0,
        "text_encoder/tokens": 0.9**2,
        "text_encoder/embedding_norm/scale": 0.9**2,
        "text_encoder/blocks/0/mlp/up/kernel": 0.9,
        "motion_head/hidden/kernel": 1.0,
        "logit_scale": 1.0,
    }


def test_layer_decay_scales_the_steps_and_nothing_else():
    params = {path: np.ones(shape, np.float32) for path, shape in TOWERS.items()}
    rng = np.random.default_rng(0)
    grads = [{p: rng.normal(size=x.shape).astype(np.float32) for p, x in params.items()}] * 3
    c = layered(0.5)
    scales = layer_scales(c.groups, params)
    with_decay = run(c, params, grads)[0][-1]
    for group in c.groups.values():
        group.layer_decay = 1.0
    without = run(c, params, grads)[0][-1]
    for path in params:
        step, full = with_decay[path] - params[path], without[path] - params[path]
        np.testing.assert_allclose(step, scales[path] * full, rtol=1e-4, atol=1e-6)
    assert {round(scale, 6) for scale in scales.values()} > {1.0, 0.5, 0.81}


@pytest.mark.parametrize("decay", [0.0, -0.5, 1.01])
def test_layer_decay_out_of_range(decay):
    shapes = {path: jax.ShapeDtypeStruct(shape, jnp.float32) for path, shape in TOWERS.items()}
    with pytest.raises(ValueError, match=f"above 0 and at most 1: motion_encoder={decay}"):
        make_optimizer(layered(decay), shapes, 10)
