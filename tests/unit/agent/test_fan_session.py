"""What a root watched through fanotify alone reports beyond the contract of all backends (test_scenarios)."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent import fan_queue
from agent.fan_queue import FanQueue
from agent.fan_records import RENAME, SELF
from agent.records import (
    CREATE,
    DELETE,
    DELETE_SELF,
    ISDIR,
    MODIFY,
    MOVED_FROM,
    MOVED_TO,
    OPEN,
    Q_OVERFLOW,
    parse,
)
from tests.unit.agent.fan_events import directory, event, needs_fanotify, overflow
from tests.unit.agent.replay import on_disk, replay
from tests.unit.agent.test_actors import Scripted
from tests.unit.agent.test_unwatched import Limit
from tests.unit.agent.watched import Watched, brief, has, one

Watch = Callable[..., Watched]
_ROOT, _BELOW, _ABOVE, _ELSEWHERE = directory(5), directory(7), directory(3), directory(99)
"""The scripted fanotify names directories by the length of their paths: /up/r, /up/r/d, /up."""
_STORM = """
import os, sys
os.chdir(sys.argv[1])
for number in range(400):
    name = f"d{number % 7}"
    os.makedirs(name, exist_ok=True)
    with open(f"{name}/f{number % 13}", "w") as file:
        file.write(str(number))
    if number % 3 == 0:
        os.replace(f"{name}/f{number % 13}", f"{name}/g")
    if number % 5 == 0:
        os.rename(name, f"e{number}")
    if number % 11 == 0:
        os.unlink(f"e{number // 55 * 55}/g") if os.path.exists(f"e{number // 55 * 55}/g") else None
"""


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> FanQueue:
    """Return the queue of a root with one directory, filled by hand."""
    monkeypatch.setattr(fan_queue, "Fanotify", Scripted)
    queue = FanQueue(b"/up/r", threading.Event(), 0, actors=False)
    assert (queue.add(b"/up/r"), queue.add(b"/up/r/d")) == (1, 2)
    return queue


def _records(queue: FanQueue, *events: bytes) -> Iterator[tuple[int, int, bytes]]:
    queue._fanotify.reads.append(b"".join(events))  # type: ignore[attr-defined]
    queue.drain()
    while chunk := queue.take():
        for record in parse(chunk):
            yield record.wd, record.mask, record.name


def test_other_directories_are_dropped(queue: FanQueue) -> None:
    """What happens elsewhere on the file system wakes nobody."""
    assert (
        list(
            _records(
                queue,
                event(CREATE, 1, _ELSEWHERE, b"f"),
                event(RENAME, 1, _ELSEWHERE, b"f", _ELSEWHERE, b"g"),
            )
        )
        == []
    )
    assert queue.empty()


def test_folded_bits_stay_together(queue: FanQueue) -> None:
    """Bits that fanotify merged are one record: their order is not known here."""
    assert list(_records(queue, event(CREATE | MODIFY | DELETE, 1, _BELOW, b"f"))) == [
        (2, CREATE | MODIFY | DELETE, b"f")
    ]


def test_rename_is_two_halves(queue: FanQueue) -> None:
    """Both ends in view, the old one, the new one."""
    told = list(
        _records(
            queue,
            event(RENAME, 1, _ROOT, b"a", _BELOW, b"b"),
            event(RENAME, 1, _ROOT, b"out", _ELSEWHERE, b"x"),
            event(RENAME | ISDIR, 1, _ELSEWHERE, b"x", _BELOW, b"in"),
        )
    )

    assert told == [
        (1, MOVED_FROM, b"a"),
        (2, MOVED_TO, b"b"),
        (1, MOVED_FROM, b"out"),
        (2, MOVED_TO | ISDIR, b"in"),
    ]


def test_own_reads_are_dropped(queue: FanQueue) -> None:
    """The agent's own opens are known by their process."""
    queue.ask_for(OPEN)

    assert list(_records(queue, event(OPEN, os.getpid(), _ROOT, b"f"), event(OPEN, 1, _ROOT, b"f"))) == [
        (1, OPEN, b"f")
    ]


def test_end_of_the_root(queue: FanQueue) -> None:
    """The directory above tells that the root is gone."""
    assert list(_records(queue, event(DELETE | ISDIR, 1, _ABOVE, b"r"))) == [(1, DELETE_SELF | ISDIR, b"")]


def test_lost_events_are_said(queue: FanQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel's overflow, and this queue's own, end a session."""
    assert (-1, Q_OVERFLOW, b"") in list(_records(queue, overflow()))
    monkeypatch.setattr(fan_queue, "_UNREAD_BYTES", 1)
    assert list(_records(queue, event(CREATE, 1, _ROOT, b"f"))) == [(-1, Q_OVERFLOW, b"")]


def test_directory_tells_of_itself(queue: FanQueue) -> None:
    """An event about a directory itself is told by its own number: the tree knows its name by then."""
    assert list(_records(queue, event(MODIFY | ISDIR, 1, _BELOW, SELF))) == [(2, MODIFY | ISDIR, b".")]


@needs_fanotify
def test_created_and_deleted_at_once(root: Path, watch: Watch) -> None:
    """Of operations that were merged the last state is right, also of a name that was there before."""
    (root / "kept").write_bytes(b"old")
    (root / "lost").write_bytes(b"old")
    watched = watch(backend="fanotify")
    for _ in range(50):
        for name in ("kept", "lost", "new"):
            (root / name).unlink(missing_ok=True)
            (root / name).write_bytes(b"new")
    (root / "lost").unlink()
    watched.wait(lambda: replay(watched.events()) == on_disk(root))
    watched.stop()

    assert replay(watched.events()).keys() == {b"kept", b"new"}


@pytest.mark.parametrize("backend", ["inotify", pytest.param("fanotify", marks=needs_fanotify)])
def test_names_that_change_hands_in_a_storm(backend: str, root: Path, watch: Watch) -> None:
    """Directories made, filled, renamed and made again faster than they are looked at end as on disk."""
    watched = watch(backend=backend)
    subprocess.run([sys.executable, "-c", _STORM, str(root)], check=True)
    watched.wait(lambda: replay(watched.events()) == on_disk(root))
    shutil.rmtree(root / "e0")
    watched.wait(lambda: replay(watched.events()) == on_disk(root))
    watched.stop()

    assert not any(event.gap for event in watched.events())


@needs_fanotify
def test_actor_and_root_attributes(root: Path, watch: Watch) -> None:
    """Who did it is told with each event; the root's own attributes are told once."""
    watched = watch(backend="fanotify")
    with subprocess.Popen(["tee", "f"], cwd=root, stdin=subprocess.PIPE) as tee:
        watched.until(has("create", "f"))
        tee.communicate(b"x")
    root.chmod(0o700)
    root.chmod(0o750)
    watched.until(has("attribute", ""))
    watched.stop()

    created = one(watched.events(), "create", "f")
    assert created.actor is not None
    assert (created.actor.pid, created.actor.uid) == (tee.pid, os.geteuid())
    assert ("attribute", "") in brief(watched.events())


@needs_fanotify
def test_overflow_is_mended(root: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a loss the gap is said, and the rescan ends with the tree on disk."""
    watched = watch(backend="fanotify")
    monkeypatch.setattr(fan_queue, "_UNREAD_BYTES", -1)
    (root / "f").write_bytes(b"x")
    watched.until(has("gap", ""))
    monkeypatch.setattr(fan_queue, "_UNREAD_BYTES", 1 << 24)
    (root / "g").write_bytes(b"y")
    watched.until(has("gap_closed", ""))
    watched.wait(lambda: replay(watched.events()) == on_disk(root))
    watched.stop()

    (gap, *_) = [event.gap for event in watched.events() if event.kind == "gap"]
    assert gap is not None
    assert gap.reason == "overflow"


@needs_fanotify
def test_fanotify_takes_over_where_watches_run_out(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was not watched meanwhile is a gap that a rescan closes; then every directory is told about."""
    Limit(monkeypatch, errno.ENOSPC, "d")
    (root / "d").mkdir()
    (root / "d" / "f").write_bytes(b"1")
    watched = Watched(root, tmp_path / "state")
    watched.may_change_backend = True
    with watched:
        watched.until(has("gap_closed", ""))
        (root / "d" / "g").write_bytes(b"2")
        events = list(watched.until(has("closeWrite", "d/g")))

    gaps = [(event.kind, event.gap.reason) for event in events if event.gap]
    assert gaps == [("gap", "watch_limit"), ("gap_closed", "watch_limit")]
    assert watched.coverage.backend == "fanotify"
    assert one(events, "create", "d/g").source == "kernel"
    assert replay(events) == on_disk(root)
