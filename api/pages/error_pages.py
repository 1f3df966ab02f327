"""Refusals and failures of pages, as pages; who has no session is sent to sign in."""

from __future__ import annotations

from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from api.errors import ApiError
from api.pages.session import SignInNeeded, sign_in_url
from api.pages.site import Site

_TITLES = {
    400: "That was not understood",
    403: "Not for this key",
    404: "Nothing here",
    405: "That cannot be done here",
    408: "This took too long",
    413: "Too large",
    422: "That cannot be shown",
    429: "Too many requests",
    503: "Not available right now",
}


def handlers(site: Site) -> dict[Any, Any]:
    """Return what renders which exception."""

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, ApiError)
        headers = {name: value for name, value in error.headers.items() if name != "WWW-Authenticate"}
        details = [f"{detail.field}: {detail.message}" for detail in error.details]
        return _page(site, request, error.status, error.message, details, headers)

    async def framework(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        said = "There is no such page." if error.status_code == 404 else str(error.detail)
        return _page(site, request, error.status_code, said, [], dict(error.headers or {}))

    async def unforeseen(request: Request, _: Exception) -> Response:
        # It goes on to the application around this one, which logs it.
        return _page(site, request, 500, "An error inside fswire; its log tells more.", [], {})

    async def no_session(request: Request, _: Exception) -> Response:
        return RedirectResponse(sign_in_url(request), 303)

    return {
        ApiError: refused,
        HTTPException: framework,
        SignInNeeded: no_session,
        Exception: unforeseen,
    }


def _page(
    site: Site, request: Request, status: int, said: str, details: list[str], headers: dict[str, str]
) -> Response:
    return site.page(
        request,
        "error.html",
        title=_TITLES.get(status, "Something went wrong"),
        status=status,
        headers=headers,
        said=said,
        details=details,
        again=status in (408, 429, 503) and request.method == "GET",
    )
