"""Training: one loop for every task, on one device or many processes.

Read `train` first. A step is a pure function of (state, step number, batch); everything random is
derived from the run's seed and the step number, so a resumed run repeats an uninterrupted one bit
for bit.
"""

import dataclasses
import functools
import json
import math
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl import logging
from jax.experimental import multihost_utils
from ml_collections import ConfigDict
from tqdm import tqdm

from motionalign import (
    apply,
    augment,
    classes,
    data,
    evaluate,
    objectives,
    optim,
    sharding,
)
from motionalign.checkpoint import Checkpoints
from motionalign.model import Encoder, Network, Params
from motionalign.models import dual_encoder
from motionalign.models.dual_encoder import ClassifierConfig, DualEncoderConfig, Inputs
from motionalign.records import Dataset
from motionalign.saved import open_saved
from motionalign.text import Tokenizer, train_wordpiece

# Fields of a config that may change when a run is resumed: none of them moves a parameter.
_FREE_TO_CHANGE = (
    *("mesh", "checkpoint_steps", "log_steps", "eval", "data.data_dir", "data.test_split"),
    *("data.eval_batch_size", "data.workers", "data.cache_gb"),
)

# What the configs of older runs meant by fields that they do not have, by the ends of their names.
_IMPLIED = {
    "motion.family": "vit",
    "motion.final_norm": "fresh",
    ".layer_decay": 1.0,
    "motion.input": "joints",
    "motion.root": True,
    "task": "captions",
    "loss.margin": 10.0,
    "loss.kind": "contrastive",
    "data.texts": "words",
    "data.sampling": "conseq",
    "data.step": 1,
    ".crop": 0,
    ".paces": [1.0],
    ".squeeze": 0.0,
    ".mirror": 0.0,
    **dict.fromkeys((".reverse", ".joint_noise", ".point_noise"), 0.0),
}


class NonFiniteLoss(FloatingPointError):
    """Loss, gradient, update or embeddings are not finite; the message names step and clips."""


def summary_writer_class() -> type:
    """tensorboardX's SummaryWriter.

    Where torch is installed tensorboardX imports it, which takes longer than all our imports, to
    recognise tensors that we have none of. It does without where there is none: so it seems here.
    """
    hidden = "torch" not in sys.modules
    if hidden:
        sys.modules["torch"] = None
    try:
        from tensorboardX import SummaryWriter
    finally:
        if hidden:
            del sys.modules["torch"]
    return SummaryWriter


class Metrics:
    """Scalars of a run to JSON lines and TensorBoard; on process 0 only."""

    def __init__(self, workdir: pathlib.Path, resumed_step: int):
        self._writer = self._file = None
        if jax.process_index() != 0:
            return
        path = workdir / "metrics.jsonl"
        # Lines written after the checkpoint that we resume from will be written again.
        lines = path.read_text().splitlines() if path.is_file() else []
        kept = [line for line in lines if _step_of(line) <= resumed_step]
        partial = path.with_suffix(".partial")
        partial.write_text("".join(line + "\n" for line in kept))
        partial.replace(path)
        self._file = path.open("a", buffering=1)
        writer = summary_writer_class()
        self._writer = writer(str(workdir / "tensorboard"), purge_step=resumed_step + 1)

    def write(self, step: int, scalars: dict[str, float]) -> None:
        if self._file is None:
            return
        self._file.write(json.dumps({"step": step, **scalars}) + "\n")
        for name, value in scalars.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._writer.close()


def _step_of(line: str) -> float:
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError, TypeError):  # the half line of a killed process
        return math.inf


def check_config(config) -> None:
    """Finds, before hours of training, the values that would only fail after them."""
    choices = (
        ("dtype", config.dtype, ("float32", "bfloat16")),
        ("optim.schedule", config.optim.schedule, optim.SCHEDULES),
        ("eval.checkpoint", config.eval.checkpoint, tuple(apply.SERIES)),
        ("task", config.task, classes.TASKS),
        ("data.texts", config.data.texts, classes.KINDS[:2]),
        ("data.sampling", config.data.sampling, augment.SAMPLINGS),
        ("loss.kind", config.loss.kind, objectives.KINDS),
        *(("eval.protocols", name, evaluate.PROTOCOLS) for name in config.eval.protocols),
    )
    for field, value, valid in choices:
        if value not in valid:
            raise ValueError(f"config.{field} is {value!r}; valid: {', '.join(valid)}")
    positive = ("epochs", "log_steps", "data.batch_size", "data.eval_batch_size", "data.workers")
    positive += ("data.frame_bucket", "data.text_bucket", "data.step", "model.embed_dim")
    for field in positive:
        value = functools.reduce(getattr, field.split("."), config)
        if value is not None and value < 1:
            raise ValueError(f"config.{field} is {value}; it must be at least 1")
    shares = ("model.head_dropout", "model.motion.dropout", "model.text.dropout")
    ranges = (  # field, smallest, and what it stays below
        *((field, 0.0, 1.0) for field in (*shares, "optim.b1", "optim.b2")),
        *((f"optim.{name}", 0.0, math.inf) for name in ("weight_decay", "clip_norm")),
        ("loss.mask_threshold", -1.0, math.inf),
        ("optim.warmup_steps", 0, math.inf),
        ("checkpoint_steps", 0, math.inf),
    )
    for field, smallest, limit in ranges:
        value = functools.reduce(getattr, field.split("."), config)
        if value is not None and not smallest <= value < limit:
            below = "" if limit == math.inf else f" and below {limit:g}"
            raise ValueError(f"config.{field} is {value}; expected at least {smallest:g}{below}")
    for field in ("model.temperature", "optim.cosine_runs", "optim.eps", "loss.margin"):
        value = functools.reduce(getattr, field.split("."), config)
        if not 0 < value < math.inf:
            raise ValueError(f"config.{field} is {value}; expected above 0")
    augment.Augmentation(**config.data.augment.to_dict())
    kind, frozen = config.loss.kind, config.model.text.family == "frozen"
    if kind == "classify" and config.task == "captions":
        raise ValueError(
            "config.loss.kind='classify' needs classes: set config.task to labels or attributes"
        )
    if kind == "classify" and config.model.weights:
        raise ValueError(
            "config.model.weights is a model without a classifier; config.loss.kind='classify' "
            "trains one from scratch: leave config.model.weights unset"
        )
    if kind in ("mse", "triplet") and not frozen:
        raise ValueError(
            f"config.loss.kind={kind!r} draws motions to texts that stay where they are: set "
            "config.model.text.family='frozen'"
        )
    if config.model.embed_dim is None and not frozen and kind != "classify":
        raise ValueError("config.model.embed_dim is unset; give the width of the common space")
    group = optim.group_of("logit_scale", config.optim.groups)
    if config.model.learn_temperature and not config.optim.groups[group].lr > 0:
        raise ValueError(
            "config.model.learn_temperature needs a learning rate: set "
            f"config.optim.groups.{group}.lr, to 1e-3 for example"
        )


def abstract_state(network: Network, optimizer, mesh) -> dict:
    """What is trained and checkpointed, params and optimizer, as shapes in their shardings."""
    shapes = {
        "params": network.abstract_params,
        "optimizer": jax.eval_shape(optimizer.init, network.abstract_params),
    }
    return sharding.abstract(shapes, mesh)


def _shardings(abstract):
    return jax.tree.map(lambda leaf: leaf.sharding, abstract)


def make_train_step(network: Network, optimizer, config, mesh):
    """The jitted update: (state, step, batch) → (state, scalars).

    The scalars are loss, grad_norm, update_norm and those of the loss. `grad_norm` is of the
    trained parameters, as `optim.clip_norm` has it. (A frozen tower's gradients are then used by
    nobody, and the compiler leaves out its backward pass.)
    """
    grad_fn = jax.value_and_grad(objectives.make_loss(network, config.loss), has_aux=True)
    trained = optim.trained_paths(config.optim, network.abstract_params)

    def train_step(state, step, batch):
        key = jax.random.fold_in(jax.random.key(config.seed), step)
        (loss, scalars), grads = grad_fn(state["params"], batch, key)
        updates, opt_state = optimizer.update(grads, state["optimizer"], state["params"])
        params = network.clamped(optax.apply_updates(state["params"], updates))
        metrics = {
            "loss": loss,
            "grad_norm": optax.global_norm({path: grads[path] for path in trained}),
            "update_norm": optax.global_norm(updates),
            **scalars,
        }
        return {"params": params, "optimizer": opt_state}, metrics

    shardings = _shardings(abstract_state(network, optimizer, mesh))
    return jax.jit(train_step, donate_argnums=0, out_shardings=(shardings, None))


def prepare_tokenizer(
    config, workdir: pathlib.Path, datasets: list[Dataset], has_checkpoint: bool
) -> Tokenizer:
    """The tokenizer of a run: its pretrained weights', or one learnt from the captions.

    It is kept in the workdir, where a resumed run and the other processes find the same one.
    """
    path = workdir / "tokenizer.json"
    text = config.model.text
    if not (has_checkpoint and path.is_file()) and jax.process_index() == 0:
        if config.model.weights:
            tokenizer_json = open_saved(config.model.weights).run["tokenizer"]
        elif text.weights:
            tokenizer_json = Tokenizer.from_source(text.weights, text.max_tokens).json
        else:
            captions = sorted(
                text
                for dataset in datasets
                for texts in classes.clip_texts(
                    dataset,
                    dataset.split(config.data.train_split),
                    config.task,
                    config.data.texts,
                ).texts
                for text in texts
            )
            tokenizer_json = train_wordpiece(captions, text.vocab_size)
        partial = path.with_suffix(".partial")
        partial.write_text(tokenizer_json)
        partial.replace(path)
    _barrier("tokenizer")
    if not path.is_file():
        raise ValueError(
            f"process {jax.process_index()} does not see {path}, which process 0 wrote: --workdir "
            "must be on storage that all hosts share"
        )
    return Tokenizer(path.read_text(), text.max_tokens)


def _barrier(name: str) -> None:
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


def _record_run(config, workdir: pathlib.Path, has_checkpoint: bool) -> None:
    """Stores config, commit and diff; a run with checkpoints does not go on with another config."""
    path = workdir / "config.json"
    current = json.loads(config.to_json())
    if has_checkpoint and path.is_file():
        before, now = _flat(json.loads(path.read_text())), _flat(current)
        for name in now.keys() - before.keys():  # fields that came later
            before[name] = next((v for end, v in _IMPLIED.items() if name.endswith(end)), None)
        changed = [
            f"{name}: {before.get(name)!r} before, {now.get(name)!r} now"
            for name in sorted(before.keys() | now.keys())
            if before.get(name) != now.get(name)
            and not any(name == f or name.startswith(f + ".") for f in _FREE_TO_CHANGE)
        ]
        if changed:
            raise ValueError(
                f"{workdir} holds a run with another config. Choose a new --workdir, or go back "
                "to its values:\n  " + "\n  ".join(changed)
            )
    if jax.process_index() != 0:
        return
    root = pathlib.Path(__file__).resolve().parents[1]
    for name, command in {
        "git_commit.txt": ("git", "-C", str(root), "rev-parse", "HEAD"),
        "git_diff.txt": ("git", "-C", str(root), "diff", "HEAD"),
    }.items():
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=30)
        except (OSError, subprocess.TimeoutExpired) as error:
            logging.info("no %s: %s", name, error)
            continue
        if done.returncode == 0:  # an installed package has no repository, and that is fine
            (workdir / name).write_text(done.stdout)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(current, indent=2) + "\n")
    partial.replace(path)


def _flat(tree: dict, prefix: str = "") -> dict:
    out = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            out.update(_flat(value, f"{prefix}{key}."))
        else:
            out[prefix + key] = value
    return out


class _StopRequest:
    """Turns SIGTERM (a pre-emption, a job's end) into a flag that is read between steps."""

    def __init__(self):
        self._asked = False
        # With several processes, the runtime's own watcher makes all stop at the same step.
        if jax.process_count() == 1:
            self._before = signal.signal(signal.SIGTERM, self._on_signal)

    def _on_signal(self, signum, frame):
        self._asked = True

    def __call__(self, step: int) -> bool:
        if jax.process_count() > 1:
            return multihost_utils.reached_preemption_sync_point(step)
        return self._asked

    def close(self):
        if jax.process_count() == 1:
            signal.signal(signal.SIGTERM, self._before)


def init_params(network: Network, config, mesh) -> Params:
    """Parameters in their shardings: from pretrained weights, all others fresh from the seed.

    Only what no weights fill is drawn: a large tower is in memory once.
    """
    params = sharding.abstract(network.abstract_params, mesh)
    if config.model.weights:
        return open_saved(config.model.weights).load_params(params)
    params = dual_encoder.load_pretrained(params, config.model.to_dict(), network.config)
    fresh = {
        path: value.sharding
        for path, value in params.items()
        if isinstance(value, jax.ShapeDtypeStruct)
    }

    def draw():
        drawn = network.init(config.seed)
        return {path: drawn[path] for path in fresh}

    return params | jax.jit(draw, out_shardings=fresh)()


def init_state(network: Network, optimizer, config, mesh) -> dict:
    """The state before the first step: `init_params`, and the optimizer's own beginning."""
    params = init_params(network, config, mesh)
    layout = _shardings(abstract_state(network, optimizer, mesh)["optimizer"])
    return {
        "params": params,
        "optimizer": jax.jit(optimizer.init, out_shardings=layout)(params),
    }


# What a trained encoder over joints looks at, by how its training frames were drawn: frames as far
# apart as it has seen them.
_WINDOWS = {"conseq": "centre", "random_conseq": "centre", "random": "spread"}


def resolve_architecture(config, datasets: Sequence[Dataset] = ()) -> DualEncoderConfig:
    """The architecture that a config's `model` section means for these datasets."""
    trained = None
    if config.model.weights:
        stored = open_saved(config.model.weights).run["architecture"]
        trained = DualEncoderConfig.from_dict(stored)
    inputs = _inputs(config, datasets) if datasets else None
    return dual_encoder.resolve(config.model.to_dict(), trained, inputs)


def _inputs(config, datasets: Sequence[Dataset]) -> Inputs:
    """What the first dataset decides; `data.TrainingData` checks that the others agree."""
    metadata = datasets[0].metadata
    rotations = config.model.motion.input == "rotations"
    if rotations and not metadata.num_rotations:
        raise ValueError(
            f"dataset {datasets[0].name!r} has no rotations: set config.model.motion.input=joints"
        )
    classifier = width = None
    if config.loss.kind == "classify":
        names = {_class_names(config.task, dataset) for dataset in datasets}
        if len(names) > 1:
            raise ValueError("a classifier needs datasets with the same classes")
        classifier = ClassifierConfig(names.pop(), exclusive=config.task == "labels")
    elif config.model.text.family == "frozen":
        width = datasets[0].require_caption_vectors().vectors.shape[1]
    return Inputs(
        joints=metadata.num_rotations if rotations else metadata.skeleton.num_joints,
        channels=6 if rotations else 3,
        dims=6 if rotations else metadata.skeleton.dims,
        window=_WINDOWS[config.data.sampling],
        text_width=width,
        classifier=classifier,
    )


def _class_names(task: str, dataset: Dataset) -> tuple[str, ...]:
    metadata = dataset.metadata
    names = metadata.label_names if task == "labels" else metadata.attribute_names
    if not names:
        raise ValueError(f"dataset {dataset.name!r} has no {task}")
    return names


def train(config: ConfigDict, workdir: str | pathlib.Path) -> str:
    """Trains a model, or goes on training the one in `workdir`.

    Args:
      config: see configs/common.py.
      workdir: gets checkpoints/, best/, metrics.jsonl, tensorboard/, config.json.

    Returns:
      "finished", or "stopped" after SIGTERM; the same call then goes on where it stopped.

    Raises:
      ValueError: the config does not fit the data, the devices or the workdir.
      NonFiniteLoss: loss, gradient, update or embeddings are not finite; no such step was saved.
    """
    started = time.monotonic()
    logging.info("start-up: imports and config")  # read by benchmarks/startup.py
    check_config(config)
    workdir = pathlib.Path(workdir)
    mesh = sharding.make_mesh(config.mesh.data, config.mesh.model)
    batch_size = config.data.batch_size
    sharding.check_batch_size("data.batch_size", batch_size, mesh)
    mixture = data.parse_mixture(config.data.datasets)
    datasets = {Dataset(config.data.data_dir, name): weight for name, weight in mixture.items()}
    architecture = resolve_architecture(config, list(datasets))
    for dataset in datasets:  # what is wrong there must not come out hours later
        data.check_fit(dataset, architecture.motion)
        for split in (config.data.val_split, config.data.test_split):
            apply.check_evaluation(config, dataset, split)
    workdir.mkdir(parents=True, exist_ok=True)
    checkpoints = Checkpoints(workdir)
    has_checkpoint = checkpoints.exist()
    _record_run(config, workdir, has_checkpoint)

    tokenizer = None
    if architecture.text is not None:
        tokenizer = prepare_tokenizer(config, workdir, list(datasets), has_checkpoint)
    if tokenizer and not (config.model.text.weights or config.model.weights):
        # Captions may not fill the vocabulary that was asked for.
        text = dataclasses.replace(architecture.text, vocab_size=tokenizer.vocab_size)
        architecture = dataclasses.replace(architecture, text=text)
    network = Network(architecture, jnp.dtype(config.dtype))
    batches = data.TrainingData(
        datasets,
        tokenizer,
        config.data,
        motion=architecture.motion,
        seed=config.seed,
        task=config.task,
        extras=_extras(config),
        rows=sharding.local_rows(mesh, batch_size),
    )
    logging.info("start-up: data and tokenizer")
    steps_per_epoch = batches.plan.steps_per_epoch
    num_steps = config.epochs * steps_per_epoch

    optimizer, schedules = optim.make_optimizer(config.optim, network.abstract_params, num_steps)
    iterator = batches.batches(num_steps)
    resumed = checkpoints.restore_latest(abstract_state(network, optimizer, mesh))
    if resumed is None:
        step = 0
        state = init_state(network, optimizer, config, mesh)
        pipeline = iterator.get_state()
    else:
        step, state, pipeline = resumed
        iterator.set_state(pipeline)
        logging.info("resumed from step %d of %s", step, workdir)

    logging.info("start-up: parameters and optimizer state")
    run = {
        "architecture": architecture.to_dict(),
        "config": json.loads(config.to_json()),
        "tokenizer": tokenizer.json if tokenizer else None,
        "trained": {"task": config.task, "loss": config.loss.kind, "texts": config.data.texts},
        "distance": objectives.distance(config.loss.kind),
        "text_encoder": _frozen_text_encoder(config, list(datasets)),
        "datasets": {dataset.name: dataset.metadata.to_json() for dataset in datasets},
    }
    best_score = checkpoints.best_score()
    metrics = Metrics(workdir, step)
    train_step = make_train_step(network, optimizer, config, mesh)
    encoder = Encoder(network, tokenizer, mesh, config.data)
    feed = data.to_device(iterator, lambda batch: sharding.put_local(batch, batch_size, mesh))
    bar = tqdm(
        total=num_steps,
        initial=step,
        desc="train",
        unit="step",
        dynamic_ncols=True,
        disable=jax.process_index() != 0,
    )
    check = _FiniteCheck(batches)
    window_start, window_step = time.monotonic(), step
    stop_asked = _StopRequest()
    try:
        while step < num_steps and not stop_asked(step):
            batch, pipeline = next(feed)
            state, scalars = train_step(state, jnp.int32(step), batch)
            check.previous()  # of the step before: this one runs meanwhile
            check.submit(step, scalars)
            if step == 0:
                jax.block_until_ready(state)
                logging.info("first step done %.1f s after start", time.monotonic() - started)
            step += 1
            bar.update()

            if step % config.log_steps == 0 or step == num_steps:
                scalars = {name: float(value) for name, value in scalars.items()}
                check.previous()
                now = time.monotonic()
                pairs = (step - window_step) * batch_size / (now - window_start)
                window_start, window_step = now, step
                rates = {f"lr/{n}": float(schedule(step - 1)) for n, schedule in schedules.items()}
                metrics.write(step, {**scalars, "pairs_per_second": pairs, **rates})
                if scalars.get("negatives_kept") == 0 and not bar.disable:
                    bar.write(
                        f"step {step}: no negative is left in this batch; all are of the clips' "
                        "own classes, or their texts have a cosine above config.loss."
                        f"mask_threshold={config.loss.mask_threshold:g}"
                    )
                bar.set_postfix(loss=f"{scalars['loss']:.3f}", pairs_s=f"{pairs:.0f}")

            at_epoch_end = step % steps_per_epoch == 0
            if at_epoch_end:
                check.previous()
                score, scalars, words = validate(config, encoder, state["params"], list(datasets))
                check.validation(step - 1, score)
                metrics.write(step, {**scalars, "val/score": score})
                if not bar.disable:
                    bar.write(
                        f"epoch {step // steps_per_epoch}/{config.epochs}: validation {words}, "
                        f"score {score:.1f}" + (" (best so far)" if score > best_score else "")
                    )
                if score > best_score:
                    best_score = score
                    checkpoints.save_best(
                        step, state["params"], {**run, "step": step, "score": score}
                    )
                window_start, window_step = time.monotonic(), step
            every = config.checkpoint_steps
            if at_epoch_end or (every and step % every == 0):
                check.previous()
                checkpoints.save_latest(step, state, pipeline, {**run, "step": step})
        check.previous()
        finished = step == num_steps
        checkpoints.save_latest(step, state, pipeline, {**run, "step": step})
    finally:
        bar.close()
        metrics.close()
        checkpoints.close()
        stop_asked.close()
    return "finished" if finished else "stopped"


class _FiniteCheck:
    """Stops on numbers that are not finite, one step late so that the device need not wait."""

    def __init__(self, batches: data.TrainingData):
        self._batches = batches
        self._pending = None

    def submit(self, step: int, scalars: dict[str, jax.Array]) -> None:
        self._pending = (step, scalars)

    def previous(self) -> None:
        """Waits for the submitted step and checks its loss, gradient and update.

        The others can be infinite where the loss is still finite, and would spoil what is saved.
        """
        if self._pending is None:
            return
        (step, scalars), self._pending = self._pending, None
        for name in ("loss", "grad_norm", "update_norm"):
            value = float(scalars[name])
            if not math.isfinite(value):
                self._stop(step, f"the {name} is {value}")

    def validation(self, step: int, score: float) -> None:
        """Checks the score of the parameters after `step`: NaN where embeddings are not finite."""
        if math.isnan(score):
            self._stop(step, "the parameters give embeddings that are not finite")

    def _stop(self, step: int, what: str) -> None:
        ids = ", ".join(self._batches.clip_ids(step))
        raise NonFiniteLoss(
            f"{what} at step {step}. Lower the learning rates or set --config.optim.clip_norm=1, "
            f"in a new --workdir, and look at the clips of this batch: {ids}"
        )


def _extras(config) -> tuple[str, ...]:
    """What batches carry besides clips and tokens."""
    if config.loss.kind == "classify":
        return ("targets",)
    extras = ()
    if config.model.text.family == "frozen" or config.loss.mask_negatives:
        extras += ("text_vectors",)
    if config.loss.kind == "triplet":
        extras += ("negative_vectors",)
    elif config.loss.mask_negatives and config.task != "captions":
        extras += ("classes",)
    return extras


def _frozen_text_encoder(config, datasets: list[Dataset]) -> dict | None:
    """Which sentence encoder a run's texts are the vectors of, to encode others by it later."""
    if config.model.text.family != "frozen" or config.loss.kind == "classify":
        return None
    return datasets[0].require_caption_vectors().origin


def validate(
    config, encoder: Encoder, params: Params, datasets: list[Dataset]
) -> tuple[float, dict[str, float], str]:
    """Scores the validation split of every dataset by the config's task, and averages.

    Returns:
      The selection score, the scalars to log, and what to say of them; NaN and nothing where
      embeddings are not finite.
    """
    scores, scalars, words = [], {}, ""
    for dataset in datasets:
        score, found = apply.validate(config, encoder, params, dataset)
        if math.isnan(score):
            return math.nan, {}, ""
        scores.append(score)
        prefix = "val" if dataset is datasets[0] else f"val_{dataset.name}"
        scalars |= {f"{prefix}/{name}": value for name, value in found.items()}
        words = words or ", ".join(
            f"{name.replace('/', ' ')} {value:.2f}"
            for name, value in found.items()
            if name in apply.SHOWN
        )
    return float(np.mean(scores)), scalars, words
