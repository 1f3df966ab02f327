"""A root that is listed from time to time: real differences, certain renames, and never back to back."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent import moves
from agent.pace import Pace
from agent.poll import PollSession
from tests.unit.agent.replay import on_disk, replay
from tests.unit.agent.watched import PATIENCE_S, Watched, brief, bring_back, has

Watch = Callable[..., Watched]


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Return what has to be set before a round begins: none falls between two operations of a test."""
    may_begin, begin = threading.Event(), PollSession._round

    def round_when_set(session: PollSession) -> None:
        may_begin.wait(PATIENCE_S)
        begin(session)

    monkeypatch.setattr(PollSession, "_round", round_when_set)
    yield may_begin
    may_begin.set()


def test_pace_counts_from_the_end_of_a_round() -> None:
    """The next round is due one interval after the last is over."""
    now = [100.0]
    pace = Pace(10.0, lambda: now[0])
    before = pace.wait_s()
    now[0] = 110.0
    due = pace.wait_s()
    pace.begin()
    now[0] = 111.0
    pace.end()

    assert (before, due, pace.wait_s()) == (10.0, 0.0, 10.0)


def test_pace_of_a_slow_tree() -> None:
    """Rounds never take more than a quarter of the time, however short the interval."""
    now = [0.0]
    pace = Pace(1.0, lambda: now[0])
    pace.begin()
    now[0] = 20.0
    pace.end()

    assert pace.wait_s() == 60.0


def test_poll_reports_differences_as_rescan(root: Path, watch: Watch, held: threading.Event) -> None:
    """What a round finds is a difference to what was known: its source says that nobody told of it."""
    (root / "f").write_bytes(b"old")
    watched = watch(backend="poll", poll_every_s=0.05)
    (root / "f").write_bytes(b"other")
    (root / "g").write_bytes(b"new")
    held.set()
    events = watched.until(lambda events: replay(events) == on_disk(root))

    assert {(event.kind, event.path, event.source) for event in events[1:]} == {
        ("modify", "f", "rescan"),
        ("create", "g", "rescan"),
    }


def test_poll_of_an_unchanged_tree_says_nothing(root: Path, watch: Watch) -> None:
    """A round tells what differs and nothing else; that a file was read is no difference."""
    (root / "d").mkdir()
    (root / "d/f").write_bytes(b"x")
    watched = watch(backend="poll", poll_every_s=0.01)
    before = len(watched.events())
    (root / "d/f").read_bytes()
    (root / "last").touch()
    events = watched.until(has("create", "last"))[before:]

    assert brief(events) == [("create", "last")]


def test_poll_renames_with_all_below(root: Path, watch: Watch) -> None:
    """A directory found under another name is one rename: its content is neither told nor hashed again."""
    (root / "d/e").mkdir(parents=True)
    (root / "d/e/f").write_bytes(b"x")
    (root / "g").mkdir()
    watched = watch(backend="poll", poll_every_s=0.05)
    before = len(watched.events())
    (root / "d").rename(root / "g/d")
    events = watched.until(has("rename", "d"))[before:]

    assert brief(events) == [("rename", "d", "g/d")]
    assert events[0].moved == "within"


def test_poll_rename_over_a_known_file(root: Path, watch: Watch) -> None:
    """The target of a rename that was there before is said to be gone, right before."""
    (root / "a").write_bytes(b"a")
    (root / "b").write_bytes(b"b")
    watched = watch(backend="poll", poll_every_s=0.05)
    before = len(watched.events())
    (root / "a").rename(root / "b")
    events = watched.until(has("rename", "a"))[before:]

    assert brief(events) == [("delete", "b"), ("rename", "a", "b")]
    assert events[0].extra == "override"


def test_poll_renames_in_a_chain(root: Path, watch: Watch, held: threading.Event) -> None:
    """Each target of a chain is free by the time it is renamed to: nothing is said to be deleted."""
    for name in "abc":
        (root / name).write_bytes(name.encode())
    watched = watch(backend="poll", poll_every_s=0.05)
    before = len(watched.events())
    for source, target in (("c", "d"), ("b", "c"), ("a", "b")):
        (root / source).rename(root / target)
    held.set()
    events = watched.until(has("rename", "a"))[before:]

    assert brief(events) == [("rename", "c", "d"), ("rename", "b", "c"), ("rename", "a", "b")]


def test_poll_renames_in_a_ring(root: Path, watch: Watch, held: threading.Event) -> None:
    """Files that have changed names in a ring end right, though one of them is deleted and made again."""
    for name in "abc":
        (root / name).write_bytes(name.encode())
    watched = watch(backend="poll", poll_every_s=0.05)
    before = len(watched.events())
    for source, target in (("a", "x"), ("b", "a"), ("c", "b"), ("x", "c")):
        (root / source).rename(root / target)
    held.set()
    events = watched.until(lambda events: replay(events) == on_disk(root))[before:]

    assert sorted(event.kind for event in events) == ["create", "delete", "rename", "rename"]


def test_poll_does_not_guess_among_hard_links(root: Path, watch: Watch) -> None:
    """Of a file with two names that has other two now, nobody knows which became which."""
    (root / "a").write_bytes(b"x")
    (root / "b").hardlink_to(root / "a")
    watched = watch(backend="poll", poll_every_s=0.05)
    (root / "a").rename(root / "c")
    (root / "b").rename(root / "d")
    events = watched.until(lambda events: replay(events) == on_disk(root))

    assert "rename" not in {event.kind for event in events}


def test_poll_holds_back_no_more_than_it_may(
    root: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the bound a round reports as it goes: delete and create, and the tree is right."""
    monkeypatch.setattr(moves, "MAX_NOTED", 3)
    for number in range(10):
        (root / f"a{number}").write_bytes(bytes([number]))
    watched = watch(backend="poll", poll_every_s=0.05)
    for number in range(10):
        (root / f"a{number}").rename(root / f"b{number}")

    watched.until(lambda events: replay(events) == on_disk(root))


def test_poll_finds_renames_at_a_later_start(root: Path, tmp_path: Path) -> None:
    """What was renamed while nobody watched is told as a rename too."""
    (root / "d").mkdir()
    (root / "d/f").write_bytes(b"x")
    with Watched(root, tmp_path / "state", backend="poll"):
        pass
    (root / "d").rename(root / "e")
    with Watched(root, tmp_path / "state", backend="poll") as second:
        events = second.until(lambda events: events[-1].kind == "gap_closed")

    assert ("rename", "d", "e") in brief(events)
    assert replay(events) == on_disk(root)


def test_poll_root_removed_and_back(root: Path, watch: Watch) -> None:
    """A root that goes is a gap; when it is back, what differs is reported and the gap closed."""
    (root / "f").write_bytes(b"x")
    watched = watch(backend="poll", poll_every_s=0.05)
    shutil.rmtree(root)
    watched.until(lambda events: events[-1].kind == "gap")
    bring_back(root, g=b"y")
    events = watched.until(lambda events: events[-1].kind == "gap_closed")

    assert replay(events) == on_disk(root)


def test_poll_stops_at_once(root: Path, watch: Watch) -> None:
    """A stop is not kept waiting by the interval."""
    watched = watch(backend="poll", poll_every_s=3600.0)
    os.utime(root)
    watched.stop()

    assert watched.events() == []
