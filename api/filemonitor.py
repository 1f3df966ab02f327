"""The file monitor of Torrent Server over HTTP, so that clients of its Tastypie resource work unmodified.

In: requests below `/rundb/api/v1/`. Out: Tastypie's answers, errors included (contracts: filemonitor).
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from api import auth, filemonitor_form, visit
from api import filemonitor_list as lists
from api.access import Access
from api.body import decoded_object, read_body, require_json
from api.errors import ApiError, BadRequest, NotFound
from api.filemonitor_answers import allowing, empty, refusal, rendered, shown, unforeseen, uri_of
from api.filemonitor_answers import unauthorized as refused
from api.filemonitor_desk import Desk
from api.filemonitor_form import RESOURCE
from api.filemonitor_schema import ENDPOINTS, METHODS, ROOT, SCHEMA
from processors.transfer_commands import Change, Clear, Create, Delete, Patch, Put, Replace
from processors.transfer_filters import Pairs

_ID = re.compile(r"[0-9]{1,19}", re.ASCII)
_READING = ("GET",)
_OVERRIDE = "x-http-method-override"
_log = structlog.get_logger()

Handler = Callable[[Request, str], Awaitable[Response]]
"""Takes a request and the id of its key."""


class Resource:
    """One place below the root: which methods it has, and what each does."""

    def __init__(self, access: Access, handlers: dict[str, Handler]) -> None:
        self._access = access
        self._handlers = handlers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        request = Request(scope, receive)
        try:
            answer = await self._answered(request)
        except ApiError as error:
            answer = refusal(request, error)
        except ClientDisconnect:
            raise  # nobody is left to be answered; `api.errors` counts it
        except Exception as error:  # noqa: BLE001  whatever it was, the client gets Tastypie's words
            _log.error("request failed", method=request.method, path=request.url.path, error=repr(error))
            answer = unforeseen(request)
        await answer(scope, receive, send)

    async def _answered(self, request: Request) -> Response:
        if not request.url.path.endswith("/"):
            return RedirectResponse(request.url.replace(path=request.url.path + "/"), 301)
        method = request.method
        if method == "POST":
            method = request.headers.get(_OVERRIDE, method).upper()
        methods = tuple(self._handlers)
        if method == "OPTIONS":
            return allowing(methods, 200)
        handler = self._handlers.get("GET" if method == "HEAD" else method)
        if handler is None:
            return allowing(methods, 405)
        return await handler(request, await self._key_id(request, method))

    async def _key_id(self, request: Request, method: str) -> str:
        """Return the key that the request carries. Unauthorized unless it may do this."""
        scope = auth.FILES_READ if method in ("GET", "HEAD") else auth.FILES_WRITE
        visit.note(scope=scope)
        key = await self._access.authenticate(_credentials(request))
        if not auth.has_scope(key, scope):
            raise refused()
        return key.id


def _credentials(request: Request) -> bytes | None:
    """Return what the request proves itself with: its header, or `username` and `api_key` of its query."""
    given = request.headers.get("authorization")
    user, key = request.query_params.get("username"), request.query_params.get("api_key")
    if given is None and user and key:
        return f"ApiKey {user}:{key}".encode()
    return None if given is None else given.encode("latin-1", "replace")


class FileMonitor:
    """What each method does."""

    def __init__(self, desk: Desk, max_body_bytes: int) -> None:
        self._desk = desk
        self._max_body_bytes = max_body_bytes

    async def list(self, request: Request, _key_id: str) -> Response:
        """Answer with a page of transfers."""
        asked = lists.wanted(_pairs(request))
        transfers = await self._desk.transfers()
        return rendered(request, await lists.paged(transfers.newest_first(), asked))

    async def create(self, request: Request, key_id: str) -> Response:
        """Make a transfer."""
        fields = filemonitor_form.fields(await self._object(request))
        answer = await self._desk.decided(Create, key_id, fields=fields)
        return empty(201, Location=uri_of(answer.id or 0))

    async def replace(self, request: Request, key_id: str) -> Response:
        """Put transfers in place of those that the filters match."""
        objects, _ = filemonitor_form.listed(await self._body(request))
        query = self._filters(request)
        made = [filemonitor_form.fields(each) for each in objects]
        await self._desk.decided(Replace, key_id, objects=made, query=query)
        return empty(204)

    async def change(self, request: Request, key_id: str) -> Response:
        """Change, make and delete transfers: all of it or nothing."""
        objects, deleted = filemonitor_form.listed(await self._body(request))
        try:
            changed = [filemonitor_form.addressed(each) for each in objects]
            gone = [filemonitor_form.id_of(each) for each in deleted]
        except ValueError as error:
            raise NotFound(str(error)) from None
        answer = await self._desk.decided(Change, key_id, objects=changed, deleted=gone)
        if answer.result == "absent":
            raise NotFound("what is to be deleted does not exist")
        return empty(202)

    async def clear(self, request: Request, key_id: str) -> Response:
        """Delete what the filters match."""
        await self._desk.decided(Clear, key_id, query=self._filters(request))
        return empty(204)

    async def show(self, request: Request, _key_id: str) -> Response:
        """Answer with one transfer."""
        identity = _id(request)
        found = (await self._desk.transfers()).rows.get(identity)
        return empty(404) if found is None else rendered(request, shown(found))

    async def put(self, request: Request, key_id: str) -> Response:
        """Write to a transfer, or make it."""
        identity = _id(request)
        fields = filemonitor_form.fields(await self._object(request))
        answer = await self._desk.decided(Put, key_id, id=identity, fields=fields)
        return empty(204) if answer.result == "written" else empty(201, Location=uri_of(identity))

    async def patch(self, request: Request, key_id: str) -> Response:
        """Write to a transfer that is there."""
        identity = _id(request)
        fields = filemonitor_form.fields(await self._object(request))
        answer = await self._desk.decided(Patch, key_id, id=identity, fields=fields)
        return empty(404 if answer.result == "absent" else 202)

    async def delete(self, request: Request, key_id: str) -> Response:
        """Cancel a transfer, and forget it."""
        answer = await self._desk.decided(Delete, key_id, id=_id(request))
        return empty(404 if answer.result == "absent" else 204)

    async def not_implemented(self, request: Request, _key_id: str) -> Response:
        """Answer a POST on one transfer as Tastypie does."""
        _id(request)
        return empty(501)

    async def some(self, request: Request, _key_id: str) -> Response:
        """Answer with the transfers that a path names, and those ids that there are not."""
        wanted = request.path_params["ids"].split(";")
        if not all(map(_ID.fullmatch, wanted)):
            raise NotFound("Invalid resource lookup data provided (mismatched type).")
        rows = (await self._desk.transfers()).rows
        body: dict[str, object] = {
            "objects": [shown(rows[int(each)]) for each in wanted if int(each) in rows]
        }
        missing = [each for each in wanted if int(each) not in rows]
        return rendered(request, body | {"not_found": missing} if missing else body)

    async def schema(self, request: Request, _key_id: str) -> Response:
        """Answer with what each field is."""
        return rendered(request, SCHEMA)

    async def _object(self, request: Request) -> dict[str, object]:
        return decoded_object(await self._body(request))

    async def _body(self, request: Request) -> bytes:
        require_json(request.scope)
        return await read_body(request.scope, request.receive, self._max_body_bytes)

    def _filters(self, request: Request) -> Pairs:
        """Return the query of a write on the list, once its filters are known to be good."""
        pairs = _pairs(request)
        lists.checked_filters(pairs)
        return [pair for pair in pairs if pair[0] not in ("username", "api_key")]


def _pairs(request: Request) -> list[tuple[str, str]]:
    return lists.pairs_of(request.scope["query_string"])


def _id(request: Request) -> int:
    text = request.path_params["id"]
    if not _ID.fullmatch(text) or int(text) >= 2**63:
        raise NotFound("Invalid resource lookup data provided (mismatched type).")
    return int(text)


def _endpoints(request: Request) -> Response:
    if not request.url.path.endswith("/"):
        return RedirectResponse(request.url.replace(path=request.url.path + "/"), 301)
    if request.method == "OPTIONS":
        return allowing(_READING, 200)
    return rendered(request, ENDPOINTS) if request.method in ("GET", "HEAD") else allowing(_READING, 405)


class Root:
    """The api's root, which needs no key."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        request = Request(scope, receive)
        try:
            answer = _endpoints(request)
        except BadRequest as error:
            answer = refusal(request, error)
        await answer(scope, receive, send)


def routes(access: Access, desk: Desk, max_body_bytes: int) -> list[BaseRoute]:
    """Return the routes of the contract, each with its slash and without."""
    monitor = FileMonitor(desk, max_body_bytes)
    listed = (monitor.list, monitor.create, monitor.replace, monitor.clear, monitor.change)
    one = (monitor.show, monitor.not_implemented, monitor.put, monitor.delete, monitor.patch)
    places: dict[str, ASGIApp] = {
        ROOT: Root(),
        RESOURCE: Resource(access, dict(zip(METHODS, listed, strict=True))),
        f"{RESOURCE}schema/": Resource(access, {"GET": monitor.schema}),
        f"{RESOURCE}set/{{ids}}/": Resource(access, {"GET": monitor.some}),
        f"{RESOURCE}{{id}}/": Resource(access, dict(zip(METHODS, one, strict=True))),
    }
    return [
        Route(path, resource) for whole, resource in places.items() for path in (whole, whole.rstrip("/"))
    ]
