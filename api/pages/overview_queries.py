"""What the overview asks the database: a few small queries, each over the reader's projects alone."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from api.pages.charts import Window
from api.pages.parts import Parts

SHOWN = 8
"""Rows of each list; its page has them all."""
PROJECTS_SHOWN = 12

T = TypeVar("T")

_BUCKET = "intDiv(toInt64(minute), {width_s:UInt32}) * {width_s:UInt32}"
_SINCE = "minute >= toDateTime({from_s:UInt32}) AND minute < toDateTime({to_s:UInt32})"


class Activity(msgspec.Struct):
    """How many events of a name happened in a bucket."""

    start_s: int
    event: str
    events: int


class ProjectActivity(msgspec.Struct):
    """What happened in a project, and when."""

    project_id: str
    events: int
    bytes: int
    last_s: int
    starts_s: list[int]
    counts: list[int]

    def values(self, over: Window) -> list[int]:
        """Return the numbers by bucket."""
        by_start = dict(zip(self.starts_s, self.counts, strict=True))
        return [by_start.get(start_s, 0) for start_s in over.starts_s]


class Agent(msgspec.Struct):
    """An agent, with the numbers of all of them in every row."""

    agent: str
    project_id: str
    host: str
    backend: str
    received_us: int
    lag_ms: int
    depth: int
    all: int
    silent: int


class OpenGap(msgspec.Struct):
    """A gap that no rescan has closed, with the number of all of them in every row."""

    project_id: str
    path: str
    reason: str
    host: str
    opened_us: int | None
    all: int


class FailedRun(msgspec.Struct):
    """A run that failed, with the number of all of them in every row."""

    run_id: str
    workflow: str
    project_id: str
    path: str
    error: str
    updated_us: int
    all: int


class Latency(msgspec.Struct):
    """Time from event to row in a bucket, and of all buckets where `start_s` is None."""

    start_s: int | None
    events: int
    longest_s: float
    seconds: list[float]
    """At 50, 95 and 99 percent."""


class Overview:
    """The queries. `rows` is the condition on `project_id` that a Reader gives."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def activity(self, rows: str, over: Window) -> list[Activity]:
        """Return the numbers of events by bucket."""
        return await self._ask(
            f"SELECT {_BUCKET} AS start_s, event, sum(events) AS events FROM activity "  # noqa: S608  ours
            f"WHERE {rows} AND {_SINCE} GROUP BY start_s, event",
            Activity,
            over,
        )

    async def projects(self, rows: str, over: Window) -> list[ProjectActivity]:
        """Return the busiest projects."""
        return await self._ask(
            "SELECT project_id, sum(events) AS events, sum(bytes) AS bytes, "  # noqa: S608  ours
            "toInt64(max(minute)) AS last_s, "
            f"sumMap([{_BUCKET}], [activity.events]) AS map, map.1 AS starts_s, map.2 AS counts "
            f"FROM activity WHERE {rows} AND {_SINCE} GROUP BY project_id "
            f"ORDER BY events DESC, project_id LIMIT {PROJECTS_SHOWN}",
            ProjectActivity,
            over,
        )

    async def agents(self, rows: str, silent_after_s: int) -> list[Agent]:
        """Return the agents, those that have been silent longest first."""
        return await self._ask(
            "SELECT agent, project_id, host, backend, toUnixTimestamp64Micro(received) AS received_us, "  # noqa: S608
            "lag_ms, depth, count() OVER () AS all, "
            f"countIf(received < now() - INTERVAL {silent_after_s} SECOND) OVER () AS silent "
            f"FROM agents FINAL WHERE {rows} ORDER BY received LIMIT {SHOWN}",
            Agent,
        )

    async def open_gaps(self, rows: str) -> list[OpenGap]:
        """Return the gaps that are open, the newest first."""
        return await self._ask(
            "SELECT project_id, path, reason, host, toUnixTimestamp64Micro(opened) AS opened_us, "  # noqa: S608
            f"count() OVER () AS all FROM gaps FINAL WHERE {rows} AND closed IS NULL "
            f"ORDER BY opened DESC LIMIT {SHOWN}",
            OpenGap,
        )

    async def failed_runs(self, rows: str, over: Window) -> list[FailedRun]:
        """Return the runs that failed in the time shown, the newest first."""
        return await self._ask(
            "SELECT run_id, workflow, project_id, path, error, "  # noqa: S608  our own conditions
            "toUnixTimestamp64Micro(updated) AS updated_us, count() OVER () AS all "
            f"FROM runs FINAL WHERE {rows} AND state = 'failed' AND superseded_by = '' "
            "AND updated >= toDateTime({from_s:UInt32}) AND updated < toDateTime({to_s:UInt32}) "
            f"ORDER BY updated DESC LIMIT {SHOWN}",
            FailedRun,
            over,
        )

    async def latency(self, rows: str, over: Window) -> list[Latency]:
        """Return the time from event to row: of all, then by bucket."""
        return await self._ask(
            f"SELECT if(grouping(bucket) = 1, NULL, bucket) AS start_s, sum(events) AS events, "  # noqa: S608
            "max(longest_s) AS longest_s, "
            "arrayMap(each -> ifNotFinite(each, 0), quantilesTDigestMerge(0.5, 0.95, 0.99)(seconds)) "
            "AS seconds "
            f"FROM (SELECT {_BUCKET} AS bucket, * FROM latency WHERE {rows} AND {_SINCE}) "
            "GROUP BY GROUPING SETS ((), (bucket)) ORDER BY start_s NULLS FIRST",
            Latency,
            over,
        )

    async def _ask(self, sql: str, row: type[T], over: Window | None = None) -> list[T]:
        parameters: dict[str, Any] = {}
        if over is not None:
            parameters = {"from_s": over.from_s, "to_s": over.to_s, "width_s": over.width_s}
        return await self._parts.rows(sql, parameters, row)


def heaps(rows: list[Activity]) -> dict[int, dict[str, int]]:
    """Return activity by start of bucket, then by event."""
    by_start: dict[int, dict[str, int]] = {}
    for row in rows:
        by_start.setdefault(row.start_s, {})[row.event] = row.events
    return by_start
