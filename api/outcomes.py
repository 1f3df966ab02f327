"""Follows this process's partition of `fswire.outcomes` and hands every decision on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from agent.kafka import KafkaSettings
from processors import topics
from processors.outcomes import Outcome, decode

POLL_MS = 1_000
BACK_OFF_S = 1.0

_log = structlog.get_logger()


class Follower:
    """Reads one partition from its end onwards, outside any group; `resolve` is called for each outcome."""

    def __init__(self, kafka: KafkaSettings, partition: int, resolve: Callable[[Outcome], None]) -> None:
        self._partition = TopicPartition(kafka.topic(topics.OUTCOMES), partition)
        self._resolve = resolve
        self._consumer = AIOKafkaConsumer(
            **kafka.client(), group_id=None, enable_auto_commit=False, auto_offset_reset="latest"
        )
        self._task: asyncio.Task[None] | None = None

    @property
    def following(self) -> bool:
        """Tell whether outcomes are being read."""
        return self._task is not None and not self._task.done()

    async def start(self) -> None:
        """Stand at the end of the partition: what is decided from now on is seen."""
        try:
            await self._consumer.start()
            self._consumer.assign([self._partition])
            await self._consumer.seek_to_end(self._partition)
            await self._consumer.position(self._partition)
        except BaseException:
            await self._consumer.stop()
            raise
        self._task = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        """Stop reading and disconnect."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._consumer.stop()

    async def _follow(self) -> None:
        while True:
            try:
                polled = await self._consumer.getmany(self._partition, timeout_ms=POLL_MS)
            except KafkaError as error:
                _log.warning("outcomes cannot be read", error=repr(error))
                await asyncio.sleep(BACK_OFF_S)
                continue
            for record in polled.get(self._partition, ()):
                self._hand_on(record.value)

    def _hand_on(self, value: bytes | None) -> None:
        try:
            outcome = decode(value or b"")
        except (msgspec.MsgspecError, UnicodeDecodeError):
            _log.warning("an outcome is not readable", partition=self._partition.partition)
            return
        self._resolve(outcome)
