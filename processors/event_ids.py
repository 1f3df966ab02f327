"""The ids that clients gave to HTTP events: one that comes again is a repeat, with other content a conflict.

Ids are remembered for a while and up to a number; past either, a repeat is a new event. Pure, and clocked by
the broker's timestamps, so that deciding again gives the same decision.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Literal

import msgspec

Verdict = Literal["inserted", "repeated", "conflict"]


class Known(msgspec.Struct, frozen=True, array_like=True):
    """What an id stood for when it was first seen: the digest of its content, and when the broker took it."""

    content: str
    received_ms: int


def digest(project: str, event_id: str) -> str:
    """Return what an id is remembered under: 32 hex digits, whatever its length."""
    return blake2b(f"{project}\0{event_id}".encode(), digest_size=16).hexdigest()


def content_digest(content: str) -> str:
    """Return what a content digest of a client's event is remembered as: 32 hex digits."""
    return blake2b(content.encode(), digest_size=16).hexdigest()


def decide(known: Known | None, content: str, received_ms: int, horizon_ms: int) -> Verdict:
    """Decide on an event whose id is known, or not; an id older than the horizon is as good as unknown."""
    if known is None or received_ms - known.received_ms > horizon_ms:
        return "inserted"
    return "repeated" if known.content == content else "conflict"
