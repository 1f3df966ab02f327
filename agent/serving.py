"""`/metrics` and `/health` on the address of setting `listen`, over HTTP/1.1, a connection a request.

On the agent's own event loop: a loop that hangs does not answer. No client can hold it: a request is small,
whole and answered within seconds, and of many clients at once the last are turned away.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from typing import NamedTuple

import msgspec
import structlog
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from agent.health import Health

_log = structlog.get_logger()
_MOST_CLIENTS = 16
_MOST_BYTES = 8 * 1024
"""Of a request's line and headers."""
_LONGEST_S = 5.0
_encode = msgspec.json.Encoder().encode


class ListenRefused(Exception):
    """Nothing can be served at the address of `listen`; the message names key, value and reason."""


class _Answer(NamedTuple):
    status: HTTPStatus
    content_type: str
    body: bytes


@contextlib.asynccontextmanager
async def serving(listen: str, look: Callable[[], Health]) -> AsyncIterator[int]:
    """Serve for as long as the block lasts; yields the port. `look` also brings the gauges up to date.

    Raises ListenRefused.
    """
    host, _, port = listen.rpartition(":")
    pages = _Pages(look)
    try:
        server = await asyncio.start_server(
            pages.serve, host.strip("[]"), int(port), limit=_MOST_BYTES, backlog=_MOST_CLIENTS
        )
    except OSError as error:
        raise ListenRefused(f"listen = {listen!r}: {error.strerror or error}") from error
    taken = int(server.sockets[0].getsockname()[1])
    _log.info("serving", host=host, port=taken, pages=["/metrics", "/health"])
    try:
        yield taken
    finally:
        server.close()
        await pages.close()


class _Pages:
    def __init__(self, look: Callable[[], Health]) -> None:
        self._look = look
        self._clients: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request; called by the server for each connection."""
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        try:
            if len(self._clients) <= _MOST_CLIENTS:
                async with asyncio.timeout(_LONGEST_S):
                    await self._exchange(reader, writer)
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # too slow, too much, or gone: an answer would not be read
        finally:
            self._clients.discard(task)
            writer.transport.abort()

    async def close(self) -> None:
        """End what is under way."""
        for task in self._clients:
            task.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        method, _, rest = request.partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0]
        status, content_type, body = self._answer(method, path)
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: {content_type}\r\n"
            f"Content-Length: {len(body)}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
        )
        writer.write(head.encode() + (b"" if method == b"HEAD" else body))
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    def _answer(self, method: bytes, path: bytes) -> _Answer:
        if path not in (b"/metrics", b"/health"):
            return _Answer(HTTPStatus.NOT_FOUND, "text/plain", b"/metrics and /health are here\n")
        if method not in (b"GET", b"HEAD"):
            return _Answer(HTTPStatus.METHOD_NOT_ALLOWED, "text/plain", b"only GET and HEAD\n")
        health = self._look()
        if path == b"/metrics":
            return _Answer(HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest())
        failing = health.status == "failing"
        status = HTTPStatus.SERVICE_UNAVAILABLE if failing else HTTPStatus.OK
        return _Answer(status, "application/json", _encode(health) + b"\n")
