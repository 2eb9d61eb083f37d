"""Training throughput with precomputed vectors of a frozen text encoder, compared with running it.

  python -m benchmarks.frozen_text --tokens 5 30 148 211

The motion encoder is GaitFormer as trained in Walk and Text (12 layers, width 768, 60 frames of 22
joints as 6D rotations), with the triplet loss and AdamW. The text encoder has the shapes of
UAE-Large-V1 (BERT, 24 layers, width 1024, first token) and random weights, which do not affect the
time. Both variants use the real train step, in one process, in alternation:

  vectors  the batch contains the vectors of the texts, as in configs/babel60_gaitformer.py
  tower    the frozen text encoder runs on the batch's tokens in every step: forward pass only, and
           only for the clips' own texts, as in the published code

The ratio depends on the length of the texts: label words have 5 tokens, one sentence about 30, the
paragraphs that data_prep/captions/babel60.json has for classes 74. The two descriptions that the
published code's notebook (LLM.ipynb, in commit 177d767) shows in full have 148 and 211; that code
pads all texts of a batch to the longest.
"""

import argparse
import dataclasses
import json
import pathlib
import platform
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from motionalign import optim, sharding, step
from motionalign.configs import babel60_gaitformer
from motionalign.models import build
from motionalign.models.bert import BertConfig
from motionalign.models.family import Inputs
from motionalign.models.network import Network
from motionalign.tasks.objectives import OBJECTIVES

UAE_LARGE = BertConfig(
    vocab_size=30522, width=1024, depth=24, heads=16, mlp_width=4096, dropout=0, attention_dropout=0
)


class Contender:
    """A train step and its state, with or without the text encoder."""

    def __init__(self, config: ConfigDict, tower: bool, batch: dict) -> None:
        inputs = Inputs(22, 6, 6, text_width=UAE_LARGE.width, input="rotations")
        architecture = build.resolve(build.section_in(config.model.to_dict()), inputs=inputs)
        if tower:
            architecture = dataclasses.replace(architecture, text=UAE_LARGE)
        network = Network(architecture)
        with config.unlocked():
            config.optim.groups.text_encoder.lr = 0.0  # frozen
        mesh = sharding.make_mesh()
        optimizer, _ = optim.make_optimizer(config.optim, network.abstract_params, 1000)
        shapes = step.abstract_state(network, optimizer, mesh)
        self._state = step.init_state(network, optimizer, config, shapes, trained=None)
        objective = OBJECTIVES[config.loss.kind](config.loss, has_classes=True)
        self._step = step.make_train_step(network, objective, optimizer, config, mesh, shapes)
        self._batch = jax.device_put(batch)

    def seconds(self) -> float:
        """Runs one step and returns its duration in seconds."""
        start = time.perf_counter()
        self._state, scalars = self._step(self._state, jnp.int32(0), self._batch)
        jax.block_until_ready((self._state, scalars))
        return time.perf_counter() - start


def main() -> None:
    """Runs the benchmark and prints the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tokens", type=int, nargs="+", default=[5, 30, 148, 211])
    parser.add_argument("--batch_size", type=int, default=80)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=pathlib.Path, help="a JSON file for the results")
    args = parser.parse_args()

    config = babel60_gaitformer.get_config("triplet")
    rng = np.random.default_rng(0)
    size, width = args.batch_size, UAE_LARGE.width
    batch = {
        "rotations": rng.normal(size=(size, 60, 22, 6)).astype(np.float32),
        "text_vectors": rng.normal(size=(size, width)).astype(np.float32),
        "negative_vectors": rng.normal(size=(size, width)).astype(np.float32),
    }
    device = jax.devices()[0]
    print(f"{device.device_kind or platform.processor()}, batch {size}, {args.rounds} rounds")
    vectors = Contender(config, False, batch)
    rows = []
    for tokens in args.tokens:
        ids = rng.integers(1000, UAE_LARGE.vocab_size, (size, tokens)).astype(np.int32)
        mask = np.ones((size, tokens), bool)
        tower = Contender(config, True, {**batch, "input_ids": ids, "text_mask": mask})
        for contender in (vectors, tower):
            contender.seconds()  # the first call compiles
        times = [(vectors.seconds(), tower.seconds()) for _ in range(args.rounds)]
        ratios = [slow / fast for fast, slow in times]
        fast, slow = (statistics.median(column) for column in zip(*times, strict=True))
        row = {
            "tokens": tokens,
            "vectors_s": fast,
            "tower_s": slow,
            "ratio": statistics.median(ratios),
            "lowest": min(ratios),
            "highest": max(ratios),
        }
        rows.append(row)
        print(
            f"{tokens:4d} tokens: step {fast:.3f} s with vectors, {slow:.3f} s with the tower; "
            f"{row['ratio']:.1f} times the throughput ({row['lowest']:.1f}-{row['highest']:.1f})",
            flush=True,
        )
    if args.output:
        args.output.write_text(
            json.dumps({"batch_size": size, "rows": rows}, indent=1) + "\n", "utf-8"
        )


if __name__ == "__main__":
    main()
