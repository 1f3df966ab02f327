"""The hub where workers died more than once within a chunk: what is on the topic again is told once."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import msgspec
import pytest
from aiokafka import AIOKafkaProducer

from agent.kafka import KafkaSettings
from api.live import Delivery, Hub, Interest, Position, Subscription
from processors import topics
from tests.integration.normalizing import make_topic

pytestmark = pytest.mark.stack

PROJECT = "repeated"
EVERYTHING = Interest(topics.NOTIFY, None, b"/", recursive=True)
CHUNK = 2_000
AWAIT_S = 180


@pytest.fixture(name="own")
def own_topic(kafka: KafkaSettings) -> KafkaSettings:
    """Return settings with a notify topic of one partition."""
    own = kafka.model_copy(update={"topic_prefix": f"t{secrets.token_hex(4)}."})
    asyncio.run(make_topic(own, own.topic(topics.NOTIFY)))
    return own


def test_who_resumes_elsewhere_is_not_told_again(own: KafkaSettings) -> None:
    """The other process sees repeats alone at the topic's end; what was told before is not told by it."""

    async def run() -> tuple[list[int], list[int]]:
        async with hub(own) as here, hub(own) as there:
            async with here.subscribe(EVERYTHING) as subscription:
                await write(own, range(CHUNK))
                before = await told(subscription, CHUNK)
                position = subscription.position
            await die_twice(own)
            return before, await goes_on(own, there, position)

    before, after = asyncio.run(run())

    assert before == list(range(CHUNK))
    assert after == [CHUNK, CHUNK + 1]


def test_who_comes_is_told_of_nothing_that_was_there(own: KafkaSettings) -> None:
    """A subscriber begins behind all that is on the topic, though the worker still repeats it."""

    async def run() -> list[int]:
        async with hub(own) as there:
            await write(own, range(CHUNK))
            await die_twice(own)
            return await goes_on(own, there, None)

    assert asyncio.run(run()) == [CHUNK, CHUNK + 1]


async def die_twice(own: KafkaSettings) -> None:
    """Write what a worker does that dies in the same chunk once more, and begins it again."""
    await write(own, range(CHUNK * 3 // 4))
    await write(own, range(CHUNK // 2))


async def goes_on(own: KafkaSettings, there: Hub, position: Position | None) -> list[int]:
    """Subscribe, leave and come again while the worker ends its chunk, and goes on; return what was told."""
    half, middle = CHUNK // 2, CHUNK * 3 // 4
    given = []
    for numbers, news in ((range(half, middle), 0), (range(middle, CHUNK), 0), (range(CHUNK, CHUNK + 2), 2)):
        async with there.subscribe(EVERYTHING, after=position) as subscription:
            await write(own, numbers)
            # Who still awaits its reader is not caught up with anything: what must come is waited for.
            given += await told(subscription, news)
            await there.caught_up(subscription)
            subscription.nudge()
            given += src(await subscription.take())
            position = subscription.position
    return given


@asynccontextmanager
async def hub(own: KafkaSettings) -> AsyncIterator[Hub]:
    """Make the hub of an api process of its own."""
    made = Hub(own, queue_records=2 * CHUNK)
    try:
        yield made
    finally:
        await made.close()


async def told(subscription: Subscription, count: int) -> list[int]:
    """Return what a subscription is told, once it is so many records."""
    given: list[int] = []
    async with asyncio.timeout(AWAIT_S):
        while len(given) < count:
            given += src(await subscription.take())
    return given


def src(deliveries: Iterable[Delivery]) -> list[int]:
    """Return the raw offsets of deliveries."""
    return [each.mark.src.offset for each in deliveries]


async def write(own: KafkaSettings, numbers: Iterable[int]) -> None:
    """Append a record for each of these raw offsets."""
    value = msgspec.json.encode([{"type": "child_file_added", "path": f"/{PROJECT}/a", "spine": []}])
    async with AIOKafkaProducer(**own.client(), acks="all", linger_ms=5) as producer:
        sent = []
        for number in numbers:
            headers = [("src", b"%d.0.0" % number)]
            sent.append(
                await producer.send(own.topic(topics.NOTIFY), value, PROJECT.encode(), headers=headers)
            )
        await asyncio.gather(*sent)
