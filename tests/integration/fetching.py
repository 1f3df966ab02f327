"""A file monitor on topics of its own: a sequencer, two api processes, a transfer worker.

Each is a process that a test may kill and start again. No database is there: nothing here needs one.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx2

from agent.kafka import KafkaSettings
from processors import credentials, registry
from tests.integration import free_ports
from tests.integration.normalizing import make_topics, worker
from tests.integration.running import PATIENT

LIST = "/rundb/api/v1/filemonitor/"
PROJECT = "fetched"
AWAIT_S = 180.0


class Process:
    """A stage of fswire; standard error goes to a file."""

    def __init__(self, module: str, log: Path, settings: dict[str, str]) -> None:
        self._run = f"import sys; from {module} import main; sys.exit(main())"
        self._log = log
        self._settings = settings
        self.start()

    def start(self) -> None:
        """Start it, or start it again."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", self._run], stderr=log, env=os.environ | self._settings
            )

    def kill(self) -> None:
        """End it at once, between any two of its steps."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(AWAIT_S)

    def said(self) -> str:
        """Return the end of its log."""
        return self._log.read_text(errors="replace")[-4_000:]


class Site:
    """The installation, and clients of its two api processes."""

    def __init__(self, kafka: KafkaSettings, directory: Path, servers: ExitStack) -> None:
        self.kafka = make_topics(kafka, PROJECT)
        self.directory = directory
        self.root = directory / "transfers"
        key, self.key = credentials.new_key(["filemonitor:read", "filemonitor:write"], [], None)
        asyncio.run(registry.write(self.kafka, key))
        self.processors = servers.enter_context(worker(self.kafka, directory))
        self.shared = {
            "FSWIRE_KAFKA_BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
            "FSWIRE_KAFKA_TOPIC_PREFIX": self.kafka.topic_prefix,
        }
        self.clients = [self.api(servers) for _ in range(2)]
        fetching = {
            "FSWIRE_TRANSFERS_ROOT": str(self.root),
            "FSWIRE_TRANSFERS_PROJECT": PROJECT,
            "FSWIRE_TRANSFERS_GROUP": self.kafka.topic_prefix + "transfers",
            "FSWIRE_TRANSFERS_FIRST_RETRY_S": "0.05",
            "FSWIRE_TRANSFERS_PROGRESS_S": "0.2",
            "FSWIRE_ALLOW_PRIVATE_TARGETS": "true",
        }
        self.worker = self.process(servers, "processors.transfer_worker", "transfers.log", fetching)

    def await_ready(self) -> None:
        """Return once every process serves: a write comes back through both api processes."""
        for client in self.clients:
            self.until(lambda client=client: self._answers(client), "an api process answers")  # type: ignore[misc]

    def send(self, method: str, path: str = LIST, body: Any = None, api: int = 0) -> httpx2.Response:
        """Send a request to one of the api processes."""
        return self.clients[api].request(method, path, json=body)

    def make(self, **fields: Any) -> str:
        """Make a transfer; return its uri."""
        answer = self.send("POST", body=fields)
        assert answer.status_code == 201, answer.text
        return answer.headers["location"]

    def get(self, uri: str, api: int = 0) -> Any:
        """Return the JSON of a uri."""
        answer = self.send("GET", uri, api=api)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def ended(self, uri: str) -> Any:
        """Return a transfer once it is complete or has failed."""
        self.until(lambda: not _is_open(self.get(uri)), f"{uri} ends")
        return self.get(uri)

    def until(self, holds: Callable[[], bool], what: str) -> None:
        """Return once a condition holds."""
        deadline = time.monotonic() + AWAIT_S
        while not holds():
            assert time.monotonic() < deadline, f"{what}: not within {AWAIT_S} s\n{self.worker.said()}"
            time.sleep(0.02)

    def _answers(self, client: httpx2.Client) -> bool:
        try:
            return client.put(f"{LIST}999999/", json={"status": "probe"}).status_code in (201, 204)
        except httpx2.HTTPError:
            return False

    def api(self, servers: ExitStack, **settings: str) -> httpx2.Client:
        """Start an api process, with these settings beside those of all; return a client of it."""
        port = free_ports.pick()
        told = PATIENT | settings | {"FSWIRE_API_PORT": str(port)}
        self.process(servers, "api.serve", f"api-{port}.log", told)
        client = httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=AWAIT_S)
        client.headers["authorization"] = "ApiKey " + self.key.replace(".", ":", 1)
        return servers.enter_context(client)

    def log(self, api: int) -> Path:
        """Return where an api process writes what it has to say."""
        return self.directory / f"api-{self.clients[api].base_url.port}.log"

    def process(self, servers: ExitStack, module: str, log: str, settings: dict[str, str]) -> Process:
        """Start a stage that ends with `servers`."""
        started = Process(module, self.directory / log, self.shared | settings)
        servers.callback(started.kill)
        return started


def _is_open(transfer: dict[str, Any]) -> bool:
    return transfer["status"] in ("Queued", "Starting", "Downloading")


@contextmanager
def site(kafka: KafkaSettings, directory: Path) -> Iterator[Site]:
    """Run an installation until the block ends."""
    with ExitStack() as servers:
        running = Site(kafka, directory, servers)
        running.await_ready()
        running.send("DELETE", f"{LIST}999999/")
        yield running
