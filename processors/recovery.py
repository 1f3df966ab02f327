"""Where a partition goes on, and what is remembered of it, when a worker takes it over."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import msgspec
import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from agent.kafka import MAX_RECORD_BYTES, KafkaSettings
from processors import topics
from processors.file_store import FileStore
from processors.files import At, entry_of
from processors.files import record as record_of
from processors.position import Position
from processors.record_batch import Record
from processors.state import OFFSET_KEY, OffsetRecord, State

_log = structlog.get_logger()
_POLL_MS = 1_000
_PAGE = 5_000
_FETCH_WAIT_MS = 20


@dataclass(frozen=True)
class Start:
    """Offsets of the raw partition: committed (None: never), oldest that is held, next to be written."""

    committed: int | None
    oldest: int
    end: int

    @property
    def offset(self) -> int:
        """Where to go on: at the committed offset where it is held, else at the oldest that is."""
        if self.committed is not None and self.oldest <= self.committed <= self.end:
            return self.committed
        return self.oldest

    @property
    def lost(self) -> bool:
        """Tell whether records after the committed offset are gone."""
        return self.committed is not None and self.offset != self.committed


@asynccontextmanager
async def reading(kafka: KafkaSettings) -> AsyncIterator[AIOKafkaConsumer]:
    """Lend a consumer outside any group."""
    consumer = AIOKafkaConsumer(
        **kafka.client(),
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="none",
        # what is read next waits behind the fetch that is under way
        fetch_max_wait_ms=_FETCH_WAIT_MS,
        max_partition_fetch_bytes=2 * MAX_RECORD_BYTES,
    )
    try:
        await consumer.start()
        yield consumer
    finally:
        await consumer.stop()


async def find_start(consumer: AIOKafkaConsumer, raw: TopicPartition, committed: int | None) -> Start:
    """Return where the raw partition goes on. Raises KafkaError."""
    oldest = (await consumer.beginning_offsets([raw]))[raw]
    end = (await consumer.end_offsets([raw]))[raw]
    return Start(committed, oldest, end)


async def surely_committed(
    consumer: AIOKafkaConsumer, kept: TopicPartition, committed: int | None
) -> int | None:
    """Return the offset up to which everything is decided, where the group's own was lost or reset.

    `kept` is the partition of the state. Raises KafkaError.
    """
    last = await _last_chunk(consumer, kept)
    if last is None or (committed is not None and committed >= last.before):
        return committed
    _log.warning("the group's offset is lost or was reset", committed=committed, going_on_at=last.before)
    return last.before


async def _last_chunk(consumer: AIOKafkaConsumer, kept: TopicPartition) -> OffsetRecord | None:
    """Return where the newest chunk lies that changed the state: read from the end, as far as need be."""
    consumer.assign([kept])
    end = (await consumer.end_offsets([kept]))[kept]
    oldest = (await consumer.beginning_offsets([kept]))[kept]
    for first in (max(oldest, end - _PAGE), oldest):
        consumer.seek(kept, first)
        found = None
        while await consumer.position(kept) < end:
            for records in (await consumer.getmany(kept, timeout_ms=_POLL_MS)).values():
                for record in records:
                    if record.key == OFFSET_KEY and record.value:
                        found = msgspec.json.decode(record.value, type=OffsetRecord)
        if found is not None or first == oldest:
            return found
    return None


async def load(consumer: AIOKafkaConsumer, kept: TopicPartition, state: State, committed: int) -> None:
    """Read a partition of the state topic to its end into `state`. Raises KafkaError."""
    consumer.assign([kept])
    end = (await consumer.end_offsets([kept]))[kept]
    consumer.seek(kept, (await consumer.beginning_offsets([kept]))[kept])
    while await consumer.position(kept) < end:
        for records in (await consumer.getmany(kept, timeout_ms=_POLL_MS)).values():
            for record in records:
                _take(state, record.key, record.value, committed)


async def load_files(
    consumer: AIOKafkaConsumer, kept: TopicPartition, store: FileStore, committed: int
) -> list[Record]:
    """Read into `store` what it lacks of a partition of the files topic. Raises KafkaError.

    What a chunk wrote that was never committed is taken back; the records returned say so to the topic.
    """
    consumer.assign([kept])
    end = (await consumer.end_offsets([kept]))[kept]
    oldest = (await consumer.beginning_offsets([kept]))[kept]
    consumer.seek(kept, _resumed(store, oldest, end))
    undone: dict[bytes, bytes | None] = {}
    while await consumer.position(kept) < end:
        for records in (await consumer.getmany(kept, timeout_ms=_POLL_MS, max_records=_PAGE)).values():
            store.write(_entries(records, committed, undone), None)
    store.write((), end)
    at, now_ms = At(max(committed - 1, 0), 0), time.time_ns() // 1_000_000
    return [record_of(key, entry, None, at, now_ms) for key, entry in undone.items()]


def _resumed(store: FileStore, oldest: int, end: int) -> int:
    """Return where to read on: behind what the store has, unless the topic is not the one that it knew."""
    if store.checkpoint is None or not oldest <= store.checkpoint.offset <= end:
        store.clear()
        return oldest
    return store.checkpoint.offset


def _entries(
    records: list[ConsumerRecord[bytes, bytes | None]], committed: int, undone: dict[bytes, bytes | None]
) -> Iterator[tuple[bytes, bytes | None]]:
    for record in records:
        if record.key == topics.CLAIM_KEY:
            continue
        headers = dict(record.headers)
        try:
            at = At(*Position.parse(headers.get("at") or headers["src"])[:2])
            ahead = at.offset >= committed
            value = headers.get("before") if ahead else record.value
            entry = None if value is None else entry_of(value, At(max(committed - 1, 0), 0) if ahead else at)
        except (ValueError, KeyError) as error:
            _log.error("a record of the files is not readable: it is left out", error=repr(error))
            continue
        undone.pop(record.key, None)
        if ahead:
            undone[record.key] = entry
        yield record.key, entry


def _take(state: State, key: bytes | None, value: bytes | None, committed: int) -> None:
    try:
        state.load(key, value, committed)
    except ValueError as error:  # msgspec's errors and those of decoding are ValueErrors
        _log.error("a record of the state is not readable: it is as if it were not there", error=str(error))
