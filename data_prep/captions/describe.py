"""`python -m data_prep describe`: a language model's descriptions of actions or appearances.

Every answer goes to disk as it comes, so that a killed run loses none that was paid for.
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
from motionalign import files
from motionalign.data.dataset import Dataset, Metadata

if TYPE_CHECKING:
    import openai

SUMMARY = "a language model's words for labels"
ABOUT = """\
Descriptions of actions or appearances by a language model (Walk and Text, III-C and III-D).

Asks any OpenAI-compatible endpoint (vLLM, llama.cpp, Ollama, or a hosted one with OPENAI_API_KEY)
for several descriptions, or for synonyms, of each label of a JSON file or of each class of a
prepared dataset, and writes one JSON file, which `python -m data_prep embed --texts` adds to it.
Every answer is kept in a cache by the hash of its request: a run that was killed, or is repeated,
pays for nothing twice. Needs the package openai.

examples:
  python -m data_prep describe --labels=labels.json --out=descriptions.json \\
    --base_url=http://localhost:11434/v1 --model=llama3.1
  python -m data_prep describe --labels=people.json --kind=appearance --out=described.json \\
    --model=gpt-4o-mini --price_in=0.15 --price_out=0.60
  python -m data_prep describe --name=densegait --kind=appearance --out=described.json \\
    --model=gpt-4o-mini

`labels.json` is a list, ["walk", "jump"], or for appearances an object of attribute lists,
{"0017": ["Male", "Backpack"]}. With --name it is the dataset's actions or, for appearances, every
set of attributes that occurs in it. The 60 classes of BABEL ship described, in
data_prep/captions/babel60.json.
"""

PROMPTS = {
    # The two published prompts, and ours for the synonyms of table VI.
    "action": "Describe in detail a person's body movements who is performing the action: {label}",
    "appearance": "Concisely describe a person with the following features: {label}",
    "synonym": "Give one synonym, of a few words at most, for the human action: {label}. "
    "Answer with the synonym alone.",
}
ATTEMPTS = 4  # at an answer that is empty, cut off or a refusal, each with another seed
GIVE_UP = 10  # requests without a sound answer among them, before any other was: nothing works
_REFUSAL = re.compile(
    r"^\W*(i'?m sorry|i am sorry|sorry|i can'?t|i can ?not|i'?m unable|i am unable|as an ai)\b",
    re.IGNORECASE,
)


@dataclasses.dataclass(frozen=True)
class Settings:
    """What decides an answer, and so its place in the cache.

    max_tokens: of an answer; longer ones are cut off, and asked again.
    """

    model: str
    kind: str = "action"
    temperature: float = 0.8
    seed: int = 0
    max_tokens: int = 300


@dataclasses.dataclass
class Usage:
    """Tokens that were paid for, and how many answers came from the cache."""

    tokens_in: int = 0
    tokens_out: int = 0
    asked: int = 0
    cached: int = 0


Answers = tuple[dict[str, list[str]], list[str], Usage]
"""What `describe_all` returns."""


def prompt_of(kind: str, label: str | list[str]) -> str:
    """The user's message for a label; attributes stand in it as JSON, as published."""
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
        # Each answer has a seed of its own; so has each further attempt at one.
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


class Cache:
    """Answers on disk, one file each, by the hash of their request."""

    def __init__(self, folder: str | pathlib.Path) -> None:
        """Makes the folder: where it cannot be made, nothing is asked for in vain."""
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)

    def _path(self, asked: Mapping[str, Any]) -> pathlib.Path:
        key = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
        return self.folder / f"{key}.json"

    def get(self, asked: Mapping[str, Any]) -> dict[str, Any] | None:
        """The answer to a request, or None."""
        path = self._path(asked)
        return json.loads(path.read_text("utf-8"))["answer"] if path.is_file() else None

    def put(self, asked: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
        """Keeps the answer to a request."""
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
    """The first sound answer: its text, or None with the last fault."""
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
    """Asks for `count` answers for each label, so many requests at a time.

    Args:
      client: an `openai.AsyncOpenAI`, which waits and tries again as the server's headers say.
      settings: what is asked, and of whom.
      labels: {name: label or attributes}.
      count: answers a label.
      cache: what has been answered before.
      concurrency: requests at a time.

    Returns:
      {name: answers}, what could not be answered, and what it took. Where the first `GIVE_UP`
      requests bring nothing sound, no more are begun.
    """
    from tqdm import tqdm

    limit, usage = asyncio.Semaphore(concurrency), Usage()
    answers: dict[str, list] = {name: [None] * count for name in labels}
    failed, sound = [], 0

    async def one(name: str, number: int) -> None:
        nonlocal sound
        async with limit:
            if len(failed) >= GIVE_UP and not sound:
                return  # the rest would be paid for and be as useless
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
    """{name: label or attributes} of a JSON list of names, or an object of sets of attributes.

    A set is a list, ["Male", "Backpack"], or says what they are, {"sex": "male", "shoes": [...]}.
    """
    try:
        values = json.loads(pathlib.Path(path).read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"--labels={path} is not JSON: {error}") from error
    if _is_names(values) and values:
        return {name: name for name in values}
    sets = isinstance(values, dict) and values and list(values.values())
    if kind == "appearance" and sets and all(map(_is_set, sets)):
        return values
    expected = '{"name": ["attribute", ...], ...}' if kind == "appearance" else '["label", ...]'
    raise ValueError(f"--labels={path}: expected JSON like {expected}")


def dataset_labels(dataset: Dataset, kind: str) -> dict[str, Any]:
    """{name: label or attributes} of a prepared dataset's classes, in the words of its own names.

    Of kind "appearance" every distinct set of attributes of all splits, {words: {group: name, or
    names}}; of the others the actions. A ValueError where the dataset has none.
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
        if row.any()  # of nothing there is nothing to say
    }


def _by_group(metadata: Metadata, row: np.ndarray) -> dict[str, Any]:
    """A set of attributes as the published prompt has it: {"gender": "male", "footwear": ...}."""
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
    what.add_argument("--labels", help="JSON file, as above")
    what.add_argument("--name", help="of a prepared dataset, whose classes are to be described")
    parser.add_argument(
        "--data_dir", default="data", help="parent of all prepared datasets (default: %(default)s)"
    )
    parser.add_argument("--out", required=True, help="the JSON file to write")
    parser.add_argument("--kind", choices=PROMPTS, default="action", help="default: %(default)s")
    parser.add_argument("--count", type=int, default=5, help="answers a label (%(default)s)")
    parser.add_argument("--model", required=True, help="as the endpoint names it")
    parser.add_argument(
        "--base_url", help="of the endpoint (default: OPENAI_BASE_URL, or OpenAI's)"
    )
    parser.add_argument("--temperature", type=float, default=0.8, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--max_tokens", type=int, default=300, help="of an answer (%(default)s)")
    parser.add_argument("--cache", help="folder of answers (default: OUT without .json + .cache)")
    parser.add_argument(
        "--concurrency", type=int, default=8, help="requests at a time (%(default)s)"
    )
    parser.add_argument("--timeout", type=float, default=120, help="seconds, of a request")
    parser.add_argument("--retries", type=int, default=8, help="of a failing request (%(default)s)")
    parser.add_argument("--price_in", type=float, help="of a million tokens asked")
    parser.add_argument("--price_out", type=float, help="of a million tokens answered")


def run(args: argparse.Namespace) -> None:
    """Asks for all descriptions and writes them; a ValueError says what could not be had."""
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
            f"{len(failed)} answers could not be had, and {out} was not written: "
            + "; ".join(failed[:5])
            + (". The rest was not asked for, as nothing was sound" if stopped else "")
            + f". Another --seed, --max_tokens (now {args.max_tokens}) or --model asks anew"
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
    """Raises ValueError for numbers that make no sense."""
    for name in ("count", "concurrency", "max_tokens"):
        if getattr(args, name) < 1:
            raise ValueError(f"--{name}={getattr(args, name)} must be at least 1")
    if (args.price_in is None) != (args.price_out is None):
        raise ValueError("--price_in and --price_out go together")


def _ask(
    args: argparse.Namespace, settings: Settings, labels: Mapping[str, Any], cache: Cache
) -> Answers:
    """`describe_all` at the endpoint that the flags name; a ValueError if that fails for good."""
    import openai

    endpoint = args.base_url or os.environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1"

    async def ask() -> Answers:
        async with openai.AsyncOpenAI(
            # Local servers take any key, but the library wants one.
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
        advice = f"What was answered is kept in {cache.folder}; the same command goes on from there"
        if isinstance(error, openai.AuthenticationError | openai.PermissionDeniedError):
            advice = "Set OPENAI_API_KEY to a key of this endpoint"
        elif isinstance(error, openai.NotFoundError):
            advice = f"Is --model={args.model} what it calls the model?"
        elif isinstance(error, openai.APIConnectionError):
            advice = f"Does --base_url name a server that runs? {advice}"
        raise ValueError(f"{endpoint} failed: {str(error).rstrip('.')}. {advice}") from None


def _cost(usage: Usage, price_in: float | None, price_out: float | None) -> str:
    """What the answers took, in words; with prices of a million tokens, what they cost too."""
    line = (
        f"{usage.asked} answers asked for, {usage.cached} from the cache; "
        f"{usage.tokens_in} tokens in, {usage.tokens_out} out"
    )
    if price_in is not None and price_out is not None:
        cost = (usage.tokens_in * price_in + usage.tokens_out * price_out) / 1e6
        line += f", cost {cost:.4f}"
    return line
