"""A place in a project's history, as an opaque text: the last event that a reader has seen.

A place and not an offset: it costs the same at any depth, and rows that arrive meanwhile move nothing. It
holds nothing secret; its digest binds it to one project and one set of filters, so that a damaged or a
misplaced cursor is refused rather than read as another place.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from typing import NamedTuple

_HEAD = struct.Struct(">Bq")
_VERSION = 1
_DIGEST_BYTES = 8
MAX_CHARS = 2_048


class Place(NamedTuple):
    """Sort key of the last row of a page: Unix time in microseconds, and event id."""

    occurred_us: int
    event_id: str


def encode(place: Place, scope: bytes) -> str:
    """Return the cursor of a place; `scope` stands for the project and the filters of the query."""
    payload = _HEAD.pack(_VERSION, place.occurred_us) + place.event_id.encode()
    return base64.urlsafe_b64encode(payload + _digest(payload, scope)).decode().rstrip("=")


def decode(text: str, scope: bytes) -> Place:
    """Return the place of a cursor; ValueError, for people to read, if it was not made for this query."""
    try:
        raw = base64.b64decode(text[:MAX_CHARS] + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        payload, digest = raw[:-_DIGEST_BYTES], raw[-_DIGEST_BYTES:]
        version, occurred_us = _HEAD.unpack_from(payload)
        event_id = payload[_HEAD.size :].decode()
    except (binascii.Error, struct.error, ValueError):
        raise ValueError("is not a cursor of this api") from None
    place = Place(occurred_us, event_id)
    if version != _VERSION or digest != _digest(payload, scope) or encode(place, scope) != text:
        raise ValueError("is not a cursor of this query")
    return place


def _digest(payload: bytes, scope: bytes) -> bytes:
    return hashlib.blake2b(payload, digest_size=_DIGEST_BYTES, key=hashlib.sha256(scope).digest()).digest()
