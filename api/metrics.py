"""What the api counts of itself, for Prometheus."""

from __future__ import annotations

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

REGISTRY = CollectorRegistry()
REQUESTS = Counter(
    "fswire_api_requests_total",
    "Requests answered, by method and status",
    ["method", "status"],
    registry=REGISTRY,
)
PUT_SECONDS = Histogram(
    "fswire_api_put_seconds",
    "Time from a PUT's body to the processor's decision",
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5),
    registry=REGISTRY,
)
PENDING = Gauge("fswire_api_pending_puts", "Events that await their decision", registry=REGISTRY)
AUDIT_LOST = Counter(
    "fswire_api_audit_lost_total",
    "Records of the audit that found no room while the broker did not take them",
    registry=REGISTRY,
)
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))


class CountRequests:
    """Middleware: counts every answer. Method names are a client's own, so strange ones share a label."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and count its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in _METHODS else "other"

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                REQUESTS.labels(method, str(message["status"])).inc()
            await send(message)

        try:
            await self._app(scope, receive, counted)
        except Exception:
            REQUESTS.labels(method, "500").inc()
            raise


async def get(_: Request) -> Response:
    """Answer `GET /metrics`."""
    return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)
