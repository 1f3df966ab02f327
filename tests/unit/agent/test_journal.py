"""Baseline and outbox change together, numbers have no holes, and a journal knows what it was made for."""

from __future__ import annotations

import itertools
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from agent.baseline import ROOT_KEY, Known
from agent.event import Batch, Event, Previous, decode_batch
from agent.journal import MAX_ROW_EVENTS, Journal, JournalFull, JournalRefused, Made, open_journal
from agent.outbox import Outbox
from tests.unit.agent.journaling import MADE, MAX_BYTES, STATE, batches, event


def _paths(found: list[Batch]) -> list[str]:
    return [event.path for batch in found for event in batch.events]


def test_commit_writes_events_and_baseline(tmp_path: Path) -> None:
    """What was committed is there for whoever opens the journal next."""
    path = tmp_path / "journal.db"
    with Journal(path, MADE) as journal:
        journal.append(event("f"))
        journal.baseline.put(ROOT_KEY, b"f\xff", Known(None, STATE, b"s" * 32))
        assert journal.commit() == 1

    with Journal(path, MADE) as journal, Outbox(path, "p", "host") as outbox:
        assert journal.baseline.get(ROOT_KEY, b"f\xff") == Known(None, STATE, b"s" * 32)
        assert _paths(batches(outbox)) == ["f"]


def test_rollback_takes_back_both(tmp_path: Path) -> None:
    """No event is left without its baseline nor the reverse; numbers go on without a hole."""
    path = tmp_path / "journal.db"
    with Journal(path, MADE) as journal, Outbox(path, "p", "host") as outbox:
        journal.append(event("kept"))
        journal.commit()
        for index in range(2 * MAX_ROW_EVENTS):
            journal.append(event(str(index)))
        journal.baseline.put(ROOT_KEY, b"lost", Known(None, STATE, None))
        journal.rollback()
        journal.append(event("next"))
        journal.commit()

        assert journal.baseline.get(ROOT_KEY, b"lost") is None
        (batch,) = batches(outbox)
        assert (batch.first_seq, [event.path for event in batch.events]) == (1, ["kept", "next"])


def test_killed_process_leaves_whole_transactions(tmp_path: Path) -> None:
    """After SIGKILL every event in the outbox has its baseline row, and no row is without its event."""
    path = tmp_path / "journal.db"
    script = """
import sys
from pathlib import Path
from agent.baseline import Known
from agent.event import Event
from agent.journal import Journal, Made
journal = Journal(Path(sys.argv[1]), Made("machine", 1, 2))
for index in range(1_000_000):
    journal.append(Event("create", str(index), 1))
    journal.baseline.put(1, str(index).encode(), Known(None, None, None))
    if index % 7 == 6:
        journal.commit()
    if index == 500:
        print("running", flush=True)
"""
    process = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.communicate()

    with Journal(path, MADE) as journal, Outbox(path, "p", "host") as outbox:
        reported = _paths(batches(outbox))
        known = {name.decode() for name, _ in journal.baseline.children(ROOT_KEY)}
    assert len(reported) >= 490
    assert reported == [str(index) for index in range(len(reported))]
    assert known == set(reported)


def test_epochs_keep_their_numbers(tmp_path: Path) -> None:
    """A new opening is a new epoch whose first batch names the one before; old rows keep theirs."""
    path = tmp_path / "journal.db"
    with Journal(path, MADE) as first:
        for name in ("a", "b"):
            first.append(event(name))
        first.commit()
    with Journal(path, MADE) as second, Outbox(path, "p", "host") as outbox:
        second.append(event("c"))
        second.commit()
        second.append(event("d"))
        second.commit()
        old, new = batches(outbox)

    assert (old.epoch, old.first_seq, old.previous) == (first.epoch, 1, None)
    assert (new.epoch, new.first_seq, new.previous) == (second.epoch, 1, Previous(first.epoch, 2))
    assert old.agent == new.agent
    assert [event.path for event in new.events] == ["c", "d"]


def test_previous_names_an_epoch_that_was_published(tmp_path: Path) -> None:
    """The last number of the epoch before is known even when none of its rows is left."""
    path = tmp_path / "journal.db"
    with Journal(path, MADE) as first, Outbox(path, "p", "host") as outbox:
        first.append(event("a"))
        first.commit()
        parcel = outbox.next(0)
        assert parcel is not None
        first.forget(parcel.row)
        first.commit()
    with Journal(path, MADE) as second, Outbox(path, "p", "host") as outbox:
        second.append(event("b"))
        second.commit()

        assert [batch.previous for batch in batches(outbox)] == [Previous(first.epoch, 1)]


def test_previous_passes_over_an_epoch_without_events(tmp_path: Path) -> None:
    """An agent that was killed before it had anything to say leaves no link of the chain."""
    path = tmp_path / "journal.db"
    with Journal(path, MADE) as first:
        first.append(event("a"))
        first.commit()
    with Journal(path, MADE):
        pass
    with Journal(path, MADE) as third, Outbox(path, "p", "host") as outbox:
        third.append(event("b"))
        third.commit()

        assert [batch.previous for batch in batches(outbox)] == [None, Previous(first.epoch, 1)]


def test_heartbeat_has_the_next_number(tmp_path: Path) -> None:
    """A heartbeat is a batch without events."""
    path = tmp_path / "journal.db"
    with Journal(path, MADE) as journal, Outbox(path, "p", "host") as outbox:
        batch = decode_batch(outbox.heartbeat(journal.epoch, 7))

    assert (batch.project, batch.host, batch.first_seq, batch.events) == ("p", "host", 7, [])


@pytest.mark.parametrize("other", [Made("other", 1, 2), Made("machine", 9, 2), Made("machine", 1, 9)])
def test_copied_journal_is_a_new_agent(tmp_path: Path, other: Made) -> None:
    """Another machine or root: a new agent that knows nothing; what waits is sent as the old one's."""
    path = tmp_path / "journal.db"
    with Journal(path, MADE) as original:
        original.append(event("waiting"))
        original.baseline.put(ROOT_KEY, b"f", Known(None, STATE, None))
        original.commit()
    with Journal(path, other) as copy, Outbox(path, "p", "host") as outbox:
        copy.append(event("own"))
        copy.commit()
        old, new = batches(outbox)
        known = copy.baseline.get(ROOT_KEY, b"f")

    assert copy.copied
    assert known is None
    assert (old.agent, new.agent) == (original.meta.agent, copy.meta.agent)
    assert old.agent != new.agent
    assert (new.first_seq, new.previous) == (1, None)


def test_commit_of_a_note_alone(tmp_path: Path) -> None:
    """What is noted about the journal lasts, though no event or path changes with it."""
    path = tmp_path / "journal.db"
    with open_journal(path, MADE, MAX_BYTES)[0] as journal:
        journal.note()
        journal.meta.complete = True
        journal.commit()

    with open_journal(path, MADE, MAX_BYTES)[0] as again:
        assert again.meta.complete


def test_journal_that_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    """The message names the journal and says why."""
    (tmp_path / "file").touch()
    with pytest.raises(JournalRefused, match=r"file.*journal\.db.*(exists|directory)"):
        open_journal(tmp_path / "file/journal.db", MADE, MAX_BYTES)


def test_journal_stays_within_its_limit_on_disk(tmp_path: Path) -> None:
    """Database, log and reserve together, at every moment, whatever is appended."""
    path = tmp_path / "journal.db"
    most = 0
    with Journal(path, MADE, MAX_BYTES) as journal, Outbox(path, "p", "host") as outbox:
        with pytest.raises((JournalFull, sqlite3.OperationalError), match=r"in use|full"):
            for index in itertools.count():
                journal.append(event(f"{index}" * 400))
                journal.baseline.put(ROOT_KEY, b"%d" % hash(str(index)), Known(None, STATE, b"s" * 32))
                journal.commit_if_large()
                most = max(most, outbox.bytes_on_disk())
        journal.rollback()
        depth = outbox.depth(0)

        assert most <= MAX_BYTES
        assert most >= MAX_BYTES // 2
        assert not journal.has_room()
        assert depth == journal.last_seq == sum(len(batch.events) for batch in batches(outbox))


def test_reserve_takes_a_gap_when_nothing_else_fits(tmp_path: Path) -> None:
    """A full journal still takes what says that it is full, and what was acknowledged still leaves it."""
    path = tmp_path / "journal.db"
    with Journal(path, MADE, MAX_BYTES) as journal, Outbox(path, "p", "host") as outbox:
        with pytest.raises(JournalFull):
            for index in itertools.count():
                journal.append(event(f"{index}" * 800))
                journal.commit_if_large()
        journal.rollback()
        journal.open_reserve()
        journal.append(event("gap"))
        journal.commit()
        found = batches(outbox)
        journal.forget(1_000_000)
        journal.commit()

        assert found[-1].events[-1].path == "gap"
        assert journal.has_room()
        assert outbox.depth(0) == 0


def test_journal_gives_the_disk_back_what_an_outage_took(tmp_path: Path) -> None:
    """Opened again after the broker has taken everything, it is small."""
    path = tmp_path / "journal.db"
    with Journal(path, MADE) as journal:
        for index in range(40_000):
            journal.append(event(f"{index}" * 500))
            journal.commit_if_large()
        journal.forget(1_000_000)
        journal.commit()
    large = path.stat().st_size
    with Journal(path, MADE):
        pass

    assert large > 64 * 1024**2
    assert path.stat().st_size < large / 100


def test_batches_are_bounded(tmp_path: Path) -> None:
    """A batch holds at most 500 events and stays below its largest size, whatever the events are."""
    path = tmp_path / "journal.db"
    with Journal(path, MADE) as journal, Outbox(path, "p", "host") as outbox:
        for _ in range(1200):
            journal.append(event("x"))
        for _ in range(300):
            journal.append(event("\x01" * 4000))  # six bytes each in JSON
        journal.commit()
        sizes = []
        after = 0
        while parcel := outbox.next(after):
            sizes.append((parcel.events, len(parcel.value)))
            after = parcel.row

    assert sum(events for events, _ in sizes) == 1500
    assert all(events <= 500 and length <= 900 * 1024 for events, length in sizes)


def test_event_too_large_loses_what_can_be_done_without(tmp_path: Path) -> None:
    """An event that no batch could hold goes without its spine and stays an event."""
    path = tmp_path / "journal.db"
    with Journal(path, MADE) as journal, Outbox(path, "p", "host") as outbox:
        journal.append(Event("create", "f", 1, spine=["18446744073709551615"] * 50_000))
        journal.commit()
        (batch,) = batches(outbox)

    assert (batch.events[0].path, batch.events[0].spine) == ("f", None)


def test_full_disk_is_an_error_of_the_commit(tmp_path: Path) -> None:
    """A write that fails leaves the last commit as it was."""
    path = tmp_path / "journal.db"
    with Journal(path, MADE) as journal, Outbox(path, "p", "host") as outbox:
        journal.append(event("kept"))
        journal.commit()
        journal._database.execute("PRAGMA max_page_count = 20")
        with pytest.raises(sqlite3.OperationalError, match="full"):
            for index in range(20_000):
                journal.append(event(str(index)))
            journal.commit()
        journal.rollback()

        assert _paths(batches(outbox)) == ["kept"]


def test_depth_counts_events_of_all_epochs(tmp_path: Path) -> None:
    """What waits is told from a few numbers, whatever it is: events behind a row, older epochs included."""
    path = tmp_path / "journal.db"
    with Journal(path, MADE) as first:
        for name in ("a", "b"):
            first.append(event(name))
            first.commit()
    with Journal(path, MADE) as second, Outbox(path, "p", "host") as outbox:
        for name in ("c", "d", "e"):
            second.append(event(name))
        second.commit()

        assert [outbox.depth(row) for row in range(4)] == [5, 4, 3, 0]
