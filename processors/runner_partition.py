"""The runs of one partition while this worker owns it: each is tried until it succeeds or fails for good.

Every state is acknowledged in `fswire.runs` before the next step. A webhook or a record may be sent again
after a crash, always under the same id; a command that was under way is `failed`, because nobody knows.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import structlog

from processors.actions import ActionFailed, ActionRefused, Actions
from processors.instants import iso
from processors.run_log import RunLog, is_first
from processors.runs import Run
from processors.workflow import Workflow

_SECOND_NS = 1_000_000_000
_log = structlog.get_logger()


class RunnerPartition:
    """Owns the runs of a partition.

    `append` writes a run's state and returns once it is acknowledged; `prove` returns only while the
    partition is surely this worker's; `failed` is told what ended a run and is no failure of its action.
    """

    def __init__(
        self,
        actions: Actions,
        workflow: Callable[[str], Awaitable[Workflow | None]],
        append: Callable[[Run], Awaitable[None]],
        prove: Callable[[], Awaitable[None]],
        failed: Callable[[BaseException], None],
        at_once: int,
    ) -> None:
        self._actions = actions
        self._workflow = workflow
        self._append = append
        self._prove = prove
        self._at_once = at_once
        self._slots = asyncio.Semaphore(at_once)
        self._limits: dict[str, tuple[int, asyncio.Semaphore]] = {}
        self._log = RunLog()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._waiting: dict[tuple[str, str], _Waiting] = {}
        self._restored = False
        self._stopped = False
        self._stale: dict[str, Run] = {}
        self._failed = failed

    def take(self, identity: str, run: Run | None) -> Awaitable[None] | None:
        """Take a record of the topic, in its order; returns what is to be awaited, if anything is."""
        if run is None:
            self._log.drop(identity)
            return None
        if self._restored and not is_first(run):
            return None  # this worker's own, and noted when it was written
        newer = self._log.take(run)
        if not self._restored:
            self._stale.pop(run.id, None)
            self._stale |= {run.id: newer} if newer is not None else {}
            return None
        if newer is not None:
            return self._append(newer)
        self._begin(run)
        return None

    async def restored(self) -> None:
        """Go on with all runs that have not ended: every record up to now was taken.

        Where a run was queued again and its owner died before it could write over that, it is done now:
        compaction keeps the last record alone.
        """
        for newer in self._stale.values():
            await self._append(newer)
        self._stale.clear()
        if self._stopped:  # given away meanwhile
            return
        self._restored = True
        for run in list(self._log.open.values()):
            self._begin(run)

    async def stop(self) -> None:
        """End all attempts; what they were about goes on with the next owner."""
        self._stopped = True
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def _begin(self, run: Run) -> None:
        if run.id not in self._tasks:
            task = asyncio.create_task(self._carry_out(run), name=run.id)
            self._tasks[run.id] = task
            task.add_done_callback(lambda done: self._ended(run.id, done))

    def _ended(self, identity: str, task: asyncio.Task[None]) -> None:
        self._tasks.pop(identity, None)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._failed(error)
            return
        asked = self._log.open.get(identity)
        if asked is not None and not self._stopped:  # for another try, before this one had quite ended
            self._begin(asked)

    async def _carry_out(self, run: Run) -> None:
        workflow = await self._registered(run)
        if workflow is None:
            return
        if run.state == "running" and workflow.action.command is not None:
            await self._end(run, "failed", error="interrupted: whether the command did its work is not known")
            return
        if workflow.debounce_s and not await self._quiet(run, workflow):
            return
        following: Run | None = run
        while following is not None:
            await asyncio.sleep(_wait_s(following))
            following = await self._in_turn(following)

    async def _registered(self, run: Run) -> Workflow | None:
        """Return a run's workflow as it is now; where it was deleted, None, and the run has ended."""
        workflow = await self._workflow(run.workflow)
        if workflow is None:
            await self._end(run, "failed", error=f"there is no workflow {run.workflow} any more")
        return workflow

    async def _in_turn(self, run: Run) -> Run | None:
        """Make an attempt once there is room for it, as the workflow is by then."""
        workflow = await self._registered(run)
        if workflow is None:
            return None
        async with self._limit(workflow), self._slots:
            workflow = await self._registered(run)
            return None if workflow is None else await self._attempt(run, workflow)

    async def _attempt(self, run: Run, workflow: Workflow) -> Run | None:
        """Make one attempt; return the run as it waits for the next, None once it has ended."""
        run = await self._put(run, state="running", attempts=run.attempts + 1, retry_at=None)
        await self._prove()
        try:
            await self._actions.perform(workflow, run)
        except ActionFailed as error:
            if isinstance(error, ActionRefused) or run.attempts >= workflow.retry.attempts:
                await self._end(run, "failed", error=str(error))
                return None
            delay_s = min(workflow.retry.first_s * 2 ** (run.attempts - 1), workflow.retry.longest_s)
            retry_at = iso(time.time_ns() + int(delay_s * _SECOND_NS))
            return await self._put(run, state="queued", error=str(error), retry_at=retry_at)
        await self._end(run, "succeeded")
        return None

    async def _quiet(self, run: Run, workflow: Workflow) -> bool:
        """Wait until a path was quiet for a while; False: a later run takes this one's place."""
        path = (workflow.name, _path(run))
        waiting = self._waiting.setdefault(path, _Waiting())
        waiting.last, waiting.runs = run.id, waiting.runs + 1
        await asyncio.sleep(workflow.debounce_s)
        waiting.runs -= 1
        if not waiting.runs:
            del self._waiting[path]
        if waiting.last != run.id:
            await self._end(run, "succeeded", superseded_by=waiting.last)
            return False
        return True

    def _limit(self, workflow: Workflow) -> asyncio.Semaphore:
        """Return the workflow's own limit of runs under way."""
        limit = workflow.concurrency or self._at_once
        known = self._limits.get(workflow.name)
        if known is None or known[0] != limit:
            known = self._limits[workflow.name] = (limit, asyncio.Semaphore(limit))
        return known[1]

    async def _end(self, run: Run, state: str, **more: Any) -> None:
        await self._put(run, state=state, **({"error": None} | more))
        _log.info("run ended", run=run.id, workflow=run.workflow, state=state, error=more.get("error"))

    async def _put(self, run: Run, **changed: Any) -> Run:
        changed_run = msgspec.structs.replace(run, updated_at=iso(time.time_ns()), **changed)
        await self._append(changed_run)
        self._log.put(changed_run)
        return changed_run


@dataclass
class _Waiting:
    """The runs that wait for a path to be quiet: the one that came last, and how many there are."""

    last: str = ""
    runs: int = 0


def _wait_s(run: Run) -> float:
    """Return how long a run that failed before has still to wait."""
    if run.state != "queued" or run.retry_at is None:
        return 0.0
    return max(0.0, datetime.fromisoformat(run.retry_at).timestamp() - time.time_ns() / _SECOND_NS)


class _Told(msgspec.Struct):
    filename: str = ""


def _path(run: Run) -> str:
    return f"{run.project_id}/{msgspec.json.decode(run.event, type=_Told).filename}"
