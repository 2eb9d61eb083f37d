"""A chat endpoint on this machine that sends exactly the bytes that a test wants."""

import base64
import contextlib
import json
import pathlib
import socket
import socketserver
import struct
import threading
import time
import urllib.parse

KEY = "sk-test/Q9w8+E7r6=T5y4U3i2~Z1x2C3v4"
PROSE = "The person moves forward at an even pace."


class Server(socketserver.ThreadingTCPServer):
    """Calls `behave(call)` for every request. A context that ends with the server.

    Attributes:
      calls: all requests so far.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, behave):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behave, self.calls, self.lock = behave, [], threading.Lock()
        self.ended = threading.Event()
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def host(self):
        return f"127.0.0.1:{self.server_address[1]}"

    @property
    def url(self):
        return f"http://{self.host}/v1"

    def handle_error(self, request, client_address):
        """Clients that hang up are expected."""

    def __exit__(self, *error):
        self.ended.set()
        self.shutdown()
        super().__exit__(*error)


class Call:
    """One request: `target`, `headers` in lower case, `asked` (its JSON), and its connection."""

    def __init__(self, connection, server, head, body):
        self.connection, self.server = connection, server
        first, *lines = head.decode("latin-1").split("\r\n")
        self.target = first.split(" ")[1]
        self.headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}
        self.asked = json.loads(body)

    def send(self, *parts, pause=0.0):
        for part in parts:
            if self.server.ended.is_set():
                return
            self.connection.sendall(part)
            if pause:
                self.server.ended.wait(pause)

    def hang(self, seconds=30.0):
        self.server.ended.wait(seconds)

    def reset(self):
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()


class _Handler(socketserver.BaseRequestHandler):
    def handle(self):
        data = b""
        while b"\r\n\r\n" not in data:
            more = self.request.recv(65536)
            if not more:
                return
            data += more
            if data[0] == 22:  # a handshake of TLS, which this server does not speak
                self.request.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                return
        head, _, body = data.partition(b"\r\n\r\n")
        call = Call(self.request, self.server, head, body or b"null")
        size = int(call.headers.get("content-length", 0))
        while len(body) < size:
            body += self.request.recv(65536)
        call.asked = json.loads(body)
        with self.server.lock:
            self.server.calls.append(call)
        with contextlib.suppress(OSError):
            self.server.behave(call)


def completion(content=PROSE, **changes):
    """The body of a chat completion; a change to `...` removes the field."""
    message = {"role": "assistant", "content": content} | changes.pop("message", {})
    choice = {"index": 0, "message": message, "finish_reason": "stop"} | changes.pop("choice", {})
    usage = {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30}
    body = {
        "id": "x",
        "object": "chat.completion",
        "created": 0,
        "model": "m",
        "choices": [choice],
        "usage": usage,
    } | changes
    return json.dumps({name: value for name, value in body.items() if value is not ...}).encode()


def response(body=b"", status=200, reason="OK", length=None, **headers):
    """The bytes of a response; `length` is what it claims instead of the body's."""
    lines = {"Content-Type": "application/json", "Content-Length": len(body)}
    lines["Content-Length"] = len(body) if length is None else length
    lines |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} {reason}\r\n{head}\r\n".encode("latin-1") + body


def replies(*args, **kwargs):
    """A behaviour: the same response to every request."""
    data = response(*args, **kwargs)
    return lambda call: call.send(data)


def says(content=PROSE, **changes):
    """A behaviour: a completion with this content."""
    return replies(completion(content, **changes))


def distinct(call):
    """A behaviour: a sound answer of its own to each request."""
    asked = call.asked
    text = f"Answer {asked['seed']}: {asked['messages'][0]['content']}"
    call.send(response(completion(text)))


def forms(key):
    """{name: key in this encoding}, bytes: what a search for leaks looks for."""
    data = key.encode()
    found = {
        "plain": data,
        "percent": urllib.parse.quote(key, safe="").encode(),
        "all percent": "".join(f"%{b:02X}" for b in data).encode(),
        "JSON": json.dumps(key)[1:-1].encode(),
        "JSON with slashes": key.replace("/", "\\/").encode(),
        "JSON codes": "".join(f"\\u{b:04x}" for b in data).encode(),
        "HTML": "".join(f"&#{b};" for b in data).encode(),
        "HTML in hexadecimal": "".join(f"&#x{b:x};" for b in data).encode(),
        "hexadecimal": data.hex().encode(),
        "spaced": " ".join(key).encode(),
        "UTF-16": key.encode("utf-16-le"),
        "upper": data.upper(),
        "lower": data.lower(),
        "half": data[: len(data) // 2 + 4],
    }
    for shift in range(3):  # wherever a block of base64 starts
        coded = base64.b64encode(b"\0" * shift + data)
        inner = coded[4 if shift else 0 : -4]
        found[f"base64 at {shift}"] = inner
        found[f"base64 of URLs at {shift}"] = inner.translate(bytes.maketrans(b"+/", b"-_"))
    return found


def leaks(key, texts, *folders):
    """Where a key is: (text number or file, form), in texts and in all files in folders."""
    places = {str(i): text.encode("utf-8", "surrogatepass") for i, text in enumerate(texts)}
    for folder in folders:
        for path in pathlib.Path(folder).rglob("*"):
            places[str(path)] = bytes(path.name, "utf-8")
            if path.is_file():
                places[str(path)] += path.read_bytes()
    return [
        (where, name)
        for where, data in places.items()
        for name, form in forms(key).items()
        if form in data
    ]


def until(condition, seconds=30.0):
    """Waits until a condition is true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
