"""The agent as a process against a real broker: killed at any moment, nothing is missing on the raw topic."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from agent.event import Batch, Event, decode_batch
from agent.kafka import KafkaSettings, partition_of
from tests.unit.agent.replay import on_disk, replay

pytestmark = pytest.mark.stack
PARTITIONS = 4
_RUN = """
import sys
from agent import run, settings
from agent.kafka import KafkaSettings
roots = [{"dir": sys.argv[1], "project": "proj"}]
told = settings.read(roots=roots, state_dir=sys.argv[2], heartbeat_s=0.2, grace_s=8)
sys.exit(run.main(told, KafkaSettings()))
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return an empty directory to watch."""
    directory = tmp_path / "root"
    directory.mkdir()
    return directory


@pytest.fixture
def raw(kafka: KafkaSettings) -> KafkaSettings:
    """Settings with a prefix of this test's own, under which a raw topic exists."""
    own = kafka.model_copy(update={"topic_prefix": f"t-{secrets.token_hex(4)}."})

    async def create() -> None:
        admin = AIOKafkaAdminClient(**own.client())
        await admin.start()
        try:
            await admin.create_topics([NewTopic(own.topic("raw"), PARTITIONS, 1)])
        finally:
            await admin.close()

    asyncio.run(create())
    return own


def _agent(kafka: KafkaSettings, root: Path, state: Path) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "FSWIRE_KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "FSWIRE_KAFKA_TOPIC_PREFIX": kafka.topic_prefix,
    }
    process = subprocess.Popen(
        [sys.executable, "-c", _RUN, str(root), str(state)],
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if '"started"' in line:
            return process
    raise AssertionError("the agent did not start")


def _published(kafka: KafkaSettings) -> list[Batch]:
    """Return all batches on the raw topic; each is where its project belongs, under its key."""

    async def read() -> list[Batch]:
        consumer = AIOKafkaConsumer(**kafka.client(), auto_offset_reset="earliest")
        await consumer.start()
        try:
            partitions = [TopicPartition(kafka.topic("raw"), number) for number in range(PARTITIONS)]
            consumer.assign(partitions)
            ends = await consumer.end_offsets(partitions)
            found: list[Batch] = []
            while any([await consumer.position(each) < ends[each] for each in partitions]):
                for records in (await consumer.getmany(timeout_ms=1000)).values():
                    for record in records:
                        batch = decode_batch(record.value)
                        assert record.key == batch.project.encode()
                        assert record.partition == partition_of(batch.project, PARTITIONS)
                        found.append(batch)
            return found
        finally:
            await consumer.stop()

    return asyncio.run(read())


def _once(batches: list[Batch]) -> list[Event]:
    """Return every event once, as a consumer does that drops what is not above the last number of an epoch.

    A number that is missing fails the test, within an epoch and at its end.
    """
    events = []
    last: dict[str, int] = {}
    for batch in batches:
        if batch.previous is not None and batch.epoch not in last:
            assert last.get(batch.previous.epoch, 0) == batch.previous.last_seq
        expected = last.get(batch.epoch, 0) + 1
        assert batch.first_seq <= expected
        events += batch.events[expected - batch.first_seq :]
        last[batch.epoch] = max(last.get(batch.epoch, 0), batch.first_seq + len(batch.events) - 1)
    return events


def _storm(root: Path, number: int) -> None:
    directory = root / f"d{number}"
    directory.mkdir()
    _fill(directory)


def _fill(directory: Path) -> None:
    for index in range(60):
        (directory / str(index)).write_bytes(b"%d" % index)
    (directory / "0").rename(directory / "renamed")
    (directory / "1").unlink()


def test_agent_publishes_everything_once(raw: KafkaSettings, root: Path, tmp_path: Path) -> None:
    """A stopped agent has published all that happened, in order, and a quiet one sends heartbeats."""
    (root / "f").write_bytes(b"x")
    (root / "d").mkdir()  # before the start: what is gone before a directory is watched, nobody sees
    process = _agent(raw, root, tmp_path / "state")
    _fill(root / "d")
    process.send_signal(signal.SIGTERM)
    _, logged = process.communicate(timeout=30)

    assert process.returncode == 0, logged
    events = _once(_published(raw))
    assert [event.kind for event in events[:2]] == ["baseline", "baseline"]
    assert sum(event.kind == "create" for event in events) == 60
    assert replay(events) == on_disk(root)


def test_agent_killed_again_and_again_loses_nothing(raw: KafkaSettings, root: Path, tmp_path: Path) -> None:
    """SIGKILL in the middle of storms: after the last start the topic adds up to the tree on disk."""
    for number in range(4):
        process = _agent(raw, root, tmp_path / "state")
        _storm(root, number)
        process.kill()
        process.communicate(timeout=30)
    process = _agent(raw, root, tmp_path / "state")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)

    events = _once(_published(raw))
    gaps = [event.gap.reason for event in events if event.kind == "gap" and event.gap]
    assert gaps == ["agent_down"] * 4
    assert replay(events) == on_disk(root)


def test_agent_waits_for_a_topic(kafka: KafkaSettings, root: Path, tmp_path: Path) -> None:
    """Where the raw topic is missing the agent says so and keeps what it has; it ends within its grace."""
    missing = kafka.model_copy(update={"topic_prefix": f"t-{secrets.token_hex(4)}."})
    process = _agent(missing, root, tmp_path / "state")
    (root / "f").write_bytes(b"x")
    process.send_signal(signal.SIGTERM)
    _, logged = process.communicate(timeout=30)

    assert process.returncode == 0
    assert "broker_unavailable" in logged
