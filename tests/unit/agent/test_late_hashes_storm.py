"""A storm of large files whose hashes come late: what is told at last is what is on the disk."""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agent import late, waits
from tests.unit.agent.replay import on_disk, replay
from tests.unit.agent.watched import Watched, brief

Watch = Callable[..., Watched]
LARGE = b"large" * 200


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(late, "_FLUSH_S", 0.3)


class _Storm:
    """Random operations on large and small files of three directories."""

    def __init__(self, root: Path, seed: int) -> None:
        self._root = root
        self._chance = random.Random(seed)
        for name in "abc":
            (root / name).mkdir()

    def steps(self, number: int) -> None:
        for _ in range(number):
            self._step()

    def _step(self) -> None:
        verb = self._chance.choice(
            [
                "write",
                "write",
                "write",
                "append",
                "rename",
                "rename",
                "unlink",
                "swap",
                "chmod",
                "touch",
                "reopen",
            ]
        )
        with contextlib.suppress(OSError):
            getattr(self, f"_{verb}")(self._path())
        if self._chance.random() < 0.3:
            time.sleep(self._chance.random() * 0.02)  # lets the agent come between two operations

    def _path(self) -> Path:
        return self._root / self._chance.choice("abc") / self._chance.choice("xyz")

    def _write(self, path: Path) -> None:
        path.write_bytes(self._chance.randbytes(self._chance.choice([10, 200_000, 2_000_000])))

    def _append(self, path: Path) -> None:
        with path.open("ab") as file:
            file.write(b"more")

    def _rename(self, path: Path) -> None:
        path.rename(self._path())

    def _unlink(self, path: Path) -> None:
        path.unlink()

    def _swap(self, path: Path) -> None:
        path.parent.rename(self._root / "spare")
        (self._root / "spare").rename(path.parent)

    def _chmod(self, path: Path) -> None:
        path.chmod(self._chance.choice([0o600, 0o644]))

    def _touch(self, path: Path) -> None:
        os.utime(path, ns=(self._chance.randrange(10**18), self._chance.randrange(10**18)))

    def _reopen(self, path: Path) -> None:
        path.open("r+b").close()


@pytest.mark.parametrize("bytes_per_second", [0, 5_000_000])
@pytest.mark.parametrize("seed", range(2))
def test_storm_of_large_files(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, bytes_per_second: int
) -> None:
    """Whatever is done to files while they are hashed, and while the agent is down: replay is tree."""
    if seed:
        monkeypatch.setattr(waits, "_MOST_TOLD", 2)
        monkeypatch.setattr(waits, "_MOST_FOUND", 1)
    storm = _Storm(root, seed)
    for _ in range(2):
        with Watched(root, tmp_path / "state", hash_bytes_per_second=bytes_per_second):
            storm.steps(40)
        storm.steps(15)
    with Watched(root, tmp_path / "state") as watched:
        watched.until(lambda events: events[-1].kind == "gap_closed")
        watched.stop()
        before = len(watched.events())
        assert replay(watched.events()) == on_disk(root)
    with Watched(root, tmp_path / "state") as watched:
        events = watched.until(lambda events: events[-1].kind == "gap_closed")

    assert brief(events[before:]) == [("gap", ""), ("gap_closed", "")]
