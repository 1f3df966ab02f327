"""What earlier versions of ours wrote is still read, byte for byte as they wrote it; later ones too."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from agent.event import Batch, Previous
from processors import donutwork, files, notify, outcomes, watch
from processors.decode import decode
from processors.event_ids import Known
from processors.files import At
from processors.fleet import Heartbeat
from processors.state import State
from processors.tree import Move
from processors.watermarks import Epoch, Hole, Marks
from tests.unit.processors.raw import TIME_NS, batch, event, make_chunk, record, state

BATCH = (
    b'{"v":1,"project":"p","host":"host-1","sent_ns":1763688001123456789,"agent":"agt_1","epoch":"e2",'
    b'"first_seq":9,"events":[{"kind":"closeWrite","path":"b","time_ns":1763688000123456789,"size":4,'
    b'"written":true}],"previous":{"epoch":"e1","last_seq":5}}'
)
HEARTBEAT = (
    b'{"v":1,"project":"p","host":"host-1","sent_ns":1763688001123456789,"agent":"agt_1","epoch":"e1",'
    b'"first_seq":12,"events":[]}'
)
MARKS = (
    b'{"src":"4.0.0","value":[1763688001500,[["e1",6,1763688000123456789,[[4,5,"gap_1"]]],'
    b'["e2",10,1763688000123456789,[]]]]}'
)
"""Without the moment at which an epoch began, and without its rival."""
EVENT_ID = b'{"src":"6.0.0","value":["caec17f4b8159d486ca352209a0fc2d5",1763688001500]}'
MOVE = b'{"src":"7.1.0","value":["p\\u0000a/","p\\u0000b/",7,1]}'
FILE = (
    b'{"projectId":"p","path":"a","eventId":"evt_1","timestampUtc":"2025-11-21T01:20:00.123456Z",'
    b'"receivedAt":"2025-11-21T01:20:01.500000Z","host":"host-1","agent":"agt_1"}'
)
AGENT = (
    b'{"agent":"agt_1","projectId":"p","host":"host-1","epoch":"e1","nextSeq":12,'
    b'"sentAt":"2025-11-21T01:20:01.123456Z","receivedAt":"2025-11-21T01:20:01.500000Z"}'
)
"""Keyed by the agent alone, without its last number, the lag and a status."""
DONUTWORK = (
    b'{"eventId":"evt_58c9","projectId":"p","filename":"a","event":"renamed","filesize":0,'
    b'"timestampUtc":"2025-11-21T01:20:00.123456Z","sentAt":"2025-11-21T01:20:01.123456Z",'
    b'"receivedAt":"2025-11-21T01:20:01.500000Z","host":"host-1","agent":"agt_1","epoch":"e1","seq":2,'
    b'"source":"kernel","renamedTo":"b","moved":"within"}'
)
WATCH = b'{"type":"change","timestamp":1763688000,"kind":"rename","path":"/p/a","details":{"renamed":"/p/b"}}'
NOTIFY = b'[{"type":"child_file_added","path":"/p/a","spine":["2","5","77"],"stream_name":null}]'
OUTCOME = b'{"id":"r","project":"p","event_id":"id-1","decision":"inserted"}'


def recovered(*log: tuple[bytes, bytes], committed: int = 100) -> State:
    on = state()
    for key, value in log:
        on.load(key, value, committed)
    return on


def test_batch_without_status() -> None:
    """A batch of an agent that knew no status is one without it."""
    taken = decode(BATCH, 0, 1)

    assert isinstance(taken, Batch)
    assert (taken.first_seq, taken.previous, taken.status) == (9, Previous("e1", 5), None)


def test_heartbeat_without_status() -> None:
    """A heartbeat of such an agent shows that it lives, and nothing that it did not say."""
    [beat] = make_chunk(state(), record(0, HEARTBEAT)).outputs.agents

    assert beat.key == b"agt_1/p"
    assert json.loads(beat.value)["lastSeq"] == 11
    assert "backend" not in json.loads(beat.value)


def test_marks_without_what_identity_needs() -> None:
    """Marks that tell no beginning are taken as they are, with their holes; the numbering goes on."""
    on = recovered((b"marks/p/agt_1", MARKS))

    assert on.marks.values == {
        "p/agt_1": Marks(
            1763688001500,
            (Epoch("e1", 6, TIME_NS, (Hole(4, 5, "gap_1"),)), Epoch("e2", 10, TIME_NS)),
        )
    }
    again = make_chunk(on, record(100, batch(event("delete"), epoch="e2", first_seq=9)))
    late = make_chunk(on, record(100, batch(event("delete"), epoch="e1", first_seq=4)))
    new = make_chunk(on, record(100, batch(event("delete"), epoch="e2", first_seq=10)))
    assert [len(each.outputs.donutwork) for each in (again, late, new)] == [0, 1, 1]


def test_marks_of_an_older_version_are_put_back() -> None:
    """A record written by this version over one of an older keeps that one for a recovery."""
    on = recovered((b"marks/p/agt_1", MARKS))
    chunk = make_chunk(on, record(100, batch(event(), epoch="e2", first_seq=10)))

    back = recovered(*((key, value) for key, value in chunk.draft.records() if value))

    assert back.marks.values == on.marks.values


@pytest.mark.parametrize(
    ("key", "value", "kind", "held"),
    [
        (b"event/65e8", EVENT_ID, "ids", {"65e8": Known("caec17f4b8159d486ca352209a0fc2d5", 1763688001500)}),
        (b"move/7.1", MOVE, "moves", {"7.1": Move("p\0a/", "p\0b/", 7, 1)}),
    ],
)
def test_other_state_of_an_older_version(key: bytes, value: bytes, kind: str, held: dict[str, Any]) -> None:
    """Event ids and moves that were begun are found again."""
    assert getattr(recovered((key, value)), kind).values == held


def test_known_file_that_says_least() -> None:
    """A known file of which only the last event is known is one of unknown content."""
    entry = files.entry_of(FILE, At(3, 0))

    assert (files.made_at(entry), files.happened(entry)) == (At(3, 0), "2025-11-21T01:20:00.123456Z")
    assert not files.is_duplicate(event("create", "a", sha256="ab" * 32), entry)


@pytest.mark.parametrize(
    ("value", "shape"),
    [
        (AGENT, Heartbeat),
        (DONUTWORK, donutwork.Record),
        (WATCH, watch.Change),
        (NOTIFY, list[notify.Notification]),
        (OUTCOME, outcomes.Outcome),
    ],
)
def test_record_of_an_older_version(value: bytes, shape: Any) -> None:
    """Whatever stands on a topic is of the shape that is read from it now, and says the same."""
    read = msgspec.json.decode(value, type=shape)

    written = msgspec.json.decode(msgspec.json.encode(read))
    before = msgspec.json.decode(value)
    assert written == before or written.items() >= before.items()


def test_batch_of_a_newer_version() -> None:
    """Changes within a version are additive: what a newer agent says beyond is passed over."""
    newer = BATCH.replace(b'"written":true', b'"written":true,"invented":[1]').replace(
        b'"v":1', b'"v":1,"later":{}'
    )

    assert decode(newer, 0, 1) == decode(BATCH, 0, 1)


def test_marks_of_a_newer_version() -> None:
    """A worker that is replaced by an older one reads on: what was added at the end is passed over."""
    newer = b'{"src":"4.0.0","value":[1,[["e1",6,2,[[4,5,"gap_1",7]],3,"e2","more"]],"more"],"more":1}'

    [marks] = recovered((b"marks/p/agt_1", newer)).marks.values.values()

    assert marks == Marks(1, (Epoch("e1", 6, 2, (Hole(4, 5, "gap_1"),), 3, "e2"),))
