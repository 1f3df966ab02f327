"""`fswire watch` on real files: the contract's cases, in the default spelling."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.watch_client import LocalClient, local_client

pytestmark = pytest.mark.skipif(not Path("/proc/sys/fs/inotify").exists(), reason="there is no inotify here")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A directory with a file and a directory in it."""
    directory = Path(os.path.realpath(tmp_path)) / "root"
    (directory / "sub").mkdir(parents=True)
    (directory / "file").write_text("old")
    return directory


@pytest.fixture
def client() -> Iterator[LocalClient]:
    with local_client() as client:
        yield client


def save(path: Path, text: str = "new") -> None:
    """Save as editors do: write beside, rename over."""
    beside = path.with_name(path.name + "~")
    beside.write_text(text)
    beside.rename(path)


def test_a_directory_with_all_below_it(root: Path, client: LocalClient) -> None:
    """Files and directories made, written and deleted in it and below, each in its order."""
    client.watch(root, recursive=True)

    (root / "sub" / "a").write_text("1")
    (root / "sub" / "a").unlink()
    (root / "sub").rmdir()

    a, sub = str(root / "sub" / "a"), str(root / "sub")
    expected = [("create", a), ("modify", a), ("closeWrite", a), ("delete", a), ("delete", sub)]
    assert client.changes() == expected


def test_a_directory_without_what_is_below_it(root: Path, client: LocalClient) -> None:
    """Itself and its immediate children: not what is in those."""
    client.watch(root)

    (root / "sub" / "a").write_text("1")
    (root / "sub").chmod(0o700)
    root.chmod(0o700)
    (root / "b").touch()

    seen = client.changes()
    assert {path for _, path in seen} == {str(root), str(root / "sub"), str(root / "b")}
    assert ("attribute", str(root)) in seen


def test_a_single_file_through_atomic_saves(root: Path, client: LocalClient) -> None:
    """It stays watched when another file takes its place, again and again, and while it is gone."""
    file = root / "file"
    client.watch(file)

    for text in ("1", "2"):
        save(file, text)
        (root / "other").write_text(text)
    file.unlink()
    file.write_text("3")

    name = str(file)
    assert client.changes() == [
        *[("delete", name), ("rename", name)] * 2,
        ("delete", name),
        ("create", name),
        ("modify", name),
        ("closeWrite", name),
    ]


def test_a_rename_over_a_file_says_first_that_it_is_gone(root: Path, client: LocalClient) -> None:
    """`delete` with `extra: override`, then the rename."""
    (root / "new").touch()
    client.watch(root)

    (root / "new").rename(root / "file")

    deleted, renamed = (message["payload"] for message in client.messages())
    assert (deleted["kind"], deleted["details"]) == ("delete", {"extra": "override"})
    assert (renamed["path"], renamed["details"]) == (str(root / "new"), {"renamed": str(root / "file")})


def test_renames_in_out_and_between_watched_directories(root: Path, client: LocalClient) -> None:
    """One rename each: with both ends where both are seen, for both watches; else with the one that is."""
    one, other, outside = (root / name for name in ("one", "other", "outside"))
    for directory in (one, other, outside):
        directory.mkdir()
    (one / "f").touch()
    first, second = client.watch(one), client.watch(other, recursive=True)

    (one / "f").rename(one / "g")
    (one / "g").rename(other / "g")
    (other / "g").rename(outside / "g")
    (outside / "g").rename(other / "h")

    between = ("rename", str(one / "g"), str(other / "g"))
    messages = client.messages()
    mine = [each["payload"] for each in messages if each["origin_id"] == first]
    others = [each["payload"] for each in messages if each["origin_id"] == second]
    assert [_brief(each) for each in mine] == [("rename", str(one / "f"), str(one / "g")), between]
    assert [_brief(each) for each in others] == [
        between,
        ("rename", str(other / "g")),
        ("rename", str(other / "h")),
    ]
    assert others[2]["details"]["timestamp"] == int((other / "h").stat().st_mtime)


def _brief(payload: dict[str, Any]) -> tuple[str, ...]:
    return payload["kind"], payload["path"], *filter(None, [payload.get("details", {}).get("renamed")])


def test_a_directory_renamed_inside_a_recursive_watch_is_still_seen(root: Path, client: LocalClient) -> None:
    """What happens in it has its new path."""
    client.watch(root, recursive=True)

    (root / "sub").rename(root / "moved")
    (root / "moved" / "a").touch()

    assert client.changes()[:2] == [
        ("rename", str(root / "sub"), str(root / "moved")),
        ("create", str(root / "moved" / "a")),
    ]


def test_a_tree_made_in_one_burst(root: Path, client: LocalClient) -> None:
    """Everything in it is told once, directories before what is in them."""
    client.watch(root, recursive=True)

    for number in range(20):
        deep = root / "tree" / f"{number}" / "a" / "b" / "c"
        deep.mkdir(parents=True)
        (deep / "f").write_text("x")

    created = [path for kind, path, *_ in client.changes() if kind == "create"]
    made = [root / "tree", *(root / "tree").rglob("*")]
    assert sorted(created) == sorted(map(str, made))
    assert all(created.index(str(Path(path).parent)) < created.index(path) for path in created[1:])


def test_two_watches_keep_their_ids_apart(root: Path, client: LocalClient) -> None:
    """Each has what it covers, under its own id; where they overlap, both."""
    first, second = client.watch(root), client.watch(root / "sub", recursive=True)

    (root / "a").mkdir()
    (root / "sub" / "b").mkdir()
    (root / "sub").chmod(0o700)

    origins = {(each["origin_id"], each["payload"]["path"]) for each in client.messages()}
    sub = str(root / "sub")
    assert origins == {
        (first, str(root / "a")),
        (second, f"{sub}/b"),
        (first, sub),
        (second, sub),
    }


@pytest.mark.parametrize(
    ("filters", "kinds"),
    [
        ({"only": ["create"]}, ["create"]),
        ({"only": ["closeWrite", "delete"]}, ["closeWrite", "delete"]),
        ({"only": ["close_write"]}, ["closeWrite"]),
        ({"except": ["create", "modify"]}, ["closeWrite", "delete"]),
        ({"only": ["create", "delete"], "except": ["delete"]}, ["create"]),
        ({"only": ["create"], "except": ["create"]}, []),
        ({"only": None, "except": None}, ["create", "modify", "closeWrite", "delete"]),
    ],
)
def test_only_and_except(root: Path, client: LocalClient, filters: dict[str, Any], kinds: list[str]) -> None:
    """Allowed is `only`, or everything, without `except`."""
    client.watch(root, **filters)

    (root / "a").write_text("x")
    (root / "a").unlink()

    assert [kind for kind, _ in client.changes()] == kinds


def test_kinds_that_only_names_are_switched_on_at_the_source(root: Path, client: LocalClient) -> None:
    """Opens and reads are told where they were asked for, of files that were there and of new ones."""
    (root / "sub" / "b").write_text("x")
    quiet = client.watch(root / "sub", only=["create", "modify"])
    asked = client.watch(root, only=["open", "access", "closeNoWrite"], recursive=True)

    (root / "file").read_text()
    (root / "sub" / "b").read_text()
    (root / "new").mkdir()

    messages = client.messages()
    assert [each for each in messages if each["origin_id"] == quiet] == []
    told = {_brief(each["payload"]) for each in messages if each["origin_id"] == asked}
    for path in (str(root / "file"), str(root / "sub" / "b")):
        assert {("open", path), ("access", path), ("closeNoWrite", path)} <= told


def test_a_path_watched_twice(root: Path, client: LocalClient) -> None:
    """Both are live, each with its filters and id; `unwatch` takes both away."""
    first, second = client.watch(root), client.watch(root, only=["delete"])

    (root / "a").mkdir()
    (root / "a").rmdir()

    told = [(each["origin_id"], each["payload"]["kind"]) for each in client.messages()]
    assert told == [(first, "create"), (first, "delete"), (second, "delete")]
    assert client.unwatch(root) == {"type": "ok"}
    (root / "b").mkdir()
    assert client.changes() == []


def test_what_had_happened_before_unwatch_is_told_before_its_ok(root: Path, client: LocalClient) -> None:
    """And nothing after it, though other watches go on."""
    client.watch(root)
    other = client.watch(root / "sub")
    for number in range(50):
        (root / f"{number}").mkdir()

    assert client.unwatch(root) == {"type": "ok"}
    (root / "late").mkdir()
    (root / "sub" / "late").mkdir()

    messages = client.messages()
    assert len([each for each in messages if each["origin_id"] != other]) == 50
    assert messages[-1]["origin_id"] == other


def test_unwatch_of_what_is_not_watched(root: Path, client: LocalClient) -> None:
    """`other`, with the canonical path; one of two watches stays."""
    client.watch(root / "sub")
    client.watch(root / "file")
    (root / "link").symlink_to("file")

    gone, again = client.unwatch(root / "link"), client.unwatch(root / "link")

    assert gone == {"type": "ok"}
    description = f'"{root / "file"}" is not being watched'
    assert again == {"type": "error", "kind": "other", "description": description}
    (root / "sub" / "a").mkdir()
    (root / "file").chmod(0o600)
    assert client.changes() == [("create", str(root / "sub" / "a"))]


def test_unwatch_of_a_path_that_is_gone(root: Path, client: LocalClient) -> None:
    """It works, by the path that was given as well, though a link on the way is gone."""
    (root / "link").symlink_to(root / "sub")
    client.watch(root / "link")
    shutil.rmtree(root / "sub")
    (root / "link").unlink()

    assert client.unwatch(root / "link") == {"type": "ok"}
    assert client.changes() == [("delete", str(root / "sub"))]


def test_watching_again_after_unwatch_and_recursively_after_plainly(root: Path, client: LocalClient) -> None:
    """What a plain watch did not see below a directory, a recursive one does."""
    for _ in range(3):
        client.watch(root)
        assert client.unwatch(root) == {"type": "ok"}
    client.watch(root)
    client.watch(root, recursive=True)
    (root / "sub" / "a").mkdir()
    assert client.changes() == [("create", str(root / "sub" / "a"))]

    assert client.unwatch(root) == {"type": "ok"}
    last = client.watch(root / "sub")
    (root / "sub" / "b").mkdir()

    assert client.changes(last) == [("create", str(root / "sub" / "b"))]


def test_a_watched_directory_that_goes_and_comes_back(root: Path, client: LocalClient) -> None:
    """It is deleted, and made anew: the watch is on the path."""
    client.watch(root / "sub", recursive=True)

    shutil.rmtree(root / "sub")
    (root / "sub" / "deep").mkdir(parents=True)

    sub = str(root / "sub")
    assert client.changes() == [("delete", sub), ("create", sub), ("create", f"{sub}/deep")]


def test_a_directory_above_a_watched_one_is_renamed(root: Path, client: LocalClient) -> None:
    """The watched path went out of sight with it, and comes back with it."""
    client.watch(root / "sub")

    root.rename(root.with_name("away"))
    root.with_name("away").rename(root)
    (root / "sub" / "a").mkdir()

    seen = client.changes()
    assert seen[0] == ("rename", str(root / "sub"))
    assert seen[-1] == ("create", str(root / "sub" / "a"))


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("missing", "not_found"),
        ("", "not_found"),
        ("file/below", "unknown"),
        ("a\0b", "invalid_input"),
        ("x" * 300, "invalid_input"),
        ("round", "loop"),
        ("sub/../missing/..", "not_found"),
    ],
)
def test_paths_that_cannot_be_watched(root: Path, path: str, kind: str) -> None:
    """Each has the error of its kind, and nothing is watched by it."""
    (root / "round").symlink_to("round")
    with local_client(cwd=root) as client:
        answer = client.ask({"type": "watch", "path": path})

        assert (answer["type"], answer["kind"]) == ("error", kind)
        (root / "a").mkdir()
        assert client.changes() == []


def test_paths_are_canonical(root: Path) -> None:
    """Relative ones begin at the working directory; links are resolved."""
    (root / "link").symlink_to("sub")
    with local_client(cwd=root) as client:
        relative, linked = client.watch("."), client.watch("./link/")
        (root / "sub" / "a").mkdir()
        (root / "b").mkdir()

        told = [(each["origin_id"], each["payload"]["path"]) for each in client.messages()]
    assert told == [(linked, str(root / "sub" / "a")), (relative, str(root / "b"))]


def test_names_that_are_no_utf8(root: Path, client: LocalClient) -> None:
    """They have U+FFFD in the path, and are seen."""
    client.watch(root)

    Path(os.fsdecode(os.fsencode(root) + b"/caf\xe9")).mkdir()

    assert client.changes() == [("create", f"{root}/caf\N{REPLACEMENT CHARACTER}")]


def test_details(root: Path, client: LocalClient) -> None:
    """The file's own times, the groups of attributes; what is unknown or empty is left out."""
    file = root / "file"
    client.watch(root)

    changes = []
    for step in (
        lambda: file.chmod(0o600),
        lambda: os.utime(file, (1, 2)),
        lambda: file.write_text("new"),
        file.unlink,
    ):
        step()
        changes += [message["payload"] for message in client.messages()]

    by_kind = {(each["kind"], each.get("details", {}).get("attribute")): each for each in changes}
    assert by_kind["attribute", "timestamp"]["details"] == {"attribute": "timestamp", "timestamp": 2}
    assert by_kind["attribute", "permissions"]["details"]["attribute"] == "permissions"
    assert set(by_kind["modify", None]["details"]) == {"timestamp"}
    assert (
        set(by_kind["closeWrite", None])
        == set(by_kind["delete", None])
        == {*("type", "timestamp", "kind", "path")}
    )
    assert all(isinstance(each["timestamp"], int) and each["type"] == "change" for each in changes)


def test_a_file_that_stays_open_is_told_once_per_window(root: Path, client: LocalClient) -> None:
    """`modify` while it is open, `closeWrite` at the end."""
    client.watch(root / "file")
    with (root / "file").open("a") as file:
        file.write("more")
        file.flush()
        client.await_message(lambda payload: payload["kind"] == "modify")

    assert client.changes()[-1] == ("closeWrite", str(root / "file"))
