"""One change-notify stream: what a watch sees, written as server-sent events until either side ends it.

Two forms of the same: `text/event-source` for Qumulo's clients (comments and `data:` alone, one write per
event), `text/event-stream` for everybody else's (`id:` lines, `event: gap`).
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

import msgspec
from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send

from api import at_once
from api.at_once import Write
from api.come_again import EVENT_SOURCE, EVENT_STREAM, come_again
from api.endless import go_on
from api.errors import ApiError
from api.live import Delivery, Hub, Interest, Position, SlowSubscriber, Subscription
from api.live_position import Mark
from api.notify_view import Gap, Seen, Watch, seen
from api.qumulo_errors import answer
from processors import topics

_AT_ONCE = 256
_MOST_BYTES = 64 * 1024
"""Of the notifications that are put into one list because they wait together."""
_OLDEST = Mark(-1)
"""Below all that is held: told like what has expired."""
_UNKNOWN = Position(topics.NOTIFY, {}, otherwise=_OLDEST)
_LINES = str.maketrans({"\n": "\\n", "\r": "\\r"})
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class Terms:
    """What a stream was agreed to be."""

    watch: Watch
    interests: tuple[Interest, ...]
    named: str
    """The directory as the request named it, empty for a file id: an id says another name only."""
    with_ids: bool
    """`text/event-stream`."""
    after: Position | None
    keep_alive_s: float
    may_see: Callable[[str], bool]
    """Tells whether the key reaches a project at this moment."""
    counts: Callable[[], bool]
    """Tells whether the key may go on watching."""
    when_cut: Callable[[], None]


class Stream:
    """The answer to one request: an ASGI application."""

    def __init__(self, hub: Hub, terms: Terms) -> None:
        self._hub = hub
        self._terms = terms
        self._watch = terms.watch
        self._marks: dict[int, Mark] = {}
        self._ended = False
        """The directory is gone: whoever comes again with the id means what is there by then."""
        self._beat: asyncio.TimerHandle | None = None
        self._beat_is_due = False
        self._write: Write | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the stream, or with a refusal where it cannot begin."""
        async with AsyncExitStack() as until_begun:
            try:
                subscription = await until_begun.enter_async_context(
                    self._hub.subscribe(*self._terms.interests, after=self._terms.after)
                )
            except ApiError as error:
                refusal = come_again(Headers(scope=scope), error) or answer(error)
                await refusal(scope, receive, send)
                return
            subscription.when_cut = self._terms.when_cut
            await self._begin(subscription, send)
            until_end = until_begun.pop_all()

        async def rest(send: Send) -> None:
            async with until_end:
                self._write = at_once.writer(scope)
                subscription.at_once = self._told_at_once
                await self._go_on(subscription, receive, send)

        await go_on(scope, send, rest)

    async def _begin(self, subscription: Subscription, send: Send) -> None:
        kind = EVENT_STREAM if self._terms.with_ids else EVENT_SOURCE
        headers = Headers({"content-type": kind, "cache-control": "no-store", "x-accel-buffering": "no"})
        await send({"type": "http.response.start", "status": 200, "headers": headers.raw})
        self._marks = dict(subscription.marks)
        await send(_chunk(self._comment("watching")))

    async def _go_on(self, subscription: Subscription, receive: Receive, send: Send) -> None:
        leaving = asyncio.create_task(_until_left(receive, subscription))
        self._let_beat(subscription)
        try:
            await self._follow(subscription, send)
        except SlowSubscriber:
            await send(_chunk(b": overrun: this client does not keep up, list again\n\n"))
        finally:
            leaving.cancel()
            if self._beat is not None:
                self._beat.cancel()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _let_beat(self, subscription: Subscription) -> None:
        def beat() -> None:
            self._beat_is_due = True
            subscription.nudge()
            self._let_beat(subscription)

        self._beat = asyncio.get_running_loop().call_later(self._terms.keep_alive_s, beat)

    async def _follow(self, subscription: Subscription, send: Send) -> None:
        goes_on = True
        while goes_on:
            deliveries = await subscription.take(_AT_ONCE)
            goes_on = await self._tell(deliveries, send) and (bool(deliveries) or not subscription.closed)
            if goes_on and self._beat_is_due:
                self._beat_is_due = False
                self._marks |= subscription.position.marks
                await send(_chunk(self._comment("keepalive")))
                goes_on = self._terms.counts()

    def _told_at_once(self, delivery: Delivery) -> bool:
        """Write what a delivery holds without a turn of this stream's task; False: that is the task's."""
        if self._write is None or self._beat_is_due:
            return False
        try:
            told = self._seen(delivery)
        except Exception:  # noqa: BLE001  it is this stream's alone: its task meets it again
            return False
        if told.gap is not None or told.removed:
            return False
        self._marks[delivery.partition] = delivery.mark
        return not told.notifications or self._write(self._data([told.notifications]))

    async def _tell(self, deliveries: Sequence[Delivery], send: Send) -> bool:
        """Write what deliveries hold for this watch; False where nothing can follow."""
        waiting: list[bytes] = []
        for delivery in deliveries:
            told = self._seen(delivery)
            if told.gap is not None:
                await self._flush(waiting, send)
            self._marks[delivery.partition] = delivery.mark
            if told.gap is not None:
                await send(_chunk(self._gap(told.gap)))
            self._ended = told.removed
            if told.notifications:
                waiting.append(told.notifications)
            if told.removed or sum(map(len, waiting)) > _MOST_BYTES:
                await self._flush(waiting, send)
            if told.removed:
                await self._end(told, send)
                return False
        await self._flush(waiting, send)
        return True

    async def _end(self, told: Seen, send: Send) -> None:
        """Let a client whose filter leaves `self_removed` out know by its id that nothing follows."""
        if self._terms.with_ids and not told.notifications:
            await send(_chunk(self._id() + b"\n"))

    def _seen(self, delivery: Delivery) -> Seen:
        if delivery.record is None:
            return Seen(gap=Gap("expired"))
        if not self._terms.may_see(delivery.record.project):
            return Seen()
        told = seen(delivery.record, self._watch)
        if told.directory is not None:
            self._watch = msgspec.structs.replace(self._watch, directory=told.directory)
        return told

    async def _flush(self, waiting: list[bytes], send: Send) -> None:
        if waiting:
            await send(_chunk(self._data(waiting)))
            waiting.clear()

    def _data(self, notifications: Sequence[bytes]) -> bytes:
        return b"%bdata: [%b]\n\n" % (self._id(), b",".join(notifications))

    def _comment(self, text: str) -> bytes:
        return b": %b\n%b\n" % (text.encode(), self._id())

    def _gap(self, gap: Gap) -> bytes:
        if self._terms.with_ids:
            return b"%bevent: gap\ndata: %b\n\n" % (self._id(), _encode(gap))
        return b": gap %b %b\n\n" % (gap.why.encode(), gap.path.translate(_LINES).encode())

    def _id(self) -> bytes:
        if not self._terms.with_ids:
            return b""
        text = Position(topics.NOTIFY, self._marks).encode()
        if self._ended:
            text += "."
        elif self._watch.directory != self._terms.named:
            text += "." + base64.urlsafe_b64encode(self._watch.directory.encode()).rstrip(b"=").decode()
        return b"id: %b\n" % text.encode()


def resumed(last_event_id: str, named: str) -> tuple[Position, str]:
    """Read an id: where to go on, and the directory's name at that point, empty where the id knows of none.

    What is no id of ours, or none of this topic or partition, is answered like one that has expired: from
    the oldest that is held. `named`: the directory as the request has it, empty for a file id.
    """
    text, dot, path = last_event_id.partition(".")
    try:
        directory = base64.urlsafe_b64decode(path + "=" * (-len(path) % 4)).decode() if dot else named
        position = Position.decode(text)
    except ValueError:
        return _UNKNOWN, ""
    if position.vocabulary != topics.NOTIFY:
        return _UNKNOWN, ""
    return Position(topics.NOTIFY, position.marks, otherwise=_OLDEST), directory


async def _until_left(receive: Receive, subscription: Subscription) -> None:
    message: Message = await receive()
    while message["type"] != "http.disconnect":
        message = await receive()
    subscription.close()


def _chunk(body: bytes) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": True}
