"""Training throughput in pairs per second, compared with the same encoders in PyTorch, on a CPU.

  python -m benchmarks.train_step --data_dir=data --dataset=mocap --setting=padded

Both sides train ViT-Ti from scratch and a pretrained BERT (all-MiniLM-L6-v2) with two projection
heads, symmetric InfoNCE, dropout and Adam, as configs/mocap_small.py:code does. Our side is the
real train step; the other side is transformers' ViTModel and BertModel in eager mode, as in the
published code. Both read the same prepared dataset through the same input pipeline.

  padded  both sides pad motions to the model's 224 frames and captions to the same token count.
  masked  our side masks and buckets by length; PyTorch pads motions to 224 frames and captions to
          the longest of the batch, as published.

Each contender has its own process with all cores. The contenders run alternating rounds (A B A B),
so that they do not disturb each other and a slow phase of the machine affects both. The batches of
one epoch, sorted by length, are dealt out to the rounds in turn: all rounds have the same mix of
lengths, and together they cover the epoch once (with --steps, batches evenly spread over it). Every
shape is run before the measurement, which excludes compilation and first calls.

Contenders are NAME[:OPTION,...]. The first is compared with each of the others; the ratio to quote
is that to the faster PyTorch contender.
  ours         options: devices=N (virtual CPU devices over which the batch is split),
               malloc (glibc's default behaviour instead of keeping freed memory)
  torch        options: keep (keeps freed memory), eager (attention without fused kernels),
               fused (fused Adam), compile (torch.compile)
"""

import argparse
import json
import multiprocessing
import os
import pathlib
import platform
import statistics
import sys
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from ml_collections import ConfigDict

if TYPE_CHECKING:
    import numpy as np
    import torch


def parse_args() -> argparse.Namespace:
    """Parses the command line and checks the contenders."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data_dir", default="data")
    parser.add_argument("--dataset", default="mocap", help="a prepared dataset in --data_dir")
    parser.add_argument(
        "--text_weights",
        default="sentence-transformers/all-MiniLM-L6-v2",
        help="folder or Hub id of the BERT from which both sides start",
    )
    parser.add_argument("--setting", choices=("padded", "masked"), default="padded")
    parser.add_argument(
        "--contenders", nargs="+", default=["ours", "torch", "torch:keep"], metavar="NAME"
    )
    parser.add_argument("--batch_size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--steps", type=int, default=0, help="maximum per round; 0: one epoch over all rounds"
    )
    parser.add_argument("--output", type=pathlib.Path, help="a JSON file for the results")
    args = parser.parse_args()
    for contender in args.contenders:
        name, options = parse_contender(contender)
        unknown = options.keys() - WORKERS[name].options
        if unknown:
            parser.error(f"{contender}: unknown option {', '.join(sorted(unknown))}")
    return args


def parse_contender(
    contender: str, valid: Collection[str] | None = None
) -> tuple[str, dict[str, str]]:
    """`"ours:devices=2"` → ("ours", {"devices": "2"}); `valid`: names, None: of `WORKERS`."""
    name, _, rest = contender.partition(":")
    valid = WORKERS if valid is None else valid
    if name not in valid:
        raise SystemExit(f"unknown contender {name!r}; valid: {', '.join(valid)}")
    return name, dict(part.partition("=")[::2] for part in rest.split(",") if part)


def make_config(
    args: argparse.Namespace, padding: str, text_bucket: int | None = None
) -> ConfigDict:
    """configs/mocap_small.py:code with the command line's data."""
    from motionalign.configs import mocap_small

    config = mocap_small.get_config("code")
    config.data.data_dir, config.data.datasets = args.data_dir, args.dataset
    config.data.batch_size = args.batch_size
    config.model.text.weights = args.text_weights
    config.model.motion.padding = padding
    if text_bucket is not None:
        config.data.text_bucket = text_bucket
    return config


class Batches:
    """The batches of the first epoch, from the input pipeline of training."""

    def __init__(self, config: ConfigDict, rounds: int, steps: int) -> None:
        from motionalign.data.batches import Source, TrainingData
        from motionalign.data.dataset import Dataset
        from motionalign.models import build
        from motionalign.models.families import TEXT_FAMILIES, representation_of
        from motionalign.models.weights.load import load_tokenizer
        from motionalign.tasks.registry import TASKS

        text, task = config.model.text, TASKS[config.task](config)
        dataset = Dataset(config.data.data_dir, config.data.datasets)
        split = dataset.split(config.data.train_split)
        motion = build.resolve(build.section_in(config.model.to_dict())).motion
        self._data = TrainingData(
            [Source(dataset, split, 1.0, task.texts(dataset, split))],
            representation_of(motion, config.data.frame_bucket).for_training(config.data),
            config.data,
            seed=config.seed,
            tokenizer=load_tokenizer(
                text.weights, text.max_tokens, TEXT_FAMILIES[text.family].tokenizer
            ),
        )
        self._workers = config.data.workers
        # This pass also fills the cache of decoded clips; reading files is not measured.
        shapes = {}
        for step in range(self._data.plan.steps_per_epoch):
            batch = self._data[step]
            shapes[step] = (batch["patches"].shape[1], batch["input_ids"].shape[1])
        by_length = sorted(shapes, key=shapes.__getitem__)
        count = min(rounds * steps or len(by_length), len(by_length))
        if count < rounds:
            raise SystemExit(f"{count} batches per epoch are too few for {rounds} rounds")
        chosen = [by_length[i * len(by_length) // count] for i in range(count)]
        self.rounds = [chosen[i::rounds] for i in range(rounds)]
        # One step of each shape in the rounds, for compilation.
        self.shapes = {shapes[step]: step for round_ in self.rounds for step in round_}

    def __call__(self, steps: list[int]) -> "Iterator[dict[str, np.ndarray]]":
        """A Grain iterator over these steps, prefetched in threads as in training."""
        import grain

        options = grain.ReadOptions(self._workers, 2 * self._workers)
        source = grain.MapDataset.source(steps).map(self._data.__getitem__)
        return iter(source.to_iter_dataset(options))


class Ours:
    """The real train step."""

    options = frozenset({"devices", "malloc"})

    def __init__(self, args: argparse.Namespace, options: Mapping[str, str]) -> None:
        from motionalign import host

        if "malloc" not in options:
            host.keep_freed_memory()
        os.environ["JAX_PLATFORMS"] = "cpu"
        import jax

        jax.config.update("jax_num_cpu_devices", int(options.get("devices", 1)))
        import jax.numpy as jnp

        from motionalign import optim, sharding
        from motionalign.data.batches import to_device
        from motionalign.models import build
        from motionalign.models.network import Network
        from motionalign.step import abstract_state, init_state, make_train_step
        from motionalign.tasks.objectives import OBJECTIVES

        config = make_config(args, "mask" if args.setting == "masked" else "attend")
        self.batches = Batches(config, args.rounds, args.steps)
        mesh = sharding.make_mesh()
        network = Network(build.resolve(build.section_in(config.model.to_dict())))
        optimizer, _ = optim.make_optimizer(config.optim, network.abstract_params, 1000)
        shapes = abstract_state(network, optimizer, mesh)
        self._state = init_state(network, optimizer, config, shapes, trained=None)
        objective = OBJECTIVES[config.loss.kind](config.loss, has_classes=False)
        self._step = make_train_step(network, objective, optimizer, config, mesh, shapes)
        self._number = jnp.int32
        self._to_device = lambda batches: to_device(
            batches, lambda batch: sharding.put_local(batch, args.batch_size, mesh)
        )

    def train(self, steps: list[int]) -> float:
        """Trains on these batches; returns the last loss."""
        for step, (batch, _) in zip(steps, self._to_device(self.batches(steps)), strict=True):
            self._state, metrics = self._step(self._state, self._number(step), batch)
            loss = float(metrics["loss"])
        return loss


def torch_model(config: ConfigDict, attention: str) -> "torch.nn.Module":
    """Two encoders with a head each, in PyTorch, with the sizes and weights of `config`."""
    import transformers
    from torch import nn

    from motionalign.models.weights.source import Source

    rate = config.model.head_dropout

    class Head(nn.Module):
        def __init__(self, width: int, embed_dim: int) -> None:
            super().__init__()
            self.projection = nn.Linear(width, embed_dim)
            self.hidden = nn.Linear(embed_dim, embed_dim)
            self.dropout = nn.Dropout(rate)
            self.norm = nn.LayerNorm(embed_dim)

        def forward(self, x: "torch.Tensor") -> "torch.Tensor":
            projected = self.projection(x)
            x = self.hidden(nn.functional.gelu(projected))
            return self.norm(self.dropout(x) + projected)

    class DualEncoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            vit = transformers.ViTConfig(
                hidden_size=192,
                num_hidden_layers=12,
                num_attention_heads=3,
                intermediate_size=768,
                layer_norm_eps=1e-6,
                image_size=(config.model.motion.max_frames, 5 * 16),
                patch_size=16,
                hidden_dropout_prob=0.0,
                attention_probs_dropout_prob=0.0,
                attn_implementation=attention,  # ty: ignore[unknown-argument]
            )
            self.motion = transformers.ViTModel(vit, add_pooling_layer=False)
            # The norm follows pooling instead, as in timm.
            self.motion.layernorm = nn.Identity()  # ty: ignore[invalid-assignment]
            self.motion_norm = nn.LayerNorm(192, eps=1e-6)
            source = Source(config.model.text.weights).require("config.json")
            self.text = transformers.BertModel.from_pretrained(
                source.parent,
                add_pooling_layer=False,
                attn_implementation=attention,
                hidden_dropout_prob=config.model.text.dropout,
                attention_probs_dropout_prob=config.model.text.dropout,
            )
            self.motion_head = Head(192, config.model.embed_dim)
            self.text_head = Head(self.text.config.hidden_size, config.model.embed_dim)

        def forward(
            self, patches: "torch.Tensor", input_ids: "torch.Tensor", mask: "torch.Tensor"
        ) -> "tuple[torch.Tensor, torch.Tensor]":
            motion = self.motion(patches).last_hidden_state[:, 1:].mean(1)
            text = self.text(input_ids, mask).last_hidden_state[:, 0]
            return self.motion_head(self.motion_norm(motion)), self.text_head(text)

    return DualEncoder().train()


class Torch:
    """The same model and step in PyTorch."""

    options = frozenset({"keep", "eager", "fused", "compile"})

    def __init__(self, args: argparse.Namespace, options: Mapping[str, str]) -> None:
        from motionalign import host

        if "keep" in options:
            host.keep_freed_memory()
        import torch

        torch.manual_seed(0)
        torch.set_num_threads(len(os.sched_getaffinity(0)))
        self._torch = torch
        config = make_config(args, "attend", text_bucket=1 if args.setting == "masked" else None)
        self.batches = Batches(config, args.rounds, args.steps)
        attention = "eager" if "eager" in options else "sdpa"
        model: Any = torch_model(config, attention)
        self._model = model
        groups = config.optim.groups
        heads = [*model.motion_head.parameters(), *model.text_head.parameters()]
        motion = [*model.motion.parameters(), *model.motion_norm.parameters()]
        self._optimizer = torch.optim.Adam(
            [
                {"params": motion, "lr": groups.motion_encoder.lr},
                {"params": model.text.parameters(), "lr": groups.text_encoder.lr},
                {"params": heads, "lr": groups.heads.lr},
            ],
            fused="fused" in options or None,
        )
        self._schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self._optimizer, 1000)
        self._scale = 1 / config.model.temperature
        self._forward = torch.compile(self._model) if "compile" in options else self._model

    def train(self, steps: list[int]) -> float:
        """Trains on these batches; returns the last loss."""
        torch = self._torch
        functional = torch.nn.functional
        for batch in self.batches(steps):
            patches = torch.from_numpy(batch["patches"]).permute(0, 3, 1, 2).float().contiguous()
            ids = torch.from_numpy(batch["input_ids"]).long()
            mask = torch.from_numpy(batch["text_mask"]).long()
            motion, text = self._forward(patches, ids, mask)
            motion, text = functional.normalize(motion), functional.normalize(text)
            logits = self._scale * motion @ text.T
            target = torch.arange(len(logits))
            loss = functional.cross_entropy(logits, target)
            loss = (loss + functional.cross_entropy(logits.T, target)) / 2
            self._optimizer.zero_grad()
            loss.backward()
            self._optimizer.step()
            self._schedule.step()
            last = loss.item()
        return last


WORKERS = {"ours": Ours, "torch": Torch}


def serve(connection: Connection, contender: str, args: argparse.Namespace) -> None:
    """The process of one contender: sets up, then runs a round on each request."""
    name, options = parse_contender(contender)
    start = time.perf_counter()
    worker = WORKERS[name](args, options)
    worker.train(list(worker.batches.shapes.values()))
    connection.send(
        {"shapes": sorted(worker.batches.shapes), "set_up": time.perf_counter() - start}
    )
    while (index := connection.recv()) is not None:
        steps = worker.batches.rounds[index]
        start, cpu, others = time.perf_counter(), time.process_time(), cpu_seconds_of_others()
        loss = worker.train(steps)
        connection.send(
            {
                "steps": len(steps),
                "seconds": time.perf_counter() - start,
                "cpu_seconds": time.process_time() - cpu,
                "cpu_seconds_of_others": cpu_seconds_of_others() - others,
                "loss": loss,
            }
        )


def cpu_seconds_of_others() -> float:
    """CPU time in seconds that the machine has spent on other processes."""
    jiffies = pathlib.Path("/proc/stat").read_text("utf-8").split("\n", 1)[0].split()[1:]
    user, nice, system, _idle, _iowait, *interrupts_and_stolen = map(int, jiffies[:8])
    busy = user + nice + system + sum(interrupts_and_stolen)
    return busy / os.sysconf("SC_CLK_TCK") - time.process_time()


def run(args: argparse.Namespace) -> dict:
    """Sets up all contenders, runs alternating rounds, and returns their measurements."""
    context = multiprocessing.get_context("spawn")
    contenders, processes, ready = {}, [], {}
    for contender in args.contenders:
        contenders[contender], theirs = context.Pipe()
        process = context.Process(target=serve, args=(theirs, contender, args), daemon=True)
        process.start()
        theirs.close()  # so that the end of a worker is an end of file here
        processes.append(process)
        ready[contender] = contenders[contender].recv()  # contenders set up one after the other
        print(f"{contender} is set up", file=sys.stderr, flush=True)
    rounds = {contender: [] for contender in contenders}
    for index in range(args.rounds):
        for contender, connection in contenders.items():
            connection.send(index)
            rounds[contender].append(connection.recv())
        rates = [pairs_per_second(rounds[c][-1:], args.batch_size) for c in contenders]
        print(f"round {index}:", *(f"{rate:8.1f}" for rate in rates), file=sys.stderr, flush=True)
    for connection, process in zip(contenders.values(), processes):
        connection.send(None)
        process.join()
    everything = [r for rs in rounds.values() for r in rs]
    seconds = sum(r["seconds"] for r in everything)
    others = sum(r["cpu_seconds_of_others"] for r in everything)
    return {"ready": ready, "rounds": rounds, "cores_used_by_others": others / seconds}


def pairs_per_second(rounds: list[dict], batch_size: int) -> float:
    """The throughput over the given rounds."""
    return sum(r["steps"] for r in rounds) * batch_size / sum(r["seconds"] for r in rounds)


def summarise(results: dict, batch_size: int) -> dict:
    """Pairs per second of each contender, and the per-round ratios of the first contender to it."""
    rates = {
        contender: [pairs_per_second([r], batch_size) for r in rounds]
        for contender, rounds in results["rounds"].items()
    }
    first = next(iter(rates.values()))
    summary = {}
    for contender, values in rates.items():
        ratios = [a / b for a, b in zip(first, values)]
        summary[contender] = {
            "pairs_per_second": pairs_per_second(results["rounds"][contender], batch_size),
            "ratio": {
                "median": statistics.median(ratios),
                "min": min(ratios),
                "max": max(ratios),
            },
        }
    return summary


def machine(
    packages: Iterable[str] = ("jax", "jaxlib", "flax", "torch", "transformers", "numpy"),
) -> dict:
    """The machine and package versions of the measurement."""
    from importlib import metadata

    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in pathlib.Path("/proc/cpuinfo").read_text("utf-8").splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    return {
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        **{package: metadata.version(package) for package in packages},
    }


def main() -> None:
    """Runs the benchmark, prints the table and writes the results."""
    args = parse_args()
    results = run(args)
    summary = summarise(results, args.batch_size)
    first = args.contenders[0]
    print(f"{args.setting}, batch {args.batch_size}, {args.rounds} alternating rounds")
    print(f"{'':24} pairs/s   {first} / this: median (min to max)   set-up s   shapes")
    for contender, values in summary.items():
        ratio, ready = values["ratio"], results["ready"][contender]
        spread = f"{ratio['median']:.2f} ({ratio['min']:.2f} to {ratio['max']:.2f})"
        print(
            f"{contender:24} {values['pairs_per_second']:7.1f}   {spread:>33}"
            f"   {ready['set_up']:8.1f}   {len(ready['shapes']):6}"
        )
    others = results["cores_used_by_others"]
    print(f"other processes used {others:.2f} cores meanwhile" + " (!)" * (others > 0.1))
    if args.output:
        arguments = {k: v for k, v in vars(args).items() if k != "output"}
        report = {"machine": machine(), "arguments": arguments, "summary": summary, **results}
        args.output.write_text(json.dumps(report, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
