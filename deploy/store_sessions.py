"""Sessions of the HTTP interface: SET, USE and temporary tables that outlive a request, by `session_id`.

A session is what it was told: its SET and USE statements are replayed on the fresh connection of each query.
Only one with temporary tables keeps a connection.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from chdb.state.sqlitelike import Connection

from deploy import store_engine, store_errors
from deploy.store_engine import Engine, Scope
from deploy.store_errors import StoreError
from deploy.store_statement import Statement

DEFAULT_TIMEOUT_S = 60.0
MAX_TIMEOUT_S = 3600.0


@dataclass
class Session:
    """One client's session; one query at a time."""

    statements: list[bytes] = field(default_factory=list)
    kept: Connection | None = None
    busy: bool = False
    timeout_s: float = DEFAULT_TIMEOUT_S
    expires: float = 0.0


class Sessions:
    """The sessions of a store, dropped when nobody used them for their timeout."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._sessions: dict[str, Session] = {}

    def take(self, session_id: str, timeout_s: float, *, must_exist: bool) -> Session:
        """Lock a session for one query, made if need be. StoreError: it is locked, or not there."""
        self._expire()
        session = self._sessions.get(session_id)
        if session is None:
            if must_exist:
                raise StoreError(store_errors.SESSION_NOT_FOUND, "Session not found.")
            session = self._sessions[session_id] = Session()
        if session.busy:
            raise StoreError(store_errors.SESSION_IS_LOCKED, "Session is locked by a concurrent client.")
        session.busy = True
        session.timeout_s = timeout_s
        return session

    def give_back(self, session: Session) -> None:
        """Unlock a session; its timeout starts anew."""
        session.busy = False
        session.expires = self._now() + session.timeout_s

    def close(self) -> None:
        """Drop all sessions."""
        for session_id in list(self._sessions):
            self._drop(session_id)

    def _expire(self) -> None:
        now = self._now()
        for session_id, session in list(self._sessions.items()):
            if not session.busy and session.expires <= now:
                self._drop(session_id)

    def _drop(self, session_id: str) -> None:
        kept = self._sessions.pop(session_id).kept
        if kept is not None:
            kept.close()


def open_connection(
    engine: Engine, scope: Scope, session: Session | None, statement: Statement
) -> Connection:
    """Return the connection for a query, everything set."""
    if session is None:
        connection = engine.connect()
    elif session.kept is not None:
        connection, scope = session.kept, _without_readonly(scope, statement)
    else:
        connection = _replayed(engine.connect(), session)
    store_engine.enter(connection, scope)
    return connection


def close_connection(
    connection: Connection, scope: Scope, session: Session | None, statement: Statement, *, failed: bool
) -> None:
    """Let a query's connection go, remembering what a session keeps of it."""
    if session is None:
        connection.close()
        return
    if statement.kind == "session" and not failed:
        session.statements.append(statement.text)
    if statement.kind == "temporary" and not failed:
        session.kept = connection
    if session.kept is connection:
        store_engine.leave(connection, scope)
        _replayed(connection, session)
    else:
        connection.close()


def _replayed(connection: Connection, session: Session) -> Connection:
    with store_engine.translated():
        for statement in session.statements:
            connection.query(statement, "Null")
    return connection


def _without_readonly(scope: Scope, statement: Statement) -> Scope:
    """On a connection that is kept `readonly` could never be taken back: judge the statement instead."""
    if not scope.readonly:
        return scope
    if statement.kind != "select":
        raise StoreError(store_errors.READONLY, "Cannot execute query in readonly mode.")
    settings = {name: value for name, value in scope.settings.items() if name != "readonly"}
    return Scope(settings, scope.parameters, scope.database, scope.mark)
