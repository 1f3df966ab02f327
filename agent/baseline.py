"""What has been reported of every path so far: the last known state, in the journal's database.

A row is found by its directory's key and its name, so the rename of a directory changes one row, whatever it
holds. Replaying all events reported so far gives exactly these paths.
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterator
from typing import NamedTuple

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
_PAGE_ROWS = 1000
_STATE = struct.Struct("<IqqqqqIIqqI")


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
    """Rows of the journal's `baseline`; a change opens the journal's transaction if none is open."""

    def __init__(self, database: sqlite3.Connection, next_key: int) -> None:
        self._database = database
        self.next_key = next_key

    def new_key(self) -> int:
        """Return a key for a directory that becomes known."""
        self.next_key += 1
        return self.next_key - 1

    def get(self, parent: int, name: bytes) -> Known | None:
        """Return what is known of a name in a directory."""
        row = self._database.execute(
            "SELECT directory, state, sha256 FROM baseline WHERE parent = ? AND name = ?", (parent, name)
        ).fetchone()
        return None if row is None else _known(*row)

    def put(self, parent: int, name: bytes, known: Known) -> None:
        """Write what is known of a name, over what was."""
        state = None if known.state is None else _STATE.pack(*known.state)
        self._write(
            "INSERT OR REPLACE INTO baseline VALUES (?, ?, ?, ?, ?)",
            (parent, name, known.directory, state, known.sha256),
        )

    def move(self, parent: int, name: bytes, to_parent: int, to_name: bytes) -> None:
        """Give a row another place; nothing may be there."""
        self._write(
            "UPDATE baseline SET parent = ?, name = ? WHERE parent = ? AND name = ?",
            (to_parent, to_name, parent, name),
        )

    def remove(self, parent: int, name: bytes) -> None:
        """Forget one name."""
        self._write("DELETE FROM baseline WHERE parent = ? AND name = ?", (parent, name))

    def children(self, parent: int) -> Iterator[tuple[bytes, Known]]:
        """Yield the names in a directory, in order, with what is known of each.

        Reads pages: rows may change between them, and memory does not grow with the directory.
        """
        after = b""
        while True:
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
        self._write("DELETE FROM baseline WHERE parent = ?", (parent,))

    def clear(self) -> None:
        """Forget everything."""
        self._write("DELETE FROM baseline")

    def _write(self, statement: str, parameters: tuple[object, ...] = ()) -> None:
        if not self._database.in_transaction:
            self._database.execute("BEGIN IMMEDIATE")
        self._database.execute(statement, parameters)


def _known(directory: int | None, state: bytes | None, sha256: bytes | None) -> Known:
    return Known(directory, None if state is None else State._make(_STATE.unpack(state)), sha256)
