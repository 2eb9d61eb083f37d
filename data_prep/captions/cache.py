"""Answers on disk, one file per answer, shared by all processes that use the folder."""

import contextlib
import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Generator, Mapping
from typing import Any

from data_prep.captions.answers import Answer, longest
from data_prep.captions.redaction import Secrets
from motionalign import files, reading

_LIMIT = 1 << 22  # bytes of a cached answer

_FIELDS: dict[str, Any] = {
    "text": str,
    "refusal": bool,
    "finish_reason": str | None,
    "tokens_in": int,
    "tokens_out": int,
}
_NEWER: dict[str, Any] = {
    "model": str | None,
    "counted": bool,
}  # fields that older files do not have


class Cache:
    """Answers on disk, one file per answer, named by the hash of the request.

    Attributes:
      folder: the folder.
      damaged: {path: what is wrong} of files that cannot be used; their requests are made again,
        and their answers replace them.
      unlocked: a line for the user if the file system has no locks.
    """

    def __init__(self, folder: str | pathlib.Path, secrets: Secrets | None = None) -> None:
        """Creates the folder, so that a failure to do so precedes any paid request."""
        self.folder = pathlib.Path(folder)
        self.damaged: dict[pathlib.Path, str] = {}
        self.unlocked: str | None = None
        self._secrets = secrets or Secrets(())
        self.folder.mkdir(parents=True, exist_ok=True)

    def _path(self, asked: Mapping[str, Any]) -> pathlib.Path:
        key = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
        return self.folder / f"{key}.json"

    def get(self, asked: Mapping[str, Any]) -> Answer | None:
        """The answer to a request; None if there is none, or its file is damaged.

        Raises:
          ValueError: a folder is in its place, which no answer can replace.
        """
        path = self._path(asked)
        if not reading.is_there(path):
            return None
        if path.is_dir():
            raise ValueError(f"{path} is a folder in place of a cached answer; remove it")
        try:
            return self._read(path, asked)
        except FileNotFoundError:  # somebody has just removed it
            return None
        except ValueError as error:
            reason = str(error).removeprefix(f"{path}").lstrip(":, ")
            self.damaged[path] = self._secrets.line(reason)
            return None

    def _read(self, path: pathlib.Path, asked: Mapping[str, Any]) -> Answer:
        content = reading.read_json(path, {"request": dict, "answer": _FIELDS}, _LIMIT)
        stored = content["answer"]
        newer = {name: stored[name] for name in _NEWER if name in stored}
        reading.check_form(newer, {name: _NEWER[name] for name in newer}, str(path))
        if content["request"] != asked:
            raise ValueError(f"{path} holds the answer to another request")
        answer = Answer(**{name: stored[name] for name in _FIELDS}, **newer)
        if min(answer.tokens_in, answer.tokens_out) < 0:
            raise ValueError(f"{path} states a negative number of tokens")
        if len(answer.text) > longest(asked["max_tokens"]):
            raise ValueError(f"{path} holds a text of {len(answer.text):,} characters")
        if self._secrets.are_in(f"{answer.text} {answer.finish_reason} {answer.model}"):
            raise ValueError(f"{path} holds the API key or a password")
        return answer

    def put(self, asked: Mapping[str, Any], answer: Answer) -> None:
        """Stores the answer to a request."""
        stored = {k: v for k, v in dataclasses.asdict(answer).items() if k != "wrong"}
        content = json.dumps({"request": asked, "answer": stored})
        files.write_text(self._path(asked), content)

    @contextlib.contextmanager
    def asking(self, asked: Mapping[str, Any]) -> Generator[None]:
        """A context in which no other process makes this request.

        Raises:
          files.InUse: another process, or task of this one, is making it.
        """
        path = self._path(asked)
        lock = path.with_name(f".{path.stem}.motionalign-lock")
        with files.hold(lock, f"the request of {path.name}") as unlocked:
            if unlocked:
                self.unlocked = (
                    f"{self.folder}: the file system has no locks (flock); several describe "
                    "commands at once would pay for the same answers"
                )
            yield
