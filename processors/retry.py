"""Another try of a workflow run that has failed: its last record goes back to `fswire.runs` as queued.

The record has the run's id and event, and the next number of tries: the runner takes it up once, however
often it stands there, and the receiver of a webhook sees the `webhook-id` that it knows.
"""

from __future__ import annotations

import time

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from agent.kafka import KafkaSettings
from processors import runs, topics
from processors.instants import iso
from processors.recovery import reading
from processors.runs import Run

_POLL_MS = 1_000


class RetryRefused(Exception):
    """A run that is not tried again; the message says why."""


async def retry(kafka: KafkaSettings, identity: str, partition: int, offset: int) -> Run:
    """Queue a failed run again and return its record, once all in-sync replicas have that.

    `partition` and `offset`: where any of its records stands, as the table `runs` tells; what came after that
    is looked through for a newer one. Raises RetryRefused and KafkaError.
    """
    place = TopicPartition(kafka.topic(topics.RUNS), partition)
    async with reading(kafka) as consumer:
        last = await _last(consumer, place, offset, identity)
    asked = again(last, identity, time.time_ns())
    producer = AIOKafkaProducer(**kafka.producer())
    try:
        await producer.start()
        await producer.send_and_wait(place.topic, runs.encode(asked), identity.encode(), partition)
    finally:
        await producer.stop()
    return asked


def again(last: Run | None, identity: str, now_ns: int) -> Run:
    """Return the record that asks for another try of a run whose last record is this. Raises RetryRefused."""
    if last is None:
        raise RetryRefused(f"run {identity} is no longer kept in the topic: its event is gone")
    if last.state != "failed":
        raise RetryRefused(f"run {identity} has not failed: it is {last.state}")
    return msgspec.structs.replace(
        last,
        state="queued",
        attempts=0,
        again=last.again + 1,
        error=None,
        retry_at=None,
        updated_at=iso(now_ns),
    )


async def _last(consumer: AIOKafkaConsumer, place: TopicPartition, offset: int, identity: str) -> Run | None:
    consumer.assign([place])
    end = (await consumer.end_offsets([place]))[place]
    oldest = (await consumer.beginning_offsets([place]))[place]
    consumer.seek(place, max(offset, oldest))
    last: Run | None = None
    while await consumer.position(place) < end:
        for record in (await consumer.getmany(place, timeout_ms=_POLL_MS)).get(place, ()):
            if record.key == identity.encode():
                last = runs.decode(record.value) if record.value else None
    return last
