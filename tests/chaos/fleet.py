"""A fleet of real processes that are killed at random: broker, database, workers, sinks; a webhook's target.

Every part ends with the `with` block of its fleet, whatever became of it.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec

from agent.kafka import KafkaSettings
from deploy import broker, kafka_jars, lifeline
from tests.integration import free_ports
from tests.integration.databases import StoreProcess, running_store

_MAIN = "import sys; from processors.{part} import main; sys.exit(main())"
_PATIENCE_S = 180


class Part:
    """A process that is started again and again; what it says is appended to one log."""

    def __init__(self, name: str, command: list[str], directory: Path, environment: dict[str, str]) -> None:
        self.name = name
        self.log = directory / f"{name}.log"
        self._command = command
        self._directory = directory
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def ended_by_itself(self) -> bool:
        """Whether nobody ended it, and yet it runs no more."""
        return self._process is not None and self._process.poll() is not None

    def start(self) -> None:
        """Start it, bound to the life of this process."""
        self.end(signal.SIGKILL)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                lifeline.shim(self._command),
                cwd=self._directory,
                env=os.environ | self._environment,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
            )

    def freeze(self) -> None:
        """Stop it where it is: what it was about to do it does much later, if it is let go on."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def end(self, number: signal.Signals) -> None:
        """Send a signal and wait for its end."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            process.wait(_PATIENCE_S)
            assert process.stdin is not None
            process.stdin.close()

    def resident_bytes(self) -> int:
        """Return how much memory it holds."""
        if self._process is None:
            return 0
        pages = Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def await_text(self, text: str, after: int = 0, timeout_s: float = _PATIENCE_S) -> None:
        """Return once its log says so behind a place; a file cannot be waited on, the process's end can."""
        deadline = time.monotonic() + timeout_s
        while text not in self.log.read_text(errors="replace")[after:]:
            if self._process is None or time.monotonic() > deadline:
                raise AssertionError(f"{self.name} never said {text!r}:\n{self.said()}")
            try:
                self._process.wait(0.1)
            except subprocess.TimeoutExpired:
                continue
            raise AssertionError(f"{self.name} ended:\n{self.said()}")

    def said(self) -> str:
        """Return the end of its log."""
        return self.log.read_text(errors="replace")[-4_000:]


class Fleet:
    """Everything that a project's events go through; `trouble` makes some."""

    def __init__(self, directory: Path, node: Part, kafka: KafkaSettings, store: StoreProcess) -> None:
        self.kafka = kafka
        self.store = store
        self.broker = node
        self.workers = [self._part("worker", number, directory) for number in range(3)]
        self.sinks = [self._part("sink", number, directory) for number in range(2)]
        self.done: list[str] = []
        """What was done to it."""
        self.unasked: list[Part] = []
        """What ended by itself: nothing that is done to others may end a part."""
        self._frozen: Part | None = None

    def start(self) -> None:
        """Start two of the workers and one of the sinks."""
        for part in (*self.workers[:2], self.sinks[0]):
            part.start()

    def stop(self) -> None:
        """End whatever still runs."""
        for part in (*self.workers, *self.sinks):
            part.end(signal.SIGKILL)

    def trouble(self, chance: random.Random) -> None:
        """Kill, freeze, take out or bring in one worker or sink; at least one of each is left running."""
        parts = chance.choice((self.workers, self.workers, self.sinks))
        part = chance.choice(parts)
        self.unasked += [each for each in parts if each.ended_by_itself and each not in self.unasked]
        if self._frozen is not None and (part is self._frozen or chance.random() < 0.2):
            self._thaw()
            return
        if not part.alive:
            self._did("starts", part)
            part.start()
        elif sum(each.alive and each is not self._frozen for each in parts) > 1 and chance.random() < 0.5:
            self._without(part, chance)
        else:
            self._did("is killed and starts again", part)
            part.end(signal.SIGKILL)
            part.start()

    def _without(self, part: Part, chance: random.Random) -> None:
        if self._frozen is None and chance.random() < 0.4:
            self._did("is frozen", part)
            self._frozen = part
            part.freeze()
        else:
            self._did("is asked to leave", part)
            part.end(signal.SIGTERM)

    def _thaw(self) -> None:
        if self._frozen is not None:
            self._did("goes on", self._frozen)
            self._frozen.thaw()
            self._frozen = None

    def restart_broker(self) -> None:
        """Kill the broker and start it again; all clients find it where it was."""
        self._did("is killed and starts again", self.broker)
        said = len(self.broker.log.read_text(errors="replace"))
        self.broker.end(signal.SIGKILL)
        self.broker.start()
        self.broker.await_text(broker.STARTED, said)

    def settle(self) -> None:
        """Bring in what is out."""
        self._thaw()
        self.unasked += [each for each in (*self.workers, *self.sinks) if each.ended_by_itself]
        for part in (*self.workers[:2], self.sinks[0]):
            if not part.alive:
                part.start()

    @contextmanager
    def without_database(self) -> Iterator[None]:
        """Kill the database, and start it again behind the block."""
        self.done.append("store is killed")
        self.store.end(signal.SIGKILL)
        yield
        self.done.append("store starts again")
        self.store.start()

    def _did(self, what: str, part: Part) -> None:
        self.done.append(f"{part.name} {what}")

    def _part(self, kind: str, number: int, directory: Path) -> Part:
        prefix = self.kafka.topic_prefix
        environment = {
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "FSWIRE_KAFKA_BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
            "FSWIRE_KAFKA_TOPIC_PREFIX": prefix,
            "FSWIRE_PROCESSORS_GROUP": prefix + "normalize",
            "FSWIRE_RUNNER_GROUP": prefix + "runner",
            "FSWIRE_PROCESSORS_WEB_PORT": str(free_ports.pick()),
            "FSWIRE_PROCESSORS_DATA_DIR": str(directory / f"{kind}-{number}"),
            "FSWIRE_SINK_GROUP": prefix + "sink",
            "FSWIRE_CLICKHOUSE_URL": self.store.place.url,
            "FSWIRE_ALLOW_PRIVATE_TARGETS": "true",
        }
        command = [sys.executable, "-c", _MAIN.format(part=kind)]
        return Part(f"{kind}-{number}", command, directory, environment)


@contextmanager
def running(directory: Path) -> Iterator[Fleet]:
    """Run a broker and a database, both empty, for a fleet that has not started."""
    node = broker.Broker(directory / "kafka", free_ports.pick(), free_ports.pick())
    part = Part("broker", node.prepare(kafka_jars.class_path()), node.directory, broker.environment())
    kafka = KafkaSettings(bootstrap_servers=node.bootstrap_servers, topic_prefix="chaos.")
    with ExitStack() as parts:
        parts.callback(part.end, signal.SIGTERM)
        part.start()
        store = parts.enter_context(running_store(directory / "store"))
        part.await_text(broker.STARTED)
        fleet = Fleet(directory, part, kafka, store)
        parts.callback(fleet.stop)
        yield fleet


class _Target(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Say nothing: whoever calls may be killed in between."""


@contextmanager
def hook() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Run a webhook's target; give its URL, and the (webhook-id, event id) of all calls."""
    calls: list[tuple[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = msgspec.json.decode(self.rfile.read(int(self.headers["content-length"])))
            calls.append((self.headers["webhook-id"], body["data"]["eventId"]))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = _Target(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", calls
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Look until it is so, or the time is over; return whether it is."""
    deadline, pause = time.monotonic() + timeout_s, threading.Event()
    while not (so := condition()) and time.monotonic() < deadline:
        pause.wait(0.2)
    return so
