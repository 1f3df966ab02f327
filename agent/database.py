"""The SQLite file under a journal: made whole before it has its name, checked and bounded when it is opened.

Raises JournalCorrupt for one that is damaged, and sqlite3.Error for a disk that does not let it be opened.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from agent.bounds import DATABASE, LOG, PAGE_BYTES, Bounds
from agent.damage import JournalCorrupt, is_damage

_SMALL_PAGES = 64 * 1024**2 // PAGE_BYTES
"""A database below this is not worth compacting."""


def connect(path: Path, schema: Sequence[str], bounds: Bounds) -> sqlite3.Connection:
    """Open the database at `path`; one that is not there is made, unless parts of it are."""
    if not path.exists():
        _make(path, schema)
    elif not path.stat().st_size:
        raise JournalCorrupt(f"{path} is empty")
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        _prepare(database, schema, bounds)
    except (sqlite3.Error, JournalCorrupt) as error:
        database.close()
        if is_damage(error):
            raise JournalCorrupt(str(error)) from error
        raise
    return database


def used_pages(database: sqlite3.Connection) -> int:
    """Return the number of pages that hold something."""
    return _pages(database, "page_count") - free_pages(database)


def free_pages(database: sqlite3.Connection) -> int:
    """Return the number of pages that can be used again."""
    return _pages(database, "freelist_count")


def shorten_log(database: sqlite3.Connection) -> None:
    """Take the log over into the database; on a full disk it stays as long as it is."""
    with contextlib.suppress(sqlite3.OperationalError):
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def compact(database: sqlite3.Connection, *, smallest_pages: int = 0) -> None:
    """Give back what an outage has left, if that is most: little is copied, and the log has room for it."""
    if smallest_pages < _pages(database, "page_count") > 4 * used_pages(database):
        with contextlib.suppress(sqlite3.OperationalError):
            database.execute("VACUUM")
        shorten_log(database)


def _make(path: Path, schema: Sequence[str]) -> None:
    """Make a database under another name: whatever kills this process, an empty one is a damaged one."""
    if path.with_name(path.name + LOG).exists():
        raise JournalCorrupt(f"{path} is gone, its log is there")
    new = path.with_name(f"{path.name}.new")
    for suffix in (*DATABASE, "-journal"):
        new.with_name(new.name + suffix).unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(new, isolation_level=None)) as database:
        for statement in schema:
            database.execute(statement)
    new.rename(path)


def _prepare(database: sqlite3.Connection, schema: Sequence[str], bounds: Bounds) -> None:
    """Set it up and check the whole of it, which takes less than a second for 1 GiB."""
    for setting in (
        "busy_timeout = 10000",
        "cell_size_check = ON",
        "journal_mode = WAL",
        "synchronous = NORMAL",
        "secure_delete = OFF",  # Debian's default writes zeros over what is dropped
        f"max_page_count = {bounds.most}",
        f"wal_autocheckpoint = {bounds.log_pages}",
        f"journal_size_limit = {bounds.log_bytes}",
    ):
        database.execute(f"PRAGMA {setting}")
    (verdict,) = database.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise JournalCorrupt(verdict)
    for statement in schema:
        database.execute(statement)
    shorten_log(database)
    compact(database, smallest_pages=_SMALL_PAGES)


def _pages(database: sqlite3.Connection, which: str) -> int:
    return int(database.execute(f"PRAGMA {which}").fetchone()[0])
