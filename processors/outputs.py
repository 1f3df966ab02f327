"""The records that one chunk of raw records becomes, per topic, in the order in which they are appended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from agent.event import Event
from agent.kafka import MAX_RECORD_BYTES
from processors import donutwork, notify, watch
from processors.origin import Origin, Place, placed
from processors.record_batch import Batches

MAX_VALUE_BYTES = MAX_RECORD_BYTES - 4096
"""Leaves room for key and headers, none of which is longer than 128 characters."""

Made = tuple[bytes | None, Sequence[bytes], bytes | None]
"""What one event becomes: its donutwork, watch and notify values."""


class Addressed(NamedTuple):
    """A record for another topic; `partition` None is left to the partitioner."""

    key: bytes
    value: bytes
    partition: int | None = None


def make(
    origin: Origin, event: Event, event_id: str, seq: int, *, late: bool, duplicate: bool = False
) -> Made:
    """Return what an event becomes; pure."""
    return (
        donutwork.record(origin, event, event_id, seq, late=late, duplicate=duplicate),
        watch.records(origin.root, event),
        notify.record(origin.project, event),
    )


def excess(made: Made) -> int:
    """Return the length of a value that no topic takes, 0 if there is none.

    The values of `watch` hold little more than the paths, which fitted into the raw record.
    """
    history, _, notifications = made
    longest = max(len(history or b""), len(notifications or b""))
    return longest if longest > MAX_VALUE_BYTES else 0


class Outputs:
    """Collects what a chunk becomes."""

    def __init__(self) -> None:
        self.donutwork = Batches()
        self.watch = Batches()
        self.notify = Batches()
        self.runs = Batches()
        self.dead_letters: list[Addressed] = []
        self.agents: list[Addressed] = []
        self.outcomes: list[Addressed] = []

    def add(self, origin: Origin, made: Made, event: Event, event_id: str, seq: int, place: Place) -> None:
        """Append the records of one event; `place` is the position of the first in each topic."""
        headers = origin.headers(event_id, seq, event.time_ns)
        at = placed(headers, place)
        timestamp_ms, key = origin.received_ms, origin.key
        history, changes, notifications = made
        if history is not None:
            self.donutwork.append(timestamp_ms, key, history, at)
        if notifications is not None:
            self.notify.append(timestamp_ms, key, notifications, at)
        for nth, change in enumerate(changes):
            if nth:
                at = placed(headers, (place[0], place[1], place[2] + nth))
            self.watch.append(timestamp_ms, key, change, at)
