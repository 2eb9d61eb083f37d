"""The cache of answers: damaged files are mended, and processes share the work."""

import json
import os
import re
import signal
import subprocess
import sys
import threading

import pytest
from chat_server import KEY, PROSE, Server, completion, distinct, leaks, response, says, until
from runs import ROOT

from data_prep.__main__ import main
from data_prep.captions import asking, prompts
from data_prep.captions.answers import Answer
from data_prep.captions.cache import Cache
from motionalign import files

pytest.importorskip("httpx")

ASKED = prompts.request(prompts.Settings("m"), "walk", 0)
ANSWER = Answer(PROSE, False, "stop", 10, 20, "m")


def stored(cache):
    """The only file of a cache."""
    (path,) = cache.folder.glob("*.json")
    return path


def changed(**fields):
    """A function from a file's text to one with other fields in its answer."""

    def change(text):
        content = json.loads(text)
        content["answer"] |= fields
        content["answer"] = {k: v for k, v in content["answer"].items() if v is not ...}
        return json.dumps(content)

    return change


DAMAGE = {
    "empty": (lambda text: "", "not valid JSON"),
    "cut off": (lambda text: text[: len(text) // 2], "not valid JSON"),
    "bytes": (lambda text: b"\xff\xfe\x00\x01", "line 1: byte 0xff is not UTF-8"),
    "nested": (lambda text: "[" * 100_000, "nested too deeply"),
    "a list": (lambda text: "[]", "is a list; expected an object"),
    "no answer": (lambda text: json.dumps({"request": ASKED}), "lacks 'answer'"),
    "a null": (lambda text: json.dumps({"request": ASKED, "answer": None}), "answer is None"),
    "no text": (changed(text=...), "answer lacks 'text'"),
    "a text of numbers": (changed(text=[1]), "text is a list; expected a text"),
    "another kind": (changed(refusal="no"), "refusal is 'no'"),
    "a wrong count": (changed(tokens_in=1.5), "tokens_in is 1.5"),
    "a negative count": (changed(tokens_in=-1), "negative number of tokens"),
    "a wrong model": (changed(model=3), "model is 3"),
    "half a surrogate pair": (changed(text="The person \ud800 walks."), "surrogates not allowed"),
    "ten megabytes": (changed(text="word " * 2_000_000), "more than 4,194,304 bytes"),
    "a long text": (changed(text="word " * 2_000), "a text of 10,000 characters"),
    "the key": (changed(text=f"The person {KEY} walks."), "holds the API key or a password"),
    "another request": (
        lambda text: json.dumps(json.loads(text) | {"request": {}}),
        "holds the answer to another request",
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_file_is_named_and_replaced(name, tmp_path, monkeypatch, capsys):
    """It is counted and asked for again; the sound one beside it is not."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    damage, reason = DAMAGE[name]
    cache = Cache(tmp_path / "out.cache")
    cache.put(ASKED, ANSWER)
    path = stored(cache)
    other = prompts.request(prompts.Settings("m"), "walk", 1)
    cache.put(other, Answer("Another text.", False, "stop", 10, 20, "m"))
    broken = damage(path.read_text())
    path.write_bytes(broken if isinstance(broken, bytes) else broken.encode())
    (tmp_path / "labels.json").write_text('["walk"]')
    with Server(says()) as server:
        command = ["describe", f"--labels={tmp_path / 'labels.json'}", "--model=m", "--count=2"]
        command += [f"--out={tmp_path / 'out.json'}", f"--base_url={server.url}"]
        main(command)
        assert len(server.calls) == 1
        printed = capsys.readouterr().out
        begin = f"damaged files in the cache (1), whose answers were requested again: {path} ("
        (line,) = (line for line in printed.splitlines() if line.startswith(begin))
        assert reason in line
        assert leaks(KEY, [printed], tmp_path) == []
        (tmp_path / "out.json").unlink()
        main(command)  # all is well again
        assert len(server.calls) == 1
        assert "damaged files" not in capsys.readouterr().out
    answers = json.loads((tmp_path / "out.json").read_text())["answers"]
    assert answers == {"walk": [PROSE, "Another text."]}


def test_a_folder_in_place_of_an_answer_is_named_before_it_is_paid_for(tmp_path):
    cache = Cache(tmp_path)
    cache.put(ASKED, ANSWER)
    path = stored(cache)
    path.unlink()
    path.mkdir()
    with pytest.raises(ValueError, match=re.escape(f"{path} is a folder in place of a cached")):
        cache.get(ASKED)


def test_a_file_in_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "labels.json").write_text('["walk"]')
    flags = [f"--labels={tmp_path / 'labels.json'}", f"--cache={tmp_path / 'labels.json'}"]
    with Server(says()) as server:
        url = f"--base_url={server.url}"
        with pytest.raises(SystemExit, match=r"labels\.json cannot be the folder of cached"):
            main(["describe", *flags, f"--out={tmp_path / 'out.json'}", "--model=m", url])
        assert not server.calls


def test_a_pipe_in_place_of_an_answer_is_replaced(tmp_path):
    cache = Cache(tmp_path)
    cache.put(ASKED, ANSWER)
    path = stored(cache)
    path.unlink()
    os.mkfifo(path)
    assert cache.get(ASKED) is None
    assert "is a pipe" in cache.damaged[path]
    cache.put(ASKED, ANSWER)
    assert cache.get(ASKED) == ANSWER


def test_answers_of_an_older_version_are_used(tmp_path):
    """They have neither the name of the model nor a mark for missing counts."""
    cache = Cache(tmp_path)
    cache.put(ASKED, ANSWER)
    path = stored(cache)
    assert path.stem == "77fd007757772d0119137354cd9c4728f722de32de068bd8f7e6cfd6a12af064"
    path.write_text(changed(model=..., counted=...)(path.read_text()))
    assert cache.get(ASKED) == Answer(PROSE, False, "stop", 10, 20, None)
    assert not cache.damaged


def test_what_no_server_should_send_is_not_kept(tmp_path):
    """Once the server is mended, the same command asks again."""
    (tmp_path / "labels.json").write_text('["walk"]')
    command = ["describe", f"--labels={tmp_path / 'labels.json'}", "--model=m", "--count=1"]
    command += [f"--out={tmp_path / 'out.json'}"]
    with (
        Server(says("The person \ud800 walks.")) as server,
        pytest.raises(SystemExit, match="half a surrogate pair"),
    ):
        main([*command, f"--base_url={server.url}"])
    assert not list((tmp_path / "out.cache").iterdir())
    with Server(says()) as server:
        main([*command, f"--base_url={server.url}"])
    assert json.loads((tmp_path / "out.json").read_text())["answers"] == {"walk": [PROSE]}


# ---------------------------------------------------------------------------- processes


class Process:
    """A describe command as a process, whose standard output is a pipe."""

    def __init__(self, server, folder, out, *flags):
        command = [sys.executable, "-u", "-m", "data_prep", "describe", "--model=m"]
        command += [f"--labels={folder / 'labels.json'}", f"--out={folder / out}"]
        command += [f"--base_url={server.url}", f"--cache={folder / 'cache'}", *flags]
        # As at a terminal; a script's background processes and their children ignore SIGINT.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        self.process = subprocess.Popen(
            command, cwd=ROOT, encoding="utf-8", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        signal.signal(signal.SIGINT, before)
        self.first = self.process.stdout.readline

    def end(self):
        """The exit status and the rest of what is printed."""
        printed, _ = self.process.communicate(timeout=60)
        return self.process.returncode, printed


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "labels.json").write_text(json.dumps([f"action {i}" for i in range(12)]))
    return tmp_path


def test_three_processes_ask_exactly_once_each(folder):
    """60 answers, of three commands that start at once with one cache: 60 requests."""
    ready = threading.Event()

    def behave(call):
        ready.wait(60)
        call.hang(0.2)  # long enough that none takes all before the others have begun
        distinct(call)

    with Server(behave) as server:
        processes = [Process(server, folder, f"{i}.json") for i in range(3)]
        assert all("5 answers for each of 12 labels" in each.first() for each in processes)
        until(lambda: len(server.calls) >= 8)
        ready.set()
        ends = [each.end() for each in processes]
        assert [status for status, _ in ends] == [0, 0, 0]
        assert len(server.calls) == 60
        assert len({json.dumps(call.asked) for call in server.calls}) == 60
    asked = [
        re.search(r"(\d+) answers requested, (\d+) from the cache", each)[1] for _, each in ends
    ]
    assert sum(map(int, asked)) == 60
    assert sum(int(each) > 0 for each in asked) > 1  # they share the work
    texts = {(folder / f"{i}.json").read_text() for i in range(3)}
    assert len(texts) == 1
    assert len(list((folder / "cache").iterdir())) == 60  # and no lock is left


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_stopped_command_keeps_its_answers_and_locks_nothing(number, folder):
    """20 answers arrive, then requests hang; what follows makes the other 40 requests only."""
    hold = threading.Event()

    def behave(call):
        with call.server.lock:
            late = len(call.server.calls) > 20 and not hold.is_set()
        if late:
            call.hang()
        distinct(call)

    with Server(behave) as server:
        process = Process(server, folder, "out.json", "--concurrency=4")
        until(lambda: len(server.calls) == 24)
        until(lambda: len(list((folder / "cache").glob("[!.]*.json"))) == 20)
        process.process.send_signal(number)
        status, printed = process.end()
        if number == signal.SIGKILL:
            assert status == -number
            # The locks of a killed process are files without a holder.
            assert len(list((folder / "cache").glob(".*.motionalign-lock"))) == 4
        else:
            assert status == 128 + number
            assert "20 answers requested, 0 from the cache; 200 tokens in, 400 out" in printed
            assert f"Answers so far are kept in {folder / 'cache'}; the same command" in printed
            assert len(list((folder / "cache").iterdir())) == 20
        hold.set()
        server.calls.clear()
        status, printed = Process(server, folder, "out.json", "--concurrency=4").end()
        assert status == 0
        assert len(server.calls) == 40
        assert "40 answers requested, 20 from the cache" in printed
        assert len(list((folder / "cache").iterdir())) == 60


def test_a_request_that_another_process_fails_to_make_is_made(folder, monkeypatch):
    """The waiting command takes over as soon as the holder gives up."""
    cache = Cache(folder / "cache")
    (folder / "labels.json").write_text('["walk"]')
    waiting = threading.Event()
    monkeypatch.setattr(asking, "_PAUSE", 0.02)
    real = Cache.asking

    def asking_(self, asked):
        waiting.set()
        return real(self, asked)

    with Server(says()) as server:
        command = ["describe", f"--labels={folder / 'labels.json'}", "--model=m", "--count=1"]
        command += [f"--out={folder / 'out.json'}", f"--cache={cache.folder}"]
        thread = threading.Thread(target=main, args=([*command, f"--base_url={server.url}"],))
        with cache.asking(ASKED):
            monkeypatch.setattr(Cache, "asking", asking_)
            thread.start()
            assert waiting.wait(60)
            assert not server.calls
        thread.join(60)
        assert len(server.calls) == 1
    assert json.loads((folder / "out.json").read_text())["answers"] == {"walk": [PROSE]}


def test_equal_labels_are_asked_for_once(folder, capsys):
    """Two people with the same attributes are one request."""
    people = {"0017": ["male"], "0018": ["male"]}
    (folder / "labels.json").write_text(json.dumps(people))

    def behave(call):
        call.hang(0.1)
        call.send(response(completion()))

    with Server(behave) as server:
        main(["describe", f"--labels={folder / 'labels.json'}", "--kind=appearance", "--model=m",
              f"--out={folder / 'out.json'}", f"--base_url={server.url}", "--count=1"])  # fmt: skip
        assert len(server.calls) == 1
    assert "1 answers requested, 1 from the cache" in capsys.readouterr().out


def test_a_file_system_without_locks_is_named(folder, monkeypatch, capsys):
    monkeypatch.setattr(files, "fcntl", None)
    with Server(says()) as server:
        main(["describe", f"--labels={folder / 'labels.json'}", f"--out={folder / 'out.json'}",
              "--model=m", f"--base_url={server.url}", "--count=1"])  # fmt: skip
    assert "the file system has no locks (flock); several describe" in capsys.readouterr().out
