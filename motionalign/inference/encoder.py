"""motionalign.inference.encoder."""

from collections.abc import Callable, Sequence

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from tqdm import tqdm

from motionalign import sharding
from motionalign.data import representation
from motionalign.data.dataset import Dataset
from motionalign.data.texts import TextRows
from motionalign.data.tokenizer import Tokenizer, pad_tokens, text_bucket
from motionalign.models.network import Network, Params


class Encoder:
    """Encodes many clips or captions: sorted by length, padded to buckets, in sharded batches.

    The jitted functions outlive a change of parameters, so that validation during training
    compiles once.
    """

    def __init__(self, network: Network, tokenizer: Tokenizer | None, mesh: Mesh, data_config):
        self.network = network
        self.tokenizer = tokenizer
        self._data_config = data_config
        self._batch_size = data_config.eval_batch_size
        sharding.check_batch_size("data.eval_batch_size", self._batch_size, mesh)
        self._devices = mesh.shape["data"]  # that a batch is split over
        self._batch_sharding = sharding.batch_sharding(mesh)
        motion = network.config.motion
        if network.config.motion_inputs == "joints":
            self._frame_buckets = (motion.max_frames,)
        else:
            self._frame_buckets = representation.frame_buckets(
                data_config, motion.padding, motion.max_frames, motion.patch_size
            )
        replicated = NamedSharding(mesh, P())
        self._encode_motion = jax.jit(
            lambda params, clips, num_frames: network.bind(params).encode_motion(clips, num_frames),
            out_shardings=replicated,
        )
        self._classify = jax.jit(
            lambda params, clips, num_frames: network.bind(params).classify(clips, num_frames),
            out_shardings=replicated,
        )
        self._encode_text = jax.jit(
            lambda params, ids, mask: network.bind(params).encode_text(ids, mask),
            out_shardings=replicated,
        )

    def _batches(self, lengths: Sequence[int], progress: str | None):
        """Rows of each batch, all of one size: the last is filled up by repeating its first."""
        order = np.argsort(lengths, kind="stable")[::-1]  # longest first: memory trouble shows now
        # One query must not cost a whole batch, nor every number of them a compilation.
        per_device = max(1, -(-len(order) // self._devices))
        size = min(self._batch_size, self._devices * 2 ** (per_device - 1).bit_length())
        quiet = progress is None or jax.process_index() != 0
        for start in tqdm(range(0, len(order), size), desc=progress, disable=quiet, leave=False):
            rows = order[start : start + size]
            fill = np.repeat(rows[:1], size - len(rows))
            yield rows, np.concatenate([rows, fill])

    def _put(self, array: np.ndarray) -> jax.Array:
        return sharding.put_global(array, self._batch_sharding)

    def _collect(self, lengths, progress, encode: Callable, width: int) -> np.ndarray:
        out = np.zeros((len(lengths), width), np.float32)
        for rows, filled in self._batches(lengths, progress):
            out[rows] = np.asarray(encode(filled))[: len(rows)]
        return out

    def motions(
        self,
        params: Params,
        get: Callable[[int], np.ndarray],
        num_frames: Sequence[int],
        progress: str | None = None,
    ) -> np.ndarray:
        """Embeddings [N, E] float32 of clips.

        `get(i)` gives the patches [T, 5N, 3] of clip i, or its joints [T, J, C] for an encoder of
        joints. Of a clip longer than the model's maximum, the first frames count, as published, or
        those of its `window`.
        """
        width = self.network.config.embed_dim
        return self._over_clips(self._encode_motion, params, get, num_frames, progress, width)

    def logits(
        self,
        params: Params,
        get: Callable[[int], np.ndarray],
        num_frames: Sequence[int],
        progress: str | None = None,
    ) -> np.ndarray:
        """Logits [N, K] float32 of the model's classes; arguments as of `motions`."""
        width = len(self.network.config.class_names)
        return self._over_clips(self._classify, params, get, num_frames, progress, width)

    def _over_clips(self, apply, params, get, num_frames, progress, width) -> np.ndarray:
        motion = self.network.config.motion
        longest = self._frame_buckets[-1]
        frames = np.minimum(num_frames, motion.max_frames).astype(np.int32)

        def encode(rows):
            if self.network.config.motion_inputs == "joints":
                clips = np.stack([representation.clip(get(i), motion) for i in rows])
            else:
                bucket = min(
                    representation.round_up(int(frames[rows].max()), self._frame_buckets), longest
                )
                clips = representation.stack_patches([get(i)[: frames[i]] for i in rows], bucket)
            return apply(params, self._put(clips), self._put(frames[rows]))

        return self._collect(frames, progress, encode, width)

    def texts(
        self, params: Params, captions: Sequence[str], progress: str | None = None
    ) -> np.ndarray:
        """Embeddings [N, E] float32; each distinct caption is encoded once."""
        if self.tokenizer is None:
            raise ValueError("this model has no text encoder: it encodes motions only")
        distinct, inverse = np.unique(np.asarray(captions, dtype=object), return_inverse=True)
        ids, mask = self.tokenizer.encode(list(distinct))
        lengths = mask.sum(1)

        def encode(rows):
            bucket = text_bucket(
                int(lengths[rows].max()), self._data_config.text_bucket, self.tokenizer
            )
            width = min(bucket, ids.shape[1])
            batch = pad_tokens(ids[rows, :width], mask[rows, :width], bucket)
            return self._encode_text(params, *map(self._put, batch))

        return self._collect(lengths, progress, encode, self.network.config.embed_dim)[inverse]


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows [N, E] scaled to unit length."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def same_names(encoder: Encoder, names: list[str]) -> None:
    own = list(encoder.network.config.class_names)
    if own != names:
        raise ValueError(
            f"the model tells {len(own)} classes apart ({', '.join(own[:3])}, ...), the dataset "
            f"has {len(names)} ({', '.join(names[:3])}, ...)"
        )


def vectors_of(encoder: Encoder, params, dataset: Dataset, texts: list[list[str]]):
    """The vectors [n_k, D] of the texts of each class: the model's own, or a frozen encoder's."""
    if encoder.tokenizer is None:
        rows = TextRows.of(dataset, texts)
        return [rows.of_class(k) for k in range(len(texts))]
    flat = encoder.texts(params, [text for of_class in texts for text in of_class])
    ends = np.cumsum([len(of_class) for of_class in texts])
    return np.split(flat, ends[:-1])
