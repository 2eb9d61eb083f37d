"""Training: one loop for every task, on one device or many processes.

Start reading at `train`. The update itself is in motionalign/step.py; this file has the set-up and
the loop around it.
"""

import dataclasses
import functools
import math
import os
import pathlib
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
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
from motionalign.checkpoints.resume import (
    check_data,
    check_frozen,
    check_state,
    hold_workdir,
    newest,
    read_record,
)
from motionalign.checkpoints.run import Checkpoints, stored_run
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
from motionalign.data.batches import (
    Source,
    TrainingData,
    parse_mixture,
    position_of,
    supervision_of,
    to_device,
)
from motionalign.data.cuts import cut_clips, cut_texts, notes
from motionalign.data.dataset import Dataset
from motionalign.data.tokenizer import MAX_WORD, Tokenizer, long_words
from motionalign.evaluate import validate_all
from motionalign.files import expand
from motionalign.inference.encoder import Encoder, Predictor
from motionalign.models.architecture import Known
from motionalign.models.architectures import architecture_of, groups_of
from motionalign.models.dual_encoder import DualEncoderConfig
from motionalign.models.families import is_frozen
from motionalign.models.network import Network
from motionalign.step import State, abstract_state, init_state, make_train_step
from motionalign.tasks.objectives import OBJECTIVES, Objective
from motionalign.tasks.registry import TASKS
from motionalign.tasks.schema import schema
from motionalign.tasks.sentences import chosen_length
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
      config: config of the run; see motionalign/config.py.
      workdir: folder of the run; receives checkpoints/, best/, metrics.jsonl, tensorboard/,
        config.json and more (docs/outputs.md).
      say: receives a description of model, data and devices, and a message before each slow
        operation; called on process 0 only.

    Returns:
      "finished", or "SIGTERM" or "SIGINT" (Ctrl-C) for a run that this signal stopped after it was
      saved; the same call then resumes it.

    Raises:
      ValueError: the config does not fit the data, the devices or the workdir; another process
        trains in the workdir; or its checkpoint does not fit its record or the data.
      NonFiniteLoss: loss, gradient, update or embeddings are not finite; the step is not saved.
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
    with hold_workdir(workdir) as no_locks:
        if no_locks:
            say(no_locks)
        run = set_up(config, workdir, say)
        logging.info("start-up: data and tokenizer")
        state, pipeline, iterator, step = _begin(run, say)
        logging.info("start-up: parameters and optimizer state")
        reused = " (later runs reuse the compilation)" if sharding.programs_can_be_stored() else ""
        say(f"Compiling the training step; the first step follows{reused}")
        loop = _Loop(run, step, started)
        try:
            return loop.train(state, pipeline, iterator, step)
        finally:
            loop.close()


# Setting up --------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Run:
    """Everything that makes up a run, except for its training state.

    Attributes:
      config, workdir, mesh: config, folder and device mesh of the run.
      task, objective, network: the task, the training objective and the network.
      datasets: the training datasets.
      batches: the training batches.
      checkpoints: the checkpoints in the workdir.
      encoder: the encoder used for validation.
      optimizer, schedules: the optimizer, and the learning rate schedule of each group.
      trained: the model to fine-tune (`config.model.weights`), or None.
      supervision: {dataset: hash of its training texts}.
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
    supervision: Mapping[str, str]

    @property
    def num_steps(self) -> int:
        """Total number of steps of the run."""
        return self.config.epochs * self.batches.plan.steps_per_epoch

    @functools.cached_property
    def abstract_state(self) -> State:
        """The training state as shapes with shardings."""
        return abstract_state(self.network, self.optimizer, self.mesh)

    @functools.cached_property
    def stored(self) -> dict[str, Any]:
        """The metadata stored with the parameters, which make a checkpoint self-contained."""
        config, first, tokenizer = self.config, self.datasets[0], self.encoder.tokenizer
        frozen = self.objective.compares and is_frozen(config.model.text)
        trained = {"task": self.task.name, "loss": config.loss.kind, "texts": self.task.text_kind}
        return stored_run(
            {
                "kind": config.model.kind,
                "architecture": self.network.config.to_dict(),
                "config": stored_form(config),
                "tokenizer": tokenizer.json if tokenizer else None,
                "trained": trained,
                "distance": self.objective.distance,
                "text_encoder": first.require_caption_vectors().origin if frozen else None,
                "frozen": [tower.to_dict() for tower in self.network.frozen],
                "source": None,
                "supervision": dict(self.supervision),
                "datasets": {
                    each.name: each.metadata.to_json() | {"fingerprint": each.fingerprint}
                    for each in self.datasets
                },
            }
        )


def set_up(
    config: ConfigDict, workdir: pathlib.Path, say: Callable[[str], None] = _say_nothing
) -> Run:
    """Checks a config against data and devices, and builds everything that the run needs.

    Args:
      config: a config that `check_config` accepts.
      workdir: a folder that `check_run` accepts.
      say: as in `train`.

    Raises:
      ValueError: the config does not fit the data or the devices, or the data are not those of
        the run's checkpoint. At most config.json, the commit and the tokenizer have been written to
        the workdir by then, but no checkpoint.
    """
    mesh = sharding.make_mesh(config.mesh.data, config.mesh.model)
    sharding.check_batch_size("data.batch_size", config.data.batch_size, mesh)
    task = TASKS[config.task](config)
    objective = OBJECTIVES[config.loss.kind](config.loss, task.has_classes)
    if named := [each.weights for each in _with_weights(config.model) if each.weights]:
        say(f"Pretrained weights: {', '.join(named)} (downloaded first if they are on the Hub)")
    trained = open_saved(config.model.weights) if config.model.weights else None
    weights = _open_datasets(config, task, objective)
    datasets = list(weights)
    architecture = resolve_architecture(config, task, objective, trained, datasets)
    sources = _sources(config, task, objective, architecture, weights)
    supervision = {s.dataset.name: supervision_of(s, objective.batch_fields) for s in sources}
    kind = architecture_of(config.model.kind)
    frozen, record = kind.frozen(config, architecture), read_record(workdir)
    if record:
        check_frozen(workdir, record, frozen)
        for line in check_data(workdir, record, datasets, supervision):
            say(line)
    workdir.mkdir(parents=True, exist_ok=True)
    checkpoints = Checkpoints(workdir)
    record_run(config, workdir)
    tokenizer = kind.tokenizer(config, architecture)
    if architecture.text is not None:
        recorded = record["tokenizer"] if record else None
        tokenizer, architecture = _text_tokenizer(
            config, workdir, architecture, sources, recorded, trained, say
        )
    network = Network(architecture, jnp.dtype(config.dtype), kind.module, frozen)
    batches = make_batches(config, network, objective, sources, tokenizer, mesh)
    num_steps = config.epochs * batches.plan.steps_per_epoch
    say(f"Devices: {sharding.describe(mesh)}\n{_summary(config, network, batches, workdir)}")
    for note in _cuts(batches, tokenizer):
        say(note)
    optimizer, schedules = optim.make_optimizer(
        optimizer_config(config), network.abstract_params, num_steps
    )
    return Run(
        config, workdir, mesh, task, objective, network, datasets, batches, checkpoints,
        Encoder(network, tokenizer, mesh, config.data), optimizer, schedules, trained, supervision,
    )  # fmt: skip


def _open_datasets(
    config: ConfigDict, task: Task, objective: Objective
) -> dict[Dataset, float | None]:
    """The training datasets with their weights in the mixture, whose splits can be scored."""
    mixture = parse_mixture(config.data.datasets)
    weights = {Dataset(config.data.data_dir, name): weight for name, weight in mixture.items()}
    # All splits, so that errors do not appear hours later; before the vectors of the texts, since a
    # dataset without labels has none.
    for dataset in weights:
        for name in (config.data.val_split, config.data.test_split):
            task.check(dataset, name, objective.compares, is_frozen(config.model.text))
    return weights


def _text_tokenizer(
    config: ConfigDict,
    workdir: pathlib.Path,
    architecture: DualEncoderConfig,
    sources: Sequence[Source],
    recorded: str | None,
    trained: Saved | None,
    say: Callable[[str], None],
) -> tuple[Tokenizer, DualEncoderConfig]:
    """The tokenizer of a text encoder, and the architecture with the size of its vocabulary."""
    # All training texts, from which a vocabulary is learned if none is pretrained.
    said = [text for s in sources for texts in s.texts.texts for text in texts]
    tokenizer = prepare_tokenizer(config.model, workdir, said, recorded, trained)
    if not (config.model.text.weights or config.model.weights):
        architecture = _with_vocabulary(architecture, tokenizer, said, say)
    tokenizer.check_fits(architecture.text.vocab_size, str(workdir / "tokenizer.json"))
    return tokenizer, architecture


def optimizer_config(config: ConfigDict) -> ConfigDict:
    """The `optim` section with the groups of this architecture's parameters."""
    section = config.optim.copy_and_resolve_references()
    with section.unlocked():
        section.groups = ConfigDict(groups_of(config.model.kind, config.optim.groups.to_dict()))
    return section


def _with_vocabulary(
    architecture: DualEncoderConfig,
    tokenizer: Tokenizer,
    texts: Iterable[str],
    say: Callable[[str], None],
) -> DualEncoderConfig:
    """The architecture with a vocabulary learned from texts; it may be smaller than requested."""
    _warn_of_long_words(texts, say)
    text = dataclasses.replace(architecture.text, vocab_size=tokenizer.vocab_size)
    return dataclasses.replace(architecture, text=text)


def _warn_of_long_words(texts: Iterable[str], say: Callable[[str], None]) -> None:
    """Says if a learned vocabulary leaves out words for their length."""
    found = Counter(word for text in texts for word in long_words(text))
    if found:
        say(
            f"{found.total():,} words of more than {MAX_WORD} characters in the training texts are "
            f"unknown to the tokenizer, for example {min(found)[:40]!r}..."
        )


def _with_weights(model_config: ConfigDict) -> tuple[ConfigDict, ...]:
    """The sections that may name pretrained weights."""
    return (model_config, model_config.motion, model_config.text)


def _summary(
    config: ConfigDict, network: Network, batches: TrainingData, workdir: pathlib.Path
) -> str:
    """A summary of model, data, number of steps and output folder."""
    sizes: Counter[str] = Counter()
    for path, leaf in network.abstract_params.items():
        sizes[path.partition("/")[0]] += leaf.size
    parts = ", ".join(f"{name} {size:,}" for name, size in sizes.most_common() if size > 1)
    clips = ", ".join(f"{len(s.split.ids):,} clips of {s.dataset.name}" for s in batches.sources)
    per_epoch = batches.plan.steps_per_epoch
    return (
        f"Parameters: {sum(sizes.values()):,} ({parts})\n"
        f"Data: {clips}; batches of {config.data.batch_size:,}\n"
        f"{_of_an_epoch(batches)}"
        f"Steps: {config.epochs * per_epoch:,}, {per_epoch:,} in each of {config.epochs} epochs\n"
        f"Results: {workdir}"
    )


def _of_an_epoch(batches: TrainingData) -> str:
    """A line on how many clips of each dataset an epoch sees; empty for one dataset."""
    plan, names = batches.plan, [source.dataset.name for source in batches.sources]
    if len(names) == 1:
        return ""
    sizes = [len(source.rows) for source in batches.sources]
    if plan.weights is not None:
        seen = [
            f"{count:,} clips of {name}, {count / size:.2f} times its {size:,}"
            for name, count, size in zip(names, plan.counts, sizes)
        ]
        return f"Each epoch: {'; '.join(seen)}\n"
    seen = [f"all {size:,} clips of {name}" for name, size in zip(names, sizes)]
    if left := sum(sizes) % plan.batch_size:
        seen[-1] += f"; except {left:,}, chosen at random, which do not fill a batch"
    return f"Each epoch: {', '.join(seen)}\n"


def _cuts(batches: TrainingData, tokenizer: Tokenizer | None) -> list[str]:
    """Notes on the training clips and texts that the model uses in part only."""
    limit = batches.representation.max_frames
    part = "every epoch trains on a part drawn at random"
    found = []
    for source in batches.sources:
        where, rows = f" of {source.dataset.name}", source.rows
        ids = [source.split.ids[row] for row in rows]
        found.append(cut_clips(ids, source.split.num_frames[rows], limit, part, where))
        if tokenizer is not None:
            texts = [text for of_class in source.texts.texts for text in of_class]
            found.append(cut_texts(texts, tokenizer, where))
    return notes(found)


def check_config(config: ConfigDict, fields: Schema) -> None:
    """Checks a config before training, including values that would only fail hours later."""
    fields.validate(config)
    check_writers(config.log_to)
    objective = OBJECTIVES[config.loss.kind]
    frozen = is_frozen(config.model.text)
    _check_kind(config)
    if config.data.batch_size < objective.smallest_batch:
        raise ValueError(
            f"config.data.batch_size={config.data.batch_size} trains nothing: config.loss.kind="
            f"{config.loss.kind!r} compares the clips of a batch with each other. Set it to at "
            f"least {objective.smallest_batch}; larger batches have more negatives"
        )
    dual = architecture_of(config.model.kind).config is DualEncoderConfig
    if dual and not objective.compares and config.model.weights:
        raise ValueError(
            f"config.model.weights names a model without a classifier; config.loss.kind="
            f"{config.loss.kind!r} trains one from scratch: leave config.model.weights unset"
        )
    if objective.frozen_text and not frozen:
        raise ValueError(
            f"config.loss.kind={config.loss.kind!r} trains motions towards fixed text vectors: "
            "set config.model.text.family='frozen'"
        )
    if config.model.embed_dim is None and objective.compares and not frozen:
        raise ValueError(
            "config.model.embed_dim is unset; set it to the width of the shared embedding space, "
            "for example 256"
        )
    group = optim.group_of("logit_scale", config.optim.groups)
    if dual and config.model.learn_temperature and not config.optim.groups[group].lr > 0:
        raise ValueError(
            "config.model.learn_temperature needs a learning rate: set "
            f"config.optim.groups.{group}.lr, for example to 1e-3"
        )


def _check_kind(config: ConfigDict) -> None:
    """Raises a ValueError if task and objective are not those of the architecture."""
    for name, registry in (("task", TASKS), ("loss.kind", OBJECTIVES)):
        value = config.task if registry is TASKS else config.loss.kind
        if registry[value].kind != config.model.kind:
            fit = [key for key, each in registry.items() if each.kind == config.model.kind]
            raise ValueError(
                f"config.{name}={value!r} is for config.model.kind={registry[value].kind!r}; for "
                f"config.model.kind={config.model.kind!r}, set config.{name} to {' or '.join(fit)}"
            )


def resolve_architecture(
    config: ConfigDict,
    task: Task,
    objective: Objective,
    trained: Saved | None,
    datasets: Sequence[Dataset] = (),
) -> Any:
    """The architecture that the `model` section of a config describes for these datasets.

    Args:
      config: config of the run.
      task, objective: task and objective of the run.
      trained: the model that config.model.weights names, or None.
      datasets: the first dataset determines input and output shapes; `TrainingData` checks that
        the others agree.
    """
    kind = architecture_of(config.model.kind)
    if not datasets:
        return kind.resolve(config, Known(trained=trained))
    classifier = width = None
    if not objective.compares:
        classifier = task.classes(datasets)
    elif is_frozen(config.model.text):
        width = datasets[0].require_caption_vectors().vectors.shape[1]
    return kind.resolve(config, Known(datasets[0].metadata, width, classifier, trained))


def _sources(
    config: ConfigDict,
    task: Task,
    objective: Objective,
    architecture: Any,
    weights: Mapping[Dataset, float | None],
) -> list[Source]:
    """The training split of each dataset, with the texts and targets of the task."""
    representation = architecture.representation(config.data.frame_bucket)
    sources = []
    for dataset, weight in weights.items():
        representation.check(dataset.metadata)
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
    representation = architecture.representation(config.data.frame_bucket)
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
    """(state, pipeline state, batch iterator, step), from the latest checkpoint or initialised."""
    abstract = run.abstract_state
    resumed = run.checkpoints.restore_latest(abstract)
    if resumed is None:
        say("Initialising parameters")
        state = init_state(run.network, run.optimizer, run.config, abstract, run.trained)
    else:
        say(f"Resuming from step {resumed[0]:,} of {run.num_steps:,}")
        frozen = run.network.load_frozen(abstract["frozen"])
        state = resumed[1] | {"frozen": frozen}
    iterator = run.batches.batches(run.num_steps)
    if resumed is None:
        return state, iterator.get_state(), iterator, 0
    step, restored, pipeline = resumed
    kept = {name: restored[name] for name in ("params", "optimizer")}
    check_state(newest(run.workdir), step, kept, position_of(pipeline))
    iterator.set_state(pipeline)
    return state, pipeline, iterator, step


class _Loop:
    """The training loop: steps, metrics, validation, checkpoints, requests to stop."""

    def __init__(self, run: Run, step: int, started: float) -> None:
        config = self._config = run.config
        self._run = run
        self._started = started
        self._check = _FiniteCheck(run.batches, step)
        self._step = make_train_step(
            run.network, run.objective, run.optimizer, config, run.mesh, run.abstract_state
        )
        # Other architectures have their losses among the scores of their tasks.
        self._validation_loss = None
        if isinstance(run.network.config, DualEncoderConfig):
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
        self._window = time.monotonic(), step  # start of the throughput measurement

    def train(
        self, state: State, pipeline: dict, iterator: "grain.DatasetIterator", step: int
    ) -> str:
        """Trains from `step` to the end of the run, or until a request to stop."""
        run = self._run
        batch_size, per_epoch = self._config.data.batch_size, run.batches.plan.steps_per_epoch
        feed = to_device(iterator, lambda batch: sharding.put_local(batch, batch_size, run.mesh))
        while step < run.num_steps and not self._stop_asked(step):
            batch, pipeline = next(feed)
            state, scalars = self._step(state, jnp.int32(step), batch)
            self._check.previous()  # checks the previous step while this one runs
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
        return "finished" if step == run.num_steps else self._stop_asked.by

    def _write(self, step: int, scalars: dict[str, float]) -> None:
        """Writes scalars with epoch and wall time.

        `epoch` is fractional: 2.5 is the middle of the third epoch. `wall_time` is the time in
        seconds since `train` was called, plus the time that earlier processes of the run spent on
        the steps before.
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
                f"step {step}: this batch has no negatives left; all are of the clips' own "
                "classes, or their texts have a cosine above config.loss."
                f"mask_threshold={self._config.loss.mask_threshold:g}"
            )
        self._bar.set_postfix(loss=f"{scalars['loss']:.3f}", pairs_s=f"{pairs:.0f}")

    def _validate(self, step: int, state: State) -> None:
        """Scores the validation splits at the end of an epoch, and saves the best parameters."""
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
            stored["trained"] = stored["trained"] | chosen_length(scalars)
            run.checkpoints.save_best(step, state["params"], stored, state["rest"])
        self._window = time.monotonic(), step

    def _save(self, step: int, state: State, pipeline: dict) -> None:
        """Saves the state needed to resume."""
        self._check.previous()
        stored = {**self._run.stored, "step": step, "score": None}
        self._run.checkpoints.save_latest(step, state, pipeline, stored)

    def close(self) -> None:
        """Closes progress bar, metrics and checkpoints, after all saves are on disk."""
        self._bar.close()
        self._metrics.close()
        self._run.checkpoints.close()
        self._stop_asked.close()


class _StopRequest:
    """Turns SIGTERM (preemption, end of a job) and Ctrl-C into a flag read between steps.

    A second Ctrl-C stops at once, without saving.

    Attributes:
      by: name of the signal; with several processes, SIGTERM where another one received it.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        self._asked = False
        self._write = write
        self.by = signal.SIGTERM.name
        # With several processes, JAX handles SIGTERM and makes all of them stop at the same step;
        # Ctrl-C is turned into SIGTERM.
        signals = [signal.SIGINT, *([signal.SIGTERM] if jax.process_count() == 1 else [])]
        self._before = {each: signal.signal(each, self._on_signal) for each in signals}

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        if signum == signal.SIGINT:
            self.by = signal.SIGINT.name
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
        """Restores the previous signal handlers."""
        for each, handler in self._before.items():
            signal.signal(each, handler)


_SOON = 100  # steps after resuming, within which a damaged state is the likelier cause


class _FiniteCheck:
    """Stops training on non-finite numbers, one step late so that the device need not wait."""

    def __init__(self, batches: TrainingData, began: int) -> None:
        """`began`: step at which this process began; above 0, it resumed the run."""
        self._batches = batches
        self._began = began
        self._pending = None

    def submit(self, step: int, scalars: dict[str, jax.Array]) -> None:
        """Remembers the scalars of a step that may still be running."""
        self._pending = (step, scalars)

    def previous(self) -> None:
        """Waits for the submitted step and checks its loss, gradient and update.

        Gradient and update can be infinite while the loss is still finite, and would corrupt the
        saved state.
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
            self._stop(step, "the parameters produce embeddings that are not finite")

    def _stop(self, step: int, what: str) -> None:
        ids = ", ".join(self._batches.clip_ids(step))
        since = ""
        if self._began and step - self._began < _SOON:
            nth = f"{step - self._began + 1} steps" if step > self._began else "the first"
            since = (
                f", {nth} since the run resumed. If metrics.jsonl shows a sound loss before, the "
                f"checkpoint may be damaged: resume from a copy, or train anew. Otherwise lower"
            )
        raise NonFiniteLoss(
            f"{what} at step {step}{since or '. Lower'} the learning rates or set "
            f"--config.optim.clip_norm=1, in a new --workdir, and inspect the clips of this batch: "
            f"{ids}"
        )
