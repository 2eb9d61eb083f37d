"""Asks for all answers: several requests at once, none of them twice, every answer kept."""

import asyncio
import collections
import dataclasses
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from data_prep.captions.answers import KEPT_FAULTS, KNOWN_ENDS, Answer, fault
from data_prep.captions.cache import Cache
from data_prep.captions.prompts import Settings, request
from data_prep.class_texts import some
from motionalign import files

ATTEMPTS = 4  # per answer, each with another seed, if it is empty, truncated or a refusal
GIVE_UP = 10  # stop after this many failed answers if none has succeeded

_PAUSE = 0.1  # seconds before a request that another process makes is looked at again


class Asks(Protocol):
    """What answers requests: a `client.Client`."""

    async def ask(self, asked: Mapping[str, Any]) -> Answer:
        """The answer to a request."""
        ...

    def stop(self) -> None:
        """Ends all waits."""


@dataclasses.dataclass
class Outcome:
    """What has been found out so far.

    Attributes:
      answers: {name: texts}; None for those that are missing.
      sound: number of valid answers.
      failed: answers that were never valid, in words.
      failure: what ended the job early.
      tokens_in: tokens of the prompts that were paid for.
      tokens_out: tokens of the answers that were paid for.
      asked: number of answers requested.
      cached: number of answers from the cache.
      uncounted: answers without a valid number of tokens.
      ends: the unknown reasons with which answers ended.
      models: the models that answered, as the endpoint names them.
    """

    answers: dict[str, list[str | None]]
    sound: int = 0
    failed: list[str] = dataclasses.field(default_factory=list)
    failure: Exception | None = None
    tokens_in: int = 0
    tokens_out: int = 0
    asked: int = 0
    cached: int = 0
    uncounted: int = 0
    ends: Counter[str] = dataclasses.field(default_factory=Counter)
    models: Counter[str] = dataclasses.field(default_factory=Counter)

    @property
    def missing(self) -> int:
        """Number of answers that are not valid, or not there."""
        return sum(text is None for texts in self.answers.values() for text in texts)

    @property
    def gives_up(self) -> bool:
        """Whether further answers would cost money and fail as well."""
        return len(self.failed) >= GIVE_UP and not self.sound

    def count(self, answer: Answer, fresh: bool) -> None:
        """Counts an answer, from the endpoint or from the cache."""
        if fresh:
            self.asked += 1
            self.tokens_in += answer.tokens_in
            self.tokens_out += answer.tokens_out
            self.uncounted += not answer.counted
        else:
            self.cached += 1
        if answer.model:
            self.models[answer.model] += 1
        if answer.finish_reason is not None and answer.finish_reason not in KNOWN_ENDS:
            self.ends[answer.finish_reason] += 1


class _Job(NamedTuple):
    """One answer to get: the `number`-th one for a label, and how many attempts were invalid."""

    name: str
    number: int
    attempt: int = 0


@dataclasses.dataclass(frozen=True)
class _Work:
    """What the workers share."""

    client: Asks
    settings: Settings
    labels: Mapping[str, Any]
    cache: Cache
    outcome: Outcome
    jobs: collections.deque[_Job]
    bar: Any

    async def run(self) -> None:
        """Takes jobs until none is left, or until one failure that ends all work."""
        while self.jobs and not (self.outcome.failure or self.outcome.gives_up):
            job = self.jobs.popleft()
            try:
                again = await self._attempt(job)
            except files.InUse:
                self.jobs.append(job)  # its answer will be in the cache, unless its asker fails
                await asyncio.sleep(_PAUSE)
                continue
            except (ValueError, OSError) as error:  # the endpoint, or a full disk
                self.outcome.failure = self.outcome.failure or error
                self.client.stop()
                return
            if again is not None:
                self.jobs.appendleft(again)
            else:
                self.bar.update()
            await asyncio.sleep(0)  # cached answers do not wait, and an interruption needs that

    async def _attempt(self, job: _Job) -> _Job | None:
        """Makes one attempt; returns the next one, if there is one to make."""
        asked = request(self.settings, self.labels[job.name], job.number, job.attempt)
        prompt = asked["messages"][0]["content"]
        answer = self.cache.get(asked)
        fresh = answer is None
        if answer is None:
            with self.cache.asking(asked):
                answer = self.cache.get(asked)  # another process may have just asked
                fresh = answer is None
                if answer is None:
                    answer = await self.client.ask(asked)
                    if fault(answer, prompt, self.settings.max_tokens) in KEPT_FAULTS:
                        self.cache.put(asked, answer)
        self.outcome.count(answer, fresh)
        self.bar.set_postfix_str(
            f"{self.outcome.asked} requested, {self.outcome.cached} cached", refresh=False
        )
        wrong = fault(answer, prompt, self.settings.max_tokens)
        if wrong is None:
            self.outcome.answers[job.name][job.number] = answer.words
            self.outcome.sound += 1
        elif job.attempt + 1 < ATTEMPTS:
            return job._replace(attempt=job.attempt + 1)
        else:
            self.outcome.failed.append(
                f"{job.name!r}, answer {job.number}: {wrong}, {ATTEMPTS} times"
            )
        return None


async def describe_all(
    client: Asks,
    settings: Settings,
    labels: Mapping[str, Any],
    count: int,
    cache: Cache,
    concurrency: int,
    outcome: Outcome,
) -> None:
    """Requests `count` answers for each label.

    Of several processes with the same cache folder, one makes each request; the others take its
    answer from the cache.

    Args:
      client: the endpoint.
      settings: the settings of the requests.
      labels: {name: label or attributes}.
      count: answers per label.
      cache: earlier answers; receives new ones as they arrive.
      concurrency: number of concurrent requests.
      outcome: receives the answers and counts as they arrive, so that they are there after an
        interruption. After `GIVE_UP` failures without a valid answer, no further requests are
        started. A request that the endpoint does not answer ends the job with `outcome.failure`,
        once the requests on their way are answered.
    """
    from tqdm import tqdm

    jobs = collections.deque(_Job(name, n) for name in labels for n in range(count))
    with tqdm(total=len(jobs), desc="answers") as bar:
        work = _Work(client, settings, labels, cache, outcome, jobs, bar)
        async with asyncio.TaskGroup() as group:
            for _ in range(min(concurrency, len(jobs))):
                group.create_task(work.run())
    outcome.failed.sort()


def remarks(outcome: Outcome, settings: Settings, cache: Cache) -> list[str]:
    """What the user should know about the answers, each as one line."""
    found = [cache.unlocked] if cache.unlocked else []
    if cache.damaged:
        files_of = [f"{path} ({why})" for path, why in sorted(cache.damaged.items())]
        more = f" and {len(files_of) - 3} more" if len(files_of) > 3 else ""
        found.append(
            f"damaged files in the cache ({len(files_of)}), whose answers were requested again: "
            + "; ".join(files_of[:3])
            + more
        )
    others = {name: n for name, n in outcome.models.items() if name != settings.model}
    if others:
        found.append(
            f"--model={settings.model} was asked for, but the endpoint names as author: "
            + ", ".join(f"{name} ({n})" for name, n in sorted(others.items()))
            + ". Check that this is the model that you want"
        )
    if outcome.ends:
        ends = ", ".join(f"{name} ({n})" for name, n in sorted(outcome.ends.items()))
        found.append(f"answers with an unknown finish_reason, taken to be complete: {ends}")
    if outcome.uncounted:
        found.append(
            "answers without a valid number of tokens, which are missing from the sum: "
            f"{outcome.uncounted}"
        )
    return found + _repeated(outcome.answers)


def _repeated(answers: Mapping[str, list[str | None]]) -> list[str]:
    """Remarks about answers that are equal where they should differ."""
    found = []
    texts = {name: [text for text in each if text] for name, each in answers.items()}
    same = sorted(name for name, each in texts.items() if len(each) > 1 and len(set(each)) == 1)
    if same:
        found.append(
            f"all answers are equal for {len(same)} of {len(answers)} labels ({some(same, 3)}): "
            "the endpoint seems to ignore the seed, or --temperature is too low"
        )
    of_text = collections.defaultdict(set)
    for name, each in texts.items():
        for text in each:
            of_text[text].add(name)
    text, names = max(of_text.items(), key=lambda item: len(item[1]), default=("", set()))
    if len(names) > 1:
        found.append(
            f"{len(names)} labels ({some(sorted(names), 3)}) have the same answer, {text[:60]!r}: "
            "the endpoint seems to ignore the prompt"
        )
    return found
