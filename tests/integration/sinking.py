"""A sink between a real broker and a real database: topics of its own, records into them, rows out."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from pydantic import SecretStr

from agent.kafka import KafkaSettings
from deploy import schema
from processors import letters, topics, topics_apply
from processors.donutwork import Record
from processors.sink import Sink, SinkSettings
from tests.integration.databases import StoreProcess, running_store

_SINK = "import sys; from processors.sink import main; sys.exit(main())"
PARTITIONS = 2
AWAIT_S = 180


@dataclass
class Line:
    """A set of topics of its own, and what of it is in the database."""

    kafka: KafkaSettings
    store: StoreProcess
    group: str

    @property
    def topic(self) -> str:
        return self.kafka.topic(topics.DONUTWORK)

    @property
    def settings(self) -> SinkSettings:
        return SinkSettings(group=self.group, flush_ms=50, max_rows=500)

    def events(self) -> list[tuple[int, int]]:
        """Partition and offset of every row."""
        return self.query(
            "SELECT kafka_partition, kafka_offset FROM events WHERE kafka_topic = {topic:String} ORDER BY ALL"
        )

    def arrived(self) -> int:
        """How many rows of its topic there are, in whatever order: quicker than `events`."""
        ((rows,),) = self.query("SELECT count() FROM events WHERE kafka_topic = {topic:String}")
        return int(rows)

    def rows(self) -> int:
        """How many rows of events there are, of whatever test."""
        ((rows,),) = self.query("SELECT count() FROM events")
        return int(rows)

    def counted(self) -> int:
        """How many events the table has counted that is filled from that of events."""
        ((events,),) = self.query("SELECT sum(events) FROM activity")
        return int(events)

    def sessions(self) -> list[tuple[str]]:
        """Ids of the sessions."""
        agents = self.kafka.topic(topics.AGENTS)
        return self.query(f"SELECT event_id FROM sessions FINAL WHERE kafka_topic = '{agents}' ORDER BY 1")

    def query(self, query: str) -> list[Any]:
        client = self.store.place.connect()
        try:
            return list(client.query(query, parameters={"topic": self.topic}).result_rows)
        finally:
            client.close()

    def alter(self, statement: str) -> None:
        client = self.store.place.connect()
        client.command(statement)
        client.close()


@contextmanager
def store_with_schema(directory: Path) -> Iterator[StoreProcess]:
    """Lend a store that has every table."""
    with running_store(directory / "store") as running:
        schema.apply(SecretStr(running.place.url))
        yield running


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreProcess]:
    """A store with the schema."""
    with store_with_schema(tmp_path_factory.mktemp("sink")) as running:
        yield running


@pytest.fixture
def line(kafka: KafkaSettings, store: StoreProcess) -> Line:
    """Empty topics, and a group that has read nothing."""
    name = f"t-{uuid4().hex[:12]}."
    own = kafka.model_copy(update={"topic_prefix": name})
    asyncio.run(topics_apply.apply(own, PARTITIONS, 1))
    return Line(own, store, f"{name}sink")


def value_of(number: int) -> bytes:
    record = Record(
        event_id=f"evt_{number}",
        project_id="proj",
        filename=f"a/{number}",
        event="modified",
        filesize=number,
        timestamp_utc="2026-11-21T01:20:00.123456Z",
        sent_at="2026-11-21T01:20:01Z",
        received_at="2026-11-21T01:20:02Z",
        host="h",
        agent="a",
        epoch="e",
        seq=number,
        source="kernel",
        sha256="ab" * 32,
    )
    return json.dumps({field: value for field, value in _plain(record).items() if value is not None}).encode()


def _plain(record: Record) -> dict[str, Any]:
    import msgspec

    return json.loads(msgspec.json.encode(record))  # type: ignore[no-any-return]


async def produce(line: Line, values: Sequence[bytes | None], *, partition: int = 0, first: int = 0) -> None:
    producer = AIOKafkaProducer(**line.kafka.producer())
    await producer.start()
    try:
        for number, value in enumerate(values, first):
            headers = [("event_id", b"x"), ("src", b"%d.0.0" % number)]
            await producer.send(line.topic, value, key=b"proj", partition=partition, headers=headers)
        await producer.flush()
    finally:
        await producer.stop()


async def sink_until(line: Line, done: Callable[[], bool]) -> None:
    """Run a sink in this process until something is so, asking the database each time it took rows."""
    sink = Sink(line.settings, line.kafka, line.store.place.settings)
    running = asyncio.create_task(sink.run())
    try:
        async with asyncio.timeout(AWAIT_S):
            while not running.done() and not await asyncio.to_thread(done):
                await asyncio.wait({running}, timeout=0.05)
    finally:
        sink.stop()
        await running


@contextmanager
def sink_process(line: Line, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    environment = dict(
        os.environ,
        FSWIRE_KAFKA_BOOTSTRAP_SERVERS=line.kafka.bootstrap_servers,
        FSWIRE_KAFKA_TOPIC_PREFIX=line.kafka.topic_prefix,
        FSWIRE_CLICKHOUSE_URL=line.store.place.url,
        FSWIRE_SINK_GROUP=line.group,
        FSWIRE_SINK_FLUSH_MS="20",
        FSWIRE_SINK_MAX_ROWS="100",
    )
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", _SINK], env=environment, stdout=output, stderr=output
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(AWAIT_S)


def await_rows(
    condition: Callable[[], bool], process: subprocess.Popen[bytes], log: Path, timeout_s: float = AWAIT_S
) -> None:
    # A row cannot be waited on: each look is followed by a short wait for the process's end.
    deadline = time.monotonic() + timeout_s
    while not condition():
        try:
            process.wait(0.1)
        except subprocess.TimeoutExpired:
            if time.monotonic() < deadline:
                continue
        raise AssertionError(f"the sink did not get there:\n{log.read_text()}")


async def with_group(line: Line, act: Callable[[AIOKafkaConsumer], Awaitable[None]]) -> None:
    consumer = AIOKafkaConsumer(**line.kafka.client(), group_id=line.group, enable_auto_commit=False)
    consumer.assign([TopicPartition(line.topic, 0)])
    await consumer.start()
    try:
        await act(consumer)
    finally:
        await consumer.stop()


async def dead_letters(line: Line) -> list[dict[str, Any]]:
    consumer = AIOKafkaConsumer(**line.kafka.client(), auto_offset_reset="earliest")
    places = [TopicPartition(line.kafka.topic(topics.DEAD_LETTERS), number) for number in range(PARTITIONS)]
    await consumer.start()
    try:
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        letters = []
        while any([await consumer.position(place) < ends[place] for place in places]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                letters += [json.loads(record.value) for record in records]
        return letters
    finally:
        await consumer.stop()


async def replay_all(line: Line) -> None:
    """Replay every dead letter; the first that is refused again is the last that is tried."""
    held = [letter async for letter in letters.read(line.kafka) if letter.marks is None]
    for letter in held:
        await letters.replay(letter, line.kafka, line.store.place.settings)
