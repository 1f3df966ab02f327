"""A Donutwork client of the running stack: a project of its own, a key that is bound to it, a token."""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass, field
from typing import Any

import httpx2

from processors import registry
from processors.credentials import hash_secret, new_key
from processors.registry import Project
from tests.integration.running import PATIENCE_S, Stack

SCOPES = ["directory_monitor:read", "directory_monitor:write", "sql:read"]
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@dataclass(repr=False)
class Monitor:
    """A project of the test's own, with a key that is bound to it and an ingress token."""

    stack: Stack
    project: str = field(default_factory=lambda: f"donut-{secrets.token_hex(6)}")
    token: str = field(default_factory=lambda: secrets.token_hex(8))
    key: str = ""

    def __post_init__(self) -> None:
        key, self.key = new_key(SCOPES, [self.project], None)
        project = Project(self.project, time.time_ns(), hash_secret(self.token))
        asyncio.run(registry.write(self.stack.kafka, project, key))
        self.client = httpx2.Client(
            base_url=self.stack.api,
            headers={"Authorization": f"Bearer {self.key}", "X-Directory-Monitor-Token": self.token},
            timeout=PATIENCE_S,
        )

    @property
    def path(self) -> str:
        return f"/2026-02-01/directory-monitor/{self.project}.json"

    def event(self, **fields: Any) -> dict[str, Any]:
        seed = {"projectId": self.project, "filename": "src/a.py", "event": "modified", "filesize": 4096}
        return seed | {"sha256": EMPTY, "uid": 1000, "pid": 4512} | fields

    def put(self, **fields: Any) -> Any:
        response = self.client.put(self.path, json=self.event(**fields))
        assert response.status_code == 200, response.text
        return response.json()

    def history(self, **parameters: Any) -> Any:
        response = self.client.get(
            f"/2026-02-01/systems/directory-monitor/{self.project}/events.json", params=parameters
        )
        assert response.status_code == 200, response.text
        return response.json()

    def await_count(self, expected: int) -> None:
        query = f"SELECT count() FROM events WHERE project_id = '{self.project}'"
        self.stack.await_rows(query, expected)
