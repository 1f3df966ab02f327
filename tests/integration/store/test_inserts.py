"""What is inserted, and what is not: a repeated token, a row that does not parse."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.databases import Place

pytestmark = pytest.mark.stack


def test_token_inserts_once(database: Place, client: Any, table: str) -> None:
    """A repeated insert_deduplication_token inserts nothing, by FORMAT and by input() alike."""
    settings = {"insert_deduplication_token": "t", "async_insert": 0}
    select = f"INSERT INTO {table} (a, b) SELECT x, y FROM input('x UInt64, y String') FORMAT JSONEachRow"
    with database.http() as http:
        for _ in range(2):
            http.post(
                "/", params={"query": f"INSERT INTO {table} (a) FORMAT TSV", **settings}, content=b"1\n2\n"
            ).raise_for_status()
        for _ in range(2):
            http.post(
                "/",
                params={"query": select, **settings, "insert_deduplication_token": "u"},
                content=b'{"x":3,"y":"q"}\n',
            ).raise_for_status()

    assert client.command(f"SELECT count() FROM {table}") == 3


def test_refused_row_inserts_nothing(database: Place, client: Any, table: str) -> None:
    """A row that does not parse takes the whole body with it."""
    with database.http() as http:
        answer = http.post(
            "/", params={"query": f"INSERT INTO {table} FORMAT JSONEachRow"}, content=b'{"a":1}\n{"a":"x"}\n'
        )

    assert (answer.status_code, answer.headers["X-ClickHouse-Exception-Code"]) == (400, "27")
    assert client.command(f"SELECT count() FROM {table}") == 0
