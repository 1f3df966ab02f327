"""Batches onto a raw topic, and what stands on it, read as processors do: each number once, no hole."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from agent.event import Batch, Event, decode_batch, encode
from agent.kafka import KafkaSettings, partition_of
from processors.watermarks import Marks, Run, admit

PARTITIONS = 4


def create(kafka: KafkaSettings, **configured: str) -> None:
    """Make the raw topic; `configured`: its settings, `_` for `.` in their names."""
    configs = {name.replace("_", "."): value for name, value in configured.items()}

    async def make() -> None:
        admin = AIOKafkaAdminClient(**kafka.client())
        await admin.start()
        try:
            await admin.create_topics([NewTopic(kafka.topic("raw"), PARTITIONS, 1, topic_configs=configs)])
        finally:
            await admin.close()

    asyncio.run(make())


def batch_of(project: str, first_seq: int, *events: Event, agent: str = "agt_1") -> Batch:
    """Return a batch that was made just now."""
    return Batch(
        v=1,
        project=project,
        host="host-1",
        sent_ns=time.time_ns(),
        agent=agent,
        epoch="e1",
        first_seq=first_seq,
        events=list(events),
    )


async def publish(kafka: KafkaSettings, *batches: Batch) -> None:
    """Append batches to the raw topic, each where its project belongs."""
    topic = kafka.topic("raw")
    async with AIOKafkaProducer(**kafka.producer()) as producer:
        partitions = len(await producer.partitions_for(topic))
        for each in batches:
            partition = partition_of(each.project, partitions)
            await producer.send_and_wait(topic, encode(each), each.project.encode(), partition)


def published(kafka: KafkaSettings) -> list[Batch]:
    """Return all batches on the raw topic; each is where its project belongs, under its key."""

    async def read() -> list[Batch]:
        consumer = AIOKafkaConsumer(**kafka.client(), auto_offset_reset="earliest")
        await consumer.start()
        try:
            partitions = [TopicPartition(kafka.topic("raw"), number) for number in range(PARTITIONS)]
            consumer.assign(partitions)
            ends = await consumer.end_offsets(partitions)
            found: list[Batch] = []
            while any([await consumer.position(each) < ends[each] for each in partitions]):
                for records in (await consumer.getmany(timeout_ms=1000)).values():
                    for record in records:
                        batch = decode_batch(record.value)
                        assert record.key == batch.project.encode()
                        assert record.partition == partition_of(batch.project, PARTITIONS)
                        found.append(batch)
            return found
        finally:
            await consumer.stop()

    return asyncio.run(read())


def once(batches: Iterable[Batch]) -> list[Event]:
    """Return every event once, as the processors' watermarks let it through; a hole fails the test."""
    events: list[Event] = []
    marks: dict[str, Marks] = {}
    ends: dict[str, int] = {}
    for batch in batches:
        if batch.previous is not None and batch.epoch not in ends:
            assert ends.get(batch.previous.epoch) == batch.previous.last_seq, "the chain of epochs is broken"
        run = Run(batch.epoch, batch.first_seq, len(batch.events), None, batch.previous)
        admission = admit(batch.project, batch.agent, marks.get(batch.agent), run, 0)
        assert not admission.opened, f"numbers are missing: {admission.opened}"
        marks[batch.agent] = admission.marks
        events += batch.events[admission.first_new :]
        ends[batch.epoch] = max(ends.get(batch.epoch, 0), batch.first_seq + len(batch.events) - 1)
    return events


def gaps(events: Iterable[Event]) -> list[str]:
    """Return the reasons of all gaps; one that was not closed, or was not open then, fails the test."""
    reasons: list[str] = []
    open_gaps: set[str] = set()
    for event in events:
        if event.gap is not None and event.kind == "gap":
            open_gaps.add(event.gap.id)
            reasons.append(event.gap.reason)
        elif event.gap is not None:
            open_gaps.remove(event.gap.id)
    assert not open_gaps, f"gaps are still open: {open_gaps}"
    return reasons
