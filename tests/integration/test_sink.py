"""The sink between a real broker and a real database."""

from __future__ import annotations

import asyncio
import json
import os
import signal
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
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import OffsetAndMetadata
from pydantic import SecretStr

from agent.kafka import KafkaSettings
from deploy import schema
from processors import plan as plans
from processors import rows, tables, topics, topics_apply
from processors.donutwork import Record
from processors.plan import Mark, Plan
from processors.sink import Sink, SinkSettings
from tests.integration.databases import StoreProcess, running_store

pytestmark = pytest.mark.stack

_SINK = "import sys; from processors.sink import main; sys.exit(main())"
_PARTITIONS = 2


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreProcess]:
    """A store with the schema."""
    with running_store(tmp_path_factory.mktemp("sink") / "store") as running:
        schema.apply(SecretStr(running.place.url))
        yield running


@dataclass
class _Line:
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
        return self._query(
            "SELECT kafka_partition, kafka_offset FROM events WHERE kafka_topic = {topic:String} ORDER BY ALL"
        )

    def rows(self) -> int:
        """How many rows of events there are, of whatever test."""
        ((rows,),) = self._query("SELECT count() FROM events")
        return int(rows)

    def counted(self) -> int:
        """How many events the table has counted that is filled from that of events."""
        ((events,),) = self._query("SELECT sum(events) FROM activity")
        return int(events)

    def sessions(self) -> list[tuple[str]]:
        """Ids of the sessions."""
        agents = self.kafka.topic(topics.AGENTS)
        return self._query(f"SELECT event_id FROM sessions FINAL WHERE kafka_topic = '{agents}' ORDER BY 1")

    def _query(self, query: str) -> list[Any]:
        client = self.store.place.connect()
        try:
            return list(client.query(query, parameters={"topic": self.topic}).result_rows)
        finally:
            client.close()


@pytest.fixture
def line(kafka: KafkaSettings, store: StoreProcess) -> _Line:
    """Empty topics, and a group that has read nothing."""
    name = f"t-{uuid4().hex[:12]}."
    own = kafka.model_copy(update={"topic_prefix": name})
    asyncio.run(topics_apply.apply(own, _PARTITIONS, 1))
    return _Line(own, store, f"{name}sink")


def _value(number: int) -> bytes:
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


async def _produce(
    line: _Line, values: Sequence[bytes | None], *, partition: int = 0, first: int = 0
) -> None:
    producer = AIOKafkaProducer(**line.kafka.producer())
    await producer.start()
    try:
        for number, value in enumerate(values, first):
            headers = [("event_id", b"x"), ("src", b"%d.0.0" % number)]
            await producer.send(line.topic, value, key=b"proj", partition=partition, headers=headers)
        await producer.flush()
    finally:
        await producer.stop()


async def _sink_until(line: _Line, done: Callable[[], bool]) -> None:
    """Run a sink in this process until something is so, asking the database each time it took rows."""
    sink = Sink(line.settings, line.kafka, line.store.place.settings)
    running = asyncio.create_task(sink.run())
    try:
        async with asyncio.timeout(60):
            while not running.done() and not await asyncio.to_thread(done):
                await asyncio.wait({running}, timeout=0.05)
    finally:
        sink.stop()
        await running


@contextmanager
def _process(line: _Line, log: Path) -> Iterator[subprocess.Popen[bytes]]:
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
        process.wait(30)


def _await(
    condition: Callable[[], bool], process: subprocess.Popen[bytes], log: Path, timeout_s: float = 60
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


async def _with_group(line: _Line, act: Callable[[AIOKafkaConsumer], Awaitable[None]]) -> None:
    consumer = AIOKafkaConsumer(**line.kafka.client(), group_id=line.group, enable_auto_commit=False)
    consumer.assign([TopicPartition(line.topic, 0)])
    await consumer.start()
    try:
        await act(consumer)
    finally:
        await consumer.stop()


async def _dead_letters(line: _Line) -> list[dict[str, Any]]:
    consumer = AIOKafkaConsumer(**line.kafka.client(), auto_offset_reset="earliest")
    places = [TopicPartition(line.kafka.topic(topics.DEAD_LETTERS), number) for number in range(_PARTITIONS)]
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


def test_records_become_rows(line: _Line) -> None:
    """Every record of every partition is one row, its fields in their columns."""
    asyncio.run(_produce(line, [_value(number) for number in range(1200)]))
    asyncio.run(_produce(line, [_value(number) for number in range(7)], partition=1))

    asyncio.run(_sink_until(line, lambda: len(line.events()) >= 1207))

    assert line.events() == [(0, number) for number in range(1200)] + [(1, number) for number in range(7)]
    client = line.store.place.connect()
    row = client.query(
        "SELECT project_id, path, size, lower(hex(sha256)), toString(occurred), src, details FROM events "
        "WHERE kafka_topic = {t:String} AND kafka_partition = 1 AND kafka_offset = 6",
        parameters={"t": line.topic},
    ).first_row
    client.close()
    assert tuple(row) == ("proj", "a/6", 6, "ab" * 32, "2026-11-21 01:20:00.123456", "6.0.0", "{}")


def test_repeats_are_dropped(line: _Line) -> None:
    """What is not above the last `src` is a redelivery and no row, also after a restart."""
    asyncio.run(_produce(line, [_value(number) for number in range(10)]))
    asyncio.run(_sink_until(line, lambda: len(line.events()) >= 10))
    asyncio.run(_produce(line, [_value(number) for number in range(5, 12)], first=5))

    asyncio.run(_sink_until(line, lambda: len(line.events()) >= 12))

    assert line.events() == [(0, number) for number in (*range(10), 15, 16)]


def test_open_plan_is_settled_by_the_successor(line: _Line) -> None:
    """Of a plan whose sink died in the middle of its insert exactly the rest is inserted."""
    asyncio.run(_produce(line, [_value(number) for number in range(20)]))
    asyncio.run(_part_of_a_plan(line, Plan(0, 9), present=[0, 3, 9]))

    asyncio.run(_sink_until(line, lambda: len(line.events()) >= 20))

    assert line.events() == [(0, number) for number in range(20)]


async def _part_of_a_plan(line: _Line, plan: Plan, present: list[int]) -> None:
    async def act(consumer: AIOKafkaConsumer) -> None:
        place = TopicPartition(line.topic, 0)
        await consumer.commit({place: OffsetAndMetadata(0, plans.encode(Mark(plan=plan)))})
        await consumer.seek_to_beginning(place)
        records: list[Any] = []
        while len(records) <= plan.last:
            records += (await consumer.getmany(timeout_ms=1000)).get(place, [])
        await asyncio.to_thread(insert, [record for record in records if record.offset in present])

    def insert(records: list[Any]) -> None:
        client = line.store.place.connect()
        insert, data = tables.EVENTS.insert(line.topic, 0), tables.EVENTS.body(records)
        client.command(insert, data=data, settings=rows.SETTINGS)
        client.close()

    await _with_group(line, act)


def test_killed_sinks_leave_one_row_each(line: _Line, tmp_path: Path) -> None:
    """SIGKILL at any moment neither loses nor doubles a row."""
    log = tmp_path / "sink.log"
    asyncio.run(_produce(line, [_value(number) for number in range(15_000)]))

    for wanted in (1, 5000):
        with _process(line, log) as process:
            _await(lambda wanted=wanted: len(line.events()) >= wanted, process, log)  # type: ignore[misc]
            process.send_signal(signal.SIGKILL)
    with _process(line, log) as process:
        _await(lambda: len(line.events()) >= 15_000, process, log)
        process.terminate()
        status = process.wait(30)

    assert line.events() == [(0, number) for number in range(15_000)]
    assert line.counted() == line.rows()
    assert status == 0


def test_database_that_is_away_is_waited_for(line: _Line, tmp_path: Path) -> None:
    """One line says which, where and what to check; once it is back every row arrives."""
    log = tmp_path / "sink.log"
    line.store.end(signal.SIGKILL)
    try:
        asyncio.run(_produce(line, [_value(number) for number in range(3000)]))
        with _process(line, log) as process:
            _await(lambda: "waiting for ClickHouse" in log.read_text(), process, log)
            line.store.start()
            _await(lambda: len(line.events()) >= 3000, process, log)
    finally:
        if line.store.process.poll() is not None:
            line.store.start()

    assert line.events() == [(0, number) for number in range(3000)]
    said = [json.loads(text) for text in log.read_text().splitlines() if "waiting for ClickHouse" in text]
    assert len(said) == 1
    assert line.store.place.base.removeprefix("http://") in said[0]["problem"]
    assert line.store.place.password not in log.read_text()


def test_bad_records_are_parked(line: _Line) -> None:
    """What ClickHouse refuses goes to the dead letters with its bytes; its neighbours are rows."""
    bad: dict[int, bytes | None] = {
        2: b"text",
        3: None,
        7: b'{"eventId":"x","projectId":"p","filesize":"much"}',
        11: b'{"eventId":"x"}',
        12: b'{"eventId":"x","projectId":"p","sha256":"' + b"a" * 70 + b'"}',
    }
    asyncio.run(_produce(line, [bad.get(number, _value(number)) for number in range(20)]))

    asyncio.run(_sink_until(line, lambda: len(line.events()) >= 15))

    assert line.events() == [(0, number) for number in range(20) if number not in bad]
    letters = asyncio.run(_dead_letters(line))
    assert sorted(letter["offset"] for letter in letters) == sorted(bad)
    assert {(letter["topic"], letter["partition"], letter["reason"]) for letter in letters} == {
        (line.topic, 0, "refused_row")
    }


def test_expired_records_are_announced(line: _Line) -> None:
    """Records that the broker deleted unread are an error that a person sees; the rest become rows."""
    asyncio.run(_produce(line, [_value(number) for number in range(20)]))
    asyncio.run(_part_of_a_plan(line, Plan(0, 4), present=[]))
    asyncio.run(_delete_before(line, 8))

    asyncio.run(_sink_until(line, lambda: len(line.events()) >= 12))

    assert line.events() == [(0, number) for number in range(8, 20)]
    letters = asyncio.run(_dead_letters(line))
    assert [(letter["reason"], letter["offset"]) for letter in letters] == [("expired", 0)]
    assert "0 to 7" in letters[0]["detail"]


async def _delete_before(line: _Line, offset: int) -> None:
    admin = AIOKafkaAdminClient(**line.kafka.client())
    await admin.start()
    try:
        await admin.delete_records({TopicPartition(line.topic, 0): RecordsToDelete(before_offset=offset)})
    finally:
        await admin.close()


def test_sessions_become_rows(line: _Line) -> None:
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

    asyncio.run(_sink_until(line, lambda: len(line.sessions()) >= 2))

    assert line.sessions() == [("s1",), ("s2",)]


def test_heartbeats_and_sessions_of_every_partition_become_rows(line: _Line, tmp_path: Path) -> None:
    """Their topic is read by two groups of one process: neither keeps a partition from the other."""

    def rows_are_there() -> bool:
        found = [line._query(f"SELECT count() FROM {table} {of_topic}") for table in ("sessions", "agents")]
        return found == [[(_PARTITIONS,)], [(_PARTITIONS,)]]

    of_topic = f"FINAL WHERE kafka_topic = '{line.kafka.topic(topics.AGENTS)}'"

    async def produce() -> None:
        async with AIOKafkaProducer(**line.kafka.producer()) as producer:
            for partition in range(_PARTITIONS):
                name, topic = f"{line.group}-{partition}", line.kafka.topic(topics.AGENTS)
                session = json.dumps({"eventId": name, "projectId": "proj"}).encode()
                heartbeat = json.dumps({"agent": name, "projectId": "proj"}).encode()
                await producer.send(topic, session, f"session/proj/{name}".encode(), partition)
                await producer.send(topic, heartbeat, f"{name}/proj".encode(), partition)

    asyncio.run(produce())

    with _process(line, tmp_path / "sink.log") as process:
        _await(rows_are_there, process, tmp_path / "sink.log", timeout_s=30)

    assert rows_are_there()


def test_row_is_visible_within_a_second(line: _Line) -> None:
    """At low load a record waits for nobody: its age is the limit."""
    seen: list[float] = []

    async def act() -> None:
        sink = Sink(SinkSettings(group=line.group), line.kafka, line.store.place.settings)
        running = asyncio.create_task(sink.run())
        try:
            for number in range(5):
                await _produce(line, [_value(number)], first=number)
                sent = time.monotonic()
                while len(await asyncio.to_thread(line.events)) <= number:
                    await asyncio.wait({running}, timeout=0.02)
                seen.append(time.monotonic() - sent)
        finally:
            sink.stop()
            await running

    asyncio.run(act())

    # The first waits for the group to form.
    assert sorted(seen[1:])[1] < 1.0
