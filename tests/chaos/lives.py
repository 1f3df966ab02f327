"""One partition of normalize in this process that dies after so many steps: a step changes the world outside.

Steps are every record or batch sent, every commit, every write of the local store. What was sent before the
death arrives, nothing after it does.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import NoOffsetForPartitionError

from agent.kafka import KafkaSettings
from agent.log import Throughput
from processors import producers
from processors.commits import Commits
from processors.normalize_partition import Links, Partition
from processors.projects import Projects
from processors.publisher import Publisher
from processors.registry import Registry
from processors.settings import ProcessorsSettings
from processors.triggers import Triggers

_CHUNK_EVENTS = 60


class SimulatedDeath(Exception):
    """The worker is dead from here on."""


class Steps:
    """Lets so many steps happen, and none after them."""

    def __init__(self, allowed: int) -> None:
        self.left = allowed

    def take(self) -> None:
        """Make a step. Raises SimulatedDeath."""
        if self.left <= 0:
            raise SimulatedDeath
        self.left -= 1

    def sending(self, act: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """Return the same call, as a step."""

        async def stepped(*arguments: Any, **named: Any) -> Any:
            self.take()
            return await act(*arguments, **named)

        return stepped

    def writing(self, act: Callable[..., None]) -> Callable[..., None]:
        """Return the same call, as a step."""

        def stepped(*arguments: Any) -> None:
            self.take()
            act(*arguments)

        return stepped


async def live(
    kafka: KafkaSettings, registry: Registry, raw: TopicPartition, directory: Path, allowed: int
) -> bool:
    """Own a partition until all that is in it is decided; return whether it lived that long."""
    steps = Steps(allowed)

    async def connect(*arguments: Any) -> Any:
        producer = await producers.connect(*arguments)
        producer.send, producer.send_batch = steps.sending(producer.send), steps.sending(producer.send_batch)
        return producer

    publisher = Publisher(kafka, connect)
    consumer = AIOKafkaConsumer(
        **kafka.client(),
        group_id=kafka.topic_prefix + "lives",
        auto_offset_reset="none",
        enable_auto_commit=False,
        fetch_max_wait_ms=50,
    )
    consumer.assign([raw])
    commits = Commits(consumer)
    commits.commit = steps.sending(commits.commit)  # type: ignore[method-assign]
    settings = ProcessorsSettings(data_dir=directory, chunk_events=_CHUNK_EVENTS)
    projects, triggers = Projects(kafka, registry), Triggers(registry.workflows)
    async with consumer:
        consumer.pause(raw)
        await publisher.start()
        told = Throughput("lives")
        links = Links(kafka, settings, consumer, publisher, commits, projects, triggers, told, connect)
        partition = Partition(raw, len(consumer.partitions_for_topic(raw.topic) or ()), links)
        store = partition._store
        store.write = steps.writing(store.write)  # type: ignore[method-assign]
        end = (await consumer.end_offsets([raw]))[raw]
        tasks = [asyncio.create_task(each) for each in (partition.run(), _feed(consumer, partition))]
        try:
            while not (_done(partition, end) or tasks[0].done()):
                await asyncio.wait(tasks[:1], timeout=0.005)
            return _done(partition, end)
        finally:
            for task in tasks:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, SimulatedDeath):
                    await task
            await publisher.stop()


async def _feed(consumer: AIOKafkaConsumer, partition: Partition) -> None:
    while True:
        with contextlib.suppress(NoOffsetForPartitionError):  # it is being recovered
            for records in (await consumer.getmany(timeout_ms=50)).values():
                partition.backlog.put(records)


def _done(partition: Partition, end: int) -> bool:
    """Tell whether everything is committed, and no renamed directory is left to re-key."""
    return partition._offset >= end and not partition._state.moves.values and not partition._busy.locked()
