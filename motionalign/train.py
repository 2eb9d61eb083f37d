"""Training: one loop for every task, on one device or many processes.

Read `train` first. What a step does is in motionalign/step.py; what surrounds steps is here.
"""

import dataclasses
import functools
import math
import os
import pathlib
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import optax
from absl import logging
from jax.experimental import multihost_utils
from jax.sharding import Mesh
from ml_collections import ConfigDict
from tqdm import tqdm

from motionalign import optim, sharding
from motionalign.checkpoints.run import Checkpoints, has_checkpoint, stored_run
from motionalign.checkpoints.shared import Saved, open_saved
from motionalign.checkpoints.workdir import (
    Metrics,
    check_run,
    is_finished,
    prepare_tokenizer,
    record_run,
    record_start,
)
from motionalign.checkpoints.writers import check_writers
from motionalign.config import Schema, stored_form
from motionalign.data.augment import WINDOW_OF
from motionalign.data.batches import Source, TrainingData, parse_mixture, to_device
from motionalign.data.dataset import Dataset
from motionalign.data.representation import REPRESENTATIONS
from motionalign.data.tokenizer import Tokenizer
from motionalign.evaluate import validate_all
from motionalign.files import expand
from motionalign.inference.encoder import Encoder, Predictor
from motionalign.models import build
from motionalign.models.dual_encoder import DualEncoderConfig
from motionalign.models.families import is_frozen, representation_of
from motionalign.models.family import Inputs
from motionalign.models.network import Network
from motionalign.step import State, abstract_state, init_state, make_train_step
from motionalign.tasks.objectives import OBJECTIVES, Objective
from motionalign.tasks.registry import TASKS
from motionalign.tasks.schema import schema
from motionalign.tasks.task import Task
from motionalign.tasks.validation_loss import ValidationLoss

if TYPE_CHECKING:
    import grain


def _say_nothing(text: str) -> None:
    pass


class NonFiniteLoss(FloatingPointError):
    """Loss, gradient, update or embeddings are not finite; the message names step and clips."""


def train(
    config: ConfigDict, workdir: str | pathlib.Path, say: Callable[[str], None] = _say_nothing
) -> str:
    """Trains a model, or resumes training the one in `workdir`.

    Args:
      config: see motionalign/config.py.
      workdir: gets checkpoints/, best/, metrics.jsonl, tensorboard/, config.json.
      say: is told what is trained on which devices, and of each slow step before it starts; on
        process 0 only.

    Returns:
      "finished", or "stopped" after SIGTERM or Ctrl-C; the same call then resumes where it stopped.

    Raises:
      ValueError: the config does not fit the data, the devices or the workdir.
      NonFiniteLoss: loss, gradient, update or embeddings are not finite; no such step was saved.
    """
    started = time.monotonic()
    logging.info("start-up: imports and config")  # read by benchmarks/startup.py
    workdir, fields = expand(workdir), schema()
    if jax.process_index() != 0:
        say = _say_nothing
    check_config(config, fields)
    check_run(config, workdir, fields)
    if is_finished(workdir, config.epochs):
        say(
            f"{workdir} is a finished run of {config.epochs} epochs. To train its model further, "
            f"choose a new --workdir and --config=configs/finetune.py:{workdir}"
        )
        return "finished"
    run = set_up(config, workdir, say)
    logging.info("start-up: data and tokenizer")
    state, pipeline, iterator, step = _begin(run, say)
    logging.info("start-up: parameters and optimizer state")
    say("Compiling the training step; the first step follows (faster next time: it is kept)")
    loop = _Loop(run, step, started)
    try:
        return loop.train(state, pipeline, iterator, step)
    finally:
        loop.close()


# Setting up --------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Run:
    """All that a run is made of, its training state excepted.

    Attributes:
      config, workdir, mesh: of the run.
      task, objective, network: what is trained.
      datasets: trained on.
      batches: of training.
      checkpoints: of the workdir.
      encoder: to validate by.
      optimizer, schedules: with each group's learning rate.
      trained: the model that training goes on from, where the config names one.
    """

    config: ConfigDict
    workdir: pathlib.Path
    mesh: Mesh
    task: Task
    objective: Objective
    network: Network
    datasets: Sequence[Dataset]
    batches: TrainingData
    checkpoints: Checkpoints
    encoder: Encoder
    optimizer: optax.GradientTransformation
    schedules: Mapping[str, optax.Schedule]
    trained: Saved | None

    @property
    def num_steps(self) -> int:
        """Steps of the whole run."""
        return self.config.epochs * self.batches.plan.steps_per_epoch

    @functools.cached_property
    def abstract_state(self) -> State:
        """The training state as shapes in their shardings."""
        return abstract_state(self.network, self.optimizer, self.mesh)

    @functools.cached_property
    def stored(self) -> dict[str, Any]:
        """What is stored beside parameters, so that a checkpoint says all by itself."""
        config, first, tokenizer = self.config, self.datasets[0], self.encoder.tokenizer
        frozen = self.objective.compares and is_frozen(config.model.text)
        trained = {"task": self.task.name, "loss": config.loss.kind, "texts": self.task.text_kind}
        return stored_run(
            {
                "architecture": self.network.config.to_dict(),
                "config": stored_form(config),
                "tokenizer": tokenizer.json if tokenizer else None,
                "trained": trained,
                "distance": self.objective.distance,
                "text_encoder": first.require_caption_vectors().origin if frozen else None,
                "frozen": [tower.to_dict() for tower in self.network.frozen],
                "source": None,
                "datasets": {each.name: each.metadata.to_json() for each in self.datasets},
            }
        )


def set_up(
    config: ConfigDict, workdir: pathlib.Path, say: Callable[[str], None] = _say_nothing
) -> Run:
    """Checks a config against data and devices, and makes all that the run needs.

    Args:
      config: that `check_config` accepts.
      workdir: that `check_run` accepts.
      say: as of `train`.

    Raises:
      ValueError: something does not fit. Of the workdir at most config.json, the commit and the
        tokenizer are there then; there is no checkpoint.
    """
    mesh = sharding.make_mesh(config.mesh.data, config.mesh.model)
    sharding.check_batch_size("data.batch_size", config.data.batch_size, mesh)
    task = TASKS[config.task](config)
    objective = OBJECTIVES[config.loss.kind](config.loss, task.has_classes)
    if named := [each.weights for each in _with_weights(config.model) if each.weights]:
        say(f"Pretrained weights: {', '.join(named)} (downloaded first if they are on the Hub)")
    trained = open_saved(config.model.weights) if config.model.weights else None
    mixture = parse_mixture(config.data.datasets)
    weights = {Dataset(config.data.data_dir, name): weight for name, weight in mixture.items()}
    datasets = list(weights)
    architecture = resolve_architecture(config, task, objective, trained, datasets)
    sources = _sources(config, task, objective, architecture, weights)

    workdir.mkdir(parents=True, exist_ok=True)
    checkpoints = Checkpoints(workdir)
    begun = has_checkpoint(workdir)
    record_run(config, workdir)
    tokenizer = None
    if architecture.text is not None:
        # All that training may say, where a vocabulary is to be learnt from it.
        said = (text for s in sources for texts in s.texts.texts for text in texts)
        tokenizer = prepare_tokenizer(config.model, workdir, said, begun, trained)
        if not (config.model.text.weights or config.model.weights):
            # Captions may not fill the vocabulary that was asked for.
            text = dataclasses.replace(architecture.text, vocab_size=tokenizer.vocab_size)
            architecture = dataclasses.replace(architecture, text=text)
    network = Network(architecture, jnp.dtype(config.dtype))
    batches = make_batches(config, network, objective, sources, tokenizer, mesh)
    num_steps = config.epochs * batches.plan.steps_per_epoch
    say(f"Devices: {sharding.describe(mesh)}\n{_summary(config, network, batches, workdir)}")
    optimizer, schedules = optim.make_optimizer(config.optim, network.abstract_params, num_steps)
    return Run(
        config, workdir, mesh, task, objective, network, datasets, batches, checkpoints,
        Encoder(network, tokenizer, mesh, config.data), optimizer, schedules, trained,
    )  # fmt: skip


def _with_weights(model_config: ConfigDict) -> tuple[ConfigDict, ...]:
    """The sections that may name pretrained weights."""
    return (model_config, model_config.motion, model_config.text)


def _summary(
    config: ConfigDict, network: Network, batches: TrainingData, workdir: pathlib.Path
) -> str:
    """What is trained on what, and where the results go."""
    sizes: Counter[str] = Counter()
    for path, leaf in network.abstract_params.items():
        sizes[path.partition("/")[0]] += leaf.size
    parts = ", ".join(f"{name} {size:,}" for name, size in sizes.most_common() if size > 1)
    clips = ", ".join(f"{len(s.split.ids):,} clips of {s.dataset.name}" for s in batches.sources)
    per_epoch = batches.plan.steps_per_epoch
    return (
        f"Parameters: {sum(sizes.values()):,} ({parts})\n"
        f"Data: {clips}; batches of {config.data.batch_size:,}\n"
        f"Steps: {config.epochs * per_epoch:,}, {per_epoch:,} for each of {config.epochs} epochs\n"
        f"Results: {workdir}"
    )


def check_config(config: ConfigDict, fields: Schema) -> None:
    """Finds, before hours of training, the values that would only fail after them."""
    fields.validate(config)
    check_writers(config.log_to)
    objective = OBJECTIVES[config.loss.kind]
    frozen = is_frozen(config.model.text)
    if not objective.compares and config.model.weights:
        raise ValueError(
            f"config.model.weights is a model without a classifier; config.loss.kind="
            f"{config.loss.kind!r} trains one from scratch: leave config.model.weights unset"
        )
    if objective.frozen_text and not frozen:
        raise ValueError(
            f"config.loss.kind={config.loss.kind!r} draws motions to texts that stay where they "
            "are: set config.model.text.family='frozen'"
        )
    if config.model.embed_dim is None and objective.compares and not frozen:
        raise ValueError("config.model.embed_dim is unset; give the width of the common space")
    group = optim.group_of("logit_scale", config.optim.groups)
    if config.model.learn_temperature and not config.optim.groups[group].lr > 0:
        raise ValueError(
            "config.model.learn_temperature needs a learning rate: set "
            f"config.optim.groups.{group}.lr, to 1e-3 for example"
        )


def resolve_architecture(
    config: ConfigDict,
    task: Task,
    objective: Objective,
    trained: Saved | None,
    datasets: Sequence[Dataset] = (),
) -> DualEncoderConfig:
    """The architecture that a config's `model` section means for these datasets.

    Args:
      config: of a run.
      task, objective: of the run.
      trained: the model that config.model.weights names, where it names one.
      datasets: the first one decides; `TrainingData` checks that the others agree.
    """
    before = DualEncoderConfig.from_dict(trained.run["architecture"]) if trained else None
    # Fields that an objective or task declares for itself are not the architecture's.
    section = {
        name: value for name, value in config.model.to_dict().items() if name in build.DEFAULTS
    }
    if not datasets:
        return build.resolve(section, before)
    kind = REPRESENTATIONS[config.model.motion.input]
    joints, channels, dims = kind.shape_of(datasets[0].metadata)
    classifier = width = None
    if not objective.compares:
        classifier = task.classes(datasets)
    elif is_frozen(config.model.text):
        width = datasets[0].require_caption_vectors().vectors.shape[1]
    window = WINDOW_OF[config.data.sampling]
    inputs = Inputs(joints, channels, dims, window, width, classifier, config.model.motion.input)
    return build.resolve(section, before, inputs)


def _sources(
    config: ConfigDict,
    task: Task,
    objective: Objective,
    architecture: DualEncoderConfig,
    weights: Mapping[Dataset, float],
) -> list[Source]:
    """The training split of each dataset, with what the task says of it.

    The other splits are checked: what is wrong there must not come out hours later.
    """
    representation = representation_of(architecture.motion, config.data.frame_bucket)
    sources = []
    for dataset, weight in weights.items():
        representation.check(dataset.metadata)
        for name in (config.data.val_split, config.data.test_split):
            task.check(dataset, name, objective.compares, is_frozen(config.model.text))
        split = dataset.split(config.data.train_split)
        targets = None if objective.compares else task.targets(dataset, split)
        sources.append(Source(dataset, split, weight, task.texts(dataset, split), targets))
    return sources


def make_batches(
    config: ConfigDict,
    network: Network,
    objective: Objective,
    sources: Sequence[Source],
    tokenizer: Tokenizer | None,
    mesh: Mesh,
) -> TrainingData:
    """The training batches of a run."""
    architecture = network.config
    representation = representation_of(architecture.motion, config.data.frame_bucket)
    return TrainingData(
        sources,
        representation.for_training(config.data),
        config.data,
        seed=config.seed,
        tokenizer=tokenizer,
        fields=tuple(dict.fromkeys((*architecture.batch_fields, *objective.batch_fields))),
        rows=sharding.local_rows(mesh, config.data.batch_size),
    )


# The loop ----------------------------------------------------------------------------------------


def _begin(run: Run, say: Callable[[str], None]) -> tuple[State, dict, Any, int]:
    """(state, pipeline state, iterator over batches, step): of the latest checkpoint, or new."""
    abstract = run.abstract_state
    resumed = run.checkpoints.restore_latest(abstract)
    if resumed is None:
        say("Initialising parameters")
        state = init_state(run.network, run.optimizer, run.config, abstract, run.trained)
        iterator = run.batches.batches(run.num_steps)
        return state, iterator.get_state(), iterator, 0
    step, state, pipeline = resumed
    state |= {"frozen": run.network.load_frozen(abstract["frozen"])}
    iterator = run.batches.batches(run.num_steps)
    iterator.set_state(pipeline)
    say(f"Resuming from step {step:,} of {run.num_steps:,}")
    return state, pipeline, iterator, step


class _Loop:
    """Steps with what happens between them: metrics, validation, checkpoints, a request to stop."""

    def __init__(self, run: Run, step: int, started: float) -> None:
        config = self._config = run.config
        self._run = run
        self._started = started
        self._check = _FiniteCheck(run.batches)
        self._step = make_train_step(
            run.network, run.objective, run.optimizer, config, run.mesh, run.abstract_state
        )
        self._validation_loss = ValidationLoss(
            run.network, run.task, run.objective, config, run.mesh
        )
        self._best_score = run.checkpoints.best_score()
        if step < run.num_steps:
            record_start(run.workdir, step)
        self._metrics = Metrics(run.workdir, step, config.log_to, stored_form(config))
        self._bar = tqdm(
            total=run.num_steps,
            initial=step,
            desc="train",
            unit="step",
            dynamic_ncols=True,
            disable=jax.process_index() != 0,
        )
        self._stop_asked = _StopRequest(self._bar.write)
        self._window = time.monotonic(), step  # since which the throughput is measured

    def train(
        self, state: State, pipeline: dict, iterator: "grain.DatasetIterator", step: int
    ) -> str:
        """Trains from `step` to the end of the run, or until it is asked to stop."""
        run = self._run
        batch_size, per_epoch = self._config.data.batch_size, run.batches.plan.steps_per_epoch
        feed = to_device(iterator, lambda batch: sharding.put_local(batch, batch_size, run.mesh))
        while step < run.num_steps and not self._stop_asked(step):
            batch, pipeline = next(feed)
            state, scalars = self._step(state, jnp.int32(step), batch)
            self._check.previous()  # of the step before: this one runs meanwhile
            self._check.submit(step, scalars)
            if step == 0:
                jax.block_until_ready(state)
                elapsed = time.monotonic() - self._started
                logging.info("first step done %.1f s after start", elapsed)
            step += 1
            self._bar.update()
            if step % self._config.log_steps == 0 or step == run.num_steps:
                self._log(step, scalars)
            at_epoch_end = step % per_epoch == 0
            if at_epoch_end:
                self._validate(step, state)
            every = self._config.checkpoint_steps
            if at_epoch_end or (every and step % every == 0):
                self._save(step, state, pipeline)
        self._save(step, state, pipeline)
        return "finished" if step == run.num_steps else "stopped"

    def _write(self, step: int, scalars: dict[str, float]) -> None:
        """Writes scalars, with the time after which they were.

        `epoch` is fractional: 2.5 is the middle of the third. `wall_time` is in seconds, since
        `train` was called, after what earlier processes of the run had spent on the steps before.
        """
        epoch = step / self._run.batches.plan.steps_per_epoch
        seconds = self._metrics.earlier_seconds + time.monotonic() - self._started
        self._metrics.write(step, {"epoch": epoch, "wall_time": round(seconds, 3), **scalars})

    def _log(self, step: int, on_device: Mapping[str, jax.Array]) -> None:
        """Writes the scalars of a step."""
        scalars = {name: float(value) for name, value in on_device.items()}
        self._check.previous()
        now, (since, first) = time.monotonic(), self._window
        pairs = (step - first) * self._config.data.batch_size / (now - since)
        self._window = now, step
        schedules: Mapping[str, Any] = self._run.schedules
        rates = {f"lr/{n}": float(rate(step - 1)) for n, rate in schedules.items()}
        self._write(step, {**scalars, "pairs_per_second": pairs, **rates})
        if scalars.get("negatives_kept") == 0 and not self._bar.disable:
            self._bar.write(
                f"step {step}: no negative is left in this batch; all are of the clips' "
                "own classes, or their texts have a cosine above config.loss."
                f"mask_threshold={self._config.loss.mask_threshold:g}"
            )
        self._bar.set_postfix(loss=f"{scalars['loss']:.3f}", pairs_s=f"{pairs:.0f}")

    def _validate(self, step: int, state: State) -> None:
        """Scores the validation splits at the end of an epoch, and keeps the best parameters."""
        run = self._run
        self._check.previous()
        distance = run.objective.distance
        arrays = state["params"] | state["rest"] | state["frozen"]
        predict = Predictor(run.encoder, arrays, distance, keep=True)
        split = self._config.data.val_split
        score, scalars, words = validate_all(
            run.task, predict, run.datasets, split, self._validation_loss
        )
        self._check.validation(step - 1, score)
        self._write(step, {**scalars, "val/score": score})
        better = score > self._best_score
        if not self._bar.disable:
            epoch = step // run.batches.plan.steps_per_epoch
            self._bar.write(
                f"epoch {epoch}/{self._config.epochs}: validation {words}, "
                f"score {score:.1f}" + (" (best so far)" if better else "")
            )
        if better:
            self._best_score = score
            stored = {**run.stored, "step": step, "score": score}
            run.checkpoints.save_best(step, state["params"], stored, state["rest"])
        self._window = time.monotonic(), step

    def _save(self, step: int, state: State, pipeline: dict) -> None:
        """Saves what resuming needs."""
        self._check.previous()
        stored = {**self._run.stored, "step": step, "score": None}
        self._run.checkpoints.save_latest(step, state, pipeline, stored)

    def close(self) -> None:
        """Ends bar, metrics and checkpoints, all saves being on disk."""
        self._bar.close()
        self._metrics.close()
        self._run.checkpoints.close()
        self._stop_asked.close()


class _StopRequest:
    """Turns SIGTERM (a pre-emption, a job's end) and Ctrl-C into a flag read between steps.

    A second Ctrl-C stops at once, without saving.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        self._asked = False
        self._write = write
        # With several processes, the runtime's own watcher of SIGTERM makes all stop at the same
        # step: Ctrl-C becomes one.
        signals = [signal.SIGINT, *([signal.SIGTERM] if jax.process_count() == 1 else [])]
        self._before = {each: signal.signal(each, self._on_signal) for each in signals}

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        if signum == signal.SIGINT:
            signal.signal(signal.SIGINT, self._before[signal.SIGINT])
            self._write("stopping after this step and saving; Ctrl-C again stops without saving")
            if jax.process_count() > 1:
                os.kill(os.getpid(), signal.SIGTERM)
        self._asked = True

    def __call__(self, step: int) -> bool:
        """Whether to stop before `step`."""
        if jax.process_count() > 1:
            return multihost_utils.reached_preemption_sync_point(step)
        return self._asked

    def close(self) -> None:
        """Gives the signals back."""
        for each, handler in self._before.items():
            signal.signal(each, handler)


class _FiniteCheck:
    """Stops on numbers that are not finite, one step late so that the device need not wait."""

    def __init__(self, batches: TrainingData) -> None:
        self._batches = batches
        self._pending = None

    def submit(self, step: int, scalars: dict[str, jax.Array]) -> None:
        """Remembers the scalars of a step that may still be running."""
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
