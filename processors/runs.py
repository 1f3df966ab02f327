"""One run of a workflow for one event: a record of `fswire.runs` for each state that it goes through.

The normalizer queues runs with the event that triggers them; the runner takes them from there. A run that was
queued again, because a chunk was, has the same id.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Literal

import msgspec

from processors.origin import Origin
from processors.position import Position
from processors.record_batch import Record, field, length

RunState = Literal["queued", "running", "succeeded", "failed"]


class Run(msgspec.Struct, omit_defaults=True, rename="camel", frozen=True):
    """Value of a record of `fswire.runs`, keyed by `id`, in its project's partition; times are ISO 8601."""

    id: str
    workflow: str
    project_id: str
    event_id: str
    state: RunState
    queued_at: str
    updated_at: str
    event: msgspec.Raw
    """The triggering event, as on `fswire.donutwork`."""
    attempts: int = 0
    """Begun so far."""
    again: int = 0
    """How often somebody asked for another try of a run that had failed."""
    error: str | None = None
    """Of the last attempt."""
    retry_at: str | None = None
    """Of a queued run that has failed: when it is tried again."""
    superseded_by: str | None = None
    """The run that was carried out in this one's place: both waited for the path to be quiet."""


def run_id(workflow: str, event_id: str) -> str:
    """Return the id of the one run of a workflow for an event."""
    return "run_" + blake2b(f"{workflow}\0{event_id}".encode(), digest_size=16).hexdigest()


def queued(workflow: str, origin: Origin, event_id: str, event: bytes, src: Position) -> Record:
    """Return the record that queues a workflow's run for an event; `event`: as on `fswire.donutwork`."""
    at, identity = origin.received_at, run_id(workflow, event_id)
    run = Run(identity, workflow, origin.project, event_id, "queued", at, at, msgspec.Raw(event))
    headers = length(1) + field(b"src") + field(str(src).encode())
    return (origin.received_ms, field(identity.encode()), encode(run), headers)


encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Run).decode
