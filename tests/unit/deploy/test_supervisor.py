"""The supervisor, with small scripts as parts: real processes, a clock of the test's own."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest

from deploy.part import Spec
from deploy.supervisor import PartsFailed, Supervisor
from tests.unit.deploy.processes import ends_within
from tests.unit.deploy.recording import Recording

SERVE = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print('{"event": "started"}', flush=True)
signal.pause()
"""
STUBBORN = SERVE.replace("lambda *_: sys.exit(0)", "signal.SIG_IGN")


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self, step_s: float = 0.0) -> None:
        self.now_s = 0.0
        self.slept_s: list[float] = []
        self._step_s = step_s

    def __call__(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        self.now_s += seconds + self._step_s


def spec(name: str, script: str, *, grace_s: float = 10.0) -> Spec:
    return Spec(name, [sys.executable, "-c", script], grace_s=grace_s)


def run(
    logs: Path,
    test: Callable[[Supervisor, Recording], Coroutine[None, None, None]],
    clock: Clock | None = None,
) -> None:
    clock = clock or Clock()

    async def main() -> None:
        shown = Recording()
        supervisor = Supervisor(logs, shown, clock=clock, sleep=clock.sleep)
        try:
            await test(supervisor, shown)
        finally:
            await supervisor.stop(*supervisor.running)

    asyncio.run(main())


def test_start_returns_when_the_part_serves(tmp_path: Path) -> None:
    """A part runs once it has said `started`."""

    async def test(supervisor: Supervisor, shown: Recording) -> None:
        await supervisor.start(spec("one", SERVE))

        assert shown.states == [("one", "starting"), ("one", "running")]

    run(tmp_path, test)


def test_part_that_dies_is_started_again(tmp_path: Path) -> None:
    """A part that ended is started anew after a delay, and its last words are shown."""
    marker = tmp_path / "came"
    script = f"""
import pathlib, sys
marker = pathlib.Path({str(marker)!r})
if not marker.exists():
    marker.touch()
    sys.exit("the disk is full")
{SERVE}"""
    clock = Clock()

    async def test(supervisor: Supervisor, shown: Recording) -> None:
        await supervisor.start(spec("one", script))

        assert [state for _, state in shown.states] == ["starting", "died", "starting", "running"]
        assert "one died (exit status 1); its last words:\n  the disk is full" in shown.said[0]
        assert clock.slept_s == [0.5]

    run(tmp_path, test, clock)


def test_part_that_dies_three_times_fails_everything(tmp_path: Path) -> None:
    """Three deaths within a minute are the end; the reason names the part and says its last words."""

    async def test(supervisor: Supervisor, shown: Recording) -> None:
        with pytest.raises(PartsFailed, match=r"no such table\none died 3 times within 60 s"):
            await supervisor.start(spec("one", "raise SystemExit('no such table')"))

        assert supervisor.failure.done()

    run(tmp_path, test)


def test_part_killed_by_a_signal_is_named_by_it(tmp_path: Path) -> None:
    """The cause of a death by signal is the signal's name."""

    async def test(supervisor: Supervisor, shown: Recording) -> None:
        with pytest.raises(PartsFailed, match="SIGKILL"):
            await supervisor.start(spec("one", "import os; os.kill(os.getpid(), 9)"))

    run(tmp_path, test)


def test_stop_asks_the_part_to_end(tmp_path: Path) -> None:
    """A stopped part got SIGTERM and time, and is not started again."""

    async def test(supervisor: Supervisor, shown: Recording) -> None:
        await supervisor.start(spec("one", SERVE))

        await supervisor.stop("one")

        assert shown.states[2:] == [("one", "stopping"), ("one", "stopped")]
        assert shown.said == []
        assert supervisor.running == []

    run(tmp_path, test)


def test_stop_kills_what_does_not_end(tmp_path: Path) -> None:
    """When the grace time is over, the part is killed."""

    async def test(supervisor: Supervisor, shown: Recording) -> None:
        await supervisor.start(spec("one", STUBBORN, grace_s=0.1))

        await supervisor.stop("one")

        assert shown.said == ["one did not stop in time and is killed"]

    run(tmp_path, test)


def test_stop_in_a_hurry_waits_for_nobody(tmp_path: Path) -> None:
    """Once it is to hurry, the grace time is cut short."""

    async def test(supervisor: Supervisor, shown: Recording) -> None:
        await supervisor.start(spec("one", STUBBORN, grace_s=3600))
        supervisor.hurry.set()

        await supervisor.stop("one")

        assert shown.states[-1] == ("one", "stopped")

    run(tmp_path, test)


def test_stop_ends_what_the_part_started(tmp_path: Path) -> None:
    """A process that a part leaves behind does not outlive it."""
    script = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
print(child.pid, flush=True)
{SERVE}"""

    async def test(supervisor: Supervisor, shown: Recording) -> None:
        await supervisor.start(spec("one", script))
        child = int(shown.lines[0][1])

        await supervisor.stop("one")

        assert ends_within(child, 5)

    run(tmp_path, test)


def test_log_holds_what_the_part_said(tmp_path: Path) -> None:
    """Both outputs of a part are in its log."""

    async def test(supervisor: Supervisor, shown: Recording) -> None:
        await supervisor.start(spec("one", "import sys; print('to stderr', file=sys.stderr)\n" + SERVE))
        await supervisor.stop("one")

        assert (tmp_path / "one.log").read_text() == 'to stderr\n{"event": "started"}\n'

    run(tmp_path, test)
