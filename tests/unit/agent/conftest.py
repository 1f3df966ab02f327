"""Fixtures of the agent's tests."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.unit.agent.processes import Process
from tests.unit.agent.watched import Watched


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return an empty directory to watch."""
    directory = tmp_path / "root"
    directory.mkdir()
    return directory


@pytest.fixture
def heartbeats_at_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have publishers send heartbeats only when there is nothing else to send, however slow they are."""
    monkeypatch.setattr("agent.publish.MOST_SILENT", math.inf)


@pytest.fixture
def spawn() -> Iterator[Callable[..., Process]]:
    """Return what starts an agent as a process; none is left behind."""
    with ExitStack() as stack:
        yield lambda *arguments, **others: stack.enter_context(Process(*arguments, **others))


@pytest.fixture
def watch(root: Path, tmp_path: Path) -> Iterator[Callable[..., Watched]]:
    """Return what starts watching `root`; every start continues the same journal."""
    with ExitStack() as stack:

        def start(**settings: Any) -> Watched:
            return stack.enter_context(Watched(root, tmp_path / "state", **settings))

        yield start
