"""SIGKILL at random moments of a storm: what was published adds up to the tree on disk.

`FSWIRE_TEST_ROUNDS`: kills, 20 in CI; `FSWIRE_TEST_SEED` repeats a run.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import pytest

from agent.event import Batch, decode_batch
from agent.kafka import KafkaSettings
from deploy import broker as kafka_broker
from deploy import kafka_jars, lifeline
from tests.integration import free_ports, raw_topic
from tests.integration.lacking import cannot_start
from tests.integration.raw_topic import gaps, once
from tests.integration.running import FSWIRE
from tests.integration.storm import Storm
from tests.unit.agent import disk
from tests.unit.agent.replay import on_disk, replay

ROUNDS = int(os.environ.get("FSWIRE_TEST_ROUNDS", "20"))
SEED = int(os.environ.get("FSWIRE_TEST_SEED", str(random.SystemRandom().randrange(2**32))))
DISK_BYTES = 3 * 1024**2
PATIENCE_S = 180
LIFE_S = (0.3, 1.2)
LONGER = 1.1
"""Where an agent died before it had started, those after it live so many times as long."""
STARTED = b'"started"'
"""Logged once the first scan is committed: what an agent has found by then is published in the end."""
_RUN = """
import os, random, sys
from aiokafka.errors import KafkaConnectionError, RequestTimedOutError
from agent import publish, run, settings
from agent.kafka import KafkaSettings
root, state, topic = sys.argv[1:]

async def send(self, project, value):
    if os.path.exists(topic + ".away"):
        raise KafkaConnectionError("away")
    with open(topic, "ab", buffering=0) as file:
        file.write(b"\\n" + value + b"\\n")
    if random.random() < 0.1:
        raise RequestTimedOutError("its fate is not known")

publish.Connection.send = send
publish._FIRST_BACKOFF_S = publish._LONGEST_BACKOFF_S = 0.05
told = settings.read(roots=[{"dir": root, "project": "proj"}], state_dir=state, heartbeat_s=0.2, grace_s=120)
sys.exit(run.main(told, KafkaSettings()))
"""
"""An agent whose broker is a file that grows: what was written was acknowledged, or its fate is not known."""


class Scene:
    """A root, an agent's state, the topic, which is a file without `kafka`, and agents one after another."""

    def __init__(self, directory: Path, state: Path, kafka: KafkaSettings | None = None) -> None:
        self.root = directory / "root"
        self.root.mkdir()
        self.topic = directory / "topic"
        self.away = directory / "topic.away"
        self._state = state
        self._kafka = kafka
        self._log = directory / "log"
        self._patience = 1.0
        self._started = 0

    def rounds(self, count: int, starts: int) -> Iterator[int]:
        """Count rounds; there are more of them until more agents than `starts` have started."""
        for number in range(20 * count):
            if number >= count and self._started > starts:
                return
            yield number

    def lives(
        self, process: subprocess.Popen[bytes], chance: random.Random, life_s: tuple[float, float] = LIFE_S
    ) -> None:
        """Leave an agent alone for a random time, which is longer where agents take longer to start."""
        survives(process, self._patience * chance.uniform(*life_s))

    @contextmanager
    def agent(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run an agent; it is killed at the end of the block if it is still there."""
        with self._log.open("wb") as log:
            process = subprocess.Popen(self._command(), stderr=log, env={**os.environ, **self._environment()})
        try:
            yield process
        finally:
            refused = process.poll() is not None
            process.kill()
            process.wait()
            started = STARTED in self._log.read_bytes()
            self._started += started
            self._patience *= 1.0 if started or refused else LONGER

    def _command(self) -> list[str]:
        if self._kafka is not None:
            return [FSWIRE, "agent", str(self.root), "--project", "proj"]
        return [sys.executable, "-c", _RUN, str(self.root), str(self._state), str(self.topic)]

    def _environment(self) -> dict[str, str]:
        if self._kafka is None:
            return {"PYTHONPATH": str(Path(__file__).parents[2])}
        return {
            "FSWIRE_AGENT_STATE_DIR": str(self._state),
            "FSWIRE_AGENT_GRACE_S": "120",
            "FSWIRE_KAFKA_BOOTSTRAP_SERVERS": self._kafka.bootstrap_servers,
            "FSWIRE_KAFKA_TOPIC_PREFIX": self._kafka.topic_prefix,
        }

    def await_log(self, process: subprocess.Popen[bytes], word: bytes) -> None:
        """Return as soon as the agent has logged a word."""
        deadline = time.monotonic() + PATIENCE_S
        while word not in self._log.read_bytes():
            assert process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.01)

    def finish(self) -> None:
        """Let a last agent take in and publish everything."""
        with self.agent() as process:
            self.await_log(process, STARTED)
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE_S) == 0, self._log.read_text()

    def published(self) -> list[Batch]:
        """Return the batches that came whole: a write that SIGKILL cut off was never acknowledged."""
        if self._kafka is not None:
            return raw_topic.published(self._kafka)
        found = []
        for line in self.topic.read_bytes().split(b"\n"):
            try:
                found.append(decode_batch(line))
            except msgspec.DecodeError:
                continue
        return found


class OwnBroker:
    """A broker that a test may stop and kill."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._node = kafka_broker.Broker(directory, free_ports.pick(), free_ports.pick())
        self.kafka = KafkaSettings(bootstrap_servers=self._node.bootstrap_servers)
        try:
            self._command = self._node.prepare(kafka_jars.class_path())
        except (ImportError, kafka_jars.JarsRefused, kafka_broker.BrokerRefused) as error:
            cannot_start("Kafka", error)

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run it until the block ends, then kill it."""
        with (self._directory / "broker.log").open("wb") as log:
            process = subprocess.Popen(
                lifeline.shim(self._command),
                cwd=self._directory,
                env=kafka_broker.environment(),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            while kafka_broker.STARTED.encode() not in (self._directory / "broker.log").read_bytes():
                with suppress(subprocess.TimeoutExpired):
                    cannot_start("Kafka", f"it ended with status {process.wait(0.1)}")
            yield process
        finally:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.communicate()


def survives(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Leave an agent alone for a time; one that has refused to start meanwhile is as good as killed."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return


def check(scene: Scene, epochs: int) -> list[str]:
    """Compare what was published with what is on disk; returns the gaps that were announced."""
    batches = scene.published()
    events = once(batches)
    starts = {
        batch.epoch: batch.events[0].kind
        for batch in reversed(batches)
        if batch.events and batch.first_seq == 1
    }
    assert replay(events) == on_disk(scene.root)
    assert list(starts.values())[::-1][1:] == ["gap"] * (len(starts) - 1)
    assert len(starts) > epochs
    return gaps(events)


def test_agent_killed_at_random_moments(tmp_path: Path) -> None:
    """Twenty times SIGKILL, at start, while scanning, while following: the ledger is exact."""
    print(f"FSWIRE_TEST_SEED={SEED}")
    chance = random.Random(SEED)
    scene = Scene(tmp_path, tmp_path / "state")
    with Storm(scene.root, SEED):
        for _ in scene.rounds(ROUNDS, ROUNDS // 4):
            with scene.agent() as process:
                scene.lives(process, chance)
    scene.finish()

    assert set(check(scene, ROUNDS // 4)) <= {"agent_down", "overflow"}


def test_agent_killed_with_a_full_disk_and_the_broker_away(tmp_path: Path) -> None:
    """The same while the journal's disk fills up and is freed again, and the broker comes and goes."""
    print(f"FSWIRE_TEST_SEED={SEED}")
    chance = random.Random(SEED)
    with disk.mounted(tmp_path / "disk", DISK_BYTES) as small:
        scene = Scene(tmp_path, small / "state")
        with Storm(scene.root, SEED):
            scene.away.touch()
            with scene.agent() as process:
                scene.await_log(process, b'"journal_full"')
                survives(process, chance.uniform(0, 1))
            for _ in scene.rounds(ROUNDS - 1, ROUNDS // 4):
                filler = (
                    disk.fill(small, free_bytes=chance.randrange(500_000)) if chance.random() < 0.5 else None
                )
                scene.away.unlink(missing_ok=True)
                if chance.random() < 0.5:
                    scene.away.touch()
                with scene.agent() as process:
                    scene.lives(process, chance)
                if filler is not None:
                    filler.unlink()
        scene.away.unlink(missing_ok=True)
        scene.finish()

    reasons = check(scene, ROUNDS // 4)
    assert "journal_full" in reasons
    assert set(reasons) <= {"agent_down", "overflow", "journal_full"}


@pytest.mark.stack
def test_agent_killed_while_the_broker_stops_and_dies(tmp_path: Path) -> None:
    """A real broker that hangs, is killed and comes back, and an agent killed in between."""
    print(f"FSWIRE_TEST_SEED={SEED}")
    chance = random.Random(SEED)
    (tmp_path / "broker").mkdir()
    own = OwnBroker(tmp_path / "broker")
    scene = Scene(tmp_path, tmp_path / "state", own.kafka)
    with Storm(scene.root, SEED):
        with own.running() as broker:
            raw_topic.create(own.kafka)
            for _ in scene.rounds(max(1, ROUNDS // 7), 2):
                with scene.agent() as process:
                    scene.lives(process, chance, (1, 2))
                    broker.send_signal(signal.SIGSTOP)
                    survives(process, chance.uniform(0.1, 1))
                broker.send_signal(signal.SIGCONT)
        with scene.agent() as process:
            scene.lives(process, chance, (1, 2))
    with scene.agent() as process:
        scene.await_log(process, b'"broker_unavailable"')
        with own.running():
            scene.await_log(process, b'"broker_back"')
            process.kill()
            process.wait()
            scene.finish()

            assert set(check(scene, 2)) <= {"agent_down", "overflow"}
