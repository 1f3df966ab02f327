"""Parts of an answer that are written without a turn of the event loop: an extension of ASGI of our own.

`send` is awaited, so whoever is told of something needs a task that is woken for it. Thousands of streams
that are told of the same record would need thousands of turns; this is a call for each.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

Write = Callable[[bytes], bool]
"""Writes a part of a body that goes in chunks; False, and nothing is done, while the client takes none."""
_NAME = "fswire.at_once"


def extension(cycle: RequestResponseCycle) -> dict[str, RequestResponseCycle]:
    """Return what a request's scope has as `extensions`; every request has it, few make use of it."""
    return {_NAME: cycle}


def writer(scope: Scope) -> Write | None:
    """Return how parts are written at once, None where the server cannot."""
    cycle: RequestResponseCycle | None = scope.get("extensions", {}).get(_NAME)
    return None if cycle is None else partial(_write, cycle)


def _write(cycle: RequestResponseCycle, part: bytes) -> bool:
    if cycle.flow.write_paused or cycle.disconnected:
        return False
    cycle.transport.write(b"%x\r\n%b\r\n" % (len(part), part))
    return True
