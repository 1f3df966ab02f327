"""Runs of a partition that is taken over: which state of a run counts, and that its record says so."""

from __future__ import annotations

import asyncio

import msgspec

from processors.actions import Actions
from processors.run_log import RunLog
from processors.runner_partition import RunnerPartition
from processors.runs import Run

EVENT = msgspec.Raw(b'{"filename":"f"}')


def run(state: str, attempts: int = 0) -> Run:
    return Run("run_1", "w", "p", "evt_1", state, "q", "u", EVENT, attempts)  # type: ignore[arg-type]


def restored(*records: Run) -> list[Run]:
    """Return what a runner writes that finds these records, in this order, in a partition that it takes."""
    written: list[Run] = []

    async def append(each: Run) -> None:
        written.append(each)

    async def prove() -> None:
        """Always the owner."""

    async def take_over() -> None:
        actions = Actions(None, prefix="fswire.", commands=(), allow_private=False)  # type: ignore[arg-type]
        partition = RunnerPartition(actions, lambda _: None, append, prove, lambda _: None, 1)
        for each in records:
            assert partition.take(each.id, each) is None
        await partition.restored()
        await partition.stop()
        await actions.close()

    asyncio.run(take_over())
    return written


def test_run_that_was_queued_again_after_its_end_is_written_over_at_a_takeover() -> None:
    """Its owner died before it could: compaction would keep `queued` alone, and the run would run again."""
    written = restored(run("queued"), run("succeeded", 1), run("queued"))

    assert written == [run("succeeded", 1)]


def test_run_that_was_written_over_already_is_left_alone() -> None:
    """The last record of the topic is right."""
    written = restored(run("queued"), run("succeeded", 1), run("queued"), run("succeeded", 1))

    assert written == []


def test_repeat_of_a_queued_run_changes_nothing_of_what_is_known() -> None:
    """What is written over it has the run's state and the event, which ended runs forget."""
    log = RunLog()
    log.take(run("failed", 3))

    over = log.take(run("queued"))

    assert over == run("failed", 3)
    assert not log.open


def test_partition_that_is_given_away_while_it_is_restored_begins_nothing() -> None:
    """What is open goes on with the next owner alone."""
    written: list[Run] = []

    async def take_over() -> None:
        async def append(each: Run) -> None:
            written.append(each)
            await partition.stop()

        async def prove() -> None:
            """Never asked."""

        actions = Actions(None, prefix="fswire.", commands=(), allow_private=False)  # type: ignore[arg-type]
        partition = RunnerPartition(actions, lambda _: None, append, prove, lambda _: None, 1)
        other = msgspec.structs.replace(run("queued"), id="run_2")
        for each in (run("queued"), run("succeeded", 1), run("queued"), other):
            partition.take(each.id, each)
        await partition.restored()
        assert not partition._tasks
        await actions.close()

    asyncio.run(take_over())

    assert written == [run("succeeded", 1)]
