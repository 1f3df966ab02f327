"""What could not be taken, parked in `fswire.dead-letters`: why, where it stood, its bytes cut at 64 KiB.

Beside the letters stand marks, of the reason `replayed`: the letter at their position was tried again.
"""

from __future__ import annotations

from base64 import b64encode

import msgspec

from agent.event import Batch, Event, encode
from processors.decode import Refusal
from processors.instants import iso_of_ms

MAX_BYTES = 64 * 1024
MAX_DETAIL = 500
REPLAYED = "replayed"
"""Reason of a mark; its topic, partition and offset are the letter's own."""


class DeadLetter(msgspec.Struct, frozen=True, omit_defaults=True):
    """A record of `fswire.dead-letters`, keyed by `topic/partition`."""

    topic: str
    partition: int
    offset: int
    reason: str
    """One word, such as `not_json`."""
    detail: str
    """What was expected and what came, for people."""
    key_b64: str | None
    value_b64: str | None
    """The bytes, or of a batch that was refused in part, a batch of only what was refused."""
    truncated: bool
    """Bytes are missing; such a record cannot be replayed."""
    size: int
    """Length of the whole value."""
    received: str
    src: str | None = None
    """Of a normalised record: what its header `src` said."""


class Parked(msgspec.Struct, frozen=True):
    """A raw record, as far as a dead letter needs it."""

    topic: str
    partition: int
    offset: int
    received_ms: int
    key: bytes | None


_encode = msgspec.json.Encoder().encode


def key(record: Parked) -> bytes:
    """Return the key of a record's dead letters."""
    return f"{record.topic}/{record.partition}".encode()


def letter(record: Parked, value: bytes | None, refusal: Refusal, src: str | None = None) -> bytes:
    """Return the encoded dead letter of a record or of a part of it."""
    shown = value[:MAX_BYTES] if value is not None else None
    return _encode(
        DeadLetter(
            record.topic,
            record.partition,
            record.offset,
            refusal.reason,
            refusal.detail[:MAX_DETAIL],
            b64encode(record.key[:MAX_BYTES]).decode() if record.key is not None else None,
            b64encode(shown).decode() if shown is not None else None,
            value is not None and len(value) > MAX_BYTES,
            len(value) if value is not None else 0,
            iso_of_ms(record.received_ms),
            src,
        )
    )


def mark(tried: DeadLetter, topic: str, partition: int, offset: int, now_ms: int) -> bytes:
    """Return the record that marks a letter as replayed, which stands at that place of the dead letters."""
    place = {"topic": topic, "partition": partition, "offset": offset, "received": iso_of_ms(now_ms)}
    nothing = {"value_b64": None, "truncated": False, "size": 0, "src": None}
    said = {"reason": REPLAYED, "detail": f"parked as {tried.reason}, tried again"}
    return _encode(msgspec.structs.replace(tried, **place, **nothing, **said))


def pieces(batch: Batch) -> list[bytes]:
    """Return a batch as several, each small enough to be parked whole where its events allow that."""
    encoded = encode(batch)
    if len(encoded) <= MAX_BYTES or len(batch.events) < 2:
        return [encoded]
    half = len(batch.events) // 2
    return [
        *pieces(part(batch, 0, batch.events[:half])),
        *pieces(part(batch, half, batch.events[half:])),
    ]


def part(batch: Batch, index: int, events: list[Event]) -> Batch:
    """Return a batch of only these events, the first of which stood at `index`, numbered as they were."""
    return Batch(
        v=batch.v,
        project=batch.project,
        host=batch.host,
        sent_ns=batch.sent_ns,
        agent=batch.agent,
        epoch=batch.epoch,
        first_seq=batch.first_seq + index,
        events=events,
        previous=batch.previous if index == 0 else None,
    )
