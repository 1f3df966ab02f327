"""Refusals as Qumulo's clients read them: one JSON object with a class that programs can tell apart."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from api.come_again import come_again
from api.errors import ApiError, BadRequest, NotFound, Unavailable
from api.tree_rows import Node

Endpoint = Callable[[Request], Awaitable[ASGIApp]]

_CLASSES = {
    400: "http_bad_request_error",
    401: "http_unauthorized_error",
    403: "http_forbidden_error",
    404: "http_not_found_error",
    405: "http_method_not_allowed_error",
    429: "http_too_many_requests_error",
    503: "http_service_unavailable_error",
}


class _Body(msgspec.Struct, frozen=True):
    module: str
    error_class: str
    description: str
    stack: list[str]
    user_visible: bool
    inner: None


class NotAllowed(ApiError):
    """A route has no such method."""

    status = 405
    code = "method_not_allowed"


class NoSuchEntry(NotFound):
    """Nothing is at a path or under an id, or nothing that this key may know of."""

    code = "fs_no_such_entry_error"


class NotADirectory(BadRequest):
    """A file was asked for what only directories have."""

    code = "fs_not_a_directory_error"


class RecursionDisabled(BadRequest):
    """The settings forbid recursive watches."""

    code = "fs_notify_recursive_disabled_error"


class TooManyWatchers(Unavailable):
    """More streams than this process serves."""

    code = "fs_notify_too_many_watchers_error"


class Overrun(Unavailable):
    """The stream before this request was cut off: some of what happened was not delivered."""

    code = "fs_notify_overrun_error"


class QumuloRoute(Route):
    """A route that refuses a method in this form as well."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request whose path is this route's."""
        if not self.methods or scope["method"] in self.methods:
            await super().handle(scope, receive, send)
            return
        allowed = {"Allow": ", ".join(sorted(self.methods))}
        refusal = NotAllowed(f"{scope['method']} is not allowed here", headers=allowed)
        await answer(refusal)(scope, receive, send)


def existing(node: Node | None) -> Node:
    """Return the node that was looked for; NoSuchEntry where there is none."""
    if node is None:
        raise NoSuchEntry("no such file or directory")
    return node


def answer(error: ApiError) -> Response:
    """Return the response of a refusal."""
    named = error.code if error.code.startswith("fs_") else _CLASSES.get(error.status, "http_error")
    body = _Body("fswire", named, error.message, stack=[], user_visible=True, inner=None)
    return Response(
        msgspec.json.encode(body), error.status, headers=error.headers, media_type="application/json"
    )


def answering(endpoint: Endpoint) -> Endpoint:
    """Return the endpoint with its refusals in this form."""

    async def answered(request: Request) -> ASGIApp:
        try:
            return await endpoint(request)
        except ApiError as error:
            return come_again(request.headers, error) or answer(error)

    return answered
