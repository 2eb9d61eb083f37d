"""The description client, against a local server with all kinds of failures."""

import http.server
import json
import pathlib
import subprocess
import sys
import threading
import time
from collections import Counter

import numpy as np
import pytest
from chat_server import completion
from runs import ROOT

from data_prep import class_texts
from data_prep.__main__ import main
from data_prep.captions import asking, describe, prompts
from motionalign.data import dataset as dataset_module
from motionalign.data.dataset import VERSION, Dataset, Metadata
from motionalign.skeleton import SKELETONS

pytest.importorskip("httpx")


class Server(http.server.ThreadingHTTPServer):
    """An OpenAI-compatible endpoint. `faults`: for each request, the failures that come first.

    delivered: how often each request has received a valid answer. hold_after: the number of valid
    answers after which the server stops answering.
    """

    daemon_threads = True

    def __init__(self, faults=lambda number: (), hold_after=None, retry_after=0.01):
        super().__init__(("127.0.0.1", 0), Handler)
        self.faults, self.hold_after, self.retry_after = faults, hold_after, retry_after
        self.times = []
        self.delivered, self.seen = Counter(), Counter()
        self.lock = threading.Lock()
        self.held = threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, request, client_address):
        """Killed clients and timeouts are expected."""


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server = self.server
        key = (asked["messages"][0]["content"], asked["seed"])
        with server.lock:
            server.times.append(time.monotonic())
            number = server.seen[key]
            server.seen[key] += 1
            faults = server.faults(asked["seed"])
            kind = faults[number] if number < len(faults) else "sound"
            if (
                server.hold_after is not None
                and sum(server.delivered.values()) >= server.hold_after
            ):
                server.held.set()
                kind = "held"
            if kind == "sound":
                server.delivered[key] += 1
        if kind == "held":
            time.sleep(60)
        elif kind == "slow":
            time.sleep(6)
        elif isinstance(kind, int):
            self.send_response(kind)
            self.send_header("retry-after", str(server.retry_after))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        text = {"empty": " ", "refused": "I'm sorry, but I can't help with that."}.get(
            kind, f"words for {key[0]} {key[1]}"
        )
        self.reply(text, "length" if kind == "cut" else "stop")

    def reply(self, text, finish_reason):
        body = completion(text, choice={"finish_reason": finish_reason})
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def labels(tmp_path):
    path = tmp_path / "labels.json"
    path.write_text(json.dumps([f"action {i}" for i in range(40)]))
    return path


def flags(server, labels, *more):
    out = labels.parent / "out.json"
    given = [f"--labels={labels}", f"--out={out}", "--model=m", f"--base_url={server.url}"]
    return ["describe", *given, "--timeout=4", *more], out


def test_all_answers_arrive_despite_failures_of_every_kind(labels, capsys):
    """200 requests with failures of each kind, some with several in a row."""

    def faults(seed):
        first = {0: (429, 429), 1: (500,), 2: ("slow",), 3: (503, 429), 4: ()}[seed % 1000 % 5]
        # An invalid answer is requested again with another seed.
        return (*first, *(("cut", "empty", "refused")[seed % 3 :][:1] if seed < 3 else ()))

    server = Server(faults)
    command, out = flags(server, labels, "--price_in=1", "--price_out=2", "--concurrency=40")
    main(command)
    content = json.loads(out.read_text())
    assert len(content["answers"]) == 40
    for name, answers in content["answers"].items():
        assert len(set(answers)) == 5
        assert all(f"performing the action: {name}" in answer for answer in answers)
    assert (content["seed"], content["temperature"], content["kind"]) == (0, 0.8, "action")
    assert set(server.delivered.values()) == {1}
    # 200 valid answers, and three invalid ones per label.
    assert "320 answers requested, 0 from the cache; 3200 tokens in, 6400 out" in (
        printed := capsys.readouterr().out
    )
    assert "cost 0.0160" in printed
    out.unlink()
    main(command)  # entirely from the cache
    assert json.loads(out.read_text()) == content
    assert set(server.delivered.values()) == {1}
    assert "0 answers requested, 320 from the cache" in capsys.readouterr().out


def test_retry_after_headers_are_respected(labels):
    labels.write_text(json.dumps(["walk"]))
    server = Server(lambda seed: (429,), retry_after=1.5)  # the library itself waits 0.5 s at first
    command, _ = flags(server, labels, "--count=1")
    main(command)
    first, second = server.times
    assert second - first > 1.4


def test_a_killed_run_resumes_without_paying_twice(labels):
    """With failures: some requests fail or time out at first, some answers are cut off."""

    def faults(seed):
        return ((429,), (), (500,), ("cut",), ("slow",))[seed % 1000 % 5 if seed < 1000 else 1]

    server = Server(faults, hold_after=100)
    command, out = flags(server, labels, "--concurrency=40")
    process = subprocess.Popen(
        [sys.executable, "-m", "data_prep", *command], cwd=ROOT, stderr=subprocess.DEVNULL
    )
    assert server.held.wait(60)
    cache = pathlib.Path(labels.parent / "out.cache")
    seen, deadline = -1, time.monotonic() + 60
    while seen < (seen := len(list(cache.glob("*.json")))) and time.monotonic() < deadline:
        time.sleep(3)  # until all delivered answers are on disk
    assert seen >= 100
    process.kill()
    process.wait()
    assert sum(server.delivered.values()) == 100
    assert not out.exists()
    server.hold_after = None
    main(command)
    assert sum(len(answers) for answers in json.loads(out.read_text())["answers"].values()) == 200
    assert len(server.delivered) == 200
    assert set(server.delivered.values()) == {1}  # nothing was paid for twice


def test_answers_that_are_never_valid_are_an_error(labels):
    server = Server(lambda seed: ["refused"] * 9 if seed % 1000 == 2 else ())
    command, out = flags(server, labels)
    with pytest.raises(SystemExit, match=r"40 answers failed, and .* 'action 0', answer 2"):
        main(command)
    assert not out.exists()


def test_stops_early_if_no_answer_is_valid(labels):
    server = Server(lambda seed: ["cut"] * 9)
    command, out = flags(server, labels, "--concurrency=4")
    with pytest.raises(SystemExit, match=r"The rest was not .*--max_tokens \(now 300\)"):
        main(command)
    assert not out.exists()
    # Of 200; requests already started are completed.
    assert asking.GIVE_UP <= len(server.seen) / asking.ATTEMPTS < asking.GIVE_UP + 4


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (500, "Answers so far are kept in .*out.cache; the same command continues from there"),
        (401, "Set OPENAI_API_KEY to a key of this endpoint"),
        (404, "Check that the endpoint serves --model=m"),
    ],
)
def test_an_endpoint_that_keeps_failing(labels, status, advice):
    server = Server(lambda seed: [status] * 9)
    command, out = flags(server, labels, "--retries=1")
    with pytest.raises(SystemExit, match=rf"{server.url} failed: .*{status}.*\. {advice}"):
        main(command)
    assert not out.exists()


def test_no_endpoint_at_all(labels):
    server = Server()
    command, _ = flags(server, labels, "--retries=0")
    server.shutdown()
    server.server_close()
    with pytest.raises(
        SystemExit, match=r"failed: Connection error \(.*\)\. Check that --base_url"
    ):
        main(command)


def test_the_published_prompts():
    expected = "Describe in detail a person's body movements who is performing the action: walk"
    assert prompts.prompt_of("action", "walk") == expected
    assert prompts.prompt_of("appearance", ["Male", "Backpack"]) == (
        'Concisely describe a person with the following features: ["Male", "Backpack"]'
    )


@pytest.mark.parametrize(
    ("content", "kind", "message"),
    [
        ("{", "action", "is not valid JSON"),
        ("[]", "action", r'expected JSON like \["label", ...\]'),
        ('{"a": ["b"]}', "action", r'expected JSON like \["label", ...\]'),
        ('{"a": "b"}', "appearance", r'expected JSON like {"name": \["attribute"'),
    ],
)
def test_bad_labels(tmp_path, content, kind, message):
    (tmp_path / "labels.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        describe.read_labels(tmp_path / "labels.json", kind)


def test_changed_settings_bypass_the_cache():
    settings = prompts.Settings("m")
    one = prompts.request(settings, "walk", 0)
    others = [
        prompts.request(settings, "walk", 1),
        prompts.request(settings, "walk", 0, attempt=1),
        prompts.request(settings, "run", 0),
        prompts.request(prompts.Settings("m", temperature=0.1), "walk", 0),
        prompts.request(prompts.Settings("n"), "walk", 0),
    ]
    assert all(one != other for other in others)
    assert one == prompts.request(prompts.Settings("m"), "walk", 0)


@pytest.fixture
def prepared(tmp_path, monkeypatch):
    """The data_dir of a stub dataset with what `describe` reads."""
    metadata = Metadata(
        "tiny", SKELETONS["smpl22"], 16, 20.0, 1.0, np.zeros((22, 3)), np.ones((22, 3)), 20.0,
        label_names=("walk", "go up"),
        attribute_names=("female", "backpack"),
        attribute_groups={"gender": ("female",), "carries": ("backpack",)},
        attribute_opposites={"female": "male"},
    )  # fmt: skip
    version_dir = tmp_path / "tiny" / VERSION
    version_dir.mkdir(parents=True)
    (version_dir / "metadata.json").write_text(json.dumps(metadata.to_json()))
    attributes = {"train": [[0.9, 0.2], [0.1, 0.8]], "test": [[0.8, 0.1], [0.2, 0.3]]}

    class Split:
        def __init__(self, folder, split):
            self.attributes = np.array(attributes[split], np.float32)
            self.labels = self.all_labels = np.zeros(len(self.attributes), int)

    for split in attributes:
        (version_dir / f"index-{split}.npz").touch()
    monkeypatch.setattr(dataset_module, "Split", Split)
    return tmp_path


def test_the_classes_of_a_dataset(prepared):
    dataset = Dataset(prepared, "tiny")
    for kind in ("action", "synonym"):
        assert describe.dataset_labels(dataset, kind) == {"walk": "walk", "go up": "go up"}
    assert describe.dataset_labels(dataset, "appearance") == {
        "male": {"sex": "male"},
        "male, backpack": {"sex": "male", "carries": "backpack"},
        "female": {"sex": "female"},
    }


def test_embed_reads_the_output_for_a_dataset(prepared):
    server, out = Server(), prepared / "out.json"
    flags = [f"--data_dir={prepared}", "--name=tiny", "--kind=appearance", "--count=2"]
    main(["describe", *flags, f"--out={out}", "--model=m", f"--base_url={server.url}"])
    dataset = Dataset(prepared, "tiny")
    names = class_texts.class_names(dataset.metadata, class_texts.all_splits(dataset))
    descriptions = class_texts.read_texts(out, names)["descriptions"]
    assert descriptions.keys() == {"male", "male, backpack", "female"}
    assert all(len(set(texts)) == 2 for texts in descriptions.values())
    assert '{"sex": "male", "carries": "backpack"}' in descriptions["male, backpack"][0]


@pytest.mark.parametrize(("kind", "lacks"), [("action", "labels"), ("appearance", "attributes")])
def test_a_dataset_without_classes(prepared, kind, lacks):
    path = prepared / "tiny" / VERSION / "metadata.json"
    without = {"label_names": [], "attribute_names": []}
    without |= {"attribute_groups": {}, "attribute_opposites": {}}
    path.write_text(json.dumps(json.loads(path.read_text()) | without))
    with pytest.raises(ValueError, match=f"--name=tiny: the dataset has no {lacks} to describe"):
        describe.dataset_labels(Dataset(prepared, "tiny"), kind)


@pytest.mark.parametrize("flags", [[], ["--labels=a.json", "--name=tiny"]])
def test_labels_or_a_dataset(flags, capsys):
    with pytest.raises(SystemExit):
        main(["describe", "--out=o.json", "--model=m", *flags])
    assert "--labels" in (error := capsys.readouterr().err) and "--name" in error
