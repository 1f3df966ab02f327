"""The names that a directory had: what was told under them is what stood in it."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings

from api.pages import lineage
from api.pages.lineage import BEGINNING, END, Moment, Segment, Turn
from tests.unit.api import past
from tests.unit.api.past import Past, Shot, Steps
from tests.unit.processors.history import parent

TELLING = ("created", "modified", "written", "attributes", "deleted", "renamed")


def told_of(
    records: list[dict[str, Any]], segments: list[Segment]
) -> dict[str, list[tuple[Moment, bool, bool]]]:
    """Return what records say of the names in a directory: when, is it there from then on, has it come."""
    found: dict[str, list[tuple[Moment, bool, bool]]] = {}
    for record in records:
        at, to = past.moment(record), record.get("renamedTo")
        for segment in segments:
            if record["event"] not in TELLING or not segment.after < at <= segment.until:
                continue
            for path, there, came in (
                (
                    record["filename"],
                    record["event"] != "deleted" and to is None,
                    record["event"] == "created",
                ),
                (to, True, True),
            ):
                if path and parent(path) == segment.name:
                    found.setdefault(path.rpartition("/")[2], []).append((at, there, came))
    return found


def listed(lived: Past, shot: Shot, directory: str) -> set[str]:
    """Return the names in a directory at a moment, as far as records tell, and the state of now."""
    then, turns = lineage.end_of(shot.at_us), lived.turns()
    later = lineage.since(directory, then, turns)
    before = told_of(lived.records, lineage.before(directory, then, turns))
    after = told_of(lived.records, later)
    there = {name for name, told in before.items() if max(told)[1]}
    there |= {name for name, told in after.items() if name not in before and not min(told)[2]}
    if lineage.is_there_still(later):
        now = {path.rpartition("/")[2] for path in lived.now if parent(path) == later[-1].name}
        there |= now - before.keys() - after.keys()
    return there


@settings(max_examples=60)
@given(past.steps, past.steps)
def test_names_that_a_directory_had_lead_to_all_that_stood_in_it(before: Steps, during: Steps) -> None:
    """At every moment, in every directory: exactly what was there, but for what nobody ever told of."""
    lived = Past(before, during)

    for shot in lived.shots:
        for directory in ["", *(path for path, node in shot.tree.items() if node.is_dir)]:
            expected = set(shot.names(directory))
            found = listed(lived, shot, directory)

            missing = {f"{directory}/{name}" if directory else name for name in expected - found}
            assert found <= expected
            assert all(lived.is_untold(shot, path) for path in missing)


def test_rename_of_a_directory_above_changes_the_name() -> None:
    """What stands in `new/sub` was told under `old/sub` before."""
    turns = [Turn(Moment(5), "old", "new")]

    found = lineage.before("new/sub", Moment(9), turns)

    assert found == [Segment("new/sub", Moment(5), Moment(9)), Segment("old/sub", BEGINNING, Moment(5))]


def test_names_of_a_directory_end_where_another_of_that_name_went_away() -> None:
    """What was told before concerns the other one."""
    turns = [Turn(Moment(3), "a"), Turn(Moment(5), "a/b", "elsewhere")]

    assert lineage.before("a/b", Moment(4), turns) == [Segment("a/b", Moment(3), Moment(4))]
    assert lineage.before("a/b", Moment(9), turns) == [Segment("a/b", Moment(5), Moment(9))]


def test_names_that_a_directory_gets_later_are_followed_until_it_goes_away() -> None:
    """To this day, where it does not."""
    turns = [Turn(Moment(5), "a", "b"), Turn(Moment(7), "b")]

    found = lineage.since("a/x", Moment(1), turns)

    assert found == [Segment("a/x", Moment(1), Moment(5)), Segment("b/x", Moment(5), Moment(7))]
    assert not lineage.is_there_still(found)
    assert lineage.since("a", Moment(8), turns) == [Segment("a", Moment(8), END)]


def test_name_that_only_begins_alike_is_another() -> None:
    """`ab` is not below `a`; the root has one name for ever."""
    turns = [Turn(Moment(5), "x", "a")]

    assert [each.name for each in lineage.before("ab", Moment(9), turns)] == ["ab"]
    assert [each.name for each in lineage.before("", Moment(9), turns)] == [""]
