"""A tree that changes all the time, and the agent that reports it: killed at any moment and started again."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import threading
from pathlib import Path

from agent.kafka import KafkaSettings
from tests.integration.running import FSWIRE

DIRECTORIES = ("a", "b", "b/c", "d")
PAUSE_S = 0.01
PATIENCE_S = 120


class Tree:
    """One project's tree."""

    def __init__(self, kafka: KafkaSettings, directory: Path, project: str, seed: int) -> None:
        self.project = project
        self._root = directory / project
        for name in DIRECTORIES:
            (self._root / name).mkdir(parents=True)
        self._log = directory / f"{project}.log"
        self._environment = {
            **os.environ,
            "FSWIRE_KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "FSWIRE_KAFKA_TOPIC_PREFIX": kafka.topic_prefix,
            "FSWIRE_AGENT_STATE_DIR": str(directory / f"{project}-agent"),
            "FSWIRE_AGENT_GRACE_S": str(PATIENCE_S),
        }
        self._random = random.Random(seed)
        self._over = threading.Event()
        self._changing = threading.Thread(target=self._change)
        self._agent: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Run the agent, and begin to change files."""
        self.restart()
        self._changing.start()

    def restart(self) -> None:
        """Kill the agent, if it runs, and run it again."""
        self.kill()
        command = [FSWIRE, "agent", str(self._root), "--project", self.project]
        with self._log.open("ab") as log:
            self._agent = subprocess.Popen(command, stdout=log, stderr=log, env=self._environment)

    def kill(self) -> None:
        """Kill the agent, if it runs."""
        if self._agent is not None:
            self._agent.kill()
            self._agent.wait()
            self._agent = None

    def settle(self) -> None:
        """Change nothing from now on."""
        self._over.set()
        self._changing.join()

    def finish(self) -> None:
        """Return when the agent has reported all that it has seen, and is gone: nothing more comes of it."""
        if self._agent is not None:
            self._agent.terminate()
            self._agent.wait(2 * PATIENCE_S)
            self._agent = None

    def _change(self) -> None:
        while not self._over.wait(PAUSE_S):
            self._once(self._root / self._random.choice(DIRECTORIES))

    def _once(self, directory: Path) -> None:
        file = directory / f"f{self._random.randrange(40)}"
        match self._random.randrange(6):
            case 0 | 1 | 2:
                file.write_bytes(self._random.randbytes(self._random.randrange(200)))
            case 3:
                file.unlink(missing_ok=True)
            case 4 if file.exists():
                file.rename(self._root / self._random.choice(DIRECTORIES) / file.name)
            case _:
                made = directory / "made"
                shutil.rmtree(made) if made.exists() else made.mkdir()
