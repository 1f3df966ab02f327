"""A web server that files are fetched from, and that misbehaves as its paths say.

Every path ends with a file name; what stands before it is what goes wrong. Requests are kept, so that a test
sees what was asked for.
"""

from __future__ import annotations

import hashlib
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

BLOCK = bytes(range(256)) * 256
"""64 KiB; content is blocks, each with its number in front, so that a misplaced one shows."""
TAG = '"one"'


class Asked(NamedTuple):
    """A request: its path, `Range` and `If-Range`."""

    path: str
    range: str | None
    if_range: str | None


class Origin:
    """The server, its content, and what it was asked for."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.asked: list[Asked] = []
        self.gate = threading.Event()
        """Lets `paced` go on beyond its half."""
        self.half = threading.Event()
        """Set once `paced` has sent its half."""
        self.sums = {name: hashlib.new(name, self.content()).hexdigest() for name in ("md5", "sha256")}
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self.server.daemon_threads = True

    def url(self, path: str) -> str:
        """Return the URL of a path."""
        return f"http://127.0.0.1:{self.server.server_port}{path}"

    def content(self, first: int = 0, end: int | None = None) -> bytes:
        """Return bytes of the content."""
        end = self.size if end is None else end
        blocks = range(first // len(BLOCK), -(-end // len(BLOCK)))
        held = b"".join(struct.pack(">Q", number) + BLOCK[8:] for number in blocks)
        begin = first - first // len(BLOCK) * len(BLOCK)
        return held[begin : begin + end - first]

    def ranges(self, path: str) -> list[str | None]:
        """Return the ranges that were asked of a path."""
        return [asked.range for asked in self.asked if asked.path == path]


@contextmanager
def origin(size: int) -> Iterator[Origin]:
    """Serve until the block ends."""
    served = Origin(size)
    thread = threading.Thread(target=served.server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield served
    finally:
        served.gate.set()
        served.server.shutdown()
        served.server.server_close()
        thread.join(10)


class _Gone(Exception):
    """The connection is to be reset."""


def _handler_of(served: Origin) -> type[BaseHTTPRequestHandler]:
    class Handler(_Handler):
        origin = served

    return Handler


class _Handler(BaseHTTPRequestHandler):
    origin: Origin
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer by the first word of the path."""
        asked = Asked(self.path, self.headers.get("range"), self.headers.get("if-range"))
        self.origin.asked.append(asked)
        behave = getattr(self, "_" + self.path.split("/")[1].replace("-", "_"), None)
        with suppress(ConnectionError):
            try:
                (behave or self._missing)()
            except _Gone:
                linger = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def _good(self) -> None:
        self.wfile.write(self._rest())

    def _reset(self) -> None:
        """Reset in the middle, the first time only; ranges are served."""
        rest = self._rest()
        if len(self.origin.ranges(self.path)) == 1:
            self.wfile.write(rest[: len(rest) // 2])
            raise _Gone
        self.wfile.write(rest)

    def _changing(self) -> None:
        """Reset in the middle; the rest is of another content by then."""
        first = len(self.origin.ranges(self.path)) == 1
        rest = self._rest(tag=TAG if first else '"two"')
        self.wfile.write(rest[: len(rest) // 2] if first else rest)
        if first:
            raise _Gone

    def _untagged(self) -> None:
        """Reset in the middle once; nothing tells whether the content is still the same."""
        self._head(200, {"Content-Length": str(self.origin.size)})
        first = len(self.origin.ranges(self.path)) == 1
        self.wfile.write(self.origin.content(0, self.origin.size // (2 if first else 1)))
        if first:
            raise _Gone

    def _short(self) -> None:
        """End well before the promised length, every time."""
        self._head(200, {"Content-Length": str(self.origin.size)})
        self.wfile.write(self.origin.content(0, self.origin.size // 2))

    def _unsized(self) -> None:
        """Promise no length: the end of the connection is that of the content."""
        self._head(200, {})
        self.wfile.write(self.origin.content())

    def _endless(self) -> None:
        self._head(200, {})
        while True:
            self.wfile.write(BLOCK)

    def _drip(self) -> None:
        """A byte now and then, without an end."""
        self._head(200, {})
        while not self.origin.gate.wait(0.02):
            self.wfile.write(b"x")

    def _silent(self) -> None:
        """Answer nothing."""
        self.origin.gate.wait(60)

    def _paced(self) -> None:
        """Send half, and the rest once the gate is open."""
        rest = self._rest()
        middle = max(0, len(rest) - self.origin.size // 2)
        self.wfile.write(rest[:middle])
        self.origin.half.set()
        self.origin.gate.wait(120)
        self.wfile.write(rest[middle:])

    def _page(self) -> None:
        """Another type than one would think, and a name of its own."""
        named = {"Content-Type": "text/html", "Content-Disposition": 'attachment; filename="../named.bin"'}
        self._head(200, named | {"Content-Length": str(self.origin.size)})
        self.wfile.write(self.origin.content())

    def _to(self) -> None:
        """Redirect to the path behind `/to`."""
        self._head(302, {"Location": self.path.removeprefix("/to"), "Content-Length": "0"})

    def _loop(self) -> None:
        self._head(302, {"Location": self.path, "Content-Length": "0"})

    def _to_ftp(self) -> None:
        self._head(302, {"Location": "ftp://127.0.0.1/x", "Content-Length": "0"})

    def _busy(self) -> None:
        """503 the first time."""
        if len(self.origin.ranges(self.path)) == 1:
            self._head(503, {"Content-Length": "0"})
        else:
            self._good()

    def _satisfied(self) -> None:
        """The range that is asked for begins at the end."""
        self._head(416, {"Content-Range": f"bytes */{self.origin.size}", "Content-Length": "0"})

    def _missing(self) -> None:
        self._head(404, {"Content-Length": "0"})

    def _rest(self, tag: str = TAG) -> bytes:
        """Send the head of the whole or of the range that is asked for; return what belongs after it."""
        size, first = self.origin.size, 0
        wanted = self.headers.get("range")
        if wanted is not None and self.headers.get("if-range") in (None, tag):
            first = int(wanted.removeprefix("bytes=").partition("-")[0])
        common = {"ETag": tag, "Content-Length": str(size - first)}
        if first:
            self._head(206, common | {"Content-Range": f"bytes {first}-{size - 1}/{size}"})
        else:
            self._head(200, common)
        return self.origin.content(first)

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()
