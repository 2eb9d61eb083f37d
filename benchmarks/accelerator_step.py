"""A training step on a GPU or TPU: its time, memory and share of the peak.

  python -m benchmarks.accelerator_step --config=humanml3d_vit:code --batch_sizes 256 1024
  python -m benchmarks.accelerator_step --published=MotionPatches --contenders ours published \
    compiled ours

The step of a config with random weights and one random batch of its full size, which stays on the
device: no input pipeline, no pretrained models, no dataset is needed. A contender has a process of
its own for each batch size, one after the other; naming one twice shows how far the machine's speed
has drifted. `--published` is a clone of https://github.com/YU1ut/MotionPatches; its models/clip.py
is used as it is, beside humanml3d_vit:code, the same model:

  ours[:float32]     the real train step, in bfloat16 or float32 (TF32 in products)
  ours:cublas        in bfloat16, all products by cuBLAS: XLA tries no kernels of Triton
  published[:tf32]   the published model in eager mode in float32 and Adam, as its scripts/train.py;
                     with tf32, products may use the tensor cores
  compiled           the same model in bfloat16 (autocast), with fused attention, under
                     torch.compile, with fused Adam

Reported for each: seconds until the first step is done, the median time of a step over groups of
steps, pairs per second, and the largest memory in use. Model FLOP are those of our compiled step's
products, for all contenders. The peak is that of an 8192 × 8192 × 8192 bfloat16 product, measured
here. For ours also what the compiler says of the program that runs (`motionalign.ahead`), and the
roofline made of it with the maker's figures, for devices whose figures are known.
"""

import argparse
import json
import multiprocessing
import pathlib
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

GROUPS, WARM_UP = 7, 3
"""Numbers of groups of steps that are timed, and of steps before them that are not."""
OF_PUBLISHED = "humanml3d_vit:code"
"""The config whose model the published code trains."""


def parse_args(args: list[str] | None = None) -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", default=OF_PUBLISHED, help="an installed config")
    parser.add_argument("--contenders", nargs="+", default=["ours"], metavar="NAME")
    parser.add_argument("--batch_sizes", nargs="+", type=int, default=[256], metavar="N")
    parser.add_argument("--tokens", type=int, default=32, help="length of texts, if there are any")
    parser.add_argument("--seconds", type=float, default=0.5, help="of each group of steps")
    parser.add_argument("--published", type=pathlib.Path, help="a clone of the published code")
    parser.add_argument("--output", type=pathlib.Path, help="a JSON file for the results")
    found = parser.parse_args(args)
    for contender in found.contenders:
        if contender not in CONTENDERS:
            parser.error(f"unknown contender {contender!r}; valid: {', '.join(CONTENDERS)}")
        if contender.partition(":")[0] != "ours" and not found.published:
            parser.error(f"{contender} needs --published, a clone of the published code")
        if contender.partition(":")[0] != "ours" and found.config != OF_PUBLISHED:
            parser.error(f"{contender} is the model of --config={OF_PUBLISHED}, not {found.config}")
    return found


def timed(step: Callable[[], Any], wait: Callable[[Any], None], seconds: float) -> dict[str, Any]:
    """The time of a step: its first, and the median and range over groups of steps."""
    start = time.perf_counter()
    wait(step())
    first = time.perf_counter() - start
    for _ in range(WARM_UP):
        wait(step())
    start = time.perf_counter()
    wait(step())
    steps = max(1, round(seconds / (time.perf_counter() - start)))
    groups = []
    for _ in range(GROUPS):
        start = time.perf_counter()
        for _ in range(steps):
            last = step()
        wait(last)
        groups.append((time.perf_counter() - start) / steps)
    return {
        "first_seconds": first,
        "step_seconds": statistics.median(groups),
        "fastest": min(groups),
        "slowest": max(groups),
        "steps": steps * GROUPS,
    }


# Ours --------------------------------------------------------------------------------------------


def ours(args: argparse.Namespace, size: int, option: str) -> dict[str, Any]:
    """The real train step on all devices."""
    import importlib

    import jax
    import jax.numpy as jnp

    from motionalign.ahead.programs import estimate, measure
    from motionalign.ahead.targets import KINDS
    from motionalign.planning.run import plan

    name, _, argument = args.config.partition(":")
    module = importlib.import_module(f"motionalign.configs.{name}")
    config = module.get_config(argument) if argument else module.get_config()
    config.dtype = "float32" if option == "float32" else "bfloat16"
    config.data.batch_size = config.data.eval_batch_size = size
    reads_texts = bool(plan(config, jax.devices()).tokens) and config.task != "answers"
    planned = plan(config, jax.devices(), args.tokens if reads_texts else None)
    if reads_texts and planned.tokens != args.tokens:
        raise SystemExit(f"--tokens={args.tokens}: this config has batches of {planned.tokens}")
    state, batch = random_state(planned), random_batch(planned, size)
    start = time.perf_counter()
    options: dict[str, Any] | None = None
    if option == "cublas":
        options = {"xla_gpu_enable_triton_gemm": False}
    compiled = planned.train_step().compile(compiler_options=options)
    compilation = time.perf_counter() - start
    program = measure(compiled)
    number = jnp.int32(0)

    def step() -> Any:
        nonlocal state
        state, metrics = compiled(state, number, batch)
        return metrics["loss"]

    found = timed(step, jax.block_until_ready, args.seconds)
    peak = (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    device = jax.devices()[0].device_kind
    kind = next((KINDS[name] for name in KINDS if name.upper() in device), None)
    least = estimate(program, kind, config.dtype) if kind else None
    return found | {
        "device": device,
        "versions": {"jax": jax.__version__},
        "first_seconds": found["first_seconds"] + compilation,
        "loss": float(step()),
        "peak_bytes": peak,
        "program_bytes": program.total,
        "temporary_bytes": program.temporaries,
        "flops": program.flops,
        "traffic_bytes": program.traffic,
        "products": program.products,
        "fusions": program.fusions,
        "fused_attention": program.attention,
        "roofline_seconds": least and least.seconds,
        "bound_by": least and least.bound,
    }


def random_state(planned: Any) -> dict[str, Any]:
    """A training state of the planned shapes: random kernels, scales of 1, and no moments.

    Drawn on the host, where nothing has to be compiled.
    """
    import jax
    import jax.numpy as jnp

    rng = np.random.default_rng(1)

    def draw(path: tuple[Any, ...], leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        if name.startswith("optimizer") or not jnp.issubdtype(leaf.dtype, jnp.floating):
            return np.zeros(leaf.shape, leaf.dtype)
        if name.endswith("scale"):
            return np.ones(leaf.shape, leaf.dtype)
        return (0.02 * rng.standard_normal(leaf.shape, np.float32)).astype(leaf.dtype)

    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: jax.device_put(draw(path, leaf), leaf.sharding), planned.state
    )


def random_batch(planned: Any, size: int) -> dict[str, Any]:
    """A batch of the planned shapes: random values, token ids below 100, and every mask True."""
    import jax

    rng = np.random.default_rng(0)

    def draw(name: str, leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        if leaf.dtype == bool:
            return np.ones(leaf.shape, bool)
        if name == "input_ids":
            return rng.integers(1, 100, leaf.shape, dtype=np.int32)
        if name == "num_frames":  # as long as the batch
            return np.full(leaf.shape, longest, np.int32)
        if name in ("targets", "classes"):
            return rng.integers(0, 2, leaf.shape).astype(leaf.dtype)
        return rng.normal(size=leaf.shape).astype(leaf.dtype)

    shapes = planned.batch(size, training=True)
    longest = max(leaf.shape[1] for leaf in shapes.values() if len(leaf.shape) > 2)
    return {name: jax.device_put(draw(name, leaf), leaf.sharding) for name, leaf in shapes.items()}


def peak_rates() -> dict[str, float]:
    """FLOP/s of a large bfloat16 product, and bytes/s of a large copy, of one device."""
    import jax
    import jax.numpy as jnp

    n = 8192
    x, y = (jax.random.normal(jax.random.key(i), (n, n), jnp.bfloat16) for i in range(2))
    product = jax.jit(jnp.matmul)
    copied = jax.random.normal(jax.random.key(2), (2**29,), jnp.float32)
    add = jax.jit(lambda a: a + 1)

    def seconds(f: Callable, *values: jax.Array) -> float:
        return timed(lambda: f(*values), jax.block_until_ready, 0.1)["step_seconds"]

    return {
        "flops": 2 * n**3 / seconds(product, x, y),
        "bandwidth": 2 * copied.nbytes / seconds(add, copied),
    }


# The published model -----------------------------------------------------------------------------


def published(args: argparse.Namespace, size: int, option: str) -> dict[str, Any]:
    """The published model and its way to train it; with `option` "tf32" in TF32."""
    return _torch(args, size, tf32=option == "tf32", compiled=False)


def compiled(args: argparse.Namespace, size: int, option: str) -> dict[str, Any]:
    """The published model in bfloat16 under torch.compile, with fused Adam."""
    assert not option
    return _torch(args, size, tf32=True, compiled=True)


def _published_model(args: argparse.Namespace, device: str) -> Any:
    """The published model with random weights."""
    from unittest import mock

    import transformers

    from benchmarks.published_motion_patches import PUBLISHED, git_hash, load_timm

    model_file = "models/clip.py"
    if git_hash(args.published / model_file)[:10] != PUBLISHED[model_file]:
        raise SystemExit(f"{args.published / model_file} is not the published file")

    def text_model(name: str) -> Any:
        assert name == "distilbert-base-uncased", name
        return transformers.AutoModel.from_config(transformers.DistilBertConfig())

    load_timm()
    sys.path.insert(0, str(args.published.resolve()))
    from models.clip import ClipModel  # ty: ignore[import-not-found]

    with mock.patch.object(transformers.AutoModel, "from_pretrained", text_model):
        model = ClipModel("vit_base_patch16_224", motion_encoder_pretrained=False)
    return model.to(device)


def _torch(args: argparse.Namespace, size: int, tf32: bool, compiled: bool) -> dict[str, Any]:
    import contextlib

    import torch
    import transformers

    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = tf32
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = _published_model(args, device)
    groups = [model.motion_encoder, model.text_encoder]
    heads = [*model.motion_projection.parameters(), *model.text_projection.parameters()]
    optimizer = torch.optim.Adam(
        [{"params": each.parameters()} for each in groups] + [{"params": heads}],
        lr=1e-5,
        fused=compiled or None,
    )
    model.train()
    forward = torch.compile(model) if compiled else model
    motions = torch.randn(size, 3, 224, 80, device=device)
    texts = {
        "input_ids": torch.randint(1, 100, (size, args.tokens), device=device),
        "attention_mask": torch.ones(size, args.tokens, dtype=torch.int64, device=device),
    }
    cast = torch.autocast(device, torch.bfloat16) if compiled else contextlib.nullcontext()

    def step() -> Any:
        optimizer.zero_grad()
        with cast:
            loss = forward(motions, texts, return_loss=True)
        loss.backward()
        optimizer.step()
        return loss

    def wait(loss: Any) -> None:
        loss.item()

    found = timed(step, wait, args.seconds)
    used = torch.cuda.max_memory_allocated() if device == "cuda" else None
    return found | {
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "loss": step().item(),
        "peak_bytes": used,
    }


CONTENDERS: Mapping[str, tuple[Callable[..., dict[str, Any]], str]] = {
    "ours": (ours, ""),
    "ours:float32": (ours, "float32"),
    "ours:cublas": (ours, "cublas"),
    "published": (published, ""),
    "published:tf32": (published, "tf32"),
    "compiled": (compiled, ""),
}
"""{name: (function of (args, batch size, option), option)}."""


# The command -------------------------------------------------------------------------------------


def serve(connection: Any, name: str, args: argparse.Namespace, size: int) -> None:
    """The process of a contender, or of the measurement of the peak: sends what it found."""
    if name == "peak":
        connection.send(peak_rates())
        return
    contender, option = CONTENDERS[name]
    connection.send(contender(args, size, option))


def in_process(name: str, args: argparse.Namespace, size: int) -> dict[str, Any]:
    """The result of a process, or {"error": ...} if it died or raised."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=serve, args=(there, name, args, size), daemon=True)
    process.start()
    there.close()
    try:
        return here.recv()
    except EOFError:
        process.join()
        return {"error": f"ended with exit code {process.exitcode}"}
    finally:
        process.join()


def lines(results: list[dict[str, Any]], peak: Mapping[str, float]) -> list[str]:
    """The table, in Markdown."""
    head = (
        "contender", "batch", "ms a step (min to max)", "pairs/s", "of peak", "memory, GB",
        "first step, s", "ratio of ours",
    )  # fmt: skip
    rows = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for each in results:
        size, name = each["batch"], each["contender"]
        if "error" in each:
            rows.append(f"| {name} | {size} | {each['error']} |" + " |" * (len(head) - 3))
            continue
        mine = [r for r in results if r["contender"] == "ours" and r["batch"] == size]
        mine = [r for r in mine if "error" not in r]
        flops = next((r["flops"] for r in mine), None) or each.get("flops")
        seconds = each["step_seconds"]
        ratio = seconds / statistics.mean(r["step_seconds"] for r in mine) if mine else None
        spread = f"{1000 * each['fastest']:.1f} to {1000 * each['slowest']:.1f}"
        rows.append(
            f"| {name} | {size} | {1000 * seconds:.1f} ({spread}) | {size / seconds:,.0f} | "
            + (f"{100 * flops / seconds / peak['flops']:.1f} %" if flops else "")
            + " | "
            + (f"{each['peak_bytes'] / 1e9:.2f}" if each["peak_bytes"] else "")
            + f" | {each['first_seconds']:.0f} | "
            + (f"{ratio:.2f}" if ratio else "")
            + " |"
        )
    rows += [
        f"{each['contender']}, batch {each['batch']}: by the compiler "
        f"{each['program_bytes'] / 1e9:.2f} GB ({each['temporary_bytes'] / 1e9:.2f} temporary), "
        f"{each['flops'] / 1e12:.2f} TFLOP, {each['traffic_bytes'] / 1e9:.1f} GB of traffic, "
        f"{each['products']} products, {each['fusions']} fusions, {each['fused_attention']} fused "
        "attention" + _beside_roofline(each)
        for each in results
        if "program_bytes" in each
    ]
    return rows


def _beside_roofline(result: Mapping[str, Any]) -> str:
    least = result["roofline_seconds"]
    if least is None:
        return ""
    times = result["step_seconds"] / least
    return (
        f"; roofline {1000 * least:.1f} ms, bound by {result['bound_by']}; it took {times:.2f} "
        "times as long"
    )


def main() -> None:
    """Measures all contenders, prints the table and writes the results."""
    args = parse_args()
    peak = in_process("peak", args, 0)
    if "error" in peak:
        raise SystemExit(f"the measurement of the peak {peak['error']}")
    print(f"peak: {peak}", file=sys.stderr, flush=True)
    results = []
    for size in args.batch_sizes:
        for name in args.contenders:
            found = {"contender": name, "batch": size, **in_process(name, args, size)}
            print(json.dumps(found), file=sys.stderr, flush=True)
            results.append(found)
            if args.output:
                report = {"config": args.config, "tokens": args.tokens, "peak": peak}
                args.output.write_text(json.dumps(report | {"results": results}, indent=1), "utf-8")
    print("\n".join(lines(results, peak)))


if __name__ == "__main__":
    main()
