"""The patience of the HTTP protocol: slow heads, slow bodies, slow readers, endless heads."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from api.patience import MIN_TAKEN_BYTES, protocol
from api.settings import ApiSettings

LARGE = 32 * 1024 * 1024
HEAD = b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n"
Client = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[Any]]


class Application:
    """Reads a body, answers much or little; notes how its requests end."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.connections: set[Any] = set()
        self.answer_bytes = 2

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            return
        more = True
        while more:
            message = await receive()
            self.messages.append(message["type"])
            more = message.get("more_body", False)
        if message["type"] == "http.disconnect":
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x" * self.answer_bytes})


@pytest.fixture
def application() -> Iterator[Application]:
    """What is served."""
    return Application()


def serve(application: Application, client: Client, *, sent: bytes = b"", **settings: float) -> Any:
    """Serve while a client talks over a connection, on which `sent` waits at the start; return its result."""
    given = ApiSettings(**{"head_timeout_s": 30, "body_timeout_s": 30, "stalled_timeout_s": 30} | settings)  # type: ignore[arg-type]

    async def scenario() -> Any:
        config = uvicorn.Config(
            application, http=protocol(given), log_config=None, lifespan="off", timeout_graceful_shutdown=0
        )
        server = uvicorn.Server(config)
        with socket.create_server(("127.0.0.1", 0)) as listening:
            config.load()
            server.lifespan = config.lifespan_class(config)
            connected = socket.create_connection(listening.getsockname())
            connected.sendall(sent)
            await server.startup(sockets=[listening])
            application.connections = server.server_state.connections
            reader, writer = await asyncio.open_connection(sock=connected)
            try:
                return await asyncio.wait_for(client(reader, writer), 30)
            finally:
                writer.transport.abort()
                server.force_exit = True
                await server.shutdown(sockets=[listening])

    return asyncio.run(scenario())


async def ended(application: Application, *, after_messages: int) -> None:
    """Return once the application has had so many messages, and no connection is left."""
    while len(application.messages) < after_messages or application.connections:  # noqa: ASYNC110  no event tells
        await asyncio.sleep(0.01)


def refusal(answer: bytes) -> tuple[int, str]:
    """Return status and code of an answer, which must have the one shape."""
    head, body = answer.split(b"\r\n\r\n", 1)
    told = json.loads(body)
    assert list(told) == ["status", "error", "code", "details"]
    assert b"connection: close" in head
    return int(head.split()[1]), told["code"]


@pytest.mark.parametrize(
    "sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: a\r\n", b"\r\n\r\n", HEAD + b"0123456789GET /"]
)
def test_head_that_does_not_come_is_408(application: Application, sent: bytes) -> None:
    """Of the first request of a connection or of a later one; the connection ends."""

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        return await reader.read()

    # All of it is there when the time begins: a pause of the machine comes before the server or after it.
    answer: bytes = serve(application, client, sent=sent, head_timeout_s=0.2)
    if sent.startswith(HEAD):
        answer = answer[answer.rindex(b"HTTP/1.1") :]
    assert refusal(answer) == (408, "body_timeout")


def test_trickle_is_no_head(application: Application) -> None:
    """What keeps coming does not begin the time anew."""

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(b"GET /")
        ended = asyncio.create_task(reader.read())
        while not ended.done():
            writer.write(b"a")
            await asyncio.wait([ended], timeout=0.02)
        return ended.result() if ended.exception() is None else b""

    answer = serve(application, client, head_timeout_s=0.2)
    assert answer == b"" or refusal(answer)[0] == 408


def test_endless_head_is_431(application: Application) -> None:
    """It holds no more memory than a head may have."""

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: %s\r\n" % (n, b"y" * 1000) for n in range(100)))
        return await reader.read()

    assert refusal(serve(application, client)) == (431, "head_too_large")


def test_what_is_no_http_is_400(application: Application) -> None:
    """In the one shape."""

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(b"HELO me\r\n\r\n")
        return await reader.read()

    assert refusal(serve(application, client)) == (400, "not_http")


def test_body_that_does_not_come_ends_the_connection(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the application has not answered it itself."""
    monkeypatch.setattr("api.patience._MARGIN_S", 0)

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(HEAD + b"01234")
        try:
            return await reader.read()
        except ConnectionError:
            return b""

    assert serve(application, client, body_timeout_s=0.2) == b""
    assert application.messages == ["http.request", "http.disconnect"]


def test_client_that_does_not_take_its_answer_is_cut_off(application: Application) -> None:
    """And with it the memory that the answer takes."""
    application.answer_bytes = LARGE

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        reader._transport.pause_reading()  # type: ignore[attr-defined]  # as one that has other things to do
        writer.write(HEAD + b"0123456789")
        await ended(application, after_messages=1)
        return True

    assert serve(application, client, stalled_timeout_s=0.2)


class Transport:
    """What waits to be taken from it, and whether it was cut off."""

    def __init__(self) -> None:
        self.waits_bytes = 10 * MIN_TAKEN_BYTES
        self.aborted = False

    def get_write_buffer_size(self) -> int:
        return self.waits_bytes

    def abort(self) -> None:
        self.aborted = True

    def get_extra_info(self, _: str) -> None:
        return None


def test_slow_client_that_goes_on_taking_is_waited_for(application: Application) -> None:
    """So much in so much time is enough, however long it takes in all; less is not."""

    async def scenario() -> list[bool]:
        config = uvicorn.Config(application, log_config=None, lifespan="off")
        transport, connection = Transport(), protocol(ApiSettings())(config, ServerState(), {})
        connection.connection_made(transport)  # type: ignore[arg-type]
        connection.pause_writing()
        seen = []
        for taken_bytes in (MIN_TAKEN_BYTES, MIN_TAKEN_BYTES, MIN_TAKEN_BYTES - 1):
            before = transport.waits_bytes
            transport.waits_bytes -= taken_bytes
            connection._looked(before)
            seen.append(transport.aborted)
        connection._expect(None)
        connection._stop_looking()
        return seen

    assert asyncio.run(scenario()) == [False, False, True]
