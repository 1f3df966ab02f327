import json
from typing import Any

import pytest

from agent.event import Event, Former, Gap, Http, Stream
from agent.identity import root_id
from processors import notify
from tests.unit.processors.raw import event

SPINE = ["2", "77", "88"]


def made(of: Event) -> list[dict[str, Any]]:
    value = notify.record("p", of)
    decoded: list[dict[str, Any]] = json.loads(value) if value is not None else []
    return decoded


def types(of: Event) -> list[str]:
    return [each["type"] for each in made(of)]


def pairs(of: Event) -> list[tuple[str, str]]:
    return [(each["type"], each["path"]) for each in made(of)]


@pytest.mark.parametrize(("is_dir", "what"), [(False, "file"), (True, "dir")])
def test_entries_come_go_and_move(is_dir: bool, what: str) -> None:
    """Creations, deletions and the ends of a rename that are in view are told for files and directories."""
    old, new = "/p/a", "/p/b"

    assert pairs(event("create", "a", is_dir=is_dir)) == [(f"child_{what}_added", old)]
    assert pairs(event("delete", "a", is_dir=is_dir)) == [(f"child_{what}_removed", old)]
    for moved in (None, "within"):
        assert pairs(event("rename", "a", renamed_to="b", moved=moved, is_dir=is_dir)) == [
            (f"child_{what}_moved_from", old),
            (f"child_{what}_moved_to", new),
        ]
    assert pairs(event("rename", "a", moved="out", is_dir=is_dir)) == [(f"child_{what}_moved_from", old)]
    assert pairs(event("rename", "b", moved="in", is_dir=is_dir)) == [(f"child_{what}_moved_to", new)]
    assert pairs(event("rename", "a", is_dir=is_dir)) == [(f"child_{what}_moved_from", old)]


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        (event("modify"), ["child_data_written"]),
        (event("modify", changed=["data", "size"]), ["child_data_written", "child_size_changed"]),
        (
            event("closeWrite", changed=["data", "size", "mtime"]),
            ["child_data_written", "child_size_changed", "child_mtime_changed"],
        ),
        (event("closeWrite", written=True), ["child_data_written"]),
        (event("closeWrite", changed=["mtime"]), []),
        (event("closeWrite"), []),
        (event("attribute", changed=["uid"]), ["child_owner_changed"]),
        (event("attribute", changed=["gid"]), ["child_group_changed"]),
        (event("attribute", changed=["mode"]), ["child_acl_changed"]),
        (event("attribute", changed=["acl"]), ["child_acl_changed"]),
        (event("attribute", changed=["mode", "acl"]), ["child_acl_changed"]),
        (event("attribute", changed=["mtime"]), ["child_mtime_changed"]),
        (event("attribute", changed=["atime"]), ["child_atime_changed"]),
        (event("attribute", changed=["btime"]), ["child_btime_changed"]),
        (event("attribute", changed=["flags"]), ["child_extra_attrs_changed"]),
        (event("attribute", changed=["uid", "gid"]), ["child_owner_changed", "child_group_changed"]),
        (event("attribute"), []),
        (event("access"), ["child_atime_changed"]),
        (event("open"), []),
        (event("closeNoWrite"), []),
        (event("unknown"), []),
        (event("baseline"), []),
        (event("session", ""), []),
        (event("gap_closed", gap=Gap("g", "overflow")), []),
    ],
)
def test_types_of_every_kind(of: Event, expected: list[str]) -> None:
    """Each raw kind and each changed group becomes the types that contracts/notify gives it."""
    assert types(of) == expected


def test_stream_changes() -> None:
    """Named streams that came, went, changed or changed their name are told by name, a move as two ends."""
    former = [
        Stream("kept", 1, "a" * 64),
        Stream("grown", 1, "b" * 64),
        Stream("rewritten", 1, "c" * 64),
        Stream("old-name", 9, "d" * 64),
        Stream("gone", 1, "e" * 64),
    ]
    now = [
        Stream("kept", 1, "a" * 64),
        Stream("grown", 2, "f" * 64),
        Stream("rewritten", 1, "0" * 64),
        Stream("new-name", 9, "d" * 64),
        Stream("new", 1, "1" * 64),
    ]
    notifications = made(
        event("attribute", changed=["streams"], streams=now, previous=Former(streams=former))
    )

    assert [(each["type"], each["stream_name"]) for each in notifications] == [
        ("child_stream_data_written", "grown"),
        ("child_stream_size_changed", "grown"),
        ("child_stream_data_written", "rewritten"),
        ("child_stream_moved_from", "old-name"),
        ("child_stream_moved_to", "new-name"),
        ("child_stream_added", "new"),
        ("child_stream_removed", "gone"),
    ]


def test_streams_of_unknown_content_never_move() -> None:
    """Without a hash nothing shows that two streams are the same."""
    assert notify.stream_changes({"a": Stream("a", 1)}, {"b": Stream("b", 1)}) == [
        ("child_stream_added", "b"),
        ("child_stream_removed", "a"),
    ]


def test_notification_as_it_stands_on_the_topic() -> None:
    """Path is absolute, ids are strings, the stream of the content itself is null."""
    assert made(event("create", spine=SPINE)) == [
        {"type": "child_file_added", "path": "/p/src/a.py", "spine": SPINE, "stream_name": None}
    ]


def test_spine_of_a_path_known_only_from_a_put() -> None:
    """Without a spine, ids are derived from project and path: the same below the same directories."""
    http = Http("i", "c", "created")
    one = made(event("create", "a/b", source="http", http=http))[0]["spine"]
    other = made(event("create", "a/c", source="http", http=http))[0]["spine"]

    assert one[:2] == ["2", root_id("p")]
    assert one[:3] == other[:3]
    assert one[3] != other[3]
    assert all(each.isdecimal() for each in one)
    assert made(event("attribute", "", changed=["mode"]))[0]["spine"] == ["2", root_id("p")]


def test_gap_stands_in_its_place() -> None:
    """A gap carries what a subscriber needs to say it."""
    gap = Gap("gap_1", "overflow", since_ns=1, until_ns=2)

    assert made(event("gap", "src", gap=gap, spine=SPINE)) == [
        {
            "type": "gap",
            "path": "/p/src",
            "spine": SPINE,
            "id": "gap_1",
            "reason": "overflow",
            "since_ns": 1,
            "until_ns": 2,
        }
    ]


def test_ends_of_a_rename_have_their_own_spines() -> None:
    """Each end is where it was: the old one below the old directory, the new one below the new."""
    told = event("rename", "old/f", renamed_to="new/f", moved="within", spine=["2", "9", "7", "1"])
    told.former_spine = ["2", "9", "6", "1"]

    found = json.loads(notify.record("p", told) or b"")

    assert [(each["type"], each["spine"]) for each in found] == [
        ("child_file_moved_from", ["2", "9", "6", "1"]),
        ("child_file_moved_to", ["2", "9", "7", "1"]),
    ]
