"""The api over scripted neighbours: a registry in memory, a processor that decides at once, canned rows."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from fnmatch import fnmatchcase
from typing import Any

import httpx2
import msgspec
import pytest
from starlette.types import ASGIApp

from agent.event import Batch, Event, decode_batch
from agent.kafka import KafkaSettings
from api.app import assemble, surround
from api.audit import Trail
from api.errors import Unavailable
from api.lanes import Lanes
from api.live import Hub
from api.operations import Operations
from api.settings import ApiSettings
from api.waiting import Waiting
from processors.audit import Audit
from processors.clickhouse import ClickHouseSettings
from processors.outcomes import Outcome
from processors.registry import Key, Project

WRITER = "writer.secret-of-writer"


class MemoryRegistry:
    """The registry's view; what is in `unread` appears when it catches up."""

    def __init__(self) -> None:
        self.keys: dict[str, Key] = {}
        self.projects: dict[str, Project] = {}
        self.patterns: set[str] = set()
        self.unread: list[Key | Project] = []
        self.catch_ups = 0
        self.failing = False

    def add(self, *records: Key | Project) -> None:
        """Put records into view."""
        for record in records:
            (self.keys if isinstance(record, Key) else self.projects)[record.id] = record  # type: ignore[index]

    def key(self, name: str) -> Key | None:
        return self.keys.get(name)

    def project(self, name: str) -> Project | None:
        return self.projects.get(name)

    def allowed(self, name: str) -> bool:
        return name in self.projects or any(fnmatchcase(name, pattern) for pattern in self.patterns)

    async def catch_up(self) -> None:
        self.catch_ups += 1
        await asyncio.sleep(0)
        if self.failing:
            raise ConnectionError("no broker")
        self.add(*self.unread)
        self.unread.clear()


class ScriptedBroker:
    """Takes batches and answers each event as the processor would; `silent` and `failing` say otherwise."""

    def __init__(self, resolve: Callable[[Outcome], None]) -> None:
        self.memory = MemoryRegistry()
        self.connected = True
        self.reply_partition = 3
        self.batches: list[Batch] = []
        self.silent = False
        self.failing = False
        self.decision: str | None = None
        self.reason: str | None = None
        self._resolve = resolve
        self._contents: dict[tuple[str, str], str] = {}

    @property
    def registry(self) -> MemoryRegistry:
        if not self.connected:
            raise Unavailable("the broker is not reachable", code="broker_unavailable")
        return self.memory

    @property
    def events(self) -> list[Event]:
        """Every event that was sent."""
        return [event for batch in self.batches for event in batch.events]

    async def send(self, project: str, encoded: bytes) -> None:
        await asyncio.sleep(0)
        if self.failing:
            raise ConnectionError("no broker")
        batch = decode_batch(encoded)
        self.batches.append(batch)
        for event in batch.events:
            self.decide(project, event)

    def decide(self, project: str, event: Event) -> None:
        """Publish the outcome of an event, unless silent."""
        assert event.http is not None
        assert event.http.reply is not None
        assert event.http.reply.partition == self.reply_partition
        place = project, event.http.event_id
        repeated = place in self._contents
        known = self._contents.setdefault(place, event.http.content)
        if self.silent:
            return
        decision = "conflict" if known != event.http.content else "repeated" if repeated else "inserted"
        self._resolve(
            Outcome(
                event.http.reply.id,
                project,
                event.http.event_id,
                self.decision or decision,  # type: ignore[arg-type]
                reason=self.reason,
            )
        )

    async def state(self) -> dict[str, str]:
        return dict.fromkeys(
            ("broker", "registry", "outcomes"), "ok" if self.connected else "not connected yet"
        )


class CannedDatabase:
    """Answers every query by the name of its row's type; an exception is raised."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {"_Count": [{"events": 0}], "Row": [], "Run": [], "_One": [{"one": 1}]}
        self.result: bytes | Exception = b""
        self.chunk_bytes = 7
        """Of a stream: so small that lines are cut anywhere."""
        self.asked: list[tuple[str, dict[str, Any] | None, dict[str, Any]]] = []

    async def rows(self, sql: str, parameters: dict[str, Any], row: type, settings: dict[str, Any]) -> Any:
        self.asked.append((sql, parameters, settings))
        answer = self.answers[row.__name__]
        if isinstance(answer, Exception):
            raise answer
        return msgspec.convert(answer, list[row])  # type: ignore[valid-type]

    async def raw(
        self, sql: str, parameters: dict[str, Any] | None, fmt: str, settings: dict[str, Any]
    ) -> bytes:
        self.asked.append((sql, parameters, settings))
        if isinstance(self.result, Exception):
            raise self.result
        return self.result

    @asynccontextmanager
    async def stream(
        self, sql: str, parameters: dict[str, Any] | None, fmt: str, settings: dict[str, Any]
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        answer = await self.raw(sql, parameters, fmt, settings)

        async def chunks() -> AsyncIterator[bytes]:
            for start in range(0, len(answer), self.chunk_bytes):
                yield answer[start : start + self.chunk_bytes]

        yield chunks()


class Stage:
    """One api and everything that it talks to."""

    def __init__(self, **settings: Any) -> None:
        self.settings = ApiSettings(**settings)
        self.waiting = Waiting("api-test", timeout_ms=self.settings.decision_timeout_ms)
        self.broker = ScriptedBroker(self.waiting.resolve)
        self.lanes = Lanes("api-test", self.broker.send)
        self.database = CannedDatabase()
        app = assemble(
            self.settings,
            self.broker,  # type: ignore[arg-type]
            self.lanes,
            self.waiting,
            self.database,  # type: ignore[arg-type]
            self.database,  # type: ignore[arg-type]
            Operations(KafkaSettings(), ClickHouseSettings()),
            Hub(KafkaSettings()),
        )
        self.audited: list[Audit] = []
        self.trail = Trail(self._audit)
        surround(app, self.settings, self.trail)
        self.app: ASGIApp = app
        self.registry = self.broker.memory
        self.registry.add(Project("proj_123", 0), Project("other", 0))
        self.key("writer", ["directory_monitor:read", "directory_monitor:write"], ["proj_*"])

    def key(self, name: str, scopes: list[str], projects: list[str], **more: Any) -> str:
        """Register a key whose secret is `secret-of-NAME`; return its Authorization header."""
        secret = f"secret-of-{name}"
        hashed = "sha256$" + hashlib.sha256(secret.encode()).hexdigest()
        self.registry.add(Key(name, hashed, scopes, projects, 0, **more))
        return f"Bearer {name}.{secret}"

    def run(self, scenario: Callable[[httpx2.AsyncClient], Awaitable[Any]]) -> Any:
        """Run a scenario with a client that carries the writer's key."""

        async def scene() -> Any:
            transport = httpx2.ASGITransport(app=self.app, raise_app_exceptions=False)
            async with httpx2.AsyncClient(
                transport=transport,
                base_url="http://fswire.test",
                headers={"Authorization": f"Bearer {WRITER}"},
            ) as client:
                return await scenario(client)

        return asyncio.run(scene())

    async def _audit(self, records: Sequence[bytes]) -> None:
        self.audited += [msgspec.json.decode(record, type=Audit) for record in records]

    def audit(self) -> list[Audit]:
        """Return what was audited so far."""
        asyncio.run(self.trail.close())
        return self.audited

    def request(self, method: str, path: str, **arguments: Any) -> httpx2.Response:
        """Make one request."""

        async def scenario(client: httpx2.AsyncClient) -> httpx2.Response:
            return await client.request(method, path, **arguments)

        answer: httpx2.Response = self.run(scenario)
        return answer


@pytest.fixture
def stage() -> Stage:
    """An api with project proj_123, and a key for it."""
    return Stage()


@pytest.fixture
def make_stage() -> type[Stage]:
    """The same with settings of the test's own."""
    return Stage
