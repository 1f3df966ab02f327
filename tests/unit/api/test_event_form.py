"""Fields of a PUT, ids and times: pure rules, for any input."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.event import Batch, decode_batch, encode
from api import event_form, mint
from api.errors import FieldsRefused
from api.event_form import EventForm
from api.ingest import raw_event
from api.timestamps import parse_us
from processors.instants import iso

FIELDS = [
    "projectId", "filename", "event", "filesize", "filetype", "sha256", "uid", "pid", "timestampUtc",
    "eventId", "renamedTo", "host", "ingressToken", "x",
]  # fmt: skip
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
good = st.fixed_dictionaries(
    {
        "projectId": st.just("p"),
        "filename": st.from_regex(r"[a-z0-9 _.\\-]{1,20}(/[a-zä☃]{1,9}){0,3}", fullmatch=True),
        "event": st.text(min_size=1, max_size=64) | st.sampled_from(["created", "Delete", "renamed"]),
        "filesize": st.integers(0, 2**63 - 1),
    },
    optional={
        "sha256": st.from_regex(r"[0-9a-fA-F]{64}", fullmatch=True),
        "uid": st.integers(0, 2**63 - 1),
        "timestampUtc": st.datetimes()
        .filter(lambda time: 1900 < time.year < 2299)
        .map(lambda time: time.isoformat()),
        "renamedTo": st.just("./z//y"),
        "host": st.text(max_size=255),
        "x": values,
    },
)


def form(**fields: Any) -> EventForm:
    return EventForm(**({"filename": "a", "event": "modified", "filesize": 1} | fields))


@given(st.dictionaries(st.sampled_from(FIELDS) | st.text(), values))
def test_any_object_is_read_or_refused(body: dict[str, Any]) -> None:
    """No object makes the reader fail in another way than by naming fields."""
    try:
        event_form.read(body, "p")
    except FieldsRefused as refused:
        assert all(detail.field is not None and detail.message for detail in refused.details)
        assert refused.details


@given(good)
def test_good_event_survives_the_wire(body: dict[str, Any]) -> None:
    """What is taken can be published, and read by whoever decodes a batch."""
    try:
        read = event_form.read(msgspec.json.decode(msgspec.json.encode(body)), "p")
    except FieldsRefused as refused:
        assert {detail.field for detail in refused.details} <= {"filename", "x"}
        return

    event_id, content = mint.identify("p", read, "k")
    event = raw_event(read, event_id, content, "k", 1)
    batch = Batch(v=1, project="p", host="", sent_ns=1, agent="a", epoch="e", first_seq=1, events=[event])
    assert decode_batch(encode(batch)).events[0].http == event.http


@given(st.text())
def test_any_text_is_a_time_or_refused(text: str) -> None:
    """A time comes back as the moment that it named."""
    try:
        unix_us = parse_us(text)
    except ValueError:
        return
    assert parse_us(iso(unix_us * 1000)) == unix_us


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("2026-11-21T01:20:00Z", "2026-11-21T01:20:00.000000Z"),
        ("2026-11-21T01:20:00", "2026-11-21T01:20:00.000000Z"),
        ("2026-11-21 01:20:00", "2026-11-21T01:20:00.000000Z"),
        ("2026-11-21t01:20:00z", "2026-11-21T01:20:00.000000Z"),
        ("2026-11-21T01:20:00+01:30", "2026-11-20T23:50:00.000000Z"),
        ("2026-11-21T01:20:00-0130", "2026-11-21T02:50:00.000000Z"),
        ("2026-11-21T01:20:00.123456789Z", "2026-11-21T01:20:00.123456Z"),
        ("2026-11-21T01:20:00,5Z", "2026-11-21T01:20:00.500000Z"),
        ("20261121T012000Z", "2026-11-21T01:20:00.000000Z"),
        ("2026-11-21T01:20Z", "2026-11-21T01:20:00.000000Z"),
        ("1900-01-01T00:00:00Z", "1900-01-01T00:00:00.000000Z"),
        ("2299-12-31T23:59:59.999999Z", "2299-12-31T23:59:59.999999Z"),
    ],
)
def test_iso_time_is_read(text: str, shown: str) -> None:
    """Offsets are converted, a naive time is UTC, nanoseconds are cut."""
    assert iso(parse_us(text) * 1000) == shown


@pytest.mark.parametrize(
    "text",
    ["", "2026-11-21", "now", "2026-02-30T00:00:00Z", "2026-11-21T25:00:00Z", "2026-11-21X01:20:00", "١٢",
     "1899-12-31T23:59:59.999999Z", "2299-12-31T23:59:59-00:01", "9999-12-31T23:59:59-23:59", "1700000000"],
)  # fmt: skip
def test_other_time_is_refused(text: str) -> None:
    """No date alone, no number, no day that does not exist, no year that cannot be stored."""
    with pytest.raises(ValueError, match="must"):
        parse_us(text)


@pytest.mark.parametrize(
    ("field", "other"),
    [("filename", "b"), ("event", "created"), ("filesize", 2), ("sha256", "00" * 32), ("pid", 1),
     ("host", "h"), ("timestamp_us", 6)],
)  # fmt: skip
def test_recipe_of_a_minted_id(field: str, other: Any) -> None:
    """Each field of the recipe makes another id, and so do project and key."""
    base = form(timestamp_us=5)
    changed = msgspec.structs.replace(base, **{field: other})

    assert mint.identify("p", base, "k") == mint.identify("p", base, "k")
    assert mint.identify("p", base, "k") != mint.identify("p", changed, "k")
    assert mint.identify("p", base, "k") != mint.identify("q", base, "k")
    assert mint.identify("p", base, "k") != mint.identify("p", base, "l")


@pytest.mark.parametrize("field", ["uid", "filetype", "renamed_to", "fields"])
def test_what_is_not_in_the_recipe_changes_nothing(field: str) -> None:
    """Under a minted id a repeat may differ there."""
    changed = msgspec.structs.replace(form(timestamp_us=5), **{field: {} if field == "fields" else "1"})

    assert mint.identify("p", changed, "k") == mint.identify("p", form(timestamp_us=5), "k")


def test_content_of_a_given_id_is_every_known_field() -> None:
    """Under an id of the client's own, any known field may conflict; unknown ones are ignored."""
    base = form(event_id="e")
    conflicting = {
        "uid": 1,
        "filetype": "x",
        "renamed_to": "b",
        "filesize": 2,
        "host": "h",
        "timestamp_us": 5,
    }

    digests = {
        mint.identify("p", msgspec.structs.replace(base, **{name: value}), "k")[1]
        for name, value in conflicting.items()
    }
    assert len(digests | {mint.identify("p", base, "k")[1]}) == len(conflicting) + 1
    assert mint.identify("p", msgspec.structs.replace(base, fields={"x": 1}), "k") == mint.identify(
        "p", base, "k"
    )
    assert mint.identify("p", base, "another key") == mint.identify("p", base, "k")


def test_random_id_can_be_retried() -> None:
    """The id of a 503 sent along later has the content that it had."""
    minted, content = mint.identify("p", form(), "k")

    assert mint.identify("p", form(event_id=minted), "k") == (minted, content)
