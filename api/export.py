"""`GET …/{project}/export.csv|ndjson|parquet`: a history of any length, streamed, to be resumed at any row.

It is read page by page, each between two places in the history: no query lasts, and for a client that takes
its time nothing is held but the page that it is at, by the database.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from urllib.parse import urlencode

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from api import auth, export_query
from api.access import Access
from api.body import header
from api.cursor import Place
from api.database import Database
from api.errors import ApiError, Unavailable
from api.export_formats import FORMATS
from api.export_pages import Pages, Source
from api.export_query import Span
from api.leaving import Stream, unless_gone
from api.query_string import parameters
from api.settings import ApiSettings

PATH = "/2026-02-01/systems/directory-monitor/{project}/export."
RETRY_AFTER_S = 5
_CLIENT_GONE = 499
"""Nobody reads it; in logs it is what nginx says."""

_log = structlog.get_logger()


class Export:
    """Answers with files; who may have them is the routes' business."""

    def __init__(self, database: Database, settings: ApiSettings) -> None:
        self._source = Source(database, timeout_s=settings.export_timeout_s)
        self._most = settings.export_concurrency
        self._under_way = 0

    async def response(self, request: Request, project: str, extension: str) -> Response:
        """Return the file that a request asks for; what fails before its first bytes is an error."""
        query = export_query.read(parameters(request.scope["query_string"], project), project)
        kind = FORMATS[extension]
        if request.method == "HEAD":
            return Response(media_type=kind.media_type)
        if self._under_way >= self._most:
            raise Unavailable(
                f"{self._most} exports are under way", code="too_many_exports", retry_after_s=RETRY_AFTER_S
            )
        self._under_way += 1
        try:
            until = await unless_gone(request.receive, self._source.end(query))
            file = kind.file(Pages(self._source, query.filters, Span(query.after, until), kind.changed))
            first = await unless_gone(request.receive, anext(file, b""))
        except BaseException:
            self._under_way -= 1
            raise

        async def end() -> None:
            self._under_way -= 1
            await file.aclose()

        headers = {"Content-Disposition": f'attachment; filename="{project}.{extension}"'}
        if until is not None:
            headers["Link"] = f'<?{_following(request, until)}>; rel="next"'
        return Stream(_whole(first, file, project), end=end, headers=headers, media_type=kind.media_type)


def routes(access: Access, export: Export) -> list[BaseRoute]:
    """Return a route for each kind of file."""

    def route(extension: str) -> Route:
        async def get(request: Request) -> Response:
            project: str = request.path_params["project"]
            await access.permit(header(request.scope, b"authorization"), auth.READ, project)
            try:
                return await export.response(request, project, extension)
            except ClientDisconnect:
                return Response(status_code=_CLIENT_GONE)

        return Route(PATH + extension, get, methods=["GET"], name=f"export_{extension}")

    return [route(extension) for extension in FORMATS]


async def _whole(first: bytes, file: AsyncGenerator[bytes], project: str) -> AsyncGenerator[bytes]:
    yield first
    try:
        async for chunk in file:
            yield chunk
    except ApiError as error:
        # The client sees that its file has no end, and can go on from the last row of it.
        _log.warning("export cut off", project=project, error=error.message)
        raise ClientDisconnect from error


def _following(request: Request, place: Place) -> str:
    given = dict(request.query_params)
    return urlencode(given | {"cursor": export_query.cursor_of_row(place)})
