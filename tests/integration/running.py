"""`fswire up` as a person starts it: the console script, a process of its own, read from outside."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

from agent.kafka import KafkaSettings
from deploy.endpoint import Endpoint
from deploy.endpoint import read as read_endpoint
from processors import registry

FSWIRE = str(Path(sys.executable).with_name("fswire"))
START_S = 300
STOP_S = 180
PATIENCE_S = 120
"""Of a wait for what takes a moment, where the machine is not busy."""
PATIENT = {
    "FSWIRE_API_DECISION_TIMEOUT_MS": "40000",
    "FSWIRE_API_CATCH_UP_TIMEOUT_MS": "40000",
    "FSWIRE_API_BODY_TIMEOUT_S": "120",
    "FSWIRE_API_HISTORY_TIMEOUT_S": "40",
    "FSWIRE_API_PAGES_TIMEOUT_S": "40",
}
"""What an api of tests is told: on a busy machine what takes longer is late, and no 503 or 408."""


class NotReady(Exception):
    """`fswire up` ended, or took too long; the message holds what it said."""


class Up:
    """One `fswire up`; standard error goes to a file beside the data directory."""

    def __init__(self, data_dir: Path, *arguments: str, env: dict[str, str] | None = None) -> None:
        self.data_dir = data_dir
        self._errors = data_dir.with_name(f"{data_dir.name}.stderr")
        with self._errors.open("ab") as errors:
            self.process = subprocess.Popen(
                [FSWIRE, "up", "--data-dir", str(data_dir), *arguments],
                stdout=subprocess.PIPE,
                stderr=errors,
                env=os.environ | PATIENT | (env or {}),
            )

    def ready(self, timeout_s: float = START_S) -> str:
        """Return the URL of the `ready` line. Raises NotReady."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + timeout_s
        line = b""
        while not line.endswith(b"\n"):
            left_s = deadline - time.monotonic()
            if left_s <= 0 or not select.select([self.process.stdout], [], [], left_s)[0]:
                raise NotReady(f"not ready within {timeout_s} s:\n{self.said()}")
            character = os.read(self.process.stdout.fileno(), 1)
            if not character:
                self.process.wait(STOP_S)
                raise NotReady(f"ended with status {self.process.returncode}:\n{self.said()}")
            line += character
        word, _, url = line.decode().strip().partition(" ")
        assert word == "ready", line
        return url

    def endpoint(self) -> Endpoint:
        """Return where the running stack is."""
        return read_endpoint(self.data_dir)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit status."""
        self.process.send_signal(number)
        return self.ended()

    def ended(self, timeout_s: float = STOP_S) -> int:
        """Wait for the end and return the exit status."""
        assert self.process.stdout is not None
        status = self.process.wait(timeout_s)
        self.process.stdout.close()
        return status

    def said(self) -> str:
        """Return standard error, and the last lines of each part's log."""
        texts = [self._errors.read_text(errors="replace")]
        logs = sorted((self.data_dir / "logs").glob("*.log"))
        texts += [f"--- {log.name}\n{_last_lines(log)}" for log in logs]
        return "\n".join(texts)

    def processes(self) -> dict[int, str]:
        """Return the processes of this stack but the supervisor: all that work in its data directory."""
        found = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != self.process.pid:
                try:
                    if (entry / "cwd").readlink().is_relative_to(self.data_dir):
                        found[int(entry.name)] = (
                            (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                        )
                except OSError:
                    continue  # it ended meanwhile
        return found

    def part(self, word: str) -> int:
        """Return the process id of the part in whose command line a word stands."""
        return next(pid for pid, command in self.processes().items() if word in command.split())


def _last_lines(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-40:])


@contextmanager
def up(data_dir: Path, *arguments: str) -> Iterator[Up]:
    """Run `fswire up` until the block ends; kill it if it is still there then."""
    running = Up(data_dir, *arguments)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.process.kill()
        running.ended()


@dataclass(frozen=True)
class Stack:
    """A stack that is ready, and the directory that it watches."""

    up: Up
    endpoint: Endpoint
    watched: Path
    project: str

    @property
    def api(self) -> str:
        """URL of the api."""
        return self.endpoint.api

    @property
    def admin_key(self) -> str:
        """`ID.SECRET` of a key that may do everything."""
        return self.endpoint.admin_key

    @property
    def bootstrap_servers(self) -> str:
        """Of the broker."""
        return self.endpoint.bootstrap_servers

    @property
    def clickhouse(self) -> str:
        """URL of the database, with user and password."""
        return self.endpoint.clickhouse

    @property
    def data_dir(self) -> Path:
        """For `--data-dir` of commands."""
        return self.up.data_dir

    @property
    def kafka(self) -> KafkaSettings:
        """How to reach the broker."""
        return KafkaSettings(bootstrap_servers=self.bootstrap_servers)

    def query(self, sql: str) -> str:
        """Run a statement in ClickHouse and return its answer as text."""
        url = httpx2.URL(self.clickhouse)
        answer = httpx2.post(
            url.copy_with(path="/", username="", password=""),
            params={"database": url.path.strip("/") or "default"},
            content=sql.encode(),
            auth=(url.username, url.password),
            timeout=60,
        )
        assert answer.status_code == 200, answer.text
        return answer.text

    def await_rows(self, count_query: str, expected: int, timeout_s: float = 300) -> None:
        """Return when a counting query gives at least `expected`; fail with the count when it never does."""
        deadline = time.monotonic() + timeout_s
        while (found := int(self.query(count_query))) < expected:
            assert time.monotonic() < deadline, f"{found} of {expected} after {timeout_s} s: {count_query}"
            time.sleep(0.05)

    def command(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run `fswire …` against this stack."""
        return subprocess.run(
            [FSWIRE, *arguments, "--data-dir", str(self.data_dir)],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )

    def await_ready(self) -> httpx2.Response:
        """Return what the api says of its readiness once it is ready, else what it says in the end."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            answer = httpx2.get(f"{self.api}/health/ready", timeout=PATIENCE_S)
            if answer.status_code == 200 or time.monotonic() > deadline:
                return answer
            time.sleep(0.05)

    def settle(self) -> None:
        """Return once api and worker know what the registry holds.

        They read it in order, and a project that they do not know to its end.
        """
        project = f"settled-{secrets.token_hex(6)}"
        asyncio.run(registry.write(self.kafka, registry.registered_now(project)))
        event = {"projectId": project, "filename": "a", "event": "created", "filesize": 1}
        answer = self.send("PUT", f"/2026-02-01/directory-monitor/{project}.json", event)
        assert answer[0] == 200, answer

    def send(self, method: str, path: str, body: object = None, key: str | None = None) -> tuple[int, object]:
        """Send a request to the api with the admin key or another; return status and JSON."""
        answer = httpx2.request(
            method,
            self.api + path,
            content=json.dumps(body).encode() if body is not None else None,
            headers={
                "Authorization": f"Bearer {key or self.admin_key}",
                "Content-Type": "application/json",
            },
            timeout=PATIENCE_S,
        )
        return answer.status_code, answer.json()
