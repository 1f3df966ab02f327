"""What all requests together may hold, and how long a body may take: middleware around every route."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import BodyTimeout, Unavailable, answer


class Bounds:
    """Refuses with 503 what would be too much at one time, and with 408 a body that does not come."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        max_requests: int,
        max_held_bytes: int,
        max_body_bytes: int,
        body_timeout_s: float,
    ) -> None:
        """`max_body_bytes`: more of one body no route keeps; what it reads beyond that it throws away."""
        self._app = app
        self._max_requests = max_requests
        self._max_held_bytes = max_held_bytes
        self.max_body_bytes = max_body_bytes
        self.body_timeout_s = body_timeout_s
        self._requests = 0
        self._held_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._requests >= self._max_requests:
            await answer(_overloaded("too many requests at one time"))(scope, receive, send)
            return
        body = _Body(self, receive)
        self._requests += 1
        try:
            await self._app(scope, body.receive, send)
        finally:
            self._requests -= 1
            self._held_bytes -= body.held_bytes

    def hold(self, size_bytes: int) -> None:
        """Count bytes of a body until its request ends; Unavailable if all bodies together are too much."""
        self._held_bytes += size_bytes
        if self._held_bytes > self._max_held_bytes:
            raise _overloaded("too many bodies at one time")


class _Body:
    """The body of one request on its way in."""

    def __init__(self, bounds: Bounds, receive: Receive) -> None:
        self._bounds = bounds
        self._receive = receive
        self._ends_s = asyncio.get_running_loop().time() + bounds.body_timeout_s
        self._complete = False
        self.held_bytes = 0

    async def receive(self) -> Message:
        """Return the next message; once the body is there it may take as long as it likes."""
        if self._complete:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._ends_s):
                message = await self._receive()
        except TimeoutError:
            self._complete = True
            raise BodyTimeout(f"the body must come within {self._bounds.body_timeout_s:g} s") from None
        self._complete = not message.get("more_body", False)
        arrived = min(len(message.get("body", b"")), self._bounds.max_body_bytes - self.held_bytes)
        self.held_bytes += arrived
        self._bounds.hold(arrived)
        return message


def _overloaded(message: str) -> Unavailable:
    return Unavailable(message, code="overloaded")
