"""`/watch` of a running stack: the watch vocabulary over the virtual tree, from real files on."""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.integration.running import Stack

pytestmark = pytest.mark.stack

PATIENCE_S = 60.0


class SocketClient:
    """One connection."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.changes: list[dict[str, Any]] = []
        self._asked = 0

    def send(self, value: object) -> None:
        """Send a value as it is."""
        self.socket.send(json.dumps(value))

    def receive(self) -> Any:
        """Return the next message."""
        return json.loads(self.socket.recv(PATIENCE_S))

    def ask(self, payload: object, **more: object) -> Any:
        """Return the payload of the answer to a request; changes that come before it are kept."""
        self._asked += 1
        self.send({"id": f"r{self._asked}", "payload": payload, **more})
        while True:
            message = self.receive()
            answered = message["payload"]
            is_change = isinstance(answered, dict) and answered["type"].startswith("change")
            if message["origin_id"] == f"r{self._asked}" and not is_change:
                return answered
            self.changes.append(message)

    def watch(self, path: str, **more: object) -> str:
        """Watch a path, as soon as it is known, and return the request's id."""
        deadline = time.monotonic() + PATIENCE_S
        while (answer := self.ask({"type": "watch", "path": path, **more})) != {"type": "ok"}:
            assert answer["kind"] == "not_found", answer
            assert time.monotonic() < deadline, answer
        return f"r{self._asked}"

    def until(self, path: str) -> list[dict[str, Any]]:
        """Return what was sent for watches up to the first change of a path."""
        while not any(message["payload"].get("path") == path for message in self.changes):
            self.changes.append(self.receive())
        return self._taken()

    def until_kind(self, kind: str) -> list[dict[str, Any]]:
        """Return what was sent for watches up to the first change of a kind that was not handed out yet."""
        while not self.changes or self.changes[-1]["payload"].get("kind") != kind:
            self.changes.append(self.receive())
        return self._taken()

    def _taken(self) -> list[dict[str, Any]]:
        messages, self.changes = self.changes, []
        return messages


@contextlib.contextmanager
def opened(stack: Stack, query: str = "", key: str | None = "admin") -> Iterator[SocketClient]:
    """Connect with a key in the handshake, None: without one."""
    credential = stack.admin_key if key == "admin" else key
    headers = {"Authorization": f"Bearer {credential}"} if credential else {}
    url = stack.api.replace("http", "ws", 1) + "/watch" + query
    # a full queue of what nobody took would hold the close up for 10 s
    with connect(url, additional_headers=headers, max_queue=None) as socket:
        yield SocketClient(socket)


@pytest.fixture
def place(stack: Stack) -> Path:
    """A watched directory of its own, with a directory in it."""
    place = stack.watched / f"watch-{secrets.token_hex(4)}"
    (place / "sub").mkdir(parents=True)
    return place


def virtual(stack: Stack, path: Path) -> str:
    return f"/{stack.project}/{path.relative_to(stack.watched)}"


def brief(message: dict[str, Any]) -> tuple[str, ...]:
    payload = message["payload"]
    return payload["kind"], payload["path"], *filter(None, [payload.get("details", {}).get("renamed")])


def made_key(stack: Stack, *arguments: str) -> str:
    made = stack.command("key", "create", *arguments)
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


def test_changes_of_a_recursive_watch(stack: Stack, place: Path) -> None:
    """`ok`, then what happens on the machine, in its order, by the path in the virtual tree."""
    root = virtual(stack, place)
    with opened(stack) as client:
        watching = client.watch(root, recursive=True)
        (place / "sub" / "a").write_text("x")
        (place / "sub" / "a").rename(place / "b")
        (place / "end").mkdir()

        messages = client.until(f"{root}/end")

    assert [brief(each) for each in messages] == [
        ("create", f"{root}/sub/a"),
        ("modify", f"{root}/sub/a"),
        ("closeWrite", f"{root}/sub/a"),
        ("rename", f"{root}/sub/a", f"{root}/b"),
        ("create", f"{root}/end"),
    ]
    assert {each["origin_id"] for each in messages} == {watching}
    assert all(isinstance(each["payload"]["timestamp"], int) for each in messages)


def test_watches_of_one_connection_are_apart(stack: Stack, place: Path) -> None:
    """Plain and recursive ones, filters, the same path twice: each has its own under its own id."""
    root = virtual(stack, place)
    with opened(stack) as client:
        plain = client.watch(root.removeprefix("/"))
        twice = client.watch(root, only=["delete"])
        below = client.watch(f"{root}/sub", recursive=True, **{"except": ["create"]})
        (place / "sub" / "a").mkdir()
        (place / "sub" / "a").rmdir()
        (place / "sub" / "a").mkdir()
        (place / "sub" / "a").chmod(0o700)
        (place / "end").mkdir()
        (place / "end").rmdir()
        (place / "end").mkdir()

        messages = client.until(f"{root}/end")
        while sum(each["payload"]["path"] == f"{root}/end" for each in messages) < 4:
            messages.append(client.receive())

    sub = f"{root}/sub/a"
    by_origin = {
        origin: [brief(each) for each in messages if each["origin_id"] == origin]
        for origin in (plain, twice, below)
    }
    end = f"{root}/end"
    assert by_origin[plain] == [("create", end), ("delete", end), ("create", end)]
    assert by_origin[twice] == [("delete", end)]
    assert by_origin[below] == [("delete", sub), ("attribute", sub)]


def test_renames_between_watched_directories_and_of_one_above(stack: Stack, place: Path) -> None:
    """They reach either end's watch; a watched path that goes along is told of that."""
    (place / "other").mkdir()
    (place / "sub" / "f").mkdir()
    root = virtual(stack, place)
    with opened(stack) as client:
        one, other = client.watch(f"{root}/sub"), client.watch(f"{root}/other")
        (place / "sub" / "f").rename(place / "other" / "f")
        (place / "other").rename(place / "away")
        (place / "sub" / "end").mkdir()

        messages = client.until(f"{root}/sub/end")

    between = ("rename", f"{root}/sub/f", f"{root}/other/f")
    assert next(brief(each) for each in messages if each["origin_id"] == one) == between
    assert [brief(each) for each in messages if each["origin_id"] == other] == [
        between,
        ("rename", f"{root}/other", f"{root}/away"),
    ]


def test_a_single_file_through_atomic_saves(stack: Stack, place: Path) -> None:
    """It stays watched when another file takes its place; that it was replaced is told first."""
    file, beside = place / "file", place / "beside"
    file.write_text("0")
    root = virtual(stack, place)
    with opened(stack) as client:
        client.watch(f"{root}/file")
        beside.write_text("1")
        beside.replace(file)
        messages = client.until_kind("rename")
        file.write_text("2")
        messages += client.until_kind("closeWrite")
        file.unlink()
        messages += client.until_kind("delete")

    assert [brief(each) for each in messages] == [
        ("delete", f"{root}/file"),
        ("rename", f"{root}/beside", f"{root}/file"),
        ("modify", f"{root}/file"),
        ("closeWrite", f"{root}/file"),
        ("delete", f"{root}/file"),
    ]
    assert messages[0]["payload"]["details"] == {"extra": "override"}
    assert "details" not in messages[-1]["payload"]


def test_moved_out_of_sight_and_in(stack: Stack, place: Path) -> None:
    """One rename each, of the end that is in sight."""
    outside = stack.watched.parent / place.name
    root = virtual(stack, place)
    with opened(stack) as client:
        client.watch(root)
        (place / "sub").rename(outside)
        messages = client.until_kind("rename")
        outside.rename(place / "back")
        messages += client.until_kind("rename")

    assert [brief(each) for each in messages] == [("rename", f"{root}/sub"), ("rename", f"{root}/back")]


def test_a_directory_renamed_inside_and_a_tree_made_in_one_burst(stack: Stack, place: Path) -> None:
    """What happens below has its new path; everything of the tree is told once, each after what holds it."""
    root = virtual(stack, place)
    with opened(stack) as client:
        client.watch(root, recursive=True, only=["create", "rename"])
        (place / "sub").rename(place / "moved")
        for number in range(10):
            (place / "moved" / f"{number}" / "a" / "b").mkdir(parents=True)
            (place / "moved" / f"{number}" / "a" / "b" / "file").touch()
        (place / "end").mkdir()
        messages = client.until(f"{root}/end")
        while len(messages) < 1 + 10 * 4 + 1:
            messages.append(client.receive())

    told = [brief(each) for each in messages if each["payload"]["path"] != f"{root}/end"]
    created = [path for _, path in told[1:]]
    assert told[0] == ("rename", f"{root}/sub", f"{root}/moved")
    assert sorted(created) == sorted(
        f"{root}/moved/{number}{below}" for number in range(10) for below in ("", "/a", "/a/b", "/a/b/file")
    )
    assert all(
        path.rpartition("/")[0] in (f"{root}/moved", *created[:place]) for place, path in enumerate(created)
    )


def test_unwatch(stack: Stack, place: Path) -> None:
    """What had come to the log before it is told before its `ok`; nothing is after it."""
    root = virtual(stack, place)
    with opened(stack) as client:
        client.watch(root)
        (place / "a").mkdir()
        client.until(f"{root}/a")

        gone, again = (client.ask({"type": "unwatch", "path": root}) for _ in range(2))
        client.watch(f"{root}/sub")
        (place / "b").mkdir()
        (place / "sub" / "end").mkdir()
        messages = client.until(f"{root}/sub/end")

    assert gone == {"type": "ok"}
    assert again == {"type": "error", "kind": "other", "description": f'"{root}" is not being watched'}
    assert [brief(each) for each in messages] == [("create", f"{root}/sub/end")]


def test_paths_that_are_not_there(stack: Stack, place: Path) -> None:
    """`not_found`, below a file `unknown`; a batch has an error in its member's place."""
    (place / "file").touch()
    root = virtual(stack, place)
    with opened(stack) as client:
        client.watch(f"{root}/file")
        paths = (f"{root}/missing", "/no-such-project/a", "", f"{root}/file/below")
        watches = [{"type": "watch", "path": path} for path in paths]

        plain = client.ask([*watches, {"type": "version"}])
        sequenced = client.ask(watches, headers={"sequence": True})

    kinds = [each.get("kind") for each in plain]
    assert kinds == ["not_found", "not_found", "not_found", "unknown", None]
    assert [each["kind"] for each in sequenced] == ["not_found", "interrupted", "interrupted", "interrupted"]


def test_a_client_of_distant(stack: Stack, place: Path) -> None:
    """`changed` and `close_write`; bare in, bare out; no greeting."""
    root = virtual(stack, place)
    with opened(stack, "?dialect=distant") as client:
        client.watch(root)
        client.ask({"type": "unwatch", "path": root})
        client.send({"type": "watch", "path": root, "only": ["close_write"]})
        assert client.receive() == {"type": "ok"}
        (place / "a").write_text("x")

        changed = client.receive()

    assert (changed["type"], changed["kind"], changed["path"]) == ("changed", "close_write", f"{root}/a")


def test_bad_messages_are_answered(stack: Stack) -> None:
    """The connection goes on."""
    with opened(stack) as client:
        client.socket.send('{"id": "x", "payload": oops}\n{"id": "y", "payload": {"type": "nope"}}')
        first, second = client.receive(), client.receive()

        assert (first["origin_id"], first["payload"]["kind"]) == ("x", "invalid_data")
        assert (second["origin_id"], second["payload"]["kind"]) == ("y", "invalid_input")
        assert client.ask({"type": "version"})["protocol_version"] == "0.20.0"


def test_a_thousand_watches_of_one_connection(stack: Stack, place: Path) -> None:
    """All are answered, and each has its own changes only."""
    for number in range(100):
        (place / f"{number}").mkdir()
    root = virtual(stack, place)
    with opened(stack) as client:
        client.watch(f"{root}/99")
        payload = [{"type": "watch", "path": f"{root}/{number % 100}"} for number in range(1_000)]
        assert client.ask(payload) == [{"type": "ok"}] * 1_000
        (place / "7" / "a").mkdir()
        (place / "99" / "end").mkdir()

        messages = client.until(f"{root}/99/end")

    assert [brief(each) for each in messages[:10]] == [("create", f"{root}/7/a")] * 10
    assert messages[10]["payload"]["path"] == f"{root}/99/end"


def test_a_key_in_the_first_message(stack: Stack, place: Path) -> None:
    """Before it nothing else is served; after it everything is."""
    with opened(stack, key=None) as client:
        denied = client.ask({"type": "version"})
        accepted = client.ask({"type": "authenticate", "key": stack.admin_key})
        client.watch(virtual(stack, place))

    assert (denied["type"], denied["kind"]) == ("error", "permission_denied")
    assert accepted == {"type": "ok"}


def test_keys_that_may_not_watch(stack: Stack) -> None:
    """A handshake is refused with its status; a first message with an error, and the end."""
    writer = made_key(stack, "--project", stack.project, "--scope", "directory_monitor:write")
    statuses = []
    for key in ("nobody.knows", writer):
        with pytest.raises(InvalidStatus) as refused, opened(stack, key=key):
            pass
        statuses.append(refused.value.response.status_code)
    with opened(stack, key=None) as client:
        answer = client.ask({"type": "authenticate", "key": writer})
        with pytest.raises(ConnectionClosed) as closed:
            client.receive()

    assert statuses == [401, 403]
    assert answer["kind"] == "permission_denied"
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1008


def test_other_projects_do_not_exist(stack: Stack, place: Path) -> None:
    """Neither to watch, nor among the changes of the root."""
    mine = f"mine-{secrets.token_hex(4)}"
    assert stack.command("project", "create", mine).returncode == 0
    key = made_key(stack, "--project", mine, "--scope", "directory_monitor:read")
    event = {"projectId": mine, "filename": "a", "event": "created", "filesize": 1}
    with opened(stack, key=key) as client, opened(stack) as admin:
        refused = client.ask({"type": "watch", "path": virtual(stack, place)})
        client.watch("/", recursive=True)
        admin.watch("/", recursive=True)
        (place / "a").mkdir()
        admin.until(f"{virtual(stack, place)}/a")
        status, _ = stack.send("PUT", f"/2026-02-01/directory-monitor/{mine}.json", event)
        messages = client.until(f"/{mine}/a")

    assert refused["kind"] == "not_found"
    assert status == 200
    assert {each["payload"]["path"] for each in messages} == {f"/{mine}/a"}


def test_a_revoked_key_ends_its_connections(stack: Stack) -> None:
    """With an error that says so."""
    key = made_key(stack, "--project", stack.project, "--scope", "directory_monitor:read")
    with opened(stack, key=key) as client:
        client.watch(f"/{stack.project}")
        assert stack.command("key", "revoke", key.partition(".")[0]).returncode == 0
        payload: dict[str, Any] = {}
        with pytest.raises(ConnectionClosed):
            while True:
                message = client.receive()
                payload = message.get("payload", message)

    assert payload["kind"] == "permission_denied"
