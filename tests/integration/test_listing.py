"""Directories of the past, out of the real database: what it answers is what stood there."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import msgspec
import pytest
from clickhouse_connect.driver.client import Client
from hypothesis import given, settings
from pydantic import SecretStr

from api.pages import lineage, listing, listing_queries
from api.pages.listing import Entry
from processors import rows, tables
from processors.clickhouse import ClickHouseSettings, connect
from tests.integration.running import Stack
from tests.unit.api import past
from tests.unit.api.past import Past, Shot, Steps
from tests.unit.processors.test_replay import published

pytestmark = pytest.mark.stack
_JSON = {"output_format_json_quote_64bit_integers": 0}


class Row(NamedTuple):
    """What `rows.body` asks of a record."""

    offset: int
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()
    key: bytes = b""
    timestamp: int = 0


@contextmanager
def database(stack: Stack) -> Iterator[Client]:
    client = connect(ClickHouseSettings(url=SecretStr(stack.clickhouse)))
    try:
        yield client
    finally:
        client.close()


def stored(client: Client, lived: Past, project: str) -> None:
    """Put a past into the tables, as the sink does."""
    told = [{**each, "projectId": project} for each in lived.records]
    events = [Row(each.pop("us"), msgspec.json.encode(each), _src(each["seq"])) for each in told]
    files = published(lived.history.events, [(5, False)]).files.values()
    known = [
        Row(index, msgspec.json.encode({**each, "projectId": project})) for index, each in enumerate(files)
    ]
    for table, found in ((tables.EVENTS, events), (tables.FILES, known)):
        if found:
            insert = table.insert(f"t-{project}", 0)
            client.command(insert, data=table.body(found), settings=rows.SETTINGS)


def _src(offset: int) -> tuple[tuple[str, bytes], ...]:
    return (("src", b"%d.0.0" % offset),)


def entries(client: Client, sql: str, bounds: dict[str, Any]) -> list[Entry]:
    """Return what the page shows, read three entries at a time."""
    found: list[Entry] = []
    while True:
        after = {"after_file": int(not found[-1].directory), "after_name": found[-1].name} if found else {}
        answer = client.raw_query(sql, bounds | after | {"rows": 3}, _JSON, fmt="JSONEachRow")
        more = msgspec.json.Decoder(Entry).decode_lines(answer)
        found += more
        if len(more) < 3:
            return found


def as_it_was(client: Client, lived: Past, project: str, shot: Shot, directory: str) -> list[Entry]:
    then, turns = lineage.end_of(shot.at_us), lived.turns()
    names = lineage.before(directory, then, turns), lineage.since(directory, then, turns)
    return entries(client, *listing_queries.then(project, *names, (False, ""), 3))


def shown(found: list[Entry]) -> dict[str, bool]:
    assert [(not each.directory, each.name.encode()) for each in found] == sorted(
        (not each.directory, each.name.encode()) for each in found
    )
    return {each.name: each.directory for each in found}


def test_directories_of_the_past_hold_what_stood_in_them(stack: Stack) -> None:
    """At every moment of any history, in every directory, a page after the other; and so does the present."""

    @settings(max_examples=4, derandomize=True, database=None)
    @given(past.steps, past.steps)
    def hold(before: Steps, during: Steps) -> None:
        lived, project = Past(before, during), f"past-{secrets.token_hex(6)}"
        stored(client, lived, project)
        for shot in lived.shots[:: max(1, len(lived.shots) // 3)]:
            for directory in ["", *(path for path, node in shot.tree.items() if node.is_dir)][:3]:
                expected = shot.names(directory)
                found = shown(as_it_was(client, lived, project, shot, directory))
                assert found.items() <= expected.items()
                missing = [
                    listing_queries.prefix(directory) + name for name in expected.keys() - found.keys()
                ]
                assert all(lived.is_untold(shot, path) for path in missing)
        assert shown(entries(client, *listing_queries.now(project, "", (False, ""), 3))) == lived.shots[
            -1
        ].names("")

    with database(stack) as client:
        hold()


def test_file_of_the_past_has_the_content_and_the_attributes_of_then(stack: Stack) -> None:
    """By the last event before; or by the first one after, which tells what it changed and nothing else."""
    project = f"past-{secrets.token_hex(6)}"
    a, b, c = "a" * 64, "b" * 64, "c" * 64
    told = [
        {
            "filename": "old",
            "event": "modified",
            "sha256": b,
            "previousSha256": a,
            "filesize": 7,
            "mtimeNs": 2,
        }
        | {"changed": ["data", "size"], "previous": {"size": 5}, "mode": 0o644, "ownerUid": 7},
        {"filename": "old", "event": "written", "filesize": 8, "mode": 0o600},
        {"filename": "d/deep/leaf", "event": "created", "sha256": c, "filesize": 1, "source": "http"},
    ]
    events = [
        Row(index, msgspec.json.encode(_record(project, index, fields)), _src(index))
        for index, fields in enumerate(told)
    ]

    with database(stack) as client:
        insert = tables.EVENTS.insert(f"t-{project}", 0)
        client.command(insert, data=tables.EVENTS.body(events), settings=rows.SETTINGS)
        before, after = (_root(client, project, past.FIRST_US + index) for index in (-1, 2))

    assert [(each.name, each.evidence, each.size, each.sha256) for each in before] == [("old", "later", 5, a)]
    assert before[0].state.mode == 0o644
    assert before[0].state.owner_uid == 7
    assert [(each.name, each.directory, each.size, each.sha256) for each in after] == [
        ("d", True, None, ""),
        ("old", False, 8, b),
    ]


def _record(project: str, index: int, fields: dict[str, Any]) -> dict[str, Any]:
    at = f"2023-11-14T22:13:20.{index:06}Z"  # FIRST_US
    times = {"timestampUtc": at, "sentAt": at, "receivedAt": at}
    known = {"eventId": f"evt_{index}", "projectId": project, "source": "kernel"}
    return known | times | fields


def _root(client: Client, project: str, at_us: int) -> list[Entry]:
    then = lineage.end_of(at_us)
    sql, bounds = listing_queries.then(
        project, lineage.before("", then, []), lineage.since("", then, []), (False, ""), 3
    )
    return [listing.as_of(each) for each in entries(client, sql, bounds)]
