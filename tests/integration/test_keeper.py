"""The fence of a partition's state and files: what an earlier owner still sends is refused by the broker."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from aiokafka.errors import KafkaError

from agent.kafka import KafkaSettings
from processors import files
from processors.commits import SessionLost
from processors.files import At
from processors.keeper import Keeper
from processors.record_batch import Record
from tests.integration.normalizing import PARTITIONS, make_topics, read_count, read_until

pytestmark = pytest.mark.stack
PARTITION = PARTITIONS - 1
Then = Callable[[Keeper, Keeper], Awaitable[None]]


def gone(path: str) -> Record:
    return files.record(files.key("proj", path), None, None, At(1, 0), 1_700_000_000_000)


class Group:
    """Stands for the group: says whose the partition is."""

    def __init__(self) -> None:
        self.owner = ""

    def keeper(self, kafka: KafkaSettings, name: str) -> Keeper:
        async def prove() -> None:
            if self.owner != name:
                raise SessionLost(name)

        return Keeper(kafka, "keepers", PARTITION, prove)


def test_keeper_that_was_replaced_writes_nothing_more(kafka: KafkaSettings) -> None:
    """Once another has claimed the partition, neither files nor state of the one before are appended."""
    own = make_topics(kafka)
    group = Group()

    async def written() -> tuple[BaseException | None, ...]:
        first, second = group.keeper(own, "first"), group.keeper(own, "second")
        await first.claim()
        await first.files([gone("before")])
        await second.claim()
        refused = await asyncio.gather(
            first.files([gone("late")]), first.state([(b"late", b"{}")]), return_exceptions=True
        )
        await second.files([gone("after")])
        await asyncio.gather(first.close(), second.close())
        return tuple(each for each in refused if isinstance(each, BaseException))

    refused = asyncio.run(written())

    assert len(refused) == 2
    assert all(isinstance(each, KafkaError) for each in refused)
    paths = [each.key for each in read_count(own, "files", 2)]
    assert paths == [files.key("proj", "before"), files.key("proj", "after")]
    state = read_until(own, "state", lambda found: len(found) >= 2)
    assert {each.key for each in state} == {b"owner/"}


def after_a_refusal(
    own: KafkaSettings, owner: str, then: Callable[[Keeper, Keeper], Awaitable[None]]
) -> None:
    """Let two keepers claim in turn and the first be refused once; `then` goes on with both."""
    group = Group()
    group.owner = owner

    async def written() -> None:
        first, second = group.keeper(own, "first"), group.keeper(own, "second")
        await first.claim()
        await second.claim()
        with pytest.raises(KafkaError):
            await first.files([gone("refused")])
        await then(first, second)
        await asyncio.gather(first.close(), second.close())

    asyncio.run(written())


def test_keeper_that_was_fenced_in_error_claims_again(kafka: KafkaSettings) -> None:
    """An owner that somebody else fenced, or whose write failed, goes on under a claim of its own."""
    own = make_topics(kafka)

    async def then(first: Keeper, _second: Keeper) -> None:
        await first.files([gone("again")])

    after_a_refusal(own, "first", then)

    assert [each.key for each in read_count(own, "files", 1)] == [files.key("proj", "again")]


def test_keeper_without_its_partition_fences_nobody(kafka: KafkaSettings) -> None:
    """A worker that lost the partition and whose write failed learns of it before it claims again."""
    own = make_topics(kafka)

    async def then(first: Keeper, second: Keeper) -> None:
        with pytest.raises(SessionLost):
            await first.files([gone("refused")])
        await second.files([gone("taken")])

    after_a_refusal(own, "second", then)

    assert [each.key for each in read_count(own, "files", 1)] == [files.key("proj", "taken")]
