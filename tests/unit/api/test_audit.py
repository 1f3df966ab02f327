"""The audit of the auditors: what is recorded, what never, and that nobody waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest

from api import audit, metrics
from api.audit import Trail
from api.limits import Buckets
from processors.audit import Audit
from tests.unit.api.put import PATH, SEED
from tests.unit.api.test_limits import Clock

HISTORY = "/2026-02-01/systems/directory-monitor/proj_123/events.json"
EVENTS = "/2026-02-01/systems/directory-monitor/{project}/events.json"


def test_read_is_recorded(stage: Any) -> None:
    """Who, from where, what, narrowed by what, and how it was answered."""
    stage.request("GET", HISTORY, params={"pathLike": "secret plans", "size": "5", "cursor": "x"})

    (row,) = stage.audit()
    assert row.id.startswith("aud_")
    assert row.at.endswith("Z")
    assert (row.status, row.method, row.route) == (422, "GET", EVENTS)
    assert (row.key_id, row.scope, row.project_id) == ("writer", "directory_monitor:read", "proj_123")
    assert row.remote == "127.0.0.1"
    assert row.filters == {"pathLike": "secret plans", "size": "5"}


def test_query_of_an_analyst_is_recorded(stage: Any) -> None:
    """Also one that was refused."""
    headers = {"Authorization": stage.key("ann", ["sql:read"], ["*"])}
    stage.request("POST", "/v1/sql", json={"query": "SELECT file('/etc/passwd')"}, headers=headers)

    (row,) = stage.audit()
    assert (row.key_id, row.status, row.scope, row.project_id) == ("ann", 400, "sql:read", "")
    assert row.filters == {"query": "SELECT file('/etc/passwd')"}


def test_write_is_recorded_only_when_it_was_refused(stage: Any) -> None:
    """What was stored has the key's id in its own row."""
    headers = {"Authorization": stage.key("reader", ["directory_monitor:read"], ["*"])}
    stage.request("PUT", PATH, json=SEED)
    stage.request("PUT", PATH, json=SEED | {"uid": True})
    stage.request("PUT", PATH, json=SEED, headers=headers)
    stage.request("PUT", PATH.replace("proj_123", "other"), json=SEED)

    assert [(row.status, row.key_id, row.project_id) for row in stage.audit()] == [
        (403, "reader", "proj_123"),
        (403, "writer", "other"),
    ]


def test_refusal_without_a_known_key_has_no_key(stage: Any) -> None:
    """What stands where an id should be could be a secret; of a known key the id is told."""
    given = ("", "Bearer hush-hush", "Basic aHVzaDpodXNo", "ApiKey hush:hush", "Bearer writer.hush")
    for authorization in given:
        stage.request("GET", HISTORY, headers={"Authorization": authorization})

    rows = stage.audit()
    assert [(row.status, row.key_id) for row in rows] == [(401, "")] * 4 + [(401, "writer")]
    assert "hush" not in repr(rows)


def test_parameters_that_nobody_described_are_not_recorded(stage: Any) -> None:
    """A secret that was misplaced is not kept; what is kept is cut."""
    stage.request("GET", HISTORY, params={"token": "hush", "pathLike": "x" * 5000, "event": "Hush"})

    (row,) = stage.audit()
    assert row.filters == {"pathLike": "x" * audit.MAX_CHARS, "event": "Hush"}


def test_what_needs_no_key_is_not_recorded(stage: Any) -> None:
    """Health, metrics and routes that do not exist are nobody's reading."""
    for path in ("/health/live", "/metrics", "/", "/nowhere", "/openapi.json"):
        stage.request("GET", path)

    assert stage.audit() == []


def test_one_who_is_told_to_slow_down_is_one_record_a_second(
    make_stage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flood of refusals is no flood of records."""
    clock = Clock()
    monkeypatch.setattr(audit, "Buckets", partial(Buckets, clock_s=clock))
    stage = make_stage(refusals_per_s=0.001, refusals_burst=1)
    for _ in range(2):
        for _ in range(10):
            stage.request("GET", HISTORY, headers={"Authorization": "Bearer a.b"})
        clock.now_s += 1

    assert [row.status for row in stage.audit()] == [401, 429, 429]


def test_ids_differ(stage: Any) -> None:
    """So that a record that was written twice is known as one."""
    for _ in range(5):
        stage.request("GET", HISTORY)

    assert len({row.id for row in stage.audit()}) == 5


def record(number: int) -> Audit:
    return Audit(f"aud_{number}", "2026-11-21T00:00:00.000000Z", 200, "GET", "/")


def lost() -> float:
    return metrics.AUDIT_LOST._value.get()


def test_broker_that_is_away_fails_no_request(stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records wait, and are sent once it is back."""

    async def away(_: Sequence[bytes]) -> None:
        raise ConnectionError("no broker")

    monkeypatch.setattr(stage.trail, "_publish", away)

    assert stage.request("GET", HISTORY).status_code == 200

    monkeypatch.setattr(stage.trail, "_publish", stage._audit)
    assert len(stage.audit()) == 1


def test_trail_is_bounded(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What finds no room is counted, and said once."""
    monkeypatch.setattr(audit, "_MOST_HELD", 3)
    before, published = lost(), []

    async def publish(records: Sequence[bytes]) -> None:
        published.extend(records)

    trail = Trail(publish)
    for number in range(5):
        trail.add(record(number))
    asyncio.run(trail.close())

    assert (lost() - before, len(published)) == (2, 3)
    assert "".join(capsys.readouterr()).count("records of the audit are lost") == 1


def test_trail_repeats_what_the_broker_may_lack(monkeypatch: pytest.MonkeyPatch) -> None:
    """In its order; while it does, more may come."""
    monkeypatch.setattr(audit, "_BACK_OFF_S", 0)
    monkeypatch.setattr(audit, "_AT_ONCE", 2)
    tries: list[int] = []
    arrived: list[bytes] = []

    async def scenario() -> None:
        complete = asyncio.Event()

        async def publish(records: Sequence[bytes]) -> None:
            tries.append(len(records))
            if len(tries) % 2:
                raise ConnectionError("no broker")
            arrived.extend(records)
            if len(arrived) == 5:
                complete.set()

        trail = Trail(publish)
        running = asyncio.create_task(trail.run())
        for number in range(5):
            trail.add(record(number))
            await asyncio.sleep(0)
        await asyncio.wait_for(complete.wait(), 30)
        running.cancel()

    asyncio.run(scenario())
    assert arrived == [audit.encode(record(number)) for number in range(5)]


def test_trail_that_cannot_be_emptied_ends_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stop does not wait for a broker that is gone; what is lost is counted."""
    monkeypatch.setattr(audit, "_CLOSE_TIMEOUT_S", 0.05)
    before = lost()

    async def hanging(_: Sequence[bytes]) -> None:
        await asyncio.Event().wait()

    trail = Trail(hanging)
    trail.add(record(1))
    asyncio.run(trail.close())

    assert lost() - before == 1
