"""The agent as a process that prints its events."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import IO

from tests.unit.agent.watched import PATIENCE_S

TOP = Path(__file__).parents[3]
RUN = """
import sys
from agent import run, settings
from agent.kafka import KafkaSettings
roots = [{"dir": directory, "project": f"p{index}"} for index, directory in enumerate(sys.argv[2:])]
told = settings.read(roots=roots, state_dir=sys.argv[1], stdout=True)
sys.exit(run.main(told, KafkaSettings()))
"""


class Process:
    """An agent that prints its events; a context manager that leaves nothing behind."""

    def __init__(
        self, state: Path, *directories: Path, script: str = RUN, output: int | IO[str] = subprocess.PIPE
    ) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", script, str(state), *map(str, directories)],
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(TOP)},
        )

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate(timeout=PATIENCE_S)

    def said(self, event: str) -> dict[str, object]:
        """Return the first log line with an event."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            entry: dict[str, object] = json.loads(line)
            if entry["event"] == event:
                return entry
        raise AssertionError(f"it ended without saying {event}")

    def heard(self) -> dict[str, object]:
        """Return the next event that it prints."""
        assert self.process.stdout is not None
        event: dict[str, object] = json.loads(self.process.stdout.readline())
        return event

    def stop(self) -> tuple[int, str, str]:
        """Stop it as a service manager does, and return its status and what else it said."""
        self.process.terminate()
        said, logged = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, said, logged
