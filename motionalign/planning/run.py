"""A run as shapes: its network, optimizer and steps, without its data, weights or devices.

The steps are those that training and evaluation run; `stand_ins` has what else they depend on.
"""

import contextlib
import dataclasses
import functools
from collections.abc import Generator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from ml_collections import ConfigDict

from motionalign import optim, sharding
from motionalign.checkpoints.shared import open_saved
from motionalign.data.batches import parse_mixture
from motionalign.data.dataset import Dataset
from motionalign.files import expand
from motionalign.inference.encoder import Encoder
from motionalign.models import instructions, llama, motion_language
from motionalign.models.architecture import Known
from motionalign.models.architectures import architecture_of
from motionalign.models.family import CUSTOM
from motionalign.models.motion_language import MotionLanguageConfig
from motionalign.models.network import Network
from motionalign.models.weights.source import Source
from motionalign.planning import stand_ins
from motionalign.step import abstract_state, make_train_step
from motionalign.tasks.objectives import OBJECTIVES, Objective
from motionalign.tasks.registry import TASKS
from motionalign.tasks.schema import schema
from motionalign.train import check_config, optimizer_config, resolve_architecture

Shapes = dict[str, jax.ShapeDtypeStruct]

STEPS = 1000  # of the schedule, whose length changes no shape


@dataclasses.dataclass(frozen=True)
class Planned:
    """A run as shapes.

    Attributes:
      config, mesh: config and device mesh of the run.
      dataset: the first training dataset, or its stand-in.
      objective, network, optimizer: as of `train.Run`.
      tokens: length of a batch's texts; 0: the model reads none.
    """

    config: ConfigDict
    mesh: Mesh
    dataset: Dataset | stand_ins.StandIn
    objective: Objective
    network: Network
    optimizer: optax.GradientTransformation
    tokens: int

    @property
    def is_prepared(self) -> bool:
        """Whether the dataset itself has been read."""
        return isinstance(self.dataset, Dataset)

    @functools.cached_property
    def state(self) -> dict[str, Any]:
        """The training state."""
        return abstract_state(self.network, self.optimizer, self.mesh)

    def train_step(self) -> jax.stages.Lowered:
        """The step of training, to be compiled: of (state, step number, batch)."""
        train_step = make_train_step(
            self.network, self.objective, self.optimizer, self.config, self.mesh, self.state
        )
        number = jax.ShapeDtypeStruct((), jnp.int32, sharding=NamedSharding(self.mesh, P()))
        batch = self.batch(self.config.data.batch_size, training=True)
        return train_step.lower(self.state, number, batch)

    def steps(self) -> dict[str, jax.stages.Lowered]:
        """The steps of training and of encoding or ranking, to be compiled: {name: step}."""
        return {"train": self.train_step()} | self._encoding()

    def _encoding(self) -> dict[str, jax.stages.Lowered]:
        arrays = self.state["params"] | self.state["rest"] | self.state["frozen"]
        encoder = Encoder(self.network, None, self.mesh, self.config.data)
        batch = self.batch(self.config.data.eval_batch_size, training=False)
        texts = {name: batch.pop(name) for name in ("input_ids", "text_mask") if name in batch}
        if isinstance(self.network.config, MotionLanguageConfig):
            given = {"scores": self._answers(), "answer": ()}
            return {
                name: encoder.method(name).lower(arrays, batch, args)
                for name, args in given.items()
            }
        if not hasattr(self.network.module, "encode_motion"):
            return {"encode": encoder.method("measured").lower(arrays, batch, ())}
        given = {"motions": (batch,), "texts": tuple(texts.values())}
        return {
            f"encode {name}": step.lower(arrays, *given[name])
            for name, step in encoder.steps().items()
        }

    def _answers(self) -> tuple[jax.ShapeDtypeStruct, jax.ShapeDtypeStruct]:
        """The names of all classes, as token ids and mask."""
        names = len(self.dataset.metadata.label_names)
        layout = NamedSharding(self.mesh, P())
        shape = names, self.network.config.answer_tokens
        ids, mask = (jax.ShapeDtypeStruct(shape, t, sharding=layout) for t in (jnp.int32, bool))
        return ids, mask

    def batch(self, size: int, training: bool) -> Shapes:
        """A batch: as long as clips may be, with texts of `tokens`."""
        arrays: dict[str, tuple[tuple[int, ...], Any]] = {
            name: (each.shape[1:], each.dtype) for name, each in self._clip().items()
        }
        if self.tokens:
            arrays["input_ids"] = ((self.tokens,), jnp.int32)
            arrays["text_mask"] = ((self.tokens,), bool)
        if training:
            fields = (*self.network.config.batch_fields, *self.objective.batch_fields)
            arrays |= {name: self._field(name) for name in fields}
        layout = sharding.batch_sharding(self.mesh)
        return {
            name: jax.ShapeDtypeStruct((size, *shape), dtype, sharding=layout)
            for name, (shape, dtype) in arrays.items()
        }

    def _clip(self) -> dict[str, np.ndarray]:
        """A batch of one clip, as long as any that the model reads."""
        metadata = self.dataset.metadata
        seen = self.network.config.representation(self.config.data.frame_bucket)
        frames = min(seen.max_frames, 512)  # a model of any length resizes clips
        clip = seen.prepare(seen.example(metadata, frames), metadata.fps, metadata)
        lengths = seen.frames(np.array([frames]))
        return seen.stack([seen.window(clip)], seen.padded(lengths))

    def _field(self, name: str) -> tuple[tuple[int, ...], Any]:
        """(shape of a row, dtype) of one of `batches.BATCH_FIELDS`."""
        classifier = self.network.config.classifier
        if name in ("text_vectors", "negative_vectors"):
            return self.dataset.require_caption_vectors().vectors.shape[1:], jnp.float32
        if name == "targets" and not classifier.exclusive:
            return (len(classifier.names),), jnp.float32
        assert name in ("targets", "classes"), name
        return (), jnp.int32


def plan(config: ConfigDict, devices: Sequence[Any], tokens: int | None = None) -> Planned:
    """The run of a config on these devices, as shapes.

    Args:
      config: config of the run.
      devices: the devices of the mesh; they may exist only for a compiler.
      tokens: length of the texts in a batch; None: the longest that the model reads.

    Raises:
      ValueError: the config is not valid, does not fit the devices, contradicts weights that are
        there, or names data or models that are neither there nor known.
    """
    check_config(config, schema())
    mesh = sharding.make_mesh(config.mesh.data, config.mesh.model, devices)
    for name in ("batch_size", "eval_batch_size"):
        sharding.check_batch_size(f"data.{name}", config.data[name], mesh)
    with _local_models(config) as config:
        return _planned(config, mesh, tokens)


def _planned(config: ConfigDict, mesh: Mesh, tokens: int | None) -> Planned:
    task = TASKS[config.task](config)
    objective = OBJECTIVES[config.loss.kind](config.loss, task.has_classes)
    datasets: list[Any] = [  # a stand-in has all that is read
        stand_ins.dataset(config.data.data_dir, name)
        for name in parse_mixture(config.data.datasets)
    ]
    kind = architecture_of(config.model.kind)
    if kind is motion_language.ARCHITECTURE:
        architecture = _language_model(config, datasets[0])
    else:
        trained = open_saved(config.model.weights) if config.model.weights else None
        architecture = resolve_architecture(config, task, objective, trained, datasets)
    network = Network(
        architecture, jnp.dtype(config.dtype), kind.module, kind.frozen(config, architecture)
    )
    optimizer, _ = optim.make_optimizer(optimizer_config(config), network.abstract_params, STEPS)
    length = _text_length(config, architecture, tokens)
    for dataset in datasets:
        architecture.representation(config.data.frame_bucket).check(dataset.metadata)
    return Planned(config, mesh, datasets[0], objective, network, optimizer, length)


def _text_length(config: ConfigDict, architecture: Any, tokens: int | None) -> int:
    """Length of a batch's texts: as batches are padded, at most what the model reads."""
    answers = isinstance(architecture, MotionLanguageConfig)
    if tokens is not None and (answers or architecture.text is None):
        raise ValueError("--tokens has no effect: this run encodes no texts")
    if answers:
        return architecture.answer_tokens
    if architecture.text is None:
        return 0
    longest = architecture.max_tokens
    step = config.data.text_bucket
    return longest if tokens is None else min(longest, -(-tokens // step) * step)


def unread_weights(config: ConfigDict) -> str | None:
    """The motion encoder's weights if they are on the Hub and the config's size says it all."""
    motion = config.model.motion
    if not motion.weights or motion.size == CUSTOM or Source(motion.weights).folder:
        return None
    return motion.weights


@contextlib.contextmanager
def _local_models(config: ConfigDict) -> Generator[ConfigDict]:
    """A context with the config, whose pretrained models are stand-ins where these are known."""
    config = config.copy_and_resolve_references().unlock()
    if unread_weights(config):
        config.model.motion.weights = None
    sections = [config.model.text, config.model.language, config.model.tokenizer]
    fields = [(s, name) for s in sections for name in ("weights", "words") if s.get(name)]
    with stand_ins.models([section[name] for section, name in fields]) as folders:
        for section, name in fields:
            section[name] = folders.get(section[name], section[name])
        yield config.lock()


def _language_model(config: ConfigDict, dataset: Dataset | stand_ins.StandIn) -> Any:
    """A language model that reads motions; its tokenizer's run and its prompt may be stand-ins."""
    c = config.model.language
    if not (config.model.weights and c.weights):
        raise ValueError(
            "set config.model.weights to the run of a motion tokenizer, and "
            "config.model.language.weights to a language model"
        )
    if not dataset.metadata.label_names:
        raise ValueError(f"dataset {dataset.name!r} has no actions to name")
    instructions.parts_of(c.instruction)
    sizes = llama.config_from_hf(
        Source(c.weights).config(), remat=c.remat, lora=motion_language.adapters_of(c)
    )
    if expand(config.model.weights).exists():
        run = open_saved(config.model.weights).run
        tokenizer = motion_language.tokenizer_of(run, config.model.weights)
    else:
        first = stand_ins.tokenizer_config(config.model.weights).unlock()
        first.model.tokenizer.words = c.weights
        resolved = architecture_of(first.model.kind).resolve(first, Known(dataset.metadata))
        tokenizer = dataclasses.replace(resolved, words=0, reach=0)
    listed = "{names}" in instructions.INSTRUCTIONS.get(c.instruction, c.instruction)
    return MotionLanguageConfig(
        tokenizer=tokenizer,
        llama=sizes,
        instruction=c.instruction,
        before=(1,) * (stand_ins.LISTED if listed else stand_ins.ALONE),
        between=(1,) * stand_ins.BETWEEN,
        after=(1,) * stand_ins.AFTER,
        answer_tokens=c.answer_tokens,
        ends=(2,),
        word_rms=0.02 if c.match_words else None,
    )
