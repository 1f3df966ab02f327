import base64
import json
from itertools import chain
from typing import Any

import pytest

from agent.event import Batch, Event, Http, Previous, Reply, Stream, decode_batch, encode, event_id
from processors import chunk as chunk_module
from processors.chunk import Chunk
from processors.instants import EARLIEST_NS, LATEST_NS
from processors.outputs import Addressed
from processors.position import Position
from processors.record_batch import Batches
from processors.state import State
from processors.watermarks import gap_id
from tests.unit.processors.raw import (
    DAY_MS,
    RECEIVED_MS,
    batch,
    event,
    headers_of,
    key_of,
    make_chunk,
    record,
    records,
    state,
    values,
)


def sources(made: Batches) -> list[str]:
    return [headers_of(headers)["src"] for _, _, _, headers in records(made)]


def names(chunk: Chunk) -> list[str]:
    return [each["event"] for each in values(chunk.outputs.donutwork)]


def published(chunk: Chunk) -> dict[str, list[Any]]:
    return {
        name: records(made) if isinstance(made, Batches) else made
        for name, made in vars(chunk.outputs).items()
    }


def letters(chunk: Chunk) -> list[dict[str, Any]]:
    return [json.loads(each.value) for each in chunk.outputs.dead_letters]


def outcomes(chunk: Chunk) -> list[dict[str, Any]]:
    return [json.loads(each.value) for each in chunk.outputs.outcomes]


def commit(on: State, chunk: Chunk) -> None:
    chunk.draft.apply()
    on.forget(RECEIVED_MS)


def put(identity: str = "id-1", content: str = "c", reply: str = "r", path: str = "a") -> Event:
    http = Http(identity, content, "created", reply=Reply(reply, 3))
    return event("create", path, source="http", http=http)


def test_event_becomes_a_record_in_every_vocabulary() -> None:
    """Key, timestamp and headers are the same everywhere and in the order that the contract fixes."""
    chunk = make_chunk(state(), record(41, batch(event("delete"), event("closeWrite", written=True))))

    out = chunk.outputs
    assert names(chunk) == ["deleted", "modified"]
    assert sources(out.donutwork) == ["41.0.0", "41.1.0"]
    assert sources(out.watch) == ["41.0.0", "41.1.0", "41.1.1"]
    assert sources(out.notify) == ["41.0.0", "41.1.0"]
    for received_ms, key, _, headers in chain(*map(records, (out.donutwork, out.watch, out.notify))):
        assert (received_ms, key_of(key)) == (RECEIVED_MS, "p")
        assert list(headers_of(headers)) == ["event_id", "src", "agent", "epoch", "seq", "time_ns", "v"]
    shared = headers_of(records(out.donutwork)[1][3])
    assert shared["event_id"] == event_id("agt_1", "p", "e1", 2)
    assert (shared["agent"], shared["epoch"], shared["seq"], shared["v"]) == ("agt_1", "e1", "2", "1")
    assert values(out.donutwork)[1]["eventId"] == event_id("agt_1", "p", "e1", 2)


def test_repeat_becomes_nothing() -> None:
    """A batch delivered twice is dropped, in the same chunk and in a later one."""
    on = state()
    first = make_chunk(on, record(0, batch(event())), record(1, batch(event())))
    commit(on, first)
    second = make_chunk(on, record(2, batch(event())))

    assert (len(first.outputs.donutwork), first.repeats) == (1, 1)
    assert (len(second.outputs.donutwork), second.repeats) == (0, 1)


def test_overlap_is_cut_per_event() -> None:
    """Of a batch that was sent again with more in it, only the rest is taken, at its own index."""
    on = state()
    commit(on, make_chunk(on, record(0, batch(event(path="a"), event(path="b")))))

    chunk = make_chunk(on, record(1, batch(event(path="b"), event(path="c"), first_seq=2)))

    assert [each["filename"] for each in values(chunk.outputs.donutwork)] == ["c"]
    assert sources(chunk.outputs.donutwork) == ["1.1.0"]


def test_hole_is_announced_before_the_event_that_shows_it_and_closed_when_filled() -> None:
    """A jump is a gap in every vocabulary; what fills it is late, and its last event closes the gap."""
    on = state()
    commit(on, make_chunk(on, record(0, batch(event()))))

    jump = make_chunk(on, record(1, batch(event(path="after"), first_seq=4)))
    commit(on, jump)
    filled = make_chunk(on, record(2, batch(event(path="b"), event(path="c"), first_seq=2)))

    assert names(jump) == ["gap", "created"]
    assert sources(jump.outputs.donutwork) == ["1.0.0", "1.0.1"]
    assert sources(jump.outputs.watch) == ["1.0.0", "1.0.1"]
    assert sources(jump.outputs.notify) == ["1.0.0", "1.0.1"]
    assert [each["type"] for each in values(jump.outputs.watch)] == ["error", "change"]
    gap = values(jump.outputs.donutwork)[0]["gap"]
    assert gap["reason"] == "sequence"
    assert [(each["event"], each.get("late")) for each in values(filled.outputs.donutwork)] == [
        ("created", True),
        ("created", True),
        ("gap_closed", None),
    ]
    assert sources(filled.outputs.donutwork) == ["2.0.0", "2.1.0", "2.1.1"]
    assert values(filled.outputs.donutwork)[2]["gap"]["id"] == gap["id"]


def test_end_of_the_epoch_before_is_checked() -> None:
    """Events that an agent lost with its old journal are announced when it starts again."""
    on = state()
    commit(on, make_chunk(on, record(0, batch(event()))))

    chunk = make_chunk(on, record(1, batch(event(), epoch="e2", previous=Previous("e1", 3))))

    assert names(chunk) == ["gap", "created"]


def test_bad_record_is_parked_with_its_bytes_and_place() -> None:
    """What is no batch is kept as it came, with where it stood and why."""
    chunk = make_chunk(state(), record(7, b'{"v": 1, "proj'), record(8, batch(event())))

    [letter] = letters(chunk)
    assert (letter["topic"], letter["partition"], letter["offset"]) == ("fswire.raw", 0, 7)
    assert (letter["reason"], letter["size"], letter["truncated"]) == ("not_json", 14, False)
    assert base64.b64decode(letter["value_b64"]) == b'{"v": 1, "proj'
    assert base64.b64decode(letter["key_b64"]) == b"p"
    assert chunk.outputs.dead_letters[0].key == b"fswire.raw/0"
    assert names(chunk) == ["created"]


def test_huge_record_is_parked_cut() -> None:
    """Of 10 MB that somebody wrote, 64 KiB are kept and the length is told."""
    chunk = make_chunk(state(), record(0, b"x" * 10_000_000))

    [letter] = letters(chunk)
    assert (letter["reason"], letter["size"], letter["truncated"]) == ("too_large", 10_000_000, True)
    assert base64.b64decode(letter["value_b64"]) == b"x" * 65536


def test_bad_event_is_parked_alone_and_leaves_a_hole() -> None:
    """One bad event costs its batch nothing; the replay of its letter is taken as late once it is good."""
    on = state()
    bad = batch(event(path="a"), event(path="../b"), event(path="c"))
    chunk = make_chunk(on, record(0, bad))
    commit(on, chunk)

    assert [each["event"] for each in values(chunk.outputs.donutwork)] == ["created", "gap", "created"]
    [letter] = letters(chunk)
    assert (letter["reason"], letter["detail"].split(":")[0]) == ("bad_event", "event 1")
    replayed = make_chunk(on, record(1, base64.b64decode(letter["value_b64"])))
    assert letters(replayed)[0]["reason"] == "bad_event"
    mended = make_chunk(on, record(2, batch(event(path="b"), first_seq=2)))
    assert [each["event"] for each in values(mended.outputs.donutwork)] == ["created", "gap_closed"]
    assert values(mended.outputs.donutwork)[0]["late"] is True


def test_gap_is_announced_once_however_often_a_bad_event_is_replayed() -> None:
    """A part of a wider hole that stays bad keeps its gap open; one that got a gap of its own does not."""
    on = state()
    commit(on, make_chunk(on, record(0, batch(event()))))
    commit(on, make_chunk(on, record(1, batch(event(), first_seq=5))))
    told = []

    def replay(offset: int, first_seq: int, *paths: str) -> None:
        chunk = make_chunk(
            on, record(offset, batch(*(event(path=path) for path in paths), first_seq=first_seq))
        )
        commit(on, chunk)
        found = values(chunk.outputs.donutwork)
        told.append([(each["event"], each.get("gap", {}).get("id")) for each in found])

    whole, apart = (gap_id("p", "agt_1", "e1", seq) for seq in (2, 4))
    replay(2, 2, "../bad", "good")
    replay(3, 4, "../bad")
    replay(4, 4, "../bad")
    replay(5, 2, "../bad")
    replay(6, 2, "good")
    replay(7, 4, "good")

    assert told == [
        [("created", None)],
        [("gap", apart)],
        [],
        [],
        [("created", None), ("gap_closed", whole)],
        [("created", None), ("gap_closed", apart)],
    ]


@pytest.mark.parametrize("time_ns", [EARLIEST_NS - 1, LATEST_NS + 1])
def test_gap_of_an_event_without_a_possible_time_begins_when_it_was_sent(time_ns: int) -> None:
    """Nobody looks for it in another century."""
    chunk = make_chunk(state(), record(0, batch(event(time_ns=time_ns))))

    (gap,) = values(chunk.outputs.donutwork)
    assert (gap["event"], gap["timestampUtc"]) == ("gap", gap["sentAt"])


def test_repeat_of_a_put_that_fills_a_hole_closes_its_gap() -> None:
    """Nothing is missing any more, though the event itself is none."""
    on = state()
    commit(on, make_chunk(on, record(0, batch(put()))))
    commit(on, make_chunk(on, record(1, batch(event(), first_seq=3))))

    assert names(make_chunk(on, record(2, batch(put(), first_seq=2)))) == ["gap_closed"]


def test_event_whose_record_would_be_too_large_is_parked() -> None:
    """A raw event that would become more than a topic takes is no reason to stop."""
    streams = [Stream(f"s{number}", 1) for number in range(3000)]
    fat = event("attribute", "d/" + "x" * 2000, changed=["streams"], streams=streams)

    chunk = make_chunk(state(), record(0, batch(fat)))

    assert names(chunk) == ["gap"]
    assert "too large" in letters(chunk)[0]["detail"]


def test_event_that_breaks_a_vocabulary_is_parked(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that nobody foresaw concerns one event, not the partition."""

    def broken(*arguments: object, **named: object) -> None:
        if isinstance(arguments[1], Event) and arguments[1].path == "bad":
            raise ZeroDivisionError
        return original(*arguments, **named)  # type: ignore[arg-type]

    original: Any = chunk_module.make
    monkeypatch.setattr(chunk_module, "make", broken)

    chunk = make_chunk(state(), record(0, batch(event(path="bad"), event(path="good"))))

    assert names(chunk) == ["gap", "created"]
    assert "ZeroDivisionError" in letters(chunk)[0]["detail"]


def test_batch_of_a_refused_project_is_parked_whole() -> None:
    """Events of a project that nobody registered can be replayed later, however many they were."""
    many = batch(*(event(path=f"{number:04}" + "x" * 200) for number in range(1000)))
    chunk = make_chunk(state(), record(0, many), refused=("p",))

    parts = [parked_batch(letter) for letter in letters(chunk)]
    assert {letter["reason"] for letter in letters(chunk)} == {"unknown_project"}
    assert not any(letter["truncated"] for letter in letters(chunk))
    assert [each.path for part in parts for each in part.events] == [each.path for each in many.events]
    assert parts[0].first_seq == 1
    assert names(chunk) == []


def parked_batch(letter: dict[str, Any]) -> Batch:

    return decode_batch(base64.b64decode(letter["value_b64"]))


def test_http_event_is_inserted_once() -> None:
    """The same id and content again is a repeat without outputs; other content is a conflict."""
    on = state()
    first = make_chunk(on, record(0, batch(put(reply="r1"))))
    commit(on, first)
    again = make_chunk(
        on,
        record(1, batch(put(reply="r2"), first_seq=2)),
        record(2, batch(put(content="other", reply="r3"), first_seq=3)),
    )

    assert outcomes(first) == [{"id": "r1", "project": "p", "event_id": "id-1", "decision": "inserted"}]
    assert first.outputs.outcomes[0][::2] == (b"r1", 3)
    assert headers_of(records(first.outputs.donutwork)[0][3])["event_id"] == "id-1"
    assert [each["decision"] for each in outcomes(again)] == ["repeated", "conflict"]
    assert not again.outputs.donutwork


def test_http_event_of_a_forgotten_id_is_new() -> None:
    """Past the horizon the same id is another event."""
    on = state()
    commit(on, make_chunk(on, record(0, batch(put()))))

    later = make_chunk(on, record(1, batch(put(), first_seq=2), RECEIVED_MS + 7 * DAY_MS + 1))

    assert [each["decision"] for each in outcomes(later)] == ["inserted"]


def test_ids_belong_to_their_project() -> None:
    """Two projects may use the same event id."""
    chunk = make_chunk(state(), record(0, batch(put())), record(1, batch(put(), project="q")))

    assert [each["decision"] for each in outcomes(chunk)] == ["inserted", "inserted"]


def test_http_event_of_a_refused_project_is_answered() -> None:
    """Whoever waits is told that the project is not there."""
    chunk = make_chunk(state(), record(0, batch(put())), refused=("p",))

    assert outcomes(chunk)[0] | {"id": "r"} == {
        "id": "r",
        "project": "p",
        "event_id": "id-1",
        "decision": "refused",
        "reason": "unknown_project",
    }


def test_bad_http_event_is_answered() -> None:
    """A path that is refused after all is no reason to let the client wait."""
    chunk = make_chunk(state(), record(0, batch(put(path="../x"))))

    assert [(each["decision"], each["reason"]) for each in outcomes(chunk)] == [("refused", "bad_event")]


def test_session_is_kept_and_answered() -> None:
    """The start of a session becomes no event of a vocabulary, but a record of its own."""
    http = Http("s-1", "s-1", "session", key_id="key_9", reply=Reply("r", 0))
    chunk = make_chunk(state(), record(0, batch(event("session", "", source="http", http=http))))

    assert not any(map(len, (chunk.outputs.donutwork, chunk.outputs.watch, chunk.outputs.notify)))
    [kept] = chunk.outputs.agents
    assert kept.key == b"session/p/s-1"
    assert json.loads(kept.value) == {
        "eventId": "s-1",
        "projectId": "p",
        "agent": "agt_1",
        "host": "host-1",
        "keyId": "key_9",
        "receivedAt": "2025-11-21T01:20:01.500000Z",
    }
    assert outcomes(chunk)[0]["decision"] == "inserted"


def test_heartbeat_is_kept() -> None:
    """A batch without events says that its agent lives, and how it is doing with one project."""
    chunk = make_chunk(state(), record(0, batch(first_seq=12)))

    [kept] = chunk.outputs.agents
    assert kept == Addressed(b"agt_1/p", kept.value)
    assert json.loads(kept.value)["lastSeq"] == 11
    assert chunk.draft.records() == []


def test_made_again_is_the_same() -> None:
    """A chunk over the same state gives the same records, whatever came between."""
    on = state()
    commit(on, make_chunk(on, record(0, batch(event()))))
    raws = [
        record(1, batch(event(), first_seq=4)),
        record(2, b"?"),
        record(3, batch(put(), event(path="/bad"), first_seq=2)),
    ]

    one, other = make_chunk(on, *raws), make_chunk(on, *raws)

    assert published(one) == published(other)
    assert one.draft.records() == other.draft.records()


def test_sources_rise() -> None:
    """Within a topic no position comes twice or goes back."""
    on = state()
    raws = [
        record(0, batch(event(), event("closeWrite", written=True), first_seq=3)),
        record(
            1, batch(event("attribute", changed=["mode", "uid", "mtime"]), event(path="../x"), first_seq=1)
        ),
        record(2, encode(batch(*(event() for _ in range(5)), first_seq=9))),
    ]

    chunk = make_chunk(on, *raws)

    for made in (chunk.outputs.donutwork, chunk.outputs.watch, chunk.outputs.notify):
        places = [Position.parse(each) for each in sources(made)]
        assert places == sorted(set(places))
