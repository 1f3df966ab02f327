"""The virtual tree: `/` holds one directory per project, below it the project's files (contracts: README).

Looks at the table `files`, for one key: projects that it may not read do not exist. A path that was just made
may not be a row yet, so that a look waits a little before it says no.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import msgspec

from agent.identity import VIRTUAL_ROOT_ID
from agent.paths import is_project_id
from api import auth
from api.database import Database
from processors.notify import derived_id
from processors.registry import Key, Registry

WAIT_S = 2.0
"""How long a path may take to become a row: the sink flushes every second or sooner."""
_PAUSE_S = 0.1
_SHARED_S = 0.5
"""For so long what a look found is told to others who ask for the same: the table is older than that."""
_SETTINGS: dict[str, Any] = {"max_execution_time": 10}
_UNIDENTIFIED = 100_000
"""Rows without an id of their own that are searched for one."""
_COLUMNS = (
    "project_id, path, is_dir, size, mode, owner_uid, owner_gid, mtime_ns, birth_ns, acl, flags, file_id,"
    " toUnixTimestamp64Micro(occurred) AS occurred_us"
)


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


class VirtualTree:
    """The tree as keys see it."""

    def __init__(
        self, database: Database, registry: Callable[[], Registry], *, wait_s: float = WAIT_S
    ) -> None:
        self._database = database
        self._registry = registry
        self._wait_s = wait_s
        self._looks: dict[tuple[str, str], asyncio.Task[Node | None]] = {}

    def sees(self, key: Key, project: str) -> bool:
        """Tell whether a key may know that a project exists, and it does."""
        return self._registry().project(project) is not None and auth.covers(key, project)

    def projects(self, key: Key) -> list[str]:
        """Return the projects that a key sees, in order."""
        return sorted(project for project in self._registry().projects if auth.covers(key, project))

    async def look(self, path: bytes, reader: Key) -> Node | None:
        """Return what is at an absolute path, None where nothing is. Unavailable: the database is."""
        text = "/" + "/".join(part for part in path.decode(errors="replace").split("/") if part)
        project, _, below = text[1:].partition("/")
        if not project:
            return root()
        if not is_project_id(project) or not self.sees(reader, project):
            return None
        return await asyncio.shield(self._look(project, below))

    def _look(self, project: str, path: str) -> asyncio.Task[Node | None]:
        """Thousands that ask for the same at one time, after a restart, are one look."""
        look = self._looks.get((project, path))
        if look is None:
            look = self._looks[project, path] = asyncio.create_task(self._at(project, path))
            look.add_done_callback(functools.partial(self._looked, (project, path)))
        return look

    def _looked(self, place: tuple[str, str], look: asyncio.Task[Node | None]) -> None:
        found = not look.cancelled() and look.exception() is None and look.result() is not None
        forget = functools.partial(self._looks.pop, place, None)
        if found:
            look.get_loop().call_later(_SHARED_S, forget)
        else:
            forget()

    async def _at(self, project: str, path: str) -> Node | None:
        if not path:
            return _node(project, "", await self._row(project, ""))
        return await self._patiently(lambda: self._find(project, path))

    async def look_all(self, paths: Iterable[bytes], reader: Key) -> dict[bytes, Node | None]:
        """Return what is at each of many absolute paths, none with empty parts: mostly a query a project."""
        paths = list(dict.fromkeys(paths))
        found: dict[bytes, Node | None] = {}
        by_project: dict[str, dict[str, bytes]] = {}
        for path in paths:
            project, _, below = path.decode(errors="replace")[1:].partition("/")
            by_project.setdefault(project, {})[below] = path
        for project, asked in by_project.items():
            if is_project_id(project) and self.sees(reader, project):
                rows = await self._rows("path IN {paths:Array(String)}", project, paths=list(asked))
                found |= {asked[row.path]: _node(project, row.path, row) for row in rows}
        rest = [path for path in paths if path not in found]
        nodes = await asyncio.gather(*(self.look(path, reader) for path in rest))
        return found | dict(zip(rest, nodes, strict=True))

    async def by_id(self, identity: str, reader: Key) -> Node | None:
        """Return what has a file id, None where nothing has."""
        if identity == VIRTUAL_ROOT_ID:
            return root()
        projects = self.projects(reader)
        for project in projects:
            if identity == derived_id(project, ""):
                return _node(project, "", await self._row(project, ""))
        return await self._patiently(lambda: self._identified(identity, projects))

    async def find(self, path: bytes | None, identity: str | None, reader: Key) -> Node | None:
        """Return what is named by a path or, without one, by an id."""
        if path is not None:
            return await self.look(path, reader)
        return await self.by_id(identity or "", reader)

    async def by_ids(self, identities: list[str], reader: Key) -> list[Node | None]:
        """Return what has each id."""
        return list(await asyncio.gather(*(self.by_id(each, reader) for each in identities)))

    async def spine(self, node: Node) -> list[str]:
        """Return the ids from the root down to a node."""
        if node.project is None:
            return [VIRTUAL_ROOT_ID]
        names = node.path.split("/")[2:]
        above = ["/".join(names[:length]) for length in range(1, len(names))]
        rows = await self._rows("path IN {paths:Array(String)}", node.project, paths=above) if above else []
        known = {row.path: _node(node.project, row.path, row).file_id for row in rows}
        ids = [known.get(path) or derived_id(node.project, path) for path in above]
        roots = [VIRTUAL_ROOT_ID, derived_id(node.project, "")]
        return [*roots, *ids, node.file_id] if names else roots

    async def _patiently(self, find: Callable[[], Awaitable[Node | None]]) -> Node | None:
        for _ in range(int(self._wait_s / _PAUSE_S)):
            found = await find()
            if found is not None:
                return found
            await asyncio.sleep(_PAUSE_S)
        return await find()

    async def _find(self, project: str, path: str) -> Node | None:
        """A directory that nobody reported by itself is there while something below it is."""
        row = await self._row(project, path)
        if row is not None:
            return _node(project, path, row)
        rows = await self._rows(
            "path > {from:String} AND path < {to:String} LIMIT 1",
            project,
            **{"from": f"{path}/", "to": f"{path}0"},
        )
        # its own row comes before those below it, and may have come between the two queries
        return _node(project, path, await self._row(project, path)) if rows else None

    async def _row(self, project: str, path: str) -> Row | None:
        rows = await self._rows("path = {path:String}", project, path=path)
        return rows[0] if rows else None

    async def _rows(self, where: str, project: str, **parameters: Any) -> list[Row]:
        return await self._read(f"project_id = {{project:String}} AND {where}", project=project, **parameters)

    async def _read(self, where: str, **parameters: Any) -> list[Row]:
        sql = f"SELECT {_COLUMNS} FROM files FINAL WHERE {where}"  # noqa: S608  our own clauses; values are bound
        return await self._database.rows(sql, parameters, Row, _SETTINGS)

    async def _identified(self, identity: str, projects: list[str]) -> Node | None:
        if not projects or not identity.isdigit() or int(identity) >= 2**64:
            return None
        mine = "project_id IN {projects:Array(String)}"
        rows = await self._read(
            f"{mine} AND file_id = {{id:UInt64}} LIMIT 1", projects=projects, id=int(identity)
        )
        if rows:
            return _node(rows[0].project_id, rows[0].path, rows[0])
        unnamed = await self._read(f"{mine} AND file_id = 0 LIMIT {_UNIDENTIFIED}", projects=projects)
        return _derived(identity, unnamed)


def root() -> Node:
    """Return `/`."""
    return Node("/", VIRTUAL_ROOT_ID, is_dir=True)


def _node(project: str, path: str, row: Row | None) -> Node:
    identity = str(row.file_id) if row is not None and row.file_id and path else derived_id(project, path)
    is_dir = row is None or row.is_dir or not path
    return Node(f"/{project}/{path}" if path else f"/{project}", identity, is_dir, project, row)


def _derived(identity: str, rows: list[Row]) -> Node | None:
    """Find the path, or a directory above it, whose derived id this is."""
    for row in rows:
        names = row.path.split("/")
        for length in range(1, len(names) + 1):
            path = "/".join(names[:length])
            if derived_id(row.project_id, path) == identity:
                return _node(row.project_id, path, row if path == row.path else None)
    return None
