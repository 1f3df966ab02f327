"""What passes between the thread that watches a root and the task that publishes it, besides the journal."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.settings import AgentSettings, RootSettings


def _nobody() -> None:
    """Stand for a publisher before there is one."""


class Handover:
    """Signals in both directions; every method may be called on any thread."""

    def __init__(self) -> None:
        self.wake = threading.Event()
        """Set when the watching thread has something to do."""
        self.stopping = threading.Event()
        self.damaged = threading.Event()
        """Set by the publisher when it finds the journal damaged; cleared once it has been replaced."""
        self.trouble: str | None = "the first scan is under way"
        """Why the root is not watched now, or what happens there not kept; set by the watching thread."""
        self.rescans: deque[str] = deque()
        """Why the whole tree is to be compared, for each time that somebody asked."""
        self.changes: deque[tuple[AgentSettings, RootSettings]] = deque()
        """Settings to go on with, the last the newest."""
        self.acknowledged = 0
        """The outbox row up to which the broker has everything."""
        self.committed: Callable[[], None] = _nobody
        """Called after each commit that has put events into the outbox."""

    def acknowledge(self, row: int) -> None:
        """Say that the broker has everything up to an outbox row."""
        self.acknowledged = row
        self.wake.set()

    def doubt(self) -> None:
        """Say that the journal was found to be damaged."""
        self.damaged.set()
        self.wake.set()

    def ask_rescan(self, why: str) -> None:
        """Ask for a comparison of the whole tree with what was reported."""
        self.rescans.append(why)
        self.wake.set()

    def change(self, settings: AgentSettings, root: RootSettings) -> None:
        """Give the watching thread new settings, which hold from the next record on."""
        self.changes.append((settings, root))
        self.wake.set()

    def stop(self) -> None:
        """Ask the watching thread to take in what has happened, and to end."""
        self.stopping.set()
        self.wake.set()
