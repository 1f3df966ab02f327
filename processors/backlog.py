"""Records of one partition that were read but not yet decided: cut into chunks, bounded by pausing."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from agent.event import Batch
from processors.chunk import RawRecord
from processors.decode import Refusal, decode

Decoded = tuple[RawRecord, Batch | Refusal]


class OffsetsExpired(Exception):
    """All that was read is decided, and what follows it at `offset` is gone from the topic."""

    def __init__(self, offset: int) -> None:
        super().__init__(f"offset {offset} is gone")
        self.offset = offset


class Backlog:
    """Filled by the reader, emptied by the partition; reading pauses at `max_bytes`, resumes at half."""

    def __init__(
        self, consumer: AIOKafkaConsumer, raw: TopicPartition, *, partitions: int, max_bytes: int
    ) -> None:
        self._consumer = consumer
        self._raw = raw
        self._partitions = partitions
        self._max_bytes = max_bytes
        self._records: deque[RawRecord] = deque()
        self._bytes = 0
        self._paused = False
        self._expired: int | None = None
        self._held: Decoded | None = None
        self._arrived = asyncio.Event()

    def put(self, records: Iterable[ConsumerRecord[bytes | None, bytes | None]]) -> None:
        """Take what was read, in order."""
        for record in records:
            self._records.append(RawRecord(record.offset, record.timestamp, record.key, record.value))
            self._bytes += len(record.value or b"")
        self._arrived.set()
        if self._bytes > self._max_bytes and not self._paused:
            self._paused = True
            self._consumer.pause(self._raw)

    def expire(self, offset: int) -> None:
        """Note that the record at `offset`, the next to be read, is gone."""
        self._expired = offset
        self._arrived.set()

    async def chunk(self, max_events: int) -> list[Decoded]:
        """Wait for records and return the next of them: at most `max_events` events, or one record.

        Raises OffsetsExpired after the last record before a loss.
        """
        while not self._records and self._held is None:
            if self._expired is not None:
                offset, self._expired = self._expired, None
                raise OffsetsExpired(offset)
            self._arrived.clear()
            await self._arrived.wait()
        chunk: list[Decoded] = []
        events = 0
        while (decoded := self._next()) is not None:
            weight = len(decoded[1].events) if isinstance(decoded[1], Batch) else 1
            if chunk and events + weight > max_events:
                self._held = decoded
                break
            chunk.append(decoded)
            events += weight or 1
        self._resume()
        return chunk

    def _next(self) -> Decoded | None:
        if self._held is not None:
            held, self._held = self._held, None
            return held
        if not self._records:
            return None
        record = self._records.popleft()
        self._bytes -= len(record.value or b"")
        return record, decode(record.value, self._raw.partition, self._partitions)

    def _resume(self) -> None:
        if self._paused and self._bytes <= self._max_bytes // 2:
            self._paused = False
            self._consumer.resume(self._raw)
