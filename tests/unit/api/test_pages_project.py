"""A project's page: its addresses, and that what arrives live is let through as the history would."""

from __future__ import annotations

from typing import Any

import pytest

from api.history_query import Filters
from api.pages import event_row, project_query
from api.pages.live_rows import lets_through
from api.timestamps import parse_us

SHA256 = "ab" * 32
NOON = "2026-11-21T12:00:00.000000Z"


def row(**given: Any) -> event_row.EventRow:
    """Return a row with something of its own."""
    return event_row.of_item(
        {
            "eventId": "evt_1",
            "projectId": "p",
            "filename": "src/main.py",
            "event": "modified",
            "filesize": 1,
            "timestampUtc": NOON,
            "host": "h",
            "source": "kernel",
            "sha256": SHA256,
        }
        | given
    )


def test_empty_fields_of_the_form_are_no_filters() -> None:
    """A form sends every field, filled or not."""
    asked = project_query.read({"event": "", "pathLike": "", "from": " "}, "p")

    assert asked.filters == {}
    assert asked.query is not None
    assert asked.is_newest


def test_day_is_its_midnight() -> None:
    """People type a day where the API wants a moment."""
    asked = project_query.read({"from": "2026-11-19"}, "p")

    assert asked.query is not None
    assert asked.query.filters.from_us == parse_us("2026-11-19T00:00Z")


def test_wrong_filter_is_named_and_kept() -> None:
    """What was typed comes back, with what is wrong with it."""
    asked = project_query.read({"sha256": "zz", "event": "created"}, "p")

    assert asked.query is None
    assert asked.wrong == {"sha256": "must be 64 hex digits"}
    assert asked.filters == {"sha256": "zz", "event": "created"}


def test_address_keeps_the_filters_and_drops_the_place_where_they_change() -> None:
    """A cursor belongs to its filters."""
    asked = project_query.Asked("p", {"event": "created", "cursor": "abc", "size": "5"}, None, {})

    assert asked.address() == "/pages/projects/p?event=created&size=5&cursor=abc"
    assert asked.address(cursor="def") == "/pages/projects/p?event=created&size=5&cursor=def"
    assert asked.address(event="deleted") == "/pages/projects/p?event=deleted&size=5"
    assert asked.address("/export.csv", size=None) == "/pages/projects/p/export.csv?event=created"


def test_address_of_a_stretch_of_time_is_read_back() -> None:
    """What a bar of the histogram links to, the page understands."""
    asked = project_query.read({}, "p")

    address = asked.between(1_795_046_400, 1_795_050_000)

    assert address == "/pages/projects/p?from=2026-11-19T00%3A00%3A00Z&to=2026-11-19T01%3A00%3A00Z"


@pytest.mark.parametrize(
    ("filters", "let_through"),
    [
        ({}, True),
        ({"event": "modified"}, True),
        ({"event": "created"}, False),
        ({"host": "elsewhere"}, False),
        ({"sha256": SHA256}, True),
        ({"sha256": "cd" * 32}, False),
        ({"path_like": "main"}, True),
        ({"path_like": "Main"}, False),
        ({"path_like": "%"}, False),
        ({"from_us": parse_us(NOON)}, True),
        ({"from_us": parse_us(NOON) + 1}, False),
        ({"to_us": parse_us(NOON)}, False),
        ({"to_us": parse_us(NOON) + 1}, True),
    ],
)
def test_live_row_is_let_through_as_by_the_history(filters: dict[str, Any], let_through: bool) -> None:
    """Each filter means the same: substrings are literal, `from` counts and `to` does not."""
    assert lets_through(Filters(project="p", **filters), row()) is let_through


def test_live_row_of_a_rename_is_found_by_its_new_name() -> None:
    """`pathLike` looks at either name."""
    renamed = row(event="renamed", renamedTo="src/application.py")

    assert lets_through(Filters(project="p", path_like="applic"), renamed)
