"""Signing in with a key, and out again."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from api.errors import Unauthorized
from api.pages.parts import Parts
from api.pages.session import own_page


class SignIn:
    """The form, and what it sends."""

    def __init__(self, parts: Parts) -> None:
        self._site = parts.site
        self._sessions = parts.sessions

    async def get(self, request: Request) -> Response:
        """Show the form."""
        return self._form(request, self._sessions.visitor(request))

    async def post(self, request: Request) -> Response:
        """Begin a session and lead back to where the browser came from."""
        visitor = self._sessions.visitor(request)
        fields = await self._sessions.form(request)
        response = RedirectResponse(own_page(fields.get("next", "")), 303)
        try:
            await self._sessions.begin(request, response, fields.get("key", ""))
        except Unauthorized:
            return self._form(request, visitor, refused=True, next_page=fields.get("next", ""))
        return response

    async def out(self, request: Request) -> Response:
        """End the session."""
        await self._sessions.reader(request, scope=None)
        await self._sessions.form(request)
        response = RedirectResponse("/pages/sign-in", 303)
        self._sessions.end(response)
        return response

    def _form(
        self, request: Request, visitor: str, *, refused: bool = False, next_page: str | None = None
    ) -> Response:
        page = self._site.page(
            request,
            "sign_in.html",
            title="Sign in",
            status=401 if refused else 200,
            refused=refused,
            next_page=own_page(next_page or request.query_params.get("next", "")),
        )
        return self._sessions.keep_visitor(request, page, visitor)


def routes(parts: Parts) -> list[Route]:
    """Return the routes of this module."""
    sign_in = SignIn(parts)
    return [
        Route("/sign-in", sign_in.get, methods=["GET"]),
        Route("/sign-in", sign_in.post, methods=["POST"]),
        Route("/sign-out", sign_in.out, methods=["POST"]),
    ]
