"""Records of one partition that were read but not yet decided: cut into chunks, bounded by pausing.

What they hold is not looked into here: they are decoded where they are decided, a few at a time.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from processors.chunk import RawRecord

GROUP_EVENTS = 250
"""Decided before other partitions and the heartbeat get their turn: some 5 ms."""
_IN_EACH_EVENT = b'"kind"'
"""Once in each as agents write them, and at times in a name: a chunk is then smaller than it could be."""


class OffsetsExpired(Exception):
    """All that was read is decided, and what follows it at `offset` is gone from the topic."""

    def __init__(self, offset: int) -> None:
        super().__init__(f"offset {offset} is gone")
        self.offset = offset


class Backlog:
    """Filled by the reader, emptied by the partition; reading pauses at `max_bytes`, resumes at half."""

    def __init__(self, consumer: AIOKafkaConsumer, raw: TopicPartition, *, max_bytes: int) -> None:
        self._consumer = consumer
        self._raw = raw
        self._max_bytes = max_bytes
        self._records: deque[tuple[int, RawRecord]] = deque()
        """With how many events there are in each."""
        self._bytes = 0
        self._paused = False
        self._expired: int | None = None
        self._arrived = asyncio.Event()

    def put(self, records: Iterable[ConsumerRecord[bytes | None, bytes | None]]) -> None:
        """Take what was read, in order."""
        for record in records:
            value = record.value or b""
            raw = RawRecord(record.offset, record.timestamp, record.key, record.value)
            self._records.append((max(1, value.count(_IN_EACH_EVENT)), raw))
            self._bytes += len(value)
        self._arrived.set()
        if self._bytes > self._max_bytes and not self._paused:
            self._paused = True
            self._consumer.pause(self._raw)

    def expire(self, offset: int) -> None:
        """Note that the record at `offset`, the next to be read, is gone."""
        self._expired = offset
        self._arrived.set()

    async def chunk(self, max_events: int) -> list[list[RawRecord]]:
        """Wait for records and return the next of them: at most `max_events` events, or one record.

        In groups of at most `GROUP_EVENTS`, or one record. Raises OffsetsExpired after the last record before
        a loss.
        """
        while not self._records:
            if self._expired is not None:
                offset, self._expired = self._expired, None
                raise OffsetsExpired(offset)
            self._arrived.clear()
            await self._arrived.wait()
        groups: list[list[RawRecord]] = []
        left, left_of_group = max_events, 0
        while self._records and (not groups or self._records[0][0] <= left):
            events, record = self._records.popleft()
            if events > left_of_group:
                groups.append([])
                left_of_group = GROUP_EVENTS
            groups[-1].append(record)
            left, left_of_group = left - events, left_of_group - events
            self._bytes -= len(record.value or b"")
        self._resume()
        return groups

    def _resume(self) -> None:
        if self._paused and self._bytes <= self._max_bytes // 2:
            self._paused = False
            self._consumer.resume(self._raw)
