"""Style sheet, scripts and icon: the few static files, read once. Their URLs change with their content."""

from __future__ import annotations

from importlib.resources import files

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.pages.parts import Parts

_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_KEEP = {"Cache-Control": "public, max-age=31536000, immutable"}


class Assets:
    """Serves what lies in `static`."""

    def __init__(self) -> None:
        self._files = {
            each.name: (each.read_bytes(), _TYPES[each.name.rpartition(".")[2]])
            for each in (files("api.pages") / "static").iterdir()
            if each.name.rpartition(".")[2] in _TYPES
        }

    async def get(self, request: Request) -> Response:
        """Answer a request."""
        found = self._files.get(request.path_params["name"])
        if found is None:
            raise HTTPException(404)
        content, media_type = found
        return Response(content, media_type=media_type, headers=_KEEP)


def routes(_: Parts) -> list[Route]:
    """Return the routes of this module."""
    return [Route("/static/{name}", Assets().get, methods=["GET"])]
