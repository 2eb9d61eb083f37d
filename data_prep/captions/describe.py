"""`python -m data_prep describe`: generates descriptions of actions or appearances with an LLM.

Every answer is stored on disk as it arrives, so that a killed run loses no answer that was paid
for.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import math
import os
import pathlib
import shlex
import signal
import threading
from collections.abc import Coroutine, Generator, Mapping
from types import FrameType
from typing import Any

from data_prep.captions.asking import Outcome, describe_all, remarks
from data_prep.captions.cache import Cache
from data_prep.captions.client import DEFAULT_URL, Address, Client, address
from data_prep.captions.labels import dataset_labels, read_labels
from data_prep.captions.prompts import PROMPTS, Settings
from motionalign import files
from motionalign.data.dataset import Dataset

SUMMARY = "class descriptions by a language model"
ABOUT = """\
Generates descriptions of actions or appearances with a language model (Walk and Text, III-C and
III-D).

Asks any OpenAI-compatible endpoint (vLLM, llama.cpp, Ollama, or a hosted one with OPENAI_API_KEY)
for several descriptions, or synonyms, of each label in a JSON file or each class of a prepared
dataset, and writes them to one JSON file. `python -m data_prep embed --texts` adds this file to a
dataset. Answers are cached by the hash of their request: a killed or repeated run pays for nothing
twice, and several runs at once share the work. Needs the package httpx.

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

The key is sent to --base_url only, and is neither printed nor stored. An endpoint that wants a user
and a password takes them in the URL, https://USER:PASSWORD@HOST/v1.
"""

# Headers of hosted endpoints that tell accounts apart, and the variables that hold them.
_ACCOUNTS = {"OpenAI-Organization": "OPENAI_ORG_ID", "OpenAI-Project": "OPENAI_PROJECT_ID"}


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
        "--timeout", type=float, default=120, help="seconds per attempt at a request (%(default)s)"
    )
    parser.add_argument(
        "--retries", type=int, default=8, help="retries per failing request (%(default)s)"
    )
    parser.add_argument("--price_in", type=float, help="price per million input tokens")
    parser.add_argument("--price_out", type=float, help="price per million output tokens")


def run(args: argparse.Namespace) -> None:
    """Generates all descriptions and writes them; a ValueError lists the failures."""
    try:
        import httpx  # noqa: F401
    except ImportError:
        raise ValueError("describe needs the package httpx: pip install 'httpx>=0.28,<1'") from None

    _check(args)
    base_url = args.base_url or os.environ.get("OPENAI_BASE_URL") or DEFAULT_URL
    endpoint = address(base_url, os.environ.get("OPENAI_API_KEY", ""))
    if args.name is not None:
        labels = dataset_labels(Dataset(args.data_dir, args.name), args.kind)
    else:
        labels = read_labels(args.labels, args.kind)
    settings = Settings(args.model, args.kind, args.temperature, args.seed, args.max_tokens)
    out = pathlib.Path(args.out)
    if out.is_dir():
        raise ValueError(f"--out={out} is a folder; expected the name of a JSON file")
    cache = _cache(args.cache or out.with_suffix(".cache"), endpoint)
    print(
        f"{args.count} answers for each of {len(labels)} labels by {args.model}: {endpoint.shown}"
    )
    outcome = Outcome({name: [None] * args.count for name in labels})
    stopped = _ask(args, endpoint, settings, labels, cache, outcome)
    for line in remarks(outcome, settings, cache):
        print(line)
    print(_cost(outcome, args.price_in, args.price_out))
    kept = f"Answers so far are kept in {cache.folder}; the same command continues from there"
    if stopped is not None:
        print(kept)
        signal.raise_signal(stopped)  # the command ends as it does without requests on their way
    _raise_failures(args, out, outcome, kept)
    files.write_json(out, _content(settings, outcome))
    print(f"{out}: {args.count} answers for each of {len(labels)} labels")
    print(f"Next:\n  {_next(args)}")


def _cache(folder: str | pathlib.Path, endpoint: Address) -> Cache:
    """The cache in a folder; a ValueError if there can be none."""
    try:
        return Cache(folder, endpoint.secrets)
    except OSError as error:
        raise ValueError(
            f"--cache={folder} cannot be the folder of cached answers: {error.strerror}. Give one "
            "that can be created or written"
        ) from None


def _check(args: argparse.Namespace) -> None:
    """Raises ValueError for invalid option values."""
    for name in ("count", "concurrency", "max_tokens"):
        if getattr(args, name) < 1:
            raise ValueError(f"--{name}={getattr(args, name)} must be at least 1")
    if args.retries < 0:
        raise ValueError(f"--retries={args.retries} must be at least 0")
    if not 0 < args.timeout < math.inf:
        raise ValueError(f"--timeout={args.timeout:g} must be a number of seconds above 0")
    if not 0 <= args.temperature < math.inf:
        raise ValueError(f"--temperature={args.temperature:g} must be a number from 0")
    if (args.price_in is None) != (args.price_out is None):
        raise ValueError("--price_in and --price_out must be given together")


def _ask(
    args: argparse.Namespace,
    endpoint: Address,
    settings: Settings,
    labels: Mapping[str, Any],
    cache: Cache,
    outcome: Outcome,
) -> int | None:
    """Runs `describe_all` at an endpoint; the signal that has stopped it, or None."""

    async def ask() -> None:
        accounts = {name: os.environ.get(variable) for name, variable in _ACCOUNTS.items()}
        headers = {name: value for name, value in accounts.items() if value}
        async with Client(endpoint, args.timeout, args.retries, headers) as client:
            await describe_all(
                client, settings, labels, args.count, cache, args.concurrency, outcome
            )

    return _until_signal(ask())


def _until_signal(work: Coroutine[Any, Any, None]) -> int | None:
    """Runs a coroutine; a signal that cancels it is returned.

    An interruption is thereby delivered where the coroutine waits, and never while it stores an
    answer that was paid for.
    """
    found: list[int] = []

    async def cancellable() -> None:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None

        def stop(signum: int, frame: FrameType | None) -> None:
            found.append(signum)
            loop.call_soon_threadsafe(task.cancel)

        with _handling(stop):
            await work

    try:
        asyncio.run(cancellable())
    except asyncio.CancelledError:
        if not found:
            raise
    return found[0] if found else None


@contextlib.contextmanager
def _handling(handler: Any) -> Generator[None]:
    """A context in which `handler` handles SIGINT and SIGTERM, where the process does."""
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                before[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)


def _raise_failures(
    args: argparse.Namespace, out: pathlib.Path, outcome: Outcome, kept: str
) -> None:
    """Raises a ValueError if the endpoint or any answer has failed."""
    if outcome.failure is not None:
        # Raised here, so that a traceback does not show what the failure came from.
        raise ValueError(f"{str(outcome.failure).rstrip('.')}. {kept}") from None
    failed, rest = outcome.failed, outcome.missing > len(outcome.failed)
    if failed:
        raise ValueError(
            f"{len(failed)} answers failed, and {out} was not written: "
            + "; ".join(failed[:5])
            + (". The rest was not requested, because no answer was valid" if rest else "")
            + f". Try another --seed, --max_tokens (now {args.max_tokens}) or --model. "
            + kept
        )


def _content(settings: Settings, outcome: Outcome) -> dict[str, Any]:
    """The JSON to write."""
    values = dataclasses.asdict(settings)
    del values["model"]
    return {
        "written_by": f"the language model {settings.model}",
        **({"answered_by": dict(sorted(outcome.models.items()))} if outcome.models else {}),
        "prompt": PROMPTS[settings.kind],
        **values,
        "answers": outcome.answers,
    }


def _cost(outcome: Outcome, price_in: float | None, price_out: float | None) -> str:
    """Describes the usage; given the prices per million tokens, includes the cost."""
    line = (
        f"{outcome.asked} answers requested, {outcome.cached} from the cache; "
        f"{outcome.tokens_in} tokens in, {outcome.tokens_out} out"
    )
    if price_in is not None and price_out is not None:
        cost = (outcome.tokens_in * price_in + outcome.tokens_out * price_out) / 1e6
        line += f", cost {cost:.4f}"
    return line


def _next(args: argparse.Namespace) -> str:
    """The command that adds the written texts to a dataset."""
    where = "" if args.data_dir == "data" else f" --data_dir={args.data_dir}"
    name, out = args.name or "NAME", shlex.quote(args.out)
    return f"python -m data_prep embed --name={name}{where} --texts {out}"
