"""The virtual tree for one key: projects that it may read, rows as nodes, directories by what they hold."""

from __future__ import annotations

import asyncio
from typing import Any

from api.tree_rows import Node
from api.virtual_tree import VirtualTree
from processors.notify import derived_id
from processors.registry import Key, Project
from tests.unit.api.files_table import Rows

READER = Key("reader", "", ["directory_monitor:read"], ["proj_*"], 0)


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
    database = Rows({"path": "a/b/c"}, {"path": "a/b/d", "project_id": "other"})

    directory = look(database, b"/proj_1/a/b")

    assert directory is not None
    assert (directory.is_dir, directory.row) == (True, None)
    assert look(Rows({"path": "ab/c"}), b"/proj_1/a") is None


def test_path_that_was_just_made_is_waited_for() -> None:
    """A row that is on its way is found, within the time that it may take."""
    database = Rows({"path": "a"})
    database.appear_after = 4

    assert look(database, b"/proj_1/a", wait_s=30) is not None
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
    assert len(database.asked) == 1


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


def test_id_is_found_in_the_projects_of_the_key_alone() -> None:
    """One agent may report a directory into two projects: each key sees its own."""
    theirs, mine = ({"path": "a", "file_id": 77, "project_id": project} for project in ("other", "proj_2"))

    async def ask(*rows: dict[str, Any]) -> Node | None:
        return await tree(Rows(*rows)).by_id("77", READER)

    found = asyncio.run(ask(theirs, mine))

    assert found is not None
    assert found.path == "/proj_2/a"
    assert asyncio.run(ask(theirs)) is None


def test_many_missing_paths_cost_few_questions() -> None:
    """A thousand that are not there are asked for together, and harm nobody who looks meanwhile."""
    database = Rows({"path": "here"})
    paths = [b"/proj_1/none-%d" % number for number in range(1_000)]

    async def ask() -> tuple[dict[bytes, Node | None], Node | None]:
        shared = tree(database)
        return await asyncio.gather(shared.look_all(paths, READER), shared.look(b"/proj_1/here", READER))

    nodes, here = asyncio.run(ask())

    assert set(nodes.values()) == {None}
    assert here is not None
    assert len(database.asked) == 2 * 8


def test_many_unknown_ids_cost_few_questions() -> None:
    """Those that agents gave, and those derived from paths, are each looked for together."""
    database = Rows({"path": "a/b"})

    async def ask() -> list[Node | None]:
        return await tree(database).by_ids([str(number) for number in range(100, 200)], READER)

    assert asyncio.run(ask()) == [None] * 100
    assert len(database.asked) == 4


def test_path_longer_than_any_is_not_asked_for() -> None:
    """No event carries it."""
    database = Rows()

    assert look(database, b"/proj_1/" + b"x" * 4097) is None
    assert database.asked == []


def test_look_that_does_not_wait_is_told_what_is_known() -> None:
    """A path that is on its way is not found, and is by a look that waits."""
    database = Rows({"path": "a"})
    database.appear_after = 2

    async def ask() -> list[Node | None]:
        shared = tree(database, wait_s=30)
        known = await shared.look_all([b"/proj_1/a"], READER, wait=False)
        return [*known.values(), await shared.look(b"/proj_1/a", READER)]

    known, found = asyncio.run(ask())

    assert known is None
    assert found is not None
