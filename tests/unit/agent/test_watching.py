"""What happens around sessions: a journal that is full or damaged, a full disk, losses in a row."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from agent import backoff, bounds
from agent.backoff import Backoff
from agent.bounds import Bounds
from agent.event import Event
from agent.journal import Journal
from agent.session import End
from agent.watching import Watching
from tests.unit.agent import disk
from tests.unit.agent.replay import on_disk, replay
from tests.unit.agent.watched import PATIENCE_S, Watched

Watch = Callable[..., Watched]
SMALL = Bounds(most=160, usable=128, roomy=64, log_pages=32, log_bytes=256 * 1024)


def gaps(events: list[Event], kind: str) -> list[str]:
    """Return the reasons of all gaps, or of all that were closed."""
    return [event.gap.reason for event in events if event.kind == kind and event.gap]


def fill(root: Path, name: str, files: int = 1000) -> None:
    """Make more files than a small journal can hold the events of."""
    (root / name).mkdir()
    for index in range(files):
        (root / name / str(index)).write_bytes(b"%d" % index)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every journal as small as half a megabyte."""
    monkeypatch.setattr(bounds, "of", lambda *_: SMALL)


@pytest.mark.usefixtures("small")
def test_full_journal_stops_reporting_until_there_is_room(root: Path, watch: Watch) -> None:
    """At the limit the baseline freezes too, one gap says so, and the rescan brings the real differences."""
    watched = watch()
    fill(root, "d")
    watched.until(lambda events: "journal_full" in gaps(events, "gap"))
    frozen = replay(watched.events())
    (root / "late").write_bytes(b"in the gap")
    (root / "gone").touch()
    (root / "gone").unlink()
    watched.wait(lambda: acknowledged(watched, lambda events: "journal_full" in gaps(events, "gap_closed")))
    (root / "after").touch()
    watched.stop()

    events = watched.events()
    assert len(frozen) < 1000
    assert b"late" not in frozen
    assert len(gaps(events, "gap")) == len(gaps(events, "gap_closed"))
    assert set(gaps(events, "gap")) == {"journal_full"}
    assert replay(events) == on_disk(root)


def acknowledged(watched: Watched, condition: Callable[[list[Event]], bool]) -> bool:
    """Be the broker that takes everything, and tell whether a condition holds."""
    watched.acknowledge()
    return condition(watched.events())


def test_full_disk_stops_reporting_until_there_is_room(root: Path, tmp_path: Path) -> None:
    """No space for the journal: a gap says so, nothing is lost silently, and it goes on by itself."""
    with disk.mounted(tmp_path / "disk", 4 * 1024**2) as small, Watched(root, small) as watched:
        filler = disk.fill(small, free_bytes=64 * 1024)
        fill(root, "d", 3000)
        watched.until(lambda events: "journal_full" in gaps(events, "gap"))
        frozen = replay(watched.events())
        filler.unlink()
        watched.wait(
            lambda: acknowledged(watched, lambda events: "journal_full" in gaps(events, "gap_closed"))
        )
        (root / "after").touch()
        watched.stop()
        events = watched.events()

    assert len(frozen) < 3000
    assert gaps(events, "gap") == gaps(events, "gap_closed")
    assert set(gaps(events, "gap")) == {"journal_full"}
    assert replay(events) == on_disk(root)


def test_failing_disk_is_announced_when_it_works_again(
    root: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where not even the gap can be written, a later scan begins with it, and knows since when."""
    watched = watch()
    durable_ns = watched.journal.meta.durable_ns
    commit = Journal.commit

    def failing(self: Journal) -> int:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(Journal, "commit", failing)
    (root / "f").write_bytes(b"x")
    watched.wait(lambda: watched.handover.trouble is not None)
    reported = gaps(watched.events(), "gap")
    monkeypatch.setattr(Journal, "commit", commit)
    events = watched.until(lambda events: gaps(events, "gap_closed") == ["journal_full"])

    (gap,) = [event.gap for event in events if event.kind == "gap"]
    assert reported == []
    assert gap is not None
    assert gap.since_ns == durable_ns
    assert replay(events) == on_disk(root)


def test_journal_damaged_while_it_is_used_is_replaced(
    root: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Overwritten under a running agent: kept aside, a new agent and epoch, a gap that says identity."""
    (root / "d").mkdir()
    fill(root, "many", 500)
    watched = watch()
    agent, epoch = watched.journal.meta.agent, watched.journal.epoch
    watched.events()
    may_scan = hold_sessions(monkeypatch)
    overwrite_baseline(watched.state / "proj/journal.db")
    (root / "d/f").write_bytes(b"x")
    shutil.rmtree(root / "many")
    may_scan.set()
    watched.wait(lambda: watched.journal.epoch != epoch)
    events = watched.until(lambda events: gaps(events, "gap_closed") == ["identity"])

    new = events[[event.kind for event in events].index("gap") :]
    assert watched.journal.meta.agent != agent
    assert {event.kind for event in new} == {"gap", "baseline", "gap_closed"}
    assert replay(new) == on_disk(root)
    assert len(list((watched.state / "proj").glob("journal.db.damaged-*"))) >= 1


def hold_sessions(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Return what has to be set before another session, and with it the scan of a tree, begins."""
    may_begin, run = threading.Event(), Watching._run_session

    def held(self: Watching) -> tuple[End, int | None]:
        may_begin.wait(PATIENCE_S)
        return run(self)

    monkeypatch.setattr(Watching, "_run_session", held)
    return may_begin


def overwrite_baseline(path: Path) -> None:
    """Write rubbish over everything behind the first pages, as a failing disk does."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:
        file.seek(3 * bounds.PAGE_BYTES)
        file.write(b"\xa5" * (path.stat().st_size - 3 * bounds.PAGE_BYTES))


def test_publisher_that_finds_damage_has_the_journal_replaced(root: Path, watch: Watch) -> None:
    """Whoever finds it: the watching thread hears of it and begins anew."""
    watched = watch()
    epoch = watched.journal.epoch
    watched.handover.doubt()
    events = watched.until(lambda events: gaps(events, "gap_closed") == ["identity"])

    assert watched.journal.epoch != epoch
    assert replay(events) == on_disk(root)


def test_rows_of_a_new_journal_are_numbered_on(root: Path, watch: Watch) -> None:
    """An acknowledgement that was on its way when the journal was replaced lets go of nothing new."""
    (root / "f").touch()
    watched = watch()
    watched.events()
    before = watched._row
    watched.handover.doubt()
    watched.until(lambda events: gaps(events, "gap_closed") == ["identity"])

    assert before > 0
    assert watched._row > before


def test_losses_in_a_row_are_one_gap(root: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    """While overflows follow each other faster than a scan is done, one gap stays open; then it is closed."""
    monkeypatch.setattr(backoff, "FIRST_S", 0.001)
    monkeypatch.setattr(backoff, "LONGEST_S", 0.004)
    watched = watch()
    run, lost = Watching._run_session, iter(range(50))

    def losing(self: Watching) -> tuple[End, int | None]:
        return (End.OVERFLOWED, 1) if next(lost, None) is not None else run(self)

    monkeypatch.setattr(Watching, "_run_session", losing)
    shutil.rmtree(root)
    root.mkdir()
    (root / "f").touch()
    events = watched.until(
        lambda events: "overflow" in gaps(events, "gap_closed") and replay(events) == on_disk(root)
    )

    assert next(lost, None) is None
    assert gaps(events, "gap").count("overflow") == 1
    assert replay(events) == on_disk(root)


def test_queue_that_overflows_again_and_again(
    root: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real overflows of the kernel's queue: announced, mended, and the tree is right in the end."""
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if limit > 50_000:
        pytest.skip("the kernel's queue is too long to overflow here")
    watched = watch()
    for storm in range(2):
        monkeypatch.setattr("agent.inotify._UNREAD_BYTES", -1)
        for index in range(limit + 200):  # files take turns, for the kernel merges repeats
            (root / str(index % 3)).touch(0o600)
        (root / "last").write_bytes(b"%d" % storm)
        monkeypatch.setattr("agent.inotify._UNREAD_BYTES", 1 << 26)
        watched.wait(lambda storm=storm: len(gaps(watched.events(), "gap_closed")) > storm)
    (root / "after").touch()
    watched.stop()

    events = watched.events()
    assert gaps(events, "gap") == gaps(events, "gap_closed") == ["overflow"] * 2
    assert replay(events).keys() == on_disk(root).keys()


def test_backoff_doubles_and_starts_again() -> None:
    """Losses in a row wait longer and longer, never longer than half a minute; quiet ends it."""
    waits = Backoff()

    assert [waits.lost(0) for _ in range(11)] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30, 30]
    assert waits.lost(60) == 0.1
    assert waits.lost(1) == 0.2
