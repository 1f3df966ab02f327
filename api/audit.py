"""The audit of the auditors: who read and who was refused, as records of `fswire.audit`.

They wait here, in a bounded buffer, until the broker has them: no request is delayed, none fails for it.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import parse_qsl

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import metrics, openapi, visit
from api.limits import Buckets
from api.visit import Visit
from processors.audit import Audit, encode
from processors.instants import iso

Publish = Callable[[Sequence[bytes]], Awaitable[None]]
"""Writes records; returns once the broker has all of them, raises if it may lack one."""

MAX_CHARS = 1_000
"""Of a filter, a path, a method: what is longer is cut."""
_MOST_HELD = 10_000
_AT_ONCE = 500
_BACK_OFF_S = 1.0
_CLOSE_TIMEOUT_S = 3.0
_REFUSED = frozenset((401, 403, 429))
_UNSAID = frozenset(("projectId", "cursor", "username", "api_key"))
_PARAMETER = re.compile(r"\\\{\w+\\\}")

_log = structlog.get_logger()


class Trail:
    """Records on their way to the topic; what finds no room is counted, and lost."""

    def __init__(self, publish: Publish) -> None:
        self._publish = publish
        self._held: deque[bytes] = deque()
        self._arrived = asyncio.Event()
        self._away = False
        self._full = False

    def add(self, record: Audit) -> None:
        """Take a record; returns at once."""
        if len(self._held) >= _MOST_HELD:
            metrics.AUDIT_LOST.inc()
            if not self._full:
                _log.error("records of the audit are lost: the broker does not take them", held=_MOST_HELD)
            self._full = True
            return
        self._held.append(encode(record))
        self._arrived.set()

    async def run(self) -> None:
        """Publish what arrives until cancelled."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._held:
                await self._send()

    async def close(self) -> None:
        """Publish what is left, within a few seconds."""
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                while self._held:
                    await self._send()
        except TimeoutError:
            metrics.AUDIT_LOST.inc(len(self._held))
            _log.error("records of the audit are lost: the broker did not take them", held=len(self._held))

    async def _send(self) -> None:
        records = [self._held[place] for place in range(min(_AT_ONCE, len(self._held)))]
        try:
            await self._publish(records)
        except Exception as error:  # noqa: BLE001  whatever it was, they are sent again
            if not self._away:
                _log.warning("the audit waits for the broker", records=len(self._held), error=repr(error))
            self._away = True
            await asyncio.sleep(_BACK_OFF_S)
            return
        for _ in records:
            self._held.popleft()
        self._away = self._full = False


class Audited:
    """Middleware: begins each request's visit, and tells the trail of those that the audit is for."""

    def __init__(self, app: ASGIApp, trail: Trail, clock_ns: Callable[[], int] = time.time_ns) -> None:
        self._app = app
        self._trail = trail
        self._clock_ns = clock_ns
        self._process = secrets.token_hex(8)
        self._given = 0
        self._routes = [(_expression(path), path) for path in openapi.document()["paths"]]
        self._parameters = openapi.query_names() - _UNSAID
        self._limited = Buckets(1, 1)
        """One who is told to slow down, again and again, is one record a second."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        client = scope.get("client")
        visited = visit.begin(client[0] if client else "")
        told = False

        async def noted(message: Message) -> None:
            nonlocal told
            status = None if told else _status(message, visited)
            if status is not None and self._is_for(visited, status):
                self._trail.add(self._record(scope, visited, status))
                told = True
            await send(message)

        await self._app(scope, receive, noted)

    def _is_for(self, visited: Visit, status: int) -> bool:
        if status == 429:
            return self._limited.take(f"{visited.key_id} {visited.peer}") == 0
        return status in _REFUSED or bool(visited.key_id and not visited.scope.endswith(":write"))

    def _record(self, scope: Scope, visited: Visit, status: int) -> Audit:
        self._given += 1
        path = scope.get("raw_path", b"").decode("latin-1") or scope["path"]
        return Audit(
            id=f"aud_{self._process}-{self._given}",
            at=iso(self._clock_ns()),
            status=status,
            method=scope.get("method", "GET")[:MAX_CHARS],
            route=next((route for match, route in self._routes if match(path)), path[:MAX_CHARS]),
            remote=visited.remote[:MAX_CHARS],
            key_id=visited.key_id,
            scope=visited.scope,
            project_id=visited.project[:MAX_CHARS],
            filters=self._filters(scope["query_string"]) | _cut(visited.filters),
        )

    def _filters(self, query_string: bytes) -> dict[str, str]:
        """Parameters that are described: any other could be anything, a secret that was misplaced as well."""
        if not query_string:
            return {}
        try:
            given = parse_qsl(query_string.decode("latin-1"), keep_blank_values=True, max_num_fields=100)
        except ValueError:
            return {}
        return _cut({name: value for name, value in given if name in self._parameters})


def _status(message: Message, visited: Visit) -> int | None:
    """Return the status that a message begins an answer with."""
    match message["type"]:
        case "http.response.start" | "websocket.http.response.start":
            status: int = message["status"]
            return status
        case "websocket.accept" | "websocket.send":  # its key may come in a message
            return visited.status
    return None


def _expression(path: str) -> Callable[[str], object]:
    return re.compile(_PARAMETER.sub("[^/]+", re.escape(path))).fullmatch


def _cut(filters: dict[str, str]) -> dict[str, str]:
    return {name: value[:MAX_CHARS] for name, value in filters.items()}
