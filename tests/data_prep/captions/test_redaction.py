"""What counts as a repetition of a secret, and what does not."""

import base64
import json
import time
import urllib.parse

import pytest
from chat_server import KEY, PROSE, forms

from data_prep.captions.redaction import Secrets

SECRETS = Secrets([KEY, "", "hunter2"])
WITHHELD = "(withheld, because it repeats the API key or a password)"


@pytest.mark.parametrize("name", forms(KEY))
def test_a_key_in_any_form(name):
    form = forms(KEY)[name].decode("latin-1")
    assert SECRETS.are_in(form)
    assert SECRETS.line(f"You sent {form}; this is wrong.") == WITHHELD


@pytest.mark.parametrize(
    "text",
    [
        KEY[3:17],  # a part
        KEY.replace("T", "\u200bT"),  # an invisible character inside
        "\n".join(KEY[i : i + 4] for i in range(0, len(KEY), 4)),
        "x" * 3900 + KEY,
        json.dumps(json.dumps({"key": f"\u1234{KEY}"})),
        base64.b64encode(base64.b64encode(KEY.encode())).decode(),
        urllib.parse.quote(base64.b64encode(f"me:{KEY}".encode()).decode()),
        "hUnTeR2!",
        KEY[::-1],
        KEY.swapcase(),
        "-".join(KEY),
        "_".join(KEY[i : i + 3] for i in range(0, len(KEY), 3)),
        f"https://{KEY.translate(dict.fromkeys(map(ord, '/+=~'), None))}.example",
        "".join(chr(ord(c) + 0xFEE0) for c in KEY),  # full width
        base64.b32encode(KEY.encode()).decode(),
        base64.b32encode(KEY.encode()).decode().rstrip("=").lower(),
        ":".join(f"{b:02x}" for b in KEY.encode()),
        "".join(f"={b:02X}" for b in KEY.encode()),  # quoted-printable
        ", ".join(f"0x{b:02x}" for b in KEY.encode()),
    ],
)
def test_a_key_in_disguise(text):
    assert SECRETS.are_in(text)
    assert SECRETS.line(text) == WITHHELD


@pytest.mark.parametrize(
    "text", [PROSE, "", "sk-test", "a hunter with 2 dogs", "%zz &#; \\u12 ==="]
)
def test_other_texts_are_shown(text):
    assert not SECRETS.are_in(text)
    assert SECRETS.line(text) == text


@pytest.mark.parametrize("text", ["no support is not needed", "a film_studio", "no key required"])
def test_the_words_of_a_placeholder_are_shown(text):
    """Local servers take any word; a description may hold those of a placeholder."""
    secrets = Secrets(["not-needed", "lm-studio", "sk-no-key-required"])
    assert not secrets.are_in(text)


def test_without_secrets_nothing_is_withheld():
    assert Secrets(["", " "]).line(KEY) == KEY


def test_a_line_is_printable_and_short():
    text = "a\r\nb\tc\x1b[31md\0e\u202ef\ud800g" + "h" * 500
    line = Secrets([]).line(text, 40)
    assert line == "a b c [31md e f g" + "h" * 20 + "..."
    line.encode()


@pytest.mark.parametrize("text", ["%25" * 1600, "Ab9/" * 1200, "deadbeef" * 600, "&amp;" * 960])
def test_it_is_quick(text):
    """Whatever a server sends: texts are bounded before they are searched."""
    start = time.monotonic()
    assert not SECRETS.are_in(text)
    assert time.monotonic() - start < 2  # 0.2 s where nothing else runs
