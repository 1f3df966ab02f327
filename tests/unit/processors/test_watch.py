import json
from typing import Any

import pytest

from agent.event import Event, Gap
from processors import watch
from tests.unit.processors.raw import TIME_NS, event

SECONDS = TIME_NS // 1_000_000_000
MTIME_NS = 1_700_000_000_900_000_000
MTIME = 1_700_000_000


def made(of: Event) -> list[dict[str, Any]]:
    return [json.loads(value) for value in watch.records("/p", of)]


def change(kind: str, path: str = "/p/src/a.py", **details: Any) -> dict[str, Any]:
    bare = {"type": "change", "timestamp": SECONDS, "kind": kind, "path": path}
    return {**bare, "details": details} if details else bare


@pytest.mark.parametrize(
    ("of", "changes"),
    [
        (event("create", birth_ns=MTIME_NS, mtime_ns=1), [change("create", timestamp=MTIME)]),
        (event("create"), [change("create")]),
        (event("modify", mtime_ns=MTIME_NS), [change("modify", timestamp=MTIME)]),
        (
            event("closeWrite", written=True, mtime_ns=MTIME_NS),
            [change("modify", timestamp=MTIME), change("closeWrite")],
        ),
        (event("closeWrite", changed=["data"]), [change("modify"), change("closeWrite")]),
        (event("closeWrite", mtime_ns=MTIME_NS), [change("closeWrite")]),
        (event("delete"), [change("delete")]),
        (event("delete", extra="override"), [change("delete", extra="override")]),
        (event("rename", renamed_to="b", moved="within"), [change("rename", renamed="/p/b")]),
        (event("rename", renamed_to="b"), [change("rename", renamed="/p/b")]),
        (event("rename", moved="out", mtime_ns=MTIME_NS), [change("rename")]),
        (event("rename", moved="in", mtime_ns=MTIME_NS), [change("rename", timestamp=MTIME)]),
        (event("access"), [change("access")]),
        (event("open"), [change("open")]),
        (event("closeNoWrite"), [change("closeNoWrite")]),
        (event("unknown"), [change("unknown")]),
        (event("baseline"), []),
        (event("session", ""), []),
        (event("gap_closed", gap=Gap("g", "overflow")), []),
    ],
)
@pytest.mark.parametrize("is_dir", [False, True])
def test_changes_of_every_kind(of: Event, changes: list[dict[str, Any]], is_dir: bool) -> None:
    """Each raw kind becomes the changes that DESIGN gives it; details that are empty are left out."""
    of.is_dir = is_dir

    assert made(of) == changes


@pytest.mark.parametrize(
    ("changed", "attributes"),
    [
        (["uid"], ["ownership"]),
        (["gid", "uid"], ["ownership"]),
        (["mode"], ["permissions"]),
        (["acl"], ["permissions"]),
        (["mtime"], ["timestamp"]),
        (["atime", "btime"], ["timestamp"]),
        (["mtime", "mode", "uid"], ["ownership", "permissions", "timestamp"]),
        (["flags"], [None]),
        (["streams", "mode"], ["permissions", None]),
        (None, [None]),
        ([], [None]),
    ],
)
def test_attribute_is_one_change_for_each_group(
    changed: list[Any] | None, attributes: list[str | None]
) -> None:
    """One event that changed two groups is two changes; what belongs to no group goes unnamed."""
    changes = made(event("attribute", changed=changed, mtime_ns=MTIME_NS))

    assert [each["details"].get("attribute") for each in changes] == attributes
    assert {each["details"]["timestamp"] for each in changes} == {MTIME}


def test_content_change_that_changed_permissions_too() -> None:
    """What a rescan found beside new content is told as well; its mtime is not told twice."""
    changes = made(event("modify", source="rescan", changed=["data", "mtime", "mode"]))

    assert changes == [change("modify"), change("attribute", attribute="permissions")]


def test_path_of_the_root() -> None:
    """The project's root is its virtual directory, without a trailing slash."""
    assert made(event("attribute", "", changed=["mode"]))[0]["path"] == "/p"


def test_times_before_1970_and_far_ahead() -> None:
    """Seconds are rounded down on either side of 1970."""
    changes = made(event("create", time_ns=-1, birth_ns=2**63 - 1))

    assert changes[0]["timestamp"] == -1
    assert changes[0]["details"]["timestamp"] == (2**63 - 1) // 1_000_000_000


def test_gap_is_an_error_that_says_what_and_since_when() -> None:
    """A loss is said in its place, with its scope, its moments and why."""
    gap = Gap("gap_9", "overflow", since_ns=TIME_NS - 5_000_000_000, until_ns=TIME_NS)

    assert made(event("gap", "src", gap=gap)) == [
        {
            "type": "error",
            "kind": "other",
            "description": "events of /p/src and everything below it may be missing"
            " since 2025-11-21T01:19:55.123456Z until 2025-11-21T01:20:00.123456Z: overflow (gap_9)",
        }
    ]


def test_gap_of_one_directory_of_unknown_beginning() -> None:
    """A gap that is not recursive names the path alone; a beginning that is not known is not said."""
    [error] = made(event("gap", "src", gap=Gap("g", "watch_limit", recursive=False)))

    assert error["description"] == (
        "events of /p/src may be missing until 2025-11-21T01:20:00.123456Z: watch_limit (g)"
    )
