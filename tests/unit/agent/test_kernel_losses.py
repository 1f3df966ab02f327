"""What a root reports after a loss: a restart, an overflow, a limit, the root gone and back."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from agent import kernel
from agent.inotify import Inotify
from tests.unit.agent.replay import on_disk, replay
from tests.unit.agent.watched import Watched, brief, has, one

Watch = Callable[..., Watched]


def test_restart_reports_real_differences_only(root: Path, tmp_path: Path) -> None:
    """A later start says since when it knows nothing, what is different, and that this is all."""
    (root / "same").write_bytes(b"same")
    (root / "changed").write_bytes(b"old")
    (root / "gone/deep").mkdir(parents=True)
    (root / "gone/deep/f").write_bytes(b"x")
    (root / "touched").write_bytes(b"t")
    (root / "chmod").write_bytes(b"c")
    (root / "chmod").chmod(0o644)
    with Watched(root, tmp_path / "state") as first:
        before = len(first.events())
    (root / "changed").write_bytes(b"new!")
    shutil.rmtree(root / "gone")
    (root / "added").write_bytes(b"added")
    os.utime(root / "touched", ns=(1, 1))
    (root / "chmod").chmod(0o600)
    with Watched(root, tmp_path / "state") as second:
        everything = second.until(lambda events: events[-1].kind == "gap_closed")

    events = everything[before:]
    gap, closed = events[0], events[-1]
    assert (gap.kind, closed.kind) == ("gap", "gap_closed")
    assert gap.gap is not None
    assert closed.gap is not None
    assert (gap.gap.reason, gap.gap.id) == ("agent_down", closed.gap.id)
    assert gap.gap.since_ns
    assert {(event.kind, event.path) for event in events[1:-1]} == {
        ("modify", "changed"),
        ("delete", "gone/deep/f"),
        ("delete", "gone/deep"),
        ("delete", "gone"),
        ("create", "added"),
        ("attribute", "touched"),
        ("attribute", "chmod"),
    }
    assert {event.source for event in events[1:-1]} == {"startup"}
    assert replay(everything) == on_disk(root)


def test_overflow_is_announced_and_mended(root: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the kernel dropped is a gap, and the rescan that follows ends with the tree on disk."""
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if limit > 50_000:
        pytest.skip("the kernel's queue is too long to overflow here")
    (root / "d").mkdir()
    (root / "d/one").touch()
    (root / "d/other").touch()
    watched = watch()
    monkeypatch.setattr("agent.inotify._UNREAD_BYTES", -1)
    for index in range(limit + 200):  # the kernel merges repeats, so two files take turns
        (root / "d" / ("one" if index % 2 else "other")).chmod(0o600)
    shutil.rmtree(root / "d")
    (root / "last").write_bytes(b"content")
    monkeypatch.setattr("agent.inotify._UNREAD_BYTES", 1 << 26)
    watched.until(lambda events: events[-1].kind == "gap_closed")
    (root / "after").touch()
    watched.stop()

    events = watched.events()
    gap = next(event.gap for event in events if event.kind == "gap")
    assert gap is not None
    assert gap.reason == "overflow"
    assert replay(events) == on_disk(root)


def test_watch_limit_is_announced(root: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Directories for which no watch was left are a gap each, and the rest goes on."""
    (root / "d/e").mkdir(parents=True)
    add = Inotify.add

    def limited(self: Inotify, path: bytes) -> int:
        if path.endswith((b"/d", b"/e")):
            raise OSError(28, "No space left on device")
        return add(self, path)

    monkeypatch.setattr(kernel.Inotify, "add", limited)
    watched = watch()
    (root / "f").touch()
    watched.stop()

    gaps = [(event.path, event.gap.reason) for event in watched.events() if event.gap]
    assert gaps == [("d", "watch_limit")]
    assert {"d/e", "f"} <= {event.path for event in watched.events()}


def test_unreadable_directory_is_announced(root: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that may not be read is a gap; the rest goes on."""
    (root / "closed").mkdir()
    add = Inotify.add

    def forbidden(self: Inotify, path: bytes) -> int:
        if path.endswith(b"/closed"):
            raise PermissionError(13, "Permission denied")
        return add(self, path)

    monkeypatch.setattr(kernel.Inotify, "add", forbidden)
    watched = watch()
    (root / "f").touch()
    watched.stop()

    events = watched.events()
    assert [(event.path, event.gap.reason) for event in events if event.gap] == [("closed", "unreadable")]
    assert one(events, "create", "f")


def test_root_removed_and_back(root: Path, watch: Watch) -> None:
    """A root that goes is reported with all that it held; when it is back it is watched again."""
    (root / "f").write_bytes(b"x")
    watched = watch()
    shutil.rmtree(root)
    watched.until(has("delete", ""))
    watched.wait(lambda: watched.events()[-1].kind == "gap")
    root.mkdir()
    (root / "g").write_bytes(b"y")
    watched.until(has("gap_closed", ""))
    (root / "h").write_bytes(b"z")
    watched.stop()

    events = watched.events()
    assert brief(events)[:5] == [
        ("baseline", "f"),
        ("delete", "f"),
        ("delete", ""),
        ("gap", ""),
        ("create", ""),
    ]
    assert replay(events) == on_disk(root)
    assert replay(events).keys() == {b"g", b"h"}


def test_root_moved_away_and_replaced(root: Path, tmp_path: Path, watch: Watch) -> None:
    """Another directory in the root's place is taken for the root, with its own content."""
    (root / "f").write_bytes(b"x")
    watched = watch()
    root.rename(tmp_path / "elsewhere")
    root.mkdir()
    (root / "g").write_bytes(b"y")
    watched.until(has("gap_closed", ""))
    watched.stop()

    events = watched.events()
    assert ("rename", "", None) in brief(events)
    assert replay(events) == on_disk(root)
    assert replay(events).keys() == {b"g"}
