"""A copied journal is two installations under one id: that is a `gap`, and nothing else is."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.event import Batch, Previous
from processors import runs
from processors.chunk import Chunk
from processors.decode import decode
from processors.position import Position
from processors.record_batch import Record
from processors.state import Draft, State
from processors.triggers import Triggers
from processors.watermarks import EPOCHS_KEPT, Epoch, Marks, Run, admit
from processors.workflow import Action, ToTopic, Workflow
from tests.unit.processors.raw import (
    TIME_NS,
    Stored,
    batch,
    event,
    headers_of,
    make_chunk,
    record,
    records,
    state,
    values,
)

SECOND_NS = 1_000_000_000


def run(
    epoch: str, first: int, sent_ns: int | None, *, events: int = 1, previous: Previous | None = None
) -> Run:
    return Run(epoch, first, events, first, previous, sent_ns)


def found(runs: list[Run], marks: Marks | None = None) -> list[tuple[str, str]]:
    """Return which epochs were found to go on beside which newer ones, as the runs came."""
    rivals = []
    for each in runs:
        admission = admit("p", "a", marks, each, 0)
        marks = admission.marks
        if admission.rivals is not None:
            rivals.append(admission.rivals[:2])
    return rivals


def sent(batch: Batch, seconds: int) -> Batch:
    batch.sent_ns = TIME_NS + seconds * SECOND_NS
    return batch


def committed(on: State, *batches: Batch, first_offset: int = 0) -> list[Chunk]:
    """Return the chunk of each batch, each committed before the next."""
    chunks = []
    for offset, each in enumerate(batches, first_offset):
        chunks.append(make_chunk(on, record(offset, each)))
        chunks[-1].draft.apply()
    return chunks


def told(chunk: Chunk) -> list[dict[str, Any]]:
    return values(chunk.outputs.donutwork)


def identity_gaps(chunks: list[Chunk]) -> list[dict[str, Any]]:
    return [
        each for chunk in chunks for each in told(chunk) if each.get("gap", {}).get("reason") == "identity"
    ]


def src(of: Record) -> Position:
    return Position.parse(headers_of(of[3])["src"])


def clone() -> list[Batch]:
    """Two copies of a journal that report in turn: `e1` is the original, `e2` the copy."""
    copied = Previous("e1", 2)
    return [
        sent(batch(event(path="a"), event(path="b")), 1),
        sent(batch(event(path="c"), epoch="e2", previous=copied), 2),
        sent(batch(event(path="d"), first_seq=3), 3),
        sent(batch(event(path="e"), epoch="e2", first_seq=2), 4),
        sent(batch(event(path="f"), first_seq=4), 5),
    ]


def test_copied_journal_is_one_gap() -> None:
    """The first new event of an epoch beside a newer one announces both, over the whole project, once."""
    chunks = committed(state(), *clone())

    [gap] = identity_gaps(chunks)
    assert [each["event"] for each in told(chunks[2])] == ["gap", "created"]
    assert (gap["filename"], gap["gap"].get("recursive", True)) == ("", True)
    assert gap["timestampUtc"] == "2025-11-21T01:20:03.123456Z"
    assert (gap["gap"]["since_ns"], gap["gap"]["until_ns"]) == (
        TIME_NS + 2 * SECOND_NS,
        TIME_NS + 3 * SECOND_NS,
    )
    assert [each["filename"] for chunk in chunks for each in told(chunk)] == [
        "a",
        "b",
        "c",
        "",
        "d",
        "e",
        "f",
    ]


def test_copied_journal_is_told_in_every_vocabulary() -> None:
    """A gap of reason `identity` stands before the event that showed it, on all three topics."""
    outputs = committed(state(), *clone())[2].outputs

    watch, notify = values(outputs.watch), values(outputs.notify)
    assert [each["type"] for each in watch] == ["error", "change"]
    assert ": identity (gap_" in watch[0]["description"]
    assert [each[0]["type"] for each in notify] == ["gap", "child_file_added"]
    for topic in (outputs.donutwork, outputs.watch, outputs.notify):
        assert [str(src(each)) for each in records(topic)] == ["2.0.0", "2.0.1"]


def test_copied_journal_done_again_has_the_same_ids() -> None:
    """A chunk that was never committed becomes the same records again; so does one over recovered state."""
    on = state()
    before = committed(on, *clone()[:2])
    log = [each for chunk in before for each in chunk.draft.records()]
    once, again = (make_chunk(on, record(2, clone()[2])) for _ in range(2))
    recovered = state()
    for key, value in [*log, *once.draft.records()]:
        recovered.load(key, value, 2)

    assert identity_gaps([once])
    assert told(again) == told(once)
    assert told(make_chunk(recovered, record(2, clone()[2]))) == told(once)


def test_copied_journal_triggers_the_workflows_of_a_gap() -> None:
    """A gap that normalize found counts as one that an agent told, for workflows that ask for gaps alone."""
    on = state()
    committed(on, *clone()[:2])
    action = Action(topic=ToTopic("other"))
    asking = Workflow("on-gap", "p", "DirectoryMonitor.p.gap.notify", action)
    general = Workflow("on-any", "p", "DirectoryMonitor.p.notify", action)
    triggers = Triggers({each.name: each for each in (asking, general)})
    raw = record(2, clone()[2])
    chunk = Chunk("fswire.raw", 0, Draft(on, Stored()), (), triggers)

    chunk.take(raw, decode(raw.value, 0, 1))

    queued = [runs.decode(value or b"") for _, _, value, _ in records(chunk.outputs.runs)]
    gap, created = (each["eventId"] for each in told(chunk))
    assert [(each.workflow, each.event_id) for each in queued] == [("on-gap", gap), ("on-any", created)]


def test_copied_journal_of_a_stopped_agent() -> None:
    """Two copies that follow the same epoch know nothing of each other, and are found all the same."""
    stopped = Previous("e0", 1)

    runs = [
        run("e0", 1, 1),
        run("e1", 1, 2, previous=stopped),
        run("e2", 1, 3, previous=stopped),
        run("e1", 2, 4),
        run("e2", 2, 5),
        run("e1", 3, 6),
    ]

    assert found(runs) == [("e1", "e2")]


def test_copies_that_restart_are_announced_again() -> None:
    """Each pair of epochs has a gap of its own: two installations still report, a restart later."""
    runs = [
        run("e1", 1, 1),
        run("e2", 1, 2, previous=Previous("e1", 1)),
        run("e1", 2, 3),
        run("e3", 1, 4, previous=Previous("e1", 2)),
        run("e2", 2, 5),
        run("e3", 2, 6),
        run("e2", 3, 7),
    ]

    assert found(runs) == [("e1", "e2"), ("e2", "e3")]


def test_copy_whose_clock_is_behind_is_found_when_it_catches_up() -> None:
    """Moments of sending are compared between clocks: one that is behind delays the gap, and no more."""
    runs = [run("e1", 1, 100), run("e2", 1, 20), run("e1", 2, 110), run("e2", 2, 30), run("e2", 3, 101)]

    assert found(runs[:4]) == []
    assert found(runs) == [("e2", "e1")]


def test_restart_is_no_second_installation() -> None:
    """An agent that stopped and started goes on in a new epoch alone, however often it does."""
    runs = [
        run(
            f"e{number}", seq, 10 * number + seq, previous=Previous(f"e{number - 1}", 3) if seq == 1 else None
        )
        for number in range(2 * EPOCHS_KEPT)
        for seq in (1, 2, 3)
    ]

    assert found(runs) == []


def test_restart_with_a_clock_set_back_is_no_second_installation() -> None:
    """An epoch that names the newest as the one before is newer, whatever the clocks say."""
    runs = [run("e1", 1, 900), run("e2", 1, 10, previous=Previous("e1", 1)), run("e2", 2, 20)]

    assert found([*runs, run("e2", 3, 1_000)]) == []


def test_late_tail_of_the_epoch_before_is_none() -> None:
    """What the newer epoch said that the one before still had is late, not a second installation."""
    chunks = committed(
        state(),
        sent(batch(event(path="a")), 1),
        sent(batch(event(path="d"), epoch="e2", previous=Previous("e1", 3)), 2),
        sent(batch(event(path="b"), event(path="c"), first_seq=2), 3),
    )

    assert identity_gaps(chunks) == []
    assert [(each["filename"], each.get("late", False)) for each in told(chunks[2])] == [
        ("b", True),
        ("c", True),
        ("", False),
    ]
    assert told(chunks[2])[-1]["event"] == "gap_closed"


def test_tail_that_was_on_its_way_is_none() -> None:
    """A batch sent before the newer epoch began proves nothing, announced or not."""
    assert found([run("e1", 1, 1), run("e2", 1, 9), run("e1", 2, 8), run("e1", 2, 8)]) == []


def test_tail_beyond_what_was_announced_is_a_second_installation() -> None:
    """`previous.last_seq` covers what it covers: numbers above it, sent later, come from somebody else."""
    runs = [run("e1", 1, 1), run("e2", 1, 9, previous=Previous("e1", 3)), run("e1", 2, 10, events=3)]

    assert found(runs) == [("e1", "e2")]


@pytest.mark.parametrize("previous", [None, Previous("e0", 4)])
def test_replayed_epoch_that_was_never_seen_is_none(previous: Previous | None) -> None:
    """Dead letters of an older epoch, replayed, are taken; neither they nor what is live is doubted."""
    runs = [
        run("e3", 1, 300),
        run("e1", 1, 100, previous=previous),
        run("e3", 2, 310),
        run("e2", 1, 200, previous=Previous("e1", 2)),
        run("e1", 2, 101),
        run("e3", 3, 320),
        run("e2", 2, 201),
    ]

    assert found(runs) == []


def test_gap_stands_behind_the_late_events_of_its_batch() -> None:
    """Where a batch fills a hole and goes on beside a newer epoch, its records stay in order."""
    *_, chunk = committed(
        state(),
        sent(batch(event(path="a")), 1),
        sent(batch(event(path="d"), first_seq=4), 2),
        sent(batch(event(path="x"), epoch="e2", previous=Previous("e1", 4)), 3),
        sent(batch(*(event(path=name) for name in "bcde"), first_seq=2), 4),
    )

    assert [each["filename"] for each in told(chunk)] == ["b", "c", "", "", "e"]
    assert [each.get("gap", {}).get("reason") for each in told(chunk)][2:4] == ["sequence", "identity"]
    for topic in (chunk.outputs.donutwork, chunk.outputs.watch, chunk.outputs.notify):
        assert all(one < other for one, other in pairwise(map(src, records(topic))))


def test_epochs_before_any_moment_of_sending_was_kept() -> None:
    """Marks of an older version know no moments: nothing is concluded until the newest epoch has one."""
    old = Marks(0, (Epoch("e1", 2), Epoch("e2", 2)))

    assert found([run("e1", 2, 50)], old) == []
    assert found([run("e2", 2, 60), run("e1", 2, 70)], old) == [("e1", "e2")]


@given(st.lists(st.tuples(st.sampled_from(["e1", "e2", "e3"]), st.integers(1, 3)), max_size=30))
def test_no_event_is_lost_or_doubled_beside_a_rival(turns: list[tuple[str, int]]) -> None:
    """However installations take turns, each event is taken once, and each pair announced at most once."""
    marks: Marks | None = None
    following = dict.fromkeys(["e1", "e2", "e3"], 1)
    pairs: list[tuple[str, str]] = []
    news: list[tuple[int, int]] = []
    for moment, (epoch, events) in enumerate(turns):
        each = run(epoch, following[epoch], moment, events=events)
        following[epoch] += events
        first = admit("p", "a", marks, each, 0)
        again = admit("p", "a", first.marks, each, 0)
        marks = again.marks
        news.append((first.first_new, again.first_new - events))
        pairs += [admission.rivals[:2] for admission in (first, again) if admission.rivals]

    assert set(news) <= {(0, 0)}
    assert len(pairs) == len(set(pairs))
    held = {epoch.id: epoch.next for epoch in marks.epochs} if marks else {}
    assert held == {epoch: seq for epoch, seq in following.items() if seq > 1}
