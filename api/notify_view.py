"""What a watch of one directory sees of a record of `fswire.notify`, by relative path. Pure."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from api.live_reader import followed
from api.live_record import Record

TYPES = frozenset(
    (
        "child_acl_changed",
        "child_atime_changed",
        "child_btime_changed",
        "child_data_written",
        "child_dir_added",
        "child_dir_moved_from",
        "child_dir_moved_to",
        "child_dir_removed",
        "child_extra_attrs_changed",
        "child_file_added",
        "child_file_moved_from",
        "child_file_moved_to",
        "child_file_removed",
        "child_group_changed",
        "child_mtime_changed",
        "child_owner_changed",
        "child_size_changed",
        "child_stream_added",
        "child_stream_data_written",
        "child_stream_moved_from",
        "child_stream_moved_to",
        "child_stream_removed",
        "child_stream_size_changed",
        "self_removed",
    )
)
_GONE = frozenset(("child_dir_removed", "child_dir_moved_from"))
HERE = "."
"""How a gap names the watched directory itself."""


class Watch(msgspec.Struct, frozen=True):
    """What a stream is about; `types` None: all of them."""

    directory: str
    """Absolute in the virtual tree."""
    recursive: bool
    types: frozenset[str] | None = None


class Gap(msgspec.Struct, frozen=True):
    """Events of `path`, relative to the watched directory, may be missing here."""

    why: str
    path: str = HERE
    id: str | None = None


class Seen(NamedTuple):
    """What of a record concerns a watch."""

    notifications: bytes = b""
    """JSON objects, separated by commas."""
    gap: Gap | None = None
    removed: bool = False
    """The watched directory is gone: nothing follows."""
    directory: str | None = None
    """What the watched directory is called from now on, where that changed."""


class _Notification(msgspec.Struct):
    type: str
    path: str
    spine: msgspec.Raw
    stream_name: str | None = None
    reason: str = ""
    id: str | None = None
    recursive: bool = True


_decode = msgspec.json.Decoder(list[_Notification]).decode
_encode = msgspec.json.Encoder().encode
_DECODED = "notifications"
_NOTHING = Seen()


def seen(record: Record, watch: Watch) -> Seen:
    """Return what a watch sees of a record; made once for all who watch the same."""
    return record.once(watch, lambda: _seen(record, watch))


def _seen(record: Record, watch: Watch) -> Seen:
    notifications = record.once(_DECODED, lambda: _decode(record.value))
    if record.reach.moved is not None:
        directory = followed(watch.directory.encode(), *(end.encode() for end in record.reach.moved))
        if directory is not None:
            return Seen(directory=directory.decode())
    elif notifications and notifications[0].type == "gap":
        return _seen_gap(notifications[0], watch)
    elif notifications and notifications[0].type in _GONE and _within(watch.directory, notifications[0].path):
        return _seen_removal(notifications[0], watch)
    told = [
        _told(each.type, below, each.spine, each.stream_name)
        for each in notifications
        if (below := relative(watch, each.path)) and (watch.types is None or each.type in watch.types)
    ]
    return Seen(b",".join(told)) if told else _NOTHING


def _seen_gap(gap: _Notification, watch: Watch) -> Seen:
    if _within(watch.directory, gap.path):
        covers = gap.recursive or gap.path == watch.directory
        return Seen(gap=Gap(gap.reason, HERE, gap.id)) if covers else _NOTHING
    below = relative(watch, gap.path)
    return Seen(gap=Gap(gap.reason, below, gap.id)) if below else _NOTHING


def _seen_removal(gone: _Notification, watch: Watch) -> Seen:
    if watch.types is not None and "self_removed" not in watch.types:
        return Seen(removed=True)
    spine = gone.spine if gone.path == watch.directory else msgspec.Raw(b"[]")
    return Seen(_told("self_removed", "", spine, None), removed=True)


def relative(watch: Watch, path: str) -> str:
    """Return a path as the watch names it; empty where it is out of its sight, or the directory itself."""
    above = watch.directory if watch.directory == "/" else watch.directory + "/"
    if not path.startswith(above):
        return ""
    below = path[len(above) :]
    return below if watch.recursive or "/" not in below else ""


def _within(path: str, directory: str) -> bool:
    return followed(path.encode(), directory.encode(), b"") is not None


def _told(kind: str, path: str, spine: msgspec.Raw, stream_name: str | None) -> bytes:
    stream = b"null" if stream_name is None else _encode(stream_name)
    return b'{"type":"%b","path":%b,"spine":%b,"stream_name":%b}' % (
        kind.encode(),
        _encode(path),
        bytes(spine),
        stream,
    )
