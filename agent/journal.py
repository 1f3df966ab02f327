"""The agent's memory of one root: baseline and outbox in one SQLite file, changed in one transaction.

Events go in with `append` and become durable, together with the baseline rows that they changed, at
`commit`. They leave by `forget`, after the broker has acknowledged them. One thread writes; `agent.outbox`
reads beside it.
"""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec

from agent import baseline, identity
from agent.baseline import Baseline
from agent.event import MAX_BATCH_BYTES, Event, Gap, encode

MAX_ROW_EVENTS = 500
"""Events in one outbox row, and in one batch: what the processors' chunks are made for."""
MAX_ROW_BYTES = 256 * 1024
MAX_EVENT_BYTES = MAX_BATCH_BYTES - 16 * 1024
"""The batch around a single event needs far less than the difference."""

_SCHEMA = (
    baseline.SCHEMA,
    """CREATE TABLE IF NOT EXISTS outbox (
        id INTEGER PRIMARY KEY AUTOINCREMENT, epoch TEXT NOT NULL, first_seq INTEGER NOT NULL,
        count INTEGER NOT NULL, events BLOB NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS epoch (
        epoch TEXT PRIMARY KEY, agent TEXT NOT NULL, opened INTEGER NOT NULL, last_seq INTEGER NOT NULL,
        previous TEXT, previous_last_seq INTEGER)""",
    "CREATE TABLE IF NOT EXISTS meta (id INTEGER PRIMARY KEY CHECK (id = 1), value BLOB NOT NULL)",
)


class JournalCorrupt(Exception):
    """The file is no journal, or SQLite found it damaged."""


@dataclass(frozen=True)
class Made:
    """What a journal is made for; one that was made for another machine or root becomes a new agent."""

    machine: str
    device: int
    inode: int


class Meta(msgspec.Struct):
    """The journal's single record beside its tables."""

    agent: str
    machine: str
    device: int
    inode: int
    next_key: int = baseline.ROOT_KEY + 1
    durable_ns: int = 0
    """When it was last certain that nothing was missing."""
    complete: bool = False
    """The very first scan has been through the whole tree."""
    open_gaps: list[Gap] = []
    """Gaps over the whole tree that no completed scan has closed yet."""


class Journal:
    """An open journal: a new epoch begins when it is opened. Use as a context manager."""

    def __init__(self, path: Path, made: Made) -> None:
        self._path = path
        self.last_seq = 0
        """Number of the last event that is in a row of the outbox."""
        self._durable_seq = 0
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA busy_timeout = 10000")
        try:
            self._prepare()
            self.copied = self._identify(made)
        except sqlite3.DatabaseError as error:
            self._database.close()
            if isinstance(error, sqlite3.OperationalError):
                raise
            raise JournalCorrupt(str(error)) from error
        self._events: list[bytes] = []
        self._bytes = 0
        self._changed = False

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def append(self, event: Event) -> None:
        """Put an event behind all others; opens the transaction if none is open."""
        self._begin()
        encoded = encode(event)
        if len(encoded) > MAX_EVENT_BYTES:
            encoded = encode(
                msgspec.structs.replace(event, spine=None, streams=None, acl=None, previous=None)
            )
        if self._bytes + len(encoded) > MAX_ROW_BYTES or len(self._events) >= MAX_ROW_EVENTS:
            self._write_row()
        self._events.append(encoded)
        self._bytes += len(encoded) + 1

    @property
    def uncommitted(self) -> int:
        """Return the number of the last event, less that of the last durable one."""
        return self.last_seq + len(self._events) - self._durable_seq

    def commit(self) -> int:
        """Make baseline and events outlive this process; returns the number of events."""
        if not self._database.in_transaction:
            return 0
        self._write_row()
        self.meta.durable_ns = time.time_ns()
        self.save_meta()
        self._database.execute("COMMIT")
        count, self._durable_seq = self.last_seq - self._durable_seq, self.last_seq
        return count

    def rollback(self) -> None:
        """Go back to the last commit: numbers and baseline as well."""
        self._events.clear()
        self._bytes = 0
        if self._database.in_transaction:
            self._database.execute("ROLLBACK")
        self._read_meta()
        self.last_seq = self._durable_seq

    def save_meta(self) -> None:
        """Write `meta` within the transaction."""
        self.meta.next_key = self.baseline.next_key
        self._database.execute("INSERT OR REPLACE INTO meta VALUES (1, ?)", (msgspec.json.encode(self.meta),))

    def forget(self, row: int) -> None:
        """Drop outbox rows up to `row`, which the broker has acknowledged, and epochs without rows."""
        self._begin()
        self._database.execute("DELETE FROM outbox WHERE id <= ?", (row,))
        self._database.execute(
            "DELETE FROM epoch WHERE epoch != ? AND epoch NOT IN (SELECT epoch FROM outbox)", (self.epoch,)
        )

    def adopt_root(self, device: int, inode: int) -> None:
        """Note that the root was replaced while it was watched: it is still this journal's."""
        self.meta.device, self.meta.inode = device, inode

    @property
    def path(self) -> Path:
        """Return where the journal is."""
        return self._path

    def _begin(self) -> None:
        if not self._database.in_transaction:
            self._database.execute("BEGIN IMMEDIATE")

    def _prepare(self) -> None:
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = NORMAL")
        for statement in _SCHEMA:
            self._database.execute(statement)

    def _identify(self, made: Made) -> bool:
        """Read or make `meta` and open an epoch; True if the journal was made for something else."""
        self._database.execute("BEGIN IMMEDIATE")
        row = self._database.execute("SELECT value FROM meta").fetchone()
        found = None if row is None else msgspec.json.decode(row[0], type=Meta)
        copied = found is not None and (found.machine, found.device, found.inode) != (
            made.machine,
            made.device,
            made.inode,
        )
        fresh = found is None or copied
        self.meta = (
            Meta(identity.new_agent_id(), made.machine, made.device, made.inode)
            if found is None or copied
            else found
        )
        self.baseline = Baseline(self._database, self.meta.next_key)
        if fresh:
            self.meta.durable_ns = found.durable_ns if found else 0
            self._database.execute("DELETE FROM baseline")
        self._open_epoch(follows=not fresh)
        self.save_meta()
        self._database.execute("COMMIT")
        return copied

    def _open_epoch(self, *, follows: bool) -> None:
        before = self._database.execute(
            "SELECT epoch, last_seq FROM epoch ORDER BY opened DESC LIMIT 1"
        ).fetchone()
        self.epoch = identity.new_epoch()
        self._database.execute(
            "INSERT INTO epoch SELECT ?, ?, coalesce(max(opened), 0) + 1, 0, ?, ? FROM epoch",
            (self.epoch, self.meta.agent, *(before if follows and before else (None, None))),
        )

    def _read_meta(self) -> None:
        row = self._database.execute("SELECT value FROM meta").fetchone()
        self.meta = msgspec.json.decode(row[0], type=Meta)
        self.baseline.next_key = self.meta.next_key

    def _write_row(self) -> None:
        if not self._events:
            return
        count = len(self._events)
        self._database.execute(
            "INSERT INTO outbox (epoch, first_seq, count, events) VALUES (?, ?, ?, ?)",
            (self.epoch, self.last_seq + 1, count, b",".join(self._events)),
        )
        self.last_seq += count
        self._database.execute("UPDATE epoch SET last_seq = ? WHERE epoch = ?", (self.last_seq, self.epoch))
        self._events.clear()
        self._bytes = 0


def open_journal(path: Path, made: Made) -> tuple[Journal, Path | None]:
    """Open the journal at `path`; a damaged one is kept aside and replaced: its new name is returned too."""
    try:
        return Journal(path, made), None
    except (JournalCorrupt, msgspec.DecodeError):
        aside = path.with_name(f"{path.name}.damaged-{time.time_ns()}")
        path.rename(aside)
        for suffix in ("-wal", "-shm"):
            other = path.with_name(path.name + suffix)
            if other.exists():
                other.rename(aside.with_name(aside.name + suffix))
        return Journal(path, made), aside
