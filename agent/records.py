"""What inotify(7) delivers: its masks and its records, parsed from the bytes of one read; pure."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

ACCESS = 0x1
MODIFY = 0x2
ATTRIB = 0x4
CLOSE_WRITE = 0x8
CLOSE_NOWRITE = 0x10
OPEN = 0x20
MOVED_FROM = 0x40
MOVED_TO = 0x80
CREATE = 0x100
DELETE = 0x200
DELETE_SELF = 0x400
MOVE_SELF = 0x800
UNMOUNT = 0x2000
Q_OVERFLOW = 0x4000
IGNORED = 0x8000
ONLYDIR = 0x0100_0000
DONT_FOLLOW = 0x0200_0000
EXCL_UNLINK = 0x0400_0000
MASK_CREATE = 0x1000_0000
ISDIR = 0x4000_0000

CHANGES = MODIFY | ATTRIB | CLOSE_WRITE | MOVED_FROM | MOVED_TO | CREATE | DELETE | DELETE_SELF | MOVE_SELF
"""Everything that changes a tree; opens and reads come on top where asked for."""
ACCESSES = ACCESS | OPEN | CLOSE_NOWRITE
"""What changes nothing."""
APPEARS = CREATE | MOVED_TO
"""A name that these are the first record of did not exist before."""
STRUCTURE = APPEARS | DELETE | MOVED_FROM
"""After one of these another file may have the name."""
WRITING = MODIFY | CLOSE_WRITE
"""Where one of these is a name's first record, a CLOSE_WRITE is still to come."""
_HEAD = struct.Struct("iIII")


class Record(NamedTuple):
    """One `struct inotify_event`; `position`: its place in all that this instance delivered, in bytes."""

    wd: int
    mask: int
    cookie: int
    name: bytes
    time_ns: int
    position: int


class Chunk(NamedTuple):
    """What one read gave, when, and at which position; all of it happened after `since_ns`."""

    data: bytes
    time_ns: int
    position: int
    since_ns: int = 0


def parse(chunk: Chunk) -> Iterator[Record]:
    """Yield the records of a chunk; a write and the close right after it are one, with both masks."""
    data, time_ns, start, _ = chunk
    head = _HEAD.unpack_from
    offset = 0
    end = len(data)
    while offset < end:
        wd, mask, cookie, length = head(data, offset)
        padded = data[offset + 16 : offset + 16 + length]
        after = offset + 16 + length
        if mask == MODIFY and data.startswith(_HEAD.pack(wd, CLOSE_WRITE, 0, length) + padded, after):
            mask, offset = WRITING, after
        yield Record(wd, mask, cookie, padded.rstrip(b"\0"), time_ns, start + offset)
        offset += 16 + length
