"""A trained model for inference: embeds clips and texts, compares and classifies them."""

import functools
import os
import pathlib
import warnings
from collections.abc import Sequence
from typing import Any, Unpack

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from motionalign import sharding
from motionalign.anatomy.takes import Told
from motionalign.checkpoints.run import BEST
from motionalign.checkpoints.shared import Saved, open_saved, write_shared
from motionalign.data.cuts import cut_texts
from motionalign.data.dataset import Metadata
from motionalign.files import expand
from motionalign.inference import similarity
from motionalign.inference.encoder import Encoder, unit
from motionalign.inference.given import Conventions, Given
from motionalign.inference.motion_input import JOINTS, Asked, read_input
from motionalign.inference.recognition import (
    LENGTHS,
    Recognised,
    answers,
    checked_names,
    normalised,
)
from motionalign.inference.reference import read
from motionalign.inference.sentence_encoder import SentenceEncoder, encoder_of
from motionalign.models import motion_language
from motionalign.models.architectures import architecture_of
from motionalign.models.dual_encoder import TEXT_TOWER, DualEncoderConfig
from motionalign.models.network import Params, Rest, network_of


class Model:
    """A trained model, as `motionalign.load` returns it.

    Attributes:
      params: {path: array} of the parameters.
      rest: {path: array} of the network's non-parameter state.
      frozen: {path: array} of the parameters that the checkpoint only refers to.
      datasets: {name: metadata} of the training datasets.
      run: stored information about its training: config, step, score.
    """

    def __init__(
        self,
        encoder: Encoder,
        params: Params,
        rest: Rest,
        frozen: Params,
        datasets: dict[str, Metadata],
        saved: Saved,
        text_encoder: str | None = None,
    ) -> None:
        """See `load`, which constructs models."""
        self._encoder = encoder
        self._saved = saved
        self._text_encoder = text_encoder
        self.params = params
        self.rest = rest
        self.frozen = frozen
        self.datasets = datasets
        self.run = saved.run

    @property
    def encoder(self) -> Encoder:
        """The encoder that runs the network on many clips or texts."""
        return self._encoder

    @property
    def arrays(self) -> dict[str, jax.Array]:
        """All arrays of the network {path: array}: parameters, other state, frozen parameters."""
        return self.params | self.rest | self.frozen

    def metadata(self, dataset: str | None = None) -> Metadata:
        """Skeleton, frame rates and statistics of a training dataset; by default the first."""
        if not self.datasets:
            raise ValueError("the model has no metadata of a dataset: it is an incomplete copy")
        if dataset is None:
            return next(iter(self.datasets.values()))
        if dataset not in self.datasets:
            raise ValueError(
                f"the checkpoint holds no statistics of dataset {dataset!r}; it has "
                f"{', '.join(self.datasets)}"
            )
        return self.datasets[dataset]

    def example_clip(self, dataset: str | None = None, frames: int = 60) -> np.ndarray:
        """A made-up clip to try `encode_motion` with: the mean pose, turning around.

        Args:
          dataset: training dataset whose skeleton and statistics are used; default: the first.
          frames: T.

        Returns:
          Joints or rotations [T, J, C] float32 as `encode_motion` reads them.
        """
        return self._encoder.representation.example(self.metadata(dataset), frames)

    def prepare(
        self,
        joints: np.ndarray,
        fps: float,
        dataset: str | None = None,
        **conventions: Unpack[Conventions],
    ) -> np.ndarray:
        """Converts a clip to the input of the motion encoder, at the training frame rate.

        Joints [T, J, 3] at `fps` become patches [T', 5N, 3] float16; for an encoder over frames,
        [T, J, C] becomes [T', J, C] float32; for motion tokens, [T, J, 3] or [T, M, J, 3] of M
        persons becomes [T', M, J, 3]. Arguments and errors are those of `encode_motion`.
        """
        given, reference = Given.of(**conventions), self.metadata(dataset)
        return read(np.asarray(joints), fps, given, reference, self._encoder.representation)

    def _prepare_all(
        self,
        joints: np.ndarray | Sequence[np.ndarray],
        fps: float,
        dataset: str | None,
        conventions: Conventions,
    ) -> tuple[list[np.ndarray], bool]:
        """Prepares one clip or a list of clips; also returns whether it was a single clip."""
        if not isinstance(joints, list | tuple):
            return [self.prepare(np.asarray(joints), fps, dataset, **conventions)], True
        Given.of(**conventions)  # a wrong argument is no fault of a clip
        clips = []
        for i, clip in enumerate(joints):
            try:
                clips.append(self.prepare(clip, fps, dataset, **conventions))
            except ValueError as error:
                raise ValueError(f"clip {i} of the list: {error}") from error
        return clips, False

    def encode_motion(
        self,
        joints: np.ndarray | Sequence[np.ndarray],
        fps: float,
        normalize: bool = True,
        dataset: str | None = None,
        **conventions: Unpack[Conventions],
    ) -> np.ndarray:
        """Embeds clips.

        Args:
          joints: a clip [T, J, 3] or a list of clips, in the units of the training data; for
            encoders over frames [T, J, C] as in training, which may be 6D rotations. If a clip at
            the training frame rate is longer than the model's `max_frames`, only its first frames
            are used, or those of the model's `window`.
          fps: frames per second of the clips. Joints at a rate other than that of training are
            interpolated; of rotations the nearest frame is taken.
          normalize: scales embeddings to unit length, so that a dot product is the cosine.
          dataset: training dataset whose skeleton, statistics and conventions count; default: the
            first. motionalign/inference/reference.py has the rule, which evaluation follows too.
          **conventions: how the joints are given, where it differs from the training data: `unit`
            ("cm", "mm", "in", "ft", "m"), `up` (the axis that points up: "z", "-y", ...), `order`
            (joint names in the order of the clip, in a sequence, a comma-separated list or a file
            with one per line), `canonical` ("as trained", "always" or "never": whether
            the clip is moved and turned as HumanML3D does; see `inference.given.Given`), `accept`
            (findings that are no errors, of `motionalign.conventions.REASONS`), `sensor` ("depth"
            for joints of depth cameras or from video, which may shake).

        Returns:
          [E] float32 for one clip, [N, E] for a list.

        Raises:
          ValueError: a clip has another shape, is not finite, or cannot be joints in the declared
            conventions: another unit, axis, side or joint order; frozen or without a body.
        """
        self._require_embeddings()
        clips, single = self._prepare_all(joints, fps, dataset, conventions)
        vectors = self.encode_prepared(clips, normalize)
        _check_finite(vectors, "clip")
        return vectors[0] if single else vectors

    def asked(
        self,
        fps: float | None,
        dataset: str | None,
        joints: str,
        skeleton: str | os.PathLike | None,
        smplh_dir: str | os.PathLike | None,
        conventions: Conventions,
    ) -> Asked:
        """How motion files are read for this model; see `encode_files`."""
        if joints not in JOINTS:
            raise ValueError(f"joints={joints!r}; expected one of {', '.join(JOINTS)}")
        told = Told(smplh_dir, skeleton, conventions.get("unit"), conventions.get("up"), fps)
        return Asked(
            self.metadata(dataset), self._encoder.representation, told,
            conventions=conventions, native=joints == JOINTS[1],
        )  # fmt: skip

    def prepare_files(
        self,
        files: str | os.PathLike | Sequence[str | os.PathLike],
        fps: float | None = None,
        dataset: str | None = None,
        *,
        joints: str = "as trained",
        skeleton: str | os.PathLike | None = None,
        smplh_dir: str | os.PathLike | None = None,
        **conventions: Unpack[Conventions],
    ) -> tuple[list[str], list[np.ndarray]]:
        """Converts motion files of any format to the input of the motion encoder.

        Arguments and errors are those of `encode_files`. `encode_prepared` and `classify_prepared`
        read the result.

        Returns:
          The ids of the clips, and the clips.
        """
        given = [files] if isinstance(files, str | os.PathLike) else list(files)
        asked = self.asked(fps, dataset, joints, skeleton, smplh_dir, conventions)
        found = read_input({expand(file): os.fspath(file) for file in given}, asked)
        if found.skipped:
            first, more = found.skipped[0], len(found.skipped) - 1
            also = f" (and {more} more)" if more else ""
            reason = first["reason"]
            where = "" if first["id"].partition("#")[0] in reason else f"{first['id']}: "
            raise ValueError(f"{where}{reason}{also}")
        return found.ids, found.clips

    def encode_files(
        self,
        files: str | os.PathLike | Sequence[str | os.PathLike],
        fps: float | None = None,
        normalize: bool = True,
        dataset: str | None = None,
        *,
        joints: str = "as trained",
        skeleton: str | os.PathLike | None = None,
        smplh_dir: str | os.PathLike | None = None,
        **conventions: Unpack[Conventions],
    ) -> tuple[list[str], np.ndarray]:
        """Embeds motion files of any format and skeleton: BVH, FBX, C3D, ...

        Args:
          files: paths of files, or of folders with one file a frame; or a single path.
          fps: frames per second of the files that state none.
          normalize, dataset: as in `encode_motion`.
          joints: "as trained": files of any skeleton become the joints of the training data.
            "native", for models of motion patches: files keep their own joints, and are
            standardised by the statistics of these clips themselves.
          skeleton: a skeleton file, for files that do not say what their joints are.
          smplh_dir: folder of SMPL or SMPL-H body models, for files of their parameters.
          **conventions: as in `encode_motion`; unit and up count before what files say.

        Returns:
          The ids of N clips, which are the paths, with "#take" and "#person" where a file has
          several; and [N, E] float32.

        Raises:
          ValueError: a file cannot be read, is no human body, or is not what it should be; the
            message names it.
        """
        self._require_embeddings()
        ids, clips = self.prepare_files(
            files, fps, dataset,
            joints=joints, skeleton=skeleton, smplh_dir=smplh_dir, **conventions,
        )  # fmt: skip
        vectors = self.encode_prepared(clips, normalize)
        _check_finite(vectors, "clip")
        return ids, vectors

    def encode_prepared(
        self, clips: Sequence[np.ndarray], normalize: bool = True, progress: str | None = None
    ) -> np.ndarray:
        """Embeds clips that `prepare` returned, as [N, E]; `progress` names a progress bar."""
        self._require_embeddings()
        frames = list(map(len, clips))
        vectors = self._encoder.motions(self.arrays, clips.__getitem__, frames, progress)
        return unit(vectors) if normalize else vectors

    def _require_embeddings(self) -> None:
        """Raises a ValueError if the model does not embed motions and texts."""
        self._require_dual_encoder("embeddings")
        if self._encoder.network.config.classifier:
            raise ValueError("this model is a classifier and has no embeddings: use `classify`")

    def _require_dual_encoder(self, what: str) -> None:
        """Raises a ValueError that names what a model of another kind has instead."""
        if not isinstance(self._encoder.network.config, DualEncoderConfig):
            kind = self.run["kind"]
            raise ValueError(f"this model is a {kind} and has no {what}: {INSTEAD[kind]}")

    def similarity(
        self,
        joints: np.ndarray | Sequence[np.ndarray],
        texts: Sequence[str],
        fps: float,
        dataset: str | None = None,
        **conventions: Unpack[Conventions],
    ) -> np.ndarray:
        """Similarity of clips to texts, to rank clips for a text or texts for a clip.

        Args:
          joints, fps, dataset, **conventions: as in `encode_motion`.
          texts: K captions or names of actions, or a single string; any texts, not only those of
            training.

        Returns:
          [K] float for one clip, [N, K] for a list; higher is more similar. It is the cosine, or
          the negative Euclidean distance of raw vectors, as the model was trained (`distance`).
        """
        motion = self.encode_motion(joints, fps, False, dataset, **conventions)
        texts = [texts] if isinstance(texts, str) else list(texts)
        text = self.encode_text(texts, normalize=False)
        scores = similarity.similarity_scores(np.atleast_2d(motion), text, self.distance)
        return scores[0] if motion.ndim == 1 else scores

    def nearness(self, *args: Any, **kwargs: Any) -> np.ndarray:
        """Deprecated: the name of `similarity` in version 0.1."""
        warnings.warn("nearness is now called similarity", DeprecationWarning, stacklevel=2)
        return self.similarity(*args, **kwargs)

    def encode_text(self, captions: str | list[str], normalize: bool = True) -> np.ndarray:
        """Embeds captions: [E] float32 for one string, [N, E] for a list.

        A model that was trained with a frozen sentence encoder has no text encoder of its own. The
        first call loads that sentence encoder from the `text_encoder` given to `load`, or from its
        place in training, or by its Hub id, and verifies its files. A warning counts captions that
        have more tokens than the encoder reads, of which only the start is used.
        """
        self._require_dual_encoder("text embeddings")
        single = isinstance(captions, str)
        captions = [captions] if single else list(captions)
        for caption in captions:
            if not isinstance(caption, str):
                raise ValueError(f"texts are strings; found {caption!r}")
        if self._encoder.tokenizer is None:
            vectors, cut = self._sentence_encoder(captions), self._sentence_encoder.cut(captions)
        else:
            vectors = self._encoder.texts(self.arrays, captions)
            cut = cut_texts(captions, self._encoder.tokenizer)
        if cut:
            warnings.warn(cut.note, stacklevel=2)
        _check_finite(vectors, "text")
        vectors = unit(vectors) if normalize else vectors
        return vectors[0] if single else vectors

    @functools.cached_property
    def _sentence_encoder(self) -> SentenceEncoder:
        trained = self.run["text_encoder"]
        if trained is None:
            raise ValueError("this model has no text encoder: it encodes motions only")
        encoder, unverified = encoder_of(trained, self._text_encoder)
        if unverified:
            warnings.warn(unverified, stacklevel=4)  # of `encode_text` or `similarity`
        return encoder

    @property
    def distance(self) -> str:
        """How motions and texts are compared: "cosine", or "euclidean" for raw vectors."""
        return self.run["distance"] or "cosine"

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes or attributes that `classify` predicts; () if the model has none."""
        return self._encoder.network.config.class_names

    def classify(
        self,
        joints: np.ndarray | Sequence[np.ndarray],
        fps: float,
        dataset: str | None = None,
        **conventions: Unpack[Conventions],
    ) -> np.ndarray:
        """Probabilities of `class_names` from the model's own classifier.

        Arguments are those of `encode_motion`.

        Returns:
          [K] float32 for one clip, [N, K] for a list; they sum to 1 if a clip belongs to exactly
          one class.
        """
        clips, single = self._prepare_all(joints, fps, dataset, conventions)
        probabilities = self.classify_prepared(clips)
        _check_finite(probabilities, "clip")
        return probabilities[0] if single else probabilities

    def classify_prepared(
        self, clips: Sequence[np.ndarray], progress: str | None = None
    ) -> np.ndarray:
        """Probabilities [N, K] for clips that `prepare` returned."""
        self._require_dual_encoder("classifier")
        frames = list(map(len, clips))
        logits = self._encoder.logits(self.arrays, clips.__getitem__, frames, progress)
        return np.asarray(self._encoder.network.config.probabilities(logits))

    def recognise(
        self,
        joints: np.ndarray | Sequence[np.ndarray],
        names: Sequence[str] | None,
        fps: float,
        dataset: str | None = None,
        length: str | None = None,
        **conventions: Unpack[Conventions],
    ) -> Recognised:
        """Ranks names of actions for clips.

        A language model scores a name by its log-probability after the instruction and the motion,
        its end token included; a model of embeddings by the similarity of clip and name; a
        classifier by the probability of the class.

        Args:
          joints, fps, dataset, **conventions: as in `encode_motion`. A language model also takes
            clips [T, M, J, 3] of M persons, where who is not there is zeros.
          names: K names of actions, also those that no training clip had; a classifier knows its
            own only. None: the classes of the training data.
          length: how a language model's log-probabilities are compared among names of different
            lengths: "sum", or "mean" over their tokens. None: as was better in validation; "mean"
            for a checkpoint that does not record it, such as the latest of a run.

        Returns:
          The scores [K] of one clip, or [N, K] of a list, with `best`, `ranked()`, and printed best
          first.

        Raises:
          ValueError: as `encode_motion`; a name is empty, occurs twice, is not one of a classifier,
            or is longer than the model's answers; or the model does not recognise actions.
        """
        kind = self.run["kind"]
        if kind == motion_language.TOKENIZER_KIND:
            raise ValueError(f"this model is a {kind} and knows no names: {INSTEAD[kind]}")
        if names is None:
            names = self.class_names or self.metadata(dataset).label_names
        names = checked_names(names)
        if isinstance(self._encoder.network.config, DualEncoderConfig):
            if length is not None:
                raise ValueError(
                    f"length={length!r} is about the tokens of a language model's answers, and "
                    "this model has none: leave it out"
                )
            if self.class_names:
                scores = self._of_classes(joints, names, fps, dataset, conventions)
                return Recognised(names, scores, "probabilities")
            scores = self.similarity(joints, names, fps, dataset, **conventions)
            return Recognised(names, scores, f"{self.distance} similarity")
        how = length or (self.run["trained"] or {}).get("length", "mean")
        if how not in LENGTHS:
            raise ValueError(f"length={how!r}; expected one of {', '.join(LENGTHS)}")
        network = self._encoder.network
        ids, mask, before = answers(self._encoder.tokenizer, network.config, names)
        clips, single = self._prepare_all(joints, fps, dataset, conventions)
        sums = self._outputs("scores", clips, ids, mask, before)
        _check_finite(sums, "clip")
        scores = normalised(sums, mask.sum(axis=1), how)
        of = "a name" if how == "sum" else "a token"
        return Recognised(names, scores[0] if single else scores, f"log-probability of {of}")

    def _of_classes(
        self,
        joints: np.ndarray | Sequence[np.ndarray],
        names: tuple[str, ...],
        fps: float,
        dataset: str | None,
        conventions: Conventions,
    ) -> np.ndarray:
        """Probabilities of some of a classifier's own classes."""
        own = self.class_names
        if unknown := [name for name in names if name not in own]:
            raise ValueError(
                f"this classifier has no class {unknown[0]!r}; its {len(own)} classes are "
                f"{', '.join(own[:10])}{', ...' if len(own) > 10 else ''}. Other names need a "
                "model of embeddings or a language model"
            )
        found = self.classify(joints, fps, dataset, **conventions)
        return found[..., [own.index(name) for name in names]]

    def sentence(
        self,
        joints: np.ndarray | Sequence[np.ndarray],
        fps: float,
        dataset: str | None = None,
        **conventions: Unpack[Conventions],
    ) -> np.ndarray:
        """The motion tokens of clips, of a motion tokenizer or a language model that reads motions.

        Args:
          joints: a clip [T, J, 3] or [T, M, J, 3] of M persons, or a list of clips.
          fps, dataset, **conventions: as in `encode_motion`.

        Returns:
          [M, W] int32 for one clip, [N, M, W] for a list; -1 for persons who are not there.

        Raises:
          ValueError: as `encode_motion`; or the model has no motion tokens.
        """
        config = self._encoder.network.config
        if isinstance(config, DualEncoderConfig):
            raise ValueError("this model embeds or classifies motions and has no motion tokens")
        of_language = isinstance(config, motion_language.MotionLanguageConfig)
        quantizer = config.tokenizer.quantizer if of_language else config.quantizer
        if not quantizer.has_codes:
            raise ValueError("this model reads continuous features and has no motion tokens")
        clips, single = self._prepare_all(joints, fps, dataset, conventions)
        found = self._outputs("codes" if of_language else "measured", clips)
        codes = found if of_language else found["codes"]
        return codes[0] if single else codes

    def _outputs(self, method: str, clips: Sequence[np.ndarray], *args: Any) -> Any:
        """What a method of the network's module returns for prepared clips."""
        frames = list(map(len, clips))
        return self._encoder.outputs(method, self.arrays, clips.__getitem__, frames, *args)

    def save_pretrained(
        self,
        folder: str | pathlib.Path,
        results: dict | None = None,
        encoder_id: str | None = None,
    ) -> pathlib.Path:
        """Writes the model as a folder to share, which `motionalign.load` can load anywhere.

        checkpoints/shared.py describes the content of the folder.

        Args:
          folder: folder to write; it must not exist.
          results: content of a metrics.json, for the table of the model card.
          encoder_id: Hub id of the frozen text encoder or language model, if it was trained with a
            folder whose Hub id is not recorded.

        Returns:
          The folder.

        Raises:
          ValueError: the folder already exists, or `encoder_id` cannot be that of the text encoder.
        """
        return write_shared(folder, self._saved, self.params, results, self.rest, encoder_id)


def _check_finite(rows: np.ndarray, what: str) -> None:
    """Raises a ValueError if an output [N, E] is not finite; `what`: the kind of input."""
    if len(wrong := np.flatnonzero(~np.isfinite(rows).all(axis=-1))):
        raise ValueError(
            f"the model's output for {what} {wrong[0]} is not finite ({len(wrong)} of {len(rows)} "
            "are not): the input may be far outside of the training data, or the parameters are "
            "not finite"
        )


INSTEAD = {
    "motion_tokenizer": (
        "it writes motions as sentences, `sentence(joints, fps)`; a language model that reads them "
        "is trained with config.model.kind=language_model"
    ),
    "language_model": "it names actions, `recognise(joints, names, fps)`",
}
"""{kind of a model that is no dual encoder: what to use instead of embeddings}."""


def _with_towers_at(
    run: dict[str, Any], text_encoder: str | None, language_model: str | None
) -> dict[str, Any]:
    """A run whose frozen towers are loaded from other places, where these are given."""
    places = {TEXT_TOWER: text_encoder, motion_language.TOWER: language_model}
    frozen = [
        {**tower, "source": places.get(tower["under"]) or tower["source"]}
        for tower in run["frozen"]
    ]
    return run | {"frozen": frozen}


def load(
    path: str | pathlib.Path,
    series: str = BEST,
    mesh: Mesh | None = None,
    data_config: ConfigDict | None = None,
    text_encoder: str | None = None,
    language_model: str | None = None,
) -> Model:
    """Loads a trained model for inference, on one device unless a mesh is given.

    Args:
      path: a training workdir, one of its checkpoint folders, a folder that `save_pretrained`
        wrote, a copy of any of these, or the Hub id of a shared model.
      series: checkpoint of a workdir: "best" (by validation) or "checkpoints" (the latest).
      mesh: device mesh, to encode on several devices.
      data_config: `data` section that provides eval_batch_size, frame_bucket and text_bucket;
        default: that of the training run.
      text_encoder: folder or Hub id of the frozen text encoder that the model was trained with, if
        it has moved since and its Hub id is not recorded. Its files are verified.
      language_model: the same for the frozen language model: a folder, .gguf file or Hub id.

    Raises:
      ValueError: there is no checkpoint, or it is incomplete; the frozen weights that it refers to
        cannot be found, or are others.
    """
    saved = open_saved(path, series)
    run = saved.run
    network = network_of(_with_towers_at(run, text_encoder, language_model))
    towers = [tower.under for tower in network.frozen]
    if language_model is not None and motion_language.TOWER not in towers:
        raise ValueError(
            f"language_model={language_model!r} is given, but this {run['kind']} needs none: leave "
            "it out"
        )
    mesh = mesh or sharding.mesh_of(jax.local_devices()[:1], 1, 1)
    params = saved.load_params(sharding.abstract(network.abstract_params, mesh))
    rest = saved.load_rest(sharding.abstract(network.abstract_rest, mesh))
    frozen = network.load_frozen(sharding.abstract(network.abstract_frozen, mesh))
    kind = architecture_of(run["kind"])
    tokenizer = kind.open_tokenizer(run["tokenizer"], network.config, str(path))
    datasets = {name: Metadata.from_json(values) for name, values in run["datasets"].items()}
    data_config = data_config or ConfigDict(run["config"]["data"])
    encoder = Encoder(network, tokenizer, mesh, data_config)
    return Model(encoder, params, rest, frozen, datasets, saved, text_encoder)
