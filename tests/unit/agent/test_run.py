"""The agent as a process: what it needs, how it refuses, how it stops."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit.agent.processes import RUN, TOP, Process
from tests.unit.agent.watched import PATIENCE_S

Spawn = Callable[..., Process]


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Path]:
    """Return a second directory to watch."""
    directory = tmp_path / "other"
    directory.mkdir()
    yield directory


def test_agent_prints_events(spawn: Spawn, root: Path, other: Path, tmp_path: Path) -> None:
    """With --stdout each event is a JSON line; two roots, one process; SIGTERM ends it cleanly."""
    (root / "f").write_bytes(b"x")
    agent = spawn(tmp_path / "state", root, other)
    started = agent.said("started")
    baseline = agent.heard()
    (other / "d").mkdir()
    created = agent.heard()
    status, rest, logged = agent.stop()

    assert (started["watches"], started["backend"], started["roots"]) == (2, "inotify", 2)
    assert (baseline["kind"], baseline["path"]) == ("baseline", "f")
    assert (created["kind"], created["path"]) == ("create", "d")
    assert (status, rest) == (0, "")
    assert json.loads(logged.splitlines()[-1])["event"] == "stopped"


def test_health_of_a_root_whose_name_is_no_utf8(spawn: Spawn, root: Path, tmp_path: Path) -> None:
    """A directory of any name is watched, and `/health` can say which it is."""
    directory = root / "\udcff"
    directory.mkdir()
    listening = RUN.replace("stdout=True", 'stdout=True, listen="127.0.0.1:0"')
    agent = spawn(tmp_path / "state", directory, script=listening)
    port = agent.said("serving")["port"]
    agent.said("started")

    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=PATIENCE_S) as answer:
        (shown,) = json.load(answer)["roots"]

    assert shown["dir"] == f"{root}/\ufffd"


def test_agent_takes_in_everything_before_it_ends(spawn: Spawn, root: Path, tmp_path: Path) -> None:
    """What happened before SIGTERM is printed, however little time there was."""
    agent = spawn(tmp_path / "state", root)
    agent.said("started")
    for index in range(300):
        (root / str(index)).mkdir()
    status, said, _ = agent.stop()

    assert status == 0
    assert [json.loads(line)["path"] for line in said.splitlines()] == [str(index) for index in range(300)]


def test_agent_stops_though_its_output_was_not_read(spawn: Spawn, root: Path, tmp_path: Path) -> None:
    """A full pipe holds the event loop up; the signal still gets through, and nothing is left out."""
    agent = spawn(tmp_path / "state", root)
    agent.said("started")
    for index in range(3000):
        (root / str(index)).mkdir()
    status, said, _ = agent.stop()

    assert status == 0
    assert [json.loads(line)["path"] for line in said.splitlines()] == [str(index) for index in range(3000)]


@pytest.mark.parametrize(
    ("name", "said"), [("nowhere", "there is no such directory"), ("file", "not a directory")]
)
def test_agent_refuses_what_is_no_directory(spawn: Spawn, tmp_path: Path, name: str, said: str) -> None:
    """A root that is missing, or a file, ends the command with status 1 and one line that names it."""
    (tmp_path / "file").touch()
    agent = spawn(tmp_path / "state", tmp_path / name)
    _, errors = agent.process.communicate(timeout=PATIENCE_S)

    assert agent.process.returncode == 1
    assert errors == f"fswire agent: dir = '{tmp_path / name}': {said}\n"


def test_second_agent_on_one_journal_is_refused(spawn: Spawn, root: Path, tmp_path: Path) -> None:
    """Two agents on one journal would give the same numbers to different events."""
    script = RUN.replace("stdout=True", "stdout=False")
    first = spawn(tmp_path / "state", root, script=script)
    first.said("started")
    second = spawn(tmp_path / "state", root, script=script)
    _, errors = second.process.communicate(timeout=PATIENCE_S)
    first.stop()

    assert second.process.returncode == 1
    assert "another agent is using this state directory" in errors


def test_broker_away_is_said_once_and_nothing_is_lost(spawn: Spawn, root: Path, tmp_path: Path) -> None:
    """Without a broker the agent says which and what to check, once, and keeps all for the next start."""
    script = RUN.replace("stdout=True", "stdout=False, grace_s=0.1").replace(
        "KafkaSettings()", "KafkaSettings(bootstrap_servers='127.0.0.1:1')"
    )
    (root / "f").write_bytes(b"x")
    agent = spawn(tmp_path / "state", root, script=script)
    entry = agent.said("broker_unavailable")
    status, _, logged = agent.stop()

    assert entry["where"] == "127.0.0.1:1"
    assert "FSWIRE_KAFKA_BOOTSTRAP_SERVERS" in str(entry["check"])
    assert status == 0
    assert "broker_unavailable" not in logged
    assert json.loads(logged.splitlines()[-1])["unpublished"] == 1


def test_agent_needs_base_dependencies_only() -> None:
    """Everything of `agent` can be imported where nothing but the base installation is."""
    script = """
import importlib, pkgutil, sys
import agent
for module in pkgutil.iter_modules(agent.__path__):
    importlib.import_module(f"agent.{module.name}")
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=TOP)

    imported = set(done.stdout.split())
    server = {
        "faust",
        "mode",
        "fastapi",
        "starlette",
        "uvicorn",
        "clickhouse_connect",
        "chdb",
        "jgo",
        "sqlglot",
    }
    assert imported & (server | {"processors", "api", "deploy", "rocksdict"}) == set()
