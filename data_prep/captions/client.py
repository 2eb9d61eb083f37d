"""A client of OpenAI-compatible endpoints that trusts nothing of what a server sends.

Time, bytes and waits are bounded, redirects are refused, and whatever is quoted of a server is one
printable line without the API key. Every request has a connection of its own, so that bytes that a
server sends too many are never taken for the next answer.
"""

import asyncio
import base64
import dataclasses
import email.utils
import json
import logging
import random
import re
import time
import urllib.parse
import urllib.request
import zlib
from collections.abc import Mapping
from types import TracebackType
from typing import Any, NamedTuple, Self

from data_prep.captions import answers
from data_prep.captions.answers import Answer, Unusable
from data_prep.captions.redaction import Secrets
from motionalign import __version__

DEFAULT_URL = "https://api.openai.com/v1"
PATH = "/chat/completions"

LIMIT = 1 << 20  # bytes of a response
LONGEST_WAIT = 120.0  # seconds; an endpoint that asks for a longer one ends the job
UNUSABLE_RETRIES = 2  # of a response that is no completion: rarely the fault of a moment
SHORTEST_KEY = 8  # characters; local servers take any word, such as "none", which is no secret
_SHORTEST_PASSWORD = 4  # and of a key that is not a word, such as "sk-1234"

_RETRIED = (408, 409, 425, 429)  # and 500 to 599


class EndpointError(ValueError):
    """The endpoint cannot be used; the message says what it did and what to do about it."""


class _Failed(Exception):
    """A failed attempt, to be made again.

    Attributes:
      retries: how often at most, if less than what the user allows.
      wait: seconds to wait, as the server says.
    """

    def __init__(self, what: str, retries: int | None = None, wait: float | None = None) -> None:
        super().__init__(what)
        self.retries, self.wait = retries, wait


# ---------------------------------------------------------------------------- the address


@dataclasses.dataclass(frozen=True)
class Address:
    """Where requests go, and with which credentials.

    Attributes:
      url: of the requests, without user and password.
      shown: the endpoint as messages name it, without anything that may be secret.
      authorization: the header; None if there is no key.
      secrets: what must not be printed or stored.
    """

    url: str
    shown: str
    authorization: str | None
    secrets: Secrets

    def __repr__(self) -> str:
        """Its name in messages only."""
        return f"Address({self.shown!r})"


def address(base_url: str, key: str = "") -> Address:
    """Takes an endpoint's URL and key apart.

    User and password of the URL are sent as they would be by a browser, in place of the key.

    Args:
      base_url: http or https, up to /v1; it may hold a user, a password and a query.
      key: the API key, or empty.

    Raises:
      ValueError: the URL or the key cannot be used; the message does not repeat them.
    """
    key = key.strip()
    bad = next((i for i, c in enumerate(key) if not "!" <= c <= "~"), None)
    if bad is not None:
        raise ValueError(
            f"OPENAI_API_KEY: character {bad + 1} of {len(key)} is U+{ord(key[bad]):04X}, which no "
            "key has; copy the key again"
        )
    parts = _split(base_url)
    user, password = (urllib.parse.unquote(each or "") for each in (parts.username, parts.password))
    query = [value for _, value in urllib.parse.parse_qsl(parts.query)]
    long = [each for each in (key, *query) if len(each) >= SHORTEST_KEY]
    if not key.isalpha() and len(key) >= _SHORTEST_PASSWORD:
        long.append(key)
    if not password and len(user) >= SHORTEST_KEY:  # a token in place of a user
        long.append(user)
    short = [each for each in (password, *_proxy_passwords()) if len(each) >= _SHORTEST_PASSWORD]
    secrets = Secrets((*long, *short))
    where = parts.netloc.rpartition("@")[2]
    path = parts.path.rstrip("/").removesuffix(PATH)
    shown = f"{parts.scheme}://{where}{path}"
    authorization = f"Bearer {key}" if key else None
    if parts.username is not None:
        basic = base64.b64encode(f"{user}:{password}".encode()).decode()
        authorization = f"Basic {basic}"
        secrets = Secrets((*long, *short, basic))
    url = urllib.parse.urlunsplit((parts.scheme, where, path + PATH, parts.query, ""))
    return Address(url, secrets.line(shown), authorization, secrets)


def _split(base_url: str) -> urllib.parse.SplitResult:
    """The parts of an endpoint's URL; a ValueError that does not repeat it."""
    name = "--base_url (or OPENAI_BASE_URL)"
    expected = "expected http://HOST:PORT/v1 or https://HOST/v1"
    try:
        parts = urllib.parse.urlsplit(base_url.strip())
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError(f"{name} is not a URL; {expected}") from None
    if parts.scheme not in ("http", "https"):
        raise ValueError(f"{name} starts neither with http:// nor with https://; {expected}")
    if not host or not base_url.isprintable() or " " in base_url.strip():
        raise ValueError(f"{name} names no host, or holds a space; {expected}")
    return parts


def _proxy_passwords() -> list[str]:
    """Passwords in the proxies that the environment names, which messages of a library repeat."""
    found = []
    for proxy in urllib.request.getproxies().values():
        try:
            found.append(urllib.parse.unquote(urllib.parse.urlsplit(proxy).password or ""))
        except ValueError:
            continue
    return found


# ---------------------------------------------------------------------------- requests


class _Response(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes
    whole: bool  # whether the body ends within the limit


class Client:
    """Sends requests; an async context, since it holds a pool of connections."""

    def __init__(
        self,
        at: Address,
        timeout: float = 120.0,
        retries: int = 8,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Opens nothing yet.

        Args:
          at: the endpoint.
          timeout: seconds for one attempt, from connecting to the last byte.
          retries: further attempts at a request that fails.
          headers: further headers of every request.
        """
        self.address = at
        self._timeout, self._retries, self._headers = timeout, retries, headers or {}
        self._stopped = asyncio.Event()

    async def __aenter__(self) -> Self:
        import httpx

        for name in ("httpx", "httpcore"):  # whose records hold URLs and headers
            logging.getLogger(name).setLevel(logging.WARNING)
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",  # a compressed response may be a bomb
            "User-Agent": f"motionalign/{__version__}",
            **self._headers,
        }
        if self.address.authorization:
            headers["Authorization"] = self.address.authorization
        try:
            self._http = httpx.AsyncClient(
                headers=headers,
                timeout=None,  # of single reads; `_attempt` bounds the whole
                follow_redirects=False,  # which would send the key elsewhere
                limits=httpx.Limits(max_keepalive_connections=0),
            )
        except (ValueError, OSError, ImportError) as error:  # of proxies or certificates
            raise EndpointError(
                f"HTTP cannot be used: {self.address.secrets.line(str(error))}. Check the proxies "
                "and certificates that the environment names"
            ) from None
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._http.aclose()

    def stop(self) -> None:
        """Ends all waits; requests on their way are finished, but not made again."""
        self._stopped.set()

    async def ask(self, asked: Mapping[str, Any]) -> Answer:
        """The answer to a request.

        Raises:
          EndpointError: the endpoint cannot be used, or has failed too often.
        """
        for number in range(self._retries + 1):
            try:
                return await self._attempt(asked)
            except _Failed as failed:
                allowed = self._retries if failed.retries is None else failed.retries
                if number >= min(allowed, self._retries) or self._stopped.is_set():
                    raise self._error(str(failed)) from None
                # As long as the server says; otherwise longer each time, and not all at once.
                wait = failed.wait or min(0.5 * 2**number, 8.0) * random.uniform(0.75, 1.0)
            try:
                async with asyncio.timeout(wait):
                    await self._stopped.wait()
            except TimeoutError:
                continue
            raise self._error("it was stopped while waiting to ask again") from None
        raise AssertionError

    async def _attempt(self, asked: Mapping[str, Any]) -> Answer:
        """One attempt; `_Failed` if another one may succeed."""
        import httpx

        secrets = self.address.secrets
        try:
            async with asyncio.timeout(self._timeout):
                response = await self._send(asked)
        except TimeoutError:
            raise _Failed(
                f"it has not answered completely within {self._timeout:g} s (--timeout). Raise "
                "--timeout if the model is slow, or lower --concurrency or --max_tokens"
            ) from None
        except httpx.ConnectError as error:
            reason = secrets.line(str(error)) or "no connection"
            raise _Failed(
                f"Connection error ({reason}). Check that --base_url names a running server"
            ) from None
        except httpx.ReadError:
            raise _Failed("it closed the connection without an answer") from None
        except httpx.HTTPError as error:  # such as a malformed header, or an early end
            reason = secrets.line(str(error)) or type(error).__name__
            raise _Failed(f"it broke off, or does not speak HTTP ({reason})") from None
        except (httpx.InvalidURL, OSError, ValueError) as error:
            raise self._error(f"no request could be made: {secrets.line(str(error))}") from None
        if not 200 <= response.status < 300:
            self._refused(response, asked)
        return self._parsed(response, asked["max_tokens"])

    async def _send(self, asked: Mapping[str, Any]) -> _Response:
        """Sends a request and reads at most LIMIT bytes of the response."""
        async with self._http.stream("POST", self.address.url, json=dict(asked)) as response:
            # Headers may be in any encoding; the library's choice of one never fails.
            headers = {name.lower(): value for name, value in response.headers.items()}
            encoding = headers.get("content-encoding", "").strip().lower()
            body = bytearray()
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > LIMIT:
                    break
        whole = len(body) <= LIMIT
        data = bytes(body)
        if encoding in ("gzip", "x-gzip", "deflate") and whole:
            data, whole = _unpacked(data, encoding)
        return _Response(response.status_code, headers, data, whole)

    def _parsed(self, response: _Response, max_tokens: int) -> Answer:
        """The answer in a successful response."""
        try:
            if not response.whole:
                raise Unusable(f"more than {LIMIT:,} bytes")
            return answers.parse(response.body, self.address.secrets, max_tokens)
        except Unusable as error:
            raise _Failed(
                f"it answers with {error}; expected a chat completion in JSON. Check that "
                "--base_url is that of an OpenAI-compatible endpoint, which usually ends with /v1",
                UNUSABLE_RETRIES,
            ) from None

    def _refused(self, response: _Response, asked: Mapping[str, Any]) -> None:
        """Raises what a status other than 2xx means."""
        status, secrets = response.status, self.address.secrets
        if 300 <= status < 400:
            target = _target(self.address.url, response.headers.get("location", ""))
            raise self._error(
                f"it redirects ({status}) to {secrets.line(target) or 'nowhere'}, which is not "
                "followed: the key is sent to --base_url only. If that is the endpoint, give its "
                "URL as --base_url"
            )
        said = _reason(response, secrets)
        what = f"status {status}" + (f", {said}" if said else "")
        if status in _RETRIED or status >= 500:
            wait = _retry_after(response.headers)
            if wait and wait > LONGEST_WAIT:
                raise self._error(f"{what}; it asks to wait for {_duration(wait)} (Retry-After)")
            raise _Failed(what, wait=wait)
        if status in (401, 403):
            what += ". Set OPENAI_API_KEY to a key of this endpoint"
        elif status == 404:
            what += (
                f". Check that the endpoint serves --model={asked['model']}, and that --base_url "
                "is right; it usually ends with /v1"
            )
        raise self._error(what)

    def _error(self, what: str) -> EndpointError:
        return EndpointError(f"{self.address.shown} failed: {what}")


def _unpacked(data: bytes, encoding: str) -> tuple[bytes, bool]:
    """At most LIMIT bytes of a compressed body, and whether that is all."""
    # 15 bits of window; +32 finds out by itself whether the header is gzip's or zlib's.
    unpacker = zlib.decompressobj(15 + 32 if encoding != "deflate" or data[:1] == b"\x78" else -15)
    try:
        found = unpacker.decompress(data, LIMIT)
    except zlib.error:
        return b"\xff" + data[:100], True  # is not UTF-8, which is what the message says
    return found, not unpacker.unconsumed_tail


def _target(url: str, location: str) -> str:
    """The target of a redirect without user, password and query."""
    try:
        parts = urllib.parse.urlsplit(urllib.parse.urljoin(url, location))
        where = parts.netloc.rpartition("@")[2]
        path = parts.path.removesuffix(PATH)
        return urllib.parse.urlunsplit((parts.scheme, where, path, "", "")) if location else ""
    except ValueError:
        return ""


def _reason(response: _Response, secrets: Secrets) -> str:
    """What a server says about a failure, as one line."""
    try:
        text = response.body.decode("utf-8-sig")
        body = json.loads(text)
    except (RecursionError, UnicodeDecodeError):
        return ""
    except ValueError:
        if re.match(r"\s*<", text):
            return "an HTML page"
        return secrets.line(text)
    return secrets.line(answers.message_of(body)).rstrip(".") if body else ""


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, as a header says in either of its forms; None if it says nothing."""
    text = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", text):
        return float(text)
    try:
        wait = email.utils.parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, TypeError, OverflowError, OSError):
        return None
    return wait if wait > 0 else None


def _duration(seconds: float) -> str:
    if seconds >= 2 * 86400:
        return f"{seconds / 86400:,.0f} days"
    return f"{seconds / 3600:.1f} hours" if seconds >= 7200 else f"{seconds / 60:.0f} minutes"
