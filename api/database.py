"""The api's way to ClickHouse: connected at the first query; what it cannot answer is an error of ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import msgspec
import structlog
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import ClickHouseError

from api.errors import Unavailable

CONNECT_TIMEOUT_S = 5.0
MARGIN_S = 5.0
"""A query that ran out of time is refused by ClickHouse itself, some moments after."""
_ALWAYS = {
    "output_format_json_quote_64bit_integers": 0,
    "wait_end_of_query": 1,  # an error in the middle of a result is an error, not a text in it
    "read_in_order_use_buffering": 0,  # else the first rows of a long table cost millions: 28 ms or 84
}
_NOT_NOW = frozenset((81, 202, 209, 210, 516))
"""ClickHouse's codes: unknown database, too many queries at once, network, refused password."""

_log = structlog.get_logger()

T = TypeVar("T")


class Refused(Exception):
    """ClickHouse answered a query with an error."""

    def __init__(self, message: str, code: int | None) -> None:
        super().__init__(message)
        self.code = code


class Database:
    """One client, made when it is first needed and made anew after it could not connect."""

    def __init__(self, connect: Callable[[], Awaitable[AsyncClient]], place: str) -> None:
        self._connect = connect
        self._place = place
        self._client: AsyncClient | None = None
        self._lock = asyncio.Lock()
        self._told = False

    async def raw(
        self, sql: str, parameters: dict[str, Any] | None, fmt: str, settings: dict[str, Any]
    ) -> bytes:
        """Return what ClickHouse answers, in a format of its own. `settings` name a `max_execution_time`.

        Refused: ClickHouse's own error. Unavailable: it cannot be asked, or does not answer in that time.
        """
        client = await self._connected()
        try:
            async with asyncio.timeout(settings["max_execution_time"] + MARGIN_S):
                answer: bytes = await client.raw_query(sql, parameters, settings | _ALWAYS, fmt)
        except Exception as error:  # noqa: BLE001  the client raises its own, aiohttp's, and OSError
            raise self._failure(error) from None
        self._told = False
        return answer

    @asynccontextmanager
    async def stream(
        self, sql: str, parameters: dict[str, Any] | None, fmt: str, settings: dict[str, Any]
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Enter once the query has succeeded, as in `raw`; the chunks of its answer wait in the database.

        Leaving the block early, or cancelled, closes the connection: the database ends what still runs.
        """
        client = await self._connected()
        try:
            async with asyncio.timeout(settings["max_execution_time"] + MARGIN_S):
                context = await client.raw_stream(sql, parameters, settings | _ALWAYS, fmt)
        except Exception as error:  # noqa: BLE001  as above
            raise self._failure(error) from None
        self._told = False
        async with context as chunks:
            yield self._chunks(chunks)

    async def rows(
        self, sql: str, parameters: dict[str, Any], row: type[T], settings: dict[str, Any]
    ) -> list[T]:
        """Return the rows of a query of our own; any error is Unavailable."""
        try:
            answer = await self.raw(sql, parameters, "JSONEachRow", settings)
        except Refused as error:
            raise self._unavailable(error) from None
        return msgspec.json.Decoder(row).decode_lines(answer)

    async def close(self) -> None:
        """Close the client, if there is one."""
        if self._client is not None:
            await self._client.close()

    async def _connected(self) -> AsyncClient:
        async with self._lock:
            if self._client is None:
                try:
                    async with asyncio.timeout(CONNECT_TIMEOUT_S):
                        self._client = await self._connect()
                except Exception as error:  # noqa: BLE001  as above
                    raise self._unavailable(error) from None
            return self._client

    async def _chunks(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        try:
            async for chunk in chunks:
                yield chunk
        except Exception as error:  # noqa: BLE001  as above
            raise self._failure(error) from None

    def _failure(self, error: Exception) -> Refused | Unavailable:
        code = getattr(error, "code", None)
        if isinstance(error, ClickHouseError) and code is not None and code not in _NOT_NOW:
            return Refused(str(error).partition("server response: ")[2] or str(error), code)
        return self._unavailable(error)

    def _unavailable(self, error: Exception) -> Unavailable:
        if not self._told:
            _log.warning(
                "database does not answer",
                database=self._place,
                error=str(error) or type(error).__name__,
                check="ClickHouse (`fswire store`) runs there, FSWIRE_CLICKHOUSE_URL is right, and"
                " `fswire schema apply` was run",
            )
        self._told = True
        return Unavailable("the database does not answer", code="database_unavailable")
