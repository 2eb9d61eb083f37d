"""The input pipeline: prepared datasets in, batches on the device out.

Every batch is a pure function of (seed, step). Each process can therefore lay out the whole global
batch by itself (which records, which caption, which crop, how many frames and tokens), reads only
its own rows, and resumes exactly from a step number; nothing else needs to be remembered.

A batch is a dict of arrays:
  patches [B, F, 5N, 3] float16, zeros after a clip's end; num_frames [B] int32; or, for encoders
    over joints, joints [B, F, J, C] float32;
  input_ids [B, L] int32; text_mask [B, L] bool, where texts are encoded in training;
  text_vectors [B, V] float32, where they are not, or negatives are masked by their similarity;
  negative_vectors [B, V], of texts of other classes; targets [B] int32 or [B, A] float32;
  classes [B] int32, equal where two clips are of one class.
"""

import collections
import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import grain
import jax
import numpy as np

from motionalign.data import representation
from motionalign.data.augment import Augmentation, frame_indices
from motionalign.data.dataset import Dataset
from motionalign.data.representation import (
    Batch,
    ClipCache,
    check_fit,
    field_of,
    frame_buckets,
    round_up,
    stack_patches,
)
from motionalign.data.texts import TextRows, clip_texts
from motionalign.data.tokenizer import Tokenizer, pad_tokens, text_bucket


def parse_mixture(datasets: str) -> dict[str, float]:
    """`"humanml3d:2,kit_ml:1"` → {name: weight}; a name alone weighs 1."""
    mixture = {}
    for part in datasets.split(","):
        name, _, weight = part.strip().partition(":")
        try:
            share = float(weight or 1)
        except ValueError:
            share = 0.0
        if not name or name in mixture or not 0 < share < math.inf:
            raise ValueError(
                f"config.data.datasets={datasets!r}: expected NAME or NAME:WEIGHT, separated by "
                "commas, each name once, with positive weights, like 'humanml3d:2,kit_ml:1'"
            )
        mixture[name] = share
    return mixture


@dataclasses.dataclass(frozen=True)
class BatchPlan:
    """Which records stand in which batch: a pure function of the seed.

    Each epoch draws from every dataset in proportion to its weight, without replacement as far as
    the dataset reaches, in an order shuffled over the whole dataset. The last incomplete batch of
    an epoch is dropped (other clips fall into it each time).

    Attributes:
      num_frames: for each dataset, [n] clip lengths in frames.
      weights: for each dataset, its share of a batch; of any scale.
      batch_size: of the global batch.
      length_window: so many batches' worth of clips are sorted by length together before they are
        cut into batches. 1 leaves the order as it was drawn.
    """

    num_frames: tuple[np.ndarray, ...]
    weights: tuple[float, ...]
    batch_size: int
    seed: int
    length_window: int

    def __post_init__(self):
        if self.steps_per_epoch == 0:
            raise ValueError(
                f"config.data.batch_size={self.batch_size} is larger than the training set of "
                f"{sum(map(len, self.num_frames))} records"
            )

    @property
    def steps_per_epoch(self) -> int:
        return sum(map(len, self.num_frames)) // self.batch_size

    @functools.lru_cache(maxsize=2)  # noqa: B019 (a plan lives as long as its run)
    def epoch(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """(dataset [S, B], row [S, B]) of the S batches of an epoch."""
        rng = np.random.default_rng((self.seed, epoch))
        total = self.steps_per_epoch * self.batch_size
        shares = np.array(self.weights) / sum(self.weights)
        counts = np.diff(np.round(np.cumsum(shares) * total).astype(int), prepend=0)
        rows = []
        for frames, count in zip(self.num_frames, counts):
            passes = max(1, -(-count // len(frames)))
            order = np.concatenate([rng.permutation(len(frames)) for _ in range(passes)])
            rows.append(order[:count])
        dataset = np.repeat(np.arange(len(counts)), counts)
        row = np.concatenate(rows)
        if len(counts) > 1:
            mixed = rng.permutation(total)
            dataset, row = dataset[mixed], row[mixed]
        if self.length_window > 1:
            lengths = np.concatenate(self.num_frames)
            starts = np.cumsum([0, *map(len, self.num_frames[:-1])])
            length = lengths[starts[dataset] + row]
            window = np.arange(total) // (self.length_window * self.batch_size)
            order = np.lexsort((length, window)).reshape(-1, self.batch_size)
            order = order[rng.permutation(len(order))].reshape(-1)
            dataset, row = dataset[order], row[order]
        shape = (self.steps_per_epoch, self.batch_size)
        return dataset.reshape(shape), row.reshape(shape)

    def __getitem__(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """(dataset [B], row [B]) of the global batch of `step`."""
        epoch, position = divmod(step, self.steps_per_epoch)
        dataset, row = self.epoch(epoch)
        return dataset[position], row[position]

    def __hash__(self):
        return id(self)

    def __eq__(self, other):
        return self is other


class TrainingData:
    """The training batches of one run.

    Args:
      datasets: with the weights of the mixture, {dataset: weight}.
      tokenizer: of the text encoder; None where no text is encoded in training.
      config: the `data` section of a run's config.
      motion: the motion encoder's config, which says what it reads.
      seed: of the run.
      task: what is said of a clip, of `classes.TASKS`.
      extras: what else batches carry: "text_vectors", "negative_vectors", "targets", "classes".
      rows: which rows of the global batch to read; all by default.

    Raises:
      ValueError: a dataset does not have what the encoder or the task needs.
    """

    def __init__(
        self,
        datasets: dict[Dataset, float],
        tokenizer: Tokenizer | None,
        config,
        *,
        motion,
        seed: int,
        task: str = "captions",
        extras: Sequence[str] = (),
        rows: np.ndarray | None = None,
    ):
        self.splits = [dataset.split(config.train_split) for dataset in datasets]
        for dataset in datasets:
            check_fit(dataset, motion)
        if len({dataset.metadata.fps for dataset in datasets}) > 1:
            rates = ", ".join(f"{d.name} {d.metadata.fps:g}" for d in datasets)
            raise ValueError(f"datasets of one run need one frame rate; found {rates}")
        budget = [int(config.cache_gb * 2**30)]
        self._clips = [ClipCache(split, budget, field_of(motion)) for split in self.splits]
        self._texts = [
            clip_texts(dataset, split, task, "words" if "targets" in extras else config.texts)
            for dataset, split in zip(datasets, self.splits)
        ]
        self._metadata = [dataset.metadata for dataset in datasets]
        self._attributes = [  # 0 or 1 [n, A]
            metadata.present(split.attributes).astype(np.float32)
            for metadata, split in zip(self._metadata, self.splits)
        ]
        self._vectors = None
        if {"text_vectors", "negative_vectors"} & set(extras):
            _check_same_encoder(datasets)
            self._vectors = [
                TextRows.of(dataset, texts.texts) for dataset, texts in zip(datasets, self._texts)
            ]
        for texts, dataset in zip(self._texts, datasets):
            if "negative_vectors" in extras and len(texts.names) < 2:
                raise ValueError(f"dataset {dataset.name!r} has one class only: no negatives")
        # Clips that nothing is known of are not trained on.
        self._rows_of = [np.flatnonzero(texts.class_of >= 0) for texts in self._texts]
        self._lengths = [
            np.minimum(split.num_frames, motion.max_frames)[rows]
            for split, rows in zip(self.splits, self._rows_of)
        ]
        self._motion = motion
        self._joints = not hasattr(motion, "patch_size")
        masked = not self._joints and motion.padding == "mask"
        self.plan = BatchPlan(
            tuple(self._lengths),
            tuple(datasets.values()),
            config.batch_size,
            seed,
            length_window=config.length_window if masked else 1,
        )
        if not self._joints:
            self._frame_buckets = frame_buckets(
                config, motion.padding, motion.max_frames, motion.patch_size
            )
        self._augment = Augmentation(**config.augment.to_dict())
        self._tokenizer = tokenizer
        self._config = config
        self._task = task
        self._extras = frozenset(extras)
        self._rows = np.arange(config.batch_size) if rows is None else rows

    def _records(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """(dataset [B], row of its split [B]) of the global batch of `step`."""
        dataset, row = self.plan[step]
        rows = np.array([self._rows_of[d][r] for d, r in zip(dataset, row)], np.int64)
        return dataset, rows

    def __getitem__(self, step: int) -> Batch:
        """The rows to read of the batch of `step`, random texts and frames chosen."""
        dataset, row = self._records(step)
        rng = np.random.default_rng((self.plan.seed, step, 1))
        pick_text, pick_crop, pick_negative = rng.random((3, len(row)))
        clip_class = np.array([self._texts[d].class_of[r] for d, r in zip(dataset, row)])
        if self._joints:
            batch = self._joint_clips(step, dataset, row)
        else:
            batch = self._patch_clips(dataset, row, pick_crop)
        if self._tokenizer is not None:
            texts = [self._texts[d].texts[k] for d, k in zip(dataset, clip_class)]
            texts = [choices[int(u * len(choices))] for choices, u in zip(texts, pick_text)]
            # Shapes come from the global batch, so that all processes agree on them.
            ids, mask = self._tokenizer.encode(texts)
            text_length = text_bucket(ids.shape[1], self._config.text_bucket, self._tokenizer)
            ids, mask = pad_tokens(ids, mask, text_length)
            batch |= {"input_ids": ids[self._rows], "text_mask": mask[self._rows]}
        if "text_vectors" in self._extras:
            batch["text_vectors"] = self._of_texts(TextRows.pick, dataset, clip_class, pick_text)
        if "negative_vectors" in self._extras:
            batch["negative_vectors"] = self._of_texts(
                TextRows.pick_other, dataset, clip_class, pick_negative
            )
        if "classes" in self._extras:  # those of different datasets are different ones
            first = np.cumsum([0, *(len(texts.names) for texts in self._texts)])
            batch["classes"] = (first[dataset] + clip_class).astype(np.int32)[self._rows]
        if "targets" in self._extras:
            batch["targets"] = self._targets(dataset, row, clip_class)
        return batch

    def _patch_clips(self, dataset, row, pick_crop) -> Batch:
        frames = np.array([self.splits[d].num_frames[r] for d, r in zip(dataset, row)])
        spare = np.maximum(0, frames - self._motion.max_frames)
        starts, lengths = (pick_crop * (spare + 1)).astype(int), frames - spare
        clips = [
            self._clips[dataset[i]][row[i]][starts[i] : starts[i] + lengths[i]] for i in self._rows
        ]
        return {
            "patches": stack_patches(clips, round_up(lengths.max(), self._frame_buckets)),
            "num_frames": lengths.astype(np.int32)[self._rows],
        }

    def _joint_clips(self, step, dataset, row) -> Batch:
        clips = []
        for i in self._rows:
            # Its own randomness, so that no process draws for the clips of another.
            rng = np.random.default_rng((self.plan.seed, step, 2, int(i)))
            clip = self._augment(
                self._clips[dataset[i]][row[i]], self._metadata[dataset[i]].skeleton, rng
            )
            frames = frame_indices(
                len(clip), self._motion.frames, self._config.sampling, rng, self._config.step
            )
            clips.append(representation.clip(clip, self._motion, frames))
        return {"joints": np.stack(clips)}

    def _of_texts(self, pick, dataset, clip_class, share) -> np.ndarray:
        """[rows, D] from each clip's own dataset, by `pick(text rows, classes, shares)`."""
        dataset, clip_class, share = (x[self._rows] for x in (dataset, clip_class, share))
        out = np.empty((len(dataset), self._vectors[0].vectors.shape[1]), np.float32)
        for d, vectors in enumerate(self._vectors):
            mine = dataset == d
            out[mine] = pick(vectors, clip_class[mine], share[mine])
        return out

    def _targets(self, dataset, row, clip_class) -> np.ndarray:
        """Labels [rows] int32, or attributes [rows, A] float32, 0 or 1."""
        if self._task == "labels":
            return clip_class[self._rows].astype(np.int32)
        return np.stack([self._attributes[dataset[i]][row[i]] for i in self._rows])

    def clip_ids(self, step: int) -> list[str]:
        """Ids of the global batch of `step`, to name what was in it when something went wrong."""
        return [self.splits[d].ids[r] for d, r in zip(*self._records(step))]

    def batches(self, num_steps: int) -> grain.DatasetIterator:
        """A Grain iterator over the batches of steps 0 to `num_steps`, read ahead in threads."""
        steps = grain.MapDataset.range(num_steps).map(self.__getitem__)
        options = grain.ReadOptions(
            num_threads=self._config.workers, prefetch_buffer_size=2 * self._config.workers
        )
        return iter(steps.to_iter_dataset(options))


def _check_same_encoder(datasets: Iterable[Dataset]) -> None:
    vectors = {dataset.name: dataset.require_caption_vectors() for dataset in datasets}
    if len({each.fingerprint for each in vectors.values()}) > 1:
        found = "; ".join(f"{name} by {each.encoder}" for name, each in vectors.items())
        raise ValueError(
            f"caption vectors of different encoders cannot be compared: {found}. Run "
            "`python -m data_prep embed` on all datasets with one --encoder and --readout"
        )


def to_device(
    batches: grain.DatasetIterator, put: Callable[[Batch], dict[str, jax.Array]], ahead: int = 2
) -> Iterator[tuple[dict[str, jax.Array], dict]]:
    """Copies batches to the device ahead of their use.

    Yields:
      (batch, state): `state` is what the iterator needs to go on after this batch, however many
      more have been read ahead by then.
    """
    queue = collections.deque()

    def fill(count):
        for batch in itertools.islice(batches, count):
            queue.append((put(batch), batches.get_state()))

    fill(ahead)
    while queue:
        yield queue.popleft()
        fill(1)
