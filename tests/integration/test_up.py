"""`fswire up` from outside: when it is ready, what it refuses, how it ends, what it survives."""

from __future__ import annotations

import os
import signal
import socket
import stat
import time
from pathlib import Path

import httpx2
import pytest

from tests.integration import free_ports, running
from tests.integration.running import Stack, Up
from tests.unit.deploy.processes import ends_within

pytestmark = pytest.mark.stack


def changes(stack: Stack, path: str) -> str:
    return f"SELECT count() FROM events WHERE project_id = '{stack.project}' AND path = '{path}'"


def restarted(up: Up, watched: Path) -> Stack:
    up.ready()
    return Stack(up, up.endpoint(), watched, watched.name)


def test_ready_stack_shows_a_change(stack: Stack) -> None:
    """Once it said `ready`, an edit becomes a row."""
    (stack.watched / "ready.txt").write_text("hello")

    stack.await_rows(changes(stack, "ready.txt"), 1)


def test_ready_stack_has_an_endpoint_for_its_owner(stack: Stack) -> None:
    """The endpoint names what answers, and nobody else may read it."""
    answer = stack.await_ready()

    assert answer.status_code == 200, answer.text
    assert stat.S_IMODE((stack.data_dir / "endpoint.json").stat().st_mode) == 0o600


def test_secrets_are_on_no_command_line(stack: Stack) -> None:
    """What every user of the machine can see holds no secret."""
    password = httpx2.URL(stack.clickhouse).password
    secret = stack.admin_key.partition(".")[2]

    shown = " ".join(stack.up.processes().values())

    assert password not in shown
    assert secret not in shown


def test_second_start_is_refused(stack: Stack, tmp_path: Path) -> None:
    """A data directory has one stack; the refusal names the process that has it."""
    with running.up(stack.data_dir, str(tmp_path), "--port", "0") as second:
        assert second.ended() == 1
        assert f"(pid {stack.up.process.pid})" in second.said()


def test_port_taken_is_named(tmp_path: Path) -> None:
    """A port that somebody has is named, and nothing is started."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with running.up(tmp_path / "data", "--port", str(port)) as up:
            assert up.ended() == 1
            assert f"port {port} of 127.0.0.1 is taken" in up.said()
            assert "starting" not in up.said()


@pytest.mark.parametrize("made", ["nothing", "file"])
def test_directory_that_cannot_be_watched_is_named(tmp_path: Path, made: str) -> None:
    """A DIR that is missing or a file is one clear line, before anything starts."""
    wrong = tmp_path / "wrong"
    if made == "file":
        wrong.touch()

    with running.up(tmp_path / "data", str(wrong)) as up:
        assert up.ended() == 1
        assert up.said().startswith(f"fswire: {wrong} ")
        assert len(up.said().splitlines()) == 1


@pytest.mark.parametrize(
    ("option", "server"),
    [("--bootstrap-servers", "127.0.0.1:{port}"), ("--clickhouse", "http://me:secret@127.0.0.1:{port}")],
)
def test_server_that_is_not_there_is_named(tmp_path: Path, option: str, server: str) -> None:
    """A broker or database that was given and does not answer is named; what was started is stopped."""
    port = free_ports.pick()
    with running.up(tmp_path / "data", "--port", "0", option, server.format(port=port)) as up:
        assert up.ended() == 1
        assert f"127.0.0.1:{port}" in up.said()
        assert "secret" not in up.said()
        assert up.processes() == {}


def test_interrupted_start_leaves_nothing(tmp_path: Path) -> None:
    """Ctrl-C before `ready` stops what has been started, with status 0 and no stack trace."""
    with running.up(tmp_path / "data", "--port", "0") as up:
        while "broker: running" not in up.said():
            assert up.process.poll() is None, up.said()
            time.sleep(0.05)

        assert up.stop(signal.SIGINT) == 0
        assert up.processes() == {}
        assert "Traceback" not in up.said()


def test_killed_part_is_started_again_and_nothing_is_lost(tmp_path: Path) -> None:
    """A part that dies comes back; SIGTERM ends everything; the next start has what the first one had."""
    watched = tmp_path / "tree"
    watched.mkdir()
    with running.up(tmp_path / "data", str(watched), "--port", "0") as up:
        first = restarted(up, watched)
        os.kill(up.part("sink"), signal.SIGKILL)
        (watched / "one.txt").write_text("1")
        first.await_rows(changes(first, "one.txt"), 1)
        assert "sink died (SIGKILL)" in up.said()
        assert up.stop() == 0
        assert up.processes() == {}
        assert not (tmp_path / "data" / "endpoint.json").exists()

    with running.up(tmp_path / "data", str(watched), "--port", "0") as up:
        second = restarted(up, watched)
        (watched / "two.txt").write_text("2")
        second.await_rows(changes(second, "two.txt"), 1)

        assert second.endpoint == first.endpoint
        assert int(second.query(changes(second, "one.txt"))) >= 1
        assert up.stop() == 0


def test_killed_supervisor_leaves_no_process(tmp_path: Path) -> None:
    """SIGKILL of the supervisor ends every part, and the next start works on what they left."""
    watched = tmp_path / "tree"
    watched.mkdir()
    with running.up(tmp_path / "data", str(watched), "--port", "0") as up:
        up.ready()
        parts = list(up.processes())
        assert len(parts) >= 6

        up.process.kill()

        assert all(ends_within(pid, 60) for pid in parts)

    with running.up(tmp_path / "data", str(watched), "--port", "0") as up:
        second = restarted(up, watched)
        (watched / "after.txt").write_text("2")
        second.await_rows(changes(second, "after.txt"), 1)
        assert up.stop() == 0
