"""The tables beside `events`: what the running system writes into them, as an analyst reads it."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import secrets
import time
from pathlib import Path

import msgspec
import pytest

from agent.event import Event, Gap
from tests.integration.raw_topic import batch_of, publish
from tests.integration.running import Stack

pytestmark = pytest.mark.stack
A, B = "a" * 64, "b" * 64


@pytest.fixture
def project(stack: Stack) -> str:
    name = f"tables-{secrets.token_hex(4)}"
    stack.command("project", "create", name)
    return name


def put(stack: Stack, project: str, **fields: object) -> object:
    path = f"/2026-02-01/directory-monitor/{project}.json"
    status, answer = stack.send("PUT", path, {"projectId": project, "filesize": 3} | fields, stack.admin_key)
    assert status == 200
    return answer


def rows(stack: Stack, query: str) -> list[list[str]]:
    return [line.split("\t") for line in stack.query(query).splitlines()]


def test_files_are_the_tree_as_it_is_now(stack: Stack, project: str) -> None:
    """One row for each path that is there, whatever happened to it before."""
    for fields in (
        {"filename": "a", "event": "created", "sha256": A},
        {"filename": "a", "event": "modified", "sha256": B},
        {"filename": "b", "event": "created", "sha256": A},
        {"filename": "b", "event": "deleted"},
        {"filename": "c", "event": "created", "sha256": A},
        {"filename": "c", "event": "renamed", "renamedTo": "d"},
    ):
        put(stack, project, **fields)

    tree = f"SELECT path, lower(hex(sha256)) FROM files FINAL WHERE project_id = '{project}' ORDER BY path"
    there = f"SELECT count() = 2 AND countIf(path = 'd') = 1 FROM files FINAL WHERE project_id = '{project}'"
    stack.await_rows(there, 1)

    assert rows(stack, tree) == [["a", B], ["d", A]]


def test_names_that_are_no_text_are_files_of_their_own(stack: Stack) -> None:
    """Their paths read alike, their bytes tell them apart: what happens to one leaves the other alone."""
    directory = f"bytes-{secrets.token_hex(4)}"
    names = [b"%b/\xfe" % directory.encode(), b"%b/\xff" % directory.encode()]
    files = [stack.watched / os.fsdecode(name) for name in names]
    (stack.watched / directory).mkdir()
    for file in files:
        file.write_text("content")

    of = f"FROM files FINAL WHERE project_id = '{stack.project}' AND startsWith(path, '{directory}/')"
    stack.await_rows(f"SELECT count() {of} AND size > 0", 2)
    both = rows(stack, f"SELECT path, path_b64 {of} ORDER BY path_b64")
    files[0].unlink()
    stack.await_rows(f"SELECT count() = 1 {of}", 1)

    coded = [base64.b64encode(name).decode() for name in names]
    assert both == [[f"{directory}/\N{REPLACEMENT CHARACTER}", each] for each in coded]
    assert rows(stack, f"SELECT path_b64 {of}") == [[coded[1]]]


def test_runs_show_their_newest_state(stack: Stack, project: str, tmp_path: Path) -> None:
    """One row for each run, with the path that triggered it and what went wrong."""
    file = tmp_path / "flow.toml"
    file.write_text(
        f'[[workflow]]\nname = "{project}"\nproject = "{project}"\n'
        f'trigger = "DirectoryMonitor.{project}.notify"\n[workflow.action.topic]\ntopic = "fswire.raw"\n'
    )
    stack.command("workflow", "apply", str(file))
    stack.settle()

    put(stack, project, filename="a", event="created")

    ended = f"SELECT count() FROM runs FINAL WHERE project_id = '{project}' AND state = 'failed'"
    stack.await_rows(ended, 1)
    stack.command("workflow", "delete", project)
    shown = f"SELECT workflow, path, attempts, error FROM runs FINAL WHERE project_id = '{project}'"
    assert rows(stack, shown) == [[project, "a", "1", "topic fswire.raw is one of fswire\\'s own"]]


def test_agents_show_their_last_sign_of_life(stack: Stack) -> None:
    """One row for each agent and project that sends heartbeats."""
    stack.await_rows("SELECT count() > 0 FROM agents FINAL WHERE directories > 0", 1)

    ((backend, watched),) = rows(
        stack, "SELECT backend, watched >= directories FROM agents FINAL WHERE directories > 0 LIMIT 1"
    )
    assert (backend, watched) == ("inotify", "1")


def test_retired_agent_is_no_row_any_more(stack: Stack, project: str) -> None:
    """It goes from all its projects, others stay; once gone it is unknown, until its next heartbeat."""
    agent = f"agt_{secrets.token_hex(4)}"
    retiring = msgspec.structs.replace(batch_of(project, 1), agent=agent)
    elsewhere = msgspec.structs.replace(retiring, project="watched")
    asyncio.run(publish(stack.kafka, retiring, elsewhere, batch_of(project, 1)))
    stack.await_rows(f"SELECT count() FROM agents FINAL WHERE agent = '{agent}'", 2)
    stack.await_rows(f"SELECT count() FROM agents FINAL WHERE project_id = '{project}'", 2)

    retired = stack.command("agent", "retire", agent)

    assert (retired.stderr, retired.stdout.splitlines()) == (
        "",
        sorted(f"{agent}: retired from {each}" for each in (project, "watched")),
    )
    stack.await_rows(f"SELECT count() = 0 FROM agents FINAL WHERE agent = '{agent}'", 1)
    assert rows(stack, f"SELECT agent FROM agents FINAL WHERE project_id = '{project}'") == [["agt_1"]]
    again = stack.command("agent", "retire", agent)
    assert (again.returncode, again.stdout) == (1, "")
    assert f"no agent '{agent}' has sent a heartbeat" in again.stderr
    asyncio.run(publish(stack.kafka, retiring))
    stack.await_rows(f"SELECT count() FROM agents FINAL WHERE agent = '{agent}'", 1)


def test_dead_letters_are_rows(stack: Stack) -> None:
    """With the bytes that could not be taken."""
    unknown = f"unknown-{secrets.token_hex(4)}"

    asyncio.run(publish(stack.kafka, batch_of(unknown, 1, Event("create", "a", time.time_ns()))))

    stack.await_rows(f"SELECT count() FROM dead_letters WHERE project_id = '{unknown}'", 1)
    ((reason, value),) = rows(
        stack, f"SELECT reason, base64Encode(value) FROM dead_letters WHERE project_id = '{unknown}'"
    )
    assert reason == "unknown_project"
    assert len(value) > 100


def test_gap_is_one_row_from_its_opening_to_its_end(stack: Stack, project: str) -> None:
    """Open gaps have no end yet."""
    now = time.time_ns()
    one, other = Gap("gap_1", "overflow", since_ns=now), Gap("gap_2", "journal_full", since_ns=now)
    events = [Event("gap", "d", now, gap=one), Event("gap", "", now, gap=other)]
    events.append(Event("gap_closed", "d", now + 1, gap=one))

    asyncio.run(publish(stack.kafka, batch_of(project, 1, *events)))

    stack.await_rows(
        f"SELECT count() + countIf(isNotNull(closed)) FROM gaps FINAL WHERE project_id = '{project}'", 3
    )
    found = rows(
        stack,
        "SELECT gap_id, path, reason, isNull(closed), isNull(since) FROM gaps FINAL "
        f"WHERE project_id = '{project}' ORDER BY gap_id",
    )
    assert found == [["gap_1", "d", "overflow", "0", "0"], ["gap_2", "", "journal_full", "1", "0"]]


def test_event_that_somebody_calls_gap_is_none(stack: Stack, project: str) -> None:
    """Names of reported events are free: what has no gap's id would stay open for ever."""
    put(stack, project, filename="f", event="gap")

    of = f"WHERE project_id = '{project}'"
    stack.await_rows(f"SELECT count() FROM events {of} AND event = 'gap'", 1)
    assert rows(stack, f"SELECT count() FROM gaps {of}") == [["0"]]


def test_activity_and_latency_add_up(stack: Stack, project: str) -> None:
    """Whatever is in `events` is counted once, by minute and by event."""
    for number in range(5):
        put(stack, project, filename=f"f{number % 3}", event="modified", sha256=A)
    where = f"WHERE project_id = '{project}'"
    for table in ("activity", "latency"):
        stack.await_rows(f"SELECT sum(events) FROM {table} {where}", 5)

    active = rows(
        stack, f"SELECT event, sum(events), sum(duplicates), sum(bytes) FROM activity {where} GROUP BY 1"
    )
    late = rows(
        stack,
        "SELECT sum(events), quantilesTDigestMerge(0.5, 0.95, 0.99)(seconds)[1] < 60, max(longest_s) > 0 "
        f"FROM latency {where}",
    )

    assert active == [["modified", "5", "2", "15"]]
    assert late == [["5", "1", "1"]]


def test_sql_reads_all_tables_of_the_readers_projects_alone(stack: Stack, project: str) -> None:
    """Over the api, states are the newest without a word in the query; other projects' rows are not there."""
    for sha256 in (A, B):
        put(stack, project, filename="a", event="modified", sha256=sha256)
    stack.await_rows(f"SELECT count() FROM activity WHERE project_id = '{project}'", 1)
    newest = f"project_id = '{project}' AND sha256 = unhex('{B}')"
    stack.await_rows(f"SELECT count() FROM files FINAL WHERE {newest}", 1)
    made = stack.command("key", "create", "--project", project, "--scope", "sql:read")
    key = made.stdout.strip()

    def ask(query: str) -> object:
        status, answer = stack.send("POST", "/v1/sql", {"query": query}, key)
        assert status == 200, answer
        return json.loads(json.dumps(answer))["rows"]

    assert ask("SELECT path, lower(hex(sha256)) FROM files") == [["a", B]]
    for table in ("activity", "agents", "dead_letters", "events", "gaps", "latency", "runs", "sessions"):
        assert ask(f"SELECT count() FROM {table} WHERE project_id != '{project}'") in ([[0]], [["0"]])
