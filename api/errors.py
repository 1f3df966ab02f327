"""Every refusal of the api, and the one shape in which all of them are answered.

    ApiError
    ├── BadRequest 400            ├── BodyTooLarge 413
    ├── Unauthorized 401          ├── UnsupportedMediaType 415
    ├── Forbidden 403             ├── FieldsRefused 422
    ├── NotFound 404              ├── TooManyRequests 429 (retriable)
    ├── QueryTimeout 408          └── Unavailable 503 (retriable)
    ├── BodyTimeout 408
    ├── NotAcceptable 406
    ├── Conflict 409

What Starlette refuses by itself (404, 405) and what fails unforeseen (500) is rendered here as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import structlog
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

_log = structlog.get_logger()


class Detail(msgspec.Struct, frozen=True):
    """One field that was refused, and why; never the value of a token."""

    field: str
    message: str


class ErrorBody(msgspec.Struct, frozen=True):
    """The body of every answer that is not a success."""

    error: str
    """What was expected and what came, for people."""
    code: str
    """The same for programs: a slug that does not change."""
    details: list[Detail]
    """Every bad field by name."""
    status: str = "error"


class ApiError(Exception):
    """A refusal: rendered by `answer`, whoever raises it."""

    status = 500
    code = "internal"
    retriable = False

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        details: Sequence[Detail] = (),
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.details = list(details)
        self.headers = dict(headers or {})
        self.more = dict(more or {})


class BadRequest(ApiError):
    status = 400
    code = "bad_request"


class Unauthorized(ApiError):
    status = 401
    code = "unauthorized"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message, code=code, headers={"WWW-Authenticate": 'Bearer realm="fswire"'})


class Forbidden(ApiError):
    status = 403
    code = "forbidden"


class NotFound(ApiError):
    status = 404
    code = "not_found"


class NotAcceptable(ApiError):
    status = 406
    code = "not_acceptable"


class QueryTimeout(ApiError):
    status = 408
    code = "query_timeout"


class BodyTimeout(ApiError):
    """The client sends its body too slowly; the connection ends with the answer."""

    status = 408
    code = "body_timeout"

    def __init__(self, message: str) -> None:
        super().__init__(message, headers={"Connection": "close"})


class Conflict(ApiError):
    status = 409
    code = "conflict"


class BodyTooLarge(ApiError):
    status = 413
    code = "body_too_large"


class UnsupportedMediaType(ApiError):
    status = 415
    code = "unsupported_media_type"


class FieldsRefused(ApiError):
    """Fields or query parameters that no rule allows; `details` names every one."""

    status = 422
    code = "validation_failed"

    def __init__(self, details: Sequence[Detail]) -> None:
        names = ", ".join(detail.field for detail in details)
        super().__init__(f"validation failed: {names}", details=details)


class TooManyRequests(ApiError):
    """Somebody asks too often: the same request may be sent again after `Retry-After` seconds."""

    status = 429
    code = "rate_limited"
    retriable = True

    def __init__(self, message: str, *, code: str | None = None, retry_after_s: int = 1) -> None:
        super().__init__(message, code=code, headers={"Retry-After": str(retry_after_s)})


class Unavailable(ApiError):
    """Nothing was promised: the same request may be sent again after `Retry-After` seconds."""

    status = 503
    code = "unavailable"
    retriable = True

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        retry_after_s: int = 1,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message, code=code, headers={"Retry-After": str(retry_after_s)}, more=more)


def body(error: ApiError) -> dict[str, Any]:
    """Return the body of a refusal."""
    members: dict[str, Any] = msgspec.to_builtins(ErrorBody(error.message, error.code, error.details))
    return {"status": members.pop("status")} | members | error.more


def answer(error: ApiError) -> Response:
    """Return the response of a refusal."""
    return Response(
        msgspec.json.encode(body(error)), error.status, headers=error.headers, media_type="application/json"
    )


async def _api_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return answer(error)


async def _framework_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(sorted(headers.get("Allow", "").split(", ")))
        refusal = ApiError(
            f"{request.method} is not allowed here", code="method_not_allowed", headers=headers
        )
    elif error.status_code == 404:
        refusal = NotFound("no such route", code="no_such_route")
    else:
        refusal = ApiError(str(error.detail), code="http_error", headers=headers)
    refusal.status = error.status_code
    return answer(refusal)


async def _unforeseen(request: Request, error: Exception) -> Response:
    _log.error("request failed", method=request.method, path=request.url.path, error=repr(error))
    return answer(ApiError("an error inside fswire; its log tells more"))


async def _gone(_request: Request, _error: Exception) -> Response:
    """The client left before its body was there: nobody reads this, only its status is counted."""
    return Response(status_code=499)


HANDLERS: dict[Any, Any] = {
    ClientDisconnect: _gone,
    ApiError: _api_error,
    HTTPException: _framework_error,
    Exception: _unforeseen,
}
"""For the application: what renders which exception."""
