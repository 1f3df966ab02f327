"""Commits of one consumer: those of several partitions that come while one is under way go out together."""

from __future__ import annotations

import asyncio

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError

NONE_COMMITTED_S = (0.1, 0.2, 0.4, 0.8)
"""Between questions for a committed offset that should be there: a broker that starts says it has none."""


class SessionLost(Exception):
    """The partition is another worker's by now, or soon: nothing more may be sent for it."""


class Commits:
    """One commit request under way at a time."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer
        self._waiting: dict[TopicPartition, tuple[int, asyncio.Future[None]]] = {}
        self._task: asyncio.Task[None] | None = None

    async def commit(self, partition: TopicPartition, offset: int) -> None:
        """Return once the group's coordinator holds this offset; one call per partition at a time.

        Raises SessionLost where the group gave the partition away, KafkaError where the coordinator refused.
        """
        committed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[partition] = (offset, committed)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        await committed

    async def _run(self) -> None:
        while self._waiting:
            taken, self._waiting = self._waiting, {}
            error: Exception | None = None
            try:
                await self._consumer.commit({partition: offset for partition, (offset, _) in taken.items()})
            except (CommitFailedError, IllegalStateError) as lost:
                error = SessionLost(str(lost))
            except Exception as failed:  # noqa: BLE001  handed to those who wait
                error = failed
            for _, committed in taken.values():
                if committed.done():
                    continue
                if error is None:
                    committed.set_result(None)
                else:
                    committed.set_exception(error)
