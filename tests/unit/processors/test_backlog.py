import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiokafka import TopicPartition

from agent.event import encode
from processors.backlog import GROUP_EVENTS, Backlog, OffsetsExpired
from tests.unit.processors.raw import RECEIVED_MS, batch, event

RAW = TopicPartition("fswire.raw", 0)


@dataclass
class Read:
    offset: int
    value: bytes | None
    key: bytes | None = None
    timestamp: int = RECEIVED_MS


@dataclass
class Consumer:
    said: list[str] = field(default_factory=list)

    def pause(self, _partition: TopicPartition) -> None:
        self.said.append("pause")

    def resume(self, _partition: TopicPartition) -> None:
        self.said.append("resume")


def read(offset: int, events: int) -> Any:
    return Read(offset, encode(batch(*(event() for _ in range(events)))))


def backlog(consumer: Any = None, max_bytes: int = 10**6) -> Backlog:
    return Backlog(consumer or Consumer(), RAW, max_bytes=max_bytes)


def chunks(of: Backlog, max_events: int, count: int) -> list[list[int]]:
    return [[offset for group in each for offset in group] for each in groups(of, max_events, count)]


def groups(of: Backlog, max_events: int, count: int) -> list[list[list[int]]]:
    async def take() -> list[list[list[int]]]:
        taken = [await of.chunk(max_events) for _ in range(count)]
        return [[[record.offset for record in group] for group in chunk] for chunk in taken]

    return asyncio.run(take())


def test_chunk_holds_at_most_its_events() -> None:
    """Records are decided together up to the limit; what would pass it comes next."""
    held = backlog()
    held.put([read(0, 3), read(1, 3), read(2, 5), read(3, 1)])

    assert chunks(held, 6, 2) == [[0, 1], [2, 3]]


def test_record_larger_than_a_chunk_is_one() -> None:
    """A single record is never cut."""
    held = backlog()
    held.put([read(0, 9), read(1, 1)])

    assert chunks(held, 6, 2) == [[0], [1]]


def test_chunk_comes_in_groups() -> None:
    """What is decoded at one time is bounded; a record that is larger is a group of its own."""
    half = GROUP_EVENTS // 2
    held = backlog()
    held.put([read(0, half), read(1, half), read(2, 1), read(3, 2 * GROUP_EVENTS), read(4, 1), read(5, 1)])

    assert groups(held, 10 * GROUP_EVENTS, 1) == [[[0, 1], [2], [3], [4, 5]]]


def test_chunk_holds_no_more_events_than_it_may_whatever_they_say() -> None:
    """They are counted without being decoded: what looks like an event counts as one, never the reverse."""
    held = backlog()
    tricky = batch(event(path='"kind"'), event(path="kind", extra='{"kind":"kind"}'), event())
    held.put([Read(0, encode(tricky)), read(1, 3), read(2, 3)])  # type: ignore[list-item]

    assert chunks(held, 6, 2) == [[0], [1, 2]]


def test_bad_records_count_as_one_event() -> None:
    """Records without events do not make a chunk endless."""
    held = backlog()
    held.put([Read(offset, b"?") for offset in range(5)] + [read(5, 0)])  # type: ignore[list-item]

    assert chunks(held, 3, 2) == [[0, 1, 2], [3, 4, 5]]


def test_reading_pauses_while_much_is_undecided() -> None:
    """Past the bound reading pauses, at half of it it goes on."""
    consumer = Consumer()
    size = len(read(0, 1).value)
    held = backlog(consumer, max_bytes=3 * size)
    held.put([read(offset, 1) for offset in range(4)])
    paused = list(consumer.said)

    chunks(held, 1, 2)

    assert paused == ["pause"]
    assert chunks(held, 1, 1) == [[2]]
    assert consumer.said == ["pause", "resume"]


def test_loss_is_told_after_the_last_record_before_it() -> None:
    """What was read before the loss is decided first."""
    held = backlog()
    held.put([read(0, 1)])
    held.expire(1)

    assert chunks(held, 10, 1) == [[0]]
    with pytest.raises(OffsetsExpired) as expired:
        asyncio.run(held.chunk(10))
    assert expired.value.offset == 1


def test_chunk_waits_for_records() -> None:
    """An empty backlog lets its partition wait."""

    async def scenario() -> list[Any]:
        held = backlog()
        waiting = asyncio.create_task(held.chunk(10))
        await asyncio.sleep(0)
        assert not waiting.done()
        held.put([read(4, 2)])
        return await waiting

    [[record]] = asyncio.run(scenario())
    assert (record.offset, record.timestamp_ms) == (4, RECEIVED_MS)
    assert record.value == read(4, 2).value
