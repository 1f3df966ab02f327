"""Clients that go away, or do not take their answer, while the database works for them: both end the work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

T = TypeVar("T")

SEND_TIMEOUT_S = 60.0
"""For each part of an answer: a client that takes none for so long is given up."""


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """Await work for a client whose body has been read; ClientDisconnect, work cancelled, if it hangs up."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_gone(receive))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        for each in (working, leaving):
            each.cancel()
        await asyncio.wait((working, leaving))


class Stream(StreamingResponse):
    """Streams chunks; `end` is awaited when the last has been taken, or the client was given up."""

    def __init__(
        self,
        chunks: AsyncIterator[bytes],
        *,
        end: Callable[[], Awaitable[None]] | None = None,
        send_timeout_s: float = SEND_TIMEOUT_S,
        **response: Any,
    ) -> None:
        super().__init__(chunks, **response)
        self._end = end
        self._send_timeout_s = send_timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request. What fails on the way is cut off: the client misses the end of its body."""

        async def timely(message: Message) -> None:
            try:
                async with asyncio.timeout(self._send_timeout_s):
                    await send(message)
            except TimeoutError:
                raise ClientDisconnect from None

        try:
            await super().__call__(scope, receive, timely)
        except ClientDisconnect:
            return
        finally:
            if self._end is not None:
                await self._end()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
