"""What fanotify(7) delivers, made up for tests, and a mark for those that ask the real one."""

from __future__ import annotations

import struct
import tempfile

import pytest

from agent.fan_records import RENAME
from agent.fanotify import refusal

FILE_SYSTEM = b"filesys!"

_refused = refusal(tempfile.gettempdir().encode())
needs_fanotify = pytest.mark.skipif(_refused is not None, reason=_refused or "")


def directory(number: int) -> bytes:
    """Return how events name a directory."""
    return FILE_SYSTEM + struct.pack("=Iiq", 8, 1, number)


def event(mask: int, pid: int, parent: bytes, name: bytes, *to: bytes) -> bytes:
    """Return the bytes of one event; `to`: the new directory and name of a rename."""
    if not mask & RENAME:
        return _event(mask, pid, _info(2, parent, name))
    return _event(mask, pid, _info(12, *to) + _info(10, parent, name))


def overflow() -> bytes:
    """Return the event that says that others were lost."""
    return _event(0x4000, 0, b"")


def _event(mask: int, pid: int, infos: bytes) -> bytes:
    return struct.pack("=IBBHQii", 24 + len(infos), 3, 0, 24, mask, -1, pid) + infos


def _info(kind: int, parent: bytes, name: bytes) -> bytes:
    padded = name + bytes(4 - len(name) % 4)
    return struct.pack("=BBH", kind, 0, 4 + len(parent) + len(padded)) + parent + padded
