"""The benchmark of the language model's training step, with a tiny language model."""

import jax
import jax.numpy as jnp
import pytest

from benchmarks import language_step

TINY = language_step.SMOLLM2 | {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "max_position_embeddings": 64,
}


@pytest.fixture(scope="module")
def problem(tmp_path_factory):
    folder = tmp_path_factory.mktemp("language_model")
    language_step.write_random(folder, TINY)
    return language_step.make_problem(str(folder), 8)  # rows on eight devices


def test_both_sides_compute_the_same_loss(problem):
    """At first: adapters are 0 at the beginning, so that dropout has no effect."""
    ours = language_step.Ours(problem, {})
    first = ours.train(1)
    for options in ({}, {"answer": ""}):
        theirs = language_step.Peft(problem, options)
        assert theirs.train(1) == pytest.approx(first, abs=1e-5)
        assert theirs.told["optimizer_values_of_base"] == 0
    assert ours.train(2) != pytest.approx(first, abs=1e-7)
    # Rows of 16 motion tokens, and of answers that are padded to 6 tokens there and to 8 here.
    assert problem.tokens == 8 * (5 + 16 + 4) + 6 + 6 + 5 * 3 + 4
    assert theirs.computed == 8 * (5 + 16 + 4 + 6)
    assert ours.computed == 5 + 8 * (16 + 4 + 7)
    assert ours.told["optimizer_values_of_base"] == 0
    state = ours._state  # all of it is donated
    assert ours.told["aliased_bytes"] == sum(leaf.nbytes for leaf in jax.tree.leaves(state))


def test_optimizer_state_of_the_base_is_counted():
    frozen = {"llama/kernel": None}
    moments = {"llama/kernel": jnp.zeros((2, 3)), "llama/lora_a": jnp.zeros(5)}
    assert language_step.values_under(({"mu": moments},), frozen) == 6


def test_ratios_are_those_within_a_round():
    def rounds(*seconds):
        return [{"seconds": x, "cpu_seconds": 2 * x} for x in seconds]

    results = {"tokens": 30, "rounds": {"ours": rounds(1, 2, 3), "peft": rounds(2, 3, 3)}}
    found = language_step.summarise(results)
    assert found["ours"]["tokens_per_second"] == 15
    assert found["peft"]["seconds_ratio"] == {"median": 1.5, "min": 1.0, "max": 2.0}
    assert found["peft"]["cpu_seconds"] == 6


def test_a_wrong_contender_is_named():
    with pytest.raises(SystemExit, match="valid: ours, peft"):
        language_step.parse_args(["--contenders", "torch"])
    with pytest.raises(SystemExit):
        language_step.parse_args(["--contenders", "ours:answer"])
