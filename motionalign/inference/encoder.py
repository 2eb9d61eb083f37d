"""Encodes many clips or texts with a network, in batches on the device."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from ml_collections import ConfigDict
from tqdm import tqdm

from motionalign import sharding
from motionalign.data.cuts import Cut, cut_clips, cut_texts
from motionalign.data.dataset import Dataset
from motionalign.data.records import Split
from motionalign.data.representation import ClipCache
from motionalign.data.resample import resampled_length
from motionalign.data.texts import TextRows
from motionalign.data.tokenizer import pad_tokens, text_bucket
from motionalign.models.network import Network, Params


class Encoder:
    """Encodes many clips or captions: sorted by length, padded to buckets, in sharded batches.

    The jitted functions take the parameters as an argument, so that validation during training
    compiles only once.

    Attributes:
      network: the model's network.
      tokenizer: the model's tokenizer; None if it has no text encoder.
      representation: input representation of its motion encoder.
    """

    def __init__(
        self, network: Network, tokenizer: Any, mesh: Mesh, data_config: ConfigDict
    ) -> None:
        """Reads eval_batch_size, frame_bucket and text_bucket from `data_config`."""
        self.network = network
        self.tokenizer = tokenizer
        self.representation = network.config.representation(data_config.frame_bucket)
        self._text_bucket = data_config.text_bucket
        self._batch_size = data_config.eval_batch_size
        sharding.check_batch_size("data.eval_batch_size", self._batch_size, mesh)
        self._devices = mesh.shape["data"]  # a batch is split over these
        self._batch_sharding = sharding.batch_sharding(mesh)
        replicated = self._replicated = NamedSharding(mesh, P())
        self._methods: dict[str, jax.stages.Wrapped] = {}
        field = self.representation.field
        self._encode_motion: jax.stages.Wrapped = jax.jit(
            lambda params, batch: network.bind(params).encode_motion(
                batch[field], batch.get("num_frames")
            ),
            out_shardings=replicated,
        )
        self._classify: jax.stages.Wrapped = jax.jit(
            lambda params, batch: network.bind(params).classify(
                batch[field], batch.get("num_frames")
            ),
            out_shardings=replicated,
        )
        self._encode_text: jax.stages.Wrapped = jax.jit(
            lambda params, ids, mask: network.bind(params).encode_text(ids, mask),
            out_shardings=replicated,
        )
        self._scale = jax.jit(lambda params: network.bind(params).scale(), out_shardings=replicated)

    def _batches(
        self, lengths: Sequence[int] | np.ndarray, progress: str | None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields (rows, rows padded to the batch size); a short batch repeats its first row."""
        order = np.argsort(lengths, kind="stable")[::-1]  # longest first: fails early on memory
        # A single query must not cost a full batch, and not every number of clips a compilation.
        per_device = max(1, -(-len(order) // self._devices))
        size = min(self._batch_size, self._devices * 2 ** (per_device - 1).bit_length())
        quiet = progress is None or jax.process_index() != 0
        for start in tqdm(range(0, len(order), size), desc=progress, disable=quiet, leave=False):
            rows = order[start : start + size]
            fill = np.repeat(rows[:1], size - len(rows))
            yield rows, np.concatenate([rows, fill])

    def _put(self, array: np.ndarray) -> jax.Array:
        return sharding.put_global(array, self._batch_sharding)

    def _collect(
        self,
        lengths: Sequence[int] | np.ndarray,
        progress: str | None,
        encode: Callable,
        width: int,
    ) -> np.ndarray:
        out = np.zeros((len(lengths), width), np.float32)
        for rows, filled in self._batches(lengths, progress):
            out[rows] = np.asarray(encode(filled))[: len(rows)]
        return out

    def motions(
        self,
        params: Params,
        get: Callable[[int], np.ndarray],
        num_frames: Sequence[int] | np.ndarray,
        progress: str | None = None,
    ) -> np.ndarray:
        """Embeds clips as [N, E] float32.

        Args:
          params: the network's arrays by path.
          get: function from an index to a clip, in the form of the representation's record field.
          num_frames: [N] lengths of the clips. From a clip longer than the model reads, the
            representation's window is taken.
          progress: name of a progress bar; None: no bar.
        """
        width = self.network.config.embed_dim
        return self._over_clips(self._encode_motion, params, get, num_frames, progress, width)

    def logits(
        self,
        params: Params,
        get: Callable[[int], np.ndarray],
        num_frames: Sequence[int] | np.ndarray,
        progress: str | None = None,
    ) -> np.ndarray:
        """Logits [N, K] float32 of the model's classes; arguments as in `motions`."""
        width = len(self.network.config.class_names)
        return self._over_clips(self._classify, params, get, num_frames, progress, width)

    def outputs(
        self,
        method: str,
        params: Params,
        get: Callable[[int], np.ndarray],
        num_frames: Sequence[int] | np.ndarray,
        *args: Any,
        progress: str | None = None,
    ) -> Any:
        """What a method of the network's module returns for clips.

        Args:
          method: name of the method, called as `method(batch, *args)`; it returns an array [B, ...]
            or a tree of such arrays.
          params: the network's arrays by path.
          get, num_frames, progress: as in `motions`.
          *args: trees of arrays that all batches share.

        Returns:
          The same tree of NumPy arrays [N, ...].
        """
        step = self.method(method)
        seen = self.representation.frames(np.asarray(num_frames)).astype(np.int32)

        def empty(part: np.ndarray) -> np.ndarray:
            return np.zeros((len(seen), *part.shape[1:]), part.dtype)

        out: Any = None
        for rows, filled in self._batches(seen, progress):
            batch = self._batch_of(get, filled, seen)
            found = jax.tree.map(np.asarray, step(params, batch, args))
            if out is None:
                out = jax.tree.map(empty, found)
            for whole, part in zip(jax.tree.leaves(out), jax.tree.leaves(found)):
                whole[rows] = part[: len(rows)]
        return out

    def method(self, name: str) -> jax.stages.Wrapped:
        """A method of the network's module, compiled: (arrays, batch, args) → outputs."""
        if name not in self._methods:
            self._methods[name] = jax.jit(
                lambda params, batch, args: getattr(self.network.bind(params), name)(batch, *args),
                out_shardings=self._replicated,
            )
        return self._methods[name]

    def steps(self) -> dict[str, jax.stages.Wrapped]:
        """What encodes, compiled: "motions" (arrays, batch), "texts" (arrays, ids, mask).

        For a classifier, "motions" gives the logits of its classes.
        """
        motions = self._classify if self.network.config.class_names else self._encode_motion
        texts = {"texts": self._encode_text} if self.network.config.text else {}
        return {"motions": motions} | texts

    def _batch_of(
        self, get: Callable[[int], np.ndarray], rows: np.ndarray, seen: np.ndarray
    ) -> dict[str, jax.Array]:
        """The batch of clips at `rows`, on the devices."""
        clips = [self.representation.window(get(i)) for i in rows]
        batch = self.representation.stack(clips, self.representation.padded(seen[rows]))
        return {name: self._put(array) for name, array in batch.items()}

    def _over_clips(
        self,
        apply: Callable[..., jax.Array],
        params: Params,
        get: Callable[[int], np.ndarray],
        num_frames: Sequence[int] | np.ndarray,
        progress: str | None,
        width: int,
    ) -> np.ndarray:
        seen = self.representation.frames(np.asarray(num_frames)).astype(np.int32)

        def encode(rows: np.ndarray) -> jax.Array:
            return apply(params, self._batch_of(get, rows, seen))

        return self._collect(seen, progress, encode, width)

    def texts(
        self, params: Params, captions: Sequence[str], progress: str | None = None
    ) -> np.ndarray:
        """Embeds captions as [N, E] float32; each distinct caption is encoded only once."""
        tokenizer = self.tokenizer
        if tokenizer is None:
            raise ValueError("this model has no text encoder: it encodes motions only")
        distinct, inverse = np.unique(np.asarray(captions, dtype=object), return_inverse=True)
        ids, mask = tokenizer.encode(list(distinct))
        lengths = mask.sum(1)

        def encode(rows: np.ndarray) -> jax.Array:
            bucket = text_bucket(int(lengths[rows].max()), self._text_bucket, tokenizer)
            width = min(bucket, ids.shape[1])
            batch = pad_tokens(ids[rows, :width], mask[rows, :width], bucket)
            return self._encode_text(params, *map(self._put, batch))

        return self._collect(lengths, progress, encode, self.network.config.embed_dim)[inverse]

    def scale(self, params: Params) -> float:
        """Factor of similarities in the training objective, 1 / temperature."""
        return float(self._scale(params))


class Predictor:
    """A model's predictions for datasets: the interface through which tasks use a model.

    Attributes:
      trained: how the model was trained, for notes in results; None: not recorded.
      about: fields for metrics.json about how motions are read, whose values are notes; {} where
        model and dataset do not differ.
    """

    def __init__(
        self,
        encoder: Encoder,
        params: Params,
        distance: str | None,
        trained: dict[str, str] | None = None,
        prepare: Callable[[np.ndarray], np.ndarray] | None = None,
        progress: bool = False,
        keep: bool = False,
        fps: float | None = None,
        about: Mapping[str, str] | None = None,
    ) -> None:
        """Binds an encoder to parameters.

        Args:
          encoder: the model's encoder.
          params: the network's arrays by path.
          distance: how the model compares motions and texts, one of `similarity.DISTANCES`; None
            for a classifier.
          trained: how the model was trained.
          prepare: function from a clip's joints or rotations to the model's input; by default the
            input that the dataset contains is read.
          progress: whether progress bars are shown.
          keep: whether encodings are cached for repeated calls with the same clips and texts.
          fps: the frame rate to which `prepare` converts; None: that of the dataset.
          about: see the attributes.
        """
        self._distance = distance
        self.trained = trained
        self.about = dict(about or {})
        self._encoder = encoder
        self._params = params
        self._prepare = prepare
        self._progress = progress
        self._fps = fps
        self._kept: dict[tuple, np.ndarray] | None = {} if keep else None

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes that a classifier predicts; () for a model that compares clips with texts."""
        return self._encoder.network.config.class_names

    @property
    def knows_names(self) -> bool:
        """Whether `class_names` are names; a converted GaitFormer may only have numbers."""
        head = self._encoder.network.config.gait_head
        return head is None or head.named

    def motions(self, dataset: Dataset, split: Split, rows: np.ndarray) -> np.ndarray:
        """Embeddings [N, E] float32 of records of a split; for a classifier its logits [N, K]."""
        get = self._clips(split)
        run = self._encoder.logits if self.class_names else self._encoder.motions
        return self._once(
            (dataset.name, split.name, np.asarray(rows).tobytes()),
            lambda: run(
                self._params,
                lambda i: get(rows[i]),
                self._frames(dataset, split, rows),
                self._bar(f"{dataset.name} {split.name} motions"),
            ),
        )

    def outputs(
        self, method: str, dataset: Dataset, split: Split, rows: np.ndarray, *args: Any
    ) -> Any:
        """What a method of the module returns for records of a split; see `Encoder.outputs`."""
        get = self._clips(split)
        bar = self._bar(f"{dataset.name} {split.name}")
        frames = self._frames(dataset, split, rows)
        return self._encoder.outputs(
            method, self._params, lambda i: get(rows[i]), frames, *args, progress=bar
        )

    @property
    def network(self) -> Network:
        """The model's network."""
        return self._encoder.network

    @property
    def tokenizer(self) -> Any:
        """The tokenizer of the texts that the model reads; None if it reads none."""
        return self._encoder.tokenizer

    def texts(self, dataset: Dataset, texts: Sequence[str], name: str = "texts") -> np.ndarray:
        """Embeddings [N, E] of texts from the model, or the dataset's sentence vectors."""
        if self._encoder.tokenizer is None:
            return TextRows.of(dataset, [list(texts)]).of_class(0)
        bar = self._bar(f"{dataset.name} {name}")
        return self._once(tuple(texts), lambda: self._encoder.texts(self._params, texts, bar))

    def cuts(
        self, dataset: Dataset, split: Split, rows: np.ndarray, texts: Sequence[str] = ()
    ) -> list[Cut]:
        """Which of these clips and texts the model uses in part only, for notes in results.

        Texts that are represented by the dataset's sentence vectors are not counted: `data_prep
        embed` does that.
        """
        seen, frames = self._encoder.representation, self._frames(dataset, split, rows)
        part = f"part used: {seen.part_seen}"
        found = [cut_clips([split.ids[row] for row in rows], frames, seen.max_frames, part)]
        if self._encoder.tokenizer is not None:
            found.append(cut_texts(texts, self._encoder.tokenizer))
        return [cut for cut in found if cut]

    def _frames(self, dataset: Dataset, split: Split, rows: np.ndarray) -> np.ndarray:
        """[N] lengths of records of a split, at the frame rate of the model's input."""
        frames = split.num_frames[rows]
        if self._prepare is None or self._fps is None:
            return frames
        rates = dataset.metadata.fps, self._fps
        return np.array([resampled_length(int(n), *rates) for n in frames], np.int64)

    def scale(self) -> float:
        """Factor of similarities in the training objective, 1 / temperature."""
        return self._encoder.scale(self._params)

    def rest(self) -> Params:
        """The network's non-parameter state, {path: array}."""
        return {path: self._params[path] for path in self._encoder.network.abstract_rest}

    def class_vectors(self, dataset: Dataset, texts: Sequence[Sequence[str]]) -> list[np.ndarray]:
        """The text embeddings [n_k, E] of each class."""
        flat = self.texts(dataset, [text for of_class in texts for text in of_class])
        ends = np.cumsum([len(of_class) for of_class in texts])
        return np.split(flat, ends[:-1])

    @property
    def distance(self) -> str:
        """How motions and texts are compared, one of `similarity.DISTANCES`."""
        assert self._distance is not None  # None for classifiers only
        return self._distance

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Converts logits [N, K] to probabilities of `class_names`."""
        return np.asarray(self._encoder.network.config.probabilities(logits))

    def text_encoder(self, dataset: Dataset) -> str:
        """The name of the text encoder, for notes in results."""
        if self._encoder.tokenizer is None:
            return dataset.require_caption_vectors().encoder
        return "the model's own"

    def _once(self, key: tuple, encode: Callable[[], np.ndarray]) -> np.ndarray:
        """What `encode` gives, or gave for this key, where that is kept."""
        if self._kept is None:
            return encode()
        if key not in self._kept:
            self._kept[key] = encode()
        return self._kept[key]

    def _bar(self, name: str) -> str | None:
        return name if self._progress else None

    def _clips(self, split: Split) -> Callable[[int], np.ndarray]:
        """A function from a row of a split to the model's input for that record."""
        representation, prepare = self._encoder.representation, self._prepare
        if prepare is None:  # a budget of 0: nothing is cached
            return ClipCache(split, [0], representation.read, representation.of_persons).__getitem__
        read_raw = functools.partial(representation.read, raw=True)
        raw = ClipCache(split, [0], read_raw, representation.of_persons)
        return lambda row: prepare(_moving(raw[row]))


def _moving(clip: np.ndarray) -> np.ndarray:
    """A record's clip [T, ...]; one of a single frame, a pose, as two equal frames.

    Records may have one frame (`data_prep --min_frames=1`); for clips of users, that is a mistake.
    """
    return clip if len(clip) > 1 else np.repeat(clip, 2, axis=0)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows [N, E] scaled to unit length."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
