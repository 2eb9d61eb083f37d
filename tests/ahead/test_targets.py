"""Names of accelerators, and what is missing where their compilers are."""

import jax
import pytest

from motionalign.ahead.targets import KINDS, Target


@pytest.mark.parametrize(
    "text", ["h100", "h100:9", "v5e:4", "v5e", "a100:1", "h100:1x1", "cpu:0", "cpu"]
)
def test_a_target_that_is_none(text):
    with pytest.raises(ValueError, match=f"target '{text}' .* v5e:2x2"):
        Target.parse(text)


def test_targets():
    for text in ("h100:1", "h100:8", "v5e:2x2", "v5e:4x4", "v5p:2x2x1"):
        assert str(Target.parse(text)) == text
    assert Target.parse("v5e:4x4").about.memory == 16 * 2**30


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "cpu"])
def test_figures_are_of_one_device(kind):
    about = KINDS[kind]
    assert about.memory > 10e9 and about.package.startswith("jax[")
    assert about.flops >= about.float32_flops > 1e14
    assert about.flops / about.bandwidth > 100  # operations a byte: a device for products
    assert about.exchange < about.bandwidth


def test_this_machine_as_a_target():
    assert len(jax.devices()) == 8  # JAX has started
    assert len(Target.parse("cpu:4").devices()) == 4
    with pytest.raises(ValueError, match="cpu:99 needs 99 devices, and JAX has started with 8"):
        Target.parse("cpu:99").devices()
