"""Answers of the file monitor as Tastypie words them: JSON or JSONP, and its shapes of errors. Pure."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from api.errors import ApiError, BadRequest, Unauthorized
from api.filemonitor_form import RESOURCE
from processors.transfer_records import Transfer, offset_form

_CALLBACK = re.compile(r"[A-Za-z_$][\w$]*(\.[A-Za-z_$][\w$]*|\[\d+\])*", re.ASCII)
_MAX_CALLBACK_CHARS = 200
_SEPARATORS = {"\u2028": "\\u2028", "\u2029": "\\u2029"}
"""Ends of a line in JavaScript, but not in JSON."""
_REALM = {"WWW-Authenticate": 'Basic realm="fswire"'}
_encode = msgspec.json.Encoder().encode


def shown(transfer: Transfer) -> dict[str, Any]:
    """Return a transfer as clients see it: sizes are strings, times have an offset."""
    return {
        "celery_task_id": transfer.celery_task_id,
        "created": offset_form(transfer.created),
        "id": transfer.id,
        "local_dir": transfer.local_dir,
        "md5sum": transfer.md5sum,
        "name": transfer.name,
        "progress": str(transfer.progress),
        "resource_uri": uri_of(transfer.id),
        "size": None if transfer.size is None else str(transfer.size),
        "status": transfer.status,
        "tags": transfer.tags,
        "updated": offset_form(transfer.updated),
        "url": transfer.url,
    }


def uri_of(identity: int) -> str:
    """Return the uri of a transfer."""
    return f"{RESOURCE}{identity}/"


def rendered(request: Request, body: Any, status: int = 200) -> Response:
    """Return a body as JSON, or as a call of the function that the request names. Raises BadRequest."""
    encoded = _encode(body)
    callback = _callback(request)
    if callback is None:
        return Response(encoded, status, media_type="application/json")
    if len(callback) > _MAX_CALLBACK_CHARS or not _CALLBACK.fullmatch(callback):
        raise BadRequest("JSONP callback name is invalid")
    text = encoded.decode()
    for separator, escaped in _SEPARATORS.items():
        text = text.replace(separator, escaped)
    headers = {"X-Content-Type-Options": "nosniff", "Content-Type": "text/javascript"}
    return Response(f"{callback}({text})", status, headers=headers)


def _callback(request: Request) -> str | None:
    """Return the name of a function where the request wants JSONP."""
    wanted, name = request.query_params.get("format"), request.query_params.get("callback")
    if wanted == "json":
        return None
    accepted = request.headers.get("accept", "").partition(",")[0].partition(";")[0].strip().lower()
    if wanted == "jsonp" or name is not None or accepted == "text/javascript":
        return "callback" if name is None else name
    return None


def empty(status: int, **headers: str) -> Response:
    """Return an answer without a body."""
    return Response(None, status, headers=headers)


def allowing(methods: tuple[str, ...], status: int) -> Response:
    """Return what OPTIONS, or a method that is not among them, is answered."""
    allow = ",".join(methods)
    return Response(allow if status == 200 else None, status, {"Allow": allow}, media_type="text/plain")


def refusal(request: Request, error: ApiError) -> Response:
    """Return the answer to a request that is refused."""
    if error.status in (401, 403):  # Tastypie knows no 403
        return empty(401, **_REALM)
    name = "error" if error.status in (400, 413, 415) else "error_message"
    status = error.status
    try:
        answer = rendered(request, {name: error.message}, status)
    except BadRequest as bad:  # its callback, of all things
        answer = Response(_encode({"error": bad.message}), 400, media_type="application/json")
    answer.headers.update(error.headers)
    return answer


def unforeseen(request: Request) -> Response:
    """Return the answer to a request that failed inside; nothing of why."""
    told = {"error_message": "Sorry, this request could not be processed. Please try again later."}
    try:
        return rendered(request, told, 500)
    except BadRequest:
        return Response(_encode(told), 500, media_type="application/json")


def unauthorized() -> Unauthorized:
    """Return the refusal of a request without a key that may do it."""
    return Unauthorized("a key is required")
