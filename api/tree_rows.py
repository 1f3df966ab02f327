"""Nodes of the virtual tree from the table `files`: by place or by file id, many with one query.

A directory that nobody reported by itself is there while something below it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, NamedTuple, TypeVar

import msgspec

from api.database import Database
from processors.notify import derived_id

AT_ONCE = 128
"""Places or ids of one query: as many as the store answers in a third of a second."""
_SETTINGS: dict[str, Any] = {"max_execution_time": 10}
_UNIDENTIFIED = 100_000
"""Rows without an id of their own that are searched for one."""
_SELECT = (
    "SELECT project_id, path, is_dir, size, mode, owner_uid, owner_gid, mtime_ns, birth_ns, acl, flags,"
    " file_id, toUnixTimestamp64Micro(occurred) AS occurred_us FROM files FINAL WHERE "
)
_SELECT_UNIDENTIFIED = (
    "SELECT project_id, path FROM files FINAL"
    " WHERE project_id IN {projects:Array(String)} AND file_id = 0 LIMIT {limit:UInt32}"
)
_T = TypeVar("_T")


class Place(NamedTuple):
    """Where something is; `path` is relative to the project, empty for its root."""

    project: str
    path: str


class Wanted(NamedTuple):
    """A file id, decimal and below 2^64, that somebody looks for in some projects."""

    identity: str
    projects: tuple[str, ...]


class Row(msgspec.Struct):
    """A row of the table `files`, as far as the tree shows it."""

    project_id: str
    path: str
    is_dir: bool
    size: int | None
    mode: int | None
    owner_uid: int | None
    owner_gid: int | None
    mtime_ns: int | None
    birth_ns: int | None
    acl: str
    flags: list[str]
    file_id: int
    occurred_us: int
    """An event may lie in 2299, past what fits in nanoseconds."""


class Node(msgspec.Struct, frozen=True):
    """A file or directory of the tree; what is unknown is None."""

    path: str
    """Absolute, `/` or `/<projectId>…`."""
    file_id: str
    """Decimal."""
    is_dir: bool
    project: str | None = None
    """None: it is the root."""
    row: Row | None = None
    """What is known of it; None where only things below it are."""


class _Above(msgspec.Struct):
    number: int


class _Unidentified(msgspec.Struct):
    project_id: str
    path: str


class TreeRows:
    """Asks the database; Unavailable where it does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def at(self, places: list[Place]) -> dict[Place, Node]:
        """Return what is at each of some places; a project's root is always there."""
        rows = await self._rows_at(places)
        bare = [place for place in places if not place.path]
        above = await self._above_something([place for place in places if place not in rows and place.path])
        if above:
            # the row of a directory comes before those below it, and may have come between the two queries
            rows |= await self._rows_at(above)
        return {place: _node(place, rows.get(place)) for place in (*rows, *bare, *above)}

    async def identified(self, wanted: list[Wanted]) -> dict[Wanted, Node]:
        """Return what has each of some ids that agents gave."""
        rows = await self._read(
            _SELECT + "project_id IN {projects:Array(String)} AND file_id IN {ids:Array(UInt64)}",
            Row,
            projects=_projects(wanted),
            ids=[int(each.identity) for each in wanted],
        )
        return {
            each: _node(Place(row.project_id, row.path), row)
            for each in wanted
            for row in rows
            if str(row.file_id) == each.identity and row.project_id in each.projects
        }

    async def derived(self, wanted: list[Wanted]) -> dict[Wanted, Place]:
        """Return the place whose derived id each of some ids is."""
        rows = await self._read(
            _SELECT_UNIDENTIFIED, _Unidentified, projects=_projects(wanted), limit=_UNIDENTIFIED
        )
        return await asyncio.to_thread(_derived, wanted, rows)

    async def _rows_at(self, places: list[Place]) -> dict[Place, Row]:
        rows = await self._read(
            _SELECT + "(project_id, path) IN arrayZip({projects:Array(String)}, {paths:Array(String)})",
            Row,
            projects=[place.project for place in places],
            paths=[place.path for place in places],
        )
        return {Place(row.project_id, row.path): row for row in rows}

    async def _above_something(self, places: list[Place]) -> list[Place]:
        if not places:
            return []
        parameters: dict[str, str] = {}
        for number, (project, path) in enumerate(places):
            parameters |= {f"in{number}": project, f"from{number}": f"{path}/", f"to{number}": f"{path}0"}
        found = await self._read(
            " UNION ALL ".join(map(_select_below, range(len(places)))), _Above, **parameters
        )
        return [places[each.number] for each in found]

    async def _read(self, sql: str, row: type[_T], **parameters: Any) -> list[_T]:
        return await self._database.rows(sql, parameters, row, _SETTINGS)


def _select_below(number: int) -> str:
    return (
        f"(SELECT {number} AS number FROM files FINAL WHERE project_id = {{in{number}:String}}"  # noqa: S608  values are bound
        f" AND path > {{from{number}:String}} AND path < {{to{number}:String}} LIMIT 1)"
    )


def _node(place: Place, row: Row | None) -> Node:
    project, path = place
    identity = str(row.file_id) if row is not None and row.file_id and path else derived_id(project, path)
    is_dir = row is None or row.is_dir or not path
    return Node(f"/{project}/{path}" if path else f"/{project}", identity, is_dir, project, row)


def _projects(wanted: Iterable[Wanted]) -> list[str]:
    return sorted({project for each in wanted for project in each.projects})


def _derived(wanted: Iterable[Wanted], rows: Iterable[_Unidentified]) -> dict[Wanted, Place]:
    """Find the paths, or directories above them, whose derived ids these are."""
    by_id: dict[str, list[Wanted]] = {}
    for each in wanted:
        by_id.setdefault(each.identity, []).append(each)
    found: dict[Wanted, Place] = {}
    for place in dict.fromkeys(place for row in rows for place in _down_to(row)):
        for each in by_id.get(derived_id(*place), ()):
            if place.project in each.projects:
                found[each] = place
    return found


def _down_to(row: _Unidentified) -> Iterable[Place]:
    names = row.path.split("/")
    return (Place(row.project_id, "/".join(names[:length])) for length in range(1, len(names) + 1))
