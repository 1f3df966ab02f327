"""What a heartbeat tells of one root: how it is watched, how much waits for the broker, what is missing.

The same numbers go into the gauges of `agent.metrics`, whenever someone asks.
"""

from __future__ import annotations

from importlib.metadata import version

from agent.coverage import Coverage
from agent.event import Status
from agent.handover import Handover
from agent.metrics import JOURNAL_BYTES, JOURNAL_EVENTS, OPEN_GAPS
from agent.outbox import Outbox

MOST_SILENT = 3
"""While events flow, a heartbeat goes between them after this many times `heartbeat_s`."""


class Pulse:
    """One root, as the loop's thread sees it."""

    def __init__(self, project: str, outbox: Outbox, handover: Handover, coverage: Coverage) -> None:
        self._project = project
        self._outbox = outbox
        self._handover = handover
        self._coverage = coverage
        self._version = version("fswire")

    def status(self) -> Status:
        """Return how things are now; raises sqlite3.Error where the journal cannot be read."""
        coverage, share = self._coverage, self._coverage.share
        status = Status(
            backend=coverage.backend,
            folded=coverage.folded,
            depth=self._outbox.depth(self._handover.acknowledged),
            journal_bytes=self._outbox.bytes_on_disk(),
            directories=share.directories,
            watched=share.watched,
            polled=share.polled,
            open_gaps=self._outbox.open_gaps(),
            version=self._version,
        )
        JOURNAL_EVENTS.labels(self._project).set(status.depth)
        JOURNAL_BYTES.labels(self._project).set(status.journal_bytes)
        OPEN_GAPS.labels(self._project).set(status.open_gaps)
        return status
