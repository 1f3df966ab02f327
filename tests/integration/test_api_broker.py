"""The api's links to a real broker: publishing, following outcomes, connecting late; and its process."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from agent.kafka import KafkaSettings, partition_of
from api.broker import Broker
from api.errors import Unavailable
from api.outcomes import Follower
from api.publisher import Publisher
from processors import topics, topics_apply
from processors.outcomes import Outcome, encode

pytestmark = pytest.mark.stack
PARTITIONS = 3


@pytest.fixture
def own(kafka: KafkaSettings) -> KafkaSettings:
    """The broker with a topic prefix of the test's own, no topics yet."""
    return kafka.model_copy(update={"topic_prefix": f"t-{secrets.token_hex(6)}."})


async def until(condition: Callable[[], bool]) -> None:
    """Return when a condition holds; fail after a while."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  what is awaited tells nobody but who looks
            await asyncio.sleep(0.01)


async def publish(kafka: KafkaSettings, partition: int, *values: bytes) -> None:
    async with AIOKafkaProducer(**kafka.producer()) as producer:
        for value in values:
            await producer.send_and_wait(kafka.topic(topics.OUTCOMES), value, partition=partition)


def with_topics(kafka: KafkaSettings, scenario: Callable[[], Awaitable[None]]) -> None:
    async def scene() -> None:
        await topics_apply.apply(kafka, PARTITIONS, 1)
        await scenario()

    asyncio.run(scene())


def test_batch_goes_to_its_projects_partition(own: KafkaSettings) -> None:
    """As Kafka's default partitioner would place it, with the project as key."""

    async def scenario() -> None:
        publisher = Publisher(own)
        await publisher.start()
        await publisher.send("proj_1", b"{}")
        assert await publisher.reachable()
        await publisher.stop()
        there = TopicPartition(own.topic(topics.RAW), partition_of("proj_1", PARTITIONS))
        async with AIOKafkaConsumer(**own.client(), auto_offset_reset="earliest") as consumer:
            consumer.assign([there])
            record = await consumer.getone(there)
        assert (record.key, record.value) == (b"proj_1", b"{}")

    with_topics(own, scenario)


def test_publisher_works_on_after_a_failed_send(own: KafkaSettings) -> None:
    """What can never be sent fails alone; a fresh producer takes over."""

    async def scenario() -> None:
        publisher = Publisher(own)
        await publisher.start()
        with pytest.raises(Exception, match="bytes"):
            await publisher.send("p", b"x" * (4 * 1024 * 1024))
        await publisher.send("p", b"{}")
        await publisher.stop()
        with pytest.raises(ConnectionError):
            await publisher.send("p", b"{}")

    with_topics(own, scenario)


def test_follower_hands_on_what_comes_after_its_start(own: KafkaSettings) -> None:
    """Of its own partition; what is not readable is passed over."""
    outcomes = [Outcome(f"c{number}", "p", "e", "inserted") for number in range(4)]

    async def scenario() -> None:
        seen: list[Outcome] = []
        await publish(own, 1, encode(outcomes[0]))
        follower = Follower(own, 1, seen.append)
        await follower.start()
        assert follower.following
        await publish(own, 0, encode(outcomes[1]))
        await publish(own, 1, encode(outcomes[2]), b"not JSON", b"\xff", encode(outcomes[3]))
        await until(lambda: len(seen) == 2)
        await follower.stop()
        assert not follower.following
        assert seen == outcomes[2:]

    with_topics(own, scenario)


def test_broker_connects_when_the_topics_come(own: KafkaSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before, everything is Unavailable and says so; nothing has to be restarted."""
    monkeypatch.setattr("api.publisher.METADATA_TIMEOUT_S", 0.2)

    async def scene() -> None:
        broker = Broker(own, lambda _: None)
        running = asyncio.create_task(broker.run())
        with pytest.raises(Unavailable):
            _ = broker.registry
        assert set((await broker.state()).values()) == {"not connected yet"}
        await topics_apply.apply(own, PARTITIONS, 1)
        monkeypatch.undo()
        await until(lambda: broker.connected)
        assert set((await broker.state()).values()) == {"ok"}
        await broker.send("p", b"{}")
        running.cancel()
        await asyncio.wait([running])

    asyncio.run(scene())


def test_process_serves_without_a_broker_and_stops_cleanly() -> None:
    """It says once what it lacks, answers 503 meanwhile, and ends with 0 at SIGTERM."""
    environment = os.environ | {
        "FSWIRE_API_PORT": "0",
        "FSWIRE_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "FSWIRE_CLICKHOUSE_URL": "http://u:hush@127.0.0.1:1/default",
    }
    process = subprocess.Popen(
        [sys.executable, "-c", "import sys; from api import serve; sys.exit(serve.main())"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        told = _told(process.stderr, {"started", "broker not reachable, trying again"})
        status, body = _get(told["started"]["url"] + "/health/ready")
        refused, _ = _get(told["started"]["url"] + "/2026-02-01/systems/directory-monitor/p/events.json")
    finally:
        process.send_signal(signal.SIGTERM)
        output, rest = process.communicate(timeout=60)

    assert (status, refused) == (503, 503)
    assert {detail["field"] for detail in body["details"]} == {"broker", "registry", "outcomes", "database"}
    assert "127.0.0.1:1" in told["broker not reachable, trying again"]["broker"]
    assert "check" in told["broker not reachable, trying again"]
    assert (process.returncode, output) == (0, "")
    assert "hush" not in rest
    assert '"stopped"' in rest


def _told(lines: Any, awaited: set[str]) -> dict[str, Any]:
    import json

    told: dict[str, Any] = {}
    while not awaited <= told.keys():
        line = lines.readline()
        assert line, f"it ended before it said {awaited - told.keys()}"
        entry = json.loads(line)
        told[entry["event"]] = entry
    return told


def _get(url: str) -> tuple[int, Any]:
    import httpx2

    answer = httpx2.get(url, headers={"Authorization": "Bearer a.b"}, timeout=30)
    return answer.status_code, answer.json()
