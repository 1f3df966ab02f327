"""Dead letters read back: which there are, what they hold, and how what they hold is tried again.

A raw record goes back to `fswire.raw`, where the hole that it left takes it as late; a row that ClickHouse
refused goes to ClickHouse again. Either can be done twice: what is there already is not taken again. What a
client asked of the file monitor is not tried again: later commands were decided without it. A mark behind
a letter says that it was.
"""

from __future__ import annotations

import base64
import time
from collections.abc import AsyncIterator
from typing import NamedTuple

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from agent.event import decode_batch
from agent.kafka import MAX_RECORD_BYTES, KafkaSettings, partition_of
from processors import dead_letters, tables, topics
from processors.clickhouse import ClickHouseSettings
from processors.dead_letters import REPLAYED, DeadLetter
from processors.plan import SRC_HEADER, Plan
from processors.recovery import reading
from processors.rows import Row, Table
from processors.sink_database import Database

_POLL_MS = 1_000
_NO_BATCH = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class ReplayRefused(Exception):
    """A letter that cannot be tried again; the message says why."""


class UnknownLetter(LookupError):
    """There is no letter at a place, or none any more."""


class Place(NamedTuple):
    """Where a letter stands in the topic of dead letters."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}:{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Place:
        """Read `PARTITION:OFFSET`; ValueError if it is another form."""
        partition, _, offset = text.partition(":")
        return cls(int(partition), int(offset))


class Letter(NamedTuple):
    """A dead letter and its place."""

    place: Place
    content: DeadLetter
    replayed: str = ""
    """When it was tried again, the last time; empty: never, or nobody has looked."""

    @property
    def marks(self) -> Place | None:
        """Return the place of the letter that this record marks as replayed; None: it is a letter itself."""
        is_mark = self.content.reason == REPLAYED
        return Place(self.content.partition, self.content.offset) if is_mark else None

    @property
    def value(self) -> bytes | None:
        """Return the bytes that were parked, cut at 64 KiB."""
        encoded = self.content.value_b64
        return None if encoded is None else base64.b64decode(encoded)

    @property
    def project(self) -> str:
        """Return the project that the record was keyed by, empty where its key was none."""
        encoded = self.content.key_b64
        return "" if encoded is None else base64.b64decode(encoded).decode(errors="replace")


async def read(kafka: KafkaSettings) -> AsyncIterator[Letter]:
    """Yield every letter and mark that the topic holds now, by partition and offset. Raises KafkaError.

    A mark stands in its letter's partition, after it.
    """
    consumer = AIOKafkaConsumer(
        kafka.topic(topics.DEAD_LETTERS),
        **kafka.client(),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=2 * MAX_RECORD_BYTES,
    )
    try:
        await consumer.start()
        for partition in sorted(consumer.assignment(), key=lambda each: each.partition):
            async for letter in _read_partition(consumer, partition):
                yield letter
    finally:
        await consumer.stop()


async def one(kafka: KafkaSettings, place: Place) -> Letter:
    """Return the letter that stands at a place. Raises UnknownLetter and KafkaError."""
    partition = TopicPartition(kafka.topic(topics.DEAD_LETTERS), place.partition)
    async with reading(kafka) as consumer:
        consumer.assign([partition])
        oldest = (await consumer.beginning_offsets([partition]))[partition]
        end = (await consumer.end_offsets([partition]))[partition]
        if not oldest <= place.offset < end:
            raise UnknownLetter(f"there is no dead letter {place}")
        consumer.seek(partition, place.offset)
        record = await consumer.getone(partition)
    if record.offset != place.offset:
        raise UnknownLetter(f"there is no dead letter {place}")
    letter = Letter(place, msgspec.json.decode(record.value or b"", type=DeadLetter))
    if letter.marks is not None:
        raise UnknownLetter(f"{place} is no dead letter: it says that {letter.marks} was replayed")
    return letter


async def _read_partition(consumer: AIOKafkaConsumer, partition: TopicPartition) -> AsyncIterator[Letter]:
    end = (await consumer.end_offsets([partition]))[partition]
    await consumer.seek_to_beginning(partition)
    while await consumer.position(partition) < end:
        for records in (await consumer.getmany(partition, timeout_ms=_POLL_MS)).values():
            for record in records:
                try:
                    content = msgspec.json.decode(record.value or b"", type=DeadLetter)
                except msgspec.MsgspecError:
                    continue  # nothing of ours
                yield Letter(Place(partition.partition, record.offset), content)


def aimed_at(letter: Letter) -> str:
    """Return the project into which a replay would bring events: its batch's own where it is one."""
    try:
        return decode_batch(letter.value or b"").project
    except _NO_BATCH:
        return letter.project


async def replay(letter: Letter, kafka: KafkaSettings, clickhouse: ClickHouseSettings) -> None:
    """Try a letter again, and mark it.

    Raises ReplayRefused, KafkaError, ClickHouseUnavailable and RowsRefused.
    """
    await _try_again(letter, kafka, clickhouse)
    topic = kafka.topic(topics.DEAD_LETTERS)
    mark = dead_letters.mark(letter.content, topic, *letter.place, time.time_ns() // 1_000_000)
    key = f"{topic}/{letter.place.partition}".encode()
    async with AIOKafkaProducer(**kafka.producer()) as producer:
        await producer.send_and_wait(topic, mark, key, letter.place.partition)


async def _try_again(letter: Letter, kafka: KafkaSettings, clickhouse: ClickHouseSettings) -> None:
    content, value = letter.content, letter.value
    if value is None:
        lost = content.reason == "expired"
        raise ReplayRefused(
            "its bytes are not there: it says that records were lost" if lost else "the record had no value"
        )
    if content.truncated:
        raise ReplayRefused(f"only {len(value)} of its {content.size} bytes were kept")
    if content.topic == kafka.topic(topics.RAW):
        await _to_raw(value, kafka)
        return
    if content.topic == kafka.topic(topics.TRANSFER_COMMANDS):
        raise ReplayRefused("later commands were decided without it: make the request again")
    row = _row(letter, value)
    of_topic = (each for each in tables.TABLES if kafka.topic(each.topic) == content.topic)
    table = next((each for each in of_topic if each.takes(row)), None)
    if table is None:
        raise ReplayRefused(f"nothing is known of topic {content.topic}, or of such a record of it")
    await _to_table(letter, row, table, clickhouse)


async def _to_raw(value: bytes, kafka: KafkaSettings) -> None:
    try:
        project = decode_batch(value).project
    except _NO_BATCH as error:
        raise ReplayRefused(f"it still is no batch: {error}") from error
    topic = kafka.topic(topics.RAW)
    async with AIOKafkaProducer(**kafka.producer()) as producer:
        partitions = len(await producer.partitions_for(topic))
        await producer.send_and_wait(
            topic, value, project.encode(), partition=partition_of(project, partitions)
        )


async def _to_table(letter: Letter, row: Row, table: Table, clickhouse: ClickHouseSettings) -> None:
    content, only = letter.content, Plan(row.offset, row.offset)
    problem = table.unusable(row)
    if problem is not None:
        raise ReplayRefused(problem)
    database = Database(clickhouse)
    try:
        if not await database.present(table, content.topic, content.partition, only):
            token = only.token(content.topic, content.partition)
            await database.insert(table, content.topic, content.partition, [row], token)
    finally:
        await database.close()


def _row(letter: Letter, value: bytes) -> Row:
    """Return the record that was parked, as the sink held it."""
    content = letter.content
    key = base64.b64decode(content.key_b64) if content.key_b64 is not None else None
    headers = [(SRC_HEADER, content.src.encode())] if content.src is not None else []
    return Row(content.offset, value, key, 0, headers)
