"""One subscriber's side of the hub: a bounded queue of what it is interested in, and where it stands.

A reader offers, the subscriber takes; neither waits for the other. Whoever does not keep up with the present
is cut off; what is read from the past for a resumed one waits until there is room again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from api.live_index import Interest
from api.live_position import Mark, Position
from api.live_record import Record

if TYPE_CHECKING:
    from api.live_feed import Feed
    from api.live_reader import Reader


class SlowSubscriber(Exception):
    """The subscription was cut off: its queue was full. What was queued before that was delivered."""


class Delivery(NamedTuple):
    """What a subscriber gets: a record and those of its interests that it concerns.

    Without a record: what the position names is no longer held (or never was); the oldest that is follows.
    """

    record: Record | None
    interests: tuple[Interest, ...]
    partition: int
    mark: Mark
    """Right behind it in its partition."""

    @property
    def expired(self) -> bool:
        """Tell whether records between the last delivery and the next are no longer held."""
        return self.record is None

    @property
    def value(self) -> bytes:
        """Return the record's value, as it is on the topic."""
        return self.record.value if self.record is not None else b""

    @property
    def headers(self) -> Mapping[str, bytes]:
        """Return the record's headers: `event_id`, `src`, `agent`, `time_ns`, …"""
        return self.record.headers if self.record is not None else {}

    @property
    def project(self) -> str:
        """Return the project that the record belongs to."""
        return self.record.project if self.record is not None else ""


class Seat:
    """A subscription's place in one partition: what it wants there, and up to where it has been served."""

    __slots__ = ("feed", "interests", "mark", "reader", "subscription")

    def __init__(self, subscription: Subscription, feed: Feed) -> None:
        self.subscription = subscription
        self.feed = feed
        self.interests: set[Interest] = set()
        self.mark = Mark(0)
        """Nothing at or below it is delivered again."""
        self.reader: Reader | None = None
        """Who serves it; None while it waits for one."""

    @property
    def reached(self) -> Mark:
        """Return the place up to which everything was offered."""
        return self.mark if self.reader is None else self.mark.later(self.reader.mark)

    def add(self, interest: Interest) -> None:
        """Want more, from what is read next on."""
        self.interests.add(interest)
        if self.reader is not None:
            self.reader.index.add(interest, self)

    def remove(self, interest: Interest) -> None:
        """Want less, at once."""
        self.interests.discard(interest)
        if self.reader is not None:
            self.reader.index.remove(interest, self)


class Subscription:
    """Everything that one subscriber is interested in, of one vocabulary. Made by `Hub.subscribe`."""

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._queue: deque[Delivery] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._nudged = False
        self.vocabulary: str | None = None
        self.seats: dict[int, Seat] = {}
        """By partition."""
        self.cut_off = False
        self.closed = False
        self.joining = asyncio.Lock()
        self.marks: dict[int, Mark] = {}
        """By partition, right behind what was taken from it."""
        self.when_cut: Callable[[], None] | None = None
        """Called at once; what is queued may take its time."""
        self.at_once: Callable[[Delivery], bool] | None = None
        """Called with a delivery while `take` waits for one, and spares it the turn; False: it is queued."""

    @property
    def crowded(self) -> bool:
        """Tell whether more than half of the queue is taken."""
        return len(self._queue) > self._bound // 2

    @property
    def position(self) -> Position:
        """Return where a later subscription goes on: behind what was taken, or did not concern this one."""
        if not self._queue:
            self.marks |= {partition: seat.reached for partition, seat in self.seats.items()}
        return Position(self.vocabulary or "", dict(self.marks))

    def begin(self, partition: int, mark: Mark) -> None:
        """Note where the subscription begins in a partition; the hub's call."""
        self.marks[partition] = mark

    def offer(self, delivery: Delivery) -> bool:
        """Hand a delivery over, or queue it; False where the queue is full. A reader's call."""
        if self._taken_at_once(delivery):
            return True
        if len(self._queue) >= self._bound:
            return False
        self.put(delivery)
        return True

    def _taken_at_once(self, delivery: Delivery) -> bool:
        waits = self._waiter is not None and not self._waiter.done()
        if not waits or self.at_once is None or not self.at_once(delivery):
            return False
        self.marks[delivery.partition] = delivery.mark
        return True

    def put(self, delivery: Delivery) -> None:
        """Put a delivery into the queue, be it full. A reader's call."""
        self._queue.append(delivery)
        self._wake()

    def cut(self) -> None:
        """Serve it no longer: it does not keep up. A reader's call."""
        self.cut_off = True
        self.leave()
        if self.when_cut is not None:
            self.when_cut()
        self._wake()

    def leave(self) -> None:
        """Give up every seat."""
        for seat in self.seats.values():
            seat.feed.leave(seat)
        self.seats = {}

    def close(self) -> None:
        """End it: whoever takes gets what is queued, and then the end."""
        self.closed = True
        self.leave()
        self._wake()

    def nudge(self) -> None:
        """Let `take` return now, be it with nothing."""
        self._nudged = True
        self._wake()

    async def take(self, limit: int | None = None) -> list[Delivery]:
        """Return what is queued, once there is something or a nudge; [] after the end as well.

        SlowSubscriber: it was cut off, and all before that was taken. One task at a time may wait.
        """
        while not (self._queue or self._nudged or self.cut_off or self.closed):
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        self._nudged = False
        if not self._queue and self.cut_off:
            raise SlowSubscriber("the subscriber does not keep up with what happens")
        taken = [self._queue.popleft() for _ in range(min(limit or self._bound, len(self._queue)))]
        for delivery in taken:
            self.marks[delivery.partition] = delivery.mark
        self._go_on()
        return taken

    async def __aiter__(self) -> AsyncIterator[Delivery]:
        """Yield deliveries until the subscription is closed; SlowSubscriber where it was cut off."""
        while not self.closed or self._queue:
            for delivery in await self.take(1):
                yield delivery

    def _go_on(self) -> None:
        for seat in self.seats.values():
            if seat.reader is None:
                seat.feed.wait(seat)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
