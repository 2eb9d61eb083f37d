"""Training: one loop for every task, on one device or many processes.

Read `train` first. A step is a pure function of (state, step number, batch); everything random is
derived from the run's seed and the step number, so a resumed run repeats an uninterrupted one bit
for bit.
"""

import dataclasses
import json
import math
import pathlib
import signal
import time
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import optax
from absl import logging
from jax.experimental import multihost_utils
from ml_collections import ConfigDict
from tqdm import tqdm

from motionalign import optim, sharding
from motionalign.checkpoints.run import Checkpoints
from motionalign.checkpoints.shared import open_saved
from motionalign.checkpoints.workdir import Metrics, prepare_tokenizer, record_run
from motionalign.config import check_config
from motionalign.data import representation
from motionalign.data.batches import TrainingData, parse_mixture, to_device
from motionalign.data.dataset import Dataset
from motionalign.evaluate import validate_all
from motionalign.inference.encoder import Encoder
from motionalign.models import build
from motionalign.models.build import Inputs
from motionalign.models.dual_encoder import DualEncoderConfig
from motionalign.models.heads import ClassifierConfig
from motionalign.models.network import Network, Params
from motionalign.tasks import objectives, registry
from motionalign.tasks.objectives import extras, frozen_text_encoder


class NonFiniteLoss(FloatingPointError):
    """Loss, gradient, update or embeddings are not finite; the message names step and clips."""


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
    params = build.load_pretrained(params, config.model.to_dict(), network.config)
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
    return build.resolve(config.model.to_dict(), trained, inputs)


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
    mixture = parse_mixture(config.data.datasets)
    datasets = {Dataset(config.data.data_dir, name): weight for name, weight in mixture.items()}
    architecture = resolve_architecture(config, list(datasets))
    for dataset in datasets:  # what is wrong there must not come out hours later
        representation.check_fit(dataset, architecture.motion)
        for split in (config.data.val_split, config.data.test_split):
            registry.check_evaluation(config, dataset, split)
    workdir.mkdir(parents=True, exist_ok=True)
    checkpoints = Checkpoints(workdir)
    has_checkpoint = checkpoints.exist()
    record_run(config, workdir, has_checkpoint)

    tokenizer = None
    if architecture.text is not None:
        tokenizer = prepare_tokenizer(config, workdir, list(datasets), has_checkpoint)
    if tokenizer and not (config.model.text.weights or config.model.weights):
        # Captions may not fill the vocabulary that was asked for.
        text = dataclasses.replace(architecture.text, vocab_size=tokenizer.vocab_size)
        architecture = dataclasses.replace(architecture, text=text)
    network = Network(architecture, jnp.dtype(config.dtype))
    batches = TrainingData(
        datasets,
        tokenizer,
        config.data,
        motion=architecture.motion,
        seed=config.seed,
        task=config.task,
        extras=extras(config),
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
        "text_encoder": frozen_text_encoder(config, list(datasets)),
        "datasets": {dataset.name: dataset.metadata.to_json() for dataset in datasets},
    }
    best_score = checkpoints.best_score()
    metrics = Metrics(workdir, step)
    train_step = make_train_step(network, optimizer, config, mesh)
    encoder = Encoder(network, tokenizer, mesh, config.data)
    feed = to_device(iterator, lambda batch: sharding.put_local(batch, batch_size, mesh))
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
                score, scalars, words = validate_all(
                    config, encoder, state["params"], list(datasets)
                )
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

    def __init__(self, batches: TrainingData):
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
