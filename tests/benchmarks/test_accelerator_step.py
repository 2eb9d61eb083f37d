"""The benchmark of a training step on an accelerator, on this CPU with a tiny model."""

import jax
import numpy as np
import pytest
from runs import tiny_config

from benchmarks import accelerator_step
from motionalign.planning.run import plan


def test_a_step_with_random_state_and_batch(small_dataset):
    config = tiny_config(small_dataset, optim__warmup_steps=0)
    planned = plan(config, jax.devices()[:1], 8)
    state = accelerator_step.random_state(planned)
    batch = accelerator_step.random_batch(planned, config.data.batch_size)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), state) == jax.tree.map(
        lambda x: (x.shape, x.dtype), planned.state
    )
    assert batch["text_mask"].all() and int(batch["input_ids"].max()) < 100
    step = planned.train_step().compile()
    found = accelerator_step.timed(
        lambda: trained(step, state, batch), jax.block_until_ready, seconds=0.0
    )
    assert found["fastest"] <= found["step_seconds"] <= found["slowest"]
    assert found["steps"] == accelerator_step.GROUPS
    after, loss = trained(step, state, batch)
    # Nothing has been learned: the loss of guessing among the batch's pairs.
    assert float(loss["loss"]) == pytest.approx(np.log(config.data.batch_size), rel=0.3)
    assert float(loss["grad_norm"]) > 0
    changes = jax.tree.map(lambda a, b: np.linalg.norm(a - b), after["params"], state["params"])
    change = np.linalg.norm([*changes.values()])
    assert float(loss["update_norm"]) == pytest.approx(change, 1e-4) and change > 0
    assert jax.tree.map(lambda x: x.shape, after) == jax.tree.map(lambda x: x.shape, state)


def trained(step, state, batch):
    """A step that leaves `state`, which it is given, to be used again."""
    return step(jax.tree.map(lambda x: x.copy(), state), np.int32(0), batch)


def test_the_table():
    def result(name, seconds, **more):
        return {
            "contender": name, "batch": 100, "step_seconds": seconds, "fastest": seconds,
            "slowest": 2 * seconds, "peak_bytes": 3e9, "first_seconds": 7.0, **more,
        }  # fmt: skip

    mine = {
        "flops": 2e12, "program_bytes": 2.5e9, "temporary_bytes": 1e9, "traffic_bytes": 4e9,
        "products": 5, "fusions": 6, "fused_attention": 7, "roofline_seconds": 0.04,
        "bound_by": "memory",
    }  # fmt: skip
    results = [
        result("ours", 0.1, **mine),
        result("compiled", 0.125),
        {"contender": "published", "batch": 100, "error": "ended with exit code 1"},
    ]
    table = accelerator_step.lines(results, {"flops": 100e12})
    assert [row.strip("| ").split(" | ") for row in table[2:4]] == [
        ["ours", "100", "100.0 (100.0 to 200.0)", "1,000", "20.0 %", "3.00", "7", "1.00"],
        ["compiled", "100", "125.0 (125.0 to 250.0)", "800", "16.0 %", "3.00", "7", "1.25"],
    ]
    assert "| published | 100 | ended with exit code 1 |" in table[4]
    assert table[5].endswith("bound by memory; it took 2.50 times as long")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--contenders", "theirs"], "unknown contender 'theirs'; valid: ours, ours:float32"),
        (["--contenders", "compiled"], "compiled needs --published"),
        (
            ["--contenders", "compiled", "--published=x", "--config=kit_ml_vit"],
            "compiled is the model of --config=humanml3d_vit:code, not kit_ml_vit",
        ),
    ],
)
def test_mistakes(arguments, message, capsys):
    with pytest.raises(SystemExit):
        accelerator_step.parse_args(arguments)
    assert message in capsys.readouterr().err
