"""Rows of a project's history as they arrive: an event stream of table rows, rendered as the page's own.

What is let through is what the history's filters let through. A reader whose session ends is not served on.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from api.come_again import EVENT_STREAM, come_again
from api.errors import ApiError, BadRequest, Unavailable
from api.history_query import Filters
from api.live import Delivery, Hub, Interest, Position, SlowSubscriber, Subscription
from api.live_position import Mark
from api.pages import event_row, project_query
from api.pages.event_row import EventRow
from api.pages.parts import Parts
from api.pages.session import SignInNeeded
from api.query_string import parameters
from api.timestamps import parse_us
from processors import topics

QUIET_S = 15.0
"""After this long without a row a comment keeps the connection, and the session is looked at again."""
PACE_S = 0.2
"""Rows of so long are sent together."""
MOST_ROWS = 100
"""Of those; what came before them is only counted."""
AFTER = "after"
"""Parameter: the position that a page was made at."""
_NEWEST = """
SELECT kafka_partition, max(kafka_offset) AS offset FROM events
WHERE project_id = {project:String} AND occurred >= now64(6, 'UTC') - INTERVAL 10 MINUTE
GROUP BY kafka_topic, kafka_partition ORDER BY max(received) DESC LIMIT 1
"""
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class _Newest(msgspec.Struct):
    kafka_partition: int
    offset: int


class LiveRows:
    """Answers with streams, each a subscription of the hub."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._hub: Hub = parts.hub

    async def get(self, request: Request) -> Response:
        """Answer a request: the history's filters, and `Last-Event-ID` of a browser that comes again."""
        try:
            return await self._stream(request)
        except Unavailable as error:
            if (answer := come_again(request.headers, error)) is None:
                raise
            return answer

    async def _stream(self, request: Request) -> Response:
        project: str = request.path_params["project"]
        await self._parts.sessions.reader(request, project=project)
        asked = project_query.read(parameters(request.scope["query_string"], project), project)
        if asked.query is None:
            raise BadRequest("these filters cannot be used")
        interest = Interest(topics.DONUTWORK, project, b"/" + project.encode())
        open_until_sent = AsyncExitStack()
        subscription = await open_until_sent.enter_async_context(
            self._hub.subscribe(interest, after=_after(request))
        )
        rows = self._rows(request, project, subscription, asked.query.filters, open_until_sent)
        return StreamingResponse(rows, media_type=EVENT_STREAM, headers=_HEADERS)

    async def _rows(
        self,
        request: Request,
        project: str,
        subscription: Subscription,
        filters: Filters,
        open_until_sent: AsyncExitStack,
    ) -> AsyncIterator[str]:
        async with open_until_sent:
            yield "retry: 2000\n\n"
            while not subscription.closed:
                try:
                    deliveries = await _next(subscription)
                    await self._parts.sessions.reader(request, project=project)
                except (SlowSubscriber, SignInNeeded, ApiError):
                    return
                yield self._event(deliveries, filters) + f"id: {subscription.position.encode()}\n\n"

    def _event(self, deliveries: Iterable[Delivery], filters: Filters) -> str:
        rows = [row for row in map(_row, deliveries) if row is not None and lets_through(filters, row)]
        if not rows:
            return ": nothing new\n"
        html = self._parts.site.part("arrived.html", rows=rows[-MOST_ROWS:])
        lines = [f"data: {line}" for line in [str(len(rows)), *html.splitlines()]]
        return "event: rows\n" + "\n".join(lines) + "\n"


def lets_through(filters: Filters, row: EventRow) -> bool:
    """Tell whether the history with these filters would show a row; each as `api.history` has it in SQL."""
    at_us = parse_us(row.timestamp_utc)
    return (
        (filters.event is None or row.event == filters.event)
        and (filters.host is None or row.host == filters.host)
        and (filters.sha256 is None or row.sha256 == filters.sha256)
        and (filters.from_us is None or at_us >= filters.from_us)
        and (filters.to_us is None or at_us < filters.to_us)
        and (
            filters.path_like is None
            or filters.path_like in row.filename
            or filters.path_like in row.renamed_to
        )
    )


async def _next(subscription: Subscription) -> list[Delivery]:
    """Return what comes within a moment after the first; nothing after a while of silence."""
    try:
        async with asyncio.timeout(QUIET_S):
            first = await subscription.take()
    except TimeoutError:
        return []
    await asyncio.sleep(PACE_S)
    subscription.nudge()
    return first + await subscription.take()


def _row(delivery: Delivery) -> EventRow | None:
    try:
        return event_row.of_record(delivery.value) if delivery.value else None
    except msgspec.MsgspecError:
        return None


async def newest(parts: Parts, project: str) -> Position | None:
    """Return the position behind what the database has of a project: rows from there on are new to a page.

    What came in late, from long ago, is not looked at: a few known rows may come again, and are recognised.
    """
    found = await parts.rows(_NEWEST, {"project": project}, _Newest)
    return (
        Position(topics.DONUTWORK, {row.kafka_partition: Mark(row.offset + 1) for row in found})
        if found
        else None
    )


def _after(request: Request) -> Position | None:
    """Return where a browser was when its connection broke, else where its page ends."""
    given = request.headers.get("last-event-id") or request.query_params.get(AFTER, "")
    try:
        return Position.decode(given) if given else None
    except ValueError:
        return None


def routes(parts: Parts) -> list[Route]:
    """Return the routes of this module."""
    return [Route("/projects/{project}/live", LiveRows(parts).get, methods=["GET"])]
