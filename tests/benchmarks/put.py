"""PUTs per second, each decided by the processor, and how long one takes; none lost, none doubled."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from urllib.parse import urlsplit

from tests.benchmarks.http_client import Connection
from tests.benchmarks.table import percentile, show
from tests.integration import running

PROJECTS = 8
ALONE = 500
TOGETHER = 20_000
CONNECTIONS = 64


def run(directory: Path) -> None:
    """Start the whole system, send events over one connection, then over many, and print the table."""
    with running.up(directory / "data", "--port", "0") as up:
        up.ready()
        stack = running.Stack(up, up.endpoint(), directory, "")
        for number in range(PROJECTS):
            stack.command("project", "create", f"put-{number}")
        alone = asyncio.run(_send(stack, 1, ALONE))
        together = asyncio.run(_send(stack, CONNECTIONS, TOGETHER))
        _check(stack, ALONE + TOGETHER)
        up.stop()
    show(
        "PUT: answered after the processor's decision",
        ("connections", "requests/s", "p50 ms", "p99 ms"),
        [_row(1, alone), _row(CONNECTIONS, together)],
    )


async def _send(stack: running.Stack, connections: int, requests: int) -> tuple[float, list[float]]:
    """Return the seconds that all took together, and each."""
    place = urlsplit(stack.api)
    headers = {"Authorization": f"Bearer {stack.admin_key}"}
    took: list[float] = []

    async def client(first: int) -> None:
        async with Connection(str(place.hostname), place.port or 80, headers) as connection:
            own = range(first, requests, connections)
            took.extend([await _put(connection, f"{connections}-{number}", number) for number in own])

    began = time.perf_counter()
    await asyncio.gather(*(client(first) for first in range(connections)))
    return time.perf_counter() - began, took


async def _put(connection: Connection, name: str, number: int) -> float:
    project = f"put-{number % PROJECTS}"
    event = {"projectId": project, "filename": f"src/{name}.py", "event": "modified", "filesize": number}
    event |= {"sha256": f"{number:064x}", "uid": 1000, "pid": 4512, "eventId": f"evt_{name}"}
    body = json.dumps(event).encode()
    began = time.perf_counter()
    status, answer = await connection.request("PUT", f"/2026-02-01/directory-monitor/{project}.json", body)
    if status != 200 or not answer["inserted"]:
        raise AssertionError(f"{status} {answer}")
    return time.perf_counter() - began


def _check(stack: running.Stack, expected: int) -> None:
    """Every answered PUT is one row."""
    one_row = "SELECT {} FROM events WHERE startsWith(project_id, 'put-')"
    stack.await_rows(one_row.format("count()"), expected)
    rows = stack.query(one_row.format("count(), uniqExact(project_id, event_id)")).split()
    if rows != [str(expected)] * 2:
        raise AssertionError(f"{expected} PUTs became {rows[0]} rows of {rows[1]} events")


def _row(connections: int, result: tuple[float, list[float]]) -> tuple[object, ...]:
    seconds, took = result
    p50, p99 = percentile(took, 0.5) * 1000, percentile(took, 0.99) * 1000
    return str(connections), len(took) / seconds, p50, p99
