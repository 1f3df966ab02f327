"""Deaths at every step and at random moments: what topics and tables then hold, by a checker of its own."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import ProducerClosed

from agent.kafka import KafkaSettings
from deploy import broker, kafka_jars
from processors import moves, registry, tree
from processors.publisher import Publisher
from processors.registry import Registry
from processors.workflow import Action, ToTopic, Workflow
from tests.chaos.checker import Checker
from tests.chaos.drill import SMALL, Chaos
from tests.chaos.fleet import Fleet, running
from tests.chaos.lives import live
from tests.chaos.load import partition_of
from tests.chaos.model import Rule
from tests.chaos.reading import Broker
from tests.integration.lacking import cannot_start
from tests.integration.normalizing import PARTITIONS, make_topics

pytestmark = pytest.mark.stack
_PROJECT = "steps"
_RULE = Rule("w", "modified", "hot-")
_FOR_EVER = 10**9


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory is large with few files, and re-keyed in several steps."""
    monkeypatch.setattr(tree, "AT_ONCE", 8)
    monkeypatch.setattr(moves, "STEP_ENTRIES", 8)


def _event(kind: str, path: str, **fields: Any) -> dict[str, Any]:
    return {"kind": kind, "path": path, "time_ns": 1_763_688_000_000_000_000, **fields}


def _written(path: str, content: str, **fields: Any) -> dict[str, Any]:
    sha256 = hashlib.sha256(content.encode()).hexdigest()
    return _event("closeWrite", path, sha256=sha256, mtime_ns=1, size=1, written=True, **fields)


def _put(path: str, identity: str) -> dict[str, Any]:
    http = {
        "event_id": identity,
        "content": identity,
        "event": "modified",
        "reply": {"id": "r", "partition": 0},
    }
    return _written(path, "put", source="http", http=http)


def _renamed(path: str, to: str) -> dict[str, Any]:
    return _event("rename", path, renamed_to=to, moved="within", is_dir=True)


def _made(top: str) -> list[dict[str, Any]]:
    """A large directory, and another."""
    files = [_written(f"{top}/{name}/f{nth}", "a") for name in ("old", "gone") for nth in range(20)]
    return [_event("create", top, is_dir=True), *files]


def _changed(top: str) -> list[dict[str, Any]]:
    """What happens to them: renamed twice with changes in between, deleted; runs are queued."""
    return [
        _renamed(f"{top}/old", f"{top}/new"),
        _written(f"{top}/new/f3", "a"),
        _written(f"{top}/new/f4", "b"),
        _renamed(f"{top}/new", f"{top}/last"),
        _written(f"{top}/old/f5", "a"),
        _event("delete", f"{top}/gone", is_dir=True),
        _written(f"{top}/gone/f6", "a"),
        _put(f"{top}/hot-put", f"id-{top}"),
        _written(f"{top}/last/hot-1", "a"),
        _written(f"{top}/last/hot-1", "a"),
    ]


class _Rounds:
    """Raw records of one project and of one agent, a few in each round."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self.raw = TopicPartition(kafka.topic("raw"), partition_of(_PROJECT, PARTITIONS))
        self._kafka = kafka
        self._seq = 1

    async def write(self, nth: int) -> None:
        """Write a batch, the same again, and what follows."""
        top = f"r{nth}"
        made, changed = self._batch(_made(top)), self._batch(_changed(top))
        async with AIOKafkaProducer(**self._kafka.producer()) as producer:
            for batch in (made, made, changed):
                value = json.dumps(batch).encode()
                await producer.send_and_wait(*self.raw[:1], value, _PROJECT.encode(), self.raw.partition)

    def _batch(self, events: list[dict[str, Any]]) -> dict[str, Any]:
        first, self._seq = self._seq, self._seq + len(events)
        sender = {"v": 1, "project": _PROJECT, "host": "h", "agent": "agt_1", "epoch": "e1", "sent_ns": 1}
        return {**sender, "first_seq": first, "events": events}


async def _die_at_every_step(own: KafkaSettings, directory: Path, *, kept: bool) -> tuple[int, Checker]:
    """Die after each number of steps, and once more; return how many steps there are, and the verdict."""
    view, rounds = Registry(own), _Rounds(own)
    action, trigger = Action(topic=ToTopic("elsewhere")), f"DirectoryMonitor.{_PROJECT}.modified.notify"
    await registry.write(own, Workflow(_RULE.workflow, _PROJECT, trigger, action, include=("hot-*",)))
    await view.start()
    try:
        steps, lived = 0, False
        while not lived:
            await rounds.write(steps)
            lived = await live(own, view, rounds.raw, directory, steps)
            for allowed in (steps * 7 % 29, _FOR_EVER):
                if not kept:
                    shutil.rmtree(directory, ignore_errors=True)
                await live(own, view, rounds.raw, directory, allowed)
            steps += 1
    finally:
        await view.stop()
    topics = Broker(own.bootstrap_servers, own.topic_prefix)
    model = await topics.model((_RULE,))
    checker = Checker(model.told, model.files)
    await topics.check(checker, ended="queued")
    return steps, checker


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("kept", [True, False], ids=["its own disk", "an empty disk"])
def test_death_between_any_two_steps_loses_and_doubles_nothing(
    kafka: KafkaSettings, tmp_path: Path, kept: bool
) -> None:
    """Outputs, runs, state, files, commit, local store, re-keying: whatever came last before the death."""
    own = make_topics(kafka, _PROJECT)

    steps, checker = asyncio.run(_die_at_every_step(own, tmp_path / "data", kept=kept))

    assert not checker.faults, str(checker.faults)
    assert steps > 20


def test_acknowledgement_that_will_not_come_is_an_error(kafka: KafkaSettings) -> None:
    """One partition's failure abandons the producer that all share: no other may wait for ever."""
    own = make_topics(kafka, _PROJECT)

    async def abandoned() -> None:
        publisher = Publisher(own)
        await publisher.start()
        try:
            producer = publisher.producer
            # as while a batch before it is under way
            producer._sender._muted_partitions.add(TopicPartition(own.topic("watch"), 0))
            sent = await producer.send(own.topic("watch"), b"1", partition=0)
            await publisher.replace(producer)
            await asyncio.wait_for(sent, 60)
        finally:
            await publisher.stop()

    with pytest.raises(ProducerClosed):
        asyncio.run(abandoned())


@pytest.fixture
def quiet() -> Iterator[None]:
    """The load's client is not to warn of a broker that is killed on purpose."""
    logger = logging.getLogger("aiokafka")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(before)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """Servers of its own: they are killed."""
    with ExitStack() as servers:
        try:
            started = servers.enter_context(running(tmp_path))
        except (ImportError, kafka_jars.JarsRefused, broker.BrokerRefused) as error:
            cannot_start("Kafka", error)
        yield started


@pytest.mark.usefixtures("quiet")
def test_random_deaths_lose_and_double_nothing(fleet: Fleet) -> None:
    """Workers, sinks, broker and database are killed while agents publish: one row per event, and no more."""
    seed = secrets.randbelow(1_000_000)
    print(f"seed {seed}")
    chaos = Chaos(fleet, SMALL, seed)

    checker = chaos.run()

    assert not checker.faults, f"{chaos.summary()}\n{checker.faults}"
