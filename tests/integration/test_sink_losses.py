"""Sinks that die, a database that is away, records that are gone: one row each, a gap for what is lost."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import OffsetAndMetadata

from processors import plan as plans
from processors import rows, tables
from processors.plan import Mark, Plan
from tests.integration.sinking import (
    AWAIT_S,
    Line,
    await_rows,
    dead_letters,
    produce,
    sink_process,
    sink_until,
    value_of,
    with_group,
)

pytestmark = pytest.mark.stack

_OF_TOPIC = "kafka_topic = {topic:String} AND event = 'gap'"


def test_open_plan_is_settled_by_the_successor(line: Line) -> None:
    """Of a plan whose sink died in the middle of its insert exactly the rest is inserted."""
    asyncio.run(produce(line, [value_of(number) for number in range(20)]))
    asyncio.run(_part_of_a_plan(line, Plan(0, 9), present=[0, 3, 9]))

    asyncio.run(sink_until(line, lambda: line.arrived() >= 20))

    assert line.events() == [(0, number) for number in range(20)]


async def _part_of_a_plan(line: Line, plan: Plan, present: list[int]) -> None:
    async def act(consumer: AIOKafkaConsumer) -> None:
        place = TopicPartition(line.topic, 0)
        await consumer.commit({place: OffsetAndMetadata(plan.first, plans.encode(Mark(plan=plan)))})
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

    await with_group(line, act)


def test_killed_sinks_leave_one_row_each(line: Line, tmp_path: Path) -> None:
    """SIGKILL at any moment neither loses nor doubles a row."""
    log = tmp_path / "sink.log"
    asyncio.run(produce(line, [value_of(number) for number in range(15_000)]))

    for wanted in (1, 5000):
        with sink_process(line, log) as process:
            await_rows(lambda wanted=wanted: line.arrived() >= wanted, process, log)  # type: ignore[misc]
            process.send_signal(signal.SIGKILL)
    with sink_process(line, log) as process:
        await_rows(lambda: line.arrived() >= 15_000, process, log)
        process.terminate()
        status = process.wait(AWAIT_S)

    assert line.events() == [(0, number) for number in range(15_000)]
    assert line.counted() == line.rows()
    assert status == 0


def test_database_that_is_away_is_waited_for(line: Line, tmp_path: Path) -> None:
    """One line says which, where and what to check; once it is back every row arrives."""
    log = tmp_path / "sink.log"
    line.store.end(signal.SIGKILL)
    try:
        asyncio.run(produce(line, [value_of(number) for number in range(3000)]))
        with sink_process(line, log) as process:
            await_rows(lambda: "waiting for ClickHouse" in log.read_text(), process, log)
            line.store.start()
            await_rows(lambda: line.arrived() >= 3000, process, log)
    finally:
        if line.store.process.poll() is not None:
            line.store.start()

    assert line.events() == [(0, number) for number in range(3000)]
    said = [json.loads(text) for text in log.read_text().splitlines() if "waiting for ClickHouse" in text]
    assert len(said) == 1
    assert line.store.place.base.removeprefix("http://") in said[0]["problem"]
    assert line.store.place.password not in log.read_text()


def test_expired_records_are_a_gap(line: Line) -> None:
    """Records that the broker deleted unread are a dead letter and a gap of their project."""
    asyncio.run(produce(line, [value_of(number) for number in range(5)]))
    asyncio.run(sink_until(line, lambda: line.arrived() >= 5))
    asyncio.run(produce(line, [value_of(number) for number in range(5, 20)], first=5))
    asyncio.run(_part_of_a_plan(line, Plan(5, 9), present=[]))
    asyncio.run(_delete_before(line, 12))

    asyncio.run(sink_until(line, lambda: line.arrived() >= 14))

    assert line.events() == [(0, number) for number in (*range(5), 11, *range(12, 20))]
    assert line.query("SELECT project_id, event, agent, host != '' FROM events WHERE " + _OF_TOPIC) == [
        ("proj", "gap", "sink", True)
    ]
    letters = asyncio.run(dead_letters(line))
    assert [(letter["reason"], letter["offset"]) for letter in letters] == [("expired", 5)]
    assert "5 to 11" in letters[0]["detail"]


async def _delete_before(line: Line, offset: int) -> None:
    admin = AIOKafkaAdminClient(**line.kafka.client())
    await admin.start()
    try:
        await admin.delete_records({TopicPartition(line.topic, 0): RecordsToDelete(before_offset=offset)})
    finally:
        await admin.close()
