"""Streams that are left and taken up again: from the log, elsewhere, after a restart; losses are said."""

from __future__ import annotations

import socket
import time
from typing import Any
from urllib.parse import quote

import pytest

from agent.event import Event, Gap
from tests.integration.notify_client import EVENT_STREAM, SHOWN_S, Stream, asking, watching
from tests.integration.notify_stage import QUEUE_RECORDS, Api, Source, new_source, other_api  # noqa: F401
from tests.integration.running import Stack


def names(stream: Stream, last: str) -> list[str]:
    """Return the paths that a stream tells of, up to one."""
    return [path for _, path in stream.told(until=("child_file_added", last))]


def test_stream_goes_on_elsewhere_and_after_a_restart(stack: Stack, other: Api, source: Source) -> None:
    """With its last id a client misses nothing and gets nothing twice, whichever process it asks."""
    watched, key = f"/{source.project}/d", stack.admin_key
    with watching(stack.api, watched, key, accept=EVENT_STREAM) as stream:
        source.create("d/1", "d/2")
        seen = names(stream, "2")
        assert stream.content_type == EVENT_STREAM
    source.create("d/3", "elsewhere", "d/4")
    with watching(other.url, watched, key, accept=EVENT_STREAM, last_id=stream.last_id) as stream:
        source.create("d/5")
        seen += names(stream, "5")
    other.stop()
    source.create("d/6")
    other.start()
    with watching(other.url, watched, key, accept=EVENT_STREAM, last_id=stream.last_id) as stream:
        seen += names(stream, "6")

    assert seen == ["1", "2", "3", "4", "5", "6"]


def test_long_past_is_told_whole(stack: Stack, other: Api, source: Source) -> None:
    """What is far longer than a queue is read from the log at the client's pace; then it goes on."""
    watched, key = f"/{source.project}", stack.admin_key
    with watching(other.url, watched, key, recursive=True, accept=EVENT_STREAM) as stream:
        assert stream.heard[0].id is not None
    source.create(*(f"d/{number}" for number in range(50 * QUEUE_RECORDS)))
    with watching(
        other.url, watched, key, recursive=True, accept=EVENT_STREAM, last_id=stream.last_id
    ) as stream:
        told = names(stream, f"d/{50 * QUEUE_RECORDS - 1}")
        source.create("d/last")
        told += names(stream, "d/last")

    assert told == [*(f"d/{number}" for number in range(50 * QUEUE_RECORDS)), "d/last"]


def test_watched_directory_that_was_renamed_is_found_again(stack: Stack, other: Api, source: Source) -> None:
    """The id tells which directory is meant, under the name that the request still has."""
    watched, key = f"/{source.project}/d", stack.admin_key
    rename = Event("rename", "d", time.time_ns(), renamed_to="e", moved="within", is_dir=True)
    with watching(stack.api, watched, key, accept=EVENT_STREAM) as stream:
        source.publish(rename)
        source.create("e/1")
        seen = names(stream, "1")
    for name in ("2", "3"):
        source.create(f"e/{name}")
        with watching(other.url, watched, key, accept=EVENT_STREAM, last_id=stream.last_id) as stream:
            seen += names(stream, name)

    assert seen == ["1", "2", "3"]


def test_directory_that_was_renamed_and_removed_meanwhile_is_told_of(
    stack: Stack, other: Api, source: Source
) -> None:
    """What became of it while its client was away is in the log, up to `self_removed`."""
    watched, key = f"/{source.project}/d", stack.admin_key
    with watching(stack.api, watched, key, accept=EVENT_STREAM) as stream:
        assert stream.heard[0].id is not None
    source.publish(Event("rename", "d", time.time_ns(), renamed_to="e", moved="within", is_dir=True))
    source.create("e/1")
    source.publish(Event("delete", "e", time.time_ns(), is_dir=True))
    with watching(other.url, watched, key, accept=EVENT_STREAM, last_id=stream.last_id) as stream:
        stream.rest()
        told = [(each["type"], each["path"]) for each in stream.notifications]

    assert told == [("child_file_added", "1"), ("self_removed", "")]


@pytest.mark.parametrize("last_id", ["no-id-of-ours", "expired"])
def test_expired_id_is_a_gap_and_then_the_oldest(stack: Stack, source: Source, last_id: str) -> None:
    """An id that says nothing any more is answered 200: a gap, then all that the log holds."""
    source.create("d/1")
    with watching(
        stack.api, f"/{source.project}/d", stack.admin_key, accept=EVENT_STREAM, last_id=last_id
    ) as stream:
        first = stream.event()
        told = names(stream, "1")

    assert first is not None
    assert (first.name, first.data["why"], first.data["path"]) == ("gap", "expired", ".")
    assert told == ["1"]


def test_keep_alive_carries_the_position(stack: Stack, other: Api, source: Source) -> None:
    """Keep-alives come while nothing happens; an id goes with them for those who asked for ids alone."""
    watched, key = f"/{source.project}/d", stack.admin_key
    with watching(other.url, watched, key, accept=EVENT_STREAM) as stream:
        source.create("elsewhere/1")
        begun = stream.heard[0].id
        alive = stream.until(lambda event: event.comment == "keepalive" and event.id != begun)
    with watching(other.url, watched, key) as plain:
        silent = plain.until(lambda event: event.comment == "keepalive")
    source.create("d/1")
    with watching(other.url, watched, key, accept=EVENT_STREAM, last_id=alive.id) as stream:
        told = names(stream, "1")

    assert silent.lines == (": keepalive",)
    assert told == ["1"]


def test_loss_at_the_source_is_said_in_its_place(stack: Stack, other: Api, source: Source) -> None:
    """A gap is a comment, or `event: gap` for who asked for an event stream; the stream goes on."""
    gap = Event("gap", "d/sub", time.time_ns(), gap=Gap("gap-1", "overflow"))
    watched, key = f"/{source.project}/d", stack.admin_key
    with (
        watching(stack.api, watched, key) as plain,
        watching(stack.api, watched, key, accept=EVENT_STREAM) as stream,
    ):
        source.create("d/1")
        source.publish(gap)
        source.create("d/2")
        told = names(plain, "2"), names(stream, "2")
        said = [event.comment for event in plain.heard if (event.comment or "").startswith("gap")]
        named = [event.data for event in stream.heard if event.name == "gap"]

    assert told == (["1", "2"], ["1", "2"])
    assert said == ["gap overflow sub"]
    assert named == [{"why": "overflow", "path": "sub", "id": "gap-1"}]


def test_slow_client_is_cut_off_and_told(stack: Stack, other: Api, source: Source) -> None:
    """Who does not read is cut off, delays nobody, and hears of it once when it comes again."""
    target = f"/v1/files/{quote(f'/{source.project}', safe='')}/notify?recursive=true"
    with (
        socket.create_connection(("127.0.0.1", int(other.url.rpartition(":")[2]))) as stalled,
        watching(
            other.url, f"/{source.project}", stack.admin_key, recursive=True, types="child_dir_added"
        ) as quick,
    ):
        stalled.sendall(
            f"GET {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {stack.admin_key}\r\n\r\n".encode()
        )
        assert stalled.recv(15) == b"HTTP/1.1 200 OK"
        name = "/".join(["n" * 200] * 15)
        for number in range(60):
            source.create(*(f"{name}/{number}-{each}" for each in range(50)))
            source.publish(Event("create", f"dir-{number}", time.time_ns(), is_dir=True))
        assert ("child_dir_added", "dir-59") in quick.told(until=("child_dir_added", "dir-59"))
    with asking(other.url, target, stack.admin_key) as refused:
        body = refused.body()
    with asking(other.url, target, stack.admin_key) as again:
        assert again.status == 200

    assert (refused.status, body["error_class"]) == (503, "fs_notify_overrun_error")


def test_revoked_key_watches_no_longer(stack: Stack, other: Api, source: Source) -> None:
    """A stream ends with the right to it."""
    made = stack.command("key", "create", "--project", source.project, "--scope", "directory_monitor:read")
    key = made.stdout.strip()
    with watching(other.url, f"/{source.project}/d", key) as stream:
        assert stack.command("key", "revoke", key.partition(".")[0]).returncode == 0
        rest = stream.rest()

    assert {event.comment for event in rest} <= {"keepalive"}


def test_settings_are_those_of_every_process(stack: Stack, other: Api, source: Source) -> None:
    """What one api process was told counts for a stream that another is asked for."""
    settings = "/v1/file-system/settings/notify"
    target = f"/v1/files/{source.project}/notify?recursive=true"
    try:
        assert stack.send("PUT", settings, {"recursive_mode": "DISABLED_ERROR"})[0] == 200
        refused = _status_once(other, target, stack.admin_key, 400)
    finally:
        assert stack.send("PUT", settings, {"recursive_mode": "ENABLED"})[0] == 200

    assert refused["error_class"] == "fs_notify_recursive_disabled_error"
    assert _status_once(other, target, stack.admin_key, 200) is None


def _status_once(api: Api, target: str, key: str, status: int) -> Any:
    """Ask until the status is the one; return the body of a refusal."""
    deadline = time.monotonic() + SHOWN_S
    while time.monotonic() < deadline:
        with asking(api.url, target, key) as answer:
            if answer.status == status:
                return answer.body() if status != 200 else None
        time.sleep(0.05)
    raise AssertionError(f"never answered {status}")
