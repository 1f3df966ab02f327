"""What all requests together may hold, and how long a body may take."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

import httpx2

from tests.unit.api.put import PATH, SEED, assert_error


@asynccontextmanager
async def undecided(
    stage: Any, client: httpx2.AsyncClient, number: int, event: dict[str, Any]
) -> AsyncIterator[Awaitable[list[Any]]]:
    """Send events that are not decided before the block ends; yield their answers."""
    stage.broker.silent = True
    puts = (client.put(PATH, json=event | {"eventId": f"e{nth}"}) for nth in range(number))
    answers = asyncio.gather(*puts)
    while len(stage.broker.events) < number:  # noqa: ASYNC110  the loop runs on
        await asyncio.sleep(0)
    yield answers
    stage.broker.silent = False
    for sent in stage.broker.events:
        stage.broker.decide("proj_123", sent)


def test_body_that_does_not_come_is_408(make_stage: Any) -> None:
    """However many bytes trickle in meanwhile; the connection ends."""
    stage = make_stage(body_timeout_s=0.05)

    async def body() -> Any:
        yield b"{"
        await asyncio.Event().wait()

    async def scenario(client: httpx2.AsyncClient) -> Any:
        return await client.put(PATH, content=body())

    response = stage.run(scenario)
    assert_error(response, 408, "body_timeout")
    assert response.headers["connection"] == "close"


def test_body_that_came_may_be_answered_late(make_stage: Any) -> None:
    """The time is for the body alone: what happens then has its own."""
    stage = make_stage(body_timeout_s=0.05, decision_timeout_ms=200)
    stage.broker.silent = True

    assert_error(stage.request("PUT", PATH, json=SEED), 503, "undecided")


def test_bodies_together_are_bounded(make_stage: Any) -> None:
    """What would be too much at one time is 503; when others end there is room again."""
    stage = make_stage(max_held_body_bytes=1024 * 1024, decision_timeout_ms=30_000)
    large = SEED | {"x": "y" * 250_000}

    async def scenario(client: httpx2.AsyncClient) -> list[Any]:
        async with undecided(stage, client, 4, large) as answers:
            refused = await client.put(PATH, json=large)
        return [refused, *await answers]

    refused, *others = stage.run(scenario)
    assert_error(refused, 503, "overloaded")
    assert [response.status_code for response in others] == [200] * 4
    assert stage.request("PUT", PATH, json=large).status_code == 200


def test_refused_body_is_not_held(make_stage: Any) -> None:
    """What is thrown away costs no memory, however much it is."""
    stage = make_stage(max_held_body_bytes=2 * 1024 * 1024)

    async def body() -> Any:
        for _ in range(200):
            yield b"x" * 100_000

    async def scenario(client: httpx2.AsyncClient) -> Any:
        return await client.put(PATH, content=body())

    assert_error(stage.run(scenario), 413, "body_too_large")


def test_requests_together_are_bounded(make_stage: Any) -> None:
    """503 at once, before anything is looked at."""
    stage = make_stage(max_requests=2, decision_timeout_ms=30_000)

    async def scenario(client: httpx2.AsyncClient) -> list[Any]:
        async with undecided(stage, client, 2, SEED) as answers:
            refused = await client.get("/health/live")
        return [refused, *await answers]

    refused, *others = stage.run(scenario)
    assert_error(refused, 503, "overloaded")
    assert refused.headers["retry-after"] == "1"
    assert [response.status_code for response in others] == [200] * 2
    assert stage.request("GET", "/health/live").status_code == 200
