"""Sends encoded batches to `fswire.raw`, each on its project's partition, or records to another topic.

Returns once the broker has them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog
from aiokafka import AIOKafkaProducer

from agent.kafka import KafkaSettings, partition_of
from processors import topics

METADATA_TIMEOUT_S = 5.0
CLOSE_TIMEOUT_S = 5.0
"""An idempotent producer flushes for as long as the broker is away: a stop does not wait for that."""

_log = structlog.get_logger()


class Publisher:
    """An idempotent producer, replaced by a fresh one after a send that failed.

    What the broker refused for good leaves a producer unfit: its sequence numbers no longer agree.
    """

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self._topic = kafka.topic(topics.RAW)
        self._producer: AIOKafkaProducer | None = None
        self._partitions = 0

    async def start(self) -> None:
        """Connect, and learn how many partitions the topic has."""
        await self._connect()
        self._partitions = await self.partitions(topics.RAW)

    async def stop(self) -> None:
        """Flush within a few seconds, and disconnect."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await _close(producer)

    async def partitions(self, topic: str) -> int:
        """Return how many partitions a topic has; TimeoutError or a KafkaError where it does not exist."""
        async with asyncio.timeout(METADATA_TIMEOUT_S):
            return len(await self._connected().partitions_for(self._kafka.topic(topic)))

    async def send(self, project: str, batch: bytes) -> None:
        """Send a batch of a project; any exception means that it is not acknowledged."""
        producer = self._connected()
        try:
            await producer.send_and_wait(
                self._topic, batch, project.encode(), partition_of(project, self._partitions)
            )
        except Exception:
            await self._replace(producer)
            raise

    async def append(self, topic: str, values: Sequence[bytes]) -> None:
        """Send records without a key to another topic; any exception means that some are not acknowledged."""
        producer = self._connected()
        try:
            sent = [await producer.send(self._kafka.topic(topic), value) for value in values]
            await asyncio.gather(*sent)
        except Exception:
            await self._replace(producer)
            raise

    async def reachable(self) -> bool:
        """Tell whether a broker answers."""
        return bool(await self._connected().client.force_metadata_update())

    def _connected(self) -> AIOKafkaProducer:
        if self._producer is None:
            raise ConnectionError("not connected to the broker")
        return self._producer

    async def _connect(self) -> None:
        producer = AIOKafkaProducer(**self._kafka.producer())
        try:
            await producer.start()
        except BaseException:
            await _close(producer)
            raise
        self._producer = producer

    async def _replace(self, failed: AIOKafkaProducer) -> None:
        if self._producer is not failed:
            return
        try:
            await self._connect()
        except Exception as error:  # noqa: BLE001  the failed one stays, and the next send tries again
            _log.warning("no new producer", error=repr(error))
        else:
            await _close(failed)


async def _close(producer: AIOKafkaProducer) -> None:
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await producer.stop()
    except Exception as error:  # noqa: BLE001  it is being thrown away
        _log.warning("producer closed unflushed", error=repr(error))
