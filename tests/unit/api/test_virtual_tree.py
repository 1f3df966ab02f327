"""The virtual tree for one key: projects that it may read, rows as nodes, directories by what they hold."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from api.virtual_tree import Node, VirtualTree
from processors.notify import derived_id
from processors.registry import Key, Project

READER = Key("reader", "", ["directory_monitor:read"], ["proj_*"], 0)


class Rows:
    """A database in memory: rows of `files` by project and path."""

    def __init__(self, *rows: dict[str, Any]) -> None:
        self._rows = [{**_EMPTY, **row} for row in rows]
        self.asked = 0
        self.appear_after = 0

    async def rows(self, sql: str, parameters: dict[str, Any], row: type, _settings: dict[str, Any]) -> Any:
        self.asked += 1
        if self.asked <= self.appear_after:
            return []
        if "path = {path" in sql:
            found = [each for each in self._rows if each["path"] == parameters["path"]]
        elif "path IN" in sql:
            found = [each for each in self._rows if each["path"] in parameters["paths"]]
        elif "file_id = {id" in sql:
            found = [each for each in self._rows if each["file_id"] == parameters["id"]]
        elif "file_id = 0" in sql:
            found = [each for each in self._rows if each["file_id"] == 0]
        else:
            found = [each for each in self._rows if parameters["from"] < each["path"] < parameters["to"]]
        return msgspec.convert(found, list[row])  # type: ignore[valid-type]


_EMPTY = {
    "project_id": "proj_1",
    "is_dir": False,
    "size": None,
    "mode": None,
    "owner_uid": None,
    "owner_gid": None,
    "mtime_ns": None,
    "birth_ns": None,
    "acl": "",
    "flags": [],
    "file_id": 0,
    "occurred_us": 0,
}


class Known:
    """A registry of three projects."""

    def __init__(self) -> None:
        self.projects = {name: Project(name, 0) for name in ("proj_1", "proj_2", "other")}

    def project(self, name: str) -> Project | None:
        return self.projects.get(name)


def tree(database: Rows, wait_s: float = 0) -> VirtualTree:
    """Return the tree over a database."""
    return VirtualTree(database, Known, wait_s=wait_s)  # type: ignore[arg-type]


def look(database: Rows, path: bytes, wait_s: float = 0) -> Node | None:
    """Look once."""

    async def once() -> Node | None:
        return await tree(database, wait_s).look(path, READER)

    return asyncio.run(once())


def test_root_and_projects_are_directories() -> None:
    """`/` has id 2; a project is there once it is registered, and for whoever may read it."""
    root, mine = look(Rows(), b"/"), look(Rows(), b"/proj_1")

    assert root == Node("/", "2", is_dir=True)
    assert mine == Node("/proj_1", derived_id("proj_1", ""), is_dir=True, project="proj_1")
    assert look(Rows(), b"/other") is None
    assert look(Rows(), b"/nowhere") is None
    assert look(Rows(), b"/../x") is None
    assert tree(Rows()).projects(READER) == ["proj_1", "proj_2"]


def test_row_is_a_node_with_its_own_id() -> None:
    """What an agent identified has that id, what nobody did one derived from its path."""
    database = Rows({"path": "a/b", "file_id": 77}, {"path": "a/c"})

    identified, derived = look(database, b"/proj_1/a//b/"), look(database, b"/proj_1/a/c")

    assert identified is not None
    assert derived is not None
    assert (identified.path, identified.file_id, identified.is_dir) == ("/proj_1/a/b", "77", False)
    assert derived.file_id == derived_id("proj_1", "a/c")


def test_directory_is_there_while_something_is_below_it() -> None:
    """Nobody need have told of the directory itself; a name that begins alike is no directory."""
    database = Rows({"path": "a/b/c"})

    directory = look(database, b"/proj_1/a/b")

    assert directory is not None
    assert (directory.is_dir, directory.row) == (True, None)
    assert look(Rows({"path": "ab/c"}), b"/proj_1/a") is None


def test_path_that_was_just_made_is_waited_for() -> None:
    """A row that is on its way is found, within the time that it may take."""
    database = Rows({"path": "a"})
    database.appear_after = 4

    assert look(database, b"/proj_1/a", wait_s=2) is not None
    assert look(Rows(), b"/proj_1/a") is None


def test_rows_that_come_between_two_queries_are_all_seen() -> None:
    """A directory that was just made with a file in it has its own id, never for a moment a derived one."""
    database = Rows({"path": "a", "file_id": 77, "is_dir": True}, {"path": "a/b"})
    database.appear_after = 1

    directory = look(database, b"/proj_1/a")

    assert directory is not None
    assert directory.file_id == "77"


def test_looks_at_one_time_are_one_look() -> None:
    """A thousand clients that come back together ask the database once."""
    database = Rows({"path": "a"})

    async def many() -> list[Node | None]:
        shared = tree(database)
        return await asyncio.gather(*(shared.look(b"/proj_1/a", READER) for _ in range(1_000)))

    nodes = asyncio.run(many())

    assert all(node is not None for node in nodes)
    assert database.asked == 1


def test_node_is_found_by_its_id() -> None:
    """The root's, a project's, an agent's, and those derived from paths and the directories above them."""
    database = Rows({"path": "a/b", "file_id": 77}, {"path": "x/y"})
    ids = [
        "2",
        derived_id("proj_2", ""),
        "77",
        derived_id("proj_1", "x"),
        derived_id("proj_1", "x/y"),
        "9",
        "-1",
    ]

    async def all_of_them() -> list[Node | None]:
        return await tree(database).by_ids(ids, READER)

    found = asyncio.run(all_of_them())

    paths = [node.path if node is not None else None for node in found]
    assert paths == ["/", "/proj_2", "/proj_1/a/b", "/proj_1/x", "/proj_1/x/y", None, None]


def test_spine_goes_from_the_root_down() -> None:
    """Ids of the root, the project, the directories between, the file."""
    database = Rows({"path": "a/b", "file_id": 77}, {"path": "a", "file_id": 70, "is_dir": True})

    async def of_the_file() -> list[str]:
        shared = tree(database)
        node = await shared.look(b"/proj_1/a/b", READER)
        assert node is not None
        return await shared.spine(node)

    assert asyncio.run(of_the_file()) == ["2", derived_id("proj_1", ""), "70", "77"]
