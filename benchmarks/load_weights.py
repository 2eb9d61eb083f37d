"""Seconds and peak memory of loading full-size pretrained weights, by source format.

  python -m benchmarks.load_weights

Writes random checkpoints of the published sizes in each format (ViT-B/16 and ViT-L/16 as Hugging
Face's, timm's and Google's files; DistilBERT as Hugging Face's), then loads each in its own process
through the loader that training uses. The baseline is the minimum work of any loader: reading the
file's tensors into arrays once.

Peak memory is the increase over the memory of the process before loading. It excludes pages of
mapped files, which the system can reclaim (sampled from `Anonymous` in /proc/self/smaps_rollup).
The unit is one copy of the weights in float32; `--dtype=bfloat16` loads parameters of half the
size.
"""

import argparse
import json
import math
import pathlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import numpy as np

SIZES = {
    "ViT-B/16": {"width": 768, "depth": 12, "heads": 12, "mlp": 3072},
    "ViT-L/16": {"width": 1024, "depth": 24, "heads": 16, "mlp": 4096},
}
DISTILBERT = {"width": 768, "depth": 6, "heads": 12, "mlp": 3072, "vocab": 30522}
_SECONDS = 0.002  # between two samples of the memory


# ------------------------------------------------------------------------ random checkpoints


def hugging_face_vit(width: int, depth: int, heads: int, mlp: int) -> tuple[dict, dict]:
    """(shapes by key, config.json)."""
    shapes = {
        "embeddings.cls_token": (1, 1, width),
        "embeddings.position_embeddings": (1, 197, width),
        "embeddings.patch_embeddings.projection.weight": (width, 3, 16, 16),
        "embeddings.patch_embeddings.projection.bias": (width,),
        **_norm("layernorm", width),
    }
    for i in range(depth):
        block = f"encoder.layer.{i}."
        for name in ("query", "key", "value"):
            shapes |= _linear(f"{block}attention.attention.{name}", width, width)
        shapes |= _linear(block + "attention.output.dense", width, width)
        shapes |= _linear(block + "intermediate.dense", width, mlp)
        shapes |= _linear(block + "output.dense", mlp, width)
        shapes |= _norm(block + "layernorm_before", width) | _norm(block + "layernorm_after", width)
    config = {
        "model_type": "vit",
        "hidden_size": width,
        "num_hidden_layers": depth,
        "num_attention_heads": heads,
        "intermediate_size": mlp,
        "image_size": 224,
        "patch_size": 16,
    }
    return shapes, config


def timm_vit(width: int, depth: int, heads: int, mlp: int) -> tuple[dict, dict]:
    """(shapes by key, config.json)."""
    shapes = {
        "cls_token": (1, 1, width),
        "pos_embed": (1, 197, width),
        "patch_embed.proj.weight": (width, 3, 16, 16),
        "patch_embed.proj.bias": (width,),
        **_norm("norm", width),
    }
    for i in range(depth):
        block = f"blocks.{i}."
        shapes |= _linear(block + "attn.qkv", width, 3 * width)
        shapes |= _linear(block + "attn.proj", width, width)
        shapes |= _linear(block + "mlp.fc1", width, mlp) | _linear(block + "mlp.fc2", mlp, width)
        shapes |= _norm(block + "norm1", width) | _norm(block + "norm2", width)
    return shapes, {"architecture": "vit", "model_args": {"num_heads": heads}}


def google_vit(width: int, depth: int, heads: int, mlp: int) -> tuple[dict, None]:
    """(shapes by key, None)."""
    shapes = {
        "cls": (1, 1, width),
        "embedding/kernel": (16, 16, 3, width),
        "embedding/bias": (width,),
        "Transformer/posembed_input/pos_embedding": (1, 197, width),
        "Transformer/encoder_norm/scale": (width,),
        "Transformer/encoder_norm/bias": (width,),
    }
    for i in range(depth):
        block = f"Transformer/encoderblock_{i}/"
        for norm in ("LayerNorm_0", "LayerNorm_2"):
            shapes |= {f"{block}{norm}/{leaf}": (width,) for leaf in ("scale", "bias")}
        attention, head = block + "MultiHeadDotProductAttention_1/", width // heads
        for name in ("query", "key", "value"):
            shapes[f"{attention}{name}/kernel"] = (width, heads, head)
            shapes[f"{attention}{name}/bias"] = (heads, head)
        shapes[attention + "out/kernel"] = (heads, head, width)
        shapes[attention + "out/bias"] = (width,)
        for layer, (inputs, outputs) in enumerate(((width, mlp), (mlp, width))):
            shapes[f"{block}MlpBlock_3/Dense_{layer}/kernel"] = (inputs, outputs)
            shapes[f"{block}MlpBlock_3/Dense_{layer}/bias"] = (outputs,)
    return shapes, None


def hugging_face_distilbert(
    width: int, depth: int, heads: int, mlp: int, vocab: int
) -> tuple[dict, dict]:
    """(shapes by key, config.json)."""
    shapes = {
        "embeddings.word_embeddings.weight": (vocab, width),
        "embeddings.position_embeddings.weight": (512, width),
        **_norm("embeddings.LayerNorm", width),
    }
    for i in range(depth):
        block = f"transformer.layer.{i}."
        for name in ("q_lin", "k_lin", "v_lin", "out_lin"):
            shapes |= _linear(f"{block}attention.{name}", width, width)
        shapes |= _linear(block + "ffn.lin1", width, mlp) | _linear(block + "ffn.lin2", mlp, width)
        shapes |= _norm(block + "sa_layer_norm", width) | _norm(block + "output_layer_norm", width)
    config = {
        "model_type": "distilbert",
        "vocab_size": vocab,
        "dim": width,
        "n_layers": depth,
        "n_heads": heads,
        "hidden_dim": mlp,
        "max_position_embeddings": 512,
    }
    return shapes, config


def _linear(name: str, inputs: int, outputs: int) -> dict:
    return {name + ".weight": (outputs, inputs), name + ".bias": (outputs,)}


def _norm(name: str, width: int) -> dict:
    return {name + ".weight": (width,), name + ".bias": (width,)}


FORMATS = {  # name: (sizes, shapes and config)
    **{
        f"{size} {name}": (SIZES[size], make)
        for size in SIZES
        for name, make in (
            ("Hugging Face", hugging_face_vit),
            ("timm", timm_vit),
            ("Google .npz", google_vit),
        )
    },
    "DistilBERT Hugging Face": (DISTILBERT, hugging_face_distilbert),
}


def write(folder: pathlib.Path, shapes: dict, config: dict | None) -> pathlib.Path:
    """Writes random tensors of these shapes and returns the path for a loader."""
    from safetensors.numpy import save_file

    rng = np.random.default_rng(0)
    tensors = {key: rng.standard_normal(shape, np.float32) for key, shape in shapes.items()}
    folder.mkdir(parents=True)
    if config is None:
        np.savez(folder / "weights.npz", **tensors)
        return folder / "weights.npz"
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    return folder


# ------------------------------------------------------------------------------ one process


def _anonymous_bytes() -> int:
    """Memory of this process that is not mapped from files, in bytes."""
    lines = pathlib.Path("/proc/self/smaps_rollup").read_text("utf-8").splitlines()
    return 1024 * sum(int(x.split()[1]) for x in lines if x.startswith("Anonymous"))


class _Peak(threading.Thread):
    """Samples the peak memory of the process in a thread."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.before = self.peak = _anonymous_bytes()
        self._stop_asked = threading.Event()

    def run(self) -> None:
        while not self._stop_asked.wait(_SECONDS):
            self.peak = max(self.peak, _anonymous_bytes())

    def stop(self) -> int:
        self._stop_asked.set()
        self.join()
        return max(self.peak, _anonymous_bytes()) - self.before


def measure(what: str, path: str, dtype: str) -> dict[str, float]:
    """Loads once, in this process. `what`: "load": with our loader; "read": only reads tensors."""
    import jax
    import jax.numpy as jnp
    from flax import nnx

    from motionalign.models import families, vit_weights
    from motionalign.models.vit import ViT
    from motionalign.models.weights import keymap
    from motionalign.models.weights.load import load_weights
    from motionalign.models.weights.source import Source

    jnp.zeros(3).block_until_ready()  # initializes the device
    text = (pathlib.Path(path) / "config.json").is_file() and Source(path).config().get(
        "model_type"
    ) == "distilbert"
    source = Source(path)
    if text:
        family, config = families.text_tower(source)
        module, key_map = family.module, family.key_map()
    else:
        config = vit_weights.config_from(source, pool="class")
        module, key_map = ViT, vit_weights.key_map(config, source)
    shapes = nnx.state(nnx.eval_shape(lambda: module(config, rngs=nnx.Rngs(0))))
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, jnp.dtype(dtype)), shapes)
    size = sum(math.prod(x.shape) for x in jax.tree.leaves(shapes))
    keymap.resize_positions(np.zeros((5, 8), np.float32), (2, 2), (4, 1))  # compiles
    source = Source(path)
    peak = _Peak()
    peak.start()
    start = time.perf_counter()
    if what == "load":
        kept = load_weights(shapes, source, key_map)
        jax.block_until_ready(kept)
    else:
        kept = [tensor.read() for tensor in source.tensors.values()]
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "bytes": peak.stop(), "float32_bytes": 4 * size}


# ------------------------------------------------------------------------------------- main


def main() -> None:
    """Runs the benchmark and prints the results."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--runs", type=int, default=3, help="number of runs of each, alternating")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--only", default="", help="only formats whose name contains this")
    parser.add_argument("--output", type=pathlib.Path, help="a JSON file for the results")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        print(json.dumps(measure(*args.worker, args.dtype)))
        return
    if not any(args.only in name for name in FORMATS):
        parser.error(f"no format has {args.only!r} in its name; valid: {', '.join(FORMATS)}")
    report = {}
    print(f"{'':24} {'weights':>8}   {'load':>7} {'read':>7} {'ratio':>6}   peak, in copies")
    for name, (sizes, make) in FORMATS.items():
        if args.only not in name:
            continue
        with tempfile.TemporaryDirectory() as folder:
            path = write(pathlib.Path(folder) / "weights", *make(**sizes))
            results = {"load": [], "read": []}
            for _ in range(args.runs):
                for what, found in results.items():
                    command = [sys.executable, "-m", "benchmarks.load_weights"]
                    command += [f"--dtype={args.dtype}", "--worker", what, str(path)]
                    done = subprocess.run(command, capture_output=True, encoding="utf-8")
                    if done.returncode:
                        raise SystemExit(done.stderr)
                    found.append(json.loads(done.stdout.splitlines()[-1]))
        report[name] = results
        seconds = {w: statistics.median(r["seconds"] for r in f) for w, f in results.items()}
        size = results["load"][0]["float32_bytes"]
        peak = max(r["bytes"] for r in results["load"]) / size
        print(
            f"{name:24} {size / 2**20:5.0f} MB   {seconds['load']:6.2f}s {seconds['read']:6.2f}s "
            f"{seconds['load'] / seconds['read']:6.1f}   {peak:.2f}",
            flush=True,
        )
    if args.output:
        args.output.write_text(json.dumps(report, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
