"""Journals that are damaged: kept aside, announced, and never a disk full of them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.baseline import ROOT_KEY, Known
from agent.bounds import PAGE_BYTES
from agent.damage import JournalCorrupt
from agent.journal import Journal, open_journal
from agent.outbox import Outbox
from tests.unit.agent.journaling import MADE, MAX_BYTES, STATE, batches, event


def _used(path: Path, events: int = 3000) -> Journal:
    """Return a journal that has been used; its files stay as they are while it is open."""
    journal = Journal(path, MADE)
    for index in range(events):
        journal.append(event(f"a file with a name of its own {index}"))
        journal.baseline.put(ROOT_KEY, str(index).encode(), Known(None, STATE, b"s" * 32))
        journal.commit_if_large()
    journal.commit()
    return journal


def _rubbish(path: Path) -> None:
    path.write_bytes(b"this is no database" * 1000)


def _empty(path: Path) -> None:
    os.truncate(path, 0)


def _truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _overwritten(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 3)
        file.write(b"\xa5" * 5 * PAGE_BYTES)


def _half_gone(path: Path) -> None:
    path.unlink()
    path.with_name("journal.db-wal").write_bytes(b"rest")


@pytest.mark.parametrize("damage", [_rubbish, _empty, _truncated, _overwritten, _half_gone])
def test_damaged_journal_is_kept_aside(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    """Whatever happened to the file: it stays, a new agent begins a new epoch, and owes a gap."""
    path = tmp_path / "journal.db"
    with _used(path) as old:
        agent, epoch = old.meta.agent, old.epoch
    damage(path)
    remains = path.read_bytes() if path.exists() else None

    journal, aside = open_journal(path, MADE, MAX_BYTES)

    with journal:
        assert journal.first_gap() == "identity"
        assert journal.meta.agent != agent
        assert journal.epoch != epoch
        assert remains is None or (aside is not None and aside.read_bytes() == remains)


def test_gap_of_a_damaged_journal_is_owed_until_it_is_announced(tmp_path: Path) -> None:
    """An agent that ends before it could say so says it at its next start."""
    path = tmp_path / "journal.db"
    _rubbish(path)
    first, _ = open_journal(path, MADE, MAX_BYTES)
    with first:
        pass
    second, aside = open_journal(path, MADE, MAX_BYTES)

    with second:
        assert aside is None
        assert second.first_gap() == "identity"


def test_damaged_journals_do_not_fill_the_disk(tmp_path: Path) -> None:
    """Of those kept aside the newest two stay."""
    path = tmp_path / "journal.db"
    for number in range(4):
        path.write_bytes(b"no database %d" % number * 1000)
        open_journal(path, MADE, MAX_BYTES)[0].__exit__()

    kept = sorted(tmp_path.glob("journal.db.damaged-*"))
    assert [file.read_bytes()[:13] for file in kept] == [b"no database 2", b"no database 3"]


def test_torn_log_leaves_whole_transactions(tmp_path: Path) -> None:
    """What a power cut tears off the end of the log was never there; what is left is consistent."""
    path = tmp_path / "journal.db"
    with _used(path, 3000):
        (tmp_path / "torn").mkdir()
        torn = tmp_path / "torn/journal.db"
        for suffix in ("", "-wal"):
            shutil.copy(path.with_name(path.name + suffix), torn.with_name(torn.name + suffix))
    log = torn.with_name("journal.db-wal")
    os.truncate(log, log.stat().st_size * 2 // 3)
    journal, aside = open_journal(torn, MADE, MAX_BYTES)

    with journal, Outbox(torn, "p", "host") as outbox:
        events = sum(len(batch.events) for batch in batches(outbox))
        assert aside is None
        assert 0 < events < 3000
        assert sum(1 for _ in journal.baseline.children(ROOT_KEY)) == events
        assert journal.first_gap() == "agent_down"


def test_row_that_is_not_as_it_was_written_is_damage(tmp_path: Path) -> None:
    """A byte that fell over within an event, which SQLite does not see, is never sent."""
    path = tmp_path / "journal.db"
    with _used(path, 10) as journal, Outbox(path, "p", "host") as outbox:
        journal._database.execute("UPDATE outbox SET events = CAST(replace(events, 'name', 'nase') AS BLOB)")

        with pytest.raises(JournalCorrupt, match="row 1"):
            outbox.next(0)
