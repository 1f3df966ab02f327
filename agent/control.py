"""How a running agent is told what to do: SIGHUP and SIGUSR1, and which projects a SIGUSR1 is about.

A process that asks for one project leaves a file in that project's state directory before it sends the
signal; the agent takes the file away. A signal without a file is about all of an agent's projects.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from agent.lock import holder

_REQUEST = "rescan"


class NobodyAsked(Exception):
    """There is no agent that could be asked; the message says where it was looked for."""


class Asked(NamedTuple):
    """A running agent that was asked for a rescan of projects."""

    pid: int
    projects: tuple[str, ...]


def on_signals(calls: dict[str, Callable[[], None]]) -> None:
    """Call on the running loop what belongs to a signal, by name; one that this system lacks never comes."""
    loop = asyncio.get_running_loop()
    for name, call in calls.items():
        number = getattr(signal, name, None)
        if number is None:
            continue
        if sys.platform == "win32":
            signal.signal(number, lambda *_, call=call: loop.call_soon_threadsafe(call))
        else:
            loop.add_signal_handler(number, call)


def requested(state_dir: Path, projects: Iterable[str]) -> list[str]:
    """Return the projects that a SIGUSR1 is about."""
    every = list(projects)
    return [project for project in every if _take(state_dir / project / _REQUEST)] or every


def ask_rescan(state_dir: Path, project: str | None) -> list[Asked]:
    """Ask the agents that use a state directory to rescan, one project or all; raises NobodyAsked."""
    if not hasattr(signal, "SIGUSR1"):
        raise NobodyAsked("an agent cannot be asked on this system: set rescan_every_s")
    asked = [_signal(state_dir, pid, projects, project) for pid, projects in _running(state_dir).items()]
    found = [each for each in asked if each is not None]
    if not found:
        about = f" of project {project!r}" if project else ""
        raise NobodyAsked(f"no agent{about} is running on the state directory {state_dir}")
    return found


def _running(state_dir: Path) -> dict[int, list[str]]:
    """Return the projects of each process that holds some."""
    found: dict[int, list[str]] = {}
    for lock in sorted(state_dir.glob("*/lock")):
        pid = holder(lock.parent)
        if pid is not None:
            found.setdefault(pid, []).append(lock.parent.name)
    return found


def _signal(state_dir: Path, pid: int, projects: list[str], project: str | None) -> Asked | None:
    if project is not None and project not in projects:
        return None
    request = state_dir / project / _REQUEST if project else None
    try:
        if request:
            request.touch(mode=0o600)
        os.kill(pid, signal.SIGUSR1)
    except OSError as error:
        if request:
            _take(request)
        raise NobodyAsked(f"agent {pid} cannot be asked: {error.strerror}") from error
    return Asked(pid, (project,) if project else tuple(projects))


def _take(request: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        request.unlink()
        return True
    return False
