"""The audit pages as one application below `/pages`: every page's routes, their errors, their headers."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Mount

from api.pages import (
    agents,
    assets,
    dead_letters,
    error_pages,
    file,
    files,
    gaps,
    live_rows,
    overview,
    project,
    projects,
    sign_in,
    transfers,
    workflows,
)
from api.pages.headers import SecurityHeaders
from api.pages.parts import Parts

_MODULES = (
    assets,
    sign_in,
    overview,
    projects,
    project,
    live_rows,
    file,
    agents,
    gaps,
    workflows,
    dead_letters,
    files,
    transfers,
)


def mounted(parts: Parts) -> Mount:
    """Return the pages, for the application to mount."""
    routes: list[BaseRoute] = [route for module in _MODULES for route in module.routes(parts)]
    pages = Starlette(
        routes=routes,
        middleware=[Middleware(SecurityHeaders)],
        exception_handlers=error_pages.handlers(parts.site),
    )
    pages.router.redirect_slashes = False
    return Mount("/pages", pages)
