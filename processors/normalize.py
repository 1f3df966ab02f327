"""The service that turns `fswire.raw` into the three vocabularies: an aiokafka consumer in the Faust worker.

It owns the connection; what is assigned to it is decided by one `Partition` each. Recovery runs beside the
group's protocol, never inside its callbacks, so a long one costs no session.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError, NoOffsetForPartitionError, OffsetOutOfRangeError
from mode import Service

from agent.kafka import KafkaSettings
from agent.log import Throughput
from processors import broker, topics
from processors.commits import Commits, SessionLost
from processors.normalize_partition import Links, Partition
from processors.projects import Projects
from processors.publisher import Publisher
from processors.registry import Registry
from processors.settings import ProcessorsSettings
from processors.triggers import Triggers

TOPICS = (
    topics.RAW,
    topics.DONUTWORK,
    topics.WATCH,
    topics.NOTIFY,
    topics.STATE,
    topics.FILES,
    topics.RUNS,
    topics.REGISTRY,
    topics.AGENTS,
    topics.OUTCOMES,
    topics.DEAD_LETTERS,
)
"""What normalize reads and writes."""
_POLL_MS = 1_000
_BACK_OFF_S = 1.0

_log = structlog.get_logger()


class Normalize(Service):  # type: ignore[misc]
    """Runs as long as the worker does; an unforeseen error in a partition ends the worker with it."""

    def __init__(self, kafka: KafkaSettings, settings: ProcessorsSettings, **service: Any) -> None:
        super().__init__(**service)
        self._kafka = kafka
        self._settings = settings
        self._registry = Registry(kafka)
        self._publisher = Publisher(kafka)
        self._consumer: AIOKafkaConsumer | None = None
        self._links: Links | None = None
        self._serving = False
        self._owned: dict[TopicPartition, tuple[Partition, asyncio.Task[None]]] = {}

    async def on_start(self) -> None:
        """Connect and join the group."""
        await self._registry.start()
        await self._publisher.start()
        consumer = self._consumer = self._new_consumer()
        self._links = Links(
            self._kafka,
            self._settings,
            consumer,
            self._publisher,
            Commits(consumer),
            Projects(self._kafka, self._registry),
            Triggers(self._registry.workflows),
            Throughput("normalize"),
        )
        await consumer.start()
        consumer.subscribe([self._kafka.topic(topics.RAW)], listener=_Listener(self))

    async def on_stop(self) -> None:
        """Let chunks end, leave the group, disconnect. What did not end is not sent."""
        if not await self._give_up(self._owned):
            await self._publisher.abandon()
        if self._consumer is not None:
            await self._consumer.stop()
        await self._publisher.stop()
        await self._registry.stop()

    @Service.task  # type: ignore[untyped-decorator]
    async def _read(self) -> None:
        consumer = self._connected()
        while not self.should_stop:
            try:
                polled = await consumer.getmany(timeout_ms=_POLL_MS)
            except OffsetOutOfRangeError as error:
                self._expire(error.args[0])
            except NoOffsetForPartitionError:
                continue  # its partition is being recovered, and then told where to go on
            except KafkaError as error:
                _log.warning("reading failed, trying again", error=repr(error))
                await self.sleep(_BACK_OFF_S)
            else:
                for raw, records in polled.items():
                    if raw in self._owned:
                        self._owned[raw][0].backlog.put(records)

    @Service.task  # type: ignore[untyped-decorator]
    async def _watch_broker(self) -> None:
        while not self.should_stop:
            await broker.watch(self._kafka, lambda: self._publisher.producer)

    def _expire(self, offsets: dict[TopicPartition, int]) -> None:
        for raw, offset in offsets.items():
            if raw in self._owned:
                self._connected().pause(raw)
                self._owned[raw][0].backlog.expire(offset)

    def _connected(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            raise RuntimeError("the service is not started")
        return self._consumer

    async def assigned(self, partitions: Collection[TopicPartition]) -> None:
        """Take partitions over. The group's protocol waits for this, and sends no heartbeats meanwhile."""
        if self._links is None:
            raise RuntimeError("the service is not started")
        consumer = self._connected()
        consumer.pause(*partitions)
        count = len(consumer.partitions_for_topic(self._kafka.topic(topics.RAW)) or ())
        for raw in partitions:
            partition = Partition(raw, count, self._links)
            task = asyncio.create_task(partition.run(), name=f"normalize {raw.partition}")
            task.add_done_callback(self._ended)
            self._owned[raw] = (partition, task)
        _log.info("partitions assigned", partitions=sorted(raw.partition for raw in partitions))
        if not self._serving:
            self._serving = True
            _log.info("started", web_port=self._settings.web_port)

    async def revoked(self, partitions: Collection[TopicPartition]) -> None:
        """Give partitions up: chunks under way may end in time, what does not is never sent."""
        if await self._give_up(partitions):
            return
        try:
            await self._publisher.replace(self._publisher.producer)
        except (KafkaError, OSError) as error:
            _log.warning("no new producer yet", error=repr(error))

    async def _give_up(self, partitions: Collection[TopicPartition]) -> bool:
        """Stop these partitions; return whether the chunks under way ended in time."""
        given_up = [self._owned.pop(raw) for raw in list(partitions) if raw in self._owned]
        if not given_up:
            return True
        grace_s = self._settings.stop_grace_ms / 1000
        ended = await asyncio.gather(*(partition.stop(grace_s) for partition, _ in given_up))
        for _, task in given_up:
            task.cancel()
        await asyncio.wait([task for _, task in given_up])
        if not all(ended):
            _log.warning("chunks did not end in time; they are made again by whoever has the partition next")
        return all(ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if isinstance(error, SessionLost):
            _log.warning("a partition is lost to another worker", detail=str(error))
        elif error is not None:
            _log.error("normalize failed", exc_info=error)
            self.add_future(self.crash(error))

    def _new_consumer(self) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            **self._kafka.client(),
            **self._settings.member(),
            group_id=self._settings.group,
            auto_offset_reset="none",
        )


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Hands the group's callbacks on."""

    def __init__(self, service: Normalize) -> None:
        self._service = service

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Called after every rebalance, before the first heartbeat of the new generation."""
        await self._service.assigned(assigned)

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Called before every rebalance, with all that was assigned."""
        await self._service.revoked(revoked)
