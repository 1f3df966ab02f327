"""The real command: a running agent is asked for a rescan, and bad input is refused in words."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.control import NobodyAsked, ask_rescan, requested
from agent.lock import Locked, exclusive, holder
from tests.unit.agent.processes import TOP, Process
from tests.unit.agent.watched import PATIENCE_S

Spawn = Callable[..., Process]

_RUN = """
import sys
from agent import run, settings
from agent.kafka import KafkaSettings
roots = [{"dir": directory, "project": f"p{index}"} for index, directory in enumerate(sys.argv[2:])]
told = settings.read(roots=roots, state_dir=sys.argv[1], grace_s=0)
sys.exit(run.main(told, KafkaSettings(bootstrap_servers="127.0.0.1:1")))
"""


def _command(*arguments: object, **environment: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "deploy.command", "agent", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        cwd=TOP,
        env={**os.environ, **{name: str(value) for name, value in environment.items()}},
    )


def test_rescan_command_asks_a_running_agent(spawn: Spawn, root: Path, tmp_path: Path) -> None:
    """It says which agent compares which projects; the agent says what came of it."""
    other = tmp_path / "other"
    other.mkdir()
    agent = spawn(tmp_path / "state", root, other, script=_RUN)
    agent.said("started")
    one = _command("rescan", "--project", "p1", FSWIRE_AGENT_STATE_DIR=tmp_path / "state")
    rescanned = agent.said("rescanned")
    every = _command("rescan", FSWIRE_AGENT_STATE_DIR=tmp_path / "state")
    asked = agent.said("rescan_asked")
    status, _, _ = agent.stop()

    pid = agent.process.pid
    assert (one.returncode, one.stdout) == (0, f"agent {pid} compares now: p1\n")
    assert (every.returncode, every.stdout) == (0, f"agent {pid} compares now: p0, p1\n")
    assert (rescanned["project"], rescanned["why"], rescanned["differences"]) == ("p1", ["asked"], 0)
    assert asked["projects"] == ["p0", "p1"]
    assert status == 0


def test_rescan_command_without_an_agent(tmp_path: Path) -> None:
    """That none runs, and where one was looked for, is an error of one line."""
    config = tmp_path / "agent.toml"
    config.write_text(f'state_dir = "{tmp_path}/state"\n')
    done = _command("rescan", "--config", config)

    assert done.returncode == 1
    assert done.stderr == f"fswire: no agent is running on the state directory {tmp_path}/state\n"


def test_requests_name_projects(tmp_path: Path) -> None:
    """A signal without a request is about all projects; a request is good for one signal."""
    (tmp_path / "b").mkdir()
    (tmp_path / "b/rescan").touch()

    assert requested(tmp_path, ["a", "b"]) == ["b"]
    assert requested(tmp_path, ["a", "b"]) == ["a", "b"]


def test_nobody_is_asked_for_another_project(tmp_path: Path) -> None:
    """An agent that runs is not bothered with a project that it does not have; no request is left behind."""
    with exclusive(tmp_path / "a"):
        assert holder(tmp_path / "a") == os.getpid()
        with pytest.raises(NobodyAsked, match="project 'b'"):
            ask_rescan(tmp_path, "b")

    assert not (tmp_path / "b").exists()


def test_holder_is_gone_with_its_process(tmp_path: Path) -> None:
    """The lock file stays, with a number in it that means nothing any more."""
    with exclusive(tmp_path / "a"):
        pass

    assert (tmp_path / "a/lock").read_text() == f"{os.getpid()}\n"
    assert holder(tmp_path / "a") is None
    assert holder(tmp_path / "nothing") is None


def test_state_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    """The message has key and value."""
    (tmp_path / "file").touch()
    with pytest.raises(Locked, match=f"state_dir = '{tmp_path}/file'"), exclusive(tmp_path / "file/p"):
        pass


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("colour = 'red'", ["colour = 'red'"]),
        ("settle_ms = 'soon'", ["settle_ms = 'soon'"]),
        ("exclude = ['fine', '[bad']", ["exclude = ", "'[bad'"]),
        ("only = ['creates']", ["only.0 = 'creates'"]),
        ("except = ['gap']", ["except.0 = 'gap'"]),
        ("listen = 'nowhere'", ["listen = 'nowhere'", "HOST:PORT"]),
        ("state_dir = '/dev/null'", ["state_dir = '/dev/null'"]),
        ("roots = [{dir = '{root}', project = 'p', include = ['a/[']}]", ["roots.0.include", "'a/['"]),
        (
            "roots = [{dir = '{root}', project = 'p'}, {dir = '{root}/d', project = 'q'}]",
            ["dir = '{root}'", "one is inside the other"],
        ),
    ],
)
def test_bad_configuration_ends_the_command(root: Path, tmp_path: Path, text: str, said: list[str]) -> None:
    """Status 1 and a message with key and value, of which the last line is ours; no traceback."""
    (root / "d").mkdir()
    roots = "" if "roots" in text else "\nroots = [{dir = '{root}', project = 'p'}]"
    config = tmp_path / "agent.toml"
    config.write_text((text + roots).replace("{root}", str(root)))
    done = _command("--config", config)

    assert done.returncode == 1
    assert all(part.replace("{root}", str(root)) in done.stderr for part in said)
    assert done.stderr.splitlines()[-1].startswith("fswire")
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_root_that_may_not_be_read_is_refused() -> None:
    """A user without the permission is told which directory it is."""
    script = """
import os, sys
from agent import run, settings
from agent.kafka import KafkaSettings
told = settings.read(roots=[{"dir": sys.argv[1], "project": "p"}], stdout=True)
if os.geteuid() == 0:
    os.seteuid(65534)
sys.exit(run.main(told, KafkaSettings()))
"""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        closed = Path(name) / "closed"
        closed.mkdir(mode=0)
        done = subprocess.run(
            [sys.executable, "-c", script, closed],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            cwd=TOP,
        )

    assert done.returncode == 1
    assert done.stderr == f"fswire agent: dir = '{closed}': this user may not read it\n"
