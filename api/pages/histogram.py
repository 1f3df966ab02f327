"""When a project's events happened: filters in, a chart of bars out, cut into buckets that fit."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from api.history import where_sql
from api.history_query import Filters
from api.pages import charts
from api.pages.charts import Bars, Window
from api.pages.parts import Parts

BUCKETS = 120
STEPS_S = (1, 5, 10, 30, 60, 300, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 7 * 86400, 28 * 86400)
DEFAULT_SPAN_S = 86_400
"""What is shown of a project that has no events yet."""
AHEAD_S = 86_400
"""Events of a later time than that, by a clock that is wrong, stretch no chart by themselves."""
_LATEST_S = 4_250_000_000
"""In 2104: the end of the widest bucket that begins by then is still a DateTime of ClickHouse (32 bits)."""
_SUMMED = frozenset(("project", "event", "from_us", "to_us"))
"""Filters that the table `activity`, by project, minute and event, can answer."""
_MINUTE_S = 60


class _Count(msgspec.Struct):
    start_s: int
    event: str
    events: int


class _Span(msgspec.Struct):
    from_s: int
    to_s: int


def covering(from_s: float, to_s: float) -> Window:
    """Return the window of a time, as far as a chart can show it: 1970 to 2104."""
    begins_s = min(max(from_s, 0.0), _LATEST_S - 1)
    return charts.window(begins_s, min(max(to_s, begins_s + 1), _LATEST_S), BUCKETS, STEPS_S)


class Histogram:
    """Asks `activity` where it can, else `events` by the very conditions of the history."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def of(self, filters: Filters) -> Bars:
        """Return the chart of the events that the filters let through."""
        over = await self._window(filters)
        given = {name for name, value in msgspec.structs.asdict(filters).items() if value is not None}
        if given <= _SUMMED and over.width_s >= _MINUTE_S:
            counts = await self._summed(filters, over)
        else:
            counts = await self._counted(filters, over)
        heaps: dict[int, dict[str, int]] = {}
        for count in counts:
            heaps.setdefault(count.start_s, {})[count.event] = count.events
        return charts.stacked(over, heaps)

    async def _window(self, filters: Filters) -> Window:
        """Cover what is asked for; on an open side, what there is."""
        now_s = time.time()
        from_s = None if filters.from_us is None else filters.from_us / 1e6
        to_s = None if filters.to_us is None else filters.to_us / 1e6
        if from_s is None or to_s is None:
            there = await self._span(filters.project)
            from_s = there.from_s if from_s is None else from_s
            to_s = max(now_s, there.to_s) if to_s is None else to_s
        return covering(from_s, to_s)

    async def _span(self, project: str) -> _Span:
        now_s = int(time.time())
        rows = await self._parts.rows(
            "SELECT toInt64(min(minute)) AS from_s, toInt64(max(minute)) + 60 AS to_s "
            "FROM activity WHERE project_id = {project:String} AND minute < toDateTime({to_s:UInt32}) "
            "HAVING count() > 0",
            {"project": project, "to_s": now_s + AHEAD_S},
            _Span,
        )
        return rows[0] if rows else _Span(now_s - DEFAULT_SPAN_S, now_s)

    async def _summed(self, filters: Filters, over: Window) -> list[_Count]:
        event = " AND event = {event:String}" if filters.event is not None else ""
        return await self._ask(
            "SELECT intDiv(toInt64(minute), {width_s:UInt32}) * {width_s:UInt32} AS start_s, "  # noqa: S608
            "event, sum(events) AS events FROM activity WHERE project_id = {project:String} "
            "AND minute >= toDateTime({start_s:UInt32}) AND minute < toDateTime({end_s:UInt32})"
            f"{event} GROUP BY start_s, event",
            over,
            {"project": filters.project, "event": filters.event},
        )

    async def _counted(self, filters: Filters, over: Window) -> list[_Count]:
        where, given = where_sql(filters)
        return await self._ask(
            "SELECT intDiv(toUnixTimestamp64Second(occurred), {width_s:UInt32}) * {width_s:UInt32} AS start_s"  # noqa: S608
            f", event, count() AS events FROM events WHERE {where} "
            "AND occurred >= toDateTime({start_s:UInt32}) AND occurred < toDateTime({end_s:UInt32}) "
            "GROUP BY start_s, event",
            over,
            given,
        )

    async def _ask(self, sql: str, over: Window, parameters: dict[str, Any]) -> list[_Count]:
        bounds = {"start_s": over.from_s, "end_s": over.to_s, "width_s": over.width_s}
        return await self._parts.rows(sql, parameters | bounds, _Count)
