"""The Donutwork routes and SQL against the whole stack: what a client is told and history then shows."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.integration.monitoring import Monitor
from tests.integration.running import PATIENCE_S

pytestmark = pytest.mark.stack


@pytest.fixture
def other(stack: Any) -> Iterator[Monitor]:
    """A second project, with a key of its own."""
    monitor = Monitor(stack)
    with monitor.client:
        yield monitor


def test_event_comes_back_in_history(monitor: Monitor) -> None:
    """What a PUT reported is an item, with what the processor and the broker added."""
    put = monitor.put(
        event="Create",
        host="h1",
        eventId="e:1",
        timestampUtc="2026-11-21T01:20:00.123456+01:00",
        attempt={"n": [1]},
    )
    monitor.await_count(1)

    page = monitor.history()
    assert (page["status"], page["count"], page["page"], page["size"]) == ("fetch", 1, 1, 50)
    item = page["items"][0]
    assert put == {
        "status": "success",
        "eventId": "e:1",
        "projectId": monitor.project,
        "inserted": True,
        "workflowTriggered": False,
    }
    expected = monitor.event(event="created", host="h1", eventId="e:1") | {
        "timestampUtc": "2026-11-21T00:20:00.123456Z",
        "workflows": [],
        "source": "http",
        "fields": {"attempt": {"n": [1]}},
    }
    assert {name: item[name] for name in expected} == expected
    assert item["receivedAt"] > "2026"


def test_start_is_answered_again_and_again(monitor: Monitor) -> None:
    """Each start is a row of its own."""
    for _ in range(2):
        response = monitor.client.post(monitor.path, json={"ingressToken": monitor.token})
        assert response.json() == {"status": "success", "projectId": monitor.project}

    query = f"SELECT count() FROM sessions FINAL WHERE project_id = '{monitor.project}'"
    monitor.stack.await_rows(query, 2)


def test_repeat_and_conflict_are_decided(monitor: Monitor) -> None:
    """The same id with the same content is a repeat, with other content a conflict, and one row stays."""
    first = monitor.put(eventId="e1")
    repeat = monitor.put(eventId="e1", unknown=1)
    conflict = monitor.client.put(monitor.path, json=monitor.event(eventId="e1", filesize=1))
    last = monitor.put(eventId="e2")

    assert [answer["inserted"] for answer in (first, repeat, last)] == [True, False, True]
    assert (conflict.status_code, conflict.json()["code"]) == (409, "event_id_conflict")
    monitor.await_count(2)
    assert monitor.history()["count"] == 2


def test_refusals_need_the_whole_stack_as_little_as_the_unit(monitor: Monitor) -> None:
    """The statuses that depend on registry and key, over a real socket."""
    event = monitor.event()
    stranger = monitor.path.replace(monitor.project, "watched")
    unknown = monitor.path.replace(monitor.project, "no-such-project")
    admin = {"Authorization": f"Bearer {monitor.stack.admin_key}"}
    client = monitor.client

    assert client.put(monitor.path, json=event, headers={"Authorization": "Bearer a.b"}).status_code == 401
    assert client.put(monitor.path, json=event, headers={"X-Directory-Monitor-Token": "x"}).status_code == 401
    assert client.put(stranger, json=event).status_code == 403
    assert client.put(unknown, json=event, headers=admin).status_code == 404
    assert client.delete(monitor.path).headers["allow"] == "POST, PUT"
    assert client.put(monitor.path, content=b"7").status_code == 400
    assert client.put(monitor.path, content=b"x", headers={"Content-Type": "text/plain"}).status_code == 415
    assert client.put(monitor.path, json=monitor.event(filename="../x", uid=True)).status_code == 422


@pytest.mark.parametrize("mebibytes", [1, 20])
def test_body_over_the_limit_is_answered_while_it_is_sent(monitor: Monitor, mebibytes: int) -> None:
    """A client that writes on regardless still gets its 413."""
    response = monitor.client.put(monitor.path, content=b"x" * (mebibytes * 1024 * 1024))

    assert (response.status_code, response.json()["code"]) == (413, "body_too_large")


def test_path_like_is_literal(monitor: Monitor) -> None:
    """`%`, `_`, backslash, quotes and NUL are ordinary characters, upper and lower case differ."""
    names = ["100%_a\\b.txt", "100xya\\b.txt", "q'\"`.txt", "ünï/☃.txt", "[a].*"]
    for name in names:
        monitor.put(filename=name, event="created")
    monitor.put(filename="old name", event="renamed", renamedTo="new name")
    monitor.await_count(6)

    def found(text: str) -> set[str]:
        page = monitor.history(pathLike=text)
        assert page["count"] == len(page["items"])
        return {item["filename"] for item in page["items"]}

    assert found("100%") == {names[0]}
    assert found("%_") == {names[0]}
    assert found("\\b") == {names[0], names[1]}
    assert found("'\"`") == {names[2]}
    assert found("☃") == {names[3]}
    assert found(".*") == {names[4]}
    assert found("TXT") == set()
    assert found("\0") == set()
    assert found("e\0n") == set()
    assert found("new name") == found("old name") == {"old name"}


def test_history_is_filtered(monitor: Monitor) -> None:
    """By event, time, content and host; count is of all that match."""
    for day in range(1, 6):
        monitor.put(
            event="created" if day % 2 else "deleted",
            timestampUtc=f"2026-01-0{day}T00:00:00Z",
            sha256=f"{day:064x}",
            host=f"h{day}",
        )
    monitor.await_count(5)

    def days(**parameters: str) -> list[str]:
        page = monitor.history(**parameters)
        assert page["count"] == len(page["items"])
        return [item["timestampUtc"][9] for item in page["items"]]

    assert days() == ["5", "4", "3", "2", "1"]
    assert days(event="created") == ["5", "3", "1"]
    assert days(event="Delete") == ["4", "2"]
    assert days(**{"from": "2026-01-02T00:00:00Z", "to": "2026-01-04T00:00:00Z"}) == ["3", "2"]
    assert days(sha256=f"{4:064X}") == ["4"]
    assert days(host="h1") == ["1"]
    assert days(host="h1", event="deleted") == []


def test_cursor_reads_every_event_once_while_more_arrive(monitor: Monitor) -> None:
    """Newest first, ties by id; events that arrive meanwhile move nothing."""
    for number in range(7):
        monitor.put(eventId=f"e{number}", timestampUtc=f"2026-01-0{1 + number // 3}T00:00:00Z")
    monitor.await_count(7)

    read: list[str] = []
    page = monitor.history(size=2)
    while "next" in page:
        read += [item["eventId"] for item in page["items"]]
        monitor.put(timestampUtc=f"2026-02-01T00:00:0{len(read)}Z")
        monitor.await_count(7 + len(read) // 2)
        page = monitor.history(size=2, cursor=page["next"])
    read += [item["eventId"] for item in page["items"]]

    assert read == ["e6", "e3", "e4", "e5", "e0", "e1", "e2"]
    assert monitor.history(page=9)["items"] == []
    assert monitor.history(size=3, page=2)["items"][0]["eventId"] == "e6"


@pytest.mark.parametrize("moment", ["1900-01-01T00:00:00.000000Z", "2299-12-31T23:59:59.999999Z"])
def test_far_times_are_kept(monitor: Monitor, moment: str) -> None:
    """Whatever the clock of a client says: in the history, and in the minute that it is counted in.

    How long an event took to become a row is measured from when the api took it.
    """
    monitor.put(timestampUtc=moment)
    monitor.await_count(1)
    for table in ("activity", "latency"):  # filled from `events`, a moment after it
        monitor.stack.await_rows(f"SELECT count() FROM {table} WHERE project_id = '{monitor.project}'", 1)

    minute = f"SELECT toString(minute) FROM activity WHERE project_id = '{monitor.project}' AND events = 1"
    assert monitor.history()["items"][0]["timestampUtc"] == moment
    assert monitor.stack.query(minute).strip() == f"{moment[:10]} {moment[11:16]}:00"
    waited = f"SELECT max(longest_s) BETWEEN 0 AND 3600 FROM latency WHERE project_id = '{monitor.project}'"
    assert monitor.stack.query(waited).strip() == "1"


def test_many_puts_at_once_are_each_answered_once(monitor: Monitor) -> None:
    """64 connections: none lost, none doubled, every repeat told."""

    async def puts() -> list[bool]:
        limits = httpx2.Limits(max_connections=64)
        async with httpx2.AsyncClient(
            headers=monitor.client.headers, limits=limits, timeout=PATIENCE_S
        ) as client:
            url = monitor.stack.api + monitor.path
            answers = await asyncio.gather(
                *(client.put(url, json=monitor.event(eventId=f"e{number % 300}")) for number in range(600))
            )
            return [answer.json()["inserted"] for answer in answers]

    inserted = asyncio.run(puts())
    assert (inserted.count(True), len(inserted)) == (300, 600)
    monitor.await_count(300)
    assert monitor.history(size=1)["count"] == 300


QUERIES = [
    "SELECT count() FROM events",
    "SELECT event, uniqExact(path), quantile(0.9)(size) FROM events GROUP BY event WITH TOTALS",
    "WITH y AS (SELECT path FROM events) SELECT count() FROM y JOIN events ON events.path = y.path",
    "SELECT c FROM events ARRAY JOIN changed AS c PREWHERE size > 0 LIMIT 1 BY path",
    "SELECT arrayMap(x -> x + 1, [1, 2]), map('a', 1)['a'], (1, 2).1, size > 1 ? 1 : 2 FROM events",
    "SELECT row_number() OVER (PARTITION BY path ORDER BY occurred) FROM events",
    "SELECT dateTrunc('hour', occurred), dateDiff('day', sent, received), now() - INTERVAL 1 DAY FROM events",
    "SELECT count() FROM sessions AS s FINAL",
    "SELECT match(path, '\\\\.py$'), path LIKE '%\\\\_%', 'it''s', '\\t' FROM events",
    "SELECT sha256, * EXCEPT (sha256) FROM events",
    "SELECT path FROM events WHERE (path, event) IN (SELECT path, event FROM events)",
    "SELECT JSONExtractString(details, 'x'), trim(BOTH 'x' FROM path), substring(path, 1, 2) FROM events",
    "EXPLAIN indexes = 1 SELECT count() FROM events",
]


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("bound", [False, True])
def test_sql_of_analysts_runs(monitor: Monitor, query: str, bound: bool) -> None:
    """What is let through is still ClickHouse's SQL, with the row filter and without."""
    status, answer = monitor.stack.send("POST", "/v1/sql", {"query": query}, monitor.key if bound else None)

    assert status == 200, answer


def test_sql_reader_sees_its_own_rows_only(monitor: Monitor, other: Monitor) -> None:
    """Through joins, subqueries, common tables and unions alike."""
    other.put(filename="secret")
    monitor.put(filename="mine")
    other.await_count(1)
    monitor.await_count(1)

    for query in (
        "SELECT path FROM events",
        "SELECT a.path FROM events AS a, events AS b",
        "SELECT path FROM (SELECT * FROM events)",
        "WITH x AS (SELECT path FROM events) SELECT path FROM x UNION ALL SELECT path FROM x",
        "SELECT path FROM events WHERE path IN (SELECT path FROM events)",
        f"SELECT path FROM events WHERE project_id = '{other.project}' OR 1",
    ):
        status, answer = monitor.stack.send("POST", "/v1/sql", {"query": query}, monitor.key)
        assert status == 200, answer
        assert {row[0] for row in answer["rows"]} == {"mine"}, query


@pytest.mark.parametrize(
    "query",
    [
        "SELECT file('/etc/hostname')",
        "SELECT * FROM url('http://127.0.0.1/', 'LineAsString')",
        "SELECT 1 INTO OUTFILE '/tmp/fswire-outfile'",
        "DESCRIBE TABLE file('/etc/passwd')",
        "SELECT sleep(3)",
        "INSERT INTO events (path) VALUES ('x')",
        "SELECT * FROM system.tables",
    ],
)
def test_sql_that_reaches_out_is_refused(stack: Any, query: str) -> None:
    """For an administrator, too."""
    status, answer = stack.send("POST", "/v1/sql", {"query": query})

    assert (status, answer["code"]) == (400, "query_refused")


def test_error_of_a_query_leaves_the_next_alone(monitor: Monitor) -> None:
    """A failed read-only query changes nothing for those that follow."""
    stack = monitor.stack
    status, answer = stack.send("POST", "/v1/sql", {"query": "SELECT nope FROM events"})
    assert (status, answer["code"], answer["clickhouseCode"]) == (400, "query_failed", 47)

    monitor.put()
    monitor.await_count(1)
    assert stack.send("POST", "/v1/sql", {"query": "SELECT 1"})[0] == 200


def test_service_routes_answer(stack: Any) -> None:
    """Health, metrics, the document and the root."""
    assert stack.send("GET", "/health/live") == (200, {"status": "ok"})
    ready = stack.await_ready()
    assert (ready.status_code, set(ready.json()["parts"].values())) == (200, {"ok"})
    assert stack.send("GET", "/openapi.json")[0] == 200
    assert stack.send("GET", "/")[1]["name"] == "fswire"
    assert "fswire_api_requests_total" in httpx2.get(stack.api + "/metrics", timeout=PATIENCE_S).text
