"""What ClickHouse gets for records that the broker deleted before they became rows: a gap of each project."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable

from agent.event import VERSION, Batch
from processors import donutwork, gaps
from processors.origin import Origin
from processors.rows import Row

_AGENT = "sink"
"""The agent of events that are made here."""


def records(projects: Iterable[str], topic: str, partition: int, first: int, last: int) -> list[Row]:
    """Return the gaps of projects whose records from `first` to `last` are gone.

    They are in no topic: each has the offset of the last record that is gone, and no `src`.
    """
    now_ns = time.time_ns()
    now_ms = now_ns // 1_000_000
    made = []
    for project in projects:
        event = gaps.expired(project, partition, first, last + 1, now_ns, topic)
        origin = Origin(_batch(project, partition, last, now_ns), now_ms)
        value = donutwork.record(origin, event, gaps.event_id(event), last)
        made.append(Row(last, value, project.encode(), now_ms))
    return made


def _batch(project: str, partition: int, last: int, now_ns: int) -> Batch:
    host, epoch = socket.gethostname(), str(partition)
    return Batch(VERSION, project, host, now_ns, _AGENT, epoch, first_seq=last, events=[])
