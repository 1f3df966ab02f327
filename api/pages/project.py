"""A project's page: its history by the API's filters, when it happened, what arrives, and exports."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.errors import NotFound
from api.export_formats import FORMATS
from api.history_query import HistoryQuery
from api.pages import event_row, live_rows, project_query
from api.pages.histogram import Histogram
from api.pages.parts import Parts
from api.pages.project_query import Asked
from api.query_string import parameters

SUGGESTED_EVENTS = (
    "created",
    "modified",
    "written",
    "deleted",
    "renamed",
    "attributes",
    "closed",
    "accessed",
    "opened",
    "unknown",
    "gap",
    "gap_closed",
)
RANGES = {"1 h": 3_600, "24 h": 86_400, "7 d": 7 * 86_400, "30 d": 30 * 86_400}


class Project:
    """Reads the history through the API's own History: there is no second way."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._histogram = Histogram(parts)

    async def get(self, request: Request) -> Response:
        """Answer a request; filters that break a rule are shown with the form, as 422."""
        project: str = request.path_params["project"]
        await self._parts.sessions.reader(request, project=project)
        asked = project_query.read(parameters(request.scope["query_string"], project), project)
        found = await self._found(asked) if asked.query else {"history": None, "chart": None}
        return self._parts.site.page(
            request,
            "project.html",
            title=project,
            status=422 if asked.wrong else 200,
            asked=asked,
            bar_address=lambda bar: asked.between(bar.from_s, bar.to_s),
            events=SUGGESTED_EVENTS,
            ranges=[(name, _since(asked, length_s)) for name, length_s in RANGES.items()],
            **found,
        )

    async def export(self, request: Request) -> Response:
        """Answer with the file that the API's export makes of the same filters."""
        project, extension = request.path_params["project"], request.path_params["extension"]
        await self._parts.sessions.reader(request, project=project)
        if extension not in FORMATS:
            raise NotFound("there is no export of this kind", code="no_such_route")
        return await self._parts.export.response(request, project, extension)

    async def _found(self, asked: Asked) -> dict[str, Any]:
        assert asked.query is not None
        (history, live), chart = await asyncio.gather(
            self._history(asked, asked.query), self._histogram.of(asked.query.filters)
        )
        rows = [event_row.of_item(item) for item in history["items"]]
        return {"history": history, "rows": rows, "live": live, "chart": chart}

    async def _history(self, asked: Asked, query: HistoryQuery) -> tuple[dict[str, Any], str | None]:
        """Return a page of the history, and the address of what arrives after it: the place comes first."""
        if not asked.is_newest:
            return await self._parts.history.page(query), None
        position = await live_rows.newest(self._parts, asked.project)
        after = position.encode() if position else None
        return await self._parts.history.page(query), asked.address("/live", size=None, after=after)


def _since(asked: Asked, length_s: int) -> str:
    since_s = int(time.time() - length_s)
    return asked.address(**{"from": project_query.second(since_s), "to": None})


def routes(parts: Parts) -> list[Route]:
    """Return the routes of this module."""
    project = Project(parts)
    return [
        Route("/projects/{project}", project.get, methods=["GET"]),
        Route("/projects/{project}/export.{extension}", project.export, methods=["GET"]),
    ]
