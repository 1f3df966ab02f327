"""`/watch`, a WebSocket: the watch vocabulary over the fleet's virtual tree, as far as a key sees it.

The key comes with the handshake, as with every request, or in a first message `authenticate`. A client that
is gone leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from starlette.routing import WebSocketRoute
from starlette.types import Message as Frame
from starlette.websockets import WebSocket, WebSocketDisconnect

from api import auth, visit
from api.access import Access
from api.errors import ApiError, Unavailable, answer
from api.live import Hub, SlowSubscriber, Subscription
from api.virtual_tree import VirtualTree
from api.watch_connection import Connection
from processors.registry import Key
from processors.watch_input import MAX_VALUE_BYTES, Garbled, Values
from processors.watch_messages import (
    OK,
    Answers,
    Authenticate,
    Dialect,
    Message,
    Refused,
    Unwatch,
    Writer,
    error,
    parse,
)

AUTHENTICATE_S = 10.0
"""How long a client that came without a key may take to send one."""
CHECK_KEY_S = 5.0
"""How often it is asked whether a connection's key still counts."""
_AT_ONCE = 512
"""Messages that are served before what has happened meanwhile is told, and sent before others go on."""
_MOST_WAITING = 20_000
"""Beyond this a client's next messages are not read yet: nor are its pings."""
_ID_BYTES = 4096
"""Within so many a message that is not read should have told its id."""
_POLICY_VIOLATION = 1008
_GOING_AWAY = 1001
_TRY_AGAIN_LATER = 1013
_TOO_SLOW = "the client did not keep up with them"


class WatchParts(NamedTuple):
    """What the route is made of."""

    access: Access
    hub: Hub
    tree: VirtualTree
    max_watchers: int
    """Beyond so many subscriptions of all kinds, a client is refused."""


def routes(parts: WatchParts) -> list[WebSocketRoute]:
    """Return the route of this module."""

    async def watch(socket: WebSocket) -> None:
        with contextlib.suppress(WebSocketDisconnect):
            await _serve(parts, socket)

    return [WebSocketRoute("/watch", watch)]


async def _serve(parts: WatchParts, socket: WebSocket) -> None:
    visit.note(scope=auth.READ)
    try:
        key = await _admitted(parts, socket.headers.get("authorization"))
    except ApiError as refused:
        await socket.send_denial_response(answer(refused))
        return
    await socket.accept()
    client = _Client(parts, socket)
    reading = asyncio.create_task(client.read())
    try:
        await client.run(key)
    finally:
        reading.cancel()
        await asyncio.wait([reading])


async def _admitted(parts: WatchParts, authorization: str | None) -> Key | None:
    """Return the key of a handshake, None where it has none yet. Raises ApiError."""
    key = None if authorization is None else await _key(parts.access, authorization.encode("latin-1"))
    if len(parts.hub.subscriptions) >= parts.max_watchers:
        raise Unavailable("too many watch here", code="too_many_watchers", retry_after_s=5)
    return key


async def _key(access: Access, authorization: bytes) -> Key:
    key = await access.authenticate(authorization)
    auth.check_scope(key, auth.READ)
    return key


class _Client:
    """One client: what it sends is taken in beside what it is sent."""

    def __init__(self, parts: WatchParts, socket: WebSocket) -> None:
        self._parts = parts
        self._socket = socket
        distant = socket.query_params.get("dialect") == Dialect.DISTANT.value
        self._writer = Writer(Dialect.DISTANT if distant else Dialect.SEED)
        self._waiting: deque[Message] = deque()
        self._room = asyncio.Event()
        self._gone = False
        self._refused: str | None = None
        """Why its key does not count any more."""
        self._news = asyncio.Event()
        self._wake = self._news.set
        self._batch: list[Message] = []
        self._preparing: asyncio.Task[None] | None = None

    async def read(self) -> None:
        """Take messages in until the client is gone."""
        values = Values()
        try:
            while (frame := await self._socket.receive())["type"] != "websocket.disconnect":
                messages = (parse(value) for value in _values(values, frame))
                while some := list(itertools.islice(messages, _AT_ONCE)):
                    self._waiting.extend(some)
                    self._wake()
                    await self._others()
        finally:
            self._gone = True
            self._wake()

    async def _others(self) -> None:
        """Let others go on, and wait while more is to be answered than may be."""
        await asyncio.sleep(0)
        while len(self._waiting) > _MOST_WAITING:
            self._room.clear()
            await self._room.wait()

    async def run(self, key: Key | None) -> None:
        """Serve until the client is gone, or may not watch any more, or this process stops."""
        key = key or await self._authenticated()
        if key is None:
            return
        connection = Connection(self._parts.hub, self._parts.tree, key, self._writer)
        checking = asyncio.create_task(self._check(connection))
        try:
            await self._follow_for_ever(connection)
        except Unavailable:
            await self._socket.close(_TRY_AGAIN_LATER)
            return
        finally:
            checking.cancel()
            if self._preparing is not None:
                self._preparing.cancel()
        if self._gone:
            return
        if self._refused is not None:
            await self._send((error("permission_denied", self._refused),))
        await self._socket.close(_GOING_AWAY if self._refused is None else _POLICY_VIOLATION)

    async def _follow_for_ever(self, connection: Connection) -> None:
        """Subscribe, and again after each time that the client was too slow."""
        losses: Iterable[bytes] = ()
        while True:
            async with self._parts.hub.subscribe(*connection.interests) as subscription:
                connection.follow(subscription)
                self._wake = subscription.nudge
                await self._send(losses)
                try:
                    await self._follow(connection, subscription)
                    return
                except SlowSubscriber:
                    losses = connection.losses(_TOO_SLOW)

    async def _follow(self, connection: Connection, subscription: Subscription) -> None:
        while not (self._gone or self._refused or subscription.closed):
            if self._prepared(connection):
                await self._serve(connection, subscription)
            for delivery in await subscription.take():
                await self._send(connection.changes(delivery))

    def _prepared(self, connection: Connection) -> bool:
        """Tell whether messages can be answered now; what has to be looked up for them goes on beside."""
        if self._preparing is not None and self._preparing.done():
            self._preparing.result()
            self._preparing = None
            return True
        if self._preparing is None and self._waiting:
            self._batch = list(itertools.islice(self._waiting, _AT_ONCE))
            self._preparing = asyncio.create_task(connection.prepare(self._batch))
            self._preparing.add_done_callback(lambda _: self._wake())
        return False

    async def _serve(self, connection: Connection, subscription: Subscription) -> None:
        """Answer messages; what had happened when one asks to unwatch is told before."""
        batch, self._batch = self._batch, []
        for message in batch:
            if any(isinstance(member, Unwatch) for member in message.members):
                await self._parts.hub.caught_up(subscription)
                subscription.nudge()
                for delivery in await subscription.take():
                    await self._send(connection.changes(delivery))
            await self._send((await connection.serve(message),))
            connection.settle()
            self._waiting.popleft()
            await asyncio.sleep(0)  # others go on meanwhile: sending does not wait for a client that reads
        self._room.set()
        subscription.nudge()

    async def _authenticated(self) -> Key | None:
        """Return the key that the client sends; None, and the end, where it is none that may watch."""
        try:
            async with asyncio.timeout(AUTHENTICATE_S):
                while not self._gone:
                    while self._waiting:
                        if key := await self._introduced(self._waiting.popleft()):
                            return key
                        await asyncio.sleep(0)
                    self._news.clear()
                    await self._news.wait()
        except (ApiError, TimeoutError):
            await self._socket.close(_POLICY_VIOLATION)
        return None

    async def _introduced(self, message: Message) -> Key | None:
        """Answer a message of a client that nobody knows yet; returns its key if that is what it sends."""
        answers, key = Answers(message), None
        try:
            for request in answers.requests():
                if isinstance(request, Authenticate) and not message.batch:
                    key = await _key(self._parts.access, f"Bearer {request.key}".encode())
                    answers.put(OK)
                else:
                    answers.put(Refused("permission_denied", "the first message is to be 'authenticate'"))
        except ApiError as refused:
            visit.refuse(refused.status)
            answers.put(Refused("permission_denied", refused.message))
            raise
        finally:
            await self._send((self._writer.answer(message, answers.payloads),))
        return key

    async def _check(self, connection: Connection) -> None:
        """See now and then whether the key still counts for what is watched."""
        while self._refused is None:
            await asyncio.sleep(CHECK_KEY_S)
            try:
                await connection.renew(self._parts.access)
            except Unavailable:
                continue
            except ApiError as refused:
                self._refused = refused.message
                self._wake()

    async def _send(self, lines: Iterable[bytes]) -> None:
        for sent, line in enumerate(lines, 1):
            await self._socket.send_text(line.decode())
            if sent % _AT_ONCE == 0:
                await asyncio.sleep(0)


def _values(values: Values, frame: Frame) -> Iterator[object]:
    """Yield the values of one frame: none goes on in the next. One that is too long is not looked at."""
    data = frame.get("bytes") or (frame.get("text") or "").encode()
    if len(data) > MAX_VALUE_BYTES:
        yield Garbled(data[:_ID_BYTES].decode(errors="replace"), f"at most {MAX_VALUE_BYTES} bytes are read")
        return
    yield from values.feed(data)
    yield from values.finish()
