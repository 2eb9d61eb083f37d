"""Descriptions of architectures: what a run trains, and how it is built from a config and the data.

An architecture's file ends with its `ARCHITECTURE`; models/architectures.py registers it in one
line.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

import jax
from ml_collections import ConfigDict

from motionalign.config import Entry
from motionalign.data.dataset import Metadata
from motionalign.data.representation import Representation
from motionalign.models import layers
from motionalign.models.frozen import FrozenWeights
from motionalign.models.weights.keymap import KeyMap


class Known(NamedTuple):
    """What an architecture depends on besides the config of a run.

    Attributes:
      metadata: of the first training dataset; None: not known.
      text_width: width of the dataset's sentence vectors, if the run reads them.
      classifier: a `heads.ClassifierConfig` with the classes, if the run trains a classifier.
      trained: the model that config.model.weights names, a `checkpoints.shared.Saved`; None: none.
    """

    metadata: Metadata | None = None
    text_width: int | None = None
    classifier: Any = None
    trained: Any = None


@dataclasses.dataclass(frozen=True)
class ArchitectureConfig(layers.Config):
    """The base of the configs of architectures, which are stored in checkpoints.

    Attributes:
      text: config of a text encoder; None: there is none.
      classifier: the classes of a linear classifier; None: there is none.
      class_names: the classes or attributes that the model predicts by itself.
      batch_fields: the fields that batches must have in addition to clips and tokens.
      learn_temperature: whether there is a temperature, `logit_scale`, that is learned.
      has_tokenizer: whether the model reads texts, by a tokenizer that is stored with it.
    """

    text: ClassVar[Any] = None
    classifier: ClassVar[Any] = None
    class_names: ClassVar[tuple[str, ...]] = ()
    batch_fields: ClassVar[tuple[str, ...]] = ()
    learn_temperature: ClassVar[bool] = False
    has_tokenizer: ClassVar[bool] = False

    def representation(self, frame_bucket: int) -> Representation:
        """The input representation; `frame_bucket` is the run's config.data.frame_bucket."""
        raise NotImplementedError

    def key_map(self, under: str) -> KeyMap:
        """The key map of the weights of a tower that may be frozen."""
        raise ValueError(f"{type(self).__name__} refers to no frozen weights of {under!r}")


def no_frozen_weights(config: ConfigDict, architecture: Any) -> tuple[FrozenWeights, ...]:
    """All parameters are trained or at least stored."""
    return ()


def no_tokenizer(*unused: Any) -> None:
    """The architecture reads no texts."""


def as_trained(architecture: Any) -> Any:
    """A trained model is used with the architecture of its training."""
    return architecture


def load_rest(abstract: Mapping[str, jax.ShapeDtypeStruct], trained: Any) -> dict[str, Any]:
    """The non-parameter state of a trained model of the same architecture."""
    return trained.load_rest(abstract)


@dataclasses.dataclass(frozen=True)
class Architecture:
    """One value of config.model.kind.

    Attributes:
      config, module: the classes of its config and its module, which is constructed as
        `module(config, dtype, rngs=...)` and called as `module(batch, rngs=...)`: with a stream
        `dropout` in training, with None in evaluation. Arrays of the module that are no
        `nnx.Param` are its non-parameter state; training reads them back after each call.
      entry: the config fields that it reads.
      groups: the groups of config.optim.groups that its parameters may belong to.
      resolve: function from (config of the run, `Known`) to the architecture's config; raises a
        ValueError if they contradict each other.
      load: function from ({path: shape, dtype and sharding}, config of the run, architecture's
        config, trained model or None) to the same dict, with the parameters that are loaded
        replaced by arrays. The others are initialised.
      frozen: function from (config of the run, architecture's config) to references to frozen
        parameters.
      load_rest: function from (abstract state, trained model) to the non-parameter state of a run
        that starts from a trained model.
      tokenizer: function from (config of the run, architecture's config) to the tokenizer of the
        texts; None: there is none. A dual encoder's tokenizer is made by the training, since it may
        be learned from the texts.
      in_use: function from the architecture's config to that of a trained model in use, without
        what only training needs and checkpoints do not store.
      open_tokenizer: function from (stored tokenizer, architecture's config, path for messages) to
        the tokenizer of a trained model.
    """

    config: type[Any]
    module: type[Any]
    entry: Entry
    groups: tuple[str, ...]
    resolve: Callable[[ConfigDict, Known], Any]
    load: Callable[[dict[str, Any], ConfigDict, Any, Any], dict[str, Any]]
    frozen: Callable[[ConfigDict, Any], tuple[FrozenWeights, ...]] = no_frozen_weights
    load_rest: Callable[[Mapping[str, jax.ShapeDtypeStruct], Any], dict[str, Any]] = load_rest
    tokenizer: Callable[[ConfigDict, Any], Any] = no_tokenizer
    in_use: Callable[[Any], Any] = as_trained
    open_tokenizer: Callable[[str, Any, str], Any] = no_tokenizer
