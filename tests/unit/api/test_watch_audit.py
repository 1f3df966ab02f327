"""The audit of `/watch`: keys that come with the handshake, and those that come in the first message."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.unit.api.conftest import WRITER, Stage

READ = "directory_monitor:read"


def visit(stage: Stage, *messages: dict[str, Any], authorization: str | None = None) -> list[dict[str, Any]]:
    """Open `/watch`, send messages, wait for the answer to each, leave; return all that came."""
    headers = [] if authorization is None else [(b"authorization", authorization.encode())]
    scope: dict[str, Any] = {
        "type": "websocket",
        "path": "/watch",
        "raw_path": b"/watch",
        "query_string": b"",
    }
    scope.update(scheme="ws", headers=headers, client=("192.0.2.7", 1))
    scope.update(extensions={"websocket.http.response": {}})

    async def scene() -> list[dict[str, Any]]:
        frames = asyncio.Queue[dict[str, Any]]()
        came: list[dict[str, Any]] = []
        frames.put_nowait({"type": "websocket.connect"})
        for message in messages:
            frames.put_nowait(
                {"type": "websocket.receive", "text": json.dumps({"id": "1", "payload": message})}
            )

        async def send(frame: dict[str, Any]) -> None:
            came.append(frame)
            if sum(each["type"] == "websocket.send" for each in came) >= len(messages):
                frames.put_nowait({"type": "websocket.disconnect", "code": 1000})

        await asyncio.wait_for(stage.app(scope, frames.get, send), 30)  # type: ignore[arg-type]
        return came

    return asyncio.run(scene())


def audited(stage: Stage) -> list[tuple[object, ...]]:
    return [(row.status, row.route, row.key_id, row.scope, row.remote) for row in stage.audit()]


@pytest.mark.parametrize("first", [[], [{"type": "version"}]], ids=["at once", "after another message"])
def test_key_in_a_message_is_recorded_as_one_in_the_handshake(
    stage: Stage, first: list[dict[str, Any]]
) -> None:
    """Once per connection, with the key that it turned out to have."""
    visit(stage, *first, {"type": "authenticate", "key": WRITER})
    visit(stage, authorization=f"Bearer {WRITER}")

    assert audited(stage) == [(101, "/watch", "writer", READ, "192.0.2.7")] * 2


@pytest.mark.parametrize(
    ("key", "status", "key_id"),
    [("nobody.x", 401, ""), ("writer.wrong", 401, "writer"), ("blind.secret-of-blind", 403, "blind")],
)
@pytest.mark.parametrize("in_message", [False, True], ids=["handshake", "message"])
def test_key_that_is_refused_is_recorded_as_refused(
    stage: Stage, key: str, status: int, key_id: str, in_message: bool
) -> None:
    """However it came: it is never a visit."""
    stage.key("blind", ["directory_monitor:write"], ["*"])

    if in_message:
        visit(stage, {"type": "authenticate", "key": key})
    else:
        visit(stage, authorization=f"Bearer {key}")

    assert audited(stage) == [(status, "/watch", key_id, READ, "192.0.2.7")]
    assert key.partition(".")[2] not in repr(stage.audit())


def test_client_without_a_key_is_nobodys_visit(stage: Stage) -> None:
    """One that leaves before it has said who it is has read nothing."""
    visit(stage, {"type": "version"})

    assert audited(stage) == []
