"""Commits of the journal: often enough that events leave soon, seldom enough that storms stay cheap."""

from __future__ import annotations

import sqlite3
import time

import structlog

from agent.damage import JournalCorrupt
from agent.handover import Handover
from agent.journal import Journal, JournalFull

_log = structlog.get_logger()
_LONGEST_S = 0.05
_SHORTEST_S = 0.01
"""Between two commits while nothing more is waiting: a single change goes at once."""
_ROWS = 32
"""Dropped in one transaction: its log stays short, which a disk that is almost full must hold."""


class Writing:
    """One root's journal as its watching thread writes it."""

    def __init__(self, journal: Journal, handover: Handover) -> None:
        self.journal = journal
        self._handover = handover
        self._forgotten = journal.forgotten()
        self._committed = 0.0
        journal.committed = lambda: handover.committed()

    def commit(self) -> None:
        """Make durable what has been reported, and drop what was acknowledged.

        Raises sqlite3.Error, JournalFull, JournalCorrupt: then nothing has changed since the last commit.
        """
        if self._handover.damaged.is_set():
            raise JournalCorrupt("the publisher could not read it")
        self._committed = time.monotonic()
        while (last := min(self._handover.acknowledged, self._forgotten + _ROWS)) > self._forgotten:
            self.journal.forget(last)
            self.journal.commit()
            self._forgotten = last
        self.journal.commit()

    def commit_if_due(self) -> None:
        """Commit after enough events or enough time."""
        if self.journal.is_large or time.monotonic() - self._committed > _LONGEST_S:
            self.commit()

    def commit_soon(self) -> None:
        """Commit, or leave it for `wait_s`: events that trickle in share a transaction, and a batch."""
        if not self.wait_s():
            self.commit()

    def wait_s(self) -> float:
        """Return how long a commit can still wait; for ever if there is nothing to commit."""
        if self._handover.damaged.is_set():
            return 0.0
        if not self.journal.is_changed and self._handover.acknowledged <= self._forgotten:
            return float("inf")
        return max(0.0, self._committed + _SHORTEST_S - time.monotonic())

    def finish(self) -> None:
        """Commit for the last time; where that cannot be, the next start does again what is left undone."""
        try:
            self.commit()
        except (sqlite3.Error, JournalFull, JournalCorrupt) as error:
            _log.warning("journal_not_finished", path=str(self.journal.path), error=str(error))
