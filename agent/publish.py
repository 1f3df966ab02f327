"""Sends a root's outbox to `fswire.raw`: batch after batch, each until the broker has acknowledged it.

One batch of a project is on its way at a time. Whatever goes wrong is tried again for ever, with back-off:
the outbox keeps what is not acknowledged, and consumers drop what comes twice by agent, epoch and number.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordTooLargeError,
    UnknownTopicOrPartitionError,
)

from agent.broker_trouble import Listener, explain
from agent.damage import JournalCorrupt, is_damage
from agent.event import Status
from agent.handover import Handover
from agent.heartbeat import MOST_SILENT
from agent.kafka import KafkaSettings, partition_of
from agent.log import Throughput
from agent.metrics import PUBLISHED
from agent.outbox import Outbox, Parcel

_log = structlog.get_logger()
TOPIC = "raw"
_FIRST_BACKOFF_S = 0.1
_LONGEST_BACKOFF_S = 10.0
_TOPIC_S = 3.0
"""aiokafka itself looks for a topic that is not there for 40 seconds."""
_UNREADABLE_S = 1.0
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
        self._listener = Listener()
        self._listener.listen()

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
                except KafkaConnectionError as error:
                    await producer.stop()
                    raise error from self._listener.cause()
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
        project: str,
        where: str,
        heartbeat_s: float,
        status: Callable[[], Status],
    ) -> None:
        self._outbox = outbox
        self._handover = handover
        self._send = send
        self._throughput = throughput
        self._where = where
        self._heartbeat_s = heartbeat_s
        self._status = status
        self._published = PUBLISHED.labels(project)
        self._row = 0
        self._current_epoch = outbox.newest_epoch()
        self._last_seq = 0
        self._sent = self._told = time.monotonic()
        self._complained = -_QUIET_S
        self._away_since: float | None = None
        self._news = asyncio.Event()
        self._draining = False

    def tell(self) -> None:
        """Say that there may be something to do; called on the event loop's thread."""
        self._news.set()

    def away_s(self) -> float:
        """Return for how long the broker has taken nothing, 0 while it takes what it is given."""
        return 0.0 if self._away_since is None else time.monotonic() - self._away_since

    def drain(self) -> None:
        """End as soon as the outbox is empty."""
        self._draining = True
        self._news.set()

    async def run(self) -> None:
        """Publish until draining is over."""
        while True:
            self._news.clear()
            try:
                if await self._step():
                    return
            except (sqlite3.Error, JournalCorrupt) as error:
                await self._could_not_read(error)

    async def _step(self) -> bool:
        """Publish the next batch, or wait for one; True: draining is over."""
        parcel = self._outbox.next(self._row)
        if parcel is not None:
            if time.monotonic() - self._told > MOST_SILENT * self._heartbeat_s:
                await self._heartbeat()
            await self._publish(parcel)
        elif self._draining:
            return True
        elif not await self._wait():
            await self._heartbeat()
        return False

    async def _could_not_read(self, error: Exception) -> None:
        """Leave it to the watching thread to replace a damaged journal; whatever else it is may pass."""
        if is_damage(error):
            self._handover.doubt()
        _log.warning("outbox_unreadable", error=str(error), retry=True)
        await asyncio.sleep(_UNREADABLE_S)

    async def _publish(self, parcel: Parcel) -> None:
        try:
            await self._deliver(parcel.value)
        except (MessageSizeTooLargeError, RecordTooLargeError):
            await self._publish_split(parcel)
        self._row = parcel.row
        self._follow_epoch()
        if parcel.epoch == self._current_epoch:
            self._last_seq = parcel.last_seq
        self._handover.acknowledge(parcel.row)
        self._published.inc(parcel.events)
        if self._throughput is not None:
            self._throughput.add(parcel.events)

    def _follow_epoch(self) -> None:
        """See whether a new journal, with numbers of its own, has taken the place of a damaged one."""
        newest = self._outbox.newest_epoch()
        if newest != self._current_epoch:
            self._current_epoch, self._last_seq = newest, 0

    async def _publish_split(self, parcel: Parcel) -> None:
        """Send the events of a batch one by one: the broker takes smaller records than this agent makes."""
        for single in self._outbox.singles(self._row, parcel):
            while True:
                try:
                    await self._deliver(single)
                    break
                except (MessageSizeTooLargeError, RecordTooLargeError) as error:
                    self._complain(explain(error).said, "max.message.bytes of the topic")
                    await asyncio.sleep(_LONGEST_BACKOFF_S)

    async def _heartbeat(self) -> None:
        try:
            await self._deliver(self._beat(), self._beat)
        except (MessageSizeTooLargeError, RecordTooLargeError) as error:
            self._complain(*explain(error))
        self._told = self._sent = time.monotonic()

    def _beat(self) -> bytes:
        try:
            status = self._status()
        except (sqlite3.Error, OSError):  # whoever writes the journal finds out, and says so
            status = None
        self._follow_epoch()
        return self._outbox.heartbeat(self._current_epoch, self._last_seq + 1, status)

    async def _deliver(self, value: bytes, again: Callable[[], bytes] | None = None) -> None:
        """Send until it is taken; `again` makes the value anew, of which only the newest matters."""
        backoff_s = _FIRST_BACKOFF_S
        while True:
            try:
                await self._send(value)
            except (MessageSizeTooLargeError, RecordTooLargeError):
                raise
            except BrokenPipeError:  # whoever read the standard output has had enough
                raise
            except (KafkaError, OSError) as error:
                self._complain(*explain(error))
                await asyncio.sleep(backoff_s)
                backoff_s = min(2 * backoff_s, _LONGEST_BACKOFF_S)
                value = again() if again is not None else value
            else:
                self._sent = time.monotonic()
                if self._away_since is not None:
                    self._away_since = None
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

    def _complain(self, error: str, check: str) -> None:
        now = time.monotonic()
        self._away_since = self._away_since or now
        if now - self._complained > _QUIET_S:
            self._complained = now
            _log.warning("broker_unavailable", where=self._where, error=error, check=check, retry=True)
