"""Attacks on /v1/sql, run by the engine itself with rows of two projects in each table: nothing gets out."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from tests.integration.running import Stack
from tests.unit.api.sql_corpus import attacks

pytestmark = pytest.mark.stack
OUTFILE = Path("/tmp/fswire-attack")
ROW = {
    "events": "project_id, event_id, event, path, host, agent, details, size, occurred, received",
    "files": "project_id, path, host, agent, acl, event_id",
    "runs": "project_id, run_id, workflow, path, error, event_id",
    "agents": "project_id, agent, host, epoch, backend",
    "dead_letters": "project_id, source_topic, reason, detail, value",
    "gaps": "project_id, gap_id, path, reason, host",
    "sessions": "project_id, event_id, agent, host, key_id",
}
"""Text columns of each table that is written to; views fill `activity` and `latency`."""
SIZE = "987654321987"
"""Of the other project's file."""


@dataclass(frozen=True)
class Two:
    """A project that the key may read, and one that it may not."""

    stack: Stack
    key: str
    other: str
    marker: str
    """What the names of the other project's files begin with."""
    secret: str
    """How they go on."""

    def ask(self, client: httpx2.Client, query: str) -> httpx2.Response:
        """Send a query, written for this pair, with the key of the one project."""
        told = query.replace("{other}", self.other).replace("{marker}", self.marker)
        return client.post("/v1/sql", json={"query": told.encode("utf-8", "replace").decode()})


@pytest.fixture(scope="module")
def two(stack: Stack) -> Two:
    """Rows of both projects in one part of each table, so in the same granules."""
    mine, other = (f"{name}-{secrets.token_hex(4)}" for name in ("attacker", "victim"))
    marker, secret = f"mark{secrets.token_hex(4)}", f"secret{secrets.token_hex(8)}"
    for table, columns in ROW.items():
        rows = [_row(columns, mine, "1"), _row(columns, mine, "2"), _row(columns, other, marker + secret)]
        stack.query(f"INSERT INTO {table} ({columns}) VALUES {', '.join(rows)}")
    made = stack.command("key", "create", "--project", mine, "--scope", "sql:read")
    return Two(stack, made.stdout.strip(), other, marker, secret)


def _row(columns: str, project: str, text: str) -> str:
    size = SIZE if len(text) > 1 else "1"
    values = {"project_id": f"'{project}'", "size": size, "occurred": "now64()", "received": "now64()"}
    return "(" + ", ".join(values.get(name, f"'{text}'") for name in columns.split(", ")) + ")"


@pytest.fixture
def client(two: Two) -> Iterator[httpx2.Client]:
    """A client with the attacker's key."""
    headers = {"Authorization": f"Bearer {two.key}"}
    with httpx2.Client(base_url=two.stack.api, headers=headers, timeout=60) as connected:
        yield connected


def test_refused_attack_is_answered_so(two: Two, client: httpx2.Client) -> None:
    """400 or 422, in the one shape, and without what was asked for."""
    answers = {query: two.ask(client, query) for query in attacks("refused")}

    wrong = {query: answer.text for query, answer in answers.items() if not _is_refusal(answer)}
    assert wrong == {}
    assert not OUTFILE.exists()


def _is_refusal(answer: httpx2.Response) -> bool:
    code = answer.json()["code"]
    return (answer.status_code, code) in ((400, "query_refused"), (422, "validation_failed"))


def test_contained_attack_tells_nothing_of_the_other_project(two: Two, client: httpx2.Client) -> None:
    """Neither a row nor an error has anything of it; what takes too much is ended; no file is read."""
    answers = {query: two.ask(client, query) for query in attacks("contained")}

    statuses = {query: answer.status_code for query, answer in answers.items()}
    assert {query: status for query, status in statuses.items() if status not in (200, 400, 408)} == {}
    told = {query: answer.text for query, answer in answers.items() if _tells(two, query, answer.text)}
    assert told == {}


def _tells(two: Two, query: str, text: str) -> bool:
    unsaid = [two.secret, SIZE, socket.gethostname() + "\\n", "root:x:"]
    unsaid += [two.other] if "{other}" not in query else []
    return any(each in text for each in unsaid)


def test_attacks_would_find_what_they_look_for(two: Two) -> None:
    """With a key of both projects there is something to find in every table."""
    for table in (*ROW, "activity", "latency"):
        query = f"SELECT * FROM {table} WHERE project_id = '{two.other}'"
        if table == "latency":
            query = query.replace("*", "project_id, events")
        status, answer = two.stack.send("POST", "/v1/sql", {"query": query})
        found = table == "latency" or two.other in str(answer)
        assert (status, found) == (200, True), answer


def test_count_of_the_other_projects_rows_is_none(two: Two, client: httpx2.Client) -> None:
    """Not even how many there are is told."""
    for table in (*ROW, "activity", "latency"):
        answer = two.ask(client, f"SELECT count() FROM {table} WHERE project_id = '{{other}}'").json()
        assert answer["rows"] == [[0]], table
