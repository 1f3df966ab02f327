"""The file monitor's credentials, formats and errors, in Tastypie's words."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from starlette.types import Message
from structlog.testing import capture_logs

from tests.unit.api.file_monitor import LIST, MAX_BODY_BYTES, Monitor, serving


@pytest.fixture
def monitor() -> Iterator[Monitor]:
    """An empty file monitor."""
    with serving() as stage:
        yield stage


def test_credentials_in_all_places(monitor: Monitor) -> None:
    """Basic, ApiKey and the query are one; none is 401 with a challenge."""
    basic = "Basic " + base64.b64encode(b"all:secret").decode()
    for headers, query in (
        ({"authorization": basic}, ""),
        ({"authorization": "ApiKey all:secret"}, ""),
        ({}, "?username=all&api_key=secret"),
    ):
        monitor.client.headers.pop("authorization", None)
        assert monitor.send("GET", LIST + query, headers=headers).status_code == 200
    for query in ("", "?username=all&api_key=wrong", "?username=all"):
        refused = monitor.send("GET", LIST + query)
        assert (refused.status_code, refused.content) == (401, b"")
        assert refused.headers["www-authenticate"].startswith("Basic")


def test_nothing_is_shown_or_changed_without_a_key(monitor: Monitor) -> None:
    """401 for every place and method, also for what is not there; `OPTIONS` and the root alone are open."""
    monitor.make()
    authorization = monitor.client.headers.pop("authorization")
    for path in (LIST, f"{LIST}1/", f"{LIST}99/", f"{LIST}abc/"):
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"):
            answer = monitor.send(method, path, {"objects": []} if method.startswith("P") else None)
            assert (answer.status_code, answer.content) == (401, b""), (method, path)
    for path in (f"{LIST}schema/", f"{LIST}set/1/"):
        assert monitor.send("GET", path).status_code == 401
    assert monitor.send("OPTIONS", f"{LIST}1/").status_code == 200

    monitor.client.headers["authorization"] = authorization
    assert monitor.ids("") == [1]


def test_reading_key_cannot_write(monitor: Monitor) -> None:
    """Tastypie knows no 403: a write without permission is 401."""
    monitor.client.headers["authorization"] = monitor.add_key("reader", "filemonitor:read")

    assert monitor.send("GET").status_code == 200
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert monitor.send(method, body={"objects": []}).status_code == 401
    monitor.client.headers["authorization"] = monitor.add_key("other", "directory_monitor:read")
    assert monitor.send("GET").status_code == 401


@pytest.mark.parametrize(
    ("headers", "query", "start"),
    [
        ({}, "callback=cb", b"cb({"),
        ({}, "format=jsonp", b"callback({"),
        ({}, "format=jsonp&callback=a.b_$1[0].c", b"a.b_$1[0].c({"),
        ({"accept": "text/javascript"}, "", b"callback({"),
        ({}, "format=json&callback=cb", b"{"),
        ({}, "format=xml", b"{"),
        ({"accept": "application/xml"}, "", b"{"),
    ],
)
def test_formats(monitor: Monitor, headers: dict[str, str], query: str, start: bytes) -> None:
    """JSON, or JSONP where it is asked for in any of three ways; what is not known is JSON."""
    answer = monitor.send("GET", f"{LIST}?{query}", headers=headers)

    assert answer.content.startswith(start)
    kind = "application/json" if start == b"{" else "text/javascript"
    assert answer.headers["content-type"] == kind


@pytest.mark.parametrize("callback", ["alert(1)//", "a-b", "1a", "a" * 300, "a b", ""])
def test_callback_that_is_no_name_is_400(monitor: Monitor, callback: str) -> None:
    """Nothing but the name of a function is written in front of the data."""
    answer = monitor.send("GET", LIST, params={"callback": callback})

    assert (answer.status_code, answer.json()["error"]) == (400, "JSONP callback name is invalid")


@pytest.mark.parametrize(
    ("content", "media_type", "status"),
    [
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"\xff", "application/json", 400),
        (b'{"status": "' + b"x" * 61 + b'"}', "application/json", 400),
        (b'{"size": "abc"}', "application/json", 400),
        (b'{"size": true}', "application/json", 400),
        (b'{"size": 99999999999999999999}', "application/json", 400),
        (b'{"tags": ["a"]}', "application/json", 400),
        (b'{"created": "soon"}', "application/json", 400),
        (b"{}", "text/plain", 415),
        (b"url=x", "application/x-www-form-urlencoded", 415),
        (b'"' + b"x" * MAX_BODY_BYTES + b'"', "application/json", 413),
    ],
)
def test_bad_bodies(monitor: Monitor, content: bytes, media_type: str, status: int) -> None:
    """Each is said in `error`, for POST, PUT and PATCH alike, and changes nothing."""
    monitor.make()
    for method, path in (("POST", LIST), ("PUT", f"{LIST}1/"), ("PATCH", f"{LIST}1/")):
        answer = monitor.send(method, path, content=content, headers={"content-type": media_type})
        assert (answer.status_code, list(answer.json())) == (status, ["error"]), method
    assert monitor.ids("") == [1]


def test_id_that_is_no_integer_is_404(monitor: Monitor) -> None:
    """Whatever the method, with a reason."""
    for method, body in (("GET", None), ("PUT", {}), ("PATCH", {}), ("DELETE", None)):
        for identity in ("abc", str(2**63)):
            answer = monitor.send(method, f"{LIST}{identity}/", body)
            assert (answer.status_code, list(answer.json())) == (404, ["error_message"])


def test_sequencer_that_does_not_answer_is_503(monitor: Monitor) -> None:
    """Nothing is promised, and the client may try again."""
    monitor.sequencer.silent = True

    answer = monitor.send("POST", body={})

    assert (answer.status_code, list(answer.json())) == (503, ["error_message"])
    assert answer.headers["retry-after"] == "1"


def test_what_fails_inside_is_500_without_a_reason(monitor: Monitor) -> None:
    """The client learns that it failed and nothing of where."""

    async def fails() -> None:
        raise RuntimeError("secret")

    monitor.sequencer.transfers.catch_up = fails  # type: ignore[method-assign]

    answer = monitor.send("GET")

    assert (answer.status_code, list(answer.json())) == (500, ["error_message"])
    assert "secret" not in answer.text


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_client_that_leaves_in_its_body_is_no_error(monitor: Monitor, method: str) -> None:
    """Nobody is left to be answered: nothing is decided, and the log has nothing to say."""
    came: list[Message] = [
        {"type": "http.request", "body": b'{"objects": [', "more_body": True},
        {"type": "http.disconnect"},
    ]
    authorization = monitor.client.headers["authorization"].encode()
    scope: dict[str, Any] = {
        "type": "http", "method": method, "path": LIST, "query_string": b"", "headers": [
            (b"host", b"t"), (b"authorization", authorization)
        ],
    }  # fmt: skip
    sent: list[Message] = []

    async def receive() -> Message:
        return came.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    async def ask() -> None:
        await monitor.client.app(scope, receive, send)

    with capture_logs() as said:
        asyncio.run(ask())

    assert ([each["status"] for each in sent if "status" in each], said) == ([499], [])
    assert (monitor.sequencer.offset, monitor.ids("")) == (0, [])


def test_many_writers_get_ids_without_gaps(monitor: Monitor) -> None:
    """Ids are dense from 1, however many write at once."""

    async def write() -> None:
        transport = httpx2.ASGITransport(app=monitor.client.app)
        headers = dict(monitor.client.headers)
        async with httpx2.AsyncClient(transport=transport, base_url="http://t", headers=headers) as client:
            await asyncio.gather(*(client.post(LIST, json={"status": "x"}) for _ in range(30)))

    asyncio.run(write())

    assert monitor.ids("limit=0&order_by=id") == list(range(1, 31))
