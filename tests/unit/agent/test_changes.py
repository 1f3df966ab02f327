"""What differs from the last known state, and what it was."""

from __future__ import annotations

import stat

from agent import changes
from agent.baseline import Known
from agent.event import Former, Stream
from agent.extended import NOTHING, Extended
from agent.files import State, filetype

OLD = State(stat.S_IFREG | 0o644, 10, 100, 200, 300, 50, 1000, 1000, 1, 2)
STREAM = Stream("colour", 4, "ab" * 32)


def test_content_unchanged() -> None:
    """The same content in the same file is no change."""
    assert changes.of_content(Known(None, OLD, b"a"), OLD, b"a") == ([], Former())


def test_content_rewritten_with_the_same_bytes() -> None:
    """A new mtime over equal content is a change of the mtime alone."""
    changed, former = changes.of_content(Known(None, OLD, b"a"), OLD._replace(mtime_ns=101), b"a")

    assert (changed, former) == (["mtime"], Former(mtime_ns=100))


def test_content_changed_within_the_same_size_and_time() -> None:
    """Equal size and mtime do not hide other content."""
    assert changes.of_content(Known(None, OLD, b"a"), OLD, b"b")[0] == ["data"]


def test_content_without_hashes() -> None:
    """Where nothing was hashed, size and mtime decide."""
    changed, former = changes.of_content(Known(None, OLD, None), OLD._replace(size=11), None)

    assert (changed, former) == (["data", "size"], Former(size=10))


def test_content_of_a_file_never_seen() -> None:
    """All content of a path that could not be looked at before is new."""
    assert "data" in changes.of_content(Known(None, None, None), OLD, b"a")[0]


def test_attributes_of_chmod_and_chown() -> None:
    """Mode and owner come with their old values; a read in between is no explanation."""
    new = OLD._replace(mode=stat.S_IFREG | 0o600, uid=0, atime_ns=999)

    assert changes.of_attributes(OLD, new, times=True) == (["mode", "uid"], Former(mode=0o644, uid=1000))


def test_attributes_of_touch() -> None:
    """touch changes both times."""
    new = OLD._replace(mtime_ns=101, atime_ns=201)

    assert changes.of_attributes(OLD, new, times=True) == (
        ["mtime", "atime"],
        Former(mtime_ns=100, atime_ns=200),
    )


def test_attributes_of_chattr_and_setfattr() -> None:
    """Flags, ACL and streams come with their old values, empty where there was none."""
    old, new = OLD.having(NOTHING), OLD._replace(flags=0x10).having(Extended("user::rw-", (STREAM,)))

    assert changes.of_attributes(old, new, times=True) == (
        ["flags", "acl", "streams"],
        Former(flags=[], acl="", streams=[]),
    )
    assert changes.of_attributes(new, old, times=True)[1] == Former(
        flags=["immutable"], acl="user::rw-", streams=[STREAM]
    )


def test_attributes_that_one_of_two_looks_does_not_know() -> None:
    """What was not known, or cannot be read, is no change."""
    full = OLD._replace(flags=0x10).having(Extended("user::rw-", (STREAM,)))

    assert changes.of_attributes(OLD._replace(flags=None), full, times=True) == ([], Former())
    assert changes.of_attributes(full, OLD._replace(flags=None), times=True) == ([], Former())


def test_filetype_by_name() -> None:
    """The MIME type comes from the name, and of anything but a file from what it is."""
    assert filetype(b"a.json", stat.S_IFREG) == "application/json"
    assert filetype(b"a.tar.gz", stat.S_IFREG) == "application/gzip"
    assert filetype(b"Makefile", stat.S_IFREG) is None
    assert filetype(b".json", stat.S_IFREG) is None
    assert filetype(b"a.json", stat.S_IFDIR) == "inode/directory"
    assert filetype(b"\xff.\xfe", stat.S_IFREG) is None
