"""Fills topics before a measurement, and times how fast they grow during one."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterable

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from agent.kafka import KafkaSettings, partition_of

PARTITIONS = 4


def spread(each: int) -> list[str]:
    """Return names of projects, so many of each partition, their partitions taking turns."""
    held: list[list[str]] = [[] for _ in range(PARTITIONS)]
    for name in map("benchmark-{}".format, itertools.count()):
        held[partition_of(name, PARTITIONS)].append(name)
        if min(map(len, held)) == each:
            return [name for turn in zip(*held, strict=False) for name in turn]
    raise AssertionError("unreachable")


async def create(kafka: KafkaSettings, *names: str, configs: dict[str, str] | None = None) -> None:
    """Make topics that are no part of fswire's own."""
    admin = AIOKafkaAdminClient(**kafka.client())
    await admin.start()
    await admin.create_topics([NewTopic(name, PARTITIONS, 1, topic_configs=configs) for name in names])
    await admin.close()


async def fill(kafka: KafkaSettings, topic: str, records: Iterable[tuple[str, bytes]]) -> None:
    """Send (project, value) pairs to their projects' partitions, in order."""
    async with AIOKafkaProducer(**kafka.producer(), linger_ms=20) as producer:
        pending = []
        for project, value in records:
            partition = partition_of(project, PARTITIONS)
            pending.append(await producer.send(topic, value, project.encode(), partition=partition))
            if len(pending) >= 5_000:
                await asyncio.gather(*pending)
                pending.clear()
        await asyncio.gather(*pending)


async def rate(
    kafka: KafkaSettings, topic: str, expected: int, timeout_s: float, *, warm_up: float = 0
) -> float:
    """Return records per second from the first to the last of `expected`, by the topic's end offsets.

    The first is that behind a share of them, `warm_up`, which is not measured.
    """
    partitions = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
    async with asyncio.timeout(timeout_s), AIOKafkaConsumer(**kafka.client()) as consumer:

        async def count() -> int:
            return sum((await consumer.end_offsets(partitions)).values())

        first, began = 0, time.perf_counter()
        while (now := await count()) < expected:
            if not first and now > warm_up * expected:
                first, began = now, time.perf_counter()
            await asyncio.sleep(0.01)
        return (now - first) / (time.perf_counter() - began)
