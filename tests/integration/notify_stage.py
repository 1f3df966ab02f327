"""Another api process beside the stack's, and projects whose events are published as an agent would.

Its fixtures `other` and `source` are there for a module that imports `other_api` and `new_source`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

import httpx2
import pytest
from aiokafka import AIOKafkaProducer

from agent.event import Batch, Event, encode
from agent.kafka import partition_of
from tests.integration import free_ports
from tests.integration.notify_client import SHOWN_S
from tests.integration.running import FSWIRE, PATIENT, Stack

QUEUE_RECORDS = 10


def await_known(stack: Stack, path: str, api: str | None = None) -> None:
    """Return once an api, the stack's where none is given, knows what was just made at a path."""
    target = f"{api or stack.api}/v1/files/{quote(path, safe='')}/info/attributes"
    key = {"Authorization": f"Bearer {stack.admin_key}"}
    deadline = time.monotonic() + SHOWN_S
    while (answer := httpx2.get(target, headers=key, timeout=SHOWN_S)).status_code != 200:
        assert answer.status_code == 404, answer.text
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.05)


class Api:
    """Another api process beside the stack's own, on a port that it keeps."""

    def __init__(self, stack: Stack, directory: Path, *arguments: str, **environment: str) -> None:
        self._command = [FSWIRE, "api", *arguments]
        self._port = free_ports.pick()
        self.url = f"http://127.0.0.1:{self._port}"
        self._log = directory / "api.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._environment = {
            **os.environ,
            **PATIENT,
            "FSWIRE_KAFKA_BOOTSTRAP_SERVERS": stack.bootstrap_servers,
            "FSWIRE_CLICKHOUSE_URL": stack.clickhouse,
            "FSWIRE_API_PORT": str(self._port),
            "FSWIRE_API_KEEP_ALIVE_S": "0.5",
            "FSWIRE_API_LIVE_QUEUE_RECORDS": str(QUEUE_RECORDS),
            **environment,
        }

    def start(self) -> None:
        """Run it; return when it is ready."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, env=self._environment)
        deadline = time.monotonic() + SHOWN_S
        while not self._ready():
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.1)

    def stop(self) -> None:
        """End it, if it runs."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            assert self._process.wait(SHOWN_S) == 0, self._log.read_text()
            self._process = None

    def _ready(self) -> bool:
        try:
            return httpx2.get(f"{self.url}/health/ready").status_code == 200
        except httpx2.TransportError:
            return False


@pytest.fixture(scope="module", name="other")
def other_api(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """Another api process, with short keep-alives and short queues."""
    api = Api(stack, tmp_path_factory.mktemp("other"))
    api.start()
    yield api
    api.stop()


class Source:
    """A project of its own; events are published as an agent would."""

    def __init__(self, stack: Stack) -> None:
        self.project = f"resume-{uuid4().hex[:8]}"
        self._kafka = stack.kafka
        self._next = 0
        assert stack.command("project", "create", self.project).returncode == 0

    def publish(self, *events: Event) -> None:
        """Put events on the raw topic, a batch for every 200."""
        # A browser's test has an event loop of its own in this thread.
        with ThreadPoolExecutor(1) as beside:
            beside.submit(lambda: asyncio.run(self._publish(events))).result()

    def create(self, *names: str) -> None:
        """Report new files."""
        self.publish(*(Event("create", name, time.time_ns()) for name in names))

    async def _publish(self, events: tuple[Event, ...]) -> None:
        async with AIOKafkaProducer(**self._kafka.producer()) as producer:
            topic = self._kafka.topic("raw")
            partition = partition_of(self.project, len(await producer.partitions_for(topic)))
            for first in range(0, len(events), 200):
                some = list(events[first : first + 200])
                batch = Batch(1, self.project, "host", time.time_ns(), "agt_test", "epoch", self._next, some)
                self._next += len(some)
                await producer.send_and_wait(topic, encode(batch), self.project.encode(), partition)


@pytest.fixture(name="source")
def new_source(stack: Stack, other: Api) -> Source:
    """A project without an agent; its directory `d` is there, and both api processes know it."""
    made = Source(stack)
    made.publish(Event("create", "d", time.time_ns(), is_dir=True))
    for api in (stack.api, other.url):
        await_known(stack, f"/{made.project}/d", api)
    return made
