"""The runs of one partition, folded from their records; pure.

A run that was queued again, because a chunk of events was made again, is as far as it was.
"""

from __future__ import annotations

import msgspec

from processors.runs import Run

KEPT_ENDED = 1_000_000
"""Ended runs whose ids are remembered, so that a late repeat of `queued` is known as one."""


class RunLog:
    """What is known of each run."""

    def __init__(self) -> None:
        self.open: dict[str, Run] = {}
        """Queued and running ones, the oldest first."""
        self._ended: dict[str, Run] = {}

    def take(self, run: Run) -> Run | None:
        """Take a record; return the run's state where the record is an old one and must be written over."""
        known = self.open.get(run.id) or self._ended.get(run.id)
        if known is not None and is_first(run) and not is_first(known) and run.again <= known.again:
            return msgspec.structs.replace(known, event=run.event)
        self.put(run)
        return None

    def put(self, run: Run) -> None:
        """Note a run's newest state; one of an earlier try than is known is none."""
        known = self.open.get(run.id) or self._ended.get(run.id)
        if known is not None and run.again < known.again:
            return
        if run.state in ("queued", "running"):
            self._ended.pop(run.id, None)
            self.open[run.id] = run
            return
        self.open.pop(run.id, None)
        self._ended[run.id] = msgspec.structs.replace(run, event=msgspec.Raw(b"{}"))
        while len(self._ended) > KEPT_ENDED:
            del self._ended[next(iter(self._ended))]

    def drop(self, identity: str) -> None:
        """Forget a run whose record was deleted."""
        self.open.pop(identity, None)
        self._ended.pop(identity, None)


def is_first(run: Run) -> bool:
    """Tell whether a record is the first of a run, or of another try that somebody asked for."""
    return run.state == "queued" and run.attempts == 0
