"""What is done about a journal that is damaged: it is found out, and kept aside.

Of those kept aside the newest two stay: they must not fill the disk.
"""

from __future__ import annotations

import sqlite3
import time
import zlib
from pathlib import Path

from agent.bounds import DATABASE

_ASIDE = ".damaged-"
_KEPT = 2


class JournalCorrupt(Exception):
    """The file is no journal, or is damaged; the message says where it shows."""


def is_damage(error: BaseException) -> bool:
    """Tell whether an error means that the journal cannot be trusted any more."""
    code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF  # sqlite.org/rescode.html: primary code
    return isinstance(error, JournalCorrupt) or code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def checksum(first_seq: int, events: bytes) -> int:
    """Return what tells that a row of the outbox is as it was written."""
    return zlib.crc32(events, first_seq & 0xFFFFFFFF)


def was_set_aside(path: Path) -> bool:
    """Tell whether a journal that was at `path` has been kept aside."""
    return any(path.parent.glob(f"{path.name}{_ASIDE}*"))


def set_aside(path: Path) -> Path:
    """Rename a journal with the files beside it, those of them that are there; returns its new name."""
    for suffix in DATABASE:
        older = sorted(path.parent.glob(f"{path.name}{_ASIDE}*[0-9]{suffix}"))
        for file in older[: 1 - _KEPT]:
            file.unlink()
    aside = path.with_name(f"{path.name}{_ASIDE}{time.time_ns()}")
    for suffix in DATABASE:
        file = path.with_name(path.name + suffix)
        if file.exists():
            file.rename(aside.with_name(aside.name + suffix))
    return aside
