"""Files: the tree of a project, a directory at a time, now and as it was at any moment in the past."""

from __future__ import annotations

import time
from urllib.parse import urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agent.paths import MAX_PATH_BYTES
from api.errors import BadRequest
from api.pages import lineage, listing, listing_queries
from api.pages.lineage import Moment, Segment, Turn
from api.pages.listing import Entry
from api.pages.parts import Parts
from api.timestamps import parse_us
from processors.instants import iso

ROWS = 200
MAX_ROUNDS = 16
"""How often renames of renamed directories are looked for before what is known by then must do."""
_PROJECTS = """
SELECT project_id AS project, countIf(NOT is_dir) AS files, sumIf(ifNull(size, 0), NOT is_dir) AS bytes,
    toUnixTimestamp64Micro(max(occurred)) AS told_us
FROM files FINAL WHERE ROWS GROUP BY project_id ORDER BY project_id LIMIT 1000
"""
_TURNS = """
SELECT path, if(event = 'renamed', renamed_to, '') AS target, toUnixTimestamp64Micro(occurred) AS at_us,
    raw_offset, raw_index
FROM events
WHERE project_id = {project:String} AND (is_dir OR source = 'http')
    AND (path IN {names:Array(String)} AND event IN ('deleted', 'renamed')
        OR renamed_to IN {names:Array(String)} AND event = 'renamed')
LIMIT 10000
"""
_AGO = (("now", 0), ("10 min ago", 600), ("1 h ago", 3_600), ("1 day ago", 86_400), ("7 days ago", 604_800))


class _Project(msgspec.Struct):
    project: str
    files: int
    bytes: int
    told_us: int


class _Turn(msgspec.Struct):
    path: str
    target: str
    at_us: int
    raw_offset: int
    raw_index: int


class Files:
    """Serves the pages."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def projects(self, request: Request) -> Response:
        """Show the projects whose trees the reader may see."""
        reader = await self._parts.sessions.reader(request)
        found = await self._parts.rows(_PROJECTS.replace("ROWS", reader.rows), {}, _Project)
        return self._parts.site.page(request, "files.html", title="Files", projects=found)

    async def directory(self, request: Request) -> Response:
        """Show a directory of a project."""
        project = request.path_params["project"]
        await self._parts.sessions.reader(request, project=project)
        path, at_us = _path(request), _moment(request)
        after = _after(request.query_params.get("after", ""))
        names: list[Segment] = []
        if at_us is None:
            sql, bounds = listing_queries.now(project, path, after, ROWS + 1)
        else:
            then = lineage.end_of(at_us)
            turns = await self._turns(project, path, then)
            names = lineage.before(path, then, turns)
            sql, bounds = listing_queries.then(
                project, names, lineage.since(path, then, turns), after, ROWS + 1
            )
        found = await self._parts.rows(sql, bounds, Entry)
        return self._parts.site.page(
            request,
            "directory.html",
            title=f"{project}/{path}" if path else project,
            project=project,
            path=path,
            crumbs=_crumbs(path),
            entries=[listing.as_of(each) for each in found[:ROWS]],
            at_us=at_us,
            at=_local(at_us),
            link=lambda to, moment_us=at_us: _url(project, to, moment_us),
            moments=[(label, _url(project, path, _ago_us(ago_s))) for label, ago_s in _AGO],
            former=[each.name for each in names[1:]],
            first=_url(project, path, at_us) if after[1] else None,
            next=_url(project, path, at_us, found[ROWS - 1]) if len(found) > ROWS else None,
        )

    async def _turns(self, project: str, path: str, then: Moment) -> list[Turn]:
        """Return what became of the directory and of those above it, under all names that it had."""
        names, turns = {path}, list[Turn]()
        for _ in range(MAX_ROUNDS):
            wanted = sorted({line for name in names for line in lineage.lines(name)})
            if not wanted:
                return []
            found = await self._parts.rows(_TURNS, {"project": project, "names": wanted}, _Turn)
            turns = [_turn(each) for each in found]
            segments = lineage.before(path, then, turns) + lineage.since(path, then, turns)
            known, names = names, names | {each.name for each in segments}
            if names == known:
                break
        return turns


def _turn(row: _Turn) -> Turn:
    return Turn(Moment(row.at_us, row.raw_offset, row.raw_index), row.path, row.target or None)


def _path(request: Request) -> str:
    path = request.query_params.get("path", "").strip("/")
    if len(path.encode()) > MAX_PATH_BYTES:
        raise BadRequest(f"path: must be at most {MAX_PATH_BYTES} bytes")
    return path


def _moment(request: Request) -> int | None:
    given = request.query_params.get("at", "")
    if not given:
        return None
    try:
        # a form's datetime-local has no seconds where they are 0
        return parse_us(f"{given}:00" if len(given) == len("2026-11-21T07:40") else given.replace(" ", "+"))
    except ValueError as error:
        raise BadRequest(f"at: {error}") from None


def _after(given: str) -> tuple[bool, str]:
    """Return the entry that the page begins behind: is it a file, and its name; directories come first."""
    return given[:1] == "f", given[1:]


def _crumbs(path: str) -> list[tuple[str, str]]:
    """Return each directory on the way to a path: its name and its path."""
    parts = path.split("/") if path else []
    return [(name, "/".join(parts[: index + 1])) for index, name in enumerate(parts)]


def _url(project: str, path: str, at_us: int | None, last: Entry | None = None) -> str:
    given = {"path": path} if path else {}
    if at_us is not None:
        given["at"] = iso(at_us * 1000)
    if last is not None:
        given["after"] = ("d" if last.directory else "f") + last.name
    return f"/pages/files/{project}" + (f"?{urlencode(given)}" if given else "")


def _ago_us(ago_s: int) -> int | None:
    return None if ago_s == 0 else int(time.time() - ago_s) * 1_000_000


def _local(at_us: int | None) -> str:
    """Return a moment as a form's datetime-local takes it."""
    return "" if at_us is None else iso(at_us * 1000)[:19]


def routes(parts: Parts) -> list[Route]:
    """Return the routes of this module."""
    files = Files(parts)
    return [
        Route("/files", files.projects, methods=["GET"]),
        Route("/files/{project}", files.directory, methods=["GET"]),
    ]
