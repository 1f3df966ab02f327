"""What is published for raw records that were gone before a worker read them: a gap for each project."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable

from agent.event import VERSION, Batch
from processors import gaps, runs
from processors.origin import Origin
from processors.outputs import Outputs, make
from processors.position import Position
from processors.recovery import Start
from processors.triggers import Triggers

_AGENT = "normalize"
"""The agent of events that are made here."""


def loss(projects: Iterable[str], partition: int, start: Start, triggers: Triggers) -> Outputs:
    """Return the gaps of projects, in the place of the last record that is gone, and their runs."""
    outputs, now_ns = Outputs(), time.time_ns()
    for index, project in enumerate(projects):
        event = gaps.expired(project, partition, start.committed or 0, start.oldest, now_ns)
        origin = Origin(_batch(project, partition, start, now_ns), now_ns // 1_000_000)
        identity = gaps.event_id(event)
        made = make(origin, event, identity, start.oldest, late=False)
        src = Position(max(start.oldest - 1, 0), index, 0)
        outputs.add(origin, made, event, identity, start.oldest, src)
        outputs.runs.extend(
            runs.queued(trigger.workflow, origin, identity, made[0] or b"{}", src)
            for trigger in triggers.of(project)
            if trigger.fires("gap", event)
        )
    return outputs


def _batch(project: str, partition: int, start: Start, now_ns: int) -> Batch:
    return Batch(
        v=VERSION,
        project=project,
        host=socket.gethostname(),
        sent_ns=now_ns,
        agent=_AGENT,
        epoch=str(partition),
        first_seq=start.oldest,
        events=[],
    )
