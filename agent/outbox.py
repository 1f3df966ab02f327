"""Reads the journal's outbox for whoever publishes it: batches in order, with the numbers they were given.

Where another journal has taken the place of a damaged one, it is read from then on. Whatever reads may raise
sqlite3.Error or JournalCorrupt.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, cast

import msgspec

from agent.bounds import FILES
from agent.damage import JournalCorrupt, checksum
from agent.event import MAX_BATCH_BYTES, VERSION, Batch, Event, Previous, Status, encode
from agent.journal import MAX_ROW_EVENTS, Meta

_FIT_BYTES = MAX_BATCH_BYTES - 8 * 1024
"""Room for the batch's own fields."""


class Row(NamedTuple):
    """One row of the outbox: `size` encoded events, joined by commas."""

    id: int
    epoch: str
    first_seq: int
    size: int
    events: bytes


class Parcel(NamedTuple):
    """A batch ready to send, and the outbox row up to which it empties the outbox."""

    value: bytes
    events: int
    row: int
    epoch: str
    last_seq: int


class Outbox:
    """A reading connection to a journal. Use as a context manager, on one thread."""

    def __init__(self, path: Path, project: str, host: str) -> None:
        self._path = path
        self._open()
        self._project = project
        self._host = host

    def __enter__(self) -> Outbox:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def rows(self, after: int) -> list[Row]:
        """Return the rows behind row `after` that fit into one batch: of one epoch, consecutive."""
        chosen: list[Row] = []
        events = length = 0
        self._follow()
        found = self._database.execute(
            "SELECT id, epoch, first_seq, count, events, checksum FROM outbox WHERE id > ?"
            " ORDER BY id LIMIT ?",
            (after, MAX_ROW_EVENTS),
        )
        for *values, expected in found:
            row = Row._make(values)
            if checksum(row.first_seq, row.events) != expected:
                raise JournalCorrupt(f"row {row.id} of the outbox is not as it was written")
            events += row.size
            length += len(row.events) + 1
            if chosen and (events > MAX_ROW_EVENTS or length > _FIT_BYTES or row.epoch != chosen[0].epoch):
                break
            chosen.append(row)
        found.close()
        return chosen

    def next(self, after: int) -> Parcel | None:
        """Return the batch that follows row `after`, None if there is nothing more."""
        rows = self.rows(after)
        if not rows:
            return None
        first, last = rows[0], rows[-1]
        last_seq = last.first_seq + last.size - 1
        value = self._batch(first.epoch, first.first_seq, b",".join(row.events for row in rows))
        return Parcel(value, last_seq - first.first_seq + 1, last.id, first.epoch, last_seq)

    def singles(self, after: int, parcel: Parcel) -> Iterator[bytes]:
        """Yield the events of a batch in batches of one, for a broker that finds it too large."""
        for row in self.rows(after):
            events = msgspec.json.decode(b"[" + row.events + b"]", type=list[msgspec.Raw])
            for index, event in enumerate(events if row.id <= parcel.row else []):
                yield self._batch(row.epoch, row.first_seq + index, bytes(event))

    def newest_epoch(self) -> str:
        """Return the epoch that is open."""
        row = self._database.execute("SELECT epoch FROM epoch ORDER BY opened DESC LIMIT 1").fetchone()
        return str(row[0])

    def depth(self, after: int) -> int:
        """Return the number of events behind row `after`, however many rows they are in."""
        row = self._database.execute(
            "SELECT epoch, first_seq FROM outbox WHERE id > ? ORDER BY id LIMIT 1", (after,)
        ).fetchone()
        if row is None:
            return 0
        (events,) = self._database.execute(
            "SELECT sum(last_seq) FROM epoch WHERE opened >= (SELECT opened FROM epoch WHERE epoch = ?)",
            (row[0],),
        ).fetchone()
        return int(events) - int(row[1]) + 1

    def bytes_on_disk(self) -> int:
        """Return the size of the journal's files."""
        total = 0
        for suffix in FILES:
            with contextlib.suppress(FileNotFoundError):
                total += self._path.with_name(self._path.name + suffix).stat().st_size
        return total

    def open_gaps(self) -> int:
        """Return the number of gaps over the whole tree that no scan has closed yet."""
        row = self._database.execute("SELECT value FROM meta").fetchone()
        meta = msgspec.json.decode(row[0], type=Meta)
        return len(meta.open_gaps) + len(meta.partial_gaps)

    def heartbeat(self, epoch: str, next_seq: int, status: Status | None = None) -> bytes:
        """Return an encoded batch without events: this agent is alive and `next_seq` is what comes next."""
        return self._batch(epoch, next_seq, b"", status)

    def _open(self) -> None:
        self._database = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA busy_timeout = 10000")
        self._file = self._path.stat().st_ino

    def _follow(self) -> None:
        """Read the journal that is at the path now; while there is none, the one that was."""
        if self._path.exists() and self._path.stat().st_ino != self._file:
            self._database.close()
            self._open()

    def _batch(self, epoch: str, first_seq: int, events: bytes, status: Status | None = None) -> bytes:
        agent, previous, previous_last_seq = self._database.execute(
            "SELECT agent, previous, previous_last_seq FROM epoch WHERE epoch = ?", (epoch,)
        ).fetchone()
        former = Previous(previous, previous_last_seq) if previous and first_seq == 1 else None
        return encode(
            Batch(
                v=VERSION,
                project=self._project,
                host=self._host,
                sent_ns=time.time_ns(),
                agent=agent,
                epoch=epoch,
                first_seq=first_seq,
                events=cast(list[Event], [msgspec.Raw(events)] if events else []),
                previous=former,
                status=status,
            )
        )
