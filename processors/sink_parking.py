"""Dead letters of the sink: records that ClickHouse will never take, and what expired before it was read."""

from __future__ import annotations

import asyncio

import structlog
from aiokafka import AIOKafkaProducer

from agent.kafka import KafkaSettings
from processors import dead_letters, topics
from processors.dead_letters import Parked
from processors.decode import Refusal
from processors.plan import src_of
from processors.rows import KafkaRecord


class Parking:
    """Writes to the topic of dead letters; its producer starts with the first of them."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()
        self._log = structlog.get_logger()

    async def park(self, topic: str, partition: int, record: KafkaRecord, detail: str) -> None:
        """Park a record of a partition; returns once the broker has it."""
        parked = Parked(topic, partition, record.offset, record.timestamp, record.key)
        self._log.error(
            "parked a record", topic=topic, partition=partition, offset=record.offset, detail=detail[:200]
        )
        src = src_of(record)
        await self._send(parked, record.value, Refusal("refused_row", detail), str(src) if src else None)

    async def expired(self, topic: str, partition: int, first: int, last: int, now_ms: int) -> None:
        """Note that records were deleted by the broker before they became rows."""
        detail = f"offsets {first} to {last} expired before they were stored"
        self._log.error("lost records", topic=topic, partition=partition, first=first, last=last)
        await self._send(Parked(topic, partition, first, now_ms, None), None, Refusal("expired", detail))

    async def close(self) -> None:
        """Stop the producer."""
        if self._producer is not None:
            await self._producer.stop()

    async def _send(
        self, parked: Parked, value: bytes | None, refusal: Refusal, src: str | None = None
    ) -> None:
        producer = await self._started()
        await producer.send_and_wait(
            self._kafka.topic(topics.DEAD_LETTERS),
            dead_letters.letter(parked, value, refusal, src),
            key=dead_letters.key(parked),
        )

    async def _started(self) -> AIOKafkaProducer:
        async with self._starting:
            if self._producer is None:
                producer = AIOKafkaProducer(**self._kafka.producer())
                await producer.start()
                self._producer = producer
            return self._producer
