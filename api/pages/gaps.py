"""Gaps: losses that were announced, why, below which directory, when the rescan that mends them was done."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.pages.parts import Parts
from api.pages.places import Place, before

ROWS = 100
_STATES = {"all": "1", "open": "isNull(closed)", "closed": "isNotNull(closed)"}
_SELECT = """
SELECT project_id, gap_id, path, reason, host, agent, toUnixTimestamp64Micro(since) AS since_us,
    toUnixTimestamp64Micro(opened) AS opened_us, toUnixTimestamp64Micro(closed) AS closed_us,
    ifNull(opened_us, 0) AS at_us
FROM gaps FINAL
WHERE ROWS AND STATE AND ({project:String} = '' OR project_id = {project:String})
    AND (at_us, gap_id) < ({before_us:Int64}, {before_id:String})
ORDER BY at_us DESC, gap_id DESC
LIMIT {rows:UInt32}
"""
_COUNT = """
SELECT count() AS gaps, countIf(isNull(closed)) AS open FROM gaps FINAL
WHERE ROWS AND ({project:String} = '' OR project_id = {project:String})
"""
WHY = {
    "overflow": "more happened at once than the kernel could tell",
    "journal_full": "the agent's journal was full",
    "agent_down": "the agent was not running",
    "watch_limit": "directories could not be watched",
    "sequence": "events of the agent never arrived",
    "identity": "two installations report as one agent",
    "unreadable": "a directory could not be read",
    "expired": "the broker dropped records before they were read",
}
"""What the reasons mean, for people."""


class Gap(msgspec.Struct):
    """A row of the page; times are None where they are not known."""

    project_id: str
    gap_id: str
    path: str
    reason: str
    host: str
    agent: str
    since_us: int | None
    opened_us: int | None
    closed_us: int | None
    at_us: int

    @property
    def why(self) -> str:
        """What the reason means."""
        return WHY.get(self.reason, self.reason)


class _Counts(msgspec.Struct):
    gaps: int
    open: int


class Gaps:
    """Serves the page."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def get(self, request: Request) -> Response:
        """Show the gaps of the reader's projects, the newest first."""
        reader = await self._parts.sessions.reader(request)
        state = request.query_params.get("state", "all")
        place = before(request)
        given = {"project": request.query_params.get("project", "")}
        select = _SELECT.replace("ROWS", reader.rows).replace("STATE", _STATES.get(state, "1"))
        found = await self._parts.rows(select, given | place.bounds | {"rows": ROWS + 1}, Gap)
        counts = await self._parts.rows(_COUNT.replace("ROWS", reader.rows), given, _Counts)
        last = found[ROWS - 1] if len(found) > ROWS else None
        return self._parts.site.page(
            request,
            "gaps.html",
            title="Gaps",
            gaps=found[:ROWS],
            counts=counts[0],
            state=state if state in _STATES else "all",
            project=given["project"],
            first=None if place.is_first else place.first_url(request),
            next=Place(last.at_us, last.gap_id).url(request) if last else None,
        )


def routes(parts: Parts) -> list[Route]:
    """Return the routes of this module."""
    return [Route("/gaps", Gaps(parts).get, methods=["GET"])]
