"""The agent's memory of one root: baseline and outbox in one SQLite file, changed in one transaction.

Events go in with `append` and become durable, together with the baseline rows that they changed, at
`commit`. They leave by `forget`, after the broker has acknowledged them. One thread writes; `agent.outbox`
reads beside it.

Durable means: whatever kills the process. A power cut may take the last commits with it (`synchronous` is
NORMAL), numbers that were published among them; each opening is a new epoch, so none is ever given twice.
"""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from agent import baseline, bounds, database, identity
from agent.baseline import Baseline
from agent.bounds import PAGE_BYTES, RESERVE, Reserve
from agent.damage import JournalCorrupt, checksum, is_damage, set_aside, was_set_aside
from agent.devices import Devices
from agent.event import MAX_BATCH_BYTES, Event, Gap, GapReason, encode

MAX_ROW_EVENTS = 500
"""Events in one outbox row, and in one batch: what the processors' chunks are made for."""
MAX_ROW_BYTES = 256 * 1024
MAX_EVENT_BYTES = MAX_BATCH_BYTES - 16 * 1024
"""The batch around a single event needs far less than the difference."""

_SCHEMA = (
    baseline.SCHEMA,
    baseline.LIVES_SCHEMA,
    """CREATE TABLE IF NOT EXISTS outbox (
        id INTEGER PRIMARY KEY AUTOINCREMENT, epoch TEXT NOT NULL, first_seq INTEGER NOT NULL,
        count INTEGER NOT NULL, checksum INTEGER NOT NULL, events BLOB NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS epoch (
        epoch TEXT PRIMARY KEY, agent TEXT NOT NULL, opened INTEGER NOT NULL, last_seq INTEGER NOT NULL,
        previous TEXT, previous_last_seq INTEGER)""",
    "CREATE TABLE IF NOT EXISTS meta (id INTEGER PRIMARY KEY CHECK (id = 1), value BLOB NOT NULL)",
)


class JournalRefused(Exception):
    """The journal cannot be opened; the message names it and says why."""


class JournalFull(Exception):
    """Baseline and outbox have come to the journal's limit: what was not committed is to be rolled back."""


@dataclass(frozen=True)
class Made:
    """What a journal is made for; one that was made for another machine or root becomes a new agent."""

    machine: str
    device: int
    inode: int
    birth_ns: int = 0
    filesystem: str = ""
    """What names the root's file system, if anything does: see `agent.devices`."""


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
    partial_gaps: list[Gap] = []
    """Gaps over single directories that are still open; the next session closes those that are left."""
    include: tuple[str, ...] = ()
    """The patterns under which the whole tree was last scanned."""
    exclude: tuple[str, ...] = ()
    ignore_files: bool = False
    devices: dict[str, int] = {}
    """The numbers of file systems, by name; `device` above and in the baseline is such a number."""
    owed: GapReason | None = None
    """Of a gap over the whole tree that is still to be announced, because of what opening it has shown."""


def _nobody() -> None:
    """Stand for a publisher before there is one."""


class Journal:
    """An open journal: a new epoch begins when it is opened. Use as a context manager.

    `max_bytes`: what it may take of the disk.
    Raises JournalCorrupt, and sqlite3.Error where it cannot be opened.
    """

    def __init__(self, path: Path, made: Made, max_bytes: int = 1024**3) -> None:
        self._path = path
        self._made = made
        self._reserve = Reserve(path.with_name(path.name + RESERVE))
        self._last_row = 0
        self.last_seq = 0
        """Number of the last event that is in a row of the outbox."""
        self._durable_seq = 0
        self.damaged = False
        """It was found to be damaged, and could not be replaced yet."""
        self.certain_ns: int | None = None
        """All that happened before has been put into the journal; None: before this moment."""
        self.committed: Callable[[], None] = _nobody
        """Called after each commit that has put events into the outbox."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._bounds = bounds.of(max_bytes, shutil.disk_usage(path.parent).free)
        self._open()

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
        self._uncommitted_bytes += len(encoded)

    @property
    def is_large(self) -> bool:
        """Tell whether what is not committed yet fills a batch."""
        events = self.last_seq + len(self._events) - self._durable_seq
        return events >= MAX_ROW_EVENTS or self._uncommitted_bytes >= MAX_ROW_BYTES

    @property
    def is_changed(self) -> bool:
        """Tell whether there is anything to commit."""
        return self._database.in_transaction

    def commit(self) -> int:
        """Make baseline and events outlive this process; returns the number of events. Raises JournalFull."""
        if not self._database.in_transaction:
            return 0
        self.baseline.flush()
        self._write_row()
        count = self.last_seq - self._durable_seq
        if count and not self._reserve_is_open:
            self._check_room()
        if not self.meta.open_gaps:
            self.meta.durable_ns = self.certain_ns or time.time_ns()
        self.save_meta()
        self._database.execute("COMMIT")
        self._durable_seq, self._uncommitted_bytes = self.last_seq, 0
        if count:
            self.committed()
        return count

    def commit_if_large(self) -> None:
        """Commit within a long report, between one event with its change of the baseline and the next."""
        if self.is_large:
            self.commit()

    def rollback(self) -> None:
        """Go back to the last commit: numbers and baseline as well."""
        self._events.clear()
        self._bytes = self._uncommitted_bytes = 0
        if self._database.in_transaction:
            self._database.execute("ROLLBACK")
        self.baseline.forget_unwritten()
        self._read_meta()
        self.last_seq = self._durable_seq

    def open_reserve(self) -> None:
        """Let commits go past the limit, and give them the disk's space that was kept for this."""
        self._reserve_is_open = True
        self._reserve.release()
        database.shorten_log(self._database)

    def has_room(self) -> bool:
        """Tell whether reporting may go on, on the disk too; if so, the reserve is closed."""
        waiting = self._database.execute("SELECT EXISTS (SELECT 1 FROM outbox)").fetchone()[0]
        if waiting and database.used_pages(self._database) > self._bounds.roomy:
            return False
        if not bounds.disk_has_room(self._path, 0, times=2):
            database.compact(self._database)
        if not self._disk_has_room(times=2) or not self._reserve.hold():
            return False
        self._reserve_is_open = False
        return True

    def replace(self) -> Path:
        """Keep the damaged file aside and begin a new journal in its place; returns the file's new name.

        Rows of the outbox are numbered on from those before: an acknowledgement that is still to come is
        never taken for one of a new row.
        """
        self.damaged = True
        self._database.close()
        aside = set_aside(self._path)
        self._open()
        self.damaged = False
        return aside

    def first_gap(self) -> GapReason | None:
        """Return what a first session has to announce: None if this journal has never been used."""
        return self.meta.owed

    def note(self) -> None:
        """Have the next commit write `meta`, if it writes nothing else either."""
        self._begin()

    def save_meta(self) -> None:
        """Write `meta` within the transaction."""
        self.meta.next_key, self.meta.devices = self.baseline.next_key, self.devices.numbers
        self._database.execute("INSERT OR REPLACE INTO meta VALUES (1, ?)", (msgspec.json.encode(self.meta),))

    def forgotten(self) -> int:
        """Return the number of a row up to which none is left."""
        row = self._database.execute("SELECT min(id) - 1 FROM outbox").fetchone()
        return self._last_row if row[0] is None else int(row[0])

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

    def _open(self) -> None:
        self._events: list[bytes] = []
        self._bytes = self._uncommitted_bytes = 0
        self.last_seq = self._durable_seq = 0
        self._reserve_is_open = False
        held = self._reserve.hold()
        try:
            self._begin_epoch()
        except sqlite3.OperationalError:
            if not held:
                raise
            self._reserve.release()  # the disk is full
            self._begin_epoch()

    def _begin_epoch(self) -> None:
        self._database = database.connect(self._path, _SCHEMA, self._bounds)
        try:
            self.copied = self._identify()
        except (sqlite3.Error, msgspec.DecodeError) as error:
            self._database.close()
            if is_damage(error) or isinstance(error, msgspec.DecodeError):
                raise JournalCorrupt(str(error)) from error
            raise

    def _check_room(self) -> None:
        if database.used_pages(self._database) > self._bounds.usable:
            raise JournalFull(
                f"{self._path}: {database.used_pages(self._database) * PAGE_BYTES} bytes are in use"
            )
        if not self._disk_has_room():
            raise JournalFull(f"{self._path}: its disk is almost full")

    def _disk_has_room(self, *, times: int = 1) -> bool:
        return bounds.disk_has_room(self._path, database.free_pages(self._database), times=times)

    def _identify(self) -> bool:
        """Read or make `meta` and open an epoch; True if the journal was made for something else."""
        self._database.execute("BEGIN IMMEDIATE")
        row = self._database.execute("SELECT value FROM meta").fetchone()
        made = self._made
        found = None if row is None else msgspec.json.decode(row[0], type=Meta)
        self.devices = Devices(found.devices if found else {})
        copied = found is not None and not self._is_mine(found)
        if found is None or copied:
            self.devices = Devices({})
            device = self.devices.meet(made.device, made.filesystem)
            self.meta = Meta(identity.new_agent_id(), made.machine, device, made.inode)
            self.meta.durable_ns = found.durable_ns if found else 0
            self.meta.owed = "identity" if copied or was_set_aside(self._path) else None
            self._database.execute("DELETE FROM baseline")
        else:
            self.meta = found
            self.meta.owed = found.owed or ("agent_down" if found.durable_ns else None)
        self.baseline = Baseline(self._database, self.meta.next_key)
        self._number_rows()
        self._open_epoch(follows=found is not None and not copied)
        self.save_meta()
        self._database.execute("COMMIT")
        return copied

    def _is_mine(self, found: Meta) -> bool:
        """Tell whether the root is what the journal was made for, whatever its device's number is now."""
        made, devices = self._made, self.devices
        if (found.machine, found.inode) != (made.machine, made.inode):
            return False
        root = Baseline(self._database, 0).get(baseline.ROOT_KEY, b"")
        if made.birth_ns and root and root.state and root.state.birth_ns == made.birth_ns:
            devices.take(made.device, made.filesystem, found.device)
            return True
        return found.device in (made.device, devices.meet(made.device, made.filesystem))

    def _number_rows(self) -> None:
        row = self._database.execute("SELECT seq FROM sqlite_sequence WHERE name = 'outbox'").fetchone()
        if row is None:
            self._database.execute("INSERT INTO sqlite_sequence VALUES ('outbox', ?)", (self._last_row,))
        else:
            self._last_row = row[0]

    def _open_epoch(self, *, follows: bool) -> None:
        """Begin to number from 1; the epoch before is the last one that had events."""
        before = self._database.execute(
            "SELECT iif(last_seq, epoch, previous), iif(last_seq, last_seq, previous_last_seq) FROM epoch"
            " ORDER BY opened DESC LIMIT 1"
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
        first_seq, events = self.last_seq + 1, b",".join(self._events)
        written = self._database.execute(
            "INSERT INTO outbox (epoch, first_seq, count, checksum, events) VALUES (?, ?, ?, ?, ?)",
            (self.epoch, first_seq, count, checksum(first_seq, events), events),
        )
        self._last_row = written.lastrowid or self._last_row
        self.last_seq += count
        self._database.execute("UPDATE epoch SET last_seq = ? WHERE epoch = ?", (self.last_seq, self.epoch))
        self._events.clear()
        self._bytes = 0


def open_journal(path: Path, made: Made, max_bytes: int) -> tuple[Journal, Path | None]:
    """Open the journal at `path`; a damaged one is kept aside and replaced: its new name is returned too.

    Raises JournalRefused.
    """
    try:
        try:
            return Journal(path, made, max_bytes), None
        except JournalCorrupt:
            aside = set_aside(path)
            return Journal(path, made, max_bytes), aside
    except (sqlite3.Error, OSError) as error:
        raise JournalRefused(f"{path}: {error}") from error
