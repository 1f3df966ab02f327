"""Agents: who reports into which project, when it was heard of last, how it is doing; the silent first."""

from __future__ import annotations

import time

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.pages.parts import Parts
from api.pages.session import Reader

LATE_S = 60
"""Six heartbeats of an agent with the settings that it has by itself."""
MAX_SHOWN = 1_000
_SELECT = """
SELECT agent, project_id, host, backend, folded, depth, journal_bytes, directories, watched, polled,
    toUnixTimestamp64Micro(received) AS received_us, lag_ms, open_gaps AS told_gaps, version,
    count() OVER () AS agents, countIf(received < now64(6) - {late_s:UInt32}) OVER () AS late
FROM agents FINAL
WHERE ROWS
ORDER BY received
LIMIT {rows:UInt32}
"""


class Agent(msgspec.Struct):
    """A row of the page: an agent in one of its projects."""

    agent: str
    project_id: str
    host: str
    backend: str
    folded: bool
    depth: int
    journal_bytes: int
    directories: int
    watched: int
    polled: int
    received_us: int
    lag_ms: int
    told_gaps: int
    version: str
    agents: int
    late: int

    @property
    def silent_s(self) -> float:
        """How long nothing was heard of it."""
        return time.time() - self.received_us / 1e6

    @property
    def is_late(self) -> bool:
        """Tell whether it should have been heard of."""
        return self.silent_s > LATE_S

    @property
    def unseen(self) -> int:
        """Directories that nobody watches or lists."""
        return max(0, self.directories - self.watched - self.polled)


class Agents:
    """Serves the page."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def get(self, request: Request) -> Response:
        """Show every agent of the reader's projects."""
        reader = await self._parts.sessions.reader(request)
        found = await self._found(reader)
        return self._parts.site.page(
            request, "agents.html", title="Agents", agents=found, late_s=LATE_S, most=MAX_SHOWN
        )

    async def _found(self, reader: Reader) -> list[Agent]:
        bounds = {"late_s": LATE_S, "rows": MAX_SHOWN}
        return await self._parts.rows(_SELECT.replace("ROWS", reader.rows), bounds, Agent)


def routes(parts: Parts) -> list[Route]:
    """Return the routes of this module."""
    return [Route("/agents", Agents(parts).get, methods=["GET"])]
