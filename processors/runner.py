"""The service that carries out workflow runs: it follows `fswire.runs`, by partition.

The group is for ownership alone, and to prove it: a partition is read from its beginning by whoever takes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError
from mode import Service
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from agent.kafka import KafkaSettings
from processors import runs, topics
from processors.actions import ActionFailed, Actions
from processors.commits import Commits, SessionLost
from processors.fenced import Fenced
from processors.registry import Registry
from processors.runner_partition import RunnerPartition
from processors.runs import Run
from processors.settings import ProcessorsSettings
from processors.targets import TargetSettings
from processors.workflow import Workflow

_POLL_MS = 1_000
_BACK_OFF_S = 1.0
_TOPIC_S = 5.0
"""aiokafka itself looks for a topic that is not there for 40 seconds."""
_log = structlog.get_logger()


class RunnerSettings(BaseSettings):
    """How workflow runs are carried out, read once from `FSWIRE_RUNNER_…`."""

    model_config = SettingsConfigDict(env_prefix="FSWIRE_RUNNER_", frozen=True, extra="forbid")

    group: str = "fswire-runner"
    """Consumer group; its members share the partitions of `fswire.runs`."""
    at_once: int = Field(default=16, ge=1)
    """Attempts under way at once, per partition."""
    commands: tuple[str, ...] = ()
    """Programs that workflows may run on this host, as they stand first in `argv`; none unless listed."""


class Runner(Service):  # type: ignore[misc]
    """Runs as long as the worker does."""

    def __init__(
        self, kafka: KafkaSettings, worker: ProcessorsSettings, settings: RunnerSettings, **service: Any
    ) -> None:
        super().__init__(**service)
        self._kafka = kafka
        self._worker = worker
        self._settings = settings
        self._registry = Registry(kafka)
        self._consumer: AIOKafkaConsumer | None = None
        self._producer: AIOKafkaProducer | None = None
        self._actions: Actions | None = None
        self._commits: Commits | None = None
        self._owned: dict[TopicPartition, _Owned] = {}

    async def on_start(self) -> None:
        """Connect and join the group."""
        await self._registry.start()
        self._producer = AIOKafkaProducer(**self._kafka.producer())
        await self._producer.start()
        self._actions = Actions(
            self._send,
            prefix=self._kafka.topic_prefix,
            commands=self._settings.commands,
            allow_private=TargetSettings().allow_private_targets,
        )
        self._consumer = self._new_consumer()
        self._commits = Commits(self._consumer)
        await self._consumer.start()
        self._consumer.subscribe([self._kafka.topic(topics.RUNS)], listener=_Listener(self))

    async def on_stop(self) -> None:
        """End attempts, leave the group, disconnect; what was under way goes on with the next owner."""
        await self.revoked(list(self._owned))
        for each in (self._consumer, self._producer):
            if each is not None:
                await each.stop()
        if self._actions is not None:
            await self._actions.close()
        await self._registry.stop()

    @Service.task  # type: ignore[untyped-decorator]
    async def _read(self) -> None:
        while not self.should_stop:
            try:
                polled = await self._connected().getmany(timeout_ms=_POLL_MS if self._all_restored() else 10)
                for partition, records in polled.items():
                    for record in records:
                        await self._take(partition, record.key, record.value)
                await self._restore()
            except KafkaError as error:
                _log.warning("reading runs failed, trying again", error=repr(error))
                await self.sleep(_BACK_OFF_S)

    async def _take(self, partition: TopicPartition, key: bytes | None, value: bytes | None) -> None:
        owned = self._owned.get(partition)
        if owned is None:
            return
        try:
            run = runs.decode(value) if value else None
            over = owned.runs.take((key or b"").decode(), run)
        except ValueError as error:  # msgspec's errors and those of decoding are ValueErrors
            _log.warning("a record of the runs is not readable", error=str(error))
            return
        if over is not None:
            await over

    async def _restore(self) -> None:
        """Begin the runs of partitions that have been read up to where they ended when they were taken."""
        consumer = self._connected()
        for partition, owned in list(self._owned.items()):
            if owned.restored:
                continue
            if owned.end is None:
                await owned.fenced.claim()
                owned.end = (await consumer.end_offsets([partition]))[partition]
            if partition in self._owned and await consumer.position(partition) >= owned.end:
                owned.restored = True
                await owned.runs.restored()

    def _all_restored(self) -> bool:
        return all(owned.restored for owned in self._owned.values())

    async def assigned(self, partitions: Collection[TopicPartition]) -> None:
        """Take partitions over: they are read before anything is begun."""
        for partition in partitions:
            self._owned[partition] = self._taken(partition)

    async def revoked(self, partitions: Collection[TopicPartition]) -> None:
        """Give partitions up: their attempts end."""
        given_up = [self._owned.pop(partition) for partition in partitions if partition in self._owned]
        await asyncio.gather(*(owned.stop() for owned in given_up))

    def _taken(self, partition: TopicPartition) -> _Owned:
        actions, commits = self._actions, self._commits
        if actions is None or commits is None:
            raise RuntimeError("the service is not started")

        proving = asyncio.Lock()

        async def append(run: Run) -> None:
            await self._insist(lambda: self._append(fenced, partition, run))

        async def prove() -> None:
            # the coordinator takes it from the owner alone; runs are always read from their beginning
            async with proving:
                await self._insist(lambda: commits.commit(partition, 0))

        async def announce(producer: AIOKafkaProducer) -> None:
            await producer.send_and_wait(partition.topic, None, topics.CLAIM_KEY, partition.partition)

        fenced = Fenced(self._kafka, f"{self._settings.group}-{partition.partition}", announce, prove)
        at_once = self._settings.at_once
        return _Owned(RunnerPartition(actions, self._workflow, append, prove, self._failed, at_once), fenced)

    async def _workflow(self, name: str) -> Workflow | None:
        """Return a workflow: whoever queued a run of it may have known it before this process does."""
        if name not in self._registry.workflows:
            await self._insist(self._registry.catch_up)
        return self._registry.workflows.get(name)

    async def _insist(self, attempt: Callable[[], Awaitable[None]]) -> None:
        """Try until it succeeds; SessionLost ends it."""
        while True:
            try:
                await attempt()
            except KafkaError as error:
                _log.warning("the broker did not answer the runner, trying again", error=repr(error))
                await asyncio.sleep(_BACK_OFF_S)
            else:
                return

    def _failed(self, error: BaseException) -> None:
        if isinstance(error, SessionLost):
            _log.warning("runs are lost to another worker", detail=str(error))
            return
        _log.error("runner failed", exc_info=error)
        self.add_future(self.crash(error))

    async def _append(self, fenced: Fenced, partition: TopicPartition, run: Run) -> None:
        async with fenced.writing() as producer:
            key = run.id.encode()
            await producer.send_and_wait(partition.topic, runs.encode(run), key, partition.partition)

    async def _send(self, topic: str, key: bytes, value: bytes) -> None:
        """Append a record to somebody's topic; raises ActionFailed."""
        producer = self._producing()
        try:
            await asyncio.wait_for(producer.partitions_for(topic), _TOPIC_S)
            await producer.send_and_wait(topic, value, key)
        except TimeoutError as error:
            raise ActionFailed(f"there is no topic {topic}") from error
        except KafkaError as error:
            raise ActionFailed(f"topic {topic}: {error!r}") from error

    def _connected(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            raise RuntimeError("the service is not started")
        return self._consumer

    def _producing(self) -> AIOKafkaProducer:
        if self._producer is None:
            raise RuntimeError("the service is not started")
        return self._producer

    def _new_consumer(self) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            **self._kafka.client(),
            **self._worker.member(),
            group_id=self._settings.group,
            auto_offset_reset="earliest",
        )


@dataclass
class _Owned:
    """A partition of this worker, and up to where it is read before its runs begin."""

    runs: RunnerPartition
    fenced: Fenced
    end: int | None = None
    restored: bool = False

    async def stop(self) -> None:
        """End attempts, then send no more."""
        await self.runs.stop()
        await self.fenced.close()


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Hands the group's callbacks on."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Called after every rebalance."""
        await self._runner.assigned(assigned)

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Called before every rebalance, with all that was assigned."""
        await self._runner.revoked(revoked)
