"""`fswire sink`: records of Kafka become rows of ClickHouse, each exactly one.

In: the topics of `processors.tables`. Out: its tables. Where a topic has records of two, two members of two
groups read it.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import structlog
import uvloop
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaError,
    OffsetOutOfRangeError,
)
from aiokafka.structs import OffsetAndMetadata
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from agent import log
from agent.kafka import KafkaSettings
from agent.log import Throughput
from processors import plan as plans
from processors import sink_gaps, tables
from processors.clickhouse import ClickHouseSettings, ClickHouseUnavailable
from processors.commits import NONE_COMMITTED_S
from processors.garbage import collect_seldom
from processors.lean_reading import read_rows
from processors.plan import Mark
from processors.rows import KafkaRecord, Row, Table, slim
from processors.sink_database import Database, Outage
from processors.sink_parking import Parking
from processors.sink_partition import Limits, Outlets, PartitionLost, PartitionSink

_POLL_MS = 100
_POLL_RECORDS = 5_000
"""Decoded in some 50 ms: in between the group's heartbeat gets its turn, also on a busy machine."""
_GRACE_S = 3.0
"""For inserts under way when a partition is taken away: well within the rebalance timeout."""
_RETRY_S = 0.5
_LONGEST_RETRY_S = 5.0


class SinkSettings(BaseSettings):
    """One sink, read from `FSWIRE_SINK_…`; a chunk is inserted when the first of its limits is reached."""

    model_config = SettingsConfigDict(env_prefix="FSWIRE_SINK_", frozen=True, extra="forbid")

    group: str = "fswire-sink"
    """Consumer group; its members share the partitions."""
    max_rows: int = Field(default=20_000, ge=1)
    max_bytes: int = Field(default=16 * 1024 * 1024, ge=1)
    """Of one partition's chunk; while it is inserted, as much again is held."""
    held_bytes: int = Field(default=96 * 1024 * 1024, ge=1)
    """Of all partitions together, from which on nothing more is read; in memory about twice as much."""
    flush_ms: int = Field(default=200, ge=0)
    """Age of the oldest record of a chunk."""

    @property
    def limits(self) -> Limits:
        """The limits of a chunk."""
        return Limits(self.max_rows, self.max_bytes, self.flush_ms / 1000)


class Sink(ConsumerRebalanceListener):  # type: ignore[misc]
    """A member of the sink's group: a PartitionSink for each partition that it is given."""

    def __init__(
        self,
        settings: SinkSettings,
        kafka: KafkaSettings,
        clickhouse: ClickHouseSettings,
        suffix: str = "",
        throughput: Throughput | None = None,
    ) -> None:
        self._settings = settings.model_copy(update={"group": settings.group + suffix})
        self._kafka = kafka
        self._tables: dict[str, Table] = {kafka.topic(table.topic): table for table in tables.GROUPS[suffix]}
        self._consumer = AIOKafkaConsumer(
            **kafka.client(),
            group_id=self._settings.group,
            enable_auto_commit=False,
            auto_offset_reset="none",
            fetch_max_wait_ms=_POLL_MS,
            fetch_max_bytes=32 * 1024 * 1024,
            max_partition_fetch_bytes=4 * 1024 * 1024,
            session_timeout_ms=6_000,
            rebalance_timeout_ms=6_000,
            heartbeat_interval_ms=1_000,
            metadata_max_age_ms=15_000,
        )
        self._admin = AIOKafkaAdminClient(**kafka.client())
        self._database = Database(clickhouse)
        self._parking = Parking(kafka)
        self._outage = Outage()
        self._throughput = throughput or Throughput("sink")
        self._sinks: dict[TopicPartition, PartitionSink] = {}
        self._tasks: dict[TopicPartition, asyncio.Task[None]] = {}
        self._stopping = asyncio.Event()
        self._log = structlog.get_logger()

    def stop(self) -> None:
        """Ask `run` to end."""
        self._stopping.set()

    async def run(self) -> None:
        """Sink until `stop`; waits for a broker or a database that is not there."""
        try:
            await self._persistently("Kafka", self._start)
            self._log.info("started", group=self._settings.group, topics=sorted(self._tables))
            while not self._stopping.is_set():
                await self._step()
        finally:
            await self._end(list(self._tasks))
            await self._consumer.stop()
            await self._admin.close()
            await self._parking.close()
            await self._database.close()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Begin where the group's last commit of each partition left off."""
        partitions = list(assigned)
        if not partitions:
            return
        committed = await self._persistently("Kafka", partial(self._all_committed, partitions))
        beginnings = await self._persistently("Kafka", partial(self._consumer.beginning_offsets, partitions))
        for place in partitions:
            offset, mark = committed.get(place, (beginnings[place], Mark()))
            self._consumer.seek(place, offset)
            self._begin(place, offset, mark)
        self._log.info("assigned", partitions=[f"{place.topic}/{place.partition}" for place in partitions])

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Finish the inserts under way, then let go."""
        await self._end([place for place in revoked if place in self._tasks])

    async def _start(self) -> None:
        await self._consumer.start()
        await self._admin.start()
        self._consumer.subscribe(list(self._tables), listener=self)

    async def _step(self) -> None:
        try:
            batches = await self._consumer.getmany(timeout_ms=_POLL_MS, max_records=_POLL_RECORDS)
        except OffsetOutOfRangeError as error:
            await self._skip_expired(error.args[0])
            return
        except KafkaError as error:
            self._log.warning("cannot read from Kafka, nothing is lost", problem=str(error))
            await asyncio.sleep(_RETRY_S)
            return
        for place, sink in list(self._sinks.items()):
            records = batches.get(place, [])
            if records:
                held = records if isinstance(records[0], Row) else [slim(record) for record in records]
                sink.offer(held, records[-1].offset + 1)
            elif sink.taking_over and place in self._consumer.assignment():
                sink.offer([], await self._consumer.position(place))
        self._throttle()
        self._look_after_tasks()

    def _throttle(self) -> None:
        """Read no more of a partition while a chunk of it waits, of none while all hold much."""
        waiting = to_pause(self._sinks, self._settings.held_bytes)
        paused = self._consumer.paused()
        for place in self._consumer.assignment() & self._sinks.keys():
            if (place in waiting) != (place in paused):
                (self._consumer.pause if place in waiting else self._consumer.resume)(place)

    def _look_after_tasks(self) -> None:
        for place, task in list(self._tasks.items()):
            if task.done():
                del self._tasks[place], self._sinks[place]
                with suppress(PartitionLost):
                    task.result()

    def _begin(self, place: TopicPartition, offset: int, mark: Mark) -> None:
        outlets = Outlets(self._database, self._outage, self._throughput, partial(self._park, place))
        sink = PartitionSink(
            place.topic,
            place.partition,
            self._tables[place.topic],
            offset,
            mark,
            partial(self._commit, place),
            outlets,
            self._settings.limits,
        )
        self._sinks[place] = sink
        self._tasks[place] = asyncio.create_task(sink.run(), name=f"{place.topic}/{place.partition}")

    async def _end(self, places: list[TopicPartition]) -> None:
        tasks = [self._tasks.pop(place) for place in places]
        for place in places:
            self._sinks.pop(place).stop()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=_GRACE_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _commit(self, place: TopicPartition, offset: int, mark: Mark) -> None:
        """Commit as the member that we are: a member that was replaced is refused."""
        position = OffsetAndMetadata(offset, plans.encode(mark))
        try:
            await self._persistently("Kafka", partial(self._consumer.commit, {place: position}))
        except (CommitFailedError, IllegalStateError) as error:
            self._log.warning(
                "lost a partition, nothing is lost", partition=str(place.partition), why=str(error)
            )
            raise PartitionLost from None

    async def _committed(self, partitions: list[TopicPartition]) -> dict[TopicPartition, tuple[int, Mark]]:
        found = await self._admin.list_consumer_group_offsets(self._settings.group, partitions=partitions)
        return {
            place: (committed.offset, plans.decode(committed.metadata))
            for place, committed in found.items()
            if committed.offset >= 0
        }

    async def _all_committed(
        self, partitions: list[TopicPartition]
    ) -> dict[TopicPartition, tuple[int, Mark]]:
        """Ask again where a partition that holds records has no commit.

        A broker that has just started says for some 50 ms that there is none.
        """
        ends = await self._consumer.end_offsets(partitions)
        for delay_s in NONE_COMMITTED_S:
            found = await self._committed(partitions)
            if not any(ends[place] for place in partitions if place not in found):
                return found
            await asyncio.sleep(delay_s)
        return found

    async def _park(self, place: TopicPartition, record: KafkaRecord, detail: str) -> None:
        await self._persistently(
            "Kafka", partial(self._parking.park, place.topic, place.partition, record, detail)
        )

    async def _skip_expired(self, offsets: dict[TopicPartition, int]) -> None:
        beginnings = await self._consumer.beginning_offsets(list(offsets))
        for place, offset in offsets.items():
            now_ms, last = int(time.time() * 1000), beginnings[place] - 1
            await self._parking.expired(place.topic, place.partition, offset, last, now_ms)
            if self._tables[place.topic] is tables.EVENTS and place in self._sinks:
                made = sink_gaps.records(
                    await self._known_projects(place), place.topic, place.partition, offset, last
                )
                self._sinks[place].offer(made, beginnings[place])
            self._consumer.seek(place, beginnings[place])

    async def _known_projects(self, place: TopicPartition) -> list[str]:
        while not self._stopping.is_set():
            try:
                return await self._database.projects(place.topic, place.partition)
            except ClickHouseUnavailable as error:
                await self._outage.wait(error)
        return []

    async def _persistently(self, what: str, call: Any) -> Any:
        """Call until it succeeds; one line says what is waited for. Errors that do not pass are raised."""
        pause_s, said = _RETRY_S, False
        while True:
            try:
                return await call()
            except KafkaError as error:
                if isinstance(error, (CommitFailedError, IllegalStateError)) or self._stopping.is_set():
                    raise
                if not said:
                    self._log.warning(
                        f"waiting for {what} at {self._kafka.bootstrap_servers}, nothing is lost: "
                        "is the broker running, and is FSWIRE_KAFKA_BOOTSTRAP_SERVERS right?",
                        problem=str(error),
                    )
                said = True
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_RETRY_S)


def to_pause(sinks: Mapping[TopicPartition, PartitionSink], held_bytes: int) -> set[TopicPartition]:
    """Return of which partitions nothing is to be read now; one that settles a plan has to read it."""
    over = sum(sink.held_bytes for sink in sinks.values()) >= held_bytes
    return {place for place, sink in sinks.items() if sink.full or (over and not sink.taking_over)}


async def _run() -> None:
    settings = SinkSettings(), KafkaSettings(), ClickHouseSettings()
    throughput = Throughput("sink")  # one count of the process: who reads its log takes differences
    sinks = [Sink(*settings, suffix, throughput) for suffix in tables.GROUPS]

    def stop() -> None:
        for sink in sinks:
            sink.stop()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    try:
        async with asyncio.TaskGroup() as running:
            for sink in sinks:
                running.create_task(sink.run())
    except ExceptionGroup as group:
        raise group.exceptions[0] from group


def main() -> int:
    """Run one sink until SIGTERM or SIGINT; return the exit status."""
    log.configure("sink")
    collect_seldom()
    read_rows()
    try:
        uvloop.run(_run())
    except KafkaError as error:
        structlog.get_logger().error("ended", problem=str(error))
        return 1
    structlog.get_logger().info("stopped")
    return 0
