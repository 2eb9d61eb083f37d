"""What must never be printed or stored, the API key first, recognised in what a server sends.

A server can send a key back as it is, or escaped, percent-encoded, in base64, base32 or
hexadecimal, backwards, or with signs between its letters. Such a text is withheld as a whole, since
replacing the key in it would rely on knowing its form.
"""

import base64
import binascii
import html
import re
import unicodedata
import urllib.parse
from collections.abc import Iterable, Iterator

_PIECE = 12  # characters of a secret that count as the secret, so that no part of one is printed
_READ = 4000  # characters of a server's text that a message considers
_ROUNDS = 3  # how many encodings one inside the other are undone

_ESCAPES = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{6,}")
_BASE32 = re.compile(r"[A-Za-z2-7]{16,}")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2}){4,}")
_SPACED_HEX = re.compile(r"(?:[^0-9a-zA-Z]{0,2}(?:0?x)?[0-9a-fA-F]{2}){4,}")


class Secrets:
    """The texts to withhold."""

    def __init__(self, values: Iterable[str]) -> None:
        """Takes the secrets; empty ones are ignored."""
        pieces = set()
        for value in values:
            folded = _bare(value).casefold()
            size = min(_PIECE, len(folded))
            pieces |= {folded[i : i + size] for i in range(len(folded) - size + 1)} - {""}
            plain = _plain(folded)
            # Words without signs between them, as in "not-needed", may well be prose.
            if len(plain) >= _PIECE and not plain.isalpha():
                pieces |= {plain[i : i + _PIECE] for i in range(len(plain) - _PIECE + 1)}
        self._pieces = sorted(pieces | {piece[::-1] for piece in pieces})

    def are_in(self, text: str) -> bool:
        """Whether a text contains a secret, or 12 characters of one, in any usual encoding."""
        if not self._pieces:
            return False
        found = {text}
        fresh = found
        for _ in range(_ROUNDS):
            fresh = {view for each in fresh for view in _decoded(each)} - found
            found |= fresh
        folded = [view.casefold() for view in found]
        return any(piece in view for view in folded for piece in self._pieces)

    def line(self, text: str, limit: int = 200) -> str:
        """The start of a server's text as one printable line, or a note if it holds a secret."""
        text = text[:_READ]
        if self.are_in(text):
            return "(withheld, because it repeats the API key or a password)"
        text = "".join(c if c.isprintable() else " " for c in text)
        text = " ".join(text.split())
        return text if len(text) <= limit else text[: limit - 3] + "..."


def _decoded(text: str) -> Iterator[str]:
    """A text with one encoding undone, for each that may be there."""
    yield _bare(text)
    yield _plain(text)
    if "%" in text or "+" in text:
        yield urllib.parse.unquote_plus(text)
        yield urllib.parse.unquote(text)
    if "&" in text:
        yield html.unescape(text)
    if "\\" in text:
        yield _ESCAPES.sub(_unescape, text)
    # In longer runs of letters, a block of four or two may start anywhere.
    if tokens := [found[0].translate(_STANDARD) for found in _BASE64.finditer(text)]:
        yield from ("\n".join(_unbase64(each[start:]) for each in tokens) for start in range(4))
    if tokens := [found[0] for found in _BASE32.finditer(text)]:
        yield "\n".join(_unbase32(each) for each in tokens)
    if tokens := [found[0] for found in _SPACED_HEX.finditer(text)]:
        pairs = (re.findall(r"[0-9a-fA-F]{2}", each.replace("0x", " ")) for each in tokens)
        yield "\n".join(bytes.fromhex("".join(each)).decode("latin-1") for each in pairs)
    if tokens := [found[0] for found in _HEX.finditer(text)]:
        yield from (
            "\n".join(
                bytes.fromhex(each[start : len(each) - (len(each) - start) % 2]).decode("latin-1")
                for each in tokens
            )
            for start in range(2)
        )


_STANDARD = str.maketrans("-_", "+/")


def _bare(text: str) -> str:
    """A text without white space and invisible characters, which may be put between letters.

    Letters and digits of other widths become the usual ones.
    """
    text = unicodedata.normalize("NFKC", text)
    return "".join(c for c in text if c.isprintable() and not c.isspace())


def _plain(text: str) -> str:
    """The letters and digits of a text."""
    return "".join(c for c in text if c.isalnum())


def _unescape(found: re.Match) -> str:
    code = found[1] or found[2]
    return chr(int(code, 16)) if code else found[3]


def _unbase64(token: str) -> str:
    token = token[:-1] if len(token) % 4 == 1 else token
    try:
        return base64.b64decode(token + "=" * (-len(token) % 4)).decode("latin-1")
    except (binascii.Error, ValueError):
        return ""


def _unbase32(token: str) -> str:
    token = token[: len(token) // 8 * 8 + (0, 0, 2, 2, 4, 5, 5, 7)[len(token) % 8]]
    try:
        return base64.b32decode(token + "=" * (-len(token) % 8), casefold=True).decode("latin-1")
    except (binascii.Error, ValueError):
        return ""
