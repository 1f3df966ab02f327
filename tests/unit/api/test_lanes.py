"""Order, numbering and batching of what is published; and the waiting for what comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from agent.event import MAX_BATCH_BYTES, Batch, Event, Previous, decode_batch
from api.errors import BodyTooLarge
from api.lanes import MAX_BATCH_EVENTS, Entry, Lanes
from api.waiting import Identity, Late, SendFailed, Waiting
from processors.outcomes import Outcome


class Wire:
    """Takes batches one at a time as it is let; `broken` refuses them."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.under_way = 0
        self.most_under_way = 0
        self.broken = False

    async def send(self, _: str, encoded: bytes) -> None:
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await asyncio.sleep(0)
        self.under_way -= 1
        if self.broken:
            raise ConnectionError("broken")
        self.batches.append(decode_batch(encoded))

    def paths(self) -> list[str]:
        return [event.path for batch in self.batches for event in batch.events]


def entry(
    path: str, host: str = "", failures: list[Exception] | None = None, *, wanted: bool = True
) -> Entry:
    event = Event(kind="create", path=path, time_ns=1, source="http")
    return Entry(event, host, wanted=lambda: wanted, fail=(failures if failures is not None else []).append)


def run(scenario: Callable[[Lanes, Wire], Awaitable[None]]) -> Wire:
    wire = Wire()

    async def scene() -> None:
        lanes = Lanes("api-1", wire.send, clock_ns=lambda: 7)
        await scenario(lanes, wire)
        await lanes.close()

    asyncio.run(scene())
    return wire


def test_events_of_a_project_keep_order_and_count_on() -> None:
    """The first leaves at once, what gathered meanwhile leaves together; numbers have no hole."""

    async def scenario(lanes: Lanes, _: Wire) -> None:
        for number in range(10):
            lanes.add("p", entry(str(number)))
            if number in (0, 5):
                await asyncio.sleep(0)

    wire = run(scenario)
    assert wire.paths() == [str(number) for number in range(10)]
    following = 1
    for batch in wire.batches:
        assert (batch.first_seq, batch.agent, batch.epoch) == (following, "api-1", wire.batches[0].epoch)
        following += len(batch.events)
    assert 1 < len(wire.batches) < 10
    assert wire.most_under_way == 1


def test_projects_do_not_wait_for_each_other() -> None:
    """Each has a lane, an epoch and numbers of its own."""

    async def scenario(lanes: Lanes, _: Wire) -> None:
        for project in ("p", "q"):
            lanes.add(project, entry("a"))

    wire = run(scenario)
    assert wire.most_under_way == 2
    assert [batch.first_seq for batch in wire.batches] == [1, 1]
    assert len({batch.epoch for batch in wire.batches}) == 2


def test_batch_has_one_host() -> None:
    """A batch names one host, so another host's events follow in the next."""

    async def scenario(lanes: Lanes, _: Wire) -> None:
        for path, host in (("a", "h"), ("b", "h"), ("c", "i"), ("d", "h")):
            lanes.add("p", entry(path, host))

    wire = run(scenario)
    assert [(batch.host, batch.first_seq) for batch in wire.batches] == [("h", 1), ("i", 3), ("h", 4)]
    assert wire.paths() == ["a", "b", "c", "d"]


def test_batch_is_bounded() -> None:
    """By number of events and by bytes."""

    async def scenario(lanes: Lanes, _: Wire) -> None:
        for number in range(MAX_BATCH_EVENTS + 1):
            lanes.add("p", entry(str(number)))
        for _number in range(5):
            lanes.add("q", entry("x" * (MAX_BATCH_BYTES // 3)))

    wire = run(scenario)
    assert max(len(batch.events) for batch in wire.batches) == MAX_BATCH_EVENTS
    assert sum(len(batch.events) for batch in wire.batches if batch.project == "q") == 5
    assert [batch.first_seq for batch in wire.batches if batch.project == "q"] == [1, 3, 4]


def test_event_larger_than_a_batch_is_refused() -> None:
    """It fails alone, and takes no number."""
    failures: list[Exception] = []

    async def scenario(lanes: Lanes, _: Wire) -> None:
        lanes.add("p", entry("x" * MAX_BATCH_BYTES, failures=failures))
        lanes.add("p", entry("a"))

    wire = run(scenario)
    assert [type(failure) for failure in failures] == [BodyTooLarge]
    assert (wire.paths(), wire.batches[0].first_seq) == (["a"], 1)


def test_event_that_nobody_awaits_any_more_is_not_sent() -> None:
    """It was answered 503 while it stood in line; it takes no number."""

    async def scenario(lanes: Lanes, _: Wire) -> None:
        lanes.add("p", entry("a", wanted=False))
        lanes.add("p", entry("b"))

    wire = run(scenario)
    assert (wire.paths(), wire.batches[0].first_seq) == (["b"], 1)


def test_failed_send_begins_a_new_epoch() -> None:
    """Its events fail; the next batch counts from 1 and names what was acknowledged of the epoch before."""
    failures: list[Exception] = []

    async def scenario(lanes: Lanes, wire: Wire) -> None:
        lanes.add("p", entry("a"))
        lanes.add("p", entry("b"))
        await lanes.close()
        wire.broken = True
        lanes.add("p", entry("c", failures=failures))
        await lanes.close()
        wire.broken = False
        lanes.add("p", entry("d"))
        await lanes.close()
        lanes.add("p", entry("e"))

    wire = run(scenario)
    first, second, third = wire.batches
    assert [type(failure) for failure in failures] == [SendFailed]
    assert second.epoch != first.epoch
    assert second.previous == Previous(first.epoch, 2)
    assert (second.first_seq, third.first_seq, third.epoch, third.previous) == (1, 2, second.epoch, None)


def outcome(name: str) -> Outcome:
    return Outcome(name, "p", "e", "inserted")


def test_outcome_reaches_whoever_waits() -> None:
    """By correlation id; one that nobody awaits is dropped, and nothing is kept."""

    async def scenario() -> None:
        waiting = Waiting("api-1", timeout_ms=1000)
        name, decided = waiting.expect(Identity("p", "e", "c"))
        assert waiting.pending(Identity("p", "e", "c")) is decided
        waiting.resolve(outcome("another"))
        waiting.resolve(outcome(name))
        waiting.resolve(outcome(name))
        assert (await decided).id == name
        await asyncio.sleep(0)
        assert (len(waiting), waiting.pending(Identity("p", "e", "c"))) == (0, None)

    asyncio.run(scenario())


def test_wait_ends_by_itself() -> None:
    """A decision that does not come is Late, and a retry is a request of its own."""

    async def scenario() -> None:
        waiting = Waiting("api-1", timeout_ms=1)
        _, decided = waiting.expect(Identity("p", "e", "c"))
        with pytest.raises(Late):
            await decided
        assert waiting.pending(Identity("p", "e", "c")) is None

    asyncio.run(scenario())


def test_same_id_with_other_content_waits_apart() -> None:
    """Only what is the same is joined."""

    async def scenario() -> None:
        waiting = Waiting("api-1", timeout_ms=1000)
        waiting.expect(Identity("p", "e", "c"))
        assert waiting.pending(Identity("p", "e", "d")) is None
        assert waiting.pending(Identity("q", "e", "c")) is None

    asyncio.run(scenario())
