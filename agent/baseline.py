"""What has been reported of every path so far: the last known state, in the journal's database.

A row is found by its directory's key and its name, so the rename of a directory changes one row, whatever it
holds. Replaying all events reported so far gives exactly these paths.
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from agent.event import Stream
from agent.extended import NOTHING, NOTHING_BEFORE, Extended
from agent.files import State

ROOT_KEY = 1
SCHEMA = """
CREATE TABLE IF NOT EXISTS baseline (
    parent INTEGER NOT NULL,
    name BLOB NOT NULL,
    directory INTEGER,
    state BLOB,
    sha256 BLOB,
    PRIMARY KEY (parent, name)
) WITHOUT ROWID
"""
LIVES_SCHEMA = """
CREATE TABLE IF NOT EXISTS lives (
    device INTEGER NOT NULL, inode INTEGER NOT NULL, life INTEGER NOT NULL, PRIMARY KEY (device, inode)
) WITHOUT ROWID
"""
"""How many files have had an inode, of file systems without birth times."""
_PAGE_ROWS = 1000
_MOST_UNWRITTEN = 2000
_MOST_WRITTEN = 4000
_Key = tuple[int, bytes]
"""A directory's key, and a name in it."""
_OLD_STATE = struct.Struct("<IqqqqqIIqqI")
"""What journals had before flags, ACLs and attributes were known."""
_STATE = struct.Struct("<IqqqqqIIqqIIB")
"""Behind it, where a file has any: its ACL and attributes."""
_UNREAD, _CURRENT, _OUTDATED = 0, 1, 2
_Tail = tuple[str, tuple[Stream, ...]]
_encode_tail = msgspec.msgpack.Encoder().encode
_decode_tail = msgspec.msgpack.Decoder(_Tail).decode


class Known(NamedTuple):
    """The last known state of a path; of one reported before it could be looked at, `state` is None."""

    directory: int | None
    """The key under which a directory's own entries are; None for anything else."""
    state: State | None
    sha256: bytes | None
    """Of the content in `state`; of an earlier content if `state.ctime_ns` is 0."""

    @property
    def is_dir(self) -> bool:
        """Tell whether the path was reported as a directory."""
        return self.directory is not None


class Baseline:
    """Rows of the journal's `baseline`; a change opens the journal's transaction if none is open.

    Changes are kept in memory until `flush`: a storm looks most files up, and changes them, more than once.
    """

    def __init__(self, database: sqlite3.Connection, next_key: int) -> None:
        self._database = database
        self._unwritten: dict[_Key, Known | None] = {}
        """What rows have become; None: they are gone."""
        self._written: dict[_Key, Known] = {}
        """Rows that were written last: what has changed will often change again."""
        self._missing: set[_Key] = set()
        """Rows that were looked for since the last flush, and are not there."""
        self.next_key = next_key
        (self._has_lives,) = database.execute("SELECT EXISTS (SELECT 1 FROM lives)").fetchone()

    def new_key(self) -> int:
        """Return a key for a directory that becomes known."""
        self.next_key += 1
        return self.next_key - 1

    def get(self, parent: int, name: bytes) -> Known | None:
        """Return what is known of a name in a directory."""
        key = parent, name
        if key in self._unwritten:
            return self._unwritten[key]
        if key in self._missing:
            return None
        if key in self._written:
            return self._written[key]
        row = self._database.execute(
            "SELECT directory, state, sha256 FROM baseline WHERE parent = ? AND name = ?", key
        ).fetchone()
        if row is not None:
            return _known(*row)
        if len(self._missing) >= _MOST_UNWRITTEN:
            self._missing.clear()
        self._missing.add(key)
        return None

    def put(self, parent: int, name: bytes, known: Known) -> None:
        """Write what is known of a name, over what was."""
        self._change((parent, name), known)

    def move(self, parent: int, name: bytes, to_parent: int, to_name: bytes) -> None:
        """Give a row another place; nothing may be there."""
        known = self.get(parent, name)
        if known is not None:
            self._change((parent, name), None)
            self._change((to_parent, to_name), known)

    def remove(self, parent: int, name: bytes) -> None:
        """Forget one name."""
        self._change((parent, name), None)

    def flush(self) -> None:
        """Write the rows that have changed, within the transaction."""
        changed = sorted(self._unwritten.items(), key=_key_of)
        gone = [key for key, known in changed if known is None and key not in self._missing]
        self._database.executemany("DELETE FROM baseline WHERE parent = ? AND name = ?", gone)
        self._database.executemany(
            "INSERT OR REPLACE INTO baseline VALUES (?, ?, ?, ?, ?)",
            (_row(key, known) for key, known in changed if known is not None),
        )
        self._remember_written()
        self._unwritten.clear()
        self._missing.clear()

    def forget_unwritten(self) -> None:
        """Go back to what is in the database, where the transaction was rolled back."""
        self._written.clear()
        self._unwritten.clear()
        self._missing.clear()

    def children(self, parent: int) -> Iterator[tuple[bytes, Known]]:
        """Yield the names in a directory, in order, with what is known of each.

        Reads pages: rows may change between them, and memory does not grow with the directory.
        """
        after = b""
        while True:
            self._flush_any()
            rows = self._database.execute(
                "SELECT name, directory, state, sha256 FROM baseline WHERE parent = ? AND name > ?"
                " ORDER BY name LIMIT ?",
                (parent, after, _PAGE_ROWS),
            ).fetchall()
            for name, *row in rows:
                yield name, _known(*row)
            if len(rows) < _PAGE_ROWS:
                return
            after = rows[-1][0]

    def remove_all(self, parent: int) -> None:
        """Forget every name in a directory."""
        self._flush_any()
        self._written.clear()
        self._write("DELETE FROM baseline WHERE parent = ?", (parent,))

    def life(self, device: int, inode: int) -> int:
        """Return how many files are known to have had an inode before the one that has it now."""
        if not self._has_lives:
            return 0
        row = self._database.execute(
            "SELECT life FROM lives WHERE device = ? AND inode = ?", (device, inode)
        ).fetchone()
        return int(row[0]) if row else 0

    def begin_life(self, device: int, inode: int) -> None:
        """Note that another file has an inode now."""
        self._has_lives = True
        self._write(
            "INSERT INTO lives VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET life = life + 1", (device, inode)
        )

    def clear(self) -> None:
        """Forget everything."""
        self.forget_unwritten()
        self._write("DELETE FROM baseline")

    def _change(self, key: _Key, known: Known | None) -> None:
        self._begin()
        self._unwritten[key] = known
        if len(self._unwritten) >= _MOST_UNWRITTEN:
            self.flush()

    def _remember_written(self) -> None:
        if len(self._written) > _MOST_WRITTEN:
            self._written.clear()
        for key, known in self._unwritten.items():
            if known is None:
                self._written.pop(key, None)
            else:
                self._written[key] = known

    def _flush_any(self) -> None:
        if self._unwritten:
            self.flush()

    def _begin(self) -> None:
        if not self._database.in_transaction:
            self._database.execute("BEGIN IMMEDIATE")

    def _write(self, statement: str, parameters: tuple[object, ...] = ()) -> None:
        self._begin()
        self._database.execute(statement, parameters)


def _key_of(change: tuple[_Key, Known | None]) -> _Key:
    return change[0]


def _row(key: _Key, known: Known) -> tuple[object, ...]:
    return *key, known.directory, None if known.state is None else pack(known.state), known.sha256


def _known(directory: int | None, state: bytes | None, sha256: bytes | None) -> Known:
    return Known(directory, None if state is None else unpack(state), sha256)


def pack(state: State) -> bytes:
    """Return a state as a row has it."""
    *fixed, flags, extended = state
    if flags is None:
        return _OLD_STATE.pack(*fixed)
    if extended is None:
        return _STATE.pack(*fixed, flags, _UNREAD)
    packed = _STATE.pack(*fixed, flags, _CURRENT if extended.current else _OUTDATED)
    if not (extended.acl or extended.streams):
        return packed
    return packed + _encode_tail((extended.acl, extended.streams))


def unpack(row: bytes) -> State:
    """Return the state in a row."""
    if len(row) == _OLD_STATE.size:
        return State._make((*_OLD_STATE.unpack(row), None, None))
    *fixed, how = _STATE.unpack_from(row)
    return State._make((*fixed, None if how == _UNREAD else _extended(row, current=how == _CURRENT)))


def _extended(row: bytes, *, current: bool) -> Extended:
    if len(row) > _STATE.size:
        acl, streams = _decode_tail(row[_STATE.size :])
        return Extended(acl, streams, current)
    return NOTHING if current else NOTHING_BEFORE
