"""A single change is durable at once, and what trickles in shares a transaction."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from agent import writing
from agent.handover import Handover
from agent.journal import Journal
from agent.writing import Writing
from tests.unit.agent.journaling import MADE, event

_LONGEST_WAIT_S = 0.01


class Clocked(Writing):
    """Writes a journal by a clock that stands still unless the test moves it on."""

    def __init__(self, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 1000.0
        monkeypatch.setattr(writing, "time", SimpleNamespace(monotonic=lambda: self.now_s))
        super().__init__(journal, Handover())


@pytest.fixture
def clocked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clocked]:
    """Return what writes a journal that has nothing to commit."""
    with Journal(tmp_path / "journal.db", MADE) as journal:
        clocked = Clocked(journal, monkeypatch)
        clocked.commit()
        yield clocked


def test_nothing_to_commit_is_waited_for_without_end(clocked: Clocked) -> None:
    """An idle agent sleeps until something happens."""
    assert clocked.wait_s() == float("inf")


def test_change_after_a_while_is_committed_at_once(clocked: Clocked) -> None:
    """Whoever was idle keeps nobody waiting."""
    clocked.now_s += _LONGEST_WAIT_S
    clocked.journal.append(event("f"))
    wait_s = clocked.wait_s()
    clocked.commit_soon()

    assert wait_s == 0
    assert not clocked.journal.is_changed


def test_change_right_after_a_commit_waits_a_moment(clocked: Clocked) -> None:
    """It shares a transaction with what comes in the next 10 ms, and waits no longer."""
    clocked.journal.append(event("f"))
    wait_s = clocked.wait_s()
    clocked.commit_soon()
    kept = clocked.journal.is_changed
    clocked.now_s += wait_s
    clocked.commit_soon()

    assert wait_s == pytest.approx(_LONGEST_WAIT_S)
    assert kept
    assert not clocked.journal.is_changed
