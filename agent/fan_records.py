"""What fanotify(7) delivers with FAN_REPORT_DFID_NAME: its masks and its events, parsed from one read; pure.

The bits of what happened are those of inotify (`agent.records`). A directory is named by the bytes that
identify it: the file system's id and the handle of name_to_handle_at(2).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from agent import records

RENAME = 0x1000_0000
"""Both ends of a rename in one event, since Linux 5.17."""
OPEN_EXEC = 0x1000
"""A file is opened to be executed; since Linux 5.0."""
ONDIR = records.ISDIR
CHANGES = (
    records.MODIFY | records.ATTRIB | records.CLOSE_WRITE | records.CREATE | records.DELETE | RENAME | ONDIR
)
"""Everything that changes a tree; opens and reads come on top where asked for."""
SELF = b"."
"""The name of what happened to a directory itself, which no name in its parent tells."""

_HEAD = struct.Struct("=IxxHQii").unpack_from
"""`struct fanotify_event_metadata`: length, its own length, mask, descriptor (none), process."""
_NAMED = struct.Struct("=BxH8xI").unpack_from
"""`struct fanotify_event_info_fid`: kind, length, and within its handle the length of that."""
_BEFORE_HANDLE_BYTES = 20
_AFTER_HEAD_BYTES = 4
_DFID_NAME, _OLD_DFID_NAME, _NEW_DFID_NAME = 2, 10, 12
_WITH_NAME = frozenset((_DFID_NAME, _OLD_DFID_NAME, _NEW_DFID_NAME))


class Told(NamedTuple):
    """One event; `to_…` of a rename: the new end. An overflow has a mask and nothing else."""

    mask: int
    pid: int
    """Process id of who did it; 0 if it is not in the agent's namespace."""
    directory: bytes = b""
    name: bytes = b""
    to_directory: bytes = b""
    to_name: bytes = b""


def parse(data: bytes) -> Iterator[Told]:
    """Yield the events of one read."""
    start, end = 0, len(data)
    while start < end:
        length, head_bytes, mask, _, pid = _HEAD(data, start)
        at, start = start + head_bytes, start + length
        if at == start:
            yield Told(mask, pid)
        elif mask & RENAME:
            yield Told(mask, pid, *_ends(data, at, start))
        else:
            size, split = _lengths(data, at)
            yield Told(mask, pid, data[at + _AFTER_HEAD_BYTES : split], data[split : at + size].rstrip(b"\0"))


def _lengths(data: bytes, at: int) -> tuple[int, int]:
    _, size, handle_bytes = _NAMED(data, at)
    return size, at + _BEFORE_HANDLE_BYTES + handle_bytes


def _ends(data: bytes, at: int, end: int) -> tuple[bytes, bytes, bytes, bytes]:
    """Return directory and name of both ends of a rename; the kernel gives them in either order."""
    ends = {}
    while at < end:
        kind, size, handle_bytes = _NAMED(data, at)
        if kind in _WITH_NAME:
            split = at + _BEFORE_HANDLE_BYTES + handle_bytes
            ends[kind] = data[at + _AFTER_HEAD_BYTES : split], data[split : at + size].rstrip(b"\0")
        at += size
    old, new = ends.get(_OLD_DFID_NAME, (b"", b"")), ends.get(_NEW_DFID_NAME, (b"", b""))
    return *old, *new
