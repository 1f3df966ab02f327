"""What holds for every event there can be, in all three vocabularies."""

from __future__ import annotations

import json
from typing import get_args

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from agent.event import Changed, Event, Former, Gap, Kind, Moved, Source, Stream, encode
from processors import donutwork, notify, watch
from processors.decode import event_fault
from processors.instants import EARLIEST_NS, LATEST_NS
from tests.unit.processors.raw import origin

SEGMENT = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=12
).filter(lambda name: name not in (".", ".."))
PATH = st.lists(SEGMENT, min_size=1, max_size=4).map("/".join)
COUNT = st.integers(0, 2**63 - 1)
MOMENT = st.integers(-(2**63), 2**63 - 1)
STREAMS = st.lists(st.builds(Stream, name=SEGMENT, size=COUNT), max_size=3)

EVENTS = st.builds(
    Event,
    kind=st.sampled_from(get_args(Kind)),
    path=PATH,
    time_ns=st.integers(EARLIEST_NS, LATEST_NS),
    source=st.sampled_from(get_args(Source)),
    renamed_to=st.none() | PATH,
    moved=st.none() | st.sampled_from(get_args(Moved)),
    is_dir=st.booleans(),
    size=st.none() | COUNT,
    mtime_ns=st.none() | MOMENT,
    birth_ns=st.none() | MOMENT,
    mode=st.none() | st.integers(0, 0o7777),
    uid=st.none() | COUNT,
    streams=st.none() | STREAMS,
    spine=st.none() | st.lists(st.integers(2, 2**64 - 1).map(str), min_size=1, max_size=4),
    sha256=st.none() | st.just("ab" * 32),
    changed=st.none() | st.lists(st.sampled_from(get_args(Changed)), max_size=4, unique=True),
    previous=st.none() | st.builds(Former, streams=st.none() | STREAMS),
    written=st.booleans(),
    gap=st.builds(Gap, id=st.just("gap_1"), reason=st.just("overflow")),
    extra=st.none() | SEGMENT,
)


@given(EVENTS)
def test_every_event_has_its_records(event: Event) -> None:
    """What decodes is taken, and becomes valid JSON in each vocabulary's shape, nothing null in watch."""
    assert event_fault(event) is None

    record = donutwork.record(origin(), event, "evt_1", 1)
    assert (record is None) == (event.kind in ("baseline", "session"))
    if record is not None:
        assert msgspec.json.decode(record, type=donutwork.Record).filename == event.path
    for change in watch.records("/p", event):
        shape = watch.Error if event.kind == "gap" else watch.Change
        msgspec.json.decode(change, type=shape)
        assert None not in json.loads(change).values()
        assert json.loads(change).get("details") != {}
    notifications = notify.record("p", event)
    if notifications is not None and event.kind != "gap":
        assert msgspec.json.decode(notifications, type=list[notify.Notification])


@given(EVENTS)
def test_paths_are_absolute_where_they_must_be(event: Event) -> None:
    """Watch and notify speak of `/<projectId>/…` alone, Donutwork of what is relative to the project."""
    for change in map(json.loads, watch.records("/p", event)):
        if change["type"] == "change":
            assert change["path"] == f"/p/{event.path}"
            assert change.get("details", {}).get("renamed", "/p/").startswith("/p/")
    for notification in json.loads(notify.record("p", event) or b"[]"):
        assert notification["path"] in (f"/p/{event.path}", f"/p/{event.renamed_to}")


@given(EVENTS)
def test_raw_event_survives_the_wire(event: Event) -> None:
    """Encoding and decoding an event loses nothing, whatever its name is."""
    assert msgspec.json.decode(encode(event), type=Event) == event
