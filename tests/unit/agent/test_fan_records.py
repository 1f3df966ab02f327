"""The bytes that fanotify delivers are taken apart as the kernel puts them together."""

from __future__ import annotations

from agent.fan_records import RENAME, SELF, Told, parse
from agent.records import ATTRIB, CREATE, ISDIR, Q_OVERFLOW
from tests.unit.agent.fan_events import directory, event, overflow


def test_events_of_one_read() -> None:
    """Events follow each other without a gap; padding is not part of a name."""
    data = event(CREATE, 5, directory(1), b"name") + event(ATTRIB | ISDIR, 6, directory(2), SELF)

    assert list(parse(data)) == [
        Told(CREATE, 5, directory(1), b"name"),
        Told(ATTRIB | ISDIR, 6, directory(2), SELF),
    ]


def test_rename_has_both_ends() -> None:
    """Old and new end are told apart by what they are called, not by their order."""
    data = event(RENAME, 5, directory(1), b"old", directory(2), b"new")

    assert list(parse(data)) == [Told(RENAME, 5, directory(1), b"old", directory(2), b"new")]


def test_overflow_is_bare() -> None:
    """That events were lost comes without a directory, also as the last of a read."""
    (told,) = parse(overflow())

    assert told == Told(Q_OVERFLOW, 0)


def test_handles_of_any_length() -> None:
    """A file system's handle may be longer than that of ext4; an odd name stays as it is."""
    long = directory(1)[:8] + (40).to_bytes(4, "little") + bytes(range(44))
    name = b"\n \xff" * 20

    assert list(parse(event(CREATE, 5, long, name))) == [Told(CREATE, 5, long, name)]
