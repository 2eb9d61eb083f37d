"""Validation loss: the training objective on a validation split."""

import dataclasses
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from ml_collections import ConfigDict

from motionalign import sharding
from motionalign.data.batches import BATCH_FIELDS, BatchField, BatchPlan, RowsOfBatch, Source
from motionalign.data.dataset import Dataset
from motionalign.inference.encoder import Predictor
from motionalign.models.dual_encoder import Outputs
from motionalign.models.families import representation_of
from motionalign.models.network import Network, Rest
from motionalign.tasks.objectives import Objective
from motionalign.tasks.task import Task

SEED = 0  # shared by all runs, so that their curves are computed on the same batches


@dataclasses.dataclass(frozen=True)
class _Clips:
    """The n clips of a split on which the loss is computed, and their batches.

    Attributes:
      source: the split.
      rows: [n] rows of the split.
      clip_class: [n] indices into the texts of `source`.
      pick_text, pick_negative: [n] uniform numbers in 0..1 that choose the texts.
      batches: [S, B] indices into the n clips.
      fields: arrays of a batch besides the embeddings.
    """

    source: Source
    rows: np.ndarray
    clip_class: np.ndarray
    pick_text: np.ndarray
    pick_negative: np.ndarray
    batches: np.ndarray
    fields: Mapping[str, BatchField]

    @property
    def texts(self) -> list[str]:
        """The text of each clip, as the text encoder receives it."""
        of_class = (self.source.texts.texts[k] for k in self.clip_class)
        return [texts[int(u * len(texts))] for texts, u in zip(of_class, self.pick_text)]

    def batch(self, index: np.ndarray) -> dict[str, np.ndarray]:
        """The fields of the clips at `index` [B]."""
        chosen = (self.rows, self.clip_class, self.pick_text, self.pick_negative)
        own = RowsOfBatch(np.zeros(len(index), int), *(each[index] for each in chosen))
        return {name: make(own) for name, make in self.fields.items()}


class ValidationLoss:
    """Mean of the objective over a split, without dropout, augmentation or randomness.

    The clips that validation scores are batched as in training: in batches of the training batch
    size, in an order shuffled with a seed that all runs share, and grouped by length if training
    groups them. The last, incomplete batch is left out; a split smaller than one batch forms one
    batch. For a clip with several captions the first one is used, as in retrieval; for a class with
    several texts, and a clip with several classes, one is drawn with the fixed seed.

    Clips and texts are embedded by `Predictor`; with `keep=True` it encodes them only once for both
    scores and loss.
    """

    def __init__(
        self, network: Network, task: Task, objective: Objective, config: ConfigDict, mesh: Mesh
    ) -> None:
        """Takes the network, task, objective, config and mesh of a run."""
        self._network, self._task, self._objective = network, task, objective
        self._config = config
        self._replicated = NamedSharding(mesh, P())
        self._clips: dict[str, _Clips | None] = {}

        def loss(
            motion: jax.Array,
            text: jax.Array | None,
            scale: jax.Array,
            rest: Rest,
            batch: Mapping[str, jax.Array],
        ) -> jax.Array:
            if text is None:  # no text encoder: sentence vectors, or a classifier
                text = batch.get("text_vectors")
            outputs = Outputs(motion, text, scale)
            return objective.loss(outputs, rest, batch, mesh)[0].astype(jnp.float32)

        self._loss: Callable = jax.jit(loss, out_shardings=self._replicated)

    def __call__(self, predict: Predictor, dataset: Dataset, split_name: str) -> float | None:
        """The loss of a split, on the scale of the training loss.

        Returns None and logs a warning if it cannot be computed: negatives are masked by sentence
        vectors that the texts of the split do not have, or all clips are of one class, so that a
        triplet has no negative.
        """
        if dataset.name not in self._clips:
            try:
                self._clips[dataset.name] = self._prepare(dataset, split_name)
            except ValueError as error:
                logging.warning("no validation loss of %s: %s", dataset.name, error)
                self._clips[dataset.name] = None
        clips = self._clips[dataset.name]
        if clips is None:
            return None
        motion = predict.motions(dataset, clips.source.split, clips.rows)
        text = None
        if self._network.config.text is not None:
            text = predict.texts(dataset, clips.texts, f"{split_name} captions")
        scale, rest = predict.scale(), predict.rest()
        losses = []
        for index in clips.batches:
            own_text = None if text is None else text[index]
            host = (motion[index], own_text, scale, clips.batch(index))
            motions, texts, scales, batch = jax.tree.map(self._put, host)
            losses.append(float(self._loss(motions, texts, scales, rest, batch)))
        return float(np.mean(losses))

    def _put(self, array: np.ndarray) -> jax.Array:
        return sharding.put_global(np.asarray(array), self._replicated)

    def _prepare(self, dataset: Dataset, split_name: str) -> _Clips:
        """The clips of a split; raises a ValueError if a batch field cannot be computed."""
        network, task, config = self._network, self._task, self._config
        split = dataset.split(split_name)
        # The clips that validation scores, and has therefore encoded.
        rows = np.arange(len(split)) if task.has_classes else split.evaluation_rows()
        rows = rows[task.class_of(dataset, split)[rows] >= 0]
        targets = None if self._objective.compares else task.targets(dataset, split)
        source = Source(dataset, split, 1.0, task.texts(dataset, split), targets)
        names = dict.fromkeys((*network.config.batch_fields, *self._objective.batch_fields))
        fields = {name: BATCH_FIELDS[name]([source]) for name in names}
        representation = representation_of(network.config.motion, config.data.frame_bucket)
        plan = BatchPlan(
            (representation.frames(split.num_frames)[rows],),
            (1.0,),
            min(config.data.batch_size, len(rows)),
            SEED,
            config.data.length_window if representation.by_length else 1,
        )
        pick_text, pick_negative = np.random.default_rng(SEED).random((2, len(rows)))
        if not task.has_classes:
            pick_text = np.zeros(len(rows))
        clip_class = source.texts.class_of[rows]
        if source.texts.several:
            share = np.random.default_rng((SEED, 3)).random(len(rows))
            clip_class = source.texts.draw(rows, share)
        batches = plan.epoch(0)[1]
        return _Clips(source, rows, clip_class, pick_text, pick_negative, batches, fields)
