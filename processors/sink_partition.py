"""One partition on its way into ClickHouse: records in, rows and committed offsets out.

Promises one row per record, whatever dies when: the plan of an insert is committed before it, its end after.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import structlog

from agent.log import Throughput
from processors import plan as plans
from processors import rows
from processors.clickhouse import ClickHouseUnavailable
from processors.plan import Mark, Plan
from processors.position import Position
from processors.rows import KafkaRecord, Table
from processors.sink_database import Database, Outage, RowsRefused

Commit = Callable[[int, Mark], Awaitable[None]]
"""Commit an offset and its mark; raises PartitionLost when the partition is no longer ours."""
Park = Callable[[KafkaRecord, str], Awaitable[None]]
"""Put a record that can never be a row, and why, where a person finds them; returns once that is safe."""


class PartitionLost(Exception):
    """Another member of the group has the partition: leave everything to it."""


@dataclass(frozen=True)
class Limits:
    """When a chunk is large or old enough to be inserted."""

    max_rows: int
    max_bytes: int
    flush_s: float


@dataclass
class Outlets:
    """What the partitions of a sink share."""

    database: Database
    outage: Outage
    throughput: Throughput
    park: Park


class PartitionSink:
    """Takes what is read of one partition by `offer`; `run` works it off until `stop`."""

    def __init__(
        self,
        topic: str,
        partition: int,
        table: Table,
        offset: int,
        mark: Mark,
        commit: Commit,
        outlets: Outlets,
        limits: Limits,
    ) -> None:
        self._topic = topic
        self._partition = partition
        self._table = table
        self._offset = offset
        self._src = mark.src
        self._open_plan = mark.plan
        self._next_offset = offset
        self._commit_to = commit
        self._outlets = outlets
        self._limits = limits
        self._log = structlog.get_logger().bind(topic=topic, partition=partition)
        self._held: deque[KafkaRecord] = deque()
        self._held_bytes = 0
        self._stored_bytes = 0
        """Of the chunk that is being inserted."""
        self._oldest = 0.0
        self._arrived = asyncio.Event()
        self._stopping = False
        self._ahead = False
        """The end of the last insert is not committed yet."""

    @property
    def full(self) -> bool:
        """Whether a chunk is waiting already, so that no more should be read."""
        if self._open_plan is not None:
            return False
        return len(self._held) >= self._limits.max_rows or self._held_bytes >= self._limits.max_bytes

    @property
    def held_bytes(self) -> int:
        """Bytes of what was read and is not stored yet."""
        return self._held_bytes + self._stored_bytes

    @property
    def taking_over(self) -> bool:
        """Whether the partition came with an open plan that is not settled yet."""
        return self._open_plan is not None

    def offer(self, records: Sequence[KafkaRecord], next_offset: int) -> None:
        """Hand over the records read next, and the offset up to which everything has been read."""
        if records and not self._held:
            self._oldest = time.monotonic()
        self._held.extend(records)
        self._held_bytes += sum(map(rows.size_of, records))
        self._next_offset = next_offset
        self._arrived.set()

    def stop(self) -> None:
        """Let `run` end after the insert under way; what is only held is read again by whoever comes next."""
        self._stopping = True
        self._arrived.set()

    async def run(self) -> None:
        """Settle the open plan, then insert chunk after chunk. Ends by `stop`; raises PartitionLost."""
        if self._open_plan is not None:
            await self._take_over(self._open_plan)
        while chunk := await self._chunk():
            self._stored_bytes = sum(map(rows.size_of, chunk))
            await self._store(chunk)
            self._stored_bytes = 0
        if self._ahead:
            await self._commit(None)

    async def _take_over(self, plan: Plan) -> None:
        while self._next_offset <= plan.last and not self._stopping:
            await self._wait(None)
        if self._stopping:
            return
        records = plans.within(self._held, plan)
        self._keep_only_after(plan.last)
        self._open_plan = None
        taken, src = self._taken(records)
        planned = [record for record in taken if self._table.unusable(record) is None]
        self._log.info("settling an open plan", first=plan.first, last=plan.last, rows=len(planned))
        if planned:
            await self._insert(planned, plan, unsure=True)
        self._advance(plan.last, src)
        await self._commit(None)

    async def _chunk(self) -> list[KafkaRecord]:
        """Wait for a chunk that is full or old enough; an empty one says that it is time to stop."""
        while not self._stopping:
            left_s = self._oldest + self._limits.flush_s - time.monotonic()
            if self.full or (self._held and left_s <= 0):
                return self._take()
            await self._wait(left_s if self._held else None)
        return []

    def _take(self) -> list[KafkaRecord]:
        chunk: list[KafkaRecord] = []
        size = 0
        while self._held and len(chunk) < self._limits.max_rows and size < self._limits.max_bytes:
            record = self._held.popleft()
            size += rows.size_of(record)
            chunk.append(record)
        self._held_bytes -= size
        return chunk

    async def _store(self, records: Sequence[KafkaRecord]) -> None:
        taken, src = self._taken(records)
        usable = []
        for record in taken:
            problem = self._table.unusable(record)
            if problem is None:
                usable.append(record)
            else:
                await self._outlets.park(record, problem)
        if usable:
            await self._insert(usable, Plan(usable[0].offset, usable[-1].offset), unsure=False)
        self._advance(records[-1].offset, src)
        if not self.full:
            await self._commit(None)

    def _taken(self, records: Sequence[KafkaRecord]) -> tuple[list[KafkaRecord], Position]:
        """Return the records that are rows of the table and no repeats, and the last `src` after them."""
        taken = [record for record in records if self._table.takes(record)]
        return plans.fresh(taken, self._src) if self._table.ordered_by_src else (taken, self._src)

    async def _insert(self, records: Sequence[KafkaRecord], plan: Plan, *, unsure: bool) -> None:
        """Make a plan of these rows and carry it out; a refused one becomes two, a refused row is parked."""
        await self._commit(plan)
        try:
            await self._carry_out(records, plan, unsure=unsure)
        except RowsRefused as refusal:
            if len(records) == 1:
                await self._outlets.park(records[0], str(refusal))
            else:
                for half in plans.halves(records):
                    await self._insert(half, Plan(half[0].offset, half[-1].offset), unsure=unsure)
                return
        src = plans.last_src(records, self._src) if self._table.ordered_by_src else self._src
        self._advance(records[-1].offset, src)
        self._outlets.throughput.add(len(records))

    async def _carry_out(self, records: Sequence[KafkaRecord], plan: Plan, *, unsure: bool) -> None:
        outlets = self._outlets
        token = plan.token(self._topic, self._partition)
        while True:
            try:
                rest = list(records)
                if unsure:
                    present = await outlets.database.present(self._table, self._topic, self._partition, plan)
                    # of none that is missing all are sent again, under the token that they were sent with: no
                    # row is doubled, and the tables that are filled from this one miss nothing either
                    rest = plans.missing(records, present) or rest
                if rest:
                    of_rest = token if len(rest) == len(records) else f"{token}:{rest[0].offset}+{len(rest)}"
                    await outlets.database.insert(self._table, self._topic, self._partition, rest, of_rest)
                outlets.outage.over()
                return
            except ClickHouseUnavailable as error:
                unsure = True
                await outlets.outage.wait(error)

    def _advance(self, last_offset: int, src: Position) -> None:
        self._offset = max(self._offset, last_offset + 1)
        self._src = max(self._src, src)
        self._ahead = True

    def _keep_only_after(self, offset: int) -> None:
        later = [record for record in self._held if record.offset > offset]
        self._held = deque(later)
        self._held_bytes = sum(map(rows.size_of, later))

    async def _commit(self, plan: Plan | None) -> None:
        await self._commit_to(self._offset, Mark(self._src, plan))
        self._ahead = False

    async def _wait(self, timeout_s: float | None) -> None:
        self._arrived.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._arrived.wait(), timeout_s)
