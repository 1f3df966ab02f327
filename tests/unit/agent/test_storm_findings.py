"""What storms have found, each in the smallest form that shows it."""

from __future__ import annotations

import hashlib
import os
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agent import identity, inotify
from agent.files import look
from agent.inotify import Inotify
from agent.kernel import KernelSession
from agent.records import ATTRIB, Record, parse
from tests.unit.agent.exchanging import exchange, leave_whiteout
from tests.unit.agent.replay import on_disk, replay
from tests.unit.agent.watched import PATIENCE_S, Watched, has, one

Watch = Callable[..., Watched]
CONTENT = b"content"


def test_link_whose_first_name_is_gone_gets_its_hash(root: Path, tmp_path: Path, watch: Watch) -> None:
    """By the time of the look it has one name, like a file that was opened, and yet no close will follow."""
    (tmp_path / "first").write_bytes(CONTENT)
    watched = watch(settle_ms=10)
    os.link(tmp_path / "first", root / "link")
    (tmp_path / "first").unlink()
    expected = hashlib.sha256(CONTENT).hexdigest()
    events = watched.until(lambda events: bool(events) and events[-1].sha256 == expected)

    assert {event.path for event in events} == {"link"}


def test_file_found_after_it_was_closed_gets_its_hash(
    root: Path, tmp_path: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scan comes upon a new file of which nothing but a change of attributes is still to be told."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full/f").write_bytes(CONTENT)
    watched = watch()
    monkeypatch.setattr(KernelSession, "_early", lambda self, wd: {b"f": ATTRIB} if wd else {})
    (tmp_path / "full").rename(root / "full")
    events = watched.until(has("create", "full/f"))

    assert one(events, "create", "full/f").sha256 == hashlib.sha256(CONTENT).hexdigest()


def test_reads_of_one_backlog_all_begin_when_the_queue_was_empty(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a full queue lost was lost before the reads that emptied it, so its gap begins before them."""
    monkeypatch.setattr(inotify, "_READ_BYTES", 1024)
    records: list[Record] = []
    since_ns = []
    wake = threading.Event()
    with Inotify(wake) as source:
        source.add(bytes(root))
        with source._lock:  # nobody reads meanwhile
            before_ns = time.time_ns()
            for number in range(200):
                (root / f"{number}").touch()
        while len(records) < 2 * 200:  # made, and closed
            assert wake.wait(PATIENCE_S)
            wake.clear()
            while chunk := source.take():
                since_ns.append(chunk.since_ns)
                records += parse(chunk)

    assert len(since_ns) > 5
    assert max(since_ns) <= before_ns


def test_exchange_of_files_that_were_never_seen_under_their_names(
    root: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two files that are made and swap their names before anybody looks are both there in the end."""
    watched = watch()
    monkeypatch.setattr("agent.inotify._UNREAD_BYTES", -1)
    (root / "a").write_bytes(b"a")
    (root / "b").write_bytes(b"bb")
    exchange(root / "a", root / "b")
    monkeypatch.setattr("agent.inotify._UNREAD_BYTES", 1 << 26)
    (root / "last").touch()
    watched.until(has("closeWrite", "last"))
    watched.until(lambda events: replay(events) == on_disk(root))


def test_what_a_rename_leaves_is_found(root: Path, watch: Watch) -> None:
    """No record tells of a whiteout."""
    (root / "a").write_bytes(b"a")
    watched = watch()
    leave_whiteout(root / "a", root / "b")
    events = watched.until(has("create", "a"))

    assert stat.S_ISCHR((root / "a").lstat().st_mode)
    assert [(event.kind, event.path) for event in events[-2:]] == [("rename", "a"), ("create", "a")]


def test_file_saved_by_way_of_another_has_one_id(
    root: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that was made, written and renamed before anybody looked is one file in all that is told."""
    (root / "f").write_bytes(b"old")
    watched = watch()
    monkeypatch.setattr("agent.inotify._UNREAD_BYTES", -1)
    (root / "f~").write_bytes(b"new")
    (root / "f~").replace(root / "f")
    (root / "d~").mkdir()
    (root / "d~").rename(root / "e~")
    (root / "e~").rename(root / "d")
    monkeypatch.setattr("agent.inotify._UNREAD_BYTES", 1 << 26)
    events = watched.until(has("rename", "e~"))
    watched.stop()

    told = [event for event in events if event.path == "f~"]
    assert [event.kind for event in told] == ["create", "closeWrite", "rename"]
    assert {event.file_id for event in told} == {identity_of(root / "f", watched)}
    assert told[0].size is None
    assert {event.file_id for event in events if event.is_dir and event.path} == {
        identity_of(root / "d", watched)
    }
    assert replay(events) == on_disk(root)


def identity_of(path: Path, watched: Watched) -> str:
    state = look(bytes(path))
    assert state is not None
    state = watched.journal.devices.translated(state, bytes(path))
    return identity.file_id(watched.journal.meta.agent, state.identity)


def test_file_replaced_under_its_later_name_is_not_taken_for_it(
    root: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was made, renamed and removed unseen has no id; nor the id of what is there by then."""
    watched = watch()
    monkeypatch.setattr("agent.inotify._UNREAD_BYTES", -1)
    (root / "f~").write_bytes(b"first")
    (root / "f~").rename(root / "f")
    (root / "f").unlink()
    (root / "f").write_bytes(b"second")
    monkeypatch.setattr("agent.inotify._UNREAD_BYTES", 1 << 26)
    events = watched.until(lambda events: sum(has("closeWrite", "f")([event]) for event in events) == 1)
    watched.stop()

    assert {event.file_id for event in events if event.path == "f~"} == {None}
    assert replay(events) == on_disk(root)
