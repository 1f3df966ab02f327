"""State is what it was at the commit, wherever a worker dies; simulated over logs in memory."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.event import Http, Reply
from processors.chunk import RawRecord
from processors.event_ids import Known
from processors.position import BEFORE_ALL, Position
from processors.record_batch import Batches, Record
from processors.state import Draft, State
from processors.state import Record as StateRecord
from processors.watermarks import Epoch, Marks
from tests.unit.processors.raw import (
    DAY_MS,
    RECEIVED_MS,
    Stored,
    batch,
    event,
    headers_of,
    make_chunk,
    record,
    records,
    state,
)

STEPS = ("nothing", "some outputs", "outputs", "some state", "state", "commit")


def recovered(log: list[StateRecord], committed: int) -> State:
    on = state()
    for key, value in log:
        on.load(key, value, committed)
    return on


def held(of: State) -> tuple[dict[str, Marks], dict[str, Known]]:
    return of.marks.values, of.ids.values


def test_recovery_takes_the_value_before_an_uncommitted_chunk() -> None:
    """What lies at or after the committed offset is done again, over the state before it."""
    draft = Draft(state(), Stored())
    draft.set_marks("p/a", Marks(1, (Epoch("e", 5),)), Position(10, 0, 0))
    draft.learn("d" * 32, Known("c", 1), Position(10, 1, 0))
    log = draft.records()

    assert held(recovered(log, 10)) == ({}, {})
    assert held(recovered(log, 11)) == ({"p/a": Marks(1, (Epoch("e", 5),))}, {"d" * 32: Known("c", 1)})


def places(draft: Draft) -> list[str]:
    made = Batches(draft.files(5, RECEIVED_MS))
    return [headers_of(headers)["src"] for _, _, _, headers in records(made)]


def test_files_of_a_chunk_of_several_batches_are_complete_with_the_last() -> None:
    """Who reads between two batches goes on before the chunk: what is told last may have changed first."""
    stored = Stored()
    long = "n" * 3_000
    many = [event("create", f"{long}/{nth}", is_dir=True) for nth in range(200)]
    small = make_chunk(state(), record(5, batch(event("create", "f"))), stored=stored)
    large = make_chunk(state(), record(5, batch(*many, event("attribute", f"{long}/0"))), stored=stored)

    assert places(small.draft) == ["5.0.0"]
    assert places(large.draft) == ["4.2147483647.0"] * 199 + ["5.200.0"]


def test_recovery_takes_the_earlier_value_of_a_key_that_had_one() -> None:
    """The value before is in the newest record itself, because compaction keeps nothing else."""
    on = state()
    first = Draft(on, Stored())
    first.set_marks("p/a", Marks(1, (Epoch("e", 5),)), Position(10, 0, 0))
    first.apply()
    second = Draft(on, Stored())
    second.set_marks("p/a", Marks(2, (Epoch("e", 9),)), Position(11, 0, 0))

    assert recovered(second.records(), 11).marks.values == {"p/a": Marks(1, (Epoch("e", 5),))}


def test_draft_leaves_the_state_alone() -> None:
    """What a chunk learned is nobody's until it is committed."""
    on = state()
    draft = Draft(on, Stored())
    draft.learn("d", Known("c", 1), Position(1, 0, 0))

    assert draft.known("d") == Known("c", 1)
    assert on.ids.values == {}
    draft.apply()
    assert on.ids.values == {"d": Known("c", 1)}


def test_corrections_put_back_what_was_never_committed() -> None:
    """After a recovery the topic says what the recovered state says."""
    on = state()
    first = Draft(on, Stored())
    first.set_marks("p/a", Marks(1, (Epoch("e", 5),)), Position(10, 0, 0))
    log = first.records()
    first.apply()
    second = Draft(on, Stored())
    second.set_marks("p/a", Marks(2, (Epoch("e", 9),)), Position(11, 0, 0))
    second.learn("d" * 32, Known("c", 1), Position(11, 0, 0))
    log += second.records()

    after = recovered(log, 11)
    log += after.corrections(11)

    assert held(recovered(log, 10**9)) == held(after) == ({"p/a": Marks(1, (Epoch("e", 5),))}, {})
    assert after.corrections(11) == []


def test_ids_are_forgotten_by_age_and_number() -> None:
    """Ids past the horizon or over the bound get a tombstone, the oldest first."""
    on = state(max_ids=2)
    draft = Draft(on, Stored())
    for number in range(4):
        draft.learn(str(number), Known("c", RECEIVED_MS + number), Position(number, 0, 0))
    draft.apply()

    on.forget(RECEIVED_MS + 4)
    assert list(on.ids.values) == ["2", "3"]
    on.forget(RECEIVED_MS + 2 + 7 * DAY_MS + 1)
    assert list(on.ids.values) == ["3"]
    tombstones = on.forgotten()
    assert tombstones == [(f"event/{number}".encode(), None) for number in range(3)]
    on.wrote(tombstones)
    assert on.forgotten() == []


def test_silent_agents_are_forgotten() -> None:
    """Agents that were not heard of for long are forgotten, those that were are not."""
    on = state()
    draft = Draft(on, Stored())
    draft.set_marks("p/old", Marks(RECEIVED_MS), Position(1, 0, 0))
    draft.set_marks("p/new", Marks(RECEIVED_MS + 30 * DAY_MS), Position(2, 0, 0))
    draft.apply()

    on.forget(RECEIVED_MS + 36 * DAY_MS)

    assert list(on.marks.values) == ["p/new"]
    assert on.forgotten() == [(b"marks/p/old", None)]
    assert on.projects() == {"p"}


@pytest.mark.parametrize("key", [None, b"", b"other/x", b"marks"])
def test_record_of_another_kind_is_left_alone(key: bytes | None) -> None:
    """A key that is not ours is not read."""
    on = state()

    on.load(key, b"?", 0)

    assert held(on) == ({}, {})


@pytest.mark.parametrize("key", [b"marks/p/a", b"event/x", b"\xff"])
def test_unreadable_record_is_a_value_error(key: bytes) -> None:
    """A record that cannot be read is told as a ValueError, whatever is wrong with it."""
    with pytest.raises(ValueError):
        state().load(key, b'{"src": 1}', 0)


@dataclass
class Broker:
    """The logs of one partition."""

    raw: list[RawRecord]
    donutwork: list[Record] = field(default_factory=list)
    outcomes: list[str] = field(default_factory=list)
    kept: list[StateRecord] = field(default_factory=list)
    committed: int = 0

    def compact(self) -> None:
        """Keep the newest record of every key."""
        last = {key: number for number, (key, _) in enumerate(self.kept)}
        self.kept = [each for number, each in enumerate(self.kept) if last[each[0]] == number]


def live(broker: Broker, sizes: list[int], death: str) -> None:
    """One life of a worker: recover, make chunks of these sizes, die in the last one at this step."""
    on = recovered(broker.kept, broker.committed)
    broker.kept += on.corrections(broker.committed)
    for number, size in enumerate(sizes):
        raws = broker.raw[broker.committed : broker.committed + size]
        if not raws:
            return
        step = STEPS.index(death) if number == len(sizes) - 1 else len(STEPS)
        chunk = make_chunk(on, *raws)
        outputs, kept = records(chunk.outputs.donutwork), chunk.draft.records()
        broker.donutwork += outputs[: _part(len(outputs), step, 1)]
        broker.kept += kept[: _part(len(kept), step, 3)]
        if step <= STEPS.index("state"):
            return
        broker.outcomes += [json.loads(each.value)["id"] for each in chunk.outputs.outcomes]
        broker.committed = raws[-1].offset + 1
        if step == STEPS.index("commit"):
            return
        chunk.draft.apply()


def _part(length: int, step: int, some: int) -> int:
    return 0 if step < some else length // 2 if step == some else length


def put(number: int) -> bytes:
    http = Http(f"id-{number}", "c", "created", reply=Reply(f"r-{number}", 0))
    of = batch(event("create", f"put-{number}", source="http", http=http), agent="api", first_seq=number + 1)
    return record(0, of).value or b""


@st.composite
def raws(draw: st.DrawFn) -> list[RawRecord]:
    """Batches of two agents, in part delivered again, and PUTs."""
    values = []
    for agent in ("a", "b"):
        last = draw(st.integers(1, 12))
        for first in range(1, last + 1):
            count = draw(st.integers(1, 3))
            events = [event(path=f"{agent}/{seq}") for seq in range(first, first + count)]
            values.append(record(0, batch(*events, agent=agent, first_seq=first)).value)
    values += [put(number) for number in range(draw(st.integers(0, 4)))]
    values = draw(st.permutations(values))
    return [RawRecord(offset, RECEIVED_MS, None, value) for offset, value in enumerate(values)]


@settings(max_examples=200)
@given(
    raws(),
    st.lists(
        st.tuples(st.lists(st.integers(1, 6), min_size=1, max_size=4), st.sampled_from(STEPS), st.booleans()),
        max_size=8,
    ),
)
def test_worker_that_dies_anywhere_loses_and_doubles_nothing(
    raw: list[RawRecord], lives: list[tuple[list[int], str, bool]]
) -> None:
    """Whatever step a worker dies in, each event has one record once repeats are dropped by `src`."""
    broker = Broker(raw)
    for sizes, death, compact in lives:
        live(broker, sizes, death)
        if compact:
            broker.compact()
    live(broker, [len(raw)] * 2, "commit")

    seen, counted = BEFORE_ALL, Counter[str]()
    for _, _, value, headers in broker.donutwork:
        src = Position.parse(headers_of(headers)["src"])
        if src > seen:
            seen = src
            shown = json.loads(value)
            counted[shown["filename"] if shown["event"] == "created" else ""] += 1
    del counted[""]
    assert counted == Counter(dict.fromkeys(_paths(raw), 1))
    assert set(broker.outcomes) == {f"r-{number}" for number in range(sum("put" in p for p in counted))}


def _paths(raw: list[RawRecord]) -> set[str]:
    return {each["path"] for record in raw for each in json.loads(record.value or b"")["events"]}
