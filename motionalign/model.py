"""A trained model in use: clips and sentences in, embeddings out."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from ml_collections import ConfigDict
from tqdm import tqdm

from motionalign import checkpoint, data, sharding, similarity
from motionalign.models import motion_transformer
from motionalign.models.dual_encoder import MAX_SCALE, DualEncoder, DualEncoderConfig
from motionalign.patches import motion_patches
from motionalign.records import Metadata
from motionalign.resample import nearest_frames, resample
from motionalign.saved import Saved, open_saved, write_shared
from motionalign.sentence_encoder import SentenceEncoder
from motionalign.text import Tokenizer

Params = dict[str, jax.Array]


def flatten(state: nnx.State) -> dict:
    """An NNX state as a flat dict {path: array}, the form that everything here works on."""
    return {"/".join(map(str, path)): leaf.get_value() for path, leaf in nnx.to_flat_state(state)}


@dataclasses.dataclass(frozen=True)
class Network:
    """The architecture as a pure function of parameters.

    Attributes:
      config: sizes.
      dtype: compute dtype; parameters are float32.
    """

    config: DualEncoderConfig
    dtype: jnp.dtype = jnp.float32

    def init(self, seed: int) -> dict:
        """Fresh parameters {path: array}; traceable."""
        return flatten(nnx.state(self._build(seed), nnx.Param))

    @functools.cached_property
    def abstract_params(self) -> dict[str, jax.ShapeDtypeStruct]:
        """{path: shape and dtype}."""
        return flatten(self._graph[1])

    def _build(self, seed: int) -> DualEncoder:
        return DualEncoder(self.config, dtype=self.dtype, rngs=nnx.Rngs(seed))

    @functools.cached_property
    def _graph(self) -> tuple[nnx.GraphDef, nnx.State]:
        return nnx.split(nnx.eval_shape(lambda: self._build(0)))

    def bind(self, params: Params) -> DualEncoder:
        """The module with these parameters in it."""
        graphdef, state = self._graph
        flat = [
            (path, leaf.replace(params["/".join(map(str, path))]))
            for path, leaf in nnx.to_flat_state(state)
        ]
        return nnx.merge(graphdef, nnx.from_flat_state(flat))

    def clamped(self, params: Params) -> Params:
        """Parameters after an update, a learnt temperature kept at 0.01 or above, as CLIP does.

        It is the parameter that is clamped, not its use: a gradient can then take it back.
        """
        if not self.config.learn_temperature:
            return params
        highest = jnp.log(MAX_SCALE).astype(params["logit_scale"].dtype)
        return params | {"logit_scale": jnp.minimum(params["logit_scale"], highest)}

    def __hash__(self):
        return hash((repr(self.config), str(self.dtype)))


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
            self._frame_buckets = data.frame_buckets(
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
                clips = np.stack([motion_transformer.clip(get(i), motion) for i in rows])
            else:
                bucket = min(data.round_up(int(frames[rows].max()), self._frame_buckets), longest)
                clips = data.stack_patches([get(i)[: frames[i]] for i in rows], bucket)
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
            bucket = data.text_bucket(
                int(lengths[rows].max()), self._data_config.text_bucket, self.tokenizer
            )
            width = min(bucket, ids.shape[1])
            batch = data.pad_tokens(ids[rows, :width], mask[rows, :width], bucket)
            return self._encode_text(params, *map(self._put, batch))

        return self._collect(lengths, progress, encode, self.network.config.embed_dim)[inverse]


class Model:
    """A trained model, as `motionalign.load` returns it."""

    def __init__(
        self,
        encoder: Encoder,
        params: Params,
        datasets: dict[str, Metadata],
        saved: Saved,
        text_encoder: str | None = None,
    ):
        self._encoder = encoder
        self._saved = saved
        self._text_encoder = text_encoder
        self.params = params
        self.datasets = datasets
        self.run = saved.run  # what is stored of its training: config, step, score

    @property
    def encoder(self) -> Encoder:
        return self._encoder

    def metadata(self, dataset: str | None = None) -> Metadata:
        """Skeleton, rates and statistics of a training dataset; of the first one by default."""
        if dataset is None:
            return next(iter(self.datasets.values()))
        if dataset not in self.datasets:
            raise ValueError(
                f"the checkpoint holds no statistics of dataset {dataset!r}; it has "
                f"{', '.join(self.datasets)}"
            )
        return self.datasets[dataset]

    def prepare(self, joints: np.ndarray, fps: float, dataset: str | None = None) -> np.ndarray:
        """A clip at `fps` as the model's encoder reads it, at the training frame rate.

        Joints [T, J, 3] become patches [T', 5N, 3] float16; for an encoder of joints, [T, J, C]
        becomes [T', J, C] float32.
        """
        metadata = self.metadata(dataset)
        config = self._encoder.network.config
        joints = np.asarray(joints)
        if joints.dtype.kind not in "fiu":
            raise ValueError(f"a clip is of dtype {joints.dtype}; expected numbers")
        expected = (metadata.skeleton.num_joints, 3)
        if config.motion_inputs == "joints":
            expected = (config.motion.joints, config.motion.channels)
        if joints.ndim != 3 or joints.shape[1:] != expected or len(joints) < 2:
            raise ValueError(
                f"a clip has shape {joints.shape}; expected [frames >= 2, {expected[0]}, "
                f"{expected[1]}] for skeleton {metadata.skeleton.name!r}"
            )
        if not np.isfinite(joints).all():
            raise ValueError("a clip holds values that are not finite")
        if not fps > 0:
            raise ValueError(f"fps={fps}; expected a positive number of frames per second")
        if data.field_of(config.motion) == "rotations":  # between two of them lies no rotation
            return joints[nearest_frames(len(joints), fps, metadata.fps)].astype(np.float32)
        joints = resample(joints, fps, metadata.fps)
        if config.motion_inputs == "joints":
            return joints.astype(np.float32)
        out = motion_patches(
            joints, metadata.skeleton, metadata.mean, metadata.std, metadata.patch_size
        )
        with np.errstate(over="ignore"):
            out = out.astype(np.float16)
        if not np.isfinite(out).all():
            raise ValueError(
                f"a clip reaches {np.abs(joints).max():.3g}, far beyond the training data; is it "
                "in another unit?"
            )
        return out

    def _prepare_all(self, joints, fps, dataset) -> tuple[list[np.ndarray], bool]:
        """What `prepare` makes of one clip or a list of them, and whether it was one."""
        if not isinstance(joints, list | tuple):
            return [self.prepare(joints, fps, dataset)], True
        clips = []
        for i, clip in enumerate(joints):
            try:
                clips.append(self.prepare(clip, fps, dataset))
            except ValueError as error:
                raise ValueError(f"clip {i} of the list: {error}") from error
        return clips, False

    def encode_motion(self, joints, fps: float, normalize: bool = True, dataset=None) -> np.ndarray:
        """Embeds clips.

        Args:
          joints: [T, J, 3] or a list of such, in the units of the training data; for encoders over
            joints [T, J, C] as they were trained, which may be 6D rotations. Of a clip longer than
            the model's `max_frames` at the training's rate its first frames count, or those of
            its `window`.
          fps: frames per second of the clips; other rates than the training's are interpolated,
            rotations by the nearest frame.
          normalize: unit length, so that a dot product is the cosine.
          dataset: whose skeleton and statistics to use, where the model was trained on several.

        Returns:
          [E] float32 for one clip, [N, E] for a list.
        """
        clips, single = self._prepare_all(joints, fps, dataset)
        vectors = self.encode_prepared(clips, normalize)
        return vectors[0] if single else vectors

    def encode_prepared(
        self, clips: Sequence[np.ndarray], normalize: bool = True, progress: str | None = None
    ) -> np.ndarray:
        """Embeddings [N, E] of clips that `prepare` has made."""
        if self._encoder.network.config.classifier:
            raise ValueError("this model is a classifier and gives no embeddings: use `classify`")
        frames = list(map(len, clips))
        vectors = self._encoder.motions(self.params, clips.__getitem__, frames, progress)
        return unit(vectors) if normalize else vectors

    def nearness(self, joints, texts: Sequence[str], fps: float, dataset=None) -> np.ndarray:
        """How near clips are to texts: what to rank clips by for a text, or texts for a clip.

        Args:
          joints, fps, dataset: as of `encode_motion`.
          texts: K captions, or words for actions (a string is one); any, not only those that were
            trained with.

        Returns:
          [K] float for one clip, [N, K] for a list; higher is nearer. The cosine, or minus the
          Euclidean distance of raw vectors, whichever the model was trained by (`distance`).
        """
        motion = self.encode_motion(joints, fps, normalize=False, dataset=dataset)
        texts = [texts] if isinstance(texts, str) else list(texts)  # not its letters
        text = self.encode_text(texts, normalize=False)
        scores = similarity.nearness(np.atleast_2d(motion), text, self.distance)
        return scores[0] if motion.ndim == 1 else scores

    def encode_text(self, captions: str | list[str], normalize: bool = True) -> np.ndarray:
        """Embeds captions: [E] float32 for one string, [N, E] for a list.

        A model that was trained towards a frozen sentence encoder has none of its own: the first
        call loads that one, from where it was then or from the `text_encoder` given to `load`.
        """
        single = isinstance(captions, str)
        captions = [captions] if single else list(captions)
        for caption in captions:
            if not isinstance(caption, str):
                raise ValueError(f"texts are strings; found {caption!r}")
        if self._encoder.tokenizer is None:
            vectors = self._sentence_encoder(captions)
        else:
            vectors = self._encoder.texts(self.params, captions)
        vectors = unit(vectors) if normalize else vectors
        return vectors[0] if single else vectors

    @functools.cached_property
    def _sentence_encoder(self) -> SentenceEncoder:
        trained = self.run.get("text_encoder")
        if trained is None:
            raise ValueError("this model has no text encoder: it encodes motions only")
        source = self._text_encoder or trained["encoder"]
        try:
            encoder = SentenceEncoder(source, trained["readout"])
        except ValueError as error:
            raise ValueError(
                f"the model's texts were encoded by {trained['encoder']}, which is not here "
                f"({error}). Say where: motionalign.load(..., text_encoder=FOLDER_OR_HUB_ID)"
            ) from error
        if encoder.fingerprint != (trained["sha256"], trained["readout"]):
            raise ValueError(
                f"the model was trained with the text encoder {trained['encoder']} (SHA-256 "
                f"{trained['sha256'][:12]}...); {encoder.encoder} has other weights "
                f"({encoder.fingerprint[0][:12]}...)"
            )
        return encoder

    @property
    def distance(self) -> str:
        """What motions and texts are compared by: "cosine", or "euclidean" of raw vectors."""
        return self.run.get("distance") or "cosine"

    @property
    def class_names(self) -> tuple[str, ...]:
        """What `classify` tells apart; () where it cannot."""
        return self._encoder.network.config.class_names

    def classify(self, joints, fps: float, dataset=None) -> np.ndarray:
        """Probabilities of `class_names` by the model's own classifier.

        Arguments as of `encode_motion`.

        Returns:
          [K] float32 for one clip, [N, K] for a list; they add up to 1 where a clip is of exactly
          one class.
        """
        clips, single = self._prepare_all(joints, fps, dataset)
        frames = list(map(len, clips))
        logits = self._encoder.logits(self.params, clips.__getitem__, frames)
        probabilities = np.asarray(self._encoder.network.config.probabilities(logits))
        return probabilities[0] if single else probabilities

    def save_pretrained(
        self, folder: str | pathlib.Path, results: dict | None = None
    ) -> pathlib.Path:
        """Writes the model as a folder to share, which `motionalign.load` takes here and anywhere.

        `results`: content of a metrics.json, for the table of the model card. See `saved` for what
        the folder holds; a folder that is already there is a ValueError.
        """
        return write_shared(folder, self._saved, self.params, results)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows [N, E] scaled to unit length."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def network_of(run: dict) -> Network:
    """The network of a saved model, from what is stored beside its parameters."""
    config = DualEncoderConfig.from_dict(run["architecture"])
    return Network(config, jnp.dtype(run["config"]["dtype"]))


def load(
    path: str | pathlib.Path,
    series: str = checkpoint.BEST,
    mesh: Mesh | None = None,
    data_config: ConfigDict | None = None,
    text_encoder: str | None = None,
) -> Model:
    """Loads a trained model for use, on one device unless a mesh is given.

    Args:
      path: a training workdir, one of its checkpoint folders, a folder that `save_pretrained`
        wrote, a copy of these anywhere, or the Hub id of a shared one.
      series: which checkpoint of a workdir, "best" (by validation) or "checkpoints" (the latest).
      mesh: to encode on many devices.
      data_config: whose eval_batch_size, frame_bucket and text_bucket to encode by; default: the
        training run's.
      text_encoder: folder or Hub id of the frozen sentence encoder that the model was trained with,
        where it is not where it was then.

    Raises:
      ValueError: there is no checkpoint, or it is incomplete.
    """
    saved = open_saved(path, series)
    run = saved.run
    network = network_of(run)
    mesh = mesh or sharding.mesh_of(jax.local_devices()[:1], 1, 1)
    params = saved.load_params(sharding.abstract(network.abstract_params, mesh))
    tokenizer = None
    if network.config.text is not None:
        tokenizer = Tokenizer(run["tokenizer"], network.config.max_tokens)
    datasets = {name: Metadata.from_json(values) for name, values in run["datasets"].items()}
    data_config = data_config or ConfigDict(run["config"]["data"])
    encoder = Encoder(network, tokenizer, mesh, data_config)
    return Model(encoder, params, datasets, saved, text_encoder)
