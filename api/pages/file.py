"""A file's page: everything that ever happened to one path, through renames; the same content elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agent.paths import MAX_PATH_BYTES
from api.errors import BadRequest
from api.history import Row, Run, item
from api.pages import event_row, file_past
from api.pages.attributes import Difference, differences
from api.pages.event_row import EventRow
from api.pages.file_queries import FileQueries
from api.pages.parts import Parts

ROWS = 20
"""They lie far apart in the table: each costs a granule to read."""
NEWEST = 2**63 - 1


class File:
    """Finds what was told first, then asks for all of what is shown."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def get(self, request: Request) -> Response:
        """Answer a request: `path` names the file, `before` the place in its history."""
        project: str = request.path_params["project"]
        reader = await self._parts.sessions.reader(request, project=project)
        path, before = _path(request), _before(request)
        queries = FileQueries(self._parts, project, path, before)
        state, (told, former) = await asyncio.gather(queries.state(), file_past.told_of(queries, path))
        now = state.sha256_hex if state else ""
        rows, copies = await asyncio.gather(queries.rows(told[:ROWS]), queries.elsewhere(now, reader.rows))
        contents = file_past.contents(rows)
        last = contents[0].sha256_hex if contents and state is None else ""
        runs, copies_of_last = await asyncio.gather(
            self._parts.history.runs(project, rows), queries.elsewhere(last, reader.rows)
        )
        return self._parts.site.page(
            request,
            "file.html",
            title=path.rpartition("/")[2] or project,
            status=200 if told or state else 404,
            project=project,
            path=path,
            state=state,
            events=[_shown(row, runs.get(row.event_id, ())) for row in rows],
            contents=contents,
            who=file_past.who(rows),
            looked_at=len(rows) if len(told) > ROWS else None,
            former=former,
            content=now or last,
            copies=copies or copies_of_last,
            first=_address(project, path) if before != NEWEST else None,
            next=_address(project, path, told[ROWS - 1]) if len(told) > ROWS else None,
        )


def _shown(row: Row, runs: Sequence[Run]) -> tuple[EventRow, list[Difference]]:
    shown = event_row.of_item(item(row, runs))
    return shown, differences(shown)


def _path(request: Request) -> str:
    path = request.query_params.get("path", "")
    if len(path.encode()) > MAX_PATH_BYTES:
        raise BadRequest(f"path: must be at most {MAX_PATH_BYTES} bytes")
    return path


def _before(request: Request) -> int:
    given = request.query_params.get("before", str(NEWEST))
    if not (given.isascii() and given.isdigit() and int(given) <= NEWEST):
        raise BadRequest("before: is not a place in this list")
    return int(given)


def _address(project: str, path: str, before: int | None = None) -> str:
    place = {} if before is None else {"before": before}
    return f"/pages/projects/{project}/file?{urlencode({'path': path} | place)}"


def routes(parts: Parts) -> list[Route]:
    """Return the routes of this module."""
    return [Route("/projects/{project}/file", File(parts).get, methods=["GET"])]
