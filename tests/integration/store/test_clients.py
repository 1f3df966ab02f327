"""Unmodified clients: values of every type, parameters, tables that come with a query, sessions."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import clickhouse_connect
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError
from clickhouse_connect.driver.external import ExternalData

from tests.integration.databases import Place

pytestmark = pytest.mark.stack


@pytest.mark.parametrize("compress", ["lz4", "zstd", "gzip", False])
def test_clickhouse_connect_inserts_and_reads(database: Place, table: str, compress: str | bool) -> None:
    """Native inserts and answers of the Python client keep every value."""
    rows = [[number, f"r{number}", datetime(1950, 1, 1, tzinfo=UTC), ["a", "b"]] for number in range(70_000)]
    client = database.connect(compress=compress)

    client.insert(table, rows, column_names=["a", "b", "c", "d"])
    result = client.query(f"SELECT * FROM {table} ORDER BY a").result_rows

    client.close()
    assert len(result) == len(rows)
    assert result[69_999][2].astimezone(UTC) == datetime(1950, 1, 1, tzinfo=UTC)
    assert result[69_999][:2] + result[69_999][3:] == (69_999, "r69999", ["a", "b"])


def test_clickhouse_connect_reads_every_kind_of_type(client: Any) -> None:
    """The client asks for a later protocol revision: types of every shape are measured right."""
    row = client.query(
        """SELECT number, toString(number), [[toString(number)]], map('k', number), tuple(1, 'x'),
        toLowCardinality('l'), CAST(NULL AS Nullable(Int8)), toFixedString('ab', 2), toDecimal128('1.5', 3),
        CAST('a' AS Enum8('a' = 1)), [toLowCardinality(toNullable('n')), NULL],
        toUUID('61f0c404-5cb3-11e7-907b-a6006ad3dba0'), toIPv6('::1'),
        CAST((1, ['q']) AS Tuple(a UInt8, b Array(String))), toDate32('1925-01-01'), true, repeat('x', 300)
        FROM numbers(2)"""
    ).result_rows[1]

    assert row[:6] == (1, "1", [["1"]], {"k": 1}, (1, "x"), "l")
    assert row[6] is None
    assert row[10] == ["n", None]
    assert row[16] == "x" * 300


def test_parameters_are_bound(client: Any) -> None:
    """Parameters travel as text and arrive as their type, however long or odd."""
    text, long = "it's \t \\ \n é", "y" * 300_000
    parameters = {"a": text, "b": [1, 2], "c": long}

    row = client.query(
        "SELECT {a:String}, {b:Array(Int32)}, length({c:String})", parameters=parameters
    ).first_row

    assert tuple(row) == (text, [1, 2], 300_000)


def test_tables_may_come_with_a_query(client: Any) -> None:
    """A multipart form carries tables for one query."""
    data = ExternalData(file_name="given.csv", data=b"1,x\n2,y\n", fmt="CSV", structure="a UInt8, b String")

    rows = client.query(
        "SELECT * FROM given WHERE a > {m:UInt8}", parameters={"m": 1}, external_data=data
    ).result_rows

    assert rows == [(2, "y")]


def test_session_keeps_settings_and_temporary_tables(database: Place) -> None:
    """Within a session_id SET and temporary tables outlive a query; outside they do not."""
    client = database.connect(session_id=uuid4().hex)
    other = database.connect()
    try:
        client.command("SET max_block_size = 123")
        client.command("CREATE TEMPORARY TABLE kept (a Int8)")
        client.command("INSERT INTO kept VALUES (1), (2)")

        assert client.command("SELECT sum(a) FROM kept") == 3
        assert client.command("SELECT getSetting('max_block_size')") == 123
        with pytest.raises(DatabaseError):
            other.command("SELECT sum(a) FROM kept")
    finally:
        client.close()
        other.close()


def test_async_client_works(database: Place) -> None:
    """The asyncio client runs many queries at once."""

    async def ask() -> list[Any]:
        client = await clickhouse_connect.get_async_client(
            host=database.host, port=database.port, username=database.user, password=database.password
        )
        try:
            results = await asyncio.gather(*(client.query(f"SELECT {number}") for number in range(30)))
            return [result.first_row[0] for result in results]
        finally:
            await client.close()

    assert asyncio.run(ask()) == list(range(30))
