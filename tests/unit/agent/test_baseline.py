"""The baseline answers as if every change were written at once, and keeps to the journal's transaction."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent import baseline as module
from agent.baseline import ROOT_KEY, Known
from agent.journal import Journal, Made

KNOWN, OTHER = Known(None, None, b"1" * 32), Known(7, None, None)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """Return a journal whose baseline knows `written`."""
    with Journal(tmp_path / "journal.db", Made("machine", 1, 2)) as journal:
        journal.baseline.put(ROOT_KEY, b"written", KNOWN)
        journal.commit()
        yield journal


def test_baseline_knows_what_is_not_written_yet(journal: Journal) -> None:
    """A row that was put, moved or removed is so for whoever asks next, by name or for all of a directory."""
    rows = journal.baseline
    rows.put(ROOT_KEY, b"new", OTHER)
    rows.move(ROOT_KEY, b"written", 7, b"moved")
    rows.put(ROOT_KEY, b"passing", KNOWN)
    rows.remove(ROOT_KEY, b"passing")
    found = [rows.get(ROOT_KEY, name) for name in (b"new", b"written", b"passing")]

    assert found == [OTHER, None, None]
    assert rows.get(7, b"moved") == KNOWN
    assert list(rows.children(ROOT_KEY)) == [(b"new", OTHER)]
    assert list(rows.children(7)) == [(b"moved", KNOWN)]


def test_baseline_forgets_what_is_rolled_back(journal: Journal) -> None:
    """After a rollback it is what it was at the last commit, also where nothing was found in between."""
    rows = journal.baseline
    rows.remove(ROOT_KEY, b"written")
    rows.put(ROOT_KEY, b"new", OTHER)
    journal.rollback()

    assert (rows.get(ROOT_KEY, b"written"), rows.get(ROOT_KEY, b"new")) == (KNOWN, None)


def test_baseline_finds_a_name_that_was_missing_and_is_back(journal: Journal) -> None:
    """That a name was not there is remembered only until it is written."""
    rows = journal.baseline
    rows.remove(ROOT_KEY, b"written")
    rows.remove(ROOT_KEY, b"never")
    journal.commit()
    before = rows.get(ROOT_KEY, b"written")
    rows.put(ROOT_KEY, b"written", OTHER)
    journal.commit()

    assert before is None
    assert rows.get(ROOT_KEY, b"written") == OTHER


def test_baseline_forgets_a_directory_as_a_whole(journal: Journal) -> None:
    """Also what was written a moment ago, and what is not written yet."""
    rows = journal.baseline
    rows.put(ROOT_KEY, b"new", OTHER)
    rows.remove_all(ROOT_KEY)

    assert (rows.get(ROOT_KEY, b"written"), rows.get(ROOT_KEY, b"new")) == (None, None)


def test_baseline_holds_only_so_much(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory does not grow with the number of files."""
    monkeypatch.setattr(module, "_MOST_UNWRITTEN", 10)
    monkeypatch.setattr(module, "_MOST_WRITTEN", 10)
    for number in range(100):
        journal.baseline.get(ROOT_KEY, b"missing%d" % number)
        journal.baseline.put(ROOT_KEY, b"%03d" % number, KNOWN)
    rows = journal.baseline

    assert max(len(rows._unwritten), len(rows._missing), len(rows._written)) <= 20
    assert len(list(journal.baseline.children(ROOT_KEY))) == 101
