"""Who reads a partition for whom: a seat is served by one reader at any time."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

from agent.kafka import KafkaSettings
from api import live_feed
from api.live import Interest, Subscription
from api.live_feed import Feed
from api.live_position import Mark
from api.live_reader import Reader
from api.live_subscription import Seat
from processors import topics

EVERYTHING = Interest(topics.NOTIFY, None, b"/", recursive=True)
END = 100


class Gated(Reader):
    """A reader without a broker: what it waits for comes when the test says so."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.opens, self.polled = asyncio.Event(), asyncio.Event()
        self.refused = False

    async def open(self) -> tuple[int, int]:
        """Connect, when the test lets it, or not."""
        await self.opens.wait()
        if self.refused:
            raise KafkaConnectionError
        return 0, END if self._patient else 0

    def go_to(self, mark: Mark) -> None:
        """Read on from a mark."""
        self.mark = mark

    async def poll(self) -> None:
        """Find nothing, when the test lets it."""
        await self.polled.wait()


class GatedFeed(Feed):
    """A feed that keeps the readers it makes; the first, the live one, connects at once."""

    def __init__(self) -> None:
        super().__init__(KafkaSettings(), topics.NOTIFY, 0, at_once=1)
        self.readers: list[Gated] = []

    def _reader(self, *, patient: bool) -> Reader:
        reader = Gated(self._kafka, self._vocabulary, self.partition, at_once=1, patient=patient)
        self.readers.append(reader)
        if not patient:
            reader.opens.set()
        return reader


def test_seat_that_is_awaited_is_taken_by_no_other_reader() -> None:
    """It left the reader of the past that took it first, whose end says nothing of the one that awaits it."""

    async def run() -> None:
        feed = GatedFeed()
        seat = Seat(Subscription(10), feed)
        seat.interests.add(EVERYTHING)
        await feed.join(seat, Mark(5))
        first = await made(feed, 2)
        first.opens.set()
        await settled()
        assert seat.reader is first
        first.unseat(seat)  # as where its queue is full
        feed.wait(seat)
        second = await made(feed, 3)
        first.polled.set()
        await settled()

        feed.wait(seat)  # its subscriber took something of another partition
        await settled()
        second.opens.set()
        await settled()

        assert len(feed.readers) == 3
        assert [reader for reader in feed.readers if seat in reader.seats] == [second]
        feed.leave(seat)
        second.polled.set()
        await feed.close()

    asyncio.run(run())


def test_seat_is_served_by_the_next_where_a_reader_cannot_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is awaited until the back-off is over, whatever its subscriber does; then once by another."""
    over = asyncio.Event()
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await over.wait()

    monkeypatch.setattr(live_feed, "asyncio", SimpleNamespace(**vars(asyncio) | {"sleep": sleep}))

    async def run() -> None:
        feed = GatedFeed()
        seat = Seat(Subscription(10), feed)
        await feed.join(seat, Mark(5))
        first = await made(feed, 2)
        first.refused = True
        first.opens.set()
        await settled()

        feed.wait(seat)
        await settled()
        assert len(feed.readers) == 2
        assert slept == [live_feed._BACK_OFF_S]
        over.set()
        second = await made(feed, 3)
        second.opens.set()
        await settled()

        assert seat.reader is second
        feed.leave(seat)
        second.polled.set()
        await feed.close()

    asyncio.run(run())


async def made(feed: GatedFeed, count: int) -> Gated:
    """Return the newest reader once there are so many."""
    await settled()
    assert len(feed.readers) == count
    return feed.readers[-1]


async def settled() -> None:
    """Let everybody have some turns."""
    for _ in range(10):
        await asyncio.sleep(0)
