"""Parts of an answer written without a turn of the event loop, over a real connection."""

from __future__ import annotations

import asyncio

from starlette.types import Receive, Scope, Send

from api import at_once
from api.at_once import Write
from tests.unit.api.test_patience import Application, serve

PART = b"x" * 65_536


class Telling(Application):
    """Begins an answer, then writes parts at once until the client takes no more; ends it when it does."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most
        self.written = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        write = at_once.writer(scope)
        assert write is not None
        await send({"type": "http.response.start", "status": 200, "headers": []})
        self._write(write)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _write(self, write: Write) -> None:
        while self.written < self._most and write(PART):
            self.written += 1


def test_parts_arrive_whole_and_in_order() -> None:
    """Each is a chunk of the body, as if it had been sent."""
    application = Telling(2)

    answer = serve(application, _read_all)

    assert application.written == 2
    assert answer.partition(b"\r\n\r\n")[2] == b"10000\r\n%b\r\n" % PART * 2 + b"0\r\n\r\n"


def test_client_that_takes_nothing_is_given_no_more() -> None:
    """What waits for it is bounded; it gets all that was written once it reads."""
    application = Telling(10_000)

    answer = serve(application, _read_all)

    assert 0 < application.written < 1_000
    assert answer.count(b"x") == application.written * len(PART)


def test_server_without_the_extension_is_told_apart() -> None:
    """Whoever calls the application by itself sends every part."""
    assert at_once.writer({"type": "http"}) is None


async def _read_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    return await reader.read()
