"""Runs of a partition: which state of a run counts where it is taken over, and by which workflow it runs."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from aiokafka.errors import KafkaConnectionError

from agent.kafka import KafkaSettings
from processors import runner
from processors.actions import ActionFailed, Actions
from processors.run_log import RunLog
from processors.runner import Runner, RunnerSettings
from processors.runner_partition import RunnerPartition
from processors.runs import Run
from processors.settings import ProcessorsSettings
from processors.workflow import Action, Retry, ToTopic, Workflow

EVENT = msgspec.Raw(b'{"filename":"f"}')


def run(state: str, attempts: int = 0) -> Run:
    return Run("run_1", "w", "p", "evt_1", state, "q", "u", EVENT, attempts)  # type: ignore[arg-type]


async def unknown(_name: str) -> None:
    """Return no workflow: all are gone."""


def restored(*records: Run) -> list[Run]:
    """Return what a runner writes that finds these records, in this order, in a partition that it takes."""
    written: list[Run] = []

    async def append(each: Run) -> None:
        written.append(each)

    async def prove() -> None:
        """Always the owner."""

    async def take_over() -> None:
        actions = Actions(None, prefix="fswire.", commands=(), allow_private=False)  # type: ignore[arg-type]
        partition = RunnerPartition(actions, unknown, append, prove, lambda _: None, 1)
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
        partition = RunnerPartition(actions, unknown, append, prove, lambda _: None, 1)
        other = msgspec.structs.replace(run("queued"), id="run_2")
        for each in (run("queued"), run("succeeded", 1), run("queued"), other):
            partition.take(each.id, each)
        await partition.restored()
        assert not partition._tasks
        await actions.close()

    asyncio.run(take_over())

    assert written == [run("succeeded", 1)]


class Told:
    """In the place of actions: the workflows that were carried out, each as it was by then."""

    def __init__(self, *fails: bool) -> None:
        self.done: list[Workflow] = []
        self._fails = list(fails)
        self.called = asyncio.Event()

    async def perform(self, workflow: Workflow, _run: Run) -> None:
        self.done.append(workflow)
        self.called.set()
        if self._fails and self._fails.pop(0):
            raise ActionFailed("no")


class Registered:
    """A partition's surroundings: its workflow, which a test changes, and what was written."""

    def __init__(self, told: Told, workflow: Workflow) -> None:
        self.workflow: Workflow | None = workflow
        self.ended: dict[str, Run] = {}
        self.failures: list[BaseException] = []
        self._change = asyncio.Condition()
        self.partition = RunnerPartition(
            told,  # type: ignore[arg-type]
            self._find,
            self._append,
            self._prove,
            self.failures.append,
            1,
        )

    async def until_ended(self, count: int) -> None:
        async with self._change:
            await asyncio.wait_for(self._change.wait_for(lambda: len(self.ended) >= count), 10)

    async def _find(self, _name: str) -> Workflow | None:
        return self.workflow

    async def _append(self, written: Run) -> None:
        if written.state in ("succeeded", "failed"):
            self.ended[written.id] = written
        async with self._change:
            self._change.notify_all()

    async def _prove(self) -> None:
        """Always the owner."""


def named(identity: str) -> Run:
    return msgspec.structs.replace(run("queued"), id=identity)


HOOK = Workflow("w", "p", "DirectoryMonitor.p.notify", Action(topic=ToTopic("t")), retry=Retry(2, 0.01))


def tried_again(then: Workflow | None) -> tuple[Told, Run]:
    """Return what two attempts, the first of which fails, were told, and the run's end; `then`: its workflow
    as it is once the first was made."""

    async def change() -> tuple[Told, Run]:
        told = Told(True)
        around = Registered(told, HOOK)
        await around.partition.restored()
        around.partition.take("run_1", named("run_1"))
        await told.called.wait()
        around.workflow = then
        await around.until_ended(1)
        return told, around.ended["run_1"]

    return asyncio.run(change())


def test_each_attempt_is_made_by_the_workflow_as_it_is_then() -> None:
    """A mistake in it is mended for the runs that wait, too."""
    mended = msgspec.structs.replace(HOOK, action=Action(topic=ToTopic("right")))

    told, ended = tried_again(mended)

    assert told.done == [HOOK, mended]
    assert ended.state == "succeeded"


def test_run_that_waits_while_its_workflow_is_deleted_is_failed() -> None:
    """Nothing is sent for a workflow that is not there any more."""
    told, ended = tried_again(None)

    assert told.done == [HOOK]
    assert (ended.state, ended.error) == ("failed", "there is no workflow w any more")


def test_run_that_waits_longer_than_a_later_one_gives_way_to_it() -> None:
    """The workflow was applied with a shorter time meanwhile: the last still is the one that runs."""

    async def shorten() -> tuple[Told, Registered]:
        told = Told()
        around = Registered(told, msgspec.structs.replace(HOOK, debounce_s=0.3))
        await around.partition.restored()
        around.partition.take("run_1", named("run_1"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        around.workflow = msgspec.structs.replace(HOOK, debounce_s=0.01)
        around.partition.take("run_2", named("run_2"))
        await around.until_ended(2)
        return told, around

    told, around = asyncio.run(shorten())

    assert not around.failures
    assert len(told.done) == 1
    assert around.ended["run_1"].superseded_by == "run_2"


class LateView:
    """The registry as a process that is behind has it: the broker answers at the second asking."""

    def __init__(self, *written: Workflow) -> None:
        self.workflows: dict[str, Workflow] = {}
        self.asked = 0
        self._written = written

    async def catch_up(self) -> None:
        self.asked += 1
        if self.asked == 1:
            raise KafkaConnectionError
        self.workflows |= {each.name: each for each in self._written}


def test_workflow_that_is_not_in_view_yet_is_waited_for(monkeypatch: Any) -> None:
    """Another worker may have known it, and queued the run; one that is gone for good is none."""
    monkeypatch.setattr(runner, "_BACK_OFF_S", 0)
    known = Workflow("w", "p", "DirectoryMonitor.p.notify", Action(topic=ToTopic("t")))
    service = Runner(KafkaSettings(), ProcessorsSettings(), RunnerSettings())
    view = service._registry = LateView(known)  # type: ignore[assignment]

    async def asked() -> list[Workflow | None]:
        return [await service._workflow(name) for name in ("w", "w", "gone")]

    assert asyncio.run(asked()) == [known, known, None]
    assert view.asked == 3
