import json
from typing import Any

import pytest

from processors.watch import ChangeKind
from processors.watch_messages import ALL_KINDS, Dialect, Writer
from processors.watch_table import Area, Table, Watching, above


def table(dialect: Dialect = Dialect.SEED) -> Table:
    return Table(Writer(dialect))


def watch(
    on: Table, path: str, *, recursive: bool = True, origin: str = "", live: bool = True, **more: Any
) -> Watching:
    kinds: frozenset[ChangeKind] = more.pop("kinds", ALL_KINDS)
    watching = Watching(path, recursive, kinds, f'"{origin or path}"'.encode(), live=live, **more)
    on.add(watching)
    return watching


def record(path: str, kind: str = "create", **details: Any) -> bytes:
    change = {"type": "change", "timestamp": 1, "kind": kind, "path": path}
    return json.dumps(change | ({"details": details} if details else {})).encode()


def origins(on: Table, of: bytes) -> list[str]:
    return sorted(json.loads(line)["origin_id"] for line in on.changes(of))


@pytest.mark.parametrize(
    ("path", "recursive", "reached"),
    [
        ("/a", True, {"/a", "/a/b", "/a/b/c"}),
        ("/a", False, {"/a", "/a/b"}),
        ("/a/b", False, {"/a/b", "/a/b/c"}),
        ("/", True, {"/a", "/a/b", "/a/b/c", "/ab", "/"}),
        ("/", False, {"/a", "/ab", "/"}),
        ("/ab", True, {"/ab"}),
        ("/a/b/c", False, {"/a/b/c"}),
    ],
)
def test_a_watch_is_matched_by_path_component(path: str, recursive: bool, reached: set[str]) -> None:
    """Not recursive: the path itself and its immediate children; `/a` never matches `/ab`."""
    on = table()
    watch(on, path, recursive=recursive)

    assert {each for each in ("/", "/a", "/ab", "/a/b", "/a/b/c") if origins(on, record(each))} == reached


def test_watches_keep_their_ids_and_filters_apart() -> None:
    """Each change is sent once for each watch that wants it, under the watch's own id."""
    on = table()
    watch(on, "/a", origin="1")
    watch(on, "/a", origin="2", kinds=frozenset({"create"}))
    watch(on, "/a", origin="3", recursive=False)
    watch(on, "/b", origin="4")

    assert origins(on, record("/a/x/y")) == ["1", "2"]
    assert origins(on, record("/a/x", "delete")) == ["1", "3"]


def test_nothing_is_sent_before_ok() -> None:
    """A watch whose `ok` has not been sent gets no change."""
    on = table()
    watching = watch(on, "/a", live=False)

    assert origins(on, record("/a/x")) == []
    watching.live = True
    assert origins(on, record("/a/x")) == ["/a"]


def test_a_bare_watch_gets_bare_changes() -> None:
    """What was asked for without an envelope comes without one, as it is on the topic."""
    on = table()
    on.add(Watching("/a", True, ALL_KINDS, None, live=True))

    assert list(on.changes(record("/a/x"))) == [record("/a/x")]


@pytest.mark.parametrize(
    ("renamed", "reached"),
    [
        ("/a/y", ["/a"]),
        ("/b/y", ["/a", "/b"]),
        ("/c/y", ["/a"]),
        (None, ["/a"]),
    ],
)
def test_a_rename_reaches_a_watch_that_covers_either_end(renamed: str | None, reached: list[str]) -> None:
    """Once for each watch, also where it covers both."""
    on = table()
    watch(on, "/a")
    watch(on, "/b", recursive=False)
    details = {"renamed": renamed} if renamed else {}

    assert origins(on, record("/a/x", "rename", **details)) == reached


def test_a_directory_renamed_takes_a_watched_path_along() -> None:
    """The watch below it is told where its path went; nobody else is told of that."""
    on = table()
    watch(on, "/a/b/c")
    watch(on, "/a/b/d", kinds=frozenset({"create"}))
    watch(on, "/ab")

    (line,) = on.changes(record("/a", "rename", renamed="/z"))
    payload = json.loads(line)["payload"]
    assert (payload["path"], payload["details"]) == ("/a/b/c", {"renamed": "/z/b/c"})
    (line,) = on.changes(record("/a", "rename"))
    assert "details" not in json.loads(line)["payload"]


def test_unwatch_takes_all_watches_of_a_path_and_no_other() -> None:
    """Those above and below it stay."""
    on = table()
    for path in ("/a", "/a/b", "/a/b", "/a/b/c"):
        watch(on, path)

    assert len(on.remove("/a/b")) == 2
    assert origins(on, record("/a/b/c")) == ["/a", "/a/b/c"]
    assert on.remove("/a/b") == []


def test_unwatch_by_the_path_that_was_given() -> None:
    """A link that is gone still names what was watched by it."""
    on = table()
    watch(on, "/real", given="/link")

    assert on.remove("/link", "/link") != []
    assert len(on) == 0


def test_nothing_is_left_behind() -> None:
    """A table without watches holds nothing, and a path can be watched again."""
    on = table()
    for path in ("/a/b/c", "/a", "/"):
        watch(on, path)
        on.remove(path)

    assert (on._by_path, on._below) == ({}, {})
    watch(on, "/a")
    assert origins(on, record("/a/x")) == ["/a"]


@pytest.mark.parametrize(
    ("area", "concerned"),
    [
        (Area("/"), ["/a", "/a/b", "/c"]),
        (Area("/a"), ["/a", "/a/b"]),
        (Area("/a", recursive=False), ["/a"]),
        (Area("/a/b/x/y"), ["/a"]),
        (Area("/d"), []),
    ],
)
def test_a_loss_concerns_the_watches_that_it_may_have_hidden_something_from(
    area: Area, concerned: list[str]
) -> None:
    """Those that cover the place, and those below it."""
    on = table()
    watch(on, "/a")
    watch(on, "/a/b", recursive=False)
    watch(on, "/c")
    watch(on, "/a/late", live=False)

    assert sorted(each.path for each in on.lost(area)) == concerned


def test_an_error_goes_to_every_watch() -> None:
    """It comes as it is."""
    on = table()
    watch(on, "/a")
    watch(on, "/b")
    error = b'{"type":"error","kind":"other","description":"lost"}'

    assert [json.loads(line)["payload"]["description"] for line in on.changes(error)] == ["lost", "lost"]


def test_a_timestamp_of_64_bits_survives() -> None:
    """2^64-1 seconds come out as they went in, in both dialects."""
    for dialect in Dialect:
        on = table(dialect)
        watch(on, "/a")
        value = record("/a", timestamp=2**64 - 1).replace(
            b'"timestamp": 1,', b'"timestamp": %d,' % (2**64 - 1)
        )

        (line,) = on.changes(value)
        payload = json.loads(line)["payload"]
        assert (payload["timestamp"], payload["details"]["timestamp"]) == (2**64 - 1, 2**64 - 1)


def test_a_change_costs_the_depth_of_its_path_and_not_the_number_of_watches() -> None:
    """Of 5,000 watches only those of the directories above are looked at."""
    on = table()
    for number in range(5_000):
        watch(on, f"/d{number}/sub")

    assert list(above("/d7/sub/x")) == ["/d7/sub", "/d7", "/"]
    assert [each.path for each in on._covering("/d7/sub/x")] == ["/d7/sub"]
