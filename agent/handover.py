"""What passes between the thread that watches a root and the task that publishes it, besides the journal."""

from __future__ import annotations

import threading
from collections.abc import Callable


def _nobody() -> None:
    """Stand for a publisher before there is one."""


class Handover:
    """Signals in both directions; every method may be called on any thread."""

    def __init__(self) -> None:
        self.wake = threading.Event()
        """Set when the watching thread has something to do."""
        self.stopping = threading.Event()
        self.acknowledged = 0
        """The outbox row up to which the broker has everything."""
        self.committed: Callable[[], None] = _nobody
        """Called after each commit that has put events into the outbox."""

    def acknowledge(self, row: int) -> None:
        """Say that the broker has everything up to an outbox row."""
        self.acknowledged = row
        self.wake.set()

    def stop(self) -> None:
        """Ask the watching thread to take in what has happened, and to end."""
        self.stopping.set()
        self.wake.set()
