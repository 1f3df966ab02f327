"""The embedded ClickHouse engine of one data directory: a connection per query, streamed in and out.

Blocking: called on threads. Settings hold for one query because its connection is thrown away after it; the
engine itself lives as long as the root connection.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from chdb.state.sqlitelike import Connection

from deploy import store_errors as errors
from deploy.store_errors import EngineError, StoreError
from deploy.store_statement import quoted

_DEFAULTS = {"implicit_select": "0", "allow_introspection_functions": "0"}
"""What the engine sets otherwise when it is embedded, as a server has it."""
_MAX_QUERY_BYTES = 262_144
"""ClickHouse's default of max_query_size."""
_EACH_ON_ITS_OWN = frozenset(
    b"Native TabSeparated TSV TabSeparatedRaw TSVRaw CSV RowBinary JSONEachRow JSONLines NDJSON "
    b"JSONCompactEachRow JSONStringsEachRow JSONCompactStringsEachRow LineAsString RawBLOB".split()
)
"""Formats without a beginning or an end, so that blocks formatted one by one make one answer."""


class DirectoryLocked(Exception):
    """Another process has the data directory; the message says which."""


@dataclass(frozen=True)
class Scope:
    """What a request sets for its query alone."""

    settings: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    database: str = ""
    mark: str = ""
    """Names the query in `system.processes`, so that it can be killed."""

    @property
    def readonly(self) -> bool:
        """Whether only reading is allowed."""
        return self.settings.get("readonly", "0") != "0"


@dataclass
class Progress:
    """Counts for X-ClickHouse-Summary."""

    read_rows: int = 0
    read_bytes: int = 0
    written_rows: int = 0
    written_bytes: int = 0
    result_rows: int = 0


def comes_in_blocks(format_name: bytes) -> bool:
    """Tell whether an answer of that format can be streamed block by block."""
    return format_name in _EACH_ON_ITS_OWN


class Engine:
    """Opens the data directory, refusing it when another process has it."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(directory)
        self._path = str(directory / "engine")
        self.spool = directory / "spool"
        shutil.rmtree(self.spool, ignore_errors=True)
        self.spool.mkdir()
        self._root = Connection(self._path)
        facts = "SELECT version(), timezone(), displayName()"
        self.version, self.timezone, self.display_name = (
            self._root.query(facts, "TabSeparated").bytes().decode().rstrip("\n").split("\t")
        )

    def connect(self) -> Connection:
        """Return a connection with nothing set but what a server's defaults are."""
        connection = Connection(self._path)
        connection.query(_assignments(_DEFAULTS), "Null")
        return connection

    def kill(self, mark: str) -> None:
        """Stop the query of that mark if it still runs."""
        self._root.query(b"KILL QUERY WHERE Settings['log_comment'] = '%b' ASYNC" % _value(mark), "Null")

    def kill_all(self) -> None:
        """Stop every query."""
        self._root.query("KILL QUERY WHERE query NOT LIKE 'KILL QUERY%' ASYNC", "Null")

    def close(self) -> None:
        """Close the engine; all that was answered is in its files."""
        self._root.close()
        self._lock.close()


def enter(connection: Connection, scope: Scope) -> None:
    """Make a request's database, parameters and settings hold on a connection."""
    with translated():
        if scope.database:
            connection.query(b"USE `%b`" % scope.database.encode().replace(b"`", b"``"), "Null")
        values = {f"param_{name}": value for name, value in scope.parameters.items()}
        values |= {"log_comment": scope.mark} if scope.mark else {}
        values |= scope.settings
        if values:
            _assign(connection, _assignments(values), "max_query_size" in scope.settings)


def leave(connection: Connection, scope: Scope) -> None:
    """Undo `enter` on a connection that is kept; parameters may stay, nobody can name them by accident."""
    with translated():
        connection.query("USE default", "Null")
        names = [*scope.settings, "log_comment"]
        connection.query("SET " + ", ".join(f"{name} = DEFAULT" for name in names), "Null")


def select(connection: Connection, sql: bytes, format_name: bytes, progress: Progress) -> Generator[bytes]:
    """Yield an answer block by block, in a format that `comes_in_blocks`; abandoned, it stops the query."""
    with translated():
        stream = connection.send_query(sql, format_name.decode())
        try:
            for block in stream:
                progress.read_rows = max(progress.read_rows, block.storage_rows_read())
                progress.read_bytes = max(progress.read_bytes, block.storage_bytes_read())
                progress.result_rows += block.rows_read()
                yield block.bytes()
        finally:
            stream.close()


def execute(connection: Connection, sql: bytes, format_name: bytes, progress: Progress) -> bytes:
    """Run a statement whose answer is small, or goes to a file, and return the answer."""
    with translated():
        result = connection.query(sql, format_name.decode())
        progress.read_rows = result.storage_rows_read()
        progress.read_bytes = result.storage_bytes_read()
        progress.written_rows = result.rows_written()
        progress.written_bytes = result.bytes_written()
        progress.result_rows = result.rows_read()
        answer: bytes = result.bytes()
        return answer


class Insert:
    """An INSERT that takes its data in chunks; nothing of the last block is kept unless finished."""

    def __init__(self, connection: Connection, sql: bytes, format_name: bytes) -> None:
        with translated():
            self._inserter: Any = connection.send_insert(sql, format_name.decode())

    def append(self, chunk: bytes) -> None:
        """Hand over the next bytes; a refusal may come only with a later call."""
        with translated():
            self._inserter.append(chunk)

    def finish(self, progress: Progress) -> None:
        """Commit."""
        with translated():
            result = self._inserter.finish()
            progress.written_rows = result.rows_written
            progress.written_bytes = result.bytes_written

    def cancel(self) -> None:
        """Give up; harmless after finish."""
        with translated():
            self._inserter.cancel()


@contextmanager
def translated() -> Iterator[None]:
    """Turn the engine's exceptions into StoreError."""
    try:
        yield
    except StoreError:
        raise
    except RuntimeError as error:
        raise EngineError.read(str(error)) from None


def _assign(connection: Connection, statement: bytes, sets_query_size: bool) -> None:
    """Run a SET, however large: parameters may be far larger than a query may."""
    if len(statement) < _MAX_QUERY_BYTES:
        connection.query(statement, "Null")
        return
    connection.query(f"SET max_query_size = {2 * len(statement)}", "Null")
    connection.query(statement, "Null")
    if not sets_query_size:
        connection.query(f"SET max_query_size = {_MAX_QUERY_BYTES}", "Null")


def _assignments(values: Mapping[str, str]) -> bytes:
    for name in values:
        if not name.isidentifier():
            raise StoreError(errors.BAD_REQUEST_PARAMETER, f"Not the name of a setting: {name!r}")
    return b"SET " + b", ".join(
        b"%b = '%b'" % (name.encode(), _value(value)) for name, value in values.items()
    )


def _value(text: str) -> bytes:
    return quoted(text.encode("utf-8", "surrogateescape"))


def _lock(directory: Path) -> IO[str]:
    handle = (directory / "store.lock").open("a+")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.seek(0)
        owner = handle.read().strip() or "unknown"
        handle.close()
        raise DirectoryLocked(
            f"data directory {directory} is in use by process {owner}: stop it, or choose another directory"
        ) from None
    handle.truncate(0)
    handle.write(f"{os.getpid()}\n")
    handle.flush()
    return handle
