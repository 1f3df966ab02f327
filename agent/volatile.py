"""A journal of a process that only tells: what is reported is handed on at once, the rest ends with it.

The baseline is as in any journal, in a database without a file; there is no outbox, and nothing to fill up.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

from agent import baseline, identity
from agent.baseline import Baseline
from agent.devices import Devices
from agent.event import Event
from agent.journal import Journal, Meta

_SETTINGS = ("journal_mode = OFF", "synchronous = OFF", "locking_mode = EXCLUSIVE")


class VolatileJournal(Journal):
    """A journal in memory; `deliver` is called with each event, on the watching thread."""

    def __init__(self, deliver: Callable[[Event], None]) -> None:
        self._deliver = deliver
        self._path = Path("memory")
        self._open()

    def append(self, event: Event) -> None:
        """Hand an event on."""
        self._deliver(event)

    @property
    def is_large(self) -> bool:
        """Nothing waits for a commit."""
        return False

    def commit(self) -> int:
        """Write the baseline's rows."""
        if self._database.in_transaction:
            self.baseline.flush()
            self._database.execute("COMMIT")
        return 0

    def rollback(self) -> None:
        """Go on from here: what was handed on cannot be taken back, and the baseline agrees with it."""
        self.commit()

    def replace(self) -> Path:
        """Begin anew."""
        self._database.close()
        self._open()
        return self._path

    def open_reserve(self) -> None:
        """There is none."""

    def has_room(self) -> bool:
        """Memory is all it takes."""
        return True

    def save_meta(self) -> None:
        """Nothing is kept."""

    def forgotten(self) -> int:
        """There is no outbox."""
        return 0

    def _open(self) -> None:
        self._database = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        for statement in (*(f"PRAGMA {each}" for each in _SETTINGS), baseline.SCHEMA, baseline.LIVES_SCHEMA):
            self._database.execute(statement)
        self.devices = Devices({})
        self.meta = Meta(identity.new_agent_id(), "", 0, 0)
        self.baseline = Baseline(self._database, self.meta.next_key)
        self.damaged = False
        self.certain_ns: int | None = None
