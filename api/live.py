"""The hub of one api process: normalised records, as they are written, to everybody who is interested.

In flow the partitions that somebody subscribes to, each read once; out flows to every subscriber, in order
and from where it asked, what concerns its interests. A subscriber that does not keep up is cut off
(SlowSubscriber) and delays nobody; its position lets it go on, here or in another process.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from agent.kafka import KafkaSettings, partition_of
from api.errors import Unavailable
from api.live_feed import Feed
from api.live_index import Interest
from api.live_position import Mark, Position
from api.live_subscription import Delivery, Seat, SlowSubscriber, Subscription

__all__ = ["Delivery", "Hub", "Interest", "Position", "SlowSubscriber", "Subscription"]


_log = structlog.get_logger()
_CATCH_UP_S = 5.0


class Hub:
    """Made once, in `app.py`; closed after everybody who subscribes."""

    def __init__(self, kafka: KafkaSettings, *, queue_records: int = 1_000) -> None:
        self._kafka = kafka
        self._queue_records = queue_records
        self._feeds: dict[tuple[str, int], Feed] = {}
        self._partitions: dict[str, int] = {}
        self.subscriptions: set[Subscription] = set()
        """All that are open."""

    @asynccontextmanager
    async def subscribe(
        self, *interests: Interest, after: Position | None = None
    ) -> AsyncIterator[Subscription]:
        """Subscribe until the block ends, from now on or right behind a position.

        Whatever is written once this is entered is delivered. Unavailable (503): the broker does not answer.
        """
        subscription = Subscription(self._queue_records)
        self.subscriptions.add(subscription)
        try:
            for interest in interests:
                await self.add(subscription, interest, after=after)
            yield subscription
        finally:
            self.subscriptions.discard(subscription)
            subscription.close()

    async def add(
        self, subscription: Subscription, interest: Interest, *, after: Position | None = None
    ) -> None:
        """Let a subscription have one interest more: what is written from then on is delivered."""
        subscription.vocabulary = subscription.vocabulary or interest.vocabulary
        if subscription.vocabulary != interest.vocabulary:
            raise ValueError(f"a subscription of {subscription.vocabulary} takes no {interest.vocabulary}")
        try:
            async with subscription.joining:
                for partition in await self._of(interest):
                    await self._seat(subscription, interest, partition, _mark(after, interest, partition))
        except (KafkaError, OSError) as error:
            _log.warning("a topic cannot be followed", vocabulary=interest.vocabulary, error=repr(error))
            raise Unavailable("the broker is not reachable", code="broker_unavailable") from None

    async def remove(self, subscription: Subscription, interest: Interest) -> None:
        """Take an interest from a subscription: nothing that is not queued yet comes for it."""
        for partition in await self._of(interest):
            seat = subscription.seats.get(partition)
            if seat is None:
                continue
            seat.remove(interest)
            if not seat.interests:
                del subscription.seats[partition]
                seat.feed.leave(seat)

    async def caught_up(self, subscription: Subscription) -> None:
        """Wait until all that is written by now has been offered to a subscription, or the broker is away."""
        readers = {seat.reader for seat in subscription.seats.values() if seat.reader is not None}
        with contextlib.suppress(KafkaError, TimeoutError):
            async with asyncio.timeout(_CATCH_UP_S):
                await asyncio.gather(*(reader.caught_up() for reader in readers))

    def end(self) -> None:
        """Close every subscription: the process is about to stop."""
        for subscription in list(self.subscriptions):
            subscription.close()

    async def close(self) -> None:
        """Stop reading."""
        self.end()
        await asyncio.gather(*(feed.close() for feed in self._feeds.values()))

    @property
    def followed(self) -> int:
        """Return how many partitions are read now."""
        return sum(feed.followed for feed in self._feeds.values())

    async def _seat(
        self, subscription: Subscription, interest: Interest, partition: int, mark: Mark | None
    ) -> None:
        seat = subscription.seats.get(partition)
        if seat is not None:
            seat.add(interest)
            return
        feed = self._feed(interest.vocabulary, partition)
        seat = Seat(subscription, feed)
        seat.add(interest)
        await feed.join(seat, mark)
        subscription.seats[partition] = seat
        subscription.begin(partition, seat.mark)
        if subscription.closed:
            subscription.leave()

    def _feed(self, vocabulary: str, partition: int) -> Feed:
        feed = self._feeds.get((vocabulary, partition))
        if feed is None:
            feed = self._feeds[vocabulary, partition] = Feed(
                self._kafka, vocabulary, partition, at_once=max(1, self._queue_records // 4)
            )
        return feed

    async def _of(self, interest: Interest) -> list[int]:
        count = self._partitions.get(interest.vocabulary)
        if count is None:
            count = self._partitions[interest.vocabulary] = await _count(self._kafka, interest.vocabulary)
        if interest.project is None:
            return list(range(count))
        return [partition_of(interest.project, count)]


def _mark(after: Position | None, interest: Interest, partition: int) -> Mark | None:
    if after is None or after.vocabulary != interest.vocabulary:
        return None
    return after.marks.get(partition, after.otherwise)


async def _count(kafka: KafkaSettings, vocabulary: str) -> int:
    admin = AIOKafkaAdminClient(**kafka.client())
    try:
        await admin.start()
        found = await admin.describe_topics([kafka.topic(vocabulary)])
        count = len(found[0]["partitions"])
    finally:
        await admin.close()
    if not count:
        raise KafkaError(f"{kafka.topic(vocabulary)}: no such topic; `fswire topics apply` makes it")
    return count
