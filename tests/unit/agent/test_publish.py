"""Batches leave in order, one at a time, and only an acknowledgement lets go of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from aiokafka.errors import KafkaConnectionError, MessageSizeTooLargeError

from agent import publish
from agent.event import Batch, Event, Status, decode_batch
from agent.handover import Handover
from agent.journal import Journal, Made
from agent.outbox import Outbox
from agent.publish import Publisher
from tests.unit.agent.watched import PATIENCE_S


class Broker:
    """Takes batches as a broker would, or refuses them as `refuse` says."""

    def __init__(self, refuse: Callable[[Batch], Exception | None] = lambda _: None) -> None:
        self.batches: list[Batch] = []
        self.refused = 0
        self._refuse = refuse
        self.news = asyncio.Event()

    async def send(self, value: bytes) -> None:
        batch = decode_batch(value)
        error = self._refuse(batch)
        await asyncio.sleep(0)
        if error is not None:
            self.refused += 1
            self.news.set()
            raise error
        self.batches.append(batch)
        self.news.set()


class Line:
    """A journal and a publisher over it."""

    def __init__(self, directory: Path, stack: ExitStack, broker: Broker, heartbeat_s: float = 60.0) -> None:
        path = directory / "journal.db"
        self.journal = stack.enter_context(Journal(path, Made("machine", 1, 2)))
        self.handover = Handover()
        outbox = stack.enter_context(Outbox(path, "p", "host"))
        self.publisher = Publisher(
            outbox,
            self.handover,
            broker.send,
            None,
            project="p",
            where="test",
            heartbeat_s=heartbeat_s,
            status=Status,
        )

    def write(self, *names: str) -> None:
        for name in names:
            self.journal.append(Event("create", name, 1))
        self.journal.commit()
        self.publisher.tell()

    async def drain(self) -> None:
        self.publisher.drain()
        await asyncio.wait_for(self.publisher.run(), PATIENCE_S)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish, "_FIRST_BACKOFF_S", 0.001)
    monkeypatch.setattr(publish, "_LONGEST_BACKOFF_S", 0.002)


def test_publisher_empties_the_outbox(tmp_path: Path) -> None:
    """Everything is sent in order, and what was acknowledged is said to be."""

    async def scenario() -> None:
        broker = Broker()
        with ExitStack() as stack:
            line = Line(tmp_path, stack, broker)
            line.write("a", "b")
            line.write("c")
            await line.drain()

            assert [event.path for batch in broker.batches for event in batch.events] == ["a", "b", "c"]
            assert line.handover.acknowledged == 2

    asyncio.run(scenario())


def test_publisher_repeats_until_acknowledged(tmp_path: Path) -> None:
    """A broker that is away for long costs nothing: the same batch is sent until it is taken."""
    failures = iter([KafkaConnectionError("away"), OSError("away")] * 20)

    async def scenario() -> None:
        broker = Broker(lambda _: next(failures, None))
        with ExitStack() as stack:
            line = Line(tmp_path, stack, broker)
            line.write("a")
            await line.drain()

            assert broker.refused == 40
            assert [(batch.first_seq, len(batch.events)) for batch in broker.batches] == [(1, 1)]

    asyncio.run(scenario())


def test_publisher_acknowledges_nothing_before_the_broker(tmp_path: Path) -> None:
    """A publisher that ends before the acknowledgement leaves its rows to the next."""

    async def scenario() -> None:
        broker = Broker(lambda _: KafkaConnectionError("away"))
        with ExitStack() as stack:
            line = Line(tmp_path, stack, broker)
            line.write("a")
            task = asyncio.create_task(line.publisher.run())
            while broker.refused < 3:
                broker.news.clear()
                await broker.news.wait()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

            assert line.handover.acknowledged == 0

    asyncio.run(scenario())


def test_publisher_splits_what_the_broker_finds_too_large(tmp_path: Path) -> None:
    """A smaller limit of the broker costs batches, not events: each keeps its number."""

    async def scenario() -> None:
        broker = Broker(lambda batch: MessageSizeTooLargeError() if len(batch.events) > 1 else None)
        with ExitStack() as stack:
            line = Line(tmp_path, stack, broker)
            line.write("a", "b", "c")
            await line.drain()

            sent = [(batch.first_seq, batch.events[0].path) for batch in broker.batches]
            assert sent == [(1, "a"), (2, "b"), (3, "c")]
            assert line.handover.acknowledged == 1

    asyncio.run(scenario())


@pytest.mark.usefixtures("heartbeats_at_rest")
def test_publisher_is_heard_when_nothing_happens(tmp_path: Path) -> None:
    """A quiet agent sends batches without events, numbered with what comes next."""

    async def scenario() -> None:
        broker = Broker()
        with ExitStack() as stack:
            line = Line(tmp_path, stack, broker, heartbeat_s=0.01)
            line.write("a")
            task = asyncio.create_task(line.publisher.run())
            while len(broker.batches) < 2:
                broker.news.clear()
                await asyncio.wait_for(broker.news.wait(), PATIENCE_S)
            line.publisher.drain()
            await task

            assert [(batch.first_seq, len(batch.events)) for batch in broker.batches][:2] == [(1, 1), (2, 0)]

    asyncio.run(scenario())


def test_publisher_that_reads_damage_says_so_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row that is not as it was written is not sent; the journal that takes its place is, from number 1."""
    monkeypatch.setattr(publish, "_UNREADABLE_S", 0.001)

    async def scenario() -> None:
        broker = Broker()
        with ExitStack() as stack:
            line = Line(tmp_path, stack, broker, heartbeat_s=0.01)
            line.write("a")
            line.journal._database.execute("UPDATE outbox SET checksum = checksum + 1")
            doubted = asyncio.Event()
            monkeypatch.setattr(line.handover, "doubt", doubted.set)
            task = asyncio.create_task(line.publisher.run())
            await asyncio.wait_for(doubted.wait(), PATIENCE_S)
            before = line.journal.epoch
            line.journal.replace()
            line.write("b", "c")
            while len(broker.batches) < 2:
                broker.news.clear()
                await asyncio.wait_for(broker.news.wait(), PATIENCE_S)
            line.publisher.drain()
            await task

            sent = [batch for batch in broker.batches if batch.events]
            assert line.journal.epoch != before
            assert [(batch.epoch, batch.first_seq, len(batch.events)) for batch in sent] == [
                (line.journal.epoch, 1, 2)
            ]

    asyncio.run(scenario())


def test_heartbeat_that_is_too_large_ends_nothing(tmp_path: Path) -> None:
    """A topic that takes only the smallest records gets the events all the same."""

    async def scenario() -> None:
        broker = Broker(lambda batch: None if batch.events else MessageSizeTooLargeError())
        with ExitStack() as stack:
            line = Line(tmp_path, stack, broker, heartbeat_s=0.001)
            task = asyncio.create_task(line.publisher.run())
            while not broker.refused:
                broker.news.clear()
                await asyncio.wait_for(broker.news.wait(), PATIENCE_S)
            line.write("a")
            line.publisher.drain()
            await task

            assert [event.path for batch in broker.batches for event in batch.events] == ["a"]

    asyncio.run(scenario())
