"""The text of rows."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import msgspec
import pytest

from processors import tables
from processors.donutwork import Record


@dataclass
class _Record:
    value: bytes | None
    offset: int = 7
    key: bytes | None = b"p"
    timestamp: int = 0
    headers: list[tuple[str, bytes]] = field(default_factory=lambda: [("event_id", b"e"), ("src", b"1.2.3")])


def test_body_puts_offset_and_src_in_front() -> None:
    """The value is not parsed: its bytes follow those of the broker."""
    body = tables.EVENTS.body([_Record(b'{"eventId":"a" }'), _Record(b'{"eventId":"b"}', offset=8)])

    lines = body.split(b"\n")
    assert lines[0] == b'{"kafkaOffset":7,"src":"1.2.3","eventId":"a" }'
    assert json.loads(lines[1]) == {"kafkaOffset": 8, "src": "1.2.3", "eventId": "b"}


def test_body_never_carries_a_src_that_is_none() -> None:
    """A header that is no position cannot smuggle text into a row."""
    body = tables.EVENTS.body([_Record(b'{"eventId":"a"}', headers=[("src", b'","eventId":"x')])])

    assert json.loads(body) == {"kafkaOffset": 7, "src": "", "eventId": "a"}


@pytest.mark.parametrize("value", [None, b"", b"{}", b"[1]", b"text", b'{"a":1'])
def test_unusable_names_what_is_no_object(value: bytes | None) -> None:
    """Only a JSON object with a field can have bytes put in front of it."""
    assert tables.EVENTS.unusable(_Record(value)) is not None


def test_events_take_every_field_of_a_record() -> None:
    """A field that the vocabulary gains must get a column or a place in `details`."""
    known = {part.split(" ")[0] for part in tables.EVENTS.structure.split(", ")}

    assert {item.encode_name for item in msgspec.structs.fields(Record)} <= known


@pytest.mark.parametrize(
    ("key", "value", "taken"),
    [
        (b"session/p/e", b"{}", True),
        (b"agent-1", b"{}", False),
        (None, b"{}", False),
        (b"session/p/e", None, False),
    ],
)
def test_sessions_take_only_session_records(key: bytes | None, value: bytes | None, taken: bool) -> None:
    """Heartbeats and tombstones on the topic of agents are nothing to the sink."""
    assert tables.SESSIONS.takes(_Record(value, key=key)) is taken


def test_insert_quotes_the_topic() -> None:
    """A topic's name is text within the INSERT."""
    assert r"'it\'s', 3 FROM input(" in tables.EVENTS.insert("it's", 3)
