"""The pages of one export: spans of a history, and the answer of the database to each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import msgspec

from api import export_query
from api.cursor import Place
from api.database import Database, Refused
from api.errors import QueryTimeout, Unavailable
from api.export_query import PAGES_AHEAD, ExportQuery, Span
from api.history_query import Filters

TURNS = 2
"""Queries of exports that run at one time: those of others find room beside them."""
_TIMEOUT_EXCEEDED = 159
"""ClickHouse's error code."""


class _Place(msgspec.Struct):
    occurred_us: int
    event_id: str


class Source:
    """What all exports of a process read from."""

    def __init__(self, database: Database, *, timeout_s: int) -> None:
        self._database = database
        self._settings = {
            "max_execution_time": timeout_s,
            "prefer_column_name_to_alias": 1,
            "date_time_output_format": "iso",
            "format_csv_null_representation": "",
            "output_format_json_validate_utf8": 1,
            "output_format_json_escape_forward_slashes": 0,
        }
        self._turns = asyncio.Semaphore(TURNS)

    async def end(self, query: ExportQuery) -> Place | None:
        """Return the place of the last row that is wanted; None where that is the last that there is."""
        found = await self.places(*export_query.place_sql(query)) if query.rows is not None else []
        return found[0] if found else None

    async def places(self, sql: str, bound: dict[str, Any]) -> list[Place]:
        """Return the places that a query finds."""
        async with self._turns:
            rows = await self._database.rows(sql, bound, _Place, self._settings)
        return [Place(row.occurred_us, row.event_id) for row in rows]

    @asynccontextmanager
    async def answer(
        self, sql: str, bound: dict[str, Any], clickhouse: str
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Enter once the query has succeeded; it has no turn any more while its answer is being taken."""
        async with AsyncExitStack() as held:
            async with self._turns:
                try:
                    chunks = await held.enter_async_context(
                        self._database.stream(sql, bound, clickhouse, self._settings)
                    )
                except Refused as refused:
                    raise _failure(refused) from None
            yield chunks


class Pages:
    """One export; `changed` is the expression of that column."""

    def __init__(self, source: Source, filters: Filters, span: Span, changed: str) -> None:
        self._source = source
        self._filters = filters
        self._span = span
        self._changed = changed

    async def spans(self) -> AsyncIterator[Span]:
        """Yield the spans of the pages, each behind the one before; only the last may hold no event."""
        after, until = self._span
        full = True
        while full:
            ends = await self._source.places(*export_query.ends_sql(self._filters, Span(after, until)))
            for place in ends:
                yield Span(after, place)
                after = place
            full = len(ends) == PAGES_AHEAD
        yield Span(after, until)

    @asynccontextmanager
    async def page(self, span: Span, clickhouse: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """Enter with the events of a span in a format of ClickHouse; QueryTimeout or Unavailable."""
        sql, bound = export_query.page_sql(self._filters, span, self._changed)
        async with self._source.answer(sql, bound, clickhouse) as chunks:
            yield chunks


def _failure(refused: Refused) -> QueryTimeout | Unavailable:
    if refused.code == _TIMEOUT_EXCEEDED:
        return QueryTimeout("a page of the export took too long")
    return Unavailable("the database does not answer", code="database_unavailable")
