"""`POST /v1/sql`: one read-only query of a reader, bounded in time, rows and memory, answered as JSON."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api import auth
from api.access import Access
from api.body import header, json_object, received
from api.database import Database, Refused
from api.errors import BadRequest, Detail, FieldsRefused, QueryTimeout
from api.settings import ApiSettings
from api.sql_guard import QueryRefused, guard
from api.sql_names import TABLES
from api.sql_rows import row_filter
from processors.registry import Key

FORMAT = "JSONCompactEachRowWithNamesAndTypes"
TIMEOUT_EXCEEDED = 159
"""ClickHouse's error code."""


class Column(msgspec.Struct):
    """Name and ClickHouse type of a column."""

    name: str
    type: str


class SqlAnswer(msgspec.Struct):
    """The answer of `/v1/sql`: a row is a list, in the order of the columns."""

    columns: list[Column]
    rows: msgspec.Raw
    row_count: int
    elapsed_ms: int


class Sql:
    """The endpoint; its database client is its own, so that no setting of a reader's query reaches others."""

    def __init__(self, access: Access, database: Database, settings: ApiSettings) -> None:
        self._access = access
        self._database = database
        self._max_body_bytes = settings.max_body_bytes
        self._max_rows = settings.sql_max_rows
        self._max_chars = settings.sql_max_query_chars
        self._turns = asyncio.Semaphore(settings.sql_concurrency)
        self._bounds: dict[str, Any] = {
            "readonly": 1,
            "final": 1,
            "asterisk_include_alias_columns": 1,
            "max_execution_time": settings.sql_max_execution_s,
            "timeout_overflow_mode": "throw",
            "max_result_rows": settings.sql_max_rows,
            "max_result_bytes": settings.sql_max_result_bytes,
            "result_overflow_mode": "throw",
            "max_memory_usage": settings.sql_max_memory_bytes,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        key = await self._access.authenticate(header(scope, b"authorization"))
        auth.check_scope(key, auth.SQL)
        body = await received(scope, receive, send, self._max_body_bytes)
        if body is not None:
            answer = await self._answer(_query(json_object(scope, body), self._max_chars), key)
            response = Response(msgspec.json.encode(answer), media_type="application/json")
            await response(scope, receive, send)

    async def _answer(self, query: str, key: Key) -> SqlAnswer:
        rows = None if auth.covers_all(key) else row_filter(key.projects)
        try:
            safe = await asyncio.to_thread(guard, query, rows)
        except QueryRefused as refused:
            raise BadRequest(
                f"the query {refused}", code="query_refused", details=[Detail("query", str(refused))]
            ) from None
        async with self._turns:
            started = time.perf_counter()
            names, types, *lines = await self._run(safe, rows)
        elapsed_ms = round((time.perf_counter() - started) * 1000)
        if len(lines) > self._max_rows:
            # ClickHouse itself lets some results pass, such as those of arrayJoin.
            raise BadRequest(f"the result must have at most {self._max_rows} rows", code="query_failed")
        columns = [Column(name, type_) for name, type_ in zip(_texts(names), _texts(types), strict=True)]
        return SqlAnswer(columns, msgspec.Raw(b"[" + b",".join(lines) + b"]"), len(lines), elapsed_ms)

    async def _run(self, safe: str, rows: str | None) -> list[bytes]:
        """Return names, types and rows, a line of JSON each."""
        bounds = self._bounds
        if rows is not None:
            # The guard wrote the same into the query: a second lock of another make.
            bounds = bounds | {"additional_table_filters": dict.fromkeys(sorted(TABLES), rows)}
        try:
            answer = await self._database.raw(safe, None, FORMAT, bounds)
        except Refused as refused:
            kind = QueryTimeout if refused.code == TIMEOUT_EXCEEDED else BadRequest
            raise kind(
                str(refused),
                code="query_timeout" if kind is QueryTimeout else "query_failed",
                details=[Detail("query", str(refused))],
                more={"clickhouseCode": refused.code},
            ) from None
        return _valid(answer).rstrip(b"\n").split(b"\n")


def _valid(answer: bytes) -> bytes:
    """Digests and names may hold bytes that are no UTF-8; JSON may not."""
    try:
        answer.decode()
    except UnicodeDecodeError:
        return answer.decode(errors="replace").encode()
    return answer


def _texts(line: bytes) -> list[str]:
    return msgspec.json.decode(line, type=list[str])


def _query(body: dict[str, Any], max_chars: int) -> str:
    query = body.get("query")
    if not isinstance(query, str) or not query.strip():
        raise FieldsRefused([Detail("query", "is required and must be a string")])
    if len(query) > max_chars:
        raise FieldsRefused([Detail("query", f"must have at most {max_chars} characters")])
    return query
