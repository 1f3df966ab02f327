"""Instants, positions, starts, dead letters, gaps and tails: one rule each."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.event import decode_batch
from processors import dead_letters, gaps, runs, tail
from processors.event_ids import Known, Verdict, decide, digest
from processors.instants import EARLIEST_NS, LATEST_NS, iso, iso_of_ms
from processors.loss import loss
from processors.position import BEFORE_ALL, Position
from processors.recovery import Start
from processors.triggers import Triggers
from processors.workflow import Action, ToTopic, Workflow
from tests.unit.processors.raw import batch, event, headers_of, key_of, records, values


@given(st.integers(EARLIEST_NS, LATEST_NS))
def test_iso_is_the_moment_cut_to_microseconds(nanoseconds: int) -> None:
    """Every moment that an event may carry is written as datetime would."""
    expected = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=nanoseconds // 1000)

    assert iso(nanoseconds) == expected.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def test_iso_at_the_limits() -> None:
    """The years 1900 and 2299 are whole."""
    assert iso(EARLIEST_NS) == "1900-01-01T00:00:00.000000Z"
    assert iso(LATEST_NS) == "2299-12-31T23:59:59.999999Z"
    assert iso_of_ms(1_500) == "1970-01-01T00:00:01.500000Z"


@given(st.tuples(*[st.integers(0, 2**63)] * 3))
def test_position_survives_its_header(numbers: tuple[int, int, int]) -> None:
    """A position is read as it was written, and lies above what came before all."""
    position = Position(*numbers)

    assert Position.parse(str(position).encode()) == position
    assert position > BEFORE_ALL


@pytest.mark.parametrize(
    ("committed", "offset", "lost"),
    [(None, 5, False), (5, 5, False), (7, 7, False), (9, 9, False), (4, 5, True), (10, 5, True)],
)
def test_start_of_a_partition(committed: int | None, offset: int, lost: bool) -> None:
    """It goes on where it was committed, at the oldest otherwise; only a committed offset can be lost."""
    start = Start(committed, oldest=5, end=9)

    assert (start.offset, start.lost) == (offset, lost)


def test_loss_is_a_gap_of_every_known_project() -> None:
    """Each project gets its gap in every topic, in the place of the last record that is gone."""
    outputs = loss(["p", "q"], 3, Start(10, oldest=100, end=200), Triggers({}))

    for made in (outputs.donutwork, outputs.watch, outputs.notify):
        assert [key_of(key) for _, key, _, _ in records(made)] == ["p", "q"]
        assert [headers_of(headers)["src"] for *_, headers in records(made)] == ["99.0.0", "99.1.0"]
    first, second = values(outputs.donutwork)
    assert (first["event"], first["gap"]["reason"]) == ("gap", "expired")
    assert first["eventId"] != second["eventId"]


def test_loss_triggers_what_asks_for_gaps() -> None:
    """A workflow for the gaps of its project runs once for one; another project's does not."""
    action = Action(topic=ToTopic("elsewhere"))
    told = Workflow("told", "p", "DirectoryMonitor.p.gap.notify", action)
    other = Workflow("any", "p", "DirectoryMonitor.p.notify", action)

    outputs = loss(["p", "q"], 3, Start(10, 100, 200), Triggers({"told": told, "any": other}))

    (run,) = [runs.decode(value or b"") for _, _, value, _ in records(outputs.runs)]
    assert (run.workflow, run.project_id, run.state) == ("told", "p", "queued")
    assert run.event_id == values(outputs.donutwork)[0]["eventId"]


def test_gap_and_its_end_have_ids_of_their_own() -> None:
    """The two events of one gap are told apart, and each has the same id whenever it is made."""
    one = gaps.filled("gap_1", 1)

    assert gaps.event_id(one) == gaps.event_id(gaps.filled("gap_1", 2))
    assert gaps.event_id(one) != gaps.event_id(gaps.expired("p", 0, 0, 1, 1))


@pytest.mark.parametrize(
    ("known", "content", "now_ms", "verdict"),
    [
        (None, "c", 0, "inserted"),
        (Known("c", 0), "c", 10, "repeated"),
        (Known("c", 0), "d", 10, "conflict"),
        (Known("c", 0), "d", 11, "inserted"),
    ],
)
def test_verdict_on_an_event_id(known: Known | None, content: str, now_ms: int, verdict: Verdict) -> None:
    """New, repeated or in conflict; past the horizon everything is new."""
    assert decide(known, content, now_ms, horizon_ms=10) == verdict


def test_digest_of_an_event_id_keeps_projects_apart() -> None:
    """The same id in two projects is two ids, wherever the border between their names is."""
    assert digest("p", "q/r") != digest("p/q", "r")
    assert len(digest("p", "x" * 128)) == 32


def test_pieces_of_a_batch_are_whole_batches() -> None:
    """A large batch is parked in parts that can each be replayed, numbered as they were."""
    whole = batch(*(event(path=f"{number}-" + "x" * 500) for number in range(500)), first_seq=10)

    parts = [decode_batch(piece) for piece in dead_letters.pieces(whole)]

    assert all(len(piece) <= dead_letters.MAX_BYTES for piece in dead_letters.pieces(whole))
    assert [each.path for part in parts for each in part.events] == [each.path for each in whole.events]
    assert [part.first_seq for part in parts[1:]] == [
        10 + sum(len(part.events) for part in parts[:number]) for number in range(1, len(parts))
    ]


def test_tail_drops_what_it_has_seen() -> None:
    """Per partition, a record at or below the last position is a repeat."""
    seen: dict[int, Position] = {}

    def is_new(partition: int, src: bytes) -> bool:
        return tail.is_new(seen, partition, [("event_id", b"e"), ("src", src)])

    assert [is_new(0, src) for src in (b"1.0.0", b"1.0.1", b"1.0.1", b"1.0.0", b"2.0.0")] == [
        True,
        True,
        False,
        False,
        True,
    ]
    assert is_new(1, b"1.0.0")
    assert tail.is_new(seen, 0, [])
