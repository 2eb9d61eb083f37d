"""The input pipeline: prepared datasets in, batches on the device out.

Every batch is a pure function of (seed, step). Each process can therefore lay out the whole global
batch by itself (which records, which caption, which crop, how many frames and tokens), reads only
its own rows, and resumes exactly from a step number; nothing else needs to be remembered.

A batch is a dict of arrays:
  patches [B, F, 5N, 3] float16, zeros after a clip's end; num_frames [B] int32;
  input_ids [B, L] int32; text_mask [B, L] bool;
  text_vectors [B, V] float32, when negatives are masked by caption similarity.
"""

import collections
import dataclasses
import functools
import itertools
import math
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence

import grain
import jax
import numpy as np

from motionalign.records import CaptionVectors, Dataset, Split
from motionalign.text import Tokenizer

Batch = dict[str, np.ndarray]


class PatchCache:
    """Patches of one split, decoded once and kept while `budget` lasts.

    `budget` is a one-element list of bytes, shared by all caches of a run.
    """

    _lock = threading.Lock()  # of the budget, and so of all caches

    def __init__(self, split: Split, budget: list[int]):
        self.split = split
        self._budget = budget
        self._kept: dict[int, np.ndarray] = {}

    def __getitem__(self, row: int) -> np.ndarray:
        """[T, 5N, 3] float16."""
        patches = self._kept.get(row)
        if patches is None:
            patches = self.split[row]["patches"]
            if patches.shape[1] != 1:
                raise ValueError(
                    f"{self.split.version_dir}: clip {self.split.ids[row]!r} holds "
                    f"{patches.shape[1]} persons; this model encodes one"
                )
            patches = patches[:, 0]
            with self._lock:
                if row not in self._kept and patches.nbytes <= self._budget[0]:
                    self._budget[0] -= patches.nbytes
                    self._kept[row] = patches
        return patches


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


def round_up(length: int, buckets: Sequence[int]) -> int:
    """The smallest bucket that holds `length`; buckets ascend and the last one holds all."""
    return next((bucket for bucket in buckets if bucket >= length), buckets[-1])


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


def stack_patches(clips: Sequence[np.ndarray], num_frames: int) -> np.ndarray:
    """Clips [T, 5N, 3] → [B, num_frames, 5N, 3] float16, zeros where a clip has ended."""
    out = np.zeros((len(clips), num_frames, *clips[0].shape[1:]), np.float16)
    for i, clip in enumerate(clips):
        out[i, : len(clip)] = clip[:num_frames]
    return out


def pad_tokens(ids: np.ndarray, mask: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Ids and mask [B, L] padded to [B, length]; the mask says what is real."""
    pad = ((0, 0), (0, length - ids.shape[1]))
    return np.pad(ids, pad), np.pad(mask, pad)


class TrainingData:
    """The training batches of one run.

    Args:
      datasets: with the weights of the mixture, {dataset: weight}.
      tokenizer: of the text encoder.
      config: the `data` section of a run's config.
      patch_size, max_frames, padding: of the model.
      seed: of the run.
      text_vectors: whether batches carry the caption vectors.
      rows: which rows of the global batch to read; all by default.
    """

    def __init__(
        self,
        datasets: dict[Dataset, float],
        tokenizer: Tokenizer,
        config,
        *,
        patch_size: int,
        max_frames: int,
        padding: str,
        seed: int,
        text_vectors: bool,
        rows: np.ndarray | None = None,
    ):
        for dataset in datasets:
            if dataset.metadata.patch_size != patch_size:
                raise ValueError(
                    f"dataset {dataset.name!r} was prepared with --patch_size="
                    f"{dataset.metadata.patch_size}; the model has patch_size {patch_size}"
                )
        self.splits = [dataset.split(config.train_split) for dataset in datasets]
        budget = [int(config.cache_gb * 2**30)]
        self._patches = [PatchCache(split, budget) for split in self.splits]
        self._vectors = _caption_vectors(datasets) if text_vectors else None
        self.plan = BatchPlan(
            tuple(np.minimum(split.num_frames, max_frames) for split in self.splits),
            tuple(datasets.values()),
            config.batch_size,
            seed,
            length_window=config.length_window if padding == "mask" else 1,
        )
        self._tokenizer = tokenizer
        self._config = config
        self._max_frames = max_frames
        self._frame_buckets = frame_buckets(config, padding, max_frames, patch_size)
        self._rows = np.arange(config.batch_size) if rows is None else rows

    def __getitem__(self, step: int) -> Batch:
        """The rows to read of the batch of `step`, random captions and crops chosen."""
        dataset, row = self.plan[step]
        rng = np.random.default_rng((self.plan.seed, step, 1))
        pick_caption, pick_crop = rng.random((2, len(row)))
        captions, starts, lengths = [], [], []
        for d, r, caption, crop in zip(dataset, row, pick_caption, pick_crop):
            choices = self.splits[d].captions[r]
            captions.append(choices[int(caption * len(choices))])
            spare = max(0, int(self.splits[d].num_frames[r]) - self._max_frames)
            starts.append(int(crop * (spare + 1)))
            lengths.append(int(self.splits[d].num_frames[r]) - spare)

        # Shapes come from the global batch, so that all processes agree on them.
        ids, mask = self._tokenizer.encode(captions)
        text_length = text_bucket(ids.shape[1], self._config.text_bucket, self._tokenizer)
        ids, mask = pad_tokens(ids, mask, text_length)
        clips = [
            self._patches[dataset[i]][row[i]][starts[i] : starts[i] + lengths[i]]
            for i in self._rows
        ]
        batch = {
            "patches": stack_patches(clips, round_up(max(lengths), self._frame_buckets)),
            "num_frames": np.array(lengths, np.int32)[self._rows],
            "input_ids": ids[self._rows],
            "text_mask": mask[self._rows],
        }
        if self._vectors is not None:
            batch["text_vectors"] = np.concatenate(
                [self._vectors[dataset[i]][[captions[i]]] for i in self._rows]
            )
        return batch

    def clip_ids(self, step: int) -> list[str]:
        """Ids of the global batch of `step`, to name what was in it when something went wrong."""
        return [self.splits[d].ids[r] for d, r in zip(*self.plan[step])]

    def batches(self, num_steps: int) -> grain.DatasetIterator:
        """A Grain iterator over the batches of steps 0 to `num_steps`, read ahead in threads."""
        steps = grain.MapDataset.range(num_steps).map(self.__getitem__)
        options = grain.ReadOptions(
            num_threads=self._config.workers, prefetch_buffer_size=2 * self._config.workers
        )
        return iter(steps.to_iter_dataset(options))


def _caption_vectors(datasets: Iterable[Dataset]) -> list[CaptionVectors]:
    vectors = {dataset.name: dataset.require_caption_vectors() for dataset in datasets}
    if len({each.fingerprint for each in vectors.values()}) > 1:
        found = "; ".join(f"{name} by {each.encoder}" for name, each in vectors.items())
        raise ValueError(
            f"caption vectors of different encoders cannot be compared: {found}. Run "
            "`python -m data_prep embed` on all datasets with one --encoder and --readout"
        )
    return list(vectors.values())


def frame_buckets(config, padding: str, max_frames: int, patch_size: int) -> tuple[int, ...]:
    """The padded lengths that batches may have; only `padding="mask"` may have several."""
    full = -(-max_frames // patch_size) * patch_size
    if padding != "mask":
        return (full,)
    step = -(-config.frame_bucket // patch_size) * patch_size
    return (*range(step, full, step), full)


def text_bucket(length: int, step: int, tokenizer: Tokenizer) -> int:
    """`length` tokens rounded up to a multiple of `step`, at most the tokenizer's maximum."""
    return min(-(-length // step) * step, max(length, tokenizer.max_tokens))


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
