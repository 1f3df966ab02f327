"""The Donutwork directory monitor over HTTP: start a session, ingest events, read the history.

The two writes are plain ASGI: at a thousand requests a second every layer in between is felt.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from agent.log import Throughput
from api import auth, event_form, history_query, metrics
from api.access import Access
from api.body import (
    decoded_object,
    header,
    json_members,
    json_object,
    received,
    require_json,
    too_large,
)
from api.errors import ApiError
from api.errors import body as error_body
from api.event_form import EventForm
from api.history import History
from api.ingest import Ingest
from api.ingress import FIELD, HEADER, IngressTokens
from api.query_string import parameters
from api.settings import ApiSettings
from processors.registry import Key

MONITOR = "/2026-02-01/directory-monitor/{project}.json"
EVENTS = "/2026-02-01/systems/directory-monitor/{project}/events.json"

MAX_BULK_EVENTS = 1_000
"""Of a PUT that is a list: as many as wait for their decision without others waiting long for theirs."""

_encode = msgspec.json.Encoder().encode


class Monitor:
    """POST starts a session, PUT ingests one event or a list; both answer when the processor has decided."""

    def __init__(self, access: Access, ingest: Ingest, tokens: IngressTokens, settings: ApiSettings) -> None:
        self._access = access
        self._ingest = ingest
        self._tokens = tokens
        self._max_body_bytes = settings.max_body_bytes
        self._max_bulk_body_bytes = max(settings.max_bulk_body_bytes, settings.max_body_bytes)
        self._throughput = Throughput("api")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        project: str = scope["path_params"]["project"]
        key = await self._access.permit(header(scope, b"authorization"), auth.WRITE, project)
        if scope["query_string"]:
            parameters(scope["query_string"], project)
        puts = scope["method"] == "PUT"
        limit = self._max_bulk_body_bytes if puts else self._max_body_bytes
        body = await received(scope, receive, send, limit)
        if body is None:
            return
        asked = _Asked(project, key, header(scope, HEADER))
        if puts:
            require_json(scope)
            with metrics.PUT_SECONDS.time():
                response = await self._put(asked, body)
        else:
            response = await self._start(scope, asked, body)
        await response(scope, receive, send)

    async def _put(self, asked: _Asked, body: bytes) -> Response:
        members = json_members(body, MAX_BULK_EVENTS)
        if members is None:
            form = await self._form(asked, body)
            self._throughput.add(1)
            return _response(await self._ingest.event(asked.project, form, asked.key.id))
        if len(members) > 1:
            self._access.admit(asked.key, len(members) - 1)
        # Checked one after the other and published in the same order: only decisions are awaited together.
        forms = [await self._form_or_refusal(asked, member) for member in members]
        answers = await asyncio.gather(*(self._event_or_refusal(asked, form) for form in forms))
        self._throughput.add(len(members))
        return _list_response(answers)

    async def _form(self, asked: _Asked, body: bytes) -> EventForm:
        if len(body) > self._max_body_bytes:
            raise too_large(self._max_body_bytes)
        fields = decoded_object(body)
        await self._check_token(asked, fields)
        return event_form.read(fields, asked.project)

    async def _form_or_refusal(self, asked: _Asked, member: bytes) -> EventForm | ApiError:
        try:
            return await self._form(asked, member)
        except ApiError as refusal:
            return refusal

    async def _event_or_refusal(self, asked: _Asked, form: EventForm | ApiError) -> dict[str, Any] | ApiError:
        if isinstance(form, ApiError):
            return form
        try:
            return await self._ingest.event(asked.project, form, asked.key.id)
        except ApiError as refusal:
            return refusal

    async def _start(self, scope: Scope, asked: _Asked, body: bytes) -> Response:
        fields = json_object(scope, body) if body.strip() else {}
        await self._check_token(asked, fields)
        event_form.check_start(fields, asked.project)
        return _response(await self._ingest.session(asked.project, asked.key.id))

    async def _check_token(self, asked: _Asked, fields: dict[str, Any]) -> None:
        hashes = self._access.ingress_token_hashes(asked.project)
        await self._tokens.check(asked.token, fields.get(FIELD), hashes, asked.key.id)


class _Asked(NamedTuple):
    """What a write is about, and who asks."""

    project: str
    key: Key
    token: bytes | None


def _response(answer: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(_encode(answer), status, headers, "application/json")


def _list_response(answers: Sequence[dict[str, Any] | ApiError]) -> Response:
    """Answer each event in its place: 200 where all are stored, else 207."""
    refusals = [answer for answer in answers if isinstance(answer, ApiError)]
    shown = [
        {"statusCode": answer.status} | error_body(answer)
        if isinstance(answer, ApiError)
        else {"statusCode": 200} | answer
        for answer in answers
    ]
    waits_s = [int(refusal.headers.get("Retry-After", "0")) for refusal in refusals]
    headers = {"Retry-After": str(max(waits_s))} if any(waits_s) else None
    return _response(shown, 207 if refusals else 200, headers)


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
