"""`python -m data_prep describe`: generates descriptions of actions or appearances with an LLM.

Every answer is stored on disk as it arrives, so that a killed run loses no answer that was paid
for.
"""

import argparse
import asyncio
import dataclasses
import hashlib
import json
import os
import pathlib
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from data_prep.class_texts import all_splits
from motionalign import files, reading
from motionalign.data.dataset import Dataset, Metadata

if TYPE_CHECKING:
    import openai

SUMMARY = "class descriptions by a language model"
ABOUT = """\
Generates descriptions of actions or appearances with a language model (Walk and Text, III-C and
III-D).

Asks any OpenAI-compatible endpoint (vLLM, llama.cpp, Ollama, or a hosted one with OPENAI_API_KEY)
for several descriptions, or synonyms, of each label in a JSON file or each class of a prepared
dataset, and writes them to one JSON file. `python -m data_prep embed --texts` adds this file to a
dataset. Answers are cached by the hash of their request: a killed or repeated run pays for nothing
twice. Needs the package openai.

examples:
  python -m data_prep describe --labels=labels.json --out=descriptions.json \\
    --base_url=http://localhost:11434/v1 --model=llama3.1
  python -m data_prep describe --labels=people.json --kind=appearance --out=described.json \\
    --model=gpt-4o-mini --price_in=0.15 --price_out=0.60
  python -m data_prep describe --name=densegait --kind=appearance --out=described.json \\
    --model=gpt-4o-mini

`labels.json` is a list, ["walk", "jump"], or for appearances an object of attribute lists,
{"0017": ["Male", "Backpack"]}. With --name, the labels are the dataset's actions or, for
appearances, every set of attributes that occurs in it. Descriptions of BABEL's 60 classes are
included in data_prep/captions/babel60.json.
"""

PROMPTS = {
    # The two published prompts, and our own for the synonyms of Table VI.
    "action": "Describe in detail a person's body movements who is performing the action: {label}",
    "appearance": "Concisely describe a person with the following features: {label}",
    "synonym": "Give one synonym, of a few words at most, for the human action: {label}. "
    "Answer with the synonym alone.",
}
ATTEMPTS = 4  # per answer, each with another seed, if it is empty, truncated or a refusal
GIVE_UP = 10  # stop after this many failed answers if none has succeeded
_REFUSAL = re.compile(
    r"^\W*(i'?m sorry|i am sorry|sorry|i can'?t|i can ?not|i'?m unable|i am unable|as an ai)\b",
    re.IGNORECASE,
)


@dataclasses.dataclass(frozen=True)
class Settings:
    """The settings that determine an answer, and hence its cache key.

    Attributes:
      model: as the endpoint names it.
      kind: a key of `PROMPTS`.
      temperature: the sampling temperature.
      seed: base of the seeds of the requests.
      max_tokens: limit of an answer; a longer answer is truncated, and requested again.
    """

    model: str
    kind: str = "action"
    temperature: float = 0.8
    seed: int = 0
    max_tokens: int = 300


@dataclasses.dataclass
class Usage:
    """Tokens paid for, and the numbers of answers requested and taken from the cache."""

    tokens_in: int = 0
    tokens_out: int = 0
    asked: int = 0
    cached: int = 0


Answers = tuple[dict[str, list[str]], list[str], Usage]
"""The result of `describe_all`."""


def prompt_of(kind: str, label: str | list[str]) -> str:
    """The user message for a label; attributes are inserted as JSON, as published."""
    text = label if isinstance(label, str) else json.dumps(label)
    return PROMPTS[kind].format(label=text)


def request(
    settings: Settings, label: str | list[str], number: int, attempt: int = 0
) -> dict[str, Any]:
    """The request for the `number`-th answer for a label."""
    return {
        "model": settings.model,
        "messages": [{"role": "user", "content": prompt_of(settings.kind, label)}],
        "temperature": settings.temperature,
        "max_tokens": settings.max_tokens,
        # Every answer, and every further attempt at one, has its own seed.
        "seed": settings.seed + 1000 * attempt + number,
    }


def fault(answer: Mapping[str, Any]) -> str | None:
    """What is wrong with an answer, or None."""
    text = answer["text"].strip()
    if answer["refusal"] or _REFUSAL.match(text.replace("’", "'")):
        return "a refusal"
    if not text:
        return "empty"
    if answer["finish_reason"] == "length":
        return "cut off"
    return None


_ANSWER = {
    "answer": {"text": str, "refusal": bool, "finish_reason": str | None}
    | dict.fromkeys(("tokens_in", "tokens_out"), int)
}


class Cache:
    """Answers on disk, one file per answer, named by the hash of the request."""

    def __init__(self, folder: str | pathlib.Path) -> None:
        """Creates the folder, so that a failure to do so precedes any paid request."""
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)

    def _path(self, asked: Mapping[str, Any]) -> pathlib.Path:
        key = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
        return self.folder / f"{key}.json"

    def get(self, asked: Mapping[str, Any]) -> dict[str, Any] | None:
        """The answer to a request, or None."""
        path = self._path(asked)
        return reading.read_json(path, _ANSWER)["answer"] if path.is_file() else None

    def put(self, asked: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
        """Stores the answer to a request."""
        content = json.dumps({"request": asked, "answer": answer})
        files.write_text(self._path(asked), content)


async def _answer(
    client: "openai.AsyncOpenAI",
    settings: Settings,
    label: str | list[str],
    number: int,
    cache: Cache,
    usage: Usage,
) -> tuple[str | None, str | None]:
    """The first valid answer as (text, None), or (None, the last fault)."""
    wrong = None
    for attempt in range(ATTEMPTS):
        asked = request(settings, label, number, attempt)
        answer = cache.get(asked)
        if answer is None:
            response = await client.chat.completions.create(**asked)
            choice = response.choices[0]
            fresh: dict[str, Any] = {
                "text": choice.message.content or "",
                "refusal": bool(getattr(choice.message, "refusal", None)),
                "finish_reason": choice.finish_reason,
                "tokens_in": response.usage.prompt_tokens if response.usage else 0,
                "tokens_out": response.usage.completion_tokens if response.usage else 0,
            }
            answer = fresh
            cache.put(asked, answer)
            usage.asked += 1
            usage.tokens_in += answer["tokens_in"]
            usage.tokens_out += answer["tokens_out"]
        else:
            usage.cached += 1
        wrong = fault(answer)
        if wrong is None:
            return answer["text"].strip(), None
    return None, wrong


async def describe_all(
    client: "openai.AsyncOpenAI",
    settings: Settings,
    labels: Mapping[str, Any],
    count: int,
    cache: Cache,
    concurrency: int,
) -> Answers:
    """Requests `count` answers for each label.

    Args:
      client: an `openai.AsyncOpenAI`, which retries as the server's headers say.
      settings: the settings of the requests.
      labels: {name: label or attributes}.
      count: answers per label.
      cache: earlier answers.
      concurrency: number of concurrent requests.

    Returns:
      {name: answers}, the failures in words, and the usage. After `GIVE_UP` failures without a
      valid answer, no further requests are started.
    """
    from tqdm import tqdm

    limit, usage = asyncio.Semaphore(concurrency), Usage()
    answers: dict[str, list] = {name: [None] * count for name in labels}
    failed, sound = [], 0

    async def one(name: str, number: int) -> None:
        nonlocal sound
        async with limit:
            if len(failed) >= GIVE_UP and not sound:
                return  # further answers would cost money and fail as well
            text, wrong = await _answer(client, settings, labels[name], number, cache, usage)
        answers[name][number] = text
        if wrong:
            failed.append(f"{name!r}, answer {number}: {wrong}, {ATTEMPTS} times")
        sound += not wrong
        bar.update()

    with tqdm(total=len(labels) * count, desc="answers") as bar:
        async with asyncio.TaskGroup() as group:
            for name in labels:
                for number in range(count):
                    group.create_task(one(name, number))
    return answers, sorted(failed), usage


def read_labels(path: str | pathlib.Path, kind: str) -> dict[str, Any]:
    """Reads {name: label or attributes} from a JSON list of names or object of attribute sets.

    A set of attributes is a list, ["Male", "Backpack"], or an object that groups them,
    {"sex": "male", "shoes": [...]}.
    """
    try:
        values = reading.read_json(path)
    except ValueError as error:  # which starts with the path
        raise ValueError(f"--labels={error}") from error
    if _is_names(values) and values:
        return {name: name for name in values}
    sets = isinstance(values, dict) and values and list(values.values())
    if kind == "appearance" and sets and all(map(_is_set, sets)):
        return values
    expected = '{"name": ["attribute", ...], ...}' if kind == "appearance" else '["label", ...]'
    raise ValueError(f"--labels={path}: expected JSON like {expected}")


def dataset_labels(dataset: Dataset, kind: str) -> dict[str, Any]:
    """{name: label or attributes} of a prepared dataset's classes, under their names.

    For kind "appearance", these are the distinct sets of attributes in all splits,
    {words: {group: name or names}}; for other kinds, the actions. A ValueError if the dataset has
    none.
    """
    metadata = dataset.metadata
    found = metadata.attribute_names if kind == "appearance" else metadata.label_names
    if not found:
        wanted = "attributes" if kind == "appearance" else "labels"
        raise ValueError(f"--name={dataset.name}: the dataset has no {wanted} to describe")
    if kind != "appearance":
        return {name: name for name in found}
    sets = [metadata.positive(split.attributes) for split in all_splits(dataset)]
    return {
        metadata.attribute_words(row): _by_group(metadata, row)
        for row in np.unique(np.concatenate(sets), axis=0)
        if row.any()  # an empty set cannot be described
    }


def _by_group(metadata: Metadata, row: np.ndarray) -> dict[str, Any]:
    """A set of attributes in the form of the published prompt: {"gender": "male", ...}."""
    positive = dict(zip(metadata.positive_names, row, strict=True))
    found = {}
    for group, members in metadata.attribute_groups.items():
        pairs = ((name, metadata.attribute_opposites.get(name)) for name in members)
        names = [n for pair in pairs for n in dict.fromkeys(pair) if n and positive[n]]
        if names:
            found[group] = names[0] if len(names) == 1 else names
    return found


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _is_set(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(each, str) or _is_names(each) for each in value.values())
    return _is_names(value)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `python -m data_prep describe`."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--labels", help="JSON file of labels, as above")
    what.add_argument("--name", help="name of a prepared dataset, whose classes are described")
    parser.add_argument(
        "--data_dir", default="data", help="parent of all prepared datasets (default: %(default)s)"
    )
    parser.add_argument("--out", required=True, help="JSON file to write")
    parser.add_argument("--kind", choices=PROMPTS, default="action", help="default: %(default)s")
    parser.add_argument("--count", type=int, default=5, help="answers per label (%(default)s)")
    parser.add_argument("--model", required=True, help="name of the model at the endpoint")
    parser.add_argument(
        "--base_url", help="URL of the endpoint (default: OPENAI_BASE_URL, or OpenAI's)"
    )
    parser.add_argument("--temperature", type=float, default=0.8, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--max_tokens", type=int, default=300, help="per answer (%(default)s)")
    parser.add_argument(
        "--cache", help="folder of cached answers (default: OUT with .cache for .json)"
    )
    parser.add_argument(
        "--concurrency", type=int, default=8, help="concurrent requests (%(default)s)"
    )
    parser.add_argument(
        "--timeout", type=float, default=120, help="seconds per request (%(default)s)"
    )
    parser.add_argument(
        "--retries", type=int, default=8, help="retries per failing request (%(default)s)"
    )
    parser.add_argument("--price_in", type=float, help="price per million input tokens")
    parser.add_argument("--price_out", type=float, help="price per million output tokens")


def run(args: argparse.Namespace) -> None:
    """Generates all descriptions and writes them; a ValueError lists the failures."""
    try:
        import openai  # noqa: F401
    except ImportError:
        raise ValueError("describe needs the package openai: pip install 'openai>=2,<3'") from None

    _check(args)
    if args.name is not None:
        labels = dataset_labels(Dataset(args.data_dir, args.name), args.kind)
    else:
        labels = read_labels(args.labels, args.kind)
    settings = Settings(args.model, args.kind, args.temperature, args.seed, args.max_tokens)
    out = pathlib.Path(args.out)
    cache = Cache(args.cache or out.with_suffix(".cache"))
    answers, failed, usage = _ask(args, settings, labels, cache)
    print(_cost(usage, args.price_in, args.price_out))
    if failed:
        stopped = not any(any(texts) for texts in answers.values())
        raise ValueError(
            f"{len(failed)} answers failed, and {out} was not written: "
            + "; ".join(failed[:5])
            + (". The rest was not requested, because no answer was valid" if stopped else "")
            + f". Try another --seed, --max_tokens (now {args.max_tokens}) or --model"
        )
    content = {
        "written_by": f"the language model {settings.model}",
        "prompt": PROMPTS[settings.kind],
        **{name: value for name, value in dataclasses.asdict(settings).items() if name != "model"},
        "answers": answers,
    }
    files.write_json(out, content)
    print(f"{out}: {args.count} answers for each of {len(labels)} labels")


def _check(args: argparse.Namespace) -> None:
    """Raises ValueError for invalid option values."""
    for name in ("count", "concurrency", "max_tokens"):
        if getattr(args, name) < 1:
            raise ValueError(f"--{name}={getattr(args, name)} must be at least 1")
    if (args.price_in is None) != (args.price_out is None):
        raise ValueError("--price_in and --price_out must be given together")


def _ask(
    args: argparse.Namespace, settings: Settings, labels: Mapping[str, Any], cache: Cache
) -> Answers:
    """Runs `describe_all` at the endpoint of the flags; a ValueError if requests keep failing."""
    import openai

    endpoint = args.base_url or os.environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1"

    async def ask() -> Answers:
        async with openai.AsyncOpenAI(
            # The library requires a key; local servers accept any.
            api_key=os.environ.get("OPENAI_API_KEY") or "none",
            base_url=endpoint,
            timeout=args.timeout,
            max_retries=args.retries,
        ) as client:
            return await describe_all(client, settings, labels, args.count, cache, args.concurrency)

    try:
        return asyncio.run(ask())
    except ExceptionGroup as group:
        failures, _ = group.split(openai.APIError)
        if failures is None:
            raise
        error = failures.exceptions[0]
        advice = f"Answers so far are kept in {cache.folder}; the same command continues from there"
        if isinstance(error, openai.AuthenticationError | openai.PermissionDeniedError):
            advice = "Set OPENAI_API_KEY to a key of this endpoint"
        elif isinstance(error, openai.NotFoundError):
            advice = f"Check that the endpoint serves --model={args.model}"
        elif isinstance(error, openai.APIConnectionError):
            advice = f"Check that --base_url names a running server. {advice}"
        raise ValueError(f"{endpoint} failed: {str(error).rstrip('.')}. {advice}") from None


def _cost(usage: Usage, price_in: float | None, price_out: float | None) -> str:
    """Describes the usage; given the prices per million tokens, includes the cost."""
    line = (
        f"{usage.asked} answers requested, {usage.cached} from the cache; "
        f"{usage.tokens_in} tokens in, {usage.tokens_out} out"
    )
    if price_in is not None and price_out is not None:
        cost = (usage.tokens_in * price_in + usage.tokens_out * price_out) / 1e6
        line += f", cost {cost:.4f}"
    return line
