"""The virtual tree: `/` holds one directory per project, below it the project's files (contracts: README).

Looks at the table `files`, for one key: projects that it may not read do not exist. A path that was just made
may not be a row yet, so that a look waits a little before it says no.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Iterable
from typing import TypeVar

from agent.identity import VIRTUAL_ROOT_ID
from agent.paths import MAX_PATH_BYTES, is_project_id
from api import auth
from api.database import Database
from api.rounds import Rounds
from api.tree_rows import AT_ONCE, Node, Place, TreeRows, Wanted
from processors.notify import derived_id
from processors.registry import Key, Registry

WAIT_S = 2.0
"""How long a path may take to become a row: the sink flushes every second or sooner."""
_PAUSE_S = 0.1
_SHARED_S = 0.5
"""For so long what a look found is told to others who ask for the same: the table is older than that."""
_ID_DIGITS = len(str(2**64))
_T = TypeVar("_T", Place, Wanted)


class VirtualTree:
    """The tree as keys see it."""

    def __init__(
        self, database: Database, registry: Callable[[], Registry], *, wait_s: float = WAIT_S
    ) -> None:
        self._registry = registry
        self._wait_s = wait_s
        rows = TreeRows(database)
        self._at = Rounds(rows.at, at_once=AT_ONCE)
        self._identified = Rounds(rows.identified, at_once=AT_ONCE)
        self._derived = Rounds(rows.derived, at_once=AT_ONCE)
        self._looks: dict[Place, asyncio.Task[Node | None]] = {}

    def sees(self, key: Key, project: str) -> bool:
        """Tell whether a key may know that a project exists, and it does."""
        return self._registry().project(project) is not None and auth.covers(key, project)

    def projects(self, key: Key) -> list[str]:
        """Return the projects that a key sees, in order."""
        return sorted(project for project in self._registry().projects if auth.covers(key, project))

    async def look(self, path: bytes, reader: Key, *, wait: bool = True) -> Node | None:
        """Return what is at an absolute path, None where nothing is; without `wait` what is known already.

        Unavailable: the database is.
        """
        place = _place(path)
        if not place.project:
            return root()
        if not self._may_be(place, reader):
            return None
        return await (asyncio.shield(self._look(place)) if wait else self._at.find(place))

    async def look_all(
        self, paths: Iterable[bytes], reader: Key, *, wait: bool = True
    ) -> dict[bytes, Node | None]:
        """Return what `look` finds at each of many absolute paths."""
        paths = list(dict.fromkeys(paths))
        nodes = await asyncio.gather(*(self.look(path, reader, wait=wait) for path in paths))
        return dict(zip(paths, nodes, strict=True))

    async def by_id(self, identity: str, reader: Key) -> Node | None:
        """Return what has a file id, None where nothing has."""
        if identity == VIRTUAL_ROOT_ID:
            return root()
        projects = self.projects(reader)
        for project in projects:
            if identity == derived_id(project, ""):
                return await self._at.find(Place(project, ""))
        if not projects or not identity.isdecimal() or len(identity) > _ID_DIGITS or int(identity) >= 2**64:
            return None
        wanted = Wanted(identity, tuple(projects))
        return (
            await self._identified.find(wanted)
            or await self._named_after(wanted)
            or await self._patiently(self._identified, wanted)
            or await self._named_after(wanted)
        )

    async def find(self, path: bytes | None, identity: str | None, reader: Key) -> Node | None:
        """Return what is named by a path or, without one, by an id."""
        if path is not None:
            return await self.look(path, reader)
        return await self.by_id(identity or "", reader)

    async def by_ids(self, identities: list[str], reader: Key) -> list[Node | None]:
        """Return what has each id."""
        return list(await asyncio.gather(*(self.by_id(each, reader) for each in identities)))

    def _may_be(self, place: Place, reader: Key) -> bool:
        short = len(place.path.encode()) <= MAX_PATH_BYTES
        return is_project_id(place.project) and short and self.sees(reader, place.project)

    def _look(self, place: Place) -> asyncio.Task[Node | None]:
        """Thousands that ask for the same at one time, after a restart, are one look."""
        look = self._looks.get(place)
        if look is None:
            look = self._looks[place] = asyncio.create_task(self._patiently(self._at, place))
            look.add_done_callback(functools.partial(self._looked, place))
        return look

    def _looked(self, place: Place, look: asyncio.Task[Node | None]) -> None:
        found = not look.cancelled() and look.exception() is None and look.result() is not None
        forget = functools.partial(self._looks.pop, place, None)
        if found:
            look.get_loop().call_later(_SHARED_S, forget)
        else:
            forget()

    async def _named_after(self, wanted: Wanted) -> Node | None:
        place = await self._derived.find(wanted)
        return None if place is None else await self._at.find(place)

    async def _patiently(self, rounds: Rounds[_T, Node], wanted: _T) -> Node | None:
        clock = asyncio.get_running_loop().time
        until = clock() + self._wait_s
        while True:
            found = await rounds.find(wanted)
            if found is not None or clock() >= until:
                return found
            await asyncio.sleep(_PAUSE_S)


def root() -> Node:
    """Return `/`."""
    return Node("/", VIRTUAL_ROOT_ID, is_dir=True)


def written(path: bytes) -> str:
    """Return an absolute path as nodes have it: no name is empty, U+FFFD stands for what is no UTF-8."""
    return "/" + "/".join(filter(None, path.decode(errors="replace").split("/")))


def _place(path: bytes) -> Place:
    project, _, below = written(path)[1:].partition("/")
    return Place(project, below)
