"""The first page: what happens in all projects of a key, and how the system does."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.pages import charts, overview_queries
from api.pages.agents import LATE_S
from api.pages.charts import Window
from api.pages.overview_queries import Overview as Queries
from api.pages.parts import Parts

RANGES = {"1h": 3_600, "24h": 86_400, "7d": 7 * 86_400, "30d": 30 * 86_400}
DEFAULT_RANGE = "24h"
BUCKETS = 96
STEPS_S = (60, 300, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)


class Overview:
    """Asks for everything at once."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._queries = Queries(parts)

    async def get(self, request: Request) -> Response:
        """Answer a request; `range` is one of RANGES."""
        reader = await self._parts.sessions.reader(request)
        chosen = request.query_params.get("range", DEFAULT_RANGE)
        chosen = chosen if chosen in RANGES else DEFAULT_RANGE
        now_s = time.time()
        over = charts.window(now_s - RANGES[chosen], now_s, BUCKETS, STEPS_S)
        registered = [name for name in self._parts.broker.registry.projects if reader.covers(name)]
        found = await self._found(reader.rows, over)
        return self._parts.site.page(
            request,
            "overview.html",
            title="Overview",
            ranges=list(RANGES),
            chosen=chosen,
            project_count=len(registered),
            silent_before_us=int((now_s - LATE_S) * 1e6),
            **found,
        )

    async def _found(self, rows: str, over: Window) -> dict[str, Any]:
        queries = self._queries
        activity, projects, agents, gaps, runs, latency = await asyncio.gather(
            queries.activity(rows, over),
            queries.projects(rows, over),
            queries.agents(rows, LATE_S),
            queries.open_gaps(rows),
            queries.failed_runs(rows, over),
            queries.latency(rows, over),
        )
        return {
            "activity": charts.stacked(over, overview_queries.heaps(activity)),
            "projects": [(row, charts.spark(row.values(over))) for row in projects],
            "agents": agents,
            "gaps": gaps,
            "runs": runs,
            "latency": _latency_chart(over, latency),
            "all_latency": latency[0] if latency and latency[0].start_s is None else None,
        }


def _latency_chart(over: Window, rows: list[overview_queries.Latency]) -> charts.Lines:
    told = [row for row in rows if row.start_s is not None]
    series = {
        name: {row.start_s: row.seconds[index] for row in told if row.start_s is not None}
        for index, name in enumerate(("p50", "p95", "p99"))
    }
    return charts.lines(over, series)


def routes(parts: Parts) -> list[Route]:
    """Return the routes of this module."""
    return [Route("/", Overview(parts).get, methods=["GET"])]
