"""Exports of a history longer than a page: whole, in order, resumed, in every format; and formats of SQL."""

from __future__ import annotations

import csv
import io
import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass

import httpx2
import pytest
from pyarrow import parquet

from api.export_query import PAGE_ROWS
from tests.integration.running import Stack

pytestmark = pytest.mark.stack
EVENTS = 2 * PAGE_ROWS + 1_234
NAME = 'it\'s, "odd"\n=1\\'
"""Of every file, before its number: what CSV and JSON have to write in a way of their own."""


@dataclass(frozen=True)
class Long:
    """A project with EVENTS events, five of them in each microsecond, and how to read them."""

    stack: Stack
    project: str
    client: httpx2.Client

    def get(self, extension: str, **parameters: str | int) -> httpx2.Response:
        """Return a whole export."""
        path = f"/2026-02-01/systems/directory-monitor/{self.project}/export.{extension}"
        answer = self.client.get(path, params=parameters)
        assert answer.status_code == 200, answer.text
        return answer

    def ids(self, where: str = "1") -> list[str]:
        """Return the event ids of the history, as ClickHouse orders them."""
        query = f"SELECT event_id FROM events WHERE project_id = '{self.project}' AND {where} "
        return self.stack.query(f"{query} ORDER BY occurred DESC, event_id").split()


@pytest.fixture(scope="module")
def long(stack: Stack) -> Iterator[Long]:
    """Made by ClickHouse itself."""
    project = f"long-{secrets.token_hex(4)}"
    stack.command("project", "create", project)
    name = NAME.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    stack.query(
        "INSERT INTO events (project_id, event_id, event, path, size, digests, occurred, received, sent) "
        f"SELECT '{project}', concat('evt_', toString(cityHash64(number))), "
        f"if(number % 10 = 0, 'deleted', 'modified'), concat('{name}', toString(number)), number, "
        "concat(toFixedString('', 32), SHA256(toString(number))), "
        "toDateTime64('2026-01-01', 6, 'UTC') + toIntervalMicrosecond(intDiv(number, 5)), now(), now() "
        f"FROM numbers({EVENTS})"
    )
    headers = {"Authorization": f"Bearer {stack.admin_key}"}
    with httpx2.Client(base_url=stack.api, headers=headers, timeout=120) as client:
        yield Long(stack, project, client)


def test_csv_is_the_whole_history_in_order(long: Long) -> None:
    """One head, then every event once, newest first; names come back as they are."""
    rows = list(csv.DictReader(io.StringIO(long.get("csv").text, newline="")))

    assert [row["eventId"] for row in rows] == long.ids()
    assert {row["filename"] for row in rows} == {f"{NAME}{number}" for number in range(EVENTS)}
    assert rows[0]["timestampUtc"].startswith("2026-01-01T00:00:00.")
    assert rows[0]["renamedTo"] == ""


def test_ndjson_is_resumed_behind_any_row(long: Long) -> None:
    """What follows a row is what its time and id ask for, with the same filters."""
    lines = [json.loads(line) for line in long.get("ndjson", event="deleted").text.splitlines()]
    last = lines[len(lines) // 3]
    cursor = f"{last['timestampUtc']}/{last['eventId']}"
    rest = [json.loads(line) for line in long.get("ndjson", event="deleted", cursor=cursor).text.splitlines()]

    assert [line["eventId"] for line in lines] == long.ids("event = 'deleted'")
    assert lines[len(lines) // 3 + 1 :] == rest
    assert (lines[0]["uid"], lines[0]["duplicate"], lines[0]["changed"]) == (None, False, [])


def test_parts_make_the_whole(long: Long) -> None:
    """`rows` and the `Link` of each answer lead through a history in files of that many events."""
    ids: list[str] = []
    answer = long.get("parquet", rows=PAGE_ROWS - 1)
    sizes = []
    while True:
        table = parquet.read_table(io.BytesIO(answer.content), columns=["eventId", "filesize"])
        sizes.append(table.num_rows)
        ids += table.column("eventId").to_pylist()
        if "link" not in answer.headers:
            break
        following = httpx2.URL(answer.headers["link"].removeprefix("<").partition(">")[0])
        answer = long.get("parquet", **dict(following.params))

    assert ids == long.ids()
    assert sizes == [PAGE_ROWS - 1, PAGE_ROWS - 1, EVENTS - 2 * (PAGE_ROWS - 1)]


def test_page_of_history_leads_into_an_export(long: Long) -> None:
    """The `next` of a page is a cursor of the export with the same filters."""
    path = f"/2026-02-01/systems/directory-monitor/{long.project}/events.json"
    page = long.client.get(path, params={"event": "deleted", "size": "7"}).json()

    rest = long.get("ndjson", event="deleted", cursor=page["next"]).text.splitlines()

    shown = [item["eventId"] for item in page["items"]]
    assert shown + [json.loads(line)["eventId"] for line in rest] == long.ids("event = 'deleted'")


def test_command_writes_events(long: Long) -> None:
    """With the same filters; what is refused is said in one line."""
    done = long.stack.command(
        "export", long.project, "--format", "ndjson", "--event", "deleted", "--rows", "3"
    )
    refused = long.stack.command("export", long.project, "--rows", "0")

    assert [json.loads(line)["eventId"] for line in done.stdout.splitlines()] == long.ids(
        "event = 'deleted'"
    )[:3]
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == "fswire: validation failed: rows\n"


@pytest.mark.parametrize(
    ("accept", "begins"),
    [("text/csv", b'"a","b"\n7,"x"\n'), ("application/vnd.apache.parquet", b"PAR1")],
)
def test_sql_is_answered_as_accept_asks(stack: Stack, accept: str, begins: bytes) -> None:
    """The formats of tools; bounds and refusals are the same."""
    headers = {"Authorization": f"Bearer {stack.admin_key}", "Accept": accept}
    query = {"query": "SELECT 7 AS a, 'x' AS b"}
    answer = httpx2.post(f"{stack.api}/v1/sql", json=query, headers=headers, timeout=60)
    refused = httpx2.post(f"{stack.api}/v1/sql", json={"query": "x"}, headers=headers, timeout=60)
    unknown = httpx2.post(
        f"{stack.api}/v1/sql", json=query, headers=headers | {"Accept": "image/png"}, timeout=60
    )

    assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (200, accept)
    assert answer.content.startswith(begins)
    assert (refused.status_code, refused.json()["code"]) == (400, "query_refused")
    assert (unknown.status_code, unknown.json()["code"]) == (406, "not_acceptable")


def test_sql_replaces_bytes_that_are_no_text(stack: Stack) -> None:
    """JSON is UTF-8, whatever a digest holds."""
    status, answer = stack.send("POST", "/v1/sql", {"query": "SELECT unhex('ff') AS x, 'é' AS y"})

    assert (status, answer["rows"]) == (200, [["\ufffd", "é"]])


def test_rows_beyond_the_limit_are_refused(stack: Stack) -> None:
    """Also those that ClickHouse's own limit lets pass."""
    query = "SELECT arrayJoin(arrayResize([1], 100001))"

    status, answer = stack.send("POST", "/v1/sql", {"query": query})

    assert (status, answer["code"], answer["clickhouseCode"]) == (400, "query_failed", 396)


def test_sql_command_prints_in_every_format(stack: Stack) -> None:
    """A table where one is asked for, though nobody looks; the api's own document as JSON."""
    table = stack.command("sql", "SELECT 7 AS seven", "--format", "table").stdout
    csv_ = stack.command("sql", "SELECT 7 AS seven", "--format", "csv").stdout
    document = json.loads(stack.command("sql", "SELECT 7 AS seven", "--format", "json").stdout)

    assert "┃ seven ┃" in table
    assert csv_ == '"seven"\n7\n'
    assert (document["rows"], document["row_count"]) == ([[7]], 1)
