"""Text from a language model: greedy and sampled continuations, and the scores of given ones.

All functions are pure and meant to be called inside a compiled one. The prompt is computed once.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from motionalign.models.llama import Cache, Llama

MOST_LOGITS = 2**26
"""Logits that `score_candidates` computes at once, by default: 256 MB (ours)."""

Choose = Callable[[jax.Array, jax.Array], jax.Array]


class Prompt(NamedTuple):
    """What a model has computed of the texts that are to be continued.

    Attributes:
      cache: keys and values of all tokens.
      hidden: [B, D], the state of each text's last token, after the final norm.
    """

    cache: Cache
    hidden: jax.Array


class Generated(NamedTuple):
    """Continuations.

    Attributes:
      ids: [B, N] int32.
      mask: [B, N] bool, True up to the end token, with it; `ids` means nothing at the others.
    """

    ids: jax.Array
    mask: jax.Array


def read_prompt(
    llama: Llama, x: jax.Array, mask: jax.Array | None = None, cache: Cache | None = None
) -> Prompt:
    """Reads prompts, or the rest of prompts whose beginning is in a cache.

    Args:
      llama: the model.
      x: [B, L, D], embedded tokens.
      mask: [B, L] bool, True at real tokens, at least one a row; None: all.
      cache: of the tokens before, with batch size B or 1.
    """
    hidden, cache = llama(x, mask, cache=cache)
    if mask is None:
        return Prompt(cache, hidden[:, -1])
    last = mask.shape[1] - 1 - jnp.argmax(mask[:, ::-1], axis=1)
    return Prompt(cache, jnp.take_along_axis(hidden, last[:, None, None], axis=1)[:, 0])


def greedy(llama: Llama, prompt: Prompt, most: int, ends: Sequence[int]) -> Generated:
    """Continues each prompt with the most probable token, again and again.

    Args:
      llama: the model.
      prompt: the texts.
      most: the most tokens of a continuation.
      ends: ids of the tokens that end a text.

    Raises:
      ValueError: prompts and continuations do not fit into the model's context.
    """
    return _generate(llama, prompt, most, ends, lambda logits, _: jnp.argmax(logits, axis=-1))


def sample(
    llama: Llama,
    prompt: Prompt,
    most: int,
    ends: Sequence[int],
    key: jax.Array,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Generated:
    """Continues each prompt with random tokens.

    Args:
      llama: the model.
      prompt: the texts.
      most: the most tokens of a continuation.
      ends: ids of the tokens that end a text.
      key: random key.
      temperature: the logits are divided by it.
      top_k: None, or only so many of the most probable tokens are drawn.
      top_p: None, or of these, only the most probable ones whose probabilities before them add up
        to less (nucleus sampling, Holtzman et al., 2020).

    Raises:
      ValueError: an option is out of range, or prompts and continuations do not fit into the
        model's context.
    """
    if not 0 < temperature < float("inf"):
        raise ValueError(f"temperature is {temperature}; it must be above 0 (see also `greedy`)")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k is {top_k}; it must be at least 1, or None")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p is {top_p}; it must be above 0 and at most 1, or None")

    def choose(logits: jax.Array, key: jax.Array) -> jax.Array:
        return jax.random.categorical(key, restricted(logits / temperature, top_k, top_p))

    return _generate(llama, prompt, most, ends, choose, key)


def restricted(logits: jax.Array, top_k: int | None, top_p: float | None) -> jax.Array:
    """Logits [B, V] with minus infinity at the tokens that `sample` does not draw."""
    if top_k is not None:
        lowest = jax.lax.top_k(logits, min(top_k, logits.shape[-1]))[0][:, -1:]
        logits = jnp.where(logits < lowest, -jnp.inf, logits)
    if top_p is not None:
        ordered = -jnp.sort(-logits, axis=-1)
        probabilities = jax.nn.softmax(ordered, axis=-1)
        before = jnp.cumsum(probabilities, axis=-1) - probabilities
        # The first is always kept; rounding may not remove it.
        kept = (before < top_p) | (jnp.arange(logits.shape[-1]) == 0)
        lowest = jnp.where(kept, ordered, jnp.inf).min(axis=-1, keepdims=True)
        logits = jnp.where(logits < lowest, -jnp.inf, logits)
    return logits


def _generate(
    llama: Llama,
    prompt: Prompt,
    most: int,
    ends: Sequence[int],
    choose: Choose,
    key: jax.Array | None = None,
) -> Generated:
    """Continues prompts until all have ended; `choose` takes logits [B, V] and a key."""
    if most < 1:
        raise ValueError(f"a continuation of at most {most} tokens; it must be at least 1")
    llama.check_length(prompt.cache.capacity + most)
    batch, before = len(prompt.hidden), prompt.cache.parts
    key = jax.random.key(0) if key is None else key
    stops = jnp.asarray(list(ends), jnp.int32)

    def draw(hidden: jax.Array, step: jax.Array | int) -> jax.Array:
        logits = llama.logits(hidden)
        return choose(logits, jax.random.fold_in(key, step)).astype(jnp.int32)

    def ended(token: jax.Array) -> jax.Array:
        return (token[:, None] == stops).any(axis=1)

    def more(state: tuple) -> jax.Array:
        step, _, _, done, _, _ = state
        return (step < most) & ~done.all()

    def advance(state: tuple) -> tuple:
        step, token, written, done, room, used = state
        x = llama.embed(token[:, None])
        hidden, cache = llama(x, cache=Cache((*before, room), used))
        token = draw(hidden[:, 0], step)
        written = Generated(written.ids.at[:, step].set(token), written.mask.at[:, step].set(~done))
        return step + 1, token, written, done | ended(token), cache.parts[-1], cache.used

    cache = prompt.cache.with_room(batch, most)
    token = draw(prompt.hidden, 0)
    ids = jnp.zeros((batch, most), jnp.int32).at[:, 0].set(token)
    written = Generated(ids, jnp.zeros((batch, most), bool).at[:, 0].set(True))
    state = (jnp.int32(1), token, written, ended(token), cache.parts[-1], cache.used)
    return jax.lax.while_loop(more, advance, state)[2]


def score_candidates(
    llama: Llama,
    prompt: Prompt,
    candidates: jax.Array,
    mask: jax.Array,
    chunk: int | None = None,
) -> tuple[jax.Array, jax.Array]:
    """The log-probability of each candidate as the continuation of each prompt.

    The candidates of a chunk are one row after the prompt, each of which attends to itself and the
    prompt, so that neither the prompt nor its cache is repeated.

    Args:
      llama: the model.
      prompt: B texts.
      candidates: [K, A] int32, the same for all prompts, with their end tokens.
      mask: [K, A] bool, True at the tokens of a candidate, at least one, from the first on.
      chunk: number of candidates computed at once; None: as many as `MOST_LOGITS` allows.

    Returns:
      The sums [B, K] float32 of the tokens' log-probabilities, and the numbers of tokens [K] int32.

    Raises:
      ValueError: prompts and candidates do not fit into the model's context.
    """
    (count, longest), batch = candidates.shape, len(prompt.hidden)
    llama.check_length(prompt.cache.capacity + longest)
    candidates = jnp.where(mask, candidates, 0).astype(jnp.int32)
    logits = llama.logits(prompt.hidden)  # [B, V]
    first = logits[:, candidates[:, 0]] - jax.nn.logsumexp(logits, axis=-1, keepdims=True)
    scores = jnp.where(mask[:, 0], first, 0.0)  # [B, K]
    lengths = mask.sum(axis=1, dtype=jnp.int32)
    given = longest - 1
    if not given:
        return scores, lengths
    if chunk is None:
        chunk = MOST_LOGITS // (batch * given * llama.config.vocab_size)
    chunk = min(max(chunk, 1), count)
    chunks = -(-count // chunk)
    spare = ((0, chunks * chunk - count), (0, 0))
    parts = (jnp.pad(candidates, spare), jnp.pad(mask, spare))
    rest = jax.lax.map(
        lambda part: _score_chunk(llama, prompt, *part),
        tuple(part.reshape(chunks, chunk, longest) for part in parts),
    )  # [chunks, B, chunk]
    rest = rest.swapaxes(0, 1).reshape(batch, chunks * chunk)
    return scores + rest[:, :count], lengths


def _score_chunk(llama: Llama, prompt: Prompt, ids: jax.Array, real: jax.Array) -> jax.Array:
    """Sums [B, C] of the log-probabilities of candidates' tokens [C, A] after the first."""
    batch, chunk, given = len(prompt.hidden), len(ids), ids.shape[1] - 1

    def row(y: jax.Array) -> jax.Array:
        return jnp.broadcast_to(y.reshape(1, -1), (batch, chunk * given))

    hidden, _ = llama(
        llama.embed(row(ids[:, :-1])),
        row(real[:, :-1]),
        prompt.cache.next_position + row(jnp.tile(jnp.arange(given, dtype=jnp.int32), chunk)),
        prompt.cache,
        segments=jnp.repeat(jnp.arange(chunk), given)[None],
    )
    found = llama.log_probabilities(hidden, row(ids[:, 1:]))
    found = jnp.where(row(real[:, 1:]), found, 0.0)
    return found.reshape(batch, chunk, given).sum(axis=-1)
