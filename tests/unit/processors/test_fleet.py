"""Heartbeats: what becomes of one on the agents' topic, and what the worker shows of it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator

import msgspec
import pytest
from prometheus_client import REGISTRY

from agent.event import Status
from agent.kafka import KafkaSettings
from processors import fleet, topics
from processors.fleet import Fleet
from tests.unit.processors.raw import RECEIVED_MS, batch

STATUS = Status("inotify", False, 7, 4096, 12, 11, 1, 2)


@pytest.fixture
def shown() -> Iterator[Fleet]:
    """What a worker knows of the agents; forgotten at the end, for the metrics are the process's."""
    of = Fleet(KafkaSettings(), topics.AGENTS, days=35)
    yield of
    of.take_over([])


def value(status: Status | None = STATUS, project: str = "p") -> bytes:
    """Return a record's value of agent `agt_1`."""
    beat = msgspec.structs.replace(batch(first_seq=12, project=project), status=status)
    return fleet.value(beat, RECEIVED_MS)


def metric(name: str, project: str = "p", **more: str) -> float | None:
    """Return what the worker's metrics say of agent `agt_1`."""
    return REGISTRY.get_sample_value(name, {"agent": "agt_1", "project": project, **more})


def test_heartbeat_record_says_how_the_agent_is_doing() -> None:
    """Host, last number, both moments, the lag between them, and the status, flat."""
    assert json.loads(value()) == {
        "agent": "agt_1",
        "projectId": "p",
        "host": "host-1",
        "epoch": "e1",
        "lastSeq": 11,
        "nextSeq": 12,
        "sentAt": "2025-11-21T01:20:01.123456Z",
        "receivedAt": "2025-11-21T01:20:01.500000Z",
        "lagMs": 377,
        "backend": "inotify",
        "folded": False,
        "depth": 7,
        "journalBytes": 4096,
        "directories": 12,
        "watched": 11,
        "polled": 1,
        "openGaps": 2,
    }


def test_heartbeat_of_an_older_agent_says_less() -> None:
    """Without a status the numbers of one are left out, not made up."""
    assert {"depth", "backend", "openGaps"}.isdisjoint(json.loads(value(None)))


def test_heartbeats_of_two_projects_are_two_records() -> None:
    """An agent with two projects does not overwrite itself on the compacted topic."""
    assert fleet.key("agt_1", "p") != fleet.key("agt_1", "q")


def test_heartbeat_is_shown(shown: Fleet) -> None:
    """When an agent was last heard of, and what it said, are metrics by agent and project."""
    now = time.time()
    shown.note(b"agt_1/p", value(), now)

    assert metric("fswire_agent_last_seen_timestamp_seconds") == now
    assert metric("fswire_heartbeat_journal_events") == 7
    assert metric("fswire_heartbeat_watched_directories") == 11
    assert metric("fswire_heartbeat_polled_directories") == 1
    assert metric("fswire_heartbeat_lag_seconds") == 0.377
    assert metric("fswire_heartbeat_info", host="host-1", backend="inotify", folded="false") == 1


def test_older_record_is_read(shown: Fleet) -> None:
    """Records that an earlier version wrote, keyed by agent alone, still say when it was last seen."""
    now = time.time()
    shown.note(b"agt_1", b'{"agent":"agt_1","projectId":"p","nextSeq":3,"sentAt":"x"}', now)

    assert metric("fswire_agent_last_seen_timestamp_seconds") == now
    assert metric("fswire_heartbeat_journal_events") is None


def test_older_record_read_late_changes_nothing(shown: Fleet) -> None:
    """What is read back at the start does not take the place of what came meanwhile."""
    now = time.time()
    shown.note(b"agt_1/p", value(), now)
    shown.note(b"agt_1/p", value(Status("poll", True, 99)), now - 60)

    assert metric("fswire_heartbeat_journal_events") == 7


def test_change_of_backend_replaces_the_words(shown: Fleet) -> None:
    """An agent that watches otherwise than before is one agent, not two."""
    shown.note(b"agt_1/p", value(), time.time())
    shown.note(b"agt_1/p", value(Status("poll", True)), time.time())

    assert metric("fswire_heartbeat_info", host="host-1", backend="inotify", folded="false") is None
    assert metric("fswire_heartbeat_info", host="host-1", backend="poll", folded="true") == 1


@pytest.mark.parametrize(
    ("key", "of"),
    [(b"session/p/x", value()), (b"agt_1/p", b"?"), (b"agt_1/p", b"\xff"), (None, value()), (None, None)],
)
def test_what_is_no_heartbeat_is_not_shown(shown: Fleet, key: bytes | None, of: bytes | None) -> None:
    """Sessions share the topic; nothing on it stops the worker."""
    shown.note(key, of, time.time())

    assert metric("fswire_agent_last_seen_timestamp_seconds") is None


def test_agent_that_is_taken_away_is_not_shown(shown: Fleet) -> None:
    """A record without a value ends an agent's metrics; so does a silence of many weeks."""
    shown.note(b"agt_1/p", value(), time.time())
    shown.note(b"agt_1/p", None, time.time())
    shown.note(b"agt_1/q", value(project="q"), time.time() - 36 * 86_400)

    assert metric("fswire_agent_last_seen_timestamp_seconds") is None
    assert metric("fswire_heartbeat_info", host="host-1", backend="inotify", folded="false") is None
    assert metric("fswire_agent_last_seen_timestamp_seconds", "q") is None


def test_partitions_given_away_are_not_shown(shown: Fleet) -> None:
    """Each agent is shown by one worker: the one that reads it."""

    async def rebalance() -> None:
        shown.take_over([])

    shown.note(b"agt_1/p", value(), time.time())
    asyncio.run(rebalance())

    assert metric("fswire_heartbeat_journal_events") is None
