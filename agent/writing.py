"""Commits of the journal: often enough that events leave soon, seldom enough that storms stay cheap."""

from __future__ import annotations

import time

from agent.handover import Handover
from agent.journal import MAX_ROW_EVENTS, Journal

_LONGEST_S = 0.05


class Writing:
    """One root's journal as its watching thread writes it."""

    def __init__(self, journal: Journal, handover: Handover) -> None:
        self.journal = journal
        self._handover = handover
        self._forgotten = 0
        self._committed = 0.0

    def commit(self) -> None:
        """Make durable what has been reported, drop what was acknowledged, and wake the publisher."""
        acknowledged = self._handover.acknowledged
        if acknowledged > self._forgotten:
            self.journal.forget(acknowledged)
            self._forgotten = acknowledged
        self._committed = time.monotonic()
        if self.journal.commit():
            self._handover.committed()

    def commit_if_due(self) -> None:
        """Commit after enough events or enough time."""
        late = time.monotonic() - self._committed > _LONGEST_S
        if late or self.journal.uncommitted >= MAX_ROW_EVENTS:
            self.commit()
