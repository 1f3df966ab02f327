"""The list of projects that a key may read, with what happened in each."""

from __future__ import annotations

import time

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.pages import charts
from api.pages.charts import Window
from api.pages.parts import Parts

ROWS = 100
_DAY_S = 86_400
_HOUR_S = 3_600
_ACTIVITY = """
SELECT project_id, sum(activity.events) AS events, toInt64(max(minute)) AS last_s,
    sumIf(activity.events, minute >= LATELY) AS lately,
    sumMapIf([intDiv(toInt64(minute), 3600) * 3600], [activity.events], minute >= LATELY) AS map,
    map.1 AS starts_s, map.2 AS counts
FROM activity WHERE project_id IN {projects:Array(String)} GROUP BY project_id
""".replace("LATELY", "toDateTime({from_s:UInt32})")


class _Activity(msgspec.Struct):
    project_id: str
    events: int
    lately: int
    last_s: int
    starts_s: list[int]
    counts: list[int]


class Projects:
    """Lists what is registered, by name; a page of it at a time."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def get(self, request: Request) -> Response:
        """Answer a request: `q` is part of a name, `after` the last name of the page before."""
        reader = await self._parts.sessions.reader(request)
        wanted, after = (request.query_params.get(name, "") for name in ("q", "after"))
        visible = sorted(name for name in self._parts.broker.registry.projects if reader.covers(name))
        matching = [name for name in visible if wanted in name]
        shown = [name for name in matching if name > after][: ROWS + 1]
        over = charts.window(time.time() - _DAY_S, time.time(), 25, (_HOUR_S,))
        found = await self._parts.rows(
            _ACTIVITY, {"projects": shown[:ROWS], "from_s": over.from_s}, _Activity
        )
        activity = {row.project_id: row for row in found}
        return self._parts.site.page(
            request,
            "projects.html",
            title="Projects",
            wanted=wanted,
            visible=len(visible),
            matching=len(matching),
            rows=[(name, activity.get(name), _bars(activity.get(name), over)) for name in shown[:ROWS]],
            after=after,
            next=shown[ROWS - 1] if len(shown) > ROWS else None,
        )


def _bars(row: _Activity | None, over: Window) -> list[tuple[float, float, float, float]]:
    counts = dict(zip(row.starts_s, row.counts, strict=True)) if row else {}
    return charts.spark([counts.get(start_s, 0) for start_s in over.starts_s])


def routes(parts: Parts) -> list[Route]:
    """Return the routes of this module."""
    return [Route("/projects", Projects(parts).get, methods=["GET"])]
