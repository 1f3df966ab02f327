"""ACLs, flags and `user.*` attributes: read from real files, told when they change, found after a restart."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from agent import acl, baseline, extended
from agent.event import Event, Former, Stream
from agent.extended import NOTHING, Extended, Reader
from agent.files import State, look
from processors import notify
from processors import watch as watch_vocabulary
from tests.unit.agent.attributes import (
    ACCESS,
    DEFAULT,
    GROUP,
    GROUP_OBJ,
    NO_ID,
    NODUMP,
    OTHER,
    READABLE_BY_1000,
    READABLE_BY_1000_TEXT,
    USER_OBJ,
    acl_bytes,
    set_attribute,
    toggle_flag,
)
from tests.unit.agent.watched import Watched, has, one

MODE_BITS = ((USER_OBJ, 6, NO_ID), (GROUP_OBJ, 4, NO_ID), (OTHER, 4, NO_ID))
STATE = State(0o100644, 10, 100, 200, 300, 50, 0, 0, 1, -5, 1, NODUMP)
STREAM = Stream("colour", 4, hashlib.sha256(b"blue").hexdigest())
Watch = Callable[..., Watched]


def told(events: list[Event], path: str, what: str) -> bool:
    """Tell whether a change of one thing was told of a path."""
    return any(event.path == path and what in (event.changed or ()) for event in events)


def change_of(events: list[Event], path: str, what: str) -> Event:
    """Return the one event that told of a change."""
    (event,) = [each for each in events if each.path == path and what in (each.changed or ())]
    return event


def types(event: Event) -> list[tuple[str, str | None]]:
    """Return types and stream names of the notifications that come of an event."""
    record = notify.record("proj", event)
    return [(each["type"], each["stream_name"]) for each in msgspec.json.decode(record or b"[]")]


def test_acl_of_mode_bits_alone() -> None:
    """An ACL that says no more than the mode bits is none."""
    assert acl.text(acl_bytes(*MODE_BITS)) == ""


def test_acl_with_named_entries_and_defaults() -> None:
    """Users and groups are numbers; what a directory hands down is marked."""
    default = acl_bytes(*MODE_BITS, (GROUP, 7, 50))

    assert acl.text(READABLE_BY_1000) == READABLE_BY_1000_TEXT
    assert acl.text(None, default).split(",")[-1] == "default:group:50:rwx"


@pytest.mark.parametrize(
    "value", [b"", b"\x01\0\0\0", READABLE_BY_1000[:-1], acl_bytes((0x40, 7, NO_ID), (OTHER, 0, NO_ID))]
)
def test_acl_that_is_none(value: bytes) -> None:
    """Bytes that are no ACL of the known version are refused."""
    with pytest.raises(ValueError, match="ACL"):
        acl.text(value)


@pytest.mark.parametrize(
    "state",
    [
        STATE,
        STATE.having(NOTHING),
        STATE.having(extended.outdated(NOTHING)),
        STATE.having(Extended("user::rw-", (STREAM,))),
        STATE.having(Extended("", (STREAM,), current=False)),
    ],
)
def test_row_of_the_baseline(state: State) -> None:
    """A state comes out of the baseline as it went in."""
    assert baseline.unpack(baseline.pack(state)) == state


def test_row_of_an_older_journal() -> None:
    """A row from before flags and attributes were known says that it does not know them."""
    row = baseline.pack(STATE._replace(flags=None))

    assert len(row) == 72
    assert baseline.unpack(row) == STATE._replace(flags=None)


def test_reader_on_a_file_system_without_attributes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that has no attributes is asked once."""
    asked: list[bytes] = []

    def refuse(path: bytes, **_: object) -> list[str]:
        asked.append(path)
        raise OSError(errno.ENOTSUP, "not supported")

    monkeypatch.setattr(os, "listxattr", refuse)
    reader = Reader()

    assert [reader.read(b"/a", 1), reader.read(b"/b", 1), reader.read(b"/c", 2)] == [NOTHING] * 3
    assert asked == [b"/a", b"/c"]


def test_reader_on_what_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """What may not be read is not known, which is not the same as none."""

    def refuse(_: bytes, **__: object) -> list[str]:
        raise OSError(errno.EACCES, "denied")

    monkeypatch.setattr(os, "listxattr", refuse)

    assert Reader().read(b"/a", 1) is None


def test_reader_does_not_follow_links(tmp_path: Path) -> None:
    """The link is the object: what its target has is not its own."""
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"")
    set_attribute(target, "user.colour", b"blue")
    link.symlink_to(target)

    assert Reader().read(bytes(target), 1) == Extended("", (STREAM,))
    assert Reader().read(bytes(link), 1) == NOTHING


def test_stream_added_written_and_removed(watch: Watch, root: Path) -> None:
    """Each change of a `user.*` attribute is told with what it was, and becomes its notifications."""
    file = root / "a"
    file.write_bytes(b"content")
    watched = watch()

    set_attribute(file, "user.colour", b"blue")
    added = change_of(watched.until(lambda events: told(events, "a", "streams")), "a", "streams")
    os.setxattr(file, "user.colour", b"yellow")
    watched.until(lambda events: len([e for e in events if "streams" in (e.changed or ())]) == 2)
    os.removexattr(file, "user.colour")
    watched.until(lambda events: len([e for e in events if "streams" in (e.changed or ())]) == 3)
    _, written, removed = [e for e in watched.events() if "streams" in (e.changed or ())]

    assert (added.kind, added.changed, added.streams, added.previous) == (
        "attribute",
        ["streams"],
        [STREAM],
        Former(streams=[]),
    )
    assert types(added) == [("child_stream_added", "colour")]
    assert types(written) == [
        ("child_stream_data_written", "colour"),
        ("child_stream_size_changed", "colour"),
    ]
    assert (removed.streams, removed.previous) == (None, Former(streams=written.streams))
    assert types(removed) == [("child_stream_removed", "colour")]


def test_acl_changed(watch: Watch, root: Path) -> None:
    """A new ACL is told as text, with that of before, and with the mode bits that it changes."""
    file = root / "a"
    file.write_bytes(b"content")
    file.chmod(0o644)
    watched = watch()

    set_attribute(file, ACCESS, READABLE_BY_1000)
    event = change_of(watched.until(lambda events: told(events, "a", "acl")), "a", "acl")

    assert (event.changed, event.acl, event.mode) == (["mode", "acl"], READABLE_BY_1000_TEXT, 0o640)
    assert event.previous == Former(mode=0o644, acl="")
    assert types(event) == [("child_acl_changed", None)]
    changes = [msgspec.json.decode(each) for each in watch_vocabulary.records("/proj", event)]
    assert [each["details"]["attribute"] for each in changes] == ["permissions"]


def test_attribute_set_again_to_what_it_is(watch: Watch, root: Path) -> None:
    """What the kernel reports is told even where nothing differs any more."""
    (root / "a").write_bytes(b"content")
    watched = watch()

    (root / "a").chmod((root / "a").stat().st_mode)
    event = one(watched.until(has("attribute", "a")), "attribute", "a")

    assert event.changed is None


def test_attributes_go_with_every_event(watch: Watch, root: Path) -> None:
    """An event that has a file's state has its ACL, flags and streams too."""
    file = root / "a"
    file.write_bytes(b"content")
    set_attribute(file, "user.colour", b"blue")
    set_attribute(file, ACCESS, READABLE_BY_1000)
    toggle_flag(file, NODUMP)
    watched = watch()

    file.write_bytes(b"other")
    watched.until(has("closeWrite", "a"))
    file.rename(root / "b")
    events = watched.until(has("rename", "a"))

    for kind in ("baseline", "closeWrite", "rename"):
        event = one(events, kind, "a")
        assert (event.acl, event.flags, event.streams) == (READABLE_BY_1000_TEXT, ["nodump"], [STREAM])


def test_changes_while_the_agent_was_down(watch: Watch, root: Path) -> None:
    """A start finds ACLs, flags and streams that were changed meanwhile, and finds them once."""
    for name in ("acl", "flags", "streams", "moved", "same"):
        (root / name).write_bytes(b"content")
    (root / "directory").mkdir()
    set_attribute(root / "moved", "user.old", b"blue")
    set_attribute(root / "same", "user.colour", b"blue")
    watch().stop()
    set_attribute(root / "acl", ACCESS, READABLE_BY_1000)
    set_attribute(root / "directory", DEFAULT, READABLE_BY_1000)
    toggle_flag(root / "flags", NODUMP)
    set_attribute(root / "streams", "user.colour", b"blue")
    os.removexattr(root / "moved", "user.old")
    set_attribute(root / "moved", "user.new", b"blue")
    os.utime(root / "same", ns=(1, 1))

    second = watch()
    events = second.until(has("gap_closed", ""))
    second.stop()
    told_before = list(second.events())
    third = watch().until(lambda events: len(events) > len(told_before) + 1)[len(told_before) :]

    found = {event.path: event for event in events if event.kind == "attribute" and event.path}
    assert {path: event.changed for path, event in found.items()} == {
        "acl": ["mode", "acl"],
        "directory": ["acl"],
        "flags": ["flags"],
        "streams": ["streams"],
        "moved": ["streams"],
        "same": ["mtime", "atime"],
    }
    assert {event.source for event in found.values()} == {"startup"}
    assert types(found["flags"]) == [("child_extra_attrs_changed", None)]
    assert types(found["moved"]) == [("child_stream_moved_from", "old"), ("child_stream_moved_to", "new")]
    assert found["directory"].acl == "default:" + READABLE_BY_1000_TEXT.replace(",", ",default:")
    assert [event.kind for event in third] == ["gap", "gap_closed"]


def test_root_changed_while_the_agent_was_down(watch: Watch, root: Path) -> None:
    """What changed about the root itself is found by the next start too."""
    watch().stop()
    root.chmod(0o700)

    event = one(watch().until(has("attribute", "")), "attribute", "")

    assert (event.changed, event.source) == (["mode"], "startup")


def test_attribute_whose_record_was_lost(watch: Watch, root: Path) -> None:
    """An attribute set before a closeWrite that was told is found by a scan, whatever its ctime says."""
    file = root / "a"
    file.write_bytes(b"content")
    watched = watch()
    file.write_bytes(b"other")
    watched.until(has("closeWrite", "a"))
    watched.stop()
    known = watched.journal.baseline.get(baseline.ROOT_KEY, b"a")

    set_attribute(file, "user.colour", b"blue")
    state = look(bytes(file))

    assert known is not None
    assert known.state is not None
    assert state is not None
    assert known.state.extended == NOTHING._replace(current=False)
    watched.journal.baseline.put(
        baseline.ROOT_KEY, b"a", known._replace(state=known.state._replace(ctime_ns=state.ctime_ns))
    )
    watched.journal.commit()
    assert told(watch().until(has("gap_closed", "")), "a", "streams")


def test_row_of_an_older_journal_is_completed(watch: Watch, root: Path) -> None:
    """What an older agent did not know is no change when it becomes known."""
    file = root / "a"
    file.write_bytes(b"content")
    set_attribute(file, "user.colour", b"blue")
    toggle_flag(file, NODUMP)
    watched = watch()
    watched.stop()
    known = watched.journal.baseline.get(baseline.ROOT_KEY, b"a")
    assert known is not None
    assert known.state is not None
    older = known._replace(state=known.state._replace(flags=None, extended=None))
    watched.journal.baseline.put(baseline.ROOT_KEY, b"a", older)
    watched.journal.commit()
    told_before = list(watched.events())

    again = watch()
    events = again.until(lambda events: len(events) > len(told_before) + 1)[len(told_before) :]
    again.stop()

    assert [event.kind for event in events] == ["gap", "gap_closed"]
    assert again.journal.baseline.get(baseline.ROOT_KEY, b"a") == known


def test_flags_are_found_by_a_rescan(watch: Watch, root: Path) -> None:
    """The kernel has no record of a change of flags: the next rescan tells it."""
    (root / "a").write_bytes(b"content")
    watched = watch()

    toggle_flag(root / "a", NODUMP)
    watched.handover.ask_rescan("test")
    event = change_of(watched.until(lambda events: told(events, "a", "flags")), "a", "flags")

    assert (event.source, event.changed, event.flags) == ("rescan", ["flags"], ["nodump"])
    assert event.previous == Former(flags=[])


def test_attributes_changed_under_another_name(watch: Watch, root: Path) -> None:
    """A change that is first seen under a file's new name is told after the rename."""
    (root / "a").write_bytes(b"content")
    (root / "a").chmod(0o644)
    watch(backend="poll").stop()
    (root / "a").chmod(0o600)
    set_attribute(root / "a", "user.colour", b"blue")
    (root / "a").rename(root / "b")

    events = watch(backend="poll").until(has("attribute", "b"))

    event = one(events, "attribute", "b")
    assert (event.changed, event.previous) == (["mode", "streams"], Former(mode=0o644, streams=[]))
    assert [each.kind for each in events if each.path != ""] == ["baseline", "rename", "attribute"]


def test_attribute_name_that_is_no_utf8(watch: Watch, root: Path) -> None:
    """A name that is no UTF-8 is told, and apart from any other."""
    file = root / "a"
    file.write_bytes(b"content")
    set_attribute(file, os.fsdecode(b"user.\xff"), b"1")
    set_attribute(file, os.fsdecode(b"user.\xfe"), b"1")

    event = one(watch().events(), "baseline", "a")

    assert [stream.name for stream in event.streams or ()] == [r"\xfe", r"\xff"]
