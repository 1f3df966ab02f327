"""The application: every part of the api made and wired once, and closed in the order of its making."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from clickhouse_connect.driver.asyncclient import AsyncClient
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from agent.kafka import KafkaSettings
from api import donutwork, metrics, openapi
from api.access import Access
from api.broker import Broker
from api.database import Database
from api.errors import HANDLERS
from api.health import Health
from api.history import History
from api.ingest import Ingest
from api.lanes import Lanes
from api.settings import ApiSettings
from api.sql import Sql
from api.waiting import Waiting

Connect = Callable[[], Awaitable[AsyncClient]]


def create_app(settings: ApiSettings, kafka: KafkaSettings, connect: Connect, place: str) -> FastAPI:
    """Return the api; `connect` makes a new client of the database at `place`.

    Clients live as long as the lifespan.
    """
    agent = f"api-{secrets.token_hex(8)}"
    waiting = Waiting(agent, timeout_ms=settings.decision_timeout_ms)
    broker = Broker(kafka, waiting.resolve)
    lanes = Lanes(agent, broker.send)
    databases = (Database(connect, place), Database(connect, place))
    app = assemble(settings, broker, lanes, waiting, *databases)
    app.router.lifespan_context = _lifespan(broker, lanes, databases)
    metrics.PENDING.set_function(lambda: len(waiting))
    return app


def assemble(
    settings: ApiSettings,
    broker: Broker,
    lanes: Lanes,
    waiting: Waiting,
    database: Database,
    sql_database: Database,
) -> FastAPI:
    """Return the routes over the given parts."""
    access = Access(lambda: broker.registry, timeout_ms=settings.catch_up_timeout_ms)
    ingest = Ingest(
        lanes,
        waiting,
        lambda: broker.reply_partition,
        clock_ns=time.time_ns,
        max_pending=settings.max_pending,
        retry_after_s=settings.retry_after_s,
    )
    monitor = donutwork.Monitor(access, ingest, max_body_bytes=settings.max_body_bytes)
    events = donutwork.Events(access, History(database, timeout_s=settings.history_timeout_s))
    health = Health(broker.state, database)
    app = FastAPI(title="fswire", docs_url=None, redoc_url=None, exception_handlers=HANDLERS)
    app.router.redirect_slashes = False
    app.router.routes[:0] = [
        *donutwork.routes(monitor, events),
        Route("/v1/sql", Sql(access, sql_database, settings), methods=["POST"]),
        Route("/health/live", health.live),
        Route("/health/ready", health.ready),
        Route("/metrics", metrics.get),
        Route("/", _root),
    ]
    app.openapi = openapi.document  # type: ignore[method-assign]  # the documented way to bring one's own
    app.add_middleware(metrics.CountRequests)
    return app


def _lifespan(
    broker: Broker, lanes: Lanes, databases: tuple[Database, ...]
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        connection = asyncio.create_task(broker.run())
        try:
            yield
        finally:
            await lanes.close()
            connection.cancel()
            await asyncio.wait([connection])
            for database in databases:
                await database.close()

    return lifespan


async def _root(_: Request) -> Response:
    document = openapi.document()
    routes = [f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods]
    info = document["info"]
    return JSONResponse(
        {"name": info["title"], "version": info["version"], "routes": routes, "openapi": "/openapi.json"}
    )
