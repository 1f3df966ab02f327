"""Clients that send slowly, against the running api: they are given up, and hold little memory meanwhile."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest

from tests.integration.monitoring import Monitor
from tests.integration.running import PATIENCE_S, Stack

pytestmark = pytest.mark.stack
MIB = 1024 * 1024
CONNECTIONS = 200
LENGTH_BYTES = MIB - 1024
ADDRESS = "127.0.0.5"
"""Of these clients alone: what they are refused does not count for the other tests."""
MOST_MORE_MIB = 160
"""Of 200 bodies of almost 1 MiB: those that are held, 64 MiB together, and what Python makes of them."""
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def resident_mib(stack: Stack) -> float:
    """Return what the api has in memory."""
    status = Path(f"/proc/{stack.up.part('api')}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) / 1024


async def opened(stack: Stack, sent: bytes) -> list[Connection]:
    """Return connections that have each sent the same, and send no more."""
    place = urlsplit(stack.api)
    connections = [
        await asyncio.open_connection(place.hostname, place.port, local_addr=(ADDRESS, 0))
        for _ in range(CONNECTIONS)
    ]
    for _, writer in connections:
        writer.write(sent)
    return connections


def closed(connections: list[Connection]) -> None:
    """Leave without another word."""
    for _, writer in connections:
        writer.transport.abort()


def test_heads_that_do_not_come_are_given_up(stack: Stack) -> None:
    """Each is told so, while others are served."""

    async def scenario() -> tuple[list[bytes], int]:
        connections = await opened(stack, b"GET /health/live HTTP/1.1\r\nHost: a\r\nX-Slow: ")
        try:
            async with httpx2.AsyncClient(base_url=stack.api, timeout=PATIENCE_S) as client:
                served = await client.get("/health/live")
            answers = [asyncio.wait_for(reader.read(), PATIENCE_S) for reader, _ in connections]
            return await asyncio.gather(*answers), served.status_code
        finally:
            closed(connections)

    answers, served = asyncio.run(scenario())
    assert served == 200
    assert {answer.split(b"\r\n")[0] for answer in answers} == {b"HTTP/1.1 408 Request Timeout"}


def test_bodies_that_do_not_come_hold_little_memory(monitor: Monitor) -> None:
    """What is too much together is refused; without a key nothing is read at all."""
    stack = monitor.stack
    before_mib = resident_mib(stack)

    async def scenario(authorization: str, refused: int) -> tuple[float, set[bytes]]:
        head = (
            f"PUT {monitor.path} HTTP/1.1\r\nHost: a\r\nAuthorization: {authorization}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {LENGTH_BYTES}\r\n\r\n"
        )
        connections = await opened(stack, head.encode() + b"[" + b" " * (LENGTH_BYTES - 2))
        answering = {asyncio.create_task(reader.readline()) for reader, _ in connections}
        answers: list[bytes] = []
        try:
            async with asyncio.timeout(PATIENCE_S):
                while len(answers) < refused:
                    done, answering = await asyncio.wait(answering, return_when=asyncio.FIRST_COMPLETED)
                    answers += [task.result() for task in done]
            return resident_mib(stack) - before_mib, set(answers)
        finally:
            for task in answering:
                task.cancel()
            await asyncio.gather(*answering, return_exceptions=True)
            closed(connections)

    held_mib, answers = asyncio.run(scenario(monitor.client.headers["Authorization"], CONNECTIONS - 80))
    assert held_mib < MOST_MORE_MIB
    assert answers == {b"HTTP/1.1 503 Service Unavailable\r\n"}
    unread_mib, answers = asyncio.run(scenario("Bearer a.b", CONNECTIONS))
    assert unread_mib < MOST_MORE_MIB
    assert answers <= {b"HTTP/1.1 401 Unauthorized\r\n", b"HTTP/1.1 429 Too Many Requests\r\n"}
