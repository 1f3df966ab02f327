"""Appends the state and the files of one raw partition, as its newest owner alone can."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence

from aiokafka import AIOKafkaProducer

from agent.kafka import KafkaSettings
from processors import producers, topics
from processors.fenced import Fenced
from processors.producers import Connect
from processors.publisher import append
from processors.record_batch import Batches, Record, field, length
from processors.state import OWNER_KEY
from processors.state import Record as StateRecord

_NO_HEADERS = length(0)
_BEFORE_ALL = [("src", b"0.0.0")]


class Keeper:
    """Every method may raise KafkaError or SessionLost, and returns once all in-sync replicas have it."""

    def __init__(
        self,
        kafka: KafkaSettings,
        group: str,
        partition: int,
        prove: Callable[[], Awaitable[None]],
        connect: Connect = producers.connect,
    ) -> None:
        self._kafka = kafka
        self._partition = partition
        self._fenced = Fenced(kafka, f"{group}-{partition}", self._announce, prove, connect)

    async def claim(self) -> None:
        """Make sure that nothing which an earlier owner still sends is appended from here on."""
        await self._fenced.claim()

    async def close(self) -> None:
        """Disconnect; what is not acknowledged is not sent."""
        await self._fenced.close()

    async def files(self, records: Iterable[Record]) -> int | None:
        """Append records of files, in order; return the offset behind the last, None for none."""
        appended = Batches(records)
        if not appended:
            return None
        async with self._fenced.writing() as producer:
            return await append(producer, self._kafka.topic(topics.FILES), self._partition, appended)

    async def state(self, records: Sequence[StateRecord]) -> None:
        """Append records of the state, in order."""
        if not records:
            return
        now_ms = time.time_ns() // 1_000_000
        appended = Batches((now_ms, field(key), value, _NO_HEADERS) for key, value in records)
        async with self._fenced.writing() as producer:
            await append(producer, self._kafka.topic(topics.STATE), self._partition, appended)

    async def _announce(self, producer: AIOKafkaProducer) -> None:
        files, state = self._kafka.topic(topics.FILES), self._kafka.topic(topics.STATE)
        await asyncio.gather(
            producer.send_and_wait(files, None, topics.CLAIM_KEY, self._partition, headers=_BEFORE_ALL),
            producer.send_and_wait(state, b"{}", OWNER_KEY, self._partition),
        )
