"""The page of example queries: each runs, in ClickHouse and through the api, and finds what it is for."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from aiokafka import AIOKafkaProducer

from agent.event import Actor, Batch, Event, Former, Gap, encode
from agent.kafka import partition_of
from processors import fleet, transfer_records
from processors.instants import iso
from processors.transfer_records import Transfer
from tests.integration.running import Stack

pytestmark = pytest.mark.stack
PAGE = Path(__file__).parents[2] / "deploy" / "QUERIES.md"
QUERIES = dict(
    re.findall(r"^### (.+?)\n.*?```sql\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
)
A, B = "a" * 64, "b" * 64
_S = 1_000_000_000
FETCHED = 1 << 60
"""Id of a transfer that no other test reaches."""


@dataclass(frozen=True)
class History:
    """What a project went through, and a moment in the middle of it."""

    project: str
    moment: str


def _events(began_ns: int) -> list[Event]:
    """A project's history: the tenth second lies between its halves."""
    root = Actor(pid=7, uid=0, exe="/usr/sbin/useradd")
    return [
        Event(
            "closeWrite", "etc/passwd", began_ns, size=10, sha256=A, hash_status="ok", written=True,
            previous=Former(size=4),
        ),
        Event("create", "src/app.py", began_ns + _S, size=5, file_id="77", sha256=B, hash_status="ok"),
        Event("create", "src/copy.py", began_ns + _S, size=5, sha256=B, hash_status="ok"),
        Event("create", "src/gone.py", began_ns + _S, size=5, sha256=B, hash_status="ok"),
        Event(
            "rename", "src/app.py", began_ns + 20 * _S, renamed_to="src/main.py", moved="within",
            size=5, file_id="77", sha256=B, hash_status="ok",
        ),
        Event("delete", "src/gone.py", began_ns + 20 * _S, previous_sha256=B),
        Event(
            "closeWrite", "etc/passwd", began_ns + 21 * _S, size=60, sha256=B, previous_sha256=A,
            hash_status="ok", written=True, actor=root,
        ),
        Event(
            "closeWrite", "etc/passwd", began_ns + 22 * _S, size=60, sha256=B, hash_status="ok", written=True,
        ),
        Event("gap", "src", began_ns + 23 * _S, gap=Gap("gap_open", "overflow", since_ns=began_ns)),
    ]  # fmt: skip


def _fetched(project: str) -> bytes:
    """A transfer of the project that is complete."""
    now = iso(time.time_ns())
    done = Transfer(
        id=FETCHED, created=now, updated=now, url="http://h/fetched", status="Complete", project=project
    )
    return transfer_records.encode(done)


async def _publish(stack: Stack, project: str, began_ns: int) -> None:
    """Publish the history, a heartbeat that is an hour old, and a batch of a project that nobody knows."""

    def batch(of: str, events: list[Event]) -> Batch:
        return Batch(
            v=1, project=of, host="h", sent_ns=time.time_ns(),
            agent="agt_1", epoch="e1", first_seq=1, events=events,
        )  # fmt: skip

    kafka = stack.kafka
    producer = AIOKafkaProducer(**kafka.producer())
    await producer.start()
    try:
        partitions = len(await producer.partitions_for(kafka.topic("raw")))
        for each in (batch(project, _events(began_ns)), batch(f"not-{project}", _events(began_ns))):
            place = partition_of(each.project, partitions)
            await producer.send_and_wait(kafka.topic("raw"), encode(each), each.project.encode(), place)
        old = fleet.value(batch(project, []), time.time_ns() // 1_000_000 - 3_600_000)
        await producer.send_and_wait(kafka.topic("agents"), old, fleet.key("agt_silent", project))
        await producer.send_and_wait(
            kafka.topic("transfers"), _fetched(project), transfer_records.key_of(FETCHED)
        )
    finally:
        await producer.stop()


@pytest.fixture(scope="module")
def history(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> History:
    """A project with something for every query."""
    project = f"queries-{secrets.token_hex(4)}"
    stack.command("project", "create", project)
    flow = tmp_path_factory.mktemp("queries") / "flow.toml"
    flow.write_text(
        f'[[workflow]]\nname = "{project}"\nproject = "{project}"\n'
        f'trigger = "DirectoryMonitor.{project}.deleted.notify"\n'
        '[workflow.action.topic]\ntopic = "fswire.raw"\n'
    )
    stack.command("workflow", "apply", str(flow))
    stack.settle()
    began_ns = (time.time_ns() // _S - 60) * _S
    asyncio.run(_publish(stack, project, began_ns))
    of = f"WHERE project_id = '{project}'"
    stack.await_rows(f"SELECT count() FROM events {of}", 9)
    for table in ("activity", "latency"):
        stack.await_rows(f"SELECT sum(events) FROM {table} {of}", 9)
    stack.await_rows(f"SELECT count() FROM gaps FINAL {of}", 1)
    stack.await_rows(f"SELECT count() FROM files FINAL {of} AND path = 'src/main.py'", 1)
    stack.await_rows(f"SELECT count() FROM runs FINAL {of} AND state = 'failed'", 1)
    stack.await_rows(f"SELECT count() FROM agents FINAL {of}", 1)
    stack.send("GET", f"/2026-02-01/systems/directory-monitor/{project}/events.json")
    stack.await_rows(f"SELECT count() FROM audit {of}", 1)
    stack.await_rows(f"SELECT count() FROM transfers {of}", 1)
    stack.await_rows("SELECT count() FROM dead_letters WHERE reason = 'unknown_project'", 1)
    stack.command("workflow", "delete", project)
    moment = datetime.fromtimestamp(began_ns / _S + 10, UTC).strftime("%Y-%m-%d %H:%M:%S")
    return History(project, moment)


FOUND: dict[str, tuple[list[str], str]] = {
    "Who changed a file last": (["occurred", "event", "host", "uid", "exe", "key_id"], "modified"),
    "The history of a path": (
        ["occurred", "event", "path", "size", "content", "duplicate", "event_id"], A,
    ),
    "The history of a file through its renames": (
        ["occurred", "event", "path", "renamed_to", "size"], "src/app.py",
    ),
    "Names that contain a text": (["occurred", "event", "path", "renamed_to"], "src/main.py"),
    "Where a content has been seen": (["project_id", "host", "path", "first", "last"], "etc/passwd"),
    "What a program has written": (["exe", "uid", "events", "paths"], "/usr/sbin/useradd"),
    "Activity by hour": (["hour", "event", "events", "bytes"], "renamed"),
    "The busiest projects": (["project_id", "events", "duplicates"], "PROJECT"),
    "The share of duplicates": (["project_id", "duplicates", "share"], "PROJECT"),
    "Files that grew most": (["path", "before", "after", "growth"], "etc/passwd"),
    "Churn by directory": (["directory", "events", "paths", "deleted"], "src"),
    "The largest directories": (["directory", "files", "bytes"], "etc"),
    "Files with the same content": (["content", "copies", "each", "some"], B),
    "The tree as of a moment": (["name", "size", "there"], "src/gone.py"),
    "Deleted files whose content is still somewhere": (["path", "deleted", "copy"], "src/copy.py"),
    "Gaps that are open": (["project_id", "path", "reason", "host", "since", "opened"], "overflow"),
    "Agents that are silent": (["agent", "project_id", "host", "last_sign", "silent_s"], "PROJECT"),
    "From event to row": (["hour", "events", "p99_s", "longest_s"], ""),
    "Runs that failed": (["updated", "workflow", "path", "attempts", "error"], "src/gone.py"),
    "Files that were fetched": (
        ["transfer_id", "begun", "ended", "last_status", "bytes", "last_url", "content"], "http://h/fetched",
    ),
    "Who read a project, and who was refused": (
        ["at", "key_id", "remote", "route", "status", "filters"], "directory-monitor",
    ),
    "What could not be taken": (["source_topic", "reason", "letters", "last", "example"], "unknown_project"),
}  # fmt: skip
"""By query: its columns, and a word of what it finds in the history."""
OF_NO_PROJECT = {"What could not be taken"}
"""Its rows are of projects that nobody registered: only ClickHouse and admins see them."""
OF_ADMINS = {"Who read a project, and who was refused"}
"""Over a table that no other key may name."""


def _here(query: str, history: History) -> str:
    """Return a query about this history; other tests' files may be larger and more, so none is cut off."""
    told = query.replace("my-project", history.project).replace("2026-11-21 12:00:00", history.moment)
    return re.sub(r"LIMIT \d+", "LIMIT 50000", told)


def test_every_query_is_tested() -> None:
    """A query on the page has its columns here."""
    assert list(QUERIES) == list(FOUND)


@pytest.mark.parametrize("title", FOUND)
def test_query_finds_what_it_is_for(stack: Stack, history: History, title: str) -> None:
    """In ClickHouse as it stands on the page."""
    columns, word = FOUND[title]

    head, *rows = stack.query(f"{_here(QUERIES[title], history)} FORMAT TSVWithNames").splitlines()

    assert head.split("\t") == columns
    assert rows
    assert word.replace("PROJECT", history.project) in "\n".join(rows)


@pytest.mark.parametrize("title", FOUND)
def test_query_is_answered_by_the_api(stack: Stack, history: History, title: str) -> None:
    """With a key of the project alone, where the guard must let it pass."""
    columns, _ = FOUND[title]
    scope = "admin" if title in OF_ADMINS else "sql:read"
    key = stack.command("key", "create", "--project", history.project, "--scope", scope).stdout.strip()

    status, answer = stack.send("POST", "/v1/sql", {"query": _here(QUERIES[title], history)}, key)

    found = msgspec.convert(answer, dict[str, object])
    assert (status, [each["name"] for each in msgspec.convert(found["columns"], list[dict[str, str]])]) == (
        200,
        columns,
    ), answer
    assert bool(found["rows"]) == (title not in OF_NO_PROJECT)


def test_rename_over_a_file_is_of_its_history(stack: Stack, history: History) -> None:
    """What another name became is told under that one, and the last to change it is who renamed."""
    titles = ("Who changed a file last", "The history of a path")
    queries = [_here(QUERIES[title].replace("etc/passwd", "src/main.py"), history) for title in titles]

    found = [stack.query(query).splitlines() for query in queries]

    assert [[row.split("\t")[1] for row in rows] for rows in found] == [["renamed"], ["renamed"]]


def test_growth_is_told_from_the_size_before_the_first_change(stack: Stack, history: History) -> None:
    """Also of a file that was told of once."""
    rows = stack.query(_here(QUERIES["Files that grew most"], history)).splitlines()

    assert [row.split("\t") for row in rows] == [["etc/passwd", "4", "60", "56"]]


def test_what_lies_in_no_directory_is_none(stack: Stack, history: History) -> None:
    """An event of a directory at the root is not one in it."""
    rows = stack.query(_here(QUERIES["Churn by directory"], history)).splitlines()

    assert [row.split("\t")[:2] for row in rows] == [["src", "5"], ["etc", "3"], ["", "1"]]


def test_tree_of_a_moment_is_what_was_there_then(stack: Stack, history: History) -> None:
    """Before renames and deletions, with the sizes of then."""
    rows = stack.query(_here(QUERIES["The tree as of a moment"], history)).splitlines()

    assert [row.split("\t")[:2] for row in rows] == [
        ["etc/passwd", "10"],
        ["src/app.py", "5"],
        ["src/copy.py", "5"],
        ["src/gone.py", "5"],
    ]
