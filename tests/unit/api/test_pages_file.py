"""A file's past: former names through renames, contents and actors out of what was told."""

from __future__ import annotations

from api.history import Row
from api.pages import file_names, file_past
from api.pages.file_past import Content, Who
from api.pages.lineage import BEGINNING, Moment, Segment, Turn


def at(second: int) -> Moment:
    """Return a moment."""
    return Moment(second * 1_000_000)


def told(second: int, event: str = "modified", sha256_hex: str = "", **given: object) -> Row:
    """Return an event of a second, of which little is known."""
    empty = dict.fromkeys(Row.__struct_fields__, "")
    fields = {
        "occurred_us": second * 1_000_000,
        "event": event,
        "size": 1,
        "sha256_hex": sha256_hex,
        "uid": None,
    }
    return Row(**empty | fields | given)


def test_file_that_was_never_renamed_had_no_other_name() -> None:
    """Renames of others, and from here elsewhere, bring nothing."""
    turns = [Turn(at(1), "x", "y"), Turn(at(2), "a", "b")]

    assert file_names.former("a", turns) == []


def test_renames_are_followed_back_to_the_first_name() -> None:
    """Each name counts for as long as it was this file's."""
    turns = [Turn(at(1), "first", "second"), Turn(at(2), "second", "third")]

    assert file_names.former("third", turns) == [
        Segment("second", at(1), at(2)),
        Segment("first", BEGINNING, at(1)),
    ]


def test_former_name_begins_where_another_file_of_that_name_ended() -> None:
    """What was deleted under the name before is not this file's."""
    turns = [Turn(at(1), "draft"), Turn(at(2), "draft", "final")]

    assert file_names.former("final", turns) == [Segment("draft", at(1), at(2))]


def test_rename_of_a_directory_above_counts() -> None:
    """The file has no event of that rename; the directory's stands for it."""
    turn = Turn(at(1), "old", "new")

    assert file_names.former("new/a.txt", [turn]) == [
        Segment("old/a.txt", BEGINNING, at(1)),
        Segment("old", Moment(1_000_000, 0, -1), at(1)),
    ]


def test_saves_by_rename_bring_each_its_own_temporary_name() -> None:
    """An editor writes a new file and renames it over the old one: the last save's name comes first."""
    turns = [Turn(at(second), f"tmp{second}", "a") for second in (1, 2, 3)]

    assert [segment.name for segment in file_names.former("a", turns)] == ["tmp3", "tmp2", "tmp1"]


def test_contents_are_told_once_each_with_their_times() -> None:
    """A content that came back has its first and its last time."""
    newest_first = [
        told(4, sha256_hex="aa"),
        told(3, sha256_hex="bb"),
        told(2, "opened"),
        told(1, sha256_hex="aa"),
    ]

    assert file_past.contents(newest_first) == [
        Content("aa", 1, 2, 1_000_000, 4_000_000),
        Content("bb", 1, 1, 3_000_000, 3_000_000),
    ]


def test_actors_are_told_where_they_are_known() -> None:
    """By user, program and key; who is not known is not listed."""
    newest_first = [told(3, uid=0, exe="/bin/sh"), told(2), told(1, uid=0, exe="/bin/sh")]

    assert file_past.who(newest_first) == [Who(0, "/bin/sh", "", 2, 3_000_000)]
