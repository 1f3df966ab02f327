"""Who a process is, as long as anything tells."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agent import process
from agent.event import Actor
from agent.process import Processes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="pidfds are Linux's")
_LOADER = b"ld-linux-x86-64.so.2"


class Clock:
    """A clock that tests turn."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def _nowhere(_: bytes) -> bytes:
    raise FileNotFoundError


@pytest.fixture
def gone() -> int:
    """Return the number of a process that is no more."""
    child = subprocess.Popen(["true"])
    child.wait()
    return child.pid


def test_process_that_runs() -> None:
    """Uid and executable are those of the process."""
    actor = Processes(_nowhere).actor(os.getpid())

    assert actor == Actor(os.getpid(), os.geteuid(), os.path.realpath("/proc/self/exe"))


def test_uid_without_pidfd_info(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels before 6.13 are asked through /proc."""
    monkeypatch.setattr(process, "_GET_INFO", 0)

    assert process.uid_of(os.getpid()) == os.geteuid()


def test_process_that_is_gone(gone: int) -> None:
    """Only the number is left of a process that nothing was read of in time."""
    assert Processes(_nowhere).actor(gone) == Actor(gone)


def test_process_seen_a_moment_ago() -> None:
    """What was read while it ran speaks for it for a second after its end."""
    clock = Clock()
    processes = Processes(_nowhere, clock)
    child = subprocess.Popen(["sleep", "60"])
    before = processes.actor(child.pid)
    child.kill()
    child.wait()
    soon = processes.actor(child.pid)
    clock.now_s += 2

    assert soon == before
    assert processes.actor(child.pid) == Actor(child.pid)


def test_process_known_by_what_it_executed(gone: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of scripts and programs opened in a row, the one before the loader is what ran."""
    monkeypatch.setattr(process, "uid_of", lambda _: 7)
    processes = Processes(lambda directory: directory)
    program = Path(shutil.which("touch") or "").resolve()
    processes.executes(gone, b"/scripts", b"script")
    processes.executes(gone, bytes(program.parent), program.name.encode())
    before = processes.actor(gone)
    processes.executes(gone, b"/lib64", _LOADER)

    assert before == Actor(gone)
    assert processes.actor(gone) == Actor(gone, 7, str(program))


def test_uid_of_a_program_that_changes_it(gone: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The uid from before a setuid program's start is not its own."""
    monkeypatch.setattr(process, "uid_of", lambda _: 7)
    program = tmp_path / "setuid"
    program.touch()
    program.chmod(0o4755)
    processes = Processes(lambda directory: directory)
    processes.executes(gone, bytes(tmp_path), b"setuid")
    processes.executes(gone, b"/lib64", _LOADER)

    assert processes.actor(gone) == Actor(gone, None, str(program))
