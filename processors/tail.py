"""Follows a normalised topic from now on, as `fswire tail` shows it: every record once, in order."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import UnknownTopicOrPartitionError

from agent.kafka import MAX_RECORD_BYTES, KafkaSettings, partition_of
from processors.position import BEFORE_ALL, Position

_POLL_MS = 1_000


async def follow(kafka: KafkaSettings, vocabulary: str, project: str | None = None) -> AsyncIterator[bytes]:
    """Yield the values of records written after this call began, of one project or of all.

    `vocabulary` is `donutwork`, `watch` or `notify`. A record written twice comes once. Raises KafkaError.
    """
    topic = kafka.topic(vocabulary)
    consumer = AIOKafkaConsumer(
        topic,
        **kafka.client(),
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="latest",
        max_partition_fetch_bytes=2 * MAX_RECORD_BYTES,
    )
    try:
        await consumer.start()
        await _stand_at_end(consumer, topic, project)
        seen: dict[int, Position] = {}
        while True:
            for records in (await consumer.getmany(timeout_ms=_POLL_MS)).values():
                for record in records:
                    if is_new(seen, record.partition, record.headers) and _is_of(record.key, project):
                        yield record.value or b""
    finally:
        await consumer.stop()


def is_new(seen: dict[int, Position], partition: int, headers: Iterable[tuple[str, bytes]]) -> bool:
    """Tell whether a record's `src` is above all seen in its partition, and note it; without one it is."""
    src = next((value for name, value in headers if name == "src"), None)
    if src is None:
        return True
    position = Position.parse(src)
    if position <= seen.get(partition, BEFORE_ALL):
        return False
    seen[partition] = position
    return True


def _is_of(key: bytes | None, project: str | None) -> bool:
    return project is None or key == project.encode()


async def _stand_at_end(consumer: AIOKafkaConsumer, topic: str, project: str | None) -> None:
    partitions = consumer.partitions_for_topic(topic)
    if not partitions:
        raise UnknownTopicOrPartitionError(f"{topic}: no such topic; `fswire topics apply` makes it")
    wanted = partitions if project is None else {partition_of(project, len(partitions))}
    assigned = [TopicPartition(topic, partition) for partition in sorted(wanted)]
    consumer.unsubscribe()
    consumer.assign(assigned)
    await consumer.seek_to_end(*assigned)
    for partition in assigned:
        await consumer.position(partition)
