"""A producer that only the newest owner of a partition can use: the broker refuses what others still send.

A worker that was frozen in the middle of a write ends it when it goes on, behind what its successor wrote: in
a compacted topic that would be the value that stays.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, ProducerClosed

from agent.kafka import KafkaSettings
from processors import producers
from processors.producers import Connect, abandon

_RENEW_S = 86_400.0
"""A broker forgets an epoch that nobody asked for within `transactional.id.expiration.ms`, 7 days."""


class Fenced:
    """Connected by `claim`, used through `writing`.

    `announce` appends a record to each partition that is written here, so that the broker learns of the new
    epoch; `prove` returns only while the partition is this worker's, or raises SessionLost.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        name: str,
        announce: Callable[[AIOKafkaProducer], Awaitable[None]],
        prove: Callable[[], Awaitable[None]],
        connect: Connect = producers.connect,
    ) -> None:
        self._kafka = kafka
        self._connect = connect
        self._name = name
        self._announce = announce
        self._prove = prove
        self._producer: AIOKafkaProducer | None = None
        self._claimed = 0.0
        self._claiming = asyncio.Lock()
        self._closed = False

    async def claim(self) -> None:
        """Fence all earlier owners. Raises KafkaError."""
        await self._drop()
        producer = await self._connect(self._kafka, self._name)
        try:
            await self._announce(producer)
            if self._closed:
                raise ProducerClosed
        except BaseException:
            await abandon(producer)
            raise
        self._producer, self._claimed = producer, time.monotonic()

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AIOKafkaProducer]:
        """Lend the producer, which is claimed anew where a write failed. Raises KafkaError, SessionLost."""
        producer = await self._owned()
        try:
            yield producer
        except KafkaError:
            if self._producer is producer:
                await self._drop()
            raise

    async def close(self) -> None:
        """Disconnect for good; what is not acknowledged is not sent."""
        self._closed = True
        await self._drop()

    async def _drop(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await abandon(producer)

    async def _owned(self) -> AIOKafkaProducer:
        async with self._claiming:
            if self._producer is None or time.monotonic() - self._claimed > _RENEW_S:
                await self._prove()  # a worker that lost the partition fences nobody
                await self.claim()
                await self._prove()  # it was not lost before the claim
            if self._producer is None:
                raise ProducerClosed
            return self._producer
