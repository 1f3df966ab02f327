"""`/metrics` and `/health`: what they say, and that no client can hold the agent."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable

import pytest
from structlog.testing import capture_logs

from agent import serving
from agent.health import PATIENCE_S, Health, RootHealth, health
from agent.metrics import PUBLISHED


def _root(trouble: str | None = None, away_s: float = 0.0, project: str = "p") -> RootHealth:
    return RootHealth(project, "/etc", {"backend": "inotify", "depth": 3}, trouble, away_s)


def _served(of: Health, scenario: Callable[[int], Awaitable[bytes]]) -> bytes:
    """Return what a scenario makes of a server on a free port."""

    async def run() -> bytes:
        async with serving.serving("127.0.0.1:0", lambda: of) as port:
            return await asyncio.wait_for(scenario(port), 10)

    return asyncio.run(run())


async def _ask(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


def _get(of: Health, path: str, method: str = "GET") -> tuple[int, bytes]:
    request = f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    head, _, body = _served(of, lambda port: _ask(port, request)).partition(b"\r\n\r\n")
    return int(head.split()[1]), body


def test_health_of_a_watched_root_is_200() -> None:
    """Everything that is known of each root is in the answer."""
    status, body = _get(health([_root()]), "/health")

    assert status == 200
    (root,) = json.loads(body).pop("roots")
    assert json.loads(body)["status"] == "ok"
    assert root == {
        "project": "p",
        "dir": "/etc",
        "status": {"backend": "inotify", "depth": 3},
        "trouble": None,
        "broker_away_s": 0.0,
    }


def test_health_of_a_lost_root_is_503() -> None:
    """One root that is not watched is enough; the reason names it."""
    status, body = _get(health([_root(), _root("the directory is gone", project="q")]), "/health")

    assert status == 503
    assert json.loads(body)["reasons"] == ["q: the directory is gone"]


def test_health_without_a_broker_is_degraded() -> None:
    """An agent that keeps everything lives on: 200, with the reason, after some patience."""
    patient = health([_root(away_s=PATIENCE_S)])
    status, body = _get(health([_root(away_s=PATIENCE_S + 1)]), "/health")

    assert patient.status == "ok"
    assert status == 200
    assert json.loads(body)["status"] == "degraded"
    assert "the broker has not taken anything for 31 s" in json.loads(body)["reasons"][0]


def test_metrics_are_prometheus_text() -> None:
    """What is counted is served."""
    PUBLISHED.labels("served").inc(5)
    status, body = _get(health([]), "/metrics")

    assert status == 200
    assert b'fswire_agent_published_events_total{project="served"} 5.0' in body


@pytest.mark.parametrize(("path", "method", "status"), [("/", "GET", 404), ("/health", "POST", 405)])
def test_other_requests_are_refused(path: str, method: str, status: int) -> None:
    """There are two pages, and they are read."""
    assert _get(health([]), path, method)[0] == status


def test_head_has_no_body() -> None:
    """As HTTP has it."""
    assert _get(health([]), "/health?x", "HEAD") == (200, b"")


@pytest.mark.parametrize("request_", [b"GET /hea", b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n", b""])
def test_slow_and_endless_requests_are_cut_off(monkeypatch: pytest.MonkeyPatch, request_: bytes) -> None:
    """A client that does not come to an end is let go."""
    monkeypatch.setattr(serving, "_LONGEST_S", 0.05)

    async def scenario(port: int) -> bytes:
        try:
            return await _ask(port, request_)
        except ConnectionResetError:
            return b""

    assert _served(health([]), scenario) == b""


def test_many_clients_are_turned_away() -> None:
    """Clients that hold their connections do not pile up; the next are closed at once."""

    async def scenario(port: int) -> bytes:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(serving._MOST_CLIENTS)]
        await asyncio.sleep(0)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            answer = await reader.read()
        except ConnectionResetError:
            answer = b""
        for _, each in [*held, (reader, writer)]:
            each.close()
        return answer

    assert _served(health([]), scenario) == b""


def test_busy_port_names_the_key() -> None:
    """A port that another process has is an error that says which setting to change."""

    async def run(port: int) -> None:
        async with serving.serving(f"127.0.0.1:{port}", lambda: health([])):
            raise AssertionError("the port was taken")

    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        with pytest.raises(serving.ListenRefused, match=f"listen = '127.0.0.1:{port}': .*in use"):
            asyncio.run(run(port))


def test_port_that_was_taken_is_said() -> None:
    """With port 0 the log is where to find it."""

    async def run() -> int:
        async with serving.serving("127.0.0.1:0", lambda: health([])) as port:
            return port

    with capture_logs() as lines:
        port = asyncio.run(run())

    assert [line["port"] for line in lines] == [port]
    assert port > 0
