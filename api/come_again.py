"""What whoever goes on with an event stream is told where it cannot be had now: to come again.

A browser's `EventSource` closes for good at any status but 200, and reconnects after a stream that ended.
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response

from api.accept import named
from api.errors import ApiError, Unavailable

EVENT_SOURCE = "text/event-source"
"""Qumulo's own, the default."""
EVENT_STREAM = "text/event-stream"
_RETRY_MS = 3_000


def wants_event_stream(headers: Mapping[str, str]) -> bool:
    """Tell whether a client asks for `text/event-stream` by name; a wildcard is no such wish."""
    accept = headers.get("accept", "")
    liked = named(accept, EVENT_STREAM)
    return liked > 0 and liked >= named(accept, EVENT_SOURCE)


def come_again(headers: Mapping[str, str], error: ApiError) -> Response | None:
    """Return the answer to one who was granted the stream before, None where the error is to be told.

    `headers` are the request's: `Last-Event-ID` is sent by those alone to whom a stream gave one.
    """
    begun = wants_event_stream(headers) and "last-event-id" in headers
    if not begun or not isinstance(error, Unavailable):
        return None
    told = {"content-type": EVENT_STREAM, "cache-control": "no-store"}
    return Response(f"retry: {_RETRY_MS}\n: {error.message}\n\n", headers=told)
