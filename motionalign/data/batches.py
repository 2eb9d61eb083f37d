"""The input pipeline: from prepared datasets to batches on the device.

Every batch is a pure function of (seed, step). Each process can therefore plan the complete global
batch by itself (records, captions, crops, numbers of frames and tokens) while reading only its own
rows. Training resumes exactly from a step number; no other state is needed.

A batch is a dict of arrays:
  the motion, as the encoder's representation stacks it: patches [B, F, 5N, 3] float16,
    zero-padded after the end of a clip, with num_frames [B] int32; or joints [B, F, J, C] or
    rotations [B, F, R, 6] float32;
  input_ids [B, L] int32 and text_mask [B, L] bool, if the model encodes texts during training;
  text_vectors [B, V] float32, if it does not, or if negatives are masked by text similarity;
  negative_vectors [B, V] float32, vectors of texts of other classes;
  targets, class indices [B] int32 or attributes [B, A] float32;
  classes [B] int32, equal for two clips of the same class.
"""

import collections
import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import grain
import jax
import numpy as np
from ml_collections import ConfigDict

from motionalign.data.dataset import Dataset
from motionalign.data.records import Split
from motionalign.data.representation import Batch, ClipCache, Representation, RowRandom
from motionalign.data.texts import ClipTexts, TextRows
from motionalign.data.tokenizer import Tokenizer, pad_tokens, text_bucket


def parse_mixture(datasets: str) -> dict[str, float | None]:
    """Parses `"humanml3d:2,kit_ml:1"` into {name: weight}.

    A weight that is left out is 1. If several datasets are named and none has a weight, all weights
    are None: the mixture is the union of the datasets.
    """
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
    if len(mixture) > 1 and ":" not in datasets:
        return dict.fromkeys(mixture)
    return mixture


@dataclasses.dataclass(frozen=True)
class BatchPlan:
    """Assigns records to batches, as a pure function of the seed.

    An epoch has as many clips as all datasets together, in a globally shuffled order. Without
    weights, it is a permutation of all clips. With weights, it draws from every dataset in
    proportion to its weight, whatever the dataset's size: without replacement, but an exhausted
    dataset is reshuffled and drawn from again. The last incomplete batch of an epoch is dropped,
    which affects different clips in every epoch.

    Attributes:
      num_frames: for each dataset, [n] clip lengths in frames.
      weights: for each dataset, its unnormalised share of the samples; None: every clip of every
        dataset once.
      batch_size: size of the global batch.
      seed: of the order.
      length_window: how many batches of clips are sorted by length together before they are split
        into batches. 1 keeps the order in which clips were drawn.
    """

    num_frames: tuple[np.ndarray, ...]
    weights: tuple[float, ...] | None
    batch_size: int
    seed: int
    length_window: int

    def __post_init__(self) -> None:
        if self.steps_per_epoch == 0:
            raise ValueError(
                f"config.data.batch_size={self.batch_size} is larger than the training set of "
                f"{sum(map(len, self.num_frames))} records; choose a batch size of at most that"
            )

    @property
    def steps_per_epoch(self) -> int:
        """Complete batches per epoch."""
        return sum(map(len, self.num_frames)) // self.batch_size

    @property
    def counts(self) -> np.ndarray:
        """[D] how many clips an epoch draws from each dataset.

        Without weights, these are the sizes of the datasets, of which the last incomplete batch of
        the epoch is then dropped; with weights, only complete batches are drawn.
        """
        if self.weights is None:
            return np.array([len(frames) for frames in self.num_frames])
        total = self.steps_per_epoch * self.batch_size
        shares = np.array(self.weights) / sum(self.weights)
        return np.diff(np.round(np.cumsum(shares) * total).astype(int), prepend=0)

    def _union(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """(dataset, row) of all clips in random order."""
        ends = np.cumsum(self.counts)
        order = rng.permutation(ends[-1])
        dataset = np.searchsorted(ends, order, side="right")
        return dataset, order - (ends - self.counts)[dataset]

    def _weighted(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """(dataset, row) of clips drawn by weight, in random order."""
        rows, counts = [], self.counts
        for frames, count in zip(self.num_frames, counts):
            passes = max(1, -(-count // len(frames)))
            order = np.concatenate([rng.permutation(len(frames)) for _ in range(passes)])
            rows.append(order[:count])
        dataset, row = np.repeat(np.arange(len(counts)), counts), np.concatenate(rows)
        if len(counts) > 1:
            mixed = rng.permutation(len(row))
            dataset, row = dataset[mixed], row[mixed]
        return dataset, row

    @functools.lru_cache(maxsize=2)  # noqa: B019 (a plan lives as long as its run)
    def epoch(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """(dataset [S, B], row [S, B]) of the S batches of an epoch."""
        rng = np.random.default_rng((self.seed, epoch))
        total = self.steps_per_epoch * self.batch_size
        dataset, row = self._union(rng) if self.weights is None else self._weighted(rng)
        dataset, row = dataset[:total], row[:total]
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

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other


@dataclasses.dataclass(frozen=True)
class Source:
    """A split to train on, with the supervision that the task derives from it.

    Attributes:
      dataset, split: where the clips come from.
      weight: weight of the dataset in the mixture; None, for all sources: their union.
      texts: the texts of each clip's class.
      targets: [n] class indices, [n, A] float32 attributes, or None.
    """

    dataset: Dataset
    split: Split
    weight: float | None
    texts: ClipTexts
    targets: np.ndarray | None = None

    @functools.cached_property
    def rows(self) -> np.ndarray:
        """Rows of the split to train on: the records that have a class."""
        return np.flatnonzero(self.texts.class_of >= 0)

    @functools.cached_property
    def vectors(self) -> TextRows:
        """Sentence vectors of the texts."""
        return TextRows.of(self.dataset, self.texts.texts)


class TrainingData:
    """The training batches of one run.

    Args:
      sources: the splits to train on.
      representation: the input of the motion encoder.
      config: the `data` section of a run's config.
      seed: of the run.
      tokenizer: of the text encoder; None if no text is encoded during training.
      fields: further fields of the batches, names of `BATCH_FIELDS`.
      rows: which rows of the global batch to read; all by default.

    Raises:
      ValueError: a dataset lacks what the encoder or a field needs.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        representation: Representation,
        config: ConfigDict,
        *,
        seed: int,
        tokenizer: Tokenizer | None = None,
        fields: Sequence[str] = (),
        rows: np.ndarray | None = None,
    ) -> None:
        self.sources = list(sources)
        for source in sources:
            representation.check(source.dataset.metadata)
        _check_same_rate(sources)
        if VECTOR_FIELDS & set(fields):
            _check_same_encoder(source.dataset for source in sources)
        self._representation = representation
        self._tokenizer = tokenizer
        self._text_bucket = config.text_bucket
        self._workers = config.workers
        self._fields = {name: BATCH_FIELDS[name](self.sources) for name in fields}
        self._rows = np.arange(config.batch_size) if rows is None else rows
        budget = [int(config.cache_gb * 2**30)]
        self._clips = [
            ClipCache(source.split, budget, representation.read, representation.of_persons)
            for source in sources
        ]
        self.plan = BatchPlan(
            tuple(representation.frames(s.split.num_frames)[s.rows] for s in sources),
            _weights(sources),
            config.batch_size,
            seed,
            length_window=config.length_window if representation.by_length else 1,
        )

    @property
    def splits(self) -> list[Split]:
        """The split of each source."""
        return [source.split for source in self.sources]

    @property
    def representation(self) -> Representation:
        """The input of the motion encoder, with the run's sampling."""
        return self._representation

    def _records(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """(source [B], row in its split [B]) of the global batch of `step`."""
        source, row = self.plan[step]
        rows = np.array([self.sources[d].rows[r] for d, r in zip(source, row)], np.int64)
        return source, rows

    def __getitem__(self, step: int) -> Batch:
        """Reads this process's rows of the batch of `step`, with random texts and frames."""
        source, row = self._records(step)
        rng = np.random.default_rng((self.plan.seed, step, 1))
        pick_text, pick_crop, pick_negative = rng.random((3, len(row)))
        clip_class = self._classes(step, source, row)
        batch = self._clip_arrays(step, source, row, pick_crop)
        if self._tokenizer is not None:
            batch |= self._tokens(source, clip_class, pick_text)
        own = RowsOfBatch(
            *(x[self._rows] for x in (source, row, clip_class, pick_text, pick_negative))
        )
        return batch | {name: make(own) for name, make in self._fields.items()}

    def _classes(self, step: int, source: np.ndarray, row: np.ndarray) -> np.ndarray:
        """[B] the class of each clip in the batch of `step`: one of them, if it has several."""
        share = np.random.default_rng((self.plan.seed, step, 3)).random(len(row))
        out = np.empty(len(row), np.int64)
        for d, each in enumerate(self.sources):
            mine = source == d
            out[mine] = each.texts.draw(row[mine], share[mine])
        return out

    def _clip_arrays(
        self, step: int, source: np.ndarray, row: np.ndarray, pick_crop: np.ndarray
    ) -> Batch:
        """The clips as the representation stacks them, padded to the length of the global batch."""
        frames = np.array([self.sources[d].split.num_frames[r] for d, r in zip(source, row)])
        clips = [
            self._representation.sample(
                self._clips[source[i]][row[i]],
                RowRandom(pick_crop[i], (self.plan.seed, step, 2, int(i))),
                self.sources[source[i]].dataset.metadata,
            )
            for i in self._rows
        ]
        padded = self._representation.padded(self._representation.frames(frames))
        return self._representation.stack(clips, padded)

    def _tokens(self, source: np.ndarray, clip_class: np.ndarray, pick_text: np.ndarray) -> Batch:
        """`input_ids` and `text_mask`.

        Every process tokenises the texts of the global batch, so that all agree on its length.
        """
        texts = [self.sources[d].texts.texts[k] for d, k in zip(source, clip_class)]
        assert self._tokenizer is not None
        texts = [choices[int(u * len(choices))] for choices, u in zip(texts, pick_text)]
        ids, mask = self._tokenizer.encode(texts)
        step = self._tokenizer.bucket or self._text_bucket
        length = text_bucket(ids.shape[1], step, self._tokenizer)
        ids, mask = pad_tokens(ids, mask, length)
        return {"input_ids": ids[self._rows], "text_mask": mask[self._rows]}

    def clip_ids(self, step: int) -> list[str]:
        """Ids of the records in the global batch of `step`, for error messages."""
        return [self.splits[d].ids[r] for d, r in zip(*self._records(step))]

    def batches(self, num_steps: int) -> grain.DatasetIterator:
        """A Grain iterator over the batches of the first `num_steps` steps; threads prefetch."""
        steps = grain.MapDataset.range(num_steps).map(self.__getitem__)
        options = grain.ReadOptions(
            num_threads=self._workers, prefetch_buffer_size=2 * self._workers
        )
        return iter(steps.to_iter_dataset(options))


# Further fields of a batch -----------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class RowsOfBatch:
    """The n rows of a batch that a process reads.

    Attributes:
      source, row: [n] indices of the source and of the record in its split.
      clip_class: [n] the record's class, an index into the texts of its source; of several, the
        one that was drawn.
      pick_text, pick_negative: [n] uniform in [0, 1), the random numbers that select texts.
    """

    source: np.ndarray
    row: np.ndarray
    clip_class: np.ndarray
    pick_text: np.ndarray
    pick_negative: np.ndarray


BatchField = Callable[[RowsOfBatch], np.ndarray]


def _text_vectors(sources: Sequence[Source]) -> BatchField:
    """[n, V] float32: the vector of one text of each clip's class."""
    vectors = [source.vectors for source in sources]

    def make(rows: RowsOfBatch) -> np.ndarray:
        drawn = [rows.clip_class[rows.source == d] for d in range(len(sources))]
        return _of_texts(vectors, TextRows.pick, rows, drawn, rows.pick_text)

    return make


def _negative_vectors(sources: Sequence[Source]) -> BatchField:
    """[n, V] float32: the vector of one text of another class of the same dataset."""
    for source in sources:
        if len(source.texts.names) < 2:
            raise ValueError(
                f"dataset {source.dataset.name!r} has only one class, so there are no negatives"
            )
        most = (source.texts.classes_of(source.rows) >= 0).sum(axis=1).max(initial=0)
        if most == len(source.texts.names):
            raise ValueError(
                f"dataset {source.dataset.name!r} has a clip of all {most} classes, which has no "
                "negatives"
            )
    vectors = [source.vectors for source in sources]

    def make(rows: RowsOfBatch) -> np.ndarray:
        classes = [s.texts.classes_of(rows.row[rows.source == d]) for d, s in enumerate(sources)]
        return _of_texts(vectors, TextRows.pick_other, rows, classes, rows.pick_negative)

    return make


def _of_texts(
    of_sources: list[TextRows],
    pick: Callable[[TextRows, np.ndarray, np.ndarray], np.ndarray],
    rows: RowsOfBatch,
    classes: Sequence[np.ndarray],
    share: np.ndarray,
) -> np.ndarray:
    """[n, V] float32: applies `pick(text rows, classes, shares)` to the clips of each dataset.

    `classes` has those of the clips of each dataset, in order.
    """
    width = of_sources[0].vectors.shape[1]
    out = np.empty((len(rows.row), width), np.float32)
    for d, vectors in enumerate(of_sources):
        mine = rows.source == d
        out[mine] = pick(vectors, classes[d], share[mine])
    return out


def _classes(sources: Sequence[Source]) -> BatchField:
    """[n] int32: class ids, unique across datasets."""
    first = np.cumsum([0, *(len(source.texts.names) for source in sources)])
    return lambda rows: (first[rows.source] + rows.clip_class).astype(np.int32)


def _targets(sources: Sequence[Source]) -> BatchField:
    """[n] int32 classes or [n, A] float32 attributes: the targets of a classifier.

    Of a clip with several classes, the one that was drawn is the target.
    """
    several = any(source.texts.several for source in sources)

    def make(rows: RowsOfBatch) -> np.ndarray:
        if several:
            return rows.clip_class.astype(np.int32)
        return np.stack([sources[d].targets[r] for d, r in zip(rows.source, rows.row)])

    return make


BATCH_FIELDS: dict[str, Callable[[Sequence[Source]], BatchField]] = {
    "text_vectors": _text_vectors,
    "negative_vectors": _negative_vectors,
    "classes": _classes,
    "targets": _targets,
}
"""Factories of the batch fields beyond clips and tokens, each called with a run's sources."""

VECTOR_FIELDS = {"text_vectors", "negative_vectors"}


def supervision_of(source: Source, fields: Iterable[str]) -> str:
    """A hash of the texts that a run trains on, and of the encoder if it reads their vectors.

    Args:
      source: the dataset, with the texts.
      fields: further fields of the batches, names of `BATCH_FIELDS`.
    """
    found = source.texts.digest()
    if VECTOR_FIELDS & set(fields):
        made_by = source.dataset.require_caption_vectors().origin
        found += f" {made_by['sha256']} {made_by['readout']}"
    return found


def position_of(pipeline: Mapping[str, int]) -> int | None:
    """The number of batches that an iterator of `TrainingData.batches` has given.

    Args:
      pipeline: its stored state; None is returned for the form of another version of Grain.
    """
    return pipeline["next_index"] if set(pipeline) == {"next_index"} else None


def _weights(sources: Sequence[Source]) -> tuple[float, ...] | None:
    """The weights of a mixture; None for a union."""
    weights = tuple(source.weight for source in sources if source.weight is not None)
    assert len(weights) in (0, len(sources)), "either all sources have a weight, or none"
    return weights or None


def _check_same_rate(sources: Sequence[Source]) -> None:
    metadata = [source.dataset.metadata for source in sources]
    if len({each.fps for each in metadata}) > 1:
        rates = ", ".join(f"{each.name} {each.fps:g}" for each in metadata)
        raise ValueError(
            f"all datasets of a run need the same frame rate; found {rates} frames per second. "
            "Set config.data.datasets to datasets of one rate"
        )


def _check_same_encoder(datasets: Iterable[Dataset]) -> None:
    vectors = {dataset.name: dataset.require_caption_vectors() for dataset in datasets}
    weights = {each.fingerprint for each in vectors.values()}
    settings = {each.settings for each in vectors.values() if each.settings}
    if len(weights) > 1 or len(settings) > 1:
        found = "; ".join(f"{name} by {each.encoder}" for name, each in vectors.items())
        raise ValueError(
            f"caption vectors of different encoders cannot be compared: {found}. Run "
            "`python -m data_prep embed` on all datasets with the same --encoder and --readout"
        )


def to_device(
    batches: grain.DatasetIterator, put: Callable[[Batch], dict[str, jax.Array]], ahead: int = 2
) -> Iterator[tuple[dict[str, jax.Array], dict]]:
    """Copies batches to the device ahead of their use.

    Args:
      batches: the batches on the host.
      put: copies one batch to the device.
      ahead: how many batches to hold on the device in advance.

    Yields:
      (batch, state): `state` is the iterator state from which reading continues after this batch,
      independent of how many more batches have been prefetched.
    """
    queue = collections.deque()

    def fill(count: int) -> None:
        for batch in itertools.islice(batches, count):
            queue.append((put(batch), batches.get_state()))

    fill(ahead)
    while queue:
        yield queue.popleft()
        fill(1)
