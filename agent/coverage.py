"""How much of one tree is covered, and by what: set by the watching thread, read on any other.

The three numbers are replaced together, so a reader never sees the old one beside the new.
"""

from __future__ import annotations

from typing import NamedTuple

from agent.metrics import DIRECTORIES, POLLED, WATCHED


class Share(NamedTuple):
    """Directories of the tree; what is neither watched nor polled could not be read."""

    directories: int = 0
    watched: int = 0
    """Directories whose changes are told as they happen."""
    polled: int = 0
    """Directories that are listed from time to time."""


class Coverage:
    """The coverage of one root; `backend` and `folded` are those of the session that runs."""

    def __init__(self, project: str) -> None:
        self._project = project
        self.backend = ""
        self.folded = False
        """Operations of one path between two looks are told as one."""
        self.share = Share()

    def update(self, directories: int, *, watched: int, polled: int) -> None:
        """Replace the numbers, here and in the metrics."""
        self.share = Share(directories, watched, polled)
        for gauge, value in zip((DIRECTORIES, WATCHED, POLLED), self.share, strict=True):
            gauge.labels(self._project).set(value)
