"""What the tests of the journal share: what it is made for, and what a publisher would send of it."""

from __future__ import annotations

import stat

from agent.event import Batch, Event, decode_batch
from agent.files import State
from agent.journal import Made
from agent.outbox import Outbox

MADE = Made("machine", 1, 2)
MAX_BYTES = 16 * 1024**2
STATE = State(stat.S_IFREG | 0o644, 10, 100, 200, 300, 50, 0, 0, 1, -5)


def event(name: str) -> Event:
    return Event("create", name, 1)


def batches(outbox: Outbox, after: int = 0) -> list[Batch]:
    found = []
    while parcel := outbox.next(after):
        found.append(decode_batch(parcel.value))
        after = parcel.row
    return found
