"""The sink's side of ClickHouse: inserts the rows of a plan, tells which are there.

ClickHouseUnavailable (retriable): nothing is known of the last insert, ask before repeating it
RowsRefused (not retriable): nothing was inserted, at least one row can never be
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import aiohttp
import structlog
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import ClickHouseError, Error

from processors import rows
from processors.clickhouse import ClickHouseSettings, ClickHouseUnavailable, connect_async, unavailable
from processors.plan import Plan
from processors.rows import KafkaRecord, Table

_OF_A_ROW = frozenset(
    (
        *(6, 25, 26, 27, 33, 38, 41, 53, 69, 70, 72, 117, 130, 131, 306, 321, 349, 376, 395, 407),
        *(441, 467, 469, 675, 676, 691),
    )
)
"""ClickHouse's codes for text that does not parse or fit, and for the check that the INSERT itself makes."""
_PROJECTS = (
    "SELECT DISTINCT project_id FROM events "
    "WHERE kafka_topic = {topic:String} AND kafka_partition = {partition:UInt32} ORDER BY project_id"
)
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
_TIMEOUT_S = 120


class RowsRefused(Exception):
    """ClickHouse will not take these rows; `str` is what it says."""


class Database:
    """One client, connected when first needed, shared by all partitions."""

    def __init__(self, settings: ClickHouseSettings) -> None:
        self._settings = settings
        self._client: AsyncClient | None = None
        self._connecting = asyncio.Lock()

    async def insert(
        self, table: Table, topic: str, partition: int, records: Sequence[KafkaRecord], token: str
    ) -> None:
        """Insert the rows of these records as one block; a token that was used before inserts nothing."""
        client = await self._connected()
        settings = rows.SETTINGS | {"insert_deduplication_token": token}
        data = await asyncio.to_thread(table.body, records)
        try:
            await client.command(table.insert(topic, partition), data=data, settings=settings)
        except Error as error:
            if error.code in _OF_A_ROW:
                raise RowsRefused(_said(error)) from None
            raise unavailable(self._settings, error) from None
        except (ClickHouseError, aiohttp.ClientError, OSError) as error:
            raise unavailable(self._settings, error) from None

    async def present(self, table: Table, topic: str, partition: int, plan: Plan) -> set[int]:
        """Return the offsets within a plan that the table has."""
        client = await self._connected()
        parameters = {"topic": topic, "partition": partition, "first": plan.first, "last": plan.last}
        try:
            result = await client.query(table.present, parameters=parameters)
        except (ClickHouseError, aiohttp.ClientError, OSError) as error:
            raise unavailable(self._settings, error) from None
        return {row[0] for row in result.result_rows}

    async def projects(self, topic: str, partition: int) -> list[str]:
        """Return the projects of which `events` has rows from a partition."""
        client = await self._connected()
        try:
            result = await client.query(_PROJECTS, parameters={"topic": topic, "partition": partition})
        except (ClickHouseError, aiohttp.ClientError, OSError) as error:
            raise unavailable(self._settings, error) from None
        return [row[0] for row in result.result_rows]

    async def close(self) -> None:
        """Close the client."""
        if self._client is not None:
            await self._client.close()

    async def _connected(self) -> AsyncClient:
        async with self._connecting:
            if self._client is None:
                self._client = await connect_async(self._settings, send_receive_timeout=_TIMEOUT_S)
            return self._client


def _said(error: Error) -> str:
    """What ClickHouse said, without what the client puts before it."""
    return str(error).rpartition("DB::Exception: ")[2]


class Outage:
    """Waits while the database is away, for all partitions; says once that it is, once that it is back."""

    def __init__(self) -> None:
        self._pause_s = _FIRST_PAUSE_S
        self._away = False
        self._log = structlog.get_logger()

    async def wait(self, error: ClickHouseUnavailable) -> None:
        """Sleep, longer each time."""
        if not self._away:
            self._away = True
            self._log.warning("waiting for ClickHouse, nothing is lost", problem=str(error))
        pause_s, self._pause_s = self._pause_s, min(2 * self._pause_s, _LONGEST_PAUSE_S)
        await asyncio.sleep(pause_s)

    def over(self) -> None:
        """Call when the database did something."""
        if self._away:
            self._log.info("ClickHouse is back")
        self._away = False
        self._pause_s = _FIRST_PAUSE_S
