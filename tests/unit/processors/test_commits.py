import asyncio
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from processors.commits import Commits, SessionLost

ONE, TWO, THREE = (TopicPartition("fswire.raw", number) for number in range(3))


class Consumer:
    """Takes commits; each waits until it is let through."""

    def __init__(self, *errors: Exception) -> None:
        self.requests: list[dict[TopicPartition, int]] = []
        self.gate = asyncio.Event()
        self._errors = list(errors)

    async def commit(self, offsets: dict[TopicPartition, int]) -> None:
        self.requests.append(offsets)
        await self.gate.wait()
        if self._errors:
            raise self._errors.pop(0)


def test_commits_that_come_together_leave_together() -> None:
    """While one commit is under way others gather, and go out as one request."""

    async def scenario() -> list[dict[TopicPartition, int]]:
        consumer: Any = Consumer()
        commits = Commits(consumer)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(commits.commit(ONE, 1))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            tasks.create_task(commits.commit(TWO, 2))
            tasks.create_task(commits.commit(THREE, 3))
            await asyncio.sleep(0)
            consumer.gate.set()
        requests: list[dict[TopicPartition, int]] = consumer.requests
        return requests

    assert asyncio.run(scenario()) == [{ONE: 1}, {TWO: 2, THREE: 3}]


@pytest.mark.parametrize(
    ("error", "raised"),
    [(CommitFailedError(), SessionLost), (IllegalStateError(), SessionLost), (KafkaError(), KafkaError)],
)
def test_refused_commit_is_told_to_who_waits(error: Exception, raised: type[Exception]) -> None:
    """A commit that the group refuses means that the partition is gone; another error is itself."""

    async def scenario() -> None:
        consumer: Any = Consumer(error)
        consumer.gate.set()
        commits = Commits(consumer)
        with pytest.raises(raised):
            await commits.commit(ONE, 1)
        await commits.commit(ONE, 2)

    asyncio.run(scenario())
