"""Prints raw events as JSON lines in place of publishing them."""

from __future__ import annotations

import sys

import msgspec


class _Events(msgspec.Struct):
    events: list[msgspec.Raw]


_decode = msgspec.json.Decoder(_Events).decode


async def send(batch: bytes) -> None:
    """Print the events of an encoded batch, one a line; a heartbeat prints nothing."""
    lines = [bytes(event) + b"\n" for event in _decode(batch).events]
    if lines:
        sys.stdout.buffer.write(b"".join(lines))
        sys.stdout.buffer.flush()
