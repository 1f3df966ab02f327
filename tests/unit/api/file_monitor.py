"""The file monitor's HTTP over a sequencer in memory, and a client of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
from starlette.applications import Starlette
from starlette.testclient import TestClient

from api import filemonitor
from api.access import Access
from api.errors import HANDLERS
from api.filemonitor_desk import Desk
from api.limits import Limits
from api.waiting import Waiting
from processors import transfer_commands
from processors.outcomes import Outcome
from processors.registry import Key
from processors.transfer_ledger import Ledger, Read
from processors.transfer_records import Transfers

LIST = "/rundb/api/v1/filemonitor/"
MAX_BODY_BYTES = 64 * 1024


class MemoryView:
    """The view of a process that is never behind."""

    def __init__(self, transfers: Transfers) -> None:
        self.transfers = transfers

    async def catch_up(self) -> None: ...

    async def reach(self, offset: int) -> None: ...


class MemorySequencer:
    """Decides commands at once; `silent`: it does not."""

    reply_partition = 1

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.waiting = Waiting("api-test", timeout_ms=100)
        self.transfers = MemoryView(self.ledger.transfers)
        self.keys: dict[str, Key] = {}
        self.silent = False
        self.offset = 0

    async def command(self, record: bytes) -> None:
        if self.silent:
            return
        command = transfer_commands.decode(record)
        for batch in self.ledger.decide([Read(self.offset, command)]):
            for asked, answer, _ in batch.answers:
                assert asked.reply is not None
                self.waiting.resolve(Outcome(asked.reply.id, "", "", "inserted", transfer=answer))
        self.offset += 1

    def key(self, name: str) -> Key | None:
        return self.keys.get(name)

    async def catch_up(self) -> None: ...


class Monitor:
    """An api with the file monitor alone, and a client with a key that may do everything there."""

    def __init__(self) -> None:
        self.sequencer = MemorySequencer()
        limits = Limits(requests_per_s=1e6, requests_burst=10**6, refusals_per_s=1e6, refusals_burst=10**6)
        access = Access(lambda: self.sequencer, limits)  # type: ignore[arg-type,return-value]
        desk = Desk(self.sequencer, self.sequencer.waiting, timeout_ms=1000, retry_after_s=1)  # type: ignore[arg-type]
        app = Starlette(routes=filemonitor.routes(access, desk, MAX_BODY_BYTES), exception_handlers=HANDLERS)
        self.client = TestClient(app, follow_redirects=False)
        self.client.headers["authorization"] = self.add_key("all", "filemonitor:read", "filemonitor:write")

    def add_key(self, name: str, *scopes: str) -> str:
        """Register a key; return its header."""
        hashed = "sha256$" + hashlib.sha256(b"secret").hexdigest()
        self.sequencer.keys[name] = Key(name, hashed, list(scopes), [], 0)
        return f"ApiKey {name}:secret"

    def send(self, method: str, path: str = LIST, body: Any = None, **more: Any) -> httpx2.Response:
        """Send a request, its body as JSON where there is one."""
        if body is not None:
            more["content"] = json.dumps(body)
            more["headers"] = {"content-type": "application/json"} | more.get("headers", {})
        return self.client.request(method, path, **more)  # type: ignore[return-value]

    def make(self, **fields: Any) -> int:
        """Make a transfer that is not fetched; return its id."""
        location = self.send("POST", body={"status": "Complete"} | fields).headers["location"]
        return int(location.rstrip("/").rpartition("/")[2])

    def get(self, path: str) -> Any:
        """Return the JSON that a path answers."""
        answer = self.send("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def ids(self, query: str) -> list[int]:
        """Return the ids of a list in its order."""
        return [each["id"] for each in self.get(f"{LIST}?{query}")["objects"]]


@contextmanager
def serving() -> Iterator[Monitor]:
    """Serve an empty file monitor until the block ends."""
    stage = Monitor()
    with stage.client:
        yield stage
