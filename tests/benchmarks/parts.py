"""Single parts of fswire for benchmarks, each a process of its own that ends with its `with` block."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.kafka import KafkaSettings
from deploy import ports
from deploy.broker import Broker, environment
from deploy.kafka_jars import class_path


@contextmanager
def process(
    command: list[str], directory: Path, env: dict[str, str], *, started: str, name: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command until the block ends; enter once its output holds `started`."""
    directory.mkdir(parents=True, exist_ok=True)
    log = directory / f"{name}.log"
    with log.open("wb") as output:
        child = subprocess.Popen(
            command, cwd=directory, env=env, stdout=output, stderr=output, start_new_session=True
        )
        try:
            _wait_for(started, log, child)
            yield child
        finally:
            child.send_signal(signal.SIGTERM)
            try:
                child.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()


@contextmanager
def kafka(directory: Path) -> Iterator[KafkaSettings]:
    """Run a broker whose log is below `directory`."""
    taken: set[int] = set()
    broker = Broker(directory / "kafka", ports.pick(taken), ports.pick(taken))
    command = broker.prepare(class_path())
    with process(command, broker.directory, environment(), started="Kafka Server started", name="broker"):
        yield KafkaSettings(bootstrap_servers=broker.bootstrap_servers)


@contextmanager
def fswire(
    command: str,
    directory: Path,
    settings: dict[str, str],
    *,
    started: str = "started",
    core: int | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `fswire COMMAND` with settings given by environment, on one core alone where one is given."""
    pinned = [] if core is None else ["taskset", "--cpu-list", str(core)]
    script = [*pinned, str(Path(sys.executable).with_name("fswire")), *command.split()]
    with process(script, directory, {**os.environ, **settings}, started=started, name=command) as child:
        yield child


def cpu_s(child: subprocess.Popen[bytes]) -> float:
    """Return the user and system time that a process and its ended children took, in seconds."""
    fields = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def peak_mb(child: subprocess.Popen[bytes]) -> float:
    """Return the most memory that a process ever held, in MB (10⁶ bytes)."""
    return peak_mb_of(child.pid)


def peak_mb_of(process_id: int) -> float:
    """Return the same of a process that is somebody else's child."""
    status = Path(f"/proc/{process_id}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6


def _wait_for(text: str, log: Path, child: subprocess.Popen[bytes], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while text not in log.read_text(errors="replace"):
        if child.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{child.args!r} did not start:\n{log.read_text(errors='replace')[-4000:]}")
        time.sleep(0.05)
