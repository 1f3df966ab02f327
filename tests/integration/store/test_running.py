"""Queries while they run: streamed, side by side, failing late, killed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from clickhouse_connect.driver.exceptions import StreamFailureError

from tests.integration.databases import Place

pytestmark = pytest.mark.stack


def test_large_answers_are_streamed(client: Any) -> None:
    """Many blocks come as one stream."""
    seen = 0
    with client.query_row_block_stream("SELECT number, toString(number) FROM numbers(1000000)") as stream:
        for block in stream:
            seen += len(block)

    assert seen == 1_000_000


def test_failure_after_the_first_byte_is_told(client: Any) -> None:
    """A query that fails while it streams ends with an exception that the client sees."""
    query = "SELECT throwIf(number = 5000000), number FROM numbers(10000000) SETTINGS max_threads = 1"

    with pytest.raises(StreamFailureError, match="395"), client.query_row_block_stream(query) as stream:
        for _ in stream:
            pass


def test_queries_run_in_parallel(database: Place) -> None:
    """A long query does not keep small ones waiting."""
    with database.http() as http, ThreadPoolExecutor(4) as threads:
        query_id = uuid4().hex
        long = threads.submit(http.post, "/", params={"query_id": query_id}, content=_LONG)
        small = [http.post("/", content="SELECT 1").text for _ in range(10)]
        still_running = not long.done()
        _kill(database, query_id)

    assert small == ["1\n"] * 10
    assert still_running


def test_kill_ends_a_query_by_its_clients_id(database: Place) -> None:
    """KILL QUERY finds what its client called it, and leaves others alone."""
    with database.http() as http, ThreadPoolExecutor(2) as threads:
        ids = [uuid4().hex for _ in range(2)]
        running = [threads.submit(http.post, "/", params={"query_id": each}, content=_LONG) for each in ids]
        _kill(database, ids[0])
        ended = running[0].result(60)
        other_ran_on = not running[1].done()
        _kill(database, ids[1])
        running[1].result(60)

    assert (ended.headers["X-ClickHouse-Exception-Code"], other_ran_on) == ("394", True)


_LONG = "SELECT sum(cityHash64(number)) FROM numbers(100000000000000)"


def _kill(database: Place, query_id: str) -> None:
    """Kill a query once it runs."""
    with database.http() as http:
        for _ in range(200):
            if http.post("/", content=f"KILL QUERY WHERE query_id = '{query_id}' ASYNC FORMAT TSV").text:
                return
            # It waits on the server for a moment: the query may not have come to it yet.
            http.post("/", content="SELECT sleep(0.05)")
    raise AssertionError(f"{query_id} was never found")
