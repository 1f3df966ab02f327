"""A compacted topic of one partition in memory: followed from its beginning, outside any group, until `stop`.

Each record is taken once, in order. `reach` and `catch_up` wait until the view holds what was written before;
without them it is right up to a moment ago.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from agent.kafka import MAX_RECORD_BYTES, KafkaSettings

_POLL_MS = 1_000
_BACK_OFF_S = 1.0
_log = structlog.get_logger()


class Followed(ABC):
    """A view of a topic; `name` is without the prefix."""

    def __init__(self, kafka: KafkaSettings, name: str) -> None:
        self._kafka = kafka
        self._partition = TopicPartition(kafka.topic(name), 0)
        self._reader: AIOKafkaConsumer | None = None
        self._asker: AIOKafkaConsumer | None = None
        self._follower: asyncio.Task[None] | None = None
        self._position = 0
        self._moved = asyncio.Condition()

    @abstractmethod
    def take_record(self, record: ConsumerRecord[bytes, bytes]) -> None:
        """Fold a record in; one that cannot be read is left out."""

    async def start(self) -> None:
        """Read the topic to its end, then follow it. Raises KafkaError."""
        try:
            self._reader = await self._connected()
            # a question for the end waits behind the fetch that is under way on the same connection
            self._asker = await self._connected()
            self._reader.assign([self._partition])
            await self._reader.seek_to_beginning(self._partition)
            self._follower = asyncio.create_task(self._follow(self._reader))
            await self.catch_up()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop following and disconnect; what is held stays readable."""
        follower, self._follower = self._follower, None
        if follower is not None:
            follower.cancel()
            await asyncio.wait([follower])
        for consumer in (self._reader, self._asker):
            if consumer is not None:
                await consumer.stop()
        self._reader = self._asker = None

    async def catch_up(self) -> None:
        """Return once everything written before this call is held. Raises KafkaError."""
        if self._asker is None:
            raise RuntimeError("the view is not started")
        await self.reach((await self._asker.end_offsets([self._partition]))[self._partition])

    async def reach(self, offset: int) -> None:
        """Return once everything before an offset is held."""
        if self._position < offset:
            await self.changed(lambda: self._position >= offset)

    async def changed(self, holds: Callable[[], bool]) -> None:
        """Return once a condition holds; it is asked after each change."""
        async with self._moved:
            await self._moved.wait_for(holds)

    async def _connected(self) -> AIOKafkaConsumer:
        consumer = AIOKafkaConsumer(
            **self._kafka.client(),
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=4 * MAX_RECORD_BYTES,
        )
        try:
            await consumer.start()
        except BaseException:
            await consumer.stop()
            raise
        return consumer

    def _take_alone(self, record: ConsumerRecord[bytes, bytes]) -> None:
        """Fold a record in; an error is its alone: nobody waits for ever for those behind it."""
        try:
            self.take_record(record)
        except Exception:  # noqa: BLE001  it is this record alone
            _log.exception("a record could not be taken", topic=record.topic, offset=record.offset)

    async def _follow(self, reader: AIOKafkaConsumer) -> None:
        while True:
            try:
                polled = await reader.getmany(self._partition, timeout_ms=_POLL_MS)
                position = await reader.position(self._partition)
            except KafkaError as error:
                topic = self._partition.topic
                _log.warning("a topic cannot be read, trying again", topic=topic, error=repr(error))
                await asyncio.sleep(_BACK_OFF_S)
                continue
            # no wait between the records of one batch: whoever looks sees all of it or nothing
            for record in polled.get(self._partition, ()):
                self._take_alone(record)
            async with self._moved:
                self._position = position
                self._moved.notify_all()
