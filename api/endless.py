"""Answers without an end: begun inside of what counts, bounds and audits requests, gone on with outside.

Every layer around a route is paid by each part of an answer, and held by each answer that is open: thousands
of streams that are told of everything would feel both.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.types import ASGIApp, Receive, Scope, Send

Rest = Callable[[Send], Awaitable[None]]
"""Sends the rest of an answer, of which the beginning was sent already."""
_RESTS = "fswire.rests"


class Endless:
    """Middleware around all others: lets answers go on that were only begun."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, then let its answer go on."""
        rests: list[Rest] = []
        scope[_RESTS] = rests
        await self._app(scope, receive, send)
        for rest in rests:
            await rest(send)


async def go_on(scope: Scope, send: Send, rest: Rest) -> None:
    """Leave the rest of an answer to `Endless`; without it around, send it at once."""
    rests: list[Rest] | None = scope.get(_RESTS)
    if rests is None:
        await rest(send)
    else:
        rests.append(rest)
