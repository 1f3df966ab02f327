"""`POST /v1/sql`: a reader's query, bounded in time, rows and memory, answered as Accept asks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from api import auth, sql_formats, visit
from api.accept import chosen
from api.access import Access
from api.body import header, json_object, received
from api.database import Database, Refused
from api.errors import BadRequest, Detail, FieldsRefused, QueryTimeout
from api.leaving import Stream, unless_gone
from api.settings import ApiSettings
from api.sql_formats import FORMATS, Format
from api.sql_guard import QueryRefused, guard
from api.sql_names import TABLES, TABLES_OF_ADMINS
from api.sql_rows import row_filter
from processors.registry import Key

TIMEOUT_EXCEEDED = 159
SYNTAX_ERROR = 62
"""ClickHouse's error codes."""


class Sql:
    """The endpoint; its database client is its own, so that no setting of a reader's query reaches others.

    The database holds an answer until it is fetched; here only a part of it is in memory at any time.
    """

    def __init__(self, access: Access, database: Database, settings: ApiSettings) -> None:
        self._access = access
        self._database = database
        self._max_body_bytes = settings.max_body_bytes
        self._max_chars = settings.sql_max_query_chars
        self._turns = asyncio.Semaphore(settings.sql_concurrency)
        self._bounds: dict[str, Any] = {
            "readonly": 1,
            "final": 1,
            "asterisk_include_alias_columns": 1,
            "format_csv_null_representation": "",
            "output_format_json_validate_utf8": 1,
            "output_format_json_escape_forward_slashes": 0,
            "max_execution_time": settings.sql_max_execution_s,
            "timeout_overflow_mode": "throw",
            "max_result_rows": settings.sql_max_rows,
            # Without it ClickHouse lets some results pass, such as those of arrayJoin.
            "limit": settings.sql_max_rows + 1,
            "max_result_bytes": settings.sql_max_result_bytes,
            "result_overflow_mode": "throw",
            "max_memory_usage": settings.sql_max_memory_bytes,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        visit.note(scope=auth.SQL)
        key = await self._access.authenticate(header(scope, b"authorization"))
        auth.check_scope(key, auth.SQL)
        wanted = chosen(header(scope, b"accept"), FORMATS)
        body = await received(scope, receive, send, self._max_body_bytes)
        if body is not None:
            query = _query(json_object(scope, body), self._max_chars)
            visit.note(query=query)
            try:
                await self._answer(query, key, wanted, scope, receive, send)
            except ClientDisconnect:
                return

    async def _answer(
        self, query: str, key: Key, wanted: Format, scope: Scope, receive: Receive, send: Send
    ) -> None:
        rows = None if auth.covers_all(key) else row_filter(key.projects)
        tables = TABLES_OF_ADMINS if auth.ADMIN in key.scopes else TABLES
        safe = await _guarded(query, rows, tables)
        async with AsyncExitStack() as answer:
            chunks, elapsed_ms = await unless_gone(receive, self._run(answer, safe, rows, wanted))
            if wanted is sql_formats.JSON:
                chunks = sql_formats.document(chunks, elapsed_ms)
            await Stream(chunks, media_type=wanted.media_type)(scope, receive, send)

    async def _run(
        self, answer: AsyncExitStack, safe: str, rows: str | None, wanted: Format
    ) -> tuple[AsyncIterator[bytes], int]:
        """Return the answer, and how long the query took; the database keeps it until `answer` is closed."""
        bounds = self._bounds
        if rows is not None:
            # The guard wrote the same into the query: a second lock of another make.
            bounds = bounds | {"additional_table_filters": dict.fromkeys(sorted(TABLES_OF_ADMINS), rows)}
        async with self._turns:
            started = time.perf_counter()
            try:
                chunks = await answer.enter_async_context(
                    self._database.stream(safe, None, wanted.clickhouse, bounds)
                )
            except Refused as refused:
                raise _refusal(refused) from None
            return chunks, round((time.perf_counter() - started) * 1000)


async def _guarded(query: str, rows: str | None, tables: frozenset[str]) -> str:
    try:
        return await asyncio.to_thread(guard, query, rows, tables)
    except QueryRefused as refused:
        details = [Detail("query", str(refused))]
        raise BadRequest(f"the query {refused}", code="query_refused", details=details) from None


def _refusal(refused: Refused) -> BadRequest | QueryTimeout:
    kind = QueryTimeout if refused.code == TIMEOUT_EXCEEDED else BadRequest
    # Of a syntax error it repeats the statement around the query, with paths of its own.
    said = "ClickHouse cannot read the query" if refused.code == SYNTAX_ERROR else str(refused)
    return kind(
        said,
        code="query_timeout" if kind is QueryTimeout else "query_failed",
        details=[Detail("query", said)],
        more={"clickhouseCode": refused.code},
    )


def _query(body: dict[str, Any], max_chars: int) -> str:
    query = body.get("query")
    if not isinstance(query, str) or not query.strip():
        raise FieldsRefused([Detail("query", "is required and must be a string")])
    if len(query) > max_chars:
        raise FieldsRefused([Detail("query", f"must have at most {max_chars} characters")])
    return query
