"""How much of the disk a journal may take, and the reserve from which a loss can still be announced.

Three quarters of the limit are for the pages of the database, less the reserve; the rest is for its log, that
is taken over into the database long before it is that long.
"""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import NamedTuple

PAGE_BYTES = 4096
RESERVE_BYTES = 256 * 1024
RESERVE = ".reserve"
LOG = "-wal"
DATABASE = ("", LOG, "-shm")
"""SQLite's files: the database, its log, the log's index."""
FILES = (*DATABASE, RESERVE)
"""Suffixes of all that a journal consists of."""
_LEAST_FREE_BYTES = 16 * 1024**2
_LEAST_FREE_SHARE = 16
_GAP_PAGES = 32
"""Enough for a `gap`, for the rows that change with it, and for deleting what was acknowledged."""
_LONGEST_LOG_PAGES = 1000
"""SQLite's own default: a longer log makes nothing faster."""
_SHORTEST_LOG_PAGES = 16


class Bounds(NamedTuple):
    """Sizes in pages of the database; `log_bytes` of its log."""

    most: int
    """SQLite refuses to make the database larger."""
    usable: int
    """Past this nothing but a gap is written."""
    roomy: int
    """Reporting that has stopped goes on from here down: half, so that it does not stop again at once."""
    log_pages: int
    log_bytes: int


def of(max_bytes: int, free_bytes: int) -> Bounds:
    """Return the bounds that together keep a journal below `max_bytes`, on a disk with so much space."""
    log_bytes = max_bytes // 4
    log_pages = min(_LONGEST_LOG_PAGES, min(log_bytes // 4, free_bytes // 64) // PAGE_BYTES)
    most = (max_bytes - log_bytes - RESERVE_BYTES) // PAGE_BYTES
    usable = most - _GAP_PAGES
    return Bounds(most, usable, usable // 2, max(_SHORTEST_LOG_PAGES, log_pages), log_bytes)


def disk_has_room(path: Path, free_pages: int, *, times: int = 1) -> bool:
    """Tell whether the disk, or the journal at `path` in its free pages, has more than is to be left free.

    That is 16 MiB, a sixteenth of a small disk; and what taking its log over needs. So whatever waits can
    always be opened and published, and no one else is left without space.
    """
    disk = shutil.disk_usage(path.parent)
    log_bytes = path.with_name(path.name + LOG).stat().st_size
    least = times * min(_LEAST_FREE_BYTES, disk.total // _LEAST_FREE_SHARE)
    return disk.free + free_pages * PAGE_BYTES > least + log_bytes


class Reserve:
    """A file of zeros beside the journal: its space is the journal's, even when the disk is full."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def hold(self) -> bool:
        """Take the space; False: there is not as much."""
        with contextlib.suppress(OSError):
            if self._path.exists() and self._path.stat().st_size == RESERVE_BYTES:
                return True
            self._path.write_bytes(bytes(RESERVE_BYTES))
            return True
        self.release()
        return False

    def release(self) -> None:
        """Give the space up."""
        with contextlib.suppress(OSError):
            self._path.unlink()
