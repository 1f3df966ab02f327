"""The agents as the server side sees them: a record for each heartbeat, and from those records the metrics.

An agent that is silent stands out by the age of its last sign of life, also after a restart of the worker:
what the topic holds is read when its partitions are taken over. A quiet agent goes on sending.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection

import msgspec
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from agent.event import Batch, Status
from agent.kafka import KafkaSettings
from processors import metrics
from processors.instants import iso, iso_of_ms
from processors.recovery import reading

_log = structlog.get_logger()
_POLL_MS = 1_000
_DAY_S = 86_400.0
_encode = msgspec.json.Encoder().encode


class Heartbeat(msgspec.Struct, rename="camel", omit_defaults=True, frozen=True):
    """A heartbeat in `fswire.agents`; records of older agents, and of older workers, have less in them."""

    agent: str
    project_id: str
    host: str = ""
    epoch: str = ""
    last_seq: int | None = None
    """Number of the last event that was sent before."""
    next_seq: int | None = None
    sent_at: str = ""
    received_at: str = ""
    lag_ms: int | None = None
    """From sending to the broker, by the clocks of both."""
    backend: str | None = None
    folded: bool | None = None
    depth: int | None = None
    journal_bytes: int | None = None
    directories: int | None = None
    watched: int | None = None
    polled: int | None = None
    open_gaps: int | None = None
    version: str = ""


_decode = msgspec.json.Decoder(Heartbeat).decode


def key(agent: str, project: str) -> bytes:
    """Return the key of an agent's heartbeats for one of its projects."""
    return f"{agent}/{project}".encode()


def value(batch: Batch, received_ms: int) -> bytes:
    """Return what a batch without events becomes; a pure function of the raw record."""
    heartbeat = Heartbeat(
        agent=batch.agent,
        project_id=batch.project,
        host=batch.host,
        epoch=batch.epoch,
        last_seq=batch.first_seq - 1,
        next_seq=batch.first_seq,
        sent_at=iso(batch.sent_ns),
        received_at=iso_of_ms(received_ms),
        lag_ms=received_ms - batch.sent_ns // 1_000_000,
    )
    return _encode(heartbeat if batch.status is None else _with(heartbeat, batch.status))


def _with(heartbeat: Heartbeat, status: Status) -> Heartbeat:
    return msgspec.structs.replace(heartbeat, **msgspec.structs.asdict(status))


class Fleet:
    """Keeps the metrics of the agents whose heartbeats this worker reads; the newest of each counts."""

    def __init__(self, kafka: KafkaSettings, topic: str, days: int) -> None:
        self._kafka = kafka
        self._topic = kafka.topic(topic)
        self._longest_s = days * _DAY_S
        self._seen: dict[tuple[str, str], float] = {}
        self._told: dict[tuple[str, str], tuple[str, ...]] = {}
        self._loading: asyncio.Task[None] | None = None

    def note(self, key: bytes | None, value: bytes | None, timestamp_s: float) -> None:
        """Take a record; what is no heartbeat is none of ours, one without a value takes an agent away."""
        if not key or key.startswith(b"session/"):
            return
        if not value:
            agent, _, project = key.decode(errors="replace").rpartition("/")
            self._forget((agent, project))
            return
        try:
            heartbeat = _decode(value)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return
        self._take(heartbeat, timestamp_s)

    def take_over(self, partitions: Collection[TopicPartition]) -> None:
        """Begin anew with what these partitions hold; called on the event loop after each rebalance."""
        if self._loading is not None:
            self._loading.cancel()
        for name in list(self._seen):
            self._forget(name)
        ours = [each for each in partitions if each.topic == self._topic]
        self._loading = asyncio.create_task(self._load(ours)) if ours else None

    async def _load(self, partitions: list[TopicPartition]) -> None:
        try:
            async with reading(self._kafka) as consumer:
                for each in partitions:
                    await self._read(consumer, TopicPartition(each.topic, each.partition))
        except KafkaError as error:
            _log.warning(
                "earlier heartbeats cannot be read: agents silent since are not shown", error=repr(error)
            )

    async def _read(self, consumer: AIOKafkaConsumer, partition: TopicPartition) -> None:
        consumer.assign([partition])
        end = (await consumer.end_offsets([partition]))[partition]
        consumer.seek(partition, (await consumer.beginning_offsets([partition]))[partition])
        while await consumer.position(partition) < end:
            for record in (await consumer.getmany(partition, timeout_ms=_POLL_MS)).get(partition, ()):
                self.note(record.key, record.value, record.timestamp / 1000)

    def _take(self, heartbeat: Heartbeat, timestamp_s: float) -> None:
        name = heartbeat.agent, heartbeat.project_id
        if timestamp_s < max(self._seen.get(name, 0.0), time.time() - self._longest_s):
            return
        self._seen[name] = timestamp_s
        metrics.AGENT_LAST_SEEN_SECONDS.labels(*name).set(timestamp_s)
        for gauge, number in zip(metrics.HEARTBEAT_GAUGES, _numbers(heartbeat), strict=True):
            if number is not None:
                gauge.labels(*name).set(number)
        self._tell(name, (heartbeat.host, heartbeat.backend or "", str(bool(heartbeat.folded)).lower()))

    def _tell(self, name: tuple[str, str], words: tuple[str, ...]) -> None:
        former = self._told.get(name)
        if former is not None and former != words:
            metrics.HEARTBEAT_INFO.remove(*name, *former)
        self._told[name] = words
        metrics.HEARTBEAT_INFO.labels(*name, *words).set(1)

    def _forget(self, name: tuple[str, str]) -> None:
        if self._seen.pop(name, None) is None:
            return
        for gauge in (metrics.AGENT_LAST_SEEN_SECONDS, *metrics.HEARTBEAT_GAUGES):
            gauge.remove(*name)
        metrics.HEARTBEAT_INFO.remove(*name, *self._told.pop(name))


def _numbers(heartbeat: Heartbeat) -> tuple[float | None, ...]:
    """Return the values of `metrics.HEARTBEAT_GAUGES`, in their order."""
    return (
        heartbeat.lag_ms / 1000 if heartbeat.lag_ms is not None else None,
        heartbeat.last_seq,
        heartbeat.depth,
        heartbeat.journal_bytes,
        heartbeat.directories,
        heartbeat.watched,
        heartbeat.polled,
        heartbeat.open_gaps,
    )
