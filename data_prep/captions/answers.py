"""An answer of a language model: what a server's JSON says, and whether its text can be used."""

import dataclasses
import json
import re
import unicodedata
from typing import Any

from data_prep.captions.redaction import Secrets

# Ends of an answer that are known; others are accepted, and reported.
_CUT_OFF = ("length", "max_tokens", "model_length")
_FILTERED = ("content_filter",)
_CALLS = ("tool_calls", "function_call")
KNOWN_ENDS = (
    "stop",
    "eos",
    "eos_token",
    "end_turn",
    "stop_sequence",
    *_CUT_OFF,
    *_FILTERED,
    *_CALLS,
)

_CHARACTERS_A_TOKEN = 16  # at most, on average; English prose has about 4
_MOST_TOKENS = 10**7  # of one answer; a larger number is not a count

_REFUSAL = re.compile(
    r"^\W*(i'?m sorry|i am sorry|sorry|i can'?t|i can ?not|i'?m unable|i am unable|as an ai)\b",
    re.IGNORECASE,
)
_REASONING = re.compile(r"^\s*<think(?:ing)?>.*?</think(?:ing)?>", re.DOTALL)
_MARKUP = re.compile(r"^<(!doctype|html|head|body|\?xml|script|svg)\b", re.IGNORECASE)

REFUSED, EMPTY, CUT_OFF = "a refusal", "empty", "cut off"
# What a model may well answer again to the same request. Other faults are the server's: they are
# not kept, so that the request is made again once the server is mended.
KEPT_FAULTS = (None, REFUSED, EMPTY, CUT_OFF)


class Unusable(ValueError):
    """A response that is no chat completion; the message says what it is instead."""


@dataclasses.dataclass(frozen=True)
class Answer:
    """One answer.

    Attributes:
      text: the text, as it came.
      refusal: whether the server marks it as a refusal.
      finish_reason: why it ended, as the server says.
      tokens_in: tokens of the prompt, as counted by the server; 0 without a count.
      tokens_out: tokens of the answer.
      model: the model that answered, as the server says.
      counted: whether the server counted the tokens.
      wrong: a fault that the text does not show, or None.
    """

    text: str
    refusal: bool = False
    finish_reason: str | None = None
    tokens_in: int = 0
    tokens_out: int = 0
    model: str | None = None
    counted: bool = True
    wrong: str | None = None

    @property
    def words(self) -> str:
        """The text without byte order mark, surrounding space and a reasoning model's thoughts."""
        return _REASONING.sub("", self.text.lstrip("\ufeff")).strip()


def fault(answer: Answer, prompt: str = "", max_tokens: int = 300) -> str | None:
    """What is wrong with an answer, or None.

    Args:
      answer: the answer.
      prompt: what was asked; an answer in another script is wrong only if the prompt is in ASCII.
      max_tokens: the limit that was asked for.
    """
    text = answer.words
    if answer.wrong:
        return answer.wrong
    if answer.refusal or answer.finish_reason in _FILTERED or refuses(text):
        return REFUSED
    if answer.finish_reason in _CALLS and not text:
        return "a tool call in place of a text"
    if not text:
        return CUT_OFF if answer.finish_reason in _CUT_OFF else EMPTY
    if answer.finish_reason in _CUT_OFF or text.startswith("<think"):
        return CUT_OFF
    return _no_prose(answer.text, text, prompt, max_tokens)


def refuses(text: str) -> bool:
    """Whether a text starts as a refusal does."""
    return bool(_REFUSAL.match(text.replace("’", "'")))


def _no_prose(raw: str, text: str, prompt: str, max_tokens: int) -> str | None:
    """Why a text is no description, or None."""
    if len(raw) > longest(max_tokens):
        return _too_long(raw, max_tokens)
    for c in text:
        kind = unicodedata.category(c)
        if kind == "Cs":
            return f"half a surrogate pair (U+{ord(c):04X}), which no file can store"
        if c not in "\n\r\t" and (kind in ("Cc", "Co") or c == "\ufffd"):
            return f"not text: it holds the character U+{ord(c):04X}"
    if _MARKUP.match(text):
        return "a page of HTML or XML"
    if text[0] in "[{" and _is_json(text):
        return "JSON in place of a text"
    letters = [c for c in text if c.isalpha()]
    if not letters:
        return "without a letter"
    if prompt.isascii() and 2 * sum("LATIN" in unicodedata.name(c, "") for c in letters) < len(
        letters
    ):
        return "not in Latin letters, as the prompt is"
    return None


def longest(max_tokens: int) -> int:
    """The number of characters that an answer of so many tokens can have."""
    return _CHARACTERS_A_TOKEN * max(max_tokens, 16)


def _too_long(text: str, max_tokens: int) -> str:
    most = longest(max_tokens)
    return f"{len(text):,} characters long, where {max_tokens} tokens have at most {most:,}"


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def parse(data: bytes, secrets: Secrets, max_tokens: int) -> Answer:
    """The answer in the body of a chat completion.

    Args:
      data: the body.
      secrets: what no answer may hold. A text that does is dropped.
      max_tokens: the limit that was asked for. A text that is much longer is dropped.

    Raises:
      Unusable: the body is no chat completion.
    """
    body = _read_json(data, secrets)
    if body.get("error") and not body.get("choices"):
        raise Unusable(f"an error: {secrets.line(message_of(body))}")
    choices = body.get("choices")
    if not isinstance(choices, list):
        fields = secrets.line(", ".join(map(str, body))) or "nothing"
        raise Unusable(f"JSON without a list of choices; it has {fields}")
    usage = body.get("usage")
    counts = [_count(usage, name) for name in ("prompt_tokens", "completion_tokens")]
    fixed: dict[str, Any] = {
        "tokens_in": counts[0] or 0,
        "tokens_out": counts[1] or 0,
        "counted": None not in counts,
        "model": _word(body.get("model"), secrets),
    }
    if not choices:
        return Answer("", wrong="without a choice", **fixed)
    message = choices[0].get("message") if isinstance(choices[0], dict) else None
    if not isinstance(message, dict):
        raise Unusable("JSON whose choices[0] has no message")
    text, end = _content(message.get("content")), choices[0].get("finish_reason")
    fixed["finish_reason"] = _word(end, secrets)
    if not text and (message.get("tool_calls") or message.get("function_call")):
        return Answer("", wrong="a tool call in place of a text", **fixed)
    if len(text) > longest(max_tokens):
        return Answer("", wrong=_too_long(text, max_tokens), **fixed)
    if secrets.are_in(text):
        return Answer("", wrong="a text that repeats the API key or a password", **fixed)
    return Answer(text, bool(message.get("refusal")), **fixed)


def _read_json(data: bytes, secrets: Secrets) -> dict[str, Any]:
    """The JSON object in a body; `Unusable` for anything else."""
    if not data.strip():
        raise Unusable("an empty body")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        at = data[error.start]
        raise Unusable(f"bytes that are not UTF-8 (0x{at:02x} at {error.start:,})") from None
    try:
        body = json.loads(text)
    except RecursionError:
        raise Unusable("JSON that is nested too deeply") from None
    except ValueError:
        if _MARKUP.match(text.lstrip()):
            raise Unusable("a page of HTML or XML") from None
        start = secrets.line(text, 60)
        raise Unusable(f"{len(data):,} bytes that are not JSON, starting {start!r}") from None
    if not isinstance(body, dict):
        kinds = {list: "list", str: "text", type(None): "null", bool: "truth value"}
        raise Unusable(f"a JSON {kinds.get(type(body), 'number')} in place of an object")
    return body


def message_of(body: Any) -> str:
    """The message in the JSON of an error, wherever servers put it; else all of it."""
    while isinstance(body, dict):
        inner = next((body[k] for k in ("error", "message", "detail") if body.get(k)), None)
        if inner is None:
            break
        body = inner
    return body if isinstance(body, str) else json.dumps(body)


def _content(content: Any) -> str:
    """The text of a message: a string, null, or a list of parts."""
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list) or not all(isinstance(part, dict) for part in content):
        raise Unusable(f"JSON whose message has content of type {type(content).__name__}")
    # Parts of other types hold a reasoning model's thoughts.
    texts = [part.get("text") for part in content if part.get("type") in ("text", "output_text")]
    if not all(isinstance(text, str) for text in texts):
        raise Unusable("JSON whose message has a part without a text")
    return "".join(texts)


def _count(usage: Any, name: str) -> int | None:
    """A number of tokens; None if it is missing or cannot be one."""
    count = usage.get(name) if isinstance(usage, dict) else None
    plausible = (
        isinstance(count, int) and not isinstance(count, bool) and 0 <= count <= _MOST_TOKENS
    )
    return count if plausible else None


def _word(value: Any, secrets: Secrets) -> str | None:
    """A short text that a server states, such as a name of a model, for messages and files."""
    if value is None:
        return None
    return secrets.line(value, 80) if isinstance(value, str) else f"({type(value).__name__})"
