"""What the sink makes rows of, between a real broker and a real database."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from processors import topics
from processors.rows import Row
from processors.sink import Sink, SinkSettings
from processors.sink_database import RowsRefused
from processors.sink_parking import Parking
from tests.integration.sinking import (
    AWAIT_S,
    PARTITIONS,
    Line,
    await_rows,
    dead_letters,
    produce,
    replay_all,
    sink_process,
    sink_until,
    value_of,
)

pytestmark = pytest.mark.stack


def test_records_become_rows(line: Line) -> None:
    """Every record of every partition is one row, its fields in their columns."""
    asyncio.run(produce(line, [value_of(number) for number in range(1200)]))
    asyncio.run(produce(line, [value_of(number) for number in range(7)], partition=1))

    asyncio.run(sink_until(line, lambda: line.arrived() >= 1207))

    assert line.events() == [(0, number) for number in range(1200)] + [(1, number) for number in range(7)]
    client = line.store.place.connect()
    row = client.query(
        "SELECT project_id, path, size, lower(hex(sha256)), toString(occurred), src, details FROM events "
        "WHERE kafka_topic = {t:String} AND kafka_partition = 1 AND kafka_offset = 6",
        parameters={"t": line.topic},
    ).first_row
    client.close()
    assert tuple(row) == ("proj", "a/6", 6, "ab" * 32, "2026-11-21 01:20:00.123456", "6.0.0", "{}")


def test_repeats_are_dropped(line: Line) -> None:
    """What is not above the last `src` is a redelivery and no row, also after a restart."""
    asyncio.run(produce(line, [value_of(number) for number in range(10)]))
    asyncio.run(sink_until(line, lambda: line.arrived() >= 10))
    asyncio.run(produce(line, [value_of(number) for number in range(5, 12)], first=5))

    asyncio.run(sink_until(line, lambda: line.arrived() >= 12))

    assert line.events() == [(0, number) for number in (*range(10), 15, 16)]


def test_bad_records_are_parked(line: Line) -> None:
    """What ClickHouse refuses goes to the dead letters with its bytes; its neighbours are rows."""
    bad: dict[int, bytes | None] = {
        2: b"text",
        3: None,
        7: b'{"eventId":"x","projectId":"p","filesize":"much"}',
        11: b'{"eventId":"x"}',
        12: b'{"eventId":"x","projectId":"p","sha256":"' + b"a" * 70 + b'"}',
        13: b'{"eventId":"x","projectId":"p","unknown":' + b"[" * 3000 + b"]" * 3000 + b"}",
    }
    asyncio.run(produce(line, [bad.get(number, value_of(number)) for number in range(20)]))

    asyncio.run(sink_until(line, lambda: line.arrived() >= 20 - len(bad)))

    assert line.events() == [(0, number) for number in range(20) if number not in bad]
    parked = asyncio.run(dead_letters(line))
    assert sorted(letter["offset"] for letter in parked) == sorted(bad)
    assert {(letter["topic"], letter["partition"], letter["reason"]) for letter in parked} == {
        (line.topic, 0, "refused_row")
    }


def test_refused_row_is_replayed_once_the_fault_is_mended(line: Line) -> None:
    """Refused while the fault is there; then one row as it would have been, however often it is asked."""

    line.alter("ALTER TABLE events ADD CONSTRAINT fault CHECK path != 'a/3'")
    try:
        asyncio.run(produce(line, [value_of(number) for number in range(5)]))
        asyncio.run(sink_until(line, lambda: line.arrived() >= 4))
        with pytest.raises(RowsRefused, match="fault"):
            asyncio.run(replay_all(line))
    finally:
        line.alter("ALTER TABLE events DROP CONSTRAINT fault")

    asyncio.run(replay_all(line))
    asyncio.run(replay_all(line))

    assert line.events() == [(0, number) for number in range(5)]
    assert line.query("SELECT src FROM events WHERE kafka_topic = {topic:String} AND kafka_offset = 3") == [
        ("3.0.0",)
    ]


def test_replayed_row_goes_into_its_own_table(line: Line) -> None:
    """Also where its topic has records of two."""
    topic = line.kafka.topic(topics.AGENTS)
    row = Row(7, b'{"agent":"agt_1","projectId":"proj"}', b"agt_1/proj", 0)

    async def park_and_replay() -> None:
        parking = Parking(line.kafka)
        await parking.park(topic, 0, row, "why")
        await parking.close()
        await replay_all(line)

    asyncio.run(park_and_replay())

    assert line.query(f"SELECT agent, kafka_offset FROM agents FINAL WHERE kafka_topic = '{topic}'") == [
        ("agt_1", 7)
    ]


def test_sessions_become_rows(line: Line) -> None:
    """Session records are rows of their own; heartbeats and tombstones beside them are none."""

    async def produce() -> None:
        producer = AIOKafkaProducer(**line.kafka.producer())
        await producer.start()
        topic = line.kafka.topic(topics.AGENTS)
        for event_id in ("s1", "s2", "s1"):
            value = {
                "eventId": event_id,
                "projectId": "proj",
                "agent": "api-1",
                "host": "h",
                "keyId": "k",
                "receivedAt": "2026-11-21T01:20:00.123456Z",
            }
            key = f"session/proj/{event_id}".encode()
            await producer.send_and_wait(topic, json.dumps(value).encode(), key=key, partition=0)
        await producer.send_and_wait(topic, b'{"lag":1}', key=b"agent-1", partition=0)
        await producer.send_and_wait(topic, None, key=b"session/proj/s1", partition=0)
        await producer.stop()

    asyncio.run(produce())

    asyncio.run(sink_until(line, lambda: len(line.sessions()) >= 2))

    assert line.sessions() == [("s1",), ("s2",)]


def test_heartbeats_and_sessions_of_every_partition_become_rows(line: Line, tmp_path: Path) -> None:
    """Their topic is read by two groups of one process: neither keeps a partition from the other.

    The log has one count of both, from which `fswire up` tells how many there are in a second.
    """
    log = tmp_path / "sink.log"

    def rows_are_there() -> bool:
        found = [line.query(f"SELECT count() FROM {table} {of_topic}") for table in ("sessions", "agents")]
        return found == [[(PARTITIONS,)], [(PARTITIONS,)]]

    of_topic = f"FINAL WHERE kafka_topic = '{line.kafka.topic(topics.AGENTS)}'"

    async def produce() -> None:
        async with AIOKafkaProducer(**line.kafka.producer()) as producer:
            for partition in range(PARTITIONS):
                name, topic = f"{line.group}-{partition}", line.kafka.topic(topics.AGENTS)
                session = json.dumps({"eventId": name, "projectId": "proj"}).encode()
                heartbeat = json.dumps({"agent": name, "projectId": "proj"}).encode()
                await producer.send(topic, session, f"session/proj/{name}".encode(), partition)
                await producer.send(topic, heartbeat, f"{name}/proj".encode(), partition)

    asyncio.run(produce())

    def counted() -> list[int]:
        told = map(json.loads, log.read_text().splitlines())
        return [each["events"] for each in told if each["event"] == "throughput"]

    with sink_process(line, log) as process:
        await_rows(rows_are_there, process, log)
        await_rows(lambda: 2 * PARTITIONS in counted(), process, log, 30)

    assert rows_are_there()
    assert counted() == sorted(counted())


def test_row_is_visible_within_a_second(line: Line) -> None:
    """At low load a record waits for nobody: its age is the limit."""
    seen: list[float] = []

    async def act() -> None:
        sink = Sink(SinkSettings(group=line.group), line.kafka, line.store.place.settings)
        running = asyncio.create_task(sink.run())
        try:
            async with asyncio.timeout(AWAIT_S):
                seen.extend([await _wait_s(line, client, number, running) for number in range(5)])
        finally:
            sink.stop()
            await running

    client = line.store.place.connect()
    asyncio.run(act())
    client.close()

    # The first waits for the group to form.
    assert sorted(seen[1:])[1] < 1.0


async def _wait_s(line: Line, client: Any, number: int, running: asyncio.Task[None]) -> float:
    """Write a record and return how long it takes to be a row, seen through one client."""
    await produce(line, [value_of(number)], first=number)
    sent = time.monotonic()
    query = "SELECT count() > {number:UInt32} FROM events WHERE kafka_topic = {topic:String}"
    parameters = {"number": number, "topic": line.topic}
    while not (await asyncio.to_thread(client.query, query, parameters=parameters)).first_row[0]:
        await asyncio.wait({running}, timeout=0.02)
    return time.monotonic() - sent
