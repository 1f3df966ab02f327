"""Requests that nobody would write by hand: whatever comes, it is answered, and never with a server error."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.api.put import PATH, SEED

READ = [b"authorization", b"x-directory-monitor-token", b"content-type", b"content-length"]
FIELDS = [*SEED, "eventId", "renamedTo", "host", "timestampUtc", "ingressToken"]
HISTORY = "/2026-02-01/systems/directory-monitor/proj_123/events.json"
KEY = b"Bearer writer.secret-of-writer"
NAMES = st.sampled_from(["size", "page", "event", "pathLike", "from", "to", "sha256", "host", "cursor", "x"])
JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
fuzzed = settings(
    max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def ask(
    stage: Any, method: str, path: str, query: bytes = b"", headers: Any = (), body: bytes | None = b""
) -> tuple[int, Any]:
    """Send a request as raw as ASGI lets it be, and return status and JSON; `body` None: leave before it."""
    sent: list[Any] = []
    scope = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "root_path": "",
        "query_string": query, "headers": [*headers, (b"authorization", KEY)], "http_version": "1.1",
        "scheme": "http", "client": ("192.0.2.1", 5), "server": ("fswire.test", 80),
    }  # fmt: skip

    async def receive() -> Any:
        if body is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(stage.app(scope, receive, send))
    answer = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], json.loads(answer or b"null")


def test_client_that_leaves_is_no_failure(stage: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """It is counted, and nobody is called."""
    assert ask(stage, "PUT", PATH, body=None) == (499, None)
    assert "error" not in "".join(capsys.readouterr())


@fuzzed
@given(query=st.binary(max_size=200))
def test_any_query_is_answered(stage: Any, query: bytes) -> None:
    """Bytes of any kind where parameters should be."""
    assert ask(stage, "GET", HISTORY, query)[0] in (200, 422)


@fuzzed
@given(given_parameters=st.dictionaries(NAMES, st.text(max_size=80), max_size=4))
def test_any_parameter_is_answered(stage: Any, given_parameters: dict[str, str]) -> None:
    """Texts of any kind as what is known: quotes, `%`, `_`, backslash, NUL, surrogates' neighbours."""
    pairs = (f"{name}={text}".encode() for name, text in given_parameters.items())
    escaped = b"&".join(b"".join(b"%%%02x" % byte if byte != 61 else b"=" for byte in pair) for pair in pairs)

    assert ask(stage, "GET", HISTORY, escaped)[0] in (200, 422)


@fuzzed
@given(
    name=st.sampled_from(READ),
    value=st.binary(max_size=100),
)
def test_any_header_is_answered(stage: Any, name: bytes, value: bytes) -> None:
    """Bytes of any kind in the headers that are read."""
    status, _ = ask(stage, "PUT", PATH, headers=[(name, value)], body=json.dumps(SEED).encode())

    assert status in (200, 401, 413, 415, 429)


@fuzzed
@given(body=st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_body_is_answered(stage: Any, body: bytes) -> None:
    """Bytes and JSON of any kind."""
    assert ask(stage, "PUT", PATH, body=body)[0] in (200, 207, 400, 413, 422)


@fuzzed
@given(field=st.sampled_from(FIELDS), value=JSON)
def test_any_value_of_a_field_is_answered(stage: Any, field: str, value: Any) -> None:
    """Whatever a field holds, alone and in a list."""
    event = SEED | {field: value}
    alone, _ = ask(stage, "PUT", PATH, body=json.dumps(event).encode())
    listed, answers = ask(stage, "PUT", PATH, body=json.dumps([event, SEED]).encode())

    assert alone in (200, 400, 422)
    assert listed in (200, 207) or (alone, listed) == (400, 400)
    assert listed == 400 or answers[1]["statusCode"] == 200
