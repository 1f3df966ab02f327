"""An agent is heard from, quiet or busy, and says how it is doing."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import pytest
from aiokafka.errors import KafkaConnectionError
from prometheus_client import REGISTRY

from agent import metrics, publish
from agent.coverage import Coverage
from agent.event import Batch, Event, Status
from agent.handover import Handover
from agent.health import PATIENCE_S
from agent.heartbeat import MOST_SILENT, Pulse
from agent.journal import Journal, Made
from agent.outbox import Outbox
from agent.publish import Publisher
from tests.unit.agent import watched
from tests.unit.agent.test_publish import Broker

HEARTBEAT_S = 10.0


class Line:
    """A journal, what is told of it, and a publisher over it."""

    def __init__(self, directory: Path, stack: ExitStack, broker: Broker, heartbeat_s: float) -> None:
        path = directory / "journal.db"
        self.journal = stack.enter_context(Journal(path, Made("machine", 1, 2)))
        self.coverage = Coverage("beating")
        self.coverage.backend = "inotify"
        self.coverage.update(5, watched=3, polled=2)
        handover, outbox = Handover(), stack.enter_context(Outbox(path, "beating", "host"))
        self.pulse = Pulse("beating", outbox, handover, self.coverage)
        self.publisher = Publisher(
            outbox,
            handover,
            broker.send,
            None,
            project="beating",
            where="test",
            heartbeat_s=heartbeat_s,
            status=self.pulse.status,
        )

    def write(self, number: int) -> None:
        """Commit so many events, a batch each."""
        for index in range(number):
            self.journal.append(Event("create", str(index), 1))
            self.journal.commit()


def _heard(
    tmp_path: Path,
    heartbeat_s: float,
    until: Callable[[Broker], bool],
    *,
    broker: Broker | None = None,
    events: int = 1,
) -> tuple[Broker, Line]:
    """Run a publisher until the broker has heard what is waited for."""
    broker = broker or Broker()

    async def scenario() -> Line:
        with ExitStack() as stack:
            line = Line(tmp_path, stack, broker, heartbeat_s)
            line.write(events)
            task = asyncio.create_task(line.publisher.run())
            async with asyncio.timeout(watched.PATIENCE_S):
                while not until(broker):
                    broker.news.clear()
                    await broker.news.wait()
            line.publisher.drain()
            await task
            return line

    return broker, asyncio.run(scenario())


def _has_beaten(broker: Broker) -> bool:
    return any(not batch.events for batch in broker.batches)


@pytest.mark.usefixtures("heartbeats_at_rest")
def test_heartbeat_tells_how_the_agent_is_doing(tmp_path: Path) -> None:
    """Backend, journal and coverage; the last number is the one before `first_seq`."""
    broker, _ = _heard(tmp_path, 0.01, _has_beaten, events=1)

    beat = next(batch for batch in broker.batches if not batch.events)
    assert beat.first_seq == 2
    assert beat.status is not None
    known = beat.status.journal_bytes, 5, 3, 2, 0, version("fswire")
    assert beat.status == Status("inotify", False, 0, *known)
    assert beat.status.journal_bytes > 0


def test_busy_agent_sends_heartbeats_between_its_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much there is to publish, depth and coverage are no older than a few heartbeats."""
    clock = itertools.count(0, HEARTBEAT_S)
    monkeypatch.setattr(publish, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr("agent.outbox.MAX_ROW_EVENTS", 1)
    broker, _ = _heard(tmp_path, HEARTBEAT_S, _has_beaten, events=40)

    sizes = [len(batch.events) for batch in broker.batches]
    beats = [index for index, size in enumerate(sizes) if size == 0]
    assert sum(sizes) == 40
    assert max(after - before for before, after in itertools.pairwise(beats)) <= MOST_SILENT + 1
    assert [batch.first_seq for batch in broker.batches if batch.events] == list(range(1, 41))


@pytest.mark.usefixtures("heartbeats_at_rest")
def test_heartbeat_that_was_held_up_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What arrives after an outage tells of now, not of its beginning."""
    monkeypatch.setattr(publish, "_FIRST_BACKOFF_S", 0.001)
    refusals = iter([None, *[KafkaConnectionError("away")] * 3])
    refused: list[int] = []

    def refuse(batch: Batch) -> Exception | None:
        error = next(refusals, None)
        if error is not None:
            refused.append(batch.sent_ns)
        return error

    broker, _ = _heard(tmp_path, 0.01, _has_beaten, broker=Broker(refuse))

    beat = next(batch for batch in broker.batches if not batch.events)
    assert len(refused) == 3
    assert beat.sent_ns > max(refused)


def test_broker_that_is_away_is_told_by_its_time(tmp_path: Path) -> None:
    """How long it has taken nothing is known while it is away, and forgotten once it is back."""
    broker = Broker(lambda _: KafkaConnectionError("away"))

    async def scenario() -> float:
        with ExitStack() as stack:
            line = Line(tmp_path, stack, broker, 60)
            before = line.publisher.away_s()
            line.write(1)
            task = asyncio.create_task(line.publisher.run())
            await asyncio.wait_for(broker.news.wait(), watched.PATIENCE_S)
            await asyncio.sleep(0)
            away_s = line.publisher.away_s()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert before == 0
            return away_s

    assert 0 < asyncio.run(scenario()) < PATIENCE_S


@pytest.mark.usefixtures("heartbeats_at_rest")
def test_status_is_in_the_metrics(tmp_path: Path) -> None:
    """Whoever asks for the status brings the gauges up to date; what was published is counted per batch."""
    before = REGISTRY.get_sample_value("fswire_agent_published_events_total", {"project": "beating"}) or 0
    _heard(tmp_path, 0.01, _has_beaten, events=3)

    def value(name: str) -> float | None:
        return REGISTRY.get_sample_value(name, {"project": "beating"})

    assert value("fswire_agent_published_events_total") == before + 3
    assert value("fswire_agent_journal_events") == 0
    assert (value("fswire_agent_journal_bytes") or 0) > 0
    assert value("fswire_agent_polled_directories") == 2


def test_project_that_is_watched_no_more_is_not_measured() -> None:
    """A root that a reload took away leaves its counters, and no gauge that stands still."""
    Coverage("left").update(5, watched=5, polled=0)
    metrics.PUBLISHED.labels("left").inc()
    metrics.forget("left")

    assert REGISTRY.get_sample_value("fswire_agent_directories", {"project": "left"}) is None
    assert REGISTRY.get_sample_value("fswire_agent_published_events_total", {"project": "left"}) == 1
