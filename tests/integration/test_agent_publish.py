"""The agent as a process against a real broker: killed at any moment, nothing is missing on the raw topic."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from agent.kafka import KafkaSettings
from tests.integration import raw_topic
from tests.integration.raw_topic import once
from tests.unit.agent.replay import on_disk, replay

pytestmark = pytest.mark.stack
PATIENCE_S = 120
_RUN = """
import sys
from agent import run, settings
from agent.kafka import KafkaSettings
roots = [{"dir": sys.argv[1], "project": "proj"}]
told = settings.read(roots=roots, state_dir=sys.argv[2], heartbeat_s=0.2, grace_s=float(sys.argv[3]))
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
    raw_topic.create(own)
    return own


def _agent(
    kafka: KafkaSettings, root: Path, state: Path, grace_s: float = PATIENCE_S
) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "FSWIRE_KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "FSWIRE_KAFKA_TOPIC_PREFIX": kafka.topic_prefix,
    }
    process = subprocess.Popen(
        [sys.executable, "-c", _RUN, str(root), str(state), str(grace_s)],
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    _await_log(process, '"started"')
    return process


def _await_log(process: subprocess.Popen[str], word: str) -> None:
    """Read its log up to a word; an agent that is late with it is killed, and the test fails."""
    assert process.stderr is not None
    late = threading.Timer(PATIENCE_S, process.kill)
    late.start()
    try:
        assert any(word in line for line in process.stderr), f"the agent never logged {word}"
    finally:
        late.cancel()


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
    _, logged = process.communicate(timeout=2 * PATIENCE_S)

    assert process.returncode == 0, logged
    events = once(raw_topic.published(raw))
    assert [event.kind for event in events[:2]] == ["baseline", "baseline"]
    assert sum(event.kind == "create" for event in events) == 60
    assert replay(events) == on_disk(root)


def test_agent_killed_again_and_again_loses_nothing(raw: KafkaSettings, root: Path, tmp_path: Path) -> None:
    """SIGKILL in the middle of storms: after the last start the topic adds up to the tree on disk."""
    for number in range(4):
        process = _agent(raw, root, tmp_path / "state")
        _storm(root, number)
        process.kill()
        process.communicate(timeout=2 * PATIENCE_S)
    process = _agent(raw, root, tmp_path / "state")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=2 * PATIENCE_S)

    events = once(raw_topic.published(raw))
    gaps = [event.gap.reason for event in events if event.kind == "gap" and event.gap]
    assert gaps == ["agent_down"] * 4
    assert replay(events) == on_disk(root)


def test_agent_waits_for_a_topic(kafka: KafkaSettings, root: Path, tmp_path: Path) -> None:
    """Where the raw topic is missing the agent says so and keeps what it has; it ends within its grace."""
    missing = kafka.model_copy(update={"topic_prefix": f"t-{secrets.token_hex(4)}."})
    process = _agent(missing, root, tmp_path / "state", grace_s=2)
    (root / "f").write_bytes(b"x")
    _await_log(process, "broker_unavailable")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE_S)

    assert process.returncode == 0


def test_agent_splits_what_its_topic_finds_too_large(
    kafka: KafkaSettings, root: Path, tmp_path: Path
) -> None:
    """A topic that takes no batches gets every event all the same, each with its number."""
    own = kafka.model_copy(update={"topic_prefix": f"t-{secrets.token_hex(4)}."})
    raw_topic.create(own, max_message_bytes="1000")
    process = _agent(own, root, tmp_path / "state")
    _storm(root, 1)
    process.send_signal(signal.SIGTERM)
    _, logged = process.communicate(timeout=2 * PATIENCE_S)

    assert '"unpublished": 0' in logged
    assert replay(once(raw_topic.published(own))) == on_disk(root)
