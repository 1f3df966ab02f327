"""Databases for tests: the store as a process of its own, or ClickHouse itself in Docker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import clickhouse_connect
import httpx2

from processors.clickhouse import ClickHouseSettings
from tests.integration import free_ports

PASSWORD = "a-password-of-tests"
_STORE = "import sys; from deploy.store import main; sys.exit(main())"
PATIENCE_S = 120
"""Of every wait for a store: a busy disk takes long to load and to open it."""


@dataclass(frozen=True)
class Place:
    """Where a database answers, and for whom."""

    host: str
    port: int
    user: str
    password: str

    @property
    def base(self) -> str:
        """Its address, without credentials."""
        return f"http://{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """Its address as FSWIRE_CLICKHOUSE_URL takes it."""
        return f"http://{self.user}:{self.password}@{self.host}:{self.port}/default"

    @property
    def settings(self) -> ClickHouseSettings:
        """The same as settings."""
        return ClickHouseSettings(url=self.url)  # type: ignore[arg-type]

    def connect(self, **options: Any) -> Any:
        """An ordinary clickhouse-connect client."""
        arguments = {"autogenerate_session_id": False} | options
        return clickhouse_connect.get_client(
            host=self.host, port=self.port, username=self.user, password=self.password, **arguments
        )

    def http(self) -> httpx2.Client:
        """An HTTP client with the right credentials that asks for no compression."""
        return httpx2.Client(
            base_url=self.base,
            auth=(self.user, self.password),
            headers={"Accept-Encoding": "identity"},
            timeout=60,
        )


class StoreProcess:
    """`fswire store` on a port and a data directory, for as long as a test needs it."""

    def __init__(self, directory: Path, port: int | None = None) -> None:
        self.directory = directory
        self.place = Place("127.0.0.1", port or free_ports.pick(), "fswire", PASSWORD)
        self.log = directory.with_suffix(".log")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The process that was started last."""
        assert self._process is not None
        return self._process

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.launch()
        self.await_ready()

    def launch(self) -> None:
        """Start it without waiting."""
        environment = dict(
            os.environ,
            FSWIRE_STORE_PORT=str(self.place.port),
            FSWIRE_STORE_DATA_DIR=str(self.directory),
            FSWIRE_STORE_PASSWORD=PASSWORD,
        )
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _STORE], env=environment, stdout=log, stderr=subprocess.STDOUT
            )

    def await_ready(self) -> None:
        """Return when it answers; fail with its log when it ended."""
        transport = httpx2.HTTPTransport(retries=0)
        with httpx2.Client(transport=transport, base_url=self.place.base, timeout=5) as client:
            deadline = time.monotonic() + PATIENCE_S
            while time.monotonic() < deadline:
                try:
                    client.get("/ping")
                    return
                except httpx2.TransportError:
                    try:
                        self.process.wait(0.1)
                    except subprocess.TimeoutExpired:
                        continue
                    break
        raise AssertionError(f"the store does not answer:\n{self.log.read_text()}")

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Stop it and return its status."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)


@contextmanager
def running_store(directory: Path) -> Iterator[StoreProcess]:
    """A store that has started."""
    store = StoreProcess(directory)
    try:
        store.start()
        yield store
    finally:
        if store.process.poll() is None:
            store.end(signal.SIGKILL)
