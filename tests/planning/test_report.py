"""The command `compile_ahead`: counts of a known program, and a whole tiny run, for this CPU."""

import json
import re

import jax
import jax.numpy as jnp
import pytest
from runs import command, tiny_flags

from motionalign.ahead.hlo import Exchange
from motionalign.ahead.programs import Program
from motionalign.ahead.targets import Kind
from motionalign.configs import humanml3d_vit
from motionalign.planning import report
from motionalign.planning import run as planning

assert len(jax.devices()) == 8  # JAX has started, so that targets change nothing

FLAGS = ("--mode=compile_ahead", "--target=cpu:1")


def compiled(small_dataset, *arguments):
    flags = [flag for flag in tiny_flags("", small_dataset) if not flag.startswith("--workdir")]
    done = command(*flags, *FLAGS, *arguments)
    assert done.code == 0, done.stderr
    return done


@pytest.fixture
def a_product(monkeypatch):
    """Every run has one step: the product of [64, 128] and [128, 32]."""

    def steps(planned):
        at = jax.sharding.SingleDeviceSharding(planned.mesh.devices.flat[0])
        x, y = (jax.ShapeDtypeStruct(s, jnp.float32, sharding=at) for s in ((64, 128), (128, 32)))
        return {"product": jax.jit(jnp.matmul).lower(x, y)}

    monkeypatch.setattr(planning.Planned, "steps", steps)


def test_the_counts_of_a_product(small_dataset, a_product):
    [found] = json.loads(compiled(small_dataset, "--json").stdout)
    read, written = 4 * (64 * 128 + 128 * 32), 4 * 64 * 32
    assert found["step"] == "product" and found["target"] == "cpu:1"
    assert found["flops"] == 2 * 64 * 128 * 32
    assert found["traffic_bytes"] == read + written
    assert (found["arguments_bytes"], found["output_bytes"]) == (read, written)
    assert (found["products"], found["fused_attention"]) == (1, 0)
    assert found["collectives"] == [] and found["host_transfers"] == []
    assert found["arrays_written"] == {"f32[64,32]": 1}
    assert found["estimated_seconds"] is None  # no maker's figures of this machine
    assert found["compiler_seconds"] is None  # only compilers for TPUs estimate


def test_a_run(small_dataset):
    done = compiled(small_dataset, "--json")
    steps = {each["step"]: each for each in json.loads(done.stdout)}
    assert list(steps) == ["train", "encode motions", "encode texts"]
    train = steps["train"]
    assert train["products"] > 3 * steps["encode motions"]["products"] > 0
    assert train["flops"] > 2 * steps["encode motions"]["flops"] > 0
    held = sum(train["state_bytes"].values())
    assert held <= train["arguments_bytes"] < held + 8 * 224 * 80 * 3 * 2 + 8 * 48 * 5 + 1000
    assert train["aliased_bytes"] >= train["state_bytes"]["optimizer"]
    assert not any(each["host_transfers"] for each in steps.values())
    assert "Compiling train for cpu:1" in done.stderr
    assert "texts of 48 tokens" in done.stderr


def test_a_table(small_dataset, a_product):
    printed = compiled(small_dataset).stdout
    row = next(line for line in printed.splitlines() if line.startswith("| cpu:1"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:3] == ["cpu:1", "product", "8"]
    assert cells[9] == "1" and cells[11] == "0"  # products, fused attention
    assert "TFLOP are the compiler's count" in printed


def of(memory=None, platform="tpu", clock=1e9, **numbers):
    kind = Kind(platform, "", memory, 1e12, 1e12, 1e9, 1e9, clock, "")
    exchange = Exchange("all-reduce", "f32[8]", 3, 32)
    empty = Program(0, 0, 0, 0, 0, 0, "text", 0, None, 0, 0, 0, 0, (exchange,), (), 0, {})
    return report.CompiledStep(
        "train", "v5e:2x2", kind, "bfloat16", 8, {}, empty._replace(**numbers)
    )


def test_what_is_told():
    told = report.as_table([of(2 * 10**9, arguments=10**9, temporaries=10**9, traffic=2e6)])
    assert "does not fit" not in told
    assert "| all-reduce | f32[8] |      3 | 0.00 |" in told
    assert "TFLOP are counted from the compiled text: products and fused attention\n" in told
    both = report.as_table([of(), of(counted="compiler")])
    assert "TFLOP are the compiler's count (train on v5e:2x2)\n" in both
    assert re.search(r"\| +2\.0 \| +memory \|", told)  # milliseconds
    told = report.as_table([of(2 * 10**9, arguments=2 * 10**9, temporaries=10**9)])
    assert "train does not fit v5e:2x2: 3.0 of 2.0 GB a device" in told
    told = report.as_table([of(10**10, "cuda", arguments=8 * 10**9)])
    assert "does not fit" not in told and "needs 8.0 of 10.0 GB of v5e:2x2" in told
    assert "XLA_PYTHON_CLIENT_MEM_FRACTION" not in report.as_table(
        [of(10**10, arguments=8 * 10**9)]
    )
    assert "by the compiler:" not in told
    told = report.as_table([of(traffic=2e6, cycles=3_500_000)])
    assert re.search(r"\| +2\.0 \| +memory \| +3\.5 \|", told) and "by the compiler:" in told
    assert "by the compiler:" not in report.as_table([of(cycles=9, clock=None)])
    assert "iterations" not in told
    told = report.as_table([of(unknown_loops=2)])
    assert "v5e:2x2: loops whose number of iterations depends on the data: 2; one" in told
    told = report.as_table([of(transfers=("send f32[4]",))])
    assert "train exchanges data with the host: send f32[4]" in told


def test_a_step_that_the_compiler_refuses(small_dataset, a_product, monkeypatch):
    """As libtpu does; the others are reported."""

    def refuse(lowered, target):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: 96.00G exceeds 15.75G\nbuffers")

    monkeypatch.setattr(report, "_compiled", refuse)
    [found] = json.loads(compiled(small_dataset, "--json").stdout)
    assert found["does_not_fit"].endswith("96.00G exceeds 15.75G")
    assert "product does not fit cpu:1: RESOURCE_EXHAUSTED" in compiled(small_dataset).stdout


def test_all_devices_are_opened_before_anything_is_compiled(monkeypatch):
    """The largest number of CPU devices first: JAX starts with as many."""
    targets = [report.Target.parse(text) for text in ("cpu:2", "cpu:8", "cpu:1")]
    opened = report._opened(targets)
    assert [len(devices) for devices in opened.values()] == [2, 8, 1]
    order = []
    with monkeypatch.context() as patch:
        patch.setattr(report.Target, "devices", lambda self: order.append(str(self)))
        report._opened([report.Target.parse(t) for t in ("v5e:2x2", "cpu:12", "cpu:9", "cpu:18")])
    assert order == ["cpu:18", "cpu:12", "cpu:9", "v5e:2x2"]
    with pytest.raises(ValueError, match="cpu:16 needs 16 devices"):
        report._opened([*targets, report.Target.parse("cpu:16")])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--target=a100:1"], "target 'a100:1' is not a kind of accelerator and a topology"),
        ([], "--mode=compile_ahead needs --target=h100:1"),
        (["--target="], "--mode=compile_ahead needs --target=h100:1"),
        (["--target=cpu:1", "--tokens=0"], "--tokens"),
        (["--target=cpu:1", "--split=val"], "--split has no effect with --mode=compile_ahead"),
        (["--target=cpu:1", "--workdir=x"], "--workdir has no effect with --mode=compile_ahead"),
        (["--target=cpu:9"], "target cpu:9 needs 9 devices, and JAX has started with 8"),
    ],
)
def test_mistakes(arguments, message):
    done = command("--mode=compile_ahead", "--config=configs/quickstart.py", *arguments)
    assert done.code and message in done.stderr
    assert done.stderr.count("\n") <= 2


@pytest.mark.slow
@pytest.mark.parametrize(
    "target",
    [
        "h100:1",
        # libtpu 0.0.42: `elementwise` takes 176 MB of temporaries, `none` 141.
        pytest.param("v5e:2x2", marks=pytest.mark.xfail(raises=AssertionError, strict=True)),
    ],
)
def test_what_is_computed_again_saves_memory_on_accelerators(tmp_path, target):
    """A compiler for CPUs would merge what is computed twice."""
    temporary = []
    for remat in ("none", "elementwise", "blocks"):
        config = humanml3d_vit.get_config("Ti").unlock()
        config.data.data_dir, config.dtype = str(tmp_path), "bfloat16"
        config.model.text.update({"weights": None, "width": 32, "depth": 1, "heads": 2})
        config.model.text.vocab_size, config.model.remat = 100, remat
        try:
            [train, *_] = report.compile_run(config.lock(), [target], 8, lambda _: None)
        except ValueError as error:
            pytest.skip(str(error))
        temporary.append(train.program.temporaries)
    assert temporary[1] < 0.8 * temporary[0] and temporary[2] < 0.8 * temporary[1]


@pytest.mark.slow
@pytest.mark.parametrize("target", ["h100:1", "v5e:2x2"])
def test_a_run_for_accelerators(tmp_path, target):
    """Needs the compilers: `pip install 'jax[cuda12]'` or `'jax[tpu]'`."""
    sizes = {"weights": "", "width": 32, "depth": 1, "heads": 2}
    fields = {f"model.{tower}.{name}": size for tower in ("motion", "text")
              for name, size in sizes.items()}  # fmt: skip
    fields |= {"model.motion.size": "custom", "model.text.vocab_size": 100, "dtype": "bfloat16"}
    fields |= {"data.data_dir": tmp_path, "data.batch_size": 8, "data.eval_batch_size": 8}
    done = command(
        "--mode=compile_ahead", "--config=configs/humanml3d_vit.py", f"--target={target}", "--json",
        *(f"--config.{name}={value}" for name, value in fields.items()),
    )  # fmt: skip
    if "no compiler for" in done.stderr:
        pytest.skip(done.stderr)
    assert done.code == 0, done.stderr
    for each in json.loads(done.stdout):
        assert not each["host_transfers"]
        assert each["estimated_seconds"] > 0
        assert each["total_bytes"] < each["memory_bytes"]
        by_cudnn = {"train": 2, "encode motions": 1, "encode texts": 0}  # texts are masked
        if target.startswith("h100"):
            assert each["fused_attention"] == by_cudnn[each["step"]]
        else:
            assert each["compiler_seconds"] == each["compiler_cycles"] / 1.5e9 > 0
