"""Sends a root's outbox to `fswire.raw`: batch after batch, each until the broker has acknowledged it.

One batch of a project is on its way at a time. Whatever goes wrong is tried again for ever, with back-off:
the outbox keeps what is not acknowledged, and consumers drop what comes twice by agent, epoch and number.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    KafkaError,
    MessageSizeTooLargeError,
    RecordTooLargeError,
    UnknownTopicOrPartitionError,
)

from agent.handover import Handover
from agent.kafka import KafkaSettings, partition_of
from agent.log import Throughput
from agent.outbox import Outbox, Parcel

_log = structlog.get_logger()
TOPIC = "raw"
_FIRST_BACKOFF_S = 0.1
_LONGEST_BACKOFF_S = 10.0
_TOPIC_S = 3.0
"""aiokafka itself looks for a topic that is not there for 40 seconds."""
_QUIET_S = 60.0
"""A broker that stays away is logged about once in this time."""


Send = Callable[[bytes], Awaitable[None]]
"""Delivers an encoded batch, or raises KafkaError or OSError."""


class Connection:
    """The producer that all roots share, made anew after an error: its numbers may no longer agree."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self._topic = kafka.topic(TOPIC)
        self._producer: AIOKafkaProducer | None = None
        self._lock = asyncio.Lock()

    async def send(self, project: str, value: bytes) -> None:
        """Send one record and wait for its acknowledgement; raises KafkaError, TimeoutError, OSError."""
        producer = await self._started()
        try:
            partitions = await self._partitions(producer)
            key = project.encode()
            await producer.send_and_wait(
                self._topic, value, key=key, partition=partition_of(project, partitions)
            )
        except (MessageSizeTooLargeError, RecordTooLargeError):
            raise
        except (KafkaError, OSError):
            await self._discard(producer)
            raise

    async def _partitions(self, producer: AIOKafkaProducer) -> int:
        try:
            return len(await asyncio.wait_for(producer.partitions_for(self._topic), _TOPIC_S))
        except TimeoutError:
            raise UnknownTopicOrPartitionError(
                f"there is no topic {self._topic}: fswire topics apply makes it"
            ) from None

    async def close(self) -> None:
        """Let go of the broker."""
        if self._producer is not None:
            await self._discard(self._producer)

    async def _started(self) -> AIOKafkaProducer:
        async with self._lock:
            if self._producer is None:
                producer = AIOKafkaProducer(**self._kafka.producer())
                try:
                    await producer.start()
                except BaseException:
                    await producer.stop()
                    raise
                self._producer = producer
            return self._producer

    async def _discard(self, producer: AIOKafkaProducer) -> None:
        async with self._lock:
            if self._producer is producer:
                self._producer = None
        await producer.stop()


class Publisher:
    """Publishes one root."""

    def __init__(
        self,
        outbox: Outbox,
        handover: Handover,
        send: Send,
        throughput: Throughput | None,
        *,
        where: str,
        heartbeat_s: float,
    ) -> None:
        self._outbox = outbox
        self._handover = handover
        self._send = send
        self._throughput = throughput
        self._where = where
        self._heartbeat_s = heartbeat_s
        self._row = 0
        self._current_epoch = outbox.newest_epoch()
        self._last_seq = 0
        self._sent = time.monotonic()
        self._complained = -_QUIET_S
        self._away = False
        self._news = asyncio.Event()
        self._draining = False

    def tell(self) -> None:
        """Say that there may be something to do; called on the event loop's thread."""
        self._news.set()

    def drain(self) -> None:
        """End as soon as the outbox is empty."""
        self._draining = True
        self._news.set()

    async def run(self) -> None:
        """Publish until draining is over."""
        while True:
            self._news.clear()
            parcel = self._outbox.next(self._row)
            if parcel is not None:
                await self._publish(parcel)
            elif self._draining:
                return
            elif not await self._wait():
                await self._heartbeat()

    async def _publish(self, parcel: Parcel) -> None:
        try:
            await self._deliver(parcel.value)
        except (MessageSizeTooLargeError, RecordTooLargeError):
            await self._publish_split(parcel)
        self._row = parcel.row
        if parcel.epoch == self._current_epoch:
            self._last_seq = parcel.last_seq
        self._handover.acknowledge(parcel.row)
        if self._throughput is not None:
            self._throughput.add(parcel.events)

    async def _publish_split(self, parcel: Parcel) -> None:
        """Send the events of a batch one by one: the broker takes smaller records than this agent makes."""
        for single in self._outbox.singles(self._row, parcel):
            while True:
                try:
                    await self._deliver(single)
                    break
                except (MessageSizeTooLargeError, RecordTooLargeError) as error:
                    self._complain(error, "max.message.bytes of the topic")
                    await asyncio.sleep(_LONGEST_BACKOFF_S)

    async def _heartbeat(self) -> None:
        await self._deliver(self._outbox.heartbeat(self._current_epoch, self._last_seq + 1))

    async def _deliver(self, value: bytes) -> None:
        backoff_s = _FIRST_BACKOFF_S
        while True:
            try:
                await self._send(value)
            except (MessageSizeTooLargeError, RecordTooLargeError):
                raise
            except BrokenPipeError:  # whoever read the standard output has had enough
                raise
            except (KafkaError, OSError) as error:
                self._complain(error, "the broker, and FSWIRE_KAFKA_BOOTSTRAP_SERVERS")
                await asyncio.sleep(backoff_s)
                backoff_s = min(2 * backoff_s, _LONGEST_BACKOFF_S)
            else:
                self._sent = time.monotonic()
                if self._away:
                    self._away = False
                    _log.info("broker_back", where=self._where)
                return

    async def _wait(self) -> bool:
        """Wait for news; False: there were none for as long as a heartbeat takes."""
        patience = self._sent + self._heartbeat_s - time.monotonic()
        try:
            await asyncio.wait_for(self._news.wait(), max(0.0, patience))
        except TimeoutError:
            return False
        return True

    def _complain(self, error: Exception, check: str) -> None:
        self._away = True
        if time.monotonic() - self._complained > _QUIET_S:
            self._complained = time.monotonic()
            message = str(error) or type(error).__name__
            _log.warning("broker_unavailable", where=self._where, error=message, check=check, retry=True)
