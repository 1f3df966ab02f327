"""Bodies of a PUT: JSON or not, how large, one event."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest

from tests.unit.api.put import PATH, SEED, assert_error


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "not_json"),
        (b"{", "not_json"),
        (b'{"a":NaN}', "not_json"),
        (b'{"a":1e999}', "not_json"),
        (b'{"a":"\\ud800"}', "not_json"),
        (b'{"a":"\xff"}', "not_json"),
        (b"\xef\xbb\xbf{}", "not_json"),
        (b"[" * 100_000, "not_json"),
        (b'{"filesize":' + b"9" * 5000 + b"}", "not_json"),
        (b"[{}", "not_json"),
        (b"null", "not_an_object"),
        (b'"x"', "not_an_object"),
        (b"7", "not_an_object"),
    ],
)
def test_body_that_is_no_object_is_400(stage: Any, body: bytes, code: str) -> None:
    """Whatever the body is, it is answered and never a 500."""
    response = stage.request("PUT", PATH, content=body, headers={"Content-Type": "application/json"})

    assert_error(response, 400, code)


def test_deeply_nested_unknown_field_is_refused(stage: Any) -> None:
    """What later readers could not decode is not let in."""
    nested: Any = 1
    for _ in range(200):
        nested = [nested]

    body = assert_error(stage.request("PUT", PATH, json=SEED | {"x": nested}), 422)
    assert body["details"][0]["field"] == "x"


def test_repeated_json_key_is_read_once(stage: Any) -> None:
    """JSON leaves it open; the last one counts, as in most readers."""
    content = b'{"projectId":"proj_123","filename":"a","event":"created","filesize":1,"filesize":2}'
    response = stage.request("PUT", PATH, content=content, headers={"Content-Type": "application/json"})

    assert response.status_code == 200
    assert stage.broker.events[0].size == 2


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("Application/JSON", 200),
        ("application/vnd.api+json", 200),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("", 415),
    ],
)
def test_content_type_must_be_json(stage: Any, content_type: str, status: int) -> None:
    """Another media type is 415."""
    response = stage.request(
        "PUT", PATH, content=json.dumps(SEED).encode(), headers={"Content-Type": content_type}
    )

    assert response.status_code == status


def test_content_type_may_be_absent(stage: Any) -> None:
    """A JSON body without a Content-Type is taken for what it is."""
    assert stage.request("PUT", PATH, content=json.dumps(SEED).encode()).status_code == 200


def test_announced_body_over_the_limit_is_not_read(make_stage: Any) -> None:
    """413 comes from Content-Length alone, before a byte is asked for."""
    stage = make_stage(max_body_bytes=1024)
    read: list[int] = []

    async def body() -> Any:
        for _ in range(2):
            read.append(len(read))
            yield b"x" * 1024

    async def scenario(client: httpx2.AsyncClient) -> Any:
        return await client.put(PATH, content=body(), headers={"Content-Length": "2048"})

    response = stage.run(scenario)
    assert_error(response, 413, "body_too_large")
    assert response.headers["connection"] == "close"


def test_streamed_body_over_the_limit_is_413(make_stage: Any) -> None:
    """A body of unknown length is refused as soon as it is over the limit."""
    stage = make_stage(max_body_bytes=1024)

    async def body() -> Any:
        for _ in range(3):
            yield b"x" * 1000

    async def scenario(client: httpx2.AsyncClient) -> Any:
        return await client.put(PATH, content=body())

    assert_error(stage.run(scenario), 413, "body_too_large")
