"""The body of a request, decoded as it comes in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

from deploy import store_codecs
from deploy.store_request import Request

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

CHUNK_BYTES = 1024 * 1024
"""Smaller chunks are joined before the engine gets them: each hand-over has its price."""


class ClientGone(Exception):
    """The client hung up before its request was complete."""


async def chunks(request: Request, receive: Receive) -> AsyncIterator[bytes]:
    """Yield the decoded body in chunks of about CHUNK_BYTES."""
    decoders = [
        store_codecs.decoder(request.headers.get("content-encoding", "")),
        store_codecs.BlockDecoder() if request.flag("decompress") else None,
    ]
    steps = [decoder for decoder in decoders if decoder is not None]
    held: list[bytes] = []
    size = 0
    async for raw in _raw(receive):
        for step in steps:
            raw = step.decode(raw)
        held.append(raw)
        size += len(raw)
        if size >= CHUNK_BYTES:
            yield b"".join(held)
            held, size = [], 0
    for index, step in enumerate(steps):
        rest = step.finish()
        for later in steps[index + 1 :]:
            rest = later.decode(rest)
        held.append(rest)
    if any(held):
        yield b"".join(held)


async def _raw(receive: Receive) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        more = message.get("more_body", False)
        yield message.get("body", b"")
