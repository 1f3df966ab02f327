"""Clients that go away, or take nothing: their work ends, and what was held for them is let go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.requests import ClientDisconnect
from starlette.types import Message

from api.leaving import Stream, unless_gone

SCOPE: dict[str, Any] = {"type": "http", "asgi": {"spec_version": "2.3"}}


async def _stays() -> Message:
    await asyncio.Event().wait()
    raise AssertionError("nothing comes")


def test_work_of_a_client_that_goes_is_cancelled() -> None:
    """It does not run on for nobody."""
    ended = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    async def goes() -> Message:
        await asyncio.sleep(0)
        return {"type": "http.disconnect"}

    with pytest.raises(ClientDisconnect):
        asyncio.run(unless_gone(goes, work()))

    assert ended == [True]


def test_result_of_work_is_returned() -> None:
    """A client that stays gets it; an error is the work's own."""

    async def work(fails: bool) -> int:
        await asyncio.sleep(0)
        if fails:
            raise ValueError("its own")
        return 7

    assert asyncio.run(unless_gone(_stays, work(False))) == 7
    with pytest.raises(ValueError, match="its own"):
        asyncio.run(unless_gone(_stays, work(True)))


def test_client_that_takes_nothing_is_given_up() -> None:
    """What was to be streamed is no longer asked for, and the end is told."""
    asked, ended = [], []

    async def chunks() -> AsyncIterator[bytes]:
        for number in range(3):
            asked.append(number)
            yield b"x"

    async def stuck(message: Message) -> None:
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    async def end() -> None:
        ended.append(True)

    asyncio.run(Stream(chunks(), end=end, send_timeout_s=0.01)(SCOPE, _stays, stuck))

    assert (asked, ended) == ([0], [True])
