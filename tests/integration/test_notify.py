"""Change notify on the running stack: spellings, framing, errors, what a watch sees (contracts: notify)."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit
from uuid import uuid4

import pytest

from tests.integration.notify_client import SHOWN_S, Event, asking, watching
from tests.integration.notify_stage import await_known
from tests.integration.running import Stack


@pytest.fixture
def place(stack: Stack) -> Iterator[Path]:
    """A new directory in the watched one."""
    directory = stack.watched / f"notify-{uuid4().hex[:8]}"
    directory.mkdir()
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def root(stack: Stack, place: Path) -> str:
    """Its path in the virtual tree, where it is known."""
    path = f"/{stack.project}/{place.name}"
    await_known(stack, path)
    return path


def test_stream_begins_in_every_spelling(stack: Stack, root: str) -> None:
    """One segment or many, `/api/v1`, parameters in the segment: all are the same stream."""
    encoded, plain = quote(root, safe=""), root.removeprefix("/")
    targets = [
        f"/v1/files/{encoded}/notify",
        f"/v1/files/{encoded}/notify?recursive=True",
        f"/v1/files/{encoded}/notify?filter=child_file_added,self_removed&recursive=FALSE",
        f"/v1/files/{plain}/notify",
        f"/v1/files/{plain}/notify&filter=child_file_added,child_dir_removed&recursive=true",
        f"/api/v1/files/{plain}/notify",
        "/v1/files/2/notify",
        "/v1/files/%2F/notify",
    ]
    for target in targets:
        with asking(stack.api, target, stack.admin_key) as stream:
            first = stream.event()

        assert (stream.status, stream.content_type) == (200, "text/event-source"), target
        assert first == Event((": watching",)), target


def test_refusals_have_qumulos_form(stack: Stack, root: str, place: Path) -> None:
    """Each refusal has its status and class, and nothing of HTTP's usual text."""
    (place / "file").write_text("no directory")
    await_known(stack, f"{root}/file")
    other = stack.command(
        "key", "create", "--project", "elsewhere", "--scope", "directory_monitor:read"
    ).stdout
    writer = stack.command("key", "create", "--project", "*", "--scope", "directory_monitor:write").stdout
    encoded = quote(root, safe="")
    cases = [
        (None, f"/v1/files/{encoded}/notify", 401, "http_unauthorized_error"),
        ("nobody.knows", f"/v1/files/{encoded}/notify", 401, "http_unauthorized_error"),
        (writer.strip(), f"/v1/files/{encoded}/notify", 403, "http_forbidden_error"),
        (other.strip(), f"/v1/files/{encoded}/notify", 404, "fs_no_such_entry_error"),
        (stack.admin_key, f"/v1/files/{encoded}%2Fnone/notify", 404, "fs_no_such_entry_error"),
        (stack.admin_key, "/v1/files/17/notify", 404, "fs_no_such_entry_error"),
        (stack.admin_key, "/v1/files/no-project/notify", 404, "fs_no_such_entry_error"),
        (stack.admin_key, f"/v1/files/{encoded}%2Ffile/notify", 400, "fs_not_a_directory_error"),
        (stack.admin_key, f"/v1/files/{encoded}/notify?filter=", 400, "http_bad_request_error"),
        (
            stack.admin_key,
            f"/v1/files/{encoded}/notify?filter=child_file_added,x",
            400,
            "http_bad_request_error",
        ),
        (stack.admin_key, f"/v1/files/{encoded}/notify?recursive=maybe", 400, "http_bad_request_error"),
    ]
    for key, target, status, name in cases:
        with asking(stack.api, target, key) as answer:
            body = answer.body()

        assert (answer.status, body["error_class"]) == (status, name), target
        assert body.keys() == {"module", "error_class", "description", "stack", "user_visible", "inner"}
        assert (body["stack"], body["user_visible"], body["inner"]) == ([], True, None)


def test_event_of_a_far_year_is_in_nobodys_way(stack: Stack) -> None:
    """A file that was last told of in 2299 is found by its path, and hides no other from a look by id."""
    name = f"far-{uuid4().hex[:8]}"
    body = {
        "projectId": stack.project,
        "filename": name,
        "event": "created",
        "filesize": 1,
        "uid": 0,
        "pid": 1,
    }
    told = body | {"timestampUtc": "2299-12-31T23:59:59.999999Z"}
    assert stack.send("PUT", f"/2026-02-01/directory-monitor/{stack.project}.json", told)[0] == 200

    status, found = stack.send(
        "GET", f"/v1/files/{quote(f'/{stack.project}/{name}', safe='')}/info/attributes"
    )
    assert (status, found["change_time"]) == (200, "2299-12-31T23:59:59.999999000Z")
    assert stack.send("GET", "/v1/files/17/info/attributes")[0] == 404
    assert stack.send("GET", f"/v1/files/{found['id']}/info/attributes")[0] == 200


def test_plain_watch_sees_children_in_order(stack: Stack, root: str, place: Path) -> None:
    """What happens right below the directory, in order, with ids from the root down to the file."""
    (place / "sub").mkdir()
    await_known(stack, f"{root}/sub")
    with watching(stack.api, root, stack.admin_key) as stream:
        (place / "sub" / "deep").write_text("out of sight")
        (place / "file").write_text("one")
        (place / "file").rename(place / "renamed")
        (place / "renamed").unlink()
        told = stream.told(until=("child_file_removed", "renamed"))

    ends = [each for each in told if each[0] not in ("child_data_written", "child_mtime_changed")]
    assert [each for each in ends if each[0] != "child_size_changed"] == [
        ("child_file_added", "file"),
        ("child_file_moved_from", "file"),
        ("child_file_moved_to", "renamed"),
        ("child_file_removed", "renamed"),
    ]
    assert all(each["spine"][0] == "2" for each in stream.notifications)
    assert {(len(each["spine"]), each["stream_name"]) for each in stream.notifications} == {(4, None)}


def test_rename_ends_stand_together(stack: Stack, root: str, place: Path) -> None:
    """Both ends of a rename are neighbours in one list, the same id at their ends."""
    for name in ("a", "b"):
        (place / name).mkdir()
        await_known(stack, f"{root}/{name}")
    with watching(stack.api, root, stack.admin_key, recursive=True) as stream:
        (place / "a" / "x").write_text("x")
        (place / "a" / "x").rename(place / "b" / "y")
        told = stream.told(until=("child_file_moved_to", "b/y"))
        moved = [each for each in stream.heard[-1].data if "moved" in each["type"]]

    at = told.index(("child_file_moved_to", "b/y"))
    assert told[at - 1] == ("child_file_moved_from", "a/x")
    assert [each["path"] for each in moved] == ["a/x", "b/y"]
    assert moved[0]["spine"][-1] == moved[1]["spine"][-1]
    assert moved[0]["spine"][:-1] != moved[1]["spine"][:-1]


def test_watch_sees_its_end_of_a_rename(stack: Stack, root: str, place: Path) -> None:
    """Moved in and moved out are what a plain watch sees of renames with its neighbours."""
    for name in ("here", "there"):
        (place / name).mkdir()
        await_known(stack, f"{root}/{name}")
    with watching(
        stack.api, f"{root}/here", stack.admin_key, types="child_file_moved_from,child_file_moved_to"
    ) as stream:
        (place / "there" / "x").write_text("x")
        (place / "there" / "x").rename(place / "here" / "x")
        (place / "here" / "x").rename(place / "there" / "y")
        told = stream.told(count=2)

    assert told == [("child_file_moved_to", "x"), ("child_file_moved_from", "x")]


def test_filter_lets_its_types_through_alone(stack: Stack, root: str, place: Path) -> None:
    """Only the types that were asked for come, of all that happens."""
    with watching(stack.api, root, stack.admin_key, recursive=True, types="child_dir_added") as stream:
        (place / "file").write_text("x")
        (place / "one").mkdir()
        (place / "one" / "two").mkdir()
        told = stream.told(count=2)

    assert told == [("child_dir_added", "one"), ("child_dir_added", "one/two")]


def test_removed_directory_ends_the_stream(stack: Stack, root: str, place: Path) -> None:
    """A child's removal goes on; the directory's own is `self_removed`, and the end."""
    (place / "sub").mkdir()
    await_known(stack, f"{root}/sub")
    with watching(stack.api, root, stack.admin_key, recursive=True) as stream:
        (place / "sub").rmdir()
        first = stream.told(count=1)
        place.rmdir()
        rest = stream.rest()

    assert first == [("child_dir_removed", "sub")]
    assert [(each["type"], each["path"]) for each in rest[-1].data] == [("self_removed", "")]


def test_directory_is_watched_by_id_and_through_its_renames(stack: Stack, root: str, place: Path) -> None:
    """An id names the directory; renamed, or below a renamed one, it is watched on."""
    (place / "old" / "dir").mkdir(parents=True)
    await_known(stack, f"{root}/old/dir")
    _, attributes = stack.send("GET", f"/v1/files/{quote(f'{root}/old/dir', safe='')}/info/attributes")
    assert isinstance(attributes, dict)
    with asking(stack.api, f"/v1/files/{attributes['id']}/notify", stack.admin_key) as stream:
        stream.until(lambda event: event.comment == "watching")
        (place / "old" / "dir" / "one").write_text("1")
        assert ("child_file_added", "one") in stream.told(until=("child_file_added", "one"))
        (place / "old").rename(place / "new")
        (place / "new" / "dir").rename(place / "dir")
        (place / "dir" / "two").write_text("2")
        told = stream.told(until=("child_file_added", "two"))

    assert ("child_file_added", "two") in told
    assert attributes["type"] == "FS_FILE_TYPE_DIRECTORY"


def test_root_shows_the_projects_of_the_key(stack: Stack, root: str, place: Path) -> None:
    """A watch of `/` sees what its key may read, and nothing of other projects."""
    for name in ("mine", "other"):
        assert stack.command("project", "create", f"root-{name}").returncode == 0
    made = stack.command("key", "create", "--project", "root-m*", "--scope", "directory_monitor:read")
    with watching(stack.api, "/", made.stdout.strip(), recursive=True) as stream:
        (place / "unseen").write_text("x")
        for project in ("root-other", "root-mine"):
            seen = {"projectId": project, "filename": "a/b", "event": "created", "filesize": 1}
            body = seen | {"sha256": "0" * 64, "uid": 0, "pid": 1}
            assert stack.send("PUT", f"/2026-02-01/directory-monitor/{project}.json", body)[0] == 200
        told = stream.told(count=1)

    assert told == [("child_file_added", "root-mine/a/b")]


def test_each_event_is_written_by_itself(stack: Stack, root: str, place: Path) -> None:
    """Every chunk on the wire is one whole event: LF, one `data:` line of JSON, no other field."""
    url = urlsplit(stack.api)
    with socket.create_connection((url.hostname or "", url.port or 0), timeout=SHOWN_S) as connection:
        request = f"GET /v1/files/{quote(root, safe='')}/notify HTTP/1.1\r\nHost: x\r\n"
        connection.sendall(f"{request}Authorization: Bearer {stack.admin_key}\r\n\r\n".encode())
        answer = connection.makefile("rb")
        while answer.readline() != b"\r\n":
            pass
        chunks = [_chunk(answer)]
        for number in range(5):
            (place / f"{number}").mkdir()
            while b"child_dir_added" not in chunks[-1] or f'"path":"{number}"'.encode() not in chunks[-1]:
                chunks.append(_chunk(answer))

    assert chunks[0] == b": watching\n\n"
    for chunk in chunks[1:]:
        assert chunk.endswith(b"\n\n")
        assert chunk.count(b"\n") == 2
        assert chunk.startswith((b"data: [{", b": keepalive"))


def _chunk(answer: object) -> bytes:
    size = int(answer.readline(), 16)  # type: ignore[attr-defined]
    chunk: bytes = answer.read(size)  # type: ignore[attr-defined]
    answer.readline()  # type: ignore[attr-defined]
    return chunk


def test_recursion_can_be_switched_off(stack: Stack, root: str, place: Path) -> None:
    """The settings refuse recursive watches, or take them for plain ones; every change is read back."""
    target, settings = (
        f"/v1/files/{quote(root, safe='')}/notify?recursive=true",
        "/v1/file-system/settings/notify",
    )
    (place / "sub").mkdir()
    await_known(stack, f"{root}/sub")
    try:
        assert stack.send("PUT", settings, {"recursive_mode": "DISABLED_ERROR"})[0] == 200
        with asking(stack.api, target, stack.admin_key) as refused:
            assert (refused.status, refused.body()["error_class"]) == (
                400,
                "fs_notify_recursive_disabled_error",
            )
        assert stack.send("PUT", settings, {"recursive_mode": "DISABLED_IGNORE"})[0] == 200
        with watching(stack.api, root, stack.admin_key, recursive=True) as stream:
            (place / "sub" / "deep").write_text("x")
            (place / "flat").write_text("x")
            told = stream.told(count=1)
    finally:
        answer = stack.send("PUT", settings, {"recursive_mode": "ENABLED"})

    assert told == [("child_file_added", "flat")]
    assert answer == stack.send("GET", settings) == (200, {"recursive_mode": "ENABLED"})
    assert stack.send("PUT", settings, {"recursive_mode": "SOMETIMES"})[0] == 400
