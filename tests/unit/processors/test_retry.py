"""Another try of a run that has failed: what is asked for, and that it is taken up exactly once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
import pytest

from processors.actions import Actions
from processors.retry import RetryRefused, again
from processors.run_log import RunLog
from processors.runner_partition import RunnerPartition
from processors.runs import Run

EVENT = msgspec.Raw(b'{"filename":"f"}')
NOW_NS = 1_763_688_000_000_000_000


def run(state: str, attempts: int = 0, tries: int = 0) -> Run:
    return Run("run_1", "w", "p", "evt_1", state, "q", "u", EVENT, attempts, tries)  # type: ignore[arg-type]


async def unknown(_name: str) -> None:
    """Return no workflow: all are gone."""


def carried_out(*records: Run, meanwhile: Callable[[Run], Run | None]) -> list[Run]:
    """Return what a runner writes whose workflow is gone; `meanwhile` may put a record before its own."""
    written: list[Run] = []

    async def append(each: Run) -> None:
        written.append(each)
        asked = meanwhile(each)
        if asked is not None:
            over = partition.take(asked.id, asked)
            if over is not None:
                await over

    async def prove() -> None:
        """Always the owner."""

    async def take() -> None:
        await partition.restored()
        for each in records:
            over = partition.take(each.id, each)
            if over is not None:
                await over
        while partition._tasks:
            await asyncio.gather(*partition._tasks.values())
        await actions.close()

    actions = Actions(None, prefix="fswire.", commands=(), allow_private=False)  # type: ignore[arg-type]
    partition = RunnerPartition(actions, unknown, append, prove, lambda _: None, 1)
    asyncio.run(take())
    return written


def test_failed_run_is_queued_with_its_id_its_event_and_the_next_number_of_tries() -> None:
    """Attempts begin anew; what the last one said stays in the states before."""
    failed = msgspec.structs.replace(run("failed", 5, 1), error="answered 500", retry_at="later")

    asked = again(failed, "run_1", NOW_NS)

    assert asked == msgspec.structs.replace(run("queued", 0, 2), updated_at="2025-11-21T01:20:00.000000Z")


@pytest.mark.parametrize("state", ["queued", "running", "succeeded"])
def test_run_that_has_not_failed_is_not_tried_again(state: str) -> None:
    """Nothing that goes on, or that succeeded, is done a second time."""
    with pytest.raises(RetryRefused, match=f"it is {state}"):
        again(run(state, 1), "run_1", NOW_NS)


def test_run_that_the_topic_has_forgotten_is_not_tried_again() -> None:
    """Without its record nobody knows the event that it was about."""
    with pytest.raises(RetryRefused, match="no longer kept"):
        again(None, "run_1", NOW_NS)


def test_try_that_is_asked_for_twice_runs_once() -> None:
    """Both records have the same number of tries: the second is an old one."""
    asked = run("queued", 0, 1)

    written = carried_out(run("failed", 3), asked, asked, meanwhile=lambda _: None)

    assert [(each.state, each.again) for each in written] == [("failed", 1)]


def test_try_that_is_asked_for_while_the_failure_is_being_written_is_not_lost() -> None:
    """Its record stands before the one that the runner has just written is noted."""
    asked = run("queued", 0, 1)

    written = carried_out(run("queued"), meanwhile=lambda each: asked if each.again == 0 else None)

    assert [(each.state, each.again) for each in written] == [("failed", 0), ("failed", 1)]


def test_state_of_an_earlier_try_changes_nothing() -> None:
    """It was written by an attempt that did not know yet that another try was asked for."""
    log = RunLog()
    log.take(run("queued", 0, 1))

    log.put(run("failed", 3, 0))

    assert log.open["run_1"] == run("queued", 0, 1)
