"""ClickHouse's HTTP interface over the embedded engine: a raw ASGI application.

In: GET and POST as ClickHouse takes them. Out: its answers, headers and errors. The engine blocks, so each
query runs on a thread of its own; what passes through is streamed both ways.
"""

from __future__ import annotations

import asyncio
import hmac
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import IO, Any, TypeVar

import structlog
from chdb.state.sqlitelike import Connection
from pydantic import SecretStr

from deploy import store_body, store_engine, store_errors, store_sessions, store_statement
from deploy.store_answer import Answer, Coder, Send
from deploy.store_body import ClientGone, Receive
from deploy.store_engine import Engine, Insert
from deploy.store_errors import StoreError
from deploy.store_form import Form
from deploy.store_request import Request
from deploy.store_sessions import Session, Sessions
from deploy.store_statement import Statement

Result = TypeVar("Result")

_MAX_HEAD_BYTES = 256 * 1024
"""Within these an INSERT must come to its data, as with ClickHouse's max_query_size."""
_MAX_TEXT_BYTES = 64 * 1024 * 1024
_CHUNK_BYTES = 1024 * 1024
_HEALTH = ("/ping", "/replicas_status")
_NO_HANDLE = (
    "There is no handle {path}\n\nUse / or /ping for health checks.\n"
    "Send queries from your program with POST method or GET /?query=...\n"
)


class Job:
    """One query while it runs: what came in, what goes out, and the connection between."""

    def __init__(self, request: Request, answer: Answer, query_id: str) -> None:
        self.request = request
        self.answer = answer
        self.mark = uuid.uuid4().hex + query_id
        self.coder: Coder | None = None
        self.rest = b""
        """The end of the body: sent when connection and session are free, for the client's next query."""
        self.form: Form | None = None
        self.session: Session | None = None


class StoreApp:
    """The ASGI application of one engine, for one user."""

    def __init__(self, engine: Engine, user: str, password: SecretStr, max_concurrent_queries: int) -> None:
        self._engine = engine
        self._user = user
        self._password = password
        self._sessions = Sessions()
        self._places = asyncio.Semaphore(max_concurrent_queries)
        self._threads = ThreadPoolExecutor(max_concurrent_queries + 4, thread_name_prefix="query")
        self._log = structlog.get_logger()

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request.of(scope)
        query_id = _query_id(request)
        common = {
            "X-ClickHouse-Server-Display-Name": self._engine.display_name,
            "X-ClickHouse-Timezone": self._engine.timezone,
            "X-ClickHouse-Query-Id": query_id,
        }
        if request.path != "/" or (request.method in ("GET", "HEAD") and not request.query):
            await _plain(request, common, send)
            return
        answer = Answer(send, request, common, self._engine.spool)
        await self._answer(Job(request, answer, query_id), receive)

    def close(self) -> None:
        """Close what the sessions kept; nothing runs any more."""
        self._threads.shutdown()
        self._sessions.close()

    async def _answer(self, job: Job, receive: Receive) -> None:
        try:
            self._authenticate(job.request)
            await self._in_session(job, receive)
            await job.answer.finish(job.rest)
        except StoreError as error:
            self._log.info("refused", code=error.code, name=error.name)
            await job.answer.fail(error, self._engine.version, job.coder)
        except ClientGone:
            self._log.info("client gone")
        finally:
            job.answer.close()
            if job.form is not None:
                job.form.close()

    def _authenticate(self, request: Request) -> None:
        user, password = request.credentials()
        expected = self._password.get_secret_value()
        matches = hmac.compare_digest(password.encode("utf-8", "surrogateescape"), expected.encode())
        if not (
            hmac.compare_digest(user.encode("utf-8", "surrogateescape"), self._user.encode()) and matches
        ):
            raise StoreError(
                store_errors.AUTHENTICATION_FAILED,
                f"{user}: Authentication failed: password is incorrect, or there is no user with such name.",
            )

    async def _in_session(self, job: Job, receive: Receive) -> None:
        session_id = job.request.params.get("session_id")
        if not session_id:
            await self._query(job, receive)
            return
        timeout_s = min(job.request.number("session_timeout", 60), int(store_sessions.MAX_TIMEOUT_S))
        job.session = self._sessions.take(session_id, timeout_s, must_exist=job.request.flag("session_check"))
        try:
            await self._query(job, receive)
        finally:
            self._sessions.give_back(job.session)

    async def _query(self, job: Job, receive: Receive) -> None:
        body = store_body.chunks(job.request, receive)
        query = job.request.query
        if job.request.boundary is not None:
            job.form = Form(job.request.boundary, self._engine.spool)
            await job.form.read(body)
            query += job.form.fields.get("query", b"")
        elif query:
            query += b"\n"
        head, statement = await _read_statement(query, body)
        async with self._place():
            await self._run(job, head, statement, body, receive)

    async def _run(
        self, job: Job, head: bytes, statement: Statement, body: AsyncIterator[bytes], receive: Receive
    ) -> None:
        scope = job.request.scope(job.mark, job.form.fields if job.form else {})
        failed = True
        connection = await self._thread(
            store_sessions.open_connection, self._engine, scope, job.session, statement
        )
        try:
            await self._load_tables(job, connection)
            rest = head[statement.data_at :] if statement.data_at is not None else b""
            if statement.kind == "insert":
                await self._insert(job, connection, statement, rest, body)
            elif statement.kind == "insert_from_input":
                await self._insert_from_input(job, connection, statement, rest, body)
            elif statement.kind == "select":
                await self._select(job, connection, statement, receive)
            else:
                await self._execute(job, connection, statement.text, statement)
            failed = False
        finally:
            await self._thread(
                partial(
                    store_sessions.close_connection, connection, scope, job.session, statement, failed=failed
                )
            )

    async def _insert(
        self, job: Job, connection: Connection, statement: Statement, rest: bytes, body: AsyncIterator[bytes]
    ) -> None:
        assert statement.format is not None
        insert = await self._thread(Insert, connection, statement.text, statement.format)
        try:
            held = rest
            async for chunk in body:
                held += chunk
                if len(held) >= _CHUNK_BYTES:
                    await self._thread(insert.append, held)
                    held = b""
            if held:
                await self._thread(insert.append, held)
            await self._thread(insert.finish, job.answer.progress)
        finally:
            await self._thread(insert.cancel)

    async def _insert_from_input(
        self, job: Job, connection: Connection, statement: Statement, rest: bytes, body: AsyncIterator[bytes]
    ) -> None:
        """The engine, embedded, has no input(): it reads the spooled body as a file instead."""
        with tempfile.NamedTemporaryFile(dir=self._engine.spool) as file:
            file.write(rest)
            async for chunk in body:
                await self._thread(file.write, chunk)
            file.flush()
            sql = store_statement.with_input_file(statement, file.name)
            await self._execute(job, connection, sql, statement)

    async def _select(self, job: Job, connection: Connection, statement: Statement, receive: Receive) -> None:
        format_name = statement.format or job.request.default_format
        if store_engine.comes_in_blocks(format_name):
            blocks = store_engine.select(connection, statement.text, format_name, job.answer.progress)
            await self._stream(job, format_name, blocks, receive)
            return
        with tempfile.NamedTemporaryFile(dir=self._engine.spool) as file:
            sql = store_statement.with_outfile(statement, file.name, format_name)
            async with self._killed_if_gone(job, receive):
                await self._thread(store_engine.execute, connection, sql, format_name, job.answer.progress)
            with open(file.name, "rb") as answer:  # noqa: PTH123, ASYNC230 - opens at once, it is local
                await self._stream(job, format_name, _pieces(answer), receive)

    async def _execute(self, job: Job, connection: Connection, sql: bytes, statement: Statement) -> None:
        format_name = (statement.kind == "other" and statement.format) or job.request.default_format
        result = await self._thread(store_engine.execute, connection, sql, format_name, job.answer.progress)
        job.coder = Coder(job.request, format_name)
        if result:
            job.answer.describe(format_name, job.coder.encoding)
            await job.answer.write(job.coder.encode(result))
            job.rest = job.coder.finish()

    async def _stream(self, job: Job, format_name: bytes, pieces: Generator[bytes], receive: Receive) -> None:
        coder = job.coder = Coder(job.request, format_name)
        job.answer.describe(format_name, coder.encoding)

        def step() -> bytes | None:
            piece = next(pieces, None)
            return None if piece is None else coder.encode(piece)

        try:
            async with self._killed_if_gone(job, receive):
                while (encoded := await self._thread(step)) is not None:
                    await job.answer.write(encoded)
        finally:
            await self._thread(pieces.close)
        job.rest = coder.finish()

    async def _load_tables(self, job: Job, connection: Connection) -> None:
        for name, file in (job.form.files if job.form else {}).items():
            await self._thread(_load_table, connection, job.request, name, file)

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        """Wait for a thread to be free, for as long as a client may be kept waiting for nothing."""
        try:
            await asyncio.wait_for(self._places.acquire(), timeout=10)
        except TimeoutError:
            raise StoreError(
                store_errors.TOO_MANY_SIMULTANEOUS_QUERIES, "Too many simultaneous queries"
            ) from None
        try:
            yield
        finally:
            self._places.release()

    @asynccontextmanager
    async def _killed_if_gone(self, job: Job, receive: Receive) -> AsyncIterator[None]:
        watch = asyncio.create_task(self._kill_when_gone(job, receive))
        try:
            yield
        finally:
            watch.cancel()
            with suppress(asyncio.CancelledError):
                await watch

    async def _kill_when_gone(self, job: Job, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        await self._thread(self._engine.kill, job.mark)

    async def _thread(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Run on a thread and see it to its end: a connection must not be closed under a running call."""
        future = asyncio.get_running_loop().run_in_executor(self._threads, partial(function, *arguments))
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            with suppress(Exception):
                await future
            raise


async def _read_statement(query: bytes, body: AsyncIterator[bytes]) -> tuple[bytes, Statement]:
    """Return the query as far as it was read, and what it is; the data of an INSERT are left in the body."""
    head = query
    async for chunk in body:
        head += chunk
        if len(head) >= _MAX_HEAD_BYTES:
            with suppress(StoreError):
                statement = store_statement.read(head)
                if statement.data_at is not None:
                    return head, statement
        if len(head) > _MAX_TEXT_BYTES:
            raise StoreError(store_errors.SYNTAX_ERROR, "Max query size exceeded")
    return head, store_statement.read(head)


def _load_table(connection: Connection, request: Request, name: str, file: IO[bytes]) -> None:
    structure, format_name = request.structure_of(name)
    table = b"`%b`" % name.encode().replace(b"`", b"``")
    with store_engine.translated():
        connection.query(b"CREATE TEMPORARY TABLE %b (%b)" % (table, structure.encode()), "Null")
    insert = Insert(connection, b"INSERT INTO " + table, format_name.encode())
    for piece in _pieces(file):
        insert.append(piece)
    insert.finish(store_engine.Progress())


def _pieces(file: IO[bytes]) -> Generator[bytes]:
    while piece := file.read(_CHUNK_BYTES):
        yield piece


def _query_id(request: Request) -> str:
    given = request.params.get("query_id") or request.headers.get("x-clickhouse-query-id")
    return given if given and given.isascii() and given.isprintable() else str(uuid.uuid4())


async def _plain(request: Request, common: dict[str, str], send: Send) -> None:
    """Answer health checks, and paths that have nothing behind them."""
    known = request.path in _HEALTH or request.path == "/"
    body = b"Ok.\n" if known else _NO_HANDLE.format(path=request.path).encode()
    headers = {**common, "Content-Type": "text/html; charset=UTF-8", "Content-Length": str(len(body))}
    await send(
        {
            "type": "http.response.start",
            "status": 200 if known else 404,
            "headers": [
                (name.encode(), value.encode("latin-1", "replace")) for name, value in headers.items()
            ],
        }
    )
    await send({"type": "http.response.body", "body": b"" if request.method == "HEAD" else body})
