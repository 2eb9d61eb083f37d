"""The second stage of LLM-AR (Qu et al., 2024): a language model reads motions and names actions.

The codes of a trained motion tokenizer are new words of the language model; their vectors, log0 of
the codes, stay as they are. The language model is frozen and adapted by low-rank matrices. An
instruction with the motion's words in it is continued by the name of the action.

All clips share the part of the instruction before the motion, which is therefore computed once for
a batch.
"""

import dataclasses
import functools
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from flax import nnx
from jax.typing import DTypeLike
from ml_collections import ConfigDict

from motionalign import reading
from motionalign.config import Entry, Field, one_of
from motionalign.data.bodies import FIELDS, Bodies
from motionalign.data.language_tokenizer import LanguageTokenizer
from motionalign.models import decoding, flat, instructions, llama, lora, quantized
from motionalign.models.architecture import Architecture, ArchitectureConfig, Known
from motionalign.models.frozen import FrozenWeights
from motionalign.models.llama import Cache, Llama, LlamaConfig
from motionalign.models.lora import LoraConfig
from motionalign.models.motion_tokenizer import MotionTokenizer, MotionTokenizerConfig
from motionalign.models.weights import adapters
from motionalign.models.weights.adapters import Adapters
from motionalign.models.weights.keymap import KeyMap
from motionalign.models.weights.load import load_language_tokenizer, load_weights, place
from motionalign.models.weights.source import Source

TOWER = "llama"  # path of the language model's parameters
TOKENIZER = "tokenizer"  # path of the motion tokenizer's parameters


@dataclasses.dataclass(frozen=True)
class MotionLanguageConfig(ArchitectureConfig):
    """The architecture of a language model that reads motions.

    Attributes:
      tokenizer: the motion tokenizer; its codes are as wide as the language model.
      llama: the language model, with adapters; without, it is trained completely.
      instruction: see `instructions.parts_of`.
      before: token ids before the motion, with the names of the training classes if the instruction
        lists them.
      between: token ids between two persons.
      after: token ids after the motion, at least one.
      answer_tokens: most tokens of an answer, the end token included.
      ends: token ids that end an answer.
      word_rms: root mean square of the language model's word embeddings, to which the motion words
        are scaled (ours); None: they keep their own.
    """

    tokenizer: MotionTokenizerConfig
    llama: LlamaConfig
    instruction: str
    before: tuple[int, ...]
    between: tuple[int, ...]
    after: tuple[int, ...]
    answer_tokens: int
    ends: tuple[int, ...]
    word_rms: float | None = None

    has_tokenizer = True

    def __post_init__(self) -> None:
        width = self.tokenizer.quantizer.width
        if width != self.llama.width:
            raise ValueError(
                f"the motion tokenizer's words have width {width}, those of the language model "
                f"{self.llama.width}: train a tokenizer for this language model "
                "(config.model.tokenizer.width)"
            )
        length = self.prompt_tokens + self.answer_tokens
        if length > self.llama.context:
            raise ValueError(
                f"instruction, motion and answer have up to {length} tokens "
                f"({len(self.before)} before the motion); the language model reads "
                f"{self.llama.context}. Choose a shorter instruction or fewer motion tokens"
            )

    @property
    def prompt_tokens(self) -> int:
        """Number of tokens before an answer."""
        persons = self.tokenizer.bodies.persons
        motion = persons * self.tokenizer.tokens + (persons - 1) * len(self.between)
        return len(self.before) + motion + len(self.after)

    def representation(self, frame_bucket: int) -> Bodies:
        """Joints of all persons."""
        return self.tokenizer.representation(frame_bucket)

    def key_map(self, under: str) -> KeyMap:
        """The key map of the language model's weights."""
        assert under == TOWER, under
        return llama.key_map()

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "MotionLanguageConfig":
        """Inverse of `to_dict`; unknown or missing names raise a ValueError."""
        reading.check_form(values, dict, cls.__name__)
        values = dict(values)
        for name, kind in (("tokenizer", MotionTokenizerConfig), ("llama", LlamaConfig)):
            if values.get(name) is not None:
                values[name] = kind.from_dict(values[name])
        for name in ("before", "between", "after", "ends"):
            if name in values:
                reading.check_form(values[name], list[int] | tuple, f"{cls.__name__}.{name}")
                values[name] = tuple(values[name])
        return super().from_dict(values)


class AnswerOutputs(NamedTuple):
    """Outputs for a training batch.

    Attributes:
      log_probabilities: [B, A] float32 of the tokens of the right answers.
      mask: [B, A] bool, True at real tokens.
      codes: [B, M, W] int32, the motion tokens; None of continuous features.
    """

    log_probabilities: jax.Array
    mask: jax.Array
    codes: jax.Array | None


class MotionLanguageModel(nnx.Module):
    """A motion tokenizer and a language model that reads its tokens."""

    def __init__(
        self, config: MotionLanguageConfig, dtype: DTypeLike = jnp.float32, *, rngs: nnx.Rngs
    ) -> None:
        """Initializes random parameters; `dtype` is the language model's compute dtype."""
        c = self.config = config
        self.tokenizer = MotionTokenizer(c.tokenizer, jnp.float32, rngs=rngs)
        self.llama = Llama(c.llama, dtype, rngs=rngs)

    def codes(self, batch: Mapping[str, jax.Array]) -> jax.Array:
        """The motion tokens [B, M, W] int32 of a batch's clips; -1 for absent persons."""
        return self.tokenizer.codes(batch["bodies"], batch["persons"])

    def measured(self, batch: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
        """See `MotionTokenizer.measured`."""
        return self.tokenizer.measured(batch)

    def _begin(self, before: jax.Array | None, rngs: nnx.Rngs | None) -> Cache | None:
        """What all clips share, the instruction before the motion; `before`: its ids [P]."""
        if before is None:
            before = jnp.asarray(self.config.before, jnp.int32)
        if not before.size:
            return None
        return self.llama(self.llama.embed(before[None]), rngs=rngs)[1]

    def _motion(self, batch: Mapping[str, jax.Array]) -> tuple[jax.Array, jax.Array]:
        """The motion and the instruction after it, embedded [B, L, D], and which are real [B, L].

        An absent person and the words before them are masked.
        """
        c, persons = self.config, batch["persons"]
        vectors = jax.lax.stop_gradient(self.tokenizer.embed(batch["bodies"], persons))
        count, most, tokens, width = vectors.shape
        if c.word_rms is not None:
            vectors = vectors * (c.word_rms / self._size(vectors))

        def text(ids: Sequence[int]) -> jax.Array:
            embedded = self.llama.embed(jnp.asarray(ids, jnp.int32)[None])
            return jnp.broadcast_to(embedded, (count, len(ids), width))

        parts, mask = [], []
        for person in range(most):
            if person and c.between:
                parts.append(text(c.between))
                mask.append(jnp.repeat(persons[:, person : person + 1], len(c.between), axis=1))
            parts.append(vectors[:, person].astype(self.llama.dtype))
            mask.append(jnp.repeat(persons[:, person : person + 1], tokens, axis=1))
        parts.append(text(c.after))
        mask.append(jnp.ones((count, len(c.after)), bool))
        return jnp.concatenate(parts, axis=1), jnp.concatenate(mask, axis=1)

    def _size(self, vectors: jax.Array) -> jax.Array:
        """Root mean square of the codes' vectors; of continuous features, of each feature."""
        if self.config.tokenizer.quantizer.has_codes:
            return jax.lax.stop_gradient(self.tokenizer.scale_of_words())
        mean = jnp.mean(jnp.square(vectors), axis=-1, keepdims=True)
        return jnp.sqrt(jnp.maximum(mean, 1e-12))

    def __call__(
        self, batch: Mapping[str, jax.Array], rngs: nnx.Rngs | None = None
    ) -> AnswerOutputs:
        """The log-probabilities of the answers of a batch.

        Args:
          batch: `bodies`, `persons`, and `input_ids` and `text_mask` [B, A], the answers with
            their end tokens.
          rngs: stream `dropout` in training; None in evaluation.
        """
        ids, real = batch["input_ids"], batch["text_mask"]
        motion, mask = self._motion(batch)
        given = self.llama.embed(jnp.where(real, ids, 0)[:, :-1])
        hidden, _ = self.llama(
            jnp.concatenate([motion, given], axis=1),
            jnp.concatenate([mask, real[:, :-1]], axis=1),
            cache=self._begin(None, rngs),
            rngs=rngs,
        )
        found = self.llama.log_probabilities(hidden[:, -ids.shape[1] :], jnp.where(real, ids, 0))
        codes = None
        if self.config.tokenizer.quantizer.has_codes:
            codes = self.tokenizer.codes(batch["bodies"], batch["persons"])
        return AnswerOutputs(found, real, codes)

    def scores(
        self,
        batch: Mapping[str, jax.Array],
        answers: jax.Array,
        mask: jax.Array,
        before: jax.Array | None = None,
    ) -> jax.Array:
        """The log-probability of each answer for each clip.

        Args:
          batch: `bodies` and `persons`.
          answers: [K, A] int32, token ids with the end token.
          mask: [K, A] bool, True at real tokens.
          before: [P] int32, token ids before the motion; None: those of training.

        Returns:
          [B, K] float32, summed over the tokens.
        """
        x, real = self._motion(batch)
        prompt = decoding.read_prompt(self.llama, x, real, self._begin(before, None))
        return decoding.score_candidates(self.llama, prompt, answers, mask)[0]

    def answer(
        self, batch: Mapping[str, jax.Array], before: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array]:
        """The most probable text, token by token, for each clip.

        Args:
          batch: `bodies` and `persons`.
          before: as in `scores`.

        Returns:
          Token ids [B, answer_tokens] int32, and their mask, which includes the end token.
        """
        c = self.config
        x, real = self._motion(batch)
        prompt = decoding.read_prompt(self.llama, x, real, self._begin(before, None))
        found = decoding.greedy(self.llama, prompt, c.answer_tokens, c.ends)
        return found.ids, found.mask


# From a config -----------------------------------------------------------------------------------


_LANGUAGE = "model.language."
FIELDS_OF_LANGUAGE = {
    "weights": Field(
        None,
        "The language model, a LLaMA: a folder, Hub id or .gguf file with its tokenizer.",
        str,
    ),
    "instruction": Field(
        "plain",
        "The text around the motion: plain, listed (with the names of the classes), or a text of "
        "your own with {motion} and, before it, possibly {names}.",
    ),
    "base": Field(
        "bfloat16",
        "How the frozen language model is stored.",
        choices=one_of("float32", "bfloat16", "float16", *quantized.KINDS),
    ),
    "train": Field(
        "adapters",
        "What of the language model is trained: low-rank adapters, or all parameters.",
        choices=one_of(
            "all",
            adapters=tuple(
                _LANGUAGE + name
                for name in ("base", "rank", "alpha", "targets", "dropout", "adapters")
            ),
        ),
    ),
    "rank": Field(16, "Rank of the adapters.", low=1, high=4096),
    "alpha": Field(32.0, "The adapters' product is multiplied by alpha / rank.", above=0, high=1e4),
    "targets": Field(
        r"blocks/\d+/(attention/(query|key|value|out)|mlp/(gate|up|down))",
        "Regex that must match the complete path of a linear layer that is adapted.",
    ),
    "dropout": Field(0.05, "Dropout of the adapters' input.", low=0, below=1),
    "adapters": Field(
        None,
        "Adapters to start from, in the layout of Hugging Face's PEFT: a folder or Hub id. rank, "
        "alpha and targets must be theirs.",
        str,
    ),
    "random": Field(
        False, "Whether the language model has random weights instead, as a control."
    ),
    "match_words": Field(
        True,
        "Whether motion words are scaled to the root mean square of the language model's words.",
    ),
    "answer_tokens": Field(
        16, "Largest number of tokens of an answer, the end token included.", low=2, high=512
    ),
    "remat": Field(
        False,
        "Whether the backward pass computes the language model's blocks anew, which saves memory.",
    ),
}  # fmt: skip


@functools.lru_cache(maxsize=2)
def _language_tokenizer(weights: str, answer_tokens: int) -> LanguageTokenizer:
    return load_language_tokenizer(weights, answer_tokens)


def adapters_of(c: ConfigDict) -> LoraConfig | None:
    """The adapters that a `model.language` section describes; None: all is trained."""
    if c.train != "adapters":
        return None
    return LoraConfig(c.rank, c.alpha, c.targets, c.dropout)


@functools.lru_cache(maxsize=1)  # the hash of a large language model takes a minute
def _read_adapters(
    source: str, weights: str, model: LlamaConfig
) -> tuple[dict[str, tuple[int, int]], Adapters]:
    """{path: (inputs, outputs)} of a language model's linear layers, and adapters for them."""
    with flat.tree_mode():
        layers = lora.sizes(nnx.eval_shape(lambda: Llama(model, rngs=nnx.Rngs(0))))
    base = adapters.Base.of(Source(weights))
    return layers, adapters.read(Source(source), layers, llama.key_map(), base)


def given_adapters(c: ConfigDict, model: LlamaConfig) -> Adapters | None:
    """The adapters that training starts from, of a `model.language` section; None: new ones.

    Args:
      c: the section.
      model: the language model's config.

    Raises:
      ValueError: see `adapters.read`; or the section's rank, alpha or targets are not theirs, or
        the language model has random weights.
    """
    if c.adapters is None:
        return None
    here = f"config.model.language.adapters={c.adapters}"
    if c.random:
        raise ValueError(f"{here} belong to a trained language model, and random=True has none")
    layers, found = _read_adapters(c.adapters, c.weights, model)
    theirs, asked = found.config, model.lora
    assert asked is not None
    alpha = theirs.scale * theirs.rank  # also of rsLoRA
    chosen = {path for path in layers if re.fullmatch(asked.targets, path)}
    same = chosen == {path.rpartition("/")[0] for path in found.params}
    if asked.rank != theirs.rank or not math.isclose(asked.alpha, alpha, rel_tol=1e-6) or not same:
        targets = asked.targets if same else theirs.targets
        raise ValueError(
            f"{here} have rank {theirs.rank}, alpha {alpha:g} and adapt {len(found.params) // 2} "
            f"layers; the config has rank {asked.rank}, alpha {asked.alpha:g} and {len(chosen)} "
            f"layers. Set config.model.language.rank={theirs.rank}, alpha={alpha:g} and "
            f"targets={targets!r}"
        )
    return found


def _resolve(config: ConfigDict, known: Known) -> MotionLanguageConfig:
    """See `Architecture.resolve`."""
    c = config.model.language
    if not c.weights:
        raise ValueError(
            "config.model.language.weights is unset: name a language model, a folder, Hub id or "
            ".gguf file of a LLaMA"
        )
    if known.trained is None:
        raise ValueError(
            "config.model.weights is unset: name the run of a motion tokenizer, trained with "
            "config.model.kind=motion_tokenizer"
        )
    tokenizer = tokenizer_of(known.trained.run, config.model.weights)
    source = Source(c.weights)
    with source.naming_config():
        model = llama.config_from_hf(source.config(), remat=c.remat, lora=adapters_of(c))
    given_adapters(c, model)
    words = _language_tokenizer(c.weights, c.answer_tokens)
    words.check_fits(model.vocab_size, c.weights)
    names = known.classifier.names if known.classifier else ()
    _check_answers(words, names)
    after = words.ids(instructions.parts_of(c.instruction)[1], special=True)
    if not after:
        raise ValueError("config.model.language.instruction must have a text after {motion}")
    return MotionLanguageConfig(
        tokenizer=tokenizer,
        llama=model,
        instruction=c.instruction,
        before=prompt_ids(words, c.instruction, names),
        between=tuple(words.ids(instructions.BETWEEN)),
        after=tuple(after),
        answer_tokens=c.answer_tokens,
        ends=words.stops,
        word_rms=_word_rms(source) if c.match_words else None,
    )


def _check_answers(words: LanguageTokenizer, names: Sequence[str]) -> None:
    """Raises a ValueError if a class name has more tokens than an answer."""
    for i, length in words.truncated(names).items():
        raise ValueError(
            f"the class name {names[i]!r} has {length} tokens with its end token, and answers are "
            f"cut after {words.max_tokens}: set config.model.language.answer_tokens to {length} "
            "or more"
        )


def tokenizer_of(run: Mapping[str, Any], where: str) -> MotionTokenizerConfig:
    """The tokenizer's config of a trained motion tokenizer, without what only training needs.

    Raises:
      ValueError: the run trained another model; `where` is its place, for the message.
    """
    if run["kind"] != TOKENIZER_KIND:
        raise ValueError(
            f"config.model.weights={where} is a {run['kind']}; a language model needs the run of a "
            f"{TOKENIZER_KIND}"
        )
    config = MotionTokenizerConfig.from_dict(run["architecture"])
    return dataclasses.replace(config, words=0, reach=0)


KIND, TOKENIZER_KIND = "language_model", "motion_tokenizer"  # values of config.model.kind


def prompt_ids(words: LanguageTokenizer, instruction: str, names: Sequence[str]) -> tuple[int, ...]:
    """The token ids before the motion, for these class names."""
    text = instructions.parts_of(instruction, tuple(names))[0]
    start = [words.bos] if words.add_bos and words.bos is not None else []
    return (*start, *words.ids(text, special=True, start=True)) if text else tuple(start)


def _word_rms(source: Source) -> float:
    """The root mean square of a language model's word embeddings."""
    table = np.asarray(source.tensors[_embedding_key(source)].read(), np.float32)
    return float(np.sqrt(np.mean(np.square(table))))


def _embedding_key(source: Source) -> str:
    keys = [key for key in source.shapes() if key.endswith("embed_tokens.weight")]
    if len(keys) != 1:
        raise ValueError(f"{source.name} has no table of word embeddings (embed_tokens.weight)")
    return keys[0]


def _load(
    params: dict[str, Any], config: ConfigDict, architecture: MotionLanguageConfig, trained: Any
) -> dict[str, Any]:
    """See `Architecture.load`: the motion tokenizer, and the language model if it is trained."""
    own = trained.run["architecture"]
    stored = MotionTokenizerConfig.from_dict(own)
    saved = flat.abstract_params(lambda: MotionTokenizer(stored, rngs=nnx.Rngs(0)))
    saved = {path: leaf for path, leaf in saved.items() if not path.startswith("words/")}
    found = trained.load_params(saved)
    for path, like in params.items():
        inside = path.removeprefix(TOKENIZER + "/")
        if inside != path:
            params[path] = place(np.asarray(found[inside]), like)
    c = config.model.language
    if architecture.llama.lora is None and not c.random:
        tower = {path: leaf for path, leaf in params.items() if path.startswith(TOWER + "/")}
        loaded = load_weights(tower, Source(c.weights), llama.key_map(), under=TOWER)
        params = params | loaded
    if found := given_adapters(c, architecture.llama):
        for note in found.notes:
            logging.warning("%s", note)
        for path, value in found.params.items():
            params[f"{TOWER}/{path}"] = place(value, params[f"{TOWER}/{path}"])
    return params


def _load_rest(abstract: Mapping[str, jax.ShapeDtypeStruct], trained: Any) -> dict[str, Any]:
    """See `Architecture.load_rest`: all of it is the motion tokenizer's."""
    inside = {path.removeprefix(TOKENIZER + "/"): leaf for path, leaf in abstract.items()}
    return {f"{TOKENIZER}/{path}": x for path, x in trained.load_rest(inside).items()}


def _frozen(config: ConfigDict, architecture: MotionLanguageConfig) -> tuple[FrozenWeights, ...]:
    """See `Architecture.frozen`: the language model, but not its adapters."""
    c = config.model.language
    if architecture.llama.lora is None:
        return ()
    frozen = FrozenWeights.of(TOWER, c.weights, c.base, lora.TRAINED)
    return (dataclasses.replace(frozen, seed=config.seed if c.random else None),)


def _tokenizer(config: ConfigDict, architecture: MotionLanguageConfig) -> LanguageTokenizer:
    """See `Architecture.tokenizer`."""
    c = config.model.language
    return _language_tokenizer(c.weights, c.answer_tokens)


def _open_tokenizer(
    stored: str, architecture: MotionLanguageConfig, where: str
) -> LanguageTokenizer:
    """See `Architecture.open_tokenizer`."""
    tokenizer = LanguageTokenizer.from_json(stored, architecture.answer_tokens)
    tokenizer.check_fits(architecture.llama.vocab_size, where)
    return tokenizer


ARCHITECTURE = Architecture(
    config=MotionLanguageConfig,
    module=MotionLanguageModel,
    entry=Entry(
        ("model.weights",),
        {
            **{_LANGUAGE + name: field for name, field in FIELDS_OF_LANGUAGE.items()},
            **FIELDS,
            "optim.groups.language_model.match": Field("llama/.*", "Regex of the parameters."),
            "optim.groups.language_model.lr": Field(
                2e-4, "Peak learning rate of the adapters or the language model.", low=0
            ),
            "optim.groups.language_model.layer_decay": Field(
                1.0, "Factor of the learning rate per layer towards the input.", above=0, high=1
            ),
            "optim.groups.motion_words.match": Field("tokenizer/.*", "Regex of the parameters."),
            "optim.groups.motion_words.lr": Field(
                0.0, "Peak learning rate of the motion tokenizer, which is frozen.", low=0, high=0
            ),
            "optim.groups.motion_words.layer_decay": Field(1.0, "Not used.", low=1, high=1),
        },
    ),
    groups=("language_model", "motion_words"),
    resolve=_resolve,
    load=_load,
    load_rest=_load_rest,
    frozen=_frozen,
    tokenizer=_tokenizer,
    open_tokenizer=_open_tokenizer,
)
