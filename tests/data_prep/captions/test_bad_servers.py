"""The description client against servers that do everything wrong.

Whatever a server sends, the command ends in time, with one line that says what was found, what was
expected and what to do; the API key is in no output and in no file.
"""

import base64
import email.utils
import gzip
import json
import logging
import os
import re
import socket
import subprocess
import sys
import time
import urllib.parse
import zlib

import pytest
from chat_server import (
    KEY,
    PROSE,
    Server,
    completion,
    distinct,
    forms,
    leaks,
    replies,
    response,
    says,
)
from runs import ROOT

from data_prep.__main__ import main

pytest.importorskip("httpx")

SECONDS = 10.0  # that a command may take at most, on a busy machine; most take 0.1


class Described:
    """What a command did: `message` that it ended with (None for success), all that it printed."""

    def __init__(self, folder, capsys, arguments):
        self.folder, self.out = folder, folder / "out.json"
        start, self.message = time.monotonic(), None
        try:
            main(["describe", f"--out={self.out}", "--model=m", *arguments])
        except SystemExit as ended:
            self.message = str(ended.code)
        self.seconds = time.monotonic() - start
        self.printed, self.errors = capsys.readouterr()

    def check(self, key=KEY):
        """What every command keeps to."""
        assert self.seconds < SECONDS
        assert "Traceback" not in self.errors + self.printed
        texts = [self.message or "", self.printed, self.errors]
        assert leaks(key, texts, self.folder) == []
        assert all(c.isprintable() or c in "\n\r" for c in self.printed + self.errors)
        if self.message is not None:
            assert self.message.startswith("data_prep: ") and self.message.isprintable()
            assert 60 < len(self.message) < 900
        assert not list(self.folder.rglob("*.motionalign-*"))  # locks and partial files


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """One root certificate: reading all of them takes longer than a test."""
    certifi = pytest.importorskip("certifi")
    end = "-----END CERTIFICATE-----\n"
    path = tmp_path_factory.mktemp("tls") / "root.pem"
    path.write_text(certifi.contents().partition(end)[0] + end)
    return path


@pytest.fixture
def describe(certificate, tmp_path, monkeypatch, capsys):
    """A function that runs the command at a URL, with answers for the given labels."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    folder = tmp_path / "work"
    folder.mkdir()

    def run(url, *arguments, labels=("walk",)):
        (folder / "labels.json").write_text(json.dumps(labels))
        given = [f"--labels={folder / 'labels.json'}", f"--base_url={url}", "--count=1"]
        return Described(folder, capsys, [*given, "--retries=0", "--timeout=9", *arguments])

    return run


def drip(*parts, pause=0.05):
    return lambda call: call.send(*parts, pause=pause)


def endless(head, piece):
    """Sends a piece again and again, as fast as it goes."""

    def behave(call):
        call.send(head)
        while not call.server.ended.is_set():
            call.send(piece)

    return behave


def raw(data):
    return lambda call: call.send(data)


def in_words(data, status=401):
    """An error whose message is made of bytes."""
    body = json.dumps({"error": {"message": f"no such key: {data.decode('latin-1')}"}})
    return replies(body.encode(), status)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
BOMB = gzip.compress(b"[" + b" " * 50_000_000)
SOUND = completion()
FAR = email.utils.formatdate(time.time() + 1e6, usegmt=True)
JSON_ERROR = '{"error": {"message": %s}}'

# name → (what the server does, what the one line says).
BAD = {
    # No HTTP, or not all of it.
    "bytes that are no HTTP": (raw(b"\x00\xff\x17garbage\r\n\r\n"), "does not speak HTTP"),
    "a key in place of HTTP": (raw(KEY.encode() + b"\r\n\r\n"), "does not speak HTTP .*withheld"),
    "a header without a colon": (
        raw(b"HTTP/1.1 200 OK\r\n" + KEY.encode() + b"\r\n\r\n"), "does not speak HTTP"),
    "an endless header": (endless(b"HTTP/1.1 200 OK\r\nX: ", b"x" * 4096), "does not speak HTTP"),
    "endless headers": (endless(b"HTTP/1.1 200 OK\r\n", b"A: b\r\n" * 999), "does not speak HTTP"),
    "endless interim responses": (endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), "within 0.5 s"),
    "another protocol": (
        replies(status=101, reason="Switching"), r"(does not speak HTTP|status 101)"),
    "a connection closed at once": (lambda call: None, "HTTP|without an answer"),
    "a connection reset": (lambda call: call.reset(), "closed the connection without an answer"),
    "no answer at all": (lambda call: call.hang(), "not answered completely within 0.5 s"),
    "a slow body": (drip(response(b"", length=500), *[b"{ "] * 400), "within 0.5 s .--timeout"),
    "slow headers": (drip(b"HTTP/1.1 200 OK\r\n", *[b"A: b\r\n"] * 400), "within 0.5 s .--timeout"),
    "a slow chunked body": (drip(CHUNKED, *[b"1\r\n \r\n"] * 400), "within 0.5 s .--timeout"),
    "a body that is too short": (replies(SOUND, length=5000), "broke off.*expected 5000"),
    "a body that is too long": (replies(SOUND, length=50), "bytes that are not JSON"),
    "two lengths": (replies(SOUND, content_length=7), "does not speak HTTP"),
    "a negative length": (replies(SOUND, length=-1), "does not speak HTTP"),
    "chunks of garbage": (raw(CHUNKED + b"zz\r\n" + SOUND), "does not speak HTTP"),
    # Too much.
    "an endless body": (endless(CHUNKED, b"1000\r\n" + b" " * 4096 + b"\r\n"), "1,048,576 bytes"),
    "ten megabytes": (replies(completion("word " * 2_000_000)), "more than 1,048,576 bytes"),
    "a bomb of gzip": (replies(BOMB, content_encoding="gzip"), "more than 1,048,576 bytes"),
    "a bomb of deflate": (
        replies(zlib.compress(b" " * 50_000_000), content_encoding="deflate"), "1,048,576 bytes"),
    "damaged gzip": (replies(b"\x1f\x8bnothing", content_encoding="gzip"), "not UTF-8"),
    "an unknown compression": (replies(b"\x28\xb5\x2f\xfd", content_encoding="zstd"), "not UTF-8"),
    "a text of 100,000 characters": (says("word " * 20_000), r"100,000 char.*have at most 4,800"),
    "one line without a space": (says("w" * 5000), "5,000 characters long"),
    # No JSON.
    "an empty body": (replies(), "answers with an empty body; expected a chat completion"),
    "no content": (replies(status=204), "answers with an empty body"),
    "a page": (replies(b"<!DOCTYPE html><p>" + KEY.encode()), "a page of HTML.*ends with /v1"),
    "a word": (replies(b"hello"), "5 bytes that are not JSON, starting 'hello'"),
    "a stream of events": (replies(b"data: " + SOUND + b"\n\n"), "not JSON, starting 'data: {"),
    "latin-1": (replies(completion("läuft").decode().replace("\\u00e4", "ä").encode("latin-1")),
                "bytes that are not UTF-8 .0xe4"),
    "UTF-16": (replies(SOUND.decode().encode("utf-16")), "bytes that are not UTF-8"),
    "JSON cut off": (replies(SOUND[:90]), "90 bytes that are not JSON"),
    "deep nesting": (replies(b"[" * 200_000), "nested too deeply"),
    "deep objects": (replies(b'{"a":' * 100_000 + b"1" + b"}" * 100_000), "nested too deeply"),
    "a number of 9,000 digits": (replies(b'{"choices": ' + b"9" * 9000 + b"}"), "not JSON"),
    # Other JSON.
    "null": (replies(b"null"), "a JSON null in place of an object"),
    "a list": (replies(b"[]"), "a JSON list in place of an object"),
    "a text": (replies(json.dumps(KEY).encode()), "a JSON text in place of an object"),
    "not a number": (replies(b"NaN"), "a JSON number in place of an object"),
    "an empty object": (replies(b"{}"), "without a list of choices; it has nothing"),
    "other fields": (replies(b'{"output": 1, "x": 2}'), "list of choices; it has output, x"),
    "a key as field": (replies(json.dumps({KEY: 1}).encode()), "it has .withheld, because it rep"),
    "choices null": (says(choices=None), "without a list of choices"),
    "choices an object": (says(choices={"0": 1}), "without a list of choices"),
    "choices empty": (says(choices=[]), "'walk', answer 0: without a choice, 4 times"),
    "a choice null": (says(choices=[None]), r"choices\[0\] has no message"),
    "a choice that is a list": (says(choices=[[1]]), r"choices\[0\] has no message"),
    "a message missing": (says(choices=[{"text": PROSE}]), r"choices\[0\] has no message"),
    "a message null": (says(choice={"message": None}), r"choices\[0\] has no message"),
    "content null": (says(None), "'walk', answer 0: empty, 4 times"),
    "content missing": (says(choice={"message": {"role": "assistant"}}), "empty, 4 times"),
    "content a number": (says(5), "whose message has content of type int"),
    "content an object": (says({"text": PROSE}), "whose message has content of type dict"),
    "content a list of numbers": (says([1, 2]), "whose message has content of type list"),
    "a part without text": (says([{"type": "text"}]), "has a part without a text"),
    "a tool call": (
        says(None, message={"tool_calls": [{"function": {"name": KEY}}]}), "a tool call in place"),
    "a filtered answer": (says("", choice={"finish_reason": "content_filter"}), "a refusal, 4 t"),
    "a refusal": (says(None, message={"refusal": KEY}), "a refusal, 4 times"),
    "an error in place of an answer": (
        replies(b'{"error": {"message": "no credit", "code": 402}}'), "an error: no credit"),
    "an error without words": (replies(b'{"error": [1, {"a": null}]}'), r"an error: \[1, "),
    # Texts that are none.
    "half a surrogate pair": (says("The person \ud800 walks."), r"surrogate pair \(U\+D800\)"),
    "a null character": (says("The person\0walks."), r"not text: .* character U\+0000"),
    "control characters": (says("\x1b[31mThe person walks."), r"not text: .* U\+001B"),
    "replacement characters": (says("The person l\ufffduft."), r"not text: .* U\+FFFD"),
    "a page as content": (says("<html><body>Bad gateway</body></html>"), "a page of HTML or XML"),
    "JSON as content": (says('{"description": "walks"}'), "JSON in place of a text"),
    "signs as content": (says("..... 123 !!"), "without a letter"),
    "another script": (says("一个人以均匀的步伐向前走。"), "not in Latin letters"),
    "thoughts without end": (says("<think>The user wants"), "cut off, 4 times"),
    "only thoughts": (says("<think>The user wants a text</think>\n"), "empty, 4 times"),
    # Status.
    "a redirect": (
        replies(status=302, location="http://other.example/v1/chat/completions"),
        r"redirects \(302\) to http://other.example/v1, which is not followed: the key is sent to"),
    "a permanent redirect": (
        replies(status=308, location="https://other.example/x?k=" + KEY), "to https://other.exam"),
    "a redirect with a password": (
        replies(status=307, location="http://u:pass@h.example/" + KEY), "to .withheld"),
    "a redirect to nowhere": (replies(status=301), "to nowhere"),
    "a redirect to garbage": (replies(status=301, location="http://[::"), "Invalid URL in"),
    "a redirect to itself": (replies(status=302, location="/v1/chat/completions"), "is not foll"),
    "choices of redirects": (replies(SOUND, status=300), r"redirects \(300\) to nowhere"),
    "a wrong request": (
        replies(b'{"detail": [{"loc": ["seed"], "msg": "unknown field"}]}', 422),
        r'status 422, \[{"loc": \["seed"\], "msg": "unknown field"}\]\. Answers so far'),
    "no such path": (replies(b"<h1>Not found</h1>", 404), "status 404, an HTML page. Check that"),
    "a wrong key": (replies(b'{"error": "no"}', 401), "status 401, no. Set OPENAI_API_KEY"),
    "no right": (replies(b"\xff\xfe", 403), "status 403. Set OPENAI_API_KEY"),
    "a failure": (replies(b"[" * 100_000, 500), "status 500. Answers so far are kept in .*out.c"),
    "escapes in a failure": (
        replies(b'{"error": "\\u001b[2J\\u0007 bad\\n\\n\\nluck"}', 503), r"503, \[2J bad luck"),
    "a limit for hours": (
        replies(status=429, retry_after="36000"), r"status 429; .* wait for 10.0 hours .Retry-Af"),
    "a limit for days": (replies(status=429, retry_after=FAR), "wait for 12 days"),
    "a limit for ever": (replies(status=503, retry_after="9" * 400), "status 503"),
    "a limit of garbage": (replies(status=429, retry_after=KEY), "status 429. Answers so far"),
    "a limit in the past": (replies(status=429, retry_after="-5"), "status 429. Answers so far"),
    "a key as reason": (replies(status=500, reason=KEY), "status 500"),
    # The key, sent back in any form.
    **{f"a key in an error: {name}": (in_words(form), "status 401, .withheld, because it repeats")
       for name, form in forms(KEY).items()},
    **{f"a key in an answer: {name}": (
        says(f"The person walks. {form.decode('latin-1')}"), "(repeats the API key|not text)")
       for name, form in forms(KEY).items()},
    "a key in a text error": (replies(b"Who is " + KEY.encode(), 400), "status 400, .withheld"),
    "a key at the cut": (in_words(b"x" * 180 + KEY.encode()), "status 401, .withheld"),
    "a key in escapes of escapes": (
        in_words(base64.b64encode(urllib.parse.quote(KEY).encode())), "status 401, .withheld"),
    "a key in both": (
        in_words(base64.b64encode(b"Bearer " + KEY.encode()).hex().encode()), ".withheld"),
    "a key in parts": (says([{"type": "text", "text": part} for part in (KEY[:9], KEY[9:])]),
                       "a text that repeats the API key"),
}  # fmt: skip


def test_there_are_at_least_31_kinds():
    assert len(BAD) - 2 * len(forms(KEY)) > 31


@pytest.mark.parametrize("name", BAD)
def test_a_bad_server_ends_in_one_line(name, describe):
    behave, expected = BAD[name]
    with Server(behave) as server:
        slow = ["--timeout=0.5"] if "within 0.5 s" in expected else []
        found = describe(server.url, *slow)
        assert 1 <= len(server.calls) <= 4
    found.check()
    assert found.message is not None and re.search(expected, found.message), found.message
    assert "the same command continues from there" in found.message
    assert not found.out.exists()


def test_no_server(describe):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # nothing listens there
        found = describe(f"http://127.0.0.1:{unused.getsockname()[1]}/v1")
    found.check()
    assert "Connection error" in found.message and "Check that --base_url" in found.message


def test_a_server_without_tls(describe):
    with Server(lambda call: None) as server:
        found = describe(f"https://{server.host}/v1")
    found.check()
    assert re.search(r"Connection error \(.*SSL.*\)\. Check that --base_url", found.message)


# name → (what the server does, what the command prints although it succeeds).
ODD = {
    "another model": (
        says(model="cheap-1"),
        r"--model=m was asked for, but the endpoint names as author: cheap-1 \(1\)\. Check"),
    "a key as model": (says(model=KEY), "names as author: .withheld, because"),
    "a model that is a list": (says(model=[KEY]), r"names as author: \(list\) \(1\)"),
    "no model": (says(model=...), "1 answers requested, 0 from the cache; 10 tokens in, 20 out"),
    "an unknown end": (
        says(choice={"finish_reason": "banana"}), r"unknown finish_reason, .*: banana \(1\)"),
    "a key as end": (says(choice={"finish_reason": KEY}), "unknown finish_reason, .* .withheld"),
    "an end that is a number": (says(choice={"finish_reason": 3}), r"finish_reason, .*: \(int\)"),
    "no end": (says(choice={"finish_reason": None}), "10 tokens in, 20 out\n"),
    "no usage": (says(usage=...), "without a valid number .* from the sum: 1"),
    "usage null": (says(usage=None), "without a valid number .* from the sum: 1"),
    "usage a list": (says(usage=[1, 2]), "without a valid number .* from the sum: 1"),
    "negative usage": (
        says(usage={"prompt_tokens": -5, "completion_tokens": 7}), "without a valid.*\n.* 0 tok"),
    "huge usage": (
        says(usage={"prompt_tokens": 10**30, "completion_tokens": 7}), "without a valid.*\n.* 0 t"),
    "usage in words": (
        says(usage={"prompt_tokens": KEY, "completion_tokens": "7"}), "0 tokens in, 0 out"),
    "usage not a number": (
        says(usage={"prompt_tokens": float("nan"), "completion_tokens": True}), "0 tokens in, 0 o"),
    "not a number elsewhere": (says(choice={"logprobs": float("nan")}), "10 tokens in, 20 out"),
    "a byte order mark": (replies(b"\xef\xbb\xbf" + completion("\ufeff" + PROSE)), "10 tokens in"),
    "parts": (
        says([{"type": "thinking", "thinking": [KEY]}, {"type": "text", "text": PROSE}]), "10 tok"),
    "thoughts": (says(f"<think>I am sorry, a walk is {{}}</think>\n\n{PROSE}"), "10 tokens in"),
    "white space": (says(f"\r\n\t {PROSE}\n\n"), "10 tokens in"),
    "gzip": (replies(gzip.compress(SOUND), content_encoding="gzip"), "10 tokens in"),
    "deflate": (replies(zlib.compress(SOUND), content_encoding="deflate"), "10 tokens in"),
    "interim responses": (raw(b"HTTP/1.1 103 Hints\r\n\r\n" * 3 + response(SOUND)), "10 tokens in"),
    "chunks": (raw(CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (len(SOUND), SOUND)), "10 tokens in"),
    "no length": (raw(b"HTTP/1.0 200 OK\r\n\r\n" + SOUND), "10 tokens in"),
    "cookies": (replies(SOUND, set_cookie=f"k={KEY}"), "10 tokens in"),
    "another content type": (replies(SOUND, content_type="text/html; charset=x"), "10 tokens in"),
    "two choices": (says(choices=json.loads(SOUND)["choices"] * 2), "10 tokens in"),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_an_odd_server_is_understood(name, describe):
    behave, expected = ODD[name]
    with Server(behave) as server:
        found = describe(server.url)
    found.check()
    assert found.message is None, found.message
    assert re.search(expected, found.printed), found.printed
    assert json.loads(found.out.read_text())["answers"] == {"walk": [PROSE]}
    (stored,) = (found.folder / "out.cache").glob("*.json")
    assert PROSE in stored.read_text()


def test_equal_answers_are_reported(describe):
    with Server(says()) as server:
        found = describe(server.url, "--count=5", labels=["walk", "run"])
    found.check()
    assert "all answers are equal for 2 of 2 labels ('run', 'walk')" in found.printed
    assert f"2 labels ('run', 'walk') have the same answer, '{PROSE[:60]}'" in found.printed


def test_different_answers_are_not_reported(describe):
    with Server(distinct) as server:
        found = describe(server.url, "--count=5", labels=["walk", "run"])
    assert found.message is None
    assert found.printed.splitlines()[1:] == [
        "10 answers requested, 0 from the cache; 100 tokens in, 200 out",
        f"{found.out}: 5 answers for each of 2 labels",
        "Next:",
        f"  python -m data_prep embed --name=NAME --texts {found.out}",
    ]


def test_a_failure_keeps_the_answers_on_their_way(describe):
    """One request is refused; the others, which the endpoint is writing already, are kept."""

    def behave(call):
        if call.asked["seed"] == 2:
            call.send(response(status=400))
        else:
            call.hang(0.3)
            distinct(call)

    with Server(behave) as server:
        found = describe(server.url, "--count=4", "--concurrency=4")
    found.check()
    assert "status 400" in found.message
    assert "3 answers requested" in found.printed
    assert len(list((found.folder / "out.cache").glob("*.json"))) == 3


def test_a_moment_of_nonsense_is_survived(describe):
    """A response that is no completion is asked for again twice, and not eight times."""

    def behave(call):
        first = len(call.server.calls) <= 2
        call.send(response(b"<html>" if first else SOUND))

    with Server(behave) as server:
        assert describe(server.url, "--retries=8").message is None
        assert len(server.calls) == 3
    with Server(replies(b"<html>")) as server:
        assert "a page of HTML" in describe(server.url, "--retries=8", labels=["run"]).message
        assert len(server.calls) == 3


def test_bytes_too_many_are_not_the_next_answer(describe):
    """Each request has its own connection, so that an answer cannot be slipped in before it."""

    def behave(call):
        call.send(response(completion("Mine: " + call.asked["messages"][0]["content"])))
        call.send(response(completion("Slipped in.")))

    with Server(behave) as server:
        found = describe(server.url, "--concurrency=1", labels=["walk", "run", "jump"])
    texts = [text for (text,) in json.loads(found.out.read_text())["answers"].values()]
    assert all(text.startswith("Mine: ") for text in texts)


# ---------------------------------------------------------------------------- the key


def test_the_key_is_sent_to_the_endpoint_and_nowhere_else(describe):
    with Server(distinct) as other, Server(replies(status=307, location=other.url)) as server:
        describe(server.url).check()
        assert [call.headers["authorization"] for call in server.calls] == [f"Bearer {KEY}"]
        assert not other.calls


def test_the_account_is_named(describe, monkeypatch):
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-2")
    with Server(says()) as server:
        assert describe(server.url).message is None
        headers = server.calls[0].headers
    assert (headers["openai-organization"], headers["openai-project"]) == ("org-1", "proj-2")


def test_no_key_is_sent_if_there_is_none(describe, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    with Server(distinct) as server:
        assert describe(server.url).message is None
        assert "authorization" not in server.calls[0].headers


@pytest.mark.parametrize("status", [200, 401])
@pytest.mark.parametrize("where", ["password", "user", "query"])
def test_a_key_in_the_url(where, status, describe, monkeypatch):
    """It is sent as it was given, and not shown, whatever the server repeats of it."""
    monkeypatch.delenv("OPENAI_API_KEY")
    quoted = urllib.parse.quote(KEY, safe="")
    user = {"password": f"me:{quoted}@", "user": f"{quoted}@", "query": ""}[where]
    query = f"?version=1&api_key={quoted}" if where == "query" else ""

    def behave(call):
        sent = call.headers.get("authorization", "") + call.target
        body = json.dumps({"error": {"message": sent}}).encode()
        call.send(response(SOUND if status == 200 else body, status))

    with Server(behave) as server:
        found = describe(f"http://{user}{server.host}/v1{query}")
        found.check()
        (call,) = server.calls
    basic = {"password": f"me:{KEY}", "user": f"{KEY}:", "query": None}[where]
    if basic:
        expected = "Basic " + base64.b64encode(basic.encode()).decode()
        assert call.headers["authorization"] == expected
        assert leaks(expected[6:], [found.message or "", found.printed, found.errors]) == []
    assert call.target == f"/v1/chat/completions{query}"
    assert f": http://{server.host}/v1\n" in found.printed
    assert (found.message is None) == (status == 200)


def test_a_short_password_in_the_url(describe):
    with Server(says("My word is hunter2, it walks.")) as server:
        found = describe(f"http://me:hunter2@{server.host}/v1")
    found.check("hunter2")
    assert "repeats the API key or a password" in found.message


@pytest.mark.parametrize("key", ["sk-test", "k3y-99"])
def test_a_short_key(key, describe, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with Server(says(f"The person walks, {key}.")) as server:
        found = describe(server.url)
    found.check(key)
    assert "repeats the API key or a password" in found.message


def test_a_placeholder_is_no_secret(describe, monkeypatch):
    """Local servers take any word as a key; descriptions may well contain it."""
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    with Server(says("The person walks, and none of the arms moves.")) as server:
        assert describe(server.url).message is None
        assert server.calls[0].headers["authorization"] == "Bearer none"


@pytest.mark.parametrize("key", [f" {KEY}\n", f"\t{KEY}\r\n"])
def test_space_around_the_key(key, describe, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with Server(says()) as server:
        found = describe(server.url)
        assert server.calls[0].headers["authorization"] == f"Bearer {KEY}"
    found.check()


@pytest.mark.parametrize("key", [f"{KEY[:9]}…{KEY[9:]}", f"{KEY[:9]}\n{KEY[9:]}", KEY[:9] + "é"])
def test_a_key_that_no_header_can_hold(key, describe, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with Server(says()) as server:
        found = describe(server.url)
        assert not server.calls
    found.check()
    assert re.search(
        r"OPENAI_API_KEY: character 10 of \d+ is U\+.*copy the key again", found.message
    )


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("localhost:11434/v1", "starts neither with http"),
        (f"ftp://h/{KEY}", "starts neither with http"),
        (f"http://[{KEY}", "is not a URL"),
        (f"http://h:{KEY}/v1", "is not a URL"),
        (f"http:///{KEY}", "names no host"),
        (f"http://ho st/{KEY}", "names no host, or holds a space"),
        ("http://h\x00/v1", "names no host, or holds a space"),
    ],
)
def test_a_wrong_url(url, expected, describe):
    found = describe(url)
    found.check()
    assert re.search(
        rf"--base_url \(or OPENAI_BASE_URL\) {expected}.*; expected http", found.message
    )


def test_a_url_that_ends_with_the_path(describe):
    with Server(says()) as server:
        assert describe(f"{server.url}/chat/completions/").message is None
        assert server.calls[0].target == "/v1/chat/completions"


def test_a_proxy_with_a_password(describe, monkeypatch):
    monkeypatch.setenv("ALL_PROXY", f"bad://me:{urllib.parse.quote(KEY, safe='')}@h")
    monkeypatch.delenv("OPENAI_API_KEY")
    found = describe("http://h.example/v1")
    found.check()
    assert "HTTP cannot be used: Unknown scheme for proxy" in found.message


def test_a_log_does_not_hold_the_key(describe, caplog):
    caplog.set_level(logging.DEBUG)
    with Server(replies(SOUND, x_echo=KEY)) as server:
        found = describe(f"{server.url}?api_key={urllib.parse.quote(KEY)}")
    assert found.message is None
    assert leaks(KEY, [caplog.text]) == []


@pytest.mark.parametrize("name", ["a key in an error: plain", "a header without a colon", "a page"])
def test_a_traceback_does_not_show_the_key(name, tmp_path, monkeypatch, capsys):
    """--traceback is for reports of bugs, which are public."""
    import traceback

    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    (tmp_path / "labels.json").write_text('["walk"]')
    with Server(BAD[name][0]) as server, pytest.raises(ValueError) as raised:
        main(["describe", f"--labels={tmp_path / 'labels.json'}", f"--out={tmp_path / 'out.json'}",
              "--model=m", f"--base_url={server.url}", "--retries=0", "--traceback"])  # fmt: skip
    shown = "".join(traceback.format_exception(raised.value))
    assert "failed: " in shown
    assert leaks(KEY, [shown, *capsys.readouterr()], tmp_path) == []
    chain, each = [], raised.value
    while each := each.__cause__ or (None if each.__suppress_context__ else each.__context__):
        chain.append(each)
    assert not chain


def test_as_a_process(tmp_path):
    """With all that a process prints by itself, and the exit status."""
    (tmp_path / "labels.json").write_text('["walk"]')
    with Server(BAD["a key in an error: plain"][0]) as server:
        flags = [f"--labels={tmp_path / 'labels.json'}", f"--out={tmp_path / 'out.json'}"]
        flags += ["--model=m", f"--base_url={server.url}"]
        done = subprocess.run(
            [sys.executable, "-m", "data_prep", "describe", "--traceback", *flags],
            cwd=ROOT,
            env=os.environ | {"OPENAI_API_KEY": KEY},
            capture_output=True,
            encoding="utf-8",
        )
    assert done.returncode == 1
    assert "status 401" in done.stderr
    assert leaks(KEY, [done.stdout, done.stderr], tmp_path) == []
