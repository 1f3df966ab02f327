"""A program that watches a directory and prints what it sees, as a process: `fswire agent`, or a peer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec

from agent.event import Event
from tests.held import held
from tests.storms.ground import Ground
from tests.storms.history import SENTINEL
from tests.storms.storms import Storm

FSWIRE = str(Path(sys.executable).with_name("fswire"))
PATIENCE_S = 60.0
_STEP_S = 0.02
_ANOTHER_S = 5.0
"""After this a further sentinel is made: a watcher may have lost the one before."""
_decode = msgspec.json.Decoder(Event).decode


class Watcher:
    """Runs `command`, with output and log kept in `directory`; entered once its log holds `ready`."""

    def __init__(
        self, command: Sequence[str], directory: Path, ready: str, env: Mapping[str, str] = {}
    ) -> None:
        self.output = directory / "output"
        self._log = directory / "log"
        self._ready = ready
        self._sentinels = 0
        self._read_bytes = 0
        with self.output.open("wb") as output, self._log.open("wb") as log:
            self.process = subprocess.Popen(command, env={**os.environ, **env}, stdout=output, stderr=log)

    def __enter__(self) -> Watcher:
        self._await(lambda: self._ready in self.said())
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def said(self) -> str:
        """Return what it said on standard error."""
        return self._log.read_text(errors="replace")

    def quiet(self, ground: Ground) -> None:
        """Wait until everything that has been done so far is taken in."""
        for _ in range(2):  # what polls may have seen the first before the rest of the tree
            self._seen_sentinel(ground)
        ground.settled()

    def held(self) -> AbstractContextManager[None]:
        """Stop the process: it reads nothing while the block runs."""
        return held(self.process)

    def stop(self) -> None:
        """Ask it to end, and wait until it has."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE_S)

    def cpu_s(self) -> float:
        """Return the user and system time of the process, and of its children that have ended."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(") ")[2].split()
        return sum(int(ticks) for ticks in fields[11:15]) / os.sysconf("SC_CLK_TCK")

    def peak_bytes(self) -> int:
        """Return the largest amount of memory that was resident."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) * 1024

    def _seen_sentinel(self, ground: Ground) -> None:
        sentinels: list[bytes] = []
        due = time.monotonic()

        def seen() -> bool:
            nonlocal due
            if time.monotonic() >= due:
                self._sentinels += 1
                sentinels.append(f"{SENTINEL}{self._sentinels}.".encode())
                (ground.root / sentinels[-1].decode()).touch()
                due = time.monotonic() + _ANOTHER_S
            return self._printed(sentinels)

        self._await(seen)

    def _printed(self, names: list[bytes]) -> bool:
        """Tell whether one of the names stands in what was printed since the last look."""
        with self.output.open("rb") as file:
            file.seek(max(0, self._read_bytes - 4096))
            found = file.read()
            self._read_bytes = file.tell()
        return any(name in found for name in names)

    def _await(self, condition: Callable[[], bool]) -> None:
        """Look again and again: a file cannot be waited on, the end of the process can."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, (
                f"{self.process.args!r} did not get there:\n{self.said()[-4000:]}"
            )
            try:
                self.process.wait(_STEP_S)
            except subprocess.TimeoutExpired:
                continue
            raise AssertionError(f"{self.process.args!r} ended:\n{self.said()[-4000:]}")


def agent(ground: Ground, directory: Path, backend: str, **settings: str) -> Watcher:
    """Start `fswire agent --stdout` on a ground."""
    command = [FSWIRE, "agent", str(ground.root), "--project", "storm", "--stdout", "--backend", backend]
    env = {"TMPDIR": str(directory)} | {
        f"FSWIRE_AGENT_{name.upper()}": value for name, value in settings.items()
    }
    return Watcher(command, directory, '"started"', env)


def events(output: bytes) -> list[Event]:
    """Return what an agent has printed."""
    return [_decode(line) for line in output.splitlines()]


def rage(storm: Storm, size: int, ground: Ground, watcher: Watcher) -> None:
    """Do a storm, and wait wherever it waits and at its end."""
    for _ in storm(ground, size):
        watcher.quiet(ground)
    watcher.quiet(ground)
