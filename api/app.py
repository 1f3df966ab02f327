"""The application: every part of the api made and wired once, and closed in the order of its making."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from agent.kafka import KafkaSettings
from api import donutwork, export, filemonitor, metrics, openapi, watch
from api import qumulo as qumulo_api
from api.access import Access
from api.audit import Audited, Trail
from api.bounds import Bounds
from api.broker import Broker
from api.database import Database
from api.endless import Endless
from api.errors import HANDLERS
from api.export import Export
from api.filemonitor_desk import Desk
from api.health import Health
from api.history import History
from api.ingest import Ingest
from api.ingress import IngressTokens
from api.lanes import Lanes
from api.limits import Limits
from api.live import Hub
from api.notify import Notify
from api.operations import Operations
from api.pages.assembly import mounted
from api.pages.parts import Parts
from api.pages.session import Sessions
from api.pages.site import Site
from api.qumulo import Qumulo
from api.settings import ApiSettings
from api.sql import Sql
from api.virtual_tree import VirtualTree
from api.waiting import Waiting
from processors.clickhouse import ClickHouseSettings, connect_async


def create_app(settings: ApiSettings, kafka: KafkaSettings, clickhouse: ClickHouseSettings) -> FastAPI:
    """Return the api; its clients live as long as the lifespan."""
    agent = f"api-{secrets.token_hex(8)}"
    waiting = Waiting(agent, timeout_ms=settings.decision_timeout_ms)
    broker = Broker(kafka, waiting.resolve)
    lanes = Lanes(agent, broker.send)
    databases = (_database(clickhouse), _database(clickhouse))
    hub = Hub(kafka, queue_records=settings.live_queue_records)
    app = assemble(settings, broker, lanes, waiting, *databases, Operations(kafka, clickhouse), hub)
    trail = Trail(broker.audit)
    surround(app, settings, trail)
    app.router.lifespan_context = _lifespan(broker, hub, lanes, trail, databases)
    metrics.PENDING.set_function(lambda: len(waiting))
    return app


def assemble(
    settings: ApiSettings,
    broker: Broker,
    lanes: Lanes,
    waiting: Waiting,
    database: Database,
    sql_database: Database,
    operations: Operations,
    hub: Hub,
) -> FastAPI:
    """Return the routes over the given parts."""
    limits = Limits(
        requests_per_s=settings.requests_per_s,
        requests_burst=settings.requests_burst,
        refusals_per_s=settings.refusals_per_s,
        refusals_burst=settings.refusals_burst,
    )
    access = Access(lambda: broker.registry, limits, timeout_ms=settings.catch_up_timeout_ms)
    ingest = Ingest(
        lanes,
        waiting,
        lambda: broker.reply_partition,
        clock_ns=time.time_ns,
        max_pending=settings.max_pending,
        retry_after_s=settings.retry_after_s,
    )
    monitor = donutwork.Monitor(access, ingest, IngressTokens(limits), settings)
    history = History(database, timeout_s=settings.history_timeout_s)
    events = donutwork.Events(access, history)
    health = Health(broker.state, database)
    tree = VirtualTree(database, lambda: broker.registry)
    notify = Notify(tree, hub, lambda: broker.registry, settings)
    qumulo = Qumulo(access, tree, notify, lambda: broker.registry, operations.set_notify)
    exports = Export(sql_database, settings)
    sessions = Sessions.of(settings, access)
    desk = Desk(
        broker,
        waiting,
        timeout_ms=settings.decision_timeout_ms,
        retry_after_s=settings.retry_after_s,
    )
    pages = Parts(
        settings, access, broker, database, history, exports, operations, hub, Site(), sessions, desk
    )
    app = FastAPI(title="fswire", docs_url=None, redoc_url=None, exception_handlers=HANDLERS)
    app.router.redirect_slashes = False
    app.router.routes[:0] = [
        *donutwork.routes(monitor, events),
        *export.routes(access, exports),
        Route("/v1/sql", Sql(access, sql_database, settings), methods=["POST"]),
        *qumulo_api.routes(qumulo),
        *watch.routes(watch.WatchParts(access, hub, tree, settings.max_watchers)),
        *filemonitor.routes(access, desk, settings.max_body_bytes),
        Route("/health/live", health.live),
        Route("/health/ready", health.ready),
        Route("/metrics", metrics.get),
        Route("/pages", _to_pages),
        mounted(pages),
        Route("/", _root),
    ]
    app.state.hub = hub
    app.openapi = openapi.document  # type: ignore[method-assign]  # the documented way to bring one's own
    return app


def surround(app: FastAPI, settings: ApiSettings, trail: Trail) -> None:
    """Put around all routes what audits, bounds and counts them, in this order from the inside."""
    app.add_middleware(Audited, trail=trail)
    app.add_middleware(
        Bounds,
        max_requests=settings.max_requests,
        max_held_bytes=settings.max_held_body_bytes,
        max_body_bytes=settings.max_bulk_body_bytes,
        body_timeout_s=settings.body_timeout_s,
    )
    app.add_middleware(metrics.CountRequests)
    app.add_middleware(Endless)


def _database(clickhouse: ClickHouseSettings) -> Database:
    return Database(lambda: connect_async(clickhouse), clickhouse.place)


def _lifespan(
    broker: Broker, hub: Hub, lanes: Lanes, trail: Trail, databases: tuple[Database, ...]
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        connection = asyncio.create_task(broker.run())
        auditing = asyncio.create_task(trail.run())
        try:
            yield
        finally:
            await hub.close()
            await lanes.close()
            auditing.cancel()
            await asyncio.wait([auditing])
            await trail.close()
            connection.cancel()
            await asyncio.wait([connection])
            for database in databases:
                await database.close()

    return lifespan


async def _to_pages(_: Request) -> Response:
    return RedirectResponse("/pages/", 303)


async def _root(request: Request) -> Response:
    if "text/html" in request.headers.get("accept", ""):
        return await _to_pages(request)
    document = openapi.document()
    routes = [f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods]
    info = document["info"]
    return JSONResponse(
        {"name": info["title"], "version": info["version"], "routes": routes, "openapi": "/openapi.json"}
    )
