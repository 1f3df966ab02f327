"""Change-notify streams: which type is asked for, what an id says of position, directory and the end."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from agent.event import Event
from api.live import Delivery, Position
from api.live_position import Mark
from api.live_record import Record, reach
from api.notify_stream import resumed
from processors import notify, topics
from processors.position import Position as Src
from tests.unit.api.test_qumulo import EVENT_STREAM, Site, site  # noqa: F401

DIR = "/v1/files/proj_1/dir/notify"


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("text/event-stream, */*", "text/event-stream"),
        ("Text/Event-Stream;q=0.1", "text/event-stream"),
        ("text/event-source;q=0.5, text/event-stream", "text/event-stream"),
        ("text/event-source, text/event-stream;q=0.5", "text/event-source"),
        ("text/event-stream;q=0", "text/event-source"),
        ("text/*", "text/event-source"),
        ("no media type", "text/event-source"),
    ],
)
def test_accept_header_is_read_by_its_rules(site: Site, accept: str, kind: str) -> None:  # noqa: F811
    """In any case, by quality; what is refused, or not named itself, is not asked for."""
    assert site.ask(DIR, headers={"Accept": accept}).headers["content-type"] == kind


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_stream_of_nothing_is_404_by_every_method(site: Site, method: str) -> None:  # noqa: F811
    """HEAD says what GET would, also where that is a refusal."""
    assert site.ask("/v1/files/proj_1/none/notify", method=method).status_code == 404
    assert site.ask(f"/v1/files/{'9' * 5_000}/notify", method=method).status_code == 404


def position(directory: str | None = None) -> dict[str, str]:
    """Return the headers of a client that comes again, having been told what its directory is called."""
    text = Position(topics.NOTIFY, {0: Mark(7)}).encode()
    known = "" if directory is None else "." + base64.urlsafe_b64encode(directory.encode()).decode()
    return EVENT_STREAM | {"Last-Event-ID": text + known}


@pytest.mark.parametrize(
    ("path", "directory", "watched"),
    [
        ("%2Fproj_1%2Fgone", None, b"/proj_1/gone"),
        ("proj_1/old", "/proj_1/new", b"/proj_1/new"),
        ("123456", "/proj_1/dir", b"/proj_1/dir"),
        ("2", "/", b"/"),
        ("%2F", None, b"/"),
    ],
)
def test_resumed_stream_needs_no_directory_at_its_place(
    site: Site,  # noqa: F811
    path: str,
    directory: str | None,
    watched: bytes,
) -> None:
    """It was there when the id was given: what became of it, the log tells. The next ids say so again."""
    answer = site.ask(f"/v1/files/{path}/notify", headers=position(directory))

    assert answer.status_code == 200
    assert [each.path for each in site.hub.interests] == [watched]
    assert last_id(answer).partition(".")[2] == position(directory)["Last-Event-ID"].partition(".")[2].rstrip(
        "="
    )
    assert site.hub.after is not None
    assert site.hub.after.marks == {0: Mark(7)}


@pytest.mark.parametrize(
    ("path", "directory"),
    [
        ("hidden/dir", None),
        ("proj_1/dir", "/hidden/dir"),
        ("proj_1/dir", "nothing"),
        ("123456", None),
        ("proj_1/gone", ""),
    ],
)
def test_resumed_stream_of_nothing_is_404(site: Site, path: str, directory: str | None) -> None:  # noqa: F811
    """Of a project out of the key's sight, of an id that nothing has, of what was told to be removed."""
    assert site.refused(f"/v1/files/{path}/notify", headers=position(directory))[0] == 404


@pytest.mark.parametrize(
    "text",
    [
        Position(topics.WATCH, {0: Mark(7)}).encode(),
        Position(topics.NOTIFY, {1: Mark(7)}).encode(),
        "no id of ours",
        "\xff.\xff",
    ],
)
def test_id_that_says_nothing_of_a_partition_is_an_expired_one(text: str) -> None:
    """From the oldest that is held, with a gap before it: nothing is left out silently."""
    after, _ = resumed(text, "/proj_1")

    assert after.marks.get(0, after.otherwise) == Mark(-1)


@pytest.mark.parametrize("query", ["", "?filter=child_file_added"])
def test_stream_that_ended_is_not_taken_up_again(site: Site, query: str) -> None:  # noqa: F811
    """The last id says that the directory is gone: 404, until there is one of that name again."""
    site.hub.deliveries = [removed("dir/none")]
    last = last_id(site.ask("/v1/files/proj_1/dir/none/notify" + query, headers=position()))
    coming_again = EVENT_STREAM | {"Last-Event-ID": last}
    site.hub.deliveries = []

    assert site.refused("/v1/files/proj_1/dir/none/notify", headers=coming_again)[0] == 404
    assert site.ask(DIR, headers=coming_again).status_code == 200
    assert site.hub.after is not None
    assert site.hub.after.marks[0] == Mark(9, Src(0, 9, 0))


def removed(path: str) -> Delivery:
    """Return what is delivered where a directory of the project was removed."""
    value = notify.record("proj_1", Event("delete", path, 1, is_dir=True))
    assert value is not None
    mark = Mark(9, Src(0, 9, 0))
    record = Record(value, {}, "proj_1", 0, mark, reach(topics.NOTIFY, "proj_1", value))
    return Delivery(record, (), 0, mark)


def last_id(answer: Any) -> str:
    """Return the last id that a stream gave."""
    ids = [line[4:] for line in str(answer.text).splitlines() if line.startswith("id: ")]
    return ids[-1]
