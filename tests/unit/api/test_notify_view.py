"""What a watch of a directory sees of a record: relative paths, its own end of moves, its own removal."""

from __future__ import annotations

from typing import Any

import msgspec

from agent.event import Event, Gap
from api.live_position import Mark
from api.live_record import Record, reach
from api.notify_view import Gap as SeenGap
from api.notify_view import Seen, Watch, seen
from processors import notify, topics
from processors.position import Position as Src


def record(event: Event) -> Record:
    """Return the record of `fswire.notify` that an event of the project p becomes."""
    value = notify.record("p", event)
    assert value is not None
    return Record(value, {}, "p", 0, Mark(1, Src(0, 0, 0)), reach(topics.NOTIFY, "p", value))


def look(event: Event, directory: str, *, recursive: bool = False, types: set[str] | None = None) -> Seen:
    """Return what a watch sees of an event."""
    return seen(record(event), Watch(directory, recursive, frozenset(types) if types else None))


def told(each: Seen) -> list[tuple[str, str]]:
    """Return types and paths of notifications."""
    found: list[dict[str, Any]] = msgspec.json.decode(b"[%b]" % each.notifications)
    return [(one["type"], one["path"]) for one in found]


def test_paths_are_relative_to_the_watched_directory() -> None:
    """No leading slash, whatever is watched; a plain watch sees its children alone."""
    event = Event("create", "a/b/c", 1)

    assert told(look(event, "/p/a/b")) == [("child_file_added", "c")]
    assert told(look(event, "/p/a")) == []
    assert told(look(event, "/p/a", recursive=True)) == [("child_file_added", "b/c")]
    assert told(look(event, "/", recursive=True)) == [("child_file_added", "p/a/b/c")]
    assert told(look(event, "/p/a/bc", recursive=True)) == []


def test_notification_keeps_its_spine() -> None:
    """The spine goes from the root's id down to the file, as strings, whatever is watched."""
    event = Event("create", "a/b", 1, spine=["2", "7", "8", "9"])

    found = msgspec.json.decode(b"[%b]" % look(event, "/p/a").notifications)

    assert found == [
        {"type": "child_file_added", "path": "b", "spine": ["2", "7", "8", "9"], "stream_name": None}
    ]


def test_filter_lets_its_types_through() -> None:
    """Of one event's notifications those of the types asked for are told."""
    event = Event("modify", "a/b", 1, changed=["data", "size", "mtime"])

    assert told(look(event, "/p/a", types={"child_size_changed"})) == [("child_size_changed", "b")]


def test_rename_is_seen_by_the_ends_in_view() -> None:
    """Both ends together where both are in view, one of them where only one is."""
    event = Event("rename", "a/x", 1, renamed_to="b/y", moved="within")

    assert told(look(event, "/p", recursive=True)) == [
        ("child_file_moved_from", "a/x"),
        ("child_file_moved_to", "b/y"),
    ]
    assert told(look(event, "/p/a")) == [("child_file_moved_from", "x")]
    assert told(look(event, "/p/b")) == [("child_file_moved_to", "y")]


def test_removed_directory_ends_its_own_watch_alone() -> None:
    """`self_removed` for the watched directory, an ordinary removal for who watches above it."""
    event = Event("delete", "a/b", 1, is_dir=True, spine=["2", "7", "8", "9"])

    own, above = look(event, "/p/a/b"), look(event, "/p/a")

    assert (told(own), own.removed) == ([("self_removed", "")], True)
    assert (told(above), above.removed) == ([("child_dir_removed", "b")], False)


def test_removed_directory_ends_watches_below_it() -> None:
    """A directory that was carried out of sight takes along what is watched inside it; `/p/ab` stays."""
    event = Event("rename", "a", 1, moved="out", is_dir=True)

    assert look(event, "/p/a/b").removed
    assert look(event, "/p/a").removed
    assert look(event, "/p/ab") == Seen()


def test_end_is_an_end_whatever_the_filter_says() -> None:
    """A watch that did not ask for `self_removed` ends without a word."""
    event = Event("delete", "a", 1, is_dir=True)

    assert look(event, "/p/a", types={"child_file_added"}) == Seen(removed=True)


def test_renamed_directory_is_watched_on_under_its_new_name() -> None:
    """The watch is of the directory, not of its name; also where one above it was renamed."""
    event = Event("rename", "a", 1, renamed_to="x/y", moved="within", is_dir=True)

    assert look(event, "/p/a") == Seen(directory="/p/x/y")
    assert look(event, "/p/a/b", recursive=True) == Seen(directory="/p/x/y/b")
    assert told(look(event, "/p")) == [("child_dir_moved_from", "a")]


def test_what_happens_to_the_directory_itself_is_not_told() -> None:
    """There are types for children alone."""
    event = Event("attribute", "a", 1, is_dir=True, changed=["mode"])

    assert look(event, "/p/a", recursive=True) == Seen()
    assert told(look(event, "/p")) == [("child_acl_changed", "a")]


def test_gap_is_told_to_whom_it_concerns() -> None:
    """Everything above or inside a gap's scope hears of it, the path as the watch names it."""
    whole = Event("gap", "", 1, gap=Gap("g1", "overflow"))
    part = Event("gap", "a/b", 1, gap=Gap("g2", "overflow"))
    flat = Event("gap", "a", 1, gap=Gap("g3", "unreadable", recursive=False))

    assert look(whole, "/p/a").gap == SeenGap("overflow", ".", "g1")
    assert look(part, "/p/a").gap == SeenGap("overflow", "b", "g2")
    assert look(part, "/p", recursive=True).gap == SeenGap("overflow", "a/b", "g2")
    assert look(part, "/p/a/b/c").gap == SeenGap("overflow", ".", "g2")
    assert look(part, "/p/c").gap is None
    assert look(flat, "/p/a/b").gap is None


def test_view_is_made_once_for_all_who_watch_the_same() -> None:
    """Subscribers of one directory share the bytes."""
    made = record(Event("create", "a/b", 1))

    first, second = (seen(made, Watch("/p/a", recursive=False)) for _ in range(2))

    assert first is second
