"""Appends what a chunk became to its topics, and returns when all in-sync replicas have it.

A producer that failed for good is replaced: its sequence numbers no longer agree with the broker's. One whose
partitions went to another worker is abandoned: what it has not sent must never be sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer

from agent.kafka import KafkaSettings
from processors import producers, topics
from processors.outputs import Addressed, Outputs
from processors.producers import Connect, abandon
from processors.record_batch import Batches

_INLINE_BYTES = 32 * 1024
"""Compressed in less time than another thread takes to wake."""

_log = structlog.get_logger()


class Publisher:
    """A producer that is replaced as a whole; every method may raise KafkaError."""

    def __init__(self, kafka: KafkaSettings, connect: Connect = producers.connect) -> None:
        self._kafka = kafka
        self._connect = connect
        self._producer: AIOKafkaProducer | None = None
        self._replacing = asyncio.Lock()

    async def start(self) -> None:
        """Connect."""
        self._producer = await self._connect(self._kafka)

    async def stop(self) -> None:
        """Flush and disconnect; called once nothing is under way."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.stop()

    async def abandon(self) -> None:
        """Disconnect without flushing."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await abandon(producer)

    @property
    def producer(self) -> AIOKafkaProducer:
        """The producer that is in use now; hand it to `replace` when it failed."""
        if self._producer is None:
            raise RuntimeError("the publisher is not started")
        return self._producer

    async def replace(self, failed: AIOKafkaProducer) -> None:
        """Abandon a producer and connect another, unless that was done already."""
        async with self._replacing:
            if self._producer is not failed:
                return
            await abandon(failed)
            self._producer = await self._connect(self._kafka)

    async def publish(self, outputs: Outputs, partition: int) -> None:
        """Append the outputs of a chunk: normalised records to this partition of their topics."""
        await _all(
            self._append(topics.DONUTWORK, partition, outputs.donutwork),
            self._append(topics.WATCH, partition, outputs.watch),
            self._append(topics.NOTIFY, partition, outputs.notify),
            self._append(topics.RUNS, partition, outputs.runs),
            self._send(topics.DEAD_LETTERS, outputs.dead_letters),
            self._send(topics.AGENTS, outputs.agents),
        )

    async def answer(self, outcomes: Sequence[Addressed]) -> None:
        """Append outcomes; one for a partition that does not exist is nobody's, and left out."""
        if not outcomes:
            return
        partitions = await self.producer.partitions_for(self._kafka.topic(topics.OUTCOMES))
        known = [outcome for outcome in outcomes if outcome.partition in partitions]
        if len(known) < len(outcomes):
            _log.warning("outcomes asked for on a partition that does not exist", outcomes=len(outcomes))
        await self._send(topics.OUTCOMES, known)

    async def park(self, letters: Sequence[Addressed]) -> None:
        """Append dead letters that no chunk has."""
        await self._send(topics.DEAD_LETTERS, letters)

    async def _append(self, name: str, partition: int, batches: Batches) -> None:
        await append(self.producer, self._kafka.topic(name), partition, batches)

    async def _send(self, name: str, records: Sequence[Addressed]) -> None:
        producer, topic = self.producer, self._kafka.topic(name)
        sent = [
            _retrieved(await producer.send(topic, each.value, each.key, each.partition)) for each in records
        ]
        await asyncio.gather(*sent)


async def append(producer: AIOKafkaProducer, topic: str, partition: int, batches: Batches) -> int | None:
    """Append batches, in order; return the offset behind their last record, None for none."""
    sent: list[asyncio.Future[Any]] = []
    for batch in batches:
        if batch.size() < _INLINE_BYTES:
            batch.compress()
        else:
            await asyncio.to_thread(batch.compress)
        sent.append(_retrieved(await producer.send_batch(batch, topic, partition=partition)))
        records_of_last = batch.record_count()
    acknowledged = await asyncio.gather(*sent)
    return acknowledged[-1].offset + records_of_last if acknowledged else None


def _retrieved(acknowledged: asyncio.Future[Any]) -> asyncio.Future[Any]:
    """Keep asyncio from logging the failure of what nobody awaits any more: its chunk is made again."""
    acknowledged.add_done_callback(lambda done: done.cancelled() or done.exception())
    return acknowledged


async def _all(*sending: Awaitable[object]) -> None:
    """Await all of them, also where one fails: none may still be sending when the chunk is made again."""
    for result in await asyncio.gather(*sending, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
