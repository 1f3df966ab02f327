"""Keeps parts running: starts them, restarts what dies, stops them in order.

In flow the specs of parts; out flow their states and lines, to a display. `failure` is set when a part has
died too often: whoever owns the supervisor then stops everything.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from deploy.deaths import LIMIT, WINDOW_S, Deaths
from deploy.display import Display
from deploy.part import Part, Spec


class PartsFailed(Exception):
    """A part cannot be kept running; the message says which, and its last words."""


class Supervisor:
    """The parts of one stack. `start` each, `stop` them in order; nothing runs after `stop_all`."""

    def __init__(
        self,
        log_dir: Path,
        display: Display,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.failure: asyncio.Future[PartsFailed] = asyncio.get_running_loop().create_future()
        self.hurry = asyncio.Event()
        """Set to end what does not stop at once."""
        self._log_dir = log_dir
        self._display = display
        self._clock = clock
        self._sleep = sleep
        self._parts: dict[str, Part] = {}
        self._keepers: dict[str, asyncio.Task[None]] = {}

    async def start(self, spec: Spec) -> None:
        """Start a part and keep it running from now on; return when it first serves.

        Raises PartsFailed when it dies too often before, OSError when it cannot be started at all.
        """
        served = asyncio.Event()
        keeper = self._keepers[spec.name] = asyncio.create_task(self._keep(spec, served))
        serving = asyncio.create_task(served.wait())
        try:
            await asyncio.wait((keeper, serving), return_when=asyncio.FIRST_COMPLETED)
            if keeper.done():
                keeper.result()
                raise self.failure.result()
        finally:
            serving.cancel()

    async def stop(self, *names: str) -> None:
        """Stop these parts together, each within its grace time; return when they have ended."""
        await asyncio.gather(*(self._stop(name) for name in names if name in self._keepers))

    @property
    def running(self) -> list[str]:
        """Names of the parts that have been started and not stopped, in the order of their start."""
        return list(self._keepers)

    async def _keep(self, spec: Spec, served: asyncio.Event) -> None:
        deaths = Deaths()
        while True:
            part = self._parts[spec.name] = Part(spec, self._log_dir, self._display.heard)
            self._display.part(spec.name, "starting")
            await part.start()
            status = await self._life(part, served)
            delay_s = deaths.another(self._clock())
            self._display.part(spec.name, "died")
            if delay_s is None:
                self._give_up(part, status)
                return
            self._display.say(f"{_epitaph(part, status)}\n{spec.name} is started again in {delay_s:g} s")
            await self._sleep(delay_s)

    async def _life(self, part: Part, served: asyncio.Event) -> int:
        ended = asyncio.create_task(part.ended())
        serving = asyncio.create_task(part.serving.wait())
        try:
            await asyncio.wait((ended, serving), return_when=asyncio.FIRST_COMPLETED)
            if part.serving.is_set():
                self._display.part(part.spec.name, "running")
                served.set()
            return await ended
        finally:
            serving.cancel()
            ended.cancel()

    def _give_up(self, part: Part, status: int) -> None:
        if not self.failure.done():
            reason = f"{_epitaph(part, status)}\n{part.spec.name} died {LIMIT} times within {WINDOW_S:g} s"
            self.failure.set_result(PartsFailed(reason))

    async def _stop(self, name: str) -> None:
        keeper = self._keepers.pop(name)
        keeper.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeper
        part = self._parts.pop(name, None)
        if part is not None and part.alive:
            self._display.part(name, "stopping")
            await self._end(part)
        self._display.part(name, "stopped")

    async def _end(self, part: Part) -> None:
        part.terminate()
        ended = asyncio.create_task(part.ended())
        hurried = asyncio.create_task(self.hurry.wait())
        await asyncio.wait((ended, hurried), timeout=part.spec.grace_s, return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
        if not ended.done():
            self._display.say(f"{part.spec.name} did not stop in time and is killed")
            part.kill()
        await ended


def _epitaph(part: Part, status: int) -> str:
    words = "\n".join(f"  {line}" for line in part.last_lines) or "  (nothing)"
    return f"{part.spec.name} died ({_cause(status)}); its last words:\n{words}"


def _cause(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-status).name
    return f"signal {-status}"
