"""A running agent says over HTTP how it is doing."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.event import GapReason
from agent.handover import Handover
from agent.journal import Journal, Made
from agent.session import Start, Task
from agent.settings import AgentSettings
from agent.watching import Watching
from tests.unit.agent.processes import RUN, Process
from tests.unit.agent.watched import PATIENCE_S

Spawn = Callable[..., Process]


def _serving(listen: str = "127.0.0.1:0") -> str:
    """Return the script of an agent that serves."""
    return RUN.replace("stdout=True", f"stdout=True, listen={listen!r}")


def _get(port: int, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def _until(port: int, status: int) -> dict[str, object]:
    """Ask for the health until it has a status; nothing outside the agent can be waited on instead."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        found, text = _get(port, "/health")
        if found == status:
            return dict(json.loads(text))
        assert time.monotonic() < deadline, text
        time.sleep(0.05)


def test_watched_roots_are_healthy(root: Path, spawn: Spawn, tmp_path: Path) -> None:
    """Each root with how it is watched and how much of it; the same numbers are metrics."""
    (root / "d").mkdir()
    agent = spawn(tmp_path / "state", root, script=_serving())
    port = int(str(agent.said("serving")["port"]))
    agent.said("started")
    health = _until(port, 200)
    metrics = _get(port, "/metrics")[1]

    assert health["status"] == "ok"
    (of_root,) = health["roots"]  # type: ignore[misc]
    assert of_root["project"] == "p0"
    assert (of_root["status"]["directories"], of_root["trouble"]) == (2, None)
    assert 'fswire_agent_directories{project="p0"} 2.0' in metrics
    assert 'fswire_agent_events_total{project="p0"} 1.0' in metrics
    assert 'fswire_agent_rescans_total{project="p0"} 1.0' in metrics


def test_root_that_is_gone_is_no_health_until_it_is_back(root: Path, spawn: Spawn, tmp_path: Path) -> None:
    """503 with the reason, and 200 again once it is watched again; the gap is counted."""
    agent = spawn(tmp_path / "state", root, script=_serving())
    port = int(str(agent.said("serving")["port"]))
    agent.said("started")
    root.rmdir()
    gone = _until(port, 503)
    root.mkdir()
    _until(port, 200)

    assert gone["reasons"] == ["p0: the directory is gone"]
    assert 'fswire_agent_gaps_total{project="p0",reason="unreadable"} 1.0' in _get(port, "/metrics")[1]


def test_clients_that_wait_do_not_hold_the_agent(root: Path, spawn: Spawn, tmp_path: Path) -> None:
    """While others hold their connections open, events are reported, and it stops when it is told to."""
    agent = spawn(tmp_path / "state", root, script=_serving())
    port = int(str(agent.said("serving")["port"]))
    agent.said("started")
    held = [socket.create_connection(("127.0.0.1", port)) for _ in range(30)]
    (root / "d").mkdir()
    event = agent.heard()
    status, _, _ = agent.stop()
    for each in held:
        each.close()

    assert (event["kind"], event["path"]) == ("create", "d")
    assert status == 0


def test_busy_port_ends_the_agent_with_the_key(root: Path, spawn: Spawn, tmp_path: Path) -> None:
    """One line that names setting and value, and status 1."""
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        listen = f"127.0.0.1:{busy.getsockname()[1]}"
        agent = spawn(tmp_path / "state", root, script=_serving(listen))
        _, errors = agent.process.communicate(timeout=PATIENCE_S)

    assert agent.process.returncode == 1
    assert errors.startswith(f"fswire agent: listen = '{listen}': ")


@pytest.mark.parametrize(
    ("reason", "trouble"), [("journal_full", "the journal is full"), ("identity", "identity; the scan")]
)
def test_loss_is_a_trouble_until_the_scan_is_done(
    root: Path, tmp_path: Path, reason: GapReason, trouble: str
) -> None:
    """Between a loss and the scan that mends it the root is not as it should be; a scan ends that."""
    settings = AgentSettings(roots=[{"dir": root, "project": "p"}], state_dir=tmp_path)  # type: ignore[list-item]
    handover = Handover()
    handover.stopping.set()  # it waits for nothing
    with Journal(tmp_path / "journal.db", Made("machine", 1, 2)) as journal:
        task = Task(settings, settings.named_roots()[0], journal, handover, lambda _: None)
        watching = Watching(task, "inotify", Start(), lambda: None)
        before = handover.trouble
        watching._lose(reason, None)
        lost = handover.trouble
        task.started(1)

    assert before == "the first scan is under way"
    assert (lost or "").startswith(trouble)
    assert handover.trouble is None
