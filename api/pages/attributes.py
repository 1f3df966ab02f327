"""What an event changed of a file's attributes: before and after, side by side. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from agent.event import Former, Stream
from api.pages import shown
from api.pages.event_row import EventRow


class Difference(NamedTuple):
    """One attribute; a side that was not told is None."""

    attribute: str
    before: Any
    after: Any


def differences(row: EventRow) -> list[Difference]:
    """Return what the event says that it changed, in the order of its own list, content first."""
    former = row.previous or Former()
    found = []
    if row.previous_sha256 and row.sha256 != row.previous_sha256 and row.event != "deleted":
        found.append(Difference("content", shown.digest(row.previous_sha256), shown.digest(row.sha256)))
    return found + [_SIDES[name](row, former) for name in row.changed if name in _SIDES]


def _time(nanoseconds: int | None) -> Any:
    return None if nanoseconds is None else shown.exactly(nanoseconds // 1000)


def _mode(bits: int | None, row: EventRow) -> str | None:
    return None if bits is None else f"{shown.mode(bits, row.is_dir)} ({bits:04o})"


def _streams(streams: list[Stream] | None) -> str | None:
    return (
        None if streams is None else ", ".join(f"{each.name} ({each.size} B)" for each in streams) or "none"
    )


def _bytes(size: int | None) -> Any:
    return None if size is None else shown.size(size)


_SIDES: dict[str, Callable[[EventRow, Former], Difference]] = {
    "size": lambda row, former: Difference("size", _bytes(former.size), _bytes(row.filesize)),
    "mtime": lambda row, former: Difference("modified", _time(former.mtime_ns), _time(row.mtime_ns)),
    "atime": lambda _, former: Difference("accessed", _time(former.atime_ns), None),
    "btime": lambda row, former: Difference("made", _time(former.birth_ns), _time(row.birth_ns)),
    "mode": lambda row, former: Difference("mode", _mode(former.mode, row), _mode(row.mode, row)),
    "uid": lambda row, former: Difference("owner", former.uid, row.owner_uid),
    "gid": lambda row, former: Difference("group", former.gid, row.owner_gid),
    "acl": lambda row, former: Difference("access list", former.acl, row.acl or "none"),
    "flags": lambda row, former: Difference(
        "flags",
        None if former.flags is None else ", ".join(former.flags) or "none",
        ", ".join(row.flags) or "none",
    ),
    "streams": lambda row, former: Difference(
        "user attributes", _streams(former.streams), _streams(row.streams)
    ),
}
