"""What cannot be watched or read is a gap, is polled, and is watched as soon as that is possible."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from agent import kernel, scan
from agent.coverage import Share
from agent.event import Event
from agent.filesystem import type_at
from agent.inotify import Inotify
from agent.unwatched import MAX_GAPS
from tests.unit.agent.replay import on_disk, replay
from tests.unit.agent.watched import PATIENCE_S, Watched, has

Watch = Callable[..., Watched]
_TOP = Path(__file__).parents[3]


class Limit:
    """Refuses watches on directories by name, as the kernel does, until it is lifted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: int, *names: str) -> None:
        self.lifted = False
        add = Inotify.add

        def limited(inotify: Inotify, path: bytes) -> int:
            if not self.lifted and path.rpartition(b"/")[2].decode() in names:
                raise OSError(error, os.strerror(error))
            return add(inotify, path)

        monkeypatch.setattr(kernel.Inotify, "add", limited)


def _gaps(events: list[Event]) -> list[tuple[str, str, str]]:
    return [(event.kind, event.path, event.gap.reason) for event in events if event.gap]


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.ENOMEM])
def test_directory_without_a_watch_is_polled(
    root: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    """What happens where no watch was left is found by listing; the gap is one, for the topmost directory."""
    (root / "d/e").mkdir(parents=True)
    Limit(monkeypatch, error, "d", "e", "made-later")
    watched = watch(poll_every_s=0.02)
    (root / "d/f").write_bytes(b"x")
    (root / "d/e/g").write_bytes(b"y")
    (root / "d/made-later").mkdir()
    (root / "d/made-later/h").write_bytes(b"z")
    watched.until(lambda events: replay(events) == on_disk(root))
    (root / "d/f").write_bytes(b"changed")
    (root / "d/e/g").unlink()
    events = watched.until(lambda events: replay(events) == on_disk(root))

    assert _gaps(events) == [("gap", "d", "watch_limit")]
    assert {event.source for event in events if event.path.startswith("d/") and event.kind == "create"} == {
        "rescan"
    }
    watched.wait(lambda: watched.coverage.share == Share(4, watched=1, polled=3))
    assert REGISTRY.get_sample_value("fswire_agent_polled_directories", {"project": "proj"}) == 3


def test_watch_is_given_as_soon_as_there_is_one(
    root: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once everything below has a watch the gap is closed, and the kernel tells again."""
    (root / "d/e").mkdir(parents=True)
    limit = Limit(monkeypatch, errno.ENOSPC, "d", "e")
    watched = watch(poll_every_s=0.02)
    limit.lifted = True
    watched.until(has("gap_closed", "d"))
    (root / "d/e/f").touch()
    events = watched.until(has("create", "d/e/f"))

    opened, closed = (event.gap for event in events if event.gap)
    assert opened is not None
    assert closed is not None
    assert opened.id == closed.id
    assert events[-1].source == "kernel"
    watched.wait(lambda: watched.coverage.share == Share(3, watched=3, polled=0))


def test_gap_of_a_directory_that_is_removed(
    root: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A directory that is gone cannot hide anything: its gap is closed."""
    (root / "d").mkdir()
    Limit(monkeypatch, errno.ENOSPC, "d")
    watched = watch(poll_every_s=0.02)
    (root / "d").rmdir()
    events = watched.until(has("gap_closed", "d"))

    assert replay(events) == on_disk(root) == {}


def test_gap_that_is_open_at_the_end(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gap that outlives its session is closed by the next one's scan, and opened anew if need be."""
    (root / "d").mkdir()
    Limit(monkeypatch, errno.ENOSPC, "d")
    with Watched(root, tmp_path / "state") as first:
        limit = [event.gap.id for event in first.events() if event.gap]
    (root / "d/f").touch()
    with Watched(root, tmp_path / "state") as second:
        events = second.until(lambda events: sum(event.kind == "gap_closed" for event in events) == 2)

    opened = [event.gap.id for event in events if event.kind == "gap" and event.gap]
    closed = [event.gap.id for event in events if event.kind == "gap_closed" and event.gap]
    assert len(opened) == 3
    assert set(closed) == set(opened) - {opened[-1]}
    assert set(limit) <= set(closed)


def test_too_many_gaps_become_one(root: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many directories stay without a watch, the gaps are few: the last is over the whole tree."""
    names = [f"{number:03}" for number in range(MAX_GAPS + 50)]
    for name in names:
        (root / name).mkdir()
    limit = Limit(monkeypatch, errno.ENOSPC, *names)
    watched = watch(poll_every_s=0.02)
    opened = _gaps(watched.events())
    limit.lifted = True
    watched.until(lambda events: sum(event.kind == "gap_closed" for event in events) == len(opened))

    assert len(opened) == MAX_GAPS + 1
    assert opened[-1] == ("gap", "", "watch_limit")


def test_unreadable_directory_that_becomes_readable(
    root: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A directory that may not be watched is tried again; what it holds, known or not, is found then."""
    (root / "closed/inner").mkdir(parents=True)
    (root / "closed/inner/f").write_bytes(b"x")
    limit = Limit(monkeypatch, errno.EACCES, "closed")
    watched = watch(poll_every_s=0.02)
    watched.wait(lambda: watched.coverage.share == Share(2, watched=1, polled=0))
    limit.lifted = True
    events = watched.until(has("gap_closed", "closed"))

    assert _gaps(events) == [("gap", "closed", "unreadable"), ("gap_closed", "closed", "unreadable")]
    assert replay(events) == on_disk(root)
    (root / "closed/inner/g").touch()
    assert watched.until(has("create", "closed/inner/g"))[-1].source == "kernel"


def test_network_file_system_below_the_root_is_polled(
    root: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Directories of a file system below the root whose changes the kernel does not tell are listed."""
    (root / "share/deep").mkdir(parents=True)
    look = scan.View.look

    def mounted(view: scan.View, place: scan.Place) -> scan.State | None:
        state = look(view, place)
        below = view.path(*place).startswith(os.fsencode(root / "share"))
        return state._replace(device=state.device + 1) if state and below else state

    monkeypatch.setattr(scan.View, "look", mounted)
    monkeypatch.setattr(
        scan.filesystem, "type_at", lambda path: "nfs4" if b"/share" in path else type_at(path)
    )
    watched = watch(poll_every_s=0.02)
    (root / "share/deep/f").write_bytes(b"x")
    events = watched.until(has("create", "share/deep/f"))

    assert _gaps(events) == []
    assert [event.source for event in events if event.path == "share/deep/f"] == ["rescan"]
    watched.wait(lambda: watched.coverage.share == Share(3, watched=1, polled=2))


_LIMITED = """
import ctypes, os, sys
from pathlib import Path
from agent import run
from agent.kafka import KafkaSettings
from agent.settings import AgentSettings
limit, state, directory = sys.argv[1:]
if ctypes.CDLL(None, use_errno=True).unshare(0x10000000):
    sys.exit("no namespaces")
try:
    Path("/proc/sys/user/max_inotify_watches").write_text(limit)
except OSError as error:
    sys.exit(f"no namespaces: {error}")
roots = [{"dir": directory, "project": "p"}]
settings = AgentSettings(roots=roots, state_dir=state, stdout=True, poll_every_s=0.1)
sys.exit(run.main(settings, KafkaSettings()))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")
def test_real_watch_limit(root: Path, tmp_path: Path) -> None:
    """With a limit of the kernel, in a namespace of its own: polled, then given the watch of another."""
    for name in ("a", "b", "c", "d"):
        (root / name).mkdir()
    agent = subprocess.Popen(
        [sys.executable, "-c", _LIMITED, "4", str(tmp_path / "state"), str(root)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(_TOP)},
    )
    deadline = threading.Timer(PATIENCE_S, agent.kill)
    deadline.start()
    told: list[dict[str, object]] = []

    def until(kind: str, path: str) -> dict[str, object]:
        assert agent.stdout is not None
        for line in agent.stdout:
            told.append(json.loads(line))
            if (told[-1]["kind"], told[-1]["path"]) == (kind, path):
                return told[-1]
        assert agent.stderr is not None
        said = agent.stderr.read()
        if "no namespaces" in said:
            pytest.skip("this process may not make a user namespace")
        raise AssertionError(said)

    try:
        gap = until("gap", "a")
        (root / "a/f").touch()
        polled = until("create", "a/f")
        (root / "d").rmdir()
        closed = until("gap_closed", "a")
        (root / "a/g").touch()
        watched = until("create", "a/g")
    finally:
        deadline.cancel()
        agent.terminate()
        agent.communicate(timeout=PATIENCE_S)

    assert [each["path"] for each in told if each["kind"] == "gap"] == ["a"]
    assert gap["gap"]["id"] == closed["gap"]["id"]  # type: ignore[index]
    assert polled["source"] == "rescan"
    assert "source" not in watched  # it is the kernel, which is the default
