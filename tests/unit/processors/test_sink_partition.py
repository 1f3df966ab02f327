"""One partition into a table that can fail, in a process that can die."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import pytest
from aiokafka import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from agent.log import Throughput
from processors import plan as plans
from processors import tables
from processors.clickhouse import ClickHouseUnavailable
from processors.plan import Mark, Plan
from processors.rows import KafkaRecord, Table
from processors.sink import to_pause
from processors.sink_database import Database, Outage, RowsRefused
from processors.sink_partition import Limits, Outlets, PartitionLost, PartitionSink

_BAD = b'{"bad":1}'


@dataclass
class _Record:
    offset: int
    value: bytes | None = b'{"eventId":"e"}'
    key: bytes | None = b"p"
    timestamp: int = 0
    src: str = ""

    @property
    def headers(self) -> Sequence[tuple[str, bytes]]:
        return [("src", (self.src or f"{self.offset}.0.0").encode())]


class _Died(Exception):
    pass


@dataclass
class _World:
    """What outlives a sink: the log, the group's commit, the table; `lives` counts steps until each death."""

    log: list[_Record]
    offset: int = 0
    metadata: str = ""
    table: list[int] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    parked: list[int] = field(default_factory=list)
    lives: list[int] = field(default_factory=list)
    outages: int = 0
    commits: list[Mark] = field(default_factory=list)
    lost: bool = False
    finished: asyncio.Event = field(default_factory=asyncio.Event)

    def step(self) -> None:
        """Die here if it is time."""
        if self.lives:
            self.lives[0] -= 1
            if self.lives[0] <= 0:
                self.lives.pop(0)
                raise _Died

    async def commit(self, offset: int, mark: Mark) -> None:
        self.step()
        if self.lost:
            raise PartitionLost
        self.offset, self.metadata = offset, plans.encode(mark)
        self.commits.append(mark)
        if offset == len(self.log) and mark.plan is None:
            self.finished.set()
        self.step()

    async def park(self, record: KafkaRecord, _: str) -> None:
        self.step()
        self.parked.append(record.offset)

    async def insert(self, _: Table, __: str, ___: int, records: Sequence[KafkaRecord], token: str) -> None:
        self.step()
        if any(record.value == _BAD for record in records):
            raise RowsRefused("bad")
        if token not in self.tokens:
            self.table.extend(record.offset for record in records)
            self.tokens.append(token)
        self.step()
        if self.outages:
            self.outages -= 1
            raise ClickHouseUnavailable("away")

    async def present(self, _: Table, __: str, ___: int, plan: Plan) -> set[int]:
        self.step()
        return {offset for offset in self.table if plan.first <= offset <= plan.last}


class _Impatient(Outage):
    async def wait(self, error: ClickHouseUnavailable) -> None:
        await asyncio.sleep(0)


async def _live(world: _World, max_rows: int) -> None:
    """One sink from taking over to the end of the log, or to its death."""
    outlets = Outlets(cast(Database, world), _Impatient(), Throughput("test"), world.park)
    mark = plans.decode(world.metadata)
    sink = PartitionSink(
        "t", 0, tables.EVENTS, world.offset, mark, world.commit, outlets, Limits(max_rows, 10**6, 0)
    )
    task = asyncio.create_task(sink.run())
    sink.offer([record for record in world.log if record.offset >= world.offset], len(world.log))
    end = asyncio.create_task(world.finished.wait())
    await asyncio.wait({task, end}, return_when=asyncio.FIRST_COMPLETED)
    end.cancel()
    sink.stop()
    await task


def _run(world: _World, max_rows: int = 4) -> None:
    """Start sinks until one reaches the end alive."""

    async def lives() -> None:
        while world.offset < len(world.log) or plans.decode(world.metadata).plan is not None:
            try:
                await _live(world, max_rows)
            except _Died:
                continue

    asyncio.run(asyncio.wait_for(lives(), 20))


@given(
    st.lists(st.sampled_from(["row", "bad", "unusable", "repeat"]), min_size=1, max_size=25),
    st.lists(st.integers(1, 8), max_size=12),
    st.integers(0, 3),
    st.integers(1, 9),
)
def test_every_record_becomes_one_row_however_often_the_sink_dies(
    kinds: list[str], lives: list[int], outages: int, max_rows: int
) -> None:
    """Deaths at any step and lost answers leave one row per good record and none of a repeat."""
    values = {"bad": _BAD, "unusable": b"text"}
    log = [
        _Record(
            offset,
            values.get(kind, b'{"eventId":"e"}'),
            src="0.0.0" if kind == "repeat" else f"{offset + 1}.0.0",
        )
        for offset, kind in enumerate(kinds)
    ]
    first = next((offset for offset, kind in enumerate(kinds) if kind == "repeat"), -1)
    repeats_first = first == 0
    world = _World(log, lives=lives, outages=outages)

    _run(world, max_rows)

    expected = [
        offset
        for offset, kind in enumerate(kinds)
        if kind == "row" or (kind == "repeat" and offset == 0 and repeats_first)
    ]
    assert sorted(world.table) == expected
    assert set(world.parked) == {o for o, kind in enumerate(kinds) if kind in ("bad", "unusable")}


def test_plan_is_committed_before_its_insert() -> None:
    """First the plan, then the rows, then the end."""
    world = _World([_Record(0), _Record(1)])

    _run(world)

    assert world.commits == [Mark(plan=Plan(0, 1)), Mark(src=plans.Position(1, 0, 0))]
    assert world.tokens == ["t:0:0-1"]


def test_lost_partition_inserts_nothing() -> None:
    """Who is refused the commit of a plan has no right to its rows."""
    world = _World([_Record(0)], lost=True)

    with pytest.raises(PartitionLost):
        asyncio.run(_live(world, 4))

    assert world.table == []


def test_open_plan_inserts_only_what_is_missing() -> None:
    """A successor asks which offsets of the plan are there."""
    world = _World([_Record(offset) for offset in range(6)], table=[0, 2])
    world.metadata = plans.encode(Mark(plan=Plan(0, 3)))

    _run(world)

    assert sorted(world.table) == [0, 1, 2, 3, 4, 5]


def _idle(world: _World, mark: Mark, max_bytes: int) -> PartitionSink:
    outlets = Outlets(cast(Database, world), _Impatient(), Throughput("test"), world.park)
    return PartitionSink("t", 0, tables.EVENTS, 0, mark, world.commit, outlets, Limits(100, max_bytes, 0))


def test_partitions_that_hold_much_together_are_all_paused() -> None:
    """One that settles a plan has to be read; a chunk that waits pauses its own partition in any case."""
    world = _World([_Record(0, b"x" * 1000)])
    places = [TopicPartition("t", number) for number in range(3)]
    sinks = {
        places[0]: _idle(world, Mark(), 500),
        places[1]: _idle(world, Mark(), 10_000),
        places[2]: _idle(world, Mark(plan=Plan(0, 9)), 500),
    }
    for sink in sinks.values():
        sink.offer(world.log, 1)

    assert sinks[places[1]].held_bytes > 1000
    assert to_pause(sinks, held_bytes=10_000) == {places[0]}
    assert to_pause(sinks, held_bytes=3000) == {places[0], places[1]}


def test_chunk_that_is_being_inserted_is_held() -> None:
    """What a database that is away keeps waiting counts until it is a row."""
    world = _World([_Record(0)])
    sink = _idle(world, Mark(), 10)
    seen: list[int] = []

    async def insert(*_: object) -> None:
        seen.append(sink.held_bytes)
        world.finished.set()

    world.insert = insert  # type: ignore[method-assign]
    sink.offer(world.log, 1)

    async def act() -> None:
        running = asyncio.create_task(sink.run())
        await world.finished.wait()
        sink.stop()
        await running

    asyncio.run(act())
    assert seen[0] > 0
    assert sink.held_bytes == 0
