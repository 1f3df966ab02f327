"""What the processor decided about one HTTP event: a record of `fswire.outcomes`, awaited by the api."""

from __future__ import annotations

from typing import Literal

import msgspec

from processors.transfer_records import Answer

Decision = Literal["inserted", "repeated", "conflict", "refused"]


class Outcome(msgspec.Struct, omit_defaults=True, frozen=True):
    """The decision on the request whose correlation id is `id`, keyed by it, on the partition it named."""

    id: str
    project: str
    event_id: str
    decision: Decision
    workflow_triggered: bool = False
    reason: str | None = None
    """Of `refused`: why, such as `unknown_project`."""
    transfer: Answer | None = None
    """Of a file monitor command: what became of it; project and event id are empty then."""


encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Outcome).decode
