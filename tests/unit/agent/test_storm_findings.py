"""What storms have found, each in the smallest form that shows it."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agent import inotify
from agent.inotify import Inotify
from agent.kernel import KernelSession
from agent.records import ATTRIB, Record, parse
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
