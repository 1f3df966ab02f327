"""The Donutwork directory monitor over HTTP: start a session, ingest an event, read the history.

The two writes are plain ASGI: at a thousand requests a second every layer in between is felt.
"""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from agent.log import Throughput
from api import auth, event_form, history_query, metrics
from api.access import Access
from api.body import header, json_object, received
from api.history import History
from api.ingest import Ingest
from api.ingress import FIELD, HEADER, IngressTokens
from api.query_string import parameters
from processors.registry import Key

MONITOR = "/2026-02-01/directory-monitor/{project}.json"
EVENTS = "/2026-02-01/systems/directory-monitor/{project}/events.json"

_encode = msgspec.json.Encoder().encode


class Monitor:
    """POST starts a session, PUT ingests one event; both answer when the processor has decided."""

    def __init__(self, access: Access, ingest: Ingest, *, max_body_bytes: int) -> None:
        self._access = access
        self._ingest = ingest
        self._max_body_bytes = max_body_bytes
        self._tokens = IngressTokens()
        self._throughput = Throughput("api")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        project: str = scope["path_params"]["project"]
        key = await self._access.permit(header(scope, b"authorization"), auth.WRITE, project)
        if scope["query_string"]:
            parameters(scope["query_string"], project)
        body = await received(scope, receive, send, self._max_body_bytes)
        if body is None:
            return
        if scope["method"] == "PUT":
            with metrics.PUT_SECONDS.time():
                answer = await self._put(scope, project, key, body)
            self._throughput.add(1)
        else:
            answer = await self._start(scope, project, key, body)
        await Response(_encode(answer), media_type="application/json")(scope, receive, send)

    async def _put(self, scope: Scope, project: str, key: Key, body: bytes) -> dict[str, Any]:
        fields = json_object(scope, body)
        await self._check_token(scope, project, fields)
        return await self._ingest.event(project, event_form.read(fields, project), key.id)

    async def _start(self, scope: Scope, project: str, key: Key, body: bytes) -> dict[str, Any]:
        fields = json_object(scope, body) if body.strip() else {}
        await self._check_token(scope, project, fields)
        event_form.check_start(fields, project)
        return await self._ingest.session(project, key.id)

    async def _check_token(self, scope: Scope, project: str, fields: dict[str, Any]) -> None:
        token_hash = self._access.ingress_token_hash(project)
        await self._tokens.check(header(scope, HEADER), fields.get(FIELD), token_hash)


class Events:
    """GET reads a page of a project's history."""

    def __init__(self, access: Access, history: History) -> None:
        self._access = access
        self._history = history

    async def get(self, request: Request) -> Response:
        """Answer a request."""
        project: str = request.path_params["project"]
        await self._access.permit(header(request.scope, b"authorization"), auth.READ, project)
        given = parameters(request.scope["query_string"], project)
        page = await self._history.page(history_query.read(given, project))
        return Response(_encode(page), media_type="application/json")


def routes(monitor: Monitor, events: Events) -> list[BaseRoute]:
    """Return the routes of the contract."""
    return [
        Route(MONITOR, monitor, methods=["POST", "PUT"]),
        Route(EVENTS, events.get, methods=["GET"]),
    ]
