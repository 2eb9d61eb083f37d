"""The loader of pretrained weights: fills parameters from a source's tensors by a key map."""

from collections.abc import Generator, Mapping, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import tokenizers

from motionalign import reading
from motionalign.data.language_tokenizer import MAX_TOKENS, LanguageTokenizer
from motionalign.data.tokenizer import Tokenizer, in_one_error
from motionalign.models.weights.gguf_vocabulary import read_tokenizer
from motionalign.models.weights.keymap import KeyMap, Shape, copied, match
from motionalign.models.weights.source import Source, read_json
from motionalign.models.weights.vocabulary import convert

Params = TypeVar("Params")


def parameter_path(key_path: Sequence[Any]) -> str:
    """'/'-joined path of a leaf from its JAX key path, in an NNX state or its pure dict."""
    names = [
        str(getattr(entry, "key", getattr(entry, "idx", getattr(entry, "name", None))))
        for entry in key_path
    ]
    if isinstance(key_path[-1], jax.tree_util.GetAttrKey):  # the value of an nnx.Param
        names.pop()
    return "/".join(names)


def load_weights(params: Params, source: Source, key_map: KeyMap, under: str = "") -> Params:
    """Fills the parameters below a path with a source's tensors.

    Source tensors are read one at a time, and each device receives only its slice.

    Args:
      params: a pytree of parameters (an NNX state or a nested dict) of arrays or
        `jax.ShapeDtypeStruct`; the new values get the dtype and sharding of the old ones.
      source: source of the weights.
      key_map: maps the source's tensors to our parameters.
      under: '/'-joined path of the tower; "" for all of `params`.

    Returns:
      `params` with the leaves of the tower replaced.

    Raises:
      ValueError: the weights do not fit (the message lists mismatches and their number), or a file
        is damaged.
    """
    leaves, treedef = jax.tree_util.tree_flatten_with_path(params)
    under = f"{under}/" if under else ""
    ours = {  # path within the tower -> index of the leaf
        path.removeprefix(under): i
        for i, (key_path, _) in enumerate(leaves)
        if (path := parameter_path(key_path)).startswith(under)
    }
    values = [leaf for _, leaf in leaves]
    shapes = {path: values[i].shape for path, i in ours.items()}
    for path, value in read_parameters(shapes, source, key_map):
        values[ours[path]] = place(value, values[ours[path]])
    return jax.tree_util.tree_unflatten(treedef, values)


def read_parameters(
    shapes: Mapping[str, Shape], source: Source, key_map: KeyMap
) -> Generator[tuple[str, np.ndarray]]:
    """Reads parameters (path, value) from a source, one at a time, in the source's dtype.

    Args:
      shapes: {path: shape} of the parameters.
      source: source of the weights.
      key_map: maps the source's tensors to the parameters.

    Raises:
      ValueError: as `load_weights`.
    """
    tensors = source.tensors
    try:
        plan = match(source.shapes(), shapes, key_map)
    except ValueError as error:
        raise ValueError(f"weights of {source.name} do not fit the model: {error}") from None
    for key, original in copied(tensors, plan, key_map).items():
        if not np.array_equal(tensors[key].read(), tensors[original].read()):
            raise ValueError(
                f"weights of {source.name} do not fit the model: {key} differs from {original}, "
                "but in this model they are the same; does config.json state tie_word_embeddings?"
            )
    read_key, tensor = None, np.zeros(())
    for path, (key, transform) in plan.items():
        if key != read_key:  # the parts of a fused tensor are consecutive
            read_key, tensor = key, tensors[key].read()
        value = transform.of(tensor, shapes[path])
        assert value.shape == shapes[path], (path, value.shape, shapes[path])
        yield path, value


def place(value: np.ndarray, like: jax.Array | jax.ShapeDtypeStruct) -> jax.Array:
    """Puts the value on the devices of `like`, in its dtype and sharding."""
    assert value.shape == like.shape, (value.shape, like.shape)
    value = np.asarray(value).astype(like.dtype, copy=False)
    sharding = getattr(like, "sharding", None)
    if sharding is None:
        return jnp.asarray(value)
    # Each device receives only its slice; this also works with several hosts.
    return jax.make_array_from_callback(value.shape, sharding, lambda index: value[index])


def load_tokenizer(
    source: str | Source, max_tokens: int, tokenizer_class: str | None = None
) -> Tokenizer:
    """Loads the tokenizer of a text encoder from tokenizer.json or converts its vocabulary.

    Args:
      source: a local folder or Hub id, or what is opened of one.
      max_tokens: texts are truncated to this number of tokens. If the options of a vocabulary state
        a smaller model_max_length, that applies; the tokenizer's `max_tokens` has the result.
      tokenizer_class: class of `transformers` that converts a vocabulary if the source names no
        class; a text family's `tokenizer`.

    Raises:
      ValueError: the source has neither file, or the file cannot be read.
    """
    opened = source if isinstance(source, Source) else Source(source)
    path = opened.file("tokenizer.json")
    if path is None:
        converted = convert(opened, tokenizer_class)
        return Tokenizer(converted.json, min(max_tokens, converted.max_tokens))
    try:
        return Tokenizer(reading.read_text(path), max_tokens)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def load_language_tokenizer(
    source: str | Source, max_tokens: int = MAX_TOKENS
) -> LanguageTokenizer:
    """Loads the tokenizer of a language model: of a GGUF file, tokenizer.json or tokenizer.model.

    Which tokens start and end texts is read from tokenizer_config.json, special_tokens_map.json,
    generation_config.json and config.json: answers end with the first that is stated, and
    generated texts with any of them.

    Args:
      source: a GGUF file, a local folder or a Hub id, or what is opened of one.
      max_tokens: maximum number of tokens of an answer, the end token included.

    Raises:
      ValueError: the source has no tokenizer, it cannot be read, or no token ends its texts.
    """
    opened = source if isinstance(source, Source) else Source(source)
    if opened.gguf is not None:
        return read_tokenizer(opened.gguf, max_tokens)
    path = opened.file("tokenizer.json")
    stated = {name: _stated(opened, f"{name}.json") for name in _STATING}
    if path is None:
        converted = convert(opened, "LlamaTokenizer", language=True)
        content, stated["special_tokens_map"] = converted.json, dict(converted.special)
        stated["tokenizer_config"].setdefault("add_bos_token", True)  # Meta's own code adds it
    else:
        content = reading.read_text(path)
    try:
        return _of_content(content, stated, max_tokens)
    except ValueError as error:
        raise ValueError(f"tokenizer of {opened.name}: {error}") from error


_STATING = ("tokenizer_config", "special_tokens_map", "generation_config", "config")


def _stated(source: Source, name: str) -> dict[str, Any]:
    """Content of one of the source's JSON files; empty if it does not exist."""
    path = source.file(name)
    return {} if path is None else dict(read_json(path))


def _of_content(
    content: str, stated: dict[str, dict[str, Any]], max_tokens: int
) -> LanguageTokenizer:
    """The tokenizer of a tokenizer.json, with the special tokens that the other files state."""
    with in_one_error("tokenizer.json cannot be read"):
        found = tokenizers.Tokenizer.from_str(content)

    def ids(name: str) -> list[int]:
        """The ids of the tokens with a role, "bos", "eos" or "pad"; most important first."""
        of_role = []
        for file, values in stated.items():
            token = values.get(key := f"{name}_token")
            token = token.get("content") if isinstance(token, dict) else token
            reading.check_form(token, str | None, f"{file}.json: {key}")
            if token is not None:
                if (number := found.token_to_id(token)) is None:
                    raise ValueError(f"{file}.json: {key} is {token!r}, which is no token")
                of_role.append(number)
            number = values.get(key := f"{name}_token_id")
            reading.check_form(number, list[int] | int | None, f"{file}.json: {key}")
            of_role += number if isinstance(number, list) else [] if number is None else [number]
        return list(dict.fromkeys(of_role))

    bos, pad = ((*ids(name), None)[0] for name in ("bos", "pad"))
    add_bos = stated["tokenizer_config"].get("add_bos_token")
    if add_bos is None:  # what tokenizer.json puts before texts
        add_bos = bos is not None and found.encode("").ids[:1] == [bos]
    reading.check_form(add_bos, bool, "tokenizer_config.json: add_bos_token")
    if not (stops := ids("eos")):
        raise ValueError(
            "no token that ends a text is stated, by eos_token in tokenizer_config.json or by "
            "eos_token_id in config.json"
        )
    return LanguageTokenizer(
        content,
        stops=stops,
        bos=bos,
        pad=pad,
        add_bos=add_bos and bos is not None,
        chat_template=_template(stated["tokenizer_config"].get("chat_template")),
        max_tokens=max_tokens,
    )


def _template(stated: Any) -> str:
    """The chat template of tokenizer_config.json: a text, or a list of named ones."""
    reading.check_form(stated, str | list[dict] | None, "tokenizer_config.json: chat_template")
    if isinstance(stated, list):
        named = {each.get("name"): each.get("template") for each in stated}
        stated = named.get("default", next(iter(named.values()), ""))
        reading.check_form(stated, str, "tokenizer_config.json: chat_template")
    return stated or ""
